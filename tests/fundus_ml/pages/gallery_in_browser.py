"""What a hand does to a gallery in a browser, and what an eye sees there."""

import numpy as np

from tests.fundus_ml.tiny_galleries import HEIGHT, WIDTH

KEYS = {"Enter": (13, "\r"), "Escape": (27, "")}


def written(gallery, folder):
    """Lay a gallery down as a run does."""
    for name, content in {"gallery.html": gallery.html, **gallery.files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder / "gallery.html"


def go(page, address):
    page.send("Emulation.clearDeviceMetricsOverride")
    page.evaluate("globalThis.left = true")
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=address)
    arrived = "!globalThis.left && document.readyState === 'complete'"
    page.wait_for(f"{arrived} && typeof state === 'object'")
    page.wait_for("document.querySelector('#grid canvas').dataset.shown")


def press(page, key):
    """A key that the browser itself obeys, not only the page."""
    code, text = KEYS[key]
    parameters = {"key": key, "code": key, "windowsVirtualKeyCode": code}
    page.send("Input.dispatchKeyEvent", type="keyDown", **parameters, text=text)
    page.send("Input.dispatchKeyEvent", type="keyUp", **parameters)


def enter(page, name, value):
    """Give a control a value, as a hand would."""
    page.evaluate(
        f"element('{name}').value = '{value}', element('{name}').dispatchEvent(new Event('input'))"
    )
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def card(image_id):
    return f"eyes.find((eye) => eye.image_id === '{image_id}').card"


def pixels_of(page, canvas, shown):
    """RGB of a canvas, once it shows what it should."""
    page.wait_for(f"{canvas}.dataset.shown === '{shown}'")
    flat = page.evaluate(
        f"[{canvas}].flatMap((canvas) => {{"
        " const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');"
        " copy.drawImage(canvas, 0, 0);"
        " return Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data); })"
    )
    return np.reshape(flat, (HEIGHT, WIDTH, 4)).astype(np.uint8)[..., :3]


def width_of(number):
    return f"{card(f'odir/{number}_left')}.querySelector('canvas').width"


def shown_ids(page):
    return page.evaluate("[...document.querySelectorAll('#grid .id')].map((id) => id.textContent)")


def words_of(page, selector):
    return page.evaluate(f"{selector}.innerText")


def enlarge(page, number):
    page.evaluate(f"{card(f'odir/{number}_left')}.click()")
    page.wait_for(f"element('large').dataset.shown?.startsWith('odir/{number}_left')")


def box_of(page, name):
    """Left, top, right and bottom of an element, in pixels of the screen."""
    return page.evaluate(
        f"(({{ left, top, right, bottom }}) => [left, top, right, bottom])"
        f"(element('{name}').getBoundingClientRect())"
    )
