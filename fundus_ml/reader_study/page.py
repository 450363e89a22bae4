"""The page that readers answer on, and the study it belongs to."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.pages.template import rendered
from fundus_ml.reader_study.answers import LEAST_MS, READER
from fundus_ml.reader_study.budgets import Budget, choose_budget
from fundus_ml.reader_study.drawing import CATCH, draw_trials
from fundus_ml.reader_study.options import StudyOptions
from fundus_ml.reader_study.practice import draw_practice, told
from fundus_ml.reader_study.showing import Picture, prompt_of, read_pairs
from fundus_ml.statistics.numerals import plain

TABLE = "modulations.parquet"
"""Rows of a modulation, one per eye and budget, in its folder."""
BREAK_AFTER = 20
"""Trials between two breaks."""
FINE = 224
"""Pixels across a picture below which readers are told what it cannot show."""
SHOWN = 200
"""Pixels of the screen across a picture below which the page asks for a larger window."""
COARSE = "The pictures are {pixels} pixels across, fewer than {fine}: fine vessels cannot be seen."
ASKED = {
    "changed": "Which picture was changed?",
    "female": "Which eye looks more like a woman's?",
}
EXPLAINED = {
    "changed": (
        "You will see two pictures of one eye side by side. One is the photograph as it was taken, "
        "the other was changed by a computer, often very little. Choose the changed one."
    ),
    "female": (
        "You will see two pictures side by side. In most pairs both show one eye, once as it was "
        "photographed and once changed by a computer. Choose the one that looks more like a "
        "woman's eye, whether it seems changed or not."
    ),
}
CHECKS = {
    "changed": "A few pairs are easy. They check attention.",
    "female": "A few pairs only check attention. Do what is written above them.",
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as it is handed out.

    Attributes:
        digest: Names it: 12 hexadecimal digits of its trials and pictures.
        trials: The key, as :func:`~fundus_ml.reader_study.drawing.draw_trials` returns it.
        practice: The practice pair, one row like those of ``trials``; never counted.
        budget: Budget of the modulated pictures.
        coarse: What readers are told of pictures with few pixels; empty where they have enough.
        page: HTML.
    """

    digest: str
    trials: pd.DataFrame
    practice: pd.DataFrame
    budget: Budget
    coarse: str
    page: str


def make_study(folder: Path, options: StudyOptions) -> Study:
    """Draw a study from the pictures of a modulation and write its page.

    Args:
        folder: Holds ``modulations.parquet`` and the pictures it names.
        options: Question, budget, numbers, seed.

    Raises:
        InputError: The folder is no modulation's, the eyes do not suffice or a picture is missing.
    """
    table = folder / TABLE
    if not table.is_file():
        raise InputError(f"{table}: missing, so this is not what a modulation leaves behind")
    modulations = pd.read_parquet(table)
    trials = draw_trials(modulations, options)
    practice = draw_practice(modulations, trials, seed=options.seed)
    pictures = read_pairs(trials, folder)
    coarse = coarse_words(min(min(left.shape[:2]) for left, _ in pictures))
    pairs = [tuple(map(_png, pair)) for pair in pictures]
    digest = _digest(trials, pairs)
    page = study_page(
        trials,
        pairs,
        practice=practice,
        practice_pair=tuple(map(_png, read_pairs(practice, folder)[0])),
        coarse=coarse,
        digest=digest,
    )
    return Study(
        digest=digest,
        trials=trials,
        practice=practice,
        budget=choose_budget(modulations, options.eps),
        coarse=coarse,
        page=page,
    )


def coarse_words(pixels: int) -> str:
    """Say how few pixels pictures have across; nothing where they are enough."""
    return COARSE.format(pixels=pixels, fine=FINE) if pixels < FINE else ""


def study_page(
    trials: pd.DataFrame,
    pairs: Sequence[Sequence[bytes]],
    *,
    practice: pd.DataFrame,
    practice_pair: Sequence[bytes],
    coarse: str,
    digest: str,
) -> str:
    """Write the page: pictures inside, no request to anywhere, light and dark.

    What is right stands in it only encoded (base64) and is decoded when the last answer is in: who
    wants to cheat can, nobody learns it by the way. The answer of the practice pair is open.

    Args:
        trials: The key.
        pairs: Left and right PNG file content of every trial.
        practice: As :func:`~fundus_ml.reader_study.practice.draw_practice` returns it.
        practice_pair: Its left and right PNG file content.
        coarse: What readers are told of pictures with few pixels; perhaps empty.
        digest: Digest of the study.
    """
    question = str(trials["question"].iloc[0])
    (tried,) = practice.to_dict("records")
    shown, truths = [], []
    for row, pair in zip(trials.to_dict("records"), pairs, strict=True):
        shown.append(_shown(row, pair))
        truths.append(
            {
                "image_id": row["image_id"],
                "eps": plain(row["eps"]),
                "side_of_truth": row["side_of_truth"],
                "catch": int(row["condition"] == CATCH),
            }
        )
    return rendered(
        "reader_study.html",
        title=ASKED[question],
        explained=EXPLAINED[question],
        checks=CHECKS[question],
        count=len(trials),
        coarse=coarse,
        study={
            "study": digest,
            "question": question,
            "asked": ASKED[question],
            "reader": READER,
            "least_ms": LEAST_MS,
            "least_shown": SHOWN,
            "break_after": BREAK_AFTER,
            "practice": _shown(tried, practice_pair)
            | {"side_of_truth": tried["side_of_truth"], "told": told(tried)},
            "trials": shown,
            "sealed": _base64(json.dumps(truths).encode("utf-8")),
        },
    )


def _shown(row: Mapping[Hashable, object], pair: Sequence[bytes]) -> dict[str, object]:
    left, right = map(_base64, pair)
    return {"trial": row["trial"], "prompt": prompt_of(row), "left": left, "right": right}


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _png(picture: Picture) -> bytes:
    encoded, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert encoded
    return content.tobytes()


def _digest(trials: pd.DataFrame, pairs: Sequence[Sequence[bytes]]) -> str:
    found = hashlib.sha256(trials.to_csv(index=False).encode("utf-8"))
    for pair in pairs:
        for content in pair:
            found.update(hashlib.sha256(content).digest())
    return found.hexdigest()[:12]
