"""The whole method on photographs: every contrast, its null models, one page, nothing twice."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments import real_eyes
from experiments.real_eyes import RealEyesConfig, largest_passed, rounded_up
from experiments.recording.real_eyes import count_eyes
from fundus_ml.robust_evaluation.options import grey_levels
from tests.experiments.conftest import enter, flags, leave_unexported, save_blank
from tests.experiments.photographs import write_photographs
from tests.experiments.tiny_versions import logged_table, newest
from tests.fundus_ml.tiny_eyes import write_folder
from tests.tracking.conftest import end_all_runs
from tracking import registry
from tracking.exposure import made_from
from tracking.steps import Step
from tracking.stores import initialise_tracking

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

START = "head_hidden: 4\nepochs: 1\nbatch_size: 16\n"
ROBUST = "method: fast\nepochs: 1\nattack_steps: 1\nbatch_size: 16\n"
CONTRASTS = ("smoker", "sex")


@pytest.fixture(scope="module")
def examined_once(tmp_path_factory):
    """Both questions asked of photographs of 90 people."""
    folder = tmp_path_factory.mktemp("real")
    write_photographs(folder / "own", people=90)
    (folder / "start.yaml").write_text(START)
    (folder / "robust.yaml").write_text(ROBUST)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        leave_unexported(patch)
        patch.setattr(Figure, "savefig", save_blank)
        real_eyes.main(flags(ASKED))
        end_all_runs()
    return folder


ASKED = {
    "source": "folder", "root": "own", "out": "real", "contrasts": ",".join(CONTRASTS), "size": 32,
    "arch": "test_resnet", "weights": "none", "recipe": "start.yaml",
    "robust_recipe": "robust.yaml", "grey_levels": "0.25,0.5", "null_models": 1, "images": 2,
    "modulate_grey_levels": "0.5,2", "evaluate_steps": 1, "bootstrap": 50, "workers": 1,
    "reuse": "any",
}  # fmt: skip


@pytest.fixture
def examined(examined_once, monkeypatch):
    enter(examined_once, monkeypatch)
    yield examined_once
    end_all_runs()


def children():
    """Runs of the steps of the newest chain."""
    client = initialise_tracking()
    parent = newest("real_eyes").info.run_id
    ids = [each.experiment_id for each in client.search_experiments()]
    return client.search_runs(ids, f"tags.mlflow.parentRunId = '{parent}'")


@pytest.mark.slow
def test_one_table_and_one_page_say_what_was_found(examined):
    table = pd.read_csv(examined / "real" / "real_eyes.csv")
    assert table["contrast"].tolist() == list(CONTRASTS)
    answered = (table["eyes"] + table["left out"]).tolist()
    assert answered == [answered[0]] * 2  # one preprocessing
    assert table["null models"].eq(1).all()
    page = (examined / "real" / "real_eyes.html").read_text()
    for name in CONTRASTS:
        gallery = f"galleries/fundus-{name}/gallery.html"
        assert f'href="{gallery}"' in page
        assert (examined / "real" / gallery).stat().st_size > 10_000
    steps = logged_table(newest("real_eyes"), "steps.json")
    assert len(steps) == RealEyesConfig(**ASKED | TYPED).steps == 1 + 2 * (5 + 3 + 2)
    assert steps["step"].iloc[1] == "smoker: train"


TYPED = {"grey_levels": (0.25, 0.5), "modulate_grey_levels": (0.5, 2)}


@pytest.mark.slow
@pytest.mark.usefixtures("examined")
@pytest.mark.parametrize("name", CONTRASTS)
def test_null_models_come_from_networks_that_never_knew(name):
    versions = [registry.resolve(f"models:/fundus-{name}/{number}") for number in range(1, 6)]
    labels = [version.tags["labels"] for version in versions]
    assert labels == ["true", "true", "true", "shuffled", "shuffled"]
    *_, null = versions
    assert set(made_from(null)) == {versions[3].uri, null.uri}
    levels = [float(versions[place].tags["eps_grey_levels"]) for place in (1, 2)]
    assert levels == pytest.approx([0.25, 0.5], rel=0.01)
    assert float(null.tags["eps_grey_levels"]) in levels


@pytest.mark.slow
@pytest.mark.usefixtures("examined")
def test_nothing_is_done_twice(capsys):
    """The same command again takes every run over; another budget runs what depends on it."""
    before = {name: len(list(registry.versions_of(f"fundus-{name}"))) for name in CONTRASTS}
    real_eyes.main(flags(ASKED))
    assert children() == []
    assert logged_table(newest("real_eyes"), "steps.json")["taken over"].all()
    assert capsys.readouterr().out.count("nothing has changed since") == 21
    end_all_runs()
    real_eyes.main(flags(ASKED | {"evaluate_steps": 2}))
    assert [run.data.tags["stage"] for run in children()] == ["evaluate", "evaluate"]
    assert before == {name: len(list(registry.versions_of(f"fundus-{name}"))) for name in CONTRASTS}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"contrasts": " , "}, "contrasts=: name one or more"),
        ({"contrasts": "sex,sex"}, "contrasts=sex,sex: names one twice"),
        ({"reuse": "yes"}, "reuse=yes: allowed: same, any, no"),
        ({"source": "synthetic"}, "source=synthetic: has main; real_eyes reads photographs"),
        ({"null_models": -1}, "null_models=-1: must be at least 0"),
        ({"grey_levels": "0"}, "grey_levels=0: each must be above 0"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys, values, line):
    with pytest.raises(SystemExit, match="2"):
        real_eyes.main(flags({"root": "own"} | values))
    assert line in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("examined")
@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"contrasts": "smoker,smokes"},
            "contrast=smokes: not in this dataset; near it: smoker",
        ),
        ({"images": 90}, "images=90: needs 45 yes people in this split, which has "),
    ],
)
def test_what_the_release_does_not_hold_is_refused_before_any_training(capsys, values, line):
    with pytest.raises(SystemExit, match="2"):
        real_eyes.main(flags(ASKED | values))
    assert line in capsys.readouterr().err
    assert children() == []


def test_eyes_are_counted_by_the_seed_that_chooses_them(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "experiments.recording.real_eyes.choose_eyes", lambda *_, seed, **__: asked.append(seed)
    )
    write_folder(tmp_path / "eyes")
    count_eyes(str(tmp_path / "eyes"), "sex", images=2, seed=5)
    assert asked == [5]


def test_radii_never_fall_below_what_was_asked():
    for level in (0.25, 0.5, 1, 3.3):
        for size in (64, 128, 300):
            asked = RealEyesConfig(root="own", size=size)
            (eps,) = asked.radii([level])
            assert level <= grey_levels("l2", eps, size=size) < 1.002 * level
    assert rounded_up(0.434706) == 0.4348


def test_the_largest_radius_that_passed_is_examined():
    def rung(gate):
        return Step(run_id="", metrics={}, tags={"robust_gate": gate}, version=None)

    assert largest_passed({0.5: rung("passed"), 1: rung("passed"), 2: rung("refused")}) == 1
    assert largest_passed({0.5: rung("refused"), 1: rung("refused")}) == 0.5
