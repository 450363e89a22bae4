"""What shortcuts alone reach on a dataset, beside which every score of a model is read."""

import tempfile
from pathlib import Path

from experiments.running.console import progress
from fundus_ml.auditing.audit import (
    AUDIT,
    AUDIT_PAGE,
    Audit,
    audit_dataset,
    read_audit,
    write_audit,
)
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.statistics.clustered import Interval
from tracking.runs import Run


def audit_of(dataset: FundusDataset, *, permutations: int = 1000, seed: int = 0) -> Audit:
    """Read the audit that lies in the dataset folder; make one for a composite."""
    if len(dataset.paths) == 1 and (dataset.paths[0] / AUDIT).is_file():
        audit = read_audit(dataset.paths[0] / AUDIT)
        if audit.digest == dataset.digest:
            return audit
    with progress("audit", "step") as on_progress:
        return audit_dataset(
            dataset, None, permutations=permutations, seed=seed, on_progress=on_progress
        )


def log_audit(run: Run, audit: Audit) -> None:
    """Record an audit: its page, its numbers, its verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        write_audit(audit, Path(folder))
        for name in (AUDIT, AUDIT_PAGE):
            run.log_artifact(Path(folder) / name)
    run.log_metrics({"shortcut_baseline": audit.shortcut_baseline})
    run.set_tags(
        {"shortcut_baseline_by": audit.shortcut_baseline_by, "audit": " ".join(audit.verdicts)}
    )


def against_shortcut_baseline(auroc: Interval, audit: Audit) -> str:
    """Say in words whether an AUROC shows more than the shortcuts of its dataset."""
    reached = f"AUROC {auroc.value:.3f} ({auroc.low:.3f} to {auroc.high:.3f})"
    bar = (
        f"the shortcut baseline of this dataset, {audit.shortcut_baseline:.3f} "
        f"({audit.shortcut_baseline_by})"
    )
    if auroc.low > audit.shortcut_baseline:
        return f"{reached}: above {bar}"
    return f"{reached}: not above {bar}; nothing is shown that a shortcut would not reach"
