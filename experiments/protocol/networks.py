"""The networks of a modulation: who makes the pictures, who judges them, who is the control."""

import sys
from dataclasses import dataclass
from typing import Protocol

from experiments.protocol.session import read_model
from fundus_ml.control_table import CLEAN_MODEL, SHUFFLED_MODEL
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier
from fundus_ml.shuffled_labels import SHUFFLED
from tracking.registry import ModelVersion, find_alias, resolve
from tracking.runs import Run

ROBUST = "robust"


class NamesNetworks(Protocol):
    """Flags that name versions; empty names none."""

    @property
    def model(self) -> str:
        """Makes the pictures."""

    @property
    def judge(self) -> str:
        """Judges them."""

    @property
    def clean_model(self) -> str:
        """Control: was not trained to be robust."""

    @property
    def shuffled_model(self) -> str:
        """Control: learned shuffled labels."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A registered version and its module."""

    module: Classifier
    version: ModelVersion


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Who takes part.

    Attributes:
        model: Makes the pictures.
        judge: Scores them again; None where nobody does.
        controls: Make pictures in the same way, by origin.
    """

    model: Network
    judge: Network | None
    controls: dict[str, Network]

    @property
    def identity(self) -> dict[str, str]:
        """Which versions make pictures, by origin."""
        named = {"model": self.model, **self.controls}
        return {origin: network.version.model_id for origin, network in named.items()}


def read_networks(run: Run, config: NamesNetworks) -> Networks:
    """Read every version the flags name and record each as an input of the run.

    A model without the alias ``robust`` is warned of: its gradients mean little to an eye.

    Raises:
        InputError: The judge or a control is the model itself.
    """
    asked = {
        "judge": config.judge,
        "clean_model": config.clean_model,
        "shuffled_model": config.shuffled_model,
    }
    own = resolve(config.model)
    for flag, uri in asked.items():
        if uri and resolve(uri).model_id == own.model_id:
            raise InputError(
                f"{flag}={uri}: is the model itself; name a version that was trained independently"
            )
    others = {flag: _read(run, uri) for flag, uri in asked.items() if uri}
    model = _read(run, config.model)  # last: the run is tagged with this version
    if find_alias(model.version.name, ROBUST) != model.version:
        warning = (
            f"{model.version.uri} has not the alias robust: what its gradient changes need not "
            "mean anything to an eye"
        )
        sys.stderr.write(f"modulate: {warning}\n")
        run.set_tags({"warning": warning})
    shuffled = others.get("shuffled_model")
    if shuffled is not None and shuffled.version.tags.get("labels") != SHUFFLED:
        raise InputError(
            f"shuffled_model={config.shuffled_model}: was not trained with labels=shuffled"
        )
    origins = {CLEAN_MODEL: others.get("clean_model"), SHUFFLED_MODEL: shuffled}
    return Networks(
        model=model,
        judge=others.get("judge"),
        controls={origin: network for origin, network in origins.items() if network is not None},
    )


def _read(run: Run, uri: str) -> Network:
    module, version = read_model(run, uri)
    return Network(module=module, version=version)
