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


class Suites(dict):
    """What the attack suite finds of each network, run where it is asked for first."""

    def __init__(self, networks, eyes):
        super().__init__()
        self.networks, self.eyes = networks, eyes

    def __missing__(self, name):
        masks = name in ("saturated", "quantised")
        suite = replace(SHORT, eps=(TRAINED_FOR,)) if masks else SHORT
        self[name] = run_attack_suite(self.networks[name], self.eyes, suite)
        return self[name]


@pytest.fixture(scope="session")
def attacked(networks, eyes):
    """What the attack suite finds of each network on the test eyes; one budget where it masks."""
    return Suites(networks, eyes.split("test"))
