"""A batch that memory does not hold: how many images it holds."""

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.training import TrainingOptions, fit
from fundus_ml.training.memory import is_out_of_memory
from tests.fundus_ml.tiny_learning import SmallNetwork, make_dataset


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 13, "val": 6})


class Narrow(SmallNetwork):
    """Holds no more than ``room`` images at a time, as a small card does."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def forward(self, images):
        if len(images) > self.room and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(images)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "room", "said"),
    [
        (24, 1, 11, "with 24 images in one pass; 6 fit: batch_size=6, or accumulate=4"),
        (24, 2, 7, "with 12 images in one pass; 6 fit: batch_size=6, or accumulate=4"),
        (20, 1, 8, "with 20 images in one pass; 5 fit: batch_size=5, or accumulate=4"),
        (8, 1, 1, "with 8 images in one pass, nor do 2 fit; a smaller network or smaller images"),
    ],
)
def test_it_says_what_fits(eyes, batch_size, accumulate, room, said):
    how = TrainingOptions(batch_size=batch_size, accumulate=accumulate, precision="fp32")
    with pytest.raises(InputError, match=f"batch_size={batch_size}: out of memory {said}"):
        fit(Narrow(room), eyes.split("train"), eyes.split("val"), how)


def test_what_it_says_works(eyes):
    how = TrainingOptions(batch_size=24, accumulate=4, epochs=1, precision="fp32")
    fit(Narrow(6), eyes.split("train"), eyes.split("val"), how)


def test_other_errors_stay_what_they_are(eyes):
    class Broken(SmallNetwork):
        def forward(self, images):  # noqa: ARG002
            raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        fit(Broken(), eyes.split("train"), eyes.split("val"), TrainingOptions(batch_size=8))


def test_the_processors_own_refusal_is_known():
    """torch's words where the system has no more memory to give: a petabyte."""
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
    assert not is_out_of_memory(RuntimeError("size mismatch"))
