import json
import os
import pickle
import pkgutil
import re
import subprocess
import sys
import textwrap
from copy import deepcopy
from inspect import signature

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn
from torchvision.models import resnet18

from tests.tracking.tiny_classifier import FORMAT
from tracking import registry
from tracking.errors import TrackingError
from tracking.exposure import made_from
from tracking.runs import start_run

SHAPES = [(1, 3, 40, 56), (2, 3, 64, 64), (7, 3, 33, 21)]


def register(run, network, files, **others):
    return registry.register_classifier(
        run, "fundus-sex", model=network, files=files, metrics={}, tags={}, **others
    )


def test_a_version_carries_its_story(version, network, files):
    with start_run("robustify", {}) as run:
        run.log_inputs(models=[version])
        run.log_metrics({"train_loss": 0.7}, step=0)
        run.log_metrics({"train_loss": 0.3}, step=5)
        child = registry.register_classifier(
            run,
            "fundus-sex",
            model=network,
            files=files,
            metrics={"robust_auroc": 0.75},
            tags={"recipe": "pgd", "eps": 0.5},
            aliases=["candidate", "robust"],
            parents=[version],
        )
    assert (child.version, child.uri, child.run_id) == (2, "models:/fundus-sex/2", run.run_id)
    wanted = {
        "recipe": "pgd",
        "eps": "0.5",
        "parent_version": "models:/fundus-sex/1",
        "parent_model_ids": version.model_id,
    }
    assert child.tags == wanted | {"files_sha256": child.tags["files_sha256"]}
    assert registry.resolve("models:/fundus-sex@robust") == child
    assert registry.resolve("models:/fundus-sex@candidate") == child
    assert registry.resolve("models:/fundus-sex/1") == version
    assert made_from(child) == {child.uri: child, version.uri: version}
    logged = mlflow.get_logged_model(child.model_id)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [
        {"name": "fundus-sex", "version": "2"}
    ]
    assert {metric.key: metric.value for metric in logged.metrics} == {"robust_auroc": 0.75}
    assert MlflowClient().get_run(run.run_id).data.metrics["robust_auroc"] == 0.75
    assert [o.model_id for o in MlflowClient().get_run(run.run_id).outputs.model_outputs] == [
        child.model_id
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_both_forms_say_what_the_trained_network_says(registered, shape):
    images = torch.rand(shape)
    rebuilt = registry.load_classifier("models:/fundus-sex@robust")
    program = registry.load_program("models:/fundus-sex@robust")
    assert registered.network.training
    expected = deepcopy(registered.network).eval()(images)
    torch.testing.assert_close(rebuilt(images), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(program(images), expected, atol=1e-4, rtol=0)


def test_both_forms_give_gradients(registered):
    expected = torch.rand(2, 3, 24, 24, requires_grad=True)
    deepcopy(registered.network).eval()(expected).sum().backward()
    for load in (registry.load_classifier, registry.load_program):
        images = expected.detach().clone().requires_grad_()
        load("models:/fundus-sex@robust")(images).sum().backward()
        torch.testing.assert_close(images.grad, expected.grad, atol=1e-5, rtol=1e-4)


def test_the_rebuilt_network_can_be_trained(registered):
    rebuilt = registry.load_classifier(registered.version.uri)
    assert not rebuilt.training
    rebuilt.train()
    rebuilt(torch.rand(2, 3, 24, 24)).sum().backward()
    assert all(weight.grad is not None for weight in rebuilt.parameters())


@pytest.mark.usefixtures("registered")
def test_no_pickle_is_read(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    registry.load_classifier("models:/fundus-sex@robust")
    registry.load_program("models:/fundus-sex@robust")


@pytest.mark.usefixtures("registered")
@pytest.mark.slow
def test_the_program_runs_without_this_repository(tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    images = {f"images{i}": torch.rand(shape).numpy() for i, shape in enumerate(SHAPES)}
    np.savez(elsewhere / "images.npz", **images)
    script = """
        import sys
        import mlflow, numpy, torch
        sys.modules["fundus_ml"] = sys.modules["tracking"] = sys.modules["tests"] = None
        program = mlflow.pytorch.load_model("models:/fundus-sex@robust")
        with numpy.load("images.npz") as images:
            logits = {k: program(torch.from_numpy(v)).detach().numpy() for k, v in images.items()}
        numpy.savez("logits.npz", **logits)
    """
    subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", textwrap.dedent(script)],
        cwd=elsewhere,
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        check=True,
    )
    rebuilt = registry.load_classifier("models:/fundus-sex@robust")
    with np.load(elsewhere / "logits.npz") as logits:
        for name, array in images.items():
            expected = rebuilt(torch.from_numpy(array)).detach().numpy()
            np.testing.assert_allclose(logits[name], expected, atol=1e-4)


@pytest.mark.usefixtures("store")
@pytest.mark.slow
def test_a_residual_network_exports_for_any_size(files):
    torch.manual_seed(0)
    network = nn.Sequential(resnet18(num_classes=1), nn.Flatten(0)).eval()
    with start_run("train", {}) as run:
        version = register(run, network, files)
    program = registry.load_program(version.uri)
    for shape in [(1, 3, 64, 80), (3, 3, 97, 64)]:
        images = torch.rand(shape)
        torch.testing.assert_close(program(images), network(images), atol=1e-4, rtol=0)


@pytest.mark.usefixtures("store")
def test_a_network_of_one_size_says_so_in_its_signature(files):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 1), nn.Flatten(0)).eval()
    with start_run("train", {}) as run:
        version = register(run, network, files, side=20)
    (images,) = mlflow.models.get_model_info(version.uri).signature.inputs.inputs
    assert images.shape == (-1, 3, 20, 20)
    program, five = registry.load_program(version.uri), torch.rand(5, 3, 20, 20)
    torch.testing.assert_close(program(five), network(five))


@pytest.mark.usefixtures("store")
def test_a_network_that_cannot_be_exported_leaves_no_version(files):
    class Branching(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3)) if images.sum().item() > 3 else images[:, 0, 0, 0]

    with pytest.raises(Exception, match="data-dependent"), start_run("train", {}) as run:
        register(run, Branching(), files)
    assert MlflowClient().search_registered_models() == []


@pytest.mark.usefixtures("store")
def test_a_refused_alias_leaves_no_version(network, files):
    with pytest.raises(mlflow.MlflowException, match="alias"), start_run("train", {}) as run:
        register(run, network, files, aliases=["candidate", "no spaces please"])
    assert MlflowClient().search_model_versions("name = 'fundus-sex'") == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("lost", ["weights.safetensors", "classifier.json"])
def test_an_incomplete_folder_is_refused(network, files, lost):
    (files / lost).unlink()
    with pytest.raises(TrackingError, match=rf"lacks {lost}"), start_run("train", {}) as run:
        register(run, network, files)
    assert MlflowClient().search_registered_models() == []


@pytest.mark.usefixtures("store")
def test_an_unknown_format_is_refused(network, files):
    (files / "classifier.json").write_text(json.dumps({"format": "os:system/1"}))
    refusal = pytest.raises(TrackingError, match=rf"'os:system/1'; known are: {FORMAT}")
    with refusal, start_run("train", {}) as run:
        register(run, network, files)


def test_a_format_unknown_here_is_refused_at_load(registered, monkeypatch):
    monkeypatch.setattr(registry, "FORMATS", {"fundus_ml.classifier/1": "os:system"})
    with pytest.raises(TrackingError, match=r"known are: fundus_ml.classifier/1"):
        registry.load_classifier(registered.version.uri)


def test_the_formats_can_be_rebuilt_here(monkeypatch):
    monkeypatch.undo()
    for builder in registry.FORMATS.values():
        assert [*signature(pkgutil.resolve_name(builder)).parameters] == ["folder"]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("fundus-sex", "must look like models:/name@alias or models:/name/3"),
        ("models:/fundus-sex", "must look like"),
        ("models:/fundus-sex/latest", "must look like"),
        ("models:/fundus@robust", "no model is registered as 'fundus', there is: fundus-sex"),
        ("models:/fundus-sex@champion", "'fundus-sex' has no such alias, there is: robust"),
        ("models:/fundus-sex/7", "'fundus-sex' has no such version, there is: 1"),
    ],
)
def test_a_wrong_address_is_told_what_exists(uri, line):
    with pytest.raises(TrackingError, match=re.escape(line)) as caught:
        registry.resolve(uri)
    assert "\n" not in str(caught.value)
    assert uri in str(caught.value)


@pytest.mark.usefixtures("store")
def test_an_empty_registry_says_so():
    with pytest.raises(TrackingError, match="there is: none yet"):
        registry.resolve("models:/fundus-sex@robust")


def test_a_version_that_was_refused_an_alias_is_named(version):
    """Only where it was refused; an alias no tag could be named for is told as ever."""
    registry.tag_version(version, {"champion_gate": "passed"})
    for alias in ("champion", "it's"):
        with pytest.raises(TrackingError, match=r"there is: robust$"):
            registry.resolve(f"models:/fundus-sex@{alias}")
    registry.tag_version(version, {"champion_gate": "refused"})
    with pytest.raises(TrackingError, match=r"1 was refused it: no reason kept$"):
        registry.resolve("models:/fundus-sex@champion")
    registry.tag_version(version, {"champion_gate_reason": "at chance"})
    line = r"robust; models:/fundus-sex/1 was refused it: at chance$"
    with pytest.raises(TrackingError, match=line):
        registry.resolve("models:/fundus-sex@champion")


def test_the_files_can_be_taken_out(registered, tmp_path):
    folder = registry.download_files("models:/fundus-sex@robust", tmp_path / "out" / "classifier")
    for name in registry.FILES:
        assert (folder / name).read_bytes() == (registered.files / name).read_bytes()


@pytest.mark.usefixtures("version")
def test_aliases_move_and_descriptions_are_replaced(network, files):
    with start_run("train", {}) as run:
        second = register(run, network, files)
    registry.set_alias(second, "robust")
    assert registry.resolve("models:/fundus-sex@robust").version == 2
    registry.describe(second, "**second**")
    assert MlflowClient().get_model_version("fundus-sex", "2").description == "**second**"


@pytest.mark.usefixtures("version")
def test_an_alias_says_of_which_ball(network, files):
    with start_run("robustify", {}) as run:
        second = register(run, network, files)
    ball = {"recipe": "fast", "constraint": "l2", "eps": "1", "eps_grey_levels": "1.15"}
    registry.tag_version(second, ball)
    registry.set_alias(registry.resolve("models:/fundus-sex/2"), "robust")
    tags = MlflowClient().get_registered_model("fundus-sex").tags
    assert tags["alias_robust"] == "version 2: fast, l2, eps 1, 1.15 grey levels"


def test_an_alias_is_found_or_there_is_none(version):
    assert registry.find_alias("fundus-sex", "robust") == version
    assert registry.find_alias("fundus-sex", "champion") is None


def test_tags_join_those_of_a_version(version):
    registry.tag_version(version, {"promoted_on": "val"})
    registry.tag_version(version, {"promoted_on": "test"})
    found = registry.resolve(version.uri).tags
    assert found == {"recipe": "clean", "promoted_on": "test"}
