"""Real commands as a user gives them: started, stopped, and looked for afterwards."""

import os
import subprocess
import sys
from pathlib import Path

from tests.experiments.conftest import flags, own_client
from tests.tracking.conftest import OURS

ROOT = Path(__file__).parents[2]


def start(entry_point, values, folder, *, temporary=None, experiment=None, store=None, launcher=()):
    """Begin a command in ``folder``, in a session of its own; its output is collected."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    if experiment is not None:
        environment["MLFLOW_EXPERIMENT_NAME"] = experiment
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if store is not None:
        environment["MLFLOW_TRACKING_URI"] = store
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", f"experiments.{entry_point}", *flags(values)],
        cwd=folder, env=environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def runs(folder):
    """Every run of the store in ``folder``."""
    client = own_client(folder)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=5000))


def running(folder):
    return [run.info.run_id for run in runs(folder) if run.info.status == "RUNNING"]


def processes(session):
    """Processes of a session that are not over; zombies are."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[3] == str(session) and words[0] != "Z":
            found.append(int(path.parent.name))
    return found
