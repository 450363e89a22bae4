"""From a folder of marks to weights and their card, with nothing chosen on the test part."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fundus_ml.errors import InputError, Refused
from fundus_ml.imaging.photographs import read_file
from fundus_ml.imaging.regions.landmark_network import LandmarkNetwork
from fundus_ml.imaging.regions.landmarks import landmark_network
from fundus_ml.region_training.calibration import calibrate
from fundus_ml.region_training.cards import rounded_to_half, write_trained
from fundus_ml.region_training.examples import (
    Examples,
    keep_examples,
)
from fundus_ml.region_training.gathering import marked_examples, painted_examples
from fundus_ml.region_training.landmarks import (
    LandmarkTraining,
    started_from_imagenet,
    train_landmarks,
)
from fundus_ml.region_training.marks import PARTS, MarkedEye, part_of
from fundus_ml.region_training.measuring import border_scales, measured

OnProgress = Callable[[str, int, int], None]
"""Called with the stage, how much of it is done, and how much there is."""
OnRefused = Callable[[Path, Refused], None]
"""Told each marked photograph that is not taken, and why."""
VAL_PATIENTS = 40
"""Invented patients whose eyes calibrate; others are learned from."""


@dataclass(frozen=True)
class TrainedLandmarks:
    """What a training left.

    Attributes:
        weights: File of weights.
        card: File of its card.
        figures: Shares and means on the photographs of the val and test parts.
    """

    weights: Path
    card: Path
    figures: dict[str, float]


def learn_landmarks(
    marks: Sequence[MarkedEye],
    training: LandmarkTraining,
    out: Path,
    *,
    patients: int,
    variants: int,
    sources: Sequence[str] = (),
    packaged: bool = False,
    on_progress: OnProgress = lambda _stage, _done, _total: None,
    on_losses: Callable[[int, dict[str, float]], None] = lambda _step, _losses: None,
    on_refused: OnRefused = lambda _path, _refused: None,
) -> TrainedLandmarks:
    """Cut out, paint, train, calibrate, measure, write.

    Args:
        marks: Photographs with marks; those of part ``train`` are learned from, those of ``val``
            calibrate, those of ``test`` are only measured.
        training: How to train.
        out: Folder for the weights, the card, the examples and the checkpoints.
        patients: Invented patients whose painted eyes are learned from.
        variants: Hard variants of each ``val`` photograph to calibrate with.
        sources: Releases to learn from, all without; the photographs of others are only measured.
        packaged: Begin with the packaged weights instead of ImageNet's.
        on_progress: Told how far each stage is.
        on_losses: Told the parts of the loss after each step.
        on_refused: Told each photograph that cannot be read or shows no field of view.

    Raises:
        InputError: A part has no photograph that is taken, or ``out`` holds another training.
    """
    parts = _parts(marks, sources, out, on_progress, on_refused)
    painted, painted_val = (
        keep_examples(
            out / f"painted_{count}_{seed}.npz",
            lambda count=count, seed=seed: painted_examples(  # type: ignore[misc]
                count, seed=seed, on_eye=lambda done, total: on_progress("paint", done, total)
            ),
        )
        for count, seed in ((patients, training.seed + 1), (VAL_PATIENTS, training.seed))
    )

    def on_step(step: int, steps: int, losses: dict[str, float]) -> None:
        on_progress("train", step, steps)
        on_losses(step, losses)

    start = _packaged() if packaged else started_from_imagenet(training.seed)
    network = train_landmarks(
        parts["train"],
        painted,
        training,
        checkpoints=out / "checkpoints",
        on_step=on_step,  # type: ignore[arg-type]
        start=start,
    )
    rounded_to_half(network)
    weights = calibrate(
        network,
        parts["val"],
        painted_val,
        variants=variants,
        seed=training.seed,
        on_variant=lambda done, total: on_progress("calibrate", done, total),
    )
    scales = border_scales(network, parts["val"], painted_val)
    figures = {
        f"{name}_{figure}": value
        for name, examples in (
            ("val", parts["val"]),
            ("test", parts["test"]),
            ("painted", painted_val),
        )
        for figure, value in measured(network, weights, scales, examples).items()
    }
    counts = {part: len(examples) for part, examples in parts.items()}
    learned_from = sorted({eye.source for eye in marks if not sources or eye.source in sources})
    card = {
        "what": "Optic disc, cup and fovea on the 256-pixel square of a fundus photograph",
        "data": {
            "marked": counts,
            "refused": len(marks) - sum(counts.values()),
            "learned_from": learned_from,
            "painted": {"train": len(painted), "val": len(painted_val)},
        },
        "split": "by the SHA-256 of the file's name 48 train, 12 val, 40 test of 100; releases not "
        "learned from are test; people with several photographs cannot be told apart",
        "cup": "learned from painted eyes alone",
        "licences": {name: told for name, told in LICENCES.items() if name in learned_from},
        "start": "packaged weights" if packaged else "EfficientNet-Lite0, ImageNet (Apache-2.0)",
        "training": {**asdict(training), "minutes": None},
        "scales": scales,
        "confidence": weights,
        "figures": {name: round(value, 4) for name, value in figures.items()},
    }
    return TrainedLandmarks(*write_trained(network, card, out, part="landmarks"), figures)


LICENCES = {
    "IDRiD": "CC BY 4.0; Porwal et al. 2018, doi:10.3390/data3030025",
    "DIARETDB1": "for research only, neither redistributed nor modified; Kauppi et al. 2007, "
    "doi:10.5244/C.21.15",
}
"""Terms of releases that were learned from; no photograph is part of the package."""


def _parts(
    marks: Sequence[MarkedEye],
    sources: Sequence[str],
    out: Path,
    on_progress: OnProgress,
    on_refused: OnRefused,
) -> dict[str, Examples]:
    known = {eye.source for eye in marks}
    if unknown := [source for source in sources if source not in known]:
        raise InputError(f"sources={unknown[0]}: the marks know {', '.join(sorted(known))}")
    parts = {}
    for part in PARTS:
        eyes = [eye for eye in marks if part_of(eye, sources) == part]
        if not eyes:
            raise InputError(
                f"marks: none of the {len(marks)} photographs falls into the part {part}; their "
                "names decide, so take more of them"
            )
        parts[part] = keep_examples(
            out / f"marked_{part}_{_digest(eyes)}.npz",
            lambda eyes=eyes: marked_examples(  # type: ignore[misc]
                eyes,
                on_eye=lambda done, total: on_progress("cut out", done, total),
                on_refused=on_refused,
            ),
        )
    return parts


def _digest(eyes: Sequence[MarkedEye]) -> str:
    """Tell photographs and marks apart, so that kept squares are never those of others."""
    content = hashlib.sha256()
    for eye in eyes:
        content.update(repr((eye.path.name, eye.box, eye.fovea)).encode())
        try:
            content.update(read_file(eye.path))
        except Refused as refused:  # told where the squares are made
            content.update(refused.reason.encode())
    return content.hexdigest()[:12]


def _packaged() -> LandmarkNetwork:
    """A copy of the packaged network that may learn."""
    return copy.deepcopy(landmark_network()).requires_grad_(requires_grad=True)
