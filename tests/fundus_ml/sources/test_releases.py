"""One door to every release, by name."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.releases import SOURCES, read_release
from fundus_ml.synthesis.population import Population


def read(source, root="", **changes):
    """Read with what the entry point would pass."""
    settings = {
        "table": "labels.csv",
        "name": "folder",
        "healthy_only": True,
        "population": Population(patients=3),
    }
    return read_release(source, str(root), **settings | changes)


def test_every_source_is_reached_by_its_name(tmp_path):
    """The name is the release's own."""
    (tmp_path / "mine.csv").write_text("file,patient_id,sex\na.jpg,1,f\n")
    (tmp_path / "full_df.csv").write_text(
        "ID,Patient Age,Patient Sex,Left-Diagnostic Keywords,Right-Diagnostic Keywords,filename\n"
        "1,50,Male,cataract,cataract,1_left.jpg\n"
    )
    (tmp_path / "1_left.jpg").touch()
    for source in SOURCES:
        assert read(source, tmp_path, table="mine.csv").name == source
    mine = read("folder", tmp_path, table="mine.csv", name="clinic")
    assert mine.name == "clinic"
    assert mine.rejected["image_id"].str.startswith("clinic/").all()
    assert read("odir", tmp_path).table.empty
    assert len(read("odir", tmp_path, healthy_only=False).table) == 1


def test_an_unknown_source_or_a_missing_root_is_refused(tmp_path):
    """Synthetic eyes need no root, everything else does."""
    assert read("synthetic").table["patient_id"].nunique() == 3
    with pytest.raises(InputError, match="source=brset: allowed: synthetic, odir, folder"):
        read("brset", tmp_path)
    for root in ("", tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"root=.*: no such folder; source=odir reads"):
            read("odir", root)
