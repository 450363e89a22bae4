"""The pictures of a trial in a real browser: looked at closely, and tried on one pair first."""

import pytest

from fundus_ml.reader_study import StudyOptions, make_study
from tests.fundus_ml.chromium import CHROMIUM, opened
from tests.fundus_ml.reader_study.test_page import begin, practise, written
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_modulation(folder, eyes=4)
    made = make_study(folder, StudyOptions(catch_trials=0))
    return made, written(made, folder)


@pytest.fixture(scope="module")
def browser(study, tmp_path_factory):
    with opened(study[1], tmp_path_factory.mktemp("tab") / "profile") as page:
        yield page


@pytest.fixture
def fresh(study, browser):
    """The page as it is opened; nobody may complain or ask for anything."""
    browser.said.clear()
    browser.send("Page.navigate", url=study[1].as_uri())
    browser.wait_for("document.readyState === 'complete' && !underway")
    yield browser
    assert browser.complaints() == []
    assert browser.requests() == []
    browser.evaluate("underway = false")  # so that it may be left
    browser.send("Emulation.clearDeviceMetricsOverride")
    browser.send("Emulation.setTouchEmulationEnabled", enabled=False)


@pytest.fixture
def page(fresh):
    """The first trial."""
    begin(fresh, "r")
    practise(fresh)
    ready(fresh)
    return fresh


def ready(page):
    page.wait_for("shownSince !== null && performance.now() - shownSince > 210")


def views(page):
    """Scale and shift of the left and the right picture, in widths of their frames."""
    return [
        page.evaluate(
            f"(() => {{ const frame = document.querySelector('#{side} .frame');"
            " const it = new DOMMatrix(getComputedStyle(frame.firstElementChild).transform);"
            " const shares = [it.a, it.e / frame.clientWidth, it.f / frame.clientWidth];"
            " return shares.map((each) => Math.round(1000 * each) / 1000); })()"
        )
        for side in ("left", "right")
    ]


def both(page):
    left, right = views(page)
    assert left == right
    return left


def spot(page, side, across, down):
    """Where a share of a picture lies on the screen."""
    return page.evaluate(
        f"(() => {{ const box = document.querySelector('#{side} .frame').getBoundingClientRect();"
        f" return [box.x + {across} * box.width, box.y + {down} * box.height]; }})()"
    )


def mouse(page, kind, place, **more):
    x, y = place
    page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def pressed(page, kind, place):
    held = {"button": "left", "buttons": 0 if kind == "mouseReleased" else 1}
    mouse(page, kind, place, clickCount=0 if kind == "mouseMoved" else 1, **held)


def answered(page):
    return page.evaluate("answers.length")


def under(page, place):
    """Share of the picture itself that is shown at a share of its frame."""
    zoom, x, y = both(page)
    return (place[0] - 0.5 - x) / zoom, (place[1] - 0.5 - y) / zoom


def test_the_wheel_enlarges_both_around_what_lies_under_it(page):
    before = under(page, (0.25, 0.75))
    mouse(page, "mouseWheel", spot(page, "right", 0.25, 0.75), deltaX=0, deltaY=-150)
    page.wait_for("view.zoom > 1")
    zoom, *_ = both(page)
    assert 1.3 < zoom < 1.7
    assert under(page, (0.25, 0.75)) == pytest.approx(before, abs=0.01)
    for _ in range(30):
        mouse(page, "mouseWheel", spot(page, "right", 0.25, 0.75), deltaX=0, deltaY=300)
    page.wait_for("view.zoom === 1")
    assert both(page) == [1, 0, 0]
    assert answered(page) == 0


def test_keys_enlarge_move_and_show_the_whole(page):
    for _ in range(3):
        page.key("+")
    assert both(page) == [1.953, 0, 0]
    assert page.text("zoom") == "195 %"
    shift = {"key": "ArrowRight", "code": "ArrowRight", "modifiers": 8}
    for _ in range(2):
        page.send("Input.dispatchKeyEvent", type="keyDown", **shift)
    assert both(page) == [1.953, -0.2, 0]
    for _ in range(9):
        page.send("Input.dispatchKeyEvent", type="keyDown", **shift)
    assert both(page)[1] == pytest.approx(-0.4765, abs=0.002)  # the rim of the picture
    page.key("-")
    assert both(page)[0] == pytest.approx(1.5625, abs=0.001)
    page.key("0")
    assert both(page) == [1, 0, 0]
    assert answered(page) == 0


def test_buttons_enlarge_and_show_the_whole(page):
    for _ in range(12):
        page.evaluate("document.getElementById('larger').click()")
    assert both(page)[0] == 8
    assert page.evaluate("document.getElementById('larger').disabled")
    page.evaluate("document.getElementById('smaller').click()")
    assert both(page)[0] == 6.4
    page.evaluate("document.getElementById('whole').click()")
    assert both(page) == [1, 0, 0]
    assert answered(page) == 0


def test_a_drag_moves_both_and_is_no_answer_and_a_click_is_one(page):
    for _ in range(4):
        page.key("+")
    pressed(page, "mousePressed", spot(page, "left", 0.5, 0.5))
    for share in (0.55, 0.6, 0.7):
        pressed(page, "mouseMoved", spot(page, "left", share, 0.4))
    pressed(page, "mouseReleased", spot(page, "left", 0.7, 0.4))
    zoom, x, y = both(page)
    assert (zoom, x, y) == pytest.approx((2.441, 0.2, -0.1), abs=0.01)
    assert answered(page) == 0
    pressed(page, "mousePressed", spot(page, "left", 0.5, 0.5))
    pressed(page, "mouseMoved", spot(page, "left", 0.505, 0.5))  # a hand slips a little
    pressed(page, "mouseReleased", spot(page, "left", 0.505, 0.5))
    assert answered(page) == 1
    ready(page)
    assert both(page) == [1, 0, 0]  # the next pair is shown whole


def test_two_fingers_enlarge_one_moves_and_a_tap_answers(page):
    page.send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)

    def touch(kind, *places):
        points = [
            {"x": x, "y": y, "id": number}
            for number, (x, y) in enumerate(spot(page, "left", *place) for place in places)
        ]
        page.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", (0.4, 0.5))
    touch("touchStart", (0.4, 0.5), (0.6, 0.5))
    for spread in (0.15, 0.2, 0.3):
        touch("touchMove", (0.5 - spread, 0.5), (0.5 + spread, 0.5))
    touch("touchEnd")
    zoom, x, y = both(page)
    assert (zoom, x, y) == pytest.approx((3, 0, 0), abs=0.05)
    touch("touchStart", (0.5, 0.5))
    for down in (0.55, 0.7):
        touch("touchMove", (0.5, down))
    touch("touchEnd")
    assert both(page)[2] == pytest.approx(0.2, abs=0.02)
    assert answered(page) == 0
    page.evaluate("wait(500)")  # a tap right after a swipe is taken for a part of it
    touch("touchStart", (0.5, 0.5))
    touch("touchEnd")
    page.wait_for("answers.length === 1")


def test_the_practice_pair_shows_its_answer_and_is_not_counted(study, fresh):
    (side,) = study[0].practice["side_of_truth"]
    other = {"left": "right", "right": "left"}[side]
    key = {"left": "f", "right": "j"}
    begin(fresh, "r")
    ready(fresh)
    assert fresh.text("progress") == "Practice: does not count"
    fresh.key(key[other])
    assert fresh.text("asked") == f"Not this one. The picture on the {side} was changed."
    assert fresh.evaluate("document.querySelector('button.right').id") == side
    fresh.key("+")  # the pair can be looked at with its answer
    assert both(fresh)[0] == 1.25
    fresh.key(key[side])  # a second answer is none
    assert fresh.text("asked").startswith("Not this one.")
    fresh.key("Enter")
    ready(fresh)
    assert fresh.text("progress") == "1 of 4"
    assert fresh.evaluate("document.querySelector('button.right')") is None
    for _ in range(4):
        ready(fresh)
        fresh.key("f")
    csv = fresh.evaluate("document.getElementById('csv').value")
    assert csv.count("\n") == 5


def test_a_window_too_small_for_the_pictures_is_said(page):
    assert page.evaluate("document.getElementById('small').hidden")
    page.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2,
              mobile=False)  # fmt: skip
    page.wait_for("!document.getElementById('small').hidden")
    assert page.text("small").startswith("The pictures are shown 179 pixels across, fewer than 200")
    page.send("Emulation.setDeviceMetricsOverride", width=844, height=390, deviceScaleFactor=2,
              mobile=False)  # fmt: skip
    page.wait_for("document.getElementById('small').hidden")
