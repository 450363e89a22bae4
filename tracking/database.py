"""The way into the results database: one session, one kind of write."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, Table, UniqueConstraint, create_engine, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from tracking.errors import TrackingError
from tracking.faults import first_line
from tracking.reachable import check_answers, check_writable, shown
from tracking.stores import exclusive, results_uri
from tracking.tables import REVISION, Base

_BEFORE_TODAY = (None, "1", "2", "0002", "0003", "0004", "0005")
"""Layouts that become today's: none, those of releases without Alembic, earlier revisions."""
SECONDS_TO_WAIT = 60  # for another process that is writing to the same SQLite file


@contextmanager
def session(uri: str | None = None) -> Iterator[Session]:
    """Open the results database for one piece of work.

    A new database gets its tables, and one of an earlier layout becomes today's, in the steps of
    :mod:`tracking.migrations`. What the block wrote is committed when it ends, and rolled back when
    it raises; nothing stays open either way.

    Args:
        uri: SQLAlchemy address; that of :func:`tracking.stores.results_uri` when omitted.

    Yields:
        The session.

    Raises:
        TrackingError: Neither SQLite nor PostgreSQL, its driver is missing, it was written by
            another version of this code, or it cannot be read or written.
    """
    address = uri or results_uri()
    engine = _engine(address)
    try:
        _ensure_schema(engine, address)
        with Session(engine) as opened, opened.begin():
            yield opened
    except DatabaseError as error:
        # Of its kinds these two mean the database; the others, what was asked of it.
        if type(error) not in {DatabaseError, OperationalError}:
            raise
        raise TrackingError(
            f"results database is {shown(address)!r}: cannot be used: {first_line(error)}"
        ) from error
    finally:
        engine.dispose()


def check_results() -> None:
    """Refuse a results database that could not be written, and leave it as it is.

    Raises:
        TrackingError: As in :func:`session`, or it is locked by another program.
    """
    address = results_uri()
    check_answers(address, what="results database")
    check_writable(address, what="results database")
    with session(address) as opened:
        opened.execute(text("UPDATE alembic_version SET version_num = version_num"))
        opened.rollback()


def upsert(opened: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``rows``, each in place of the one that has the same natural key.

    Args:
        opened: An open session.
        table: A table with exactly one unique constraint, its natural key.
        rows: A value for every column but ``id``; the last of two with one key stays.
    """
    if not rows:
        return
    target = table.__table__
    assert isinstance(target, Table)
    (key,) = (rule for rule in target.constraints if isinstance(rule, UniqueConstraint))
    names = [column.name for column in key.columns]
    dialect = postgresql if opened.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    replaced = {
        column.name: statement.excluded[column.name]
        for column in target.columns
        if column.name not in {"id", *names}
    }
    opened.execute(
        statement.on_conflict_do_update(index_elements=names, set_=replaced),
        [dict(row) for row in rows],
    )


def _engine(uri: str) -> Engine:
    if uri.startswith("sqlite"):
        # Without a pool no connection outlives its session, so a file is never left open.
        return create_engine(uri, poolclass=NullPool, connect_args={"timeout": SECONDS_TO_WAIT})
    if uri.startswith("postgresql"):
        try:
            return create_engine(uri, poolclass=NullPool)
        except ModuleNotFoundError as error:
            raise TrackingError(
                f"results database needs the driver {error.name}, which is not installed; "
                "install psycopg and write postgresql+psycopg://…"
            ) from error
    raise TrackingError(
        f"results database is {uri.split('://', maxsplit=1)[0]!r}; must be sqlite or postgresql"
    )


def _ensure_schema(engine: Engine, uri: str) -> None:
    found = _layout(engine)
    if found in _BEFORE_TODAY:
        with exclusive(uri):
            if _layout(engine) in _BEFORE_TODAY:  # not by another process meanwhile
                _upgrade(engine)
        found = _layout(engine)
    if found != REVISION:
        newer = str(found).isdecimal() and int(str(found)) > int(REVISION)
        way = "run `git pull && make test`" if newer else "use the release that wrote it"
        raise TrackingError(
            f"results database {engine.url.render_as_string()} has layout {found}, this code "
            f"reads layout {REVISION}; {way}, or name another FUNDUS_RESULTS_URI"
        )


def _layout(engine: Engine) -> str | None:
    """Read the revision of a database, or what releases without Alembic wrote in its place."""
    inspector = inspect(engine)
    for table, column in (("alembic_version", "version_num"), ("schema_version", "version")):
        if inspector.has_table(table):
            with engine.connect() as connection:
                said = connection.scalar(text(f"SELECT {column} FROM {table}"))  # noqa: S608
            if said is not None:
                return str(said)
    return None


def _upgrade(engine: Engine) -> None:
    """Take every step that is missing; one that was interrupted is completed."""
    from alembic import command  # noqa: PLC0415 (only where there is a step to take)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
