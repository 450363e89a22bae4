"""Where runs, results and studies are kept, and how their databases begin.

Three databases, because MLflow and Optuna each own a table called ``alembic_version`` and cannot
share one. Creating a schema is not safe from two processes at once, so it happens under a lock.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tracking.downloads import Downloads
from tracking.errors import TrackingError
from tracking.faults import first_line, refusal_of
from tracking.reachable import check_answers, shown
from tracking.study_locks import locked

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
RESULTS_VARIABLE = "FUNDUS_RESULTS_URI"
STUDIES_VARIABLE = "FUNDUS_STUDIES_URI"
DEFAULT_TRACKING = "sqlite:///mlflow.db"
DEFAULT_RESULTS = "sqlite:///results.db"
DEFAULT_STUDIES = "sqlite:///optuna.db"
_SHARED = Path(tempfile.gettempdir())
"""Where processes meet; later, each may have a temporary folder of its own."""

_initialised: set[str] = set()
_downloads = Downloads()


def tracking_uri() -> str:
    """Address of the MLflow store: ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in this folder."""
    return absolute(os.environ.get(TRACKING_VARIABLE) or DEFAULT_TRACKING)


def results_uri() -> str:
    """Address of the results: ``FUNDUS_RESULTS_URI``, else ``results.db`` in this folder."""
    return absolute(os.environ.get(RESULTS_VARIABLE) or DEFAULT_RESULTS)


def studies_uri(storage: str = "") -> str:
    """Address of the studies: ``storage``, ``FUNDUS_STUDIES_URI`` or ``optuna.db`` in this folder.

    The first of them that is given.
    """
    return absolute(storage or os.environ.get(STUDIES_VARIABLE) or DEFAULT_STUDIES)


def absolute(uri: str) -> str:
    """Anchor a relative SQLite path here, so that a later change of folder means the same file."""
    url = _database_url(uri)
    if url is None or url.get_backend_name() != "sqlite" or url.database in {None, ":memory:"}:
        return uri
    path = str(Path(str(url.database)).absolute())
    return url.set(database=path).render_as_string(hide_password=False)


def initialise_tracking() -> MlflowClient:
    """Point MLflow at the tracking store and create its tables if they are missing.

    Any number of processes may call this at the same moment on an empty store: one creates it, the
    others wait.

    Returns:
        A client of the store.

    Raises:
        TrackingError: The store is of a kind MLflow refuses, cannot be opened, or does not answer
            within ten seconds.
    """
    uri = tracking_uri()
    # A progress bar for every picture fetched would drown the bars of the work itself.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # What it says of a database in a page of traceback is told here in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if uri not in _initialised:
        check_answers(uri, what="tracking store")
    try:
        initialise_database(uri, lambda: MlflowClient(uri).search_experiments(max_results=1))
    except (MlflowException, SQLAlchemyError) as error:
        raise TrackingError(
            f"tracking store is {shown(uri)!r}; "
            f"{refusal_of(error) or f'MLflow cannot open it: {first_line(error)}'}"
        ) from error
    return MlflowClient(uri)


def open_tracking() -> MlflowClient:
    """Open the tracking store to read from it; nothing is created.

    Raises:
        TrackingError: It is a SQLite file that is not there, or as :func:`initialise_tracking`.
    """
    refuse_missing(tracking_uri(), what="MLflow store", variable=TRACKING_VARIABLE)
    return initialise_tracking()


def refuse_missing(uri: str, *, what: str, variable: str) -> None:
    """Refuse to read from a SQLite file that is not there, which opening it would create.

    Raises:
        TrackingError: There is none.
    """
    if is_missing(uri):
        raise TrackingError(
            f"no {what} at {uri.removeprefix('sqlite:///')}: work in the folder that has one, or "
            f"set {variable}"
        )


def is_missing(uri: str) -> bool:
    """Whether an address names a SQLite file that is not there, which opening would create."""
    url = _database_url(uri)
    if url is None or url.get_backend_name() != "sqlite" or url.database in {None, ":memory:"}:
        return False
    return not Path(str(url.database)).is_file()


def fetch(address: str) -> Path:
    """Turn an address into a file or folder to open, downloading it when it is not here.

    A copy stays for as long as :class:`tracking.downloads.Downloads` says: at most until this
    process ends.

    Args:
        address: ``runs:/RUN_ID/path``, ``models:/name/3/path``, any other MLflow understands, or a
            path.

    Raises:
        TrackingError: Nothing is there.
    """
    if not address:
        raise TrackingError("'': nothing to read there: an address or a path is needed")
    initialise_tracking()
    try:
        if Path(address).exists():
            return Path(address)
        if not _leads_out(address):
            return _downloads.get(address, of=tracking_uri())
    except (MlflowException, OSError) as error:
        raise TrackingError(f"{address}: nothing to read there: {first_line(error)}") from error
    raise TrackingError(f"{address}: nothing to read there: '..' leads out of the artifacts")


def initialise_database(uri: str, create: Callable[[], object]) -> None:
    """Call ``create`` once per process, while no other process does.

    Args:
        uri: Address of the database.
        create: Creates the tables that are missing; must accept that they already exist.

    Raises:
        TrackingError: As in :func:`exclusive`.
    """
    if uri not in _initialised:
        with exclusive(uri):
            create()
        _initialised.add(uri)


@contextmanager
def exclusive(uri: str) -> Iterator[None]:
    """Hold a database against other processes during the block.

    On PostgreSQL those of every machine are meant, else those of this one.

    Args:
        uri: SQLAlchemy address. Anything else (an MLflow server, say) looks after itself and is
            not held.

    Raises:
        TrackingError: The address cannot be read, or the folder of a SQLite file does not exist or
            cannot be written.
    """
    url = _database_url(uri)
    if url is None:
        yield
    elif url.get_backend_name() == "postgresql":
        with locked(uri, "stores"):
            yield
    else:
        with FileLock(_lock_file(url)):
            yield


def _leads_out(address: str) -> bool:
    return ".." in unquote(address).split("/")


def _database_url(uri: str) -> URL | None:
    if uri.split("://", 1)[0] in {"http", "https", "file", "databricks"} or "://" not in uri:
        return None
    try:
        return make_url(uri)
    except ArgumentError as error:
        raise TrackingError(
            f"database address is {uri!r}; must look like sqlite:///results.db or "
            "postgresql+psycopg://user@host/name"
        ) from error


def _lock_file(url: URL) -> Path:
    if url.get_backend_name() != "sqlite" or not url.database:
        name = hashlib.sha256(url.render_as_string(hide_password=True).encode()).hexdigest()[:16]
        return _SHARED / f"fundus-{name}.lock"
    path = Path(url.database)
    if not os.access(path.parent, os.W_OK):
        raise TrackingError(
            f"database folder is {str(path.parent)!r}; must exist and be writable "
            f"to hold {path.name}"
        )
    return path.with_name(path.name + ".lock")
