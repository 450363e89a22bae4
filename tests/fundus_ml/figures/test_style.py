"""Series are told apart by colour and marker together."""

from fundus_ml.figures.style import COLOURS, series_styles


def test_no_pair_comes_twice():
    """A modulation beside nine controls: more series than colours."""
    styles = series_styles(64)
    assert len(set(styles)) == 64
    assert [colour for colour, _ in styles[: len(COLOURS)]] == list(COLOURS)
    assert styles[:9] == series_styles(9)
