"""Flags: what parses, what is refused, and in which words."""

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.running.flags import Number, Numbers, StepLength, parse
from fundus_ml.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of a test."""

    folder: str
    """Where."""
    count: int = 3
    """How many."""
    lr: float = 1e-3
    """How fast."""
    flip: bool = True
    """Whether."""
    eps: Number = Number("4/255")  # noqa: RUF009
    """How far."""
    budgets: Numbers = Numbers("1/2,1")  # noqa: RUF009
    """How far, several."""
    step_size: StepLength = "auto"
    """Step."""


def read(*arguments):
    return parse(Config, ["--folder", "here", *arguments], name="test")


def test_defaults():
    assert read() == Config(folder="here")


@pytest.mark.parametrize("written", ["0.5", "1/2", "5e-1"])
def test_numbers_and_fractions(written):
    assert read("--eps", written).eps == 0.5
    assert read("--budgets", f"{written},2").budgets == (0.5, 2.0)
    assert read("--step_size", written).step_size == 0.5
    assert read(f"--eps={written}").eps == 0.5


def test_there_is_one_zero():
    assert str(read("--eps=-0").eps) == "0.0"
    assert str(read("--budgets=-0,1").budgets) == "0,1"


@pytest.mark.parametrize("written", ["1e9", "1000000000", "10E8"])
def test_budgets_are_written_without_an_exponent(written):
    assert str(read("--budgets", written).budgets) == "1000000000"


def test_words_that_are_no_numbers():
    assert read("--step_size", "auto").step_size == "auto"
    assert read("--flip", "false").flip is False


@pytest.mark.parametrize("given", [(), ("--budgets", "1,2,4")])
def test_numbers_keep_their_kind_and_are_written_as_typed(given):
    budgets = read(*given).budgets
    assert type(budgets) is Numbers
    assert str(budgets) == (given[1] if given else "0.5,1")


def test_numbers_survive_copies():
    for value in (Numbers("1/2,1"), Number("4/255")):
        assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value  # noqa: S301


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "3.5"], "count=3.5: must be a whole number"),
        (["--lr=fast"], "lr=fast: must be a number"),
        (["--flip", "maybe"], "flip=maybe: must be true or false"),
        (["--eps", "four"], "eps=four: must be a number, or a fraction such as 4/255"),
        (["--eps", "1/0"], "eps=1/0: must be a number, or a fraction such as 4/255"),
        (["--budgets", "1,,2"], "budgets=1,,2: must be numbers or fractions with commas"),
        (["--step_size", "big"], "step_size=big: must be auto, a number, or a fraction"),
        (["--depth", "2"], "depth: unknown parameter; allowed: folder, count, lr, flip, eps"),
        (["--count", "1", "--count", "x"], "count=x: must be a whole number"),
        (["--lr="], "lr=: must be a number"),
        (["--count", "1e3"], "count=1e3: must be a whole number such as 12"),
        (["--count", "0x10"], "count=0x10: must be a whole number such as 12"),
        (["--count", "1:30"], "count=1:30: must be a whole number such as 12"),
        (["--count", "1_000"], "count=1_000: must be a whole number such as 12"),
        (["--count", "١٢"], "count=١٢: must be a whole number such as 12"),
        (["--count", str(10**30)], f"count={10**30}: must be from -4294967295 to 4294967295"),
        (["--count", "9" * 5000], f"count={'9' * 40}…: must be from -4294967295 to 4294967295"),
        (["--count"], "count=: must be a whole number such as 12"),
        (["--lr", "nan"], "lr=nan: must be a number such as 0.5"),
        (["--lr", ".inf"], "lr=.inf: must be a number such as 0.5"),
        (["--lr", "0x10"], "lr=0x10: must be a number such as 0.5"),
        (["--lr", "1:30"], "lr=1:30: must be a number such as 0.5"),
        (["--lr", "1e400"], "lr=1e400: must be 0, or from 1e-12 to 1e12 in size"),
        (["--eps", "1e400"], "eps=1e400: must be 0, or from 1e-12 to 1e12 in size"),
        (["--eps=-1e999"], "eps=-1e999: must be 0, or from 1e-12 to 1e12 in size"),
        (["--eps", "1e999999999"], "eps=1e999999999: must be a number, or a fraction such as"),
        (["--eps", "inf"], "eps=inf: must be a number, or a fraction such as 4/255"),
        (["--budgets", "1,1e400"], "budgets=1,1e400: must be 0, or from 1e-12 to 1e12 in size"),
        (["--budgets", "1,1e999999999"], "budgets=1,1e999999999: must be numbers or fractions"),
        (["--step_size", "1e999999999"], "step_size=1e999999999: must be auto, a number, or a"),
        (["--cou", "4"], "cou: unknown parameter; allowed: folder, count"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_a_mistake_is_one_line(arguments, said):
    with pytest.raises(InputError) as caught:
        read(*arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_flag_that_is_needed():
    with pytest.raises(InputError, match="folder: required and not given"):
        parse(Config, [], name="test")


def test_a_table_with_names_that_the_locale_cannot_write_is_shown():
    """What a run took hours for is not lost to the line that reports it."""
    program = (
        "import pandas as pd\n"
        "from experiments.running import console, flags\n"
        "frame = pd.DataFrame({'camera': ['\\u738b']})\n"
        "flags.execute = lambda *_: console.table(frame, final=True)\n"
        f"from {Config.__module__} import Config\n"
        "flags.run_entry_point('test', Config, None, ['--folder', 'here'])\n"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | ascii_only,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    assert rb"\u738b" in done.stdout
