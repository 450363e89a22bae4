"""Augmentation against torchvision, against closed forms, and share against whole."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as peer

from fundus_ml.errors import InputError
from fundus_ml.training.augmentation import (
    DARK,
    DRAWN,
    RECIPES,
    Augmentation,
    augment,
    blur,
    draw,
    mirror,
    recolour,
    warp,
)
from fundus_ml.training.options import AUGMENTATIONS
from tests.fundus_ml.tiny_learning import is_channels_last, make_images

STRONG = Augmentation(
    flip=0.5, rotation=180.0, scale=(0.6, 1.8), shift=0.3, brightness=0.8, contrast=0.8,
    saturation=0.9, hue=90.0, blur=0.08, blurred=0.7,
)  # fmt: skip
UNTOUCHED = draw(Augmentation(), torch.zeros(4, DRAWN))
EVERY = [RECIPES[name] for name in AUGMENTATIONS if name != "none"] + [STRONG]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(count, seed=0):
    return torch.rand(count, DRAWN, generator=seeded(seed))


def each(*values):
    return torch.tensor(values)


def test_names_are_the_recipes():
    assert tuple(RECIPES) == AUGMENTATIONS == ("none", "flip", "geometry", "full")


def test_none_is_the_same_tensor():
    images = make_images()
    assert augment(images, "none", generator=seeded()) is images


def test_ranges_of_no_width_change_nothing_however_they_are_gone_through():
    images = make_images(4, 6, 9)
    assert torch.equal(mirror(images, UNTOUCHED.mirrored), images)
    torch.testing.assert_close(warp(images, UNTOUCHED), images, atol=1e-6, rtol=0)
    torch.testing.assert_close(recolour(images, UNTOUCHED), images, atol=1e-6, rtol=0)
    assert torch.equal(blur(images, UNTOUCHED.sigma, most=2.0), images)
    assert torch.equal(augment(images, Augmentation(blur=0.05, blurred=0.0), generator=seeded()),
                       images)  # fmt: skip


@pytest.mark.parametrize("ranges", EVERY)
def test_shape_type_range_and_layout(ranges):
    images = make_images(6, 10, 13)
    changed = augment(images, ranges, generator=seeded())
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert is_channels_last(changed)
    assert 0 <= changed.min() <= changed.max() <= 1
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("ranges", EVERY)
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_extreme_pixels_stay_finite_and_in_range(ranges, low, high):
    images = make_images(5, 8, 8, low=low, high=high).round()
    changed = augment(images, ranges, generator=seeded())
    assert 0 <= changed.min() <= changed.max() <= 1  # false where any is NaN


@pytest.mark.parametrize("ranges", EVERY)
def test_repeatable_and_other_with_another_seed(ranges):
    images = make_images(8, 10, 13)
    one, again, other = (augment(images, ranges, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("ranges", EVERY)
def test_shares_are_rows_of_the_whole(ranges):
    images = make_images(6, 10, 13)
    whole = augment(images, ranges, generator=seeded())
    shares = [
        augment(images[first : first + 2], ranges, generator=seeded(), first=first, of=6)
        for first in (0, 2, 4)
    ]
    torch.testing.assert_close(torch.cat(shares), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("ranges", EVERY)
def test_generator_goes_on_alike_for_every_share_and_recipe(ranges):
    one, two = seeded(), seeded()
    augment(make_images(2), ranges, generator=one, first=3, of=6)
    augment(make_images(6), "flip", generator=two)
    assert torch.equal(one.get_state(), two.get_state())


def test_images_are_not_written_to():
    images = make_images(6, 10, 13)
    before = images.clone()
    for ranges in EVERY:
        augment(images, ranges, generator=seeded())
    assert torch.equal(images, before)


def test_flip_alone_is_exact_and_the_same_choice_in_every_recipe():
    images = make_images(40, 5, 7)
    flipped = augment(images, "flip", generator=seeded())
    mirrored = draw(RECIPES["full"], uniform(40)).mirrored
    assert 0 < mirrored.sum() < 40
    for image, changed, chosen in zip(images, flipped, mirrored, strict=True):
        assert torch.equal(changed, image.flip(2) if chosen else image)


def test_warp_mirrors_before_it_turns():
    images = make_images(4, 8, 8)
    draws = replace(
        UNTOUCHED,
        mirrored=each(True, True, False, True),
        angle=each(0.0, 90.0, 90.0, 180.0),
    )
    expected = torch.stack([
        images[0].flip(2), images[1].flip(2).rot90(1, (1, 2)), images[2].rot90(1, (1, 2)),
        images[3].flip(1),
    ])  # fmt: skip
    torch.testing.assert_close(warp(images, draws), expected, atol=1e-5, rtol=0)


def test_warp_of_whole_pixels_is_a_roll_with_black():
    images = make_images(4, 6, 8)
    draws = replace(UNTOUCHED, shift=each([2 / 8, -1 / 6], [0.0, 0.5], [-0.25, 0.0], [1.0, 0.0]))
    expected = torch.zeros_like(images)
    expected[0, :, :-1, 2:] = images[0, :, 1:, :-2]
    expected[1, :, 3:] = images[1, :, :-3]
    expected[2, :, :, :-2] = images[2, :, :, 2:]
    torch.testing.assert_close(warp(images, draws), expected, atol=1e-5, rtol=0)


def test_warp_equals_torchvision_affine():
    images = make_images(4, 18, 26)
    draws = replace(
        UNTOUCHED,
        angle=each(0.0, 30.0, -11.0, 75.0),
        scale=each(1.3, 1.0, 0.8, 1.7),
        shift=each([0.0, 0.0], [0.0, 0.0], [3 / 26, -2 / 18], [-4 / 26, 5 / 18]),
    )
    moves = [[0, 0], [0, 0], [3, -2], [-4, 5]]
    expected = [
        peer.affine(
            image[None], angle=-float(angle), scale=float(scale), translate=move, shear=[0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        for image, angle, scale, move in zip(images, draws.angle, draws.scale, moves, strict=True)
    ]  # fmt: skip
    changed = warp(images, draws)
    inner = slice(1, -1)  # torchvision blends its own black at the border
    torch.testing.assert_close(
        changed[..., inner, inner], torch.cat(expected)[..., inner, inner], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("most", [0.4, 1.1, 2.5])
def test_blur_equals_torchvision(most):
    images = make_images(4, 19, 24)
    sigma = most * each(1.0, 0.0, 0.3, 0.7)
    size = 2 * math.ceil(3 * most) + 1
    expected = [
        image[None]
        if width == 0
        else peer.gaussian_blur(image[None], [size, size], [float(width)] * 2)
        for image, width in zip(images, sigma, strict=True)
    ]
    torch.testing.assert_close(
        blur(images, sigma, most=most), torch.cat(expected), atol=1e-5, rtol=0
    )


def test_blur_is_in_shares_of_the_height():
    images = make_images(4, 20, 33)
    changed = augment(images, Augmentation(blur=0.06, blurred=1.0), generator=seeded())
    sigma = 20 * 0.06 * uniform(4)[:, 9]
    torch.testing.assert_close(changed, blur(images, sigma, most=1.2))


def test_blur_wider_than_the_image_keeps_its_mean_tone():
    images = torch.full((2, 3, 4, 5), 0.3)
    torch.testing.assert_close(blur(images, each(0.4, 9.0), most=9.0), images)


FACTORS = (0.5, 1.0, 1.2, 1.7)


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_colours_equal_torchvision(what):
    images = make_images(4, 6, 9, low=DARK, high=1.0)
    changed = recolour(images, replace(UNTOUCHED, **{what: each(*FACTORS)}))
    adjust = getattr(peer, f"adjust_{what}")
    expected = [adjust(image[None], factor) for image, factor in zip(images, FACTORS, strict=True)]
    # torchvision's grey has weights that sum to 0.9999 or 1 by version and rounding
    torch.testing.assert_close(changed, torch.cat(expected), atol=3e-4, rtol=0)


def test_colours_follow_each_other_as_torchvision_applies_them():
    images = make_images(1, 6, 9, low=0.3, high=0.6)
    draws = replace(UNTOUCHED, brightness=each(1.2), contrast=each(0.8), saturation=each(1.3))
    draws = replace(draws, hue=each(0.0))
    steps = peer.adjust_contrast(peer.adjust_brightness(images, 1.2), 0.8)
    expected = peer.adjust_saturation(steps, 1.3)
    torch.testing.assert_close(recolour(images, draws), expected, atol=5e-4, rtol=0)


def test_a_third_of_a_turn_moves_every_channel_on_and_greys_stay():
    images = make_images(4, 6, 9)
    images[3] = images[3, :1]
    rotated = recolour(images, replace(UNTOUCHED, hue=each(120.0, -120.0, 360.0, 77.0)))
    red, green, blue = images.unbind(1)
    torch.testing.assert_close(rotated[0], torch.stack([blue, red, green], 1)[0])
    torch.testing.assert_close(rotated[1], torch.stack([green, blue, red], 1)[1])
    torch.testing.assert_close(rotated[2:], images[2:])


def test_hue_turns_by_its_angle_and_keeps_the_channel_mean():
    images = make_images(4, 6, 9, low=0.3, high=0.6)
    rotated = recolour(images, replace(UNTOUCHED, hue=each(10.0, -4.0, 35.0, 90.0)))
    torch.testing.assert_close(rotated.mean(1), images.mean(1))
    turn = (hue_of(rotated) - hue_of(images)).flatten(1).sub(each(10.0, -4.0, 35.0, 90.0)[:, None])
    assert torch.all((turn + 180).remainder(360).sub(180).abs() < 0.05)


def hue_of(images):
    """Angle of each pixel about the greys, in degrees; 0 is red, 120 green."""
    red, green, blue = images.unbind(1)
    return torch.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue).rad2deg()


def test_black_around_the_eye_stays_black_and_does_not_set_the_contrast():
    images = torch.zeros(2, 3, 20, 30)
    images[0, :, 5:15, 10:25] = make_images(1, 10, 15, low=0.2, high=0.9)[0]
    images[1, :, 5:15, 10:25] = images[0, :, 5:15, 10:25]
    draws = replace(UNTOUCHED, contrast=each(0.2, 1.6), brightness=each(1.3, 0.7))
    draws = replace(draws, hue=each(20.0, -20.0), saturation=each(0.3, 1.9))
    changed = recolour(images, draws)
    assert torch.all(changed[images == 0] == 0)
    alone = recolour(images[..., 5:15, 10:25], draws)
    torch.testing.assert_close(changed[..., 5:15, 10:25], alone)


def test_geometry_shows_black_where_there_was_no_picture():
    images = torch.ones(64, 3, 16, 16)
    changed = augment(images, Augmentation(scale=(0.5, 0.5)), generator=seeded())
    torch.testing.assert_close(changed[:, :, 4:12, 4:12], images[:, :, 4:12, 4:12])
    assert changed.sum() == 64 * 3 * 64


def test_draws_fill_their_ranges_evenly():
    draws = draw(STRONG, uniform(4000))
    for values, low, high in (
        (draws.angle, -180, 180),
        (draws.scale.log(), math.log(0.6), math.log(1.8)),
        (draws.shift[:, 0], -0.3, 0.3),
        (draws.shift[:, 1], -0.3, 0.3),
        (draws.brightness, 0.2, 1.8),
        (draws.contrast, 0.2, 1.8),
        (draws.saturation, 0.1, 1.9),
        (draws.hue, -90, 90),
        (draws.sigma[draws.sigma > 0], 0, 0.08),
    ):
        assert kstest(values.numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    assert abs(float(draws.mirrored.float().mean()) - 0.5) < 0.03
    assert abs(float((draws.sigma > 0).float().mean()) - 0.7) < 0.03


def test_draws_are_not_tied_to_each_other():
    draws = draw(STRONG, uniform(4000))
    columns = [draws.mirrored.float(), draws.angle, draws.scale, *draws.shift.unbind(1)]
    columns += [draws.brightness, draws.contrast, draws.saturation, draws.hue, draws.sigma]
    correlation = torch.corrcoef(torch.stack(columns)) - torch.eye(10)
    assert correlation.abs().max() < 0.06


def test_unknown_name_is_refused():
    with pytest.raises(InputError, match="augment=rotate: allowed: none, flip, geometry, full"):
        augment(make_images(), "rotate", generator=seeded())


@pytest.mark.parametrize(
    ("name", "value"),
    [("flip", 1.5), ("rotation", -1.0), ("shift", math.nan), ("brightness", 1.1),
     ("contrast", -0.1), ("saturation", 2.0), ("hue", 181.0), ("blur", 0.2), ("blurred", -1.0)],
)  # fmt: skip
def test_ranges_outside_reason_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name}={value}: must be between 0 and"):
        Augmentation(**{name: value})


@pytest.mark.parametrize("scale", [(0.0, 1.0), (1.2, 1.1), (0.9, math.inf), (math.nan, 1.0)])
def test_scale_is_refused_unless_it_is_an_interval_above_zero(scale):
    with pytest.raises(InputError, match="must be two numbers above 0, the smaller first"):
        Augmentation(scale=scale)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("ranges", EVERY)
def test_a_gpu_changes_images_as_the_cpu_does(ranges):
    images = make_images(6, 40, 52)
    there = augment(images.cuda(), ranges, generator=seeded()).cpu()
    torch.testing.assert_close(
        there, augment(images, ranges, generator=seeded()), atol=2e-3, rtol=0
    )
