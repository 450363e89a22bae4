"""Releases of a few rows in their exact layouts, each photograph one drawn eye of a few pixels."""

import contextlib
import os
from functools import cache

import cv2
import openpyxl
import pandas as pd

from tests.fundus_ml.tiny_eyes import draw_field

ODIR_HEADER = (
    "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,"
    "Right-Diagnostic Keywords,N,D,G,C,A,H,M,O,filepath,labels,target,filename"
)
ODIR_EXCEL = "ODIR-5K_Training_Annotations(Updated)_V2.xlsx"
BRSET_ROW = {
    "image_id": "img00001",
    "patient_id": "1",
    "camera": "Canon CR",
    "patient_age": "48.0",
    "comorbidities": "diabetes1, hypertension",
    "diabetes_time_y": "12",
    "insuline": "yes",
    "patient_sex": "1",
    "exam_eye": "1",
    "diabetes": "yes",
    "nationality": "Brazil",
    "optic_disc": "1",
    "vessels": "1",
    "macula": "1",
    "DR_SDRG": "0",
    "DR_ICDR": "0",
    "focus": "1",
    "iluminaton": "1",
    "image_field": "1",
    "artifacts": "1",
    "diabetic_retinopathy": "0",
    "macular_edema": "0",
    "scar": "0",
    "nevus": "0",
    "amd": "0",
    "vascular_occlusion": "0",
    "hypertensive_retinopathy": "0",
    "drusens": "0",
    "hemorrhage": "0",
    "retinal_detachment": "0",
    "myopic_fundus": "0",
    "increased_cup_disc": "0",
    "other": "0",
    "quality": "Adequate",
}
MBRSET_ROW = {
    "patient": "1",
    "age": "68",
    "sex": "1",
    "dm_time": "10",
    "insulin": "0",
    "insulin_time": "",
    "oraltreatment_dm": "1",
    "systemic_hypertension": "1",
    "insurance": "0",
    "educational_level": "3",
    "alcohol_consumption": "0",
    "smoking": "0",
    "obesity": "0",
    "vascular_disease": "0",
    "acute_myocardial_infarction": "0",
    "nephropathy": "0",
    "neuropathy": "0",
    "diabetic_foot": "0",
    "file": "1.1.jpg",
    "laterality": "right",
    "final_artifacts": "yes",
    "final_quality": "yes",
    "final_icdr": "0.0",
    "final_edema": "no",
}
PAPILA_HEADER = (
    [None, "Age", "Gender", "Diagnosis", "Refractive_Defect", None, None, "Phakic/Pseudophakic",
     "IOP", None, "Pachymetry", "Axial_Length", "VF_MD"],
    [None, "Age", "Gender", "Diagnosis", "dioptre_1", "dioptre_2", "astigmatism",
     "Phakic/Pseudophakic", "Pneumatic", "Perkins", "Pachymetry", "Axial_Length", "VF_MD"],
    ["ID"],
)  # fmt: skip


@cache
def drawn_jpeg():
    """Bytes of a photograph of 40 x 30 pixels with an eye on it."""
    image = draw_field(30, 40, x=20, y=15, radius=12)
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def place(root, *files):
    """Put the drawn photograph at every path below ``root``."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(drawn_jpeg())


def odir_row(patient, age, sex, left, right, filename, *, flags="1,0,0,0,0,0,0,0"):  # noqa: PLR0917
    """One row of ``full_df.csv``."""
    keywords = f"{patient}_left.jpg,{patient}_right.jpg,{left},{right}"
    target = "/x,['N'],\"[1, 0, 0, 0, 0, 0, 0, 0]\""
    return f"{patient},{age},{sex},{keywords},{flags},{target},{filename}"


def write_odir(root, *rows, missing=()):
    """The Kaggle table, and in ``images/`` every photograph it names that is not missing."""
    text = "\n".join([ODIR_HEADER, *rows]) + "\n"
    (root / "full_df.csv").write_text(text, encoding="utf-8")
    named = {row.rsplit(",", 1)[1] for row in rows}
    place(root, *(f"images/{file}" for file in named - set(missing)))
    return root


def write_odir_excel(root, *patients):
    """The official table; a patient is (ID, age, sex, left and right keywords, eight flags)."""
    sheet = [ODIR_HEADER.split(",")[:15]]
    for number, age, sex, left, right, *flags in patients:
        files = [f"{number}_left.jpg", f"{number}_right.jpg"]
        sheet.append([number, age, sex, *files, left, right, *(flags or [1, *[0] * 7])])
        place(root, *(f"ODIR-5K_Training_Dataset/{file}" for file in files))
    write_excel(root / ODIR_EXCEL, sheet)
    return root


def write_brset(root, *changes, table="labels_brset.csv", renamed=None, suffix=".jpg"):
    """A row for each set of changes to :data:`BRSET_ROW`, under a byte-order mark."""
    rows = [BRSET_ROW | {"image_id": f"img{n:05d}"} | row for n, row in enumerate(changes, 1)]
    frame = pd.DataFrame(rows).rename(columns=renamed or {})
    frame.to_csv(root / table, index=False, encoding="utf-8-sig")
    place(root, *(f"fundus_photos/{row['image_id']}{suffix}" for row in rows))
    return root


def write_mbrset(root, *changes):
    """A row for each set of changes to :data:`MBRSET_ROW`."""
    rows = [MBRSET_ROW | {"file": f"1.{n}.jpg"} | row for n, row in enumerate(changes, 1)]
    pd.DataFrame(rows).to_csv(root / "labels_mbrset.csv", index=False)
    place(root, *(f"images/{row['file']}" for row in rows))
    return root


def write_papila(root, right, left):
    """Both tables; a patient of a side is (ID, age, gender, diagnosis)."""
    (root / "ClinicalData").mkdir(parents=True)
    for side, patients in (("od", right), ("os", left)):
        cells = [[*patient, 0.75, -1.75, 90, 0, 21, None, 586, 23.64, None] for patient in patients]
        write_excel(root / f"ClinicalData/patient_data_{side}.xlsx", [*PAPILA_HEADER, *cells])
        place(root, *(f"FundusImages/RET{row[0][1:]}{side.upper()}.jpg" for row in patients))
    return root


def write_excel(path, rows):
    """A workbook of one sheet, cell by cell."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def refusals(photographs):
    """``{image_id: reason}`` of the rows refused; each stands once unless its name stands twice."""
    rejected = photographs.rejected
    return dict(zip(rejected["image_id"], rejected["reason"], strict=True))


@contextlib.contextmanager
def locked(folder):
    """Nobody may look into the folder meanwhile, and we are nobody: root may look anywhere."""
    folder.chmod(0)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
        folder.chmod(0o755)
