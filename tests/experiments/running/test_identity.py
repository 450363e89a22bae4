from experiments.running.identity import weights_file
from experiments.train import TrainConfig


def test_start_weights_in_a_file_count_by_their_content(tmp_path):
    """Another file in its place is another start; names of weights are no files."""
    file = tmp_path / "start.pt"
    file.write_bytes(b"one")
    config = TrainConfig(dataset="here", weights=str(file))
    first = weights_file(config)
    file.write_bytes(b"two")
    assert set(first) == {"weights_sha256"}
    assert weights_file(config) != first
    file.write_bytes(b"one")
    assert weights_file(config) == first
    assert weights_file(TrainConfig(dataset="here", weights="imagenet")) == {}
