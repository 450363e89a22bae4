"""What must be there at once: the help, the answer to a wrong flag, a quiet console."""

import json
import os
import subprocess
import sys
from importlib import import_module

import pytest

from tests.experiments.commands import ROOT
from tests.test_house import ENTRY_POINTS

HEAVY = ("torch", "mlflow", "sklearn", "pandas", "optuna", "numpy", "matplotlib", "joblib")
ASK = """
import importlib, io, json, sys
names, argv, heavy = json.loads(sys.argv[1])
loaded = {}

class Ear(io.StringIO):
    '''Notes what is imported when the answer is there, and ends the program as Ctrl-C would.'''

    def flush(self):
        raise SystemExit(9)

for name in names:
    module = importlib.import_module(f"experiments.{name}")
    heard, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), Ear()
    try:
        module.main(argv)
    except SystemExit:
        said = sys.stdout.getvalue() + sys.stderr.getvalue()
    finally:
        sys.stdout, sys.stderr = heard, sys.__stderr__
    loaded[name] = [said, [each for each in heavy if each in sys.modules]]
print(json.dumps(loaded))
"""


def answers(argv, folder):
    """What every entry point answers, and which libraries are imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps([ENTRY_POINTS, argv, HEAVY])],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["--help"], "usage: python -m experiments."), (["--lens", "1"], "lens: unknown parameter")],
)
def test_help_and_wrong_flags_are_answered_before_anything_heavy_is_imported(argv, said, tmp_path):
    for name, (answer, loaded) in answers(argv, tmp_path).items():
        assert said in answer, name
        assert loaded == [], f"{name} imports {loaded}"


@pytest.mark.parametrize(
    ("name", "argv", "line"),
    [
        ("main", ["--eps", "3"], "modulate_eps=0.25,0.5,1,2: must hold eps=3"),
        ("preprocess", ["--cue", "lens"], "cue=lens: allowed: disc, vessels, macula, none"),
        ("pretrain", ["--dataset", "d", "--variance", "0"], "variance=0: must be above 0"),
        ("train", ["--dataset", "d", "--augment", "all"], "augment=all: allowed: none, flip"),
        ("tune", ["--dataset", "d", "--pruner", "best"], "pruner=best: allowed: hyperband"),
        ("robustify", ["--dataset", "d", "--method", "x"], "method=x: allowed: pgd, fast"),
        ("evaluate", ["--dataset", "d", "--attacks", "x"], "attacks=x: allowed: none, pgd, suite"),
        ("modulate", ["--dataset", "d", "--constraint", "l3"], "constraint=l3: allowed: l2, linf"),
        ("reader_study", ["--run", "r", "--question", "x"], "question=x: allowed: changed, female"),
    ],
)
def test_values_out_of_range_are_too(name, argv, line, tmp_path):
    program = ASK.replace("for name in names:", f"for name in {[name]!r}:")
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([[], argv, HEAVY])],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    answer, loaded = json.loads(done.stdout)[name]
    assert line in answer
    assert loaded == []


@pytest.mark.parametrize(
    "package",
    sorted(
        ".".join(path.relative_to(ROOT).parent.parts)
        for room in ("fundus_ml", "experiments", "tracking")
        for path in (ROOT / room).rglob("__init__.pyi")
    ),
)
def test_a_room_offers_every_name_of_its_list(package):
    room = import_module(package)
    assert len(set(room.__all__)) == len(room.__all__)
    for name in room.__all__:
        assert hasattr(room, name), name
