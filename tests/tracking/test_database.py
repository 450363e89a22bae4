import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import IntegrityError

from tracking import database
from tracking.database import session, upsert
from tracking.errors import TrackingError
from tracking.tables import REVISION, Base, RegionShare

ROW = {
    "run_id": "r1", "model_id": "m", "dataset_digest": "d", "image_id": "odir/0_left",
    "mode": "flip", "target": "male", "constraint": "l2", "eps": 0.5, "region": "", "seed": 0,
    "part": "disc", "energy_share": 0.4, "area_share": 0.1, "enrichment": 4.0,
    "baseline": "retina", "sham_energy_share": 0.1, "sham_area_share": None,
}  # fmt: skip
BEFORE_SHAMS = ROW | {"baseline": "square", "sham_energy_share": None}
KEY = list(ROW)[1:11]


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
    again = ROW | {"run_id": "r2", "enrichment": None}
    write(uri, ROW)
    write(uri, again)
    assert read(uri) == [again]
    write(uri, ROW, again | {"enrichment": 9.0})
    assert read(uri) == [again | {"enrichment": 9.0}]


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
    for version, way in (("9999", "run `git pull && make test`"), ("0", "use the release")):
        with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
            connection.execute("update alembic_version set version_num = ?", (version,))
            connection.commit()
        told = rf"has layout {version}, this code reads layout {REVISION}; {way}"
        with pytest.raises(TrackingError, match=told) as error:
            read(uri)
        assert "\n" not in str(error.value)


def lowered(path, layout):
    """Make a database of today one of layout 1 or 2, as releases without Alembic wrote them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "drop table minimal_perturbations; drop table transfers; drop table biomarkers;"
            "drop table explanation_scores; drop table alembic_version;"
            "alter table region_shares rename column enrichment to density;"
            "alter table region_shares drop column baseline;"
            "alter table region_shares drop column sham_energy_share;"
            "alter table region_shares drop column sham_area_share;"
            "create table schema_version (version integer primary key);"
        )
        connection.execute("insert into schema_version values (?)", (layout,))
        connection.commit()


@pytest.mark.parametrize("layout", [1, 2])
def test_an_earlier_layout_is_migrated_and_keeps_its_rows(uri, tmp_path, layout):
    write(uri, ROW)
    lowered(tmp_path / "results.db", layout)
    assert read(uri) == [BEFORE_SHAMS]
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        revisions = connection.execute("select version_num from alembic_version").fetchall()
    assert {"minimal_perturbations", "transfers", "biomarkers", "explanation_scores"} <= tables
    assert "schema_version" not in tables
    assert revisions == [(REVISION,)]


@pytest.mark.parametrize(
    ("layout", "missing"),
    [("0003", ("biomarkers", "explanation_scores")), ("0005", ("explanation_scores",))],
)
def test_a_database_before_a_table_is_migrated_and_keeps_its_rows(uri, tmp_path, layout, missing):
    write(uri, ROW)
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        connection.executescript("".join(f"drop table {name};" for name in missing))
        connection.execute("update alembic_version set version_num = ?", (layout,))
        connection.commit()
    assert read(uri) == [ROW]
    assert differences(uri) == []


@pytest.mark.parametrize("step", range(1, 23))
def test_an_interrupted_migration_is_completed(uri, tmp_path, monkeypatch, step):
    """SQLite commits each statement of a step by itself."""
    write(uri, ROW)
    lowered(tmp_path / "results.db", 1)
    done = []

    def stop(_connection, _cursor, statement, *_):
        if statement.split()[0] in {"CREATE", "DROP", "ALTER", "INSERT", "UPDATE"}:
            done.append(statement)
            if len(done) == step:
                raise OSError("disk full")

    with monkeypatch.context() as patch:
        made = database._engine

        def watched(address):
            engine = made(address)
            event.listen(engine, "before_cursor_execute", stop)
            return engine

        patch.setattr(database, "_engine", watched)
        with pytest.raises(OSError, match="disk full"):
            read(uri)
    assert len(done) == step
    assert read(uri) == [BEFORE_SHAMS]


def differences(address):
    """What a migrated database has otherwise than the tables of the code."""
    engine = create_engine(address)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
    engine.dispose()
    return found


def test_the_last_migration_makes_the_tables_of_the_code(uri):
    write(uri, ROW)
    assert differences(uri) == []
    scripts = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert scripts.get_current_head() == REVISION


@pytest.mark.slow
def test_postgresql_is_migrated_alike(postgresql):
    write(postgresql, ROW)
    assert read(postgresql) == [ROW]
    assert differences(postgresql) == []


def test_other_databases_are_refused():
    with pytest.raises(TrackingError, match="is 'mysql'; must be sqlite or postgresql"):
        read("mysql://u@h/fundus")


def test_a_missing_driver_is_named():
    with pytest.raises(TrackingError, match="needs the driver pg8000, which is not installed"):
        read("postgresql+pg8000://u@h/fundus")
