"""The suite in two processes, split by path into halves that take alike long.

    python -m tests -m "not slow and not gpu"

The first half prints as it goes, the other when it is done. Each uses one core. What they and the
processes they start import is compiled once, whatever the environment says.
"""

import os
import subprocess
import sys
import tempfile

OTHER_HALF = (
    "tests/experiments",
    "tests/fundus_ml/imaging",
    "tests/fundus_ml/preprocessing",
    "tests/fundus_ml/sources",
)
"""What runs whole commands, and what reads photographs."""
NO_TESTS = 5
"""Exit code of pytest where the options leave no test."""


def main(options):
    command = [sys.executable, "-m", "pytest", *options]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    alone.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as told:
        other = subprocess.Popen([*command, *OTHER_HALF], env=alone, stdout=told, stderr=told)
        try:
            rest = [f"--ignore={folder}" for folder in OTHER_HALF]
            codes = [subprocess.call([*command, *rest], env=alone), other.wait()]
        finally:
            other.kill()
        told.seek(0)
        sys.stdout.write(told.read())
    return max((code for code in codes if code != NO_TESTS), default=NO_TESTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
