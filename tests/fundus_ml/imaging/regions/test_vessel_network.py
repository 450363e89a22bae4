import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions import vessel_network
from fundus_ml.imaging.regions.vessel_network import (
    VesselNetwork,
    load_vessel_network,
    local_contrast,
    save_vessel_network,
    vessel_probabilities,
)

FOLDER = Path(vessel_network.__file__).parent


@pytest.fixture
def scene():
    generator = np.random.default_rng(0)
    square = generator.integers(60, 110, (96, 96, 3)).astype(np.uint8)
    seen = np.hypot(*np.mgrid[-47.5:48, -47.5:48]) < 46
    return square, seen


def trained(seed=0):
    """A network whose BatchNorms have seen something."""
    torch.manual_seed(seed)
    network = VesselNetwork().train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 3, 64, 64))
    return network.eval()


def test_the_shipped_weights_are_small_and_those_of_their_card():
    content = (FOLDER / "vessels.safetensors").read_bytes()
    card = json.loads((FOLDER / "vessels.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(content).hexdigest() == card["sha256"]
    assert len(content) < 2_000_000
    assert {"data", "licence", "seed", "threshold", "left_out"} <= set(card)
    assert load_vessel_network() is load_vessel_network()


def test_tampered_weights_are_refused(tmp_path):
    for name in ("vessels.safetensors", "vessels.json"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    content = bytearray((tmp_path / "vessels.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "vessels.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged: its SHA-256 is .*…, not .*…; install"):
        load_vessel_network(tmp_path)


def test_missing_weights_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"vessels.safetensors and .*: cannot be read"):
        load_vessel_network(tmp_path)
    (tmp_path / "vessels.safetensors").touch()
    (tmp_path / "vessels.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        load_vessel_network(tmp_path)


def test_what_is_saved_comes_back_folded_and_says_the_same(tmp_path, scene):
    network = trained()
    save_vessel_network(network, tmp_path, {"threshold": 0.4})
    weights = load_vessel_network(tmp_path)
    assert weights.threshold == 0.4
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in weights.network.modules())
    contrast, seen = local_contrast(*scene)[None], scene[1][None]
    plain = vessel_probabilities(network, contrast, seen)
    np.testing.assert_allclose(
        plain, vessel_probabilities(weights.network, contrast, seen), atol=0.01
    )


def test_a_batch_says_what_singles_say(scene):
    square, seen = scene
    squares = (square, square[::-1], square[:, ::-1])
    contrasts = np.stack([local_contrast(each, seen) for each in squares])
    seens = np.stack([seen] * 3)
    network = load_vessel_network().network
    batch = vessel_probabilities(network, contrasts, seens)
    for number in range(3):
        single = vessel_probabilities(network, contrasts[number, None], seens[number, None])[0]
        np.testing.assert_allclose(batch[number], single, atol=1e-5)
    assert batch.dtype == np.float32
    assert (batch[:, ~seen] == 0).all()


def test_local_contrast_is_a_local_z_score(scene):
    """Judged by a slow plain mean and spread over a Gaussian window, far from the edge."""
    square, seen = scene
    contrast = local_contrast(square, seen)
    assert contrast.shape == (3, 96, 96)
    assert (contrast[:, ~seen] == 0).all()
    assert np.abs(contrast).max() <= 4
    sigma = 4 * 6.0
    down, across = np.mgrid[:96, :96]
    window = np.exp(-((down - 48) ** 2 + (across - 48) ** 2) / (2 * sigma**2)) * seen
    blocks = square.reshape(24, 4, 24, 4, 3).mean((1, 3)).repeat(4, 0).repeat(4, 1)
    for channel in range(3):
        mean = (window * square[..., channel]).sum() / window.sum()
        spread = np.sqrt((window * (blocks[..., channel] - mean) ** 2).sum() / window.sum())
        wanted = (square[48, 48, channel] - mean) / (spread + 2)
        assert contrast[channel, 48, 48] == pytest.approx(wanted, abs=0.25)


def test_uneven_light_changes_little(scene):
    square, seen = scene
    shade = np.linspace(0.7, 1.3, 96)[None, :, None]
    shaded = (square * shade).round().astype(np.uint8)
    plain, other = (local_contrast(picture, seen)[:, seen] for picture in (square, shaded))
    assert np.corrcoef(plain.ravel(), other.ravel())[0, 1] > 0.9


def test_the_network_keeps_the_shape():
    out = VesselNetwork().eval()(torch.zeros(2, 3, 48, 80))
    assert out.shape == (2, 48, 80)
