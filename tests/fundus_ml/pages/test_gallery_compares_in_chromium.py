"""Beside the original or another version, with outlines, addresses and notes, in a browser."""

import csv
from io import StringIO

import numpy as np
import pytest

from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.pages.gallery import gallery_page
from tests.fundus_ml.pages.gallery_in_browser import (
    box_of,
    card,
    enlarge,
    enter,
    pixels_of,
    shown_ids,
    words_of,
)
from tests.fundus_ml.tiny_galleries import (
    EYES,
    HEIGHT,
    WIDTH,
    other_version,
)


@pytest.mark.parametrize("width", [800, 1280])
def test_the_original_stands_beside_or_lies_under_a_divider(given, visit, width):
    """By key and by button; the divider follows the pointer and its own arrow keys."""
    page = visit(gallery_page(**given))
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.send("Emulation.setDeviceMetricsOverride", **screen)
    enlarge(page, 2)
    page.key("b")
    second = pixels_of(page, "element('second')", "odir/2_left original")
    assert np.array_equal(second, given["pixels"][2])
    left, top, right, bottom = box_of(page, "second")
    beside = box_of(page, "large")
    assert right <= beside[0]
    assert [top, bottom] == pytest.approx([beside[1], beside[3]], abs=1)
    assert "original, P(male) 0.20" in words_of(page, "element('second_words')")
    assert "budget 8, P(male) 0.28" in words_of(page, "element('large_words')")
    page.key("d")
    pixels_of(page, "element('large')", "odir/2_left 3 difference")
    page.key("d")
    page.key("w")
    pixels_of(page, "element('large')", "odir/2_left 3 picture")
    page.wait_for("!element('divider').hidden && element('second').dataset.shown")
    assert box_of(page, "second") == box_of(page, "large") == box_of(page, "divider")
    assert page.evaluate("document.querySelectorAll('[aria-pressed=true].compare').length") == 1
    left, top, right, bottom = box_of(page, "divider")
    at = {"x": left + (right - left) / 4, "y": (top + bottom) / 2, "button": "left"}
    page.send("Input.dispatchMouseEvent", type="mousePressed", clickCount=1, **at)
    page.send("Input.dispatchMouseEvent", type="mouseReleased", clickCount=1, **at)
    assert page.evaluate("element('divider').value") == "25"
    clipped = "getComputedStyle(element('second')).clipPath"
    assert "75%" in page.evaluate(clipped)
    page.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", windowsVirtualKeyCode=39)
    page.send("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight", windowsVirtualKeyCode=39)
    assert page.evaluate("element('divider').value") == "26"
    assert page.evaluate("enlarged.image_id") == "odir/2_left"
    page.evaluate("document.querySelector('[aria-pressed=true].compare').click()")
    page.wait_for("element('compared').hidden && element('second').width === 0")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_another_version_is_shown_at_the_same_budget(given, visit):
    """Its pictures and what it sees, and nothing of it where there is none."""
    other = other_version(given)
    page = visit(gallery_page(**given, other=other))
    enlarge(page, 9)
    page.key("v")
    for level in (3, 2):
        shown = pixels_of(page, "element('second')", f"odir/9_left {level} picture other")
        assert np.array_equal(shown, other.modulated[level - 1, 1])
        words = words_of(page, "element('second_words')")
        assert words == "version 7: P(female) 0.25 → 0.50, seen by itself"
        page.key("ArrowDown")
    page = visit(gallery_page(**given))
    enlarge(page, 9)
    page.key("v")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    buttons = "[...document.querySelectorAll('button.compare')].map((button) => button.hidden)"
    assert page.evaluate(f"[state.compare, ...{buttons}]") == ["", False, False, True]


def test_structures_are_outlined_where_the_dataset_maps_them(given, visit):
    """On cards and on the enlarged eye, named in a legend; no button where there are no maps."""
    regions = np.full((EYES, HEIGHT, WIDTH), REGION_FLAGS["retina"], np.uint8)
    regions[:, 4:9, 40:60] |= REGION_FLAGS["disc"]
    page = visit(gallery_page(**given, regions=regions))
    lines = "[...document.querySelectorAll('#grid .outlines path, #changed path')]"
    assert page.evaluate(f"{lines}.length") == 0
    page.key("o")
    page.wait_for(f"{lines}.length === {EYES}")
    assert "disc" in words_of(page, "document.querySelector('.legend')")
    enlarge(page, 2)
    page.wait_for(f"{lines}.length === {EYES + 1}")
    left, top, right, _ = box_of(page, "large")
    scale = (right - left) / WIDTH
    drawn = page.evaluate(
        "(({ left, top, width, height }) => [left, top, width, height])"
        "(document.querySelector('#changed path').getBoundingClientRect())"
    )
    expected = [left + 40.5 * scale, top + 4.5 * scale, 19 * scale, 4 * scale]
    assert drawn == pytest.approx(expected, abs=2)
    page.key("o")
    page.wait_for(f"{lines}.length === 0")
    page = visit(gallery_page(**given))
    assert page.evaluate("document.querySelector('button.outlined').hidden")


def test_an_address_leads_back(given, visit):
    """Eye and budget are in it while one moves, and are shown when one comes with it."""
    page = visit(gallery_page(**given))
    enlarge(page, 9)
    page.key("ArrowDown")
    page.wait_for("location.hash === '#eye=odir%2F9_left&eps=2'")
    page.key("ArrowRight")
    page.wait_for("location.hash === '#eye=odir%2F10_left&eps=2'")
    page = visit(gallery_page(**given), address="#eye=odir%2F9_left&eps=0.5")
    shown = pixels_of(page, "element('large')", "odir/9_left 1 picture")
    assert np.array_equal(shown, given["modulated"][0, 1])
    assert words_of(page, "element('place')") == f"5 of {EYES}"
    page.evaluate("location.hash = '#eye=odir%2F2_left&eps=0'")
    pixels_of(page, "element('large')", "odir/2_left 0 picture")
    page.evaluate("location.hash = '#eps=8'")
    page.wait_for("!dialog.open && state.level === 3 && location.hash === '#eps=8'")
    page = visit(gallery_page(**given), address="#eye=nobody&eps=3")
    words = "This page has no budget 3 and no eye nobody, which its address asks for."
    assert words_of(page, "element('problem')") == words


def test_notes_are_kept_and_handed_out(given, visit):
    """Notes belong to one gallery; typed letters are text; the table quotes what a table must."""
    page = visit(gallery_page(**given))
    page.evaluate("localStorage.clear()")
    enlarge(page, 9)
    page.evaluate("element('note').focus()")
    for letter in 'fd, "b"':
        page.key(letter)
    assert page.evaluate("[state.flicker, state.difference]") == [False, False]
    page.evaluate("location.hash = '#eye=odir%2F2_left&eps=8'")
    page.wait_for("enlarged.image_id === 'odir/2_left' && element('note').value === ''")
    page.evaluate("location.hash = '#eye=odir%2F9_left&eps=8'")
    page.wait_for("""element('note').value === 'fd, "b"'""")
    page.evaluate("element('note').blur()")
    page.key("ArrowRight")
    page.wait_for("element('note').value === ''")
    page = visit(gallery_page(**given))
    page.wait_for("!element('save').hidden")
    assert words_of(page, "element('save')") == "Save 1 note as CSV"
    table = page.evaluate("decodeURIComponent(element('save').href.split(',').slice(1).join())")
    (row,) = csv.DictReader(StringIO(table))
    assert row == {
        "image_id": "odir/9_left", "class": "male", "eye": "left", "target": "female",
        "note": 'fd, "b"',
    }  # fmt: skip
    enter(page, "noted", "yes")
    assert shown_ids(page) == ["odir/9_left"]
    assert 'fd, "b"' in words_of(page, card("odir/9_left"))
    enlarge(page, 9)
    assert page.evaluate("element('note').value") == 'fd, "b"'
    enter(page, "note", "")
    page.wait_for("element('save').hidden")
    page = visit(gallery_page(**given | {"words": "version 4"}))
    assert page.evaluate("element('save').hidden")
