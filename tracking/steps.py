"""Steps of a chain that were done before: a finished run is found by what it did."""

from collections.abc import Mapping
from dataclasses import dataclass

from tracking.code_version import UNKNOWN, code_version
from tracking.models_read import models_read
from tracking.registry import resolve
from tracking.searching import NEWEST_FIRST, find_runs
from tracking.stores import initialise_tracking
from tracking.versions import ModelVersion

STEP_TAG = "step_digest"
"""Says of a run which flags and inputs it had."""
TOOK_OVER = "took_over"
"""Tag of a chain: ids of the finished runs that stood for its steps, with commas."""
DIRTY = "-dirty"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A finished run that was a step of a chain.

    Attributes:
        run_id: Its id.
        metrics: Last value of each.
        tags: Its tags.
        version: What it registered; None where it registered nothing.
    """

    run_id: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    version: ModelVersion | None

    @property
    def models_read(self) -> Mapping[str, str]:
        """``model_id`` of each version it read, by address: see :mod:`tracking.models_read`."""
        return models_read(self.tags)

    @property
    def registered(self) -> ModelVersion:
        """What it registered, which a training always does."""
        assert self.version is not None
        return self.version


def read_step(run_id: str) -> Step:
    """Read a run as a step, with the newest version that it registered."""
    client = initialise_tracking()
    run = client.get_run(run_id)
    found = client.search_model_versions(f"run_id = '{run_id}'")
    newest = max(found, key=lambda entry: int(entry.creation_timestamp), default=None)
    version = None if newest is None else resolve(f"models:/{newest.name}/{newest.version}")
    return Step(
        run_id=run_id, metrics=dict(run.data.metrics), tags=dict(run.data.tags), version=version
    )


def find_step(digest: str, *, any_code: bool = False) -> Step | None:
    """Find the newest finished run that did this, if its results are still there.

    Args:
        digest: Value of :data:`STEP_TAG`.
        any_code: Take a run of another commit too. Otherwise the commit must be that of today, and
            nothing may be changed since: who knows what.

    Returns:
        None where there is no such run, or what it registered is gone.
    """
    commit = code_version()
    if not any_code and (commit == UNKNOWN or commit.endswith(DIRTY)):
        return None
    client = initialise_tracking()
    wanted = f"tags.{STEP_TAG} = '{digest}' and attributes.status = 'FINISHED'"
    if not any_code:
        wanted += f" and tags.git_commit = '{commit}'"
    for run in find_runs(client, wanted, order_by=NEWEST_FIRST):
        step = read_step(run.info.run_id)
        if step.version is not None or not _registered(step):
            return step
    return None


def _registered(step: Step) -> bool:
    """Whether the run registered a version, which may have been deleted since."""
    return step.tags.get("registered") == "true"
