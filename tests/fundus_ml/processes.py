"""Run a module of the tests in one process or, by torchrun, in several that share its work."""

import json
import os
import subprocess
import sys


def run(module, folder, processes):
    """Give back the one line of JSON that the first process writes; the others must be silent."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", module, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, "only the first process speaks"
    return json.loads(lines[0])
