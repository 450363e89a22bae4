"""The gallery works in a real browser, by mouse and by keyboard."""

import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
from matplotlib import colormaps

from fundus_ml.pages.gallery import gallery_page
from tests.fundus_ml.pages.gallery_in_browser import (
    card,
    enter,
    go,
    pixels_of,
    press,
    shown_ids,
    width_of,
    words_of,
)
from tests.fundus_ml.tiny_galleries import (
    EPS,
    EVIL,
    EYES,
    PARTS,
    WIDTH,
    hostile,
)


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
    page.wait_for(
        f"eyes.every(({{ card }}) => card.querySelector('canvas').dataset.shown"
        f" && card.querySelector('canvas').width === {WIDTH})"
    )
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
