"""One door to every release, by name."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.options import SOURCES
from fundus_ml.sources.releases import read_release
from fundus_ml.synthesis.options import Population
from tests.fundus_ml.sources.tiny_releases import (
    locked,
    odir_row,
    place,
    write_brset,
    write_mbrset,
    write_odir,
    write_papila,
)


def read(source, root="", **changes):
    """Read with what the entry point would pass."""
    settings = {
        "table": "labels.csv",
        "name": "folder",
        "healthy_only": True,
        "population": Population(patients=3),
    }
    return read_release(source, str(root), **settings | changes)


@pytest.fixture
def everything(tmp_path):
    """A release of each kind in one folder, with one eye each that is not healthy."""
    write_odir(tmp_path, odir_row(1, 50, "Male", "cataract", "cataract", "1_left.jpg"))
    write_brset(tmp_path, {"scar": "1"})
    write_mbrset(tmp_path, {"final_icdr": "2"})
    write_papila(tmp_path, [("#002", 47, 0, 1)], [("#002", 47, 0, 1)])
    (tmp_path / "mine.csv").write_text("file,patient_id,sex,healthy\na.jpg,1,f,no\n")
    place(tmp_path, "a.jpg")
    return tmp_path


def test_every_source_is_reached_by_its_name(everything):
    """The name is the release's own, and stands before every id."""
    assert SOURCES == ("synthetic", "odir", "brset", "mbrset", "papila", "folder")
    for source in SOURCES:
        release = read(source, everything, table="mine.csv", healthy_only=False)
        assert release.name == source
        assert release.table["source"].eq(source).all()
        for name in ("image_id", "patient_id"):
            assert release.table[name].str.startswith(f"{source}/").all()
        assert release.rejected.empty
    mine = read("folder", everything, table="mine.csv", name="clinic")
    assert mine.name == "clinic"
    assert list(mine.table["image_id"]) == ["clinic/a"]


def test_healthy_only_is_the_published_releases_choice(everything):
    """One's own folder keeps what its table lists."""
    kept = {source: len(read(source, everything, table="mine.csv").table) for source in SOURCES}
    assert {source for source, count in kept.items() if count} == {"synthetic", "folder"}


@pytest.mark.parametrize("source", SOURCES[1:])
def test_a_photograph_of_every_release_loads(everything, source):
    """Through the row that names it."""
    release = read(source, everything, table="mine.csv", healthy_only=False)
    assert release.load(release.table.to_dict("records")[0], 0).image.shape == (30, 40, 3)


def test_an_unknown_source_or_a_missing_root_is_refused(tmp_path):
    """Synthetic eyes need no root, everything else does."""
    assert read("synthetic").table["patient_id"].nunique() == 3
    allowed = "synthetic, odir, brset, mbrset, papila, folder"
    with pytest.raises(InputError, match=f"source=eyepacs: allowed: {allowed}"):
        read("eyepacs", tmp_path)
    for root in ("", tmp_path / "nowhere", "~no_such_user/data"):
        with pytest.raises(InputError, match=r"root=.*; source=odir reads its release from it"):
            read("odir", root)


@pytest.mark.parametrize("deeper", ["", "inner"])
def test_a_root_that_may_not_be_read_is_refused(tmp_path_factory, deeper):
    """Itself, or the folder it lies in."""
    base = tmp_path_factory.mktemp("open")
    for folder in (base, *base.parents[:2]):  # pytest keeps others out of its folders
        folder.chmod(0o755)
    root = base / "shut" / deeper
    root.mkdir(parents=True)
    with (
        locked(base / "shut"),
        pytest.raises(InputError, match="cannot be read: Permission denied"),
    ):
        read("odir", root)
