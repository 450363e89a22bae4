"""Faults of the surroundings, not of the code: full disks, read-only files, dead servers."""

import errno
import os
from collections.abc import Iterator

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

GO_ON = "then give the same command again"
_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
}
_TEXTS = {
    "No space left on device": "the disk is full",
    "database or disk is full": "the disk is full",
    "Disk quota exceeded": "the disk quota is used up",
    "Read-only file system": "the file system is read-only",
    "attempt to write a readonly database": "a database cannot be written",
    "database is locked": "a database is locked by another program",
    "unable to open database file": "a database cannot be opened",
    "disk I/O error": "a database cannot be read or written",
}
"""What libraries say in words of their own, where the error number is lost."""
_UNKNOWN_USER, _FORBIDDEN = 401, 403


def fault_of(error: BaseException) -> str | None:
    """Say in one line what outside the program stopped it.

    Returns:
        The line; None where it was something else, or the error speaks for itself.
    """
    if speaks_for_itself(error):
        return None
    return next(filter(None, map(_fault, _causes(error))), None)


def refusal_of(error: BaseException) -> str | None:
    """Say in one line, without a password, why a tracking server with users refuses; else None."""
    status = _status(error)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if status == _UNKNOWN_USER and not user:
        return (
            "the tracking server asks who you are: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if status == _UNKNOWN_USER:
        return f"the tracking server knows no user {user!r} with that MLFLOW_TRACKING_PASSWORD"
    if status == _FORBIDDEN:
        return (
            f"the tracking server does not let user {user!r} do that: ask its administrator for "
            "the permission, or name an experiment of your own in MLFLOW_EXPERIMENT_NAME"
        )
    return None


def is_forbidden(error: BaseException) -> bool:
    """Whether a tracking server knows the user and does not let them do that."""
    return _status(error) == _FORBIDDEN


def speaks_for_itself(error: BaseException) -> bool:
    """Whether it is a user's mistake: ``TrackingError``, ``InputError``, their like.

    They are kinds of ``ValueError`` of their own.
    """
    return isinstance(error, ValueError) and type(error) is not ValueError


def first_line(error: BaseException) -> str:
    """First line of what an error says, a database's own words instead of SQLAlchemy's."""
    own = error.orig if isinstance(error, DatabaseError) else error
    lines = str(own).strip().splitlines()
    return lines[0] if lines else type(own).__name__


def _fault(cause: BaseException) -> str | None:
    if refusal := refusal_of(cause):
        return f"{refusal}; {GO_ON}"
    if isinstance(cause, OSError) and cause.errno in _DISK:
        place = f" ({cause.filename})" if cause.filename else ""
        return f"{_DISK[cause.errno]}{place}; mend that, {GO_ON}"
    if isinstance(cause, (requests.ConnectionError, requests.Timeout)):
        return f"the tracking server does not answer any more; start it, {GO_ON}"
    text = str(cause)
    for sign, meaning in _TEXTS.items():
        if sign in text and not isinstance(cause, (IntegrityError, ProgrammingError)):
            return f"{meaning}; mend that, {GO_ON}"
    if isinstance(cause, MlflowException) and "must be in the 'active' state" in text:
        return f"{first_line(cause)}; restore it, {GO_ON}"
    return None


def _status(error: BaseException) -> int | None:
    """Read the status of a server's answer; None where it was none of MLflow's server."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ if cause.__suppress_context__ else cause.__context__
