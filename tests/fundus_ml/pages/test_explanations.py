"""The page of explanations, in a real browser."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.pages.explanations import MappedEyes, explanations_page
from tests.fundus_ml.pages.gallery_in_browser import press

SIDE, EYES = 24, 3
EVIL = '<img src=x onerror="hit = 1">\'&'


@pytest.fixture
def arguments():
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 200, (EYES, SIDE, SIDE, 3)).astype(np.uint8)
    regions = np.zeros((EYES, SIDE, SIDE), np.uint8)
    regions[:, 4:10, 4:10] = 2
    maps = {
        method: rng.normal(size=(EYES, SIDE, SIDE)).astype(np.float32)
        for method in ("gradient", "grad_cam", "random")
    }
    ids = [f"odir/{place}_left" for place in range(EYES)]
    scores = pd.DataFrame(
        {
            "image_id": [ids[0], ids[0], ids[1]], "method": "grad_cam",
            "score": ["enrichment", "gini", "gini"], "part": ["disc", "", ""],
            "value": [4.25, np.nan, 0.5],
        }
    )  # fmt: skip
    return {
        "title": "Explanations of 3 eyes",
        "words": "models:/fundus-sex/1",
        "eyes": pd.DataFrame(
            {"image_id": ids, "class": "female", "eye": "left", "prob": [0.25, 0.5, 0.75]}
        ),
        "explained": MappedEyes(pixels=pixels, maps=maps, regions=regions),
        "classes": ("female", "male"),
        "scores": scores,
        "controls": ["random"],
    }


@pytest.fixture
def shown(arguments, browser):
    """The page, opened; nobody complains and nothing is asked for."""
    page, folder = browser

    def show(**changed):
        path = folder / "explanations.html"
        path.write_text(explanations_page(**arguments | changed), encoding="utf-8")
        page.send("Page.navigate", url="about:blank")
        page.send("Page.navigate", url=path.as_uri())
        page.wait_for("document.readyState === 'complete' && typeof given === 'object'")
        page.wait_for("element('large').dataset.shown")
        return page

    page.said.clear()
    yield show
    assert page.complaints() == []
    assert page.requests() == []


def given_of(html):
    return json.loads(re.search(r'id="given">(.*?)</script>', html, re.DOTALL)[1])


def decoded(text):
    from base64 import b64decode  # noqa: PLC0415 (only here)

    return cv2.imdecode(np.frombuffer(b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)


def test_what_the_page_holds_is_what_was_given(arguments):
    given = given_of(explanations_page(**arguments))
    explained = arguments["explained"]
    assert [each["name"] for each in given["methods"]] == list(explained.maps)
    assert [each["control"] for each in given["methods"]] == [False, False, True]
    for place, eye in enumerate(given["eyes"]):
        assert np.array_equal(decoded(eye["picture"])[..., ::-1], explained.pixels[place])
        strip = decoded(eye["maps"]).reshape(3, SIDE, SIDE).astype(float)
        for found, maps in zip(strip, explained.maps.values(), strict=True):
            largest = np.quantile(np.abs(maps[place]), 0.998)
            wanted = 128 + 127 * np.clip(maps[place] / largest, -1, 1)
            assert np.abs(found - wanted).max() <= 0.51
    assert given["eyes"][0]["scores"] == {"grad_cam": {"enrichment disc": 4.25, "gini": None}}
    assert given["eyes"][2]["scores"] == {}


def test_arrows_walk_through_eyes_and_methods(shown):
    page = shown()
    assert page.evaluate("element('large').dataset.shown") == "odir/0_left gradient"
    for key, now in (
        ("ArrowDown", "odir/0_left grad_cam"),
        ("ArrowRight", "odir/1_left grad_cam"),
        ("ArrowLeft", "odir/0_left grad_cam"),
        ("ArrowLeft", "odir/2_left grad_cam"),
        ("ArrowUp", "odir/2_left gradient"),
        ("ArrowUp", "odir/2_left random"),
    ):
        page.key(key)
        page.wait_for(f"element('large').dataset.shown === '{now}'")
    assert "P(male) 0.75" in page.evaluate("element('name').textContent")
    pressed = page.evaluate("[...element('methods').children].map((each) => each.ariaPressed)")
    assert pressed == ["false", "false", "true"]


def test_a_map_is_laid_over_the_eye_and_scores_stand_beside(shown):
    page = shown()
    page.evaluate("element('strength').value = 0; draw()")
    colour = (
        "(() => { const copy = new OffscreenCanvas(1, 1).getContext('2d');"
        " copy.drawImage(element('large'), 0, 0);"
        " return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3); })()"
    )
    first = page.evaluate("given.eyes[0].id")
    page.wait_for(f"element('large').dataset.shown === '{first} gradient'")
    bare = page.evaluate(colour)
    page.evaluate("element('strength').value = 100; delete element('large').dataset.shown; draw()")
    page.wait_for("element('large').dataset.shown")
    assert page.evaluate(colour) != bare
    page.key("ArrowDown")
    page.wait_for("element('large').dataset.shown.endsWith('grad_cam')")
    cells = page.evaluate("[...element('scores').querySelectorAll('tr')].map((row) => "
                          "[...row.cells].map((cell) => cell.textContent).join('|'))")  # fmt: skip
    assert cells == ["method|enrichment disc|gini", "grad cam|4.25|\u2013"]
    assert page.evaluate("element('outlines').hidden") is False
    page.key("o")
    page.wait_for("element('outlines').hidden")
    page.evaluate("element('outlined').focus()")
    press(page, "Enter")
    page.wait_for("!element('outlines').hidden")


def test_hostile_names_are_text(arguments, shown):
    eyes = arguments["eyes"].assign(**{"class": EVIL, "image_id": EVIL})
    page = shown(eyes=eyes, title=EVIL, words=EVIL, scores=None)
    assert EVIL in page.evaluate("element('name').textContent")
    assert page.evaluate("typeof hit") == "undefined"


def test_what_does_not_belong_together_is_refused(arguments):
    explained = arguments["explained"]
    with pytest.raises(InputError, match=r"^maps: none is given$"):
        explanations_page(**arguments | {"explained": MappedEyes(pixels=explained.pixels, maps={})})
    short = {"gradient": explained.maps["gradient"][:2]}
    with pytest.raises(
        InputError, match=r"^gradient: \(2, 24, 24\) given for pixels \(3, 24, 24\)"
    ):
        explanations_page(
            **arguments | {"explained": MappedEyes(pixels=explained.pixels, maps=short)}
        )
    with pytest.raises(InputError, match=r"^eyes: 2 rows for 3 pictures$"):
        explanations_page(**arguments | {"eyes": arguments["eyes"][:2]})
