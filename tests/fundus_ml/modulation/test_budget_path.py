"""Modulation in closed form on a linear network, and what a path of budgets promises."""

import itertools

import numpy as np
import pytest
import torch

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.ensembles import Ensemble
from fundus_ml.modulation import modulate
from tests.fundus_ml.modulation.tiny_modulations import LABELS, make_pixels, options
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork

TARGET = 1 - LABELS
BALLS = [("l2", (0.5, 1.0, 2.0)), ("linf", (1 / 255, 4 / 255, 8 / 255))]


def logits(model, pixels):
    """``(N,)`` in fp32."""
    with torch.no_grad():
        return model(to_images(pixels)).numpy()


def sizes(pixels, slab, constraint):
    """Size of each change of pixels in [0, 1], ``(N,)``."""
    change = (slab.astype(float) - pixels) / 255
    if constraint == "l2":
        return np.sqrt((change**2).sum(axis=(1, 2, 3)))
    return np.abs(change).max(axis=(1, 2, 3))


@pytest.mark.parametrize("engine", ["native", "robustness"])
def test_an_ensemble_moves_every_member_towards_the_target(engine):
    """And the one that gains least more than the picture of either member alone moves the other."""
    members = [LinearNetwork(6, 7, seed=seed, scale=0.05) for seed in (0, 1)]
    pixels, how = make_pixels(low=90, high=160), options(attack_engine=engine)
    gains = {}
    for name, model in {0: members[0], 1: members[1], "both": Ensemble(members)}.items():
        slab = modulate(model, pixels, TARGET, how)[-1]
        gains[name] = [
            (2 * TARGET - 1) * (logits(member, slab) - logits(member, pixels)) for member in members
        ]
    assert np.min(gains["both"]) > 0
    assert (np.min(gains["both"], axis=0) > gains[0][1]).all()
    assert (np.min(gains["both"], axis=0) > gains[1][0]).all()


@pytest.mark.parametrize("engine", ["native", "robustness"])
@pytest.mark.parametrize("objective", ["logit", "cross_entropy"])
def test_linear_network_has_a_closed_form(objective, engine):
    """Each eye moves by the whole budget along the weight, towards its target, then rounds."""
    model, pixels = LinearNetwork(6, 7, scale=0.05), make_pixels(low=90, high=160)
    how = options(eps=(0.5, 1.0), objective=objective, attack_engine=engine)
    found = modulate(model, pixels, TARGET, how)
    assert found.shape == (2, 5, 6, 7, 3)
    assert found.dtype == np.uint8
    along = model.weight.detach().permute(1, 2, 0).numpy()
    towards = (2 * TARGET - 1).reshape(-1, 1, 1, 1)
    for slab, budget in zip(found, how.eps, strict=True):
        wanted = pixels + 255 * budget * towards * along / np.linalg.norm(along)
        np.testing.assert_allclose(slab, wanted, atol=1 + 1e-3)
        assert np.abs(slab - wanted).mean() < 0.3
        assert (sizes(pixels, slab, "l2") <= budget + 1e-6).all()
        assert (sizes(pixels, slab, "l2") > 0.98 * budget).all()


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_a_budget_begins_where_the_one_before_ended_stretched(constraint):
    """One step of half the first budget, then of the doubled way: 1/2, and 2 · 1/2 + 1/2."""
    model, pixels = LinearNetwork(6, 7, scale=0.05), make_pixels(low=90, high=160)
    first = {"l2": 1.0, "linf": 16 / 255}[constraint]
    found = modulate(
        model, pixels, TARGET, options(
            constraint=constraint, eps=(first, 2 * first), attack_steps=1, step_size=first / 2,
        ),
    )  # fmt: skip
    for slab, way in zip(found, (0.5, 1.5), strict=True):
        assert sizes(pixels, slab, constraint) == pytest.approx(way * first, rel=0.03)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_the_path_climbs_inside_its_balls(constraint, eps, precision, masked):
    """8-bit pictures: inside each ball, untouched where masked, likelier from budget to budget."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    allowed = np.random.default_rng(4).random((5, 6, 7)) < 0.4 if masked else None
    how = options(constraint=constraint, eps=eps, attack_steps=10, precision=precision)
    found = modulate(model, pixels, TARGET, how, allowed=allowed)
    towards = [(2 * TARGET - 1) * logits(model, slab) for slab in (pixels, *found)]
    for before, after in itertools.pairwise(towards):
        assert (after >= before - 1e-5).all()
    assert (towards[-1] > towards[0]).all()
    for slab, budget in zip(found, eps, strict=True):
        assert (sizes(pixels, slab, constraint) <= budget + 1e-6).all()
        if allowed is not None:
            assert np.array_equal(slab[~allowed], pixels[~allowed])
            assert (slab[allowed] != pixels[allowed]).any()


@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_no_weaker_than_each_budget_alone(constraint, eps):
    """On a curved network with as many steps: the path turns what PGD from the eye turns."""
    behind = 0
    for seed in range(4):
        model, pixels = SmallNetwork(seed=seed).eval(), make_pixels(seed=seed)
        model.convolution.weight.data *= 6
        target = (logits(model, pixels) < 0).astype(np.float32)
        found = modulate(model, pixels, target, options(constraint=constraint, eps=eps))
        for slab, budget in zip(found, eps, strict=True):
            threat = ThreatModel(constraint=constraint, eps=budget)
            images, aim = to_images(pixels), torch.from_numpy(target)
            alone = pgd(
                model, images, 1 - aim, target=aim, precision="fp32", threat=threat,
                step_size=2.5 * budget / 4, attack_steps=4, eight_bit=True,
            )  # fmt: skip
            with torch.no_grad():
                flipped = ((2 * aim - 1) * model(alone) > 0).numpy()
            ours = (2 * target - 1) * logits(model, slab) > 0
            behind += int((flipped & ~ours).sum())
    assert behind == 0


def test_batches_and_repeats_change_nothing():
    """The same pictures in batches of two and of five, and again."""
    model, pixels = SmallNetwork().train(), make_pixels()
    found = modulate(model, pixels, TARGET, options())
    assert np.array_equal(modulate(model, pixels, TARGET, options()), found)
    whole = modulate(model, pixels, TARGET, options(batch_size=5))
    assert np.abs(whole.astype(int) - found).max() <= 1
    assert (whole != found).mean() < 0.01
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_budgets_may_be_whole_numbers():
    """As a notebook writes them."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    found = modulate(model, pixels, TARGET, options(eps=(1, 2)))
    assert np.array_equal(found, modulate(model, pixels, TARGET, options(eps=(1.0, 2.0))))


def test_progress_counts_pictures():
    """Over all budgets, to the end."""
    steps = []
    modulate(
        LinearNetwork(6, 7), make_pixels(), TARGET, options(),
        on_step=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert steps == [(2, 10), (4, 10), (6, 10), (8, 10), (9, 10), (10, 10)]
