"""The two versioned things a run reads: datasets and registered models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

DIGESTS_TAG = "files_sha256"
"""Tag of a version: the SHA-256 of each file that was registered with it, as JSON."""
PARENT_TAG, PARENTS_TAG = "parent_version", "parents"
"""Tags of a version: what it was trained from; what it is the average of, with commas."""
PARENT_IDS_TAG = "parent_model_ids"
"""Tag of a version: the ``model_id`` of each of its parents; older versions note none."""
CLASSES_TAG = "classes"
"""Tag of a version: the names of its two classes, as JSON; in older ones with a comma between."""
WEIGHTS = "extra_files/weights.safetensors"


@dataclass(frozen=True)
class DatasetVersion:
    """One dataset as it was when a run read it.

    Attributes:
        name: What people call it, for example ``odir``.
        digest: Fingerprint of its manifest and pixels; MLflow keeps at most 36 characters.
        source: Folder it was read from; several separated by commas.
        rows: Number of eyes.
        context: What the run used it for, for example ``training``.
    """

    name: str
    digest: str
    source: str
    rows: int
    context: str = ""


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: Registered name, for example ``fundus-sex``.
        version: Counted from 1 within the name.
        model_id: The logged model behind the version (``m-…``).
        run_id: The run that made it.
        tags: Its tags, ``dataset_digest`` and ``parent_version`` among them.
    """

    name: str
    version: int
    model_id: str
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def uri(self) -> str:
        """The address that always means this version, ``models:/fundus-sex/3``."""
        return f"models:/{self.name}/{self.version}"

    @property
    def parents(self) -> dict[str, str]:
        """What it was made from, one step back: ``model_id`` by address, empty where not noted."""
        named = [self.tags.get(PARENT_TAG, ""), *self.tags.get(PARENTS_TAG, "").split(",")]
        uris = [uri for uri in named if uri]
        ids = filter(None, self.tags.get(PARENT_IDS_TAG, "").split(","))
        return dict(zip_longest(uris, ids, fillvalue=""))

    @property
    def classes(self) -> tuple[str, ...]:
        """What a logit below 0 and one above it mean, ``("female", "male")``; empty where unsaid.

        Of a tag with several commas, as older versions have it, the first one parts the names.
        """
        tag = self.tags.get(CLASSES_TAG, "")
        try:
            found = json.loads(tag)
        except ValueError:
            found = None
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return tuple(found)
        first, _, second = tag.partition(",")
        return (first, second) if second else ()

    @property
    def content(self) -> str:
        """SHA-256 of its weights, alike for versions of equal weights; ``model_id`` before 0.6.0.

        What was begun with a version goes on with another one of the same content.
        """
        try:
            return str(json.loads(self.tags[DIGESTS_TAG])[WEIGHTS])
        except (KeyError, ValueError, TypeError):
            return self.model_id
