"""Trainings that can be killed at any moment: the same command goes on where it stood."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from experiments.running.console import say, warn
from experiments.running.identity import identity_of, weights_file
from experiments.running.options import ResumableOptions
from experiments.running.places import place, refuse_inside
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.owned_folders import alone_in
from fundus_ml.errors import listed
from fundus_ml.training import Checkpoints
from fundus_ml.training.checkpoints import TRAINING, Identity
from fundus_ml.training.distribution import wait, world
from tracking.runs import Run
from tracking.versions import ModelVersion

CHECKPOINTS = Path("checkpoints")
"""Folder of unfinished trainings, and of stored features, where no other is named."""
MOVES_NOTHING = frozenset(
    {
        "dataset",
        "model",
        "tuned",
        "recipe",
        "bootstrap",
        "register_as",
        "checkpoints",
        "checkpoint_minutes",
        "verbose",
    }
)
"""Flags that do not decide how a training goes; the dataset and the start count by content."""
FORMER_FLAGS = {"recipe": "method", "watchdog": "overfitting_monitor"}
"""Names up to release 0.6.0, whose unfinished trainings go on."""
LATER_FLAGS = {
    "head_epochs": 0,
    "head": "last",
    "dropout": 0.0,
    "both_flips": False,
    "train_people": 1.0,
    "replicates": 1,
    "contrast": "sex",
}
"""Flags since release 0.9.0 and what trainings did before, which go on: that is not identified."""


def without_later_flags(flags: Mapping[str, object]) -> dict[str, object]:
    """Leave out the flags of :data:`LATER_FLAGS` that ask for what was done before they came."""
    return {name: value for name, value in flags.items() if value != LATER_FLAGS.get(name)}


@contextmanager
def resumable(
    name: str,
    config: ResumableOptions,
    run: Run,
    *,
    dataset: FundusDataset,
    parent: ModelVersion | None = None,
) -> Iterator[Checkpoints]:
    """Keep a training on disk during the block, and delete what was kept when it ends well.

    Args:
        name: Name of the entry point.
        config: Its flags.
        run: Is marked as going on with the run that was killed.
        dataset: What is learned from.
        parent: The version the training starts from.

    Raises:
        InputError: The folder holds a training with other flags or other things, lies in the
            dataset, or another process trains in it.
    """
    identity = without_later_flags(identity_of(config, ignoring=MOVES_NOTHING)) | {
        "entry_point": name,
        "dataset_digest": dataset.digest,
        "parent": parent.content if parent is not None else "",
        **weights_file(config),
    }
    folder = _folder(name, config.checkpoints, identity)
    refuse_inside("checkpoints", folder, dataset.paths)
    if not world().first:
        wait()
        yield Checkpoints(folder, identity, writes=False)
        return
    with alone_in(folder, TRAINING, named=f"checkpoints={folder}"):
        checkpoints = Checkpoints(
            folder,
            identity,
            minutes=config.checkpoint_minutes,
            note={"run_id": run.run_id},
            of_former=partial(_of_former, parent=parent),
        )
        if earlier := checkpoints.found_note.get("run_id"):
            run.continue_from(earlier)
            say(f"goes on with the training in {folder}")
        wait()
        yield checkpoints
        tell_left(folder, checkpoints.remove())


def _of_former(identity: Identity, *, parent: ModelVersion | None) -> Identity:
    """Put an identity that a release up to 0.6.0 wrote into the words of this one."""
    found = {FORMER_FLAGS.get(name, name): value for name, value in identity.items()}
    if parent is not None and found.get("parent") == parent.uri:
        found["parent"] = parent.content
    return found


def tell_left(folder: Path, left: Sequence[str]) -> None:
    """Say what stays in a folder that was to be deleted."""
    if left:
        warn(f"{folder}: stays, for it holds {listed(left)}")


def _folder(name: str, given: str, identity: dict[str, object]) -> Path:
    if given:
        return place("checkpoints", given)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return CHECKPOINTS / f"{name}-{digest[:12]}"
