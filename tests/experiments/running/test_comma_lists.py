"""Lists with commas between their names."""

import pytest

from experiments.running import comma_list
from fundus_ml.errors import InputError


@pytest.mark.parametrize(
    ("text", "names"),
    [("a", ["a"]), (" a , b ", ["a", "b"]), ("a,,b,", ["a", "b"]), ("", []), (" , ", [])],
)
def test_spaces_and_empty_names_do_not_count(text, names):
    assert comma_list(text) == names


def test_a_flag_that_needs_a_name_says_so():
    assert comma_list("a,", flag="model") == ["a"]
    with pytest.raises(InputError, match=r"^model= , : names nothing$"):
        comma_list(" , ", flag="model")
