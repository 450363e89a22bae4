"""Pictures beside the page are read where they are shown, in a real browser."""

import shutil

import numpy as np
import pandas as pd
import pytest

from fundus_ml.pages.gallery import gallery_page
from tests.fundus_ml.pages.gallery_in_browser import (
    card,
    enter,
    pixels_of,
    press,
    shown_ids,
    words_of,
    written,
)
from tests.fundus_ml.tiny_galleries import (
    EYES,
)


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
