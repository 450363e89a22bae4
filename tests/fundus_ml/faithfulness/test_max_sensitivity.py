"""Max-sensitivity against a plain loop and in closed form."""

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.max_sensitivity import max_sensitivity
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    HEIGHT,
    WIDTH,
    Curved,
    input_gradient,
    make_explained,
    make_images,
)

HOW = {"radius": 0.1, "draws": 4, "seed": 6}


def test_it_equals_a_loop_over_images_alone():
    model, images = Curved().eval(), make_images()
    maps = input_gradient(model, images)
    found = max_sensitivity(make_explained(model, maps, batch_size=3), input_gradient, **HOW)
    generator = torch.Generator().manual_seed(6)
    noises = [torch.rand(3, HEIGHT, WIDTH, generator=generator) for _ in range(4)]
    for place in range(COUNT):
        changes = []
        for noise in noises:
            noisy = (images[place] + 0.1 * (2 * noise - 1)).clamp(0, 1)
            again = input_gradient(model, noisy[None])[0]
            changes.append(float((again - maps[place]).norm() / maps[place].norm()))
        assert float(found[place]) == pytest.approx(max(changes), rel=1e-3)


def test_a_map_that_is_the_image_moves_as_far_as_the_noise():
    images = torch.full((COUNT, 3, HEIGHT, WIDTH), 0.5)

    def brightness(_, images):
        return images.mean(dim=1)

    explained = make_explained(images=images, maps=brightness(None, images))
    found = max_sensitivity(explained, brightness, **HOW)
    assert len(found.unique()) == 1  # the same noise for every image
    # Root mean square of the mean of three uniform values in ±0.1, over 0.5.
    assert float(found[0]) == pytest.approx(0.1 / 3 / 0.5, rel=0.1)
    assert not max_sensitivity(explained, lambda _, x: 0 * x[:, 0] + 0.5, **HOW).any()


def test_a_map_of_zeros_has_none():
    flat = torch.zeros(COUNT, HEIGHT, WIDTH)
    assert max_sensitivity(make_explained(maps=flat), input_gradient, **HOW).isnan().all()


def test_maps_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"^explain: shape must be \(5, 20, 26\)"):
        max_sensitivity(make_explained(), lambda _, x: x, **HOW)
