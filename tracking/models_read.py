"""Which registered versions a run read: by name and number, and by what these meant then."""

from collections.abc import Iterable, Mapping

from mlflow import entities

from tracking.versions import ModelVersion

MODELS_READ = "models_read"
"""Tag of a run: address and ``model_id`` of each version it read, such as
``models:/fundus-sex/3 m-0123``, with commas between them."""
FORMER_TAGS = ("model_version", "start_version")
"""Tags that say only addresses, and not those of every version that was read."""


def tag_of(versions: Iterable[ModelVersion]) -> str:
    """Write the tag, each version once."""
    return ",".join(dict.fromkeys(f"{each.uri} {each.model_id}" for each in versions))


def models_read(tags: Mapping[str, str]) -> dict[str, str]:
    """Tell what a run read.

    Args:
        tags: The run's.

    Returns:
        ``model_id`` by address; the id is empty where an older run does not say it.
    """
    former = [uri for name in FORMER_TAGS for uri in tags.get(name, "").split(",") if uri]
    said = dict(each.split(" ") for each in tags.get(MODELS_READ, "").split(",") if each)
    return dict.fromkeys(former, "") | said


def took(run: entities.Run, version: ModelVersion) -> bool:
    """Whether a run read this very version: a name that was deleted counts from 1 again.

    Args:
        run: As the store gives one alone; a search leaves its inputs out.
        version: The version.
    """
    read = models_read(run.data.tags)
    if version.uri not in read:
        return False
    if read[version.uri]:
        return read[version.uri] == version.model_id
    inputs = [each.model_id for each in run.inputs.model_inputs] if run.inputs else []
    return not inputs or version.model_id in inputs
