"""One requirement on an interval: all of it above a bar."""

from dataclasses import dataclass

from fundus_ml.statistics.bootstrap import Interval


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One thing a version must show.

    Attributes:
        name: What is measured.
        measured: With its 95 % interval.
        bar: What the lower end of the interval must lie above.
        against: What sets the bar.
    """

    name: str
    measured: Interval
    bar: float
    against: str

    @property
    def passed(self) -> bool:
        """Whether the whole interval lies above the bar; False where there is no interval."""
        return self.measured.low > self.bar

    def __str__(self) -> str:
        """Write the criterion with its figures."""
        lies = "lies above" if self.passed else "does not lie above"
        return f"{self.name} {self.measured:.3f} {lies} {self.bar:.3f} ({self.against})"
