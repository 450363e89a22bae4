"""BRSET, the Brazilian multilabel dataset: one row per photograph, two table-top cameras."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from fundus_ml.data.contrasts import FINDING
from fundus_ml.data.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.errors import InputError
from fundus_ml.sources.files import IMAGE_SUFFIXES, without_suffix
from fundus_ml.sources.options import NOT_HEALTHY
from fundus_ml.sources.refusals import offer
from fundus_ml.sources.remarks import joined_flags, plausible_ages
from fundus_ml.sources.tables import Table, TableColumn, read_table

TABLES = ("labels_brset.csv", "labels.csv")
FOLDER = "fundus_photos"
STRUCTURES = ("optic_disc", "vessels", "macula")
GRADES = ("DR_SDRG", "DR_ICDR")
DISEASES = (
    "diabetic_retinopathy",
    "macular_edema",
    "scar",
    "nevus",
    "amd",
    "vascular_occlusion",
    "hypertensive_retinopathy",
    "drusens",
    "hemorrhage",
    "retinal_detachment",
    "myopic_fundus",
    "increased_cup_disc",
    "other",
)
FINDINGS = {
    "amd": "amd",
    "diabetic_retinopathy": "retinopathy",
    "drusens": "drusen",
    "hypertensive_retinopathy": "hypertensive",
    "myopic_fundus": "myopia",
}
"""Flags of a photograph that other releases say too, by what they are called here."""
_FLAG = TableColumn(meanings={"0": 0.0, "1": 1.0}, filled=False)
# One row of the release says `bv`, which its key does not explain.
_STRUCTURE = TableColumn(meanings={"1": 0.0, "2": 1.0, "bv": float("nan")}, filled=False)
_COLUMNS = (
    {
        "image_id": TableColumn(),
        "patient_id": TableColumn(kind="id"),
        "camera": TableColumn(filled=False),
        "patient_age": TableColumn(kind="number", low=-999, high=9999, filled=False),
        "patient_sex": TableColumn(meanings={"1": "male", "2": "female"}, filled=False),
        "exam_eye": TableColumn(meanings={"1": "right", "2": "left"}, filled=False),
        "quality": TableColumn(
            meanings={"adequate": 0.0, "inadequate": 1.0}, required=False, filled=False
        ),
    }
    | dict.fromkeys(STRUCTURES, _STRUCTURE)
    | dict.fromkeys(GRADES, TableColumn(kind="number", low=0, high=4, filled=False))
    | dict.fromkeys(DISEASES, _FLAG)
    | {"drusens": replace(_FLAG, also=("drusen",))}
)


def brset_photographs(root: Path, *, healthy_only: bool = True) -> Photographs:
    """Read the table of BRSET and find its photographs.

    An eye is healthy when the release says so everywhere: none of the 13 disease flags is set;
    optic disc, vessels and macula are normal; and both grades of diabetic retinopathy, Scottish and
    international, are 0. An empty or unexplained cell says nothing, and so not that.

    Args:
        root: Folder of ``labels_brset.csv``, or ``labels.csv`` as older releases call it, and of
            ``fundus_photos``.
        healthy_only: Refuse eyes that are not healthy.

    Returns:
        The eyes, as ``brset/img00001``, with the disease flags as ``disease_*`` (NaN where
        empty), those of :data:`FINDINGS` as ``finding_*`` too, and the flags ``inadequate quality``
        (the release's own verdict) and, where the cell is empty or says ``bv``, ``optic_disc
        unknown`` and the like. Rows are refused as
        :func:`~fundus_ml.sources.refusals.offer` says, and as ``not healthy``.

    Raises:
        InputError: No table or one without its columns, or a value outside the release's key.

    Source:
        Nakayama et al. 2024, PLOS Digital Health 3(7):e0000454; PhysioNet
        ``brazilian-ophthalmological``. Its version 1.0.2 writes ``drusen`` for ``drusens``.
    """
    table, assumed = _read(root)
    age = plausible_ages(table["patient_age"])
    remarks = {f"{part} unknown": table[part].isna() for part in STRUCTURES}
    if "quality" in table:
        remarks["inadequate quality"] = table["quality"].eq(1)
    signs = table[[*DISEASES, *STRUCTURES, *GRADES]]
    healthy = signs.eq(0).all(axis=1)
    stem = without_suffix(table["image_id"])
    rows = pd.DataFrame(
        {
            "image_id": "brset/" + stem,
            "source": "brset",
            "patient_id": "brset/" + table["patient_id"],
            "eye": table["exam_eye"].fillna("unknown"),
            "sex": table["patient_sex"],
            "age": age.years,
            "camera": table["camera"].fillna("unknown"),
            "healthy": healthy,
            "flags": joined_flags(age.remarks | remarks),
        },
        columns=list(OFFERED_COLUMNS),
    )
    findings = table[list(FINDINGS)].rename(columns=FINDINGS).add_prefix(FINDING)
    unwanted = {NOT_HEALTHY: _signs_in_words(signs).where(~healthy)} if healthy_only else {}
    return offer(
        rows.join([table[list(DISEASES)].add_prefix("disease_"), findings]),
        name="brset",
        root=root,
        named=[[f"{FOLDER}/{name}{suffix}" for suffix in IMAGE_SUFFIXES] for name in stem],
        unwanted=unwanted,
        assumed=assumed,
    )


def _read(root: Path) -> Table:
    path = next((root / name for name in TABLES if (root / name).exists()), None)
    if path is None:
        raise InputError(f"{root}: holds neither {' nor '.join(TABLES)}")
    return read_table(path, _COLUMNS)


def _signs_in_words(signs: pd.DataFrame) -> pd.Series:
    """What keeps an eye from being healthy, such as ``drusens; macula unknown``."""
    seen = {str(name): signs[name] > 0 for name in signs}
    return joined_flags(seen | {f"{name} unknown": signs[name].isna() for name in signs})
