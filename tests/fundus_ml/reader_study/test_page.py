"""The page in a real browser: a reader who looks at the pictures and types, and their CSV."""

import base64

import cv2
import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png
from fundus_ml.reader_study import StudyOptions, make_study, read_answers, score_readers, study_of
from tests.fundus_ml.chromium import CHROMIUM, opened
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")

HOSTILE = (
    "odir/1,\"</script><img src=x onerror=alert(1)>'{{7*7}}${7}\n=1+1\t\u202e\u738b" + "x" * 300
)


def modulation(folder, *, eyes):
    """A modulation one of whose eyes has a name that would end a script, or a CSV cell."""
    table = write_modulation(folder, eyes=eyes)
    table["image_id"] = table["image_id"].replace("odir/1_left", HOSTILE)
    table.to_parquet(folder / "modulations.parquet", index=False)
    return [read_png(path) for path in sorted(folder.rglob("original.png"))]


def test_a_study_is_named_by_its_trials_and_pictures(tmp_path):
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        write_modulation(tmp_path / name, seed=seed)
    first, same, other = (
        make_study(tmp_path / name, StudyOptions()) for name in ("one", "same", "other")
    )
    assert first.digest == same.digest
    assert first.page == same.page
    pd.testing.assert_frame_equal(first.trials, other.trials)  # other pictures alone
    assert first.digest != other.digest
    assert make_study(tmp_path / "one", StudyOptions(seed=1)).digest != first.digest


def test_the_page_shows_no_truth_and_asks_for_nothing(tmp_path):
    modulation(tmp_path, eyes=4)
    page = make_study(tmp_path, StudyOptions(catch_trials=2)).page
    assert "odir" not in page
    assert "onerror" not in page
    assert "original" not in page
    assert "://" not in page
    assert "default-src 'none'" in page
    # 6 trials (4 modulated pairs, 2 catch pairs) and the practice pair.
    assert page.count("iVBORw0KGgo") == 14


def test_a_folder_without_a_modulation_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"modulations\.parquet: missing, so this is not what a"):
        make_study(tmp_path, StudyOptions())


@pytest.mark.slow
@needs_browser
def test_a_reader_who_sees_the_change_is_scored_as_one_who_does(tmp_path):
    """Every third answer is wrong on purpose; what is right is seen in the pictures alone."""
    originals = modulation(tmp_path, eyes=6)
    study = make_study(tmp_path, StudyOptions(catch_trials=2))
    with opened(written(study, tmp_path), tmp_path / "profile") as page:
        page.evaluate("study.break_after = 5")
        begin(page, "Dr. No!")
        assert "1 to 20 letters" in page.text("problem")
        begin(page, "Reader-1")
        practise(page)
        meant = {}
        for place in range(1, 9):
            page.wait_for("shownSince !== null")
            assert page.text("progress") == f"{place} of 8"
            side = side_of_change(page, originals)
            correct = place % 3 != 0
            side = side if correct else {"left": "right", "right": "left"}[side]
            meant[trial_of(page)] = (side, correct)
            page.wait_for("performance.now() - shownSince > 210")
            page.key({"left": ("f", "ArrowLeft"), "right": ("j", "ArrowRight")}[side][place % 2])
            if place == 5:
                page.wait_for("!document.getElementById('pause').hidden")
                page.key(" ")
        page.wait_for("!document.getElementById('end').hidden")
        saved = downloaded(page, tmp_path / f"reader_study-{study.digest}-reader-1.csv")
        shown = page.evaluate("document.getElementById('csv').value")
        assert page.requests() == []
        assert page.complaints() == []
    assert saved.read_text(encoding="utf-8") == shown
    assert study_of([saved]) == study.digest
    answers = read_answers([saved], study.trials)
    given = answers.set_index("trial")
    assert {n: (row["answer"], row["correct"]) for n, row in given.iterrows()} == meant
    assert set(answers["reader"]) == {"reader-1"}
    assert HOSTILE in set(answers["image_id"])
    assert sorted(answers["shown_at"]) == list(range(1, 9))
    assert answers["reaction_ms"].between(200, 60_000).all()
    row = score_readers(answers, resamples=100).iloc[0]
    catch = given["condition"] == "catch"
    right = pd.Series({n: correct for n, (_, correct) in meant.items()})
    assert row["accuracy"] == pytest.approx(right[~catch].mean())
    assert row["catch_failed"] == (~right[catch]).sum()


@needs_browser
def test_an_answer_counts_from_200_ms_after_the_pictures_are_shown(tmp_path):
    modulation(tmp_path, eyes=2)
    study = make_study(tmp_path, StudyOptions(catch_trials=0))
    with opened(written(study, tmp_path), tmp_path / "profile") as page:
        begin(page, "r")
        practise(page)
        press = "dispatchEvent(new KeyboardEvent('keydown', {key: 'f'}))"
        page.evaluate(f"{press}, true")  # before anything is shown
        page.wait_for("shownSince !== null")
        assert (
            page.evaluate("getComputedStyle(document.querySelector('#left img')).visibility")
            == "visible"
        )
        counted = page.evaluate(
            f"shownSince = performance.now() - 150; {press}; const early = answers.length;"
            f"shownSince = performance.now() - 205; {press}; [early, answers.length]"
        )
        assert counted == [0, 1]
        assert page.evaluate("Math.abs(answers[0].reaction_ms - 210) < 10")
        assert (
            page.evaluate("getComputedStyle(document.querySelector('#left img')).visibility")
            == "hidden"
        )


@needs_browser
def test_every_reader_has_an_order_of_their_own(tmp_path):
    modulation(tmp_path, eyes=12)
    study = make_study(tmp_path, StudyOptions())
    order = "shuffled(study.trials.map((each) => each.trial), study.study + '{}')"
    with opened(written(study, tmp_path), tmp_path / "profile") as page:
        first, again, other = (page.evaluate(order.format(name)) for name in ("ann", "ann", "bo"))
        orders = page.evaluate(
            "Array.from({length: 3000}, (_, n) => shuffled([0, 1, 2], study.study + n).join(''))"
        )
    assert sorted(first) == sorted(other) == list(range(1, 19))
    assert first == again
    assert first != other
    # Each of the six orders of three as often as the others: 500 ± 4 standard deviations.
    counts = pd.Series(orders).value_counts()
    assert len(counts) == 6
    assert counts.between(418, 582).all()


@pytest.mark.slow
@needs_browser
def test_who_stops_at_a_break_hands_in_what_there_is(tmp_path):
    modulation(tmp_path, eyes=4)
    study = make_study(tmp_path, StudyOptions(question="female", catch_trials=1))
    conditions = study.trials.set_index("trial")["condition"]
    with opened(written(study, tmp_path), tmp_path / "profile") as page:
        page.evaluate("study.break_after = 4")
        begin(page, "r")
        practise(page)
        for _ in range(4):
            page.wait_for("shownSince !== null && performance.now() - shownSince > 210")
            prompted = page.text("asked").startswith("Attention check: choose the picture on the ")
            assert prompted == (conditions[trial_of(page)] == "catch")
            page.evaluate("document.getElementById('left').click()")
        page.wait_for("!document.getElementById('pause').hidden")
        page.evaluate("document.getElementById('stop').click()")
        csv = page.evaluate("document.getElementById('csv').value")
    (tmp_path / "r.csv").write_text(csv, encoding="utf-8")
    answers = read_answers([tmp_path / "r.csv"], study.trials)
    assert answers["answer"].tolist() == ["left"] * 4


def written(study, folder):
    file = folder / "reader_study.html"
    file.write_text(study.page, encoding="utf-8")
    return file


def begin(page, reader):
    page.evaluate("document.getElementById('reader').value = ''")
    page.evaluate("document.getElementById('reader').focus()")
    for letter in reader:
        page.key(letter)
    page.key("Enter")


def practise(page):
    """Answer the practice pair, and go on to the first trial."""
    page.wait_for("shownSince !== null && performance.now() - shownSince > 210")
    page.key("f")
    page.wait_for("document.activeElement.id === 'start'")
    page.key("Enter")
    page.wait_for("!practising")


def trial_of(page):
    return int(page.evaluate("document.getElementById('trial').dataset.trial"))


def side_of_change(page, originals):
    """Look which picture is, pixel by pixel, none of the unchanged eyes nor their mirrors."""
    left, right = (
        page.evaluate(f"document.querySelector('#{side} img').src") for side in ("left", "right")
    )
    assert is_original(left, originals) != is_original(right, originals)
    return "right" if is_original(left, originals) else "left"


def is_original(source, originals):
    content = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
    return any(
        np.array_equal(picture, each) or np.array_equal(picture, each[:, ::-1])
        for each in originals
    )


def downloaded(page, path):
    """Save the answers with the keyboard."""
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(path.parent))
    page.evaluate("document.getElementById('download').focus()")
    page.key("Enter")
    for _ in range(300):
        page.evaluate("frame()")
        if path.exists():
            break
    return path
