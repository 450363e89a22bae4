import pandas as pd
import pytest

from benchmarks import enrichment_by_contrast
from fundus_ml.imaging.opencv import cv2

WHERE = pd.DataFrame(
    [
        ("modulation", "disc", 6.0, 0.3, 20.0, 0.001),
        ("modulation", "macula", 0.5, 0.9, 0.5, 0.001),
        ("modulation", "background", 1.0, None, None, None),
        ("modulation 2", "disc", 5.0, 0.4, 12.0, 0.001),
        ("gradient squared", "disc", 5.5, 0.3, 18.0, 0.001),
        ("clean model", "disc", 1.8, 0.9, 2.0, 0.001),
    ],
    columns=["condition", "part", "enrichment", "sham", "over_sham", "over_sham_p"],
).assign(eps=0.87, low=0.4, high=7.0)
NULL = pd.DataFrame(
    {
        "condition": "modulation",
        "eps": 0.87,
        "part": ["disc", "macula", "sham disc"],
        "networks": 20,
        "null_low": 0.9,
        "null_high": 2.2,
        "p": [1 / 21, 1, 1],
        "p_max": [1 / 21, 1, 1],
    }
)


@pytest.fixture
def tables(tmp_path):
    for contrast, ranks in (("glaucoma", NULL), ("sex", NULL.assign(p_max=1.0))):
        other = WHERE.assign(eps=3.478, enrichment=9.0)
        pd.concat([WHERE, other]).to_csv(tmp_path / f"odir_{contrast}_where.csv")
        ranks.to_csv(tmp_path / f"odir_{contrast}_null_models.csv")
    return tmp_path


def test_each_network_stands_beside_its_sham_one_gradient_and_the_null_models(tables):
    rows = enrichment_by_contrast.parts_of(tables, "glaucoma", eps=0.87)
    found = rows.set_index(["part", "network"])
    assert list(found.index) == [("disc", 1), ("disc", 2), ("macula", 1)]
    first = found.loc[("disc", 1)]
    assert (first["enrichment"], first["gradient"], first["null_high"]) == (6.0, 5.5, 2.2)
    assert found["known"].tolist() == [True, True, False]
    assert found.loc[[("disc", 1), ("macula", 1)], "found"].tolist() == [True, False]
    assert found.loc[("disc", 2), ["gradient", "null_low", "p_max", "found"]].isna().all()


def test_a_part_that_null_models_reach_is_not_found(tables):
    rows = enrichment_by_contrast.parts_of(tables, "sex", eps=0.87)
    assert not rows["found"].any()
    assert not rows["known"].any()


def test_the_table_holds_every_contrast_and_the_figure_a_panel_of_each(tables):
    told = ["--results", str(tables), "--pictures", str(tables), "--contrasts"]
    enrichment_by_contrast.main([*told, "glaucoma", "sex"])
    table = pd.read_csv(tables / "odir_enrichment.csv")
    assert table["contrast"].tolist() == ["glaucoma"] * 3 + ["sex"] * 3
    two = cv2.imread(str(tables / "real_eyes_enrichment.png")).shape[1]
    enrichment_by_contrast.main([*told, "sex"])
    assert cv2.imread(str(tables / "real_eyes_enrichment.png")).shape[1] < two
