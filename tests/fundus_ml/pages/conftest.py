"""One browser for all pages of a gallery."""

import pytest

from tests.fundus_ml.chromium import CHROMIUM, opened
from tests.fundus_ml.pages.gallery_in_browser import go, written
from tests.fundus_ml.tiny_galleries import page_arguments


@pytest.fixture
def given():
    return page_arguments()


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    """One tab for all pages of this folder."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "empty.html").write_text("<!doctype html><title>empty</title>")
    with opened(folder / "empty.html", folder / "profile") as page:
        yield page, folder


@pytest.fixture
def visit(browser):
    """Open a page and wait until its first cards are drawn; nobody may complain or ask."""
    page, folder = browser

    def visit(gallery, *, media=(), address=""):
        page.send("Emulation.setEmulatedMedia", features=list(media))
        go(page, written(gallery, folder).as_uri() + address)
        return page

    page.said.clear()
    yield visit
    assert page.complaints() == []
    assert page.requests() == []
