"""The networks of a modulation: who makes the pictures, who evaluates them, who is the control."""

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from experiments.running.comma_lists import comma_list
from experiments.running.console import warn
from experiments.running.exchangeable import check_exchangeable
from experiments.running.independence import check_independent
from experiments.running.null_models import check_null_model, conditions_of
from experiments.running.session import read_model
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.ensembles import Ensemble
from fundus_ml.modulation.control_table import CLEAN_MODEL, ENSEMBLE, MODULATION
from fundus_ml.modulation.several_networks import replicate_conditions
from tracking.registry import ModelVersion, find_alias, resolve
from tracking.runs import Run

ROBUST = "robust"


class NamesNetworks(Protocol):
    """Flags that name versions; empty names none."""

    @property
    def model(self) -> str:
        """Makes the pictures; several, with commas between them, make them in the same way."""

    @property
    def evaluator(self) -> str:
        """Judges them."""

    @property
    def clean_model(self) -> str:
        """Control: was not trained to be robust."""

    @property
    def null_model(self) -> str:
        """Controls: learned shuffled or other real labels; several with commas between them."""

    @property
    def ensemble(self) -> bool:
        """Whether all models and the clean one make pictures together too."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A registered version and its module."""

    module: Classifier
    version: ModelVersion


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Who takes part.

    Attributes:
        model: Makes the pictures; the first of several.
        evaluator: Scores them again; None where nobody does.
        controls: Make pictures in the same way, by condition; the model's replicates, which come
            first, are no controls but are treated alike.
        ensemble: All models and the clean one together, who make pictures too; None where nobody
            asked for it.
    """

    model: Network
    evaluator: Network | None
    controls: dict[str, Network]
    ensemble: Ensemble | None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Everyone who makes pictures, by condition, the model first."""
        named = {MODULATION: self.model, **self.controls}
        modules: dict[str, nn.Module] = {name: each.module for name, each in named.items()}
        return modules if self.ensemble is None else modules | {ENSEMBLE: self.ensemble}

    @property
    def identity(self) -> dict[str, str]:
        """Which versions make pictures, by condition; they decide what an ensemble of them does."""
        named = {"model": self.model, **self.controls}
        return {condition: network.version.content for condition, network in named.items()}


def named_versions(config: NamesNetworks) -> dict[str, list[str]]:
    """List the addresses that each flag names, the model's first."""
    named = {
        "model": comma_list(config.model, flag="model"),
        "evaluator": [config.evaluator],
        "clean_model": [config.clean_model],
        "null_model": comma_list(config.null_model),
    }
    return {flag: [uri for uri in uris if uri] for flag, uris in named.items()}


def read_networks(run: Run, config: NamesNetworks) -> Networks:
    """Read every version the flags name and record each as an input of the run.

    A model without the alias ``robust`` is warned of: its gradients mean little to an eye.

    Raises:
        InputError: A version is named twice, the independent evaluator or a control is the model
            itself, the evaluator was made from a model or a model from it, a null model or what it
            was made from learned true labels or from another dataset, or an ensemble has one member
            or an evaluator that is a relative of one.
    """
    asked = named_versions(config)
    own = {resolve(uri).model_id for uri in asked["model"]}
    for flag, uris in asked.items():
        ids = [resolve(uri).model_id for uri in uris]
        alike = [uri for uri, model_id in zip(uris, ids, strict=True) if model_id in own]
        if alike and flag != "model":
            raise InputError(
                f"{flag}={alike[0]}: is the model itself; name a version that was trained "
                "independently"
            )
        if len(set(ids)) < len(ids):
            raise InputError(f"{flag}={','.join(uris)}: names a version twice")
    for uri in asked["evaluator"]:
        for model_uri in asked["model"]:
            check_independent(resolve(uri), resolve(model_uri), named=f"evaluator={uri}")
    if config.ensemble:
        _check_ensemble(asked)
    first, *replicates = asked.pop("model")
    same_way = {
        condition: _read(run, uri)
        for condition, uri in zip(replicate_conditions(len(replicates)), replicates, strict=True)
    }
    others = {flag: [_read(run, uri) for uri in uris] for flag, uris in asked.items()}
    model = _read(run, first)  # last: the run is tagged with this version
    if find_alias(model.version.name, ROBUST) != model.version:
        warning = (
            f"{model.version.uri} has not the alias robust: what its gradient changes need not "
            "mean anything to an eye"
        )
        warn(warning)
        run.set_tags({"warning": warning})
    null_models = others["null_model"]
    for uri, network in zip(asked["null_model"], null_models, strict=True):
        check_null_model(network.version, named=f"null_model={uri}")
        check_exchangeable(network.version, model.version, named=f"null_model={uri}")
    conditions = [CLEAN_MODEL] * len(others["clean_model"]) + conditions_of(
        [network.version for network in null_models]
    )
    members = [model, *same_way.values(), *others["clean_model"]]
    return Networks(
        model=model,
        evaluator=next(iter(others["evaluator"]), None),
        controls=same_way
        | dict(zip(conditions, [*others["clean_model"], *null_models], strict=True)),
        ensemble=Ensemble([each.module for each in members]) if config.ensemble else None,
    )


def _check_ensemble(asked: dict[str, list[str]]) -> None:
    """Refuse an ensemble of one network, and an evaluator that is one of it or a relative.

    That no model is a relative of the evaluator is asked before.

    Raises:
        InputError: It is so.
    """
    if len(asked["model"] + asked["clean_model"]) < 2:  # noqa: PLR2004 (a mean of several)
        raise InputError(
            f"ensemble=true: {asked['model'][0]} alone has nobody to be averaged with; name "
            "several versions in model, or a clean_model"
        )
    for uri in asked["evaluator"]:
        for clean in asked["clean_model"]:
            if resolve(uri).content == resolve(clean).content:
                raise InputError(
                    f"evaluator={uri}: is clean_model, a part of the ensemble; name a version that "
                    "was trained independently"
                )
            check_independent(resolve(uri), resolve(clean), named=f"evaluator={uri}")


def _read(run: Run, uri: str) -> Network:
    module, version = read_model(run, uri)
    return Network(module=module, version=version)
