"""Runs, versions and pictures of a finished chain can be used in MLflow's own pages."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.servers import free_port, stop, wait_for
from tests.fundus_ml.chromium import CHROMIUM, opened
from tracking.ui import PORT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
SECONDS = 120
"""Longest wait for anything on a page; a busy machine draws MLflow's tables in ten."""
FOUND = """globalThis.found = (selector, words = "") =>
    [...document.querySelectorAll(selector)].find((each) =>
        each.innerText?.includes(words) && each.getClientRects().length);"""
"""What a reader sees first of a kind, with these words."""
OF_MLFLOW = ("/static-files/", "/ajax-api/", "AG Grid", "WebGL")
"""Where MLflow's own pages and their libraries speak on the console."""


@dataclass(frozen=True)
class Reader:
    """A tab on the pages of a server, and what a hand does there."""

    page: object
    address: str
    downloads: Path

    def go(self, address):
        """Leave the pages of the server, so that the next is loaded anew."""
        self.page.send("Page.navigate", url="about:blank")
        self.page.send("Page.navigate", url=address)

    def see(self, condition):
        """Wait until an expression is true, whatever page it is asked on meanwhile."""
        end = time.monotonic() + SECONDS
        while not self._is(condition):
            assert time.monotonic() < end, f"never came: {condition}\n{self.words()}"
            time.sleep(0.2)

    def _is(self, condition):
        try:
            return self.page.evaluate(f"Boolean(globalThis.found && ({condition}))")
        except AssertionError as error:
            if "navigat" in str(error) or "context" in str(error):
                return False
            raise

    def words(self):
        return self.page.evaluate("document.body.innerText")

    def click(self, element):
        """Press the left button where an element is shown."""
        self.see(element)
        x, y = self.page.evaluate(
            f"(() => {{ const it = {element}; it.scrollIntoView({{ block: 'center' }});"
            " const box = it.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self.page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.page.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    def follow(self, element):
        """Go where a link leads that would open a tab of its own."""
        self.see(element)
        self.go(self.page.evaluate(f"{element}.href"))

    def type(self, text):
        self.page.send("Input.insertText", text=text)
        for _ in range(2):  # the first closes the list of suggestions
            self.page.evaluate("new Promise((done) => setTimeout(done, 300))")
            self.press("Enter", 13, text="\r")

    def press(self, key, number, **text):
        parameters = {"key": key, "code": key, "windowsVirtualKeyCode": number}
        self.page.send("Input.dispatchKeyEvent", type="keyDown", **parameters, **text)
        self.page.send("Input.dispatchKeyEvent", type="keyUp", **parameters)

    def names(self):
        """Names of the runs that are listed, with their ids."""
        links = self.page.evaluate(
            "[...document.querySelectorAll('.ag-row a[href*=\"/runs/\"]')]"
            ".map((each) => [each.innerText.trim(), each.getAttribute('href').slice(-32)])"
        )
        return dict(links)

    def dismiss(self, selector):
        """Close a dialog: while it slides in, a click on its button can be lost."""
        self.see(f"found('{selector}')")
        end = time.monotonic() + SECONDS
        while self._is(f"found('{selector}')"):
            assert time.monotonic() < end, f"stays open: {selector}"
            self.page.evaluate(f"found('{selector}')?.click()")
            time.sleep(0.5)

    def download(self, name):
        """Press the button of the artifact that is shown."""
        (self.downloads / name).unlink(missing_ok=True)
        self.click("found('button[data-component-id*=\"artifactview.tsx\"]')")
        end = time.monotonic() + SECONDS
        while not (self.downloads / name).is_file():
            assert time.monotonic() < end, f"{name} never came"
            time.sleep(0.1)
        return self.downloads / name


@pytest.fixture(scope="module")
def served(chain_once, tmp_path_factory):
    """``make ui`` on a copy of the chain's store; the address that it says to open."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copyfile(chain_once.folder / "mlflow.db", folder / "mlflow.db")
    port = str(free_port())
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
    } | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with (folder / "said.txt").open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "tracking.ui", port],
            cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        yield re.search(r"^open (\S+)$", (folder / "said.txt").read_text(), re.MULTILINE)[1]
    finally:
        stop(server)


@pytest.fixture(scope="module")
def browser(served, tmp_path_factory):
    """One tab for all tests of this file; ``make ui``'s usual port leads to the server."""
    folder = tmp_path_factory.mktemp("tab")
    (folder / "downloads").mkdir()
    (folder / "empty.html").write_text("<!doctype html><title>empty</title>")
    host = served.split("/")[2]
    rule = f"--host-resolver-rules=MAP 127.0.0.1:{PORT} {host}"
    with opened(folder / "empty.html", folder / "profile", flags=(rule,)) as page:
        page.send("Page.addScriptToEvaluateOnNewDocument", source=FOUND)
        page.send(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder / "downloads")
        )
        yield Reader(page, served.partition("/#/")[0], folder / "downloads")


@pytest.fixture
def reader(browser):
    """What was asked for and complained of in one test; nothing of ours, and nobody else."""
    browser.page.said.clear()
    browser.page.send(
        "Storage.clearDataForOrigin", origin=browser.address, storageTypes="local_storage"
    )
    yield browser
    browser.page.send("Page.navigate", url="about:blank")
    said = [str(each) for each in browser.page.complaints()]
    assert [each for each in said if not any(name in each for name in OF_MLFLOW)] == []
    elsewhere = [
        url
        for url in browser.page.requests()
        if not url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "blob:null"))
    ]
    assert elsewhere == []


@pytest.fixture
def listed(reader, served):
    """The first page, with the steps of the chain unfolded."""
    reader.go(served)
    reader.see("found('.ag-row a', 'main')")
    reader.click("found('button[aria-label=Close]')")  # of an assistant that takes half the page
    reader.click("found('.ag-row [data-component-id*=runnamecellrenderer]')")
    reader.see("found('.ag-row a', 'preprocess')")
    return reader


def first_words(names, *, of):
    """Names of runs, that of an entry point without the flags behind it."""
    return {of if name.split()[0] == of else name for name in names}


def test_runs_are_listed_and_told_apart(listed):
    steps = {"preprocess", "train", "robustify", "evaluate clean", "modulate clean",
             "evaluate robust", "modulate robust"}  # fmt: skip
    assert {"main", *steps} <= first_words(listed.names(), of="main")


def test_a_tag_in_the_search_box_leaves_the_runs_that_have_it(listed):
    listed.click("found('[data-testid=search-box]')")
    listed.type('tags.stage = "evaluate"')
    listed.see("!found('.ag-row a', 'modulate') && found('.ag-row a', 'evaluate')")
    assert first_words(listed.names(), of="main") == {"main", "evaluate clean", "evaluate robust"}


def test_two_runs_are_compared(listed, chain_once):
    names = listed.names()
    for name in ("evaluate clean", "evaluate robust"):
        box = f"document.querySelector('[row-id=\"{names[name]}\"] .ag-selection-checkbox input')"
        listed.click(box)
        listed.see(f"{box}.checked")
    listed.see("found('button', 'Compare') && !found('button', 'Compare').disabled")
    listed.page.evaluate("found('button', 'Compare').click()")  # it moves while the bar comes in
    listed.see("found('table', 'evaluate clean') && found('table', 'evaluate robust')")
    listed.see("document.querySelectorAll('.ReactVirtualized__Grid').length == 2")
    listed.page.evaluate(
        "(() => { const [, values] = document.querySelectorAll('.ReactVirtualized__Grid');"
        " values.scrollIntoView({ block: 'center' }); })()"
    )
    listed.see("found('.ReactVirtualized__Grid', 'test/auroc\\n')")
    shown = float(f"{chain_once.summary['clean_auroc']:.3f}")
    listed.see(f"found('.ReactVirtualized__Grid', '{shown}')")


@pytest.fixture
def version(reader):
    """The page of the robust version, come to through the registry."""
    reader.go(f"{reader.address}/#/models")
    reader.dismiss(".du-bois-light-modal-close")  # of what MLflow says of its registry
    reader.click("found('a', 'Version 2')")
    reader.see("found('h1', 'fundus-sex, version 2')")
    return reader


def test_a_version_shows_its_card_and_pictures(version, chain_once):
    shown = f"{chain_once.summary['robust_model_clean_auroc']:.3f}"
    version.see(f"found('tr', 'AUROC, per eye').innerText.includes('{shown}')")
    version.see("found('strong', '2 eyes; at eps 4')")
    pictures = "[...document.images].filter((each) => each.src.includes('thumbnails'))"
    version.see(f"{pictures}.length == 2 && {pictures}.every((each) => each.naturalWidth > 0)")


def test_the_slider_of_a_run_moves_through_the_budgets(version):
    version.follow("found('a', 'step by step')")
    version.see("document.querySelector('[role=slider]')")
    seen = []
    for step in range(3):
        picture = f"[...document.images].find((each) => each.src.includes('step%2B{step}%2B'))"
        version.see(f"{picture} && {picture}.naturalWidth > 0")
        seen.append(version.page.evaluate(pixels_of(picture)))
        version.page.evaluate("document.querySelector('[role=slider]').focus()")
        version.press("ArrowRight", 39)
    assert len(set(seen)) == 3


def pixels_of(picture):
    return (
        f"(() => {{ const it = {picture}; const copy = document.createElement('canvas');"
        " copy.width = it.naturalWidth; copy.height = it.naturalHeight;"
        " copy.getContext('2d').drawImage(it, 0, 0); return copy.toDataURL(); })()"
    )


def test_the_gallery_is_read_in_place_and_downloaded(version):
    version.follow("found('a', 'gallery')")
    version.see("document.querySelector('iframe') && found('body', 'gallery.html')")
    file = version.download("gallery.html")
    version.page.send("Network.emulateNetworkConditions", offline=True, latency=0,
                      downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    version.go(file.as_uri())
    version.see("document.querySelectorAll('#grid canvas[data-shown]').length == 2")
    version.page.send("Network.emulateNetworkConditions", offline=False, latency=0,
                      downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    brightest = version.page.evaluate(
        "(() => { const eye = document.querySelector('#grid canvas');"
        " return Math.max(...eye.getContext('2d').getImageData(0, 0, eye.width, eye.height).data"
        ".filter((_, place) => place % 4 < 3)); })()"
    )
    assert brightest > 100


def test_the_lineage_leads_to_versions_and_runs(listed):
    (main,) = [run for name, run in listed.names().items() if name.split()[0] == "main"]
    listed.click("found('.ag-row a', 'main')")
    listed.click("found('[role=tab]', 'Artifacts')")
    listed.click("found('[artifact-name=\"lineage.html\"]')")
    listed.see("document.querySelector('iframe')")
    file = listed.download("lineage.html")
    for words, title in (("fundus-sex/2", "fundus-sex, version 2"), (main[:8], "main")):
        listed.go(file.as_uri())
        listed.click(f"found('a', '{words}')")
        listed.see(f"found('h1, h2', '{title}')")
