"""ODIR-5K: the Kaggle table, a row per eye, or the official Excel table, a row per patient."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fundus_ml.data.contrasts import FINDING
from fundus_ml.data.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.errors import InputError
from fundus_ml.sources.files import without_suffix
from fundus_ml.sources.options import NOT_HEALTHY
from fundus_ml.sources.refusals import offer
from fundus_ml.sources.remarks import joined_flags, plausible_ages
from fundus_ml.sources.tables import Table, TableColumn, read_table

EYE_TABLE = "full_df.csv"
PATIENT_TABLE = "ODIR-5K_Training_Annotations(Updated)_V2.xlsx"
FOLDERS = (
    "images",
    "ODIR-5K/ODIR-5K/Training Images",
    "ODIR-5K/Training Images",
    "Training Images",
    "ODIR-5K_Training_Dataset",
    "preprocessed_images",
    ".",
)
"""Where a release keeps its photographs, in the order they are looked for."""
HEALTHY_KEYWORD = "normal fundus"
QUALITY_KEYWORDS = (
    "lens dust",
    "low image quality",
    "image offset",
    "refractive media opacity",
    "optic disk photographically invisible",
)
"""Keywords about the photograph rather than the eye; they become flags."""
NO_FUNDUS = "no fundus image"
_NO_FUNDUS_KEYWORDS = (NO_FUNDUS, "anterior segment image")
FINDINGS = {
    "amd": (
        "age-related macular degeneration",
        "dry age-related macular degeneration",
        "wet age-related macular degeneration",
    ),
    "cataract": ("cataract",),
    "drusen": ("drusen",),
    "epiretinal_membrane": (
        "epiretinal membrane",
        "epiretinal membrane over the macula",
        "macular epiretinal membrane",
    ),
    "glaucoma": ("glaucoma",),
    "hypertensive": ("hypertensive retinopathy",),
    "myopia": ("myopia retinopathy", "myopic maculopathy", "pathological myopia"),
    "retinopathy": (
        "diabetic retinopathy",
        "mild nonproliferative retinopathy",
        "moderate non proliferative retinopathy",
        "proliferative diabetic retinopathy",
        "severe nonproliferative retinopathy",
        "severe proliferative diabetic retinopathy",
    ),
}
"""Keywords of an eye, whole, that say a finding; of diabetic retinopathy every grade."""
SUSPECTED = {
    "cataract": ("suspected cataract",),
    "epiretinal_membrane": (
        "optic disk epiretinal membrane",
        "suspected macular epimacular membrane",
    ),
    "glaucoma": ("suspected glaucoma",),
    "retinopathy": (
        "suspected diabetic retinopathy",
        "suspected moderate non proliferative retinopathy",
        "suspicious diabetic retinopathy",
    ),
}
"""Keywords that leave it open; the eye is then neither with nor without the finding."""
_DISEASES = {
    "D": "disease_diabetes",
    "G": "disease_glaucoma",
    "C": "disease_cataract",
    "A": "disease_amd",
    "H": "disease_hypertension",
    "M": "disease_myopia",
    "O": "disease_other",
}
_FILE = TableColumn(
    pattern=r".+_(?:left|right)\.[^.]+", form="must end in _left or _right before its extension"
)
_PATIENT_COLUMNS = {
    "ID": TableColumn(kind="id"),
    "Patient Age": TableColumn(kind="number", low=-999, high=9999, filled=False),
    "Patient Sex": TableColumn(meanings={"female": "female", "male": "male"}, filled=False),
    "Left-Diagnostic Keywords": TableColumn(),
    "Right-Diagnostic Keywords": TableColumn(),
} | {
    letter: TableColumn(meanings={"0": 0.0, "1": 1.0}, required=False, filled=False)
    for letter in _DISEASES
}


def odir_photographs(root: Path, *, healthy_only: bool = True) -> Photographs:
    """Read the table of ODIR-5K and find its photographs.

    A row is about one eye, the one its file is named for. The eye is healthy when its own keywords
    contain ``normal fundus``, also beside a note on quality; notes on quality become flags. The
    eye's keywords also give the columns ``finding_*``, by :data:`FINDINGS` and :data:`SUSPECTED`.
    The letters ``D G C A H M O`` are about the patient, not the eye: they become the columns
    ``disease_*`` and decide nothing. Age 1 is the release's placeholder. The camera is not known.

    Args:
        root: Folder of ``full_df.csv`` (Kaggle) or of the official
            ``ODIR-5K_Training_Annotations(Updated)_V2.xlsx``, the first where both are; photographs
            lie in one of :data:`FOLDERS` under it.
        healthy_only: Refuse eyes that are not healthy.

    Returns:
        The eyes, as ``odir/0_left`` of patient ``odir/0`` from either table. Rows are refused as
        :func:`~fundus_ml.sources.refusals.offer` says, as ``no fundus image`` by their keywords,
        and as ``not healthy``.

    Raises:
        InputError: No table or one without its columns, a value that cannot be, a file name that
            does not say which eye it is.
    """
    eyes, assumed = _read_eyes(root)
    age = plausible_ages(eyes["Patient Age"])
    keywords = eyes["keywords"].str.lower()
    remarks = {note: keywords.str.contains(note, regex=False) for note in QUALITY_KEYWORDS}
    healthy = keywords.str.contains(HEALTHY_KEYWORD, regex=False)
    stem = without_suffix(eyes["filename"])
    rows = pd.DataFrame(
        {
            "image_id": "odir/" + stem,
            "source": "odir",
            "patient_id": "odir/" + eyes["ID"],
            "eye": stem.str.extract(r"_(left|right)$", expand=False),
            "sex": eyes["Patient Sex"],
            "age": age.years,
            "camera": "unknown",
            "healthy": healthy,
            "flags": joined_flags(age.remarks | remarks),
        },
        columns=list(OFFERED_COLUMNS),
    )
    diseases = eyes[[letter for letter in _DISEASES if letter in eyes]].rename(columns=_DISEASES)
    no_fundus = keywords.str.contains("|".join(_NO_FUNDUS_KEYWORDS))
    unwanted = {NO_FUNDUS: eyes["keywords"].where(no_fundus)}
    if healthy_only:
        unwanted[NOT_HEALTHY] = eyes["keywords"].where(~healthy)
    return offer(
        rows.join([diseases, _findings(keywords)]),
        name="odir",
        root=root,
        named=[[f"{folder}/{file}" for folder in FOLDERS] for file in eyes["filename"]],
        unwanted=unwanted,
        assumed=assumed,
    )


def _findings(keywords: pd.Series) -> pd.DataFrame:
    """1, 0, or NaN where an eye's keywords only suspect it, of each finding."""
    said = keywords.str.split("[,\N{FULLWIDTH COMMA}]", regex=True)
    words = said.explode().str.strip()

    def any_of(wanted: Sequence[str]) -> pd.Series:
        return words.isin(wanted).groupby(level=0).any()

    return pd.DataFrame(
        {
            f"{FINDING}{name}": any_of(wanted)
            .astype("float64")
            .mask(any_of(SUSPECTED.get(name, ())) & ~any_of(wanted))
            for name, wanted in FINDINGS.items()
        }
    )


def _read_eyes(root: Path) -> Table:
    """One row per eye of either table, with its ``filename`` and its own ``keywords``."""
    if (root / EYE_TABLE).exists():
        eyes, assumed = read_table(root / EYE_TABLE, _PATIENT_COLUMNS | {"filename": _FILE})
        left = eyes["filename"].str.contains("_left.", regex=False)
        ours, fellow = (eyes[f"{side}-Diagnostic Keywords"] for side in ("Left", "Right"))
        return Table(eyes.assign(keywords=ours.where(left, fellow)), assumed)
    if not (root / PATIENT_TABLE).exists():
        raise InputError(f"{root}: holds neither {EYE_TABLE} nor {PATIENT_TABLE}")
    files = {"Left-Fundus": _FILE, "Right-Fundus": _FILE}
    patients, assumed = read_table(root / PATIENT_TABLE, _PATIENT_COLUMNS | files)
    sides = [
        patients.assign(
            filename=patients[f"{side}-Fundus"], keywords=patients[f"{side}-Diagnostic Keywords"]
        )
        for side in ("Left", "Right")
    ]
    return Table(pd.concat(sides).sort_index(kind="stable").reset_index(drop=True), assumed)
