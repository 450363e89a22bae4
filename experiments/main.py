"""Entry point ``main``: the whole chain under one parent run.

Photographs become a dataset folder, a classifier learns sex from it, adversarial training makes it
robust, both are evaluated under the same attack, and both modulate the same eyes. Ends with
``summary.json`` and ``summary.html`` in ``out``. The defaults are the demonstration on synthetic
eyes, where the place of the difference between the sexes is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments import recording, running
from experiments.evaluate import EvaluateConfig, evaluate
from experiments.modulate import ModulateConfig, modulate_eyes
from experiments.preprocess import PreprocessConfig, prepare
from experiments.robustify import RobustifyConfig, robustify
from experiments.running import console
from experiments.running.flags import Number, Numbers, run_entry_point
from experiments.running.identity import adopted
from experiments.running.options import ConsoleOptions, check_reuse
from experiments.train import TrainConfig, train
from fundus_ml import auditing
from fundus_ml.errors import InputError
from fundus_ml.robust_evaluation.options import check_gate_radius
from fundus_ml.statistics.numerals import plain

if TYPE_CHECKING:
    import tracking


STEPS = 7


@dataclass(frozen=True, kw_only=True)
class MainConfig(ConsoleOptions):
    """Flags of ``main``."""

    WRITES_RESULTS: ClassVar[bool] = True

    source: str = "synthetic"
    """Release to read: synthetic, odir, brset, mbrset, papila or folder."""
    root: str = ""
    """Folder of the release; not needed by synthetic."""
    table: str = "labels.csv"
    """folder: file name of the table."""
    name: str = "folder"
    """folder: stands before every id."""
    hash_ids: str = ""
    """File of a secret salt; ids of people and photographs become hashes, as in `preprocess`."""
    out: str = "data/demo"
    """Folder for the dataset and the summary."""
    size: int = 64
    """Side of the square eyes, pixels."""
    patients: int = 360
    """synthetic: people to draw; each has one or two eyes."""
    cue: str = "disc"
    """synthetic: where the sexes differ: disc, vessels, macula or none."""
    cue_strength: float = 4.0
    """synthetic: distance between the sexes on the planted trait, standard deviations."""
    arch: str = "test_resnet"
    """Backbone, by its name in torchvision or timm."""
    weights: str = "none"
    """Start weights: imagenet, none, or a state-dict file."""
    epochs: int = 12
    """Clean passes over the training split."""
    lr: float = 1e-3
    """Peak learning rate of the clean epochs."""
    batch_size: int = 32
    """Images per step."""
    constraint: str = "l2"
    """Ball of the attacks: l2 or linf."""
    eps: Number = Number("1/4")  # noqa: RUF009 (immutable)
    """Radius that adversarial training and evaluation use; pixels lie in [0, 1]."""
    robust_epochs: int = 8
    """Adversarial passes over the training split."""
    robust_lr: float = 3e-3
    """Peak learning rate of the adversarial epochs."""
    attack_steps: int = 3
    """Attack steps per batch of adversarial training."""
    gate: bool = True
    """Ask whether the robust version stands several attacks on the test split, which gives it the
    alias robust; false gives none."""
    evaluate_steps: int = 20
    """Attack steps of the evaluation."""
    modulate_eps: Numbers = Numbers("0.25,0.5,1,2")  # noqa: RUF009 (immutable)
    """Budgets of the modulation; `eps` must be among them."""
    modulate_steps: int = 10
    """Gradient steps per budget of the modulation."""
    images: int = 10
    """Eyes to modulate."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Seed of the synthetic people, the split, the weights, the training and the choice of eyes."""
    workers: int = 0
    """Processes that read photographs; 0 is one per core."""
    register_as: str = "fundus-sex"
    """Name in the model registry."""
    reuse: str = "same"
    """Which finished runs stand for steps with the same flags and inputs: same (made by this very
    commit), any (by whatever code), or no (every step runs)."""

    def __post_init__(self) -> None:
        """Refuse what a later step would only find after minutes."""
        check_reuse(self.reuse)
        self.preprocess()
        self.train()
        for step in (self.robustify, self.evaluate, self.modulate):
            step("models:/fundus-sex/1")
        if self.gate:
            check_gate_radius(self.constraint, self.eps, size=self.size)
        if self.eps not in self.modulate_eps:
            raise InputError(
                f"modulate_eps={self.modulate_eps}: must hold eps={plain(self.eps)}, at which the "
                "models are compared"
            )

    @property
    def dataset(self) -> str:
        """Where the dataset folder goes."""
        return f"{self.out}/dataset"

    def design(self) -> "recording.Design":
        """What the summary says was asked; photographs have no planted difference."""
        return recording.Design(
            planted=self.cue if self.source == "synthetic" else None,
            size=self.size,
            constraint=self.constraint,
            eps=float(self.eps),
        )

    def preprocess(self) -> PreprocessConfig:
        """Flags of the first step."""
        return adopted(self, PreprocessConfig, out=self.dataset)

    def train(self) -> TrainConfig:
        """Flags of the clean training."""
        return adopted(self, TrainConfig, dataset=self.dataset)

    def robustify(self, model: str) -> RobustifyConfig:
        """Flags of the adversarial training that starts from ``model``."""
        return adopted(
            self,
            RobustifyConfig,
            dataset=self.dataset,
            model=model,
            epochs=self.robust_epochs,
            lr=self.robust_lr,
        )

    def evaluate(self, model: str) -> EvaluateConfig:
        """Flags of the evaluation of ``model``."""
        return adopted(
            self,
            EvaluateConfig,
            dataset=self.dataset,
            model=model,
            eps=Numbers([self.eps]),
            attack_steps=self.evaluate_steps,
        )

    def modulate(self, model: str) -> ModulateConfig:
        """Flags of the modulation by ``model``."""
        return adopted(
            self,
            ModulateConfig,
            dataset=self.dataset,
            model=model,
            eps=self.modulate_eps,
            attack_steps=self.modulate_steps,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("main", MainConfig, run_chain, argv)


def run_chain(config: MainConfig, run: "tracking.Run") -> None:
    """Run every step as a child of this run, or find the run that did it; write the summary."""
    folder = running.make_folder(config.out)
    recording.remove_summary(folder)
    steps = running.Steps(total=STEPS, reuse=config.reuse)
    prepared = steps.prepare(prepare, config.preprocess(), root=config.root, folder=config.dataset)
    inputs = {"dataset": prepared.tags["dataset_digest"]}
    clean = steps.run("train", "train", train, config.train(), inputs=inputs)
    robust = steps.run(
        "robustify",
        "robustify",
        robustify,
        config.robustify(clean.registered.uri),
        inputs=inputs | {"model": clean.registered.content},
    )
    findings = {
        name: _examine(config, steps, trained, name, inputs)
        for name, trained in {"clean": clean, "robust": robust}.items()
    }
    steps.log(run)
    audit = auditing.read_audit(running.user_path(config.dataset) / auditing.AUDIT)
    recording.write_summary(run, config.design(), audit, findings, folder)
    recording.write_lineage(run)
    console.say(f"open {folder / 'summary.html'}, or `make ui` for every run and picture")


def _examine(
    config: MainConfig,
    steps: "running.Steps",
    trained: "tracking.Step",
    name: str,
    inputs: dict[str, str],
) -> "recording.ModelFindings":
    uri = trained.registered.uri
    # Rows and pictures are of one version, another one of its weights has none.
    read = inputs | {"model": trained.registered.model_id}
    evaluated = steps.run(
        f"evaluate {name}",
        "evaluate",
        evaluate,
        config.evaluate(uri),
        inputs=read,
        keep=lambda scores: {"scores": scores},
    )
    modulated = steps.run(
        f"modulate {name}",
        "modulate",
        modulate_eyes,
        config.modulate(uri),
        inputs=read,
        keep=lambda found: {"effect": found.effect, "enrichment": found.enrichment},
    )
    return recording.ModelFindings(
        version=trained.registered,
        evaluated=evaluated.run_id,
        modulated=modulated.run_id,
        seconds_per_step=trained.metrics["seconds_per_step"],
        scores=running.read_kept(evaluated, "scores"),
        effect=running.read_kept(modulated, "effect"),
        enrichment=running.read_kept(modulated, "enrichment"),
    )


if __name__ == "__main__":
    main()
