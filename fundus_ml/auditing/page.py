"""An audit as one page: the verdict in words first, then what it rests on."""

from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.auditing.leakage import Shared
from fundus_ml.auditing.record import Audit
from fundus_ml.figures.qualities import quality_distribution
from fundus_ml.figures.shortcuts import shortcut_forest
from fundus_ml.figures.style import figure_png
from fundus_ml.pages.template import Section, audit_page

MEANINGS = {
    "named": "predicts {contrast} by itself, beyond every shortcut named before it",
    "open": (
        "predicts {contrast}, but is measured on the retina: what a model is meant to find may be "
        "behind it"
    ),
    "explained": "predicts {contrast} only because it goes along with another one",
    "hint": "beats most shuffles, too few of them to be named among so many shortcuts",
    "dismissed": "does no better than shuffled labels",
    "not judged": (
        "is the same for every eye, cannot be measured here, is the question itself, or too few "
        "people have it"
    ),
}
"""What the verdicts of the shortcuts say."""


def audit_html(audit: Audit) -> str:
    """Lay an audit out as a self-contained page, the same bytes for the same audit."""
    whole = audit.counts[0]
    return audit_page(
        title=f"Audit of {audit.dataset}",
        verdicts=audit.verdicts[:-1],
        shortcut_baseline=audit.shortcut_baseline_words,
        headline={
            "eyes kept": f"{whole.eyes}",
            "people": f"{whole.people}",
            **_by_class(audit),
            "women's / men's eyes": f"{whole.female} / {whole.male}",
            "photographs rejected": f"{sum(audit.rejections.values())}",
            "shortcut baseline (AUROC)": f"{audit.shortcut_baseline:.3f}",
            "set by": audit.shortcut_baseline_by,
            "dataset": audit.digest[:12],
        },
        sections=[
            _forest(audit),
            _baselines(audit),
            _meanings(audit),
            *_sources(audit),
            _leakage(audit),
            _counts(audit),
            _rejections(audit),
            *_qualities(audit),
            _flags(audit),
            _balance(audit),
        ],
    )


def _by_class(audit: Audit) -> dict[str, str]:
    """Count eyes and people of either class; of sex nothing, which is counted anyway."""
    counts, named = audit.counts[0], " / ".join(audit.classes)
    by = {"eyes": counts.class_eyes, "people": counts.class_people}
    return {f"{named}: {of}": f"{each[0]} / {each[1]}" for of, each in by.items() if each}


def _forest(audit: Audit) -> Section:
    frame = pd.DataFrame([asdict(baseline) for baseline in audit.baselines])
    figure = shortcut_forest(
        frame.astype(dict.fromkeys(("auroc", "low", "high", "null_high"), "float64")),
        shortcut_baseline=audit.shortcut_baseline,
        chance=audit.chance,
        contrast=audit.contrast,
    )
    return Section(
        heading=f"What predicts {audit.contrast} without the eye's anatomy",
        figure=figure_png(figure),
        caption=(
            "AUROC of each shortcut alone with its 95 % interval. The grey bar ends where 95 % of "
            f"shuffled labels stay below. Named shortcuts predict {audit.contrast} themselves, "
            "explained ones only because another one makes them, open ones may be the eye "
            "itself. A model's interval must lie right of the shortcut baseline."
        ),
    )


def _baselines(audit: Audit) -> Section:
    frame = pd.DataFrame(
        {
            "shortcut": [item.name for item in audit.baselines],
            "AUROC": pd.Series([item.auroc for item in audit.baselines], dtype="float64"),
            "95 % interval": [
                "n/a" if item.low is None else f"{item.low:.3f} to {item.high:.3f}"
                for item in audit.baselines
            ],
            "shuffles, 95 %": pd.Series(
                [item.null_high for item in audit.baselines], dtype="float64"
            ),
            "p": ["n/a" if item.p is None else f"{item.p:.3f}" for item in audit.baselines],
            "verdict": [item.verdict for item in audit.baselines],
            "in words": [item.finding for item in audit.baselines],
        }
    )
    return Section(
        heading="Every shortcut",
        words=(
            "Ridge regressions on each group of numbers, and boosted trees on all of them, scored "
            f"on people they have not seen. The labels were shuffled between people "
            f"{audit.permutations} times. Beside the shortcuts already named, they were drawn as "
            "often from their probability given those. p counts the shuffles that did as well; "
            "naming corrects for the number of shortcuts."
        ),
        table=frame,
    )


def _meanings(audit: Audit) -> Section:
    given = {item.verdict for item in audit.baselines}
    rows = [
        {"verdict": verdict, "a shortcut of which it is said": says.format(contrast=audit.contrast)}
        for verdict, says in MEANINGS.items()
        if verdict in given
    ]
    return Section(heading="What the verdicts mean", table=pd.DataFrame(rows))


def _sources(audit: Audit) -> list[Section]:
    if not audit.sources:
        return []
    frame = pd.DataFrame(
        {
            "measured on the photograph": [item.shortcut for item in audit.sources],
            "source": [item.source for item in audit.sources],
            "AUROC": [item.auroc for item in audit.sources],
            "95 % interval": [f"{item.low:.3f} to {item.high:.3f}" for item in audit.sources],
            "can be read off": [item.predictable for item in audit.sources],
        }
    )
    words = (
        "How well each source is told from the others. Where a source can be read off the "
        "photograph, a network that knows its share of men needs no eye."
    )
    return [Section(heading="What tells the sources apart", words=words, table=frame)]


def _leakage(audit: Audit) -> Section:
    found = audit.leakage
    by_file = "n/a" if found.by_file is None else f"{found.by_file:.1%}"
    rows = {
        "people with eyes in more than one split": f"{found.people_across}",
        "held-out eyes (val and test)": f"{found.held_out}",
        "held-out eyes whose person is in train": f"{found.held_out_known:.1%}",
        "the same, had files been split without regard to people": by_file,
        "people found under more than one patient id": f"{found.several_ids}",
        "eyes of theirs": f"{found.several_ids_eyes}",
        "photographs rejected because their person stands under both sexes": (
            f"{found.sex_disagrees}"
        ),
    } | ({} if found.folders is None else _shared(found.folders))
    frame = pd.DataFrame({"": list(rows), "found": list(rows.values())})
    return Section(heading="Leakage", table=frame)


def _shared(shared: Shared) -> dict[str, str]:
    return {
        "photographs whose file lies in several folders": f"{shared.files}",
        "patient ids that stand in several folders": f"{shared.ids}",
        "pairs of photographs of different folders that show one eye": f"{shared.alike}",
        "people with eyes in several folders": f"{shared.people}",
        "eyes moved to the held-out split of their person": f"{shared.moved}",
        "eyes left out because their person stands under both sexes": (
            ", ".join(shared.left_out) or "none"
        ),
        "folders compared by file and id only": ", ".join(shared.unsearched) or "none",
    }


def _counts(audit: Audit) -> Section:
    by_class = {
        f"{name}: {of}": [each[label] for each in counts]
        for label, name in enumerate(audit.classes)
        for of, counts in (
            ("eyes", [item.class_eyes for item in audit.counts]),
            ("people", [item.class_people for item in audit.counts]),
        )
        if all(counts)
    }
    frame = pd.DataFrame(
        {
            "by": [item.of for item in audit.counts],
            "value": [item.value for item in audit.counts],
            "eyes": [item.eyes for item in audit.counts],
            "people": [item.people for item in audit.counts],
            **by_class,
            "women's eyes": [item.female for item in audit.counts],
            "men's eyes": [item.male for item in audit.counts],
            "men's share": [f"{item.male / item.eyes:.1%}" for item in audit.counts],
        }
    )
    return Section(heading="Counts", table=frame)


def _rejections(audit: Audit) -> Section:
    kept = audit.counts[0].eyes
    rows = [("kept", kept), *audit.left_out.items(), *audit.rejections.items()]
    rows.append(("all photographs", sum(count for _, count in rows)))
    frame = pd.DataFrame(rows, columns=["photographs", "count"])
    return Section(heading="Kept and rejected", table=frame)


def _qualities(audit: Audit) -> list[Section]:
    if not audit.quality:
        return []
    eyes = {count.value: count.eyes for count in audit.counts if count.of == "source"}
    frames = [
        pd.DataFrame(
            {
                "source": source,
                **{name: _spread(values, eyes[source]) for name, values in of.items()},
            }
        )
        for source, of in audit.quality.items()
    ]
    figure = quality_distribution(pd.concat(frames, ignore_index=True), min_quality=0)
    return [
        Section(
            heading="Quality",
            figure=figure_png(figure),
            caption="Distribution of the quality score and of its measures over the eyes kept.",
        )
    ]


def _spread(percentiles: tuple[float, ...], count: int) -> NDArray[np.float64]:
    """As many values as there were eyes, distributed as their percentiles say."""
    places = np.linspace(0, len(percentiles) - 1, count)
    return np.interp(places, np.arange(len(percentiles)), percentiles)


def _flags(audit: Audit) -> Section:
    if not audit.flags:
        return Section(heading="Remarks", words="No eye carries a remark.")
    frame = pd.DataFrame({"remark": list(audit.flags), "eyes": list(audit.flags.values())})
    return Section(heading="Remarks", table=frame)


def _balance(audit: Audit) -> Section:
    found = audit.balance
    words = (
        f"The sampling weights of the {found.train_eyes} training eyes say as much as "
        f"{found.effective_eyes:.0f} unweighted ones would; the largest is "
        f"{found.largest_weight:.2f} times the mean."
    )
    if not found.one_sex:
        return Section(heading="Balance", words=f"{words} Every cell holds both classes.")
    frame = pd.DataFrame({"cells with one class only": list(found.one_sex)})
    return Section(heading="Balance", words=words, table=frame)
