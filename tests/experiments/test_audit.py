"""An audit lies in every dataset folder, is made of composites, and sets the shortcut baseline of
scores."""

import json
from pathlib import Path

import pytest

from experiments import audit, evaluate, preprocess
from fundus_ml.auditing.audit import read_audit
from fundus_ml.imaging.pictures import write_png
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from tests.experiments.conftest import flags, own_client
from tests.experiments.tiny_versions import newest


def artifacts(run):
    """Names of what lies on a run."""
    return {file.path for file in own_client().list_artifacts(run.info.run_id)}


def test_preprocess_leaves_an_audit_of_what_it_wrote(chain):
    """In the folder, on the run, and on the summary page."""
    folder = chain.folder / "demo" / "dataset"
    found = read_audit(folder / "audit.json")
    assert found.digest == json.loads((folder / "dataset.json").read_text())["digest"]
    run = newest("preprocess")
    assert {"audit.json", "audit.html", "quality.png", "same_person.csv"} <= artifacts(run)
    assert chain.summary["shortcut_baseline"] == found.shortcut_baseline
    assert "dataset/audit.html" in (chain.folder / "demo" / "summary.html").read_text()


@pytest.mark.usefixtures("unrendered")
def test_scores_are_printed_beside_the_floor_of_their_dataset(chain, capsys):
    """Read from the folder, not computed again."""
    small = {"dataset": "demo/dataset", "attack_steps": 1, "eps": "1", "bootstrap": 50}
    evaluate.main(flags(small | {"model": "models:/fundus-sex/1"}))
    said = capsys.readouterr()
    shortcut_baseline = read_audit(
        chain.folder / "demo" / "dataset" / "audit.json"
    ).shortcut_baseline
    assert f"the shortcut baseline of this dataset, {shortcut_baseline:.3f}" in said.out
    assert "audit:" not in said.err
    assert newest("evaluate").data.metrics["shortcut_baseline"] == shortcut_baseline


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_a_composite_is_audited_as_one(chain, tmp_path):
    """Two sources counted together; too few people of the second to split hairs."""
    own = tmp_path / "release"
    lines = ["file,patient_id,sex"]
    for place, row in enumerate(draw_population(Population(patients=6, seed=9)).to_dict("records")):
        write_png(paint_photograph(row).image, own / f"{place}.png")
        lines.append(f"{place}.png,{row['patient_id']},{row['sex']}")
    (own / "labels.csv").write_text("\n".join(lines) + "\n")
    small = {"source": "folder", "root": own, "size": 40, "workers": 1, "out": tmp_path / "own"}
    preprocess.main(flags(small))
    audit.main(flags({"dataset": f"{chain.dataset},{tmp_path / 'own'}", "permutations": 20}))
    run = newest("audit")
    assert {"audit.json", "audit.html"} <= artifacts(run)
    path = own_client().download_artifacts(run.info.run_id, "audit.json")
    found = read_audit(Path(path))
    assert found.dataset == "synthetic+folder"
    counted = {count.value: count.eyes for count in found.counts if count.of == "source"}
    assert counted["folder"] == len(lines) - 1
    assert run.data.metrics["shortcut_baseline"] == found.shortcut_baseline


@pytest.mark.usefixtures("unrendered")
def test_a_dataset_split_by_file_says_so_wherever_it_is_read(chain, tmp_path, capsys):
    """Leakage is shown, never hidden."""
    assert chain.dataset
    out = tmp_path / "torn"
    small = {"patients": 8, "size": 40, "workers": 1, "seed": 7, "split": "by_file"}
    small |= {"permutations": 20, "regions": "no", "same_person": "false"}
    preprocess.main(flags(small | {"out": out}))
    assert "split by file: people stand on both sides" in capsys.readouterr().err
    run = newest("preprocess")
    assert run.data.tags["split_by"] == "file"
    assert "people stand in more than one split" in run.data.tags["audit"]
