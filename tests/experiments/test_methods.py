"""Every method through ``robustify``, and what the overfitting monitor leaves behind."""

import pandas as pd
import pytest
from torch import nn

from experiments import robustify
from experiments.robustify import RobustifyConfig, monitor_tags
from fundus_ml.robust_training import PGDTraining
from fundus_ml.training import Fitted
from tests.experiments.conftest import flags, own_client
from tracking import registry
from tracking.runs import start_run

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fast", "free", "trades"])
def test_a_method_leaves_a_version_and_a_watched_curve(chain, method):
    small = {
        "dataset": chain.dataset, "model": "models:/fundus-sex/1", "method": method, "replays": 2,
        "epochs": 2, "eps": 1, "attack_steps": 2, "eps_warmup": 1, "batch_size": 16,
        "bootstrap": 50, "gate": "false", "register_as": f"by-{method}",
    }  # fmt: skip
    robustify.main(flags(small))
    version = registry.resolve(f"models:/by-{method}/1")
    client = own_client()
    assert client.get_model_version(f"by-{method}", "1").tags["recipe"] == method
    for name in ("val/robust_auroc", "val/pgd_balanced_accuracy", "val/one_step_balanced_accuracy"):
        curve = client.get_metric_history(version.run_id, name)
        assert sorted(point.step for point in curve) == [1, 2], name


def test_what_the_overfitting_monitor_saw_stands_on_the_run(chain, capsys):  # noqa: ARG001
    """In one line, which the user reads and the version carries; nothing where it saw nothing."""
    fitted = Fitted(
        model=nn.Identity(), history=pd.DataFrame(), best_epoch=2, criterion="robust_val_auroc",
        seconds_per_step=1.0, ended="catastrophic overfitting in epoch 3: …",
    )  # fmt: skip
    with start_run("robustify", {}) as run:
        tags = monitor_tags(run, fitted)
    line = "catastrophic overfitting in epoch 3: …; epoch 2 is kept"
    assert tags == {"overfitting_monitor": line}
    assert capsys.readouterr().out == line + "\n"
    assert own_client().get_run(run.run_id).data.tags["overfitting_monitor"] == line
    whole = Fitted(
        model=nn.Identity(), history=pd.DataFrame(), best_epoch=2, criterion="robust_val_auroc",
        seconds_per_step=1.0,
    )  # fmt: skip
    with start_run("robustify", {}) as run:
        assert monitor_tags(run, whole) == {}


def test_long_steps_do_not_validate():
    """PGD judges fast and free by its own rule, pgd and trades by the steps asked for."""
    asked = {"dataset": "any", "eps": 1.0, "attack_steps": 5, "step_size": 0.9}
    steps = {
        method: RobustifyConfig(**asked, method=method).validation_attack().step_size
        for method in ("pgd", "fast", "free", "trades")
    }
    assert steps == {"pgd": 0.9, "fast": 0.5, "free": 0.5, "trades": 0.9}
    assert isinstance(RobustifyConfig(**asked, method="free").validation_attack(), PGDTraining)
