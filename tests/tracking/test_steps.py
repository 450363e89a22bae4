"""A step that was done is found by what it did; not one that failed, or of other code."""

import pytest

from tracking import registry, steps
from tracking.runs import start_run
from tracking.steps import STEP_TAG, find_step, read_step
from tracking.stores import initialise_tracking

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def _known_code(store, monkeypatch):
    """Every run is of one commit, with nothing changed since."""
    del store
    said(monkeypatch, COMMIT)


def said(monkeypatch, commit):
    for module in ("tracking.steps", "tracking.opening"):
        monkeypatch.setattr(f"{module}.code_version", lambda: commit)


def do(digest, *, fails=False, **metrics):
    with start_run("train", {}) as run:
        run.log_metrics(metrics)
        run.set_tags({STEP_TAG: digest})
        if fails:
            raise RuntimeError
    return run.run_id


def test_the_newest_is_found_with_what_it_measured():
    do("one", auroc=0.6)
    newest = do("one", auroc=0.7)
    do("two", auroc=0.8)
    found = find_step("one")
    assert (found.run_id, found.metrics["auroc"]) == (newest, 0.7)
    assert find_step("three") is None


def test_one_that_failed_is_not():
    with pytest.raises(RuntimeError):
        do("one", fails=True)
    assert find_step("one") is None


@pytest.mark.parametrize("commit", ["b" * 40, f"{COMMIT}-dirty", "unknown"])
def test_other_code_counts_where_it_is_asked_for(monkeypatch, commit):
    run_id = do("one")
    said(monkeypatch, commit)
    assert find_step("one") is None
    assert find_step("one", any_code=True).run_id == run_id


def test_code_that_was_changed_since_its_commit_stands_for_nothing(monkeypatch):
    said(monkeypatch, f"{COMMIT}-dirty")
    do("one")
    assert find_step("one") is None


def test_what_it_registered_comes_with_it_and_must_be_there(version):
    """A training whose version was deleted is done again."""
    initialise_tracking().set_tag(version.run_id, STEP_TAG, "one")
    initialise_tracking().set_tag(version.run_id, "registered", "true")
    initialise_tracking().set_terminated(version.run_id, "FINISHED")
    assert find_step("one", any_code=True).registered == registry.resolve(version.uri)
    assert read_step(version.run_id).version.uri == version.uri
    initialise_tracking().delete_model_version(version.name, str(version.version))
    assert find_step("one", any_code=True) is None
    assert steps.read_step(version.run_id).version is None
