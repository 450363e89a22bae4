"""The page on a parent run that says what came from what."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from fundus_ml.pages.template import summary_page
from tracking.neighbours import Node
from tracking.runs import Run
from tracking.tracing import Reached, Trace, trace

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
        headline={"ask for more": f'tracking.trace("{found.start.name}")'},
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


def _table(reached: Sequence[Reached]) -> pd.DataFrame:
    """One row per thing but pictures, which have one per run that made them."""
    rows: list[tuple[int, str, str, str, str]] = [
        (each.steps, each.node.kind, label_of(each.node), each.node.words, label_of(each.through))
        for each in reached
        if each.node.kind != "picture"
    ]
    pictures = Counter(
        (each.steps, each.through) for each in reached if each.node.kind == "picture"
    )
    rows += [
        (steps, "pictures", f"{count} pictures", "", label_of(through))
        for (steps, through), count in pictures.items()
    ]
    return pd.DataFrame(rows, columns=["steps", "what", "name", "about", "through"])
