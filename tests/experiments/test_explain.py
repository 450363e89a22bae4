"""`explain` from the command line: maps and scores tied to the version, every way it ends."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments import explain
from experiments.recording.explanation import MethodTables
from experiments.running import explained
from fundus_ml.attribution import AttributionOptions, attribute
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from tests.experiments.conftest import flags
from tests.experiments.test_modulate import with_regions
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tracking import results
from tracking.registry import load_classifier, resolve
from tracking.stores import initialise_tracking

USUAL = {
    "model": "models:/eye/1", "images": 4, "sanity_images": 2, "bootstrap": 50, "levels": 3,
    "subsets": 4, "patch": 4, "methods": "gradient,gradient_squared,vessels,random,evidence",
}  # fmt: skip
PLACE = "explanation/eye-1"

pytestmark = pytest.mark.usefixtures("unrendered")


def enter(**changed):
    explain.main(flags(USUAL | changed))
    return newest("explain")


def compared(known=(), scores=()):
    none = pd.DataFrame()
    return MethodTables(scores=pd.DataFrame(scores, columns=["method", "score", "value"]),
                    known=pd.DataFrame(known), differences=none, literature=none,
                    costs=none)  # fmt: skip


def first_in(method, share, eyes=10):
    return {"method": method, "part": "vessels", "eyes": eyes, "first": share,
            "first_low": share, "first_high": share}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            compared([first_in("vessels", 1.0), first_in("gradient", 0.4), first_in("xrai", 0.5)]),
            r"xrai puts the vessels first in 50% of 10 eyes .*; without a network: vessels 100%",
        ),
        (compared([first_in("gradient", np.nan, 0)]),
         "no eye shows the vessels: every one abstained"),
        (compared(scores=[("centre", "insertion_mean", 0.9), ("xrai", "insertion_mean", 0.5)]),
         r"highest insertion: xrai \(without a network: centre\)"),
        (compared(), ""),
    ],
)  # fmt: skip
def test_a_map_that_asks_no_network_is_no_conclusion(found, said):
    assert re.fullmatch(said, found.conclusion)


@pytest.fixture
def known(versions, tmp_path):
    """The versions' eyes with a disc in the middle."""
    return open_dataset(str(with_regions(versions.a, tmp_path / "known")))


def test_maps_are_those_of_the_version_and_methods_are_compared(known):
    run = enter(dataset=known.paths[0])
    page = artifact(run, f"{PLACE}/gallery.html").read_text(encoding="utf-8")
    given = json.loads(page.split('id="given">')[1].split("</script>")[0])
    assert [each["name"] for each in given["methods"]] == ["gradient", "gradient_squared",
                                                           "vessels", "random"]  # fmt: skip
    assert run.data.tags["skipped"].startswith("evidence: arch=test_resnet with head=last")
    rows = results.explanation_scores("models:/eye/1", dataset=known)
    assert set(rows["method"]) == {"gradient", "gradient_squared", "vessels", "random"}
    assert rows["image_id"].nunique() == 4
    test = known.split("test")
    place = test.frame["image_id"].isin(rows["image_id"]).to_numpy()
    images = to_images(test.pixels(np.flatnonzero(place)))
    maps = attribute("gradient", load_classifier("models:/eye/1"), images,
                     options=AttributionOptions()).numpy()  # fmt: skip
    disc = np.zeros(maps.shape[1:], bool)
    disc[8:16, 8:16] = True
    wanted = (maps**2)[:, disc].sum(axis=1) / (maps**2).sum(axis=(1, 2)) / disc.mean()
    own = rows[(rows["method"] == "gradient") & (rows["score"] == "enrichment")]
    found = own[own["part"] == "disc"].set_index("image_id")["value"]
    assert found[test.frame["image_id"][place]].to_numpy() == pytest.approx(wanted, rel=1e-4)

    table = logged_table(run, "method_scores.json")
    asked = table[table["score"] == "cascade_rank_correlation"].set_index("method")
    assert asked["eyes"].to_dict() == {"gradient": 2, "gradient_squared": 2, "vessels": 0,
                                       "random": 2}  # fmt: skip
    assert asked.loc["random", "value"] == pytest.approx(1)  # asks no network
    seeds = table[table["score"] == "repeat_rank_correlation"]
    assert seeds["method"].tolist() == ["random"]
    pairs = logged_table(run, "method_differences.json")
    assert set(zip(pairs["method"], pairs["other"], strict=True)) == {
        ("gradient", "gradient_squared"), ("gradient", "random"), ("gradient", "vessels"),
        ("gradient_squared", "random"), ("gradient_squared", "vessels"),
    }  # fmt: skip
    for name in ("ranking.png", "scores.parquet", "literature.csv", "costs.csv"):
        assert artifact(run, f"{PLACE}/{name}").is_file()
    assert len(list(artifact(run, f"{PLACE}/panels").iterdir())) == 4
    client = initialise_tracking()
    description = client.get_model_version("eye", "1").description
    assert "4 eyes explained by 4 methods" in description


def test_several_versions_are_explained_on_the_same_eyes(versions):
    run = enter(dataset=versions.a, model="models:/eye/1,models:/eye/3", methods="gradient,random",
                sanity_images=0)  # fmt: skip
    one, other = (
        pd.read_parquet(artifact(run, f"explanation/eye-{number}/scores.parquet"))
        for number in (1, 3)
    )
    assert one["image_id"].unique().tolist() == other["image_id"].unique().tolist()
    tables = [logged_table(run, f"{prefix}method_scores.json") for prefix in ("", "eye-3/")]
    assert [set(table["method"]) for table in tables] == [{"gradient", "random"}] * 2
    keys = ["image_id", "method", "score", "part"]
    both = one.merge(other, on=keys, suffixes=("", "_other"))
    random, gini = both["method"] == "random", both["score"] == "gini"
    assert (both["value"] == both["value_other"])[random & gini].all()
    assert not (both["value"] == both["value_other"])[~random & gini].any()
    assert "cascade_rank_correlation" not in set(one["score"])
    assert len(results.explanation_scores()) == len(one) + len(other)


def test_a_killed_run_goes_on_at_its_next_method(versions, monkeypatch):
    made = []

    def stop_at(method, *given, **how):
        made.append(method)
        if made.count("random") == 1 and method == "random":
            raise InputError("power cut")
        return attribute(method, *given, **how)

    monkeypatch.setattr(explained, "attribute", stop_at)
    given = {"dataset": versions.a, "methods": "gradient,random", "sanity_images": 0}
    with pytest.raises(SystemExit):
        enter(**given)
    run = enter(**given)
    assert made == ["gradient", "random", "random"]
    assert set(logged_table(run, "method_scores.json")["method"]) == {"gradient", "random"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"methods": "grad"}, "methods=grad: allowed: auto, gradient, "),
        ({"methods": "random,random"}, "methods=random,random: names a method twice"),
        ({"methods": "evidence,vessels"}, "models:/eye/1 can serve none of them"),
        ({"model": "models:/eye/1,models:/eye/1"}, "names a version twice"),
        ({"images": 500}, "images=500: needs 250 female people"),
        ({"images": 0}, "images=0: must be at least 1"),
        ({"stride": 0.5}, "stride=0.5: must be above 0 and at most window=0.1"),
    ],
)
def test_a_mistake_ends_in_one_line(versions, capsys, changed, said):
    with pytest.raises(SystemExit, match="2"):
        enter(dataset=versions.a, **changed)
    told = capsys.readouterr().err.strip().splitlines()
    assert said in told[-1]


def test_one_image_is_enough_and_places_need_regions(versions):
    run = enter(dataset=versions.a, images=1, methods="gradient", sanity_images=5)
    table = logged_table(run, "method_scores.json")
    assert set(table["part"]) == {""}
    assert set(table["eyes"]) == {1}
    assert resolve("models:/eye/1").uri == run.data.tags["model_version"]
