"""The page on a parent run that says what came from what."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from fundus_ml.pages.template import Link, summary_page
from tracking.neighbours import GONE, Node
from tracking.runs import Run
from tracking.tracing import Reached, Trace, trace
from tracking.ui import run_address, version_address

SHORT_RUN, SHORT_DIGEST = 8, 12


def write_lineage(run: Run) -> None:
    """Trace a parent run and keep ``lineage.html`` on it; pictures are counted, not listed."""
    run.log_text(lineage_page(trace(run.run_id)), "lineage.html")


def lineage_page(found: Trace) -> str:
    """Write a trace as one self-contained page."""
    tables = {
        "What it came from": _table(found.up),
        "What came from it": _table(found.down),
    }
    return summary_page(
        title=f"Lineage of {label_of(found.start)}",
        headline={
            "links open": "while the server of MLflow runs (make ui)",
            "ask for more": f'tracking.trace("{found.start.name}")',
        },
        tables={heading: table for heading, table in tables.items() if len(table)},
        figures={},
        links={},
    )


def label_of(node: Node) -> str:
    """Name a thing as a reader finds it again: ``train 054a0a08``, ``dataset a87873602c17``."""
    if node.kind == "run":
        return f"{node.words.partition(',')[0] or 'run'} {node.name[:SHORT_RUN]}"
    if node.kind == "dataset":
        return f"dataset {node.name[:SHORT_DIGEST]}"
    return node.name


def _linked(node: Node) -> str | Link:
    """The name of a thing, which leads to its page where MLflow has one."""
    if node.experiment:
        return Link(label_of(node), run_address(node.name, node.experiment))
    if node.kind == "model" and node.words != GONE:
        return Link(label_of(node), version_address(node.name))
    return label_of(node)


def _about(node: Node) -> str:
    """What its name does not say: how a run ended, what a version is, where a dataset lies."""
    if node.kind == "run":
        return node.words.rpartition(", ")[2].lower()
    return node.words


def _table(reached: Sequence[Reached]) -> pd.DataFrame:
    """One row per thing but pictures, which have one per run that made them."""
    rows: list[tuple[int, str, str | Link, str, str | Link]] = [
        (each.steps, each.node.kind, _linked(each.node), _about(each.node), _linked(each.through))
        for each in reached
        if each.node.kind != "picture"
    ]
    pictures = Counter(
        (each.steps, each.through) for each in reached if each.node.kind == "picture"
    )
    rows += [
        (steps, "pictures", f"{count} pictures", "", _linked(through))
        for (steps, through), count in pictures.items()
    ]
    return pd.DataFrame(rows, columns=["steps", "what", "name", "about", "through"])
