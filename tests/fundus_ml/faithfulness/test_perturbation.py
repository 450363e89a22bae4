"""Removals against a plain loop; a linear network explained by its own contributions."""

import numpy as np
import pytest
import torch

from fundus_ml.attribution.baselines import baseline_of
from fundus_ml.errors import InputError
from fundus_ml.faithfulness.perturbation import infidelity, scaled_infidelity, sensitivity_n
from fundus_ml.faithfulness.removals import Removals, remove_subsets
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    HEIGHT,
    WIDTH,
    Curved,
    Weighted,
    make_explained,
    make_images,
    make_maps,
)

HOW = {"patch": 6, "removed_shares": (0.2, 0.6), "subsets": 9, "blur": 0.1, "seed": 5}


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_losses_and_scores_equal_a_loop(fill):
    model, images, maps = Curved().eval(), make_images(), make_maps()
    explained = make_explained(model, maps, batch_size=4)
    removals = remove_subsets(explained, **HOW, fill=fill)
    assert removals.subsets.shape == (2, 9, 4, 5)
    assert removals.subsets.sum((2, 3)).tolist() == [[4] * 9, [12] * 9]
    assert len({tuple(each.flatten().tolist()) for each in removals.subsets[0]}) > 5
    ground = baseline_of(images, fill, blur=0.1)
    scores = [score(removals, explained.directed) for score in (infidelity, scaled_infidelity)]
    correlations = sensitivity_n(removals, explained.directed)
    with torch.no_grad():
        logits = model(images)
        for place in range(COUNT):
            sign = 1 if logits[place] >= 0 else -1
            sums, losses = np.zeros((2, 9)), np.zeros((2, 9))
            for share, subset in np.ndindex(2, 9):
                changed = images[place].clone()
                for cell in removals.subsets[share, subset].nonzero().tolist():
                    own = tuple(slice(6 * each, 6 * each + 6) for each in cell)
                    changed[:, *own] = ground[place][:, *own]
                    sums[share, subset] += sign * float(maps[place][own].sum())
                loss = logits[place] - model(changed[None])[0]
                losses[share, subset] = sign * float(loss)
            assert removals.losses[place].numpy() == pytest.approx(losses, abs=1e-5)
            assert removals.sums(explained.directed)[place].numpy() == pytest.approx(sums, abs=1e-4)
            wanted = [np.corrcoef(*each)[0, 1] for each in zip(sums, losses, strict=True)]
            assert correlations[place].tolist() == pytest.approx(wanted, abs=1e-3)
            assert float(scores[0][place]) == pytest.approx(((sums - losses) ** 2).mean(), rel=1e-4)
            scales = np.linspace(0, 0.1, 2001)[:, None, None]
            least = ((scales * sums - losses) ** 2).mean((1, 2)).min() / (losses**2).mean()
            assert float(scores[1][place]) == pytest.approx(least, abs=1e-3)


@pytest.mark.parametrize("fill", ["mean", "blur", "black"])
def test_a_linear_network_is_explained_by_weights_times_what_is_removed(fill):
    model, images = Weighted(bias=0.3), make_images()
    removed = images - baseline_of(images, fill, blur=0.1)
    maps = (model.weight * removed).sum(1).detach()
    explained = make_explained(model, maps)
    removals = remove_subsets(explained, **HOW, fill=fill)
    assert sensitivity_n(removals, explained.directed) == pytest.approx(np.ones((5, 2)), abs=1e-6)
    assert infidelity(removals, explained.directed) == pytest.approx(np.zeros(5), abs=1e-6)
    for scale in (1, 1e-7, 1e7):
        found = scaled_infidelity(removals, scale * explained.directed)
        assert found == pytest.approx(np.zeros(5), abs=1e-6)
    assert scaled_infidelity(removals, -explained.directed).tolist() == [1.0] * 5
    assert sensitivity_n(removals, -explained.directed) == pytest.approx(-np.ones((5, 2)), abs=1e-6)


def test_what_says_nothing_has_no_correlation():
    model = Weighted(bias=2.0)
    with torch.no_grad():
        model.weight.zero_()
    explained = make_explained(model)
    removals = remove_subsets(explained, **HOW, fill="mean")
    assert sensitivity_n(removals, explained.directed).isnan().all()
    assert scaled_infidelity(removals, explained.directed).isnan().all()
    flat = torch.zeros(COUNT, HEIGHT, WIDTH)
    explained = make_explained(Curved(), flat)
    removals = remove_subsets(explained, **HOW, fill="mean")
    assert not sensitivity_n(removals, flat).any()
    assert scaled_infidelity(removals, flat).tolist() == [1.0] * COUNT


def test_at_least_one_patch_goes_and_one_stays():
    how = HOW | {"removed_shares": (0.001, 0.999)}
    removals = remove_subsets(make_explained(), **how, fill="mean")
    assert removals.subsets.sum((2, 3)).unique().tolist() == [1, 19]
    assert isinstance(removals, Removals)


def test_too_few_patches_are_refused():
    said = r"^patch=20: 2 patches on 20 x 26 pixels; at least 3 are needed$"
    with pytest.raises(InputError, match=said):
        remove_subsets(make_explained(), **(HOW | {"patch": 20}), fill="mean")
