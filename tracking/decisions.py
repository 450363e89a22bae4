"""How often a split has been asked which version is better: every answer wears it a little."""

from tracking.runs import Run
from tracking.searching import find_runs
from tracking.stores import initialise_tracking

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
