"""The end of ``main``: what was found, as figures for a program and a page for a reader."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from experiments.recording.chain_findings import (
    SCORE_COLUMNS,
    Design,
    ModelFindings,
    conclusion_of,
    effects_of_both,
    enrichments_of_both,
    scores_of_both,
    summarise,
)
from experiments.recording.chain_page import HEADLINE, TITLE, chain_page
from experiments.running import console
from experiments.running.console import say
from fundus_ml.auditing.audit import Audit
from fundus_ml.data.owned_folders import read_object
from fundus_ml.errors import InputError, listed
from tracking.runs import Run

FILES = ("summary.json", "summary.html")
METRICS = {
    "test/auroc": "clean_auroc",
    "test/robust_auroc": "robust_auroc",
    "test/auroc_of_robust": "robust_model_clean_auroc",
    "test/robust_auroc_of_clean": "clean_model_robust_auroc",
    "shortcut_baseline": "shortcut_baseline",
    "rms": "rms",
}
"""What the parent run is compared by, as its steps name it, and the names in the summary."""


def write_summary(
    run: Run,
    design: Design,
    audit: Audit,
    findings: Mapping[str, ModelFindings],
    folder: Path,
) -> None:
    """Write ``summary.json`` and ``summary.html`` into ``folder`` and onto the run; print both.

    Args:
        run: The parent run.
        design: What the chain was asked.
        audit: Audit of its dataset.
        findings: ``clean`` and ``robust``.
        folder: Exists and can be written.
    """
    summary = summarise(design, audit, findings)
    page = chain_page(design, summary, findings)
    for name, text in zip(FILES, (json.dumps(summary, indent=2) + "\n", page), strict=True):
        (folder / name).write_text(text, encoding="utf-8")
        run.log_artifact(folder / name)
    run.log_metrics({name: float(summary[key]) for name, key in METRICS.items()})
    console.table(scores_of_both(findings)[list(SCORE_COLUMNS)], final=True)
    console.table(effects_of_both(findings))
    enrichments = enrichments_of_both(findings, design.eps)
    if not enrichments.empty:
        wide = enrichments.pivot_table(
            index="part", columns="model", values="enrichment", sort=False
        )
        console.table(wide.reset_index())
    say(conclusion_of(summary))


def remove_summary(folder: Path) -> None:
    """Take an older summary out of ``folder``, so that it cannot pass for a run that failed.

    Raises:
        InputError: A file of that name was not written by :func:`write_summary`.
    """
    found = [folder / name for name in FILES if os.path.lexists(folder / name)]
    if foreign := [file.name for file in found if not _is_summary(file)]:
        raise InputError(
            f"out={folder}: holds {listed(foreign)}, which main did not write and would replace; "
            "move that elsewhere or name another folder"
        )
    for file in found:
        file.unlink()


def _is_summary(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    if file.suffix == ".json":
        return set(HEADLINE) <= set(read_object(file))
    return TITLE in file.read_text(encoding="utf-8", errors="replace")
