"""Which files of a folder ``preprocess`` wrote, so that it replaces its own and no other."""

import re
from pathlib import Path

from fundus_ml.data.own_files import OwnFiles
from fundus_ml.data.owned_folders import read_object

DATASET_FILES = OwnFiles(
    r"dataset\.json",
    r"manifest\.parquet",
    r"(pixels|regions|keypoints)-\d{5}\.npy",
    r"row_hashes\.npy",
    r"rejected\.csv",
    r"same_person\.csv",
    r"same_eyes\.png",
    r"audit\.(html|json)",
    r"sample_sheet\.png",
    r"quality\.png",
    r"regions\.png",
)
"""All that ``preprocess`` writes into a dataset folder. A folder with anything else in it is not
replaced, so whoever writes one more file names it here."""


def is_dataset_record(file: Path) -> bool:
    """Whether ``file`` is a ``dataset.json`` that ``preprocess`` wrote, this version or another.

    Other programs call their files so too; theirs has no digest of the content.
    """
    if not file.is_file() or file.is_symlink():
        return False
    found = read_object(file)
    digest, kinds = found.get("digest"), (("name", str), ("eyes", int), ("recipe", dict))
    return (
        isinstance(digest, str)
        and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
        and all(isinstance(found.get(name), kind) for name, kind in kinds)
    )
