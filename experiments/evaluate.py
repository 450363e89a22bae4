"""Entry point ``evaluate``: what a registered version scores, clean and under attack.

Every eye of the split is scored clean and after an untargeted PGD attack at each budget. Measures
come per eye and per person, with 95 % intervals clustered by person, in every subgroup, and beside
the accuracy of naming the commoner class. The threshold and the temperature come from validation.
With ``attacks=suite`` several attacks follow at each budget, with and without a gradient: what is
left under the worst of them, how small a change flips an eye, and whether a gradient is masked.

External validation: ``split=all attacks=none calibration=version`` scores every eye of a dataset
that holds nobody the version learned from, at the threshold and temperature it carries.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import tracking
from experiments import recording, running
from experiments.recording.options import ALL, ScoreOptions
from experiments.running import console
from experiments.running.flags import Numbers, StepLength, run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import data, evaluation, robust_evaluation
from fundus_ml.data.options import Verify
from fundus_ml.errors import InputError, refuse_outside

if TYPE_CHECKING:
    import pandas as pd

CALIBRATIONS = ("validation", "version")
ATTACK_SETS = ("none", "pgd", "suite")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ScoreOptions, ConsoleOptions):
    """Flags of ``evaluate``."""

    WRITES_RESULTS: ClassVar[bool] = True

    dataset: str
    """Dataset folder, or several with commas between them."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    model: str = "models:/fundus-sex@robust"
    """Registered version to measure."""
    split: str = "test"
    """Split to score: train, val or test; or all, every eye of a dataset that holds nobody the
    version learned from (external validation, with calibration=version)."""
    calibration: str = "validation"
    """Temperature and threshold: validation fits them to the dataset's validation eyes, version
    takes those stored with the version."""
    eps: Numbers = Numbers("3")  # noqa: RUF009 (immutable)
    """Budgets of the attack with commas between them; the clean score is always there."""
    step_size: StepLength = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps."""
    attacks: str = "pgd"
    """Attacks: pgd, or suite, which adds one step, PGD with 20 and 100 steps, APGD on two losses,
    Square, the worst of all, and the smallest change that flips each eye; none scores clean eyes
    only, whatever eps says."""
    suite_eyes: int = 0
    """suite: about so many eyes, whole people drawn by seed; 0 is all eyes of the split."""
    suite_steps: int = 100
    """suite: steps of APGD and of the search for the smallest change."""
    suite_restarts: int = 3
    """suite: random starts of APGD."""
    suite_queries: int = 1000
    """suite: points that Square tries of each eye."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse_outside(
            self,
            at_least={"suite_eyes": 0, "suite_steps": 1, "suite_restarts": 1, "suite_queries": 1},
            one_of={"calibration": CALIBRATIONS, "attacks": ATTACK_SETS},
        )
        if self.split == ALL and self.calibration == "validation":
            raise InputError(
                "split=all with calibration=validation: would fit threshold and temperature to "
                "eyes that are scored; give calibration=version"
            )
        if self.attacks == "suite":
            self.suite()

    def score_options(self) -> ScoreOptions:
        """How to score; without attacks there are no budgets."""
        return dataclasses.replace(self, eps=Numbers(())) if self.attacks == "none" else self

    def suite(self) -> "robust_evaluation.AttackSuite":
        """Make the attack suite; each budget must be above 0."""
        return robust_evaluation.AttackSuite(
            constraint=self.constraint,
            eps=self.eps,
            attack_steps=self.suite_steps,
            restarts=self.suite_restarts,
            queries=self.suite_queries,
            batch_size=self.batch_size,
            precision=self.precision,
            seed=self.seed,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("evaluate", EvaluateConfig, evaluate, argv, processes=True)


def evaluate(config: EvaluateConfig, run: "tracking.Run") -> "pd.DataFrame":
    """Score a split clean and attacked, record every prediction and the measures."""
    dataset = running.read_dataset_for(
        run, config.dataset, [config.model], context="evaluate", verify=config.verify
    )
    fits = config.calibration == "validation"
    recording.check_splits_to_score(dataset, config.split, bootstrap=config.bootstrap, fits=fits)
    attacked = recording.drawn_eyes(
        recording.scored_eyes(dataset, config.split),
        eyes=config.suite_eyes,
        seed=config.seed,
        resamples=config.bootstrap,
    )
    classifier, version = running.read_model(run, config.model)
    if config.split == ALL:
        running.refuse_known_people(run, version, dataset)
    else:
        running.possibly_trained_on(run, [version], dataset, split=config.split)
    calibration = None if fits else stored_calibration(version)
    measured = recording.score_split(
        run,
        classifier,
        dataset,
        split=config.split,
        options=config.score_options(),
        name=version.uri,
        calibration=calibration,
        beside=_beside(version, dataset) if config.split == ALL else (),
        beside_shortcuts=True,
    )
    predicted, metrics, tags = measured.predicted, measured.metrics, {}
    if config.attacks == "suite":
        suite = recording.score_suite(
            run,
            classifier,
            attacked,
            config.suite(),
            split=config.split,
            calibration=evaluation.Calibration.from_tags(measured.tags),
            resamples=config.bootstrap,
        )
        predicted = suite.added_to(predicted)
        metrics, tags = metrics | suite.metrics, suite.tags
    tracking.record_predictions(
        predicted.assign(dataset_digest=dataset.digest), run=run, model=version
    )
    run.log_metrics(metrics)
    if not run.silent:
        tracking.tag_version(version, tags)
        if fits:
            _keep(version, measured)
        recording.refresh_card(run, version)
    return measured.table


def stored_calibration(version: "tracking.ModelVersion") -> "evaluation.Calibration":
    """Read the temperature and the threshold that a version carries.

    Raises:
        InputError: It carries none.
    """
    try:
        return evaluation.Calibration.from_tags(version.tags)
    except InputError as error:
        raise InputError(
            f"calibration=version: {version.uri}: {error}; calibration=validation fits one"
        ) from None


def _beside(version: "tracking.ModelVersion", dataset: "data.FundusDataset") -> list[str]:
    """Say what an external validation is read beside."""
    lines = [recording.training_baseline(tracking.making_of(version))]
    if version.tags.get("calibrated_on") in dataset.digests:
        lines.append(
            f"{version.uri} has its temperature and threshold from this very dataset, which "
            "flatters every measure but AUROC and AUPRC"
        )
    return lines


def _keep(version: "tracking.ModelVersion", measured: "recording.SplitScores") -> None:
    """Store the calibration with the version, unless it has one from other eyes."""
    theirs = version.tags.get("calibrated_on")
    if theirs in (None, measured.tags["calibrated_on"]):
        tracking.tag_version(version, measured.tags)
    else:
        console.remark(
            f"{version.uri} keeps the temperature and threshold it has from dataset {theirs}; "
            "those of this run are in its calibration.json"
        )


if __name__ == "__main__":
    main()
