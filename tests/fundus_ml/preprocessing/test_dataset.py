"""A release becomes a dataset folder: every photograph kept or refused, the same however made."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fundus_ml.data.integrity import content_digest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import RECORD, read_dataset_json
from fundus_ml.data.splits import assign_splits
from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.parallel import processes
from fundus_ml.preprocessing.dataset import Preprocessed, preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.files import load_file
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population
from tests.fundus_ml.tiny_eyes import draw_field, write_folder

SIZE = 16
ROWS = 12
BROKEN = {"cut.png": "truncated", "text.png": "not an image", "black.png": "no bright field"}


def write_release(root, *, sexes="fm"):
    """Twelve drawn eyes of six people, three broken photographs and one row without its file."""
    root.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,patient_id,sex,age"]
    for eye in range(ROWS):
        x, y = rng.uniform(75, 85), rng.uniform(58, 62)
        image = draw_field(120, 160, x=x, y=y, radius=52, colour=np.sort(rng.integers(90, 250, 3)))
        cv2.imwrite(str(root / f"{eye}.png"), image)
        lines.append(f"{eye}.png,{eye // 2},{sexes[eye // 2 % len(sexes)]},{40 + eye}")
    whole = (root / "0.png").read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "text.png").write_text("not a picture")
    cv2.imwrite(str(root / "black.png"), np.zeros((120, 160, 3), np.uint8))
    for place, name in enumerate([*BROKEN, "gone.png"]):
        lines.insert(3 + 2 * place, f"{name},9,f,50")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder_photographs(root, name="mine")


@pytest.fixture(scope="module")
def release_once(tmp_path_factory):
    """A release of all kinds of photographs, which no test changes."""
    return write_release(tmp_path_factory.mktemp("once") / "release")


@pytest.fixture
def release(release_once, tmp_path):
    """The same release as this test's own."""
    root = tmp_path / "release"
    shutil.copytree(Path(release_once.table["path"].iloc[0]).parent, root)
    return folder_photographs(root, name="mine")


@dataclass(frozen=True)
class Once:
    """What one process made of the release, and the progress that it told."""

    written: Preprocessed
    seen: list

    @property
    def path(self):
        return self.written.path


@pytest.fixture(scope="module")
def once(release_once, tmp_path_factory):
    """The release, preprocessed as usual, its audit drawn; no test changes it."""
    seen = []
    out = tmp_path_factory.mktemp("written") / "data"
    written = run(release_once, out, on_progress=lambda *counts: seen.append(counts))
    return Once(written, seen)


def run(photographs, out, *, workers=1, recipe=None, on_progress=None, **changes):
    """Preprocess in this process, as small as it gets."""
    options = PreprocessingOptions(**{"size": SIZE, "permutations": 20, "regions": "no"} | changes)
    with processes(workers=workers):
        return preprocess(
            photographs, out, options, recipe=recipe or {"size": SIZE}, on_progress=on_progress
        )


def names(folder):
    """What lies in a folder, hidden things too."""
    return sorted(path.name for path in folder.iterdir())


def test_every_photograph_is_kept_or_refused_with_its_reason(once, release_once):
    """Kept and refused add up to the table; reasons are listed, counted and returned alike."""
    written, release = once.written, release_once
    reasons = {"file missing": 1, "no bright field": 1, "truncated": 1, "not an image": 1}
    assert written.kept == ROWS
    assert written.rejected == reasons
    assert sum(written.splits.values()) == ROWS
    assert written.kept + sum(written.rejected.values()) == len(release.table) + len(
        release.rejected
    )
    listed = pd.read_csv(written.path / "rejected.csv").set_index("image_id")
    assert listed["reason"].to_dict() == {
        f"mine/{name.removesuffix('.png')}": reason
        for name, reason in ({"gone.png": "file missing"} | BROKEN).items()
    }
    counts = read_dataset_json(written.path)["counts"]
    assert counts["rejected"] == reasons
    assert counts["kept"] == ROWS
    assert sum(sum(split.values()) for split in counts["splits"].values()) == ROWS


def test_pixels_are_the_crops_of_their_photographs_and_none_is_black(once, release_once):
    """Each row against its own file, cropped alone; the manifest says where the field lay."""
    dataset = open_dataset(str(once.path))
    offered = release_once.table.set_index("image_id")
    assert list(dataset.frame["image_id"]) == [f"mine/{eye}" for eye in range(ROWS)]
    for index, eye in enumerate(dataset.frame.itertuples()):
        path = offered.loc[eye.image_id, "path"]
        image = load_file({"path": path}, 0).image
        field = find_field_of_view(image)
        expected = crop_to_field_of_view(image, field, size=SIZE, surround="black")
        np.testing.assert_array_equal(dataset.pixels([index])[0], expected)
        assert expected.max() > 80
        assert (eye.fov_x, eye.fov_y, eye.fov_radius) == (field.x, field.y, field.radius)
        assert (eye.height, eye.width) == image.shape[:2] == (120, 160)
        assert eye.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert eye.label == ["female", "male"].index(eye.sex)
    assert "path" not in dataset.frame


@pytest.mark.usefixtures("undrawn")
def test_splits_and_statistics_are_those_of_the_eyes_kept(tmp_path, release_once):
    """Refused eyes move no one; mean and deviation are over the training eyes."""
    out = run(release_once, tmp_path / "data", val_fraction=0.2, test_fraction=0.3, seed=4).path
    dataset = open_dataset(str(out))
    frame = dataset.frame
    expected = assign_splits(frame, val_fraction=0.2, test_fraction=0.3, seed=4)
    assert list(frame["split"]) == list(expected)
    train = dataset.split("train")
    values = train.pixels(range(len(train))) / 255
    np.testing.assert_allclose(dataset.channel_mean, values.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(dataset.channel_std, values.std(axis=(0, 1, 2)), rtol=1e-9)
    assert read_dataset_json(out)["channel_eyes"] == len(train)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_digest_does_not_depend_on_the_workers(tmp_path, once, release_once):
    """One process or two, files or painted eyes: the same content under the same version."""
    painted = synthetic_photographs(Population(patients=1))
    both = ((release_once, once.path), (painted, run(painted, tmp_path / "alone").path))
    options = PreprocessingOptions(size=SIZE, permutations=20, regions="no")
    with processes(workers=2):
        for photographs, _ in both:
            shared = tmp_path / f"{photographs.name}-2"
            preprocess(photographs, shared, options, recipe={"size": SIZE})
    for photographs, alone in both:
        folders = [alone, tmp_path / f"{photographs.name}-2"]
        first, second = (read_dataset_json(folder) for folder in folders)
        assert first["digest"] == second["digest"]
        frame = open_dataset(str(folders[1])).frame
        kinds = ("pixels", "regions") if second["regions"] else ("pixels",)
        assert content_digest(folders[1], frame, kinds) == first["digest"]
        for path in folders[0].glob("*.npy"):
            assert path.read_bytes() == (folders[1] / path.name).read_bytes()


@pytest.mark.slow
def test_a_dask_cluster_writes_the_same_bytes(tmp_path, once, release_once):
    """Two workers of a real cluster against this process."""
    distributed = pytest.importorskip("distributed")
    options = PreprocessingOptions(size=SIZE, permutations=20, regions="no")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        processes(backend="dask", scheduler=cluster.scheduler_address),
    ):
        there = preprocess(release_once, tmp_path / "there", options, recipe={"size": SIZE}).path
    assert contents(there) == contents(once.path)


@pytest.mark.usefixtures("undrawn")
def test_another_size_or_split_is_another_version(tmp_path, once, release_once):
    """What a model would see differently has another digest; the same again has the same."""
    changes = [{}, {"size": SIZE + 1}, {"seed": 1}]
    again = [
        run(release_once, tmp_path / f"{turn}", **change).path
        for turn, change in enumerate(changes)
    ]
    digests = [read_dataset_json(path)["digest"] for path in (once.path, *again)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.usefixtures("undrawn")
def test_regions_are_cropped_with_their_photograph(tmp_path):
    """Painted eyes: what the map calls outside is dark, what it calls retina is lit."""
    photographs = synthetic_photographs(Population(patients=2))
    dataset = open_dataset(str(run(photographs, tmp_path / "data", size=64).path))
    everyone = range(len(dataset))
    retina = dataset.regions(everyone) & 1 > 0
    brightest = dataset.pixels(everyone).max(axis=3)
    assert np.median(brightest[retina]) > 3 * np.median(brightest[~retina])
    assert retina.mean() == pytest.approx(np.pi / 4, abs=0.06)
    photograph = photographs.load(photographs.table.to_dict("records")[0], 0)
    field = find_field_of_view(photograph.image)
    expected = crop_to_field_of_view(
        photograph.regions, field, size=64, interpolation="nearest", surround="black"
    )
    np.testing.assert_array_equal(dataset.regions([0])[0], expected)
    assert list(dataset.frame["disc_trait"]) == list(photographs.table["disc_trait"])


def test_the_record_says_what_made_it(once):
    """Recipe as given, versions, size, name; no regions where the release has none."""
    record = read_dataset_json(once.path)
    assert record["recipe"] == {"size": SIZE}
    assert record["name"] == "mine"
    assert (record["size"], record["eyes"], record["regions"]) == (SIZE, ROWS, False)
    assert set(record["code_version"]) == {"preprocessing", "opencv", "numpy"}
    assert names(once.path) == [
        "audit.html",
        "audit.json",
        RECORD,
        "keypoints-00000.npy",
        "manifest.parquet",
        "pixels-00000.npy",
        "rejected.csv",
        "row_hashes.npy",
        "same_person.csv",
    ]


def test_progress_counts_every_photograph(once, release_once):
    """Done and in all, refused ones too."""
    offered = len(release_once.table)
    read = [(done, total) for stage, done, total in once.seen if stage == "read"]
    assert read == [(done, offered) for done in range(1, offered + 1)]
    assert {stage for stage, *_ in once.seen} <= {"read", "compare", "audit"}


@pytest.mark.usefixtures("undrawn")
def test_an_older_dataset_is_replaced_only_by_a_whole_one(tmp_path, once, release_once):
    """Stopped at any photograph the older one stands, and nothing lies beside it."""
    release, out = release_once, tmp_path / "data"
    shutil.copytree(once.path, out)
    before = read_dataset_json(out)

    for workers, done in ((1, 7), (2, 9)):
        with pytest.raises(KeyboardInterrupt):
            run(release, out, size=SIZE + 2, workers=workers, on_progress=stop_at("read", done))
        assert names(tmp_path) == [".data.partial", "data"]
        assert read_dataset_json(out) == before
    run(release, out, size=SIZE + 2)
    assert open_dataset(str(out)).pixels([0]).shape == (1, SIZE + 2, SIZE + 2, 3)
    assert names(tmp_path) == ["data"]


def fail(row, _):
    """A photograph that ends in an error no one foresaw."""
    raise RuntimeError(row["image_id"])


def test_an_unforeseen_error_is_not_taken_for_a_refusal(tmp_path, release_once):
    """It stops the run."""
    with pytest.raises(RuntimeError, match="mine/0"):
        run(replace(release_once, load=fail), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_release_without_a_usable_eye_leaves_nothing(tmp_path, release):
    """All refused, or none offered: one line that counts the reasons."""
    broken = release.table["path"].str.contains("|".join(BROKEN))
    only_broken = replace(release, table=release.table[broken])
    with pytest.raises(InputError, match=r"source mine: no eye is left .*1 truncated.*1 no bright"):
        run(only_broken, tmp_path / "data")
    none = replace(release, table=release.table[:0], rejected=release.rejected[:0])
    with pytest.raises(InputError, match=r"no eye is left \(the table offers none\)"):
        run(none, tmp_path / "data")
    assert names(tmp_path) == ["release"]


@pytest.mark.usefixtures("undrawn")
def test_a_release_of_one_sex_is_written_and_counted(tmp_path):
    """Whether it can be trained on is for training to say; the record shows it."""
    written = run(write_release(tmp_path / "release", sexes="f"), tmp_path / "data")
    splits = read_dataset_json(written.path)["counts"]["splits"]
    assert {split: counts["male"] for split, counts in splits.items()} == {
        "train": 0,
        "val": 0,
        "test": 0,
    }
    assert sum(counts["female"] for counts in splits.values()) == ROWS


def stop_at(stage, done):
    """Stop the run there, as Ctrl-C would."""

    def on_progress(*seen):
        if seen[:2] == (stage, done):
            raise KeyboardInterrupt

    return on_progress


def interrupt(*_, **__):
    """Stop here, as Ctrl-C would."""
    raise KeyboardInterrupt


def contents(folder):
    """Every file of a folder, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, once, release_once, monkeypatch):
    """Stopped while reading (twice), comparing and auditing: no photograph is read again."""
    release, out = release_once, tmp_path / "stopped"
    for done in (3, 9):
        with pytest.raises(KeyboardInterrupt):
            run(release, out, on_progress=stop_at("read", done))
    for step in ("join_same_people", "assemble", "audit_dataset", "write_audit"):
        with monkeypatch.context() as patch:
            patch.setattr(f"fundus_ml.preprocessing.dataset.{step}", interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(release, out)
        assert not out.exists()
    unread = replace(release, load=fail)
    written = run(unread, out)
    assert written.resumed == len(release.table)
    assert contents(out) == contents(once.path)
    assert names(tmp_path) == ["stopped"]


@pytest.mark.usefixtures("undrawn")
def test_work_for_other_photographs_or_options_is_not_gone_on_with(tmp_path, release):
    """Another size, another recipe, a file that changed meanwhile."""
    out = tmp_path / "data"
    photograph = Path(release.table["path"].iloc[0])
    changed = photograph.read_bytes() + b"longer"
    for changes, touch in (({"size": SIZE + 1}, False), ({"recipe": {"a": 1}}, False), ({}, True)):
        with pytest.raises(KeyboardInterrupt):
            run(release, out, on_progress=stop_at("read", 5))
        if touch:
            photograph.write_bytes(changed)
        assert run(release, out, **changes).resumed == 0


KILLED = """
import sys
from pathlib import Path
from tests.fundus_ml.preprocessing.test_dataset import folder_photographs, run
root, out = map(Path, sys.argv[1:])
print("ready", flush=True)
run(folder_photographs(root, name="mine"), out, workers=2, size=200)
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_same_bytes(tmp_path):
    """A real process under kill -9, at five moments spread over the whole run and beyond it."""
    root, out = tmp_path / "release", tmp_path / "killed"
    write_release(root)
    lines = (root / "labels.csv").read_text().splitlines()
    for copy in range(20):
        for eye in range(ROWS):
            (root / f"{copy}-{eye}.png").write_bytes((root / f"{eye}.png").read_bytes())
            lines.append(f"{copy}-{eye}.png,{copy}-{eye},{'fm'[eye % 2]},50")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    release = folder_photographs(root, name="mine")
    started = time.monotonic()
    once = run(release, tmp_path / "once", workers=2, size=200).path
    whole = time.monotonic() - started
    rng = np.random.default_rng(5)
    command = [sys.executable, "-c", KILLED, str(root), str(out)]
    killed = 0
    for moment in rng.permutation(np.linspace(0.1, 0.9, 5)):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with process:
            process.stdout.readline()
            time.sleep(moment * whole)
            killed += process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
    assert killed
    run(release, out, workers=2, size=200)
    assert contents(out) == contents(once)
    assert names(tmp_path) == ["killed", "once", "release"]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"size": 0}, "size=0: must be at least 1"),
        ({"padding": "white"}, "padding=white: allowed: black, mirror"),
        ({"surround": "white"}, "surround=white: allowed: black, keep"),
        ({"min_quality": 1.1}, "min_quality=1.1: must be from 0 to 1"),
        ({"contradicting": "drop"}, "contradicting=drop: allowed: reject, keep"),
        ({"split": "by_eye"}, "split=by_eye: allowed: by_person, by_file"),
        ({"balance": "sex,camera"}, "balance=camera: allowed: sex, source, age"),
        ({"permutations": 0}, "permutations=0: must be at least 1"),
        ({"seed": -1}, "seed=-1: must be from 0 to 4294967295"),
        ({"val_fraction": 1.5}, "val_fraction=1.5: must be at least 0 and below 1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "must sum to less than 1"),
    ],
)
def test_wrong_values_are_refused_before_any_photograph_is_read(tmp_path, release, changes, rule):
    """Hours of reading must not precede them."""
    with pytest.raises(InputError, match=rule):
        run(replace(release, load=fail), tmp_path / "data", **changes)
    assert names(tmp_path) == ["release"]


def test_a_place_that_holds_other_things_is_refused(tmp_path, release):
    """Photographs are never overwritten by a dataset."""
    with pytest.raises(InputError, match="holds other things than a dataset"):
        run(release, tmp_path / "release")
    assert len(folder_photographs(tmp_path / "release").table) == len(release.table)


def test_splits_of_other_eyes_are_refused_before_any_is_read(release_once, tmp_path):
    write_folder(tmp_path / "other")
    options = PreprocessingOptions(size=SIZE, splits_of=str(tmp_path / "other"))

    def load(*_):
        raise AssertionError

    unread = replace(release_once, load=load)
    with pytest.raises(InputError, match=r"splits_of=.*other: holds none of these eyes"):
        preprocess(unread, tmp_path / "out", options, recipe={})
    assert not (tmp_path / "out").exists()
    by_file = PreprocessingOptions(size=SIZE, split="by_file", val_fraction=0.4, test_fraction=0.4)
    preprocess(release_once, tmp_path / "files", by_file, recipe={})
    torn = PreprocessingOptions(size=SIZE, splits_of=str(tmp_path / "files"))
    with pytest.raises(InputError, match=r"splits_of=.*files: \d+ people have eyes in two of its"):
        preprocess(unread, tmp_path / "out", torn, recipe={})
