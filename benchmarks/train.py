"""How fast does the engine train? Against its bare passes, and against a plain loop.

All contestants train the same network on the same eyes, in turn, and medians over rounds are
compared:

    python -m benchmarks.train --photographs ../shared/data/odir/images --csv rows.csv
    python -m benchmarks.train --cases efficientnet_lite0:256:16 --precision fp32 --csv rows.csv

`bare` is forward, backward and optimizer step over tensors that lie in memory, channels-last, in
the engine's precision and with its optimizer: no loop can be faster. `engine` is
`fundus_ml.training.fit` as the entry points run it: reading from the dataset folder, augmentation,
schedule, checks; validation is not counted. `engine, saving` writes a checkpoint in every step,
from which the cost of one is told. `plain` is the loop of the report: PIL decodes JPEG, torchvision
resizes, mirrors and normalises, one process, fp32. The first step of each round is not counted.
`predict` scores the eyes of the dataset folder as the entry points do, `bare predict` makes forward
passes over tensors in memory. `share` compares speeds with the bare loop, round by round; at 1 the
engine costs nothing. `CPU s` is what a step takes of all cores together, and `CPU share` its share,
which other work on the machine disturbs less; set OMP_WAIT_POLICY=PASSIVE, or threads that wait
count as work. `--csv` appends the rows of `docs/results/training_speed.csv`.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Self

import cv2
import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.machine import machine
from benchmarks.rows import append_rows
from experiments.running.memory import keep_freed_memory
from fundus_ml.attacks import frozen
from fundus_ml.data.dataset import FundusDataset, batches
from fundus_ml.data.opening import open_dataset
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.measured_precision import resolved
from fundus_ml.models.precision import autocast, best_device, trained_in
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.training import Checkpoints, TrainingOptions, fit, predict
from fundus_ml.training.augmentation import augment
from fundus_ml.training.optimization import make_optimizer
from fundus_ml.training.options import AUGMENTATIONS

BARE, ENGINE, SAVING, PLAIN = "bare", "engine", "engine, saving", "plain"
BARE_PREDICT, PREDICT = "bare predict", "predict"
CONTESTANTS = (BARE, ENGINE, SAVING, PLAIN, BARE_PREDICT, PREDICT)
MINUTES = 10
"""Between checkpoints, to tell what share of the time they take."""


@dataclass(frozen=True)
class Case:
    """One network on one size of eyes, as ``resnet18:128:32`` names it."""

    arch: str
    size: int
    batch_size: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``arch:size:batch_size``."""
        arch, size, batch_size = text.split(":")
        return cls(arch, int(size), int(batch_size))


@dataclass
class Taken:
    """What the rounds of one contestant took."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak: int = 0


def main() -> None:
    """Time every case and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files; painted without")
    parser.add_argument("--eyes", type=int, default=192, help="how many of them are read, in turn")
    parser.add_argument(
        "--cases",
        nargs="+",
        default=["resnet18:128:32", "resnet50:224:16", "efficientnet_lite0:256:16"],
    )
    parser.add_argument("--steps", type=int, default=4, help="counted steps of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--augment", choices=AUGMENTATIONS, default="flip", help="of the engine")
    parser.add_argument("--precision", default="auto", help="of the engine and of bare")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--csv", type=Path, help="file that gets rows of the engine and predict")
    given = parser.parse_args()
    keep_freed_memory()
    device = best_device()
    print(machine(device))
    with tempfile.TemporaryDirectory() as scratch:
        paths = _photographs(given.photographs, given.eyes, Path(scratch) / "release")
        for text in given.cases:
            case = Case.parse(text)
            folder = Path(scratch) / f"eyes-{case.size}"
            if not folder.exists():
                _preprocess(Path(scratch) / "release", folder, case.size)
            entered = Contestants(case, given, open_dataset(str(folder)), paths, device)
            taken = _run(entered, given.rounds)
            _report(entered, taken)
            if given.csv is not None:
                rows = [_row(entered, taken, name) for name in (ENGINE, PREDICT) if name in taken]
                append_rows(given.csv, rows)


class Contestants:
    """The contestants of one case."""

    def __init__(
        self,
        case: Case,
        given: argparse.Namespace,
        dataset: FundusDataset,
        paths: list[Path],
        device: torch.device,
    ) -> None:
        self.case, self.device, self.steps = case, device, given.steps
        needed = (given.steps + 1) * case.batch_size
        self.train = dataset.select(np.arange(needed) % len(dataset))
        self.val = dataset.select([int(np.argmin(dataset.labels)), int(np.argmax(dataset.labels))])
        self.paths = list(islice(cycle(paths), needed))
        self.options = TrainingOptions(
            epochs=1, batch_size=case.batch_size, augment=given.augment, precision=given.precision
        )
        self.mean, self.std = dataset.channel_mean, dataset.channel_std
        contestants = {
            BARE: self.bare,
            ENGINE: self.engine,
            SAVING: self.saving,
            PLAIN: self.plain,
            BARE_PREDICT: self.bare_predict,
            PREDICT: self.predict,
        }
        self.contestants = {name: contestants[name] for name in given.contestants}
        self.network = self._network(self.mean, self.std)
        images, _ = next(batches(self.train, case.batch_size, device=device))
        self.predicted_in = resolved(self.network, images, given.precision)
        on_cpu = device.type == "cpu"
        self.precision = self.predicted_in if on_cpu else trained_in(given.precision, device)

    def bare(self, clock: "Clock") -> None:
        """Forward, backward, step over tensors in memory."""
        model = deepcopy(self.network).to(memory_format=torch.channels_last)
        inputs = list(batches(self.train, self.case.batch_size, device=self.device))
        self._learn(model, inputs, make_optimizer(model, self.options), self.precision, clock)

    def engine(self, clock: "Clock") -> None:
        """Run the engine as the entry points do, without checkpoints."""
        fit(deepcopy(self.network), self.train, self.val, self.options, on_step=clock.on_step)

    def saving(self, clock: "Clock") -> None:
        """Run the engine with a checkpoint in every step."""
        with tempfile.TemporaryDirectory() as folder:
            fit(
                deepcopy(self.network),
                self.train,
                self.val,
                self.options,
                checkpoints=Checkpoints(Path(folder), {}, minutes=1e-9),
                on_step=clock.on_step,
            )

    def plain(self, clock: "Clock") -> None:
        """Train as the report did."""
        model = self._network((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        photographs = Photographs(self.paths, self.case.size, self.mean, self.std)
        loader = DataLoader(photographs, self.case.batch_size, shuffle=True)
        moved = ((images.to(self.device), labels.to(self.device)) for images, labels in loader)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.options.lr)
        self._learn(model, moved, optimizer, "fp32", clock)

    def bare_predict(self, clock: "Clock") -> None:
        """Forward over tensors in memory."""
        model = deepcopy(self.network).to(memory_format=torch.channels_last)
        inputs = list(batches(self.train, self.case.batch_size, device=self.device))
        with frozen(model), torch.inference_mode():
            for step, (images, _) in enumerate(inputs, start=1):
                with autocast(self.predicted_in, self.device):
                    model(images).float()
                clock.on_step(step, self.steps + 1)

    def predict(self, clock: "Clock") -> None:
        """Score eyes as the entry points do."""
        model = deepcopy(self.network).to(memory_format=torch.channels_last)
        size = self.case.batch_size
        predict(
            model,
            self.train,
            batch_size=size,
            precision=self.options.precision,
            on_step=lambda done, total: clock.on_step(done // size, total // size),
        )

    def _network(self, mean: tuple[float, ...], std: tuple[float, ...]) -> nn.Module:
        spec = ClassifierSpec(
            arch=self.case.arch, head_hidden=256, mean=mean, std=std, size=self.case.size
        )
        return make_classifier(spec, seed=0).train().to(self.device)

    def _learn(
        self,
        model: nn.Module,
        inputs: Iterable[tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        precision: str,
        clock: "Clock",
    ) -> None:
        scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        for step, (images, labels) in enumerate(inputs, start=1):
            optimizer.zero_grad()
            with autocast(precision, self.device):
                logit = model(images)
            loss = binary_cross_entropy_with_logits(logit.float(), labels)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            clock.on_step(step, self.steps + 1)


class Photographs(Dataset[tuple[Tensor, Any]]):
    """JPEG files, decoded and resized each time they are asked for."""

    def __init__(
        self,
        paths: list[Path],
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        self._paths = paths
        self._transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        """Count the files."""
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        """Read one."""
        with Image.open(self._paths[index]) as image:
            pixels: Tensor = self._transform(image.convert("RGB"))
        return pixels, np.float32(index % 2)


class Clock:
    """Seconds from the end of the first step to the end of the last, and the most memory held.

    On a GPU that is what torch had allocated there, else the resident memory of the process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._over = device, threading.Event()
        self._cpu_started = 0.0
        self.started = self.ended = self.cpu_seconds = 0.0
        self.peak = 0

    def __enter__(self) -> Self:
        """Begin to watch the memory."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._over.set()
        if self._device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated()

    def on_step(self, done: int, total: int) -> None:
        """Note the first and the last step."""
        if done in {1, total}:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            cpu, self.ended = time.process_time(), time.perf_counter()
            if not self.started:
                self.started, self._cpu_started = self.ended, cpu
            self.cpu_seconds = cpu - self._cpu_started

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._over.wait(0.05):
            self.peak = max(self.peak, process.memory_info().rss)


def _run(entered: Contestants, rounds: int) -> dict[str, Taken]:
    taken = {name: Taken() for name in entered.contestants}
    for turn in range(rounds):
        order = list(entered.contestants.items())
        for name, run in order if turn % 2 == 0 else reversed(order):
            with Clock(entered.device) as clock:
                run(clock)
            taken[name].seconds.append((clock.ended - clock.started) / entered.steps)
            taken[name].cpu_seconds.append(clock.cpu_seconds / entered.steps)
            taken[name].peak = max(taken[name].peak, clock.peak)
    return taken


def _report(entered: Contestants, taken: dict[str, Taken]) -> None:
    case = entered.case
    print(f"\n{case}, {entered.precision}, augment={entered.options.augment}")
    print(
        f"{'':16}{'s/step':>9}{'CPU s':>8}{'images/s':>10}{'share':>8}{'spread':>14}"
        f"{'CPU share':>11}{'peak GB':>9}"
    )
    for name, times in taken.items():
        middle = median(times.seconds)
        share, cpu_share = _shares(taken, name)
        spread = f"{min(share):.3f}-{max(share):.3f}"
        print(
            f"{name:16}{middle:9.3f}{median(times.cpu_seconds):8.3f}"
            f"{case.batch_size / middle:10.1f}{median(share):8.3f}{spread:>14}"
            f"{median(cpu_share):11.3f}{times.peak / 1e9:9.2f}"
        )
    if SAVING in taken and ENGINE in taken:
        both = zip(taken[SAVING].seconds, taken[ENGINE].seconds, strict=True)
        saving = median(a - b for a, b in both)
        share_of_time = saving / (60 * MINUTES)
        print(f"a checkpoint takes {saving:.2f} s, {share_of_time:.2%} of {MINUTES} minutes")
    bare = median(taken[BARE].seconds)
    for name, seconds in _augmenting(entered).items():
        print(f"augment={name}: {1000 * seconds:.2f} ms, {seconds / bare:.2%} of a bare step")


def _shares(taken: dict[str, Taken], name: str) -> tuple[list[float], list[float]]:
    """Speed of a contestant over its bare loop's, round by round: by the clock, by CPU time."""
    its = taken[name]
    bare = taken[BARE_PREDICT if name in {PREDICT, BARE_PREDICT} else BARE]
    return (
        [b / own for b, own in zip(bare.seconds, its.seconds, strict=True)],
        [b / own for b, own in zip(bare.cpu_seconds, its.cpu_seconds, strict=True)],
    )


def _row(entered: Contestants, taken: dict[str, Taken], name: str) -> dict[str, str]:
    case, times = entered.case, taken[name]
    share, cpu_share = _shares(taken, name)
    plain: list[float] = []
    if name == ENGINE and PLAIN in taken:
        plain = [p / own for p, own in zip(taken[PLAIN].seconds, times.seconds, strict=True)]
    pass_over = "training" if name == ENGINE else "inference"
    return {
        "case": f"{case.arch}, {case.size} px, batch {case.batch_size}, {pass_over}",
        "precision": entered.precision if name == ENGINE else entered.predicted_in,
        "images_per_s": f"{case.batch_size / median(times.seconds):.3g}",
        "of_bare_loop": f"{median(share):.3f}",
        "of_bare_loop_low": f"{min(share):.3f}",
        "of_bare_loop_high": f"{max(share):.3f}",
        "cpu_of_bare_loop": f"{median(cpu_share):.3f}",
        "times_plain_loop": f"{median(plain):.2f}" if plain else "",
        "times_plain_loop_low": f"{min(plain):.2f}" if plain else "",
        "times_plain_loop_high": f"{max(plain):.2f}" if plain else "",
        "peak_gb": f"{times.peak / 1e9:.2f}",
        "setting": machine(entered.device),
    }


def _augmenting(entered: Contestants) -> dict[str, float]:
    """Seconds that each augmentation takes of one batch."""
    images, _ = next(batches(entered.train, entered.case.batch_size, device=entered.device))
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[float]] = {name: [] for name in AUGMENTATIONS}
    for _ in range(10):
        for name, seconds in found.items():
            with Clock(entered.device) as clock:
                for step in range(3):
                    augment(images, name, generator=generator)
                    clock.on_step(step + 1, 3)
            seconds.append((clock.ended - clock.started) / 2)
    return {name: median(seconds) for name, seconds in found.items()}


def _photographs(root: Path | None, eyes: int, release: Path) -> list[Path]:
    """Make a release of real photographs or of painted ones, every second one male."""
    release.mkdir()
    if root is None:
        people = draw_population(Population(patients=-(-eyes // 2), cue="none"))
        pictures = (paint_photograph(row).image for row in people.to_dict("records"))
        contents = [cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes() for picture in pictures]
    else:
        contents = [path.read_bytes() for path in sorted(root.glob("*.jpg"))[:eyes]]
    paths = [release / f"{place}.jpg" for place in range(len(contents))]
    lines = ["file,patient_id,sex"]
    for place, (path, content) in enumerate(zip(paths, contents, strict=True)):
        path.write_bytes(content)
        lines.append(f"{path.name},{place},{'fm'[place % 2]}")
    (release / "labels.csv").write_text("\n".join(lines) + "\n")
    return paths


def _preprocess(release: Path, out: Path, size: int) -> None:
    options = PreprocessingOptions(size=size, permutations=20, same_person=False)
    preprocess(folder_photographs(release), out, options, recipe={})


if __name__ == "__main__":
    main()
