"""The gallery holds what was measured, on one page or beside it."""

import json
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.pages.gallery import gallery_page
from tests.fundus_ml.tiny_galleries import (
    EPS,
    EVIL,
    EYES,
    HEIGHT,
    WIDTH,
    Tags,
    data_of,
    decoded,
    hostile,
    other_version,
    page_arguments,
)


@pytest.fixture
def given():
    return page_arguments()


def assert_whole(stored, eye, path):
    """Modulo 256 every change comes back, also the one from 0 to 255."""
    original = decoded(stored["original"])
    assert np.array_equal(original, eye)
    for now, content in zip(path, stored["changes"], strict=True):
        assert np.array_equal((original.astype(int) + decoded(content) - 128) % 256, now)


def test_nothing_is_lost(given):
    """The page holds what was measured."""
    page, files = gallery_page(**given)
    stored = data_of(page)["pictures"]
    assert not files
    assert data_of(page)["folder"] == ""
    for place, eye in enumerate(stored):
        assert_whole(eye, given["pixels"][place], given["modulated"][:, place])


def test_more_than_a_page_may_hold_lies_beside_it(given):
    """One file per eye, whole as well; the page itself has no picture and knows every eye."""
    whole = gallery_page(**given).html
    size = sum(len(json.dumps(eye)) for eye in data_of(whole)["pictures"])
    assert not gallery_page(**given, largest=size).files
    page, files = gallery_page(**given, largest=size - 1)
    gallery = data_of(page)
    assert gallery | {"folder": "", "pictures": data_of(whole)["pictures"]} == data_of(whole)
    assert gallery["pictures"] == []
    assert list(files) == [f"gallery/{place:05}.js" for place in range(EYES)]
    for place, content in enumerate(files.values()):
        key, at, stored = json.loads(f"[{re.fullmatch(r'received.(.*).;', content.strip())[1]}]")
        assert (key, at) == (gallery["key"], place)
        assert_whole(stored, given["pixels"][place], given["modulated"][:, place])


def test_pictures_of_another_gallery_have_another_key(given):
    """Also where the eyes, their count and their size are the same."""
    keys = {data_of(gallery_page(**given).html)["key"]}
    keys.add(data_of(gallery_page(**given | {"words": "version 4"}).html)["key"])
    given["effects"]["prob_target"] *= 0.99
    keys.add(data_of(gallery_page(**given).html)["key"])
    assert len(keys) == 3


def test_structures_are_outlined_where_they_end(given):
    """Filled again, an outline holds the pixels of its structure; what has none draws none."""
    disc = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - np.array([5, 40])[:, None, None])) < 4
    regions = np.zeros((EYES, HEIGHT, WIDTH), np.uint8)
    regions[1:] = REGION_FLAGS["retina"]
    regions[1, disc] |= REGION_FLAGS["disc"]
    gallery = data_of(gallery_page(**given, regions=regions).html)
    outlines = [eye["outlines"] for eye in gallery["pictures"]]
    assert [list(found) for found in outlines] == [[], ["disc"], *[[]] * (EYES - 2)]
    assert list(gallery["structures"]) == ["disc"]
    corners = np.reshape([float(n) for n in re.findall(r"[\d.]+", outlines[1]["disc"])], (-1, 2))
    filled = ImageDraw.Draw(image := Image.new("1", (WIDTH, HEIGHT)))
    filled.polygon([tuple(corner) for corner in corners - 0.5], fill=1, outline=1)
    assert np.array_equal(np.asarray(image), disc)
    assert data_of(gallery_page(**given).html)["structures"] == {}


def test_another_version_stands_beside(given):
    """Its pictures are whole too, and what it sees is its own."""
    other = other_version(given)
    gallery = data_of(gallery_page(**given, other=other).html)
    assert gallery["other"] == "version 7"
    for place, (eye, stored) in enumerate(zip(gallery["eyes"], gallery["pictures"], strict=True)):
        assert_whole(stored, given["pixels"][place], given["modulated"][:, place])
        theirs = {"original": stored["original"], "changes": stored["other"]}
        assert_whole(theirs, given["pixels"][place], other.modulated[:, place])
        assert eye["other"]["prob"] == pytest.approx([0.25, 0.5, 0.5, 0.5])
    assert gallery["eyes"][0]["prob"] == pytest.approx([0.1, 0.2, 0.5, 1.0])


def test_an_unfound_and_an_unsearched_budget_are_told_apart(given):
    """Neither is a number in JSON."""
    eyes = data_of(gallery_page(**given).html)["eyes"]
    assert [eye["min_norm"] for eye in eyes] == [1.5, 0, None, 0.75, None, 7, 2]
    assert [eye["searched"] for eye in eyes] == [True] * 4 + [False] + [True] * 2


def test_effects_are_matched_by_name(given):
    """Their order does not matter; the pictures stand by rising budget."""
    expected = data_of(gallery_page(**given).html)
    given["effects"] = given["effects"].sample(frac=1, random_state=0)
    assert data_of(gallery_page(**given).html) == expected
    first = expected["eyes"][0]
    assert first["prob"] == pytest.approx([0.1, 0.2, 0.5, 1.0])
    assert first["success"] == [False, False, False, True]
    assert first["l2"][0] == first["rms"][0] == 0


def test_an_unchanged_modulation_is_shown(given):
    """No gradient, no change: nothing is divided by its size."""
    given["modulated"][:] = given["pixels"]
    gallery = data_of(gallery_page(**given).html)
    assert gallery["amplifications"] == [255] * len(EPS)
    assert not np.ptp(decoded(gallery["pictures"][0]["changes"][0]))


def test_the_page_asks_for_nothing(given):
    """No tag loads anything, and the policy forbids it to the browser as well."""
    page = gallery_page(**given).html
    tags = Tags(page).tags
    assert not {name for name, _ in tags} & {"link", "iframe", "img", "object", "base", "form"}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in tags)
    policies = [attributes["content"] for _, attributes in tags if "http-equiv" in attributes]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    ]
    assert not re.search(r"createObjectURL|window\.open|fetch\(|url\(|@import", page)
    beside = gallery_page(**given, largest=0).html
    assert "script-src 'unsafe-inline' 'self' file:\">" in beside


def test_every_value_is_escaped(given):
    """Two scripts, ours, and no picture: what was given comes back as text."""
    tags = Tags(gallery_page(**given).html).tags
    page = gallery_page(**hostile(given)).html
    assert [name for name, _ in Tags(page).tags] == [name for name, _ in tags]
    assert data_of(page)["eyes"][0]["image_id"] == f"{EVIL}odir/10_left"
    assert data_of(page)["eyes"][0]["part"] == ["nothing", *[EVIL] * len(EPS)]


def without(name, column):
    return lambda given: given | {name: given[name].drop(columns=column)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("eyes", "min_norm"), "eyes: columns missing: min_norm"),
        (without("effects", ["l2", "rms"]), "effects: columns missing: l2, rms"),
        (without("effects", "most_changed"), "effects: columns missing: most_changed"),
        (lambda given: given | {"pixels": given["pixels"].astype(float)}, "pixels: must be uint8"),
        (
            lambda given: given | {"modulated": given["modulated"][:2]},
            r"modulated: must be uint8 \(3, 7, 12, 300, 3\).*not uint8 \(2, 7, 12, 300, 3\)",
        ),
        (lambda given: given | {"eyes": given["eyes"][:-1]}, "eyes: must be 7 rows"),
        (
            lambda given: given | {"eyes": given["eyes"].assign(image_id="a")},
            "eyes: must be 7 rows, one per picture, each image_id once",
        ),
        (lambda given: given | {"effects": given["effects"][:-1]}, "effects: must be 21 rows"),
        (
            lambda given: (
                given | {"effects": given["effects"].replace({"image_id": {"odir/1_left": "x"}})}
            ),
            "effects: must be 21 rows, each eye at each budget once",
        ),
        (
            lambda given: given | {"effects": given["effects"].assign(prob_target=1.5)},
            r"effects: prob_target=1.5: must lie in \[0, 1\]",
        ),
        (
            lambda given: given | {"eyes": given["eyes"].assign(prob_target_before=np.nan)},
            "eyes: prob_target_before=nan: must lie in",
        ),
        (
            lambda given: given | {"regions": given["pixels"]},
            r"regions: must be \(7, 12, 300\), not \(7, 12, 300, 3\)",
        ),
        (
            lambda given: (
                given | {"other": other_version(given)._replace(modulated=given["pixels"])}
            ),
            r"modulated: must be uint8 \(3, 7, 12, 300, 3\)",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(given, change, words):
    """One line says what, which value, what is allowed."""
    with pytest.raises(InputError, match=words) as caught:
        gallery_page(**change(given))
    assert "\n" not in str(caught.value)
