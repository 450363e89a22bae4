"""The audit of a dataset: counts, leakage, shortcuts, and the score below which it says nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_ml.auditing.baselines import Baseline, judge_shortcuts
from fundus_ml.auditing.columns import WHOLE
from fundus_ml.auditing.leakage import (
    SEX_DISAGREES_ACROSS,
    Leakage,
    Shared,
    measure_leakage,
)
from fundus_ml.auditing.page import audit_html
from fundus_ml.auditing.record import Audit, Balance, Count, read_audit, to_json
from fundus_ml.auditing.shortcut_baseline import (
    ShortcutBaseline,
    chance_level,
    make_shortcut_baseline,
)
from fundus_ml.auditing.shortcuts import QUALITY, find_shortcuts
from fundus_ml.auditing.source_predictability import CROP, SourcePredictability, predict_sources
from fundus_ml.data.ages import age_bands
from fundus_ml.data.balance import effective_size, unbalanced_cells
from fundus_ml.data.contrasts import SEX_CONTRAST, Contrast
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.record import REJECTED
from fundus_ml.errors import InputError

__all__ = ["AUDIT", "AUDIT_PAGE", "Audit", "audit_dataset", "read_audit", "write_audit"]

AUDIT = "audit.json"
AUDIT_PAGE = "audit.html"


def audit_dataset(
    dataset: FundusDataset,
    rejected: pd.DataFrame | None,
    *,
    permutations: int = 1000,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Find what else than the eye tells the sexes apart, and who stands on both sides of the split.

    Args:
        dataset: All its eyes; may be a composite.
        rejected: ``image_id``, ``reason``, ``detail`` of the photographs not taken; None reads them
            where the dataset lies.
        permutations: Shuffles of the labels behind every p-value.
        seed: Seed of folds, shuffles and intervals.
        on_progress: Called with (steps done, steps in all as far as known).

    Raises:
        InputError: ``permutations`` is below 1.
    """
    if permutations < 1:
        raise InputError(f"permutations={permutations}: must be at least 1")
    frame = dataset.frame
    refused = _rejected(dataset) if rejected is None else rejected
    shortcuts = find_shortcuts(dataset)
    baselines = judge_shortcuts(
        shortcuts,
        frame,
        permutations=permutations,
        seed=seed,
        contrast=dataset.contrast,
        on_progress=on_progress,
    )
    sources = predict_sources(shortcuts, frame, seed=seed)
    test = frame[frame["split"] == "test"]
    chance = chance_level(test["label"], test["person_group"], seed=seed) if len(test) else 1.0
    shortcut_baseline = make_shortcut_baseline(baselines, chance=chance, test_eyes=len(test))
    leakage = measure_leakage(frame, refused, seed=seed, linkage=dataset.linkage)
    return Audit(
        dataset=dataset.name,
        digest=dataset.digest,
        contrast=dataset.contrast.name,
        classes=dataset.contrast.classes,
        left_out=dict(dataset.left_out),
        permutations=permutations,
        seed=seed,
        verdicts=_verdicts(baselines, sources, leakage, shortcut_baseline, dataset.contrast.name),
        shortcut_baseline=shortcut_baseline.value,
        shortcut_baseline_by=shortcut_baseline.by,
        shortcut_baseline_words=shortcut_baseline.words,
        chance=chance,
        baselines=tuple(baselines),
        sources=tuple(sources),
        leakage=leakage,
        counts=tuple(_counts(frame, dataset.contrast)),
        rejections=_tally(refused["reason"].astype(str)),
        flags=_tally(flag for flags in frame["flags"] for flag in str(flags).split("; ") if flag),
        balance=_balance(frame, dataset.contrast),
        quality=_quality(frame),
    )


def write_audit(audit: Audit, folder: Path) -> None:
    """Write ``audit.json`` and the page ``audit.html``, the same bytes for the same audit."""
    (folder / AUDIT).write_text(to_json(audit), encoding="utf-8")
    (folder / AUDIT_PAGE).write_text(audit_html(audit), encoding="utf-8")


def _rejected(dataset: FundusDataset) -> pd.DataFrame:
    files = [folder / REJECTED for folder in dataset.paths if (folder / REJECTED).is_file()]
    left_out = () if dataset.linkage is None else dataset.linkage.left_out
    gone = pd.DataFrame(
        {"image_id": list(left_out), "reason": SEX_DISAGREES_ACROSS, "detail": ""}, dtype=str
    )
    return pd.concat([gone, *map(pd.read_csv, files)], ignore_index=True)


def _tally(values: Iterable[str]) -> Mapping[str, int]:
    return dict(Counter(values).most_common())


def _counts(frame: pd.DataFrame, contrast: Contrast) -> list[Count]:
    labels = () if contrast == SEX_CONTRAST else (0, 1)
    views = {
        "all": pd.Series("all", index=frame.index),
        "source": frame["source"],
        "split": frame["split"],
        "age": age_bands(frame["age"]),
        "camera": frame["camera"],
    }
    return [
        Count(
            of=name,
            value=str(value),
            eyes=len(rows),
            people=int(rows["person_group"].nunique()),
            female=int(rows["sex"].eq("female").sum()),
            male=int(rows["sex"].eq("male").sum()),
            class_eyes=tuple(int(rows["label"].eq(label).sum()) for label in labels),
            class_people=tuple(
                int(rows.loc[rows["label"].eq(label), "person_group"].nunique()) for label in labels
            ),
        )
        for name, values in views.items()
        for value, rows in frame.groupby(values.to_numpy())
    ]


def _balance(frame: pd.DataFrame, contrast: Contrast) -> Balance:
    train = frame[frame["split"] == "train"]
    weights = train["weight"]
    named = frame.assign(sex=np.asarray(contrast.classes)[frame["label"]])
    return Balance(
        train_eyes=len(train),
        effective_eyes=float(effective_size(weights)) if len(train) else 0.0,
        largest_weight=float(weights.max()) if len(train) else 0.0,
        one_sex=tuple(unbalanced_cells(named, classes=contrast.classes, of_age=contrast.of_age)),
    )


def _quality(frame: pd.DataFrame) -> dict[str, dict[str, tuple[float, ...]]]:
    known = frame.dropna(subset=list(QUALITY))
    return {
        str(source): {
            name: tuple(np.percentile(rows[name], range(101)).round(4).tolist()) for name in QUALITY
        }
        for source, rows in known.groupby("source")
    }


def _verdicts(
    baselines: Sequence[Baseline],
    sources: Sequence[SourcePredictability],
    leakage: Leakage,
    shortcut_baseline: ShortcutBaseline,
    contrast: str,
) -> tuple[str, ...]:
    source_named = any(item.name == "source" and item.verdict == "named" for item in baselines)
    return (
        *_shortcut_words(baselines, contrast),
        *_source_words(sources, source_named=source_named),
        _leakage_words(leakage),
        *_shared_words(leakage.folders),
        shortcut_baseline.words,
    )


def _shortcut_words(baselines: Sequence[Baseline], contrast: str) -> list[str]:
    if all(item.verdict == "not judged" for item in baselines):
        return [f"Shortcuts {baselines[-1].finding}."]
    by = {
        verdict: [item.words for item in baselines if item.verdict == verdict]
        for verdict in ("named", "open", "hint")
    }
    if not by["named"]:
        surely = " for certain" if by["hint"] else ""
        if by["open"]:
            first = f"Nothing outside the retina was found that predicts {contrast}{surely}."
        else:
            first = f"No shortcut was found that predicts {contrast}{surely}."
        return [first, *by["open"], *by["hint"]]
    explained: dict[str, list[str]] = {}
    for item in baselines:
        if item.explained_by and item.name not in WHOLE:
            explained.setdefault(item.explained_by, []).append(item.name)
    return [
        *by["named"],
        *by["open"],
        *(f"Explained by {root}: {', '.join(names)}." for root, names in explained.items()),
    ]


def _source_words(sources: Sequence[SourcePredictability], *, source_named: bool) -> list[str]:
    telling = [item for item in sources if item.predictable]
    if not telling:
        return []
    best = max(telling, key=lambda item: item.auroc)
    cropped = [item for item in telling if item.shortcut in CROP]
    reached = max(cropped, key=lambda item: item.auroc) if cropped else best
    what = "The crop" if cropped else best.shortcut.capitalize()
    words = (
        f"{what} tells the sources apart: {reached.shortcut} alone knows {reached.source} from the "
        f"rest with AUROC {reached.auroc:.3f}"
    )
    if source_named:
        words += ", so a network can read the source, and its share of men, off the photograph"
    return [f"{words}."]


def _leakage_words(leakage: Leakage) -> str:
    if leakage.people_across:
        return (
            f"{leakage.people_across} people stand in more than one split: "
            f"{leakage.held_out_known:.0%} of the held-out eyes belong to someone in train."
        )
    return "Nobody stands in more than one split."


def _shared_words(shared: Shared | None) -> list[str]:
    if shared is None:
        return []
    said = []
    if shared.people or shared.moved or shared.left_out:
        said.append(
            f"People with eyes in several folders: {shared.people}, each one person in one split; "
            f"{shared.moved} eyes were moved to a held-out split for it, "
            f"{len(shared.left_out)} left out because the sexes disagree."
        )
    if shared.unsearched:
        said.append(
            f"Eyes of {', '.join(shared.unsearched)} were compared with the other folders by file "
            "and id only: the same eye in another file would not be found."
        )
    return said
