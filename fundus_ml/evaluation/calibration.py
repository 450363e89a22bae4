"""What a logit is worth: a temperature and a threshold from validation eyes, and what they miss."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_curve

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Floats
from fundus_ml.statistics.ranking import finite, rank, same_length

__all__ = [
    "BINS",
    "UNCALIBRATED",
    "Calibration",
    "bin_gaps",
    "brier",
    "calibration_effect",
    "ece",
    "fit_calibration",
    "negative_log_likelihood",
    "probabilities",
    "reliability",
    "temperature_of",
    "youden_threshold",
]

BINS = 15
"""Equal bins of P(second class) in [0, 1] that ECE compares; Guo et al. 2017 use as many."""
TEMPERATURES = (0.01, 100.0)
"""A temperature is looked for between these; classes that are told apart perfectly have none."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How to read a logit.

    Attributes:
        temperature: P(second class) is ``sigmoid(logit / temperature)``; above 0.
        threshold: An eye is called the second class when its logit is above this.
    """

    temperature: float
    threshold: float

    def __post_init__(self) -> None:
        """Refuse what would turn the scale round or call everyone the same."""
        if not 0 < self.temperature < np.inf:
            raise InputError(f"temperature={self.temperature}: must be a finite number above 0")
        if not np.isfinite(self.threshold):
            raise InputError(f"threshold={self.threshold}: must be a finite number")

    @property
    def at_limit(self) -> bool:
        """Whether the temperature stands at an end of :data:`TEMPERATURES`: none fits better."""
        low, high = TEMPERATURES
        return not low * 1.01 < self.temperature < high / 1.01

    def tags(self) -> dict[str, str]:
        """Write it as a registered version keeps it; :meth:`from_tags` reads the same numbers."""
        return {"temperature": repr(self.temperature), "threshold": repr(self.threshold)}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Calibration":
        """Read what :meth:`tags` wrote.

        Raises:
            InputError: A tag is missing or no number.
        """
        missing = [name for name in ("temperature", "threshold") if name not in tags]
        if missing:
            raise InputError(f"no {' and no '.join(missing)} is stored")
        try:
            temperature, threshold = float(tags["temperature"]), float(tags["threshold"])
        except ValueError as error:
            raise InputError(f"stored calibration: {error}") from None
        return cls(temperature=temperature, threshold=threshold)


UNCALIBRATED = Calibration(temperature=1.0, threshold=0.0)
"""Logits as they come: P(second class) is their sigmoid, and above one half it is called."""


def fit_calibration(labels: ArrayLike, logits: ArrayLike) -> Calibration:
    """Fit temperature and threshold to the eyes of the validation split, each eye counting once.

    Args:
        labels: ``(n,)``, 0 or 1.
        logits: ``(n,)`` finite numbers.

    Raises:
        InputError: Lengths differ, a logit is not finite, or one class is absent.
    """
    rank(labels, logits)  # refuses what neither can be fitted to
    return Calibration(
        temperature=temperature_of(labels, logits), threshold=youden_threshold(labels, logits)
    )


def temperature_of(labels: ArrayLike, logits: ArrayLike) -> float:
    """Find the temperature of the least cross-entropy.

    Args:
        labels: ``(n,)``, 0 or 1.
        logits: ``(n,)`` finite numbers.

    Returns:
        Between the :data:`TEMPERATURES`; at the lower where the classes are told apart
        perfectly, at the upper where the logits point the wrong way.

    Raises:
        InputError: Lengths differ, or a number is not finite.

    Source:
        Guo et al. 2017, arXiv:1706.04599, for one logit instead of a softmax.
    """
    truth, numbers = finite("labels", labels), finite("logits", logits)
    same_length(labels=len(truth), logits=len(numbers))
    # The loss is convex in 1/temperature, so it has one valley along the logarithm too.
    found = minimize_scalar(
        lambda log: negative_log_likelihood(truth, numbers / np.exp(log)),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(found.x))


def youden_threshold(labels: ArrayLike, logits: ArrayLike) -> float:
    """Choose the logit that separates best: the largest sensitivity + specificity - 1.

    Args:
        labels: ``(n,)``, 0 or 1, both present.
        logits: ``(n,)`` finite numbers.

    Returns:
        Half-way between two neighbouring logits; of equally good places the one nearest to 0;
        the logit itself where all are equal.

    Source:
        Youden 1950, Cancer 3(1).
    """
    false, true, thresholds = roc_curve(labels, logits, drop_intermediate=False)
    # The first place calls nobody the second class, the last everybody: neither is a choice.
    gain, above = (true - false)[1:-1], thresholds[1:-1]
    if not len(above):
        return float(thresholds[-1])
    between = (above + thresholds[2:]) / 2
    best = between[np.isclose(gain, gain.max(), rtol=0, atol=1e-12)]
    return float(best[np.abs(best).argmin()])


def probabilities(logits: ArrayLike, *, temperature: float = 1.0) -> Floats:
    """P(second class), ``(n,)``, of logits ``(n,)`` at a temperature."""
    scaled: Floats = expit(np.asarray(logits, dtype=np.float64) / temperature)
    return scaled


def negative_log_likelihood(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean cross-entropy of logits ``(n,)`` against labels ``(n,)``, in nats."""
    signed = np.where(np.asarray(labels) == 1, 1, -1) * np.asarray(logits, dtype=np.float64)
    return float(np.logaddexp(0, -signed).mean())


def brier(labels: ArrayLike, prob: ArrayLike) -> float:
    """Mean squared distance of P(second class) from the label, in [0, 1]; a coin scores 0.25.

    Source:
        Brier 1950, Monthly Weather Review 78(1), for one of the two classes.
    """
    return float(brier_score_loss(finite("labels", labels), finite("prob", prob)))


def ece(labels: ArrayLike, prob: ArrayLike) -> float:
    """Expected calibration error: how far P is from the share of the class, bin by bin.

    Args:
        labels: ``(n,)``, 0 or 1.
        prob: ``(n,)`` in [0, 1].

    Returns:
        Mean over eyes, in [0, 1], of the absolute gap of their bin. Never 0 on few eyes, however
        well a network is calibrated: chance alone opens gaps.

    Source:
        Naeini et al. 2015, AAAI, for the second class, not the surer; :data:`BINS` equal bins.
    """
    gaps = bin_gaps(finite("labels", labels), finite("prob", prob))
    return float(np.abs(gaps.sum(axis=0)).sum() / len(gaps))


def calibration_effect(
    labels: ArrayLike, logits: ArrayLike, calibration: Calibration
) -> dict[str, float]:
    """Say what a calibration does to the logits of some eyes.

    Args:
        labels: ``(n,)``, 0 or 1.
        logits: ``(n,)`` finite numbers.
        calibration: Temperature and threshold.

    Returns:
        ``eyes``, ``sensitivity`` and ``specificity`` at the threshold, and ``nll``, ``brier`` and
        ``ece`` as the logits come and, ending in ``_calibrated``, at the temperature.
    """
    truth, numbers = finite("labels", labels), finite("logits", logits)
    called = numbers > calibration.threshold
    effect = {
        "eyes": float(len(truth)),
        "sensitivity": float(called[truth == 1].mean()),
        "specificity": float(1 - called[truth == 0].mean()),
    }
    for ending, temperature in (("", 1.0), ("_calibrated", calibration.temperature)):
        prob = probabilities(numbers, temperature=temperature)
        effect[f"nll{ending}"] = negative_log_likelihood(truth, numbers / temperature)
        effect[f"brier{ending}"] = brier(truth, prob)
        effect[f"ece{ending}"] = ece(truth, prob)
    return effect


def bin_gaps(labels: Floats, prob: Floats) -> Floats:
    """Spread ``label - prob`` over the bins of P(second class).

    Args:
        labels: ``(n,)``, 0 or 1.
        prob: ``(n,)`` in [0, 1]; one that lies on an edge belongs to the bin above.

    Returns:
        ``(n, BINS)``, zero but in each row's bin: weighted sums over rows are all ECE needs.
    """
    gaps = np.zeros((len(prob), BINS))
    gaps[np.arange(len(prob)), _bins(prob)] = labels - prob
    return gaps


def reliability(labels: ArrayLike, prob: ArrayLike) -> pd.DataFrame:
    """Compare P(second class) with the share of that class in each bin that holds an eye.

    Args:
        labels: ``(n,)``, 0 or 1.
        prob: ``(n,)`` in [0, 1].

    Returns:
        ``bin low high eyes prob share``: the bin's place and edges, how many eyes, their mean
        P, and the share that is of the class.
    """
    eyes = pd.DataFrame({"prob": finite("prob", prob), "share": finite("labels", labels)})
    bins = eyes.assign(bin=_bins(eyes["prob"].to_numpy())).groupby("bin")
    table = bins.mean().assign(eyes=bins.size()).reset_index()
    return table.assign(low=table["bin"] / BINS, high=(table["bin"] + 1) / BINS)[
        ["bin", "low", "high", "eyes", "prob", "share"]
    ]


def _bins(prob: Floats) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    if prob.min() < 0 or prob.max() > 1:
        raise InputError(f"prob: must lie in [0, 1], not from {prob.min():g} to {prob.max():g}")
    return np.minimum((prob * BINS).astype(np.intp), BINS - 1)
