"""``reproduce`` starts what a run was, refuses what it cannot, and tells what differs."""

import subprocess

import pytest

from experiments import reproduce, train
from experiments.reproduce import ReproduceConfig, flags_of, folders_of_its_own
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from tests.experiments.commands import ROOT
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import logged_table, newest
from tracking import registry
from tracking.code_version import code_version
from tracking.repeating import Repeatable
from tracking.stores import initialise_tracking

RUN = "1" * 32


def repeatable(dataset, **changes):
    given = {"dataset": dataset, "model": "models:/eye@candidate", "register_as": "eye",
             "verbose": "True", "tuned": "None"}  # fmt: skip
    values = {
        "run_id": RUN, "entry_point": "robustify", "parameters": given, "commit": "f" * 40,
        "dataset_digest": open_dataset(dataset).digest, "model": "models:/eye/2", "metrics": {},
        "start": "", "registered": "fundus-amd",
    }  # fmt: skip
    return Repeatable(**values | changes)


def test_the_command_names_the_version_and_leaves_its_aliases_alone(versions):
    assert flags_of(repeatable(versions.a)) == [
        "--dataset", versions.a, "--model", "models:/eye/2",
        "--register_as", "fundus-amd-reproduced", "--verbose", "true",
    ]  # fmt: skip


def test_a_killed_run_of_the_user_is_not_gone_on_with(versions, tmp_path):
    asked = {"dataset": versions.a, "checkpoints": "", "seed": "0"}
    again = folders_of_its_own(repeatable(versions.a, parameters=asked), tmp_path)
    assert again == ["--checkpoints", str(tmp_path / "checkpoints")]
    assert folders_of_its_own(repeatable(versions.a), tmp_path) == []


def test_aliases_stay_where_the_version_is_gone(versions):
    """Only its registry entry said under which name it was registered."""
    asked = {"dataset": versions.a, "register_as": "fundus-sex"}
    gone = repeatable(versions.a, parameters=asked, model="", registered="")
    assert flags_of(gone)[2:] == ["--register_as", "fundus-sex-reproduced"]


def test_every_address_is_the_version_it_was(versions):
    """Aliases may have moved since; `compare` takes several, a training its start weights."""
    given = {"dataset": versions.a, "models": "models:/eye@a,models:/eye@b"}
    several = repeatable(versions.a, parameters=given, model="models:/eye/1,models:/eye/3",
                         registered="")  # fmt: skip
    assert flags_of(several)[2:] == ["--models", "models:/eye/1,models:/eye/3"]
    given = {"dataset": versions.a, "weights": "models:/fundus-pretrained@candidate"}
    started = repeatable(versions.a, parameters=given, model="", registered="",
                         start="models:/fundus-pretrained/2")  # fmt: skip
    assert flags_of(started)[2:] == ["--weights", "models:/fundus-pretrained/2"]


def test_what_cannot_be_done_again_is_refused(versions):
    with pytest.raises(InputError, match="is a modulate; can do again: train"):
        flags_of(repeatable(versions.a, entry_point="modulate"))
    with pytest.raises(InputError, match=r"read dataset 000000000000; .* is [0-9a-f]{12} now"):
        flags_of(repeatable(versions.a, dataset_digest="0" * 64))
    gone = repeatable(versions.a)
    gone.parameters["dataset"] = "nowhere"
    with pytest.raises(InputError, match="its dataset nowhere is not there"):
        flags_of(gone)
    several = repeatable(versions.a)
    several.parameters["replicates"] = "3"
    with pytest.raises(InputError, match="trained 3 replicates; name the run of one"):
        flags_of(several)
    with pytest.raises(InputError, match="tolerance=2"):
        ReproduceConfig(run=RUN, tolerance=2)


@pytest.mark.slow
def test_a_training_gives_the_same_metrics_in_the_code_of_its_commit(chain, monkeypatch, capfd):
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    monkeypatch.setattr("tracking.opening.code_version", lambda: commit)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    values = {"dataset": chain.dataset, "arch": "test_resnet", "weights": "none", "epochs": 1,
              "bootstrap": 50, "register_as": "again"}  # fmt: skip
    train.main(flags(values))
    first = newest("train")
    reproduce.main(flags({"run": first.info.run_id}))
    table = logged_table(newest("reproduce"), "metrics.json")
    assert len(table) > 10
    assert table["difference"].max() <= 1e-6
    assert "metrics are equal" in capfd.readouterr().out
    assert registry.resolve("models:/again@candidate").run_id == first.info.run_id
    child = initialise_tracking().get_run(newest("reproduce").data.tags["reproduced_by"])
    assert child.data.tags["reproduces"] == first.info.run_id
    assert child.data.tags["git_commit"] == commit
    assert code_version() != "unknown"
