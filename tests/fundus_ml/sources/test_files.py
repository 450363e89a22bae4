"""Photographs as files: found below their root and nowhere else, and read once."""

import hashlib
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import Refused
from fundus_ml.imaging.decoding import decode_photograph
from fundus_ml.sources.files import (
    AMBIGUOUS,
    find_files,
    load_file,
    rejected_rows,
    without_suffix,
)
from fundus_ml.sources.listing import as_text
from tests.fundus_ml.sources.tiny_releases import drawn_jpeg, locked, place


def find(root, *names):
    """One photograph, as (reason, detail) or the path below the root."""
    (found,) = find_files(root, [names])
    if isinstance(found, Refused):
        return found.reason, found.detail
    return str(found.relative_to(root))


def test_a_file_is_decoded_from_the_bytes_its_fingerprint_is_of(tmp_path):
    """Pixels as the decoder gives them, sizes of the original, no regions."""
    place(tmp_path, "a.jpg")
    photograph = load_file({"path": str(tmp_path / "a.jpg"), "sex": "male"}, 0)
    decoded = decode_photograph(drawn_jpeg(), least_side=0)
    np.testing.assert_array_equal(photograph.image, decoded.image)
    assert (photograph.width, photograph.height) == (40, 30)
    assert photograph.image.shape == (30, 40, 3)
    assert photograph.sha256 == hashlib.sha256(drawn_jpeg()).hexdigest()
    assert photograph.regions is None


def test_least_side_reaches_the_decoder(tmp_path):
    """A reduced image still tells its original size."""
    place(tmp_path, "a.jpg")
    photograph = load_file({"path": tmp_path / "a.jpg"}, 15)
    assert photograph.image.shape == (15, 20, 3)
    assert (photograph.width, photograph.height) == (40, 30)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    """Gone since the table was read, or a folder."""
    with pytest.raises(Refused, match=r"unreadable: .*a\.jpg: No such file") as caught:
        load_file({"path": str(tmp_path / "a.jpg")}, 0)
    assert caught.value.reason == "unreadable"
    with pytest.raises(Refused, match=r"unreadable: .*: Is a directory"):
        load_file({"path": str(tmp_path)}, 0)


def test_a_file_that_is_no_photograph_is_refused(tmp_path):
    """With the decoder's own reason."""
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(Refused) as caught:
        load_file({"path": tmp_path / "a.jpg"}, 0)
    with pytest.raises(Refused) as expected:
        decode_photograph(b"no image", least_side=0)
    assert (caught.value.reason, caught.value.detail) == (
        expected.value.reason,
        expected.value.detail,
    )


def test_the_first_path_with_a_file_counts(tmp_path):
    """A folder of that name is no file."""
    place(tmp_path, "b/x.jpg", "c/x.jpg")
    (tmp_path / "a/x.jpg").mkdir(parents=True)
    assert find(tmp_path, "a/x.jpg", "b/x.jpg", "c/x.jpg") == "b/x.jpg"
    assert find(tmp_path, "a/x.jpg", "a/y.jpg") == ("file missing", "a/x.jpg")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "sub/../a.jpg",
        "..\\secret.jpg",
        "/etc/passwd",
        "C:\\a.jpg",
        "\\\\server\\share\\a.jpg",
    ],
)
def test_a_path_that_leaves_the_release_is_refused(tmp_path, name):
    """Whether or not something lies there, and on either kind of system."""
    root = tmp_path / "root"
    place(tmp_path, "secret.jpg", "root/a.jpg", "root/sub/b.jpg")
    assert find(root, name) == ("path leaves the release", name)


def test_links_may_stay_inside_and_not_lead_out(tmp_path):
    """Names of files and of folders, also when the root itself is reached through a link."""
    root = tmp_path / "root"
    place(tmp_path, "out/secret.jpg", "root/real/a.jpg")
    (root / "inside.jpg").symlink_to(root / "real/a.jpg")
    (root / "outside.jpg").symlink_to(tmp_path / "out/secret.jpg")
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    (root / "circle.jpg").symlink_to(root / "circle.jpg")
    (tmp_path / "alias").symlink_to(root)
    secret = tmp_path / "out/secret.jpg"
    for base in (root, tmp_path / "alias"):
        assert find(base, "inside.jpg") == "inside.jpg"
        assert find(base, "outside.jpg") == (
            "path leaves the release",
            f"outside.jpg is a link to {secret}",
        )
        assert find(base, "folder/secret.jpg")[0] == "path leaves the release"
        assert find(base, "dangling.jpg") == ("file missing", "dangling.jpg")
        assert find(base, "circle.jpg")[0] == "unreadable"


def test_names_no_file_can_have_are_no_accident(tmp_path):
    """Too long, a NUL inside, a file where a folder should be."""
    place(tmp_path, "a.jpg")
    assert find(tmp_path, "x" * 300)[0] == "file missing"
    assert find(tmp_path, "a\0.jpg")[0] == "file missing"
    assert find(tmp_path, "a.jpg/b.jpg")[0] == "file missing"
    assert find(tmp_path, ".")[0] == "file missing"


def test_a_locked_folder_hides_nothing_beside_it(tmp_path_factory):
    """A later path may still be the one."""
    root = tmp_path_factory.mktemp("open")
    for folder in (root, *root.parents[:2]):  # pytest keeps others out of its folders
        folder.chmod(0o755)
    place(root, "shut/a.jpg", "open/a.jpg")
    with locked(root / "shut"):
        assert find(root, "shut/a.jpg", "open/a.jpg") == "open/a.jpg"
        assert find(root, "shut/b.jpg", "open/b.jpg") == (
            "unreadable",
            "shut/b.jpg: Permission denied",
        )


def test_only_the_ending_of_an_image_is_cut_off():
    """And once."""
    cut = {
        "a.jpg": "a",
        "1.1.JPG": "1.1",
        "1.1": "1.1",
        "b.png.jpeg": "b.png",
        "sub.d/c.tiff": "sub.d/c",
        "d.v2": "d.v2",
        "e.WebP": "e",
        "f.jp2": "f",
        "g.J2K": "g",
        "h.dcm": "h",
        "i.jpg.dcm": "i.jpg",
        "1.2.840.10008.1": "1.2.840.10008.1",
        "dcm": "dcm",
    }
    assert list(without_suffix(pd.Series([*cut]))) == [*cut.values()]


def test_what_happened_to_the_samples_reaches_the_photograph(tmp_path):
    """As its remarks, and from there the flags of its eye."""
    deep = np.full((20, 30, 3), 4000, np.uint16)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    photograph = load_file({"path": tmp_path / "a.png"}, 0)
    assert photograph.remarks == ("scaled from 12 bits",)


def test_a_file_too_large_to_be_one_is_not_read(tmp_path):
    """A hole of two billion bytes takes no room on disk, and would in memory."""
    with (tmp_path / "a.tif").open("wb") as file:
        file.write(b"II*\0")
        file.truncate(2_000_000_000)
    with pytest.raises(Refused, match=r"a\.tif: 2,000,000,000 bytes, 1,000,000,000") as caught:
        load_file({"path": tmp_path / "a.tif"}, 0)
    assert caught.value.reason == "too large"


def test_a_pipe_in_place_of_the_file_is_not_waited_on(tmp_path):
    """Found as a file, and exchanged since."""
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(Refused, match=r"unreadable: .*a\.jpg: no regular file"):
        load_file({"path": tmp_path / "a.jpg"}, 0)


def read_often(path):
    """Read as often as it takes a writer to come between."""
    for _ in range(200):
        load_file({"path": path}, 0)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path):
    """A photograph that is still being copied."""
    path = tmp_path / "a.jpg"
    path.write_bytes(drawn_jpeg() + bytes(20_000_000))
    stop = threading.Event()

    def grow():
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.0001):
                file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises(Refused, match=r"changed while read: .* bytes at first, ") as caught:
            read_often(path)
    finally:
        stop.set()
        writer.join()
    assert caught.value.reason == "changed while read"


def test_rejected_rows_have_their_columns_also_when_there_are_none():
    """So that both can be joined and counted."""
    for refused in ([], [("a", "file missing", "a.jpg")]):
        table = rejected_rows(refused)
        assert list(table) == ["image_id", "reason", "detail"]
        assert len(table) == len(refused)
        assert all(kind == "str" for kind in table.dtypes)


def test_found_files_are_where_the_root_was_said_to_be(tmp_path):
    """Not where links lead to, so that details stay readable."""
    place(tmp_path, "root/a.jpg")
    (tmp_path / "alias").symlink_to(tmp_path / "root")
    (found,) = find_files(tmp_path / "alias", [["a.jpg"]])
    assert found == Path(tmp_path / "alias/a.jpg")


@pytest.mark.parametrize(
    ("lies", "named"),
    [
        ("img1.jpg", "IMG1.JPG"),
        ("IMG1.JPG", "img1.jpg"),
        ("Images/Left/a.jpg", "images/left/A.jpg"),
        ("a.jpg", "a.jpeg"),
        ("a.JPEG", "A.jpg"),
        ("a.tif", "a.TIFF"),
        ("a.JPG", "a"),
        ("1.1.png", "1.1"),
        ("sub/deep/a.jpg", "sub\\deep\\a.jpg"),
        ("Sub/a.jpg", "sub\\A.JPG"),
        ("Jose\u0301.jpg", "Jos\xe9.jpg"),
        ("Jos\xe9.jpg", "Jose\u0301.jpg"),
        ("a\u0308/b.jpg", "\xc4/B.jpg"),
    ],
)
def test_a_file_is_found_under_the_spellings_that_people_and_systems_make(tmp_path, lies, named):
    place(tmp_path, lies, "other.jpg", "a2.jpg")
    assert find(tmp_path, named) == lies
    assert find(tmp_path, "gone/" + named, named) == lies


@pytest.mark.parametrize(
    ("files", "named", "found"),
    [
        (("a.jpg", "A.jpg"), "a.JPG", (AMBIGUOUS, "a.JPG: 'A.jpg', 'a.jpg' can be meant")),
        (("x/a.jpg", "X/a.jpg"), "x/A.jpg", (AMBIGUOUS, "x/A.jpg: 'a.jpg', 'a.jpg' can be meant")),
        (("a.jpg", "a.png"), "a", (AMBIGUOUS, "a: 'a.jpg', 'a.png' can be meant")),
        (("a.jpg", "A.jpg"), "a.jpg", "a.jpg"),
        (("a.jpg", "a.jpeg"), "A.jpeg", "a.jpeg"),
        (("a.jpg", "a.png"), "A.PNG", "a.png"),
        (("a.png",), "a.jpg", ("file missing", "a.jpg")),
        (("a.txt", "a.jpg.bak"), "a.jpg", ("file missing", "a.jpg")),
        (("a.txt",), "a", ("file missing", "a")),
        (("ab.jpg",), "a", ("file missing", "a")),
    ],
)  # fmt: skip
def test_what_can_mean_two_files_is_refused_by_their_names(tmp_path, files, named, found):
    """A mask beside the photograph, ``a.png``, is no other spelling of ``a.jpg``."""
    place(tmp_path, *files)
    assert find(tmp_path, named) == found


def test_no_file_is_the_photograph_of_two_rows(tmp_path):
    """One that a row names exactly is never another row's; two rows that may mean one have none."""
    place(tmp_path, "a.jpg", "b.jpg")
    found = find_files(tmp_path, [["A.JPG"], ["a.jpg"], ["B.jpg"], ["b.JPG"], ["b"]])
    said = [
        (file.reason, file.detail) if isinstance(file, Refused) else file.name for file in found
    ]
    clash = (AMBIGUOUS, "'B.jpg', 'b', 'b.JPG' can mean one file")
    assert said == [("file missing", "A.JPG"), "a.jpg", clash, clash, clash]


def test_links_may_not_lead_out_under_another_spelling_either(tmp_path):
    place(tmp_path, "out/secret.jpg", "root/a.jpg")
    (tmp_path / "root/Link.jpg").symlink_to(tmp_path / "out/secret.jpg")
    (tmp_path / "root/Folder").symlink_to(tmp_path / "out")
    for name in ("link.jpg", "folder/SECRET.jpg"):
        assert find(tmp_path / "root", name)[0] == "path leaves the release"


def test_names_that_are_no_utf_8_are_found_and_load(tmp_path):
    """As archives from older systems leave them: Latin-1 bytes for ``é``."""
    path = os.fsencode(tmp_path) + b"/Jos\xe9.jpg"
    with open(path, "wb") as file:  # noqa: PTH123 (a name in bytes)
        file.write(drawn_jpeg())
    (found,) = find_files(tmp_path, [["jos\xe9.JPG"]])
    assert os.fsencode(found) == path
    assert load_file({"path": as_text(found)}, 0).width == 40
    with pytest.raises(Refused, match=r"unreadable: .*/Jos\N{REPLACEMENT CHARACTER}\.png: No such"):
        load_file({"path": as_text(found).replace(".jpg", ".png")}, 0)


def test_each_folder_is_listed_once_and_no_file_asked_for_by_itself(tmp_path, monkeypatch):
    """What makes thousands of files quick, whatever the spelling."""
    names = [f"{folder}/{n}.JPG" for folder in ("a", "b") for n in range(50)]
    place(tmp_path, *names)
    listed, asked = [], []
    scan, stat = os.scandir, os.stat
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: listed.append(path) or scan(path))
        patch.setattr(os, "stat", lambda path, **more: asked.append(path) or stat(path, **more))
        found = find_files(tmp_path, [[f"x/{name.lower()}", name.lower()] for name in names])
    assert [str(file.relative_to(tmp_path)) for file in found] == names
    assert len(listed) == 3
    assert asked == []
