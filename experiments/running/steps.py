"""The steps of a long chain: numbered, each a run of its own, not run again without a reason."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pandas as pd

from experiments.running.console import say, speaking
from experiments.running.flags import Config, execute
from experiments.running.identity import file_digest, identity_of
from experiments.running.options import ANY, NO
from experiments.running.places import user_path
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.sources.files import files_below
from tracking.registry import resolve
from tracking.results import has_rows
from tracking.runs import Run
from tracking.steps import STEP_TAG, TOOK_OVER, Step, find_step, read_step
from tracking.stores import fetch

SHORT_ID = 8
MOVES_NOTHING = frozenset(
    {"verbose", "workers", "backend", "scheduler", "checkpoints", "checkpoint_minutes", "kept",
     "model", "clean_model", "null_model", "evaluator", "dataset", "root", "out"}
)  # fmt: skip
"""Flags that do not decide what a step finds; datasets, versions and releases count by content."""

PREPROCESS = "preprocess"
KEPT = "kept"
"""Folder, on the run of a step, of the tables that the chain reads from it."""

C = TypeVar("C", bound=Config)
R = TypeVar("R")
Keep = Callable[[R], Mapping[str, pd.DataFrame]]
"""What a step hands back → the tables of it that the chain reads, by name."""


@dataclass
class Steps:
    """A chain of steps under one parent run.

    Attributes:
        total: How many there will be.
        reuse: ``same``: a finished run with the same flags, inputs and code stands for a step;
            ``any``: one of other code too; ``no``: every step runs.
        done: Steps so far, by name, and whether each was taken over.
    """

    total: int
    reuse: str
    done: list[tuple[str, Step, bool]] = field(default_factory=list)

    def run(
        self,
        words: str,
        name: str,
        function: Callable[[C, Run], R],
        config: C,
        *,
        inputs: Mapping[str, str],
        stands: Callable[[Step], bool] = lambda _: True,
        keep: Keep[R] = lambda _: {},
    ) -> Step:
        """Do a step, or find the run that has done it.

        Args:
            words: What the step is called: its run, on the console and in the table of steps.
            name: Entry point.
            function: What it does.
            config: Its flags.
            inputs: Digest of everything it reads, by what it is read as.
            stands: Whether what the found run left is still there.
            keep: Tables to store with the run, for :func:`read_kept`.
        """
        label = f"[{len(self.done) + 1}/{self.total}] {words}"
        digest = step_digest(name, config, inputs)
        found = None if self.reuse == NO else find_step(digest, any_code=self.reuse == ANY)
        taken_over = found is not None and stands(found) and _rows_stand(name, found)
        if found is not None and taken_over:
            with speaking(verbose=config.verbose, step=label):
                say(f"as run {found.run_id[:SHORT_ID]} found it; nothing has changed since")
            step = found
        else:
            told = _told(function, digest, keep)
            step = read_step(execute(name, told, config, step=label, called=words))
        self.done.append((words, step, taken_over))
        return step

    def prepare(
        self, function: Callable[[C, Run], object], config: C, *, root: str, folder: str
    ) -> Step:
        """Make the dataset that the other steps read, or find the run that made it.

        Args:
            function: What the entry point ``preprocess`` does.
            config: Its flags.
            root: Folder of the release; empty for a painted one.
            folder: Dataset folder, which must still be the one that the found run wrote.
        """
        return self.run(
            PREPROCESS,
            PREPROCESS,
            function,
            config,
            inputs={"root": release_fingerprint(root)},
            stands=dataset_stands(folder),
        )

    def log(self, run: Run) -> None:
        """Keep the steps on their parent run, and which runs it took over."""
        run.log_table(self.table(), "steps.json")
        over = [step.run_id for _, step, taken_over in self.done if taken_over]
        run.set_tags({TOOK_OVER: ",".join(over)} if over else {})

    def table(self) -> pd.DataFrame:
        """List the steps so far, the run behind each, and whether it was taken over."""
        rows = [
            {"step": words, "run": step.run_id, "taken over": over}
            for words, step, over in self.done
        ]
        return pd.DataFrame(rows)


def step_digest(name: str, config: Config, inputs: Mapping[str, str]) -> str:
    """Name what a step does: its entry point, its flags, and what it reads, by content.

    A flag that names a file (weights, a recipe) or a version counts by what that holds now.
    """
    flags = {
        flag: f"{value}{_content_of(value)}"
        for flag, value in identity_of(config, ignoring=MOVES_NOTHING).items()
    }
    text = json.dumps([name, flags, dict(inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """Digest of the names, sizes and times of every file below a folder.

    Raises:
        InputError: It cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"root={folder}: no such folder")
    try:
        seen = [
            (str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns)
            for path in sorted(files_below(folder))
            for stat in [path.stat()]
        ]
    except OSError as error:
        raise InputError(f"root={folder}: cannot be read ({error.strerror})") from error
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _content_of(value: object) -> str:
    """Fingerprint of the file or the version that a flag names; empty for any other value."""
    if not isinstance(value, str) or not value:
        return ""
    if value.startswith("models:/"):
        return f" {resolve(value).content}"
    digest = file_digest(value)
    return f" {digest}" if digest else ""


def _rows_stand(name: str, step: Step) -> bool:
    """Whether the rows of a step that writes some are in the results database of now."""
    return has_rows(
        name,
        run_id=step.run_id,
        model_ids=[model_id for model_id in step.models_read.values() if model_id],
        dataset_digest=step.tags.get("dataset_digest", ""),
    )


def release_fingerprint(root: str) -> str:
    """Digest of a release's files as far as a glance can tell; a painted one has none."""
    return folder_fingerprint(user_path(root)) if root else "painted"


def dataset_stands(folder: str) -> Callable[[Step], bool]:
    """Make the test whether a dataset folder still is the one that a finished step wrote."""

    def stands(step: Step) -> bool:
        try:
            there = open_dataset(folder).digest
        except InputError:
            return False
        return there == step.tags.get("dataset_digest")

    return stands


def read_kept(step: Step, name: str) -> pd.DataFrame:
    """Read a table that a step kept."""
    return pd.read_parquet(fetch(f"runs:/{step.run_id}/{KEPT}/{name}.parquet"))


def _told(function: Callable[[C, Run], R], digest: str, keep: Keep[R]) -> Callable[[C, Run], str]:
    """Do a step and hand back the id of its run, which says what it did once it is done."""

    def run_and_tell(config: C, run: Run) -> str:
        _store(run, keep(function(config, run)))
        registered = read_step(run.run_id).version is not None
        run.set_tags({STEP_TAG: digest, "registered": str(registered).lower()})
        return run.run_id

    return run_and_tell


def _store(run: Run, tables: Mapping[str, pd.DataFrame]) -> None:
    if not tables:
        return
    with TemporaryDirectory() as folder:
        for name, table in tables.items():
            table.to_parquet(Path(folder) / f"{name}.parquet", index=False)
        run.log_artifacts(Path(folder), KEPT)
