"""Decisions are counted per dataset and split, whatever the experiment they were made in."""

from mlflow import MlflowClient

from tracking.decisions import record_decision, versions_to_choose_from
from tracking.registry import resolve
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


def test_versions_that_a_split_measured_are_counted(store):  # noqa: ARG001 - it lives there
    """Under any name, null models and the champion left out, the candidate always counted."""
    client = MlflowClient()
    digests = [("a", "d1"), ("a", "d1"), ("b", "d1"), ("b", "d2"), ("b", "d3")]
    for name in "ab":
        client.create_registered_model(name)
    for name, digest in digests:
        client.create_model_version(name, "s3://none", tags={"dataset_digest": digest})
    null = {"dataset_digest": "d1", "labels": "shuffled"}
    client.create_model_version("a", "s3://none", tags=null)
    for other in ({"contrast": "eye"}, {"recipe": "vicreg"}):
        client.create_model_version("b", "s3://none", tags={"dataset_digest": "d1"} | other)
    first, other = resolve("models:/a/1"), resolve("models:/b/3")
    count = versions_to_choose_from
    assert count({"d1"}, candidate=first, champion=None) == 3
    assert count({"d1", "d2"}, candidate=first, champion=resolve("models:/b/1")) == 3
    assert count({"d1"}, candidate=other, champion=None) == 4
    assert count({"it's"}, candidate=first, champion=first) == 2
    assert count({"d1-and-d2"}, candidate=first, champion=None) == 3
