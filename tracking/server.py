"""``make server``: one MLflow server for a team, with users, a database and a store of artifacts.

python -m tracking.server --help
"""

import argparse
import importlib
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tracking.errors import TrackingError
from tracking.faults import first_line
from tracking.reachable import check_answers, shown
from tracking.stores import absolute, exclusive

DATABASE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS = "MLFLOW_ARTIFACTS_DESTINATION"
ADMIN = "MLFLOW_AUTH_ADMIN_USERNAME"
PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"  # noqa: S105 (its name)
SIGNING_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
PERMISSIONS = ("NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_THROUGH_THE_SERVER = "mlflow-artifacts:/"
_RANDOM_BYTES = 24

_ABOUT = f"""\
Start an MLflow server for a team, with basic authentication.

What may be secret is read from the environment, never from a flag: everybody on a machine sees the
flags of its processes. The variables are MLflow's own:

  {DATABASE}
      Database of runs, versions and users: postgresql+psycopg://user@host/name, its password in
      libpq's PGPASSWORD or ~/.pgpass. Without it: mlflow.db in the folder.
  {ARTIFACTS}
      Where artifacts lie: s3://bucket or a folder. Without it: mlartifacts in the folder. Clients
      send them through the server and need no keys of the bucket.
  MLFLOW_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
      An S3 that is not Amazon's, and the server's keys of it.
  {ADMIN}, {PASSWORD}
      First user, who makes the others; read at the first start. Without them: admin, with a
      password made up here and kept in server/admin_password of the folder, readable by you alone.
  {SIGNING_KEY}
      Signs the forms of the pages. Without it: made up and kept in server/signing_key.
"""
_AFTER = """\
The first user makes the others at http://HOST:PORT/signup; they set MLFLOW_TRACKING_URI,
MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. docs/scale.md says who may do what.
"""


@dataclass(frozen=True)
class _Stores:
    """Where a server keeps what it is given.

    Attributes:
        folder: Folder of everything that has no other place.
        database: SQLAlchemy address of runs, versions and users.
        artifacts: Bucket or folder.
    """

    folder: Path
    database: str
    artifacts: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the stores and the first user, say where to look, and become MLflow's server."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        command = _prepare(given)
    except TrackingError as error:
        parser.exit(2, f"server: {error}\n")
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 (our own command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracking.server", description=_ABOUT, epilog=_AFTER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    environment = os.environ.get
    parser.add_argument(
        "--host", default=environment("MLFLOW_HOST", LOOPBACK[0]),
        help="address to listen on, 0.0.0.0 for every one of this machine (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=environment("MLFLOW_PORT", "5000"),
        help="port to listen on (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--allowed-hosts", default=environment(ALLOWED_HOSTS, ""),
        help="names under which clients call it, with commas, such as tracking.example.org; needed "
        "with --host, and only this machine's own without it",
    )  # fmt: skip
    parser.add_argument(
        "--default-permission", choices=PERMISSIONS, default="EDIT",
        help="what a user may do with an experiment or a model of another: READ looks, EDIT adds "
        "runs and versions too, MANAGE deletes too (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=environment("MLFLOW_WORKERS", "2"),
        help="processes that answer (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="folder of what is kept here (the current one)"
    )
    return parser


def _prepare(given: argparse.Namespace) -> list[str]:
    """Make what a first start needs; hand back the command of MLflow's server.

    Raises:
        TrackingError: It could not serve.
    """
    stores = _stores(given.folder.absolute())
    hosts = _allowed_hosts(given.host, given.port, given.allowed_hosts)
    _check_installed(stores)
    _check_free(given.host, given.port)
    check_answers(stores.database, what=DATABASE)
    told = _make_first_user(stores, permission=given.default_permission)
    os.environ |= {
        DATABASE: stores.database,
        ARTIFACTS: stores.artifacts,
        ALLOWED_HOSTS: hosts,
        # Fifteen processes more, of services that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    name = given.host if given.host in LOOPBACK else hosts.partition(",")[0].partition(":")[0]
    print(f"open http://{name}:{given.port}/?workflowType=machine_learning as {told}")  # noqa: T201
    return [
        sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--serve-artifacts",
        "--host", given.host, "--port", str(given.port), "--workers", str(given.workers),
    ]  # fmt: skip


def _stores(folder: Path) -> _Stores:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(f"--folder {folder}: cannot be made ({error.strerror})") from error
    return _Stores(
        folder=folder,
        database=absolute(os.environ.get(DATABASE) or f"sqlite:///{folder / 'mlflow.db'}"),
        artifacts=os.environ.get(ARTIFACTS) or str(folder / "mlartifacts"),
    )


def _allowed_hosts(host: str, port: int, given: str) -> str:
    if given:
        return given
    if host not in LOOPBACK:
        raise TrackingError(
            f"--host {host}: say with --allowed-hosts under which names clients call it, such as "
            "--allowed-hosts tracking.example.org"
        )
    return ",".join(f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]"))


def _check_installed(stores: _Stores) -> None:
    needed = {"flask_wtf": "mlflow[auth]"}
    if stores.artifacts.startswith("s3:"):
        needed["boto3"] = "boto3"
    missing = [f"'{package}'" for module, package in needed.items() if find_spec(module) is None]
    if missing:
        raise TrackingError(f"not installed here: pip install {' '.join(missing)}")


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            pass
    except (OSError, OverflowError) as error:
        raise TrackingError(
            f"--host {host} --port {port}: cannot be listened on: {error}"
        ) from error


def _make_first_user(stores: _Stores, *, permission: str) -> str:
    """Create tables and the first user where they are missing; say who that is, to log in as.

    Any number of servers may start together on an empty database.
    """
    private = stores.folder / "server"
    private.mkdir(mode=0o700, exist_ok=True)
    with FileLock(private / "lock"):
        os.environ.setdefault(SIGNING_KEY, _kept_secret(private / "signing_key"))
        os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(
            _write_users(private / "auth.ini", stores, permission)
        )
        name = os.environ.setdefault(ADMIN, "admin")
        try:
            with exclusive(stores.database):
                return _first_user(stores.database, name, private / "admin_password")
        except (MlflowException, SQLAlchemyError) as error:
            raise TrackingError(
                f"{DATABASE} is {shown(stores.database)!r}: {first_line(error)}"
            ) from error


def _first_user(database: str, name: str, file: Path) -> str:
    """Create what is missing; the caller holds the database."""
    tracking = importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    tracking.SqlAlchemyStore(database, _THROUGH_THE_SERVER)
    # Reads its settings where it is imported, so not before they are written.
    users = importlib.import_module("mlflow.server.auth")
    users.store.init_db(database)
    password = os.environ.get(PASSWORD)
    if not users.store.has_user(name) and not password:
        password = _kept_secret(file)
    users.create_admin_user(name, password)
    return f"{name}, with the password in {file if file.exists() else PASSWORD}"


def _kept_secret(file: Path) -> str:
    """Read a secret, made up where there is none yet; nobody else may read it."""
    if not file.exists():
        _write_private(file, secrets.token_urlsafe(_RANDOM_BYTES))
    return file.read_text(encoding="utf-8")


def _write_users(file: Path, stores: _Stores, permission: str) -> Path:
    """Write where MLflow finds its users and what they may do; the address can hold a password."""
    database = stores.database.replace("%", "%%")  # the file is one whose % mean something
    _write_private(
        file, f"[mlflow]\ndefault_permission = {permission}\ndatabase_uri = {database}\n"
    )
    return file


def _write_private(file: Path, content: str) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
