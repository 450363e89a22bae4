"""The measured effect in closed form, read from the files and from nothing else."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import write_png
from fundus_ml.modulation import ModulationOptions, read_pictures, write_pictures
from fundus_ml.modulation.effects import area_under_path, effect_by_eps, effect_rows, evaluated
from fundus_ml.statistics.clustered import clustered_mean
from tests.fundus_ml.tiny_learning import LinearNetwork

LABELS = np.array([0, 1, 1, 0, 1])
EPS = (0.5, 2.0)


@pytest.fixture
def frame():
    """Five eyes of four patients."""
    return pd.DataFrame(
        {
            "image_id": [f"x/{i}" for i in range(5)],
            "patient_id": ["x/a", "x/b", "x/b2", "x/c", "x/d"],
            "person_group": ["x/a", "x/b", "x/b", "x/c", "x/d"],
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
def paths(pixels, modulated, frame, tmp_path):
    """Their pictures on disk."""
    return write_pictures(pixels, modulated, frame["image_id"].tolist(), EPS, tmp_path)


def rescored(model, pixels, frame, paths, target=1 - LABELS, **changed):
    """Effects of the pictures as they lie on disk."""
    return effect_rows(
        model, pixels, read_pictures(paths), frame=frame, target=np.float32(target),
        options=options(**changed),
    )  # fmt: skip


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
    effects = rescored(model, pixels, frame, paths, target, mode=mode)
    weight = model.weight.detach().permute(1, 2, 0).numpy().astype(float)

    def prob(eyes):
        logit = (eyes / 255 * weight).sum(axis=(1, 2, 3)) + 0.1
        male = 1 / (1 + np.exp(-logit))
        return np.where(target == 1, male, 1 - male)

    assert effects["eps"].tolist() == [0.5] * 5 + [2.0] * 5
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
        behind = {0.5: 0.0, 2.0: 0.5}[eps]
        assert rows["step_size"].tolist() == pytest.approx([(2.5 * eps - 1.25 * behind) / 5] * 5)
        for name in ("image_id", "patient_id", "person_group", "split", "label"):
            assert rows[name].tolist() == frame[name].tolist()
    assert 0 < effects["success"].sum() < 10
    assert effects["target"].tolist() == [("female", "male")[int(t)] for t in target] * 2
    assert set(effects["mode"]) == {mode}
    assert set(effects["constraint"]) == {"l2"}
    assert set(effects["attack_steps"]) == {5}


def test_scores_come_from_the_files(pixels, frame, paths):
    """Another picture under a path is another score; a missing one is named."""
    model = LinearNetwork(6, 7, scale=0.05)
    before = rescored(model, pixels, frame, paths)
    write_png(pixels[3], paths[1][3])
    after = rescored(model, pixels, frame, paths)
    changed = (before != after).any(axis=1)
    assert changed[changed].index.tolist() == [8]
    row = after.iloc[8]
    assert row["prob_target"] == row["prob_target_before"]
    assert row["l2"] == row["linf"] == row["rms"] == 0
    paths[0][2].unlink()
    with pytest.raises(InputError, match=r"eps-0\.5\.png: no such picture"):
        rescored(model, pixels, frame, paths)


def test_the_evaluator_is_in_evaluation_mode(pixels, frame, paths):
    """Dropout and BatchNorm of a network left in training mode neither act nor learn."""
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(126, 1), nn.Flatten(0)
    )
    effects = rescored(model.eval(), pixels, frame, paths)
    again = rescored(model.train(), pixels, frame, paths)
    pd.testing.assert_frame_equal(effects, again)
    assert model[1].training
    assert torch.equal(model[0].running_mean, torch.zeros(3))


def test_effect_is_averaged_over_eyes(pixels, frame, paths):
    """Means over eyes, intervals over patients, budgets ascending."""
    effects = rescored(LinearNetwork(6, 7, scale=0.05), pixels, frame, paths)
    table = effect_by_eps(effects, resamples=200, seed=3)
    assert table["eps"].tolist() == [0.5, 2.0]
    for row in table.itertuples():
        part = effects[effects["eps"] == row.eps]
        assert row.eyes == 5
        for name in ("success", "prob_target", "prob_target_before", "l2", "rms"):
            assert getattr(row, name) == pytest.approx(part[name].mean())
        for name in ("success", "prob_target"):
            interval = clustered_mean(
                part[name].to_numpy(float), part["person_group"], resamples=200, seed=3
            )
            assert getattr(row, f"{name}_low") == interval.low
            assert getattr(row, f"{name}_high") == interval.high


def test_pictures_that_did_not_change_are_counted(pixels, frame, tmp_path):
    """A vanished gradient or rounding leaves the original: said, not hidden in a mean."""
    pictures = np.stack([pixels, pixels])
    pictures[0, 3] ^= 1
    pictures[1, 1:] ^= 1
    paths = write_pictures(pixels, pictures, frame["image_id"].tolist(), EPS, tmp_path)
    effects = rescored(LinearNetwork(6, 7, scale=0.05), pixels, frame, paths)
    table = effect_by_eps(effects, resamples=20, seed=3)
    assert table.set_index("eps")["unchanged"].to_dict() == {0.5: 4, 2.0: 1}


def test_an_evaluator_says_what_it_sees(pixels, modulated, frame):
    """Another network's P(target), in the order of the effects; averaged beside them."""
    model, independent = LinearNetwork(6, 7, scale=0.05), LinearNetwork(6, 7, scale=0.05, seed=4)
    target = np.float32(1 - LABELS)
    effects = effect_rows(model, pixels, modulated, frame=frame, target=target, options=options())
    seen = evaluated(independent, pixels, modulated, target, batch_size=2)
    own = effect_rows(independent, pixels, modulated, frame=frame, target=target, options=options())
    assert seen["evaluator_prob_before"].tolist() == own["prob_target_before"].tolist()
    assert seen["evaluator_prob_target"].tolist() == own["prob_target"].tolist()
    assert seen["transferred"].tolist() == own["success"].tolist()
    assert seen["transferred"].tolist() != effects["success"].tolist()
    table = effect_by_eps(pd.concat([effects, seen], axis=1), resamples=200, seed=3)
    alone = effect_by_eps(own, resamples=200, seed=3)
    for name in ("", "_low", "_high"):
        assert table[f"transferred{name}"].tolist() == alone[f"success{name}"].tolist()
        assert (
            table[f"evaluator_prob_target{name}"].tolist() == alone[f"prob_target{name}"].tolist()
        )


def test_area_under_the_path_by_hand():
    """Trapezia from the unchanged eye to the largest budget, over its length; then over eyes."""
    rows = [
        ("a", "p", 1.0, 0.2, 0.4), ("a", "p", 4.0, 0.2, 1.0),
        ("b", "q", 1.0, 0.5, 0.5), ("b", "q", 4.0, 0.5, 0.7),
    ]  # fmt: skip
    columns = ["image_id", "person_group", "eps", "prob_target_before", "prob_target"]
    effects = pd.DataFrame(rows, columns=columns)
    areas = [(0.3 + 3 * 0.7) / 4, (0.5 + 3 * 0.6) / 4]
    shuffled = effects.sample(frac=1, random_state=0)
    found = area_under_path(shuffled, resamples=500, seed=0)
    assert found.value == pytest.approx(np.mean(areas))
    assert found.low == pytest.approx(min(areas))
    assert found.high == pytest.approx(max(areas))
