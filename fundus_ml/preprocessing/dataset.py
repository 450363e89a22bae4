"""Photographs to a dataset folder: read, crop, join people, split, store, audit."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from fundus_ml.auditing.audit import Audit, audit_dataset, write_audit
from fundus_ml.data.balance import balance_weights
from fundus_ml.data.contrasts import finding_columns
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.manifest import SEXES, SPLITS
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.photographs import Photographs
from fundus_ml.data.splits import assign_splits, kept_splits, refuse_torn
from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.parallel import alone
from fundus_ml.preprocessing.assembly import VERSION, assemble
from fundus_ml.preprocessing.joining import join_same_people, write_evidence
from fundus_ml.preprocessing.masks import DrawnMasks, drawn_masks
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.preprocessing.reading import read_eyes
from fundus_ml.preprocessing.staging import staged
from fundus_ml.sources.files import rejected_rows
from fundus_ml.sources.listing import as_path

OnProgress = Callable[[str, int, int], None]
"""Stage (``read``, ``compare``, ``audit``), items done, items in all."""


@dataclass(frozen=True, kw_only=True)
class Preprocessed:
    """What one preprocessing wrote.

    Attributes:
        path: The dataset folder.
        kept: Eyes in it.
        rejected: Eyes not taken, by reason.
        splits: Eyes by split.
        same_eye: Pairs of photographs found to show one eye, as in ``same_person.csv``.
        resumed: Photographs that an earlier, killed run had read already.
        masks: Files of masks that people drew, by part; empty where nobody did.
        audit: What it found.
    """

    path: Path
    kept: int
    rejected: Mapping[str, int]
    splits: Mapping[str, int]
    same_eye: pd.DataFrame
    resumed: int
    masks: Mapping[str, int]
    audit: Audit


def preprocess(
    photographs: Photographs,
    out: Path,
    options: PreprocessingOptions,
    *,
    recipe: Mapping[str, object],
    on_progress: OnProgress | None = None,
) -> Preprocessed:
    """Turn a release into a dataset folder.

    Each photograph is read, its field of view found, cut and resized to a square in which it is
    round. Eyes found under several ids become one person, people are split, and an audit says what
    else than the eye could tell the sexes apart. A photograph that cannot be used is listed in
    ``rejected.csv`` with its reason. The content, and so the digest, does not depend on the
    processes that read (:func:`fundus_ml.parallel.processes`) nor on how often they were killed.

    Args:
        photographs: The release.
        out: Dataset folder; appears when everything is written, and replaces an older one only
            then. A killed call goes on where it stopped when it is repeated.
        options: How to crop, join, split and balance.
        recipe: Everything that decided the content, kept in ``dataset.json``.
        on_progress: Told how far each stage is.

    Raises:
        InputError: No eye is left, ``out`` cannot be written, another process is writing it, or
            ``splits_of`` is no dataset of these eyes.
    """
    drawn = drawn_masks(options.regions, photographs)
    earlier = open_dataset(options.splits_of) if options.splits_of else None
    if earlier is not None:
        _refuse_other_splits(photographs, earlier, options)
    with staged(out, key=_key(photographs, options, recipe, drawn, earlier)) as stage:
        read = read_eyes(
            photographs,
            stage.work,
            options,
            drawn=drawn,
            on_progress=_of("read", on_progress),
        )
        eyes = pd.DataFrame(read.rows)
        _refuse_none(eyes, photographs, read.refused)
        joined = join_same_people(
            eyes,
            stage.work,
            search=options.same_person,
            contradicting=options.contradicting,
            on_progress=_of("compare", on_progress),
        )
        write_evidence(joined.pairs, eyes, work=stage.work, out=stage.whole)
        refused = [*read.refused, *joined.refused]
        _refuse_none(joined.eyes, photographs, refused)
        rejected = pd.concat([photographs.rejected, rejected_rows(refused)], ignore_index=True)
        assemble(
            stage.work,
            stage.whole,
            _split(joined.eyes, options, earlier),
            kinds=tuple(sorted(read.kinds)),
            name=photographs.name,
            split_by=options.split.removeprefix("by_"),
            recipe=recipe,
            rejected=rejected,
        )
        dataset = open_dataset(str(stage.whole))
        with alone():
            audit = audit_dataset(
                dataset,
                rejected,
                permutations=options.permutations,
                seed=options.seed,
                on_progress=_of("audit", on_progress),
            )
        write_audit(audit, stage.whole)
    return Preprocessed(
        path=out,
        kept=len(dataset),
        rejected=dict(Counter(rejected["reason"])),
        splits={split: int((dataset.frame["split"] == split).sum()) for split in SPLITS},
        same_eye=joined.pairs,
        resumed=read.resumed,
        masks=drawn.counts() if drawn else {},
        audit=audit,
    )


def _key(
    photographs: Photographs,
    options: PreprocessingOptions,
    recipe: Mapping[str, object],
    drawn: DrawnMasks | None,
    earlier: FundusDataset | None,
) -> str:
    """Fingerprint of all that decides the content, files included as far as a glance can tell."""
    digest = hashlib.sha256(
        json.dumps([VERSION, cv2.__version__, asdict(options), recipe], default=str).encode()
    )
    digest.update(photographs.table.to_csv(index=False).encode("utf-8"))
    if earlier is not None:
        digest.update(earlier.digest.encode())
    paths = [*map(as_path, photographs.table.get("path", [])), *(drawn.paths() if drawn else [])]
    for path in paths:
        seen = path.stat() if path.is_file() else None
        digest.update(f"{seen and (seen.st_size, seen.st_mtime_ns)}".encode())
    return digest.hexdigest()


def _of(stage: str, on_progress: OnProgress | None) -> Callable[[int, int], None] | None:
    return None if on_progress is None else partial(on_progress, stage)


def _refuse_none(
    eyes: pd.DataFrame, photographs: Photographs, refused: list[tuple[str, str, str]]
) -> None:
    if eyes.empty:
        reasons = Counter([*photographs.rejected["reason"], *(reason for _, reason, _ in refused)])
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        advice = f": {photographs.advice}" if photographs.advice else ""
        raise InputError(
            f"source {photographs.name}: no eye is left "
            f"({counted or 'the table offers none'}){advice}"
        )


def _refuse_other_splits(
    photographs: Photographs, earlier: FundusDataset, options: PreprocessingOptions
) -> None:
    """Refuse splits of other photographs, or of files, before any photograph is read."""
    frame = earlier.frame
    if not photographs.table["image_id"].isin(frame["image_id"]).any():
        raise InputError(f"splits_of={options.splits_of}: holds none of these eyes")
    try:
        refuse_torn(frame["split"], frame["person_group"])
    except InputError as error:
        raise InputError(f"splits_of={options.splits_of}: {error}") from None


def _split(
    eyes: pd.DataFrame, options: PreprocessingOptions, earlier: FundusDataset | None
) -> pd.DataFrame:
    eyes = eyes.assign(label=eyes["sex"].map(SEXES.index))
    eyes["split"] = assign_splits(
        eyes,
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
        by=options.split.removeprefix("by_"),
        findings=finding_columns(eyes) if options.stratify == "findings" else (),
    )
    if earlier is not None:
        try:
            eyes["split"] = kept_splits(eyes, eyes["split"], earlier.frame)
        except InputError as error:
            raise InputError(f"splits_of={options.splits_of}: {error}") from error
    return eyes.assign(weight=balance_weights(eyes, by=options.balance_factors))
