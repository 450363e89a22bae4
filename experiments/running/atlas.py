"""The atlas of a modulation, measured: its mean maps, and what it does to every biomarker."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.running.biomarkers import AGE, held_age, measured_eyes
from experiments.running.console import say, warn
from experiments.running.modulated_eyes import ModulatedEyes
from fundus_ml import atlas, biomarkers
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.finding import SMALLEST
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.effects import logits_of
from fundus_ml.modulation.evaluator import Evaluator
from fundus_ml.modulation.null_distribution import is_shuffled
from fundus_ml.parallel import processes
from fundus_ml.synthesis.edits import parts_of_rows
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class MeasuredAtlas:
    """What the atlas of one modulation holds.

    Attributes:
        changes: Mean maps.
        biomarkers: Rows of ``compare_changes``.
        edits: Rows of ``single_edits``; None without an independent evaluator.
        adjusted: What is held equal between the classes of unchanged eyes; empty where nothing is.
    """

    changes: atlas.ChangeAtlas
    biomarkers: pd.DataFrame
    edits: pd.DataFrame | None
    adjusted: str


def registered_for_atlas(eyes: ModulatedEyes, *, start: str) -> atlas.RegisteredEyes:
    """Register the eyes before any is modulated, so that what allows no atlas is told at once.

    Args:
        eyes: Those that will be modulated.
        start: What they start from.

    Raises:
        InputError: They start as noise, have no region maps or too few pixels, or too few of them
            show disc and fovea.
    """
    if start != "eye":
        raise InputError(f"atlas=true: start={start} shows no eye; allowed: start=eye")
    if eyes.regions is None:
        raise InputError(
            "atlas=true: the dataset has no region maps; preprocess it with regions=yes"
        )
    if eyes.split.size < SMALLEST:
        raise InputError(
            f"atlas=true: eyes of {eyes.split.size} pixels show no parts; {SMALLEST} are needed"
        )
    registered = atlas.register_eyes(eyes.frame, eyes.regions)
    atlas.maps_left_out(
        registered,
        eyes.chosen.target,
        eyes.frame["person_group"],
        classes=eyes.split.contrast.classes,
    )
    if registered.abstained:
        lacking = "; ".join(f"{why}: {count}" for why, count in registered.abstained.items())
        warn(f"atlas: eyes left out: {lacking}")
    return registered


def measured_atlas(
    evaluator: Evaluator,
    registered: atlas.RegisteredEyes,
    pictures: Mapping[str, NDArray[np.uint8]],
    *,
    split: FundusDataset,
    run: Run,
    resamples: int,
    seed: int,
) -> MeasuredAtlas:
    """Average the changes, measure biomarkers before and after, and in all eyes of the split.

    Args:
        evaluator: The N eyes, their pixels, regions and targets, the independent evaluator.
        registered: How they come to lie on one another.
        pictures: By condition, ``(N, H, W, 3)`` uint8 at one budget: of the modulation, and of
            versions that learned shuffled labels, where there are any.
        split: Unchanged eyes whose classes are compared.
        run: Is marked as going on with a measurement that was killed.
        resamples: Bootstrap samples of people.
        seed: Seed of bootstrap, sign flips and permutations.

    Raises:
        InputError: As :func:`measured_eyes` and the functions of ``fundus_ml.atlas``.
    """
    eyes, chosen = evaluator.eyes, evaluator.chosen
    assert evaluator.regions is not None
    modulated = pictures[MODULATION]
    people = eyes["person_group"].to_numpy()
    changes = atlas.change_atlas(
        registered,
        chosen.pixels,
        modulated,
        chosen.target,
        people,
        classes=evaluator.classes,
        null_versions={name: made for name, made in pictures.items() if is_shuffled(name)},
        seed=seed,
    )
    say("atlas: biomarkers of every eye of the split, and of each picture")
    with measured_eyes(split, run, kept="", workers=0) as found:
        unchanged = found.frame
        with processes():
            measured = atlas.measure_changes(chosen.pixels, modulated, eyes, evaluator.regions)
        edits = None
        if evaluator.independent is not None:
            edits = atlas.single_edits(
                partial(logits_of, evaluator.independent, batch_size=evaluator.options.batch_size),
                chosen.pixels,
                parts_of_rows(eyes, evaluator.regions),
                people,
                seed=seed,
            )
        everybody, age = split.frame["person_group"], held_age(split)
        table = atlas.compare_changes(
            measured,
            chosen.target,
            people,
            spreads=atlas.between_people(unchanged, everybody),
            associations=biomarkers.associate(
                unchanged,
                split.labels,
                groups=everybody,
                age=age,
                resamples=resamples,
                seed=seed,
            ),
            edits=edits,
            resamples=resamples,
            seed=seed,
        )
        adjusted = "" if age is None else AGE
        return MeasuredAtlas(changes=changes, biomarkers=table, edits=edits, adjusted=adjusted)
