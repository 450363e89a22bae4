"""The releases of fundus photographs that can be read, by name."""

import os
from pathlib import Path

from fundus_ml.data.photographs import Photographs
from fundus_ml.errors import InputError
from fundus_ml.sources.brset import brset_photographs
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.mbrset import mbrset_photographs
from fundus_ml.sources.odir import odir_photographs
from fundus_ml.sources.options import check_source
from fundus_ml.sources.papila import papila_photographs
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population

_PUBLISHED = {
    "odir": odir_photographs,
    "brset": brset_photographs,
    "mbrset": mbrset_photographs,
    "papila": papila_photographs,
}


def read_release(
    source: str, root: str, *, table: str, name: str, healthy_only: bool, population: Population
) -> Photographs:
    """Read the rows of a release; no photograph is opened yet.

    Args:
        source: One of :data:`~fundus_ml.sources.options.SOURCES`.
        root: Folder of the release; not needed by ``synthetic``.
        table: File name of the table of ``folder``.
        name: What ``folder`` calls its release in every id.
        healthy_only: Leave out eyes that are not healthy, as each published release defines it;
            ``folder`` keeps them.
        population: Whom ``synthetic`` draws.

    Raises:
        InputError: Unknown source, a root that is missing or cannot be read, or a table without
            its columns.
    """
    check_source(source)
    if source == "synthetic":
        return synthetic_photographs(population)
    folder = _readable(root, source)
    if source in _PUBLISHED:
        return _PUBLISHED[source](folder, healthy_only=healthy_only)
    return folder_photographs(folder, table=table, name=name)


def _readable(root: str, source: str) -> Path:
    rule = f"source={source} reads its release from it"
    try:
        folder = Path(os.path.expanduser(root))
        if not root or not folder.is_dir():
            raise InputError(f"root={root}: no such folder; {rule}")
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                break
    except (OSError, RuntimeError) as error:  # RuntimeError: a ~user there is not
        seen = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"root={root}: cannot be read: {seen}; {rule}") from None
    return folder
