"""The CSV files that readers hand back, held against the key of their study."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fundus_ml.errors import InputError, printable
from fundus_ml.reader_study.drawing import CATCH, SIDES

COLUMNS = (
    "study", "reader", "trial", "question", "image_id", "eps", "side_of_truth", "answer",
    "correct", "catch", "reaction_ms", "shown_at",
)  # fmt: skip
READER = r"[a-z0-9_-]{1,20}"
"""How a reader may be called; the page takes no other id."""
LEAST_MS = 200
"""The page takes no answer earlier: nobody has seen two pictures by then."""
MEASURED = ("reaction_ms", "shown_at")
KEPT = ("trial", "condition", "image_id", "patient_id", "target", "eps", "side_of_truth")


def study_of(paths: Sequence[Path]) -> str:
    """Say which study the files answer.

    Args:
        paths: One CSV per reader.

    Returns:
        The digest that all of them name.

    Raises:
        InputError: A file is missing, unreadable, empty or without a needed column, or they name
            several studies.
    """
    named = {path: _read(path)["study"] for path in paths}
    digest = str(named[paths[0]].iloc[0])
    for path, column in named.items():
        _refuse(
            path, column, column != digest, f"must be {digest}, the study of {paths[0]}, line 2"
        )
    return digest


def read_trials(path: Path) -> pd.DataFrame:
    """Read the key of a study: what each trial showed, and on which side."""
    return pd.read_parquet(path)


def read_answers(paths: Sequence[Path], trials: pd.DataFrame) -> pd.DataFrame:
    """Read the answers of all readers and look up in the key what was right.

    A reader who stopped early has fewer rows and is taken; what the file itself calls right is
    only compared with the key.

    Args:
        paths: One CSV per reader, of one study (:func:`study_of`).
        trials: The key, as :func:`~fundus_ml.reader_study.drawing.draw_trials` returned it.

    Returns:
        One row per answer: ``reader trial condition image_id patient_id target eps side_of_truth
        answer correct reaction_ms shown_at``.

    Raises:
        InputError: Says which file, which line, what stands there and what is allowed.
    """
    key = trials.set_index("trial")
    files: dict[str, Path] = {}
    parts = []
    for path in paths:
        rows = _checked(path, _read(path), key)
        reader = str(rows["reader"].iloc[0])
        if reader in files:
            raise InputError(f"{path}: reader={reader} has answered in {files[reader]} already")
        files[reader] = path
        parts.append(rows)
    given = pd.concat(parts, ignore_index=True)[["reader", "trial", "answer", *MEASURED]]
    answers = given.merge(trials[list(KEPT)], on="trial", validate="many_to_one")
    return answers.assign(correct=answers["answer"] == answers["side_of_truth"])


def _read(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from None
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise InputError(
            f"{path}: columns missing: {', '.join(missing)}; needed, with commas between them: "
            f"{','.join(COLUMNS)}"
        )
    if rows.empty:
        raise InputError(f"{path}: holds no answer")
    return rows


def _checked(path: Path, rows: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """Refuse what the page would not have written; give ``trial`` and the times as numbers."""
    reader = rows["reader"]
    _refuse(path, reader, ~reader.str.fullmatch(READER), f"must match {READER}")
    _refuse(path, reader, reader != reader.iloc[0], f"one file holds one reader, {reader.iloc[0]}")
    numbers = rows["trial"].map(_whole)
    _refuse(path, rows["trial"], ~numbers.isin(key.index), f"must be one of 1 to {len(key)}")
    _refuse(path, rows["trial"], numbers.duplicated(), "answered twice, must be once")
    _refuse(path, rows["answer"], ~rows["answer"].isin(SIDES), f"allowed: {', '.join(SIDES)}")
    times = {name: pd.to_numeric(rows[name], errors="coerce") for name in MEASURED}
    slow = times["reaction_ms"] >= LEAST_MS
    _refuse(path, rows["reaction_ms"], ~slow, f"must be a number of {LEAST_MS} or more")
    places = times["shown_at"].isin(range(1, len(key) + 1))
    _refuse(path, rows["shown_at"], ~places, f"must be one of 1 to {len(key)}")
    for column, right in _as_page(rows, key.loc[numbers]).items():
        wrong = rows[column].map(_in_one_line) != right.map(_in_one_line)
        _refuse(path, rows[column], wrong, "is not what the key of the study says")
    return rows.assign(trial=numbers, **times)


def _as_page(rows: pd.DataFrame, truth: pd.DataFrame) -> dict[str, pd.Series]:
    """What the page writes beside each answer, from the key."""
    sides = truth["side_of_truth"].set_axis(rows.index)
    return {
        "question": truth["question"].set_axis(rows.index),
        "image_id": truth["image_id"].set_axis(rows.index),
        "side_of_truth": sides,
        "catch": (truth["condition"] == CATCH).astype(int).astype(str).set_axis(rows.index),
        "correct": (rows["answer"] == sides).astype(int).astype(str),
    }


def _in_one_line(text: str) -> str:
    # A browser and an editor write the line breaks of a text each in its own way.
    return " ".join(printable(text).split())


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text) else 0


def _refuse(path: Path, column: pd.Series, wrong: pd.Series, rule: str) -> None:
    """Name the first wrong cell of a file by its line; the header is line 1."""
    if wrong.any():
        place = int(wrong.to_numpy().argmax())
        value = printable(column.iloc[place])
        raise InputError(f"{path}, line {place + 2}: {column.name}={value}: {rule}")
