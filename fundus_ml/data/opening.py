"""Opening dataset folders: checked to be what was written, several settled into one composite."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fundus_ml.data.balance import balance_weights
from fundus_ml.data.contrasts import answers, check_people
from fundus_ml.data.dataset import FundusDataset, common_factors, split_by_of
from fundus_ml.data.manifest import validate_manifest
from fundus_ml.data.members import read_members
from fundus_ml.data.options import SEX, Verify
from fundus_ml.data.record_linkage import settle
from fundus_ml.errors import InputError


def open_dataset(
    paths: str,
    *,
    contrast: str = SEX,
    verify: Verify = "quick",
    links: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FundusDataset:
    """Open one dataset folder, or several given with commas as one composite.

    Each folder is checked to be what was written. The people of a composite are settled before it
    is used: see :mod:`fundus_ml.data.record_linkage`.

    Args:
        paths: ``data/odir`` or ``data/odir,data/brset``.
        contrast: Question whose answers are the labels: see :func:`.contrasts.answers`. Eyes that
            do not answer it are left out.
        verify: ``quick`` reads manifest, file sizes and a sample of the eyes, ``full`` every byte.
            A folder of an older version, which keeps no hashes, is always read whole.
        links: Folder where the pairs of alike eyes of a composite are kept between openings.
        on_progress: Called with (pairs compared, in all) where they have to be searched for.

    Raises:
        InputError: A path is missing, half-written, changed since it was written, no dataset folder
            or named twice, the sizes of two differ, an eye stands in two, or the eyes cannot be
            asked for ``contrast``.
    """
    members = read_members(paths, verify=verify)
    records = {member.folder: member.record for member in members}
    if len(members) == 1:
        frame = members[0].frame
        return _asked(FundusDataset(frame, np.zeros(len(frame), np.intp), records), contrast)
    try:
        settled = settle(members, links=links, on_progress=on_progress)
        frame = validate_manifest(settled.frame, split_by=split_by_of(records))
        frame["weight"] = balance_weights(frame, by=common_factors(records))
    except InputError as error:
        raise InputError(f"dataset={paths}: together, {error}") from None
    return _asked(FundusDataset(frame, settled.folder, records, settled.linkage), contrast)


def _asked(dataset: FundusDataset, contrast: str) -> FundusDataset:
    if contrast == SEX:
        return dataset
    try:
        found = answers(dataset.frame, contrast)
        check_people(dataset.frame, found)
    except InputError as error:
        raise InputError(f"dataset={dataset.name}: {error}") from None
    return dataset.answering(found)
