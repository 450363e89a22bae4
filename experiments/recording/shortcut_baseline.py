"""What shortcuts alone reach on a dataset, beside which every score of a model is read."""

import dataclasses
import tempfile
from pathlib import Path

import pandas as pd

from experiments.running.console import progress
from fundus_ml.auditing.audit import (
    AUDIT,
    AUDIT_PAGE,
    Audit,
    audit_dataset,
    read_audit,
    write_audit,
)
from fundus_ml.auditing.shortcut_baseline import chance_level, make_shortcut_baseline
from fundus_ml.data.contrasts import SEX_CONTRAST
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.statistics.clustered import Interval
from tracking.exposure import Making
from tracking.runs import Run

BASELINE = "shortcut_baseline"
"""Metric of a run: the shortcut baseline of the dataset it read."""
BASELINE_BY = "shortcut_baseline_by"
"""Tag of a run: the shortcut that sets it."""


_MADE: dict[tuple[object, ...], Audit] = {}


def audit_of(dataset: FundusDataset, *, permutations: int = 1000, seed: int = 0) -> Audit:
    """Read the audit in the dataset folder; make one for a composite and any contrast but sex.

    One that was made is kept by this process: every replicate of a training, and every step of a
    chain, is held against it.
    """
    of_sex = dataset.contrast == SEX_CONTRAST
    if of_sex and len(dataset.paths) == 1 and (dataset.paths[0] / AUDIT).is_file():
        audit = read_audit(dataset.paths[0] / AUDIT)
        if audit.digest == dataset.digest:
            return audit
    eyes = pd.util.hash_pandas_object(dataset.frame[["image_id", "label"]]).sum()
    asked = (dataset.digest, dataset.contrast.name, int(eyes), permutations, seed)
    if asked not in _MADE:
        with progress("audit", "step") as on_progress:
            _MADE[asked] = audit_dataset(
                dataset, None, permutations=permutations, seed=seed, on_progress=on_progress
            )
    return _MADE[asked]


def over_all_eyes(audit: Audit, dataset: FundusDataset) -> Audit:
    """Take chance over every eye of the audited dataset in place of its test split.

    The shortcuts of an audit are cross-validated over all eyes already.
    """
    frame = dataset.frame
    chance = chance_level(frame["label"], frame["person_group"], seed=audit.seed)
    baseline = make_shortcut_baseline(audit.baselines, chance=chance, test_eyes=len(frame))
    return dataclasses.replace(
        audit,
        chance=chance,
        shortcut_baseline=baseline.value,
        shortcut_baseline_by=baseline.by,
        shortcut_baseline_words=baseline.words,
    )


def log_audit(run: Run, audit: Audit) -> None:
    """Record an audit: its page, its numbers, its verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        write_audit(audit, Path(folder))
        for name in (AUDIT, AUDIT_PAGE):
            run.log_artifact(Path(folder) / name)
    run.log_metrics({BASELINE: audit.shortcut_baseline})
    run.set_tags({BASELINE_BY: audit.shortcut_baseline_by, "audit": " ".join(audit.verdicts)})


def against_shortcut_baseline(auroc: Interval, audit: Audit) -> str:
    """Say in words whether an AUROC shows more than the shortcuts of its dataset."""
    reached = f"AUROC {auroc:.3f}"
    bar = (
        f"the shortcut baseline of this dataset, {audit.shortcut_baseline:.3f} "
        f"({audit.shortcut_baseline_by})"
    )
    if auroc.low > audit.shortcut_baseline:
        return f"{reached}: above {bar}"
    return f"{reached}: not above {bar}; nothing is shown that a shortcut would not reach"


def training_baseline(making: Making) -> str:
    """Say the shortcut baseline of the dataset a version was trained on, as its run recorded it.

    Args:
        making: What the run that made the version recorded.
    """
    of = "the shortcut baseline of the dataset it was trained on"
    if making.dataset is not None:
        of += f" ({making.dataset.source}, {making.dataset.rows} eyes)"
    if BASELINE not in making.metrics:
        return f"{of}: not recorded by the run that trained it"
    by = making.tags.get(BASELINE_BY)
    return f"{of}: {making.metrics[BASELINE]:.3f}" + (f" ({by})" if by else "")
