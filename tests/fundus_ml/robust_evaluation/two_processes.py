"""Run by torchrun from test_running: an attack suite, and say what came out."""

import json
import sys

from experiments.running.launch import process_group
from fundus_ml.data.opening import open_dataset
from fundus_ml.robust_evaluation import AttackSuite, run_attack_suite
from fundus_ml.training.distribution import world
from tests.fundus_ml.tiny_learning import SmallNetwork

SUITE = AttackSuite(
    constraint="l2", eps=(0.3,), attacks=("fgsm", "pgd-20"), attack_steps=10, batch_size=4,
    precision="fp32",
)  # fmt: skip


def main():
    with process_group(allowed=True):
        eyes = open_dataset(sys.argv[1]).split("test")
        found = run_attack_suite(SmallNetwork(), eyes, SUITE)
        first = world().first
    if first:
        columns = {"logit": found.predicted["logit"], "min_norm": found.probes["min_norm"]}
        columns |= {"ce_gradient": found.probes["ce_gradient"]}
        sys.stdout.write(json.dumps({name: list(each) for name, each in columns.items()}) + "\n")


if __name__ == "__main__":
    main()
