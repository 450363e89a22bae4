"""Keyed hashes in place of ids: the same for one salt, and no original left anywhere."""

import hashlib
import hmac
import pickle

import pytest

from fundus_ml.errors import InputError, Refused
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.pseudonyms import pseudonym, pseudonymised, read_salt
from tests.fundus_ml.sources.tiny_releases import place

SALT = b"0123456789abcdef"
HEADER = "filename,patient_id,sex,age,disease_amd,treated,mrn,rare"
ROWS = (
    "Meier_L.jpg,Meier.0,f,61,0,no,77001,a",
    "Meier_R.jpg,Meier.0,f,61,1,no,77001,a",
    "Huber_R.jpg,Huber,m,40,0,yes,77002,a",
    "Wolf.JPG,Wolf,m,50,0,yes,77003,a",
    "Adler.jpg,Adler,f,50,0,no,77004,b",
    "gone_Kohl.jpg,Kohl,f,50,0,no,77005,a",
    "Stern.jpg,Stern,,50,0,no,77006,a",
    "Lang_1.jpg,Lang,f,50,0,no,77007,a",
    "Lang_2.jpg,Lang,m,50,0,no,77007,a",
)
NAMES = ("Meier", "Huber", "Wolf", "Adler", "Kohl", "Stern", "Lang", "7700")


@pytest.fixture
def root(tmp_path):
    place(
        tmp_path, "Meier_L.jpg", "Meier_R.jpg", "Huber_R.jpg", "Wolf.jpg", "Adler.jpg", "Stern.jpg",
        "Lang_1.jpg", "Lang_2.jpg",
    )  # fmt: skip
    (tmp_path / "labels.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return tmp_path


def test_a_hash_is_hmac_sha256_of_the_id_without_its_release():
    expected = hmac.new(SALT, b"patient\x007", hashlib.sha256).hexdigest()[:16]
    assert pseudonym("patient", "clinic/7", SALT) == f"clinic/{expected}"
    assert pseudonym("image", "clinic/7", SALT) != f"clinic/{expected}"
    assert pseudonym("patient", "clinic/7", SALT + b"x") != f"clinic/{expected}"
    assert pseudonym("image", "c/sub/a", SALT) != pseudonym("image", "c/a", SALT)


def test_no_original_is_left_but_the_way_to_the_file(root):
    plain = folder_photographs(root, name="clinic")
    hashed = pseudonymised(plain, SALT)
    assert any("Meier" in line for line in plain.assumed)
    text = "\n".join(
        [
            hashed.table.drop(columns="path").to_csv(),
            hashed.rejected.to_csv(),
            *hashed.assumed,
            hashed.advice,
        ]
    )
    assert [name for name in NAMES if name in text] == []
    assert set(hashed.rejected["reason"]) == {"file missing", "no sex", "sex disagrees"}
    assert hashed.assumed[-1] == "hash_ids leaves out what may name people: columns mrn, rare"


def test_people_stay_people_and_questions_stay(root):
    plain = folder_photographs(root, name="clinic")
    hashed = pseudonymised(plain, SALT)
    for column in ("patient_id", "image_id"):
        pairs = set(zip(plain.table[column], hashed.table[column], strict=True))
        assert len(pairs) == plain.table[column].nunique() == hashed.table[column].nunique()
    same = [name for name in hashed.table if not name.endswith("_id")]
    assert {"disease_amd", "treated", "path", "age", "eye"} <= set(same)
    assert hashed.table[same].equals(plain.table[same])
    again = pseudonymised(folder_photographs(root, name="clinic"), SALT)
    assert again.table.equals(hashed.table)


def test_a_photograph_that_cannot_be_read_is_named_by_its_hash(root):
    """Also where the loader goes to another process."""
    hashed = pseudonymised(folder_photographs(root, name="clinic"), SALT)
    load = pickle.loads(pickle.dumps(hashed.load))  # noqa: S301 (ours)
    row = hashed.table.to_dict("records")[0]
    assert load(row, 0).image.shape == (30, 40, 3)
    (root / "Meier_L.jpg").unlink()
    with pytest.raises(Refused) as caught:
        load(row, 0)
    assert str(caught.value) == f"unreadable: {row['image_id']}: No such file or directory"


def test_a_salt_is_read_without_its_line_end_and_a_short_one_refused(tmp_path):
    file = tmp_path / "salt"
    file.write_bytes(SALT + b"\r\n")
    assert read_salt(file) == SALT
    file.write_bytes(b"short secret\n")
    with pytest.raises(InputError, match="holds 12 bytes; at least 16") as caught:
        read_salt(file)
    assert "short secret" not in str(caught.value)
    for missing in (tmp_path / "my-secret-itself", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(InputError, match="hash_ids: cannot be read; name the file") as caught:
            read_salt(missing)
        assert "secret" not in str(caught.value)
