import optuna
import pytest

from tests.tracking.study_workers import SPACE
from tracking import studies
from tracking.errors import TrackingError

pytestmark = pytest.mark.usefixtures("registered")


def open_study(name="lr", **others):
    return studies.open_study(name, **({"space": SPACE, "seed": 0} | others))


def test_a_study_goes_on_under_its_name():
    first = open_study(settings={"epochs": 3, "eps": 0.5})
    first.optuna.add_trial(optuna.create_trial(value=1.0))
    again = open_study(settings={"eps": 0.5, "epochs": 3})
    assert [row.value for row in again.rows()] == [1.0]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"settings": {"epochs": 5, "arch": "a"}}, "epochs 3, now 5;"),
        ({"settings": {"epochs": 3, "arch": "b"}}, "arch a, now b;"),
        ({"settings": {"epochs": 3}}, "arch a, now not there;"),
        ({"space": {"lr": SPACE["lr"]}}, "space of optimizer .*, now not there;"),
        ({"space": SPACE | {"lr": {"low": 1, "high": 2}}}, r"space of lr .*1e-05.*, now .*high.*2"),
        ({"direction": "minimize"}, "direction maximize, now minimize;"),
    ],
)
def test_a_study_of_another_question_is_refused(others, said):
    given = {"settings": {"epochs": 3, "arch": "a"}}
    open_study(**given)
    with pytest.raises(TrackingError, match=rf"study=lr: was begun with {said}.* another name"):
        open_study(**(given | others))


def test_everything_that_differs_is_said_at_once():
    open_study(settings={"epochs": 3, "arch": "a"})
    with pytest.raises(TrackingError, match=r"epochs 3, now 5; arch a, now b; give"):
        open_study(settings={"epochs": 5, "arch": "b"})


def test_a_study_begun_elsewhere_is_refused(tmp_path):
    foreign = optuna.create_study(study_name="lr", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    foreign.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(TrackingError, match="study=lr: holds trials that were not begun here"):
        open_study()


def test_starts_are_queued_once():
    starts = [{"lr": 1e-3, "optimizer": "sgd"}, {"lr": 1e-2}]
    for _ in range(2):
        study = open_study(starts=starts)
    assert [row.system_attrs["fixed_params"] for row in study.rows()] == starts


def test_a_half_begun_study_is_begun_again(tmp_path):
    """As a worker leaves it that is killed between the queue and the settings."""
    starts = [{"lr": 1e-3, "optimizer": "sgd"}]
    half = optuna.create_study(study_name="lr", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    half.enqueue_trial(starts[0])
    assert len(open_study(starts=starts).rows()) == 1


def test_a_start_outside_the_space_is_refused():
    with pytest.raises(TrackingError, match=r"start .*0.5.*: outside the space: {'lr': 0.5}"):
        open_study(starts=[{"lr": 0.5}])


@pytest.mark.parametrize(
    "storage", ["postgresql+psycopg://me:secret@127.0.0.1:1/none", "postgresql+nothing://h/n"]
)
def test_a_database_that_cannot_be_opened_is_one_line(storage):
    with pytest.raises(TrackingError, match=r"storage=postgresql.*: cannot be opened: ") as caught:
        open_study(storage=storage)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


PRUNED = optuna.trial.TrialState.PRUNED


@pytest.mark.parametrize("name", studies.PRUNERS)
def test_a_pruner_by_name_lets_the_first_trial_pass(name):
    study = optuna.create_study(pruner=studies.make_pruner(name, epochs=9))
    trial = study.ask()
    for epoch in range(1, 10):
        trial.report(1.0 / epoch, epoch)
        assert not trial.should_prune()


@pytest.mark.parametrize("name", sorted(set(studies.PRUNERS) - {"none"}))
@pytest.mark.parametrize(("asked", "spared"), [(0, 3), (5, 5)])
def test_no_trial_is_stopped_before_it_was_given_a_chance(name, asked, spared):
    """A trial far below all others runs a quarter of its epochs, or as many as asked."""
    study = optuna.create_study(
        direction="maximize", pruner=studies.make_pruner(name, epochs=12, prune_after=asked)
    )
    stopped = []
    for place in range(40):
        trial = study.ask()
        for epoch in range(1, 13):
            trial.report(-place - 1.0 / epoch, epoch)
            if trial.should_prune():
                stopped.append(epoch)
                break
        study.tell(trial, -place if epoch == 12 else None, state=None if epoch == 12 else PRUNED)
    assert min(stopped) >= spared


def test_an_unknown_pruner_is_refused():
    with pytest.raises(TrackingError, match="pruner=best: allowed: hyperband, asha, median, none"):
        studies.make_pruner("best", epochs=3)


def test_a_study_without_a_complete_trial_has_no_best():
    study = open_study()
    with pytest.raises(TrackingError, match=r"'lr' has no complete trial \(none begun\)"):
        studies.best_trial(study)
    study.optuna.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL))
    with pytest.raises(TrackingError, match=r"no complete trial \(FAIL\); see the tag"):
        studies.best_trial(study)
