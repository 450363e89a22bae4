"""A file of tuned values: each is held to what its flag allows, before anything is read."""

import json

import pytest

from experiments.running.tuned import with_tuned
from experiments.train import TrainConfig
from fundus_ml.errors import InputError
from tracking import SilentRun


class Kept(SilentRun):
    """A run that keeps what it is told."""

    def __init__(self):
        self.tags = {}

    def set_tags(self, tags):
        self.tags |= tags

    def log_json(self, values, name):
        self.tags[name] = values


def tuned(tmp_path, values):
    file = tmp_path / "best.json"
    file.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return TrainConfig(dataset="d", lr=0.5, tuned=str(file))


def test_the_values_replace_flags_and_the_run_says_which(tmp_path):
    given = tuned(tmp_path, {"lr": 1e-5, "epochs": 7, "chosen_from": "9 trials by auroc on val"})
    run = Kept()
    found = with_tuned(given, run, entry_point="train")
    assert (found.lr, found.epochs, found.dataset, found.tuned) == (1e-5, 7, "d", given.tuned)
    assert run.tags == {
        "tuned_parameters.json": {"lr": 1e-5, "epochs": 7}, "tuned.lr": "1e-05",
        "tuned.epochs": "7", "settings_chosen_from": "9 trials by auroc on val",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"epochs": "many"}, "epochs=many: must be a whole number"),
        ({"epochs": 0}, "epochs=0: must be at least 1"),
        ({"epoch": 7}, "unknown key epoch; near it: epochs"),
        ({"dataset": "another"}, "unknown key dataset"),
        ({"tuned_for": "robustify", "lr": 0.1}, "was tuned for robustify, not for train"),
        ({"lr": [0.1]}, "must be flags and their values"),
        ("[]", "must be flags and their values"),
        ("{", "not a readable JSON file"),
        ("\x00", "not a readable JSON file"),
    ],
)
def test_what_a_flag_refuses_is_one_line(tmp_path, values, line):
    with pytest.raises(InputError, match=line) as raised:
        with_tuned(tuned(tmp_path, values), Kept(), entry_point="train")
    assert "\n" not in str(raised.value)


def test_weights_are_no_tuned_values(tmp_path):
    given = tuned(tmp_path, "")
    (tmp_path / "best.json").write_bytes(b"\xff\x80\x00safetensors")
    with pytest.raises(InputError, match="not a readable JSON file"):
        with_tuned(given, Kept(), entry_point="train")
