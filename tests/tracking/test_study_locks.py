import pytest

from tracking.errors import TrackingError
from tracking.study_locks import locked


def test_a_lock_has_one_holder(tmp_path):
    uri = f"sqlite:///{tmp_path / 'optuna.db'}"
    with locked(uri, "one") as held:
        assert held
        with locked(uri, "one", wait=False) as second:
            assert not second
        with locked(uri, "two", wait=False) as other:
            assert other
    with locked(uri, "one", wait=False) as again:
        assert again


def test_another_database_is_refused():
    with (
        pytest.raises(TrackingError, match=r"storage=mysql://me:\*\*\*@host/n: must be sqlite:"),
        locked("mysql://me:secret@host/n", "one"),
    ):
        pass


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with (
        pytest.raises(TrackingError, match=r"storage=sqlite:.*: its folder must exist"),
        locked(f"sqlite:///{tmp_path / 'file' / 'optuna.db'}", "one"),
    ):
        pass
