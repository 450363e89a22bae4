"""Whether a store answers, asked with a deadline: the libraries behind it wait for minutes."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tracking.errors import TrackingError
from tracking.faults import first_line

DEADLINE = 8.0
"""Seconds a store has to answer."""
LOCKED = 5.0
"""Seconds a program may hold a SQLite file."""
_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
_SERVER_ERROR = 500


def check_answers(uri: str, *, what: str) -> None:
    """Refuse a store that does not answer, or a SQLite file that is no database.

    Args:
        uri: Address of an MLflow server or a database; others are not asked.
        what: The store in the user's words.

    Raises:
        TrackingError: It does not answer within ten seconds, is damaged, or is locked.
    """
    asks = _question(uri)
    if asks is None:
        return
    said: list[str] = []
    thread = Thread(target=lambda: said.append(asks()), daemon=True)
    thread.start()
    thread.join(DEADLINE)
    fault = said[0] if said else f"no answer within {DEADLINE:g} s"
    if fault:
        raise TrackingError(f"{what} is {shown(uri)!r}: {fault}")


def check_writable(uri: str, *, what: str) -> None:
    """Refuse a SQLite file that this process may read and not write.

    Raises:
        TrackingError: It cannot be written.
    """
    url = sqlite_url(uri)
    if url is None:
        return
    try:
        with closing(_opened(url)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise TrackingError(f"{what} is {shown(uri)!r}: cannot be written: {error}") from error


@contextmanager
def impatient(seconds: int = 5) -> Iterator[None]:
    """Let MLflow ask a server once and briefly during the block, instead of for minutes.

    Args:
        seconds: How long one answer may take.
    """
    before = {name: os.environ.get(name) for name in (_RETRIES, _TIMEOUT)}
    os.environ.update({_RETRIES: "0", _TIMEOUT: str(seconds)})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def sqlite_url(uri: str) -> URL | None:
    """Read the address of a SQLite file; None for every other address."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    return url if is_file else None


def shown(uri: str) -> str:
    """Write an address without its password."""
    try:
        return make_url(uri).render_as_string()
    except ArgumentError:
        return uri


def has_password(uri: str) -> bool:
    """Whether a database address holds a password."""
    try:
        return make_url(uri).password is not None
    except ArgumentError:
        return False


def _question(uri: str) -> Callable[[], str] | None:
    """Choose how to ask a store; what is returned returns a fault, or nothing."""
    if uri.startswith(("http://", "https://")):
        return lambda: _ask_server(uri)
    if url := sqlite_url(uri):
        return lambda: _ask_sqlite(url)
    if uri.startswith("postgresql"):
        return lambda: _ask_postgresql(uri)
    return None


def _ask_server(uri: str) -> str:
    try:
        answer = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(uri),  # type: ignore[no-untyped-call]
            "/health",
            "GET",
            max_retries=0,
            timeout=DEADLINE / 2,
            raise_on_status=False,
        )
    except MlflowException as error:
        return f"no MLflow server answers there: {_reason(error)}"
    failed = answer.status_code >= _SERVER_ERROR
    return f"the MLflow server answers with status {answer.status_code}" if failed else ""


def _ask_sqlite(url: URL) -> str:
    path = Path(str(url.database))
    if not path.exists():
        return ""
    try:
        with closing(_opened(url)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        return f"cannot be read: {error}"
    return ""


def _ask_postgresql(uri: str) -> str:
    try:
        engine = create_engine(
            uri, poolclass=NullPool, connect_args={"connect_timeout": int(DEADLINE / 2)}
        )
        engine.connect().close()
    except (SQLAlchemyError, ImportError) as error:
        return f"cannot be opened: {first_line(error)}"
    return ""


def _opened(url: URL) -> sqlite3.Connection:
    return sqlite3.connect(str(url.database), timeout=LOCKED, isolation_level=None)


def _reason(error: MlflowException) -> str:
    """Shorten what a HTTP library says to its last part, such as ``Connection refused``."""
    return first_line(error).rpartition("exception ")[2].rpartition(": ")[2].strip("'()\"> ")
