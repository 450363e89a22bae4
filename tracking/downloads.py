"""Copies of artifacts for the length of a process, bounded, with nothing left behind."""

import atexit
import re
import tempfile
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock

import mlflow

MOST_BYTES = 1 << 30
"""Size of all copies together beyond which those used longest ago go."""
_LASTING = re.compile(r"models:/[^/@]+/\d+/.+|runs:/[0-9a-f]{32}/\w+/pictures/.+")
"""Files of a version and pictures by it, whose addresses mean the same while a process lives."""

_OF_A_RUN = re.compile(r"runs:/([0-9a-f]{32}/.+)")


@dataclass(frozen=True)
class _Copy:
    folder: tempfile.TemporaryDirectory[str]
    path: Path
    size: int


class Downloads:
    """Artifacts that were fetched, by address.

    The files of a numbered model version and pictures are fetched once; any other address is
    fetched anew, in place of its former copy. Of all copies those used last are kept, up to
    ``most_bytes``, the last one whatever its size. They go when the process ends; only one that is
    killed leaves them in the temporary folder.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._copies: OrderedDict[tuple[str, str], _Copy] = OrderedDict()
        self._registered = False
        self._lock = Lock()

    def get(self, address: str, *, of: str) -> Path:
        """Return the copy of an artifact, fetching it where there is none.

        Args:
            address: What MLflow's ``download_artifacts`` takes.
            of: Tracking store that the address is looked up in.
        """
        key = (of, address)
        with self._lock:
            known = self._copies.pop(key, None)
            if known is not None and _LASTING.fullmatch(address) and known.path.exists():
                self._copies[key] = known
                return known.path
            fetched = _fetch(address)
            if known is not None:
                known.folder.cleanup()
            if not self._registered:
                atexit.register(self._clear)
                self._registered = True
            self._copies[key] = fetched
            self._drop_oldest()
            return fetched.path

    def _drop_oldest(self) -> None:
        while len(self._copies) > 1 and self._size() > self.most_bytes:
            _, oldest = self._copies.popitem(last=False)
            oldest.folder.cleanup()

    def _size(self) -> int:
        return sum(copy.size for copy in self._copies.values())

    def _clear(self) -> None:
        while self._copies:
            self._copies.popitem()[1].folder.cleanup()


def _fetch(address: str) -> _Copy:
    with ExitStack() as undo:
        folder = tempfile.TemporaryDirectory(prefix="fundus-")
        undo.callback(folder.cleanup)
        inside = _inside(Path(folder.name), address)
        path = Path(mlflow.artifacts.download_artifacts(address, dst_path=inside))
        undo.pop_all()
    size = sum(file.stat().st_size for file in Path(folder.name).rglob("*") if file.is_file())
    return _Copy(folder, path, size)


def _inside(folder: Path, address: str) -> str:
    """Keep run and folders in the path of a copy, by which the lineage knows the file again."""
    named = _OF_A_RUN.fullmatch(address)
    inside = folder / PurePosixPath(named[1]).parent if named else folder
    inside.mkdir(parents=True, exist_ok=True)
    return str(inside)
