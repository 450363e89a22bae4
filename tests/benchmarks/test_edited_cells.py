"""A cell learns its edit, measures what the network uses, maps the same eyes, and resumes."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.edit_traces import trace_rows
from benchmarks.edited_cells import Cell, Tie, _planted, make_cell
from benchmarks.edited_eyes import EditedEyes, first_people, parts_of, shrunk, shrunk_masks
from benchmarks.edited_networks import new_network
from benchmarks.planted_photographs import _parser, _served, truth_row
from fundus_ml.attribution import AttributionOptions, attribute
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.imaging.regions.structures import Ellipse
from fundus_ml.synthesis.edits import EDITS, EditedParts
from tests.benchmarks import drawn_eyes

STRENGTHS = dict.fromkeys(EDITS, 0.8) | {"none": 0.0}
FLAGS = [
    "--dataset", "any", "--out", "any", "--arch", "test_resnet", "--weights", "none",
    "--epochs", "3", "--batch_size", "16", "--images", "6", "--robust_epochs", "1",
    "--map_batch_size", "4",
]  # fmt: skip


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eyes") / "tiny"
    return drawn_eyes.dataset(folder, people={"train": 24, "val": 8, "test": 10})


@pytest.fixture(scope="module")
def cell(tmp_path_factory, eyes):
    """A finished cell."""
    out = tmp_path_factory.mktemp("cells")
    given = _parser().parse_args(FLAGS)
    made = Cell(out=out, edit="hue", auroc=0.85, seed=0, given=given)
    make_cell(made, eyes, [drawn_eyes.parts()] * len(eyes), STRENGTHS, ["gradient", "area"])
    return made


def test_the_network_learns_the_edit_and_uses_it_most(cell):
    row = truth_row(cell)
    assert row["test_auroc"] > 0.8
    assert row["uses_most"] == "hue"
    assert row["hue"] > 1
    assert (row["robust_rms"], row["confounds"], row["test_eyes"]) == (0, "", 20)
    assert np.isnan(row["rim_pallor"])  # no eye has a cup


def test_maps_are_those_of_the_same_eyes_one_a_person(cell):
    found = {method: cell.maps_of(method) for method in ("gradient", "area")}
    assert found["gradient"]["people"].tolist() == found["area"]["people"].tolist()
    assert len(set(found["area"]["people"].tolist())) == 6
    np.testing.assert_allclose(found["area"]["pointing"], found["area"]["truth_area"])
    np.testing.assert_allclose(found["area"]["enrichment"], 1)
    assert (found["gradient"]["seconds_per_eye"] > 0).all()


def test_a_gradient_is_that_of_the_kept_network_on_the_kept_eyes(cell, eyes):
    """Rebuilt without the cell's own code: pixels, weights, map, sums."""
    model = new_network(eyes, cell.given, seed=5)
    model.load_state_dict(torch.load(cell.folder / "own.pt", weights_only=True))
    planted = _planted(cell, eyes, [drawn_eyes.parts()] * len(eyes), STRENGTHS)
    first = [
        at
        for at, (split, eye) in enumerate(zip(eyes.frame["split"], eyes.frame["eye"], strict=True))
        if split == "test" and eye == "left"
    ][:6]
    options = AttributionOptions(batch_size=6)
    maps = attribute("gradient", model.eval(), to_images(planted.pixels[first], "cpu"),
                     options=options).numpy()  # fmt: skip
    retina = drawn_eyes.region_map() > 0
    share = np.abs(maps)[:, ~retina].sum(axis=1) / np.abs(maps).sum(axis=(1, 2))
    kept = cell.maps_of("gradient")["enrichment"][:, -1]
    np.testing.assert_allclose(kept, share / (~retina).mean(), rtol=1e-3, atol=1e-6)


def test_what_is_finished_is_not_made_again_and_a_new_method_is_added(cell, eyes, monkeypatch):
    before = {file.name: file.stat().st_mtime_ns for file in cell.folder.iterdir()}
    assert set(before) == {"own.pt", "truth.json", "gradient.npz", "area.npz"}
    monkeypatch.setattr("benchmarks.edited_networks.fit_above", None)  # no training
    methods = ["gradient", "area", "vessels"]
    assert cell.missing(methods) == ["vessels.npz"]
    make_cell(cell, eyes, [drawn_eyes.parts()] * len(eyes), STRENGTHS, methods)
    after = {file.name: file.stat().st_mtime_ns for file in cell.folder.iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"vessels.npz"}


def test_a_robust_network_goes_on_from_the_plain_one(cell, eyes):
    robust = dataclasses.replace(cell, robust=2.0)
    make_cell(robust, eyes, [drawn_eyes.parts()] * len(eyes), STRENGTHS, [])
    assert robust.folder.name == "hue-0.85-0-rms2"
    assert truth_row(robust)["robust_rms"] == 2
    weights = [torch.load(each.folder / "own.pt", weights_only=True) for each in (cell, robust)]
    moved = [not torch.equal(*pair) for pair in zip(*(w.values() for w in weights), strict=True)]
    assert all(weights[0].keys() == each.keys() for each in weights)
    assert np.mean(moved) > 0.5  # the backbone learns too, unlike the plain one's


def test_a_tie_of_training_alone_holds_there_alone(cell, eyes):
    tied = dataclasses.replace(cell, edit="border_notch", ties=(Tie.parse("hue:1:train"),))
    assert tied.folder.name == "border_notch-0.85-0-hue_1_train"
    planted = _planted(tied, eyes, [drawn_eyes.parts()] * len(eyes), STRENGTHS)
    same = planted.signs["hue"] == 2 * planted.labels - 1
    train = eyes.frame["split"].eq("train").to_numpy()
    assert same[train].all()
    assert not same[~train].all()
    everywhere = dataclasses.replace(tied, ties=(Tie.parse("hue:1"),))
    planted = _planted(everywhere, eyes, [drawn_eyes.parts()] * len(eyes), STRENGTHS)
    assert (planted.signs["hue"] == 2 * planted.labels - 1).all()


@pytest.mark.parametrize("text", ["hue", "hue:2", "cup:0.5", "none:0.5", "hue:0.5:test", "hue:x"])
def test_a_tie_of_another_form_is_refused(text):
    with pytest.raises(InputError, match=f"confounds={text}: allowed: EDIT:CORRELATION"):
        Tie.parse(text)


def test_methods_that_cannot_serve_are_named_and_left_out(eyes, capsys):
    given = _parser().parse_args([*FLAGS, "--methods", "gradient", "evidence", "vessels"])
    assert _served(eyes, given) == ["gradient", "vessels"]
    assert "evidence: arch=test_resnet" in capsys.readouterr().out


def test_first_people_come_with_all_their_eyes(eyes):
    few = first_people(eyes, 3)
    assert few.frame.groupby("split")["person_group"].nunique().to_dict() == {
        "train": 3, "val": 3, "test": 3,
    }  # fmt: skip
    assert len(few) == 18


def test_eyes_without_regions_are_refused(eyes, monkeypatch):
    monkeypatch.setattr(type(eyes), "regions", lambda *_: None)
    with pytest.raises(InputError, match="holds no regions; preprocess it with regions=yes"):
        parts_of(eyes)


def test_eyes_are_edited_at_the_datasets_size_and_shrunk_after(tmp_path, eyes):
    given = _parser().parse_args([*FLAGS, "--side", "20"])
    small = Cell(out=tmp_path, edit="hue", auroc=0.85, seed=0, given=given)
    parts = [drawn_eyes.parts()] * len(eyes)
    make_cell(small, eyes, parts, STRENGTHS, ["area"])
    planted = _planted(small, eyes, parts, STRENGTHS)
    mean = planted.pixels.reshape(-1, 20, 2, 20, 2, 3).mean(axis=(2, 4))
    edited = EditedEyes(eyes.select(planted.kept), shrunk(planted.pixels, 20))
    assert edited.size == 20
    assert np.abs(edited.pixels(np.arange(len(edited))) - mean).max() <= 0.5
    flags = drawn_eyes.region_map().reshape(20, 2, 20, 2)
    for flag in (1, 2, 4, 8):
        share = (flags & flag > 0).mean(axis=(1, 3))
        np.testing.assert_array_equal(edited.regions([0])[0] & flag > 0, share >= 0.5)
    retina = drawn_eyes.parts().retina.reshape(20, 2, 20, 2).any(axis=(1, 3))
    np.testing.assert_array_equal(shrunk_masks(drawn_eyes.parts().retina[None], 20)[0], retina)
    assert small.maps_of("area")["truth_area"] == pytest.approx(retina.mean())


def test_sharpness_tells_what_a_warp_enlarges_and_less_so_once_shrunk():
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 12, (6, 80, 80, 1)).repeat(3, axis=3)
    pixels = np.clip(np.array([150, 100, 60]) + noise, 0, 255).astype(np.uint8)
    discs = [Ellipse(x=x, y=40, width=16, height=16) for x in range(35, 41)]
    parts = [EditedParts(retina=np.ones((80, 80), np.bool_), disc=disc) for disc in discs]
    rows = trace_rows("disc_magnification", pixels, parts, strength=0.8, sides=(80, 20))
    assert rows[0]["paired"] == 1
    assert rows[0]["auroc"] > rows[1]["auroc"] + 0.1
    unchanged = trace_rows("hue", pixels, parts, strength=0.0, sides=[80])
    assert unchanged[0]["paired"] == 0.5
