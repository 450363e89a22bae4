"""Which datasets a version has seen, itself or through the versions it was made from."""

from tracking.errors import TrackingError
from tracking.registry import resolve
from tracking.versions import ModelVersion

UNKNOWN = ""
"""Digest of a version that says none, or that is not in the registry any more."""


def datasets_seen(version: ModelVersion) -> dict[str, str]:
    """Follow a version back to everything it was made from.

    Args:
        version: Its tags ``parent_version`` (trained from) and ``parents`` (averaged, with commas
            between them) lead back.

    Returns:
        The ``dataset_digest`` of each version found, by address, ``version`` first;
        :data:`UNKNOWN` where none is known.
    """
    seen: dict[str, str] = {}
    waiting = [(version.uri, dict(version.tags))]
    while waiting:
        uri, tags = waiting.pop(0)
        if uri not in seen:
            seen[uri] = tags.get("dataset_digest", UNKNOWN)
            waiting += [(parent, _tags(parent)) for parent in _parents(tags)]
    return seen


def _parents(tags: dict[str, str]) -> list[str]:
    named = [tags.get("parent_version", ""), *tags.get("parents", "").split(",")]
    return [uri for uri in named if uri]


def _tags(uri: str) -> dict[str, str]:
    try:
        return dict(resolve(uri).tags)
    except TrackingError:
        return {}
