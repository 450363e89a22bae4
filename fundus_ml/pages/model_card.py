"""A model card: what a version reads, how well, how robustly, where it looks, what it is not for.

Source: Mitchell et al. 2019, Model Cards for Model Reporting, FAT*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import pandas as pd

from fundus_ml.pages.template import rendered, summary_page


class Score(NamedTuple):
    """A measure as a reader sees it.

    Attributes:
        measure: Its name.
        value: With its digits.
        interval: 95 %, or a word where there is none.
    """

    measure: str
    value: str
    interval: str


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What stands on a card.

    Attributes:
        title: Name and version.
        uri: Its address in the registry.
        verdict: One sentence: does it read what it is asked, more than a shortcut would.
        asked: The question, and the data it was learned from.
        positive: The class whose probability it gives.
        answers_photographs: Whether MLflow answers raw photographs with it, or only pixels cut as
            its dataset's are can be scored.
        scores: In order.
        lines: What else is known, by name.
        limits: Sentences.
    """

    title: str
    uri: str
    verdict: str
    asked: str
    positive: str
    answers_photographs: bool
    scores: Sequence[Score]
    lines: Mapping[str, str]
    limits: Sequence[str]


def card_markdown(card: ModelCard) -> str:
    """Write a card as Markdown, as the registry shows it."""
    values = asdict(card) | {"scores": card.scores}
    return rendered("model_card.md", **values).strip() + "\n"


def card_page(card: ModelCard) -> str:
    """Write a card as one self-contained HTML page."""
    return summary_page(
        title=card.title,
        headline={"verdict": card.verdict, "question": card.asked},
        tables={
            "Measures on the test eyes": pd.DataFrame(
                card.scores, columns=["measure", "value", "95 % interval"]
            ),
            "What else is known": pd.DataFrame(
                list(card.lines.items()), columns=["about", "what is known"]
            ),
            "Limits": pd.DataFrame({"limit": list(card.limits)}),
        },
        figures={},
        links={"version": card.uri},
    )
