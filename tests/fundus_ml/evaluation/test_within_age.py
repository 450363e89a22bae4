"""What is left within age bands: less where age is what was read, all where it is not."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.evaluation.scores import score_of
from fundus_ml.evaluation.within_age import auroc_within_age


def made(*, reads_age, people=600, ageless=0):
    """Eyes of people whose illness comes with age, scored by their age or by the illness itself."""
    rng = np.random.default_rng(1)
    age = rng.uniform(25, 85, people)
    label = (rng.uniform(size=people) < (age - 20) / 80).astype(int)
    logit = age if reads_age else label + rng.normal(size=people)
    names = [f"a/{number}" for number in range(people)]
    predicted = pd.DataFrame(
        {"image_id": names, "person_group": names, "label": label, "logit": logit}
    )
    age[:ageless] = np.nan
    manifest = pd.DataFrame(
        {
            "image_id": names, "source": "a", "age": age, "eye": "left", "camera": "c",
            "quality": 1.0, "healthy": True,
        }
    )  # fmt: skip
    return predicted, manifest


def test_what_reads_the_age_has_little_left():
    by_age = auroc_within_age(*made(reads_age=True), resamples=100)
    by_illness = auroc_within_age(*made(reads_age=False), resamples=100)
    assert by_age.auroc.value < 0.6 < by_illness.auroc.low
    assert score_of(by_illness.rows(), "auroc_within_age") == by_illness.auroc
    assert str(by_illness).startswith("within age bands: AUROC 0.7")


def test_eyes_without_an_age_are_counted():
    found = auroc_within_age(*made(reads_age=False, ageless=50), resamples=50)
    assert found.ageless == 50
    assert str(found).endswith("; 50 eyes without an age left out")


def test_no_age_at_all_is_said():
    found = auroc_within_age(*made(reads_age=False, people=40, ageless=40), resamples=50)
    assert found.rows().empty
    assert str(found) == (
        "within age bands: not measured (strata: none holds both classes, so nothing can be "
        "compared within one)"
    )


def test_a_question_of_age_is_not_asked_within_its_bands():
    found = auroc_within_age(*made(reads_age=False), of_age=True, resamples=50)
    assert found.rows().empty
    assert found.eyes == 600
    assert str(found) == "within age bands: not measured (age is the question)"


def test_an_eye_nobody_knows_is_refused():
    predicted, manifest = made(reads_age=True, people=40)
    with pytest.raises(ValueError, match="manifest: lacks 1 of 40 eyes"):
        auroc_within_age(predicted, manifest.iloc[1:])
