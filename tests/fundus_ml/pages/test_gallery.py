"""The gallery holds what was measured and stays below its size."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fundus_ml.errors import InputError
from fundus_ml.pages.gallery import gallery_page
from tests.fundus_ml.tiny_galleries import (
    EPS,
    EVIL,
    Tags,
    data_of,
    decoded,
    hostile,
    page_arguments,
    relative_errors,
    stored_changes,
)


@pytest.fixture
def given():
    return page_arguments()


def test_where_it_fits_nothing_is_lost(given):
    """Modulo 256 every change comes back, also the one from 0 to 255."""
    page = gallery_page(**given)
    gallery = data_of(page)
    assert gallery["exact"]
    assert "embedded without loss" in page
    for place, eye in enumerate(gallery["eyes"]):
        original = decoded(eye["original"])
        assert np.array_equal(original, given["pixels"][place])
        for slab, (content, _) in zip(given["modulated"], eye["changes"], strict=True):
            now = original.astype(int) + decoded(content) - 128
            assert np.array_equal(now % 256, slab[place])


def test_the_page_stays_below_its_size_at_the_best_quality_that_does(given):
    """Smaller pages have worse pictures, and each says how far its changes are off."""
    whole = len(gallery_page(**given).encode())
    changes = given["modulated"].astype(float) - given["pixels"]
    qualities, errors = [], []
    for share in (0.9, 0.75, 0.6):
        page = gallery_page(**given, largest=int(share * whole))
        assert len(page.encode()) <= share * whole
        quality, error = re.search(r"quality (\d+).* off by (\d+) %", page, re.DOTALL).groups()
        qualities.append(int(quality))
        errors.append(int(error))
        shown = stored_changes(data_of(page))
        assert errors[-1] == pytest.approx(100 * np.median(relative_errors(shown, changes)), abs=1)
    assert qualities == sorted(qualities, reverse=True)
    assert errors == sorted(errors)
    assert 20 <= qualities[-1] < qualities[0] <= 95


def test_compressing_an_eye_does_not_pass_for_a_change(given):
    """Two pictures compressed apart differ by far more than a small change; ours do not."""
    page = gallery_page(**given, largest=len(gallery_page(**given)) // 2)
    quality = int(re.search(r"quality (\d+)", page).group(1))
    changes = given["modulated"].astype(float) - given["pixels"]
    ours = relative_errors(stored_changes(data_of(page)), changes)
    apart = [[through_webp(eye, quality) for eye in slab] for slab in given["modulated"]]
    originals = [through_webp(eye, quality) for eye in given["pixels"]]
    plain = relative_errors(np.asarray(apart) - originals, changes)
    assert (plain[:2] > 1).all()
    assert (ours[:2] < plain[:2] / 3).all()


def through_webp(picture, quality):
    """What a lossy WebP leaves of a picture."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=quality)
    return np.asarray(Image.open(file).convert("RGB")).astype(float)


def test_an_unfound_and_an_unsearched_budget_are_told_apart(given):
    """Neither is a number in JSON."""
    eyes = data_of(gallery_page(**given))["eyes"]
    assert [eye["min_norm"] for eye in eyes] == [1.5, 0, None, 0.75, None, 7, 2]
    assert [eye["searched"] for eye in eyes] == [True] * 4 + [False] + [True] * 2


def test_effects_are_matched_by_name(given):
    """Their order does not matter; the pictures stand by rising budget."""
    expected = data_of(gallery_page(**given))
    given["effects"] = given["effects"].sample(frac=1, random_state=0)
    assert data_of(gallery_page(**given)) == expected
    first = expected["eyes"][0]
    assert first["prob"] == pytest.approx([0.1, 0.2, 0.5, 1.0])
    assert first["success"] == [False, False, False, True]
    assert first["l2"][0] == first["rms"][0] == 0


def test_an_unchanged_modulation_is_shown(given):
    """No gradient, no change: nothing is divided by its size."""
    given["modulated"][:] = given["pixels"]
    whole = gallery_page(**given)
    for page in (whole, gallery_page(**given, largest=len(whole) - 5000)):
        gallery = data_of(page)
        assert gallery["exact"] == (page == whole)
        assert gallery["amplifications"] == [255] * len(EPS)
        assert not np.ptp(decoded(gallery["eyes"][0]["changes"][0][0]))


def test_the_page_asks_for_nothing(given):
    """No tag loads anything, and the policy forbids it to the browser as well."""
    page = gallery_page(**given)
    tags = Tags(page).tags
    assert not {name for name, _ in tags} & {"link", "iframe", "img", "object", "base", "form"}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in tags)
    policies = [attributes["content"] for _, attributes in tags if "http-equiv" in attributes]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    ]
    assert not re.search(r"localStorage|createObjectURL|window\.open|fetch\(|url\(|@import", page)


def test_every_value_is_escaped(given):
    """Two scripts, ours, and no picture: what was given comes back as text."""
    tags = Tags(gallery_page(**given)).tags
    page = gallery_page(**hostile(given))
    assert [name for name, _ in Tags(page).tags] == [name for name, _ in tags]
    assert data_of(page)["eyes"][0]["image_id"] == f"{EVIL}odir/10_left"
    assert data_of(page)["eyes"][0]["part"] == EVIL


def without(name, column):
    return lambda given: given | {name: given[name].drop(columns=column)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("eyes", "min_norm"), "eyes: columns missing: min_norm"),
        (without("effects", ["l2", "rms"]), "effects: columns missing: l2, rms"),
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
            lambda given: given | {"largest": 20_000},
            "largest=20000: 7 eyes at 3 budgets take about .* bytes even at WebP quality 20",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(given, change, words):
    """One line says what, which value, what is allowed."""
    with pytest.raises(InputError, match=words) as caught:
        gallery_page(**change(given))
    assert "\n" not in str(caught.value)
