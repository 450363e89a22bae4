import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tracking import database
from tracking.database import session, upsert
from tracking.errors import TrackingError
from tracking.tables import SCHEMA_VERSION, RegionShare

ROW = {
    "run_id": "r1", "model_id": "m", "dataset_digest": "d", "image_id": "odir/0_left",
    "mode": "flip", "target": "male", "constraint": "l2", "eps": 0.5, "region": "", "seed": 0,
    "part": "disc", "energy_share": 0.4, "area_share": 0.1, "density": 4.0,
}  # fmt: skip
KEY = [name for name in ROW if name not in {"run_id", "energy_share", "area_share", "density"}]


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path / 'results.db'}"


def write(uri, *rows):
    with session(uri) as opened:
        upsert(opened, RegionShare, rows)


def read(uri):
    with session(uri) as opened:
        return [
            {name: getattr(row, name) for name in ROW}
            for row in opened.scalars(select(RegionShare))
        ]


def test_a_row_comes_back_as_it_was(uri):
    write(uri, ROW)
    assert read(uri) == [ROW]


def test_nothing_to_write_is_fine(uri):
    write(uri)
    assert read(uri) == []


def test_the_same_key_replaces(uri):
    again = ROW | {"run_id": "r2", "density": None}
    write(uri, ROW)
    write(uri, again)
    assert read(uri) == [again]
    write(uri, ROW, again | {"density": 9.0})
    assert read(uri) == [again | {"density": 9.0}]


@pytest.mark.parametrize("name", KEY)
def test_every_part_of_the_key_makes_another_row(uri, name):
    other = ROW | {name: 7 if isinstance(ROW[name], (int, float)) else "other"}
    write(uri, ROW, other)
    assert read(uri) == [ROW, other]


def test_what_raises_is_rolled_back_and_closed(uri):
    with pytest.raises(RuntimeError, match="stop"), session(uri) as opened:  # noqa: PT012
        upsert(opened, RegionShare, [ROW])
        raise RuntimeError("stop")
    assert read(uri) == []
    with pytest.raises(IntegrityError, match="NOT NULL"):
        write(uri, ROW, ROW | {"part": None})
    assert read(uri) == []


def test_a_database_of_another_layout_is_refused(uri, tmp_path):
    write(uri, ROW)
    for version in (SCHEMA_VERSION + 1, 0):
        with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
            connection.execute("update schema_version set version = ?", (version,))
            connection.commit()
        told = rf"has layout {version}, this code reads layout {SCHEMA_VERSION}; use"
        with pytest.raises(TrackingError, match=told) as error:
            read(uri)
        assert "\n" not in str(error.value)


def test_an_older_layout_gains_its_tables_and_keeps_its_rows(uri, tmp_path):
    write(uri, ROW)
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        connection.execute("drop table minimal_perturbations")
        connection.execute("drop table transfers")
        connection.execute("update schema_version set version = 1")
        connection.commit()
        assert read(uri) == [ROW]
        tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        assert {"minimal_perturbations", "transfers"} <= tables
        versions = connection.execute("select version from schema_version").fetchall()
    assert versions == [(SCHEMA_VERSION,)]


def test_an_interrupted_creation_is_completed(uri, monkeypatch):
    def stop(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(database, "insert", stop)
        with pytest.raises(OSError, match="disk full"):
            read(uri)
    assert read(uri) == []


def test_other_databases_are_refused():
    with pytest.raises(TrackingError, match="is 'mysql'; must be sqlite or postgresql"):
        read("mysql://u@h/fundus")


def test_a_missing_driver_is_named():
    with pytest.raises(TrackingError, match="needs the driver pg8000, which is not installed"):
        read("postgresql+pg8000://u@h/fundus")
