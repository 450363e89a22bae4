"""What to say where photographs are not found: where they were looked for, and what lies there."""

import difflib
import os
from itertools import islice
from pathlib import Path, PurePosixPath

from fundus_ml.imaging.photographs import shown
from fundus_ml.sources.listing import as_path

SHOWN = 3
LOOKED_AT = 20_000
"""Entries below the root that are looked at before the search for a name ends."""


def where_they_lie(root: Path, name: str) -> str:
    """Say where a missing photograph was looked for and what can be meant.

    Args:
        root: Folder of the release.
        name: Path below it, as the table has it.

    Returns:
        Part of a line: the folder, what it holds that looks like the name, and where below
        ``root`` a file of that name lies.
    """
    *above, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
    folder = root
    for part in above:
        if not (folder / as_path(part)).is_dir():
            last = f"{part}/"
            break
        folder /= as_path(part)
    said = f"{name} was looked for in {shown(folder)}, which holds {_nearest(folder, last)}"
    lies = _elsewhere(root, name)
    return f"{said}; a file of that name is {lies} below root; write that path" if lies else said


def _nearest(folder: Path, name: str) -> str:
    """Entries with names like ``name``, or the first ones; folders end with a slash."""
    try:
        with os.scandir(folder) as entries:
            held = sorted(shown(entry.name) + "/" * entry.is_dir() for entry in entries)
    except OSError as error:
        return f"nothing that may be read ({error.strerror})"
    near = difflib.get_close_matches(name, held[:LOOKED_AT], n=SHOWN) or held[:SHOWN]
    more = len(held) - len(near)
    return (", ".join(near) or "nothing") + (f" and {more} more" if more else "")


def _elsewhere(root: Path, name: str) -> str:
    """Path below ``root`` of a file that has the name's last part, empty where there is none."""
    wanted = _last(name)
    found = (
        shown(Path(folder, file).relative_to(root))
        for folder, _, files in os.walk(root)
        for file in files
    )
    same = (path for path in islice(found, LOOKED_AT) if _last(path) == wanted)
    return next(same, "")


def _last(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name.casefold()
