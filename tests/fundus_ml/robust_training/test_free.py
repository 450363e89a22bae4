"""Free training against the loop anyone would write, and across interruptions."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import ThreatModel, lengths
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.robust_training import FreeTraining, PGDTraining, fit_robust
from fundus_ml.robust_training.fast import inside
from fundus_ml.training import Checkpoints, TrainingOptions
from fundus_ml.training.sampling import Replays, epoch_order, step_seed
from tests.fundus_ml.tiny_learning import SmallNetwork, make_dataset

EPS, REPLAYS = 0.5, 3


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """58 training eyes: 7 batches of 8, of which an epoch takes 2, each three times."""
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 29, "val": 6})


def options(**changed):
    usual = {"epochs": 4, "batch_size": 8, "lr": 0.02, "precision": "fp32", "seed": 5}
    return TrainingOptions(**usual | changed)


class PlainNetwork(SmallNetwork):
    """Without dropout."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Identity()


def validation_attack(constraint="l2"):
    threat = ThreatModel(constraint=constraint, eps=EPS)
    return PGDTraining(threat=threat, step_size=0.2, attack_steps=2, precision="fp32")


def free(eyes, how, model=None, *, constraint="l2", replays=REPLAYS, **given):
    threat = ThreatModel(constraint=constraint, eps=EPS)
    return fit_robust(
        model or SmallNetwork(), eyes.split("train"), eyes.split("val"), how,
        method=FreeTraining(threat=threat, step_size=EPS, replays=replays),
        validation_attack=validation_attack(constraint), overfitting_monitor=0.2, **given,
    )  # fmt: skip


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_it_is_a_plain_loop(eyes, constraint):
    """Same weights after four epochs: one pass over the eyes and a third of the next."""
    how = options(augment="none", optimizer="sgd", schedule="constant", weight_decay=0)
    snapshots, model = [], PlainNetwork()
    free(
        eyes, how, model, constraint=constraint, eps_warmup=1.0,
        on_epoch_end=lambda _row: snapshots.append(copy.deepcopy(model.state_dict())),
    )  # fmt: skip
    train, threat = eyes.split("train"), ThreatModel(constraint=constraint, eps=EPS)
    plain = PlainNetwork().to(memory_format=torch.channels_last).train()
    stepper = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    for epoch in range(4):
        order = epoch_order(train, seed=5, epoch=epoch // 3 + 1, weighted=False)
        for place in (2 * (epoch % 3), 2 * (epoch % 3) + 1):
            rows = order[8 * place : 8 * place + 8]
            images = to_images(train.pixels(rows.numpy()))
            labels = torch.from_numpy(train.labels)[rows]
            for replay in range(3):
                step = 3 * (place % 2) + replay + 1
                ball = ThreatModel(
                    constraint=constraint, eps=EPS * min(1, step / 6 if epoch == 0 else 1)
                )
                if replay == 0:
                    seed = step_seed(5, epoch // 3 + 1, place + 1)
                    x = inside(ball, images, torch.Generator().manual_seed(seed ^ 1))
                else:
                    unit = x.grad.sign() if constraint == "linf" else x.grad / lengths(x.grad)
                    x = ball.project(images, x.detach() + ball.eps * unit)
                x = x.detach().requires_grad_()
                stepper.zero_grad()
                binary_cross_entropy_with_logits(plain(x), labels).backward()
                stepper.step()
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(value, snapshots[epoch][name], atol=1e-5, rtol=1e-4)
    assert threat.eps == EPS


@pytest.mark.parametrize("changed", [{}, {"accumulate": 2, "augment": "full"}])
def test_interrupted_anywhere_it_ends_in_the_same_bits(eyes, tmp_path, changed):
    """Also between two replays: it goes on from before the batch."""

    class Interrupted(Exception):  # noqa: N818
        pass

    def run(folder, stop_at=None):
        def on_step(done, _total):
            if done == stop_at:
                raise Interrupted

        kept = Checkpoints(tmp_path / folder, {}, minutes=1e-9)
        return free(eyes, options(**changed), checkpoints=kept, on_step=on_step, eps_warmup=2)

    whole = run("whole")
    for stop_at in (2, 4, 5, 7, 12, 20):
        with pytest.raises(Interrupted):
            run("parts", stop_at)
    resumed = run("parts")
    theirs = whole.model.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in resumed.model.state_dict().items())
    columns = [name for name in whole.history if name != "seconds"]
    assert whole.history[columns].equals(resumed.history[columns])


def test_a_part_of_a_batch_climbs_for_itself(eyes):
    """Passes that share a step hold the images of their own."""
    still = {"freeze": "batchnorm", "augment": "none"}
    whole, model = PlainNetwork(), PlainNetwork()
    free(eyes, options(**still), whole)
    free(eyes, options(**still, accumulate=2), model)
    # Their random starts differ, so the weights nearly agree; nothing was mixed up or left out.
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(
            value.float(), model.state_dict()[name].float(), atol=0.1, rtol=0.5
        )


def test_epochs_go_over_the_split_once_in_so_many():
    """Every batch but the last ones, each as often as it is replayed, in a row."""
    replays, order = Replays(3, 7), torch.arange(60)
    seen = [replays.of(order, 8, epoch).view(-1, 8)[:, 0] // 8 for epoch in range(1, 7)]
    assert [batches.tolist() for batches in seen[:3]] == [
        [0, 0, 0, 1, 1, 1], [2, 2, 2, 3, 3, 3], [4, 4, 4, 5, 5, 5],
    ]  # fmt: skip
    assert [replays.passage(epoch) for epoch in range(1, 8)] == [1, 1, 1, 2, 2, 2, 3]
    places = [replays.place(epoch, step) for epoch in (1, 2, 3) for step in range(6)]
    assert places == torch.cat(seen[:3]).tolist()
    assert torch.equal(Replays(1, 7).of(order, 8, 5), order[:56])


@pytest.mark.parametrize(
    ("replays", "changed", "said"),
    [(8, {"epochs": 8}, "replays=8: more than the 7 batches"),
     (5, {"epochs": 4}, "replays=5: more than the 4 epochs")],
)  # fmt: skip
def test_too_many_replays_are_refused(eyes, replays, changed, said):
    with pytest.raises(InputError, match=said):
        free(eyes, options(**changed), replays=replays)


def test_an_overflow_of_fp16_moves_no_image():
    """Its gradient is no number; where it is one, the image moves."""
    method = FreeTraining(threat=ThreatModel(constraint="linf", eps=0.1), step_size=0.1, replays=2)
    moved = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    moved.grad = torch.tensor([torch.nan, torch.inf, 1.0, -1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    method.moved[0] = moved

    class OneBatch:
        images, first = torch.full((1, 3, 2, 2), 0.5), 0

    found = method._climb(method.threat, OneBatch, 0.1)[0, 0].flatten()
    assert found.tolist() == pytest.approx([0.5, 0.5, 0.6, 0.4])
