"""Curves against a plain loop, and a map that ranks the used patch first against others."""

import numpy as np
import pytest
import torch

from fundus_ml.attribution.baselines import baseline_of
from fundus_ml.errors import InputError
from fundus_ml.faithfulness.deletion_insertion import deletion_insertion
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    HEIGHT,
    WIDTH,
    Curved,
    Weighted,
    make_explained,
    make_images,
    make_maps,
)

FILLS = ("mean", "blur", "black")
HOW = {"fills": FILLS, "levels": 7, "blur": 0.1}


@pytest.mark.parametrize("batch_size", [3, 100])
def test_curves_equal_a_loop(batch_size):
    model, images, maps = Curved().eval(), make_images(), make_maps()
    curves = deletion_insertion(make_explained(model, maps, batch_size=batch_size), **HOW)
    with torch.no_grad():
        signs = torch.where(model(images) >= 0, 1, -1)
        assert set(signs.tolist()) == {-1, 1}
        for fill in FILLS:
            ground = baseline_of(images, fill, blur=0.1)
            for place in range(COUNT):
                order = np.argsort(-(signs[place] * maps[place]).flatten().numpy())
                gone, shown = [], []
                for level in range(8):
                    first = order[: round(level * HEIGHT * WIDTH / 7)]
                    deleted, inserted = images[place].flatten(1).clone(), ground[place].flatten(1)
                    inserted = inserted.clone()
                    deleted[:, first] = ground[place].flatten(1)[:, first]
                    inserted[:, first] = images[place].flatten(1)[:, first]
                    for kept, pixels in ((gone, deleted), (shown, inserted)):
                        logit = model(pixels.view(1, 3, HEIGHT, WIDTH)).item()
                        kept.append(float(signs[place]) * logit)
                found = curves[fill]
                assert found.deletion[place].tolist() == pytest.approx(gone, abs=1e-4)
                assert found.insertion[place].tolist() == pytest.approx(shown, abs=1e-4)
                steps = np.round(np.arange(8) * HEIGHT * WIDTH / 7) / (HEIGHT * WIDTH)
                for area, own in (
                    (found.deletion_area, gone),
                    (found.insertion_area, shown),
                ):
                    assert float(area[place]) == pytest.approx(np.trapezoid(own, steps), abs=1e-4)


def test_the_used_patch_first_has_the_least_deletion_area():
    """A network that reads one patch: no other order of pixels deletes or inserts faster."""
    model, images = Weighted(bias=0.0), make_images()
    with torch.no_grad():
        model.weight.zero_()
        model.weight[:, 4:9, 11:20] = 1
    used = torch.zeros(COUNT, HEIGHT, WIDTH)
    used[:, 4:9, 11:20] = images.sum(1)[:, 4:9, 11:20]
    areas = {
        name: deletion_insertion(make_explained(model, maps, images), **HOW)["black"]
        for name, maps in {"used": used, "other": make_maps(), "last": -used}.items()
    }
    for name in ("other", "last"):
        assert (areas["used"].deletion_area < areas[name].deletion_area).all()
        assert (areas["used"].insertion_area > areas[name].insertion_area).all()


def test_one_level_is_a_line_between_the_ends():
    found = deletion_insertion(make_explained(), fills=("black",), levels=1, blur=0.1)["black"]
    assert torch.equal(found.deletion, found.insertion.flip(1))
    assert torch.allclose(found.deletion_area, found.deletion.mean(1))


def test_an_unknown_fill_is_refused():
    with pytest.raises(InputError, match=r"^baseline=noise: allowed: mean, black, blur$"):
        deletion_insertion(make_explained(), fills=("noise",), levels=2, blur=0.1)
