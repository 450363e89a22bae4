"""The whole chain leaves what a reader is promised, and every piece is tied to the next."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
import torch

from experiments import modulate
from experiments.main import MainConfig
from experiments.recording.chain_findings import verdict_of
from experiments.recording.summary import FILES, remove_summary
from experiments.running.flags import Number, Numbers
from fundus_ml.data.folder import DATASET_FILES
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import Calibration, probabilities
from fundus_ml.imaging.pictures import read_png, to_images
from fundus_ml.imaging.regions.maps import PARTS
from tests.experiments.conftest import own_client
from tests.fundus_ml.trees import plant, tree
from tracking import registry, results
from tracking.exposure import made_from

STEPS = [
    "preprocess", "train", "robustify",
    "evaluate clean", "modulate clean", "evaluate robust", "modulate robust",
]  # fmt: skip


def runs(client):
    (experiment,) = [e for e in client.search_experiments() if e.name == "fundus"]
    return client.search_runs(
        [experiment.experiment_id], "status = 'FINISHED'", order_by=["attributes.start_time"]
    )


@pytest.fixture
def client(chain):  # noqa: ARG001 - it lives there
    return own_client()


@pytest.fixture
def parent(client):
    (found,) = [run for run in runs(client) if run.data.tags.get("stage") == "main"]
    return found


@pytest.fixture
def children(client, parent):
    return [
        run for run in runs(client) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def named(children, name):
    return [run for run in children if run.data.tags["stage"] == name]


def test_the_summary_holds_what_was_found(chain):
    summary = chain.summary
    assert summary["cue"] == "disc"
    assert summary["eps"] == 1.0
    assert summary["rms"] == pytest.approx(1 / np.sqrt(3 * 40**2))
    for name in ("clean_auroc", "robust_auroc", "clean_model_robust_auroc"):
        assert 0 <= summary[name] <= 1
    low, high = summary["clean_auroc_interval"]
    assert low <= summary["clean_auroc"] <= high
    for model in ("clean", "robust"):
        assert list(summary["success_by_eps"][model]) == ["1", "4"]
        assert set(summary["region_enrichment"][model]) == set(PARTS)
        assert summary["seconds_per_step"][model] > 0


def test_the_page_stands_alone_and_shows_the_headline(chain):
    page = (chain.folder / "demo" / "summary.html").read_text()
    assert "What does the network see in a retina?" in page
    assert f"{chain.summary['clean_auroc']:.3f}" in page
    assert page.count("data:image/png;base64,") == 4


def test_the_page_leads_to_galleries_versions_and_runs(chain, children):
    page = (chain.folder / "demo" / "summary.html").read_text()
    links = set(re.findall(r'href="([^"]+)"', page))
    for info in (run.info for run in children):
        if not info.run_name.startswith(("evaluate", "modulate")):
            continue
        place = f"/#/experiments/{info.experiment_id}/runs/{info.run_id}"
        assert f"http://127.0.0.1:5000{place}?workflowType=machine_learning" in links
        if info.run_name.startswith("modulate"):
            assert any(f"{place}/artifacts/modulation/gallery.html" in link for link in links)
    for n in (1, 2):
        assert any(link.partition("?")[0].endswith(f"/fundus-sex/versions/{n}") for link in links)


SEEN = {
    "cue": "disc", "clean_auroc": 0.9, "clean_auroc_interval": [0.8, 0.95],
    "shortcut_baseline": 0.7, "region_enrichment": {"robust": {"disc": 7.0, "outside": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "gate", "said"),
    [
        ({}, "passed", "Above all the disc, where the difference was planted: there the robust"),
        ({"cue": None}, "passed", "Above all the disc: there the robust version's changes are 7 "),
        (
            {"cue": "macula"},
            "skipped",
            "the disc, though the difference was planted in the macula: there",
        ),
        (
            {"region_enrichment": {"robust": {"outside": 2.0}}, "cue": None},
            "passed",
            "Above all the frame around the eye: ",
        ),
        ({"region_enrichment": {"robust": {}}}, "passed", "in no known place: the clean version"),
        ({}, "refused", "its changes are no evidence of what: "),
        ({"clean_auroc_interval": [0.7, 0.95]}, "passed", "Nothing that a shortcut would not"),
    ],
)
def test_the_page_answers_its_title(changes, gate, said):
    """With where the changes go only where the network reads something and passed its gate."""
    assert said in verdict_of(SEEN | changes, gate=gate)


def test_every_step_is_a_finished_child_of_one_parent(client, parent, children):
    assert [run.info.run_name for run in children] == STEPS
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"summary.json", "summary.html"} <= artifacts


def test_both_versions_are_registered_with_lineage_and_measures(chain, client):
    clean = registry.resolve("models:/fundus-sex@candidate")
    robust = registry.resolve("models:/fundus-sex@robust")
    assert [clean.uri, robust.uri] == list(chain.summary["models"].values())
    assert list(made_from(robust).values()) == [robust, clean]
    digest = open_dataset(chain.dataset).digest
    assert clean.tags["dataset_digest"] == robust.tags["dataset_digest"] == digest
    assert (robust.tags["recipe"], robust.tags["constraint"], robust.tags["eps"]) == (
        "pgd", "l2", "1",
    )  # fmt: skip
    measured = client.get_logged_model(robust.model_id).metrics
    names = {metric.key for metric in measured}
    assert {"test/auroc", "test/robust_auroc", "test/robust_auroc_low"} <= names


def test_a_gate_that_is_not_asked_gives_no_alias(chain):
    """The chain of these tests runs with ``gate=false``."""
    assert chain.robust is None
    assert registry.resolve("models:/fundus-sex/2").tags["robust_gate"] == "skipped"


def test_every_run_that_reads_the_dataset_lists_it(chain, children):
    digest = open_dataset(chain.dataset).digest
    for run in children:
        (dataset,) = run.inputs.dataset_inputs
        assert {tag.key: tag.value for tag in dataset.tags}["digest"] == digest


def test_modulate_lists_the_version_it_used(chain, client, children):
    # A search leaves the model inputs out.
    found = [client.get_run(run.info.run_id) for run in named(children, "modulate")]
    used = [[model.model_id for model in run.inputs.model_inputs] for run in found]
    wanted = [registry.resolve(uri).model_id for uri in chain.summary["models"].values()]
    assert used == [[model_id] for model_id in wanted]


def test_the_budget_slider_has_a_step_per_budget(client, children):
    for run in named(children, "modulate"):
        files = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
        pictures = [name for name in files if name.endswith(".png")]
        steps = {int(re.search(r"step[%+](\d+)", name)[1]) for name in pictures}
        assert steps == {0, 1, 2}
        assert len(pictures) == 2 * 3


def test_pictures_are_in_the_version_and_in_its_description(client, chain, children):
    for run, uri in zip(named(children, "modulate"), chain.summary["models"].values(), strict=True):
        version = registry.resolve(uri)
        text = client.get_model_version(version.name, str(version.version)).description
        links = [part.split(")")[0] for part in text.split("](")[1:] if "get-artifact" in part]
        assert len(links) == 2
        for link in links:
            asked = parse_qs(urlsplit(link).query)
            assert asked["run_uuid"] == [run.info.run_id]
            artifact = client.download_artifacts(run.info.run_id, asked["path"][0])
            assert read_png(Path(artifact)).ndim == 3


def test_rows_of_the_database_are_the_pictures(chain):
    rows = results.modulations(model="models:/fundus-sex@robust")
    assert len(rows) == 2 * 2
    assert set(rows["split"]) == {"test"}
    classifier = registry.load_classifier("models:/fundus-sex@robust")
    dataset = open_dataset(chain.dataset)
    places = dict(zip(dataset.frame["image_id"], range(len(dataset)), strict=True))
    for row in rows.to_dict("records"):
        picture = read_png(results.picture_path(row["picture"]))
        original = dataset.pixels([places[row["image_id"]]])[0]
        change = (picture.astype(float) - original) / 255
        assert row["l2"] == pytest.approx(np.sqrt((change**2).sum()), rel=1e-5)
        with torch.inference_mode():
            prob = torch.sigmoid(classifier(to_images(picture[None]))).item()
        wanted = prob if row["target"] == "male" else 1 - prob
        assert row["prob_target"] == pytest.approx(wanted, abs=1e-5)
        assert row["success"] == (row["prob_target"] > 0.5)


def test_region_shares_of_every_picture_sum_to_one(chain):  # noqa: ARG001 - it lives there
    shares = results.region_shares(model="models:/fundus-sex@robust")
    assert shares["baseline"].eq("square").equals(shares["part"].eq("outside"))
    sums = shares[shares["baseline"] == "retina"].groupby(["image_id", "eps"])["energy_share"].sum()
    assert len(sums) == 2 * 2
    assert sums.to_numpy() == pytest.approx(1.0)


def test_predictions_are_rows_that_know_their_eyes(chain):
    # Other tests score other splits and changed copies of this chain's eyes.
    rows = results.predictions(model="models:/fundus-sex@candidate", dataset=chain.dataset)
    test = rows[rows["split"] == "test"]
    eyes = open_dataset(chain.dataset).split("test").frame
    assert test.groupby("eps").size().to_dict() == {0.0: len(eyes), 1.0: len(eyes)}
    clean = test[test["eps"] == 0].reset_index(drop=True)
    known = ["image_id", "patient_id", "label", "person_group", "age", "camera", "quality"]
    pd.testing.assert_frame_equal(clean[known], eyes[known].reset_index(drop=True))
    calibration = Calibration.from_tags(registry.resolve("models:/fundus-sex@candidate").tags)
    wanted = probabilities(clean["logit"], temperature=calibration.temperature)
    assert clean["prob_calibrated"].to_numpy() == pytest.approx(wanted)
    called = clean["logit"] > calibration.threshold
    assert clean["called"].tolist() == called.astype(int).tolist()


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_a_repeated_modulation_replaces_its_rows(children):
    before = results.modulations(model="models:/fundus-sex@robust")
    parameters = named(children, "modulate")[1].data.params
    modulate.main([part for name, value in parameters.items() for part in (f"--{name}", value)])
    after = results.modulations(model="models:/fundus-sex@robust")
    changed = ["run_id", "picture"]
    pd.testing.assert_frame_equal(before.drop(columns=changed), after.drop(columns=changed))
    assert set(before["run_id"]) != set(after["run_id"])


def test_the_dataset_says_how_it_was_made(chain):
    record = json.loads((chain.folder / "demo" / "dataset" / "dataset.json").read_text())
    assert (record["recipe"]["cue"], record["recipe"]["patients"]) == ("disc", 50)
    assert record["regions"] is True


def test_every_file_of_a_dataset_folder_is_listed(chain):
    """Or it could never be replaced: name the new file in ``DATASET_FILES``."""
    assert DATASET_FILES.foreign(Path(chain.dataset)) == []


def test_a_summary_is_replaced_and_one_of_others_is_not(chain, tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes((chain.folder / "demo" / name).read_bytes())
    plant(tmp_path, ["photo.jpg"])
    remove_summary(tmp_path)
    assert tree(tmp_path) == {"photo.jpg": b"mine"}
    for name in FILES:
        plant(tmp_path, [name])
        with pytest.raises(InputError, match=f"holds {name}, which main did not write"):
            remove_summary(tmp_path)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


def test_a_budget_that_compares_the_models_is_needed():
    with pytest.raises(InputError, match=r"modulate_eps=1,2: must hold eps=3"):
        MainConfig(eps=Number("3"), modulate_eps=Numbers("1,2"))
