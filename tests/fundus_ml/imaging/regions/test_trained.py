"""The packaged weights are small, whole, and read as they were written or not at all."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.landmark_network import SIZE, empty_landmark_network
from fundus_ml.imaging.regions.landmarks import landmark_network
from fundus_ml.imaging.regions.trained import PACKAGED, fill, read_trained

WEIGHTS = PACKAGED / "landmarks.safetensors"


@pytest.fixture
def copied(tmp_path):
    for name in ("landmarks.safetensors", "landmarks.json"):
        shutil.copy(PACKAGED / name, tmp_path)
    return tmp_path


def test_the_packaged_weights_are_small_and_half_precision():
    assert WEIGHTS.stat().st_size < 4_000_000
    assert {value.dtype for value in load_file(WEIGHTS).values()} == {torch.float16}


def test_the_card_says_what_they_learned_from():
    card = read_trained("landmarks").card
    assert card["parameters"] == sum(v.numel() for v in read_trained("landmarks").state.values())
    assert card["data"]["marked"]["test"] > 100
    assert "CC BY 4.0" in card["licences"]["IDRiD"]
    assert {"split", "training", "figures", "confidence", "cup"} <= set(card)


def test_they_are_read_once_and_repeat(copied):
    assert landmark_network(copied) is landmark_network(copied)
    square = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, again = landmark_network()(square), landmark_network(copied)(square)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_one_changed_byte_is_refused_in_one_line(copied):
    weights = copied / "landmarks.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        InputError, match=r"is damaged: its SHA-256 is .*, not .*; install"
    ) as caught:
        read_trained("landmarks", copied)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["landmarks.safetensors", "landmarks.json"])
def test_a_missing_file_is_refused(copied, name):
    (copied / name).unlink()
    with pytest.raises(
        InputError, match=r"landmarks.safetensors and landmarks.json in .* cannot be"
    ):
        read_trained("landmarks", copied)


def test_other_tensors_are_refused_in_one_line(copied):
    described = copied / "landmarks.json"
    save_file({"other": torch.zeros(3)}, copied / "landmarks.safetensors")
    card = json.loads(described.read_text())
    content = (copied / "landmarks.safetensors").read_bytes()
    card["sha256"] = hashlib.sha256(content).hexdigest()
    described.write_text(json.dumps(card))
    state = read_trained("landmarks", copied).state
    with pytest.raises(InputError, match="other: not the weights of this network") as caught:
        fill(empty_landmark_network(), state, named="other")
    assert "\n" not in str(caught.value)
