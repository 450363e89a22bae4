"""What was made once is not made again, and what is half-written does not count."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.modulation import Chosen, KeptBatches, push
from tests.fundus_ml.modulation.tiny_modulations import LABELS, make_pixels, options
from tests.fundus_ml.tiny_learning import SmallNetwork


class DiesError(Exception):
    """Stands for a process that is killed."""


def test_a_killed_push_goes_on_and_ends_the_same(tmp_path):
    """Pictures and minimal perturbation norms equal an undisturbed push's; finished batches are not
    redone."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    disc = np.zeros((5, 6, 7), bool)
    disc[:, :4, :4] = True
    eyes = Chosen(pixels=pixels, target=1 - LABELS, confined={"disc": disc})
    wanted = push(model, eyes, options())
    assert set(wanted.min_norms) == {"whole", "disc"}
    assert (wanted.min_norms["disc"] >= wanted.min_norms["whole"] * 0.99).all()

    def die(done, _total):
        if done == 4:
            raise DiesError

    with pytest.raises(DiesError):
        push(model, eyes, options(), keep=KeptBatches(tmp_path / "kept"), on_step=die)
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == ["000000.npz", "000002.npz"]
    (tmp_path / "kept" / "000002.npz").write_bytes(b"half")
    found = push(model, eyes, options(), keep=KeptBatches(tmp_path / "kept"))
    assert np.array_equal(found.modulated, wanted.modulated)
    for region, min_norms in wanted.min_norms.items():
        np.testing.assert_array_equal(found.min_norms[region], min_norms)


def test_nothing_is_made_twice(tmp_path):
    """The second time the batch is read."""
    keep, made = KeptBatches(tmp_path), []

    def make():
        made.append(1)
        return {"x": np.arange(3)}

    for _ in range(2):
        assert keep("a", make)["x"].tolist() == [0, 1, 2]
    assert made == [1]


def test_without_a_search_there_are_no_minimal_norms():
    """``min_norm_steps=0``."""
    eyes = Chosen(pixels=make_pixels(), target=1 - LABELS)
    assert push(SmallNetwork().eval(), eyes, options(min_norm_steps=0)).min_norms == {}


@contextmanager
def full_disk():
    """No file of this process may grow beyond a kilobyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_loses_nothing(tmp_path):
    """What was kept stays, nothing is half there, and the next batch is kept once there is room."""
    keep = KeptBatches(tmp_path)
    keep("a", lambda: {"x": np.arange(3)})
    with full_disk(), pytest.raises(InputError, match=r"File too large.*; the batches before are"):
        keep("b", lambda: {"x": np.arange(10_000)})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert keep("b", lambda: {"x": np.arange(10_000)})["x"].sum() == 49_995_000


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    """One line that says what to do."""
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(InputError, match=r"kept=.*kept: cannot be written .*the same command"):
        KeptBatches(tmp_path / "kept")("a", lambda: {"x": np.arange(3)})
