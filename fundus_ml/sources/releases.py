"""The releases of fundus photographs that can be read, by name."""

from pathlib import Path

from fundus_ml.errors import InputError
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.odir import odir_photographs
from fundus_ml.sources.photographs import Photographs
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.population import Population

SOURCES = ("synthetic", "odir", "folder")


def read_release(
    source: str, root: str, *, table: str, name: str, healthy_only: bool, population: Population
) -> Photographs:
    """Read the rows of a release; no photograph is opened yet.

    Args:
        source: One of :data:`SOURCES`.
        root: Folder of the release; not needed by ``synthetic``.
        table: File name of the table of ``folder``.
        name: What ``folder`` calls its release in every id.
        healthy_only: Leave out eyes that are not healthy; ``odir``.
        population: Whom ``synthetic`` draws.

    Raises:
        InputError: Unknown source, missing root, or a table without its columns.
    """
    if source not in SOURCES:
        raise InputError(f"source={source}: allowed: {', '.join(SOURCES)}")
    if source == "synthetic":
        return synthetic_photographs(population)
    folder = Path(root).expanduser()
    if not root or not folder.is_dir():
        raise InputError(f"root={root}: no such folder; source={source} reads its release from it")
    if source == "odir":
        return odir_photographs(folder, healthy_only=healthy_only)
    return folder_photographs(folder, table=table, name=name)
