"""`evaluate -P split=all`: every eye of a dataset that holds nobody the version learned from."""

import shutil
from pathlib import Path

import pytest

from experiments import evaluate, preprocess
from experiments.recording.registration import register_model
from experiments.running.external import refuse_known_people
from fundus_ml.data.manifest import read_manifest, write_manifest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import MANIFEST, read_dataset_json
from fundus_ml.data.training_eyes import read_training_eyes
from fundus_ml.errors import InputError
from tests.experiments.conftest import SMALL, flags
from tests.experiments.tiny_versions import artifact, newest
from tests.fundus_ml.tiny_eyes import write_record
from tests.tracking.test_exposure import add
from tracking import registry, results
from tracking.exposure import download_training_eyes
from tracking.runs import start_run
from tracking.stores import initialise_tracking
from tracking.versions import ModelVersion

pytestmark = [pytest.mark.usefixtures("unrendered"), pytest.mark.slow]

EXTERNAL = {"split": "all", "attacks": "none", "calibration": "version"}
IDS = ["image_id", "patient_id", "person_group"]


@pytest.fixture(scope="module")
def elsewhere_once(tmp_path_factory):
    """Photographs of other people, preprocessed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    values = {"patients": 20, "seed": 7, "permutations": 20, "test_fraction": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        preprocess.main(flags({k: SMALL[k] for k in ("source", "size", "workers")} | values
                              | {"out": "data"}))  # fmt: skip
    return folder / "data"


def rewritten(source, folder, change):
    """A copy of a dataset folder whose manifest was written otherwise."""
    shutil.copytree(source, folder)
    record = read_dataset_json(folder)
    write_manifest(change(read_manifest(folder / MANIFEST)), folder / MANIFEST)
    write_record(folder, record, kinds=("pixels", "regions"), described=True)
    return folder


def renamed(frame):
    """The same eyes under the ids and the file digests of another clinic."""
    for column in IDS:
        frame[column] = frame[column].str.replace("synthetic", "clinic")
    return frame.assign(source="clinic", sha256=[f"{n:064x}" for n in range(len(frame))])


@pytest.fixture
def other(chain, elsewhere_once, tmp_path):  # noqa: ARG001 (its store is the one worked in)
    return rewritten(elsewhere_once, tmp_path / "other", renamed)


@pytest.fixture
def clean(chain):
    return registry.resolve(chain.summary["models"]["clean"])


def changed(folder, other, change):
    return rewritten(other, folder / "changed", change)


def score(dataset, **values):
    model = {"model": "models:/fundus-sex/1", "bootstrap": 50}
    evaluate.main(flags({"dataset": dataset} | EXTERNAL | model | values))
    return newest("evaluate")


def refused(capsys, dataset, **values):
    with pytest.raises(SystemExit, match="2"):
        score(dataset, **values)
    return capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]


def test_every_eye_is_scored_once_at_what_the_version_carries(other, clean, capsys):
    """Whatever the splits of the dataset, which has no test split."""
    dataset = open_dataset(str(other))
    run = score(other)
    told = capsys.readouterr()
    assert set(dataset.frame["split"]) == {"train", "val"}
    assert {"all/auroc", "all/auroc_per_person"} <= set(run.data.metrics)
    assert not [name for name in run.data.metrics if "robust" in name]
    rows = results.predictions(run_id=run.info.run_id)
    assert sorted(rows["image_id"]) == sorted(dataset.frame["image_id"])
    assert set(rows["attack"]) == {"none"}
    written = rows.set_index("image_id")["split"].to_dict()
    assert written == dataset.frame.set_index("image_id")["split"].to_dict()
    assert run.data.tags["compared_with_training"] == "files, ids, photographs"
    assert f"no one of {other} is in the training of {clean.uri}" in told.out
    assert f"temperature {float(clean.tags['temperature']):.3g}" in told.out
    assert "stored with the version" in told.out
    assert registry.resolve(clean.uri).tags == clean.tags


def test_both_shortcut_baselines_stand_below_the_score(chain, other, clean, capsys):
    run = score(other)
    told = capsys.readouterr().out
    own = initialise_tracking().get_run(clean.run_id).data
    there = f"{own.metrics['shortcut_baseline']:.3f} ({own.tags['shortcut_baseline_by']})"
    here = f"{run.data.metrics['shortcut_baseline']:.3f} ({run.data.tags['shortcut_baseline_by']})"
    eyes = len(open_dataset(chain.dataset))
    lines = [
        f"shortcut baseline of this dataset, {here}",
        f"the dataset it was trained on ({chain.dataset}, {eyes} eyes): {there}",
    ]
    kept = artifact(run, "scores.txt").read_text()
    for line in lines:
        assert line in told
        assert line in kept
    # Chance is taken over the eyes that are scored: there is no test split.
    assert 0.5 < run.data.metrics["shortcut_baseline"] < 1


@pytest.mark.slow
def test_a_rerun_replaces_its_rows(other, clean, capsys):
    """And says where threshold and temperature were fitted to the eyes that are scored."""
    first = score(other)
    before = len(results.predictions(model=clean.uri))
    assert "from this very dataset" not in capsys.readouterr().out
    kept = clean.tags["calibrated_on"]
    registry.tag_version(clean, {"calibrated_on": open_dataset(str(other)).digest})
    try:
        again = score(other)
    finally:
        registry.tag_version(clean, {"calibrated_on": kept})
    assert (
        f"{clean.uri} has its temperature and threshold from this very" in capsys.readouterr().out
    )
    assert len(results.predictions(model=clean.uri)) == before
    assert results.predictions(run_id=first.info.run_id).empty
    assert len(results.predictions(run_id=again.info.run_id)) == len(open_dataset(str(other)))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_person_it_learned_from_or_was_chosen_by_is_refused_by_name(
    chain, other, tmp_path, capsys, split
):
    learned = open_dataset(chain.dataset).split(split).frame["patient_id"].iloc[0]

    def change(frame):
        eyes = frame["person_group"].eq(frame["person_group"].iloc[0])
        return frame.assign(
            patient_id=frame["patient_id"].mask(eyes, learned),
            person_group=frame["person_group"].mask(eyes, learned),
        )

    folder = changed(tmp_path, other, change)
    line = refused(capsys, folder)
    assert line == (
        f"evaluate: dataset={folder}: shares 1 person with the training of models:/fundus-sex/1 "
        f"({learned}; people with equal ids: 1); an external validation needs others "
        "(where only the ids are alike, preprocess one of the two under another name)"
    )


def test_a_person_of_its_own_test_split_is_new_to_it(chain, other, tmp_path):
    held_out = open_dataset(chain.dataset).split("test").frame

    def change(frame):
        frame.loc[0, [*IDS, "sha256"]] = held_out.loc[0, [*IDS, "sha256"]]
        return frame

    run = score(changed(tmp_path, other, change))
    assert "all/auroc" in run.data.metrics


def test_a_file_under_another_name_is_refused(chain, other, tmp_path, capsys):
    learned = open_dataset(chain.dataset).split("train").frame["sha256"].iloc[0]

    def change(frame):
        return frame.assign(sha256=[learned, *frame["sha256"].iloc[1:]])

    line = refused(capsys, changed(tmp_path, other, change))
    person = open_dataset(str(other)).frame["person_group"].iloc[0]
    assert (
        f"shares 1 person with the training of models:/fundus-sex/1 ({person}; equal files: 1)"
        in (line)
    )
    assert line.endswith("an external validation needs others")


@pytest.mark.usefixtures("other")
def test_photographs_under_other_names_and_bytes_are_refused(chain, tmp_path, capsys):
    """The training's own photographs as another clinic would have stored them."""
    folder = rewritten(chain.dataset, tmp_path / "renamed", renamed)
    line = refused(capsys, folder)
    learned = open_dataset(str(folder)).frame["split"].ne("test").sum()
    found = int(line.rpartition("alike photographs: ")[2].partition(")")[0])
    assert "equal" not in line
    assert 0.8 * learned < found <= learned


def test_its_own_dataset_is_refused(chain, capsys):
    line = refused(capsys, chain.dataset)
    assert f"dataset={chain.dataset}: is what models:/fundus-sex/1 was trained on" in line
    assert line.endswith("split=test scores the people held out of this one")


@pytest.mark.slow
def test_where_the_training_folder_is_gone_the_run_says_what_was_compared(
    chain, other, tmp_path, capsys
):
    learned = open_dataset(chain.dataset).split("train").frame["sha256"].iloc[0]
    known = changed(tmp_path, other, lambda frame: frame.assign(sha256=[learned] * len(frame)))
    folder, away = Path(chain.dataset), Path(chain.dataset).with_name("away")
    folder.rename(away)
    try:
        run = score(other)
        told = capsys.readouterr().err
        assert "equal files" in refused(capsys, known)
    finally:
        away.rename(folder)
    assert (
        f"models:/fundus-sex/1: the folder it was trained on is not to be had (dataset={folder}: "
        "no such folder): record linkage of photographs was not possible, only file digests and "
        "person ids were compared"
    ) in told
    assert run.data.tags["compared_with_training"] == "files, ids"


def test_a_fit_to_eyes_that_are_scored_is_refused(other, capsys):
    assert refused(capsys, other, calibration="validation") == (
        "evaluate: split=all with calibration=validation: would fit threshold and temperature to "
        "eyes that are scored; give calibration=version"
    )


def test_the_eyes_go_with_every_version_the_chain_registered(chain, tmp_path):
    frame = open_dataset(chain.dataset).frame
    learned = frame.loc[frame["split"].ne("test"), "image_id"]
    for uri in chain.summary["models"].values():
        kept = download_training_eyes(registry.resolve(uri), tmp_path)
        assert list(read_training_eyes(kept)["image_id"]) == list(learned)


def test_what_its_parents_learned_counts(chain, other, tmp_path, capsys):
    """A version without a list, of two parents: one has a list, one is gone."""
    parents = "models:/fundus-sex/1,models:/fundus-sex/99"
    child = add(1, dataset_digest="of a folder nobody knows", parents=parents)
    with start_run("evaluate", {}) as run:
        refuse_known_people(run, child, open_dataset(str(other)))
    warned = capsys.readouterr().err.splitlines()[-2:]
    assert [line.removesuffix(": nobody was compared with its training") for line in warned] == [
        "models:/eye/1: keeps no list of the eyes it learned from, and its run names no dataset",
        "models:/fundus-sex/99, which models:/eye/1 was made from: is not in the registry any more",
    ]
    tags = initialise_tracking().get_run(run.run_id).data.tags
    assert tags["compared_with_training"] == (
        "files, ids, photographs; nothing of models:/eye/1; nothing of models:/fundus-sex/99"
    )
    learned = open_dataset(chain.dataset).split("train").frame["sha256"].iloc[0]
    known = changed(tmp_path, other, lambda frame: frame.assign(sha256=[learned] * len(frame)))
    of = "training of models:/fundus-sex/1, which models:/eye/1 was made from"
    with start_run("evaluate", {}) as run, pytest.raises(InputError, match=of):
        refuse_known_people(run, child, open_dataset(str(known)))


def test_a_parent_that_learned_from_other_eyes_of_the_same_folder_counts(chain, other, tmp_path):
    """A contrast takes some eyes of a dataset, its parent took all."""
    dataset = open_dataset(chain.dataset)
    learned = dataset.split("train").frame
    some, rest = learned[learned["sex"] == "male"], learned[learned["sex"] == "female"]
    model = registry.load_classifier("models:/fundus-sex/1")
    tags = {"dataset_digest": dataset.digest}
    versions = []
    with start_run("train", {}) as run:
        for eyes in (learned, some):
            versions.append(
                register_model(
                    run, "fundus-folder", model, metrics={}, tags=tags, alias=None, eyes=eyes,
                    parents=versions[-1:],
                )
            )  # fmt: skip
    child = versions[-1]
    person, named = rest["patient_id"].iloc[0], "fundus-folder/1, which models:/fundus-folder/2"

    def met(frame):
        return frame.assign(patient_id=[person, *frame["patient_id"][1:]], source="synthetic")

    with start_run("evaluate", {}) as run:
        refuse_known_people(run, child, open_dataset(str(other)))
        with pytest.raises(InputError, match=named):
            refuse_known_people(run, child, open_dataset(str(changed(tmp_path, other, met))))


def test_a_version_of_before_is_compared_with_the_folder_of_its_run(chain, other, tmp_path, clean):
    """Registered without a list of its eyes; its run says where the dataset lies."""
    older = ModelVersion("eye", 9, clean.model_id, clean.run_id,
                         {"dataset_digest": clean.tags["dataset_digest"]})  # fmt: skip
    with start_run("evaluate", {}) as run:
        refuse_known_people(run, older, open_dataset(str(other)))
    tags = initialise_tracking().get_run(run.run_id).data.tags
    assert tags["compared_with_training"] == "files, ids, photographs"
    learned = open_dataset(chain.dataset).split("val").frame["sha256"].iloc[0]
    known = changed(tmp_path, other, lambda frame: frame.assign(sha256=[learned] * len(frame)))
    with start_run("evaluate", {}) as run, pytest.raises(InputError, match="models:/eye/9"):
        refuse_known_people(run, older, open_dataset(str(known)))
