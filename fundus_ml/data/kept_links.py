"""Pairs of alike eyes kept on disk: searched for once, read at every later opening."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import pandas as pd

PAIR_COLUMNS = ("first", "second", "inliers", "score")


def keep_links(folder: Path, key: str, pairs: pd.DataFrame) -> str:
    """Write pairs under their key, whole or not at all.

    Returns:
        Why they could not be kept; empty where they were. They are found again by a search.
    """
    path = _path(folder, key)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    columns = {name: pairs[name].tolist() for name in PAIR_COLUMNS}
    content = {"key": key, "pairs": columns, "sha256": _sha256(key, columns)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        return f"{folder} cannot be written ({error.strerror}): alike eyes are searched each time"
    return ""


def kept_links(folder: Path, key: str, known: pd.Series) -> pd.DataFrame | None:
    """Read the pairs kept under ``key``; None where there are none, or not whole.

    Args:
        folder: Where :func:`keep_links` wrote.
        key: Fingerprint of all that decides them.
        known: Eyes that may be named.
    """
    try:
        content = json.loads(_path(folder, key).read_text(encoding="utf-8"))
        columns = {name: content["pairs"][name] for name in PAIR_COLUMNS}
        if content["key"] != key or content["sha256"] != _sha256(key, columns):
            return None
        pairs = pd.DataFrame(columns, columns=list(PAIR_COLUMNS))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pairs if pairs[["first", "second"]].isin(known.array).all(axis=None) else None


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key[:16]}.json"


def _sha256(key: str, columns: dict[str, list[object]]) -> str:
    return hashlib.sha256(json.dumps([key, columns], sort_keys=True).encode()).hexdigest()
