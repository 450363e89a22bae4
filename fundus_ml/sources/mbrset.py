"""mBRSET, the mobile Brazilian dataset: one row per photograph, one handheld camera."""

from pathlib import Path

import pandas as pd

from fundus_ml.data.contrasts import FINDING
from fundus_ml.data.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.sources.files import without_suffix
from fundus_ml.sources.options import NOT_HEALTHY
from fundus_ml.sources.refusals import offer
from fundus_ml.sources.remarks import joined_flags, plausible_ages
from fundus_ml.sources.tables import TableColumn, read_table

TABLE = "labels_mbrset.csv"
FOLDER = "images"
CAMERA = "handheld"
_YES = TableColumn(meanings={"no": 0.0, "yes": 1.0, "0": 0.0, "1": 1.0}, filled=False)
_COLUMNS = {
    "patient": TableColumn(kind="id"),
    "age": TableColumn(kind="number", low=-999, high=9999, filled=False),
    "sex": TableColumn(meanings={"0": "female", "1": "male"}, filled=False),
    "file": TableColumn(),
    "laterality": TableColumn(meanings={"left": "left", "right": "right"}, filled=False),
    "final_quality": _YES,
    "final_icdr": TableColumn(kind="number", low=0, high=4, filled=False),
    "final_edema": _YES,
}


def mbrset_photographs(root: Path, *, healthy_only: bool = True) -> Photographs:
    """Read the table of mBRSET and find its photographs.

    Everyone in it has diabetes. An eye is healthy when its retina shows nothing of it: grade 0 of
    diabetic retinopathy and no macular edema, both said; an empty cell is not that.

    Args:
        root: Folder of ``labels_mbrset.csv`` and ``images``.
        healthy_only: Refuse eyes that are not healthy.

    Returns:
        The eyes, as ``mbrset/1.1``, with ``disease_diabetic_retinopathy`` (any grade above 0), the
        same as ``finding_retinopathy``, and ``disease_macular_edema``, NaN where empty, and the
        flag ``inadequate quality`` where ``final_quality`` is no. Rows are refused as
        :func:`~fundus_ml.sources.refusals.offer` says, and as ``not healthy``.

    Raises:
        InputError: No table or one without its columns, or a value outside the release's key.

    Source:
        PhysioNet ``mbrset`` 1.0; Wu et al. 2025, Scientific Data 12:323.
    """
    table, assumed = read_table(root / TABLE, _COLUMNS)
    age = plausible_ages(table["age"])
    grade, edema = table["final_icdr"], table["final_edema"]
    healthy = grade.eq(0) & edema.eq(0)
    rows = pd.DataFrame(
        {
            "image_id": "mbrset/" + without_suffix(table["file"]),
            "source": "mbrset",
            "patient_id": "mbrset/" + table["patient"],
            "eye": table["laterality"].fillna("unknown"),
            "sex": table["sex"],
            "age": age.years,
            "camera": CAMERA,
            "healthy": healthy,
            "flags": joined_flags(
                age.remarks | {"inadequate quality": table["final_quality"].eq(0)}
            ),
        },
        columns=list(OFFERED_COLUMNS),
    )
    diseases = {
        "disease_diabetic_retinopathy": (grade > 0).astype("float64").where(grade.notna()),
        "disease_macular_edema": edema,
    }
    diseases[f"{FINDING}retinopathy"] = diseases["disease_diabetic_retinopathy"]
    said = joined_flags(
        {
            "diabetic retinopathy": grade > 0,
            "macular edema": edema > 0,
            "diabetic retinopathy unknown": grade.isna(),
            "macular edema unknown": edema.isna(),
        }
    )
    return offer(
        rows.assign(**diseases),
        name="mbrset",
        root=root,
        named=[[f"{FOLDER}/{file}"] for file in table["file"]],
        unwanted={NOT_HEALTHY: said.where(~healthy)} if healthy_only else {},
        assumed=assumed,
    )
