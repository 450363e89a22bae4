"""Decisions are counted per dataset and split, whatever the experiment they were made in."""

from mlflow import MlflowClient

from tracking.decisions import record_decision
from tracking.runs import start_run


def decide(digest, split, *, experiment="a"):
    with start_run("promote", {}, experiment=experiment) as run:
        return record_decision(
            run, dataset_digest=digest, split=split, promoted=False, reason="not above"
        )


def test_decisions_on_one_split_are_counted(store):  # noqa: ARG001 - it lives there
    assert decide("d1", "val") == 1
    assert decide("d1", "val", experiment="b") == 2
    assert decide("d1", "test") == 1
    assert decide("d2", "val") == 1
    assert decide("d1", "val") == 3


def test_a_quote_in_a_digest_asks_for_nothing_else(store):  # noqa: ARG001 - it lives there
    assert decide("d1", "val") == 1
    assert decide("it's", "val") == 1
    assert decide("' or tags.promoted = 'false", "val") == 1
    assert decide("it's", "val") == 2


def test_the_run_carries_the_decision(store):  # noqa: ARG001 - it lives there
    with start_run("promote", {}) as run:
        record_decision(run, dataset_digest="d1", split="val", promoted=True, reason="above")
    tags = MlflowClient().get_run(run.run_id).data.tags
    assert (tags["promoted"], tags["promotion_reason"]) == ("true", "above")
