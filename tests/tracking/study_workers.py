"""A worker process of a study, for the tests that need several: a cheap objective with traps.

``python study_workers.py STORAGE TRIALS FOLDER [trap …]``; ``hang`` writes its trial into the
folder and waits to be killed, once per study; ``raise`` fails in trial 5.
"""

import math
import os
import sys
import time
from pathlib import Path

from tracking.runs import start_run
from tracking.studies import make_pruner, open_study
from tracking.trials import run_trials

SPACE = {
    "lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "optimizer": {"choices": ["adamw", "sgd"]},
}
EPOCHS = 3


def open_shared(storage, *, heartbeat=1):
    return open_study(
        "shared",
        storage,
        space=SPACE,
        seed=0,
        starts=[{"lr": 1e-3, "optimizer": "adamw"}, {"lr": 1e-2, "optimizer": "sgd"}],
        settings={"epochs": EPOCHS},
        pruner=make_pruner("asha", epochs=EPOCHS),
        heartbeat=heartbeat,
    )


def quadratic(lr, epoch=EPOCHS):
    return 1 - (math.log10(lr) + 3) ** 2 - 1 / epoch


def trapped(folder, traps):
    def objective(trial):
        if "raise" in traps and trial.number == 5:
            raise RuntimeError("out of memory")
        for epoch in range(1, EPOCHS + 1):
            trial.report(quadratic(trial.parameters["lr"], epoch), epoch)
            time.sleep(0.02)
            if "hang" in traps and epoch == 2:
                (folder / "hangs").write_text(f"{os.getpid()} {trial.number}")
                time.sleep(600)
        return quadratic(trial.parameters["lr"])

    return objective


def main(storage, trials, folder, *traps):
    study = open_shared(storage)
    with start_run("tune", {}):
        run_trials(study, trapped(Path(folder), traps), trials=int(trials))


if __name__ == "__main__":
    main(*sys.argv[1:])
