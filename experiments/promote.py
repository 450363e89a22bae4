"""Entry point ``promote``: let the alias ``champion`` move to a version that has earned it.

A version earns it where the interval of its AUROC lies above what shortcuts reach on the same eyes
and, where another version is the champion, the interval of the paired difference lies above
``least_gain``. The test split decides, for validation has chosen epochs, settings and thresholds.
Every training measured its version there too, so both intervals hold for the best of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tracking
from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import data, evaluation, model_selection
from fundus_ml.data.options import TRUE, Verify
from fundus_ml.errors import InputError, check_seed, refuse_outside

CHAMPION = "champion"
CHOSE = "split={}: {}, so a version's scores there are too high by luck; the test split decides"
WHAT_CHOSE = {"val": "chose each version's epoch and settings", "train": "taught each version"}


@dataclass(frozen=True, kw_only=True)
class PromoteConfig(ConsoleOptions):
    """Flags of ``promote``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    model: str = "models:/fundus-sex@candidate"
    """Registered version that would be champion."""
    split: str = "test"
    """Split that decides: test; val, which chose epochs and settings, is refused."""
    least_gain: float = 0.0
    """AUROC that the paired interval over the champion must lie above; a small negative number
    lets a version pass that is shown not to be worse by more than that."""
    batch_size: int = 32
    """Eyes per pass."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.split in WHAT_CHOSE:
            raise InputError(CHOSE.format(self.split, WHAT_CHOSE[self.split]))
        refuse_outside(self, one_of={"split": ("test",)})
        check_seed(self.seed)
        if not -1 < self.least_gain < 1:
            raise InputError(f"least_gain={self.least_gain}: must lie between -1 and 1")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("promote", PromoteConfig, promote, argv)


def promote(config: PromoteConfig, run: "tracking.Run") -> "model_selection.Decision":
    """Ask whether a version has earned the alias, move it or not, and say why."""
    version = tracking.resolve(config.model)
    learned = running.learned_labels(version)
    if learned != TRUE:
        raise InputError(f"model={config.model}: learned {learned} labels; no champion, a control")
    champion = tracking.find_alias(version.name, CHAMPION)
    rivals = _rivals(champion, version)
    dataset = running.read_dataset_for(
        run,
        config.dataset,
        [each.uri for each in (version, *rivals)],
        context="promote",
        verify=config.verify,
    )
    eyes = dataset.split(config.split)
    evaluation.check_measurable(eyes, resamples=config.bootstrap)
    classifier, _ = running.read_model(run, version.uri)
    models = {version.uri: classifier} | {
        rival.uri: running.read_model(run, rival.uri)[0] for rival in rivals
    }
    run.set_tags({"model_version": version.uri, "champion_before": _uri(champion)})
    running.possibly_trained_on(run, [version, *rivals], dataset, split=config.split)
    table = model_selection.compare_scorers(
        eyes.frame,
        running.score_all(models, eyes, batch_size=config.batch_size),
        reference=version.uri,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    decision = model_selection.decide(
        model_selection.auroc_of(table, version.uri),
        model_selection.shortcut_baseline_of(recording.audit_of(dataset), eyes),
        gains={rival.uri: model_selection.difference_of(table, rival.uri) for rival in rivals},
        among=tracking.versions_to_choose_from(
            dataset.digests, candidate=version, champion=champion
        ),
        least_gain=config.least_gain,
        holds_already=_uri(champion) == version.uri,
    )
    run.log_table(table, "comparison.json")
    if decision.promoted and _uri(tracking.find_alias(version.name, CHAMPION)) != _uri(champion):
        raise InputError(
            f"model={config.model}: {version.name}@{CHAMPION} was given to another version "
            "meanwhile; compare with that one"
        )
    _carry_out(decision, run, version, dataset, split=config.split)
    if rivals and config.least_gain >= 0:
        console.say("of versions that are no better it promotes at most one in forty")
    return decision


def _rivals(
    champion: "tracking.ModelVersion | None", version: "tracking.ModelVersion"
) -> "list[tracking.ModelVersion]":
    """The champion, unless there is none or it is the version itself."""
    return [] if champion is None or champion.uri == version.uri else [champion]


def _uri(champion: "tracking.ModelVersion | None") -> str:
    return "none" if champion is None else champion.uri


def _carry_out(
    decision: "model_selection.Decision",
    run: "tracking.Run",
    version: "tracking.ModelVersion",
    dataset: "data.FundusDataset",
    *,
    split: str,
) -> None:
    """Record a decision, move the alias where it says so, and print it."""
    place = f"{split} split of {dataset.name}"
    run.log_table(decision.table(), "decision.json")
    console.table(decision.table(), final=True)
    made = tracking.record_decision(
        run,
        dataset_digest=dataset.digest,
        split=split,
        promoted=decision.promoted,
        reason=decision.reason,
    )
    if decision.promoted:
        passed_on = {
            "promoted_on": f"{place}, {dataset.digest}",
            "promoted_for": decision.reason,
            "promoted_among": str(decision.among),
        }
        tracking.tag_version(version, passed_on)
        tracking.set_alias(version, CHAMPION)
    verdict = "promoted to champion" if decision.promoted else "not promoted"
    console.say(f"{version.uri} {verdict}: {decision.reason}")
    console.say(f"decision {made} made on the {place}")


if __name__ == "__main__":
    main()
