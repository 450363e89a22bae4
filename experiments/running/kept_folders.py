"""Folders of work that can be killed at any moment: the same command goes on at the next batch."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from experiments.running.console import say, warn
from experiments.running.places import place, refuse_inside
from experiments.running.resuming import tell_left
from fundus_ml.data.own_files import OwnFiles
from fundus_ml.data.owned_folders import (
    FolderBusyError,
    FolderKind,
    alone_in,
    read_object,
    remove_owned,
    write_object,
)
from fundus_ml.errors import InputError
from tracking.runs import Run

_NOTE = "run.json"


def _describes(file: Path) -> bool:
    found = read_object(file)
    return (
        set(found) == {"digest", "run_id"}
        and re.fullmatch(r"[0-9a-f]{64}", str(found["digest"])) is not None
    )


def kind_of_batches(name: str, batches: str) -> FolderKind:
    """Describe a folder of finished batches.

    Args:
        name: What it holds, in messages: ``modulation``.
        batches: Regular expression of its files.
    """
    files = OwnFiles(r"run\.json(\.partial)?", batches)
    return FolderKind(name=name, files=files, description=_NOTE, describes=_describes)


@contextmanager
def kept_folder(
    kind: FolderKind,
    entry_point: str,
    kept: str,
    identity: Mapping[str, object],
    run: Run,
    *,
    datasets: Sequence[Path],
) -> Iterator[Path]:
    """Hand out a folder that outlives a killed process, and delete it when all went well.

    Where another process works on the same, a folder of this process's own is handed out, so that
    both come to their end.

    Args:
        kind: What it is for.
        entry_point: Name of the entry point, in the folder's name.
        kept: Folder; checkpoints/ENTRY-DIGEST, by ``identity``, if empty.
        identity: Everything that decides the batches.
        run: Is marked as going on with the run that was killed.
        datasets: Folders of the dataset, in which the folder must not lie.

    Raises:
        InputError: The folder cannot be written, lies in the dataset, or holds other work.
    """
    written = json.dumps(identity, sort_keys=True)
    digest = hashlib.sha256(written.encode()).hexdigest()
    folder = place("kept", kept) if kept else Path("checkpoints") / f"{entry_point}-{digest[:12]}"
    refuse_inside("kept", folder, datasets)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(folder, kind, named=f"kept={folder}"))
        except FolderBusyError:
            warn(f"{folder}: another process works there; this one keeps its own")
            own = tempfile.TemporaryDirectory(prefix=f"{entry_point}-")
            yield Path(stack.enter_context(own))
            return
        _go_on(folder / _NOTE, digest, run, kind.name)
        yield folder
        tell_left(folder, remove_owned(folder, kind))


def _go_on(note: Path, digest: str, run: Run, name: str) -> None:
    """Say which run is gone on with, if any, and note this one."""
    if note.is_file():
        found = read_object(note)
        if found["digest"] != digest:
            raise InputError(
                f"kept={note.parent}: holds a {name} with other flags, eyes or versions; name "
                "another folder, or delete it"
            )
        run.continue_from(str(found["run_id"]))
        say(f"goes on with the {name} in {note.parent}")
    try:
        write_object(note, {"digest": digest, "run_id": run.run_id})
    except OSError as error:
        raise InputError(f"kept={note.parent}: cannot be written ({error.strerror})") from error
