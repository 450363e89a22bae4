"""Runs and versions of a whole store, wherever they stand in it, page by page."""

from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

OLDEST_FIRST = ("attributes.start_time ASC",)
NEWEST_FIRST = ("attributes.start_time DESC",)


def find_runs(
    client: MlflowClient, wanted: str, *, order_by: Sequence[str] = OLDEST_FIRST
) -> Iterator[Run]:
    """Find every run that a filter names, and ask for no page that is not read.

    Args:
        client: Client of the store.
        wanted: MLflow's filter, such as ``tags.stage = 'train'``.
        order_by: MLflow's order.
    """
    experiments = [each.experiment_id for each in client.search_experiments()]
    token = None
    while True:
        page = client.search_runs(experiments, wanted, order_by=list(order_by), page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def find_versions(client: MlflowClient, wanted: str) -> Iterator[ModelVersion]:
    """Find every registered version that a filter names, page by page.

    Args:
        client: Client of the store.
        wanted: MLflow's filter, such as ``tags.labels = 'true'``.
    """
    token = None
    while True:
        page = client.search_model_versions(wanted, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
