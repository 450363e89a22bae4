"""Faults of the surroundings, not of the code: full disks, read-only files, dead servers."""

import errno
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


def fault_of(error: BaseException) -> str | None:
    """Say in one line what outside the program stopped it.

    Returns:
        The line; None where it was something else, or the error speaks for itself.
    """
    if speaks_for_itself(error):
        return None
    for cause in _causes(error):
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


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ if cause.__suppress_context__ else cause.__context__
