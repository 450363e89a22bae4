"""The files of a registered version: which belong to it, their digests, and checked copies.

Registration stores the SHA-256 of every file as a tag of the version, so that whoever can write to
the artifact folder alone cannot change what is loaded. Pictures that are attached later lie under
``kind/run_id`` and are never loaded.
"""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from tracking.errors import TrackingError
from tracking.versions import DIGESTS_TAG, WEIGHTS, ModelVersion

PROGRAM = "data/model.pt2"
RECIPE = "extra_files/classifier.json"
TRAINING_EYES = "extra_files/training_eyes.parquet"
"""Which eyes the version learned from; a version of unknown eyes lacks it."""
MLMODEL = "MLmodel"
EXAMPLE = "input_example.json"
SERVING_EXAMPLE = "serving_input_example.json"
CODE = "code"
"""Folder of the modules with which MLflow answers raw photographs; nothing here imports them."""
WRITTEN = frozenset(
    {
        PROGRAM, WEIGHTS, RECIPE, TRAINING_EYES, MLMODEL, "conda.yaml", "python_env.yaml",
        "requirements.txt", EXAMPLE, SERVING_EXAMPLE,
    }
)  # fmt: skip
"""What registering a version writes, beside :data:`CODE`."""
_LEFT_BY_DOWNLOADS = "registered_model_meta"
_FOLDERS = ("data", "extra_files")
_RUN = re.compile(r"[^/]+/[0-9a-f]{32}")

_told: set[str] = set()


def digests_of(address: str) -> dict[str, str]:
    """Read every file of a logged model back and take its SHA-256, by path.

    The folder :data:`CODE` has one digest: that of the paths and digests of its files, in order.
    """
    with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
        root = Path(mlflow.artifacts.download_artifacts(address, dst_path=folder))
        digests = {
            path.relative_to(root).as_posix(): _sha256(path)
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != _LEFT_BY_DOWNLOADS
        }
    code = {path: digests.pop(path) for path in list(digests) if path.startswith(f"{CODE}/")}
    if code:
        digests[CODE] = hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()
    return digests


@contextmanager
def checked_copy(version: ModelVersion, wanted: Sequence[str]) -> Iterator[Path]:
    """Copy files of a version into a folder of their own, which goes away with the block.

    A version registered before digests were kept is checked by the names of its files, and a
    line says so, once.

    Args:
        version: In the registry.
        wanted: Paths among :data:`WRITTEN`.

    Raises:
        TrackingError: The version lacks a wanted file, holds one that registration does not
            write, or one is not what was registered.
    """
    digests = kept_digests(version)
    if digests is None:
        _tell_once(version)
    _refuse_strange(version, WRITTEN if digests is None else digests.keys())
    with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
        for path in wanted:
            copy = _download(version, path, Path(folder))
            if digests is not None and _sha256(copy) != digests.get(path):
                raise TrackingError(
                    f"{version.uri}: {path} is not the file that was registered (its SHA-256 is "
                    f"not that of the tag {DIGESTS_TAG}); nothing was loaded"
                )
        yield Path(folder)


def kept_digests(version: ModelVersion) -> Mapping[str, str] | None:
    """SHA-256 of the files of a version by path; None where it was registered without them.

    Raises:
        TrackingError: The tag holds something else.
    """
    tag = version.tags.get(DIGESTS_TAG)
    if tag is None:
        return None
    try:
        digests = json.loads(tag)
    except ValueError:
        digests = None
    if not isinstance(digests, dict):
        raise TrackingError(f"{version.uri}: its tag {DIGESTS_TAG} is {tag[:40]!r}, no JSON object")
    return digests


def _tell_once(version: ModelVersion) -> None:
    if version.model_id not in _told:
        _told.add(version.model_id)
        sys.stderr.write(
            f"{version.uri}: carries no digests of its files (it was registered before they were "
            "kept), so only their names were checked\n"
        )


def _refuse_strange(version: ModelVersion, known: Collection[str]) -> None:
    strange = next((path for path in _present(version) if path not in known), None)
    if strange is not None:
        raise TrackingError(
            f"{version.uri}: its artifacts hold {strange}, which was not registered with it; "
            "nothing was loaded"
        )


def _present(version: ModelVersion) -> Iterator[str]:
    """Paths among the artifacts of a version, without pictures that a run attached to it."""
    for entry in mlflow.artifacts.list_artifacts(version.uri):
        if not entry.is_dir or entry.path == CODE:
            if entry.path != _LEFT_BY_DOWNLOADS:
                yield entry.path
            continue
        inside = mlflow.artifacts.list_artifacts(f"{version.uri}/{entry.path}")
        for file in inside:
            attached = entry.path not in _FOLDERS and file.is_dir and _RUN.fullmatch(file.path)
            if not attached:
                yield file.path


def _download(version: ModelVersion, path: str, folder: Path) -> Path:
    """Copy one file to its own path below ``folder``."""
    try:
        mlflow.artifacts.download_artifacts(f"{version.uri}/{path}", dst_path=str(folder))
    except (MlflowException, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise TrackingError(f"{version.uri}: {path} cannot be read: {reason}") from error
    return folder / path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
