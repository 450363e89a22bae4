"""Whether regions are looked for in a release, and which masks people drew for it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fundus_ml.data.photographs import Photographs
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.masks import MaskFolder
from fundus_ml.sources.listing import as_path

NONE, FOUND = "no", "yes"


@dataclass(frozen=True)
class DrawnMasks:
    """Masks of a release's photographs, by the name of each without ending.

    Attributes:
        files: By name, by part; empty where nobody drew any.
    """

    files: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)

    def __call__(self, row: Mapping[str, object]) -> Mapping[str, Path]:
        """Masks of the photograph of one row of the release's table, by part."""
        return self.files.get(_stem(row), {}) if self.files else {}

    def counts(self) -> dict[str, int]:
        """Number of files by part."""
        return dict(Counter(part for parts in self.files.values() for part in parts))

    def paths(self) -> list[Path]:
        """Every file, in order."""
        return [path for parts in self.files.values() for path in parts.values()]


def drawn_masks(regions: str, photographs: Photographs) -> DrawnMasks | None:
    """Read what ``regions`` asks for.

    Args:
        regions: ``yes``, ``no``, or a folder with masks.
        photographs: The release.

    Returns:
        None where no regions are wanted.

    Raises:
        InputError: The folder is not there, the release has no files, or from
            :class:`~fundus_ml.imaging.regions.masks.MaskFolder`.
    """
    if regions == NONE:
        return None
    if regions == FOUND:
        return DrawnMasks()
    folder = Path(regions).expanduser()
    if not folder.is_dir():
        raise InputError(f"regions={regions}: no such folder; allowed: yes, no, or a folder")
    if "path" not in photographs.table:
        raise InputError(f"regions={regions}: source {photographs.name} has no files to draw on")
    stems = [_stem({"path": path}) for path in photographs.table["path"]]
    return DrawnMasks(MaskFolder(folder, stems).files)


def _stem(row: Mapping[str, object]) -> str:
    return as_path(str(row["path"])).stem
