"""Numbers as text: what is read, what is refused without being built, how names are written."""

import math

import pytest

from fundus_ml.errors import LARGEST_SEED, InputError, check_seed
from fundus_ml.statistics.numerals import RangeError, plain, read_number, read_whole, shortened


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("+2", 2.0),
        ("-2", -2.0),
        ("1e-3", 0.001),
        ("1E+3", 1000.0),
        ("4/255", 4 / 255),
        ("-1/2", -0.5),
        ("0/7", 0.0),
        (" 1 ", 1.0),
        ("1e12", 1e12),
        ("1e-12", 1e-12),
        ("0.1234567890123456789012345", 0.1234567890123456789012345),
        ("0e999", 0.0),
        ("007", 7.0),
    ],
)
def test_a_plain_number_is_read(text, value):
    assert read_number(text) == value


@pytest.mark.parametrize("text", ["-0", "-0.0", "-0e5", "-0/3"])
def test_there_is_one_zero(text):
    assert math.copysign(1, read_number(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "1e400", "1e999", "-1e400", "1e13", "9" * 41, "1" + "0" * 5000, "1e-13", "1e-400",
        "0." + "0" * 30 + "1", "1/10000000000000", "10000000000000/1",
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_refused(text):
    with pytest.raises(RangeError, match="must be 0, or from 1e-12 to 1e12 in size"):
        read_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "1e999999999", "1e1000", "-1e999999999", "nan", "inf", "-inf", ".inf", "Infinity", "1/0",
        "0/0", "1/-2", "1.5/2", "1/2/3", "0x10", "0b1", "0o7", "1_000", "1:30", "١٢", "½", "\uff11",
        "1,5", "1 000", "", " ", ".", "e5", "1e", "--1", "true", "None", "9" * 50 + "/3",
    ],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused_at_once(text):
    with pytest.raises(ValueError, match="no number") as caught:
        read_number(text)
    assert not isinstance(caught.value, RangeError)


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), ("-3", -3), ("+4", 4), ("010", 10), (str(2**32 - 1), 2**32 - 1)]
)
def test_a_whole_number_is_read(text, value):
    assert read_whole(text) == value


@pytest.mark.parametrize("text", [str(2**32), str(10**30), "-" + "9" * 30, "1" * 5000])
def test_a_whole_number_out_of_range_is_refused(text):
    with pytest.raises(RangeError, match="must be from -4294967295 to 4294967295"):
        read_whole(text)


@pytest.mark.parametrize(
    "text", ["1e3", "1.0", "0x10", "0b11", "1_000", "1:30", "١٢", "nan", "", "10**30", "1 2"]
)
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ValueError, match="no whole number") as caught:
        read_whole(text)
    assert not isinstance(caught.value, RangeError)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0.25, "0.25"), (0.5, "0.5"), (1, "1"), (16.0, "16"), (4 / 255, "0.0156863"),
        (100_000, "100000"), (1e6, "1000000"), (1e9, "1000000000"), (1234567, "1234570"),
        (1e12, "1000000000000"), (1e-5, "0.00001"), (1.5e-7, "0.00000015"), (12.5, "12.5"),
        (0.0, "0"), (1e-12, "0.000000000001"),
    ],
)  # fmt: skip
def test_a_name_has_no_exponent(number, name):
    assert plain(number) == name
    assert float(name) == pytest.approx(number, rel=1e-5)


@pytest.mark.parametrize("number", [0.0001, 0.02, 1 / 3, 2 / 255, 0.75, 3, 10, 42.125, 999_999])
def test_names_that_were_plain_stay_what_they_were(number):
    assert plain(number) == f"{number:g}"


def test_a_text_that_would_fill_the_screen_is_cut():
    assert shortened("1" * 40) == "1" * 40
    assert shortened("1" * 41) == "1" * 40 + "…"


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 10**30])
def test_a_seed_has_one_range(seed):
    check_seed(0)
    check_seed(LARGEST_SEED)
    with pytest.raises(InputError, match=f"^seed={seed}: must be from 0 to 4294967295$"):
        check_seed(seed)
