"""Read a cause off a method's maps of one network, and score what was stated.

A read-out sees means over groups of people, not networks: few networks are too few rows. Its rows
are bootstrap groups of people of the fitting networks; what it states is scored on groups of other
people, each person in one group, of networks of other seeds. Nobody is on both sides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.edited_cells import Cell
from fundus_ml.errors import InputError
from fundus_ml.statistics.crossed import crossed_mean
from fundus_ml.statistics.sign_flips import paired_means

NONE = "none"
STRENGTHS_OF_PENALTY = (0.01, 0.1, 1.0, 10.0)
LEAST_PROBABILITY = 1e-6
"""Below it a log score falls no further."""
SMALLEST = 1e-3
"""Added to an enrichment before its logarithm is taken."""
FEWEST_SEEDS = 2
CENTRE = "centre"
KEYS = ("cell", "group")

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which people fit the read-out and which are scored, the same for every network and method.

    Attributes:
        people: ``(P,)`` names.
        role: ``(P,)`` group of each person who is scored, from 0; -1 or -2 for a half of those who
            fit.
        size: People of a group.
    """

    people: NDArray[np.str_]
    role: NDArray[np.int64]
    size: int

    @classmethod
    def draw(cls, people: Sequence[str] | NDArray[np.str_], *, size: int, seed: int) -> "Groups":
        """Deal people out: half fit, the others form groups of ``size`` or a few more.

        Raises:
            InputError: Fewer than four people, or ``size`` below 1.
        """
        names = np.unique(np.asarray(people))
        if len(names) < 4:  # noqa: PLR2004 (one of each role)
            raise InputError(f"people: {len(names)}; 4 or more are needed")
        if size < 1:
            raise InputError(f"group={size}: must be 1 or more")
        role = np.empty(len(names), np.int64)
        order = np.random.default_rng(seed).permutation(len(names))
        fitting, scored = order[: len(names) // 2], order[len(names) // 2 :]
        role[fitting] = -1 - np.arange(len(fitting)) % 2
        role[scored] = np.arange(len(scored)) % max(len(scored) // size, 1)
        return cls(people=names, role=role, size=size)

    def of(self, people: NDArray[np.str_]) -> NDArray[np.int64]:
        """Role of each of some people."""
        return self.role[np.searchsorted(self.people, people)]


@dataclass(frozen=True, kw_only=True)
class ReadOut:
    """States the probability of each cause from features of a method's maps.

    Attributes:
        model: Multinomial logistic regression with a temperature.
        names: Causes, in the order of its probabilities.
    """

    model: CalibratedClassifierCV
    names: list[str]

    @classmethod
    def fit(
        cls, method: str, cells: Sequence[Cell], groups: Groups, *, rows: int, seed: int
    ) -> "ReadOut":
        """Fit on bootstrap groups of people; penalty and temperature on held-out seeds and people.

        Args:
            method: Whose maps are read.
            cells: Networks of the fitting seeds.
            groups: Who fits.
            rows: Bootstrap groups of each network and half of the people.
            seed: Seed of the bootstrap.

        Raises:
            InputError: The cells are of fewer than two seeds.

        Source:
            Guo et al. 2017, arXiv:1706.04599 (temperature).
        """
        if len({cell.seed for cell in cells}) < FEWEST_SEEDS:
            raise InputError("fitting_seeds: two or more are needed")
        generator = np.random.default_rng(seed)
        features, causes, seeds, halves = [], [], [], []
        for cell in cells:
            found = cell.maps_of(method)
            role = groups.of(found["people"])
            for half in (-1, -2):
                own = np.flatnonzero(role == half)
                for _ in range(rows if len(own) else 0):
                    drawn = generator.choice(own, groups.size)
                    features.append(group_features(found, drawn))
                    causes.append(cell.edit)
                    seeds.append(cell.seed)
                    halves.append(half)
        table, fold = np.stack(features), np.array([seeds, halves])
        folds = [
            (np.flatnonzero((fold != one[:, None]).all(axis=0)), np.flatnonzero(same))
            for one in np.unique(fold, axis=1).T
            if (same := (fold == one[:, None]).all(axis=0)).any()
        ]
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
            {"logisticregression__C": STRENGTHS_OF_PENALTY},
            cv=folds,
            scoring="neg_log_loss",
        ).fit(table, causes)
        model = CalibratedClassifierCV(
            clone(search.best_estimator_), method="temperature", cv=folds, ensemble=False
        ).fit(table, causes)
        return cls(model=model, names=[str(name) for name in model.classes_])

    def score(self, method: str, cells: Sequence[Cell], groups: Groups) -> pd.DataFrame:
        """Score what is stated of other networks from the maps of other people.

        Returns:
            A row per network and group of people: ``cell edit auroc seed robust_rms confounds group
            people``; ``log_score`` and ``named`` of the planted cause, ``log_score_used`` of the
            edit that moves the network most (NaN where that is no cause
            asked for); ``false_claim`` of a network without a cause, for
            which one is named; ``pointing truth_area in_truth in_sham over_sham`` (the last the
            mean difference of logarithms) where there is a truth; ``seconds_per_eye``.
        """
        rows = []
        for cell in cells:
            told, found = cell.truth(), cell.maps_of(method)
            role = groups.of(found["people"])
            for group in np.unique(role[role >= 0]).tolist():
                own = np.flatnonzero(role == group)
                prob = self.model.predict_proba(group_features(found, own)[None])[0]
                log = dict(zip(self.names, np.log(prob.clip(LEAST_PROBABILITY)), strict=True))
                stated = self.names[int(prob.argmax())]
                rows.append(
                    {
                        "cell": cell.folder.name,
                        **{
                            name: told[name]
                            for name in ("edit", "auroc", "seed", "robust_rms", "confounds")
                        },
                        "group": group,
                        "people": len(own),
                        "log_score": log[cell.edit],
                        "log_score_used": log.get(most_used(told), np.nan),
                        "named": float(stated == cell.edit),
                        "false_claim": float(stated != NONE) if cell.edit == NONE else np.nan,
                        **_places(found, own, planted=cell.edit != NONE),
                        "seconds_per_eye": float(found["seconds_per_eye"]),
                    }
                )
        return pd.DataFrame(rows)


def most_used(told: Mapping[str, Any]) -> str:
    """Name the edit whose swap moves the logit most; ``none`` where none moves it by two SEs."""
    uses = told["uses"]
    sure = [name for name, each in uses.items() if abs(each["mean"]) > 2 * each["se"]]
    return max(sure, key=lambda name: abs(uses[name]["mean"]), default=NONE)


def group_features(found: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> Floats:
    """Mean log enrichment and signed sum of each region over some eyes, ``(14,)``.

    A region that none of the eyes shows counts as one whose enrichment is 1.
    """
    logs = np.log(found["enrichment"][rows] + SMALLEST)
    known = ~np.isnan(logs)
    enrichment = np.where(known, logs, 0).sum(axis=0) / known.sum(axis=0).clip(1)
    return np.concatenate([enrichment, found["signed"][rows].mean(axis=0)])


def _places(
    found: Mapping[str, NDArray[Any]], rows: NDArray[np.intp], *, planted: bool
) -> dict[str, float]:
    names = ("pointing", "truth_area", "in_truth", "in_sham")
    if not planted:
        return dict.fromkeys((*names, "over_sham"), np.nan)
    own = {name: found[name][rows] for name in names}
    over = np.log(own["in_truth"] + SMALLEST) - np.log(own["in_sham"] + SMALLEST)
    return {name: _mean(values) for name, values in (own | {"over_sham": over}).items()}


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def ranking(tables: Mapping[str, pd.DataFrame], *, causes: int) -> pd.DataFrame:
    """Rank methods by their log score, each beside chance, the centre prior and the best method.

    Args:
        tables: By method, rows of :meth:`ReadOut.score` of the same networks and groups.
        causes: Number of causes among which a read-out chooses.

    Returns:
        A row per method, the best first: ``log_score`` with its interval over networks and people
        (:func:`fundus_ml.statistics.crossed.crossed_mean`), ``chance``, ``over_centre`` and
        ``behind_best`` (mean paired differences with intervals of the same kind, and p-values of
        sign flips of whole networks), and the means of the other columns.
    """
    wide = {method: _wide(table, "log_score") for method, table in tables.items()}
    best = max(wide, key=lambda method: float(np.nanmean(wide[method].to_numpy())))
    rows = []
    for method, table in tables.items():
        row: dict[str, object] = {"method": method, "networks": len(wide[method])}
        row |= _crossed(wide[method], "log_score")
        row["chance"] = float(np.log(1 / causes))
        for name, other in (("over_centre", CENTRE), ("behind_best", best)):
            if other in wide and other != method:
                sign = 1 if name == "over_centre" else -1
                gap = sign * (wide[method] - wide[other])
                row |= _crossed(gap, name) | {f"{name}_pvalue": _pvalue(gap)}
        for name in ("named", "false_claim", "log_score_used", "pointing", "truth_area"):
            row[name] = _mean(table[name].to_numpy(np.float64))
        over = _wide(table, "over_sham").dropna(how="all")
        if len(over):
            row |= _crossed(over, "over_sham")
        for name in ("in_truth", "in_sham", "seconds_per_eye"):
            row[name] = _mean(table[name].to_numpy(np.float64))
        rows.append(row)
    return pd.DataFrame(rows).sort_values("log_score", ascending=False, ignore_index=True)


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table.pivot_table(index="cell", columns="group", values=name, dropna=False)


def _crossed(wide: pd.DataFrame, name: str) -> dict[str, float]:
    values = wide.to_numpy(np.float64)
    return crossed_mean(values, np.arange(values.shape[1])).over_both.columns(name)


def _pvalue(wide: pd.DataFrame) -> float:
    values = wide.to_numpy(np.float64)
    networks = np.repeat(np.arange(len(values)), values.shape[1])
    return float(paired_means(values.reshape(-1, 1), networks).pvalue[0])
