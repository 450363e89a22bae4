"""What every test shares.

Migrations of MLflow and Optuna are loaded and statements compiled once, not for every store, and
their SQLite files do not wait for the disk. What imports and collection leave on the heap stays to
the end: the garbage collector never walks it.
"""

import gc
import os
import sqlite3
import tempfile
from contextlib import suppress
from functools import cache

import pytest
from alembic.util import pyfiles
from sqlalchemy import Engine, event, util
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

load = pyfiles.load_module_py
load_once = cache(load)


def load_module(module_id, path):
    """Load a migration once; ``env.py`` is the script that runs them, each time anew."""
    return load(module_id, path) if module_id.startswith("env") else load_once(module_id, path)


pyfiles.load_module_py = load_module


@event.listens_for(Engine, "connect")
def wait_for_no_disk(connection, _record):
    """Leave it to the system when a commit reaches the disk: no test cuts the power."""
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):  # a damaged file, which a test means to open
            connection.execute("PRAGMA synchronous = OFF")


# Every store has a dialect of its own, by which SQLAlchemy keeps what it compiled; all are alike.
SQLiteDialect_pysqlite.__hash__ = lambda dialect: hash(type(dialect))
SQLiteDialect_pysqlite.__eq__ = lambda dialect, other: type(dialect) is type(other)
COMPILED = util.LRUCache(1000)


@event.listens_for(Engine, "engine_connect")
def compile_once(connection):
    """Take the statements that another store's engine compiled."""
    if isinstance(connection.dialect, SQLiteDialect_pysqlite):
        connection.execution_options(compiled_cache=COMPILED)


# A thread for each of hundreds of runs; the test of it switches it on.
os.environ.setdefault("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
gc.disable()


def pytest_collection_finish():
    """Count the garbage of the tests alone."""
    gc.freeze()
    gc.set_threshold(7_000, 10, 100)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def temporary_files_go_with_the_tests(tmp_path_factory):
    """Have killed processes leave their files where pytest deletes those of earlier sessions."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
