"""A dataset version as MLflow lists it among the inputs of a run."""

import json

from mlflow.entities import Dataset, DatasetInput, InputTag, Run

from tracking.versions import DatasetVersion

LONGEST_DIGEST = 36  # width of MLflow's digest column


def dataset_input(version: DatasetVersion) -> DatasetInput:
    """Build the input entity of ``version``.

    MLflow's column cuts the digest to 36 characters, so the whole one stands in the tag
    ``digest``. What the run used the dataset for is the tag ``mlflow.data.context``.
    """
    dataset = Dataset(
        name=version.name,
        digest=version.digest[:LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": version.source}),
        profile=json.dumps({"num_rows": version.rows}),
    )
    tags = [InputTag("digest", version.digest)]
    if version.context:
        tags.append(InputTag("mlflow.data.context", version.context))
    return DatasetInput(dataset=dataset, tags=tags)


def datasets_read(run: Run) -> list[DatasetVersion]:
    """List the datasets among the inputs of a run."""
    return [dataset_of(each) for each in run.inputs.dataset_inputs] if run.inputs else []


def dataset_of(entity: DatasetInput) -> DatasetVersion:
    """Read back what :func:`dataset_input` built."""
    tags = {tag.key: tag.value for tag in entity.tags}
    dataset = entity.dataset
    return DatasetVersion(
        name=dataset.name,
        digest=tags.get("digest", dataset.digest),
        source=json.loads(dataset.source).get("uri", ""),
        rows=json.loads(dataset.profile or "{}").get("num_rows", 0),
        context=tags.get("mlflow.data.context", ""),
    )
