"""Folders that a user names to be written: expanded, and refused where they must not lie.

What may be deleted or replaced in a folder is judged by ``fundus_ml.data.owned_folders`` and
``fundus_ml.preprocessing.staging``; here a place is refused for where it lies.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from fundus_ml.errors import InputError


def user_path(text: str) -> Path:
    """Read a path in which ``~`` stands for a home.

    Where no such home is known the ``~`` stays, and the path leads nowhere.
    """
    return Path(os.path.expanduser(text))


def place(name: str, given: str) -> Path:
    """Read the flag ``name`` as the folder it names, ``~`` expanded.

    Raises:
        InputError: It is empty, the home of nobody, or the root, the home or the working folder,
            or a folder that one of these lies in.
    """
    if not given.strip():
        raise InputError(f"{name}={given}: must name a folder")
    folder = user_path(given)
    if str(folder).startswith("~"):
        raise InputError(f"{name}={given}: no such home is known; write the whole path")
    for what, taken in (("your home", user_path("~")), ("the working folder", Path())):
        if within(taken, folder):
            raise InputError(
                f"{name}={given}: is {what} or lies around it; name a folder of its own"
            )
    return folder


def out_place(given: str) -> Path:
    """Read the flag ``out``, from which ``dataset`` must be able to name the folder again.

    Raises:
        InputError: As :func:`place`, or its name holds a comma or ends in a space.
    """
    if "," in given or given != given.strip():
        raise InputError(
            f"out={given}: must hold no comma and end in no space: dataset could not name it again"
        )
    return place("out", given)


def refuse_overlap(name: str, folder: Path, other: str, taken: str) -> None:
    """Refuse ``folder`` where it is, lies in or lies around the folder that ``other`` names.

    Raises:
        InputError: It does.
    """
    root = user_path(taken)
    if taken and (within(folder, root) or within(root, folder)):
        raise InputError(
            f"{name}={folder}: is, lies in or lies around {other}={taken}, which is only read; "
            "name a folder apart from it"
        )


def refuse_inside(name: str, folder: Path, datasets: Iterable[Path]) -> None:
    """Refuse ``folder`` where it is or lies in a dataset folder.

    Raises:
        InputError: It does.
    """
    for dataset in datasets:
        if within(folder, dataset):
            raise InputError(
                f"{name}={folder}: lies in the dataset folder {dataset}; name a folder outside it"
            )


def within(inner: Path, outer: Path) -> bool:
    """Whether ``inner`` is ``outer`` or lies below it, links resolved."""
    resolved = Path(os.path.realpath(inner))
    around = Path(os.path.realpath(outer))
    return resolved == around or around in resolved.parents
