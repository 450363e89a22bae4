"""The description of a version is its card: what it scored, where it came from, what was added."""

from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from experiments.recording import model_card
from experiments.recording.registration import contrast_tags
from fundus_ml.data.contrasts import Contrast
from tracking import registry
from tracking.lineage import Measurement
from tracking.versions import ModelVersion

TAGS = {"contrast": "glaucoma", "classes": "healthy,glaucoma", "recipe": "fast"}
VERSION = ModelVersion("fundus-glaucoma", 4, "m-1", "0", TAGS)
METRICS = {"shortcut_baseline": 0.76, "best_epoch": 3.0}
SCORES = pd.DataFrame(
    [
        ("none", 0, "eye", "auroc", 0.85, 0.80, 0.90),
        ("pgd", 2, "eye", "auroc", 0.4, 0.3, 0.5),
        ("pgd", 0.5, "eye", "auroc", 0.7, 0.6, 0.8),
    ],
    columns=model_card.SCORE_COLUMNS,
)


@pytest.fixture
def made(monkeypatch):
    """What the run that made the version recorded."""
    making = SimpleNamespace(
        dataset=SimpleNamespace(name="odir", rows=2398, digest="abcdef0123456789"),
        metrics=dict(METRICS),
        tags={"shortcut_baseline_by": "age"},
    )
    monkeypatch.setattr(model_card, "making_of", lambda _: making)
    monkeypatch.setattr(model_card, "made_from", lambda version: {version.uri: version})
    return making


def card(tags=(), measured=(), scores=SCORES):
    return model_card.card_of(replace(VERSION, tags=TAGS | dict(tags)), measured, scores)


@pytest.mark.parametrize(
    ("low", "labels", "said"),
    [
        (0.80, "true", "Reads glaucoma beyond what shortcuts reach (0.760, age)."),
        (0.75, "true", "Not shown to read more than shortcuts reach (0.760, age)."),
        (0.80, "shuffled", "A null model: it learned shuffled labels"),
    ],
)
@pytest.mark.usefixtures("made")
def test_the_verdict_follows_the_interval_and_the_labels(low, labels, said):
    scores = SCORES.assign(low=low)
    assert card({"labels": labels}, scores=scores).verdict.startswith(said)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("tags", "answers", "shown"),
    [
        ({}, True, "One fundus photograph in"),
        ({"around": "disc"}, False, "One fundus photograph (discs alone) in"),
        ({"labels": "shuffled"}, False, "One fundus photograph in"),
    ],
)
def test_only_networks_of_whole_eyes_and_true_labels_answer_photographs(tags, answers, shown):
    found = card(tags)
    assert found.answers_photographs == answers
    assert shown in found.asked


@pytest.mark.usefixtures("made")
def test_a_comma_in_the_name_of_a_class_parts_nothing():
    smoker = Contrast("smoker", ("no, never", "yes"))
    found = card(contrast_tags(smoker) | {"temperature": "1", "threshold": "0.5"})
    assert "the probability of yes against no, never out." in found.asked
    assert found.positive == "yes"
    assert "yes above logit 0.5" in found.lines["Operating point"]


@pytest.mark.usefixtures("made")
def test_a_version_whose_scores_are_gone_says_so():
    found = card(scores=SCORES[:0])
    assert found.verdict == "Not measured on a test split."
    assert [row.measure for row in found.scores] == ["shortcut baseline, AUROC"]


@pytest.mark.usefixtures("made")
def test_scores_stand_in_order_beside_the_baseline():
    rows = card().scores
    assert [row.measure for row in rows] == [
        "AUROC, per eye", "AUROC under attack, eps 0.5", "AUROC under attack, eps 2",
        "shortcut baseline, AUROC",
    ]  # fmt: skip
    assert rows[0].interval == "0.800 to 0.900"
    assert rows[1].interval == "0.600 to 0.800"


@pytest.mark.usefixtures("made")
def test_what_the_gate_said_is_a_limit():
    refused = card({"eps": "0.43", "constraint": "l2", "robust_gate": "refused",
                    "eps_grey_levels": "0.5", "robust_gate_reason": "too low"})  # fmt: skip
    assert refused.lines["Robustness"] == (
        "trained for l2 eps 0.43 (0.5 grey levels per value); gate: refused (too low)"
    )
    assert any("gate was refused" in limit for limit in refused.limits)
    assert "not trained against attacks" in card().lines["Robustness"]


@pytest.mark.usefixtures("made")
def test_runs_that_measured_it_are_lines():
    evaluated = Measurement(
        name="evaluate", run_id="0123456789", dataset="brset",
        metrics={"all/auroc": 0.7, "all/auroc_low": 0.6, "all/auroc_high": 0.8},
    )  # fmt: skip
    modulated = Measurement(
        name="modulate", run_id="abcdefghij", dataset="odir",
        metrics={"success": 0.9, "enrichment_disc": 7.0, "enrichment_macula": 1.0},
    )  # fmt: skip
    audited = Measurement(name="score", run_id="9", dataset="", metrics={"scored": 3.0})
    training = Measurement(name="robustify", run_id="8", dataset="", metrics={"val/auroc": 0.8})
    lines = card(measured=[evaluated, modulated, audited, training]).lines
    assert lines["evaluate 01234567"] == "brset, split all: AUROC 0.700 (0.600 to 0.800)"
    assert lines["modulate abcdefgh"].endswith("densest in the disc, 7 times their area")
    assert not any(name.startswith(("score", "robustify")) for name in lines)


@pytest.mark.usefixtures("chain")
def test_the_chain_left_a_card_with_pictures_below_it():
    client = mlflow.MlflowClient()
    page = client.get_model_version("fundus-sex", "2").description
    assert page.startswith("# fundus-sex, version 2")
    assert "- **Made from**: models:/fundus-sex/1" in page
    assert "- **evaluate " in page
    assert "- **modulate " in page
    assert page.index("**Limits.**") < page.index("<!-- pictures modulation")
    first = client.get_model_version("fundus-sex", "1").description
    assert "- **robustify" not in first
    version = registry.resolve("models:/fundus-sex/2")
    (folder,) = client.list_logged_model_artifacts(version.model_id, "card")[-1:]
    names = {file.path.rpartition("/")[2] for file in
             client.list_logged_model_artifacts(version.model_id, folder.path)}  # fmt: skip
    assert names == {"card.md", "card.html"}
    registry.load_classifier(version.uri)
