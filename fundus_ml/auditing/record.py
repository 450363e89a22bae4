"""What an audit found, as values and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fundus_ml.auditing.baselines import Baseline
from fundus_ml.auditing.leakage import Leakage, Shared
from fundus_ml.auditing.source_predictability import SourcePredictability
from fundus_ml.data.manifest import SEXES
from fundus_ml.data.options import SEX
from fundus_ml.errors import InputError

FORMAT = "fundus-audit-2"
FORMER = "fundus-audit-1"
"""Written by releases up to 0.6.0, under other names."""
_RENAMED = {
    "floor": "shortcut_baseline",
    "floor_by": "shortcut_baseline_by",
    "floor_words": "shortcut_baseline_words",
}


@dataclass(frozen=True, kw_only=True)
class Count:
    """Eyes and people that share one value.

    Attributes:
        of: ``all``, ``source``, ``split``, ``age`` or ``camera``.
        value: Such as ``train``.
        eyes: How many.
        people: Theirs.
        female: Eyes of women.
        male: Eyes of men.
        class_eyes: Eyes of either class; empty where sex is asked.
        class_people: People with such eyes, who may have eyes of both; empty where sex is asked.
    """

    of: str
    value: str
    eyes: int
    people: int
    female: int
    male: int
    class_eyes: tuple[int, ...] = ()
    class_people: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What the sampling weights of the training eyes do.

    Attributes:
        train_eyes: Eyes in train.
        effective_eyes: Unweighted eyes that would say as much as the weighted ones (Kish).
        largest_weight: 1 is the mean.
        one_sex: Cells of split, source and age band that hold one sex only, so that no weight can
            balance them.
    """

    train_eyes: int
    effective_eyes: float
    largest_weight: float
    one_sex: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that was found about one dataset.

    Attributes:
        dataset: Its sources, joined by ``+``.
        digest: Version of its content.
        contrast: What the shortcuts were held against.
        classes: What its classes are called.
        left_out: Eyes that do not answer it, by reason.
        permutations: Shuffles behind every p-value.
        seed: Seed of folds, shuffles and intervals.
        verdicts: What a reader should leave with, in sentences.
        shortcut_baseline: AUROC below which a model on this dataset has shown nothing: the higher
            of the level that chance stays below 95 times in 100 on the test split, and the
            cross-validated AUROC of the best shortcut that was not dismissed.
        shortcut_baseline_by: That shortcut, or ``chance``.
        shortcut_baseline_words: Both as a sentence.
        chance: AUROC that chance stays below 95 times in 100 on the test split.
        baselines: Every shortcut against shuffled labels.
        sources: How well what was measured on the photographs tells the sources apart.
        leakage: People across splits and ids.
        counts: Eyes and people by value.
        rejections: Photographs not taken, by reason.
        flags: Eyes by remark.
        balance: Sampling weights of the training eyes.
        quality: Per source and measure, percentiles 0 to 100.
    """

    dataset: str
    digest: str
    permutations: int
    seed: int
    verdicts: tuple[str, ...]
    shortcut_baseline: float
    shortcut_baseline_by: str
    shortcut_baseline_words: str
    chance: float
    baselines: tuple[Baseline, ...]
    sources: tuple[SourcePredictability, ...]
    leakage: Leakage
    counts: tuple[Count, ...]
    rejections: Mapping[str, int]
    flags: Mapping[str, int]
    balance: Balance
    quality: Mapping[str, Mapping[str, tuple[float, ...]]]
    contrast: str = SEX
    classes: tuple[str, str] = SEXES
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """Shortcuts that predict the contrast beyond what the other named ones explain."""
        return tuple(item.name for item in self.baselines if item.verdict == "named")


def to_json(audit: Audit) -> str:
    """Write an audit as text, the same text for the same audit."""
    return json.dumps({"format": FORMAT} | asdict(audit), indent=2, allow_nan=False) + "\n"


def read_audit(path: Path) -> Audit:
    """Read an ``audit.json``.

    Raises:
        InputError: The file is missing, or not such a file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: no such audit; make one with audit") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not an audit: {error}") from None
    if isinstance(found, dict) and found.get("format") == FORMER:
        found = _renamed(found)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path}: not an audit of format {FORMAT}; make one with audit")
    needed = {
        each.name for each in fields(Audit) if each.default is each.default_factory is MISSING
    }
    missing = sorted(needed - set(found))
    if missing:
        raise InputError(f"{path}: not a whole audit, lacks {', '.join(missing)}")
    del found["format"]
    try:
        return _rebuilt(found)
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path}: not a whole audit: {error}") from None


def _renamed(former: dict[str, Any]) -> dict[str, Any]:
    """Give an audit of the former format the names of this one."""
    found = {_RENAMED.get(name, name): value for name, value in former.items()}
    for item in found.get("baselines", ()):
        if isinstance(item, dict) and "carried_by" in item:
            item["explained_by"] = item.pop("carried_by")
            if item.get("verdict") == "carried":
                item["verdict"] = "explained"
    return found | {"format": FORMAT}


def _rebuilt(found: dict[str, Any]) -> Audit:
    quality = {
        source: {name: tuple(values) for name, values in measures.items()}
        for source, measures in found["quality"].items()
    }
    balance = found["balance"] | {"one_sex": tuple(found["balance"]["one_sex"])}
    return Audit(
        **found
        | {
            "verdicts": tuple(found["verdicts"]),
            "baselines": tuple(Baseline(**item) for item in found["baselines"]),
            "sources": tuple(SourcePredictability(**item) for item in found["sources"]),
            "leakage": _leakage(found["leakage"]),
            "counts": tuple(_count(item) for item in found["counts"]),
            "classes": tuple(found.get("classes", SEXES)),
            "balance": Balance(**balance),
            "quality": quality,
        }
    )


def _count(found: dict[str, Any]) -> Count:
    by_class = {name: tuple(found.get(name, ())) for name in ("class_eyes", "class_people")}
    return Count(**found | by_class)


def _leakage(found: dict[str, Any]) -> Leakage:
    shared = found.get("folders")
    if shared is None:
        return Leakage(**found)
    lists = {name: tuple(shared[name]) for name in ("left_out", "unsearched")}
    return Leakage(**found | {"folders": Shared(**shared | lists)})
