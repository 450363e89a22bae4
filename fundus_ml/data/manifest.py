"""The table of eyes: one row per eye kept, what each column holds, and the rules between them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fundus_ml.errors import InputError

SEXES = ("female", "male")
"""A sex's place is its label: 0 female, 1 male."""
EYES = ("left", "right", "unknown")
SPLITS = ("train", "val", "test")

_TYPES = {
    "image_id": "str",
    "source": "str",
    "patient_id": "str",
    "person_group": "str",
    "eye": "str",
    "sex": "str",
    "label": "int64",
    "age": "float64",
    "camera": "str",
    "healthy": "bool",
    "quality": "float64",
    "focus": "float64",
    "illumination": "float64",
    "contrast": "float64",
    "colour_cast": "float64",
    "visible_area": "float64",
    "width": "int64",
    "height": "int64",
    "sha256": "str",
    "fov_x": "float64",
    "fov_y": "float64",
    "fov_radius": "float64",
    "fov_aspect": "float64",
    "fov_cut": "str",
    "fov_confidence": "float64",
    "flags": "str",
    "weight": "float64",
    "shard": "int64",
    "row": "int64",
    "split": "str",
}
MANIFEST_COLUMNS = tuple(_TYPES)
"""Columns every manifest has, in this order; a source's own columns follow them.

``age`` is NaN where unknown; ``quality`` and its five measures are those of
:mod:`fundus_ml.imaging.quality`; ``width``, ``height`` and the field of view ``fov_x fov_y
fov_radius`` are in pixels of the original photograph, ``fov_aspect`` is the field's width over its
height there, 1 where the photograph kept its shape, ``fov_cut`` the sides on which it is cut,
by the frame or by a straight edge inside the frame, joined by ``+``, ``fov_confidence`` from 0 to
1; ``sha256`` is that of its file; ``flags`` are
remarks joined by ``"; "``; ``weight`` balances the eyes within their split, 1 on average;
``shard`` and ``row`` say where the pixels lie.
"""


def validate_manifest(frame: pd.DataFrame, *, split_by: str = "person") -> pd.DataFrame:
    """Hold a table to the rules of a manifest.

    Args:
        frame: One row per eye.
        split_by: ``person``, or ``file``, where people may stand in several splits.

    Returns:
        The rows with :data:`MANIFEST_COLUMNS` first, each in its type, and a fresh index.

    Raises:
        InputError: A column is missing or of another type, a value is not allowed, an
            ``image_id`` stands twice, ``label`` contradicts ``sex``, or a patient is in two person
            groups or a person in two splits.
    """
    missing = [name for name in MANIFEST_COLUMNS if name not in frame]
    if missing:
        raise InputError(f"manifest: columns missing: {', '.join(missing)}")
    frame = _typed(frame).reset_index(drop=True)
    for name, allowed in (("sex", SEXES), ("eye", EYES), ("split", SPLITS)):
        _refuse(frame, ~frame[name].isin(allowed), name, f"allowed: {', '.join(allowed)}")
    for name in ("image_id", "source", "patient_id", "person_group", "camera", "sha256"):
        _refuse(frame, frame[name].eq(""), name, "must not be empty")
    for name in ("fov_x", "fov_y", "fov_radius", "fov_aspect", "fov_confidence", "weight"):
        _refuse(frame, ~np.isfinite(frame[name]), name, "must be a number")
    for name in ("width", "height", "fov_radius", "fov_aspect", "weight"):
        _refuse(frame, frame[name] <= 0, name, "must be above 0")
    for name in ("shard", "row"):
        _refuse(frame, frame[name] < 0, name, "must be at least 0")
    _refuse(frame, frame["image_id"].duplicated(), "image_id", "stands twice, must be unique")
    contradicting = frame["label"] != frame["sex"].map(SEXES.index)
    _refuse(frame, contradicting, "label", "must be 0 for female, 1 for male")
    one_each = {"patient_id": "person_group"} | (
        {"person_group": "split"} if split_by == "person" else {}
    )
    for whole, part in one_each.items():
        scattered = frame.groupby(whole)[part].transform("nunique") > 1
        _refuse(frame, scattered, whole, f"is in more than one {part}")
    return frame


def read_manifest(path: Path, *, split_by: str = "person") -> pd.DataFrame:
    """Read and validate a manifest.

    Raises:
        InputError: The file is missing, no parquet, or breaks a rule of a manifest.
    """
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such manifest") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a manifest: {str(error).splitlines()[0]}") from None
    try:
        return validate_manifest(frame, split_by=split_by)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_manifest(frame: pd.DataFrame, path: Path, *, split_by: str = "person") -> pd.DataFrame:
    """Validate a manifest, write it as parquet and give it back as it was written."""
    frame = validate_manifest(frame, split_by=split_by)
    frame.to_parquet(path, index=False)
    return frame


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    own = [name for name in frame if name not in _TYPES]
    frame = frame[[*MANIFEST_COLUMNS, *own]]
    unknown = frame.isna()
    for name, kind in _TYPES.items():
        if kind != "float64":
            _refuse(frame, unknown[name], name, "must be known")
    others = {name: kind for name, kind in _TYPES.items() if frame[name].dtype != kind}
    if not others:
        return frame
    try:
        typed = frame.astype(others)
    except (ValueError, TypeError) as error:
        raise InputError(f"manifest: {error}") from None  # names value and column
    for name, kind in others.items():
        if kind in {"int64", "bool"}:
            # A cast would cut 0.5 to 0 and take the text "no" for True.
            _refuse(frame, typed[name].ne(frame[name]), name, f"must be {kind}")
    return typed


def _refuse(frame: pd.DataFrame, wrong: pd.Series, name: str, rule: str) -> None:
    if not wrong.any():
        return
    row = frame[wrong.to_numpy(bool)].iloc[0]
    raise InputError(f"manifest: {row['image_id']}: {name}={row[name]}: {rule}")
