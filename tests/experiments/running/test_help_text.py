"""``--help`` shows what an entry point declares itself first, and types in words."""

import dataclasses
import re

import pytest

from experiments.evaluate import EvaluateConfig
from experiments.running.flags import parse
from experiments.train import TrainConfig


@pytest.mark.parametrize(
    ("config_class", "sections"),
    [
        (
            TrainConfig,
            [
                "Flags of train:",
                "Which network is trained, from what, and how:",
                "Flags of a training that may be asked for several networks, or for null models:",
                "Flags of a training that is kept on disk while it lasts:",
                "How long, how fast and on what the engine learns:",
                "What a run prints:",
            ],
        ),
        (
            EvaluateConfig,
            [
                "Flags of evaluate:",
                "How a network is scored; without budgets it is scored clean only:",
                "What a run prints:",
            ],
        ),
    ],
)
def test_flags_stand_below_the_class_that_declares_them(config_class, sections, capsys):
    shown = told(config_class, capsys)
    assert re.findall(r"\n\n(\S.*:)\n  -", shown) == sections
    flags = re.findall(r"^  --(\w+)", shown, re.MULTILINE)
    assert flags[0] == "dataset"
    assert len(flags) == len(set(flags)) == len(dataclasses.fields(config_class))
    assert shown.startswith("usage: python -m experiments.it --dataset DATASET [--FLAG VALUE ...]")


def test_no_type_is_a_name_of_the_code(capsys):
    shown = told(EvaluateConfig, capsys)
    assert "<class" not in shown
    words = " ".join(shown.split())
    assert "(type: numbers or fractions with commas between them, such as 0.5,1,2, def" in words
    assert "(type: quick, full, default: quick)" in words


def told(config_class, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(config_class, ["--help"], name="it")
    return capsys.readouterr().out
