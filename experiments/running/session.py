"""What every entry point does around its science: open inputs, make the folder of its results."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from experiments.running.console import stages, warn
from experiments.running.places import out_place
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.options import SEX, Verify
from fundus_ml.errors import InputError
from fundus_ml.imaging.options import SHOWS, WHOLE, CropOptions
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.precision import best_device
from tracking.registry import ModelVersion, load_classifier, resolve
from tracking.runs import DatasetVersion, Run

LINKS = Path("data") / ".links"
"""Where pairs of alike eyes are kept, beside the datasets of a project folder."""
LINK = "link"
AROUND_TAG = "around"
"""Tag of a version that learned from a part of the eye: which one."""
WIDTH_TAG = "around_width"
"""Tag of such a version: side of its squares in diameters of the field of view; older ones have
none."""
DEFAULT_NAME = "fundus-sex"


def read_dataset(
    run: Run, paths: str, *, context: str, verify: Verify, contrast: str = SEX
) -> FundusDataset:
    """Open dataset folders and record them as the run's input.

    Args:
        run: Gets the input, and tags that say what was opened and how it was checked.
        paths: One folder, or several with commas.
        context: What the run uses it for.
        verify: How the folders are checked before anything is used.
        contrast: Question whose answers are the labels; eyes that give none are left out and
            counted.
    """
    with stages({LINK: "pair"}) as on_progress:
        dataset = open_dataset(
            paths,
            contrast=contrast,
            verify=verify,
            links=LINKS,
            on_progress=partial(on_progress, LINK),
        )
    said = record_dataset(run, dataset, paths, context=context, verify=verify)
    if not run.silent:
        for line in said:
            warn(line)
    return dataset


def read_dataset_for(
    run: Run, paths: str, uris: Sequence[str], *, context: str, verify: Verify
) -> FundusDataset:
    """Open dataset folders with the question that registered versions answer.

    Args:
        run: As in :func:`read_dataset`, likewise ``paths``, ``context`` and ``verify``.
        paths: One folder, or several with commas.
        uris: The versions.
        context: What the run uses it for.
        verify: How the folders are checked.

    Raises:
        InputError: The versions answer different questions, or one learned other classes, from
            another part of the eye than the dataset shows, or from squares of another width.
    """
    dataset = read_dataset(run, paths, context=context, verify=verify, contrast=contrast_of(*uris))
    check_part_of_eye(dataset, paths, uris)
    check_classes(dataset, paths, uris)
    return dataset


def check_classes(dataset: FundusDataset, paths: str, uris: Sequence[str]) -> None:
    """Refuse versions whose classes a dataset calls otherwise: its labels might be the other ones.

    Classes of a column are its two values in the order of the alphabet, and another table may hold
    others.

    Raises:
        InputError: One learned other classes.
    """
    own = dataset.contrast.classes
    for uri in uris:
        known = resolve(uri).classes
        if known and known != own:
            raise InputError(
                f"dataset={paths}: contrast={dataset.contrast.name}: its classes are "
                f"{own[0]} and {own[1]}; {uri} knows {known[0]} and {known[1]}"
            )


def check_part_of_eye(dataset: FundusDataset, paths: str, uris: Sequence[str]) -> None:
    """Refuse versions that learned from another part of the eye, or a wider one, than is shown.

    Raises:
        InputError: One learned from another part or, where its tag says so, of another width.
    """
    crop = dataset.crop
    for uri in uris:
        tags = resolve(uri).tags
        known = tags.get(AROUND_TAG, WHOLE)
        if known != crop.around:
            raise InputError(
                f"dataset={paths}: shows {SHOWS[crop.around]}; {uri} knows {SHOWS[known]}"
            )
        width = float(tags.get(WIDTH_TAG, crop.around_width))
        if crop.around_part and width != crop.around_width:
            raise InputError(
                f"dataset={paths}: squares are {crop.around_width} fields of view wide; {uri} "
                f"knows those of {width}"
            )


def part_tags(crop: CropOptions) -> dict[str, str]:
    """Say of a version which part of the eye it learned from; nothing where that is the whole."""
    if crop.around == WHOLE:
        return {}
    width = {WIDTH_TAG: str(crop.around_width)} if crop.around_part else {}
    return {AROUND_TAG: crop.around, **width}


def record_dataset(
    run: Run, dataset: FundusDataset, paths: str, *, context: str, verify: Verify
) -> list[str]:
    """Record an open dataset as a run's input.

    Args:
        run: Gets the input, and tags that say what was opened and how it was checked.
        dataset: Opened by :func:`read_dataset`, in this run or in the one around it.
        paths: What the flag ``dataset`` says.
        context: What the run uses it for.
        verify: How the folders were checked.

    Returns:
        What a user should know of it, line by line.
    """
    contrast = dataset.contrast.name
    version = DatasetVersion(
        name=dataset.name,
        digest=dataset.digest,
        source=paths,
        rows=len(dataset),
        context=context,
    )
    run.log_inputs(datasets=[version])
    tags = {"dataset_digest": dataset.digest, "verified": verify, "split_by": dataset.split_by}
    members = dataset.digests - {dataset.digest}
    if members:
        tags["dataset_members"] = ",".join(sorted(members))
    tags |= {"contrast": contrast, "source": dataset.name, "size": str(dataset.size)}
    said = []
    if dataset.left_out:
        out = ", ".join(f"{count} {reason}" for reason, count in dataset.left_out.items())
        said.append(f"contrast={contrast}: {len(dataset)} eyes answer it; left out: {out}")
        tags["left_out"] = out
    if dataset.linkage is not None:
        tags["linkage"] = dataset.linkage.words
        said += [f"{paths}: {dataset.linkage.words}", *dataset.linkage.notes]
    if dataset.split_by == "file":
        said.append(
            f"{paths}: split by file: people stand on both sides, so every score of it shows "
            "leakage too"
        )
    run.set_tags(tags)
    return said


def read_model(run: Run, uri: str) -> tuple[Classifier, ModelVersion]:
    """Rebuild a registered classifier on the best device and record it as the run's input."""
    version = resolve(uri)
    classifier = load_classifier(version.uri)
    assert isinstance(classifier, Classifier)
    run.log_inputs(models=[version])
    run.set_tags({"model_version": version.uri, "arch": classifier.spec.arch})
    return classifier.to(best_device()), version


def contrast_of(*uris: str) -> str:
    """Say what registered versions answer; those from before contrasts answer sex.

    Raises:
        InputError: They answer different questions.
    """
    asked = {uri: resolve(uri).tags.get("contrast", SEX) for uri in uris}
    if len(set(asked.values())) > 1:
        said = ", ".join(f"{uri} {contrast}" for uri, contrast in asked.items())
        raise InputError(f"models answer different questions: {said}")
    return next(iter(asked.values()))


def registered_name(name: str, dataset: FundusDataset) -> str:
    """Name of the registered model: the default one is about sex, others say what they are about.

    Args:
        name: What the flag says.
        dataset: What the network learned from: its contrast, and the part of the eye it shows.
    """
    if name != DEFAULT_NAME:
        return name
    around = dataset.crop.around
    return f"fundus-{dataset.contrast.slug}" + ("" if around == WHOLE else f"-{around}")


def make_folder(path: str) -> Path:
    """Make the folder that results go to.

    Raises:
        InputError: It cannot be made or written, or must not be named.
    """
    folder = out_place(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"out={path}: cannot be written ({error.strerror})") from error
    return folder
