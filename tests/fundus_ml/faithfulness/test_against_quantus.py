"""Quantus 0.6 on the same images, maps, regions and perturbations."""

import numpy as np
import pytest
import torch

from fundus_ml.faithfulness.deletion_insertion import deletion_insertion
from fundus_ml.faithfulness.localisation import Localised
from fundus_ml.faithfulness.max_sensitivity import max_sensitivity
from fundus_ml.faithfulness.perturbation import infidelity
from fundus_ml.faithfulness.removals import remove_subsets
from fundus_ml.faithfulness.sparseness import gini
from fundus_ml.models.classifiers import two_logits
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    HEIGHT,
    WIDTH,
    Curved,
    Weighted,
    input_gradient,
    make_explained,
    make_images,
    make_maps,
    make_regions,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
QUIET = {"abs": False, "normalise": False, "disable_warnings": True}


def asked(name, model, maps, *, images=None, regions=None, explain=None, **how):
    """Scores of Quantus for the class that each image is given."""
    import quantus  # noqa: PLC0415 (takes seconds)

    images = make_images() if images is None else images
    pair = two_logits(model).eval()
    decided = (model(images) >= 0).long().numpy()
    found = getattr(quantus, name)(**(QUIET | how))(
        model=pair,
        x_batch=images.numpy(),
        y_batch=decided,
        a_batch=maps[:, None].numpy().copy(),
        s_batch=None if regions is None else regions[:, None],
        explain_func=explain,
        softmax=False,
        channel_first=True,
        batch_size=COUNT,
    )
    return np.array(found, np.float64)


def test_gini_is_its_sparseness():
    maps = make_maps().abs()
    assert gini(maps).numpy() == pytest.approx(asked("Sparseness", Curved(), maps), abs=1e-5)


@pytest.mark.parametrize("part", ["disc", "macula", "vessels", "background", "sham macula"])
def test_localisation_is_its_pointing_game_mass_and_rank(part):
    maps = make_maps().abs()
    localised = Localised(make_explained(Weighted(bias=1e3), maps), make_regions())
    column = localised.names.index(part)
    mask = localised._stacked[:, column]
    shown = mask.any(axis=(1, 2))
    assert shown.any()
    for name, own in (
        ("PointingGame", localised.pointing_game(tolerance=0)),
        ("RelevanceMassAccuracy", localised.relevance_mass),
        ("RelevanceRankAccuracy", localised.relevance_rank),
    ):
        theirs = asked(name, Weighted(bias=1e3), maps, regions=mask)
        assert own[shown, column].numpy() == pytest.approx(theirs[shown], abs=1e-6)


def test_deletion_is_its_pixel_flipping():
    """Theirs counts values, three a pixel, in steps that must divide the number of pixels."""
    model, images, maps = Curved().eval(), make_images()[:, :, :18], make_maps()[:, :18]
    explained = make_explained(model, maps, images)
    levels = 36
    own = deletion_insertion(explained, fills=("black",), levels=levels, blur=0.1)["black"]
    theirs = asked(
        "PixelFlipping", model, explained.directed, images=images,
        features_in_step=3 * 18 * WIDTH // levels, perturb_baseline=0.0,
    )  # fmt: skip
    assert theirs.shape == (COUNT, levels)
    # Of two logits ±z/2 theirs sees the half.
    assert own.deletion[:, 1:].numpy() == pytest.approx(2 * theirs, abs=1e-4)


def test_max_sensitivity_meets_the_same_noise():
    model, images = Curved().eval(), make_images()
    maps = input_gradient(model, images)
    radius, draws = 0.05, 3
    generator = torch.Generator().manual_seed(9)
    noises = iter([torch.rand(3, HEIGHT, WIDTH, generator=generator) for _ in range(draws)])

    def perturbed(arr, **_):
        noise = radius * (2 * next(noises) - 1)
        return (torch.from_numpy(arr).view_as(images) + noise).clamp(0, 1).flatten(1).numpy()

    def explain(inputs, **_):
        return input_gradient(model, torch.from_numpy(inputs))[:, None].numpy()

    theirs = asked(
        "MaxSensitivity", model, maps, nr_samples=draws, perturb_func=perturbed, explain=explain,
    )  # fmt: skip
    own = max_sensitivity(
        make_explained(model, maps), input_gradient, radius=radius, draws=draws, seed=9
    )
    assert own.numpy() == pytest.approx(theirs, rel=1e-3)


def test_infidelity_meets_the_same_removals():
    """Theirs multiplies the map by what is removed; one grey channel makes that a contribution."""
    model, weights = Curved().eval(), make_maps()
    images, subsets = make_images(), (HEIGHT // 2) * (WIDTH // 2)
    maps = weights * images.sum(dim=1)
    explained = make_explained(model, maps)
    removals = remove_subsets(
        explained, patch=6, removed_shares=(0.3,), subsets=subsets, fill="black", blur=0.1, seed=2
    )
    kept = ~removals.subsets[0].repeat_interleave(6, 1).repeat_interleave(6, 2)
    kept = iter(kept[:, :HEIGHT, :WIDTH])
    shown = images.flatten(1).numpy()

    def removed(**_):
        return (shown.reshape(images.shape) * next(kept).numpy()).reshape(shown.shape)

    # One removal for each of its patches of 2 pixels, which are not what is removed here.
    theirs = asked(
        "Infidelity", model, explained.direction[:, None, None] * weights / 2,
        perturb_patch_sizes=[2], n_perturb_samples=1, perturb_func=removed,
    )  # fmt: skip
    assert infidelity(removals, explained.directed).numpy() == pytest.approx(4 * theirs, rel=1e-3)
