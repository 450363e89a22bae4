"""A null model for comparison: the same eyes, their people's sexes dealt out anew."""

import numpy as np

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import TRUE, check_labels


def labels_to_learn(dataset: FundusDataset, labels: str, *, seed: int) -> FundusDataset:
    """Hand out the eyes with the labels that a training learns.

    Args:
        dataset: Eyes of all splits.
        labels: ``true``, or ``shuffled``: of training and validation, the sexes are dealt out anew
            among the people of each split, so that both eyes of a person keep one sex and each
            split its number of women. The test split keeps the truth.
        seed: Seed of the deal.

    Raises:
        InputError: As :func:`check_labels`.

    Source:
        Zhang et al. 2017, arXiv:1611.03530; as a control of explanations, the data randomisation
        test of Adebayo et al. 2018, arXiv:1810.03292.
    """
    check_labels(labels)
    if labels == TRUE:
        return dataset
    frame = dataset.frame
    dealt = frame["label"].to_numpy().copy()
    generator = np.random.default_rng(seed)
    for split in ("train", "val"):
        rows = frame[frame["split"] == split].drop_duplicates("person_group")
        sexes = dict(
            zip(rows["person_group"], generator.permutation(rows["label"].to_numpy()), strict=True)
        )
        mask = frame["split"].eq(split).to_numpy()
        dealt[mask] = frame.loc[mask, "person_group"].map(sexes).to_numpy()
    return dataset.relabelled(dealt)
