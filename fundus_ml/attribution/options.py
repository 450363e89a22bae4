"""How finely an attribution method looks; imports nothing that takes time."""

from dataclasses import dataclass

from fundus_ml.errors import InputError, check_seed, refuse_outside

BASELINES = ("mean", "black", "blur")
XRAI_ALGORITHMS = ("fast", "full")


@dataclass(frozen=True, kw_only=True)
class AttributionOptions:
    """How finely each method looks, and what it puts in place of pixels."""

    batch_size: int = 16
    """Pictures per pass."""
    integration_steps: int = 32
    """Gradients along the path of integrated gradients, and along each of XRAI's two."""
    noisy_passes: int = 16
    """Noisy copies of each eye behind a SmoothGrad map."""
    noise: float = 0.15
    """Standard deviation of SmoothGrad's noise, in ranges of the eye's pixels."""
    window: float = 0.1
    """Side of the window that occlusion hides, in sides of the picture."""
    stride: float = 0.05
    """Distance between two windows, in sides of the picture; at most the window."""
    baseline: str = "mean"
    """What integrated gradients and occlusion put in place: mean (the eye's mean colour over the
    square), black, or blur (the eye without detail)."""
    modulation_rms: float = 2.0
    """Budget of the modulation towards each class: per-value RMS of the change, grey levels."""
    modulation_steps: int = 20
    """Gradient steps of the modulation towards each class."""
    xrai: str = "fast"
    """How XRAI orders its segments: fast, or full, which recounts the gain after each."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        counts = ("batch_size", "integration_steps", "noisy_passes", "modulation_steps")
        refuse_outside(
            self,
            at_least=dict.fromkeys(counts, 1),
            one_of={"baseline": BASELINES, "xrai": XRAI_ALGORITHMS},
        )
        for name, most in (("noise", 1.0), ("window", 1.0), ("modulation_rms", 255.0)):
            value = getattr(self, name)
            if not 0 < value <= most:
                raise InputError(f"{name}={value}: must be above 0 and at most {most:g}")
        if not 0 < self.stride <= self.window:
            raise InputError(
                f"stride={self.stride}: must be above 0 and at most window={self.window}, "
                "or pixels between windows are never hidden"
            )
        check_seed(self.seed)
