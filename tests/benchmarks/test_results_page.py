"""The results page says what its files say, and every figure on it has a file."""

import csv
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.results_page import main, results_page

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "results"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def rows_of(name):
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CLAIMS = rows_of("claims.csv")


def test_page_on_disk_is_what_its_files_say():
    assert main(["--check"]) == 0


def test_page_is_short():
    assert len(results_page(FOLDER).splitlines()) <= 120


@pytest.mark.parametrize("broken", ["results.md", "results/claims.csv", "results/prose.json"])
def test_check_sees_a_change_of_page_or_files(tmp_path, broken, capsys):
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    assert main(["--check", "--docs", str(docs)]) == 0
    claims = pd.read_csv(docs / "results" / "claims.csv", dtype=str).set_index("claim")
    figure = claims.loc["ODIR, sex by a frozen ImageNet network: test AUROC per person", "value"]
    text = (docs / broken).read_text(encoding="utf-8")
    assert figure in text
    (docs / broken).write_text(text.replace(figure, figure[::-1]), encoding="utf-8")
    assert main(["--check", "--docs", str(docs)]) == 1
    assert "out of date" in capsys.readouterr().err
    main(["--docs", str(docs)])
    assert main(["--check", "--docs", str(docs)]) == 0


def test_claims_name_files_that_hold_their_figures():
    for claim in CLAIMS:
        held = set(NUMBER.findall((FOLDER / claim["source_file"]).read_text(encoding="utf-8")))
        figures = set(NUMBER.findall(f"{claim['value']} {claim['low']} {claim['high']}"))
        assert figures, claim
        assert figures <= held, claim


def test_claims_name_commands_that_exist():
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    benchmarks = {f"benchmarks.{path.stem}" for path in (ROOT / "benchmarks").glob("*.py")}
    known = {"make demo", *entry_points, *benchmarks}
    assert {claim["command"] for claim in CLAIMS} <= known


def test_claims_say_where_they_were_recorded_and_what_follows():
    for claim in CLAIMS:
        assert re.fullmatch(r"[0-9a-f]{7}", claim["commit"]), claim
        assert claim["verdict"], claim


def test_every_file_of_figures_has_its_command_and_setting():
    studies = rows_of("studies.csv")
    files = {path.name for path in FOLDER.glob("*.csv")} - {"claims.csv", "studies.csv"}
    assert {study["file"] for study in studies} == files
    assert all(study["command"] and study["setting"] for study in studies)
