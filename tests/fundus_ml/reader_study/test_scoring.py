"""Scores: simulated readers of known sensitivity are found again, each and together."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from fundus_ml.errors import InputError
from fundus_ml.reader_study.drawing import CATCH
from fundus_ml.reader_study.pooling import crossed_errors
from fundus_ml.reader_study.scoring import ALL, ATTENTIVE, modulated_minus_real, score_readers
from fundus_ml.reader_study.sensitivity import accuracy_interval
from fundus_ml.reader_study.spread import of_many, of_one
from fundus_ml.reader_study.tallies import measure, tally_rows
from tests.fundus_ml.reader_study.simulated_readers import make_trials, simulate

LAPSE = 0.05


def several(trials, sensitivities, *, rng, **options):
    return pd.concat(
        [
            simulate(trials, reader=f"r{n}", d_prime=d_prime, rng=rng, **options)
            for n, d_prime in enumerate(sensitivities)
        ],
        ignore_index=True,
    )


def accuracy_of(d_prime):
    return norm.cdf(d_prime / np.sqrt(2))


@pytest.mark.slow
@pytest.mark.parametrize("d_prime", [0.0, 2.0])
def test_the_intervals_of_single_readers_cover_as_often_as_they_say(d_prime):
    trials, rng = make_trials(), np.random.default_rng(1)
    looked = accuracy_of(d_prime)
    truth = {
        "accuracy": (1 - LAPSE) * looked + LAPSE / 2,
        "d_prime": np.sqrt(2) * norm.ppf((1 - LAPSE) * looked + LAPSE / 2),
        "corrected_accuracy": looked,
        "corrected_d_prime": d_prime,
    }
    answers = several(trials, [d_prime] * 100, lapse=LAPSE, rng=rng)
    rows = score_readers(answers, resamples=300).query("readers == 1")
    covered = {
        name: rows[f"{name}_low"].sub(1e-9).le(value) & rows[f"{name}_high"].add(1e-9).ge(value)
        for name, value in truth.items()
    }
    assert len(rows) == 100
    assert all(90 <= count.sum() <= 99 for count in covered.values()), covered
    assert rows["corrected_accuracy"].mean() == pytest.approx(looked, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize(("readers_differ", "eyes_differ"), [(0.0, 0.0), (0.4, 0.7)])
def test_the_pooled_interval_covers_for_other_readers_and_other_eyes(readers_differ, eyes_differ):
    """The truth is the mean over all readers and eyes there could be."""
    trials, rng = make_trials(), np.random.default_rng(2)
    spread = np.sqrt(1 + (readers_differ**2 + eyes_differ**2) / 2)
    looked = norm.cdf(1 / np.sqrt(2) / spread)
    answered = (1 - LAPSE) * looked + LAPSE / 2
    covered, as_independent = [], 0
    for seed in range(80):
        answers = several(
            trials,
            1 + readers_differ * rng.normal(size=5),
            difficulty=eyes_differ * rng.normal(size=len(trials)),
            lapse=LAPSE,
            rng=rng,
        )
        found = of_many(answers, resamples=200, seed=seed)
        plain, corrected = found["accuracy"], found["corrected_accuracy"]
        covered.append(
            (
                plain.low <= answered <= plain.high,
                corrected.low <= looked <= corrected.high,
            )
        )
        counted = answers.loc[answers["condition"] != CATCH, "correct"]
        naive = accuracy_interval(int(counted.sum()), len(counted))
        as_independent += naive.low <= answered <= naive.high
    assert (np.mean(covered, axis=0) >= 0.89).all()
    # As many independent answers would be surer than readers and eyes that differ allow.
    assert as_independent < 70 or readers_differ == 0


def test_the_pooled_error_has_the_variances_of_the_balanced_table():
    trials = make_trials(trials=40, catch_trials=0)
    rng = np.random.default_rng(3)
    answers = several(trials, [0, 0.8, 1.2, 2.5], difficulty=rng.normal(size=40), rng=rng)
    right = answers["correct"].to_numpy(float).reshape(4, 40)
    readers = right.mean(axis=1).var(ddof=1) / 4
    eyes = right.mean(axis=0).var(ddof=1) / 40
    single = right.var(ddof=1) / 160
    total = readers + max(eyes - single, 0)
    half = t.ppf(0.975, 3 * (total / readers) ** 2) * np.sqrt(total)
    tallies = tally_rows(answers)
    found = crossed_errors(
        lambda counts: measure(counts @ tallies), answers, resamples=20_000, seed=0
    )
    assert half > norm.ppf(0.975) * np.sqrt(single)
    assert found[0] == pytest.approx(half, rel=0.04)
    assert np.isnan(found[1])  # no catch trials, nothing to correct by


def test_readers_who_agree_by_chance_are_no_surer_than_coins():
    trials = make_trials(trials=40, catch_trials=6)
    answers = several(trials, [9, 9, 9], rng=np.random.default_rng(0))
    found = of_many(answers, resamples=50, seed=0)["accuracy"]
    assert (found.value, found.high) == (1, 1)
    # Wilson's low end where all n are right is n/(n + z²).
    assert found.low == pytest.approx(120 / (120 + norm.ppf(0.975) ** 2))


def test_tallies_are_those_of_a_plain_loop():
    trials = make_trials(trials=31, catch_trials=5)
    answers = simulate(trials, reader="r", d_prime=0.2, lapse=0.5, rng=np.random.default_rng(11))
    counts = dict.fromkeys(("trials", "right", "lefts", "hits", "false", "catch", "failed"), 0)
    for row in answers.to_dict("records"):
        if row["condition"] == CATCH:
            counts["catch"] += 1
            counts["failed"] += row["answer"] != row["side_of_truth"]
            continue
        counts["trials"] += 1
        counts["right"] += row["answer"] == row["side_of_truth"]
        counts["lefts"] += row["side_of_truth"] == "left"
        if row["answer"] == "left":
            counts["hits" if row["side_of_truth"] == "left" else "false"] += 1
    totals = tally_rows(answers).sum(axis=0)
    assert totals.tolist() == list(counts.values())
    accuracy, corrected, bias = measure(totals)
    assert accuracy == counts["right"] / counts["trials"]
    lapse = 2 * counts["failed"] / counts["catch"]
    assert lapse > 0
    assert corrected == pytest.approx((accuracy - lapse / 2) / (1 - lapse))
    hits = counts["hits"] / counts["lefts"]
    false = counts["false"] / (counts["trials"] - counts["lefts"])
    assert bias == pytest.approx(-(norm.ppf(hits) + norm.ppf(false)) / 2)


def test_side_bias_is_found():
    trials, rng = make_trials(trials=400, catch_trials=0), np.random.default_rng(5)
    for preferred in (0.9, -0.9):
        answers = simulate(trials, reader="r", d_prime=1, bias=preferred, rng=rng)
        found = of_one(answers, resamples=400, seed=0)["criterion"]
        assert found.low <= preferred / np.sqrt(2) <= found.high
        assert np.sign(found.low) == np.sign(found.high) == np.sign(preferred)


def test_who_fails_catch_trials_is_flagged_and_stays():
    rng = np.random.default_rng(6)
    answers = several(make_trials(), [1, 1, 1], rng=rng)
    answers.loc[(answers["reader"] == "r1") & (answers["condition"] == CATCH), "correct"] = False
    table = score_readers(answers, resamples=50).set_index("reader")
    assert table.index.tolist() == ["r0", "r1", "r2", ALL, ATTENTIVE]
    assert table["flagged"].tolist() == [0, 1, 0, 1, 0]
    assert table["readers"].tolist() == [1, 1, 1, 3, 2]
    assert table["trials"].tolist() == [60, 60, 60, 180, 120]
    assert table["catch_failed"].tolist() == [0, 6, 0, 6, 0]
    assert table.loc["r1", "lapse"] == 1
    # Nobody was looking: there is nothing to correct.
    assert np.isnan(table.loc["r1", ["corrected_accuracy", "corrected_d_prime_low"]].tolist()).all()
    assert table.loc["r1", "reaction_ms"] == np.median(
        answers.loc[(answers["reader"] == "r1") & (answers["condition"] != CATCH), "reaction_ms"]
    )
    lenient = score_readers(answers, catch_allowed=6, resamples=50)
    assert ATTENTIVE not in lenient["reader"].tolist()
    assert lenient["flagged"].sum() == 0


def test_real_pairs_are_a_condition_of_their_own():
    trials = make_trials(trials=60, real_trials=60)
    rng = np.random.default_rng(7)
    answers = pd.concat(
        [
            simulate(
                trials, reader=f"r{n}", d_prime=2, rng=rng,
                difficulty=np.where(trials["condition"] == "real", -2.0, 0.0),
            )
            for n in range(4)
        ],
        ignore_index=True,
    )  # fmt: skip
    table = score_readers(answers, resamples=100)
    assert table.groupby("condition", sort=False).size().to_dict() == {"modulated": 5, "real": 5}
    pooled = table[table["reader"] == ALL].set_index("condition")
    assert pooled.loc["modulated", "accuracy_low"] > 0.8
    assert pooled.loc["real", "accuracy_low"] < 0.5 < pooled.loc["real", "accuracy_high"]
    difference = modulated_minus_real(answers, resamples=200)
    assert difference.value == pytest.approx(
        pooled["accuracy"]["modulated"] - pooled["accuracy"]["real"]
    )
    assert difference.low <= accuracy_of(2) - 0.5 <= difference.high
    assert difference.low > 0.2
    assert modulated_minus_real(answers[answers["condition"] != "real"]) is None


def test_one_reader_without_catch_trials_is_scored():
    answers = simulate(
        make_trials(catch_trials=0), reader="r", d_prime=1, rng=np.random.default_rng(8)
    )
    table = score_readers(answers, resamples=50)
    assert table["reader"].tolist() == ["r", ALL]
    assert table["lapse"].isna().all()
    assert table["corrected_d_prime"].isna().all()
    assert table[["accuracy_low", "d_prime_low", "criterion_low"]].notna().all(axis=None)
    # As wide, for want of others, as the answers of one reader are.
    assert table["accuracy_low"].iloc[1] == pytest.approx(table["accuracy_low"].iloc[0], abs=0.03)


def test_three_answers_are_enough_to_be_scored():
    trials = make_trials(trials=3, catch_trials=0).assign(side_of_truth="left")
    answers = simulate(trials, reader="r", d_prime=1, rng=np.random.default_rng(9))
    row = score_readers(answers, resamples=50).iloc[0]
    assert 0 <= row["accuracy_low"] < row["accuracy_high"] <= 1
    assert np.isnan(row["criterion"])


def test_what_cannot_be_scored_is_refused():
    answers = simulate(make_trials(), reader="r", d_prime=1, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="catch_allowed=-1: must be at least 0"):
        score_readers(answers, catch_allowed=-1)
    with pytest.raises(InputError, match="answers: all are to catch trials"):
        score_readers(answers[answers["condition"] == CATCH])
