"""A registered version works where this project is not installed, and reads no pickle."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tracking import registry

SHAPES = [(1, 3, 40, 40), (2, 3, 40, 40), (7, 3, 40, 40), (1, 3, 56, 48), (7, 3, 56, 48)]

ELSEWHERE = """
import hashlib, json, sys
import mlflow, numpy as np, torch

unpickled = []
sys.addaudithook(lambda event, args: event == "pickle.find_class" and unpickled.append(args))
mlflow.set_tracking_uri(sys.argv[1])
unpickled.clear()
client = mlflow.MlflowClient()
version = client.get_model_version_by_alias("fundus-sex", "robust")
path = mlflow.artifacts.download_artifacts(
    f"models:/fundus-sex/{version.version}/data/model.pt2", dst_path="program"
)
with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
assert digest == json.loads(version.tags["files_sha256"])["data/model.pt2"]
model = torch.export.load(path).module()
read = [".".join(args) for args in unpickled]
images = np.load(sys.argv[2])
logits = [model(torch.from_numpy(images[name])).detach().numpy().tolist() for name in images]
try:
    import fundus_ml
    here = True
except ModuleNotFoundError:
    here = False
json.dump({"logits": logits, "unpickled": read, "project": here}, open(sys.argv[3], "w"))
"""


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return {f"{n}": generator.random(shape, np.float32) for n, shape in enumerate(SHAPES)}


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_logits_without_the_project(chain, images, tmp_path):
    """The program alone, as docs/serving.md has it, once its digest is that of the version."""
    np.savez(tmp_path / "images.npz", **images)
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    store = f"sqlite:///{chain.folder / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-I", "elsewhere.py", store, "images.npz", "out.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["project"] is False
    assert found["unpickled"] == []
    classifier = registry.load_classifier("models:/fundus-sex@robust")
    with torch.inference_mode():
        for logits, batch in zip(found["logits"], images.values(), strict=True):
            rebuilt = classifier(torch.from_numpy(batch)).numpy()
            assert np.abs(np.array(logits) - rebuilt).max() < 1e-4


def test_rebuilding_reads_no_pickle(chain):  # noqa: ARG001 - it lives there
    unpickled = []
    watching = True
    sys.addaudithook(
        lambda event, args: (
            unpickled.append(args) if watching and event == "pickle.find_class" else None
        )
    )
    registry.load_classifier("models:/fundus-sex@robust")
    watching = False
    assert unpickled == []
