"""External validation: whether the people of a dataset are new to a version."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from experiments.running.console import remark, stages, warn
from experiments.running.session import LINK, LINKS
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.members import members_of
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.overlap import Overlap, find_overlap
from fundus_ml.data.record_linkage import alike_eyes
from fundus_ml.data.training_eyes import LEARNED_SPLITS, read_training_eyes, training_eyes
from fundus_ml.errors import InputError, first_line
from tracking.exposure import UNKNOWN, download_training_eyes, made_from, making_of
from tracking.runs import Run
from tracking.versions import ModelVersion

COMPARED = "compared_with_training"
"""Tag of a run: by what the people of its dataset were compared with those of the training."""


BY_TABLE, BY_PHOTOGRAPH = ("files", "ids"), ("photographs",)
NO_PHOTOGRAPHS = (
    "record linkage of photographs was not possible, only file digests and person ids were compared"
)
_HINT = " (where only the ids are alike, preprocess one of the two under another name)"


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What is left of the training of one version.

    Attributes:
        eyes: Those it learned from or was chosen by; None where they are not known any more.
        photographs: The same eyes in the folder the run recorded; None where it is not to be had.
        lacking: Why it is not, or empty.
    """

    eyes: pd.DataFrame | None
    photographs: FundusDataset | None
    lacking: str


def refuse_known_people(run: Run, version: ModelVersion, dataset: FundusDataset) -> None:
    """Refuse a dataset that holds people or files a version learned from.

    What it was made from (its parent, the versions it averages) counts too. People count who stood
    in the training or the validation split; those of the test split of its own dataset do not, for
    nothing of the network depends on them. Files and ids are compared by the table that goes with
    the version, photographs by record linkage where the folder it was trained on is still there.
    What could not be compared is warned of; the tag ``compared_with_training`` says what was.

    Args:
        run: Gets the tag.
        version: To be validated.
        dataset: To validate it on.

    Raises:
        InputError: Someone is in both; names how many, the first ones, and by what they are known.
    """
    paths = ",".join(map(str, dataset.paths))
    compared = {*BY_TABLE, *BY_PHOTOGRAPH}
    unknown, notes, linked, known = [], [], set(), False
    for uri, maker in made_from(version).items():
        of = uri if maker == version else f"{uri}, which {version.uri} was made from"
        digest = UNKNOWN if maker is None else maker.tags.get("dataset_digest", UNKNOWN)
        if digest in dataset.digests:
            raise InputError(
                f"dataset={paths}: is what {of} was trained on; an external validation needs "
                "others, split=test scores the people held out of this one"
            )
        training = _training_of(maker, digest, reopen=digest not in linked)
        if training.eyes is None:
            unknown.append(uri)
            notes.append(f"{of}: {training.lacking}: nobody was compared with its training")
            continue
        known = True
        _refuse(find_overlap(dataset.frame, training.eyes), paths, of)
        if digest in linked:
            continue  # The photographs of one folder; each version has a table of its own.
        linked.add(digest)
        gaps = _compare_photographs(run, dataset, training, paths, of)
        compared -= set(BY_PHOTOGRAPH) if gaps else set()
        notes += gaps
    by = ", ".join(sorted(compared)) if known else "nothing"
    tag = "; ".join([by, *(f"nothing of {uri}" for uri in unknown if known)])
    run.set_tags({COMPARED: tag})
    if run.silent:
        return
    for note in notes:
        warn(note)
    if known:
        remark(f"no one of {paths} is in the training of {version.uri}; compared: {tag}")


def _training_of(version: ModelVersion | None, digest: str, *, reopen: bool) -> _Training:
    if version is None:
        lacking = "is not in the registry any more"
        return _Training(eyes=None, photographs=None, lacking=lacking)
    eyes = _kept_eyes(version)
    if eyes is not None and not reopen:
        return _Training(eyes=eyes, photographs=None, lacking="")
    photographs, lacking = _reopened(version, digest)
    if eyes is None and photographs is not None:
        eyes = training_eyes(photographs.frame)
    elif eyes is None:
        lacking = f"keeps no list of the eyes it learned from, and {lacking}"
    return _Training(eyes=eyes, photographs=photographs, lacking=lacking)


def _kept_eyes(version: ModelVersion) -> pd.DataFrame | None:
    with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
        table = download_training_eyes(version, Path(folder))
        return None if table is None else read_training_eyes(table)


def _reopened(version: ModelVersion, digest: str) -> tuple[FundusDataset | None, str]:
    """Open the learned eyes of a version where its run found them, or say why not."""
    recorded = making_of(version).dataset
    if recorded is None:
        return None, "its run names no dataset"
    try:
        dataset = open_dataset(recorded.source, links=LINKS)
    except InputError as error:
        return None, f"the folder it was trained on is not to be had ({first_line(error)})"
    if dataset.digest != digest:
        return None, f"{recorded.source} holds another dataset than the one it was trained on"
    return dataset.select(dataset.frame["split"].isin(LEARNED_SPLITS).to_numpy()), ""


def _compare_photographs(
    run: Run, dataset: FundusDataset, training: _Training, paths: str, of: str
) -> list[str]:
    """Refuse eyes that record linkage finds in the training; return what it could not compare."""
    assert training.eyes is not None
    learned = training.photographs
    if learned is None:
        return [f"{of}: {training.lacking}: {NO_PHOTOGRAPHS}"]
    ours, theirs = members_of(dataset), members_of(learned)
    with stages({LINK: "pair"}) as on_progress:
        pairs, unkept = alike_eyes(
            ours, theirs, links=LINKS, on_progress=partial(on_progress, LINK)
        )
    if unkept and not run.silent:
        remark(unkept)
    _refuse(find_overlap(dataset.frame, training.eyes, pairs["first"]), paths, of)
    return [
        f"{member.folder}: keeps no keypoints: {NO_PHOTOGRAPHS}; preprocess it with "
        "same_person=true"
        for member in [*ours, *theirs]
        if not member.described
    ]


def _refuse(overlap: Overlap, paths: str, of: str) -> None:
    if overlap.people:
        hint = "" if overlap.files or overlap.alike else _HINT
        raise InputError(
            f"dataset={paths}: shares {overlap.count} with the training of {of} ({overlap.words}); "
            f"an external validation needs others{hint}"
        )
