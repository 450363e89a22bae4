"""A head is judged by people it never saw; the test split takes no part."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import heads
from fundus_ml.data.opening import open_dataset
from tests.fundus_ml.tiny_learning import make_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eyes") / "tiny"
    make_dataset(folder, people={"train": 20, "val": 8, "test": 6})
    return folder


def test_no_person_is_scored_by_a_head_that_saw_them(folder, tmp_path, monkeypatch):
    seen, tested = [], []
    fit_above, predict = heads.fit_above, heads.predict

    def fit(classifier, above, options):
        seen.append([set(each.frame["person_group"]) for each in (above.train, above.val)])
        return fit_above(classifier, above, options)

    def score(model, eyes, **how):
        tested.append(set(eyes.frame["person_group"]))
        return predict(model, eyes, **how)

    monkeypatch.setattr(heads, "fit_above", fit)
    monkeypatch.setattr(heads, "predict", score)
    monkeypatch.setitem(heads.PROBE, "batch_size", 8)
    heads.main(
        [
            "--dataset", str(folder), "--out", str(tmp_path / "features"), "--folds", "3",
            "--csv", str(tmp_path / "heads.csv"),
            "--variants", "multiscale:4:.5:1", "grid:4:0:2",
        ]
    )  # fmt: skip
    frame = open_dataset(str(folder)).frame
    developed = set(frame.loc[frame["split"].ne("test"), "person_group"])
    for (learned, choosing), judged in zip(seen, tested, strict=True):
        assert not learned & choosing
        assert not (learned | choosing) & judged
        assert learned | choosing | judged == developed
    for three in (tested[:3], tested[3:]):
        assert sum(map(len, three)) == len(developed)
    rows = pd.read_csv(tmp_path / "heads.csv")
    assert rows["head"].tolist() == ["multiscale", "grid"]
    assert rows["people"].eq(len(developed)).all()
    assert np.isfinite(rows[["auroc_per_eye", "auroc_per_person"]]).all(axis=None)
