"""``preprocess`` says what it assumes, checks without writing, and keeps what it must not tell."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import preprocess
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import write_png
from tests.experiments.conftest import enter, flags
from tests.fundus_ml.preprocessing.test_dataset import write_release
from tracking.stores import initialise_tracking

pytestmark = pytest.mark.usefixtures("unrendered")

SMALL = {
    "source": "folder",
    "size": 16,
    "permutations": 5,
    "workers": 1,
    "same_person": "false",
    "regions": "no",
}


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Its table as a German Excel exports it, and names of files in capitals."""
    enter(tmp_path, monkeypatch)
    write_release(tmp_path / "own")
    table = tmp_path / "own/labels.csv"
    text = table.read_text().replace(",", ";").replace(".png", ".PNG").replace("sex", "Sex")
    table.write_text(text, encoding="utf-16")
    return tmp_path / "own"


def test_each_assumption_is_a_line_and_is_recorded(release, tmp_path, capsys):
    preprocess.main(flags(SMALL | {"root": release, "out": tmp_path / "out"}))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("assumed: ")]
    assert said == [
        "assumed: labels.csv: read as UTF-16, as its byte-order mark says",
        "assumed: labels.csv: semicolons stand between its cells",
        "assumed: labels.csv: columns read: Sex as sex",
        "assumed: 15 of 16 photographs lie under another spelling, such as 0.png for 0.PNG",
    ]
    recipe = json.loads((tmp_path / "out/dataset.json").read_text())["recipe"]
    assert recipe["assumed"] == [line.removeprefix("assumed: ") for line in said]
    assert the_run().data.tags["assumed"] == "; ".join(recipe["assumed"])


def the_run():
    client = initialise_tracking()
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return run


def test_a_check_writes_no_dataset_and_its_run_says_so(release, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    preprocess.main(flags(SMALL | {"root": release, "out": tmp_path / "deep/out", "check": "true"}))
    said = capsys.readouterr().out
    assert "16 rows: 13 would be read, 3 refused" in said
    assert "nothing is written" in said
    assert set(tmp_path.iterdir()) - set(before) <= {
        tmp_path / "mlruns",
        tmp_path / "mlflow.db.lock",
    }
    run = the_run()
    assert run.data.tags["stage"] == "check"
    assert "dataset_digest" not in run.data.tags
    assert run.data.metrics == {"would_be_read": 13, "refused": 3}
    client = initialise_tracking()
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept == {"check.txt", "refused.csv"}


def refused(values, capsys):
    """Run what must refuse; give back its lines and the tag ``failure``."""
    with pytest.raises(SystemExit, match="2"):
        preprocess.main(flags(values))
    return capsys.readouterr().err.splitlines(), the_run().data.tags["failure"]


def test_a_check_of_nothing_that_could_be_read_fails(release, tmp_path, capsys):
    for file in release.glob("*.png"):
        file.unlink()
    values = SMALL | {"root": release, "out": tmp_path / "out", "check": "true"}
    _, failure = refused(values, capsys)
    assert failure.startswith("source folder: no eye is left: 0.PNG was looked for in ")


def test_painted_eyes_have_no_table_to_check():
    with pytest.raises(InputError, match="check=true: source=synthetic draws its eyes"):
        preprocess.PreprocessConfig(check=True)


SALT = "a salt that nobody guesses 0123"
ARTIST, PLACE = "Hofrat Behrens", "Sanatorium Zauberberg"


def everything_below(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def found_in(files, *words):
    return {
        (str(file), word)
        for file, content in files.items()
        for word in words
        if word.encode() in content
    }


def with_names(folder):
    """Photographs whose files and table name people, and that carry where they were taken."""
    write_release(folder)
    exif = Image.Exif()
    exif[0x013B] = ARTIST
    exif.get_ifd(0x8825).update({1: "N", 2: (46.0, 48.0, 0.0), 28: PLACE.encode()})
    lines = ["filename,patient,sex,age,mrn"]
    for eye in range(12):
        name = f"Castorp{eye // 2}_{'LR'[eye % 2]}.jpg"
        Image.open(folder / f"{eye}.png").save(folder / name, exif=exif)
        assert all(word.encode() in (folder / name).read_bytes() for word in (ARTIST, PLACE))
        lines.append(f"{name},Castorp{eye // 2},{'fm'[eye // 2 % 2]},{40 + eye},MRN{eye // 2}")
    (folder / "Castorp_cut.jpg").write_bytes((folder / "Castorp0_L.jpg").read_bytes()[:-50])
    lines += ["Castorp_cut.jpg,Castorp9,f,50,MRN9", "Castorp_gone.jpg,Castorp9,f,50,MRN9"]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def test_neither_names_nor_salt_nor_exif_reach_what_is_written(tmp_path, monkeypatch, capsys):
    """Dataset, store and console; the photographs hold all of it."""
    (tmp_path / "work").mkdir()
    enter(tmp_path / "work", monkeypatch)
    with_names(tmp_path / "own")
    (tmp_path / "salt").write_text(SALT + "\n")
    own = {"root": tmp_path / "own", "out": "out", "hash_ids": tmp_path / "salt"}
    preprocess.main(flags(SMALL | own))
    written = everything_below(tmp_path / "work")
    console = capsys.readouterr()
    assert found_in(written, "Castorp", "MRN", SALT, ARTIST, PLACE) == set()
    assert not any(word in console.out + console.err for word in ("Castorp", "MRN", SALT))
    assert {"manifest.parquet", "rejected.csv", "mlflow.db"} <= {file.name for file in written}
    assert "truncated" in (tmp_path / "work/out/rejected.csv").read_text()


def test_masks_that_name_people_are_said_and_not_recorded(tmp_path, monkeypatch, capsys):
    """A mask of nobody, as an error; one that does not fit, as the reason of a rejected eye."""
    enter(tmp_path, monkeypatch)
    with_names(tmp_path / "own")
    (tmp_path / "salt").write_text(SALT)
    own = {"root": tmp_path / "own", "out": tmp_path / "out", "hash_ids": tmp_path / "salt"}
    for name in ("Castorp_nobody", "Castorp0_L"):
        (tmp_path / "masks/disc").mkdir(parents=True, exist_ok=True)
        write_png(np.full((4, 4, 3), 255, np.uint8), tmp_path / f"masks/disc/{name}.png")
    lines, failure = refused(SMALL | own | {"regions": tmp_path / "masks"}, capsys)
    assert "Castorp_nobody.png" in lines[-2]
    assert failure.startswith("hash_ids: the line above says which masks do not fit")
    (tmp_path / "masks/disc/Castorp_nobody.png").unlink()
    preprocess.main(flags(SMALL | own | {"regions": tmp_path / "masks"}))
    assert "masks that people drew: 1 disc" in capsys.readouterr().out.splitlines()
    assert 'mask,"disc: 4 x 4 pixels' in (tmp_path / "out/rejected.csv").read_text()
    stored = {"store": (tmp_path / "mlflow.db").read_bytes()} | everything_below(tmp_path / "out")
    assert found_in(stored, "astorp") == set()


def test_a_line_that_names_people_is_said_and_not_recorded(tmp_path, monkeypatch, capsys):
    enter(tmp_path, monkeypatch)
    with_names(tmp_path / "own")
    with (tmp_path / "own/labels.csv").open("a") as table:
        table.write("x.jpg,castorp0,f,50,MRN0\n")
    (tmp_path / "salt").write_text(SALT)
    own = {"root": tmp_path / "own", "out": tmp_path / "out", "hash_ids": tmp_path / "salt"}
    lines, failure = refused(SMALL | own, capsys)
    assert "differ only by letter case" in lines[-2]
    assert failure.startswith("hash_ids: the line above says why the release is not read")
    assert found_in({"store": (tmp_path / "mlflow.db").read_bytes()}, "astorp") == set()
