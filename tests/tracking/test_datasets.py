import mlflow
import pytest

from tracking.datasets import dataset_input
from tracking.versions import DatasetVersion


@pytest.mark.parametrize("length", [8, 36, 64])
def test_the_digest_fits_mlflow_and_is_kept_whole(length):
    digest = ("0123456789abcdef" * 4)[:length]
    entry = dataset_input(DatasetVersion("odir", digest, "data/odir", 3))
    assert entry.dataset.digest == digest[:36]
    assert {tag.key: tag.value for tag in entry.tags} == {"digest": digest}


def test_mlflow_finds_the_folder_again(tmp_path):
    entry = dataset_input(DatasetVersion("odir", "d", str(tmp_path), 3))
    assert mlflow.data.get_source(entry).load() == str(tmp_path)
