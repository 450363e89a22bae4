"""Modulations that can be killed at any moment: the same command goes on at the next batch."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fundus_ml.errors import InputError
from fundus_ml.modulation import KeptBatches
from tracking.runs import Run

_NOTE = "run.json"


@contextmanager
def kept_pictures(kept: str, identity: Mapping[str, object], run: Run) -> Iterator[Path]:
    """Hand out a folder that outlives a killed process, and delete it when all went well.

    Where another process works on the same modulation, a folder of this process's own is handed
    out, so that both come to their end.

    Args:
        kept: Folder; checkpoints/modulate-DIGEST, by ``identity``, if empty.
        identity: Everything that decides the pictures.
        run: Is marked as going on with the run that was killed.

    Raises:
        InputError: The folder cannot be written, or holds another modulation.
    """
    written = json.dumps(identity, sort_keys=True)
    digest = hashlib.sha256(written.encode()).hexdigest()
    folder = Path(kept).expanduser() if kept else Path("checkpoints") / f"modulate-{digest[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        sys.stderr.write(f"{folder}: another process works there; this one keeps its own\n")
        with tempfile.TemporaryDirectory(prefix="modulate-") as own:
            yield Path(own)
        return
    except OSError as error:
        raise InputError(f"kept={folder}: cannot be written ({error.strerror})") from error
    with lock:
        note = folder / _NOTE
        _go_on(note, digest, run)
        note.write_text(json.dumps({"digest": digest, "run_id": run.run_id}), encoding="utf-8")
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


def batches_of(folder: Path, origin: str) -> KeptBatches:
    """Keep the batches of one origin in a folder of its own."""
    return KeptBatches(folder / origin.replace(" ", "-"))


def _go_on(note: Path, digest: str, run: Run) -> None:
    if not note.is_file():
        return
    found = json.loads(note.read_text(encoding="utf-8"))
    if found["digest"] != digest:
        raise InputError(
            f"kept={note.parent}: holds a modulation with other flags, eyes or versions; name "
            "another folder, or delete it"
        )
    run.continue_from(found["run_id"])
    sys.stdout.write(f"goes on with the modulation in {note.parent}\n")
