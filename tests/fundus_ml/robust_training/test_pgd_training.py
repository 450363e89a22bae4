"""Adversarial training is PGD on every batch, with the settings that were asked for."""

import pytest
import torch

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.errors import InputError
from fundus_ml.robust_training import make_method
from tests.fundus_ml.tiny_learning import SmallNetwork, make_images

LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_recipe_is_pgd_with_its_settings(constraint, precision, random_start):
    """Calling the method is calling PGD, and the network in training mode stays in it."""
    model, images = SmallNetwork().train(), make_images()
    settings = {
        "threat": ThreatModel(constraint=constraint, eps=0.1),
        "step_size": 0.03,
        "attack_steps": 3,
        "random_start": random_start,
        "precision": precision,
    }
    perturb = make_method("pgd", **settings)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = perturb(model, images, LABELS, torch.Generator().manual_seed(4))
    wanted = pgd(model, images, LABELS, **settings, generator=torch.Generator().manual_seed(4))
    assert torch.equal(found, wanted)
    assert model.training
    assert model.norm.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_unknown_recipe_is_refused():
    """The message names what there is."""
    threat = ThreatModel(constraint="l2", eps=1)
    with pytest.raises(InputError, match="method=trade: allowed: pgd"):
        make_method("trade", threat=threat, step_size=1, attack_steps=1, random_start=False)
