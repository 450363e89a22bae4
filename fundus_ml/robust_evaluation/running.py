"""Many attacks on the same eyes, and the worst that any of them found."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fundus_ml.attacks.search import frozen
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation.scores import CLEAN
from fundus_ml.robust_evaluation.attack_suite import (
    ce_gradient,
    distance_of,
    make_attack,
    unbounded,
)
from fundus_ml.robust_evaluation.options import ATTACKS, AttackSuite
from fundus_ml.training.prediction import Perturb, each_eye, predict

WORST = "worst"
"""Stands as the attack where, of each eye, the most wrong logit under any attack is meant."""
IDENTITY = ["image_id", "patient_id", "person_group", "split", "label"]


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack suite found.

    Attributes:
        predicted: Rows as :func:`fundus_ml.evaluation.scores.predictions` makes them, ``attack``
            being ``none``, one of the attack suite's or ``worst``; budgets rise.
        probes: One row per eye: ``image_id person_group label logit`` clean, ``min_norm`` the
            smallest change found that flips it (0 where it is wrong already, inf where none was
            found; absent where not asked for), ``ce_gradient`` the largest value of the gradient of
            its cross-entropy, and ``unbounded`` its logit after a search without a budget.
    """

    predicted: pd.DataFrame
    probes: pd.DataFrame


def run_attack_suite(
    model: nn.Module,
    dataset: FundusDataset,
    suite: AttackSuite,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> Attacked:
    """Score every eye clean, under each attack at each budget, and probe for gradient masking.

    Several processes share the eyes.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; given back as it was.
        dataset: Eyes to attack, away from their labels.
        suite: What to run.
        on_step: Called with (eyes done, eyes in all), over all passes.

    Source:
        Croce & Hein 2020, arXiv:2003.01690 (parameter-free attacks together, the worst of them
        counts); Carlini et al. 2019, arXiv:1902.06705 (the probes).
    """
    jobs = [
        (name, eps) for eps in sorted(set(suite.eps)) for name in ATTACKS if name in suite.attacks
    ]
    passes = _Passes(model, dataset, suite, 3 + len(jobs) + suite.distances, on_step)
    logits = {(CLEAN, 0.0): passes.score(None)}
    for name, eps in jobs:
        logits[name, eps] = passes.score(make_attack(name, eps, suite))
    identity = dataset.frame[IDENTITY].reset_index(drop=True)
    probes = identity[["image_id", "person_group", "label"]].assign(
        logit=logits[CLEAN, 0.0].numpy(),
        ce_gradient=passes.probe(ce_gradient).numpy(),
        unbounded=passes.score(unbounded(suite)).numpy(),
    )
    if suite.distances:
        probes["min_norm"] = passes.probe(distance_of(suite)).numpy()
    rows = [_rows(identity, *job, suite.constraint, found) for job, found in logits.items()]
    return Attacked(predicted=with_worst(pd.concat(rows, ignore_index=True)), probes=probes)


def with_worst(predicted: pd.DataFrame) -> pd.DataFrame:
    """Add, per budget, the most wrong logit of each eye: clean, or under any of the attacks.

    An eye stands on the right side of a threshold there only if it does so under all attacks.
    """
    clean = predicted[predicted["attack"] == CLEAN]
    added = [predicted]
    for eps, rows in predicted[predicted["attack"] != CLEAN].groupby("eps"):
        everything = pd.concat([rows, clean])
        wrongness = everything["logit"] * (1 - 2 * everything["label"])
        worst = everything.assign(wrongness=wrongness).sort_values(
            "wrongness", ascending=False, kind="stable"
        )
        worst = worst.drop_duplicates("image_id").set_index("image_id")
        constraint = rows["constraint"].iloc[0]
        added.append(
            worst.loc[clean["image_id"]]
            .reset_index()
            .assign(attack=WORST, constraint=constraint, eps=eps)[predicted.columns]
        )
    return pd.concat(added, ignore_index=True)


def choose_people(dataset: FundusDataset, *, eyes: int, seed: int) -> FundusDataset:
    """Draw whole people until they have at least ``eyes`` eyes; 0 keeps everyone.

    Raises:
        InputError: ``eyes`` is below 0.
    """
    if eyes < 0:
        raise InputError(f"suite_eyes={eyes}: must be 0, which is all, or more")
    people = dataset.frame["person_group"].to_numpy()
    if eyes == 0 or eyes >= len(people):
        return dataset
    drawn = np.random.default_rng(seed).permutation(np.unique(people))
    counts = pd.Series(people).value_counts().loc[drawn].cumsum().to_numpy()
    enough = drawn[: int(np.searchsorted(counts, eyes)) + 1]
    return dataset.select(np.flatnonzero(np.isin(people, enough)))


class _Passes:
    """Passes over all eyes, counted, each with a seed of its own."""

    def __init__(
        self,
        model: nn.Module,
        dataset: FundusDataset,
        suite: AttackSuite,
        count: int,
        on_step: Callable[[int, int], None] | None,
    ) -> None:
        self.model, self.dataset, self.suite = model, dataset, suite
        self.count, self.done, self.on_step = count, 0, on_step

    def score(self, perturb: Perturb | None) -> Tensor:
        """Logits, in fp32, of the eyes as ``perturb`` leaves them."""
        logit = predict(
            self.model,
            self.dataset,
            batch_size=self.suite.batch_size,
            precision="fp32",
            perturb=perturb,
            seed=self.suite.seed + self.done,
            on_step=self._advance,
        )
        self.done += 1
        return logit

    def probe(self, value: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Tensor:
        """One number of each eye."""
        with frozen(self.model):
            found = each_eye(
                lambda images, labels, _: value(self.model, images, labels),
                self.dataset,
                batch_size=self.suite.batch_size,
                device=next(self.model.parameters()).device,
                on_step=self._advance,
            )
        self.done += 1
        return found

    def _advance(self, eyes: int, total: int) -> None:
        if self.on_step is not None:
            self.on_step(self.done * total + eyes, self.count * total)


def _rows(
    identity: pd.DataFrame, attack: str, eps: float, constraint: str, logit: Tensor
) -> pd.DataFrame:
    return identity.assign(
        attack=attack,
        constraint=CLEAN if attack == CLEAN else constraint,
        eps=eps,
        logit=logit.numpy(),
        prob=torch.sigmoid(logit).numpy(),
    )
