"""The measured effect in closed form, read from the files and from nothing else."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fundus_ml.effects import effect_by_eps, effect_rows
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import write_png
from fundus_ml.modulation import ModulationOptions, write_pictures
from fundus_ml.statistics import clustered_mean
from tests.fundus_ml.tiny_learning import LinearNetwork

LABELS = np.array([0, 1, 1, 0, 1])
EPS = (2.0, 0.5)


@pytest.fixture
def frame():
    """Five eyes of four patients."""
    return pd.DataFrame(
        {
            "image_id": [f"x/{i}" for i in range(5)],
            "patient_id": ["x/a", "x/b", "x/b", "x/c", "x/d"],
            "split": "test",
            "label": LABELS,
        }
    )


@pytest.fixture
def pixels():
    """``(5, 6, 7, 3)`` uint8 eyes."""
    return np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


@pytest.fixture
def modulated(pixels):
    """Two budgets' worth of changes, none of them an attack."""
    change = np.random.default_rng(1).integers(-40, 41, (2, *pixels.shape))
    return (pixels + change).clip(0, 255).astype(np.uint8)


@pytest.fixture
def paths(modulated, frame, tmp_path):
    """Their pictures on disk."""
    return write_pictures(modulated, frame["image_id"].tolist(), EPS, tmp_path)


def options(**changed):
    """What was asked for."""
    usual = {"eps": EPS, "attack_steps": 5, "step_size": "auto", "batch_size": 2}
    return ModulationOptions(**usual | changed)


@pytest.mark.parametrize(("mode", "target"), [("flip", 1 - LABELS), ("male", np.ones(5))])
def test_effect_has_a_closed_form(  # noqa: PLR0917 (fixtures and parameters)
    pixels, modulated, frame, paths, mode, target
):
    """P(target) of a linear network, and the size of the change in three units, by hand."""
    model = LinearNetwork(6, 7, scale=0.05)
    effects = effect_rows(model, pixels, frame, paths, options(mode=mode))
    weight = model.weight.detach().permute(1, 2, 0).numpy().astype(float)

    def prob(eyes):
        logit = (eyes / 255 * weight).sum(axis=(1, 2, 3)) + 0.1
        male = 1 / (1 + np.exp(-logit))
        return np.where(target == 1, male, 1 - male)

    assert effects["eps"].tolist() == [2.0] * 5 + [0.5] * 5
    for place, eps in enumerate(EPS):
        rows = effects[effects["eps"] == eps]
        delta = (modulated[place].astype(float) - pixels) / 255
        after = prob(modulated[place].astype(float))
        np.testing.assert_allclose(rows["prob_target"], after, atol=1e-5)
        np.testing.assert_allclose(
            rows["prob_target_before"], prob(pixels.astype(float)), atol=1e-5
        )
        assert rows["success"].tolist() == (after > 0.5).tolist()
        flat = delta.reshape(5, -1)
        np.testing.assert_allclose(rows["l2"], np.linalg.norm(flat, axis=1), rtol=1e-5)
        np.testing.assert_allclose(rows["linf"], np.abs(flat).max(axis=1), rtol=1e-5)
        np.testing.assert_allclose(rows["rms"], np.sqrt((flat**2).mean(axis=1)), rtol=1e-5)
        assert rows["step_size"].tolist() == pytest.approx([2.5 * eps / 5] * 5)
        assert rows["picture"].tolist() == [str(path) for path in paths[place]]
        for name in ("image_id", "patient_id", "split", "label"):
            assert rows[name].tolist() == frame[name].tolist()
    assert 0 < effects["success"].sum() < 10
    assert effects["target"].tolist() == [("female", "male")[int(t)] for t in target] * 2
    assert set(effects["mode"]) == {mode}
    assert set(effects["constraint"]) == {"l2"}
    assert set(effects["attack_steps"]) == {5}


def test_scores_come_from_the_files(pixels, frame, paths):
    """Another picture under a path is another score; a missing one is named."""
    model = LinearNetwork(6, 7, scale=0.05)
    before = effect_rows(model, pixels, frame, paths, options())
    write_png(pixels[3], paths[1][3])
    after = effect_rows(model, pixels, frame, paths, options())
    changed = (before != after).any(axis=1)
    assert changed[changed].index.tolist() == [8]
    row = after.iloc[8]
    assert row["prob_target"] == row["prob_target_before"]
    assert row["l2"] == row["linf"] == row["rms"] == 0
    paths[0][2].unlink()
    with pytest.raises(InputError, match=r"eps-2\.png: no such picture"):
        effect_rows(model, pixels, frame, paths, options())


def test_the_judge_is_in_evaluation_mode(pixels, frame, paths):
    """Dropout and BatchNorm of a network left in training mode neither act nor learn."""
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(126, 1), nn.Flatten(0)
    )
    effects = effect_rows(model.eval(), pixels, frame, paths, options())
    again = effect_rows(model.train(), pixels, frame, paths, options())
    pd.testing.assert_frame_equal(effects, again)
    assert model[1].training
    assert torch.equal(model[0].running_mean, torch.zeros(3))


def test_effect_is_averaged_over_eyes(pixels, frame, paths):
    """Means over eyes, intervals over patients, budgets ascending."""
    effects = effect_rows(LinearNetwork(6, 7, scale=0.05), pixels, frame, paths, options())
    table = effect_by_eps(effects, resamples=200, seed=3)
    assert table["eps"].tolist() == [0.5, 2.0]
    for row in table.itertuples():
        part = effects[effects["eps"] == row.eps]
        assert row.eyes == 5
        for name in ("success", "prob_target", "prob_target_before", "l2", "rms"):
            assert getattr(row, name) == pytest.approx(part[name].mean())
        for name in ("success", "prob_target"):
            interval = clustered_mean(
                part[name].to_numpy(float), part["patient_id"], resamples=200, seed=3
            )
            assert getattr(row, f"{name}_low") == interval.low
            assert getattr(row, f"{name}_high") == interval.high


def test_pictures_that_did_not_change_are_counted(pixels, frame, tmp_path):
    """A vanished gradient or rounding leaves the original: said, not hidden in a mean."""
    pictures = np.stack([pixels, pixels])
    pictures[0, 3] ^= 1
    pictures[1, 1:] ^= 1
    paths = write_pictures(pictures, frame["image_id"].tolist(), EPS, tmp_path)
    effects = effect_rows(LinearNetwork(6, 7, scale=0.05), pixels, frame, paths, options())
    table = effect_by_eps(effects, resamples=20, seed=3)
    assert table.set_index("eps")["unchanged"].to_dict() == {2.0: 4, 0.5: 1}
