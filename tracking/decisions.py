"""How often a split has been asked which version is better: every answer wears it a little."""

from tracking.runs import Run
from tracking.stores import initialise_tracking

SPLIT_TAG = "promotion_split"
DIGEST_TAG = "promotion_digest"


def record_decision(
    run: Run, *, dataset_digest: str, split: str, promoted: bool, reason: str
) -> int:
    """Record on the run what was decided.

    Args:
        run: The open run.
        dataset_digest: Of the dataset asked.
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
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    asked = f"tags.{DIGEST_TAG} = '{dataset_digest}' and tags.{SPLIT_TAG} = '{split}'"
    made, token = 0, None
    while True:
        page = client.search_runs(experiments, asked, page_token=token)
        made, token = made + len(page), page.token
        if not token:
            return made
