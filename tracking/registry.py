"""The model registry: put a classifier in with everything it needs, get it out again.

A version holds two forms of the same network. The exported program (``pt2``) runs anywhere with
torch alone, for any batch and any size above 32 pixels. The pair ``weights.safetensors`` and
``classifier.json`` rebuilds the trainable module. Both are checked against the digests that
registration stored before anything in them is read, and neither is ever unpickled.
"""

import json
import pkgutil
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any

import torch
from mlflow import MlflowClient, entities
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from tracking.errors import TrackingError
from tracking.names import (
    NAME_PATTERN,
    NAME_RULE,
    check_model_name,
    listed,
    registered_names,
    versions_of,
)
from tracking.programs import PhotographService, log_files, log_program, read_program
from tracking.runs import SYSTEM, Run
from tracking.stores import initialise_tracking, open_tracking
from tracking.version_files import (
    MLMODEL,
    PROGRAM,
    RECIPE,
    TRAINING_EYES,
    checked_copy,
    digests_of,
)
from tracking.versions import (
    DIGESTS_TAG,
    PARENT_IDS_TAG,
    PARENT_TAG,
    PARENTS_TAG,
    WEIGHTS,
    ModelVersion,
)

__all__ = [
    "FORMATS",
    "ModelVersion",
    "describe",
    "download_files",
    "find_alias",
    "find_version",
    "load_classifier",
    "load_program",
    "register_classifier",
    "resolve",
    "set_alias",
    "tag_version",
]

FORMATS: Mapping[str, str] = {"fundus_ml.classifier/1": "fundus_ml.models.weights:load_classifier"}
"""Which function rebuilds a classifier from its folder, by the format its file declares."""

FILES = (Path(WEIGHTS).name, Path(RECIPE).name)
_URI = re.compile(
    rf"models:/(?P<name>{NAME_PATTERN})(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]{{1,9}}))"
)


def register_classifier(
    run: Run,
    name: str,
    *,
    model: torch.nn.Module,
    files: Path,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    aliases: Sequence[str] = (),
    parents: Sequence[ModelVersion] = (),
    side: int | None = None,
    service: PhotographService | None = None,
    program: bool = True,
) -> ModelVersion:
    """Store a classifier under ``run`` and register it as the next version of ``name``.

    Whatever fails on the way (a network that cannot be exported, a full disk) leaves no version.

    Args:
        run: The active run that trained it.
        name: Registered name, created when new.
        model: Maps ``(N, 3, H, W)`` float32 in [0, 1] to ``(N,)`` logits. Exported from a copy in
            eval mode on the CPU in float32; ``model`` itself is left alone.
        files: Folder with ``weights.safetensors``, ``classifier.json`` and, where it is known which
            eyes the network learned from, ``training_eyes.parquet``.
        metrics: What was measured on the finished network; linked to the version.
        tags: ``dataset_digest``, ``recipe``, ``constraint``, ``eps``, ``git_commit`` …
        aliases: Names such as ``candidate`` that move to this version.
        parents: The version it was trained from, or those it is the average of; kept as tags.
        side: The only H and W that ``model`` takes, pixels; None takes any.
        service: Lets MLflow's ``pyfunc`` take raw photographs instead of pixels.
        program: Whether the exported program goes with it, which takes seconds; without it the
            version is rebuilt from ``files`` alone.

    Returns:
        The new version.

    Raises:
        TrackingError: ``name`` breaks the rule of :func:`tracking.names.check_model_name`, or
            ``files`` is incomplete or of a format nobody can rebuild.
    """
    check_model_name(name, flag="name")
    _builder(files)
    client = initialise_tracking()
    step = _step_after(client, run.run_id)
    extra = [files / name for name in (*FILES, Path(TRAINING_EYES).name)]
    kept = [file for file in extra if file.is_file()]
    if program:
        model_id = log_program(model, extra_files=kept, step=step, side=side, service=service)
    else:
        model_id = log_files(client, run.run_id, kept, step=step)
    now = int(time() * 1000)
    client.log_batch(
        run.run_id,
        metrics=[
            Metric(key, float(value), now, step, model_id=model_id, run_id=run.run_id)
            for key, value in metrics.items()
        ],
    )
    all_tags = {key: str(value) for key, value in tags.items()}
    all_tags[DIGESTS_TAG] = json.dumps(digests_of(f"models:/{model_id}"), sort_keys=True)
    all_tags |= _tags_of_parents(parents)
    client.set_logged_model_tags(model_id, all_tags)
    version = _create_version(client, name, run.run_id, model_id, all_tags)
    try:
        for alias in aliases:
            set_alias(version, alias)
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: _versions_tag(version)})
    except MlflowException:
        client.delete_model_version(name, str(version.version))
        raise
    return version


def resolve(uri: str) -> ModelVersion:
    """Find the version that ``models:/name@alias`` or ``models:/name/3`` means now.

    Raises:
        TrackingError: The address is of another form, or names no model, alias or version; the
            line says which ones exist.
    """
    address = _URI.fullmatch(uri)
    if address is None:
        raise TrackingError(
            f"model is {uri!r}; must look like models:/name@alias or models:/name/3, the name "
            f"of {NAME_RULE} (rename others by MlflowClient().rename_registered_model)"
        )
    name, alias, number = address["name"], address["alias"], address["version"]
    client = open_tracking()
    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise TrackingError(
            f"model is {uri!r}; no model is registered as {name!r}, "
            f"there is: {listed(registered_names())}"
        ) from None
    if alias is not None:
        if alias not in registered.aliases:
            raise TrackingError(
                f"model is {uri!r}; {name!r} has no such alias, "
                f"there is: {listed(sorted(registered.aliases))}{_refused(name, alias)}"
            )
        number = registered.aliases[alias]
    try:
        entry = client.get_model_version(name, str(int(number)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = [str(version.version) for version in versions_of(name)]
        raise TrackingError(
            f"model is {uri!r}; {name!r} has no such version, there is: {listed(known)}"
        ) from None
    return version_of(entry)


def version_of(entry: entities.model_registry.ModelVersion) -> ModelVersion:
    """Read MLflow's entry of a version."""
    return ModelVersion(
        name=str(entry.name),
        version=int(entry.version),
        model_id=str(entry.source).removeprefix("models:/"),
        run_id=str(entry.run_id),
        tags=dict(entry.tags),
    )


def load_classifier(uri: str, *, device: str = "cpu") -> torch.nn.Module:
    """Rebuild the trainable network of a version from its weights and its recipe.

    Args:
        uri: ``models:/name@alias`` or ``models:/name/3``.
        device: Where its parameters go.

    Returns:
        The module in eval mode. Nothing is unpickled and nothing in the files is executed. It
        refuses no float pixels outside [0, 1], as the exported program does: an attack would pay
        for that check at every step.

    Raises:
        TrackingError: No such version, its files are not those that were registered, or its
            ``classifier.json`` is damaged or declares a format not in ``FORMATS``.
    """
    version = resolve(uri)
    with checked_copy(version, (WEIGHTS, RECIPE)) as copy:
        folder = (copy / RECIPE).parent
        try:
            classifier = _builder(folder)(folder)
        except ValueError as error:
            reason = str(error).replace(f"{folder}/", "")
            raise TrackingError(f"{version.uri}: {reason}") from error
    return classifier.to(device).eval()


def load_program(uri: str) -> torch.nn.Module:
    """Load the exported program of a version: float32 CPU, no ``train``/``eval`` switch.

    It takes any batch, and images of any size that leave more than one place in the last feature
    map: above 32 pixels for the ResNets. It raises ``RuntimeError`` on pixels that are not float32
    in [0, 1], where the version was registered since it does.

    Raises:
        TrackingError: No such version, its files are not those that were registered, or loading
            the program would execute anything but tensor operators.
    """
    version = resolve(uri)
    with checked_copy(version, (PROGRAM,)) as copy:
        try:
            return read_program(copy / PROGRAM)
        except TrackingError as error:
            raise TrackingError(f"{version.uri}: {error}") from error


def service_config(version: ModelVersion) -> Mapping[str, Any] | None:
    """Read what a version carries beside its program to answer raw photographs.

    Returns:
        Its ``config``; None where it was registered without a :class:`PhotographService`.

    Raises:
        TrackingError: Its files are not those that were registered.
    """
    with checked_copy(version, (MLMODEL,)) as copy:
        described = Model.load(str(copy / MLMODEL))
    config: Mapping[str, Any] | None = described.flavors.get("python_function", {}).get("config")
    return config if config and "contrast" in config else None


def download_files(uri: str, into: Path) -> Path:
    """Copy ``weights.safetensors`` and ``classifier.json`` of a version into the folder."""
    into.mkdir(parents=True, exist_ok=True)
    with checked_copy(resolve(uri), (WEIGHTS, RECIPE)) as copy:
        for path in (WEIGHTS, RECIPE):
            shutil.copyfile(copy / path, into / Path(path).name)
    return into


def set_alias(version: ModelVersion, alias: str) -> None:
    """Let ``models:/name@alias`` mean ``version`` from now on.

    The tag ``alias_NAME`` of the registered model says of which version, and for which ball a
    robust one was trained: an alias alone does not tell whether it stands much or little.
    """
    client = initialise_tracking()
    client.set_registered_model_alias(version.name, alias, str(version.version))
    client.set_registered_model_tag(version.name, f"alias_{alias}", _alias_words(version))


def find_alias(name: str, alias: str) -> ModelVersion | None:
    """Find what ``models:/name@alias`` means now, ``name`` being registered; None where nothing."""
    known = initialise_tracking().get_registered_model(name).aliases
    return resolve(f"models:/{name}@{alias}") if alias in known else None


def find_version(uri: str, model_id: str = "") -> ModelVersion | None:
    """Find a version as :func:`resolve` does; None where it is not in the registry any more.

    Args:
        uri: Its address.
        model_id: Its logged model, where that is known: a name that was deleted counts from 1
            again, and the version that is found may be another one.
    """
    try:
        found = resolve(uri)
    except TrackingError:
        return None
    return found if model_id in ("", found.model_id) else None


def tag_version(version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Add tags to a version, in place of those of the same names."""
    client = initialise_tracking()
    for name, value in tags.items():
        client.set_model_version_tag(version.name, str(version.version), name, str(value))


def describe(version: ModelVersion, markdown: str) -> None:
    """Replace the description shown on the version's page."""
    initialise_tracking().update_model_version(version.name, str(version.version), markdown)


def _tags_of_parents(parents: Sequence[ModelVersion]) -> dict[str, str]:
    if not parents:
        return {}
    return {
        PARENT_TAG if len(parents) == 1 else PARENTS_TAG: ",".join(each.uri for each in parents),
        PARENT_IDS_TAG: ",".join(each.model_id for each in parents),
    }


def _refused(name: str, alias: str) -> str:
    """Name the newest version that was refused an alias, and why."""
    refused = [each for each in versions_of(name) if each.tags.get(f"{alias}_gate") == "refused"]
    if not refused:
        return ""
    newest = refused[-1]
    reason = newest.tags.get(f"{alias}_gate_reason", "no reason kept")
    return f"; models:/{name}/{newest.version} was refused it: {reason}"


def _alias_words(version: ModelVersion) -> str:
    """Such as ``version 3: fast, l2, eps 1, 1.15 grey levels``."""
    tags = version.tags
    said = [tags.get("recipe", ""), tags.get("constraint", "")]
    said += [f"eps {tags['eps']}"] if "eps" in tags else []
    said += [f"{tags['eps_grey_levels']} grey levels"] if "eps_grey_levels" in tags else []
    words = ", ".join(word for word in said if word)
    return f"version {version.version}" + (f": {words}" if words else "")


def _builder(folder: Path) -> Callable[[Path], torch.nn.Module]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise TrackingError(f"classifier folder {str(folder)!r} lacks {', '.join(missing)}")
    try:
        recipe = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TrackingError(f"classifier.json: not JSON ({error})") from error
    declared = recipe.get("format") if isinstance(recipe, dict) else None
    if not isinstance(declared, str) or declared not in FORMATS:
        raise TrackingError(
            f"classifier.json declares format {declared!r}; known are: {', '.join(FORMATS)}"
        )
    builder: Callable[[Path], torch.nn.Module] = pkgutil.resolve_name(FORMATS[declared])
    return builder


def _step_after(client: MlflowClient, run_id: str) -> int:
    """A step no metric has used: MLflow links whatever stands at the model's step to the model."""
    names = [name for name in client.get_run(run_id).data.metrics if not name.startswith(SYSTEM)]
    steps = [point.step for name in names for point in client.get_metric_history(run_id, name)]
    return max(steps, default=-1) + 1


def _create_version(
    client: MlflowClient, name: str, run_id: str, model_id: str, tags: Mapping[str, str]
) -> ModelVersion:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name, f"models:/{model_id}", run_id, tags=dict(tags), model_id=model_id
    )
    return ModelVersion(name, int(created.version), model_id, run_id, dict(tags))


def _versions_tag(version: ModelVersion) -> str:
    """What the pages of the runs read to show a logged model as the version it became."""
    return json.dumps([{"name": version.name, "version": str(version.version)}])
