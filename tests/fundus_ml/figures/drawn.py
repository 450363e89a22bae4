"""What is asked of a drawn figure, and the budgets it shows."""

from fundus_ml import figures

EPS = (0.5, 1.0, 4.0, 8.0)


def roc(curves, intervals):
    return figures.roc_figure(
        curves, intervals, called="glaucoma", people=("healthy eyes", "eyes with glaucoma")
    )


def fits(figure):
    """Whether everything drawn lies on the page."""
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches.padded(0.01)
    return page.x0 <= drawn.x0 <= drawn.x1 <= page.x1 and page.y0 <= drawn.y0 <= drawn.y1 <= page.y1


def line(axes, label):
    """The one line with this label."""
    (found,) = (drawn for drawn in axes.lines if drawn.get_label() == label)
    return found
