"""Registered versions in seconds: networks taught on tiny eyes, their heads alone changed."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.auditing.baselines import Baseline
from fundus_ml.auditing.leakage import Leakage
from fundus_ml.auditing.record import Audit, Balance, to_json
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.weights import save_classifier
from tests.fundus_ml.tiny_learning import SIZE, make_dataset
from tracking.stores import initialise_tracking

PEOPLE = {"train": 24, "val": 30, "test": 30}


def make(folder):
    """Write sites ``a`` and ``b``, register four versions of ``eye``; returns the two folders."""
    torch.set_num_threads(1)
    a, b = (site(folder, name, seed) for seed, name in enumerate("ab"))
    good, other = teach(a, seed=0), teach(b, seed=0)
    wrong = copy.deepcopy(good)
    with torch.no_grad():
        for weight in wrong.head.parameters():
            weight.mul_(-5)
    kind = teach(a, seed=0, head_hidden=5, steps=0)
    for model, dataset in ((good, a), (other, b), (wrong, a), (kind, a)):
        register(folder, model, dataset.digest)
    return str(a.paths[0]), str(b.paths[0])


def site(folder, name, seed):
    """A dataset whose people are called after it."""
    dataset = make_dataset(folder / name, people=PEOPLE, signal=14, seed=seed, name=name)
    write_shortcut_baseline(folder / name)
    return dataset


def teach(dataset, *, seed, head_hidden=6, steps=12):
    """A network that tells the sexes of the training eyes apart."""
    spec = ClassifierSpec(
        arch="test_resnet", head_hidden=head_hidden, size=SIZE,
        mean=dataset.channel_mean, std=dataset.channel_std,
    )  # fmt: skip
    model = make_classifier(spec, seed=seed).train()
    train = dataset.split("train")
    images, labels = to_images(train.pixels(np.arange(len(train)))), torch.from_numpy(train.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def register(folder, model, digest):
    """Register ``model`` without the exported program, which costs seconds and is not read here."""
    files = Path(folder) / "classifier"
    save_classifier(model, files)
    client = initialise_tracking()
    model_id = client.create_logged_model("0", name="classifier").model_id
    client.log_model_artifacts(model_id, str(files), "extra_files")
    if not client.search_registered_models():
        client.create_registered_model("eye")
    tags = {"dataset_digest": digest}
    client.create_model_version("eye", f"models:/{model_id}", tags=tags, model_id=model_id)


def write_shortcut_baseline(folder, *, value=0.5):
    """Leave an audit in a dataset folder: one shortcut, which reaches ``value``."""
    folder = Path(folder)
    shortcut = Baseline(name="brightness", verdict="hint", finding="", auroc=value)
    audit = Audit(
        dataset="a", digest=json.loads((folder / "dataset.json").read_text())["digest"],
        permutations=1, seed=0, verdicts=(), shortcut_baseline=value,
        shortcut_baseline_by="brightness", shortcut_baseline_words="",
        chance=0.5, baselines=(shortcut,), sources=(), counts=(), rejections={}, flags={},
        leakage=Leakage(
            people_across=0, held_out=0, held_out_known=0.0, by_file=None, several_ids=0,
            several_ids_eyes=0, sex_disagrees=0,
        ),
        balance=Balance(train_eyes=1, effective_eyes=1.0, largest_weight=1.0, one_sex=()),
        quality={},
    )  # fmt: skip
    (folder / "audit.json").write_text(to_json(audit))


def newest(name):
    """The last run of an entry point."""
    client = initialise_tracking()
    experiments = [each.experiment_id for each in client.search_experiments()]
    (found,) = client.search_runs(
        experiments,
        f"run_name LIKE '{name}%'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return client.get_run(found.info.run_id)  # a search leaves out the models that a run read


def artifact(run, path):
    """Where an artifact of a run lies."""
    return Path(initialise_tracking().download_artifacts(run.info.run_id, path))


def logged_table(run, path):
    """A table as the run keeps it."""
    kept = json.loads(artifact(run, path).read_text())
    return pd.DataFrame(kept["data"], columns=kept["columns"])
