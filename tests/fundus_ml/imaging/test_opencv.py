"""A machine without OpenCV's system libraries gets a hint, any other failure stays itself."""

import subprocess
import sys

import pytest

import fundus_ml.imaging.opencv


def import_with(tmp_path, message):
    """Import our module in a process whose ``cv2`` fails with ``message``."""
    (tmp_path / "cv2.py").write_text(f"raise ImportError({message!r})\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fundus_ml.imaging.opencv"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    ).stderr.splitlines()[-1]


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0"])
def test_a_missing_system_library_ends_in_what_to_install(tmp_path, library):
    """The library's name and the package that brings it."""
    said = import_with(tmp_path, f"{library}: cannot open shared object file")
    assert said.startswith(f"ImportError: OpenCV cannot start: {library}: cannot open")
    assert "apt-get install libgl1" in said


def test_another_failure_is_not_dressed_up(tmp_path):
    """A broken wheel says what it says."""
    assert import_with(tmp_path, "numpy is too old") == "ImportError: numpy is too old"


def test_opencv_is_handed_on():
    """The module's one name."""
    assert fundus_ml.imaging.opencv.cv2.__name__ == "cv2"
