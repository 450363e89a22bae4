"""The table and the page at the end of ``real_eyes``: every question, and whether to believe it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.recording.modulation import FOLDER
from experiments.recording.modulation_figures import MEAN_CHANGE
from experiments.recording.shortcut_baseline import BASELINE
from experiments.running import console
from fundus_ml.data.opening import open_dataset
from fundus_ml.evaluation.scores import score_of
from fundus_ml.figures import figure_png, looks_figure, radii_figure
from fundus_ml.modulation import MODES, choose_eyes, read_strongest
from fundus_ml.pages.gallery import FOLDER as PICTURES
from fundus_ml.pages.template import summary_page
from fundus_ml.robust_evaluation.options import grey_levels
from fundus_ml.statistics.bootstrap import Interval
from tracking.lineage import GALLERY
from tracking.run_tables import run_table
from tracking.runs import Run
from tracking.steps import Step
from tracking.stores import fetch

SPLIT = "test"
"""Where the eyes are modulated."""
PAGE, TABLE = "real_eyes.html", "real_eyes.csv"
TITLE = "What does a network see in a retina, and where it is known, does it see that?"
READ = (
    "contrast", "eyes", "second class", "people", "left out", "shortcut baseline", "AUROC", "AUPRC",
)  # fmt: skip
ROBUST = (
    "radius, grey levels", "robust: clean AUROC", "robust: AUROC under attack", "gate",
    "null models", "null models: AUROC on true labels", "minimal perturbation, grey levels",
)  # fmt: skip
"""Columns of the table that the page shows by themselves."""
LOOKS_CAPTION = (
    "The same eyes, pushed towards the other class by networks trained for rising radii, and what "
    "each changed, all within one budget."
)
MEAN_CAPTION = (
    "The change that each class asks for, averaged over eyes that are mirrored to right ones (the "
    "disc lies on the right), and how dense it is."
)
UNKNOWN = Interval(np.nan, np.nan, np.nan)
INTERVALS = "95 % intervals clustered by person"


@dataclass(frozen=True, kw_only=True)
class ContrastCounts:
    """Eyes that answer a contrast.

    Attributes:
        contrast: Its name.
        eyes: How many.
        second: How many of them show the second class.
        people: How many people they belong to.
        left_out: How many eyes say nothing.
    """

    contrast: str
    eyes: int
    second: int
    people: int
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Everything that was done for one contrast.

    Attributes:
        eyes: Who answers it.
        start: Training on clean eyes.
        rungs: Robust trainings by radius, grey levels.
        chosen: Radius of the one that was examined.
        nulls: Robust trainings on shuffled labels at that radius.
        scores: Evaluation of the chosen one.
        modulated: Modulation by the chosen one.
        looks: Modulations of the same few eyes by radius, 0 before robust training.
    """

    eyes: ContrastCounts
    start: Step
    rungs: Mapping[float, Step]
    chosen: float
    nulls: Sequence[Step]
    scores: Step
    modulated: Step
    looks: Mapping[float, Step]


def count_eyes(dataset: str, contrast: str, *, images: int, seed: int) -> ContrastCounts:
    """Ask a dataset folder a contrast, before anything is trained.

    Args:
        dataset: Folder.
        contrast: What to ask.
        images: Test eyes that are to be modulated.
        seed: Seed that chooses them.

    Raises:
        InputError: It cannot be asked that, or too few people answer, in all or in the test split.
    """
    asked = open_dataset(dataset, contrast=contrast)
    classes = asked.contrast.classes
    test = asked.split(SPLIT).frame
    choose_eyes(test, images=images, mode=MODES[0], seed=seed, classes=classes)
    return ContrastCounts(
        contrast=contrast,
        eyes=len(asked),
        second=int(asked.labels.sum()),
        people=int(asked.frame["person_group"].nunique()),
        left_out=sum(asked.left_out.values()),
    )


def write_real_eyes(
    run: Run,
    answers: Sequence[Answer],
    folder: Path,
    *,
    size: int,
) -> Path:
    """Write table, page and galleries into ``folder`` and onto the run; print the table.

    Args:
        run: The parent run.
        answers: One per contrast.
        folder: Exists and can be written.
        size: Side of the eyes, pixels.

    Returns:
        The page.
    """
    table = pd.DataFrame([row_of(answer, size=size) for answer in answers])
    radii = pd.concat([_radii(answer) for answer in answers], ignore_index=True)
    links = {}
    for answer in answers:
        model = answer.rungs[answer.chosen].registered
        gallery = _copied_gallery(answer, folder / "galleries" / model.name)
        links[f"{answer.eyes.contrast}: gallery"] = gallery.relative_to(folder).as_posix()
        links[f"{answer.eyes.contrast}: version"] = model.uri
    figures = {
        "What a larger radius costs and buys": (
            figure_png(radii_figure(radii)),
            f"AUROC on test eyes by the radius trained for; bars are {INTERVALS}.",
        )
    }
    for answer in answers:
        mean = fetch(f"runs:/{answer.modulated.run_id}/{FOLDER}") / MEAN_CHANGE
        if mean.is_file():
            figures[f"{answer.eyes.contrast}: mean change"] = (mean.read_bytes(), MEAN_CAPTION)
        figures[f"{answer.eyes.contrast}: looks of the modulation"] = (
            figure_png(_looks(answer)),
            LOOKS_CAPTION,
        )
    page = folder / PAGE
    page.write_text(
        summary_page(
            title=TITLE,
            headline={row["contrast"]: row["verdict"] for row in table.to_dict("records")},
            tables={
                "Who answers, and what is read": table[list(READ)],
                "After robust training": table[["contrast", *ROBUST]],
                "Every radius": pd.concat(
                    [_readable_radii(answer) for answer in answers], ignore_index=True
                ),
            },
            figures=figures,
            links=links,
        ),
        encoding="utf-8",
    )
    table.to_csv(folder / TABLE, index=False)
    for file in (page, folder / TABLE):
        run.log_artifact(file)
    run.log_artifacts(folder / "galleries", "galleries")
    console.table(table.drop(columns="verdict"), final=True)
    for row in table.to_dict("records"):
        console.say(f"{row['contrast']}: {row['verdict']}")
    return page


def _copied_gallery(answer: Answer, folder: Path) -> Path:
    """Copy the page of a modulation, and the pictures beside it where it does not hold them."""
    made = fetch(f"runs:/{answer.modulated.run_id}/{FOLDER}")
    folder.mkdir(parents=True, exist_ok=True)
    if (made / PICTURES).is_dir():
        shutil.copytree(made / PICTURES, folder / PICTURES, dirs_exist_ok=True)
    return shutil.copyfile(made / GALLERY, folder / GALLERY)


def _readable_radii(answer: Answer) -> pd.DataFrame:
    """Lay the radii of a contrast out for a reader."""
    rows = []
    for level, step in {0.0: answer.start, **answer.rungs}.items():
        eps = step.registered.tags.get("eps")
        rows.append(
            {
                "contrast": answer.eyes.contrast,
                "grey levels": level,
                "clean AUROC": _said(step, "auroc"),
                "AUROC under attack": "n/a" if eps is None else _said(step, "auroc", eps=eps),
                "gate": step.tags.get("robust_gate_reason", "not asked"),
            }
        )
    return pd.DataFrame(rows)


def row_of(answer: Answer, *, size: int) -> dict[str, object]:
    """Sum an answer up in one row of the table."""
    robust, eyes = answer.rungs[answer.chosen], answer.eyes
    eps = robust.registered.tags["eps"]
    norm = answer.modulated.metrics.get("min_norm_whole", np.nan)
    row = {
        "contrast": eyes.contrast,
        "eyes": eyes.eyes,
        "second class": eyes.second,
        "people": eyes.people,
        "left out": eyes.left_out,
        "shortcut baseline": answer.start.metrics[BASELINE],
        "AUROC": _said(answer.start, "auroc"),
        "AUPRC": _said(answer.start, "auprc"),
        "radius, grey levels": answer.chosen,
        "robust: clean AUROC": _said(robust, "auroc"),
        "robust: AUROC under attack": _said(robust, "auroc", eps=eps),
        "gate": robust.tags.get("robust_gate", "skipped"),
        "null models": len(answer.nulls),
        "null models: AUROC on true labels": ", ".join(
            f"{_score(null, 'auroc').value:.2f}" for null in answer.nulls
        ),
        "minimal perturbation, grey levels": grey_levels("l2", norm, size=size),
    }
    return row | {"verdict": _verdict(answer)}


def _verdict(answer: Answer) -> str:
    """Say in a sentence what the robust network may be asked."""
    robust = answer.rungs[answer.chosen]
    baseline = answer.start.metrics[BASELINE]
    reads = _score(answer.start, "auroc").low > baseline
    kept = _score(robust, "auroc", eps=robust.registered.tags["eps"]).value
    first = "reads it" + ("" if reads else f", not shown above shortcuts ({baseline:.2f})")
    if robust.tags.get("robust_gate") != "passed":
        return (
            f"{first}; no network passed the gate: AUROC {kept:.2f} under "
            f"attack at {answer.chosen:g} grey levels; read its pictures beside those of the "
            "network before robust training and of null models"
        )
    return f"{first}; robust at {answer.chosen:g} grey levels with AUROC {kept:.2f} under attack"


@cache
def _scores_of(run_id: str) -> pd.DataFrame:
    """Read every measure of a finished step once."""
    return run_table("scores", run_id=run_id)


def _score(step: Step, measure: str, *, eps: str = "0") -> Interval:
    return score_of(_scores_of(step.run_id), measure, eps=float(eps))


def _said(step: Step, measure: str, *, eps: str = "0") -> str:
    return f"{_score(step, measure, eps=eps):.3f}"


def _radii(answer: Answer) -> pd.DataFrame:
    """One row per radius: scores, and what the gate said."""
    rows = []
    for level, step in {0.0: answer.start, **answer.rungs}.items():
        row = {
            "contrast": answer.eyes.contrast,
            "grey_levels": level,
            "baseline": answer.start.metrics[BASELINE],
            "passed": step.tags.get("robust_gate") == "passed",
        }
        eps = step.registered.tags.get("eps")
        row |= _score(step, "auroc").columns("clean")
        attacked = UNKNOWN if eps is None else _score(step, "auroc", eps=eps)
        rows.append(row | attacked.columns("robust"))
    return pd.DataFrame(rows)


def _looks(answer: Answer) -> Figure:
    modulated = []
    for step in answer.looks.values():
        _, original, pictures = read_strongest(fetch(f"runs:/{step.run_id}/{FOLDER}"))
        modulated.append(pictures)
    names = [f"{level:g} grey levels" if level else "not robust" for level in answer.looks]
    return looks_figure(original, np.stack(modulated), names)
