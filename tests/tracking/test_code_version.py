import shutil
import subprocess

import pytest

from tracking.code_version import code_version


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    answer = subprocess.run(
        [shutil.which("git"), "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return answer.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    return tmp_path


@pytest.fixture
def committed(checkout):
    git(checkout, "add", "code.py")
    git(checkout, "commit", "--quiet", "-m", "one")
    return checkout


def test_a_clean_checkout_is_its_commit(committed):
    assert code_version(committed) == git(committed, "rev-parse", "HEAD")


def test_a_changed_file_makes_it_dirty(committed):
    (committed / "code.py").write_text("2")
    assert code_version(committed) == git(committed, "rev-parse", "HEAD") + "-dirty"


def test_a_new_untracked_file_does_not(committed):
    (committed / "notes.txt").write_text("data")
    assert not code_version(committed).endswith("-dirty")


def test_it_is_unknown_before_the_first_commit(checkout):
    assert code_version(checkout) == "unknown"


def test_it_is_unknown_outside_a_checkout(tmp_path):
    assert code_version(tmp_path) == "unknown"


def test_it_is_unknown_inside_somebody_elses_repository(committed):
    (committed / "site-packages").mkdir()
    assert code_version(committed / "site-packages") == "unknown"


def test_it_is_unknown_without_git(committed, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert code_version(committed) == "unknown"
