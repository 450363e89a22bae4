"""Answers come in order, from the pixels a dataset would hold, and name what was refused."""

import math

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.cropping import crop_eye
from fundus_ml.imaging.pictures import png_bytes
from fundus_ml.serving.given import from_bytes, photograph_loader
from fundus_ml.serving.options import ScoringOptions
from fundus_ml.serving.scoring import COLUMNS, as_table, score_photographs
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

OPTIONS = ScoringOptions(
    contrast="glaucoma", classes=("healthy", "glaucoma"), size=32, temperature=2.0, threshold=0.29
)


@pytest.fixture(scope="module")
def photographs():
    """The files of five painted eyes."""
    rows = draw_population(Population(patients=3)).to_dict("records")[:5]
    return [png_bytes(paint_photograph(row)[0]) for row in rows]


def by_brightness(pixels):
    """A network that adds up pixels; it tells photographs apart."""
    return pixels.reshape(len(pixels), -1).mean(1).astype(np.float32) / 255


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_each_photograph_gets_its_own_answer(photographs, batch_size):
    given = [from_bytes(content) for content in photographs]
    given.insert(2, photograph_loader("no photograph!"))
    answers = list(score_photographs(given, by_brightness, OPTIONS, batch_size=batch_size))

    for answer, load in zip(answers[:2] + answers[3:], given[:2] + given[3:], strict=True):
        eye = crop_eye(load, OPTIONS.crop())
        logit = float(by_brightness(eye.pixels[None])[0])
        assert answer["logit"] == logit
        assert answer["probability"] == pytest.approx(1 / (1 + math.exp(-logit / 2)))
        assert answer["called"] == ("glaucoma" if logit > 0.29 else "healthy")
        assert answer["quality"] == eye.measured["quality"]
        assert not answer["refused"]
    assert {answer["called"] for answer in answers} == {"glaucoma", "healthy", ""}
    assert answers[2]["refused"].startswith("not a photograph")
    assert math.isnan(answers[2]["probability"])


def test_no_more_than_two_batches_are_asked_for(photographs):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield from_bytes(photographs[0])

    answers = score_photographs(endless(), by_brightness, OPTIONS, batch_size=2)
    next(answers)
    assert len(asked) == 4
    answers.close()


def test_a_photograph_below_the_wanted_quality_is_refused(photographs):
    options = ScoringOptions(**{**vars(OPTIONS), "min_quality": 1.0})
    (answer,) = score_photographs([from_bytes(photographs[0])], by_brightness, options)
    assert answer["refused"].startswith("low quality")


def test_a_table_of_none_has_its_columns():
    assert tuple(as_table([]).columns) == COLUMNS
    assert as_table([], index=pd.RangeIndex(0)).empty


def test_options_travel_as_plain_values():
    assert ScoringOptions.from_plain({**OPTIONS.plain(), "files_below": ""}) == OPTIONS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ("a",)}, "two names"),
        ({"temperature": 0.0}, "temperature=0"),
        ({"size": 0}, "size=0"),
        ({"padding": "grey"}, "padding=grey"),
        ({"classes": "ab"}, "two names"),
        ({"threshold": "x"}, "threshold='x': must be a number"),
        ({"size": True}, "size=True: must be a number"),
    ],
)
def test_options_out_of_range_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        ScoringOptions(**{**vars(OPTIONS), **change})
    with pytest.raises(InputError, match="lack contrast"):
        ScoringOptions.from_plain({"classes": ["a", "b"], "size": 1})
