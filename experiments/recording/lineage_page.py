"""The page on a parent run that says what came from what."""

import pandas as pd

from fundus_ml.pages.template import summary_page
from tracking.runs import Run
from tracking.tracing import Trace, trace

COLUMNS = ("steps", "what", "name", "about", "through")


def write_lineage(run: Run) -> None:
    """Trace a parent run and keep ``lineage.html`` on it; pictures are counted, not listed."""
    run.log_text(lineage_page(trace(run.run_id)), "lineage.html")


def lineage_page(found: Trace) -> str:
    """Write a trace as one self-contained page."""
    table = found.table().rename(columns={"kind": "what", "words": "about"})
    pictures = table[table["what"] == "picture"].groupby("through").size()
    counted = pd.DataFrame(
        {
            "steps": 0,
            "what": "pictures",
            "name": pictures.astype(str) + " pictures",
            "about": "tracking.tracing.trace(run) lists them",
            "through": pictures.index,
        }
    )
    listed = table[table["what"] != "picture"]
    up, down = (listed[listed["direction"] == direction] for direction in ("up", "down"))
    start = found.start
    return summary_page(
        title=f"Lineage of {start.kind} {start.name}",
        headline={"about": start.words} if start.words else {},
        tables={
            "What it came from": up[list(COLUMNS)],
            "What came from it": down[list(COLUMNS)],
            "Pictures by the run that made them": counted[["name", "about", "through"]],
        },
        figures={},
        links={},
    )
