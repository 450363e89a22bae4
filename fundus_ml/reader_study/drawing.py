"""Which pairs readers are shown, and on which side the right one of each lies."""

from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.reader_study.budgets import choose_budget
from fundus_ml.reader_study.options import StudyOptions

SIDES = ("left", "right")
MODULATED, REAL, CATCH, PRACTICE = "modulated", "real", "catch", "practice"
ORIGINAL = "original.png"
"""The unchanged eye, in the folder of its modulated pictures."""
DRAWN = (
    "condition", "image_id", "patient_id", "target", "eps", "side_of_truth", "truth_picture",
    "other_picture",
)  # fmt: skip
NEEDED = ("image_id", "patient_id", "label", "target", "eps", "success", "l2", "picture")


def draw_trials(modulations: pd.DataFrame, options: StudyOptions) -> pd.DataFrame:
    """Draw the pairs of a study.

    An eye is modulated once at most, so that nobody learns it. Where the question is ``female``,
    the right picture is the modulated one of an eye pushed towards female and the unchanged one of
    an eye pushed towards male; both targets have equal shares where the run has both, so that who
    only sees which picture was changed does not find the female one.

    Args:
        modulations: Rows of a run's ``modulations.parquet``.
        options: Question, budget, numbers, seed.

    Returns:
        One row per trial in shuffled order: ``trial`` (from 1), ``question condition image_id
        patient_id target eps side_of_truth truth_picture other_picture``. ``condition`` is
        ``modulated``, ``real`` or ``catch``; the right side is left in half of each condition; a
        real pair goes under the woman's ids; pictures are paths below the modulation's folder.

    Raises:
        InputError: A column or the budget is missing, an eye stands there twice, or the eyes do
            not suffice.

    Source:
        Macmillan & Creelman 2005, Detection Theory (two alternatives, forced choice).
    """
    missing = [name for name in NEEDED if name not in modulations]
    if missing:
        raise InputError(f"modulations: columns missing: {', '.join(missing)}")
    eyes = _eyes_at(modulations, choose_budget(modulations, options.eps).eps)
    generator = np.random.default_rng(options.seed)
    parts = (
        _modulated_pairs(eyes, options, generator),
        _real_pairs(eyes, options, generator),
        _catch_pairs(eyes, options, generator),
    )
    trials = pd.concat([_with_sides(part, generator) for part in parts], ignore_index=True)
    shuffled = trials.iloc[generator.permutation(len(trials))].reset_index(drop=True)
    shuffled.insert(0, "trial", range(1, len(shuffled) + 1))
    shuffled.insert(1, "question", options.question)
    return shuffled


def _eyes_at(modulations: pd.DataFrame, eps: float) -> pd.DataFrame:
    """One row per eye at a budget, with the path of the ``original`` picture."""
    eyes = modulations[modulations["eps"] == eps].reset_index(drop=True)
    twice = eyes.loc[eyes["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise InputError(
            f"modulations: {twice.iloc[0]} stands there twice at eps={eps:g}, must be once"
        )
    return with_originals(eyes)


def with_originals(eyes: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``original``: path of the unchanged picture beside each ``picture``."""
    originals = [str(PurePosixPath(path).with_name(ORIGINAL)) for path in eyes["picture"]]
    return eyes.assign(original=originals)


def _modulated_pairs(
    eyes: pd.DataFrame, options: StudyOptions, generator: np.random.Generator
) -> pd.DataFrame:
    others = set(eyes["target"]) - {"female", "male"}
    if options.question == "female" and others:
        raise InputError(
            f"question=female: eyes were pushed towards {', '.join(sorted(others))}; ask changed"
        )
    changed = eyes[eyes["l2"] > 0]
    count = options.trials or len(changed)
    if not 0 < count <= len(changed):
        raise InputError(
            f"trials={options.trials}: the modulation changed {len(changed)} eyes at "
            f"eps={eyes['eps'].iloc[0]:g}, each may be shown once"
        )
    shuffled = changed.iloc[generator.permutation(len(changed))]
    turn = shuffled.groupby("target").cumcount()
    chosen = shuffled.assign(turn=turn).sort_values("turn", kind="stable").head(count)
    return changed_pairs(chosen, MODULATED, question=options.question)


def changed_pairs(chosen: pd.DataFrame, condition: str, *, question: str) -> pd.DataFrame:
    """Pair each modulated eye with its ``original``, and say which is right."""
    unchanged_is_right = (question == "female") & (chosen["target"] == "male")
    return _pairs(
        chosen,
        condition,
        eps=chosen["eps"],
        truth=chosen["original"].where(unchanged_is_right, chosen["picture"]),
        other=chosen["picture"].where(unchanged_is_right, chosen["original"]),
    )


def _real_pairs(
    eyes: pd.DataFrame, options: StudyOptions, generator: np.random.Generator
) -> pd.DataFrame:
    people = eyes.iloc[generator.permutation(len(eyes))].drop_duplicates("patient_id")
    women, men = people[people["label"] == 0], people[people["label"] == 1]
    count = options.real_trials
    if count > min(len(women), len(men)):
        raise InputError(
            f"real_trials={count}: the modulation has {len(women)} women and {len(men)} men, each "
            "may be shown once"
        )
    women, men = women.head(count), men.head(count)
    return _pairs(
        women.assign(target=""), REAL, eps=0.0, truth=women["original"], other=men["original"]
    )


def _catch_pairs(
    eyes: pd.DataFrame, options: StudyOptions, generator: np.random.Generator
) -> pd.DataFrame:
    count = options.catch_trials
    chosen = eyes.iloc[generator.choice(len(eyes), count, replace=count > len(eyes))]
    originals = chosen["original"]
    return _pairs(chosen.assign(target=""), CATCH, eps=0.0, truth=originals, other=originals)


def _pairs(
    eyes: pd.DataFrame,
    condition: str,
    *,
    eps: float | pd.Series,
    truth: pd.Series,
    other: pd.Series,
) -> pd.DataFrame:
    return eyes[["image_id", "patient_id", "target"]].assign(
        condition=condition, eps=eps, truth_picture=truth.array, other_picture=other.array
    )


def _with_sides(pairs: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Let the right side alternate from a random start, target by target."""
    ordered = pairs.sort_values("target", kind="stable")
    places = (np.arange(len(ordered)) + generator.integers(2)) % 2
    sided = ordered.assign(side_of_truth=np.array(SIDES)[places])
    return sided[list(DRAWN)]
