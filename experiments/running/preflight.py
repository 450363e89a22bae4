"""What a run needs only at its end is looked at before its first batch."""

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.running.comma_lists import comma_list
from experiments.running.identity import Flags
from experiments.running.places import user_path
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import weight_bytes
from tracking.database import check_results
from tracking.names import check_model_name
from tracking.readiness import check_artifacts, stored_bytes
from tracking.runs import Run
from tracking.studies import check_studies

MEBIBYTE = 2**20
LEAST = 32 * MEBIBYTE
"""Free space for tables, figures and logs, whatever else is written."""
FOLDERS = {"out": "", "checkpoints": "checkpoints", "kept": "checkpoints"}
"""Flags that name a folder to write, and the folder where they are empty."""
VERSION, MAKING, UNFINISHED = 2, 3, 10
"""Copies of the weights in a registered version; in temporary files while it is made; and in
checkpoints, of which there are two for a moment, each with optimizer, average and best epoch."""


@dataclass(frozen=True)
class Space:
    """Bytes that will be written to a folder, which may not be there yet."""

    folder: Path
    size: int


def check_ready(config: Flags, run: Run) -> None:
    """Refuse to begin what could not be finished.

    ``register_as`` must be a name the registry takes; the folders of ``out``, ``checkpoints`` and
    ``kept``, the artifact store, the database of ``storage`` and, where the config says
    ``WRITES_RESULTS``, the results database must be writable; the disks must hold what is coming.

    Args:
        config: Flags of the entry point.
        run: The open run.

    Raises:
        InputError: A folder cannot be written, or a disk is too full.
        TrackingError: A name is refused, or a store cannot be written.
    """
    flags = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if "register_as" in flags:
        check_model_name(flags["register_as"])
    folders = {name: _folder(flags[name], default) for name, default in FOLDERS.items()
               if name in flags}  # fmt: skip
    for name, folder in folders.items():
        check_folder(name, folder)
    if "storage" in flags:
        check_studies(flags["storage"])
    if getattr(config, "WRITES_RESULTS", False):
        check_results()
    artifacts = check_artifacts(run)
    weights = _weight_bytes(flags)
    spaces = [Space(Path(tempfile.gettempdir()), LEAST + MAKING * weights)]
    if artifacts is not None:
        spaces.append(Space(artifacts, LEAST + VERSION * weights))
    if "checkpoints" in folders:
        spaces.append(Space(folders["checkpoints"], UNFINISHED * weights))
    check_space(spaces)


def check_folder(name: str, folder: Path) -> None:
    """Refuse a folder that can neither be written nor made; leaves nothing there.

    Raises:
        InputError: The system's reason.
    """
    try:
        if folder.is_file():
            raise FileExistsError(0, "File exists")
        with tempfile.TemporaryFile(dir=_existing(folder)):
            pass
    except OSError as error:
        raise InputError(f"{name}={folder}: cannot be written ({error.strerror})") from error


def check_space(spaces: Sequence[Space]) -> None:
    """Refuse to begin where a disk has less space than will be written to it.

    Raises:
        InputError: With what is needed and what is free.
    """
    needed: dict[int, int] = {}
    for space in spaces:
        folder = _existing(space.folder)
        disk = folder.stat().st_dev
        needed[disk] = needed.get(disk, 0) + space.size
        free = shutil.disk_usage(folder).free
        if free < needed[disk]:
            raise InputError(
                f"the disk of {folder} is too full: about {_megabytes(needed[disk])} MB are "
                f"needed, {_megabytes(free)} MB are free; make room and give the same command again"
            )


def _folder(given: str, default: str) -> Path:
    return user_path(given or default)


def _existing(folder: Path) -> Path:
    """Find the folder itself, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _weight_bytes(flags: Mapping[str, Any]) -> int:
    """Size of the network that is to be registered; 0 where none is."""
    if "register_as" not in flags:
        return 0
    if "arch" in flags and flags.get("method", "clean") == "clean":
        return weight_bytes(flags["arch"], flags.get("head_hidden", 1))
    address, *_ = comma_list(str(flags.get("model") or flags.get("models")), flag="model")
    return stored_bytes(address)


def _megabytes(size: int) -> int:
    return round(size / 1e6)
