"""An audit says what it found in words, keeps it as JSON, and shows it on one page."""

import json

import numpy as np
import pandas as pd
import pytest

from fundus_ml.auditing.audit import (
    AUDIT,
    AUDIT_PAGE,
    _shortcut_words,
    audit_dataset,
    read_audit,
    write_audit,
)
from fundus_ml.auditing.baselines import Baseline
from fundus_ml.auditing.page import MEANINGS
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.figures.shortcuts import shortcut_forest
from tests.fundus_ml.pages.test_template import Page
from tests.fundus_ml.tiny_cohorts import draw_cohort, draw_pixels, write_cohort
from tests.fundus_ml.tiny_eyes import write_folder

REJECTED = pd.DataFrame(
    {
        "image_id": [f"r/{n}" for n in range(5)],
        "reason": ["no bright field"] * 3 + ["sex disagrees"] * 2,
        "detail": "<b>",
    }
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Camera tied to sex; some eyes carry remarks."""
    frame = draw_cohort(tie="camera")
    remarks = np.where(np.arange(len(frame)) < 4, "placeholder age; squashed", "")
    frame = frame.assign(flags=remarks)
    return write_cohort(tmp_path_factory.mktemp("audited") / "drawn", frame, draw_pixels(frame))


@pytest.fixture(scope="module")
def audit(cohort):
    return audit_dataset(cohort, REJECTED, permutations=299)


@pytest.fixture(scope="module")
def written(audit, tmp_path_factory):
    """Where ``audit`` was written."""
    folder = tmp_path_factory.mktemp("written")
    write_audit(audit, folder)
    return folder


def test_an_audit_names_the_shortcut_and_the_floor(audit, cohort):
    assert audit.named == ("camera",)
    assert audit.digest == cohort.digest
    reached = [item.auroc for item in audit.baselines if item.verdict in ("named", "explained")]
    assert audit.shortcut_baseline == max(audit.chance, *reached)
    assert audit.shortcut_baseline_by in {item.name for item in audit.baselines}
    assert audit.verdicts[0].startswith("Camera: predicts sex; AUROC 0.")
    assert audit.verdicts[1].startswith("Explained by camera: field-of-view geometry")
    assert audit.verdicts[-2] == "Nobody stands in more than one split."
    assert audit.verdicts[-1] == audit.shortcut_baseline_words
    assert f"lies above {audit.shortcut_baseline:.3f}" in audit.shortcut_baseline_words


def test_counts_add_up(audit, cohort):
    by = {}
    for count in audit.counts:
        by.setdefault(count.of, []).append(count)
        assert count.female + count.male == count.eyes >= count.people > 0
    assert set(by) == {"all", "source", "split", "age", "camera"}
    for counts in by.values():
        assert sum(count.eyes for count in counts) == len(cohort)
    assert audit.rejections == {"no bright field": 3, "sex disagrees": 2}
    assert audit.flags == {"placeholder age": 4, "squashed": 4}
    assert audit.leakage.sex_disagrees == 2
    train = cohort.frame["split"].eq("train").sum()
    assert audit.balance.train_eyes == audit.balance.effective_eyes == train
    assert audit.quality["drawn"]["focus"][50] == pytest.approx(
        cohort.frame["focus"].median(), abs=1e-4
    )


def test_an_audit_comes_back_from_disk_as_it_was_byte_for_byte(audit, written, tmp_path):
    write_audit(audit, tmp_path)
    for name in (AUDIT, AUDIT_PAGE):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()
    assert read_audit(written / AUDIT) == audit


def test_the_page_opens_with_verdict_and_floor_and_asks_for_nothing(audit, written):
    page = Page((written / AUDIT_PAGE).read_text())
    assert page.open == []
    assert page.words["h1"] == ["Audit of drawn"]
    assert page.words["p"][: len(audit.verdicts)] == list(audit.verdicts)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    assert len(page.all("img")) == 2
    cells = page.words["td"]
    assert cells[cells.index("all photographs") + 1] == str(len_of(audit) + 5)
    assert {"no bright field", "placeholder age", "explained by camera"} <= {
        word.removeprefix("predicts sex, but ") for word in cells
    }


def test_the_page_says_what_the_verdicts_mean(audit, written):
    page = Page((written / AUDIT_PAGE).read_text())
    assert "What the verdicts mean" in page.words["h2"]
    explained = {verdict for verdict in MEANINGS if MEANINGS[verdict].format(contrast="sex")
                 in page.words["td"]}  # fmt: skip
    assert explained == {item.verdict for item in audit.baselines}


@pytest.mark.parametrize(
    ("verdicts", "opening"),
    [
        ({"age": "dismissed"}, "No shortcut was found that predicts sex."),
        ({"age": "hint"}, "No shortcut was found that predicts sex for certain."),
        ({"quality": "open"}, "Nothing outside the retina was found that predicts sex."),
        (
            {"age": "hint", "quality": "open"},
            "Nothing outside the retina was found that predicts sex for certain.",
        ),
        ({"age": "named", "quality": "open"}, "Age: predicts sex."),
    ],
)
def test_nothing_is_denied_that_the_next_sentence_says(verdicts, opening):
    found = [
        Baseline(name=name, verdict=verdict, finding="predicts sex")
        for name, verdict in verdicts.items()
    ]
    said = _shortcut_words(found, "sex")
    assert said[0] == opening
    assert ("Quality: predicts sex." in said) == ("quality" in verdicts)


def test_a_question_shows_its_classes_and_who_does_not_answer_it(tmp_path):
    """Eyes and people of either class beside those of the sexes, and every photograph once."""
    frame = draw_cohort(80)
    shows = np.where(frame.index < 3, np.nan, np.arange(len(frame)) % 3 == 0)
    healthy = (shows == 0) & (frame.index >= 10)
    frame = frame.assign(finding_amd=shows, healthy=healthy)
    write_cohort(tmp_path / "asked", frame, draw_pixels(frame))
    dataset = open_dataset(str(tmp_path / "asked"), contrast="amd")
    audit = audit_dataset(dataset, REJECTED, permutations=1)
    write_audit(audit, tmp_path)
    assert read_audit(tmp_path / AUDIT) == audit
    ill, well = int((shows == 1).sum()), int(healthy.sum())
    people = [frame.loc[mask, "person_group"].nunique() for mask in (healthy, shows == 1)]
    for of in ("all", "split"):
        counts = [count for count in audit.counts if count.of == of]
        assert tuple(np.sum([count.class_eyes for count in counts], axis=0)) == (well, ill)
    assert audit.counts[0].class_people == tuple(people)
    cells = Page((tmp_path / AUDIT_PAGE).read_text()).words
    assert {"healthy: eyes", "amd: eyes", "healthy: people", "amd: people"} <= set(cells["th"])
    assert cells["td"][cells["td"].index("amd not said or only suspected") + 1] == "3"
    assert cells["td"][cells["td"].index("all photographs") + 1] == str(len(frame) + 5)
    assert f"{well} / {ill}" in cells["dd"]
    assert f"{people[0]} / {people[1]}" in cells["dd"]


def test_of_sex_no_class_is_counted_twice(audit, written):
    assert all(count.class_eyes == count.class_people == () for count in audit.counts)
    assert "female: eyes" not in Page((written / AUDIT_PAGE).read_text()).words["th"]


def len_of(audit):
    return next(count.eyes for count in audit.counts if count.of == "all")


def test_rejections_of_a_composite_are_read_where_it_lies(tmp_path):
    for name, source in (("a", "one"), ("b", "two")):
        write_folder(tmp_path / name, source=source)
        REJECTED.iloc[:2].to_csv(tmp_path / name / "rejected.csv", index=False)
    audit = audit_dataset(open_dataset(f"{tmp_path / 'a'},{tmp_path / 'b'}"), None, permutations=10)
    assert audit.rejections == {"no bright field": 4}
    assert audit.dataset == "one+two"


@pytest.mark.usefixtures("undrawn")
def test_a_handful_of_eyes_is_not_judged_and_says_so(tmp_path):
    write_folder(tmp_path / "tiny")
    audit = audit_dataset(open_dataset(str(tmp_path / "tiny")), None, permutations=10)
    assert audit.verdicts[0] == (
        "Shortcuts could not be judged: 2 women and 2 men are too few, 20 of each are needed."
    )
    assert (audit.shortcut_baseline, audit.shortcut_baseline_by, audit.named) == (1.0, "chance", ())
    assert all(item.finding.startswith("could not be judged: ") for item in audit.baselines)
    write_audit(audit, tmp_path)
    assert read_audit(tmp_path / AUDIT) == audit


@pytest.mark.slow
def test_a_crop_that_differs_between_sources_is_caught(tmp_path):
    """Men are 62 % of one source and 34 % of the other; one keeps what surrounds the circle."""
    for name, male, level, seed in (("cropped", 0.62, 0, 1), ("uncropped", 0.34, 60, 2)):
        frame = draw_cohort(200, source=name, male=male, seed=seed)
        if name == "cropped":
            frame["disease_glaucoma"] = 0.0
        write_cohort(tmp_path / name, frame, draw_pixels(frame, frame_level=level))
    dataset = open_dataset(f"{tmp_path / 'cropped'},{tmp_path / 'uncropped'}")
    audit = audit_dataset(dataset, None, permutations=299)
    assert audit.named == ("source",)
    verdicts = {item.name: item for item in audit.baselines}
    assert verdicts["border and padding"].explained_by == "source"
    (crop,) = [words for words in audit.verdicts if words.startswith("The crop tells the sources")]
    assert "border and padding alone knows cropped from the rest with AUROC" in crop
    assert "read the source, and its share of men, off the photograph" in crop


def test_people_on_both_sides_are_said_out_loud(cohort):
    torn = cohort.select(np.arange(len(cohort)))
    torn.frame["split"] = np.where(np.arange(len(torn)) % 3, "train", "test")
    audit = audit_dataset(torn, REJECTED, permutations=1)
    assert audit.leakage.people_across > 20
    assert f"{audit.leakage.people_across} people stand in more than one split" in " ".join(
        audit.verdicts
    )


def test_permutations_are_checked(cohort):
    with pytest.raises(InputError, match="permutations=0: must be at least 1"):
        audit_dataset(cohort, REJECTED, permutations=0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not an audit: "),
        ("[1]", "not an audit of format fundus-audit-2"),
        ('{"format": "other"}', "not an audit of format fundus-audit-2"),
        ('{"format": "fundus-audit-2"}', "not a whole audit, lacks balance, baselines"),
    ],
)
def test_a_foreign_file_is_refused_in_one_line(tmp_path, content, complaint):
    (tmp_path / AUDIT).write_text(content)
    with pytest.raises(InputError, match=complaint):
        read_audit(tmp_path / AUDIT)


def test_a_part_of_another_shape_is_refused(written, tmp_path):
    content = json.loads((written / AUDIT).read_text())
    content["leakage"] = {"people": 3}
    (tmp_path / AUDIT).write_text(json.dumps(content))
    with pytest.raises(InputError, match="not a whole audit: "):
        read_audit(tmp_path / AUDIT)


def test_a_missing_audit_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such audit; make one with audit"):
        read_audit(tmp_path / AUDIT)


def test_the_forest_shows_every_shortcut_and_both_lines():
    frame = pd.DataFrame(
        {
            "name": ["age", "camera", "source"],
            "verdict": ["named", "dismissed", "not judged"],
            "auroc": [0.6, 0.51, np.nan],
            "low": [0.57, 0.48, np.nan],
            "high": [0.63, 0.54, np.nan],
            "null_high": [0.53, 0.52, np.nan],
        }
    )
    figure = shortcut_forest(frame, shortcut_baseline=0.6, chance=0.56)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["age", "camera", "source"]
    assert [text.get_text().strip() for text in axes.texts] == ["not judged"]
    lines = {float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 2}
    assert lines == {0.5, 0.56, 0.6}
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == [
        *("named", "dismissed", "95 % of shuffled labels"),
        *("chance on test eyes, 0.560", "shortcut baseline, 0.600"),
    ]
    with pytest.raises(InputError, match="columns missing: null_high"):
        shortcut_forest(frame.drop(columns="null_high"), shortcut_baseline=0.6, chance=0.5)
