"""A registered version answers raw photographs: by MLflow, over HTTP, and a folder at a time."""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from benchmarks.serving import hostile_requests, post, served, table_of
from experiments import score
from fundus_ml.imaging.pictures import png_bytes, read_png
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from tests.experiments.conftest import enter, flags
from tracking import registry, results
from tracking.stores import initialise_tracking
from tracking.version_files import PROGRAM

ROOT = Path(__file__).parents[2]
URI = "models:/fundus-sex@robust"
OUTSIDE = """
import sys
unpickled = []
sys.addaudithook(lambda event, args: event == "pickle.find_class" and unpickled.append(args))
import mlflow
from pathlib import Path
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/fundus-sex@robust")
unpickled.clear()
answers = model.predict(sorted(Path(sys.argv[2]).iterdir()))
assert unpickled == [], unpickled
import fundus_ml
assert "artifacts" in fundus_ml.__file__, fundus_ml.__file__
answers.to_csv(sys.argv[3])
"""


@pytest.fixture(autouse=True)
def known_to_mlflow(chain, monkeypatch):
    """What a user does by ``mlflow.set_tracking_uri``; code that is loaded stays on no path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    initialise_tracking()
    return chain


@pytest.fixture(scope="module")
def eyes(chain_once, tmp_path_factory):
    """Raw photographs of test eyes, as files in the order of their names, and their scores."""
    recipe = json.loads((Path(chain_once.dataset) / "dataset.json").read_text())["recipe"]
    names = ("patients", "cue", "cue_strength", "seed")
    table = draw_population(Population(**{name: recipe[name] for name in names}))
    with pytest.MonkeyPatch.context() as patch:
        enter(chain_once.folder, patch)
        scored = results.predictions(model=URI).query("split == 'test' and attack == 'none'")
    scored = scored.drop_duplicates("image_id").sort_values("image_id").head(5)
    folder = tmp_path_factory.mktemp("photographs")
    for row in table[table["image_id"].isin(scored["image_id"])].to_dict("records"):
        (folder / f"{Path(row['image_id']).name}.png").write_bytes(
            png_bytes(paint_photograph(row)[0])
        )
    return folder, scored


def test_the_answers_are_those_of_evaluate(chain, eyes):  # noqa: ARG001 - it lives there
    folder, scored = eyes
    files = sorted(folder.iterdir())
    model = mlflow.pyfunc.load_model(URI)
    answers = model.predict(files)
    np.testing.assert_allclose(answers["logit"], scored["logit"], atol=1e-5)

    tags = registry.resolve(URI).tags
    expected = 1 / (1 + np.exp(-scored["logit"] / float(tags["temperature"])))
    np.testing.assert_allclose(answers["probability"], expected, atol=1e-5)
    called = scored["logit"].gt(float(tags["threshold"])).map({True: "male", False: "female"})
    assert answers["class"].tolist() == called.tolist()

    content = files[0].read_bytes()
    several = pd.DataFrame({"id": ["a"], "photograph": [content]})
    for given in (content, base64.b64encode(content).decode(), [content], files[0], several):
        pd.testing.assert_frame_equal(model.predict(given), answers.head(1))
    mixed = model.predict(pd.DataFrame({"photograph": [b"junk", content]}, index=[7, 9]))
    assert mixed["refused"].str.partition(":")[0].to_dict() == {7: "not an image", 9: ""}
    assert mixed["logit"].iloc[1] == pytest.approx(answers["logit"].iloc[0], abs=1e-6)
    assert json.loads(json.dumps(mixed.to_dict("records"), allow_nan=False))[0]["logit"] is None
    pixels = read_png(files[0])
    for given in (pixels, [pixels], pixels[None]):
        np.testing.assert_allclose(model.predict(given)["logit"], answers["logit"][:1], atol=1e-5)
    with pytest.raises(mlflow.MlflowException, match="no column photograph, only: id, eye"):
        model.predict(pd.DataFrame({"id": [1], "eye": [content]}))
    example = model.predict(model.input_example)
    assert example["quality"].gt(0).all()


@pytest.mark.usefixtures("chain")
def test_a_request_without_a_photograph_ends_in_one_line():
    model = mlflow.pyfunc.load_model(URI)
    for given in (b"junk", "/etc/passwd", pd.DataFrame({"photograph": [None]})):
        with pytest.raises(mlflow.MlflowException, match=r"^not an? (image|photograph): [^\n]+$"):
            model.predict(given)


@pytest.mark.usefixtures("chain")
def test_a_program_that_would_be_unpickled_is_not_loaded(tmp_path):
    """MLflow checks no digest: the loader itself looks into the archive."""
    copy = Path(mlflow.artifacts.download_artifacts(URI, dst_path=str(tmp_path / "model")))
    with zipfile.ZipFile(copy / PROGRAM, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(ValueError, match=r"nothing was loaded|not what torch\.export"):
        mlflow.pyfunc.load_model(str(copy))


def test_code_that_came_later_is_seen(chain):
    """The folder of code has a digest like every other file; checked loads do not import it."""
    version = registry.resolve(URI)
    digests = json.loads(version.tags["files_sha256"])
    assert len(digests["code"]) == 64
    assert not any(path.startswith("code/") for path in digests)
    registry.load_program(URI)
    assert registry.service_config(version)["classes"] == ["female", "male"]
    assert chain.folder.is_dir()


def score_folder(folder, out, **other):
    score.main(flags({"photographs": folder, "model": URI, "scores": out, **other}))
    return pd.read_csv(out)


def test_a_folder_is_scored_and_a_killed_run_goes_on(chain, eyes, tmp_path, monkeypatch):
    folder, scored = eyes
    out = tmp_path / "scores.csv"
    whole = score_folder(folder, out)
    assert whole["photograph"].tolist() == [path.name for path in sorted(folder.iterdir())]
    np.testing.assert_allclose(whole["logit"], scored["logit"], atol=1e-5)
    assert set(whole["model"]) == {registry.resolve(URI).uri}

    kept = out.read_bytes().splitlines(keepends=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.recording.score_table.ScoreTable.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            score_folder(folder, out)
    (partial,) = tmp_path.glob(".*.partial")
    partial.write_bytes(b"".join(kept[:3]) + kept[3][:5])
    read = []
    monkeypatch.setattr(score.serving, "from_file", counted(score.serving.from_file, read))
    pd.testing.assert_frame_equal(score_folder(folder, out), whole)
    assert len(read) == len(whole) - 2
    assert not list(tmp_path.glob(".*"))

    # Other photographs of the same names begin anew.
    partial.write_bytes(b"".join(kept[:3]))
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "more.png").write_bytes(min(folder.iterdir()).read_bytes())
    assert len(score_folder(other, out)) == len(whole) + 1
    assert chain.folder.is_dir()


def stopped(_table):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("chain")
def test_one_table_has_one_writer(eyes, tmp_path, capsys):
    folder, _ = eyes
    with FileLock(tmp_path / ".scores.csv.lock"), pytest.raises(SystemExit):
        score_folder(folder, tmp_path / "scores.csv")
    assert "another score is writing it" in capsys.readouterr().err
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SystemExit):
        score_folder(folder, tmp_path / "folder.csv")
    assert "is a folder, must be a file" in capsys.readouterr().err


def counted(function, calls):
    def counting(path):
        calls.append(path)
        return function(path)

    return counting


@pytest.mark.usefixtures("chain")
def test_what_is_no_eye_is_named_in_the_table(tmp_path, capsys):
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "text.jpg").write_text("text")
    (tmp_path / "eyes" / "black.png").write_bytes(png_bytes(np.zeros((90, 90, 3), np.uint8)))
    (tmp_path / "eyes" / ".hidden.jpg").write_text("text")
    score.main(
        flags({"photographs": tmp_path / "eyes", "model": URI, "scores": tmp_path / "s.parquet"})
    )
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table["photograph"].tolist() == ["black.png", "text.jpg"]
    assert table["refused"].notna().all()
    assert "scored 0 photographs, refused 1 " in capsys.readouterr().out


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"photographs": "nowhere"}, "photographs=nowhere: no such folder"),
        ({"photographs": "empty"}, "photographs=empty: holds no image file"),
        ({"photographs": "empty", "scores": "scores.xlsx"}, "must end in .csv or .parquet"),
    ],
)
def test_a_folder_that_cannot_be_scored_is_refused_in_a_line(values, said, capsys):
    Path("empty").mkdir(exist_ok=True)
    with pytest.raises(SystemExit):
        score.main(flags({"model": URI, **values}))
    assert said in capsys.readouterr().err


def imported_at_once(path):
    """Names that a file imports when it is imported itself, not later inside a function."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_what_travels_with_a_version_imports_nothing_it_is_installed_without():
    """Finding regions needs networks; a version only crops."""
    root = Path(__file__).parents[2]
    files, waiting, foreign = set(), [root / "experiments/recording/served_model.py"], set()
    while waiting:
        file = waiting.pop()
        files.add(file)
        for name in imported_at_once(file):
            ours = root / f"{name.replace('.', '/')}.py"
            if ours.is_file():
                waiting += {ours} - files
            elif name.partition(".")[0] not in {"experiments", "fundus_ml", "tracking"}:
                foreign.add(name.partition(".")[0])
    assert root / "fundus_ml/imaging/cropping.py" in files
    libraries = foreign - sys.stdlib_module_names
    assert libraries <= {"cv2", "mlflow", "numpy", "pandas", "PIL", "simplejpeg", "torch"}


@pytest.mark.slow
def test_it_answers_where_the_project_is_not_installed(chain, eyes, tmp_path):
    folder, scored = eyes
    (tmp_path / "outside.py").write_text(OUTSIDE)
    store = f"sqlite:///{chain.folder / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-I", "outside.py", store, str(folder), "answers.csv"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = pd.read_csv(tmp_path / "answers.csv")
    np.testing.assert_allclose(answers["logit"], scored["logit"], atol=1e-5)


@pytest.mark.slow
def test_a_server_answers_photographs_and_lives_through_hostile_requests(chain, eyes, monkeypatch):
    folder, scored = eyes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{chain.folder / 'mlflow.db'}")
    contents = [path.read_bytes() for path in sorted(folder.iterdir())]
    with served(URI) as address:
        status, answer = post(address, table_of(contents))
        assert status == 200
        logits = [row["logit"] for row in json.loads(answer)["predictions"]]
        np.testing.assert_allclose(logits, scored["logit"], atol=1e-5)
        for name, body in hostile_requests().items():
            status, answer = post(address, body)
            assert 400 <= status < 500, name
            told = json.loads(answer)["message"]
            assert "Traceback" not in told, name
            if "JSON" not in name:  # MLflow's own words
                assert "\n" not in told, name
        assert post(address, table_of(contents[:1]))[0] == 200


@pytest.mark.slow
def test_the_commands_of_an_image_fit_the_dockerfile_of_mlflow(tmp_path, monkeypatch):
    """No container engine is needed up to `docker build`; opencv needs two libraries more."""
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (commands,) = re.findall(
        r"```sh\n(mlflow models generate-dockerfile .*?)docker build", page, re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["/bin/bash", "-ec", commands.replace("models:/fundus-glaucoma@robust", URI)],
        check=True, capture_output=True, env=os.environ | {"PATH": beside,
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()},
    )  # fmt: skip
    lines = (tmp_path / "image/Dockerfile").read_text().splitlines()
    (installed,) = [line for line in lines if "apt-get install" in line]
    assert {"nginx", "libgl1", "libglib2.0-0"} <= set(installed.split())
    required = (tmp_path / "image/model_dir/requirements.txt").read_text()
    assert "opencv-python==" in required
    assert not (tmp_path / "image/model_dir/extra_files/training_eyes.parquet").exists()
    mlflow.pyfunc.load_model(str(tmp_path / "image/model_dir"))
