"""Entry point ``reproduce``: do a finished run again, as it was, and say what differs.

The same entry point starts with the same flags, on the dataset of the same digest and the versions
it took, in the code of its commit, checked out beside this one. Its metrics are then compared, but
for those that tell times. A version that it registers goes under a name of its own, so that no
alias moves.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

import tracking
from experiments import running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import data
from fundus_ml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REPEATED = ("train", "robustify", "pretrain", "evaluate", "audit", "compare", "measure")
"""Entry points that can be done again beside what they left the first time."""
ENDING = "-reproduced"
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig(ConsoleOptions):
    """Flags of ``reproduce``."""

    WRITES_RESULTS: ClassVar[bool] = True

    run: str
    """Id of the finished run to do again."""
    tolerance: float = 1e-6
    """Relative difference up to which two values of a metric are the same."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0 <= self.tolerance < 1:
            raise InputError(f"tolerance={self.tolerance}: must be from 0 to below 1")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("reproduce", ReproduceConfig, reproduce, argv)


def reproduce(config: ReproduceConfig, run: "tracking.Run") -> float:
    """Do a run again as a child of this one; hand back the largest difference of a metric."""
    first = tracking.read_repeatable(config.run)
    flags = flags_of(first)
    console.say(f"{first.entry_point} at commit {first.commit[:12]}")
    with tracking.checked_out(first.commit) as code, TemporaryDirectory() as scratch:
        second = run.child(first.entry_point, {tracking.REPRODUCES: first.run_id})
        done = subprocess.run(  # noqa: S603 (our own command)
            [
                sys.executable,
                "-P",
                "-m",
                f"experiments.{first.entry_point}",
                *flags,
                *folders_of_its_own(first, Path(scratch)),
            ],
            env=os.environ
            | {
                "PYTHONPATH": str(code),
                "MLFLOW_RUN_ID": second,
                # Rows of the first run stay as they are.
                "FUNDUS_RESULTS_URI": f"sqlite:///{scratch}/results.db",
            },
            stdout=None if config.verbose else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise InputError(f"run={config.run}: {first.entry_point} failed this time: {said}")
    table = tracking.compare_metrics(first.metrics, run.metrics_of(second))
    differ = table[table["difference"] > config.tolerance]
    run.log_table(table, "metrics.json")
    run.log_metrics({"equal": len(table) - len(differ), "different": len(differ)})
    run.set_tags({tracking.REPRODUCES: first.run_id, "reproduced_by": second})
    _tell(table, differ)
    return float(table["difference"].max())


def flags_of(first: "tracking.Repeatable") -> list[str]:
    """Write the command line of a run that is done again.

    Raises:
        InputError: Its entry point leaves more than metrics and versions, or its dataset is not
            there as it was.
    """
    if first.entry_point not in REPEATED:
        raise InputError(
            f"run={first.run_id}: is a {first.entry_point}; can do again: {', '.join(REPEATED)}"
        )
    values = dict(first.parameters)
    if int(values.get("replicates", "1")) > 1:
        raise InputError(
            f"run={first.run_id}: trained {values['replicates']} replicates; name the run of one"
        )
    if first.dataset_digest:
        _check_dataset(values["dataset"], first)
    for flag in ("model", "models"):
        if first.model and flag in values:
            values[flag] = first.model
    if first.start:
        values["weights"] = first.start
    if "register_as" in values:
        # The version itself may be gone by now; its name must stay as it is all the same.
        values["register_as"] = (first.registered or values["register_as"]) + ENDING
    return [part for name, value in _given(values) for part in (f"--{name}", value)]


def folders_of_its_own(first: "tracking.Repeatable", scratch: Path) -> list[str]:
    """Keep unfinished work in ``scratch``: a run of the user's that was killed is left alone."""
    flags = [name for name in ("checkpoints", "kept") if name in first.parameters]
    return [part for name in flags for part in (f"--{name}", str(scratch / name))]


def _given(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Flags as a command line takes them: truth values in small letters, what was left out not."""
    told = {"True": "true", "False": "false"}
    return [(name, told.get(value, value)) for name, value in values.items() if value != "None"]


def _check_dataset(paths: str, first: "tracking.Repeatable") -> None:
    folders = [running.user_path(path) for path in running.comma_list(paths)]
    missing = [str(path) for path in folders if not Path(path).is_dir()]
    if missing:
        raise InputError(f"run={first.run_id}: its dataset {missing[0]} is not there")
    found = data.open_dataset(paths).digest
    if found != first.dataset_digest:
        raise InputError(
            f"run={first.run_id}: read dataset {first.dataset_digest[:12]}; {paths} is "
            f"{found[:12]} now"
        )


def _tell(table: "pd.DataFrame", differ: "pd.DataFrame") -> None:
    if differ.empty:
        console.say(f"reproduced: all {len(table)} metrics are equal")
        return
    worst = differ.sort_values("difference", ascending=False).head(SHOWN)
    named = ", ".join(
        f"{row.metric} {row.first:g} then, {row.second:g} now" for row in worst.itertuples()
    )
    more = f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
    console.say(f"{len(differ)} of {len(table)} metrics differ: {named}{more}")


if __name__ == "__main__":
    main()
