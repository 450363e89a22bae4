"""`modulate` from the command line: what it leaves behind, every way it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from experiments import modulate
from experiments.recording import modulation_figures
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import read_dataset_json
from fundus_ml.imaging.pictures import read_png, to_images, write_png
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.modulation import CONTRAST_BLEND, CONTROL_DIRECTIONS, GRADIENT, ORIGINAL, SALIENCY
from fundus_ml.modulation.control_table import (
    CLEAN_MODEL,
    ENSEMBLE,
    MODULATION,
    SHUFFLED_MODEL,
)
from fundus_ml.modulation.transfer_matrix import INDEPENDENT
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tests.fundus_ml.tiny_eyes import write_record
from tests.fundus_ml.tiny_galleries import data_of
from tracking import results
from tracking.registry import load_classifier, resolve
from tracking.stores import initialise_tracking

USUAL = {
    "model": "models:/eye/1", "eps": "1/4,1/2,1", "images": 4, "attack_steps": 3,
    "min_norm_steps": 12, "batch_size": 2, "bootstrap": 50, "precision": "fp32",
}  # fmt: skip
KEY = ["image_id", "eps"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def everything(versions):
    """Flags that name an independent evaluator and both networks that are controls."""
    learned_shuffled_labels(2)
    return USUAL | {
        "dataset": versions.a, "evaluator": "models:/eye/4", "clean_model": "models:/eye/3",
        "null_model": "models:/eye/2",
    }  # fmt: skip


def learned_shuffled_labels(*numbers):
    """Say of versions of ``eye`` that they are of the null distribution of the first."""
    client = initialise_tracking()
    digest = client.get_model_version("eye", "1").tags["dataset_digest"]
    for number in numbers:
        client.set_model_version_tag("eye", str(number), "labels", "shuffled")
        client.set_model_version_tag("eye", str(number), "dataset_digest", digest)


def with_regions(dataset, folder):
    """The same eyes with a map: a disc in the middle, the rest of the retina around it."""
    shutil.copytree(dataset, folder)
    for pixels in folder.glob("pixels-*.npy"):
        maps = np.ones(np.load(pixels).shape[:3], np.uint8)
        maps[:, 8:16, 8:16] |= REGION_FLAGS["disc"]
        np.save(pixels.with_name(pixels.name.replace("pixels", "regions")), maps)
    record = {**read_dataset_json(folder), "regions": True}
    write_record(folder, record, kinds=("pixels", "regions"))
    return folder


def pictures_of(run, folder="modulation/pictures"):
    """Bytes of every picture of a run, by its path."""
    folder = artifact(run, folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")
    }


def eye(dataset, image_id):
    """``(1, H, W, 3)`` uint8."""
    return dataset.pixels(dataset.frame["image_id"].eq(image_id).to_numpy())


def png(pixels):
    """A picture as a file holds it."""
    with tempfile.TemporaryDirectory() as folder:
        write_png(pixels, Path(folder) / "x.png")
        return (Path(folder) / "x.png").read_bytes()


def prob_male(network, pixels):
    """P(male) of one eye."""
    with torch.no_grad():
        return torch.sigmoid(network(to_images(pixels))).item()


def more_than_one_gradient(run, kept, others, out):
    """What the claim rests on: the differences of each eye, in tables, metrics and words."""
    differences = logged_table(run, "paired_differences.json")
    assert len(differences) == 10 * 9 / 2 * 3
    rival = differences[
        (differences["condition"] == MODULATION) & (differences["other"] == GRADIENT)
    ]
    last = [
        rows[rows["eps"] == 1]["success"].mean()
        for rows in (kept, others[others["condition"] == GRADIENT])
    ]
    success = rival.set_index("measure").loc["success"]
    assert success["difference"] == pytest.approx(last[0] - last[1])
    assert run.data.metrics["success_minus_gradient"] == pytest.approx(success["difference"])
    assert "modulation minus gradient squared (q < 0.05): " in out
    norms = logged_table(run, "minimal_perturbations.json")
    assert norms["condition"].tolist() == [MODULATION, *SALIENCY, CLEAN_MODEL, SHUFFLED_MODEL]
    # No eye is asked of both the model and the clean model, which sees all the other way.
    assert norms["p"].notna().tolist() == [False, True, True, False, True]
    assert logged_table(run, "flipped_by_eps.json")["eps"].tolist() == [0.25, 0.5, 1.0] * 5


def all_see_all(run, kept, dataset):
    """The transfer matrix: the model's row from its saved files, the diagonal as the tables say."""
    matrix = logged_table(run, "transfer_matrix.json")
    networks = [MODULATION, CLEAN_MODEL, SHUFFLED_MODEL]
    assert list(dict.fromkeys(matrix["condition"])) == networks
    assert list(dict.fromkeys(matrix["evaluator"])) == [*networks, INDEPENDENT]
    assert len(matrix) == 3 * 4 * 3
    cells = matrix.set_index(["condition", "evaluator", "eps"])
    for evaluator, number in zip([*networks, INDEPENDENT], (1, 3, 2, 4), strict=True):
        network = load_classifier(f"models:/eye/{number}")
        for eps, rows in kept.groupby("eps"):
            female = rows["target"].eq("female").to_numpy()
            for name, pixels in (
                ("", [read_png(artifact(run, f"modulation/{path}")) for path in rows["picture"]]),
                ("_before", [eye(dataset, image_id)[0] for image_id in rows["image_id"]]),
            ):
                male = np.array([prob_male(network, each[None]) for each in pixels])
                seen = np.where(female, 1 - male, male)
                cell = cells.loc[(MODULATION, evaluator, eps)]
                assert cell[f"prob_target{name}"] == pytest.approx(seen.mean(), abs=1e-3)
                assert cell[f"success{name}"] == pytest.approx((seen > 0.5).mean())
    controls = logged_table(run, "controls.json").set_index("condition")
    for condition in networks:
        for measure, evaluator in (("success", condition), ("transferred", INDEPENDENT)):
            for end in ("", "_low", "_high"):
                own = cells.loc[(condition, evaluator, 1.0), f"success{end}"]
                assert own == pytest.approx(controls.loc[condition, f"{measure}{end}"])
    rows = pd.read_parquet(artifact(run, "modulation/transfers.parquet"))
    assert len(rows) == 3 * 4 * 3 * 4


def test_everything_is_measured_and_tied(versions, everything, capsys):
    """Pictures, tables, rows in the database, and what a notebook gets back of them."""
    modulate.main(flags(everything))
    out, err = capsys.readouterr()
    assert "has not the alias robust" in err
    run = newest("modulate")
    kept = pd.read_parquet(artifact(run, "modulation/modulations.parquet"))
    frame = results.modulations(model="models:/eye/1")
    assert len(frame) == len(kept) == 4 * 3
    evaluator, own = load_classifier("models:/eye/4"), load_classifier("models:/eye/1")
    dataset = open_dataset(versions.a)
    rescored = frame.merge(kept[[*KEY, "evaluator_prob_target"]], on=KEY)
    originals = pictures_of(run)
    for row in rescored.to_dict("records"):
        path = results.picture_path(row["picture"])
        picture, original = read_png(path)[None], eye(dataset, row["image_id"])
        assert originals[f"{path.parent.name}/{ORIGINAL}"] == png(original[0])
        assert np.sqrt((((picture / 255) - original / 255) ** 2).sum()) <= row["eps"] + 1e-6
        male = [prob_male(network, picture) for network in (own, evaluator)]
        seen = [1 - prob for prob in male] if row["target"] == "female" else male
        assert [row["prob_target"], row["evaluator_prob_target"]] == pytest.approx(seen, abs=1e-3)
    path = frame.sort_values("eps").groupby("image_id")["prob_target"]
    assert path.apply(lambda prob: prob.is_monotonic_increasing).all()
    transfers = results.transfers(model="models:/eye/1")
    assert len(transfers) == 4 * 3
    assert set(transfers["evaluator"]) == {"models:/eye/4"}
    min_norms = results.minimal_perturbations(model="models:/eye/1")
    assert len(min_norms) == 4
    assert min_norms["searched"].all()
    flipped = frame.merge(min_norms, on=["image_id", "region"])
    assert not (flipped["success"] & (flipped["min_norm"] > 1.05 * flipped["eps"])).any()

    controls = logged_table(run, "controls.json")
    networks = [MODULATION, *SALIENCY, CLEAN_MODEL, SHUFFLED_MODEL]
    assert controls["condition"].tolist() == [*networks, CONTRAST_BLEND, *CONTROL_DIRECTIONS]
    assert controls["min_norm"].notna().tolist() == [True] * 5 + [False] * 5
    assert {"transferred", "evaluator_area"} <= set(controls)
    same = controls["condition"].isin([*SALIENCY, *CONTROL_DIRECTIONS])
    np.testing.assert_allclose(controls.loc[same, "l2"], controls.loc[0, "l2"], rtol=0.02)
    others = pd.read_parquet(artifact(run, "modulation/controls.parquet"))
    assert len(others) == 9 * 4 * 3
    more_than_one_gradient(run, kept, others, out)
    all_see_all(run, kept, dataset)
    for name in (
        "gallery.html",
        "contact_sheet.png",
        "success_by_eps.png",
        "minimal_perturbations.png",
        "transfer_matrix.png",
    ):
        assert artifact(run, f"modulation/{name}").stat().st_size > 1000
    gallery = data_of(artifact(run, "modulation/gallery.html").read_text())
    assert gallery["other"] == f"{CLEAN_MODEL}, models:/eye/3"
    clean = others[others["condition"] == CLEAN_MODEL].set_index(KEY)["prob_target"]
    for shown in gallery["eyes"]:
        expected = clean[shown["image_id"]].sort_index()
        assert shown["other"]["prob"][1:] == pytest.approx(expected.tolist())
    assert run.data.tags["region_enrichment"] == "not measured: the dataset has no region maps"
    assert run.data.metrics["area"] == pytest.approx(controls.loc[0, "area"])
    inputs = {one.model_id for one in run.inputs.model_inputs}
    assert inputs == {resolve(f"models:/eye/{number}").model_id for number in (1, 2, 3, 4)}


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_several_networks_at_chance(versions, tmp_path, capsys):
    """Each makes pictures; the modulation is ranked among them, and three can show nothing."""
    learned_shuffled_labels(2, 3, 4)
    shuffled = "models:/eye/2, models:/eye/3,models:/eye/4"
    dataset = with_regions(versions.a, tmp_path / "mapped")
    quick = {"images": 4, "min_norm_steps": 0, "controls": "false", "bootstrap": 20}
    asked = {"dataset": dataset, "null_model": shuffled, "disc_ring": "true", "verbose": "true"}
    modulate.main(flags(USUAL | quick | asked))
    said = capsys.readouterr().out
    assert "null_high" in said
    assert "3 null models can reach no p below 0.25: nothing is shown against them" in said
    run = newest("modulate")
    controls = logged_table(run, "controls.json")
    null_models = ["shuffled model 1", "shuffled model 2", "shuffled model 3"]
    assert controls["condition"].tolist()[:4] == [MODULATION, *null_models]
    enrichment = logged_table(run, "region_enrichment.json").set_index(["condition", "eps", "part"])
    null = logged_table(run, "null_distribution.json")
    shams = ["sham disc", "sham disc ring"]
    assert set(null["part"]) == {"disc", "disc ring", "background", *shams}
    assert len(null) == 3 * 5
    ringed = enrichment.loc[(MODULATION, 1.0, "disc ring"), "enrichment"]
    assert run.data.metrics["enrichment_disc_ring"] == pytest.approx(ringed)
    assert set(null["least_p"]) == {0.25}
    assert null["p_max"].min() >= 0.25
    null = null[~null["part"].isin(shams)]
    for row in null.to_dict("records"):
        found = [
            enrichment.loc[(condition, row["eps"], row["part"]), "enrichment"]
            for condition in null_models
        ]
        assert [row["null_low"], row["null"], row["null_high"]] == pytest.approx(sorted(found))
        assert (
            row["enrichment"] == enrichment.loc[(MODULATION, row["eps"], row["part"]), "enrichment"]
        )
    assert artifact(run, "modulation/region_enrichment_eps-1.png").is_file()
    gallery = data_of(artifact(run, "modulation/gallery.html").read_text())
    assert list(gallery["structures"]) == ["disc"]
    shares = pd.read_parquet(artifact(run, "modulation/region_shares.parquet"))
    own = shares[shares["condition"] == MODULATION].dropna(subset="enrichment")
    densest = own.loc[own.groupby(KEY)["enrichment"].idxmax()].set_index(KEY)["part"]
    for shown in gallery["eyes"]:
        parts = [densest.get((shown["image_id"], eps), "unknown") for eps in (0.25, 0.5, 1.0)]
        assert shown["part"] == ["nothing", *parts]


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_replicates_push_the_same_eyes(versions, tmp_path):
    """Their mean has intervals over people and networks; pictures and rows are the first's."""
    dataset = with_regions(versions.a, tmp_path / "mapped")
    quick = {"images": 6, "eps": "1", "min_norm_steps": 0, "controls": "false", "bootstrap": 20}
    models = {"model": "models:/eye/1, models:/eye/2,models:/eye/3"}
    modulate.main(flags(USUAL | quick | models | {"dataset": dataset}))
    run = newest("modulate")
    controls = logged_table(run, "controls.json").set_index("condition")
    three = ["modulation", "modulation 2", "modulation 3"]
    assert controls.index.tolist() == three
    success = logged_table(run, "success_over_networks.json").iloc[0]
    assert success["networks"] == 3
    assert success["success"] == pytest.approx(controls["success"].mean())
    enrichment = logged_table(run, "region_enrichment.json").set_index(["condition", "part"])
    mean = logged_table(run, "enrichment_over_networks.json").set_index("part").loc["disc"]
    each = [enrichment.loc[(condition, "disc"), "enrichment"] for condition in three]
    assert mean["enrichment"] == pytest.approx(np.exp(np.log(each).mean()))
    assert mean["enrichment_low"] <= mean["enrichment_people_low"] < mean["enrichment"]
    assert set(results.modulations()["model_version"]) == {1}


@pytest.mark.usefixtures("unrendered")
def test_an_ensemble_is_one_more_network(versions):
    """Its logit is the mean of the models' and the clean one's; it stands in every table."""
    quick = {"eps": "1/4,1", "controls": "false", "bootstrap": 20, "ensemble": "true"}
    named = {"model": "models:/eye/1,models:/eye/2", "clean_model": "models:/eye/4"}
    modulate.main(flags(USUAL | quick | named | {"dataset": versions.a}))
    run = newest("modulate")
    networks = [MODULATION, f"{MODULATION} 2", CLEAN_MODEL, ENSEMBLE]
    controls = logged_table(run, "controls.json").set_index("condition")
    assert controls.index.tolist() == networks
    assert controls["min_norm"].notna().all()
    differences = logged_table(run, "paired_differences.json")
    assert set(differences["other"]) | set(differences["condition"]) == set(networks)
    rows = pd.read_parquet(artifact(run, "modulation/transfers.parquet"))
    assert rows.groupby(["condition", "evaluator"]).size().tolist() == [4 * 2] * 16
    logit = np.log(rows["prob_target"]) - np.log1p(-rows["prob_target"])
    wide = rows.assign(logit=logit).pivot_table(
        index=["condition", "image_id", "eps"], columns="evaluator", values="logit"
    )
    mean = wide[networks[:3]].mean(axis=1)
    np.testing.assert_allclose(wide[ENSEMBLE], mean, rtol=1e-4, atol=1e-4)
    assert mean.groupby("condition").mean().idxmax() == ENSEMBLE
    assert set(results.modulations()["model_version"]) == {1}
    assert not list(Path("checkpoints").glob("modulate-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_one_null_model_is_no_distribution(everything, versions, tmp_path):
    """With region maps the run says what is missing; a sham is searched and set beside its part."""
    dataset = with_regions(versions.a, tmp_path / "mapped")
    quick = {"images": 2, "eps": "1", "min_norm_steps": 3, "controls": "false", "bootstrap": 20}
    modulate.main(flags(everything | quick | {"dataset": dataset}))
    run = newest("modulate")
    tags = run.data.tags
    confined = logged_table(run, "confined_budgets.json").set_index(["condition", "region"])
    assert confined.loc[MODULATION, "values"].tolist() == [3 * 16, 3 * 16]
    assert confined.loc[MODULATION].index.tolist() == ["disc", "sham disc"]
    searched = set(results.minimal_perturbations(model="models:/eye/1")["region"])
    assert searched == {"whole", "disc", "sham disc"}
    assert tags["null"] == "not measured: name two or more shuffled models"


@pytest.mark.usefixtures("unrendered")
def test_a_modulation_that_changes_nothing_ends_well(versions):
    """A budget below one 8-bit step leaves every picture as it was: no mean change is drawn."""
    still = {"images": 2, "eps": "0.001", "min_norm_steps": 0, "controls": "false"}
    modulate.main(flags(USUAL | still | {"dataset": versions.a, "bootstrap": 20}))
    run = newest("modulate")
    assert run.info.status == "FINISHED"
    assert logged_table(run, "effect_by_eps.json")["unchanged"].tolist() == [2]
    files = [path.name for path in artifact(run, "").rglob("transfer*")]
    assert files == []  # one network alone
    assert not artifact(run, "modulation").joinpath("mean_change.png").exists()


@pytest.mark.slow
def test_a_rerun_replaces_and_gives_the_same_pictures(versions, monkeypatch):
    """Byte for byte, panels drawn by several processes too; no row twice."""
    found, panels = [], []
    for panels_worth_processes in (99, 2):
        monkeypatch.setattr(modulation_figures, "WORTH_PROCESSES", panels_worth_processes)
        quick = {"controls": "false", "mode": "disrupt", "min_norm_steps": 0, "images": 2}
        modulate.main(flags(USUAL | {"dataset": versions.a} | quick))
        found.append(pictures_of(newest("modulate")))
        panels.append(pictures_of(newest("modulate"), "modulation/panels"))
    assert found[0] == found[1]
    assert len(found[0]) == 2 * 4
    assert panels[0] == panels[1]
    assert len(panels[0]) == 2
    frame = results.modulations(model="models:/eye/1")
    disrupted = frame[frame["mode"] == "disrupt"]
    assert len(disrupted) == 6
    assert (disrupted["prob_target_before"] <= 0.5).all()
    assert set(disrupted["run_id"]) == {newest("modulate").info.run_id}
    assert not Path("checkpoints").is_dir() or not list(Path("checkpoints").glob("modulate-*"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"eps": "1,1/2"}, "eps=1,0.5: budgets above 0, rising"),
        ({"eps": ""}, "eps=: must be numbers or fractions"),
        ({"region": "disc"}, "region=disc: the dataset has no region maps"),
        (
            {"min_norm_regions": "disc"},
            "min_norm_regions: region=disc: the dataset has no region maps",
        ),
        ({"region": "fovea"}, "region=fovea: allowed: whole, retina, disc"),
        (
            {"evaluator": "models:/eye/1"},
            "evaluator=models:/eye/1: is the model itself",
        ),
        ({"null_model": "models:/eye/3"}, "null_model=models:/eye/3: was not trained with"),
        ({"null_model": "models:/eye/3,models:/eye/3"}, "null_model=models:/eye/3,models:"),
        ({"ensemble": "true"}, "ensemble=true: models:/eye/1 alone has nobody to be averaged"),
        (
            {"ensemble": "true", "clean_model": "models:/eye/3", "evaluator": "models:/eye/3"},
            "evaluator=models:/eye/3: is clean_model, a part of the ensemble",
        ),
        ({"attack_steps": "many"}, "attack_steps=many: must be auto, or a whole number"),
        ({"images": 99}, "images=99: needs 50 female people in this split"),
    ],
)
def test_mistakes_end_in_one_line(versions, capsys, changed, message):
    """Exit code 2, and nothing but the line."""
    with pytest.raises(SystemExit) as ended:
        modulate.main(flags(USUAL | {"dataset": versions.a} | changed))
    assert ended.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"modulate: {message}")


def start(values):
    """The entry point as a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.modulate", *flags(values)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_and_given_again(everything):
    """SIGKILL once the first batches are kept: the same files and rows as undisturbed."""
    values = everything | {"images": 20, "controls": "false", "min_norm_steps": 60, "seed": 3}
    modulate.main(flags(values))
    wanted, rows = pictures_of(newest("modulate")), results.modulations(model="models:/eye/1")
    process = start(values)
    until = time.monotonic() + 120
    while not list(Path("checkpoints").glob("modulate-*/modulation/*.npz")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = newest("modulate").info.run_id
    finished = len(list(Path("checkpoints").glob("modulate-*/modulation/*.npz")))
    assert 0 < finished < 10
    again = start(values)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "goes on with the modulation in" in out
    run = newest("modulate")
    assert run.data.tags["continues"] == killed
    assert pictures_of(run) == wanted
    frame = results.modulations(model="models:/eye/1")
    numbers = ["image_id", "eps", "prob_target", "l2", "success"]
    mine = frame[frame["run_id"] == run.info.run_id]
    pd.testing.assert_frame_equal(
        mine[numbers].sort_values(KEY).reset_index(drop=True),
        rows[rows["seed"] == 3][numbers].sort_values(KEY).reset_index(drop=True),
    )
    assert not list(Path("checkpoints").glob("modulate-*"))


@pytest.mark.slow
def test_two_at_once_on_one_version(everything):
    """The same command twice and another beside them: all end, each with its own pictures."""
    values = everything | {"controls": "false", "seed": 4}
    other = values | {"mode": "enhance"}
    processes = [start(values), start(values), start(other)]
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err
    client = initialise_tracking()
    ids = [each.experiment_id for each in client.search_experiments()]
    runs = [
        client.get_run(run.info.run_id)
        for run in client.search_runs(ids, "params.seed = '4'")
        if run.data.tags["stage"] == "modulate"
    ]
    by_mode = {}
    for run in runs:
        by_mode.setdefault(run.data.params["mode"], []).append(pictures_of(run))
    assert len(by_mode["flip"]) == 2
    assert by_mode["flip"][0] == by_mode["flip"][1]
    assert by_mode["enhance"][0] != by_mode["flip"][0]
    frame = results.modulations(model="models:/eye/1")
    frame = frame[frame["seed"] == 4]
    assert frame.groupby("mode").size().to_dict() == {"flip": 12, "enhance": 12}
