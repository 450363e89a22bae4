"""Entry point ``real_eyes``: the whole method on photographs, for several questions at once.

A release is preprocessed once. For each contrast a network is trained, made robust at each radius
of a ladder, evaluated and asked what it sees, beside null models that learned shuffled labels from
the start. Diseases whose place in the eye is known say whether the answers deserve belief. Ends
with one table and one page in ``out``. A step whose flags, inputs and code have not changed is not
run again, so a killed chain goes on where it stood when the same command is given again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from experiments import recording, running
from experiments.evaluate import EvaluateConfig, evaluate
from experiments.modulate import ModulateConfig, modulate_eyes
from experiments.preprocess import PreprocessConfig, prepare
from experiments.robustify import RobustifyConfig, robustify
from experiments.running import console
from experiments.running.flags import Number, Numbers, run_entry_point
from experiments.running.identity import adopted
from experiments.running.options import ConsoleOptions, check_reuse
from experiments.train import TrainConfig, check_learnable, train
from fundus_ml import models
from fundus_ml.data.options import SHUFFLED, TRUE
from fundus_ml.errors import InputError, refuse_outside
from fundus_ml.robust_evaluation.options import LEAST_GREY_LEVELS, radius_of

if TYPE_CHECKING:
    import tracking

CPU_SIZE, GPU_SIZE = 128, 300
"""Sides of the eyes, pixels, at which a robust training takes minutes."""
LOOKS = 2
"""Eyes whose modulation is shown at every radius: one of either class."""
EXAMINED = 2
"""Steps of a contrast beside its trainings and its looks: evaluation and modulation."""


@dataclass(frozen=True, kw_only=True)
class RealEyesConfig(ConsoleOptions):
    """Flags of ``real_eyes``."""

    WRITES_RESULTS: ClassVar[bool] = True

    source: str = "odir"
    """Release to read: odir, brset, mbrset, papila or folder."""
    root: str
    """Folder of the release."""
    table: str = "labels.csv"
    """folder: file name of the table."""
    hash_ids: str = ""
    """File of a secret salt; ids of people and photographs become hashes, as in `preprocess`."""
    out: str = "data/real_eyes"
    """Folder for the dataset, the galleries and the page."""
    contrasts: str = "glaucoma,amd,myopia,sex"
    """Questions with commas between them, as `train` takes them."""
    size: int = 0
    """Side of the square eyes, pixels; 0 is 128, or 300 where there is a GPU."""
    stratify: Literal["age", "findings"] = "age"
    """What each split gets its share of, beside sex and source; as in `preprocess`."""
    arch: str = "efficientnet_lite0"
    """Backbone, by its name in torchvision or timm."""
    weights: str = "imagenet"
    """Start weights: imagenet, none, or a file of weights."""
    recipe: str = "robust_start"
    """Recipe of the network that robust training starts from."""
    robust_recipe: str = "robust"
    """Recipe of robust training."""
    grey_levels: Numbers = Numbers("0.25,0.5,1")  # noqa: RUF009 (immutable)
    """L2 radii of robust training with commas between them, as per-value RMS in grey levels; the
    gate is asked from 0.5 on, and the largest radius that passes it is examined."""
    null_models: int = 3
    """Robust networks per contrast that learned shuffled labels from the first weight on."""
    images: int = 24
    """Eyes to modulate per contrast, one per person, the classes balanced."""
    modulate_grey_levels: Numbers = Numbers("0.5,1,2,4")  # noqa: RUF009 (immutable)
    """L2 budgets of modulation, as per-value RMS in grey levels."""
    evaluate_steps: int = 20
    """Attack steps of the evaluation."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Seed of the split, the weights, the training and the choice of eyes; null models take the
    ones after it."""
    workers: int = 0
    """Processes that read photographs; 0 is one per core."""
    reuse: str = "same"
    """Which finished runs stand for steps with the same flags and inputs: same (made by this very
    commit), any (by whatever code), or no (every step runs)."""

    def __post_init__(self) -> None:
        """Refuse what a later step would only find after minutes."""
        check_reuse(self.reuse)
        refuse_outside(self, at_least={"size": 0, "null_models": 0, "images": LOOKS})
        if self.source == "synthetic":
            raise InputError("source=synthetic: has main; real_eyes reads photographs")
        if not self.names:
            raise InputError("contrasts=: name one or more, such as glaucoma,sex")
        if len(set(self.names)) < len(self.names):
            raise InputError(f"contrasts={self.contrasts}: names one twice")
        for flag in ("grey_levels", "modulate_grey_levels"):
            levels = getattr(self, flag)
            if not levels or min(levels) <= 0:
                raise InputError(f"{flag}={Numbers(levels)}: each must be above 0")
        self.preprocess()
        for radius in self.grey_levels:
            self.robustify("models:/fundus-sex/1", radius)
        for name in self.names:
            check_learnable(running.in_recipe(self.train(name, TRUE)))
        self.modulate("models:/fundus-sex/1", images=LOOKS)

    @property
    def names(self) -> list[str]:
        """The contrasts."""
        return running.comma_list(self.contrasts)

    @property
    def side(self) -> int:
        """Side of the eyes, pixels."""
        return self.size or (GPU_SIZE if models.best_device().type == "cuda" else CPU_SIZE)

    @property
    def dataset(self) -> str:
        """Where the dataset folder goes."""
        return f"{self.out}/dataset"

    @property
    def steps(self) -> int:
        """Steps of the whole chain."""
        trained = 1 + len(self.grey_levels) + 2 * self.null_models
        looked_at = 1 + len(self.grey_levels)
        return 1 + len(self.names) * (trained + looked_at + EXAMINED)

    def radii(self, grey_levels: Sequence[float]) -> list[float]:
        """Turn per-value RMS into L2 radii, rounded up to four digits."""
        return [rounded_up(radius_of("l2", level, size=self.side)) for level in grey_levels]

    def preprocess(self) -> PreprocessConfig:
        """Flags of the first step."""
        return adopted(self, PreprocessConfig, out=self.dataset, size=self.side, healthy_only=False)

    def train(self, contrast: str, labels: str, seed: int = 0) -> TrainConfig:
        """Flags of the training that robust training starts from."""
        return adopted(
            self,
            TrainConfig,
            dataset=self.dataset,
            contrast=contrast,
            labels=labels,
            seed=self.seed + seed,
        )

    def robustify(
        self, model: str, level: float, labels: str = TRUE, seed: int = 0
    ) -> RobustifyConfig:
        """Flags of robust training at a radius; below the gate's least it is not asked."""
        return adopted(
            self,
            RobustifyConfig,
            dataset=self.dataset,
            model=model,
            recipe=self.robust_recipe,
            eps=Number(self.radii([level])[0]),
            labels=labels,
            seed=self.seed + seed,
            gate=labels == TRUE and level >= LEAST_GREY_LEVELS,
        )

    def evaluate(self, model: str) -> EvaluateConfig:
        """Flags of the evaluation, at every radius of the ladder."""
        return adopted(
            self,
            EvaluateConfig,
            dataset=self.dataset,
            model=model,
            eps=Numbers(self.radii(self.grey_levels)),
            attack_steps=self.evaluate_steps,
        )

    def modulate(self, model: str, *, images: int, **others: object) -> ModulateConfig:
        """Flags of a modulation."""
        return adopted(
            self,
            ModulateConfig,
            dataset=self.dataset,
            model=model,
            images=images,
            eps=Numbers(self.radii(self.modulate_grey_levels)),
            **others,
        )


def rounded_up(value: float, *, digits: int = 4) -> float:
    """Round up to significant digits, so that a radius never falls below what was asked.

    >>> rounded_up(0.434706), rounded_up(2.0)
    (0.4348, 2.0)
    """
    scale = 10 ** (digits - 1 - math.floor(math.log10(value)))
    return float(math.ceil(round(value * scale, 6)) / scale)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("real_eyes", RealEyesConfig, examine_all, argv)


def examine_all(config: RealEyesConfig, run: "tracking.Run") -> None:
    """Run every step as a child of this run, then write the table and the page."""
    folder = running.make_folder(config.out)
    steps = running.Steps(total=config.steps, reuse=config.reuse)
    prepared = steps.prepare(prepare, config.preprocess(), root=config.root, folder=config.dataset)
    digest = prepared.tags["dataset_digest"]
    eyes = {
        name: recording.count_eyes(config.dataset, name, images=config.images, seed=config.seed)
        for name in config.names
    }
    answers = [
        Question(name=name, config=config, steps=steps, digest=digest).answered(eyes[name])
        for name in config.names
    ]
    steps.log(run)
    page = recording.write_real_eyes(run, answers, folder, size=config.side)
    recording.write_lineage(run)
    console.say(f"open {page}, or `make ui` for every run and picture")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One contrast, and the steps that answer it.

    Attributes:
        name: The contrast.
        config: Flags of the whole.
        steps: Where the steps are done and counted.
        digest: Digest of the dataset.
    """

    name: str
    config: RealEyesConfig
    steps: "running.Steps"
    digest: str

    def answered(self, eyes: "recording.ContrastCounts") -> "recording.Answer":
        """Train, make robust, evaluate and modulate."""
        start = self.trained(TRUE)
        rungs = {level: self.robust(start, level) for level in self.config.grey_levels}
        chosen = largest_passed(rungs)
        nulls = [
            self.robust(self.trained(SHUFFLED, seed), chosen, SHUFFLED, seed)
            for seed in range(1, self.config.null_models + 1)
        ]
        # Rows are one per version, eye and budget: those of all eyes are written last.
        looks = {level: self.looks(step, level) for level, step in {0.0: start, **rungs}.items()}
        return recording.Answer(
            eyes=eyes,
            start=start,
            rungs=rungs,
            chosen=chosen,
            nulls=nulls,
            scores=self.evaluated(rungs[chosen]),
            modulated=self.modulated(rungs[chosen], start, nulls),
            looks=looks,
        )

    def trained(self, labels: str, seed: int = 0) -> "tracking.Step":
        """Train what robust training starts from."""
        config = self.config.train(self.name, labels, seed)
        return self.steps.run(
            self._words("train", seed), "train", train, config, inputs=self._inputs()
        )

    def robust(
        self, start: "tracking.Step", level: float, labels: str = TRUE, seed: int = 0
    ) -> "tracking.Step":
        """Make a network robust at a radius."""
        return self.steps.run(
            self._words(f"robustify at {level:g} grey levels", seed),
            "robustify",
            robustify,
            self.config.robustify(start.registered.uri, level, labels, seed),
            inputs=self._inputs(model=start),
        )

    def evaluated(self, model: "tracking.Step") -> "tracking.Step":
        """Score the test eyes clean and attacked at every radius of the ladder."""
        config = self.config.evaluate(model.registered.uri)
        return self.steps.run(
            self._words("evaluate"), "evaluate", evaluate, config, inputs=self._asked(model=model)
        )

    def modulated(
        self, model: "tracking.Step", clean: "tracking.Step", nulls: "Sequence[tracking.Step]"
    ) -> "tracking.Step":
        """Modulate eyes, by the null models and the network before robust training too."""
        config = self.config.modulate(
            model.registered.uri,
            images=self.config.images,
            clean_model=clean.registered.uri,
            null_model=",".join(null.registered.uri for null in nulls),
        )
        others = {f"null_{place}": null for place, null in enumerate(nulls)}
        return self.steps.run(
            self._words("modulate"),
            "modulate",
            modulate_eyes,
            config,
            inputs=self._asked(model=model, clean=clean, **others),
        )

    def looks(self, model: "tracking.Step", level: float) -> "tracking.Step":
        """Modulate a few eyes, which show what a radius does to the looks."""
        config = self.config.modulate(
            model.registered.uri, images=LOOKS, controls=False, min_norm_steps=0
        )
        return self.steps.run(
            self._words(f"looks at {level:g} grey levels"),
            "modulate",
            modulate_eyes,
            config,
            inputs=self._asked(model=model),
        )

    def _words(self, what: str, seed: int = 0) -> str:
        return f"{self.name}: {what}" + (f", null model {seed}" if seed else "")

    def _asked(self, **made: "tracking.Step") -> dict[str, str]:
        """Inputs of what leaves rows and pictures, which are of one version, not of its weights."""
        versions = {name: step.registered.model_id for name, step in made.items()}
        return {"dataset": self.digest} | versions

    def _inputs(self, **made: "tracking.Step") -> dict[str, str]:
        contents = {name: step.registered.content for name, step in made.items()}
        return {"dataset": self.digest} | contents


def largest_passed(rungs: "Mapping[float, tracking.Step]") -> float:
    """Choose the largest radius whose network passed the gate; the smallest where none did."""
    passed = [level for level, step in rungs.items() if step.tags.get("robust_gate") == "passed"]
    return max(passed, default=min(rungs))


if __name__ == "__main__":
    main()
