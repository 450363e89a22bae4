"""When a version may be called the champion: by its intervals, never by its point values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from fundus_ml.auditing.record import Audit
from fundus_ml.auditing.shortcut_baseline import (
    BY_CHANCE,
    ShortcutBaseline,
    chance_level,
    make_shortcut_baseline,
)
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.criterion import Criterion
from fundus_ml.statistics.intervals import widened

SHORTCUT_BASELINE = "AUROC"
GAIN = "gain in AUROC"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a version becomes the champion, and why.

    Attributes:
        criteria: In the order they were asked.
        among: Versions that the one judged could have been chosen from.
        holds_already: The version is the champion.
    """

    criteria: tuple[Criterion, ...]
    among: int = 1
    holds_already: bool = False

    @property
    def promoted(self) -> bool:
        """Whether the alias moves."""
        return not self.holds_already and all(criterion.passed for criterion in self.criteria)

    @property
    def reason(self) -> str:
        """All criteria with their figures; only those that failed where one did."""
        failed = [criterion for criterion in self.criteria if not criterion.passed]
        words = "; ".join(str(criterion) for criterion in failed or self.criteria)
        if self.among > 1:
            words += f"; one of {self.among} versions measured there"
        return f"is the champion already; {words}" if self.holds_already else words

    def table(self) -> pd.DataFrame:
        """One row per criterion: ``criterion value low high among bar against passed``."""
        return pd.DataFrame(
            [
                {"criterion": criterion.name}
                | asdict(criterion.measured)
                | {
                    "among": self.among,
                    "bar": criterion.bar,
                    "against": criterion.against,
                    "passed": criterion.passed,
                }
                for criterion in self.criteria
            ]
        )


def decide(
    auroc: Interval,
    shortcut_baseline: ShortcutBaseline,
    *,
    gains: Mapping[str, Interval],
    among: int,
    least_gain: float = 0.0,
    holds_already: bool = False,
) -> Decision:
    """Judge a version by its intervals, widened for the number it could have been chosen from.

    Whoever names a version may have named the one that did best on these eyes. Of equal networks
    the best of 40 passes the plain interval in a quarter of cohorts (``benchmarks/promotion.py``).
    Only the AUROC against chance keeps its plain interval: that bar is the 95th percentile of luck,
    which the whole interval of one null model in 6,000 lies above.

    Args:
        auroc: AUROC of the version.
        shortcut_baseline: What shortcuts or chance reach on the same eyes.
        gains: AUROC of the version minus that of the champion, paired, by the champion's name;
            empty where there is no champion but the version.
        among: Versions measured on these eyes, 1 or more.
        least_gain: What the lower end of a gain must lie above. 0 asks for a version shown to be
            better; a small negative number for one shown not to be worse by more than that.
        holds_already: The version is the champion.
    """
    by_chance = shortcut_baseline.by == BY_CHANCE
    criteria = [
        Criterion(
            name=SHORTCUT_BASELINE,
            measured=auroc if by_chance else widened(auroc, among=among),
            bar=shortcut_baseline.value,
            against=f"shortcut baseline by {shortcut_baseline.by}",
        ),
        *(
            Criterion(
                name=GAIN,
                measured=widened(gain, among=among),
                bar=least_gain,
                against=f"over {champion}",
            )
            for champion, gain in gains.items()
        ),
    ]
    return Decision(criteria=tuple(criteria), among=among, holds_already=holds_already)


def shortcut_baseline_of(audit: Audit, split: FundusDataset) -> ShortcutBaseline:
    """The shortcut baseline of an audit, with the chance level of these eyes in place of test's."""
    people = split.frame["person_group"].to_numpy()
    chance = chance_level(split.labels, people, seed=audit.seed)
    return make_shortcut_baseline(audit.baselines, chance=chance, test_eyes=len(split))
