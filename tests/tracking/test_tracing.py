"""From any thing of a small store to everything it came from, and back."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.tracking.conftest import end_all_runs, enter_store, make_network
from tests.tracking.tiny_classifier import save_classifier
from tracking import registry, results
from tracking.errors import TrackingError
from tracking.registry import register_classifier
from tracking.runs import DatasetVersion, start_run
from tracking.tracing import trace

DIGEST = "ab" * 32
EYE = "site/1_left"


@pytest.fixture(scope="module")
def lineage_once(blank_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lineage")
    shutil.copy(blank_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        enter_store(folder, patch)
        patch.setattr("tracking.registry.log_program", lambda *_, **__: logged())
        network = make_network()
        return folder, leave_chain(network, save_classifier(network, folder / "classifier"))


@pytest.fixture
def lineage(lineage_once, tmp_path, monkeypatch):
    """A chain: dataset, version, its child, and one picture by the child; this test's own copy."""
    folder, names = lineage_once
    for database in ("mlflow.db", "results.db"):
        shutil.copy(folder / database, tmp_path / database)
    enter_store(tmp_path, monkeypatch)
    yield names
    end_all_runs()


def leave_chain(network, files):
    dataset = DatasetVersion("site", DIGEST, "data", 3, "preprocess")
    with start_run("main", {}) as main:
        with start_run("preprocess", {}) as writer:
            reading(writer, dataset)
        with start_run("train", {}) as training:
            reading(training, dataset, "training")
            clean = registered(training, network, files)
        with start_run("robustify", {}) as robustify:
            reading(robustify, dataset, "training", clean)
            robust = registered(robustify, network, files, parents=[clean])
        with start_run("modulate", {}) as modulate:
            reading(modulate, dataset, "modulate", robust)
            address = f"runs:/{modulate.run_id}/modulation/pictures/1_left/eps-1.png"
            results.record_modulations(row(address), run=modulate, model=robust)
    return {
        "picture": address, "clean": clean.uri, "robust": robust.uri,
        **{r: run.run_id for r, run in (("main", main), ("writer", writer), ("train", training),
                                        ("robustify", robustify), ("modulate", modulate))},
    }  # fmt: skip


def logged():
    import mlflow  # noqa: PLC0415

    client = mlflow.MlflowClient()
    experiment = mlflow.active_run().info.experiment_id
    return client.create_logged_model(experiment, name="classifier").model_id


def reading(run, dataset, context=None, model=None):
    version = dataset if context is None else DatasetVersion(
        dataset.name, dataset.digest, dataset.source, dataset.rows, context
    )  # fmt: skip
    run.log_inputs(datasets=[version])
    run.set_tags({"dataset_digest": dataset.digest})
    if model is not None:
        run.set_tags({"model_version": model.uri})
        run.log_inputs(models=[model])


def registered(run, network, files, parents=()):
    return register_classifier(
        run,
        "eye",
        model=network,
        files=files,
        metrics={},
        tags={"contrast": "sex"},
        parents=parents,
    )


def row(picture):
    return pd.DataFrame(
        [
            {
                "dataset_digest": DIGEST, "image_id": EYE, "mode": "flip", "target": "male",
                "constraint": "l2", "eps": 1.0, "region": "whole", "seed": 0, "patient_id": "1",
                "split": "test", "label": 0, "prob_target_before": 0.1, "prob_target": 0.9,
                "success": True, "l2": 1.0, "linf": 0.1, "attack_steps": 3, "step_size": 0.1,
                "picture": picture,
            }
        ]
    )  # fmt: skip


def test_a_picture_reaches_its_photograph_and_back(lineage):
    found = trace(lineage["picture"])
    assert found.names("photograph", direction="up") == [EYE]
    assert found.names("dataset", direction="up") == [DIGEST]
    assert found.names("model", direction="up") == [lineage["robust"], lineage["clean"]]
    runs = set(found.names("run", direction="up"))
    assert runs == {lineage[name] for name in ("main", "writer", "train", "robustify", "modulate")}
    assert found.down == ()

    back = trace(EYE)
    assert back.names("picture", direction="down") == [lineage["picture"]]
    assert back.names("dataset", direction="up") == [DIGEST]


def test_a_version_knows_its_children_and_a_dataset_its_readers(lineage):
    clean = trace(lineage["clean"])
    assert clean.names("model", direction="down") == [lineage["robust"]]
    assert clean.names("picture", direction="down") == [lineage["picture"]]
    assert clean.names("dataset", direction="up") == [DIGEST]
    assert lineage["writer"] in clean.names("run", direction="up")

    dataset = trace(DIGEST[:12])
    assert set(dataset.names("model", direction="down")) == {lineage["clean"], lineage["robust"]}
    assert dataset.names("run", direction="up") == [lineage["writer"], lineage["main"]]

    whole = trace(lineage["main"])
    assert whole.names("dataset", direction="down") == [DIGEST]
    assert whole.up == ()
    table = whole.table()
    assert set(table["kind"]) == {"run", "model", "dataset", "picture"}
    assert table["steps"].min() == 1


def test_a_file_of_the_picture_is_the_picture(lineage):
    run = lineage["modulate"]
    for file in (
        f"runs:/{run}/modulation/pictures/1_left/eps-1.png",
        Path("mlruns/1") / run / "artifacts/modulation/pictures/1_left/eps-1.png",
        Path("downloads") / run / "modulation/pictures/1_left/eps-1.png",
    ):
        assert trace(file).start.name == lineage["picture"]


def test_a_picture_that_was_fetched_is_the_picture(lineage):
    picture = Path("eps-1.png")
    picture.write_bytes(b"a picture")
    run, _, file = lineage["picture"].removeprefix("runs:/").partition("/")
    MlflowClient().log_artifact(run, str(picture), str(Path(file).parent))
    fetched = results.picture_path(lineage["picture"])
    assert fetched.read_bytes() == b"a picture"
    assert trace(fetched).start.name == lineage["picture"]


def test_a_picture_kept_with_its_version_is_found_by_a_file_of_it(lineage):
    """As modulations from before 0.9 are."""
    version = registry.resolve(lineage["robust"])
    with start_run("modulate", {}) as run:
        address = f"{version.uri}/modulation/{run.run_id}/pictures/1_left/eps-1.png"
        results.record_modulations(row(address), run=run, model=version)
    file = Path("models/m-1/artifacts/modulation") / run.run_id / "pictures/1_left/eps-1.png"
    assert trace(file).start.name == trace(address).start.name == address


def test_what_was_deleted_is_named_and_the_walk_goes_on(lineage):
    client = MlflowClient()
    client.delete_model_version("eye", "2")
    found = trace(lineage["picture"])
    words = {each.node.name: each.node.words for each in found.up}
    assert words[lineage["robust"]] == "deleted"
    assert lineage["clean"] not in words
    assert found.names("dataset", direction="up") == [DIGEST]
    assert lineage["writer"] in words


def test_a_run_of_several_versions_and_of_a_composite(lineage):
    """As `compare` tags its run, and a training on several folders."""
    whole = DatasetVersion("a+b", "cd" * 32, "a,b", 5)
    with start_run("compare", {}) as compare:
        reading(compare, whole)
        compare.set_tags(
            {"model_version": f"{lineage['clean']},{lineage['robust']}", "dataset_members": DIGEST}
        )
    found = trace(compare.run_id)
    assert set(found.names("model", direction="up")) == {lineage["clean"], lineage["robust"]}
    assert set(found.names("dataset", direction="up")) == {"cd" * 32, DIGEST}
    for above in (lineage["clean"], lineage["robust"], DIGEST):
        assert compare.run_id in trace(above).names("run", direction="down")


def test_steps_that_were_taken_over_belong_to_the_chain(lineage):
    with start_run("main", {}) as again:
        again.set_tags({"took_over": f"{lineage['train']},{lineage['modulate']}"})
    below = trace(again.run_id)
    assert below.names("model", direction="down")[:1] == [lineage["clean"]]
    assert below.names("picture", direction="down") == [lineage["picture"]]


def test_a_photograph_of_two_datasets_has_the_pictures_of_both(lineage):
    other = lineage["picture"].replace("eps-1", "eps-2")
    version = SimpleNamespace(name="eye", version=2, model_id="m-0")
    with start_run("modulate", {}) as modulate:
        rows = row(other).assign(dataset_digest="ef" * 32)
        results.record_modulations(rows, run=modulate, model=version)
    pictures = trace(EYE).names("picture", direction="down")
    assert set(pictures) == {lineage["picture"], other}


def test_the_source_of_a_photograph_is_told_while_its_dataset_is_there(lineage, tmp_path):
    assert "whose folder is not here" in trace(EYE).start.words
    (tmp_path / "data").mkdir()
    pd.DataFrame({"image_id": [EYE], "sha256": ["f00d"]}).to_parquet(
        tmp_path / "data" / "manifest.parquet"
    )
    (tmp_path / "data" / "dataset.json").write_text(
        '{"recipe": {"source": "odir", "root": "/eyes"}}'
    )
    assert trace(EYE).start.words == "release odir /eyes, SHA-256 f00d"
    assert lineage["picture"] in trace(EYE).names("picture", direction="down")


@pytest.mark.usefixtures("lineage")
@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ("nothing", "must be a modulation's picture"),
        ("a" * 32, "no such run"),
        ("c" * 64, "no run read such a dataset"),
        ("models:/none/1", "no model is registered as 'none'"),
        ("eye.png", "must be a modulation's picture"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(thing, said):
    with pytest.raises(TrackingError, match=said):
        trace(thing)


def test_a_run_is_below_every_version_it_read(lineage):
    """Not the one alone that it was about: a promotion is decided beside the champion."""
    with start_run("promote", {}) as run:
        run.log_inputs(models=[registry.resolve(lineage["robust"])])
        run.log_inputs(models=[registry.resolve(lineage["clean"])])
        run.set_tags({"model_version": lineage["robust"]})
    assert set(trace(run.run_id).names("model", direction="up")) == {
        lineage["robust"], lineage["clean"],
    }  # fmt: skip
    for name in ("robust", "clean"):
        assert run.run_id in trace(lineage[name]).names("run", direction="down")


def test_another_version_of_a_deleted_name_has_nothing_below(lineage, tmp_path, monkeypatch):
    """Its number is counted from 1 again; runs, children and pictures are the former one's."""
    MlflowClient().delete_registered_model("eye")
    monkeypatch.setattr("tracking.registry.log_program", lambda *_, **__: logged())
    network = make_network()
    files = save_classifier(network, tmp_path / "again")
    with start_run("train", {}) as run:
        for _ in range(2):
            registered(run, network, files)
    assert registry.resolve(lineage["clean"]).run_id == run.run_id
    assert trace(lineage["clean"]).down == ()
    (model,) = [each.node for each in trace(lineage["modulate"]).up if each.node.kind == "model"]
    assert (model.name, model.words) == (lineage["robust"], "deleted")
