"""Modulated pictures as a folder that FiftyOne reads, one sample per picture."""

import json
import math
import re
import shutil
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tracking.errors import TrackingError
from tracking.registry import find_version
from tracking.stores import fetch

ORIGINAL = "original.png"
"""Name of the unchanged eye, beside its modulations."""
SEEN = 0.5
"""P(target) above which a network sees the target."""
SHORT_ID = 8
OWN_FIELDS = frozenset({"id", "filepath", "tags", "metadata", "created_at", "last_modified_at"})
"""Fields that every sample of FiftyOne has."""
_PICTURES, _SAMPLES, _METADATA = "data", "samples.json", "metadata.json"


def write_fiftyone(rows: pd.DataFrame, folder: Path) -> None:
    """Write pictures and samples.

    The folder has ``samples.json``, ``metadata.json`` and ``data/``, and names no version of
    FiftyOne: its importer reads such a folder as ``FiftyOneDataset`` and infers the fields. A field
    is a column of ``rows`` under its own name; ``true_class`` is the class of ``label`` as a
    classification. The unchanged eye of each modulation is a sample with ``eps`` 0. Tags are the
    split, ``unchanged`` or ``modulated``, and ``flipped`` where a picture is seen as the target and
    its unchanged eye is not.

    Args:
        rows: As :func:`tracking.results.modulations` returns them with a dataset.
        folder: New or empty.

    Raises:
        TrackingError: There are no rows, the folder is in use, or a picture or the folder cannot be
            read or written.
    """
    if rows.empty:
        raise TrackingError(f"{folder}: no modulation to write there")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise TrackingError(f"{folder}: is in use; name a new folder")
    classes = _classes_of(rows)
    samples = [
        _sample(row, classes, folder)
        for row in pd.concat([_unchanged(rows), rows])
        .sort_values(["image_id", "run_id", "eps"], kind="stable")
        .to_dict("records")
    ]
    info = {"models": [f"models:/{name}/{number}" for name, number in classes]}
    for name, content in {_METADATA: {"info": info}, _SAMPLES: {"samples": samples}}.items():
        text = json.dumps(content, indent=1, allow_nan=False)
        (folder / name).write_text(text, encoding="utf-8")


def _unchanged(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per eye of each modulation as it was before: nothing changed, at no budget."""
    key = ["run_id", "model_id", "image_id", "target", "region", "seed"]
    before = rows.drop_duplicates(key)
    pictures = [f"{each.rpartition('/')[0]}/{ORIGINAL}" for each in before["picture"]]
    return before.assign(
        eps=0.0,
        prob_target=before["prob_target_before"],
        success=before["prob_target_before"] > SEEN,
        l2=0.0,
        linf=0.0,
        picture=pictures,
    )


def _classes_of(rows: pd.DataFrame) -> dict[tuple[str, int], tuple[str, ...]]:
    """Class names of each version; its labels as they are where it is not registered any more."""
    found = {}
    for name, number in (
        rows[["model_name", "model_version"]].drop_duplicates().itertuples(index=False)
    ):
        version = find_version(f"models:/{name}/{number}")
        named = () if version is None else version.classes
        found[name, number] = named or ("0", "1")
    return found


def _sample(
    row: dict[Hashable, Any], classes: Mapping[tuple[str, int], tuple[str, ...]], folder: Path
) -> dict[str, Any]:
    flipped = row["success"] and row["prob_target_before"] <= SEEN
    tags = [row["split"], "modulated" if row["eps"] else "unchanged"]
    names = classes[row["model_name"], row["model_version"]]
    label = names[int(row["label"])]
    fields = {_field(str(name)): _plain(value) for name, value in row.items() if name != "picture"}
    return fields | {
        "filepath": _copied(str(row["picture"]), str(row["run_id"]), folder),
        "tags": [*tags, "flipped"] if flipped else tags,
        "true_class": {"_cls": "Classification", "label": label},
    }


def _field(column: str) -> str:
    """Name of a column that FiftyOne takes: no blanks or dots, and none of its own."""
    name = re.sub(r"\W", "_", column).lstrip("_") or "field"
    return f"{name}_" if name in OWN_FIELDS or name[0].isdigit() else name


def _plain(value: Any) -> Any:  # noqa: ANN401 (a cell)
    plain = value.item() if hasattr(value, "item") else value
    unknown = plain is pd.NA or plain is pd.NaT
    return None if unknown or (isinstance(plain, float) and not math.isfinite(plain)) else plain


def _copied(picture: str, run_id: str, folder: Path) -> str:
    """Copy a picture below ``folder``; returns its path there."""
    stem, name = picture.split("/")[-2:]
    run = re.sub(r"\W", "_", run_id[:SHORT_ID])
    place = Path(_PICTURES) / run / stem / name
    try:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        # The folder of all pictures at once: one download where the store is elsewhere.
        shutil.copyfile(fetch(picture.rsplit("/", 2)[0]) / stem / name, folder / place)
    except OSError as error:
        raise TrackingError(f"{folder}: {picture} cannot be copied ({error.strerror})") from error
    return place.as_posix()
