"""The gallery works in a real browser, by mouse and by keyboard."""

import csv
import re
import shutil
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps

from fundus_ml.imaging.regions import REGION_FLAGS
from fundus_ml.pages.gallery import gallery_page
from tests.fundus_ml.chromium import CHROMIUM, opened
from tests.fundus_ml.tiny_galleries import (
    EPS,
    EVIL,
    EYES,
    HEIGHT,
    PARTS,
    WIDTH,
    hostile,
    other_version,
    page_arguments,
)

KEYS = {"Enter": (13, "\r"), "Escape": (27, "")}


@pytest.fixture
def given():
    return page_arguments()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One tab for all pages of this file."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "empty.html").write_text("<!doctype html><title>empty</title>")
    with opened(folder / "empty.html", folder / "profile") as page:
        yield page, folder


@pytest.fixture
def visit(browser):
    """Open a page and wait until its first cards are drawn; nobody may complain or ask."""
    page, folder = browser

    def visit(gallery, *, media=(), address=""):
        page.send("Emulation.setEmulatedMedia", features=list(media))
        go(page, written(gallery, folder).as_uri() + address)
        return page

    page.said.clear()
    yield visit
    assert page.complaints() == []
    assert page.requests() == []


def written(gallery, folder):
    """Lay a gallery down as a run does."""
    for name, content in {"gallery.html": gallery.html, **gallery.files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder / "gallery.html"


def go(page, address):
    page.send("Emulation.clearDeviceMetricsOverride")
    page.evaluate("globalThis.left = true")
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=address)
    arrived = "!globalThis.left && document.readyState === 'complete'"
    page.wait_for(f"{arrived} && typeof state === 'object'")
    page.wait_for("document.querySelector('#grid canvas').dataset.shown")


def press(page, key):
    """A key that the browser itself obeys, not only the page."""
    code, text = KEYS[key]
    parameters = {"key": key, "code": key, "windowsVirtualKeyCode": code}
    page.send("Input.dispatchKeyEvent", type="keyDown", **parameters, text=text)
    page.send("Input.dispatchKeyEvent", type="keyUp", **parameters)


def enter(page, name, value):
    """Give a control a value, as a hand would."""
    page.evaluate(
        f"element('{name}').value = '{value}', element('{name}').dispatchEvent(new Event('input'))"
    )
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def card(image_id):
    return f"eyes.find((eye) => eye.image_id === '{image_id}').card"


def pixels_of(page, canvas, shown):
    """RGB of a canvas, once it shows what it should."""
    page.wait_for(f"{canvas}.dataset.shown === '{shown}'")
    flat = page.evaluate(
        f"[{canvas}].flatMap((canvas) => {{"
        " const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');"
        " copy.drawImage(canvas, 0, 0);"
        " return Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data); })"
    )
    return np.reshape(flat, (HEIGHT, WIDTH, 4)).astype(np.uint8)[..., :3]


def width_of(number):
    return f"{card(f'odir/{number}_left')}.querySelector('canvas').width"


def shown_ids(page):
    return page.evaluate("[...document.querySelectorAll('#grid .id')].map((id) => id.textContent)")


def words_of(page, selector):
    return page.evaluate(f"{selector}.innerText")


def test_the_slider_changes_picture_and_prob(given, visit):
    """From the largest budget, which the page opens at, down to the original: pixel by pixel."""
    page = visit(gallery_page(**given))
    canvas = f"{card('odir/10_left')}.querySelector('canvas')"
    for level, words in ((3, "0.10 → 1.00"), (1, "0.10 → 0.20"), (0, "0.10 → 0.10")):
        enter(page, "budget", level)
        now = given["modulated"][level - 1, 0] if level else given["pixels"][0]
        assert np.array_equal(pixels_of(page, canvas, f"odir/10_left {level} picture"), now)
        assert f"P(male) {words}" in words_of(page, card("odir/10_left"))
        name = "original" if level == 0 else f"{EPS[level - 1]:g}"
        assert words_of(page, "element('budget_now')") == name


def test_the_difference_has_the_colours_of_the_figures(given, visit):
    """Mean change over RGB on the diverging scale, whose ends the page states."""
    page = visit(gallery_page(**given))
    canvas = f"{card('odir/9_left')}.querySelector('canvas')"
    change = (given["modulated"][:, 1].astype(float) - given["pixels"][1]).mean(-1) / 255
    page.key("d")
    for level, amplified in ((3, ""), (2, "64")):
        enter(page, "amplified", amplified)
        enter(page, "budget", level)
        words = words_of(page, "document.querySelector('.scale')")
        factor = int(re.search(r"amplified (\d+)\D", words).group(1))
        assert amplified in ("", str(factor))
        assert f"+{float(f'{1 / factor:.2g}'):g}" in words
        expected = 255 * colormaps["RdBu_r"](0.5 + change[level - 1] * factor / 2)[..., :3]
        shown = pixels_of(page, canvas, f"odir/9_left {level} difference")
        assert np.abs(shown - expected).max() < 8
    ends = [
        np.quantile(np.abs((now.astype(float) - eye).mean(-1)), 0.998) / 255
        for now, eye in zip(given["modulated"][2], given["pixels"], strict=True)
    ]
    enter(page, "amplified", "")
    enter(page, "budget", 3)
    assert page.evaluate("amplification()") == round(1 / max(ends))


def test_flicker_blinks_and_stops(given, visit):
    """Off until asked for; both pictures come and go; the difference view ends it."""
    page = visit(gallery_page(**given))
    canvas = f"{card('odir/2_left')}.querySelector('canvas')"
    shown = "odir/2_left 3 picture"
    assert np.array_equal(pixels_of(page, canvas, shown), given["modulated"][2, 2])
    page.evaluate("element('rate').value = '3'")
    page.key("f")
    for original, expected in (
        (True, given["pixels"][2]),
        (False, given["modulated"][2, 2]),
    ):
        page.wait_for(f"state.flicker && state.original === {str(original).lower()}")
        page.evaluate("clearInterval(ticking)")
        assert np.array_equal(pixels_of(page, canvas, shown), expected)
        words = words_of(page, "document.querySelector('.phase')")
        assert words == ("original" if original else "budget 8")
        page.evaluate("element('rate').dispatchEvent(new Event('change'))")
    page.evaluate("blink(true)")
    page.key("d")
    page.wait_for("!state.flicker && !state.original && state.difference")
    pressed = "[...document.querySelectorAll('button.flicker')].map((b) => b.ariaPressed).join()"
    page.wait_for(f"{pressed} === 'false,false'")


def test_who_wants_less_motion_gets_none_unasked(given, visit):
    """Slow when they start it; stopped when they say so later."""
    less = {"name": "prefers-reduced-motion", "value": "reduce"}
    page = visit(gallery_page(**given), media=[less])
    assert page.evaluate("[state.flicker, element('rate').value]") == [False, "0.5"]
    page = visit(gallery_page(**given))
    page.key("f")
    page.wait_for("state.flicker")
    page.send("Emulation.setEmulatedMedia", features=[less])
    page.wait_for("!state.flicker && !state.original")


def test_only_what_is_near_the_screen_is_decoded(given, visit):
    """A card that is scrolled away gives its pixels back."""
    page = visit(gallery_page(**given))
    drawn = "eyes.map((eye) => eye.card.querySelector('canvas').width)"
    assert page.evaluate(drawn) == [WIDTH] * EYES
    narrow = {"width": 260, "height": 200, "deviceScaleFactor": 1, "mobile": False}
    page.send("Emulation.setDeviceMetricsOverride", **narrow)
    for near, far in ((33, 1), (1, 33)):
        page.evaluate(f"{card(f'odir/{near}_left')}.scrollIntoView()")
        page.wait_for(f"{width_of(near)} === {WIDTH} && {width_of(far)} === 0")


def test_a_picture_that_comes_too_late_is_not_shown(given, visit):
    """Whatever was asked for last is what a canvas shows."""
    page = visit(gallery_page(**given))
    late = (
        "const view = new View(document.createElement('canvas')); const late = view.show(eyes[0]);"
    )
    shown = page.evaluate(
        f"(async () => {{ {late} view.release(); await late; return view.canvas.width; }})()"
    )
    assert shown == 0


def test_parts_are_named_only_where_some_are_known(given, visit):
    """Without region maps there is neither a line on the card, nor a fact, nor a filter."""
    filter_shown = "element('part').offsetParent !== null"
    on_card = f"{card(given['eyes']['image_id'].iloc[0])}.querySelector('.part').textContent"
    in_facts = "element('facts').textContent.includes('most changed')"
    for known in (True, False):
        if not known:
            given["effects"]["most_changed"] = ""
        page = visit(gallery_page(**given))
        assert page.evaluate(filter_shown) is known
        assert page.evaluate(on_card).startswith("most changed") is known
        page.evaluate("eyes[0].card.click()")
        page.wait_for("element('facts').textContent.includes('minimal norm')")
        assert page.evaluate(in_facts) is known


def test_filters_and_orders_are_those_of_a_table(given, visit):
    """Each choice shows the rows that pandas keeps, and counts them."""
    page = visit(gallery_page(**given))
    table = given["eyes"].assign(
        number=given["eyes"]["image_id"].str.extract(r"(\d+)").astype(int).to_numpy(),
        part=[part or "unknown" for part in PARTS[1]],
        right=(given["eyes"]["prob_target_before"] > 0.5)
        == (given["eyes"]["target"] == given["eyes"]["class"]),
        prob=given["effects"]["prob_target"].to_numpy().reshape(3, -1)[1],
        success=given["effects"]["success"].to_numpy().reshape(3, -1)[1],
    )
    table["change"] = table["prob"] - table["prob_target_before"]
    enter(page, "budget", 2)
    for choice, kept in (
        ({}, table["class"] != ""),
        ({"class": "female"}, table["class"] == "female"),
        ({"target": "female"}, table["target"] == "female"),
        ({"success": "yes"}, table["success"]),
        ({"success": "no", "class": "male"}, ~table["success"] & (table["class"] == "male")),
        ({"part": "unknown"}, table["part"] == "unknown"),
        ({"part": "disc"}, table["part"] == "disc"),
        ({"before": "yes"}, table["right"]),
        ({"before": "no"}, ~table["right"]),
        ({"from": "1"}, table["min_norm"] >= 1),
        ({"to": "1.5"}, table["min_norm"] <= 1.5),
        ({"from": "0.5", "to": "2"}, table["min_norm"].between(0.5, 2)),
        ({"class": "female", "part": "vessels"}, table["class"] == ""),
    ):
        page.evaluate("element('reset').click()")
        for name, value in choice.items():
            enter(page, name, value)
        expected = table[kept].sort_values("number")
        enter(page, "order", 1)
        assert shown_ids(page) == expected["image_id"].tolist(), choice
        count = words_of(page, "element('count')")
        assert count.startswith(f"showing {len(expected)} of {EYES}")
        if len(expected):
            assert f", {expected['success'].sum()} of them seen" in count
    page.evaluate("element('reset').click()")
    for sort, column in (("image_id", "number"), ("min_norm",) * 2, ("prob",) * 2, ("change",) * 2):
        for order, rising in ((1, True), (-1, False)):
            enter(page, "sort", sort)
            enter(page, "order", order)
            expected = table.sort_values("number").sort_values(
                column, ascending=rising, kind="stable", na_position="last"
            )
            assert shown_ids(page) == expected["image_id"].tolist(), (sort, order)


def test_a_card_keeps_the_focus_when_its_place_changes(given, visit):
    """Whoever sorts by P(target) with the keyboard does not start again at the top."""
    page = visit(gallery_page(**given))
    enter(page, "sort", "prob")
    page.evaluate(f"{card('odir/4_left')}.focus()")
    before = shown_ids(page)
    enter(page, "budget", 0)
    assert shown_ids(page) != before
    assert page.evaluate(f"document.activeElement === {card('odir/4_left')}")


def test_everything_works_from_the_keyboard(given, visit):
    """Enter enlarges, arrows walk through the shown eyes and the budgets, Escape goes back."""
    page = visit(gallery_page(**given))
    enter(page, "class", "female")
    assert shown_ids(page) == [f"odir/{n}_left" for n in (2, 4, 5, 10)]
    page.evaluate(f"{card('odir/4_left')}.focus()")
    press(page, "Enter")
    page.wait_for("dialog.open")
    large = "element('large')"
    shown = pixels_of(page, large, "odir/4_left 3 picture")
    assert np.array_equal(shown, given["modulated"][2, 5])
    for key, expected in (
        ("ArrowRight", "odir/5_left 3 picture"),
        ("ArrowRight", "odir/10_left 3 picture"),
        ("ArrowRight", "odir/10_left 3 picture"),
        ("ArrowUp", "odir/10_left 3 picture"),
        ("ArrowDown", "odir/10_left 2 picture"),
        ("d", "odir/10_left 2 difference"),
        ("d", "odir/10_left 2 picture"),
        ("ArrowLeft", "odir/5_left 2 picture"),
    ):
        page.key(key)
        shown = pixels_of(page, large, expected)
    assert np.array_equal(shown, given["modulated"][1, 6])
    assert "0.450 → 0.650" in words_of(page, "element('facts')")
    rows = words_of(page, "element('path')").splitlines()
    assert [row.split()[0] for row in rows] == ["original", "0.5", "2", "8"]
    assert page.evaluate("document.querySelector('[aria-current]').rowIndex") == 3
    page.key("f")
    page.wait_for("state.flicker")
    page.key("f")
    page.wait_for("!state.flicker")
    press(page, "Escape")
    page.wait_for(f"!dialog.open && document.activeElement === {card('odir/5_left')}")


def test_keys_in_a_field_are_text(given, visit):
    """A letter that chooses an entry of a list does not start the flicker."""
    page = visit(gallery_page(**given))
    page.evaluate("element('class').focus()")
    page.key("f")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert page.evaluate("[state.flicker, state.difference]") == [False, False]


def test_hostile_names_are_text(given, visit):
    """In cards, lists and the enlarged view."""
    page = visit(gallery_page(**hostile(given)))
    page.evaluate("document.querySelector('.card').click()")
    page.wait_for("element('large').dataset.shown")
    assert words_of(page, "element('name')") == f"{EVIL}odir/1_left"
    assert EVIL in words_of(page, "document.querySelector('.card .part')")
    assert page.evaluate("element('part').options[1].text") == EVIL
    page.evaluate("dialog.close()")
    page.wait_for("!location.hash.includes('eye')")
    assert page.evaluate("[typeof hit, document.images.length]") == ["undefined", 0]


def enlarge(page, number):
    page.evaluate(f"{card(f'odir/{number}_left')}.click()")
    page.wait_for(f"element('large').dataset.shown?.startsWith('odir/{number}_left')")


def box_of(page, name):
    """Left, top, right and bottom of an element, in pixels of the screen."""
    return page.evaluate(
        f"(({{ left, top, right, bottom }}) => [left, top, right, bottom])"
        f"(element('{name}').getBoundingClientRect())"
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


def asked_for(page):
    """Files of pictures that the browser read since the last page was opened."""
    sent = [
        event["params"]["request"]["url"]
        for event in page.said
        if event["method"] == "Network.requestWillBeSent"
    ]
    return sorted(int(url[-8:-3]) for url in sent if url.endswith(".js"))


def test_pictures_beside_the_page_are_read_when_shown(given, visit):
    """From a file system, without a server; whoever looks at fewer eyes reads fewer."""
    whole, apart = gallery_page(**given), gallery_page(**given, largest=0)
    page = visit(apart)
    canvas = f"{card('odir/10_left')}.querySelector('canvas')"
    shown = pixels_of(page, canvas, "odir/10_left 3 picture")
    assert np.array_equal(shown, given["modulated"][2, 0])
    assert asked_for(page) == list(range(EYES))
    assert len(apart.html) < len(whole.html)


def test_pictures_of_another_run_are_refused(given, browser):
    """Or lacking: the page says what to download, and is right again when they are there."""
    page, folder = browser
    for files, words in (
        (gallery_page(**given | {"words": "other"}, largest=0).files, "belong to another gallery"),
        ({}, "were not found"),
    ):
        page.send("Page.navigate", url="about:blank")
        shutil.rmtree(folder / "gallery", ignore_errors=True)
        apart = gallery_page(**given, largest=0)
        file = written(apart._replace(files=files), folder)
        page.send("Page.navigate", url=file.as_uri())
        page.wait_for("document.getElementById('problem')?.textContent")
        assert f"Pictures {words}. They lie in the folder gallery" in page.text("problem")
        assert page.evaluate("document.querySelector('#grid canvas').dataset.shown ?? ''") == ""
        written(apart, folder)
        page.evaluate("change({})")
        page.wait_for("document.querySelector('#grid canvas').dataset.shown")


def large_study(count):
    """A study of many eyes, each a few pixels that say which it is."""
    eps = np.arange(1.0, 9.0)
    place = np.arange(count)
    pixels = np.zeros((count, 8, 8, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = (place % 250)[:, None, None], (place // 250)[:, None, None]
    modulated = np.stack([pixels + np.uint8(step) for step in range(1, 9)])
    eyes = pd.DataFrame(
        {
            "image_id": [f"odir/{n}_left" for n in place], "class": np.where(place % 2, "a", "b"),
            "eye": "left", "target": np.where(place % 2, "b", "a"),
            "prob_target_before": 0.1, "min_norm": (place * 7919 % count) / 100,
        }
    )  # fmt: skip
    effects = pd.DataFrame(
        {
            "image_id": np.tile(eyes["image_id"], 8), "eps": np.repeat(eps, count),
            "prob_target": np.repeat(eps / 10, count), "success": np.repeat(eps > 5, count),
            "l2": 1.0, "rms": 0.1, "most_changed": "",
        }
    )  # fmt: skip
    return {
        "title": "Large", "words": "", "eyes": eyes, "pixels": pixels, "modulated": modulated,
        "effects": effects,
    }  # fmt: skip


@pytest.mark.slow
def test_a_thousand_eyes_are_paged(visit):
    """Filters and orders are those of all eyes; only eyes of the shown page are laid or read."""
    study = large_study(1000)
    page = visit(gallery_page(**study, largest=0))
    assert page.evaluate("document.querySelectorAll('.card').length") == 48
    assert words_of(page, "element('count')").startswith("showing 1000 of 1000, 1000 of them")
    first = asked_for(page)
    assert first
    assert set(first) <= set(range(48))
    page.key("n")
    page.wait_for("laid[0].place === 48 && laid[0].card.querySelector('canvas').dataset.shown")
    assert set(asked_for(page)) - set(first) <= set(range(96))
    page.evaluate("document.querySelectorAll('.page')[1].value = 20")
    page.evaluate("document.querySelectorAll('.page')[1].dispatchEvent(new Event('input'))")
    page.wait_for("laid[0].place === 960 && laid.at(-1).place === 999")
    page.wait_for("laid[0].card.querySelector('canvas').dataset.shown")
    assert set(asked_for(page)) <= {*range(96), *range(960, 1000)}
    assert page.evaluate("document.querySelector('.page_after').disabled")
    enter(page, "class", "a")
    enter(page, "sort", "min_norm")
    enter(page, "order", -1)
    expected = study["eyes"].query("`class` == 'a'").sort_values("min_norm", ascending=False)
    assert shown_ids(page) == expected["image_id"].tolist()[:48]
    assert page.evaluate("document.querySelector('.page_count').textContent") == "11"
    canvas = "laid[0].card.querySelector('canvas')"
    for level in (3, 8):
        enter(page, "budget", level)
        page.wait_for(f"{canvas}.dataset.shown?.endsWith(' {level} picture')")
    place = expected.index[0]
    colour = page.evaluate(f"Array.from({canvas}.getContext('2d').getImageData(4, 4, 1, 1).data)")
    assert colour == [*study["modulated"][7, place, 4, 4].tolist(), 255]
    page.evaluate("laid[47].card.click()")
    page.wait_for("dialog.open")
    page.key("ArrowRight")
    page.wait_for("element('large').dataset.shown?.startsWith(shown[48].image_id)")
    press(page, "Escape")
    page.wait_for("!dialog.open && state.page === 1 && document.activeElement === laid[0].card")


@contextmanager
def sandboxed(html):
    """Serve a page as a frame with ``sandbox="allow-scripts"`` shows it; say what was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", "sandbox allow-scripts")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()


def test_a_sandbox_that_only_allows_scripts_is_enough(given, browser):
    """MLflow shows artifacts in one: an origin of its own, no storage, no forms, no popups."""
    page, _ = browser
    page.said.clear()
    with sandboxed(gallery_page(**given).html) as (address, asked):
        go(page, f"{address}/gallery.html")
        assert page.evaluate("origin") == "null"
        canvas = f"{card('odir/10_left')}.querySelector('canvas')"
        shown = pixels_of(page, canvas, "odir/10_left 3 picture")
        page.evaluate("element('from').focus()")
        press(page, "Enter")
        page.evaluate(f"{card('odir/10_left')}.focus()")
        press(page, "Enter")
        page.wait_for("dialog.open")
        large = pixels_of(page, "element('large')", "odir/10_left 3 picture")
        enter(page, "note", "seen")
        assert "keeps nothing" in words_of(page, "element('note_kept')")
        assert page.evaluate("element('save').textContent") == "Save 1 note as CSV"
        page.send("Page.navigate", url="about:blank")
    assert np.array_equal(shown, given["modulated"][2, 0])
    assert np.array_equal(large, shown)
    assert page.complaints() == []
    assert asked == ["/gallery.html"]
