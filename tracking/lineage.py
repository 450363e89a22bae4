"""Pictures tied to the model version they explain, and the versions it came from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mlflow import entities

from tracking.datasets import datasets_read
from tracking.errors import TrackingError
from tracking.models_read import took
from tracking.registry import describe
from tracking.runs import Run
from tracking.searching import find_runs
from tracking.stores import exclusive, initialise_tracking, tracking_uri
from tracking.versions import ModelVersion

LONGEST_DESCRIPTION = 5000  # width of MLflow's description column
THUMBNAILS = "thumbnails"
"""Folder, beside the pictures of a run, of those that the version's description shows."""
GALLERY = "gallery.html"
"""Page among the pictures of a run that all of them are looked through on, where there is one."""
CARD = "card"
"""Folder of a version's card, on its last run and on the version."""
REPRODUCES = "reproduces"
"""Tag of a run that was asked to repeat another: that one's id."""
COUNTED = ("RUNNING", "FINISHED")

_CLOSING = "<!-- end of pictures -->"
_SECTION = re.compile(rf"<!-- pictures (?P<key>[^>]*) -->.*?{_CLOSING}", re.DOTALL)


def attach_pictures(
    run: Run,
    version: ModelVersion,
    folder: Path,
    *,
    thumbnails: Sequence[Path],
    caption: str,
    folder_name: str = "modulation",
) -> str:
    """Tie the pictures a run made to the version it made them with.

    The whole folder joins the artifacts of the run, so that pulling the version fetches a model
    and no pictures. The thumbnails are shown in the version's description, one section per run: a
    repeated call replaces the section of its own run, other runs keep theirs. When the description
    is full, thumbnails that do not fit are left to the run's page and the oldest sections go.

    Args:
        run: The run that made the pictures.
        version: The version it used.
        folder: Everything to keep.
        thumbnails: Small pictures for the description, best first.
        caption: One line above them.
        folder_name: Kind of picture; the folder they are kept under.

    Returns:
        Address of the folder, ``runs:/<run_id>/modulation``; append ``/name.png`` for one picture.

    Raises:
        TrackingError: The folder is empty or a thumbnail is missing.
    """
    _check(folder, thumbnails)
    client = initialise_tracking()
    run.log_artifacts(folder, folder_name)
    for thumbnail in thumbnails:
        run.log_artifact(thumbnail, f"{folder_name}/{THUMBNAILS}")
    key = f"{folder_name} {run.run_id}"
    links = (
        f"[step by step]({run.page('model-metrics')}) · "
        f"[files]({run.page(f'artifacts/{folder_name}')})"
    )
    if (folder / GALLERY).is_file():
        links = f"[gallery]({run.page(f'artifacts/{folder_name}/{GALLERY}')}) · {links}"
    images = [_image(run, folder_name, thumbnail) for thumbnail in thumbnails]
    section = _section(key, f"**{caption}** · {links}", images)
    with exclusive(tracking_uri()):
        page = client.get_model_version(version.name, str(version.version)).description or ""
        describe(version, _with_section(page, key, section))
    return run.artifact_uri(folder_name)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run measured of a version.

    Attributes:
        name: Name of the run.
        run_id: Its id.
        dataset: Name of its first dataset; empty where it named none.
        metrics: Last value of each.
    """

    name: str
    run_id: str
    dataset: str
    metrics: Mapping[str, float]


def measurements_of(version: ModelVersion) -> list[Measurement]:
    """List the runs that took a version as their model, the oldest first.

    A run that is still open counts with what it has logged so far; one that did not finish, that
    made another version from this one, or that only repeats another (`reproduce`) does not.
    """
    client = initialise_tracking()
    return [
        Measurement(
            name=str(run.info.run_name),
            run_id=run.info.run_id,
            dataset=next((each.name for each in datasets_read(run)), ""),
            metrics=dict(run.data.metrics),
        )
        for run in find_runs(client, f"tags.model_version = '{version.uri}'")
        if run.info.status in COUNTED
        and run.info.run_id != version.run_id
        and REPRODUCES not in run.data.tags
        and not _makes_a_version(run)
        and took(client.get_run(run.info.run_id), version)
    ]


def _makes_a_version(run: entities.Run) -> bool:
    """Whether a run took the version to start from, as `robustify` does."""
    return bool(run.outputs and run.outputs.model_outputs)


def attach_card(run: Run, version: ModelVersion, folder: Path, markdown: str) -> None:
    """Make a card the description of a version; pictures that stand there stay below it.

    Args:
        run: The run that wrote it; gets the folder's files under ``card``.
        version: The version.
        folder: Files of the card.
        markdown: The card as text; cut where MLflow's description ends.
    """
    run.log_artifacts(folder, CARD)
    client = initialise_tracking()
    client.log_model_artifacts(version.model_id, str(folder), f"{CARD}/{run.run_id}")
    with exclusive(tracking_uri()):
        page = client.get_model_version(version.name, str(version.version)).description or ""
        sections = [match[0] for match in _SECTION.finditer(page)]
        words = markdown[:LONGEST_DESCRIPTION].strip()
        while sections and len(_join(words, sections)) > LONGEST_DESCRIPTION:
            sections.pop(0)
        describe(version, _join(words, sections))


def _check(folder: Path, thumbnails: Sequence[Path]) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        raise TrackingError(f"picture folder is {str(folder)!r}; must exist and hold pictures")
    missing = [str(path) for path in thumbnails if not path.is_file()]
    if missing:
        raise TrackingError(f"thumbnail is {missing[0]!r}; no such file")


def _image(run: Run, folder_name: str, thumbnail: Path) -> str:
    path = quote(f"{folder_name}/{THUMBNAILS}/{thumbnail.name}", safe="")
    return f"![{thumbnail.stem}](/get-artifact?path={path}&run_uuid={run.run_id})"


def _section(key: str, heading: str, images: Sequence[str]) -> str:
    def page(shown: int) -> str:
        more = f" ({len(images) - shown} more there)" if shown < len(images) else ""
        return (
            f"<!-- pictures {key} -->\n\n{heading}{more}\n\n"
            f"{' '.join(images[:shown])}\n\n{_CLOSING}"
        )

    fitting = (n for n in range(len(images), 0, -1) if len(page(n)) <= LONGEST_DESCRIPTION)
    return page(next(fitting, 0))


def _with_section(page: str, key: str, section: str) -> str:
    """Put ``section`` below what stands on the page, in place of its former self."""
    own_words = _SECTION.sub("", page).strip()
    others = [match[0] for match in _SECTION.finditer(page) if match["key"] != key]
    sections = [*others, section]
    while len(sections) > 1 and len(_join(own_words, sections)) > LONGEST_DESCRIPTION:
        sections.pop(0)
    return _join(own_words, sections)


def _join(own_words: str, sections: Sequence[str]) -> str:
    return "\n\n".join([own_words, *sections] if own_words else sections)
