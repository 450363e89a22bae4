"""Null models are pooled only where they learned from the model's eyes."""

from dataclasses import replace

import pytest

from experiments.running.exchangeable import check_exchangeable
from fundus_ml.errors import InputError
from tracking.registry import ModelVersion


def version(digest):
    """A version that learned from a dataset; empty does not say from which."""
    tags = {"dataset_digest": digest} if digest else {}
    return ModelVersion(name="eye", version=1, run_id="r", model_id="m", tags=tags)


def test_another_dataset_is_refused():
    """One line with both; a version that does not say is not known to differ."""
    model = version("a" * 64)
    with pytest.raises(InputError, match=r"null_model=x: learned from dataset bbb.* from aaa"):
        check_exchangeable(version("b" * 64), model, named="null_model=x")
    for null_model in (replace(model, version=2), version("")):
        check_exchangeable(null_model, model, named="null_model=x")
