"""From a finished run to a page, and from readers' CSV files to their sensitivity."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from experiments import reader_study
from tests.experiments.conftest import enter, flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tests.fundus_ml.reader_study.simulated_readers import simulate, write_csv
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation
from tests.tracking.conftest import end_all_runs
from tracking.runs import start_run
from tracking.stores import initialise_tracking


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a store, and the id of a finished run in it that modulated 80 eyes."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        return folder, leave_modulation(folder / "modulation", eyes=80)


@pytest.fixture
def modulated(store, monkeypatch):
    """Id of that run; the test works in its store and may add runs."""
    folder, run_id = store
    enter(folder, monkeypatch)
    yield run_id
    end_all_runs()


def leave_modulation(folder, *, target=None, **options):
    folder.mkdir()
    table = write_modulation(folder, size=6, **options)
    kept = table if target is None else table[table["target"] == target]
    kept.to_parquet(folder / "modulations.parquet", index=False)
    with start_run("modulate", {}) as run:
        run.log_artifacts(folder, "modulation")
    return run.run_id


def begin(run_id, **options):
    """Make a study; returns its digest and its key, as the run keeps them."""
    reader_study.main(flags({"run": run_id} | options))
    study = newest("reader_study").data.tags["study"]
    kept = initialise_tracking().get_run(run_id)
    return study, pd.read_parquet(artifact(kept, f"reader_study/{study}/trials.parquet"))


def score(run_id, paths, **options):
    given = ",".join(map(str, paths))
    reader_study.main(flags({"run": run_id, "answers": given, "bootstrap": 200} | options))
    return newest("reader_study")


def answered(trials, study, folder, sensitivities, **options):
    """CSV files of simulated readers."""
    rng = np.random.default_rng(0)
    return [
        write_csv(
            simulate(trials, reader=f"r{n}", d_prime=d_prime, rng=rng, **options),
            trials,
            folder / f"r{n}.csv",
            study=study,
        )
        for n, d_prime in enumerate(sensitivities)
    ]


def test_the_page_and_its_key_are_kept_on_the_modulate_run(modulated, capsys):
    study, trials = begin(modulated, trials=60, catch_trials=6)
    assert trials["condition"].value_counts().to_dict() == {"modulated": 60, "catch": 6}
    said = capsys.readouterr()
    address = f"runs:/{modulated}/reader_study/{study}/reader_study.html"
    assert said.out == (
        "eps=auto: 4, largest budget of the run at which half are seen as target (100%)\n"
        f"{address}: 6 catch, 60 modulated trials\n"
    )
    assert "The pictures are 6 pixels across, fewer than 224" in said.err
    kept = initialise_tracking().get_run(modulated)
    page = artifact(kept, f"reader_study/{study}/reader_study.html").read_text()
    assert "Which picture was changed?" in page
    assert study in page
    assert newest("reader_study").data.tags["modulate_run"] == modulated
    assert newest("reader_study").data.tags["budget"] == "4"
    assert begin(modulated, trials=60, catch_trials=6)[0] == study
    assert begin(modulated, trials=60, catch_trials=6, seed=1)[0] != study


def test_readers_of_known_sensitivity_are_found_again(modulated, tmp_path, capsys):
    study, trials = begin(modulated, catch_trials=10)
    known = [0, 0.5, 1, 2]
    run = score(modulated, answered(trials, study, tmp_path, known, lapse=0.05))
    table = logged_table(run, "readers.json").set_index("reader")
    assert table["trials"].tolist() == [80] * 4 + [320]
    alone = table.iloc[:4].fillna({"corrected_d_prime_high": np.inf})
    covered = alone["corrected_d_prime_low"].le(known) & alone["corrected_d_prime_high"].ge(known)
    assert covered.sum() >= 3, "each of four 95 % intervals misses one time in twenty"
    truth = np.mean([0.025 + 0.95 * norm.cdf(d_prime / np.sqrt(2)) for d_prime in known])
    metrics = run.data.metrics
    assert metrics["modulated_accuracy_low"] <= truth <= metrics["modulated_accuracy_high"]
    assert metrics["modulated_accuracy"] == pytest.approx(
        logged_table(run, "answers.json").query("condition != 'catch'")["correct"].mean()
    )
    assert artifact(run, "readers.png").stat().st_size > 10_000
    said = run.data.tags["readers"]
    assert said.startswith(
        "Which picture was changed? an eye and its modulated self at eps 4: 320 "
    )
    assert said + "\n" in capsys.readouterr().out


def test_real_pairs_are_the_baseline(modulated, tmp_path):
    study, trials = begin(modulated, question="female", eps=2, trials=40, real_trials=40)
    easy = np.where(trials["condition"] == "real", -3.0, 0.0)
    run = score(modulated, answered(trials, study, tmp_path, [3] * 3, difficulty=easy))
    assert run.data.metrics["modulated_accuracy"] > 0.9
    assert run.data.metrics["real_accuracy"] == pytest.approx(0.5, abs=0.15)
    assert "an eye and its modulated self at eps 2: 120 answers" in run.data.tags["readers"]
    assert "; modulated minus real +0." in run.data.tags["readers"]


@pytest.mark.usefixtures("modulated")
def test_eyes_pushed_one_way_are_warned_of(tmp_path, capsys):
    begin(leave_modulation(tmp_path / "modulation", target="male"), question="female")
    assert "every eye was pushed to male" in capsys.readouterr().err


def refused(capsys, values):
    with pytest.raises(SystemExit, match="2"):
        reader_study.main(flags(values))
    (line,) = capsys.readouterr().err.splitlines()
    assert newest("reader_study").data.tags["failure"] == line.removeprefix("reader_study: ")
    return line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"question": "older"}, "question=older: allowed: changed, female"),
        ({"eps": 3}, "eps=3: not a budget of this modulation, which has 2, 4"),
        ({"trials": 81}, "trials=81: the modulation changed 80 eyes at eps=4"),
        ({"catch_allowed": -1}, "catch_allowed=-1: must be at least 0"),
        ({"bootstrap": 0}, "bootstrap=0: must be at least 1"),
        ({"answers": "nobody.csv"}, "nobody.csv: no such file"),
    ],
)
def test_mistakes_end_in_one_line(modulated, capsys, options, line):
    assert line in refused(capsys, {"run": modulated} | options)


@pytest.mark.usefixtures("modulated")
def test_only_a_finished_run_with_a_modulation_will_do(tmp_path, capsys):
    assert "nothing to read there" in refused(capsys, {"run": "0" * 32})
    with start_run("train", {}) as other:
        pass
    assert "modulations.parquet: nothing to read there" in refused(capsys, {"run": other.run_id})
    failed = leave_modulation(tmp_path / "failed")
    initialise_tracking().set_terminated(failed, "FAILED")
    line = f"run={failed}: is FAILED, must be a finished modulate run"
    assert line in refused(capsys, {"run": failed})
    old = leave_modulation(tmp_path / "old", originals=False)
    assert "original.png: missing; modulations made before" in refused(capsys, {"run": old})


def test_answers_to_another_study_are_refused(modulated, tmp_path, capsys):
    study, trials = begin(modulated, trials=10)
    capsys.readouterr()
    (path,) = answered(trials, "0123456789ab", tmp_path, [1])
    line = refused(capsys, {"run": modulated, "answers": path})
    assert line.endswith(f"study=0123456789ab: run={modulated} keeps no such study")
    (path,) = answered(trials.assign(image_id="odir/x"), study, tmp_path, [1])
    line = refused(capsys, {"run": modulated, "answers": path})
    assert "r0.csv, line 2: image_id=odir/x: is not what the key of the study says" in line
