"""Evidence is accounted for by part, and lies where the classes of painted eyes differ."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import evidence_heads
from benchmarks.evidence_heads import evidence_maps, evidence_shares, trained, training
from benchmarks.painted import painted
from fundus_ml.imaging.regions.maps import part_masks
from fundus_ml.modulation.localisation import enrichment_by_part
from fundus_ml.synthesis.options import Population
from tests.fundus_ml.tiny_learning import make_dataset


class Eyes:
    """Two eyes with region maps, as far as the accounting looks."""

    def __init__(self, regions):
        self._regions, self.size = regions, regions.shape[1]
        self.frame = pd.DataFrame({"image_id": ["a", "b"], "person_group": ["a", "b"]})

    def __len__(self):
        return len(self._regions)

    def regions(self, indices):
        return self._regions[indices]


def test_shares_of_a_map_are_sums_over_pixels():
    """Evidence of one position for one pixel: nothing is enlarged, and signs do not cancel."""
    regions = np.full((2, 40, 40), 1, np.uint8)
    regions[:, 8:14, 5:11] |= 2
    disc = part_masks(regions)["disc"]
    maps = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 40, 40)))
    maps[0][torch.from_numpy(disc[0])] *= 9
    found = evidence_shares(maps, Eyes(regions), "disc")
    middle = maps.flatten(1).median(1)[0][:, None, None]
    energy = (maps - middle).abs().numpy()
    for eye in range(2):
        wanted = energy[eye][disc[eye]].sum() / energy[eye].sum()
        assert found["energy_share"][eye] == pytest.approx(wanted)
        assert found["area_share"][eye] == pytest.approx(36 / 1600)
        assert found["sham_area_share"][eye] == pytest.approx(36 / 1600)
    assert found["enrichment"][0] > 5 * found["enrichment"][1]


def test_real_eyes_without_regions_have_a_row_without_enrichment(tmp_path):
    dataset = make_dataset(tmp_path / "tiny", people={"train": 8, "val": 4, "test": 12})
    assert len(evidence_shares(torch.zeros(24, 3, 3), dataset.split("test"), "disc")) == 0
    table = tmp_path / "rows.csv"
    evidence_heads.main(
        ["--dataset", str(tmp_path / "tiny"), "--heads", "last", "bag", "--epochs", "1",
         "--batch_size", "8", "--csv", str(table)]
    )  # fmt: skip
    rows = pd.read_csv(table, dtype=str, keep_default_na=False).to_dict("records")
    assert [(row["head"], row["positions"]) for row in rows] == [("last", ""), ("bag", "3x3")]
    assert rows[1]["receptive_field"] == "31"
    assert not rows[1]["enrichment"]


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    population = Population(patients=160, cue="disc", cue_strength=8.0, seed=0)
    return painted(tmp_path_factory.mktemp("painted") / "eyes", population, size=64)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["attention", "bag"])
def test_evidence_lies_in_the_disc_that_tells_the_classes_apart(eyes, head):
    model = trained(
        eyes, head, arch="test_resnet", weights="none", hidden=64, dropout=0.3, seed=0,
        options=training(12, 3e-3, 0),
    )  # fmt: skip
    test = eyes.split("test")
    shares = evidence_shares(evidence_maps(model, test), test, "disc")
    (found,) = enrichment_by_part(shares, test.frame, resamples=500, seed=0).to_dict("records")
    assert found["low"] > 1
    assert found["enrichment"] > 2 * found["sham"]
    assert found["over_sham_low"] > 1.25
