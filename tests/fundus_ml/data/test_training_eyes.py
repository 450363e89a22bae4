"""The table of the eyes a network learned from: which, written and read back."""

import pandas as pd
import pytest

from fundus_ml.data.training_eyes import (
    TRAINING_EYES_COLUMNS,
    read_training_eyes,
    training_eyes,
    write_training_eyes,
)
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_eyes import make_manifest


def test_those_learned_from_and_chosen_by_are_kept_and_no_test_eye(tmp_path):
    frame = make_manifest(7)  # by person: val, test, train, train
    eyes = training_eyes(frame)
    assert list(eyes["image_id"]) == ["tiny/0", "tiny/1", "tiny/4", "tiny/5", "tiny/6"]
    assert list(eyes["split"]) == ["val"] * 2 + ["train"] * 3
    assert tuple(eyes) == TRAINING_EYES_COLUMNS
    write_training_eyes(eyes, tmp_path / "eyes.parquet")
    pd.testing.assert_frame_equal(read_training_eyes(tmp_path / "eyes.parquet"), eyes)


def test_what_is_no_such_table_is_refused(tmp_path):
    file = tmp_path / "eyes.parquet"
    file.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"^eyes.parquet: not a table of eyes: ") as refusal:
        read_training_eyes(file)
    assert "\n" not in str(refusal.value)
    make_manifest(3).drop(columns="sha256").to_parquet(file)
    with pytest.raises(InputError, match=r"^eyes.parquet: lacks the column sha256$"):
        read_training_eyes(file)
