"""What lies in the folders of a release: each is listed once, whatever the system's encoding.

Names on disk are bytes. They are read as UTF-8 here, and not as the locale says, so that a name
means the same wherever a table is read.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import quote_from_bytes, unquote_to_bytes

_ADDRESS = "file:"
_ONE_FORMAT = {".jpeg": ".jpg", ".tiff": ".tif"}

Entry = os.DirEntry[bytes]


def as_text(path: Path) -> str:
    """Write a path of this system as text that means the same under every locale.

    A name that is no UTF-8, which a table of text cannot hold, makes it a ``file:`` address.
    """
    name = os.fsencode(path)
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return _ADDRESS + quote_from_bytes(name)
    return _ADDRESS + quote_from_bytes(name) if text.startswith(_ADDRESS) else text


def as_path(text: str) -> Path:
    """Turn what :func:`as_text` wrote, or part of a table's path, into a path of this system."""
    if text.startswith(_ADDRESS):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_ADDRESS))))
    return Path(os.fsdecode(text.encode("utf-8")))


class Folder:
    """The entries of one folder.

    Args:
        path: The folder.
        suffixes: Endings of photographs, in lower case.

    Attributes:
        entries: By name, where it is UTF-8.
        real: The folder with all links followed.

    Raises:
        OSError: It cannot be listed.
    """

    def __init__(self, path: bytes, suffixes: tuple[str, ...]) -> None:
        self.real = os.path.realpath(path)
        self._suffixes = suffixes
        with os.scandir(path) as found:
            self._all = [(_read(entry.name), entry) for entry in found]
        self.entries = {name: entry for name, entry in self._all if name.encode() == entry.name}

    def alike(self, name: str) -> list[Entry]:
        """Entries whose name differs in capitals or Unicode form at most."""
        return self._by_name.get(_folded(name), [])

    def files_alike(self, name: str) -> list[Entry]:
        """Entries that a table can mean by ``name``, of the nearest kind there is.

        They differ in capitals or Unicode form; or say ``.jpeg`` for ``.jpg``; or the name has no
        ending of an image.
        """
        folded = _folded(name)
        return (
            self._by_name.get(folded)
            or self._by_format.get(_one_format(folded))
            or self._by_stem.get(folded, [])
        )

    @cached_property
    def _by_name(self) -> dict[str, list[Entry]]:
        return _grouped((_folded(name), entry) for name, entry in self._all)

    @cached_property
    def _by_format(self) -> dict[str, list[Entry]]:
        return _grouped((_one_format(_folded(name)), entry) for name, entry in self._all)

    @cached_property
    def _by_stem(self) -> dict[str, list[Entry]]:
        split = ((_split(_folded(name)), entry) for name, entry in self._all)
        return _grouped(
            (stem, entry) for (stem, suffix), entry in split if suffix in self._suffixes
        )


class Listing:
    """Folders below a root, listed when they are first asked for.

    Args:
        root: Folder of the release.
        suffixes: Endings of photographs, in lower case.
    """

    def __init__(self, root: Path, suffixes: tuple[str, ...]) -> None:
        self._suffixes = suffixes
        self.root = os.fsencode(root)
        self.home = os.path.realpath(self.root)
        self._folders: dict[bytes, Folder | OSError] = {}

    def folder(self, path: bytes) -> Folder:
        """List a folder.

        Raises:
            OSError: It cannot be listed.
        """
        if path not in self._folders:
            try:
                self._folders[path] = Folder(path, self._suffixes)
            except OSError as error:
                self._folders[path] = error
        found = self._folders[path]
        if isinstance(found, OSError):
            raise found
        return found

    def exactly(self, name: str) -> tuple[Folder, Entry] | None:
        """Find the entry that lies at ``name``.

        Raises:
            OSError: A folder on the way cannot be listed.
        """
        path, parts = self.root, PurePosixPath(name).parts
        for place, part in enumerate(parts, 1):
            try:
                folder = self.folder(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
            entry = folder.entries.get(part)
            if entry is None or place == len(parts):
                return None if entry is None else (folder, entry)
            path = entry.path
        return None

    def loosely(self, name: str) -> list[tuple[Folder, Entry]]:
        """Find all that ``name`` can mean; folders on the way may differ in capitals too."""
        *above, last = PurePosixPath(name).parts or ("",)
        paths = [self.root]
        for part in above:
            paths = [entry.path for folder in self._readable(paths) for entry in folder.alike(part)]
        return [
            (folder, entry)
            for folder in self._readable(paths)
            for entry in folder.files_alike(last)
        ]

    def _readable(self, paths: list[bytes]) -> Iterator[Folder]:
        for path in paths:
            try:
                yield self.folder(path)
            except OSError:
                continue


def _read(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp1252", "replace")


def _folded(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.casefold())


def _split(name: str) -> tuple[str, str]:
    stem, point, ending = name.rpartition(".")
    return (stem, point + ending) if stem else (name, "")


def _one_format(folded: str) -> str:
    stem, suffix = _split(folded)
    return stem + _ONE_FORMAT.get(suffix, suffix)


def _grouped(named: Iterator[tuple[str, Entry]]) -> dict[str, list[Entry]]:
    groups: defaultdict[str, list[Entry]] = defaultdict(list)
    for name, entry in named:
        groups[name].append(entry)
    return groups
