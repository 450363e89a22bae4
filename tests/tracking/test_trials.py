import math
import time
from contextlib import nullcontext

import pytest
from mlflow import MlflowClient
from optuna.pruners import MedianPruner
from optuna.trial import TrialState

from tests.tracking.study_workers import SPACE, open_shared, quadratic
from tracking import studies
from tracking.errors import TrackingError
from tracking.runs import start_run
from tracking.trial_claims import MOST_RETRIES, claim, counted, finished
from tracking.trials import run_trials

pytestmark = pytest.mark.usefixtures("registered")


def open_study(name="lr", **others):
    return studies.open_study(name, **({"space": SPACE, "seed": 0} | others))


def objective(trial):
    """Best at lr = 1e-3; epochs approach the value from below."""
    for epoch in (1, 2):
        trial.report(quadratic(trial.parameters["lr"], epoch), epoch)
    return quadratic(trial.parameters["lr"])


def children(parent):
    found = MlflowClient().search_runs(
        [MlflowClient().get_run(parent.run_id).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{parent.run_id}'",
        order_by=["attributes.start_time"],
    )
    return sorted(found, key=lambda run: run.info.run_name)


def run(study, function, trials, **others):
    with start_run("tune", {}) as parent:
        run_trials(study, function, trials=trials, **others)
    return parent


def without_runs(study, trials):
    while (trial := claim(study, trials)) is not None:
        study.optuna.tell(trial, quadratic(trial.params["lr"]))


def states(study):
    return [row.state.name for row in study.rows()]


def test_every_trial_is_a_nested_run():
    study = open_study()
    parent = run(study, objective, 3)
    runs = children(parent)
    assert [r.info.run_name for r in runs] == ["trial-0", "trial-1", "trial-2"]
    for trial, nested in zip(study.rows(), runs, strict=True):
        assert nested.info.status == "FINISHED"
        assert nested.data.tags["state"] == trial.state.name == "COMPLETE"
        assert nested.data.tags["study"] == "lr"
        assert nested.data.tags["trial"] == str(trial.number)
        assert trial.user_attrs["run_id"] == nested.info.run_id
        assert float(nested.data.params["lr"]) == trial.params["lr"]
        assert nested.data.params["optimizer"] == trial.params["optimizer"]
        assert nested.data.metrics["value"] == trial.value
        points = MlflowClient().get_metric_history(nested.info.run_id, "objective")
        assert {point.step: point.value for point in points} == trial.intermediate_values


def test_the_largest_seed_draws_too():
    """Each trial draws by a seed of its own, and they go round."""
    study = open_study("seeds", seed=2**32 - 1)
    without_runs(study, 3)
    assert len({row.params["lr"] for row in study.rows()}) == 3


def test_starts_come_first_and_what_they_leave_out_is_drawn():
    study = open_study(starts=[{"lr": 1e-3, "optimizer": "sgd"}, {"lr": 1e-2}])
    run(study, objective, 3)
    rows = study.rows()
    assert rows[0].params == {"lr": 1e-3, "optimizer": "sgd"}
    assert rows[1].params["lr"] == 1e-2
    assert rows[1].params["optimizer"] in {"adamw", "sgd"}
    assert rows[2].params["lr"] not in {1e-2, 1e-3}


def test_the_same_seed_draws_the_same_also_when_resumed():
    drawn = []
    for name, stops in (("one", [4]), ("two", [1, 4])):
        for trials in stops:
            study = open_study(name)
            without_runs(study, trials)
        drawn.append([row.params for row in study.rows()])
    assert drawn[0] == drawn[1]
    assert len({values["lr"] for values in drawn[0]}) == 4
    other = open_study("three", seed=1000)
    without_runs(other, 1)
    assert other.rows()[0].params != drawn[0][0]


@pytest.mark.slow
def test_the_search_learns():
    """After its random beginning it looks near the best place, which random draws seldom hit."""
    study = open_study()
    without_runs(study, 30)
    late = [abs(math.log10(row.params["lr"]) + 3) for row in study.rows()[18:]]
    assert sorted(late)[len(late) // 2] < 0.5  # 1.0 by chance


def test_a_failing_trial_is_recorded_and_the_study_goes_on(caplog):
    def sometimes(trial):
        if trial.number == 1:
            raise RuntimeError("out of memory")
        return math.nan if trial.number == 2 else trial.parameters["lr"]

    study = open_study()
    parent = run(study, sometimes, 4)
    expected = ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert states(study) == expected
    runs = children(parent)
    assert [nested.data.tags["state"] for nested in runs] == expected
    assert [nested.info.status for nested in runs] == ["FINISHED", "FAILED", "FAILED", "FINISHED"]
    assert runs[1].data.tags["failure"] == "RuntimeError: out of memory"
    assert runs[2].data.tags["failure"] == "the objective returned nan; must be a finite number"
    assert study.rows()[1].user_attrs["failure"] == "RuntimeError: out of memory"
    assert MlflowClient().get_run(parent.run_id).info.status == "FINISHED"
    assert "trial 1 failed: RuntimeError: out of memory" in caplog.messages


@pytest.mark.parametrize(
    ("whole_ones", "alike", "tried"), [(0, True, 3), (0, False, 6), (1, True, 6)]
)
def test_a_search_whose_trials_all_fail_alike_stops(whole_ones, alike, tried):
    def fails(trial):
        if trial.number < whole_ones:
            return 0.5
        raise RuntimeError("weights cannot be read" + ("" if alike else f" {trial.number}"))

    study = open_study()
    message = "all 3 trials failed, the search stops: RuntimeError: weights cannot be read"
    with pytest.raises(TrackingError, match=message) if tried == 3 else nullcontext():
        run(study, fails, 6)
    assert states(study) == ["COMPLETE"] * whole_ones + ["FAIL"] * (tried - whole_ones)


def test_a_search_that_was_stopped_goes_on_once_mended():
    def fails(_):
        raise RuntimeError("weights cannot be read")

    study = open_study()
    with pytest.raises(TrackingError):
        run(study, fails, 6)
    run(study, lambda trial: trial.parameters["lr"], 6)
    assert states(study) == ["FAIL"] * 3 + ["COMPLETE"] * 3


def test_a_hopeless_trial_is_pruned():
    def worsening(trial):
        for epoch in range(3):
            trial.report(-trial.number, epoch)
        return -trial.number

    study = open_study(pruner=MedianPruner(n_startup_trials=1, n_warmup_steps=1))
    parent = run(study, worsening, 3)
    assert states(study) == ["COMPLETE", "PRUNED", "PRUNED"]
    pruned = children(parent)[1]
    assert pruned.data.tags["state"] == "PRUNED"
    assert pruned.info.status == "FINISHED"
    assert "failure" not in pruned.data.tags
    points = MlflowClient().get_metric_history(pruned.info.run_id, "objective")
    assert [point.step for point in points] == [0, 1]


def test_what_has_run_to_its_end_is_complete():
    def worsening(trial):
        trial.report(-trial.number, 1)
        trial.report(-trial.number, 2, last=True)
        return -trial.number

    study = open_study(pruner=MedianPruner(n_startup_trials=1, n_warmup_steps=2))
    run(study, worsening, 2)
    assert states(study) == ["COMPLETE", "COMPLETE"]


def test_an_interrupted_trial_is_begun_again_with_its_values():
    def stop_at_one(trial):
        if trial.number == 1:
            raise KeyboardInterrupt
        return objective(trial)

    with pytest.raises(KeyboardInterrupt), start_run("tune", {}) as parent:
        run_trials(open_study(), stop_at_one, trials=3)
    assert [nested.info.status for nested in children(parent)] == ["FINISHED", "KILLED"]
    assert children(parent)[1].data.tags["failure"] == "interrupted"
    study = open_study()
    seen = []
    run(study, objective, 3, on_trial=lambda row: seen.append((row.number, row.state.name)))
    assert seen == [(2, "COMPLETE"), (3, "COMPLETE")]
    rows = study.rows()
    assert rows[2].params == rows[1].params
    assert [row.number for row in counted(rows)] == [0, 2, 3]
    assert finished(study) == 3
    run(study, objective, 3)
    assert len(study.rows()) == 4


@pytest.mark.parametrize(("starts", "trials", "stopped"), [(2, 2, 0), (3, 2, 1), (4, 3, 1)])
def test_a_retry_is_run_before_the_starts_that_still_wait(starts, trials, stopped):
    """Whatever waits: the study is whole only when the interrupted values were tried again."""

    def stops(trial):
        if trial.number == stopped:
            raise KeyboardInterrupt
        return objective(trial)

    values = [{"lr": 10.0 ** -(2 + number), "optimizer": "sgd"} for number in range(starts)]
    study = open_study(f"{starts} {trials} {stopped}", starts=values)
    with pytest.raises(KeyboardInterrupt):
        run(study, stops, trials)
    run(study, objective, trials)
    rows = study.rows()
    assert [row.params for row in counted(rows) if row.state.is_finished()] == [
        *values[:stopped], *values[stopped + 1 : trials], values[stopped]
    ]  # fmt: skip
    waiting = [row.number for row in rows if row.state is TrialState.WAITING]
    assert waiting == list(range(trials, starts))
    assert finished(study) == trials


def test_whole_numbers_and_steps_are_drawn_as_the_space_says():
    space = {
        "depth": {"low": 2, "high": 8, "step": 2},
        "width": {"low": 8, "high": 64, "log": True},
        "momentum": {"low": 0.5, "high": 0.9, "step": 0.2},
    }
    study = studies.open_study("kinds", space=space, seed=0)
    for trial in (claim(study, 6) for _ in range(6)):
        assert trial.params["depth"] in {2, 4, 6, 8}
        assert trial.params["width"] in range(8, 65)
        assert trial.params["momentum"] == pytest.approx(0.5, abs=1e-9) or trial.params[
            "momentum"
        ] in {0.7, 0.9}
        study.optuna.tell(trial, 0.0)


def test_a_trial_that_kills_its_workers_is_given_up():
    def stop(_):
        raise KeyboardInterrupt

    study = open_study()
    for _ in range(MOST_RETRIES + 1):
        with pytest.raises(KeyboardInterrupt):
            run(study, stop, 1)
    run(study, stop, 1)
    assert states(study) == ["FAIL"] * (MOST_RETRIES + 1)
    assert finished(study) == 1
    assert len({row.params["lr"] for row in study.rows()}) == 1


def test_a_trial_taken_for_dead_drops_what_it_finds(caplog):
    """Its process stood still; another worker has it now."""

    def stands_still(trial):
        study.optuna.tell(trial.number, state=TrialState.FAIL)
        return 1.0

    study = open_study()
    run(study, lambda trial: stands_still(trial) if trial.number == 0 else 0.5, 1)
    assert "trial 0 gave no sign of life for too long" in caplog.text
    assert states(study) == ["FAIL", "COMPLETE"]
    assert studies.best_trial(study).value == 0.5
    assert study.rows()[1].params == study.rows()[0].params


def test_a_trial_taken_for_dead_stops_at_its_next_report(caplog):
    def stands_still(trial):
        if trial.number == 0:
            study.optuna.tell(trial.number, state=TrialState.FAIL)
        trial.report(0.5, 1)
        return 0.5

    study = open_study()
    parent = run(study, stands_still, 1)
    assert "trial 0 gave no sign of life for too long" in caplog.text
    assert states(study) == ["FAIL", "COMPLETE"]
    assert children(parent)[0].info.status == "FAILED"


def test_a_trial_taken_for_dead_may_fail_too(caplog):
    def stands_still(trial):
        if trial.number == 0:
            study.optuna.tell(trial.number, state=TrialState.FAIL)
            raise RuntimeError("late")
        return 0.5

    study = open_study()
    run(study, stands_still, 1)
    assert "trial 0 gave no sign of life for too long" in caplog.text
    assert states(study) == ["FAIL", "COMPLETE"]


@pytest.mark.slow
def test_a_trial_without_signs_of_life_is_begun_again():
    study = open_shared("")
    dead = claim(study, 2)
    assert dead.number == 0
    started = time.monotonic()
    run(open_shared(""), objective, 2)
    assert time.monotonic() - started > studies.MISSED_BEATS
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    rows = study.rows()
    assert rows[0].params == rows[2].params == {"lr": 1e-3, "optimizer": "adamw"}
    assert rows[1].params == {"lr": 1e-2, "optimizer": "sgd"}
    assert [row.number for row in counted(rows)] == [1, 2]


@pytest.mark.slow
def test_signs_of_life_keep_a_slow_trial():
    study = open_shared("")

    def slow(_):
        time.sleep(studies.MISSED_BEATS + 2)
        claim(open_shared(""), 1)  # looks for dead workers
        return 1.0

    run(study, slow, 1)
    assert states(study)[0] == "COMPLETE"


def test_no_trial_begins_beyond_what_was_asked():
    study = open_study(starts=[{"lr": 1e-3}, {"lr": 1e-2}, {"lr": 1e-4}])
    run(study, objective, 2)
    assert states(study) == ["COMPLETE", "COMPLETE", "WAITING"]
    assert claim(study, 2) is None
    assert claim(study, 3).number == 2
    assert claim(study, 3) is None


def test_no_trial_begins_after_the_timeout():
    study = open_study()
    run(study, objective, 3, timeout=0)
    assert study.rows() == []


def test_the_last_trials_of_others_are_waited_for_until_the_timeout():
    study = open_study()
    assert claim(study, 1).number == 0
    started = time.monotonic()
    run(study, objective, 1, timeout=1.0)
    assert time.monotonic() - started >= 1.0
    assert states(study) == ["RUNNING"]


def test_a_study_can_be_minimised():
    study = open_study(direction="minimize")
    run(study, objective, 3)
    assert studies.best_trial(study).value == min(row.value for row in study.rows())
