"""The rows of an attack suite against plain calls of its attacks, and the worst of them by hand."""

import dataclasses
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from fundus_ml.attacks import ThreatModel, apgd, pgd
from fundus_ml.errors import InputError
from fundus_ml.evaluation.scores import predictions, scores
from fundus_ml.imaging.pictures import to_images
from fundus_ml.robust_evaluation import ATTACKS, WORST, AttackSuite, choose_people, run_attack_suite
from fundus_ml.robust_evaluation.attack_suite import ce_gradient
from fundus_ml.robust_evaluation.running import with_worst
from fundus_ml.training import predict
from tests.fundus_ml.processes import run
from tests.fundus_ml.robust_evaluation.conftest import SHORT
from tests.fundus_ml.tiny_learning import LinearNetwork, make_images


def right(rows):
    return (rows["logit"] > 0).to_numpy() == (rows["label"] > 0).to_numpy()


def test_the_rows_are_those_of_predictions(networks, eyes, attacked):
    """Same columns, every eye once per attack and budget, so that `scores` takes them."""
    test = eyes.split("test")
    found = attacked["robust"].predicted
    plain = predictions(
        networks["robust"], test, constraint="l2", eps=(), attack_steps=1, step_size="auto",
        batch_size=64,
    )  # fmt: skip
    assert list(found.columns) == list(plain.columns)
    pd.testing.assert_frame_equal(found[found["attack"] == "none"], plain, rtol=1e-4)
    jobs = found.groupby(["eps", "attack"], sort=False).size()
    assert list(jobs.index) == [
        (0.0, "none"), *((eps, name) for eps in (0.25, 0.5) for name in ATTACKS),
        (0.25, WORST), (0.5, WORST),
    ]  # fmt: skip
    assert set(jobs) == {len(test)}
    table = scores(found, resamples=50, seed=0)
    worst = table[table["attack"] == WORST].set_index("eps")["accuracy"]
    assert worst[0.5] < worst[0.25]


def test_an_attack_is_the_attack_of_its_name(networks, eyes, attacked):
    test = eyes.split("test")
    images, labels = to_images(test.pixels(np.arange(len(test)))), torch.from_numpy(test.labels)
    threat = ThreatModel(constraint="l2", eps=0.5)
    for attack, steps, size in (("fgsm", 1, 0.5), ("pgd-20", 20, 1.25 / 20)):
        x_adv = pgd(
            networks["robust"], images, labels, threat=threat, step_size=size, attack_steps=steps,
            final_check=True, precision="fp32",
        )  # fmt: skip
        rows = attacked["robust"].predicted.query("eps == 0.5")
        rows = rows[rows["attack"] == attack]
        wanted = networks["robust"](x_adv).detach().numpy()
        np.testing.assert_allclose(rows["logit"], wanted, rtol=1e-3, atol=1e-4)


def test_each_pass_has_starts_of_its_own_and_as_many_as_asked(networks, eyes):
    """Among the clean pass and both APGD, the last is the third: two restarts drawn by seed + 2."""
    test, model = eyes.split("test"), networks["robust"]
    suite = dataclasses.replace(
        SHORT, attacks=("apgd-ce", "apgd-margin"), eps=(0.5,), attack_steps=3, restarts=2, seed=7,
        distances=False,
    )  # fmt: skip
    threat = ThreatModel(constraint="l2", eps=0.5)

    def attack(model, images, labels, generator, restarts=2):
        return apgd(
            model, images, labels, threat=threat, attack_steps=3, restarts=restarts,
            final_check=True, precision="fp32", generator=generator,
        )  # fmt: skip

    def scored(seed, **changed):
        perturb = partial(attack, **changed)
        return predict(
            model, test, batch_size=64, precision="fp32", perturb=perturb, seed=seed
        ).numpy()  # fmt: skip

    found = run_attack_suite(model, test, suite).predicted
    found = found.loc[found["attack"] == "apgd-margin", "logit"].to_numpy()
    np.testing.assert_array_equal(found, scored(9))
    assert (found != scored(8)).any()
    assert (found != scored(9, restarts=1)).any()


def test_the_worst_is_the_most_wrong_logit_clean_or_attacked():
    clean = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"], "label": [1, 0, 1], "attack": "none", "constraint": "none",
            "eps": 0.0, "logit": [2.0, 3.0, 1.0], "prob": 0.5,
        }
    )  # fmt: skip
    first = clean.assign(attack="pgd-20", constraint="l2", eps=1.0, logit=[0.5, 1.0, -1.0])
    second = clean.assign(attack="square", constraint="l2", eps=1.0, logit=[-0.5, 2.0, 4.0])
    found = with_worst(pd.concat([clean, first, second]))
    worst = found[found["attack"] == WORST]
    assert worst["image_id"].tolist() == ["a", "b", "c"]
    assert worst["logit"].tolist() == [-0.5, 3.0, -1.0]
    assert worst[["constraint", "eps"]].drop_duplicates().to_numpy().tolist() == [["l2", 1.0]]


def test_leaving_moves_no_accuracy_and_is_not_for_auroc(networks, eyes, attacked):
    """Eyes that leave once wrong are as wrong as those pushed on, and less far."""
    suite = dataclasses.replace(
        SHORT, attacks=("pgd-100",), eps=(0.5,), leave_solved=True, distances=False
    )
    left = run_attack_suite(networks["robust"], eyes.split("test"), suite).predicted
    pushed = attacked["robust"].predicted
    one, other = (
        frame.query("attack == 'pgd-100' and eps == 0.5").reset_index() for frame in (left, pushed)
    )
    assert (right(one) == right(other)).all()
    assert 0 < right(one).mean() < 1
    wrongness = other["logit"].sub(one["logit"]) * (1 - 2 * one["label"])
    assert wrongness[~right(one)].mean() > 0.001


def test_probes_say_what_they_measure(attacked, eyes):
    """A change of ``min_norm`` flips; so each eye that a gradient flips has one that small."""
    probes = attacked["robust"].probes
    assert probes["image_id"].tolist() == eyes.split("test").frame["image_id"].tolist()
    assert (probes["min_norm"].eq(0) == ~right(probes)).all()
    rows = attacked["robust"].predicted.query("attack == 'worst' and eps == 0.5")
    small = probes["min_norm"].to_numpy() <= 0.5 * (1 + 1e-5)
    assert (~right(rows) >= small).all(), "no attack flips what a smaller change would"
    assert (small == ~right(rows)).mean() > 0.9
    assert not right(probes.assign(logit=probes["unbounded"])).any()


def test_the_gradient_of_the_cross_entropy_has_its_closed_form():
    model, images = LinearNetwork(6, 7, scale=0.3), make_images()
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
    margin = (1 - 2 * labels) * model(images).detach()
    wanted = torch.sigmoid(margin) * model.weight.abs().max()
    torch.testing.assert_close(ce_gradient(model, images, labels), wanted.detach())
    model.bias.data += 200.0
    assert (ce_gradient(model, images, labels) == 0).tolist() == [False, True, False, True, True]


def test_the_same_seed_finds_the_same_and_progress_ends_at_its_total(networks, eyes):
    few = choose_people(eyes.split("test"), eyes=6, seed=0)
    told = []
    suite = dataclasses.replace(SHORT, attack_steps=3, queries=5, eps=(0.5,), batch_size=4)
    found = [
        run_attack_suite(networks["plain"], few, suite, on_step=lambda *step: told.append(step))
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(found[0].predicted, found[1].predicted)
    pd.testing.assert_frame_equal(found[0].probes, found[1].probes)
    done = [step for step, _ in told[: len(told) // 2]]
    assert done == sorted(done)
    assert told[-1] == (6 * 10, 6 * 10)  # clean, six attacks, three probes


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"eps": ()}, "eps: an attack suite needs a budget, each above 0"),
        ({"eps": (0.0, 1.0)}, "eps: an attack suite needs a budget, each above 0"),
        ({"attacks": ("dlr",)}, "attacks=dlr: allowed: fgsm, pgd-20, "),
        ({"restarts": 0}, "restarts=0: must be at least 1"),
        ({"constraint": "l1"}, "constraint=l1: allowed: l2, linf"),
        ({"precision": "half"}, "precision=half"),
    ],
)
def test_a_wrong_attack_suite_is_refused(changed, line):
    with pytest.raises(InputError, match=line):
        AttackSuite(**{"constraint": "l2", "eps": (1.0,)} | changed)


def test_whole_people_are_drawn(eyes):
    test = eyes.split("test")
    drawn = choose_people(test, eyes=7, seed=1)
    assert len(drawn) == 8
    assert set(drawn.frame["person_group"].value_counts()) == {2}
    assert drawn.frame["image_id"].tolist() == choose_people(
        test, eyes=7, seed=1
    ).frame["image_id"].tolist()  # fmt: skip
    assert drawn.frame["image_id"].tolist() != choose_people(
        test, eyes=7, seed=2
    ).frame["image_id"].tolist()  # fmt: skip
    assert choose_people(test, eyes=0, seed=1) is test
    assert choose_people(test, eyes=999, seed=1) is test
    with pytest.raises(InputError, match="suite_eyes=-1: must be 0, which is all, or more"):
        choose_people(test, eyes=-1, seed=1)


@pytest.mark.slow
def test_two_processes_share_the_eyes_and_find_what_one_finds(eyes):
    alone, shared = (
        run("tests.fundus_ml.robust_evaluation.two_processes", eyes.paths[0], processes)
        for processes in (1, 2)
    )
    for name, values in alone.items():
        np.testing.assert_allclose(shared[name], values, rtol=1e-3, atol=1e-5, err_msg=name)
