"""Entry point ``audit``: what could tell the sexes apart on a dataset without looking at the eye.

Counts, leakage between the splits, shortcut baselines each against its permutation null, a verdict
in words, and the AUROC below which a model has shown nothing. `preprocess` audits what it writes;
this entry point does so for composites, and again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import auditing
from fundus_ml.data.options import Verify
from fundus_ml.errors import check_seed

if TYPE_CHECKING:
    import tracking


@dataclass(frozen=True, kw_only=True)
class AuditConfig(ConsoleOptions):
    """Flags of ``audit``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    contrast: str = "sex"
    """Question whose shortcuts are looked for; what it may be: see train."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    permutations: int = 1000
    """Shuffled labels behind the chance levels."""
    seed: int = 0
    """Seed of the shuffles and the intervals."""

    def __post_init__(self) -> None:
        """Refuse a seed out of range."""
        check_seed(self.seed)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("audit", AuditConfig, audit, argv)


def audit(config: AuditConfig, run: "tracking.Run") -> "auditing.Audit":
    """Audit one dataset or a composite and record what was found."""
    dataset = running.read_dataset(
        run, config.dataset, context="audit", verify=config.verify, contrast=config.contrast
    )
    with console.progress("audit", "step") as on_progress:
        found = auditing.audit_dataset(
            dataset,
            None,
            permutations=config.permutations,
            seed=config.seed,
            on_progress=on_progress,
        )
    recording.log_audit(run, found)
    for verdict in found.verdicts:
        console.say(verdict)
    console.say(f"shortcut_baseline: {found.shortcut_baseline:.3f} ({found.shortcut_baseline_by})")
    return found


if __name__ == "__main__":
    main()
