"""Which files of a folder this program wrote, known by their names; only those are ever deleted."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


class OwnFiles:
    r"""The names of the files that the program writes into one kind of folder.

    Links are never followed and never ours, whatever their name.

    Args:
        patterns: A regular expression for each level of a path below the folder, with ``/`` between
            the levels: ``step-\d{9}/[a-z]+\.safetensors``.

    Attributes:
        patterns: As given.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self._levels = [tuple(map(re.compile, pattern.split("/"))) for pattern in patterns]

    def below(self, folder: str) -> tuple[str, ...]:
        """Write the patterns for files that lie in ``folder``, a pattern itself."""
        return tuple(f"{folder}/{pattern}" for pattern in self.patterns)

    def foreign(self, folder: Path) -> list[str]:
        """Name what lies in ``folder`` and is not ours, as paths below it."""
        return [path.relative_to(folder).as_posix() for path, own in self._walk(folder) if not own]

    def in_the_way(self, folder: Path) -> list[str]:
        """Name what is not ours and stands where the program writes, such as a link."""
        return [
            name
            for name in self.foreign(folder)
            if self._names(parts := tuple(name.split("/"))) or self._holds(parts)
        ]

    def remove(self, folder: Path) -> None:
        """Delete the files in ``folder`` that are ours, and the folders of ours left empty by it.

        ``folder`` itself stays, and so does what cannot be deleted.
        """
        for path in [path for path, own in self._walk(folder) if own]:
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()

    def _walk(self, folder: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[Path, bool]]:
        """Yield every entry and whether it is ours, what lies in a folder before the folder."""
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            parts, path = (*above, entry.name), folder / entry.name
            if entry.is_dir(follow_symlinks=False) and self._holds(parts):
                yield from self._walk(path, parts)
                yield path, True
            else:
                yield path, entry.is_file(follow_symlinks=False) and self._names(parts)

    def _names(self, parts: tuple[str, ...]) -> bool:
        return any(len(levels) == len(parts) and _fits(levels, parts) for levels in self._levels)

    def _holds(self, parts: tuple[str, ...]) -> bool:
        return any(len(levels) > len(parts) and _fits(levels, parts) for levels in self._levels)


def remove_if_empty(folder: Path) -> None:
    """Delete ``folder`` where nothing lies in it; a link to a folder stays."""
    with suppress(OSError):
        folder.rmdir()


def _fits(levels: tuple[re.Pattern[str], ...], parts: tuple[str, ...]) -> bool:
    return all(level.fullmatch(part) for level, part in zip(levels, parts, strict=False))
