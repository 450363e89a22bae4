"""The library `robustness` behind our own call: the same images where both can do what is asked."""

import copy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from robustness.attacker import Attacker
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import ThreatModel, frozen, pgd
from fundus_ml.attacks.engines import attack_by
from fundus_ml.attacks.robustness_engine import robustness_pgd
from fundus_ml.errors import InputError
from fundus_ml.evaluation.scores import predictions
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier, two_logits
from fundus_ml.modulation import ModulationOptions, modulate
from fundus_ml.robust_training import PGDTraining
from tests.fundus_ml.tiny_learning import (
    LinearNetwork,
    SmallNetwork,
    is_channels_last,
    make_dataset,
    make_images,
)

BALLS = [("l2", 0.5), ("linf", 8 / 255)]
LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])


class StaysHere(torch.Tensor):
    """A tensor whose ``.cuda()`` is itself: `robustness` asks for it, GPU or not."""

    def cuda(self):
        return self.as_subclass(torch.Tensor)


def the_library(model, images, labels, **how):
    """Its attack called by hand, on two logits, without its normaliser.

    That one's clamp passes no gradient at 0 and 1 since torch changed what ties get.
    """
    unit = nn.Module()
    unit.mean, unit.std = torch.zeros(3), torch.ones(3)  # asked for, and not used here
    plain = images.contiguous()
    with frozen(model):
        return Attacker(two_logits(model), unit)(
            plain, labels.long(), orig_input=plain.as_subclass(StaysHere),
            should_normalize=False, **how,
        ).detach()  # fmt: skip


def trained():
    """A network that has learned something, and is not so sure that no gradient is left."""
    model, images = SmallNetwork(seed=3), make_images(40, seed=9)
    labels = (images[:, 0].mean((1, 2)) > 0.5).float()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(20):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(images), labels).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def networks():
    return [SmallNetwork(seed=seed).eval() for seed in range(3)] + [trained()]


def both(model, images, **how):
    """Ours and theirs, from the same start."""
    return [
        attack(
            model, images, LABELS, attack_steps=7, precision="fp32",
            generator=torch.Generator().manual_seed(4), **how,
        )
        for attack in (pgd, robustness_pgd)
    ]  # fmt: skip


@pytest.mark.parametrize("random_start", [True, False])
@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_both_engines_make_the_same_images(networks, constraint, eps, targeted, random_start):
    """Three random networks and a trained one.

    In float32 the best of several points that are equally bad is the last one for us and the first
    for the library: there the points are compared by how bad they are.
    """
    how = {
        "threat": ThreatModel(constraint=constraint, eps=eps), "step_size": eps / 3,
        "target": 1 - LABELS if targeted else None, "random_start": random_start,
    }  # fmt: skip
    for network in networks:
        model, images = copy.deepcopy(network).double(), make_images().double()
        for keep_best in (True, False):
            ours, theirs = both(model, images, keep_best=keep_best, **how)
            assert (theirs - images).abs().max() > eps / 50
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
        ours, theirs = both(network, make_images(), keep_best=False, **how)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        ours, theirs = both(network, make_images(), keep_best=True, **how)
        with torch.no_grad():
            torch.testing.assert_close(network(ours), network(theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_the_images_are_the_librarys_own(constraint, eps):
    """Called by hand, it makes them bit for bit."""
    model, images = SmallNetwork().eval(), make_images()
    found = robustness_pgd(
        model, images, LABELS, threat=ThreatModel(constraint=constraint, eps=eps),
        step_size=eps / 3, attack_steps=5, precision="fp32",
    )  # fmt: skip
    wanted = the_library(
        model, images, LABELS, constraint={"l2": "2", "linf": "inf"}[constraint], eps=eps,
        step_size=eps / 3, iterations=5, use_best=True,
    )  # fmt: skip
    assert torch.equal(found, wanted)
    assert is_channels_last(found)
    assert not found.requires_grad


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_classifier_in_channels_last_is_attacked(device, precision):
    """Whose gradients the library could not flatten; it is given back as it was."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    spec = ClassifierSpec(
        arch="resnet18", head_hidden=4, mean=(0.3, 0.2, 0.1), std=(0.3, 0.2, 0.1), size=32
    )
    model = make_classifier(spec, seed=0).to(device, memory_format=torch.channels_last).train()
    model.backbone.bn1.eval()
    model.head[1].bias.requires_grad_(False)
    images, state = make_images(3, 32, 32).to(device), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = robustness_pgd(
        model, images, LABELS[:3].to(device), threat=ThreatModel(constraint="l2", eps=1),
        step_size=0.5, attack_steps=3, precision=precision, random_start=True,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert found.device == images.device
    assert found.dtype == torch.float32
    sizes = (found - images).flatten(1).norm(dim=1)
    assert (sizes > 0).all()
    assert (sizes <= 1 + 1e-5).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model.backbone.bn1.training
    assert not model.head[1].bias.requires_grad
    assert model.head[1].weight.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_where_the_network_is_sure_the_library_stands_still():
    """Its loss has no gradient left in float32; ours has."""
    model, images, males = LinearNetwork(6, 7), make_images(), torch.ones(5)
    model.bias.data.fill_(120.0)
    how = {"threat": ThreatModel(constraint="l2", eps=0.2), "step_size": 0.1, "attack_steps": 3}
    assert torch.equal(robustness_pgd(model, images, males, **how), images)
    assert (pgd(model, images, males, **how) != images).flatten(1).any(1).all()


@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_of_several_starts_the_library_keeps_the_last_and_we_the_worst():
    """It promises the worst for each image."""
    model, images = trained(), make_images()

    def margins(x_adv):
        with torch.no_grad():
            return (1 - 2 * LABELS) * model(x_adv)

    how = {"constraint": "2", "eps": 1.0, "step_size": 0.1, "iterations": 1, "random_start": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        each = [the_library(model, images, LABELS, **how) for _ in range(4)]
        torch.manual_seed(0)
        theirs = the_library(model, images, LABELS, random_restarts=4, **how)
    worst = torch.stack([margins(x_adv) for x_adv in each]).amax(0)
    assert torch.equal(theirs, each[-1])
    assert (margins(theirs) < worst).any()
    ours = {
        "threat": ThreatModel(constraint="l2", eps=1), "step_size": 0.1, "attack_steps": 1,
        "random_start": True, "precision": "fp32",
    }  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    each = [pgd(model, images, LABELS, generator=generator, **ours) for _ in range(4)]
    generator.manual_seed(0)
    kept = pgd(model, images, LABELS, restarts=4, generator=generator, **ours)
    worst = torch.stack([margins(x_adv) for x_adv in each]).amax(0)
    torch.testing.assert_close(margins(kept), worst)
    assert (worst > margins(each[-1])).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"restarts": 2, "random_start": True}, "restarts=2: attack_engine=robustness has one st"),
        ({"momentum": 0.5}, "momentum=0.5: attack_engine=robustness has no momentum; native"),
        ({"step_size": torch.ones(5)}, "step_size: attack_engine=robustness has one step for all"),
        ({"eps": torch.ones(5)}, "eps: attack_engine=robustness has one radius for all images"),
        ({"mask": torch.ones(6, 7)}, "mask: attack_engine=robustness has no mask; native does it"),
        ({"attack_steps": -1}, "attack_steps=-1: must be 0 or more"),
        ({"step_size": -1.0}, "step_size=-1.0: must be a finite number, 0 or more"),
        ({"precision": "fp8"}, "precision=fp8: allowed"),
    ],
)
def test_what_the_library_cannot_do_is_refused(given, message):
    given = {"step_size": 0.1, "attack_steps": 1, "eps": 1, "mask": None} | given
    threat = ThreatModel(constraint="l2", eps=given.pop("eps"), mask=given.pop("mask"))
    with pytest.raises(InputError, match=message):
        robustness_pgd(SmallNetwork(), make_images(), LABELS, threat=threat, **given)


@pytest.mark.parametrize("keep_best", [True, False])
def test_nothing_asked_gives_the_image_back(keep_best):
    images = make_images()
    for eps, steps in ((1, 0), (0, 3)):
        found = robustness_pgd(
            SmallNetwork(), images, LABELS, threat=ThreatModel(constraint="l2", eps=eps),
            step_size=1, attack_steps=steps, keep_best=keep_best,
        )  # fmt: skip
        assert torch.equal(found, images)


def test_another_engine_is_refused():
    with pytest.raises(InputError, match="attack_engine=foolbox: allowed: native, robustness"):
        attack_by("foolbox")


def test_engines_by_name():
    assert attack_by("native") is pgd
    assert attack_by("robustness") is robustness_pgd


@pytest.mark.slow
def test_the_library_is_imported_only_where_it_is_chosen():
    """In a fresh interpreter."""
    code = (
        "import sys, fundus_ml.evaluation.scores, fundus_ml.modulation\n"
        "from fundus_ml.attacks.engines import attack_by\n"
        "attack_by('native'); assert 'robustness' not in sys.modules\n"
        "attack_by('robustness'); assert 'robustness' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("share", [1.0, 0.25])
@pytest.mark.parametrize("random_start", [True, False])
def test_the_recipe_learns_from_the_same_images(share, random_start):
    """And from the same loss."""
    model, images = SmallNetwork().train(), make_images()
    how = {
        "threat": ThreatModel(constraint="l2", eps=1.0), "step_size": 0.3, "attack_steps": 3,
        "random_start": random_start, "precision": "fp32",
    }  # fmt: skip
    made = [PGDTraining(attack_engine=engine, **how) for engine in ("native", "robustness")]
    assert [recipe.replays for recipe in made] == [1, 1]
    ours, theirs = (
        recipe(model, images, LABELS, torch.Generator().manual_seed(2), share=share)
        for recipe in made
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert (theirs - images).flatten(1).norm(dim=1).max() <= share * (1 + 1e-5)
    model.drop.eval()
    batch = SimpleNamespace(images=images, labels=LABELS, progress=1.0)
    losses = [
        recipe.losses(
            copy.deepcopy(model), batch, share=share, generator=torch.Generator().manual_seed(2),
            errors=lambda logit: binary_cross_entropy_with_logits(
                logit, LABELS, reduction="none"
            ),
        )
        for recipe in made
    ]  # fmt: skip
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)
    assert losses[1].requires_grad


def test_evaluation_scores_the_same(tmp_path):
    eyes = make_dataset(tmp_path / "data", people={"test": 6}).split("test")
    how = {
        "constraint": "l2", "eps": (0.5, 2.0), "attack_steps": 3, "step_size": "auto",
        "batch_size": 5, "precision": "fp32",
    }  # fmt: skip
    model = SmallNetwork().eval()
    ours, theirs = (
        predictions(model, eyes, attack_engine=engine, **how) for engine in ("native", "robustness")
    )
    np.testing.assert_allclose(ours["logit"], theirs["logit"], atol=1e-4)
    same = ours.columns.difference(["logit", "prob"])
    assert ours[same].equals(theirs[same])
    by_eps = theirs.groupby("eps")["logit"].mean()
    assert by_eps.nunique() == 3
    with pytest.raises(InputError, match="attack_engine=other: allowed"):
        predictions(model, eyes, attack_engine="other", **how)


def test_modulation_makes_the_same_pictures():
    """At the first budget, where both start from the eye; where steps suffice, to a grey level."""
    model = SmallNetwork().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    how = {
        "eps": (0.5, 2.0),
        "attack_steps": 12,
        "step_size": 1.25,
        "batch_size": 2,
        "precision": "fp32",
    }
    ours, theirs = (
        modulate(model, pixels, LABELS.numpy(), ModulationOptions(attack_engine=engine, **how))
        for engine in ("native", "robustness")
    )
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours[0] != theirs[0]).mean() < 0.01
    assert (theirs != pixels).any()
    with pytest.raises(InputError, match="attack_engine=other: allowed"):
        ModulationOptions(attack_engine="other")
