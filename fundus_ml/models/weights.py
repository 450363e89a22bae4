"""A classifier on disk: ``weights.safetensors`` + ``classifier.json``, nothing to unpickle."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file

from fundus_ml.errors import InputError, first_line
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier

FORMAT = "fundus_ml.classifier/1"
WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "classifier.json"
_LONGEST_SHOWN = 40


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write ``classifier`` as two files into ``folder``, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    state = classifier.state_dict()
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    save_file(state, folder / WEIGHTS_FILE)
    spec = {"format": FORMAT, **_told(classifier.spec)}
    (folder / SPEC_FILE).write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: Path) -> Classifier:
    """Rebuild the trainable classifier kept in ``folder``, in evaluation mode.

    Raises:
        InputError: A file is missing, damaged, of another format, or does not fit the
            architecture; the line names the file and, in ``classifier.json``, the key.
    """
    spec = _read_spec(folder / SPEC_FILE)
    path = folder / WEIGHTS_FILE
    try:
        state = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: no readable weights ({first_line(error)})") from error
    classifier = make_classifier(spec, seed=0)
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit arch={spec.arch}") from error
    return classifier.eval()


def _read_spec(path: Path) -> ClassifierSpec:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({first_line(error)})") from error
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise InputError(f"{path}: format must be {FORMAT}")
    _check_keys(path, given)
    try:
        return ClassifierSpec(
            arch=given["arch"],
            head_hidden=given["head_hidden"],
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
            size=given["size"],
            **{key: given[key] for key in _LATER_KEYS if key in given},
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_keys(path: Path, given: Mapping[str, object]) -> None:
    for key in _KEYS:
        if key not in given:
            raise InputError(f"{path}: lacks the key {key}")
    for key, value in given.items():
        if key == "format":
            continue
        if key not in _ALL_KEYS:
            raise InputError(f"{path}: unknown key {key!r}; allowed: {', '.join(_ALL_KEYS)}")
        allowed, rule = _ALL_KEYS[key]
        if not allowed(value):
            raise InputError(f"{path}: {key}={_shown(value)}: must be {rule}")


def _told(spec: ClassifierSpec) -> dict[str, object]:
    """Leave out what a file from before :data:`_LATER_KEYS` means by saying nothing."""
    usual = {field.name: field.default for field in fields(ClassifierSpec)}
    told = asdict(spec)
    return {k: v for k, v in told.items() if k not in _LATER_KEYS or v != usual[k]}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_share(value: object) -> bool:
    return type(value) in (int, float)


def _is_truth(value: object) -> bool:
    return type(value) is bool


def _are_three_numbers(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3  # noqa: PLR2004 (RGB)
        and all(type(item) in (int, float) and abs(item) <= sys.float_info.max for item in value)
    )


_KEYS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "arch": (_is_text, "a name"),
    "head_hidden": (_is_whole, "a whole number"),
    "mean": (_are_three_numbers, "a list of three finite numbers"),
    "std": (_are_three_numbers, "a list of three finite numbers"),
    "size": (_is_whole, "a whole number"),
}
_LATER_KEYS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "head": (_is_text, "a name"),
    "dropout": (_is_share, "a number"),
    "both_flips": (_is_truth, "true or false"),
}
"""Keys that a file may lack: the defaults of :class:`ClassifierSpec` are what it means then."""
_ALL_KEYS = {**_KEYS, **_LATER_KEYS}


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
