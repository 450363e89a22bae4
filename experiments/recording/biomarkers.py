"""What ``measure`` leaves behind: biomarkers by eye, associations, a figure, and a sentence."""

import pandas as pd

from experiments.running.biomarkers import AGE, MeasuredEyes, held_age
from fundus_ml.biomarkers import CATALOGUE
from fundus_ml.biomarkers.prediction import BIOMARKERS, NETWORK
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.figures import association_forest
from fundus_ml.statistics.bootstrap import Interval
from tracking.recording import record_biomarkers
from tracking.runs import DatasetVersion, Run

_OF_EYE = ("image_id", "person_group", "eye", "split", "label", "age")
FOUND_BELOW = 0.05
"""Rate of false discoveries below which a biomarker counts as found."""


def record_rows(run: Run, dataset: FundusDataset, measured: MeasuredEyes) -> None:
    """Keep every biomarker in the results database, and a table of them on the run."""
    values, reasons = measured.frame, measured.reasons
    image_id = dataset.frame["image_id"]
    rows = pd.DataFrame(
        {
            "image_id": image_id.repeat(values.shape[1]).to_numpy(),
            "biomarker": list(values.columns) * len(values),
            "value": values.to_numpy().ravel(),
            "reason": reasons.to_numpy().ravel(),
            "measured_by": measured.measured_by,
        }
    )
    version = DatasetVersion(
        name=dataset.name, digest=dataset.digest, source="", rows=len(dataset), context="measure"
    )
    record_biomarkers(rows, run=run, dataset=version)
    table = pd.concat([dataset.frame[list(_OF_EYE)], values], axis=1)
    run.log_text(table.to_csv(index=False, lineterminator="\n"), "biomarkers.csv")
    lacking = rows[rows["reason"] != ""].groupby(["biomarker", "reason"], sort=False)
    counts = lacking.size().rename("eyes").reset_index()
    run.log_text(counts.to_csv(index=False, lineterminator="\n"), "abstentions.csv")
    known = [
        (each.name, each.label, each.unit, each.structure, each.meaning, each.doi)
        for each in CATALOGUE
    ]
    columns = ["biomarker", "label", "unit", "structure", "meaning", "doi"]
    catalogue = pd.DataFrame(known, columns=columns)
    run.log_text(catalogue.to_csv(index=False, lineterminator="\n"), "catalogue.csv")


def record_associations(
    run: Run, dataset: FundusDataset, table: pd.DataFrame, scorers: pd.DataFrame
) -> str:
    """Log the association table, its figure and the scorers, and say what was found."""
    adjusted = "" if held_age(dataset) is None else AGE
    people = dataset.frame["person_group"].nunique()
    place = f"{len(dataset)} eyes of {people} people, {dataset.name}"
    run.log_text(table.to_csv(index=False, lineterminator="\n"), "associations.csv")
    run.log_text(_markdown(table), "associations.md")
    run.log_table(scorers, "scorers.json")
    figure = association_forest(
        table, classes=dataset.contrast.classes, eyes=place, adjusted=adjusted
    )
    run.log_figure(figure, "associations.png")
    found = table[table["q"] < FOUND_BELOW]
    metrics: dict[str, float] = {"biomarkers_found": len(found)}
    for row in scorers.to_dict("records"):
        own = Interval.of(row, "auroc").columns(f"{row['scorer']}_auroc")
        metrics |= own
    run.log_metrics(metrics)
    beside = f"{AGE} held equal" if adjusted else f"{AGE} not held equal"
    said = f"{place}: {_sentence(table, dataset)}, {beside}; {_of_scorers(scorers)}"
    run.set_tags({"association": said})
    return said


def _sentence(table: pd.DataFrame, dataset: FundusDataset) -> str:
    found = table[table["q"] < FOUND_BELOW].sort_values("p")
    judged = int(table["p"].notna().sum())
    first, second = dataset.contrast.classes
    if found.empty:
        return f"none of {judged} biomarkers differs between {first} and {second} at q < 0.05"
    shown = ", ".join(
        f"{row.biomarker} ({row.difference:+.2f} SD)" for row in found.head(5).itertuples()
    )
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""  # noqa: PLR2004 (shown above)
    return f"{len(found)} of {judged} biomarkers differ, {second} less {first}: {shown}{more}"


def _of_scorers(scorers: pd.DataFrame) -> str:
    rows = {str(row["scorer"]): row for row in scorers.to_dict("records")}
    said = []
    for scorer, row in rows.items():
        said.append(f"{scorer} {Interval.of(row, 'auroc'):.3f}")
    told = f"AUROC of {', '.join(said)}"
    if NETWORK in rows:
        told += f"; network less biomarkers {Interval.of(rows[BIOMARKERS], 'difference'):+.3f}"
    return told


def _markdown(table: pd.DataFrame) -> str:
    lines = [
        "| structure | biomarker | unit | eyes | difference, SD (95 % CI) | q | published | doi |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        size = str(row["reason"]) or f"{Interval.of(row, 'difference'):+.2f}"
        q = "" if pd.isna(row["q"]) else f"{row['q']:.3f}"
        said = {1: "larger", -1: "smaller", 0: ""}[int(row["direction"])]
        cells = (
            row["structure"],
            row["label"],
            row["unit"],
            row["eyes"],
            size,
            q,
            said,
            row["doi"],
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
