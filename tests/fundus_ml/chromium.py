"""A real browser without a window, spoken to over its DevTools pipe."""

import itertools
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-pipe", "--window-size=1280,900",
)  # fmt: skip
CODES = {"f": "KeyF", "j": "KeyJ", " ": "Space"}
TEXTS = {"Enter": "\r"}
"""What a key types, where that is not its name."""


class Page:
    """One tab; ``said`` collects what the console and the network had to report."""

    def __init__(self, write, read):
        self._write, self._read, self._numbers = write, read, itertools.count(1)
        self._left, self._session, self.said = b"", None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self.said.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self):
        while b"\0" not in self._left:
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser is gone"
            self._left += piece
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def text(self, element_id):
        """What a reader sees written in an element."""
        return self.evaluate(f"document.getElementById('{element_id}').innerText")

    def evaluate(self, expression):
        """Value of a JavaScript expression; a promise is awaited."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, condition, *, frames=1200):
        """Let frames pass until an expression is true."""
        found = self.evaluate(
            "new Promise((done) => { let left = " + str(frames) + "; const look = () => {"
            f" if ({condition}) done(true); else if (left-- > 0) requestAnimationFrame(look);"
            " else done(false); }; look(); })"
        )
        assert found, f"never came: {condition}"

    def key(self, key):
        """Press and release a key, as a keyboard does."""
        parameters = {"key": key, "code": CODES.get(key, key)}
        text = {"text": TEXTS.get(key, key)} if len(key) == 1 or key in TEXTS else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **parameters, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **parameters)

    def requests(self):
        """Addresses that were asked for, but the page's own and its pictures."""
        sent = [
            event["params"]["request"]["url"]
            for event in self.said
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("data:", "file:", "about:"))]

    def complaints(self):
        """Errors and warnings of the console."""
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event["params"] for event in self.said if event["method"] in wrong]


@contextmanager
def opened(page_file, profile, *, flags=()):
    """Open an HTML file in a tab of a fresh browser."""
    to_browser, write = os.pipe()
    read, from_browser = os.pipe()
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    # The pipe is expected as descriptors 3 and 4.
    shell = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
    browser = subprocess.Popen(
        ["/bin/bash", "-c", shell, "browser", *command],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        page = Page(write, read)
        page.send("Page.navigate", url=page_file.as_uri())
        page.wait_for("document.readyState === 'complete'")
        yield page
    finally:
        browser.terminate()
        # A browser that cannot get rid of what it has to say does not end.
        os.close(write)
        os.close(read)
        browser.wait(timeout=60)
