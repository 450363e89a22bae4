"""`modulate atlas=true` from the command line: what it leaves behind, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import modulate
from fundus_ml.atlas.biomarker_changes import CHANGE_COLUMNS
from fundus_ml.atlas.peaks import COLUMNS
from fundus_ml.biomarkers import CATALOGUE
from fundus_ml.data.opening import open_dataset
from tests.experiments.conftest import flags
from tests.experiments.test_measure import anatomy, give
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tests.fundus_ml.tiny_eyes import write_record

QUICK = {
    "model": "models:/eye/1", "eps": "1,4", "images": 14, "attack_steps": 2, "min_norm_steps": 0,
    "batch_size": 14, "bootstrap": 30, "precision": "fp32", "controls": "false", "atlas": "true",
}  # fmt: skip


@pytest.fixture
def known(versions, tmp_path):
    """The eyes of the versions at four times their size, which know where their parts lie."""
    folder = tmp_path / "known"
    shutil.copytree(versions.a, folder)
    for file in folder.glob("pixels-*.npy"):
        np.save(file, np.load(file).repeat(4, axis=1).repeat(4, axis=2))
    record = json.loads((folder / "dataset.json").read_text())
    write_record(folder, record | {"size": 4 * record["size"]}, kinds=("pixels",))
    told = anatomy(open_dataset(str(folder)))
    ids = open_dataset(str(folder)).split("test").frame["image_id"]
    told.loc[told["image_id"].isin(ids[:6]), ["region_fovea_x", "region_fovea_y"]] = np.nan
    give(folder, told)
    return str(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_maps_peaks_biomarkers_and_abstentions_are_left_behind(known, capsys):
    modulate.main(flags(QUICK | {"dataset": known, "evaluator": "models:/eye/4", "images": 18}))
    run = newest("modulate")
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    told = capsys.readouterr()
    aligned = int(tags["atlas_eyes"])
    lost = 18 - aligned
    assert tags["atlas_abstained"] == f"no fovea, so the eye cannot be aligned: {lost}"
    assert "atlas: eyes left out: no fovea" in told.err
    assert f"atlas of {aligned} eyes: systematic change" in told.out
    folder = Path(artifact(run, "modulation"))
    assert (folder / "atlas.png").is_file()
    arrays = np.load(folder / "atlas_pixels.npz")
    names = ("towards_female", "towards_male", "difference")
    assert {f"{name}_mean" for name in names} <= set(arrays)
    assert arrays["difference_channels"].shape == (64, 64, 3)
    # The network reads redness: it rises towards male, falls towards female, in every eye.
    assert np.nanmean(arrays["difference_channels"][..., 0]) > 0
    assert np.nanmean(arrays["towards_female_channels"][..., 0]) < 0
    assert (arrays["difference_p"] < 0.05).any()
    peaks = pd.read_csv(folder / "atlas_peaks.csv")
    assert tuple(peaks.columns) == COLUMNS
    table = logged_table(run, "biomarker_changes.json")
    assert tuple(table.columns) == CHANGE_COLUMNS
    assert table["biomarker"].tolist() == [each.name for each in CATALOGUE]
    hue = table.set_index("biomarker").loc["hue"]
    assert hue["eyes"] == 18
    assert np.isfinite(hue["change"])
    assert np.isfinite(hue["logit_change"])
    assert len(logged_table(run, "biomarker_edits.json")) == 6


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"start": "noise"}, "atlas=true: start=noise shows no eye; allowed: start=eye"),
        ({"images": 4}, "2 aligned people towards female and 2 aligned people towards male"),
    ],
)
@pytest.mark.usefixtures("unrendered")
def test_what_allows_no_atlas_is_told_before_anything_is_made(known, capsys, changed, message):
    with pytest.raises(SystemExit, match="2"):
        modulate.main(flags(QUICK | {"dataset": known} | changed))
    assert message in capsys.readouterr().err
    assert newest("modulate").info.status == "FAILED"
    assert not list(Path("checkpoints").glob("modulate-*"))


@pytest.mark.usefixtures("unrendered")
def test_eyes_without_maps_or_room_for_parts_are_refused(versions, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        modulate.main(flags(QUICK | {"dataset": versions.a}))
    told = "atlas=true: the dataset has no region maps; preprocess it with regions=yes"
    assert told in capsys.readouterr().err
    folder = tmp_path / "small"
    shutil.copytree(versions.a, folder)
    give(folder, anatomy(open_dataset(versions.a)))
    with pytest.raises(SystemExit, match="2"):
        modulate.main(flags(QUICK | {"dataset": str(folder)}))
    assert "atlas=true: eyes of 12 pixels show no parts; 32 are needed" in capsys.readouterr().err
