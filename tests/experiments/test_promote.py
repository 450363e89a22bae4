"""The alias ``champion`` moves only where intervals say so, and every decision says why."""

import re

import pytest

from experiments import promote
from fundus_ml.data.opening import open_dataset
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import logged_table, newest, write_shortcut_baseline
from tracking.registry import find_alias, resolve, set_alias
from tracking.stores import initialise_tracking


def enter(versions, **changed):
    promote.main(
        flags({"dataset": versions.a, "model": "models:/eye/1", "bootstrap": 200} | changed)
    )
    return newest("promote")


def champion():
    found = find_alias("eye", "champion")
    return None if found is None else found.uri


def test_the_first_champion_needs_the_floor_alone(versions, capsys):
    """Chance on these thirty people is higher than the one shortcut, and sets the shortcut
    baseline."""
    run = enter(versions)
    assert champion() == "models:/eye/1"
    table = logged_table(run, "decision.json")
    assert table["criterion"].tolist() == ["AUROC"]
    assert table["against"].tolist() == ["shortcut baseline by chance"]
    assert 0.6 < table["bar"].item() < table["low"].item()
    assert run.data.tags["promoted"] == "true"
    assert run.data.tags["champion_before"] == "none"
    assert run.data.tags["possibly_trained_on"] == "none"
    reason = run.data.tags["promotion_reason"]
    assert re.fullmatch(
        r"AUROC 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) lies above 0\.\d{3} "
        r"\(shortcut baseline by chance\); one of 3 versions measured there",
        reason,
    )
    tags = resolve("models:/eye/1").tags
    assert tags["promoted_for"] == reason
    assert tags["promoted_among"] == "3"
    assert tags["promoted_on"] == f"test split of a, {open_dataset(versions.a).digest}"
    out = capsys.readouterr().out
    assert f"models:/eye/1 promoted to champion: {reason}\n" in out
    assert "decision 1 made on the test split of a" in out
    assert "of versions that are no better" not in out


def test_a_version_that_is_not_shown_to_be_better_is_refused(versions, capsys):
    """The run ends well: a refusal is an answer. The other was taught on another dataset."""
    set_alias(resolve("models:/eye/1"), "champion")
    run = enter(versions, model="models:/eye/2")
    assert champion() == "models:/eye/1"
    assert run.info.status == "FINISHED"
    assert run.data.tags["promoted"] == "false"
    assert run.data.tags["model_version"] == "models:/eye/2"
    assert run.data.tags["champion_before"] == "models:/eye/1"
    reason = run.data.tags["promotion_reason"]
    assert "does not lie above 0.000 (over models:/eye/1)" in reason
    said = capsys.readouterr()
    assert f"models:/eye/2 not promoted: {reason}\n" in said.out
    digest = open_dataset(versions.b).digest[:12]
    assert f"models:/eye/2: was trained on another dataset than this one (digest {digest})" in (
        said.err
    )
    assert run.data.tags["possibly_trained_on"] == "models:/eye/2"
    assert "promoted_for" not in resolve("models:/eye/2").tags
    assert len(run.inputs.model_inputs) == 2


def test_a_better_version_takes_the_place(versions, capsys):
    set_alias(resolve("models:/eye/3"), "champion")
    run = enter(versions)
    said = "of versions that are no better it promotes at most one in forty"
    assert said in capsys.readouterr().out
    assert champion() == "models:/eye/1"
    table = logged_table(run, "decision.json")
    assert table["criterion"].tolist() == ["AUROC", "gain in AUROC"]
    assert table["passed"].tolist() == [True, True]
    # The champion calls every sex wrong, as loudly: twice the way from the diagonal.
    gain, auroc = table["value"][1], table["value"][0]
    assert gain == pytest.approx(2 * auroc - 1)


def test_a_margin_lets_an_equal_version_pass(versions, capsys):
    set_alias(resolve("models:/eye/2"), "champion")
    assert enter(versions, dataset=f"{versions.a}").data.tags["promoted"] == "false"
    assert champion() == "models:/eye/2"
    capsys.readouterr()
    assert enter(versions, least_gain=-0.9).data.tags["promoted"] == "true"
    assert "one in forty" not in capsys.readouterr().out
    assert champion() == "models:/eye/1"


def test_the_champion_stays_what_it_is(versions, capsys):
    set_alias(resolve("models:/eye/1"), "champion")
    run = enter(versions, model="models:/eye@champion")
    assert champion() == "models:/eye/1"
    assert run.data.tags["promoted"] == "false"
    assert "models:/eye/1 not promoted: is the champion already; AUROC" in capsys.readouterr().out


def test_shortcuts_that_reach_as_far_refuse_every_version(versions):
    write_shortcut_baseline(versions.a, value=0.99)
    try:
        run = enter(versions)
    finally:
        write_shortcut_baseline(versions.a)
    assert champion() is None
    assert run.data.tags["promotion_reason"].endswith(
        "does not lie above 0.990 (shortcut baseline by brightness); "
        "one of 3 versions measured there"
    )


def test_decisions_are_counted(versions, capsys):
    enter(versions)
    enter(versions)
    assert "decision 2 made on the test split of a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"split": "train"}, "split=train: taught each version, so a version's scores there"),
        ({"split": "val"}, "split=val: chose each version's epoch and settings, so a version's"),
        ({"split": "all"}, "split=all: allowed: test"),
        ({"least_gain": "1"}, "least_gain=1.0: must lie between -1 and 1"),
        ({"least_gain": "nan"}, "least_gain=nan: must be a number"),
        ({"model": "models:/eye@best"}, "'eye' has no such alias"),
    ],
)
def test_mistakes_end_in_one_line(versions, capsys, changed, line):
    with pytest.raises(SystemExit, match="2"):
        enter(versions, **changed)
    assert line in capsys.readouterr().err
    assert newest("promote").info.status == "FAILED"
    assert champion() is None


def test_a_control_becomes_no_champion(versions, capsys):
    """A version that learned shuffled labels, however it scores."""
    initialise_tracking().set_model_version_tag("eye", "1", "labels", "shuffled")
    with pytest.raises(SystemExit, match="2"):
        promote.main(flags({"dataset": versions.a, "model": "models:/eye/1", "bootstrap": 20}))
    assert "model=models:/eye/1: learned shuffled labels" in capsys.readouterr().err


def test_a_champion_of_another_question_is_no_rival(versions, capsys):
    set_alias(resolve("models:/eye/2"), "champion")
    initialise_tracking().set_model_version_tag("eye", "2", "contrast", "glaucoma")
    with pytest.raises(SystemExit, match="2"):
        promote.main(flags({"dataset": versions.a, "model": "models:/eye/1", "bootstrap": 20}))
    assert "glaucoma" in capsys.readouterr().err.splitlines()[-1]
    assert champion() == "models:/eye/2"
