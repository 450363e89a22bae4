"""A dataset version as MLflow lists it among the inputs of a run."""

import json

from mlflow.entities import Dataset, DatasetInput, InputTag

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
