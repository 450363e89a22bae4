"""Readers whose sensitivity is known: they compare two noisy impressions, and sometimes doze."""

import numpy as np
import pandas as pd

from fundus_ml.reader_study.answers import COLUMNS
from fundus_ml.reader_study.drawing import CATCH


def make_trials(*, trials=60, catch_trials=6, real_trials=0, per_patient=1):
    """A key without pictures, sides balanced."""
    conditions = ["modulated"] * trials + ["real"] * real_trials + ["catch"] * catch_trials
    count = np.arange(len(conditions))
    return pd.DataFrame(
        {
            "trial": count + 1,
            "question": "changed",
            "condition": conditions,
            "image_id": [f"odir/{n}_left" for n in count],
            "patient_id": [f"odir/{n // per_patient}" for n in count],
            "target": "male",
            "eps": 4.0,
            "side_of_truth": np.where(count % 2, "left", "right"),
        }
    )


def simulate(trials, *, reader, d_prime, lapse=0.0, bias=0.0, difficulty=None, rng):
    """Answers of one reader, as ``read_answers`` would give them.

    ``d_prime`` separates the impressions of the right and the other picture, each with a standard
    deviation of 1; ``bias`` is added to that of the right side; ``difficulty`` shifts ``d_prime``
    trial by trial; a catch trial is missed only in a lapse, which is a coin.
    """
    count = len(trials)
    lefts = (trials["side_of_truth"] == "left").to_numpy()
    strength = d_prime + (0 if difficulty is None else difficulty)
    strength = np.where(trials["condition"] == CATCH, 50.0, strength)
    left = rng.normal(size=count) + strength * lefts
    right = rng.normal(size=count) + strength * ~lefts + bias
    said_left = left > right
    dozing = rng.random(count) < lapse
    said_left[dozing] = rng.random(dozing.sum()) < 0.5
    return trials.assign(
        reader=reader,
        answer=np.where(said_left, "left", "right"),
        correct=said_left == lefts,
        reaction_ms=rng.integers(300, 3000, count),
        shown_at=rng.permutation(count) + 1,
    ).drop(columns="question")


def write_csv(answers, trials, path, *, study):
    """Write answers of :func:`simulate` as the page would."""
    rows = answers.assign(
        study=study,
        question=trials["question"].iloc[0],
        correct=answers["correct"].astype(int),
        catch=(answers["condition"] == CATCH).astype(int),
    )
    rows[list(COLUMNS)].to_csv(path, index=False)
    return path
