"""Entry point ``reader_study``: whether people see what the network was pushed to see.

Without ``answers`` a page is made of the pictures of a finished ``modulate`` run and kept on it: an
offline task of two alternatives that a reader opens in a browser and hands back as CSV. With
``answers`` the CSV files are scored: accuracy and sensitivity of each reader and of all, with 95 %
intervals, as answered and corrected for lapses.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tracking
from experiments.running import console
from experiments.running.comma_lists import comma_list
from experiments.running.flags import StepLength, run_entry_point
from experiments.running.options import ConsoleOptions
from experiments.running.places import user_path
from fundus_ml import reader_study
from fundus_ml.errors import InputError, refuse_outside
from tracking.errors import TrackingError

if TYPE_CHECKING:
    import pandas as pd

MODULATION, FOLDER = "modulation", "reader_study"
"""Where a ``modulate`` run keeps what it made, and the studies made of it."""
PAGE, KEY = "reader_study.html", "trials.parquet"
SHOWN = (
    "condition", "reader", "trials", "accuracy", "accuracy_low", "accuracy_high", "d_prime",
    "corrected_accuracy", "corrected_d_prime", "criterion", "lapse", "flagged", "reaction_ms",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReaderStudyConfig(reader_study.StudyOptions, ConsoleOptions):
    """Flags of ``reader_study``."""

    run: str
    """Id of the finished modulate run whose pictures are shown; page and key are kept there."""
    eps: StepLength = "auto"
    """Budget of the modulated pictures, one of those of the run; auto is the largest at which half
    of the eyes are seen as the target, or the largest."""
    answers: str = ""
    """CSV files of readers with commas between them; given, they are scored and no page is made."""
    catch_allowed: int = 1
    """answers: catch trials a reader may get wrong without being flagged."""
    bootstrap: int = 2000
    """answers: resamples behind each interval that has no exact form."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse_outside(self, at_least={"catch_allowed": 0, "bootstrap": 1})


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("reader_study", ReaderStudyConfig, study_readers, argv)


def study_readers(config: ReaderStudyConfig, run: "tracking.Run") -> "pd.DataFrame":
    """Score the answers given, or make the page of a study; returns the scores or the key."""
    return score_answers(config, run) if config.answers else make_page(config, run)


def make_page(config: ReaderStudyConfig, run: "tracking.Run") -> "pd.DataFrame":
    """Draw the trials of a study; keep its page and its key on the ``modulate`` run."""
    modulated = _finished(config.run)
    study = reader_study.make_study(tracking.fetch(modulated.artifact_uri(MODULATION)), config)
    place = _place(study.digest)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / PAGE).write_text(study.page, encoding="utf-8")
        study.trials.to_parquet(Path(folder) / KEY, index=False)
        modulated.log_artifacts(Path(folder), place)
    budget = f"{study.budget.eps:g}"
    run.set_tags({"modulate_run": config.run, "study": study.digest, "budget": budget})
    for warning in (reader_study.warning_about(study.trials), study.coarse):
        if warning:
            console.warn(warning)
    if config.eps == "auto":
        console.say(study.budget.words)
    counts = study.trials["condition"].value_counts().sort_index()
    said = ", ".join(f"{count} {condition}" for condition, count in counts.items())
    console.say(f"{modulated.artifact_uri(place)}/{PAGE}: {said} trials")
    return study.trials


def score_answers(config: ReaderStudyConfig, run: "tracking.Run") -> "pd.DataFrame":
    """Score the CSV files of readers against the key of their study; record table and figure."""
    paths = [user_path(path) for path in comma_list(config.answers, flag="answers")]
    digest = reader_study.study_of(paths)
    trials = _key(config, digest)
    answers = reader_study.read_answers(paths, trials)
    table = reader_study.score_readers(
        answers, catch_allowed=config.catch_allowed, resamples=config.bootstrap, seed=config.seed
    )
    question, eps = str(trials["question"].iloc[0]), float(trials["eps"].max())
    said = reader_study.what_readers_show(
        table,
        question=question,
        eps=eps,
        difference=reader_study.modulated_minus_real(
            answers, resamples=config.bootstrap, seed=config.seed
        ),
    )
    run.log_table(table, "readers.json")
    run.log_table(answers, "answers.json")
    run.log_figure(
        reader_study.reader_forest(table, title=reader_study.ASKED[question]), "readers.png"
    )
    run.log_metrics(_metrics(table))
    run.set_tags({"modulate_run": config.run, "study": digest, "readers": said})
    console.table(table[list(SHOWN)], final=True)
    console.say(said)
    return table


def _finished(run_id: str) -> "tracking.Run":
    """Open a run to add to.

    Raises:
        InputError: It has not finished.
        TrackingError: There is no such run, or it holds no modulation.
    """
    client = tracking.initialise_tracking()
    run = tracking.Run(client, run_id)
    tracking.fetch(run.artifact_uri(f"{MODULATION}/{reader_study.TABLE}"))
    status = client.get_run(run_id).info.status
    if status != "FINISHED":
        raise InputError(f"run={run_id}: is {status}, must be a finished modulate run")
    return run


def _key(config: ReaderStudyConfig, digest: str) -> "pd.DataFrame":
    """Read the key of a study.

    Raises:
        InputError: The run keeps no such study.
    """
    try:
        path = tracking.fetch(f"runs:/{config.run}/{_place(digest)}/{KEY}")
    except TrackingError as error:
        raise InputError(
            f"answers={config.answers}: study={digest}: run={config.run} keeps no such study"
        ) from error
    return reader_study.read_trials(path)


def _place(digest: str) -> str:
    return f"{FOLDER}/{digest}"


def _metrics(table: "pd.DataFrame") -> dict[str, float]:
    """What all readers together reached, as metrics; an open end is left out."""
    pooled = table[table["reader"] == reader_study.ALL].set_index("condition")
    columns = [
        f"{name}{end}"
        for name in ("accuracy", "d_prime", "corrected_accuracy", "corrected_d_prime", "criterion")
        for end in ("", "_low", "_high")
    ]
    return {
        f"{condition}_{name}": float(row[name])
        for condition, row in pooled.iterrows()
        for name in [*columns, "lapse", "reaction_ms"]
        if math.isfinite(row[name])
    }


if __name__ == "__main__":
    main()
