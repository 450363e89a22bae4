"""The steps of a long chain: numbered, each a run of its own, not run again without a reason."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from experiments.running.console import say, speaking
from experiments.running.flags import Config, execute
from experiments.running.identity import identity_of
from experiments.running.options import ANY, NO
from fundus_ml.errors import InputError
from tracking.runs import Run
from tracking.steps import STEP_TAG, Step, find_step, read_step

SHORT_ID = 8
MOVES_NOTHING = frozenset(
    {"verbose", "workers", "backend", "scheduler", "checkpoints", "checkpoint_minutes", "kept",
     "model", "clean_model", "null_model", "evaluator", "dataset", "root", "out"}
)  # fmt: skip
"""Flags that do not decide what a step finds; datasets, versions and releases count by content."""

C = TypeVar("C", bound=Config)


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
        function: Callable[[C, Run], object],
        config: C,
        *,
        inputs: Mapping[str, str],
        stands: Callable[[Step], bool] = lambda _: True,
    ) -> Step:
        """Do a step, or find the run that has done it.

        Args:
            words: What the step is called on the console and in the table of steps.
            name: Entry point.
            function: What it does.
            config: Its flags.
            inputs: Digest of everything it reads, by what it is read as.
            stands: Whether what the found run left is still there.
        """
        label = f"[{len(self.done) + 1}/{self.total}] {words}"
        digest = step_digest(name, config, inputs)
        found = None if self.reuse == NO else find_step(digest, any_code=self.reuse == ANY)
        taken_over = found is not None and stands(found)
        if found is not None and taken_over:
            with speaking(verbose=config.verbose, step=label):
                say(f"as run {found.run_id[:SHORT_ID]} found it; nothing has changed since")
            step = found
        else:
            step = read_step(execute(name, _told(function, digest), config, step=label))
        self.done.append((words, step, taken_over))
        return step


def step_digest(name: str, config: Config, inputs: Mapping[str, str]) -> str:
    """Name what a step does: its entry point, its flags, and what it reads, by content."""
    flags = {
        flag: str(value) for flag, value in identity_of(config, ignoring=MOVES_NOTHING).items()
    }
    text = json.dumps([name, flags, dict(inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """Digest of the names, sizes and times of every file below a folder.

    Raises:
        InputError: It cannot be read.
    """
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        seen = [
            (str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns)
            for path in files
            for stat in [path.stat()]
        ]
    except OSError as error:
        raise InputError(f"root={folder}: cannot be read ({error.strerror})") from error
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _told(function: Callable[[C, Run], object], digest: str) -> Callable[[C, Run], str]:
    """Do a step and hand back the id of its run, which says what it did once it is done."""

    def run_and_tell(config: C, run: Run) -> str:
        function(config, run)
        registered = read_step(run.run_id).version is not None
        run.set_tags({STEP_TAG: digest, "registered": str(registered).lower()})
        return run.run_id

    return run_and_tell
