"""A list of runs says what each did."""

import pytest

from experiments.evaluate import EvaluateConfig
from experiments.modulate import ModulateConfig
from experiments.preprocess import PreprocessConfig
from experiments.running.flags import parse
from experiments.running.run_names import run_name
from experiments.train import TrainConfig


@pytest.mark.parametrize(
    ("entry_point", "config", "flags", "name"),
    [
        ("train", TrainConfig, {"dataset": "d"}, "train"),
        ("train", TrainConfig, {"dataset": "d", "lr": "0.1"}, "train"),
        (
            "train", TrainConfig,
            {"dataset": "d", "seed": "2", "contrast": "glaucoma", "recipe": "probe"},
            "train contrast=glaucoma recipe=probe seed=2",
        ),
        (
            "evaluate", EvaluateConfig,
            {"dataset": "d", "model": "models:/fundus-sex/3", "eps": "0.5,4/255"},
            "evaluate fundus-sex/3 eps=0.5,0.0156863",
        ),
        (
            "modulate", ModulateConfig,
            {"dataset": "d", "model": "models:/fundus-sex@robust, models:/fundus-sex/4"},
            "modulate fundus-sex@robust and 1 more",
        ),
        ("preprocess", PreprocessConfig, {"source": "odir", "root": "r"}, "preprocess source=odir"),
    ],
)  # fmt: skip
def test_a_run_is_named_by_what_tells_it_apart(entry_point, config, flags, name):
    given = [word for flag, value in flags.items() for word in (f"--{flag}", value)]
    assert run_name(entry_point, parse(config, given, name=entry_point)) == name


def test_a_name_has_an_end():
    config = parse(TrainConfig, ["--dataset", "d", "--recipe", "x" * 5000], name="train")
    assert len(run_name("train", config)) < 300
