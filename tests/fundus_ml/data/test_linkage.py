"""People across the folders of a composite: joined, in one split each, counted."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.auditing.audit import audit_dataset, write_audit
from fundus_ml.auditing.record import read_audit
from fundus_ml.data import integrity
from fundus_ml.data.manifest import SPLITS
from fundus_ml.data.members import members_of
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import read_dataset_json
from fundus_ml.data.record_linkage import alike_eyes
from fundus_ml.errors import InputError
from fundus_ml.imaging.keypoints import FEATURE_SHAPE, describe_eye
from tests.fundus_ml.painted_views import altered, paint_photographs, view_of
from tests.fundus_ml.tiny_cohorts import draw_cohort, draw_pixels, write_cohort
from tests.fundus_ml.tiny_eyes import make_manifest, write_folder, write_record


def rows(source, files, *, splits, people=None, sexes=None):
    """One eye per file name; each its own person unless said otherwise."""
    people = range(len(files)) if people is None else people
    named = [f"{source}/p{person}" for person in people]
    frame = make_manifest(len(files), source=source).assign(
        sha256=list(files), patient_id=named, person_group=named, split=list(splits)
    )
    sexes = ["female"] * len(files) if sexes is None else list(sexes)
    return frame.assign(sex=sexes, label=[int(sex == "male") for sex in sexes])


def write(folder, tables, **changes):
    """Write one folder per table and name them as a user would."""
    for seed, (name, frame) in enumerate(tables.items()):
        write_folder(folder / name, source=name, frame=frame, seed=seed, **changes)
    return ",".join(str(folder / name) for name in tables)


def splits_of(dataset):
    return dict(zip(dataset.frame["image_id"], dataset.frame["split"], strict=True))


def nobody_on_both_sides(frame):
    names = ("sha256", "person_group")
    return all(frame.groupby(name)["split"].nunique().max() == 1 for name in names)


@pytest.mark.parametrize("order", ["a b", "b a"])
@pytest.mark.parametrize(
    ("first", "second", "settled"),
    [("train", "test", "test"), ("train", "val", "val"), ("val", "test", "test"),
     ("test", "train", "test"), ("train", "train", "train")],
)  # fmt: skip
def test_equal_files_are_one_person_in_the_more_held_out_split(
    tmp_path, order, first, second, settled
):
    """Both copies stay, with every other eye of either person."""
    tables = {
        "a": rows("a", ["f", "g", "h"], people=[0, 0, 1], splits=[first, first, "train"]),
        "b": rows("b", ["x", "f", "y"], people=[0, 1, 1], splits=["train", second, second]),
    }
    write(tmp_path, tables)
    dataset = open_dataset(",".join(str(tmp_path / name) for name in order.split()))
    frame = dataset.frame
    assert len(frame) == 6
    assert nobody_on_both_sides(frame)
    joined = frame[frame["image_id"].isin(["a/0", "a/1", "b/1", "b/2"])]
    assert set(joined["split"]) == {settled}
    assert len(set(joined["person_group"])) == 1
    assert splits_of(dataset) | {"a/2": "train", "b/0": "train"} == splits_of(dataset)
    linkage = dataset.linkage
    assert (linkage.files, linkage.ids, linkage.people) == (1, 0, 1)
    assert len(linkage.moved) == 2 * (first != second)
    assert linkage.left_out == ()
    with pytest.raises(InputError, match="split=train: no eye"):
        dataset.select(frame["split"].ne("train").to_numpy()).split("train")


def test_pixels_follow_their_eyes_when_some_are_left_out(tmp_path):
    """Eyes of a contradicting person go, by name, and nobody else moves a row."""
    tables = {
        "a": rows("a", "fgh", people=[0, 0, 1], splits=["train"] * 3, sexes=["male"] * 3),
        "b": rows("b", "xfy", people=[0, 1, 1], splits=["train"] * 3),
    }
    paths = write(tmp_path, tables, with_regions=False)
    singles = {name: open_dataset(str(tmp_path / name)) for name in tables}
    dataset = open_dataset(paths)
    assert list(dataset.frame["image_id"]) == ["a/2", "b/0"]
    assert dataset.linkage.left_out == ("a/0", "a/1", "b/1", "b/2")
    assert dataset.linkage.words.endswith(
        "left out, because their people stand under both sexes: 4 eyes (a/0, a/1, b/1, b/2)"
    )
    expected = np.concatenate([singles["a"].pixels([2]), singles["b"].pixels([0])])
    np.testing.assert_array_equal(dataset.pixels([0, 1]), expected)
    audit = audit_dataset(dataset, None, permutations=2)
    assert audit.leakage.folders.left_out == dataset.linkage.left_out
    assert audit.rejections == {"sex disagrees across folders": 4}


def test_one_file_under_two_ids_of_one_folder_is_settled_too(tmp_path):
    """A folder made with same_person=false, found out when it is put beside another."""
    tables = {
        "a": rows("a", "ffg", splits=["train", "test", "train"]),
        "b": rows("b", "xyz", splits=["train"] * 3),
    }
    dataset = open_dataset(write(tmp_path, tables))
    assert splits_of(dataset)["a/0"] == "test"
    assert dataset.linkage.words == (
        "people in several folders: none; moved to the held-out split of their person: 1 eyes"
    )


def test_a_chain_over_three_folders_is_one_person(tmp_path):
    """a-b share one file, b-c another; two people of one folder meet through another folder."""
    tables = {
        "a": rows("a", "fgq", splits=["train", "train", "train"]),
        "b": rows("b", "fkl", people=[0, 0, 1], splits=["val", "val", "train"]),
        "c": rows("c", "kgm", people=[0, 0, 1], splits=["test", "test", "train"]),
    }
    dataset = open_dataset(write(tmp_path, tables))
    assert nobody_on_both_sides(dataset.frame)
    assert splits_of(dataset) == {
        "a/0": "test", "a/1": "test", "a/2": "train", "b/0": "test", "b/1": "test",
        "b/2": "train", "c/0": "test", "c/1": "test", "c/2": "train",
    }  # fmt: skip
    assert dataset.linkage.people == 1
    assert dataset.linkage.files == 3
    assert set(dataset.linkage.moved) == {"a/0", "a/1", "b/0", "b/1"}


def test_ids_that_stand_in_two_folders_are_one_person(tmp_path):
    """One release read twice, each time in part: other photographs of the same people."""
    second = rows("b", "uvw", splits=["test", "train", "train"])
    second[["patient_id", "person_group"]] = [["a/p0"] * 2, ["a/p7", "a/p8"], ["b/p2"] * 2]
    first = rows("a", "fgh", splits=["train", "train", "test"])
    first["patient_id"] = ["a/p0", "a/p7", "a/p9"]
    dataset = open_dataset(write(tmp_path, {"a": first, "b": second}))
    assert splits_of(dataset)["a/0"] == "test"
    groups = dataset.frame.set_index("image_id")["person_group"]
    assert groups["a/0"] == groups["b/0"]
    assert groups["a/1"] == groups["b/1"] != groups["a/0"]
    assert dataset.linkage.ids == dataset.linkage.people == 2


def brute_force(frame):
    """Sets of rows that share a file, an id or a group, merged until nothing changes."""
    sets = [{row} for row in range(len(frame))]
    for name in ("sha256", "patient_id", "person_group"):
        for members in frame.groupby(name).indices.values():
            touched = [one for one in sets if one & set(members)]
            sets = [one for one in sets if one not in touched] + [set().union(*touched)]
    return sets


@pytest.mark.parametrize("seed", range(6))
def test_drawn_overlaps_settle_as_merging_sets_by_hand_does(tmp_path, seed):
    """Two to four folders that share files at random: a slow plain rewrite agrees."""
    rng = np.random.default_rng(seed)
    tables = {}
    for name in "abcd"[: rng.integers(2, 5)]:
        people = np.sort(rng.integers(0, 9, 14))
        split = rng.choice(SPLITS, 9, p=[0.6, 0.2, 0.2])[people]
        sexes = rng.choice(["female", "male"], 9, p=[0.8, 0.2])[people]
        files = rng.choice(30, 14, replace=False).astype(str)
        tables[name] = rows(name, files, people=people, splits=split, sexes=sexes)
    dataset = open_dataset(write(tmp_path, tables))
    whole = pd.concat(tables.values(), ignore_index=True)
    expected = {}
    for one in brute_force(whole):
        person = whole.loc[sorted(one)]
        if len(set(person["sex"])) == 1:
            split = max(person["split"], key=SPLITS.index)
            expected |= dict.fromkeys(person["image_id"], split)
    assert splits_of(dataset) == expected
    assert nobody_on_both_sides(dataset.frame)
    assert set(dataset.linkage.left_out) == set(whole["image_id"]) - set(expected)


def test_the_statistics_are_of_the_eyes_that_still_train(tmp_path):
    """Eyes that left train are taken out of mean and standard deviation."""
    tables = {
        "a": rows("a", "fghij", splits=["train"] * 5),
        "b": rows("b", "fxyzh", splits=["test", "train", "train", "val", "val"]),
    }
    dataset = open_dataset(write(tmp_path, tables))
    train = dataset.split("train")
    assert list(train.frame["image_id"]) == ["a/1", "a/3", "a/4", "b/1", "b/2"]
    values = train.pixels(np.arange(5)) / 255
    np.testing.assert_allclose(train.channel_mean, values.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(train.channel_std, values.std(axis=(0, 1, 2)), rtol=1e-9)


def test_a_folder_whose_training_eyes_are_held_out_here_is_another_training(tmp_path):
    """What learned from folder a alone has learned from a held-out eye of the composite."""
    tables = {
        "a": rows("a", "fgh", splits=["train"] * 3),
        "b": rows("b", "fxy", splits=["test", "train", "train"]),
    }
    dataset = open_dataset(write(tmp_path, tables)).split("test")
    own = {name: read_dataset_json(tmp_path / name)["digest"] for name in "ab"}
    assert dataset.same_training == {dataset.digest, own["b"]}
    assert open_dataset(str(tmp_path / "a")).same_training == {own["a"]}


def test_a_folder_split_by_file_keeps_its_torn_people_but_no_file_on_both_sides(tmp_path):
    """What shows leakage goes on showing it, except where another folder is concerned."""
    torn = rows("a", "fghi", people=[0, 0, 1, 1], splits=["train", "test", "train", "val"])
    write_folder(tmp_path / "b", source="b", frame=rows("b", "gxy", splits=["train"] * 3))
    write_folder(tmp_path / "a", source="a", frame=torn.assign(split="train"), seed=1)
    torn.to_parquet(tmp_path / "a" / "manifest.parquet")
    record = read_dataset_json(tmp_path / "a")
    write_record(tmp_path / "a", {**record, "split_by": "file"}, kinds=("pixels", "regions"))
    dataset = open_dataset(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert splits_of(dataset) == {
        "a/0": "test", "a/1": "test", "a/2": "train", "a/3": "val",
        "b/0": "test", "b/1": "train", "b/2": "train",
    }  # fmt: skip


@pytest.fixture(scope="module")
def twice():
    """Keypoints of five people's eyes, and of altered photographs of the first two."""
    _, photographs = paint_photographs(5, seed=3)
    views = [view_of(photograph) for photograph in photographs[:5]]
    changes = ({"degrees": 6.0, "scale": 1.0, "gain": 0.85}, {"degrees": -4.0, "scale": 0.94})
    again = [view_of(altered(p, **c)) for p, c in zip(photographs, changes, strict=False)]
    return tuple(np.stack([describe_eye(view) for view in part]) for part in (views, again))


@pytest.fixture
def photographed_twice(tmp_path, twice):
    """The paths of two folders, the second of which shows two eyes of the first again."""
    first, again = twice
    a = rows("a", "fghij", splits=["train", "train", "train", "val", "test"])
    b = rows("b", "xy", splits=["test", "train"])
    write_folder(tmp_path / "a", source="a", frame=a, keypoints=first)
    write_folder(tmp_path / "b", source="b", frame=b, keypoints=again, seed=1)
    return f"{tmp_path / 'a'},{tmp_path / 'b'}"


def test_the_same_eye_in_another_file_is_the_same_person(photographed_twice):
    """Photographed again, rotated and darker: no byte is equal."""
    dataset = open_dataset(photographed_twice)
    found = dataset.linkage.pairs
    assert set(zip(found["first"], found["second"], strict=True)) in (
        {("a/0", "b/0"), ("a/1", "b/1")}, {("b/0", "a/0"), ("b/1", "a/1")},
    )  # fmt: skip
    assert (found["inliers"] >= 16).all()
    assert splits_of(dataset)["a/0"] == "test"
    groups = dataset.frame.set_index("image_id")["person_group"]
    assert (groups[["a/0", "a/1"]].to_numpy() == groups[["b/0", "b/1"]].to_numpy()).all()
    assert groups.nunique() == 5
    assert (dataset.linkage.files, dataset.linkage.people) == (0, 2)
    assert dataset.linkage.notes == []
    swapped = open_dataset(",".join(reversed(photographed_twice.split(","))))
    assert splits_of(swapped) == splits_of(dataset)


def test_pairs_are_searched_once_and_a_damaged_file_is_not_believed(photographed_twice, tmp_path):
    """Progress is told while pairs are compared, so silence means that they were read."""
    links = tmp_path / "project" / "links"
    told = []

    def opened():
        told.clear()
        dataset = open_dataset(
            photographed_twice, links=links, on_progress=lambda *done: told.append(done)
        )
        return dataset.digest, bool(told)

    digest, searched = opened()
    assert searched
    assert opened() == (digest, False)
    (kept,) = links.iterdir()
    whole = kept.read_text()
    kept.write_text(whole.replace("a/0", "a/2"))
    assert opened() == (digest, True)
    assert kept.read_text() == whole
    assert [path.name for path in links.iterdir()] == [kept.name]
    kept.unlink()
    links.rmdir()
    links.write_text("a file")
    dataset = open_dataset(photographed_twice, links=links)
    assert dataset.digest == digest
    assert dataset.linkage.notes[0].startswith(f"{links} cannot be written (")


def test_the_eyes_of_one_dataset_that_another_shows_again(photographed_twice, tmp_path):
    """Each is looked for among the eyes that are left of the other; kept for the next time."""
    a, b = (open_dataset(path) for path in photographed_twice.split(","))
    learned = a.select(a.frame["split"].ne("test").to_numpy())
    links, told = tmp_path / "links", []

    def found(eyes, others):
        told.clear()
        pairs, unkept = alike_eyes(
            members_of(eyes),
            members_of(others),
            links=links,
            on_progress=lambda *done: told.append(done),
        )
        assert unkept == ""
        return list(zip(pairs["first"], pairs["second"], strict=True))

    assert found(b, learned) == [("b/0", "a/0"), ("b/1", "a/1")]
    assert told
    assert found(b, learned) == [("b/0", "a/0"), ("b/1", "a/1")]
    assert not told
    assert found(learned, b) == [("a/0", "b/0"), ("a/1", "b/1")]
    assert found(b, learned.select([1, 2])) == [("b/1", "a/1")]
    assert found(b.select([0]), learned.select([1, 2])) == []


def test_pairs_kept_for_one_composite_are_not_those_of_another(photographed_twice, tmp_path):
    """Where a third folder joins two eyes by file they are not compared; without it they are."""
    third = rows("c", "fx", people=[0, 0], splits=["train", "train"])
    write_folder(tmp_path / "c", source="c", frame=third, seed=2)
    links = tmp_path / "links"
    three = open_dataset(f"{photographed_twice},{tmp_path / 'c'}", links=links)
    assert len(three.linkage.pairs) == 1
    assert three.linkage.people == 2
    two = open_dataset(photographed_twice, links=links)
    assert len(two.linkage.pairs) == 2
    assert two.linkage.people == 2


def test_keypoints_that_changed_join_nobody(photographed_twice, tmp_path, monkeypatch):
    """Before they are compared every one is checked, whatever the sample of eyes shows."""
    monkeypatch.setattr(integrity, "SAMPLED_EYES", 0)
    path = tmp_path / "a" / "keypoints-00001.npy"
    keypoints = np.load(path)
    keypoints[0] = 0
    np.save(path, keypoints)
    with pytest.raises(InputError, match=r"keypoints-00001.npy .*first row that differs: 0, a/4"):
        open_dataset(photographed_twice)


def test_without_keypoints_files_are_still_compared_and_it_is_said(tmp_path, twice):
    """Made before, or with same_person=false."""
    first, again = twice
    a = rows("a", "fghij", splits=["train"] * 5)
    b = rows("b", "fx", splits=["test", "train"])
    write_folder(tmp_path / "a", source="a", frame=a, keypoints=first)
    write_folder(tmp_path / "b", source="b", frame=b)
    paths = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    members = [members_of(open_dataset(path)) for path in paths.split(",")]
    assert [len(part) for part in alike_eyes(*members)] == [0, 0]
    dataset = open_dataset(paths)
    assert dataset.linkage.people == dataset.linkage.files == 1
    (note,) = dataset.linkage.notes
    assert note.startswith(f"{tmp_path / 'b'}: keeps no keypoints")
    assert "preprocess it again, with same_person=true" in note
    audit = audit_dataset(dataset, None, permutations=2)
    assert f"Eyes of {tmp_path / 'b'} were compared" in " ".join(audit.verdicts)
    # With keypoints the second eye is joined as well: another composite, another digest.
    alone = open_dataset(str(tmp_path / "b")).digest
    write_folder(tmp_path / "c", source="b", frame=b, keypoints=again)
    described = open_dataset(f"{tmp_path / 'a'},{tmp_path / 'c'}")
    assert open_dataset(str(tmp_path / "c")).digest == alone
    assert described.linkage.people == 2
    assert described.digest != dataset.digest


def test_eyes_without_a_keypoint_are_compared_with_nobody(tmp_path):
    empty = np.zeros((3, *FEATURE_SHAPE), np.uint8)
    tables = {name: rows(name, f"{name}12", splits=["train"] * 3) for name in "ab"}
    tables["a"]["sha256"], tables["b"]["sha256"] = list("fgh"), list("xyz")
    dataset = open_dataset(write(tmp_path, tables, keypoints=empty))
    assert dataset.linkage.words == "people in several folders: none"


def test_the_audit_of_a_composite_counts_what_its_folders_share(tmp_path):
    """On a page and in a file that reads back; a single folder has nothing to say."""
    first = draw_cohort(24, source="a")
    second = draw_cohort(24, source="b", seed=1)
    shared = second.index[:14]
    second.loc[shared, ["sha256", "sex", "label"]] = first.loc[shared, ["sha256", "sex", "label"]]
    for name, frame in (("a", first), ("b", second)):
        assert write_cohort(tmp_path / name, frame, draw_pixels(frame)).linkage is None
    dataset = open_dataset(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert nobody_on_both_sides(dataset.frame)
    audit = audit_dataset(dataset, None, permutations=2)
    found = audit.leakage.folders
    assert found.files == 14
    assert found.moved == len(dataset.linkage.moved) > 0
    assert audit.leakage.people_across == 0
    assert f"People with eyes in several folders: {found.people}, each" in " ".join(audit.verdicts)
    write_audit(audit, tmp_path)
    assert read_audit(tmp_path / "audit.json") == audit
    page = (tmp_path / "audit.html").read_text()
    assert "photographs whose file lies in several folders" in page
    alone = audit_dataset(open_dataset(str(tmp_path / "a")), None, permutations=2)
    assert alone.leakage.folders is None
