"""The suite in three processes, split by path into parts that take alike long.

    python -m tests -m "not slow and not gpu"

Each computes on one core; the third has work for a core while tests of the others wait for
browsers, servers and signals. The first part prints as it goes, the others when all are done. What
they and the processes they start import is compiled once, whatever the environment says.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack

WHOLE_COMMANDS = ("tests/experiments",)
STORES_PHOTOGRAPHS_JUDGES = (
    "tests/fundus_ml/data",
    "tests/fundus_ml/imaging",
    "tests/fundus_ml/preprocessing",
    "tests/fundus_ml/reader_study",
    "tests/fundus_ml/robust_evaluation",
    "tests/fundus_ml/sources",
    "tests/fundus_ml/synthesis",
    "tests/tracking",
)
NO_TESTS = 5
"""Exit code of pytest where the options leave no test."""


def main(options):
    command = [sys.executable, "-m", "pytest", *options]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    alone.pop("PYTHONDONTWRITEBYTECODE", None)
    parts = (WHOLE_COMMANDS, STORES_PHOTOGRAPHS_JUDGES)
    rest = [f"--ignore={folder}" for part in parts for folder in part]
    with ExitStack() as stack:
        told = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in parts]
        others = [
            subprocess.Popen([*command, *part], env=alone, stdout=file, stderr=file)
            for part, file in zip(parts, told, strict=True)
        ]
        for each in others:
            stack.callback(each.kill)
        codes = [subprocess.call([*command, *rest], env=alone), *(each.wait() for each in others)]
        for file in told:
            file.seek(0)
            sys.stdout.write(file.read())
    return max((code for code in codes if code != NO_TESTS), default=NO_TESTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
