"""Places that a user may not name, whatever lies there."""

from pathlib import Path

import pytest

from experiments.running.places import out_place, place, refuse_inside, refuse_overlap
from fundus_ml.errors import InputError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Work two folders below a home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home" / "work" / "here")
    return tmp_path / "home"


@pytest.mark.parametrize("given", ["new", "a/b", "../beside", "~/data", "~/work/odir", ".hidden"])
def test_a_place_of_its_own(home, given):
    assert out_place(given) == Path(given.replace("~", str(home)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/", "is your home or lies around it"),
        ("~", "is your home or lies around it"),
        ("~/", "is your home or lies around it"),
        ("~/..", "is your home or lies around it"),
        (".", "is the working folder or lies around it"),
        ("./", "is the working folder or lies around it"),
        ("new/..", "is the working folder or lies around it"),
        ("..", "is the working folder or lies around it"),
        ("link", "is the working folder or lies around it"),
        ("", "must name a folder"),
        (" ", "must name a folder"),
        ("~nobody-at-all/data", "no such home is known; write the whole path"),
    ],
)
def test_a_place_that_is_everybodys(home, given, said):
    (home / "work" / "here" / "link").symlink_to(home / "work")
    with pytest.raises(InputError) as caught:
        place("checkpoints", given)
    assert str(caught.value).startswith(f"checkpoints={given}: {said}")


@pytest.mark.parametrize("given", ["a,b", "data,", " data", "data ", "a,b/dataset"])
def test_out_must_be_a_dataset_that_can_be_named_again(given):
    with pytest.raises(InputError, match="must hold no comma and end in no space"):
        out_place(given)


@pytest.mark.parametrize("out", ["root", "root/", "root/out", "root/a/b", ".", "link", "link/new"])
def test_what_is_read_is_not_written_into(tmp_path, out):
    """Equal, inside or around; through links and with dots too."""
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    for root in ("root", "root/../root", "link"):
        with pytest.raises(InputError, match=r"^out=.*lies around root=.*name a folder apart"):
            refuse_overlap("out", tmp_path / out, "root", str(tmp_path / root))


@pytest.mark.parametrize("out", ["rooted", "roo", "beside/root"])
def test_a_place_beside_what_is_read(tmp_path, out):
    (tmp_path / "root").mkdir()
    refuse_overlap("out", tmp_path / out, "root", str(tmp_path / "root"))
    refuse_overlap("out", tmp_path / out, "root", "")


def test_nothing_is_kept_inside_a_dataset(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    for inside in ("data", "data/kept", "link/kept"):
        with pytest.raises(InputError, match=r"^kept=.*: lies in the dataset folder .*data"):
            refuse_inside("kept", tmp_path / inside, [tmp_path / "other", tmp_path / "data"])
    refuse_inside("kept", tmp_path / "kept", [tmp_path / "data"])
