"""The cascade: which layers are drawn again, what stays, and maps that do not see it."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.randomisation import cascade, repeatability
from fundus_ml.faithfulness.similarity import rank_correlation, structural_similarity
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    Curved,
    Weighted,
    input_gradient,
    make_explained,
    make_images,
)


def brightness(_, images):
    return images.mean(dim=1)


def test_layers_fall_from_the_top_and_stay_fallen():
    model, seen = Curved(), []
    before = deepcopy(model.state_dict())

    def explain(network, images):
        seen.append(deepcopy(network.state_dict()))
        return input_gradient(network, images)

    explained = make_explained(model, input_gradient(model.eval(), make_images()))
    state = torch.get_rng_state()
    found = cascade(explained, explain, stages=4, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], own) for name, own in model.state_dict().items())
    assert found["layer"].unique().tolist() == ["head", "deep", "norm", "stem"]
    assert found["layers"].unique().tolist() == [1, 2, 3, 4]
    assert len(seen) == 4
    for stage, weights in enumerate(seen):
        for place, layer in enumerate(["head", "deep", "norm", "stem"]):
            same = torch.equal(weights[f"{layer}.weight"], before[f"{layer}.weight"])
            same &= layer != "norm" or torch.equal(
                weights["norm.running_var"], before["norm.running_var"]
            )
            assert same == (place > stage)
            if place < stage:
                own = f"{layer}.weight"
                assert torch.equal(weights[own], seen[stage - 1][own])
    with torch.no_grad():
        fallen = Curved()
        fallen.load_state_dict(seen[-1])
    again = input_gradient(fallen.eval(), make_images()).abs()
    last = found[found["stage"] == 4].set_index("row")
    original = explained.attributions.abs()
    wanted = rank_correlation(original, again).tolist()
    assert last["rank_correlation"].tolist() == pytest.approx(wanted, abs=1e-3)
    wanted = structural_similarity(original, again).tolist()
    assert last["ssim"].tolist() == pytest.approx(wanted, abs=1e-3)
    assert last["rank_correlation"].abs().max() < 0.6


def test_the_seed_draws_the_weights():
    explained = make_explained(Curved())
    first, same, other = (
        cascade(explained, input_gradient, stages=2, seed=seed) for seed in (1, 1, 2)
    )
    assert first.equals(same)
    assert not first.equals(other)
    assert len(first) == 2 * COUNT
    assert first["layers"].unique().tolist() == [2, 4]


def test_more_stages_than_layers_are_one_each():
    found = cascade(make_explained(Curved()), input_gradient, stages=50, seed=0)
    assert found["stage"].max() == 4


def test_a_map_that_ignores_the_network_does_not_fall():
    explained = make_explained(Curved(), brightness(None, make_images()))
    found = cascade(explained, brightness, stages=4, seed=0)
    assert found["rank_correlation"].to_numpy() == pytest.approx(1)
    assert found["ssim"].to_numpy() == pytest.approx(1)


def test_a_layer_without_a_start_of_its_own_is_permuted():
    model, seen = Weighted(), []

    def explain(network, images):
        seen.append(network.weight.detach().clone())
        return input_gradient(network, images)

    cascade(make_explained(model), explain, stages=1, seed=0)
    assert not torch.equal(seen[0], model.weight)
    assert torch.equal(seen[0].flatten().sort().values, model.weight.flatten().sort().values)


class Brightness(nn.Module):
    def forward(self, images):
        return images.mean((1, 2, 3))


def test_a_network_without_parameters_is_refused():
    with pytest.raises(InputError, match=r"^classifier: has no parameters"):
        cascade(make_explained(Brightness()), brightness, stages=1, seed=0)


def test_repeatability_is_the_mean_over_pairs_of_seeds():
    def noisy(_, images, seed):
        noise = torch.rand(images.shape[1:], generator=torch.Generator().manual_seed(seed))
        return (images + noise).mean(dim=1)

    explained = make_explained()
    found = repeatability(explained, noisy, repeats=3, seed=4)
    maps = [noisy(None, make_images(), seed) for seed in (4, 5, 6)]
    for name, alike in (("rank_correlation", rank_correlation), ("ssim", structural_similarity)):
        pairs = [alike(maps[one], maps[other]) for one, other in ((0, 1), (0, 2), (1, 2))]
        assert found[name].tolist() == pytest.approx(np.mean(pairs, axis=0))
    exact = repeatability(explained, lambda _, x, __: brightness(_, x), repeats=2, seed=0)
    assert exact[["rank_correlation", "ssim"]].to_numpy() == pytest.approx(1)
