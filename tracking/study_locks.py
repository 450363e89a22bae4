"""One process at a time: what several workers of a study must not do at the same moment.

On SQLite a file beside the database is locked, on PostgreSQL an advisory lock is taken, which holds
between machines too. Both are let go of when their process ends, however it ends.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from tracking.errors import TrackingError

BACKENDS = ("sqlite", "postgresql")


@contextmanager
def locked(uri: str, name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock ``name`` of a database during the block.

    Args:
        uri: SQLAlchemy address of a SQLite file or a PostgreSQL database.
        name: Which lock; those of different names do not meet.
        wait: Until another holder lets go; else look once.

    Yields:
        Whether the lock is held; False only without ``wait``.

    Raises:
        TrackingError: The database is of another kind, or its folder cannot be written.
    """
    url = make_url(uri)
    if url.get_backend_name() == "postgresql":
        with _advisory(url, name, wait=wait) as held:
            yield held
    elif url.get_backend_name() == "sqlite" and url.database:
        with _beside(Path(url.database), name, wait=wait) as held:
            yield held
    else:
        raise TrackingError(
            f"storage={url.render_as_string()}: must be sqlite:///FILE or postgresql+psycopg://…"
        )


@contextmanager
def _advisory(url: URL, name: str, *, wait: bool) -> Iterator[bool]:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:  # closing it lets go
        if wait:
            connection.execute(select(func.pg_advisory_lock(key)))
            yield True
        else:
            yield bool(connection.scalar(select(func.pg_try_advisory_lock(key))))


@contextmanager
def _beside(database: Path, name: str, *, wait: bool) -> Iterator[bool]:
    if not os.access(database.parent, os.W_OK):
        raise TrackingError(f"storage=sqlite:///{database}: its folder must exist and be writable")
    short = hashlib.sha256(name.encode()).hexdigest()[:8]
    lock = FileLock(database.with_name(f"{database.name}.{short}.lock"), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
