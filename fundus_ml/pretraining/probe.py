"""What a plain classifier makes of frozen features: a report, on which nothing is chosen."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.manifest import SEXES
from fundus_ml.errors import InputError
from fundus_ml.models.feature_extractor import FeatureExtractor
from fundus_ml.pretraining.passes import over_batches
from fundus_ml.statistics.clustered import auroc

FOLDS = 3
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths that the folds choose among."""
ITERATIONS = 2000


def check_probe(train: FundusDataset, val: FundusDataset) -> None:
    """Refuse splits on which no probe can be fitted or scored.

    Raises:
        InputError: A sex has too few people in the training split, or none in validation.
    """
    for sex in SEXES:
        people = int(train.frame.loc[train.frame["sex"].eq(sex), "person_group"].nunique())
        if people < FOLDS or not val.frame["sex"].eq(sex).any():
            raise InputError(
                f"probe=true: {people} {sex} people in train of {train.name}; at least {FOLDS} are "
                "needed, and one in val; pass probe=false"
            )


def probe_auroc(
    extractor: FeatureExtractor,
    train: FundusDataset,
    val: FundusDataset,
    *,
    batch_size: int,
    precision: str,
) -> float:
    """Fit a logistic regression to the features of the training eyes and score the validation eyes.

    The penalty is chosen inside the training split, people kept whole; photographs are not
    augmented.

    Args:
        extractor: Gives the features; stays as it is.
        train: Eyes whose labels the probe learns.
        val: Eyes it is scored on.
        batch_size: Images per pass.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Returns:
        AUROC of the validation eyes.
    """
    learned, scored = (
        _features(extractor, eyes, batch_size=batch_size, precision=precision)
        for eyes in (train, val)
    )
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS)),
        {"logisticregression__C": PENALTIES},
        scoring="roc_auc",
        cv=StratifiedGroupKFold(FOLDS),
    )
    search.fit(learned, train.labels, groups=train.frame["person_group"].to_numpy())
    return auroc(val.labels, search.decision_function(scored))


def _features(
    extractor: FeatureExtractor, dataset: FundusDataset, *, batch_size: int, precision: str
) -> NDArray[np.float32]:
    def compute(_number: int, _rows: Tensor, images: Tensor) -> Tensor:
        described: Tensor = extractor(images)
        return described[:, : extractor.width]

    found = over_batches(extractor, dataset, compute, batch_size=batch_size, precision=precision)
    return found.cpu().numpy().astype(np.float32)
