"""One eye under several ids: one person, judged where the ids contradict, with the evidence."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import KEYPOINTS
from fundus_ml.data.shards import read_shard
from fundus_ml.parallel import processes
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.joining import SAME_EYES, SAME_PERSON
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Painted eyes of six people; two of them come back under other ids, one as the other sex."""
    root = tmp_path_factory.mktemp("twice") / "release"
    root.mkdir()
    people = draw_population(Population(patients=6, cue="none", seed=4))
    lines = ["file,patient_id,sex,eye"]
    firsts = people.groupby("patient_id", sort=False).head(1).index[:2]
    for place, row in enumerate(people.to_dict("records")):
        image = cv2.cvtColor(paint_photograph(row).image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / f"{place}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        lines.append(f"{place}.jpg,{row['patient_id'][-2:]},{row['sex']},{row['eye']}")
        if place in firsts:
            again = cv2.convertScaleAbs(image, alpha=0.9, beta=6)
            cv2.imwrite(str(root / f"again{place}.jpg"), again, [cv2.IMWRITE_JPEG_QUALITY, 70])
            other = {"male": "female", "female": "male"}[row["sex"]]
            sex = row["sex"] if place == firsts[0] else other
            lines.append(f"again{place}.jpg,again{place},{sex},unknown")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder_photographs(root)


def write(release, out, **changes):
    """Preprocess at a small size in this process."""
    options = PreprocessingOptions(**{"size": 64, "permutations": 5, "regions": "no"} | changes)
    with processes(workers=1):
        return preprocess(release, out, options, recipe={})


def test_ids_that_share_an_eye_are_one_person_and_contradicting_ones_are_rejected(
    release, tmp_path
):
    """Both eyes of the contradicting person go, by name; everyone else stays as they were."""
    written = write(release, tmp_path / "data")
    frame = open_dataset(str(written.path)).frame
    table = release.table
    again = table[table["image_id"].str.contains("again")]
    joined, contradicting = again["patient_id"]
    found = frame.set_index("patient_id")["person_group"]
    first = table["patient_id"].iloc[0]
    assert found[joined] == first
    assert set(frame.loc[frame["person_group"] == first, "patient_id"]) == {first, joined}
    rejected = pd.read_csv(written.path / "rejected.csv")
    other = table["patient_id"].iloc[again.index[1] - 1]
    gone = table[table["patient_id"].isin([other, contradicting])]
    assert set(rejected["image_id"]) == set(gone["image_id"])
    assert set(rejected["reason"]) == {"sex disagrees"}
    assert len(frame) == len(table) - len(gone)
    singles = found.drop([first, joined])
    assert (singles == singles.index).all()
    pairs = pd.read_csv(written.path / SAME_PERSON)
    assert set(zip(pairs["first"], pairs["second"], strict=True)) == {
        (table["image_id"][row - 1], table["image_id"][row]) for row in again.index
    }
    assert cv2.imread(str(written.path / SAME_EYES)) is not None
    assert written.audit.leakage.several_ids == 1
    assert written.audit.leakage.sex_disagrees == len(gone)


@pytest.mark.usefixtures("undrawn")
def test_contradicting_people_may_be_kept_with_a_flag(release, tmp_path):
    """For those who trust the photographs less than the table."""
    frame = open_dataset(str(write(release, tmp_path / "data", contradicting="keep").path)).frame
    assert len(frame) == len(release.table)
    flagged = frame[frame["flags"].str.contains("sex disagrees")]
    assert len(set(flagged["person_group"])) == 1
    assert flagged["patient_id"].nunique() == 2
    assert flagged["sex"].nunique() == 2
    assert len(set(flagged["split"])) == 1


@pytest.mark.usefixtures("undrawn")
def test_without_the_search_a_person_is_an_id(release, tmp_path):
    """No pairs, no sheet."""
    written = write(release, tmp_path / "data", same_person=False)
    frame = open_dataset(str(written.path)).frame
    np.testing.assert_array_equal(frame["person_group"], frame["patient_id"])
    assert pd.read_csv(written.path / SAME_PERSON).empty
    assert not (written.path / SAME_EYES).exists()
    assert len(frame) == len(release.table)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_folders_of_the_same_photographs_keep_what_joins_them(release, tmp_path):
    """Keypoints lie row for row beside the manifest, and a composite has nobody on both sides."""
    other = folder_photographs(Path(release.table["path"][0]).parent, name="other")
    first = write(release, tmp_path / "a").path
    second = write(other, tmp_path / "b", contradicting="keep", seed=1).path
    described = []
    for folder in (first, second):
        frame = open_dataset(str(folder), verify="full").frame
        described.append(dict(zip(frame["sha256"], read_shard(folder, KEYPOINTS, 0), strict=True)))
    assert 0 < len(described[0]) < len(described[1]) == len(release.table)
    for file, keypoints in described[0].items():
        np.testing.assert_array_equal(described[1][file], keypoints)
        assert keypoints.any()
    apart = pd.concat([open_dataset(str(folder)).frame for folder in (first, second)])
    assert apart.groupby("sha256")["split"].nunique().max() > 1
    together = open_dataset(f"{first},{second}")
    assert together.linkage.files == len(described[0])
    assert together.linkage.unsearched == ()
    assert len(together) == len(apart)
    for name in ("sha256", "person_group"):
        assert together.frame.groupby(name)["split"].nunique().max() == 1
