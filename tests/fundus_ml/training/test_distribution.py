"""Two processes make the steps of one, and score every eye once."""

import copy
import json
import multiprocessing
import socket

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from fundus_ml.training.distribution import WholeBatchNorm
from tests.fundus_ml.tiny_learning import make_dataset
from tests.fundus_ml.training.two_processes import HOW, found, shared

pytestmark = pytest.mark.slow  # two processes train in each

MODULE = "tests.fundus_ml.training.two_processes"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process finds, and two, on 26 training and 14 validation eyes.

    A server that has imported everything once forks the two, each without a thread of ours.
    """
    folder = tmp_path_factory.mktemp("shared") / "eyes"
    make_dataset(folder, people={"train": 13, "val": 7})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([MODULE])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    file = folder.with_name("result.json")
    both = [
        context.Process(target=shared, args=(str(folder), rank, port, str(file))) for rank in (0, 1)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    return found(str(folder)), json.loads(file.read_text())


@pytest.mark.parametrize("name", HOW)
def test_two_processes_make_the_steps_of_one(results, name):
    """Equal loss curves within 1e-4, BatchNorm over the whole batch, own layers back after."""
    alone, together = (result[name] for result in results)
    for column, values in alone["history"].items():
        assert together["history"][column] == pytest.approx(values, abs=1e-4), column
    assert together["weights"] == pytest.approx(alone["weights"], abs=1e-3)
    assert together["norm"] == "BatchNorm2d"


def test_two_processes_score_every_eye_once(results):
    alone, together = results
    assert len(together["logit"]) == 14
    assert together["logit"] == pytest.approx(alone["logit"], abs=1e-6)
    assert together["handed"] == "from the first"


def test_all_processes_compute_in_the_precision_of_the_first(results):
    """The second finds fp32 faster and follows."""
    assert [result["in_bf16"] for result in results] == [1, 2]


def test_no_thread_of_the_group_outlives_it(results):
    """One that needs Python while Python ends aborts the process, now and then."""
    assert results[1]["left"] == []


def test_two_processes_learn_above_frozen_levels_as_one(results):
    """BatchNorm with an activation of its own, and of vectors; each stores half of the features."""
    alone, together = (result["above"] for result in results)
    for column, values in alone["history"].items():
        assert together["history"][column] == pytest.approx(values, abs=2e-3), column
    assert together["weights"] == pytest.approx(alone["weights"], abs=0.02)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.BatchNorm2d, (4, 5, 6, 7)), (nn.BatchNorm1d, (9, 5)), (BatchNormAct2d, (4, 5, 6, 7))],
)
def test_alone_it_is_batch_norm(affine, momentum, training, kind, shape):
    """Values, gradients and statistics are those of the layer it stands for."""
    torch.manual_seed(0)
    theirs = kind(5, affine=affine, momentum=momentum).train(training)
    ours = WholeBatchNorm(copy.deepcopy(theirs))
    for _ in range(3):
        features = torch.randn(shape) * 3 + 1
        wanted = features.clone().requires_grad_()
        found = features.clone().requires_grad_()
        pattern = torch.randn(shape)
        (theirs(wanted) * pattern).sum().backward()
        (ours(found) * pattern).sum().backward()
        torch.testing.assert_close(found.grad, wanted.grad, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours(features), theirs(features), atol=1e-5, rtol=1e-5)
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], buffer)
    assert np.isfinite(ours.running_var.numpy()).all()
