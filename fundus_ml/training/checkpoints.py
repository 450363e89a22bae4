"""A training on disk, whole at every moment: safetensors and JSON, nothing to unpickle.

A checkpoint is a folder ``step-000000480`` that is written under another name and renamed when
everything in it has reached the disk; the one before it is removed only then. Nothing is deleted
but files of these names in a folder that carries our marker.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fundus_ml.data.own_files import OwnFiles, remove_if_empty
from fundus_ml.data.owned_folders import (
    PARTIAL,
    FolderKind,
    own,
    read_object,
    remove_owned,
    write_object,
)
from fundus_ml.errors import InputError, listed

IDENTITY_FILE = "training.json"
PROGRESS_FILE = "progress.json"

Identity = Mapping[str, object]
"""Everything that decides how a training goes, by name; plain JSON values."""
Tensors = Mapping[str, Mapping[str, Tensor]]
"""Tensors by name, by the part of the training they belong to."""
_STEP = r"step-\d{9,}"
_STEP_FILES = OwnFiles(
    r"[a-z_]+\.safetensors",
    r"\.tmp\w{6}",  # what the library names a file of tensors until it is whole
    r"progress\.json(\.partial)?",
)


def _describes_training(file: Path) -> bool:
    found = read_object(file)
    return isinstance(found.get("identity"), dict) and isinstance(found.get("note"), dict)


TRAINING = FolderKind(
    name="training",
    files=OwnFiles(r"training\.json(\.partial)?", *_STEP_FILES.below(rf"{_STEP}(\.partial)?")),
    description=IDENTITY_FILE,
    describes=_describes_training,
)
"""A folder of checkpoints, for :func:`fundus_ml.data.owned_folders.alone_in`."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Attributes:
        tensors: As they were saved, on the CPU.
        progress: As it was saved.
    """

    tensors: Tensors
    progress: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training in one folder.

    Args:
        folder: Made when missing; ours, as :mod:`fundus_ml.data.owned_folders` has it.
        identity: Everything that decides how the training goes, by name; plain JSON values.
        minutes: Time between checkpoints inside an epoch; 0 writes at the ends of epochs only.
        note: What a later process may want to know, such as the run that trains; not compared.
        writes: Whether this process describes the training; one of several does.
        of_former: Puts the identity that an earlier release wrote into the words of this one.

    Raises:
        InputError: The folder holds a training that differs, by the name of what differs, or is
            not ours.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, object],
        *,
        minutes: float = 0.0,
        note: Mapping[str, str] | None = None,
        writes: bool = True,
        of_former: Callable[[Identity], Identity] | None = None,
    ) -> None:
        self.folder = folder
        self.found_note: Mapping[str, str] = {}
        self._minutes = minutes
        self._last = monotonic()
        identity = json.loads(json.dumps(identity))
        if writes:
            own(folder, TRAINING, named=f"checkpoints={folder}")
        described = folder / IDENTITY_FILE
        if described.is_file():
            found = _read_json(described)
            begun = found["identity"] if of_former is None else of_former(found["identity"])
            _check_same(folder, begun, identity)
            self.found_note = found["note"]
        if writes:
            write_object(described, {"identity": identity, "note": dict(note or {})})

    def load(self) -> Saved | None:
        """Read the newest checkpoint; None where there is none.

        Raises:
            InputError: It cannot be read.
        """
        for left in self._steps(PARTIAL):
            _drop(left)
        whole = self._steps()
        if not whole:
            return None
        try:
            tensors = {path.stem: load_file(path) for path in whole[-1].glob("*.safetensors")}
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"checkpoints={whole[-1]}: cannot be read ({error})") from error
        return Saved(tensors, _read_json(whole[-1] / PROGRESS_FILE))

    def due(self) -> bool:
        """Whether it is time for a checkpoint inside an epoch."""
        return 0 < self._minutes * 60 <= monotonic() - self._last

    def save(self, step: int, tensors: Tensors, progress: Mapping[str, object]) -> None:
        """Write a checkpoint and remove the ones before it.

        Args:
            step: Steps learned in all; names the checkpoint.
            tensors: What :meth:`load` gives back, on any device.
            progress: Plain JSON values; floats come back to the last bit.

        Raises:
            InputError: Others put files into the checkpoint of the same step.
        """
        target = self.folder / f"step-{step:09d}"
        partial = target.with_name(target.name + PARTIAL)
        _drop(partial)
        partial.mkdir(exist_ok=True)
        for name, part in tensors.items():
            plain = {key: value.detach().cpu().contiguous() for key, value in part.items()}
            save_file(plain, partial / f"{name}.safetensors")
            _to_disk(partial / f"{name}.safetensors")
        write_object(partial / PROGRESS_FILE, progress)
        earlier = [path for path in self._steps() if path != target]
        _drop(target, wholly=True)
        partial.rename(target)
        _to_disk(self.folder)
        for path in earlier:
            _drop(path)
        self._last = monotonic()

    def remove(self) -> list[str]:
        """Delete what was written, and the folder where that empties it: it is kept elsewhere now.

        Returns:
            Names of what others put into the folder, which stays.
        """
        return remove_owned(self.folder, TRAINING)

    def _steps(self, suffix: str = "") -> list[Path]:
        """List the checkpoints whose names end so, the newest last."""
        name = re.compile(_STEP + re.escape(suffix))
        found = (path for path in self.folder.iterdir() if name.fullmatch(path.name))
        return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _drop(step: Path, *, wholly: bool = False) -> None:
    """Delete a checkpoint; what others put into it stays, or where it must not, is refused."""
    if not step.is_dir():
        return
    if wholly and (foreign := _STEP_FILES.foreign(step)):
        raise InputError(f"checkpoints={step}: holds {listed(foreign)}; move that elsewhere")
    _STEP_FILES.remove(step)
    remove_if_empty(step)


def flat_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's state into tensors by ``<parameter>.<name>`` and plain values."""
    state = optimizer.state_dict()
    values = {f"{p}.{name}": v for p, held in state["state"].items() for name, v in held.items()}
    tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
    numbers = {key: value for key, value in values.items() if key not in tensors}
    return tensors, {"groups": state["param_groups"], "numbers": numbers}


def fill_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]
) -> None:
    """Put back what :func:`flat_optimizer` took out, each tensor laid out as its parameter is."""
    state: dict[int, dict[str, Any]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in {**tensors, **plain["numbers"]}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = _laid_out(value, parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": plain["groups"]})


def _laid_out(value: Any, parameter: Tensor) -> Any:  # noqa: ANN401 (an optimizer's state is anything)
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value


def _check_same(folder: Path, found: Mapping[str, object], identity: Mapping[str, object]) -> None:
    for name in [*identity, *(name for name in found if name not in identity)]:
        then, now = found.get(name, "nothing"), identity.get(name, "nothing")
        if then != now:
            raise InputError(
                f"{name}={now}: the training begun in checkpoints={folder} has {name}={then}; "
                "go on with that value, or name another checkpoints folder"
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"checkpoints={path}: cannot be read ({error})") from error
    return content


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
