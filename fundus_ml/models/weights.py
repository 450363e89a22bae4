"""A classifier on disk: ``weights.safetensors`` + ``classifier.json``, nothing to unpickle."""

import json
from dataclasses import asdict
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier

FORMAT = "fundus_ml.classifier/1"
WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "classifier.json"


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write ``classifier`` as two files into ``folder``, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    state = classifier.state_dict()
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    save_file(state, folder / WEIGHTS_FILE)
    spec = {"format": FORMAT, **asdict(classifier.spec)}
    (folder / SPEC_FILE).write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: Path) -> Classifier:
    """Rebuild the trainable classifier kept in ``folder``, in evaluation mode.

    Raises:
        InputError: A file is missing, of another format, or does not fit the architecture.
    """
    try:
        spec = _read_spec(folder / SPEC_FILE)
        state = load_file(folder / WEIGHTS_FILE)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{folder}: not a saved classifier ({error})") from error
    classifier = make_classifier(spec, seed=0)
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{folder / WEIGHTS_FILE}: weights do not fit arch={classifier.spec.arch}"
        ) from error
    return classifier.eval()


def _read_spec(path: Path) -> ClassifierSpec:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        raise InputError(f"{path}: format must be {FORMAT}")
    try:
        channels = {name: tuple(fields[name]) for name in ("mean", "std")}
        return ClassifierSpec(**(fields | channels))
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: fields missing, unknown or of another type ({error})") from error
