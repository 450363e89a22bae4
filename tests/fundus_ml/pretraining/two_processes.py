"""Run by torchrun from test_shared_pretraining: pretrain and probe, and say what came out."""

import json
import sys

import torch

from experiments.running.launch import process_group
from fundus_ml.data.opening import open_dataset
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.pretraining import Encoder, PretrainingObjective, probe_auroc
from fundus_ml.pretraining.passes import over_batches
from fundus_ml.training import TrainingOptions, learn
from tests.fundus_ml.tiny_learning import SIZE


def main():
    with process_group(allowed=True):
        eyes = open_dataset(sys.argv[1])
        train, val = eyes.split("train"), eyes.split("val")
        spec = ClassifierSpec(
            arch="resnet18", head_hidden=5, mean=(0.4,) * 3, std=(0.1,) * 3, size=SIZE
        )
        encoder = Encoder(make_classifier(spec, seed=0), projector=8, seed=0)
        # Small steps: noise and maps of one pixel make large ones chaotic, alone or together.
        options = TrainingOptions(
            epochs=2, batch_size=8, lr=3e-5, momentum=0, optimizer="sgd", precision="fp32", seed=5
        )
        aim = PretrainingObjective(train=train, val=val, options=options, pairs="person")
        fitted = learn(encoder, train, aim, options)
        weights = [float(v.double().sum()) for v in fitted.model.state_dict().values()]
        numbered = over_batches(
            encoder,
            val,
            lambda number, rows, _: torch.stack((rows, torch.full_like(rows, number)), dim=1),
            batch_size=9,
            precision="fp32",
        )
        result = {
            "history": fitted.history.drop(columns="seconds").to_dict("list"),
            "weights": weights,
            "probe": probe_auroc(fitted.model, train, val, batch_size=8, precision="fp32"),
            "numbered": numbered.tolist(),
        }
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
