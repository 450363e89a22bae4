"""The attack suite's figure draws every attack by budget, its intervals, and who is flipped."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import figure_png
from fundus_ml.figures.robustness import attack_suite_figure
from fundus_ml.robust_evaluation import ATTACKS, WORST

EPS = (0.25, 0.5)


@pytest.fixture
def table():
    """Clean .9; each attack lower than the one before, and lower at the larger budget."""
    jobs = [("none", 0.0), *((name, eps) for eps in EPS for name in (*ATTACKS, WORST))]
    rows = []
    for place, (attack, eps) in enumerate(jobs):
        row = {"attack": attack, "eps": eps}
        for measure, top in (("balanced_accuracy", 0.9), ("auroc", 0.95)):
            value = top - 0.03 * place
            row |= {measure: value, f"{measure}_low": value - 0.05, f"{measure}_high": value + 0.04}
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def curve():
    eps = np.linspace(0, 1, 5)
    return pd.concat(
        [
            pd.DataFrame({"class": sex, "eps": eps, "share": eps, "low": eps / 2, "high": eps})
            for sex in ("female", "male")
        ]
    )


def drawn(axes, label):
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found.get_xydata().tolist()


def test_every_attack_starts_at_the_clean_value(table, curve):
    accuracy, auroc, flipped = attack_suite_figure(
        table, curve, constraint="linf", attacks=tuple(ATTACKS)
    ).axes
    for name in (*ATTACKS, WORST):
        rows = table[table["attack"] == name]
        label = "worst of all" if name == WORST else name
        for axes, measure in ((accuracy, "balanced_accuracy"), (auroc, "auroc")):
            wanted = [table[measure].iloc[0], *rows[measure]]
            assert drawn(axes, label) == [
                [eps, value] for eps, value in zip((0, *EPS), wanted, strict=True)
            ]
    assert drawn(flipped, "male") == curve[curve["class"] == "male"][["eps", "share"]].to_numpy(
    ).tolist()  # fmt: skip
    assert "L∞" in accuracy.get_xlabel()


def test_every_interval_is_drawn(table, curve):
    accuracy, _, flipped = attack_suite_figure(
        table, curve, constraint="l2", attacks=tuple(ATTACKS)
    ).axes
    band, *whiskers = sorted(accuracy.collections, key=lambda c: type(c).__name__)
    ends = [segment[:, 1].tolist() for lines in whiskers for segment in lines.get_segments()]
    square = table[table["attack"] == "square"].iloc[0]
    wanted = [square["balanced_accuracy_low"], square["balanced_accuracy_high"]]
    assert wanted in ends
    worst = table[table["attack"].isin(["none", WORST])]
    ends = band.get_paths()[0].get_extents()
    assert ends.y0 == pytest.approx(worst["balanced_accuracy_low"].min())
    assert ends.y1 == pytest.approx(worst["balanced_accuracy_high"].max())
    assert len(flipped.collections) == 2


def test_it_fits_its_page(table, curve):
    figure = attack_suite_figure(table, curve, constraint="l2", attacks=tuple(ATTACKS))
    figure.draw_without_rendering()
    tight, page = figure.get_tightbbox(), figure.bbox_inches.padded(0.01)
    assert page.x0 <= tight.x0 <= tight.x1 <= page.x1
    assert page.y0 <= tight.y0 <= tight.y1 <= page.y1
    assert figure_png(figure).startswith(b"\x89PNG")


def test_a_table_without_attacks_is_refused(table, curve):
    with pytest.raises(InputError, match="table: holds no attack"):
        attack_suite_figure(table[:1], curve, constraint="l2", attacks=tuple(ATTACKS))
    with pytest.raises(InputError, match="auroc_low"):
        attack_suite_figure(
            table.drop(columns="auroc_low"), curve, constraint="l2", attacks=tuple(ATTACKS)
        )
