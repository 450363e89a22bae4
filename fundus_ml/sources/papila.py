"""PAPILA: both eyes of each patient, an Excel table per side, with the diagnosis of glaucoma."""

from pathlib import Path

import pandas as pd

from fundus_ml.data.contrasts import FINDING
from fundus_ml.data.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.sources.files import IMAGE_SUFFIXES
from fundus_ml.sources.options import NOT_HEALTHY
from fundus_ml.sources.refusals import offer
from fundus_ml.sources.remarks import joined_flags, plausible_ages
from fundus_ml.sources.tables import TableColumn, read_table

TABLES = {
    "right": "ClinicalData/patient_data_od.xlsx",
    "left": "ClinicalData/patient_data_os.xlsx",
}
FOLDER = "FundusImages"
CAMERA = "Topcon TRC-NW400"
HEADER_ROWS = 3
"""The names of the columns are spread over three rows, ``ID`` in the lowest."""
_SIDES = {"right": "OD", "left": "OS"}
_HEALTHY, _GLAUCOMA, _SUSPECT = "healthy", "glaucoma", "glaucoma suspect"
_COLUMNS = {
    "ID": TableColumn(kind="id", pattern=r"#\d+", form="must be a number such as #002"),
    "Age": TableColumn(kind="number", low=-999, high=9999, filled=False),
    "Gender": TableColumn(meanings={"0": "male", "1": "female"}, filled=False),
    "Diagnosis": TableColumn(meanings={"0": _HEALTHY, "1": _GLAUCOMA, "2": _SUSPECT}, filled=False),
}


def papila_photographs(root: Path, *, healthy_only: bool = True) -> Photographs:
    """Read both tables of PAPILA and find its photographs.

    An eye is healthy when its own diagnosis is 0: neither glaucoma nor suspected of it.

    Args:
        root: Folder of ``ClinicalData`` and ``FundusImages``.
        healthy_only: Refuse eyes that are not healthy.

    Returns:
        The eyes, the right ones first, as ``papila/RET002OD`` of patient ``papila/002``, with
        ``disease_glaucoma``, the same as ``finding_glaucoma`` (NaN for a suspect or an empty cell),
        and the flag ``glaucoma suspect``. Rows are refused as
        :func:`~fundus_ml.sources.refusals.offer` says, and as ``not healthy``.

    Raises:
        InputError: A table is missing or lacks its columns, or a value is outside the key.

    Source:
        Kovalyk et al. 2022, Scientific Data 9:291, whose one camera is the one named here.
    """
    tables = {
        eye: read_table(root / table, _COLUMNS, header_rows=HEADER_ROWS)
        for eye, table in TABLES.items()
    }
    eyes = pd.concat(
        [table.rows.assign(eye=eye) for eye, table in tables.items()], ignore_index=True
    )
    age = plausible_ages(eyes["Age"])
    number, diagnosis = eyes["ID"].str.removeprefix("#"), eyes["Diagnosis"]
    stem = "RET" + number + eyes["eye"].map(_SIDES)
    healthy = diagnosis.eq(_HEALTHY)
    rows = pd.DataFrame(
        {
            "image_id": "papila/" + stem,
            "source": "papila",
            "patient_id": "papila/" + number,
            "eye": eyes["eye"],
            "sex": eyes["Gender"],
            "age": age.years,
            "camera": CAMERA,
            "healthy": healthy,
            "flags": joined_flags(age.remarks | {_SUSPECT: diagnosis.eq(_SUSPECT)}),
        },
        columns=list(OFFERED_COLUMNS),
    )
    rows["disease_glaucoma"] = diagnosis.map({_HEALTHY: 0.0, _GLAUCOMA: 1.0}).astype("float64")
    rows[f"{FINDING}glaucoma"] = rows["disease_glaucoma"]
    said = diagnosis.fillna("diagnosis unknown")
    return offer(
        rows,
        name="papila",
        root=root,
        named=[[f"{FOLDER}/{name}{suffix}" for suffix in IMAGE_SUFFIXES] for name in stem],
        unwanted={NOT_HEALTHY: said.where(~healthy)} if healthy_only else {},
        assumed=[line for table in tables.values() for line in table.assumed],
    )
