"""What lies one step from anything with a lineage: photograph, dataset, run, version, picture."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd
from mlflow import entities
from mlflow.exceptions import MlflowException
from sqlalchemy import select

from tracking.database import session
from tracking.datasets import datasets_read
from tracking.errors import TrackingError
from tracking.models_read import FORMER_TAGS, MODELS_READ, models_read, took
from tracking.registry import find_version, resolve, version_of
from tracking.searching import find_runs
from tracking.steps import TOOK_OVER
from tracking.stores import initialise_tracking
from tracking.tables import Modulation, Prediction
from tracking.versions import DatasetVersion, ModelVersion

Found = TypeVar("Found")
Kind = Literal["photograph", "dataset", "run", "model", "picture"]
MOST_VERSIONS = 10_000
SHORT = 12
GONE = "deleted"
WRITTEN_BY = "preprocess"
"""What the run that writes a dataset gives as its use of it."""
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_VERSION = re.compile(r"models:/[^/@]+(?:/\d+|@[^/]+)")
_PICTURE = re.compile(r"(?P<run>[0-9a-f]{32})/(?:artifacts/modulation/|modulation/)?(?P<file>.+)")


@dataclass(frozen=True)
class Node:
    """One thing with a lineage.

    Attributes:
        kind: What it is.
        name: An image id, a digest, a run id, ``models:/name/3`` or the address of a picture.
        words: What a reader should know of it; plays no part in equality.
        dataset: Digest that an image id belongs to; empty for other kinds.
        experiment: Id of the experiment of a run; empty for other kinds, and where it is deleted.
    """

    kind: Kind
    name: str
    words: str = ""
    dataset: str = ""
    experiment: str = ""

    def __eq__(self, other: object) -> bool:
        """Whether both are the same thing, whatever is said of them."""
        return isinstance(other, Node) and self._key == other._key

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.kind, self.name, self.dataset


class Neighbours:
    """Both directions of one step, with what every step asks for read once."""

    @cached_property
    def datasets(self) -> dict[str, DatasetVersion]:
        """Every dataset that a run read, by digest; the writer's word for it goes first."""
        seen: dict[str, DatasetVersion] = {}
        for run in _runs("tags.dataset_digest != ''"):
            for each in datasets_read(run):
                if each.digest not in seen or each.context == WRITTEN_BY:
                    seen[each.digest] = each
        return seen

    @cached_property
    def versions(self) -> list[ModelVersion]:
        """Every registered version."""
        entries = initialise_tracking().search_model_versions(max_results=MOST_VERSIONS)
        return [version_of(entry) for entry in entries]

    def above(self, node: Node) -> Iterator[Node]:
        """What a thing was made from, one step up."""
        if node.kind == "picture":
            yield from self._above_picture(node.name)
        elif node.kind == "photograph":
            digests = node.dataset.split(",")
            yield from (_dataset(self.datasets[each]) for each in digests if each in self.datasets)
        elif node.kind == "dataset":
            yield from (_run(run) for run in _runs_that_read(node.name) if _wrote(run, node.name))
        elif node.kind == "model":
            version = _found(resolve, node.name)
            if version is not None:
                yield from (_model_at(uri, own) for uri, own in version.parents.items())
                yield from map(_run_at, filter(None, [version.run_id]))
        else:
            run = _found(initialise_tracking().get_run, node.name)
            if run is not None:
                yield from self._above_run(run)

    def _above_picture(self, address: str) -> Iterator[Node]:
        row = _modulation_of(address)
        if row is not None:
            yield self.photograph(row.image_id, row.dataset_digest)
            yield _model_at(f"models:/{row.model_name}/{row.model_version}", row.model_id)
            yield _run_at(row.run_id)

    def _above_run(self, run: entities.Run) -> Iterator[Node]:
        tags = run.data.tags
        for uri in models_read(tags):
            version = _found(resolve, uri)
            if version is not None and took(run, version):
                yield _model(version)
            else:
                yield Node("model", uri, GONE)
        yield from (_dataset(each) for each in datasets_read(run) if not _wrote(run, each.digest))
        members = _listed(tags, "dataset_members")
        yield from (_dataset(self.datasets[each]) for each in members if each in self.datasets)
        yield from map(_run_at, _listed(tags, "mlflow.parentRunId"))

    def below(self, node: Node) -> Iterator[Node]:
        """What was made from a thing, one step down."""
        if node.kind == "photograph":
            for digest in node.dataset.split(","):
                yield from _pictures(image_id=node.name, dataset_digest=digest)
        elif node.kind == "dataset":
            readers = _runs_that_read(node.name)
            yield from (_run(run) for run in readers if not _wrote(run, node.name))
        elif node.kind == "model":
            version = _found(resolve, node.name)
            if version is not None:
                children = (each for each in self.versions if _made_from(each, version))
                yield from map(_model, children)
                yield from map(_run, _runs_that_took(version))
        elif node.kind == "run":
            run = _found(initialise_tracking().get_run, node.name)
            yield from map(_run, _runs(f"tags.mlflow.parentRunId = '{node.name}'"))
            yield from (_model(each) for each in self.versions if each.run_id == node.name)
            if run is not None:
                yield from map(_run_at, _listed(run.data.tags, TOOK_OVER))
                yield from map(_dataset, (d for d in datasets_read(run) if _wrote(run, d.digest)))
            yield from _pictures(run_id=node.name)

    def photograph(self, image_id: str, digest: str) -> Node:
        """Describe a photograph by where it came from, while its dataset folder is there."""
        known = [self.datasets[each] for each in digest.split(",") if each in self.datasets]
        folders = [folder for version in known for folder in version.source.split(",")]
        words = next(filter(None, (_source_of(image_id, Path(each)) for each in folders)), "")
        return Node(
            "photograph",
            image_id,
            words or f"of dataset {digest[:SHORT]}, whose folder is not here",
            digest,
        )

    def find_photograph(self, image_id: str) -> Node | None:
        """Find a photograph that was scored or modulated."""
        with session() as opened:
            digests = {
                digest
                for table in (Prediction, Modulation)
                for digest in opened.scalars(
                    select(table.dataset_digest).where(table.image_id == image_id).distinct()
                )
            }
        return self.photograph(image_id, ",".join(sorted(digests))) if digests else None


def find_node(text: str, neighbours: Neighbours) -> Node:
    """Tell what a text names, as :func:`tracking.tracing.trace` takes it.

    Raises:
        TrackingError: It names nothing of this store.
    """
    if _VERSION.fullmatch(text):
        return _model(resolve(text))
    if _RUN_ID.fullmatch(text):
        try:
            return _run(initialise_tracking().get_run(text))
        except MlflowException:
            raise TrackingError(f"trace of {text!r}: no such run in this store") from None
    if _DIGEST.fullmatch(text):
        found = [each for each in neighbours.datasets.values() if each.digest.startswith(text)]
        if len(found) != 1:
            how_many = "several datasets begin so" if found else "no run read such a dataset"
            raise TrackingError(f"trace of {text!r}: {how_many} in this store")
        return _dataset(found[0])
    node = _find_picture(text) if text.endswith(".png") else neighbours.find_photograph(text)
    if node is None:
        raise TrackingError(
            f"trace of {text!r}: must be a modulation's picture, models:/name/3, a run's id, a "
            "dataset's digest or the id of a photograph, and in this store"
        )
    return node


def _model(version: ModelVersion) -> Node:
    tags = version.tags
    said = [tags.get("contrast", ""), tags.get("recipe", "")]
    said += [f"eps {tags['eps']}"] if "eps" in tags else []
    return Node("model", version.uri, ", ".join(filter(None, said)))


def _run(run: entities.Run) -> Node:
    words = f"{run.info.run_name}, {run.info.status}"
    return Node("run", str(run.info.run_id), words, experiment=str(run.info.experiment_id))


def _model_at(uri: str, model_id: str) -> Node:
    """What an address meant; the id, where it is known, tells it from what it means now."""
    version = _found(lambda name: find_version(name, model_id), uri)
    return Node("model", uri, GONE) if version is None else _model(version)


def _made_from(child: ModelVersion, parent: ModelVersion) -> bool:
    return child.parents.get(parent.uri, GONE) in ("", parent.model_id)


def _runs_that_took(version: ModelVersion) -> Iterator[entities.Run]:
    found = {
        str(run.info.run_id): run
        for tag in (MODELS_READ, *FORMER_TAGS)
        for run in _runs(f"tags.{tag} LIKE '%{version.uri}%'")
    }
    for run_id, run in found.items():
        if version.uri in models_read(run.data.tags) and took(
            initialise_tracking().get_run(run_id), version
        ):
            yield run


def _run_at(run_id: str) -> Node:
    run = _found(initialise_tracking().get_run, run_id)
    return Node("run", run_id, GONE) if run is None else _run(run)


def _found(read: Callable[[str], Found], name: str) -> Found | None:
    """What is registered or recorded under a name; None where it was deleted for good."""
    try:
        return read(name)
    except (TrackingError, MlflowException):
        return None


def _listed(tags: Mapping[str, str], name: str) -> list[str]:
    """Values that a tag holds with commas between them."""
    return [value for value in tags.get(name, "").split(",") if value]


def _dataset(version: DatasetVersion) -> Node:
    return Node("dataset", version.digest, f"{version.name}, {version.source}")


def _source_of(image_id: str, folder: Path) -> str:
    """Release and fingerprint of a photograph's file; empty where the folder does not say."""
    manifest, record = folder / "manifest.parquet", folder / "dataset.json"
    if not (manifest.is_file() and record.is_file()):
        return ""
    rows = pd.read_parquet(manifest, columns=["image_id", "sha256"])
    rows = rows[rows["image_id"] == image_id]
    if rows.empty:
        return ""
    recipe = json.loads(record.read_text(encoding="utf-8")).get("recipe", {})
    release = " ".join(filter(None, (recipe.get("source"), recipe.get("root"))))
    return f"release {release}, SHA-256 {rows['sha256'].iloc[0]}"


def _runs(wanted: str) -> list[entities.Run]:
    return list(find_runs(initialise_tracking(), wanted))


def _runs_that_read(digest: str) -> list[entities.Run]:
    return [
        *_runs(f"tags.dataset_digest = '{digest}'"),
        *_runs(f"tags.dataset_members LIKE '%{digest}%'"),
    ]


def _wrote(run: entities.Run, digest: str) -> bool:
    """Whether a run made the dataset, and not only read it."""
    return any(each.digest == digest and each.context == WRITTEN_BY for each in datasets_read(run))


def _pictures(**wanted: str) -> list[Node]:
    with session() as opened:
        rows = opened.scalars(select(Modulation).filter_by(**wanted).order_by(Modulation.id))
        return [_picture(row) for row in rows]


def _picture(row: Modulation) -> Node:
    words = f"{row.image_id} towards {row.target}, {row.constraint} eps {row.eps:g}"
    return Node("picture", row.picture, words)


def _modulation_of(picture: str) -> Modulation | None:
    with session() as opened:
        row = opened.scalars(select(Modulation).where(Modulation.picture == picture)).first()
        if row is not None:
            opened.expunge(row)
        return row


def _find_picture(text: str) -> Node | None:
    """A picture by its address, or by a file that was stored or downloaded under its run."""
    row = _modulation_of(text)
    if row is None:
        named = _PICTURE.search(text)
        if named is None:
            return None
        with session() as opened:
            query = select(Modulation).where(Modulation.run_id == named["run"])
            endings = tuple(f"{named['run']}/{at}{named['file']}" for at in ("", "modulation/"))
            rows = [each for each in opened.scalars(query) if each.picture.endswith(endings)]
            return _picture(rows[0]) if rows else None
    return _picture(row)
