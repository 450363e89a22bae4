"""A classifier on disk: ``weights.safetensors`` + ``classifier.json``, nothing to unpickle."""

import json
from dataclasses import asdict
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier, ClassifierSpec

FORMAT = "fundus_ml.classifier/1"
WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "classifier.json"


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write ``classifier`` as two files into ``folder``, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().cpu().contiguous() for key, value in classifier.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    spec = {"format": FORMAT, **asdict(classifier.spec)}
    (folder / SPEC_FILE).write_text(json.dumps(spec, indent=2) + "\n")


def load_classifier(folder: Path) -> Classifier:
    """Rebuild the trainable classifier kept in ``folder``, in evaluation mode.

    Raises:
        InputError: A file is missing, of another format, or does not fit the architecture.
    """
    try:
        fields = json.loads((folder / SPEC_FILE).read_text())
        state = load_file(folder / WEIGHTS_FILE)
    except (OSError, json.JSONDecodeError, safetensors.SafetensorError) as error:
        raise InputError(f"{folder}: not a saved classifier ({error})") from error
    if fields.pop("format", None) != FORMAT:
        raise InputError(f"{folder / SPEC_FILE}: format must be {FORMAT}")
    for channels in ("mean", "std"):
        fields[channels] = tuple(fields[channels])
    classifier = Classifier(ClassifierSpec(**fields))
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{folder / WEIGHTS_FILE}: weights do not fit arch={classifier.spec.arch}"
        ) from error
    return classifier.eval()
