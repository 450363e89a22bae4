"""Several networks of one training that differ by their seed: one run and one version each.

A figure about *a* training needs several of it: networks differ by more than eyes do. All read the
same open dataset, whose pixels are mapped into memory once. A command that was killed goes on with
the replicate it was at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import pandas as pd

from experiments.running.console import say
from experiments.running.flags import execute
from experiments.running.identity import identity_of, weights_file
from experiments.running.kept_folders import kept_folder, kind_of_batches
from experiments.running.null_models import check_own_starts
from experiments.running.options import ReplicatedOptions
from experiments.running.resuming import MOVES_NOTHING
from experiments.running.session import record_dataset
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import TRUE
from fundus_ml.errors import InputError
from fundus_ml.training.distribution import world
from tracking.registry import find_version
from tracking.runs import Run
from tracking.versions import ModelVersion

KIND = kind_of_batches("set of replicates", r"replicate-\d{4}\.(parquet|partial)")
"""A folder with a table per network that is finished."""
FEWEST = 2
"""Networks that differ from one another at all."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network that was trained and registered.

    Attributes:
        version: In the registry.
        seconds_per_step: Median over the training steps.
        predicted: Clean test eyes: ``image_id person_group label logit``, labels being the truth.
        best: Best validation score, of the labels that were learned.
    """

    version: ModelVersion
    seconds_per_step: float
    predicted: pd.DataFrame
    best: float


C = TypeVar("C", bound=ReplicatedOptions)
C_contra = TypeVar("C_contra", bound=ReplicatedOptions, contravariant=True)


class TrainsOne(Protocol[C_contra]):
    """Trains one network and registers it; ``named`` says whether it may get an alias."""

    def __call__(
        self, config: C_contra, run: Run, dataset: FundusDataset, *, named: bool
    ) -> Trained:
        """Train it in its own run."""


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """One network of several.

    Attributes:
        seed: Seed of its weights, its order and its permutation.
        trained: What its training left.
    """

    seed: int
    trained: Trained


def replicates(
    name: str,
    config: C,
    run: Run,
    train: TrainsOne[C],
    *,
    dataset: FundusDataset,
    paths: str,
    starts: Sequence[ModelVersion] = (),
    own: Callable[[C, int], C] = lambda config, _: config,
    record: Callable[..., object],
) -> list[Replicate]:
    """Train as many networks as ``config.replicates`` says, those that are not there yet.

    Args:
        name: Name of the entry point.
        config: Its flags; the seed of replicate ``i`` is ``config.seed + i - 1``.
        run: The run around those of the replicates.
        train: Trains one; the first may get an alias.
        dataset: What all learn from, checked in full.
        paths: What the flag ``dataset`` says.
        starts: Registered versions that they start from: one for all, or one each.
        own: Gives the flags of a replicate, counted from 0, what only it has.
        record: Records all of them, given the run, the replicates, ``labels`` and ``seed``, before
            what was kept of the trainings is deleted.

    Raises:
        InputError: Null models would share a start that learned labels, several processes train
            together, or from :func:`kept_folder`.
    """
    if world().size > 1:
        raise InputError(f"replicates={config.replicates}: train in one process, without torchrun")
    if config.labels != TRUE:
        each = starts if len(starts) != 1 else [starts[0]] * config.replicates
        check_own_starts(each, flag="model" if name == "robustify" else "weights")
    identity = identity_of(config, ignoring=MOVES_NOTHING - {"register_as"}) | {
        "entry_point": name,
        "dataset_digest": dataset.digest,
        "starts": [version.content for version in starts],
        **weights_file(config),
    }
    kept = f"{config.checkpoints}-replicates" if config.checkpoints else ""

    def train_recorded(one: C, below: Run) -> Trained:
        record_dataset(below, dataset, paths, context=name, verify="full")
        return train(one, below, dataset, named=one.seed == config.seed)

    found = []
    with kept_folder(
        KIND, f"{name}-replicates", kept, identity, run, datasets=dataset.paths
    ) as folder:
        for place in range(config.replicates):
            file = folder / f"replicate-{place + 1:04d}.parquet"
            replicate = _read(file)
            if replicate is None:
                seed = config.seed + place
                below = f"{config.checkpoints}-{seed}" if config.checkpoints else ""
                one = replace(own(config, place), replicates=1, seed=seed, checkpoints=below)
                step = f"replicate {place + 1}/{config.replicates}"
                trained = execute(name, train_recorded, one, step=step)
                replicate = Replicate(seed=seed, trained=trained)
                _write(file, replicate)
            else:
                say(
                    f"replicate {place + 1}/{config.replicates}: is {replicate.trained.version.uri}"
                )
            found.append(replicate)
        record(run, found, labels=config.labels, seed=config.seed)
    return found


def _write(file: Path, replicate: Replicate) -> None:
    """Keep a replicate whole or not at all."""
    partial, trained = file.with_suffix(".partial"), replicate.trained
    trained.predicted.assign(
        seed=replicate.seed,
        version=trained.version.uri,
        model_id=trained.version.model_id,
        seconds_per_step=trained.seconds_per_step,
        best=trained.best,
    ).to_parquet(partial, index=False)
    partial.replace(file)


def _read(file: Path) -> Replicate | None:
    """Read a finished replicate; None where there is none or its version is gone."""
    if not file.is_file():
        return None
    rows = pd.read_parquet(file)
    own = ["seed", "version", "model_id", "seconds_per_step", "best"]
    if "model_id" not in rows:  # an earlier release knew it by its address alone
        return None
    said = rows[own].iloc[0]
    version = find_version(str(said["version"]), str(said["model_id"]))
    if version is None:
        return None
    trained = Trained(
        version=version,
        seconds_per_step=float(said["seconds_per_step"]),
        predicted=rows.drop(columns=own),
        best=float(said["best"]),
    )
    return Replicate(seed=int(said["seed"]), trained=trained)
