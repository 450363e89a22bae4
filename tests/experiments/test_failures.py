"""A user's mistake: one clear line, exit code 2, a FAILED run that says so, nothing half-done."""

import csv
import json

import pytest
import torchvision
from safetensors.torch import save_file

from experiments import evaluate, main, modulate, preprocess, robustify, train, tune
from experiments.recording.chain_page import HEADLINE, TITLE
from fundus_ml.imaging.pictures import write_png
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population
from tests.experiments.conftest import flags, own_client

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")


@pytest.fixture
def fails(chain, capsys):  # noqa: ARG001 - it works there
    """Run an entry point that must refuse; give back the line and check what it leaves."""

    def run(module, **values):
        registered = _versions()
        with pytest.raises(SystemExit, match="2"):
            module.main(flags(values))
        name = module.__name__.rpartition(".")[2]
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        line = lines[-1]
        assert line.startswith(f"{name}: ")
        assert not any("Traceback" in text for text in lines)
        failed = _newest_run()
        assert failed.info.status == "FAILED"
        assert failed.data.tags["failure"] == line.removeprefix(f"{name}: ")[:500]
        assert _versions() == registered
        return line.removeprefix(f"{name}: ")

    return run


def _newest_run():
    experiments = [e.experiment_id for e in own_client().search_experiments()]
    newest_first = ["attributes.start_time DESC"]
    (found,) = own_client().search_runs(experiments, order_by=newest_first, max_results=1)
    return found


def _versions():
    return sorted(int(v.version) for v in own_client().search_model_versions())


@pytest.mark.parametrize(
    ("module", "values", "said"),
    [
        (robustify, {"budget": 3}, "budget: unknown parameter; allowed: "),
        (robustify, {"eps": -1}, "eps=-1.0: must be a finite number, 0 or more"),
        (robustify, {"eps": "abc"}, "eps=abc: must be a number, or a fraction such as 4/255"),
        (robustify, {"method": "magic"}, "method=magic: allowed: pgd, fast, free, trades"),
        (robustify, {"beta": -1}, "beta=-1.0: must be a finite number, 0 or more"),
        (robustify, {"replays": 0}, "replays=0: must be at least 1"),
        (robustify, {"eps_warmup": 6}, "eps_warmup=6.0: must be from 0 to epochs=5"),
        (
            robustify,
            {"overfitting_monitor": 1},
            "overfitting_monitor=1.0: must be above 0 and below 1, or 0 for none",
        ),
        (evaluate, {"eps": "1,x"}, "eps=1,x: must be numbers or fractions with commas"),
        (evaluate, {"constraint": "l1"}, "constraint=l1: allowed: l2, linf"),
        (evaluate, {"split": "valid"}, "split=valid: allowed: train, val, test"),
        (modulate, {"eps": "1,-1"}, "eps=-1.0: must be a finite number, 0 or more"),
        (modulate, {"step_size": "fast"}, "step_size=fast: must be auto, a number, or a fraction"),
        (modulate, {"mode": "both"}, "mode=both: allowed: flip, female, male"),
        (modulate, {"images": 400}, "images=400: needs 200 female people in this split"),
        (modulate, {"model": "models:/fundus-sex@best"}, "'fundus-sex' has no such alias, there"),
        (evaluate, {"model": "fundus-sex"}, "must look like models:/name@alias or models:/name/3"),
        (train, {"lr": "quick"}, "lr=quick: must be a number"),
        (train, {"epochs": 1.5}, "epochs=1.5: must be a whole number"),
        (train, {"augment": "maybe"}, "augment=maybe: allowed: none, flip, geometry, full"),
        (train, {"precision": "fp8"}, "precision=fp8: allowed: auto, fp32, bf16"),
        (train, {"arch": "resnet19"}, "arch=resnet19: no backbone of torchvision or timm"),
        (train, {"weights": "nowhere.pt"}, "weights=nowhere.pt: no such file"),
        (train, {"tuned": "nowhere.json"}, "nowhere.json: nothing to read there"),
        (train, {"dataset": "nowhere"}, "dataset=nowhere: no such folder"),
        (train, {"dataset": "demo"}, "dataset=demo: no dataset.json in it"),
        (tune, {"trials": 0}, "trials=0: must be at least 1"),
        (tune, {"space": "nowhere.json"}, "space=nowhere.json: not a readable JSON file"),
    ],
)
def test_a_flag_that_cannot_be(fails, module, values, said):
    assert said in fails(module, **{"dataset": "demo/dataset"} | values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source": "mars"}, "source=mars: allowed: synthetic, odir, brset, mbrset, papila, f"),
        ({"source": "odir"}, "root=: no such folder"),
        ({"source": "odir", "root": "nowhere"}, "root=nowhere: no such folder"),
        ({"source": "odir", "root": "demo"}, "demo: holds neither full_df.csv nor ODIR-5K"),
        ({"cue": "lens"}, "cue=lens: allowed: disc, vessels, macula, none"),
        ({"size": 0}, "size=0: must be at least 1"),
        ({"padding": "grey"}, "padding=grey: allowed: black, mirror"),
        ({"workers": -1}, "workers=-1: must be 0"),
        ({"backend": "dask"}, "scheduler: backend=dask needs its address"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "must sum to less than 1"),
    ],
)
def test_a_release_that_cannot_be_read(fails, chain, values, said):
    assert said in fails(preprocess, **{"patients": 6, "out": "never", "workers": 1} | values)
    assert not (chain.folder / "never").exists()
    assert not list(chain.folder.glob(".never*"))


def write_release(folder, rows, *, photographs=True):
    """Write eyes of an invented population as files, with ``rows`` as their table."""
    folder.mkdir()
    painted = synthetic_photographs(Population(patients=4, seed=0))
    for name, row in zip(
        ("a.png", "b.png", "c.png"), painted.table.to_dict("records"), strict=False
    ):
        if photographs:
            write_png(painted.load(row, 0).image, folder / name)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_a_table_without_its_columns(fails, tmp_path):
    write_release(tmp_path / "own", [["file", "sex"], ["a.png", "f"]])
    said = fails(preprocess, source="folder", root=tmp_path / "own", out=tmp_path / "out")
    assert said.endswith(
        "labels.csv: columns missing: patient_id; it has file, sex; docs/labels_template.csv is a "
        "table to start from"
    )
    assert not (tmp_path / "out").exists()


def test_an_empty_source(fails, tmp_path):
    write_release(
        tmp_path / "own",
        [["file", "patient_id", "sex"], ["a.png", "1", "f"], ["b.png", "2", "m"]],
        photographs=False,
    )
    said = fails(preprocess, source="folder", root=tmp_path / "own", out=tmp_path / "out")
    assert said == (
        "source folder: no eye is left (2 file missing): a.png was looked for in "
        f"{tmp_path / 'own'}, which holds labels.csv"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("unrendered")
def test_one_class_data(fails, tmp_path):
    write_release(
        tmp_path / "own",
        [["file", "patient_id", "sex"], ["a.png", "1", "f"], ["b.png", "2", "f"],
         ["c.png", "3", "f"]],
    )  # fmt: skip
    own = {"source": "folder", "root": tmp_path / "own", "out": tmp_path / "out", "workers": 1}
    preprocess.main(flags(own | {"size": 32, "regions": "no", "same_person": "false"}))
    small = {"dataset": tmp_path / "out", "arch": "test_resnet", "weights": "none", "batch_size": 2}
    said = fails(train, **small)
    assert said == (
        "test split of folder cannot be measured: holds one class only, both are needed"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_too_few_people_to_measure_are_refused_before_the_training(fails, tmp_path, capsys):
    small = {"patients": 8, "size": 40, "workers": 1, "out": tmp_path / "out"}
    preprocess.main(flags(small))
    said = fails(train, dataset=tmp_path / "out", arch="test_resnet", weights="none")
    assert "cannot be measured" in said
    assert "more patients are needed" in said
    assert "epoch" not in capsys.readouterr().err


@pytest.mark.parametrize("module", [preprocess, main])
def test_a_folder_that_cannot_be_written(fails, tmp_path, module):
    (tmp_path / "file").write_text("mine")
    small = {"patients": 4, "size": 32, "workers": 1, "out": tmp_path / "file" / "out"}
    assert "cannot be written" in fails(module, **small)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_older_summary_does_not_pass_for_a_chain_that_failed(fails, tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(dict.fromkeys(HEADLINE)))
    (tmp_path / "summary.html").write_text(f"<h1>{TITLE}</h1>")
    (tmp_path / "notes.txt").write_text("mine")
    said = fails(main, source="odir", root="nowhere", out=tmp_path)
    assert said.startswith("root=nowhere: no such folder")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_with_other_things_is_left_alone(fails, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    said = fails(preprocess, patients=4, size=32, workers=1, out=tmp_path)
    assert "holds other things than a dataset" in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_weights_of_another_architecture(fails, tmp_path):
    other = torchvision.models.resnet34(weights=None)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    said = fails(
        train, dataset="demo/dataset", arch="resnet18", weights=tmp_path / "other.safetensors"
    )
    assert "not of arch=resnet18" in said


def test_no_network_with_imagenet_weights(fails, monkeypatch, tmp_path):
    # A proxy where nothing answers stands for the missing network, so that every machine has none.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    said = fails(train, dataset="demo/dataset", arch="resnet18", weights="imagenet")
    assert said.startswith("weights=imagenet: cannot download resnet18-")
    assert "without internet pass arch=efficientnet_lite0, whose weights are installed, " in said
