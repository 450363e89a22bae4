"""The suite in three processes, split by path into parts that take alike long.

    python -m tests -m "not slow and not gpu"

Each computes on one core; the third has work for a core while tests of the others wait for
browsers, servers and signals. The libraries that take seconds are imported once, before the other
two are forked. The first part prints as it goes, the others when all are done. What they and the
processes they start import is compiled once, whatever the environment says.
"""

import multiprocessing
import os
import sys
import tempfile
from contextlib import ExitStack
from importlib import import_module

import pytest

SLOW_TO_IMPORT = (
    "torch",
    "torchvision",
    "timm",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.ensemble",
    "matplotlib.pyplot",
)

WHOLE_COMMANDS = (
    "tests/fundus_ml/preprocessing",
    "tests/experiments",
)
STORES_PHOTOGRAPHS_JUDGES = (
    "tests/experiments/test_contrasts.py",
    "tests/fundus_ml/auditing",
    "tests/fundus_ml/data",
    "tests/fundus_ml/imaging",
    "tests/fundus_ml/reader_study",
    "tests/fundus_ml/robust_evaluation",
    "tests/fundus_ml/sources",
    "tests/tracking",
)
IMPORTED_BEFORE = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
"""Plugins of libraries, whose asserts nobody reads."""
NO_TESTS = 5
"""Exit code of pytest where the options leave no test."""


def main(options):
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    for library in SLOW_TO_IMPORT:
        import_module(library)
    parts = (
        [*WHOLE_COMMANDS, *(f"--ignore={path}" for path in STORES_PHOTOGRAPHS_JUDGES)],
        [*STORES_PHOTOGRAPHS_JUDGES],
    )
    rest = [f"--ignore={path}" for path in (*WHOLE_COMMANDS, *STORES_PHOTOGRAPHS_JUDGES)]
    with ExitStack() as stack:
        told = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in parts]
        others = [
            multiprocessing.get_context("fork").Process(
                target=test, args=([*options, *IMPORTED_BEFORE, *part], file)
            )
            for part, file in zip(parts, told, strict=True)
        ]
        for each in others:
            each.start()
            stack.callback(each.kill)
        codes = [pytest.main([*options, *IMPORTED_BEFORE, *rest])]
        for each, file in zip(others, told, strict=True):
            each.join()
            codes.append(each.exitcode)
            file.seek(0)
            sys.stdout.write(file.read())
    return max((code for code in codes if code != NO_TESTS), key=abs, default=NO_TESTS)


def test(options, file):
    """Be one of the other processes."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file.fileno(), stream.fileno())
    sys.exit(pytest.main(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
