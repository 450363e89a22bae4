"""What a null model learns: the same eyes with labels dealt out anew, or another real label."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import SHUFFLED, TRUE
from fundus_ml.data.other_labels import LEARNED, balanced_rows, other_labels


def labels_to_learn(dataset: FundusDataset, labels: str, *, seed: int) -> FundusDataset:
    """Hand out the eyes with the labels that a training learns.

    Args:
        dataset: Eyes of all splits.
        labels: ``true``, or ``shuffled``: of training and validation, the labels are dealt out anew
            among the people of each split, so that both eyes of a person keep one sex and each
            split its number of women. Where the eyes of a person may differ, as in a finding, the
            labels of all their eyes move together, among people of as many eyes; or another real
            label, see :func:`.other_labels.other_labels`, of eyes among whom it says nothing about
            the true one. The test split keeps the truth, so that what is measured on it is what
            the network says of the question.
        seed: Seed of the deal, and of the choice of eyes.

    Raises:
        InputError: As :func:`.other_labels.other_labels` and :func:`.other_labels.balanced_rows`.

    Source:
        Zhang et al. 2017, arXiv:1611.03530; as a control of explanations, the data randomisation
        test of Adebayo et al. 2018, arXiv:1810.03292.
    """
    if labels == TRUE:
        return dataset
    frame = dataset.frame
    if labels != SHUFFLED:
        other = other_labels(frame, labels)
        kept = balanced_rows(frame, other, labels=labels, seed=seed)
        learned = np.where(frame["split"].isin(LEARNED), other, frame["label"])
        return dataset.select(kept).relabelled(learned[kept])
    dealt = frame["label"].to_numpy().copy()
    generator = np.random.default_rng(seed)
    for split in LEARNED:
        mask = frame["split"].eq(split).to_numpy()
        dealt[mask] = _dealt(frame[mask], generator)
    return dataset.relabelled(dealt)


def _dealt(eyes: pd.DataFrame, generator: np.random.Generator) -> NDArray[np.int64]:
    """Deal the labels of people out among them: both eyes' together, where these may differ."""
    people = eyes.groupby("person_group", sort=False)["label"]
    if people.min().equals(people.max()):
        own = people.first()
        dealt = dict(zip(own.index, generator.permutation(own.to_list()), strict=True))
        return eyes["person_group"].map(dealt).to_numpy(np.int64)
    labels = eyes["label"].to_numpy(np.int64).copy()
    by_count: dict[int, list[NDArray[np.intp]]] = {}
    for places in people.indices.values():
        by_count.setdefault(len(places), []).append(np.asarray(places))
    for alike in by_count.values():
        of_each = np.array([labels[places] for places in alike])
        for places, given in zip(alike, generator.permutation(of_each), strict=True):
            labels[places] = given
    return labels
