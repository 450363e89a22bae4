"""The page of a study: what was found, every trial, and the pictures, in one file."""

import json
from collections.abc import Mapping

import pandas as pd

from fundus_ml.pages.template import summary_page
from tracking.runs import Run
from tracking.studies import Study, best_trial
from tracking.study_figures import Picture
from tracking.trial_claims import LOST
from tracking.trial_tables import trials_table

HEADINGS = {
    "history": "How the search went",
    "importance": "Which parameters mattered",
    "parallel_coordinates": "Trials as lines",
    "slice": "One parameter at a time",
}


def write_study_page(
    study: Study, run: Run, pictures: Mapping[str, Picture], *, metric: str, dataset: str
) -> None:
    """Store ``study/index.html`` on the run.

    Args:
        study: With at least one complete trial.
        run: Run of the worker.
        pictures: From :func:`tracking.study_figures.log_study`.
        metric: What the values are.
        dataset: Name of the dataset.
    """
    best, table = best_trial(study), trials_table(study.rows(), study.space)
    page = summary_page(
        title=f"Study {study.name}",
        headline={
            f"best {metric}": f"{best.value:.4f}",
            "found by trial": str(best.number),
            **_counts(table),
            "dataset": dataset,
        },
        tables={
            "Best values": pd.DataFrame(
                {"parameter": list(best.params), "value": [_short(v) for v in best.params.values()]}
            ),
            "Trials": _readable(table, study),
        },
        figures={
            HEADINGS[name]: (picture.content, picture.caption) for name, picture in pictures.items()
        },
        links={
            "The trials, with their runs": "trials.csv",
            "The best values, for -P tuned=": run.artifact_uri("best_parameters.json"),
        },
    )
    run.log_text(page, "study/index.html")


def _counts(table: pd.DataFrame) -> dict[str, str]:
    lost = table["note"].str.startswith(LOST)
    counts = {
        "complete": table["state"].eq("complete"),
        "pruned": table["state"].eq("pruned"),
        "failed": table["state"].eq("fail") & ~lost,
        "lost with their workers": lost,
    }
    return {name: str(rows.sum()) for name, rows in counts.items()}


def _readable(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Parameters to three digits each, since rates span decades; runs are left to the file."""
    texts = {name: [_short(value) for value in table[name]] for name in study.space}
    return table.drop(columns="run_id").assign(**texts)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)
