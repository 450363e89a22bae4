"""``make ui``: MLflow's pages on this folder's store, and where to look first.

python -m tracking.ui [port]
"""

import os
import sys
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from tracking.opening import DEFAULT_EXPERIMENT
from tracking.stores import initialise_tracking, tracking_uri

PORT = "5000"
TRAINING = "?workflowType=machine_learning"
"""Without it the pages open as those of a language-model project."""
NEWEST_FIRST = ["last_update_time DESC"]


def main(arguments: Sequence[str] = ()) -> None:
    """Say which page to open, and become MLflow's server."""
    port = arguments[0] if arguments else PORT
    print(f"open {first_page(port)}")  # noqa: T201 (its one line)
    sys.stdout.flush()
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", port]
    os.execv(sys.executable, [*command, "--backend-store-uri", tracking_uri()])  # noqa: S606


def first_page(port: str) -> str:
    """Address of the runs: of the experiment ``fundus``, else of the one used last."""
    experiments = initialise_tracking().search_experiments(order_by=NEWEST_FIRST)
    named = [each for each in experiments if each.name == DEFAULT_EXPERIMENT]
    chosen = (named or experiments)[0]
    place = f"/#/experiments/{chosen.experiment_id}/runs{TRAINING}"
    return f"http://127.0.0.1:{port}{place}"


def run_address(run_id: str, experiment_id: str) -> str:
    """Whole address of the page of a run."""
    return served(f"/#/experiments/{experiment_id}/runs/{run_id}{TRAINING}")


def version_address(uri: str) -> str:
    """Whole address of the page of a version, ``models:/name/3``."""
    name, _, version = uri.removeprefix("models:/").rpartition("/")
    return served(f"/#/models/{quote(name, safe='')}/versions/{version}{TRAINING}")


def served(page: str) -> str:
    """Put the server in front of a page of MLflow, so that it opens from anywhere.

    The server is the one that tracks, without a password; of a local store, that of ``make ui``.
    """
    scheme, netloc, path, *_ = urlsplit(tracking_uri())
    if scheme not in {"http", "https"}:
        return f"http://127.0.0.1:{PORT}{page}"
    return f"{scheme}://{netloc.rpartition('@')[2]}{path.rstrip('/')}{page}"


if __name__ == "__main__":
    main(sys.argv[1:])
