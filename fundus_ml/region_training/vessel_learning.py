"""From marked photographs to the vessel network's weights and its card, with honest figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.vessel_network import (
    CARD_FILE,
    WEIGHTS_FILE,
    VesselNetwork,
    VesselWeights,
    save_vessel_network,
)
from fundus_ml.imaging.regions.vessels import vessel_probability
from fundus_ml.region_training.painted_vessels import paint_marked
from fundus_ml.region_training.vessel_marks import TracedEye
from fundus_ml.region_training.vessel_scores import choose_threshold, vessel_auroc, vessel_scores
from fundus_ml.region_training.vessels import VesselTraining, train_vessel_network

PAINTED = 48
"""Painted people learned from."""

PAINTED_SEED = 1
"""Seed of their population."""

PAINTED_SHARE = 0.3
"""Share of painted crops beside those of one release."""

KEPT_OUT = 5
"""The last of so many people is kept out, to choose the threshold on."""

LICENCE = (
    "Weights are under the package's licence. No licence to pass on the photographs or marks of "
    "DRIVE and CHASE_DB1, which were learned from, is known: none is part of the package."
)

Releases = Mapping[str, Sequence[TracedEye]]
OnStep = Callable[[str, int, float], None]
"""Receives what is learned from, the step and its loss."""


class TrainedVessels(NamedTuple):
    """What :func:`learn_vessels` wrote.

    Attributes:
        weights: ``vessels.safetensors``.
        card: ``vessels.json``.
        figures: Mean over the photographs of a release, by ``<release>_<measure>``, of the
            network that never saw the release.
    """

    weights: Path
    card: Path
    figures: dict[str, float]


def learn_vessels(
    releases: Releases, config: VesselTraining, folder: Path, *, on_step: OnStep | None = None
) -> TrainedVessels:
    """Train once without each release, to measure, and once on all, to use.

    Args:
        releases: Eyes by the name of their release; two or more.
        config: How each network learns.
        folder: For weights, card and checkpoints; the same call goes on where it was stopped.
        on_step: Receives every step.

    Raises:
        InputError: There are fewer than two releases, or ``folder`` holds another training.
    """
    if len(releases) < 2:  # noqa: PLR2004 (one to learn from, one to measure on)
        raise InputError(f"releases={sorted(releases)}: two are needed, each measures the other")
    figures: dict[str, float] = {}
    thresholds = []
    for tested, eyes in releases.items():
        others = {name: taken for name, taken in releases.items() if name != tested}
        weights = learn_without_some(others, config, folder, on_step=on_step)
        thresholds.append(weights.threshold)
        measured = [measure_vessels(eye, weights) for eye in eyes]
        for name in measured[0]:
            figures[f"{tested}_{name}"] = float(np.mean([row[name] for row in measured]))
    network = _train(releases, config, folder / "checkpoints-all", on_step)
    card = {
        "what": "vessels of a fundus photograph, from local contrast of the field at 640 pixels",
        "data": {name: f"{len(eyes)} photographs" for name, eyes in releases.items()}
        | {"painted": f"eyes of {PAINTED} people, seed {PAINTED_SEED}"},
        "recipe": asdict(config),
        "seed": config.seed,
        "threshold": round(float(np.mean(thresholds)), 3),
        "left_out": {name: round(value, 4) for name, value in figures.items()},
        "licence": LICENCE,
    }
    save_vessel_network(network, folder, card)
    return TrainedVessels(folder / WEIGHTS_FILE, folder / CARD_FILE, figures)


def learn_without_some(
    releases: Releases, config: VesselTraining, folder: Path, *, on_step: OnStep | None = None
) -> VesselWeights:
    """Train on painted eyes and most people of some releases; choose the threshold on the rest.

    Args:
        releases: Eyes by the name of their release.
        config: How.
        folder: For checkpoints.
        on_step: Receives every step.
    """
    learned: dict[str, list[TracedEye]] = {}
    kept_out: list[TracedEye] = []
    for name, eyes in releases.items():
        people = sorted({eye.person for eye in eyes})
        apart = set(people[-max(len(people) // KEPT_OUT, 1) :])
        learned[name] = [eye for eye in eyes if eye.person not in apart]
        kept_out += [eye for eye in eyes if eye.person in apart]
    network = _train(learned, config, folder / f"checkpoints-{'-'.join(learned)}", on_step)
    return VesselWeights(network, choose_threshold(network, kept_out))


def measure_vessels(eye: TracedEye, weights: VesselWeights) -> dict[str, float]:
    """Compare a network with the first observer: AUROC, Dice, sensitivity, specificity."""
    probability = vessel_probability(eye.image, eye.field, weights=weights)
    scores = vessel_scores(probability >= weights.threshold, eye.vessels, eye.counted)
    return {"auroc": vessel_auroc(probability, eye), **scores._asdict()}


def _train(
    releases: Releases, config: VesselTraining, folder: Path, on_step: OnStep | None
) -> VesselNetwork:
    painted = paint_marked(PAINTED, seed=PAINTED_SEED)
    shares = {name: (1 - PAINTED_SHARE, eyes) for name, eyes in releases.items()}
    what = "+".join(releases)
    return train_vessel_network(
        config,
        {"painted": (PAINTED_SHARE, painted), **shares},
        checkpoints=folder,
        on_step=None if on_step is None else lambda step, loss: on_step(what, step, loss),
    )
