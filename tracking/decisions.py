"""What a split has been asked: how many versions it measured, how many decisions it made."""

from collections.abc import Collection

from tracking.registry import version_of
from tracking.runs import Run
from tracking.searching import find_runs, find_versions
from tracking.stores import initialise_tracking
from tracking.versions import ModelVersion

SPLIT_TAG = "promotion_split"
DIGEST_TAG = "promotion_digest"


def record_decision(
    run: Run, *, dataset_digest: str, split: str, promoted: bool, reason: str
) -> int:
    """Record on the run what was decided.

    Args:
        run: The open run.
        dataset_digest: Digest of the dataset asked.
        split: Its split.
        promoted: Whether the alias moves.
        reason: With the figures.

    Returns:
        How many decisions this split has made, this one included.
    """
    run.set_tags(
        {
            DIGEST_TAG: dataset_digest,
            SPLIT_TAG: split,
            "promoted": str(promoted).lower(),
            "promotion_reason": reason,
        }
    )
    client = initialise_tracking()
    asked = {DIGEST_TAG: dataset_digest, SPLIT_TAG: split}
    # The filter is constant: a quote in a digest would end it.
    decided = find_runs(client, f"tags.{SPLIT_TAG} LIKE '%'")
    return sum(asked.items() <= each.data.tags.items() for each in decided)


def versions_to_choose_from(
    digests: Collection[str], *, candidate: ModelVersion, champion: ModelVersion | None
) -> int:
    """Count the versions that whoever names a candidate could have chosen from by their scores.

    Every training measures its version on the test split, so each version of the dataset, or of
    the one that the candidate learned from, could have been named for that score.

    Args:
        digests: Digests of the dataset and of its folders.
        candidate: Counts wherever it was trained.
        champion: The version it is compared with, which does not count.

    Returns:
        1 or more: versions under any name that answer the candidate's question, but for null
        models and for what learned no labels.
    """
    asked = _question(candidate)
    client = initialise_tracking()
    found = {candidate.uri}
    own = {candidate.tags.get("dataset_digest", "")} - {""}
    for digest in sorted({*digests, *own}):
        if '"' in digest or "'" in digest:
            continue  # no digest of ours; a quote would end the filter
        for entry in find_versions(client, f"tags.dataset_digest = '{digest}'"):
            version = version_of(entry)
            learned = version.tags.get("labels", "true"), version.tags.get("recipe")
            if learned[0] == "true" and learned[1] != "vicreg" and _question(version) == asked:
                found.add(version.uri)
    return max(1, len(found - {"" if champion is None else champion.uri}))


def _question(version: ModelVersion) -> str:
    return version.tags.get("contrast", "sex")
