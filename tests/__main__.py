"""The suite in two processes, split by path: what runs whole commands, and everything else.

    python -m tests -m "not slow and not gpu"

The first part prints as it goes, the second when it is done. Each uses one core.
"""

import os
import subprocess
import sys
import tempfile

RUNS = "tests/experiments"
NO_TESTS = 5
"""Exit code of pytest where the options leave no test."""


def main(options):
    command = [sys.executable, "-m", "pytest", *options]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as told:
        other = subprocess.Popen([*command, RUNS], env=alone, stdout=told, stderr=told)
        try:
            codes = [subprocess.call([*command, f"--ignore={RUNS}"], env=alone), other.wait()]
        finally:
            other.kill()
        told.seek(0)
        sys.stdout.write(told.read())
    return max((code for code in codes if code != NO_TESTS), default=NO_TESTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
