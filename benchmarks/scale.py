"""Does preprocessing use the cores it is given, and does its memory stay bounded?

A release of `--eyes` rows is made of copies of the photographs of `--root`, or of painted eyes
where no root is given, and preprocessed with one and with two processes in turn; medians are
compared:

    python -m benchmarks.scale --root ../photographs --eyes 400 --rounds 3

With `--workers 2 --rounds 1 --eyes 20000` it measures the memory of one long run. Memory is the
proportional set size of all processes together, pages of files that are mapped included, and beside
it what is not backed by a file; sampled five times a second.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Self

import cv2
import psutil

from fundus_ml.data.photographs import Photographs
from fundus_ml.parallel import processes
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population


def main() -> None:
    """Time the two in turn and print medians, ratio and peaks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="folder of photographs; painted ones without")
    parser.add_argument("--painted", type=int, default=200, help="people to paint without --root")
    parser.add_argument("--eyes", type=int, default=400)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--same_person", type=int, default=0, help="1: look for the same eye too")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    workers = [int(count) for count in given.workers.split(",")]
    seconds: dict[int, list[float]] = {count: [] for count in workers}
    with tempfile.TemporaryDirectory() as folder:
        release = _release(given, Path(folder))
        for turn in range(given.rounds):
            for count in workers:
                out = Path(folder) / f"{count}-{turn}"
                with _Watch() as watch:
                    started = time.perf_counter()
                    read = _run(release, out, given, count)
                    whole = time.perf_counter() - started
                seconds[count].append(read)
                print(
                    f"{count} processes: read {read:7.1f} s, all {whole:7.1f} s, "
                    f"peak {watch.most / 1e9:.2f} GB, {watch.most_anonymous / 1e9:.2f} GB of it "
                    "not mapped files",
                    flush=True,
                )
    for count, taken in seconds.items():
        ratio = median(seconds[workers[0]]) / median(taken)
        print(f"{count} processes: median {median(taken):.1f} s, {ratio:.2f} x {workers[0]}")


def _run(release: Photographs, out: Path, given: argparse.Namespace, workers: int) -> float:
    """Preprocess; the seconds until the last photograph was read, start of processes included."""
    options = PreprocessingOptions(
        size=given.size, permutations=20, same_person=bool(given.same_person)
    )
    reached: dict[str, float] = {}
    started = time.perf_counter()

    def on_progress(stage: str, _done: int, _total: int) -> None:
        reached[stage] = time.perf_counter() - started

    with processes(workers=workers):
        preprocess(release, out, options, recipe={}, on_progress=on_progress)
    return reached["read"]


def _release(given: argparse.Namespace, folder: Path) -> Photographs:
    root = folder / "release"
    root.mkdir()
    if given.root is None:
        source = folder / "painted"
        source.mkdir()
        people = draw_population(Population(patients=given.painted, cue="none"))
        for place, row in enumerate(people.to_dict("records")):
            image = cv2.cvtColor(paint_photograph(row).image, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(source / f"{place}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        photographs = sorted(source.iterdir())
    else:
        photographs = sorted(path for path in given.root.rglob("*.jpg"))
    lines = ["file,patient_id,sex"]
    for eye in range(given.eyes):
        place = eye % len(photographs)
        name = f"{eye}.jpg"
        (root / name).write_bytes(photographs[place].read_bytes())
        lines.append(f"{name},{eye},{'fm'[place % 2]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder_photographs(root)


class _Watch(threading.Thread):
    """Samples the memory of this process and its children until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = self.most_anonymous = 0
        self._done = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        """Sample."""
        me = psutil.Process()
        while not self._done.wait(0.2):
            shares = [_share(process.pid) for process in [me, *me.children(recursive=True)]]
            self.most = max(self.most, sum(whole for whole, _ in shares))
            self.most_anonymous = max(
                self.most_anonymous, sum(anonymous for _, anonymous in shares)
            )


def _share(process: int) -> tuple[int, int]:
    """Bytes of a process's share of memory, and how many of them no file stands behind."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # it has ended
        return 0, 0
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kilobytes["Pss"] * 1024, kilobytes["Pss_Anon"] * 1024


if __name__ == "__main__":
    main()
