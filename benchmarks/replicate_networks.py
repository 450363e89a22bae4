"""Small networks of painted eyes for `benchmarks.replicates`, each kept once it is trained."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.painted import painted
from fundus_ml.data.options import SHUFFLED, TRUE
from fundus_ml.data.shuffled_labels import labels_to_learn
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.modulation import Chosen, ModulationOptions, choose_eyes, push
from fundus_ml.modulation.localisation import region_shares
from fundus_ml.synthesis import Population
from fundus_ml.training import TrainingOptions, fit, predict

NULL_EPOCHS = 2
EYES, BUDGET = 24, 2.0
Floats = NDArray[np.float64]


class Networks:
    """Networks of eyes with a sexed disc, by seed.

    Args:
        out: Folder of the eyes and of every network.
        epochs: Epochs of clean training on true labels.
    """

    def __init__(self, out: Path, *, epochs: int) -> None:
        self._out, self._epochs = out, epochs
        population = Population(patients=360, cue="disc", cue_strength=4.0, seed=0)
        self.dataset = painted(out / "eyes", population, size=64)
        test = self.dataset.split("test")
        self.test = test
        self.labels, self.people = test.labels, test.frame["person_group"].to_numpy()

    def true(self, seed: int) -> Floats:
        """Test logits of a network that learned the true labels."""
        return self._logits(f"true-{seed}", lambda: self._clean(TRUE, seed, self._epochs))

    def cheap_null(self, seed: int) -> Floats:
        """Test logits of a null model of few epochs, from random weights."""
        return self._logits(f"null-{seed}", lambda: self._clean(SHUFFLED, seed, NULL_EPOCHS))

    def null(self, seed: int, *, start: str) -> Floats:
        """Test logits of a network that goes on with shuffled labels, from either start."""

        def make() -> Classifier:
            if start == "true labels":
                model = self._network("true-0", lambda: self._clean(TRUE, 0, self._epochs))
            else:
                model = self._clean(SHUFFLED, seed, NULL_EPOCHS)
            return self._goes_on(model, seed)

        return self._logits(f"null-{seed}-from-{start.replace(' ', '-')}", make)

    def disc_shares(self, seeds: Iterable[int]) -> tuple[Floats, Floats, NDArray[np.str_]]:
        """Energy and area share of the disc by network and eye, and whose eye it is."""
        chosen = choose_eyes(self.test.frame, images=EYES, mode="flip", seed=0)
        eyes = self.test.select(chosen)
        pixels, regions = eyes.pixels(np.arange(len(eyes))), eyes.regions(np.arange(len(eyes)))
        options = ModulationOptions(eps=(BUDGET,), batch_size=len(eyes), min_norm_steps=0)
        energy, area = [], []
        for seed in seeds:
            model = self._network(
                f"true-{seed}", lambda seed=seed: self._clean(TRUE, seed, self._epochs)
            )
            pushed = push(model, Chosen(pixels=pixels, target=1 - eyes.labels), options)
            shares = region_shares(
                pixels,
                pushed.modulated,
                regions,
                image_ids=eyes.frame["image_id"].tolist(),
                eps=options.eps,
            )
            disc = shares[shares["part"] == "disc"]
            energy.append(disc["energy_share"].to_numpy())
            area.append(disc["area_share"].to_numpy())
        return np.stack(energy), np.stack(area), eyes.frame["person_group"].to_numpy()

    def _logits(self, name: str, make: Callable[[], Classifier]) -> Floats:
        model = self._network(name, make)
        return predict(model, self.test, batch_size=64, precision="fp32").numpy().astype(float)

    def _network(self, name: str, make: Callable[[], Classifier]) -> Classifier:
        file = self._out / f"{name}.pt"
        if not file.is_file():
            torch.save(make().state_dict(), file)
        model = make_classifier(self._spec, seed=0)
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.eval()

    @property
    def _spec(self) -> ClassifierSpec:
        return ClassifierSpec(
            arch="test_resnet",
            head_hidden=16,
            mean=self.dataset.channel_mean,
            std=self.dataset.channel_std,
            size=self.dataset.size,
        )

    def _clean(self, labels: str, seed: int, epochs: int) -> Classifier:
        learned = labels_to_learn(self.dataset, labels, seed=seed)
        fitted = fit(
            make_classifier(self._spec, seed=seed),
            learned.split("train"),
            learned.split("val"),
            TrainingOptions(epochs=epochs, seed=seed, precision="fp32"),
        )
        assert isinstance(fitted.model, Classifier)
        return fitted.model

    def _goes_on(self, start: Classifier, seed: int) -> Classifier:
        learned = labels_to_learn(self.dataset, SHUFFLED, seed=seed)
        fitted = fit(
            start,
            learned.split("train"),
            learned.split("val"),
            TrainingOptions(epochs=NULL_EPOCHS, lr=3e-4, seed=seed, precision="fp32"),
        )
        assert isinstance(fitted.model, Classifier)
        return fitted.model
