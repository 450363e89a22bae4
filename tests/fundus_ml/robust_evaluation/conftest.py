"""Tiny eyes, networks that learned to tell them apart, and what an attack suite finds of each."""

from dataclasses import replace

import pytest

from fundus_ml.robust_evaluation import AttackSuite, run_attack_suite
from tests.fundus_ml.robust_evaluation.tiny_networks import TRAINED_FOR, Quantised, Saturated, teach
from tests.fundus_ml.tiny_learning import make_dataset

SHORT = AttackSuite(
    constraint="l2", eps=(0.5, TRAINED_FOR), attack_steps=10, restarts=1, queries=80,
    batch_size=64, precision="fp32",
)  # fmt: skip


@pytest.fixture(scope="session")
def eyes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite") / "tiny"
    return make_dataset(folder, people={"train": 40, "test": 30}, signal=30)


@pytest.fixture(scope="session")
def networks(eyes):
    plain = teach(eyes)
    return {
        "plain": plain,
        "robust": teach(eyes, eps=TRAINED_FOR),
        "saturated": Saturated(plain),
        "quantised": Quantised(plain),
    }


@pytest.fixture(scope="session")
def attacked(networks, eyes):
    """What the attack suite finds of each network on the test eyes; one budget where it masks."""
    suites = dict.fromkeys(networks, SHORT)
    suites |= dict.fromkeys(("saturated", "quantised"), replace(SHORT, eps=(TRAINED_FOR,)))
    return {
        name: run_attack_suite(model, eyes.split("test"), suites[name])
        for name, model in networks.items()
    }
