"""Whether a run will find, at its end, what it needs there: asked before the work begins."""

import tempfile
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tracking.errors import TrackingError
from tracking.faults import first_line, is_forbidden, refusal_of
from tracking.reachable import impatient
from tracking.registry import resolve
from tracking.runs import Run
from tracking.stores import initialise_tracking

_PROBE = "writable.txt"
_SECONDS = 30
"""How long a busy server may take to hand a small artifact through."""


def check_artifacts(run: Run) -> Path | None:
    """Write a small artifact to a run and remove it.

    Returns:
        The folder of this machine that the artifacts go to; None where they go elsewhere.

    Raises:
        TrackingError: It cannot be written.
    """
    uri = initialise_tracking().get_run(run.run_id).info.artifact_uri
    repository = get_artifact_repository(uri)
    try:
        with tempfile.TemporaryDirectory() as folder, impatient(_SECONDS):
            probe = Path(folder) / _PROBE
            probe.write_text("written to see whether it can be\n", encoding="utf-8")
            repository.log_artifact(str(probe))  # type: ignore[no-untyped-call]
            _remove_probe(repository)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"artifact store is {uri!r}: cannot be written: "
            f"{refusal_of(error) or first_line(error)}"
        ) from error
    return _local(uri)


def stored_bytes(uri: str) -> int:
    """Size of the weights of a registered version.

    Args:
        uri: ``models:/name@alias`` or ``models:/name/3``.

    Raises:
        TrackingError: No such version.
    """
    version = resolve(uri)
    client = initialise_tracking()
    files = client.list_logged_model_artifacts(version.model_id, "extra_files")
    return sum(int(file.file_size or 0) for file in files)


def _remove_probe(repository: ArtifactRepository) -> None:
    try:
        repository.delete_artifacts(_PROBE)  # type: ignore[no-untyped-call]
    except (MlflowException, OSError) as error:
        # A server with users lets many of them add to an experiment and not delete there: it stays.
        if not is_forbidden(error):
            raise


def _local(uri: str) -> Path | None:
    address = urlparse(uri)
    if address.scheme == "":
        return Path(uri)
    return Path(url2pathname(address.path)) if address.scheme == "file" else None
