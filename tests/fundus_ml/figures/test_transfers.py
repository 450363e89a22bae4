"""Every share in the cell of who made the pictures and who evaluates, at the largest budget."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures.transfers import UNCHANGED, transfer_figure

SHARES = {
    ("modulation", "modulation"): 0.9,
    ("modulation", "clean model"): 0.3,
    ("modulation", "independent evaluator"): 0.5,
    ("clean model", "modulation"): 0.2,
    ("clean model", "clean model"): 1.0,
    ("clean model", "independent evaluator"): 0.1,
}
BEFORE = {"modulation": 0.05, "clean model": 0.15, "independent evaluator": 0.25}


def frame():
    """Two budgets, of which the smaller would show 77 % everywhere."""
    rows = [
        (made, seen, eps, 20, share if eps == 2.0 else 0.77, share / 2, share, BEFORE[seen])
        for (made, seen), share in SHARES.items()
        for eps in (1.0, 2.0)
    ]
    columns = "condition evaluator eps eyes success success_low success_high success_before"
    return pd.DataFrame(rows, columns=columns.split())


def test_shares_and_intervals_stand_in_their_cells():
    """The last row is the unchanged eyes'; colours are the shares."""
    (axes,) = transfer_figure(frame(), constraint="linf").axes
    made = [label.get_text() for label in axes.get_yticklabels()]
    seen = [label.get_text() for label in axes.get_xticklabels()]
    assert made == ["modulation", "clean model", UNCHANGED]
    assert seen == list(BEFORE)
    (image,) = axes.images
    wanted = [[SHARES[row, column] for column in seen] for row in made[:2]]
    np.testing.assert_allclose(image.get_array(), [*wanted, list(BEFORE.values())])
    assert image.get_clim() == (0, 1)
    written = {
        (round(text.get_position()[1]), text.get_position()[0], "to" in text.get_text()):
        text.get_text()
        for text in axes.texts
    }  # fmt: skip
    assert written[0, 1, False] == "30"
    assert written[0, 1, True] == "15 to 30"
    assert written[1, 1, False] == "100"
    assert written[2, 2, False] == "25"
    assert len(written) == 2 * 6 + 3
    assert "20 eyes, eps 2 (L∞)" in axes.get_title(loc="left")


def test_one_person_has_no_interval():
    alone = frame().assign(success_low=np.nan, success_high=np.nan)
    (axes,) = transfer_figure(alone).axes
    assert len(axes.texts) == 9


def test_refuses_what_lacks_a_column():
    with pytest.raises(InputError, match="columns missing: success_before"):
        transfer_figure(frame().drop(columns="success_before"))
    with pytest.raises(InputError, match="empty"):
        transfer_figure(frame()[:0])
