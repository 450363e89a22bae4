"""Arguments of a gallery, and how its data block is read."""

import json
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from fundus_ml.pages.gallery import OtherVersion

EPS = (0.5, 2.0, 8.0)
EYES = 7
HEIGHT, WIDTH = 12, 300
"""A canvas that nobody gave a size is 300 wide, which must not pass for one that was drawn on."""
PARTS = (
    ("macula", "", "macula", "disc", "disc", "", "vessels"),
    ("macula", "", "disc", "disc", "vessels", "", "disc"),
    ("disc", "", "macula", "disc", "vessels", "", "disc"),
)
"""Most changed part of each eye, by budget."""
EVIL = '</script><img src=x onerror="hit=1">"\'&'


def make_modulation():
    """Waves with grain, smooth changes that grow, and some that a byte around zero cannot hold."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    waves = [np.sin(a * rows + b * columns) for a, b in rng.normal(0, 4, (3 * EYES, 2))]
    pixels = 128 + 80 * np.reshape(waves, (EYES, 3, HEIGHT, WIDTH)).transpose(0, 2, 3, 1)
    pixels = np.round(pixels + rng.normal(0, 6, (EYES, HEIGHT, WIDTH, 1))).astype(np.uint8)
    pixels[0, :3, :3] = (0, 255, 1)
    change = gaussian_filter(rng.normal(size=(EYES, HEIGHT, WIDTH, 1)), (0, 2, 2, 0))
    modulated = np.stack([pixels + eps * change / change.std() for eps in EPS])
    modulated = np.round(modulated).clip(0, 255).astype(np.uint8)
    modulated[-1, 0, :3, :3] = 255 - pixels[0, :3, :3]
    return pixels, modulated


def page_arguments():
    """Arguments of a page: sexes, targets, parts and minimal norms of every kind."""
    pixels, modulated = make_modulation()
    image_ids = [f"odir/{n}_left" for n in (10, 9, 2, 1, 33, 4, 5)]
    before = np.array([0.1, 0.6, 0.2, 0.4, 0.3, 0.05, 0.45])
    eyes = pd.DataFrame(
        {
            "image_id": image_ids,
            "class": ["female", "male", "female", "male", "male", "female", "female"],
            "eye": "left",
            "target": ["male", "female", "male", "female", "male", "male", "male"],
            "prob_target_before": before,
            "min_norm": [1.5, 0.0, np.inf, 0.75, np.nan, 7.0, 2.0],
        }
    )
    prob = np.clip(before + np.outer(EPS, [0.2, 0.02, 0.01, 0.2, -0.03, 0.06, 0.1]), 0, 1)
    delta = modulated.astype(float) / 255 - pixels / 255
    effects = pd.DataFrame(
        {
            "image_id": image_ids * len(EPS),
            "eps": np.repeat(EPS, EYES),
            "prob_target": prob.ravel(),
            "success": prob.ravel() > 0.5,
            "l2": np.sqrt((delta**2).sum((2, 3, 4))).ravel(),
            "rms": np.sqrt((delta**2).mean((2, 3, 4))).ravel(),
            "most_changed": np.ravel(PARTS),
        }
    )
    return {
        "title": "Modulation",
        "words": "version 3",
        "eyes": eyes,
        "pixels": pixels,
        "modulated": modulated,
        "effects": effects,
    }


def other_version(given):
    """Another version, which brightens the eyes and is as unsure at every budget."""
    brighter = given["pixels"].astype(int) + np.arange(1, len(EPS) + 1)[:, None, None, None, None]
    effects = given["effects"].assign(prob_target=0.5, success=False, prob_target_before=0.25)
    return OtherVersion(
        name="version 7", modulated=brighter.clip(0, 255).astype(np.uint8), effects=effects
    )


class Tags(HTMLParser):
    """Every tag with its attributes, and what stands in the data block."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.data, self.inside = [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") == "gallery"

    def handle_endtag(self, _):
        self.inside = False

    def handle_data(self, data):
        self.data += data if self.inside else ""


def data_of(page):
    """What the page's script reads; JavaScript knows no NaN and no Infinity in JSON."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(Tags(page).data, parse_constant=refuse)


def decoded(content):
    """Pillow is an independent reader of WebP."""
    return np.asarray(Image.open(BytesIO(b64decode(content))).convert("RGB"))


def hostile(given):
    """Every text is a way out of a script, an attribute or an element."""
    renamed = {name: f"{EVIL}{name}" for name in given["eyes"]["image_id"]}
    given["eyes"] = given["eyes"].assign(
        image_id=[*renamed.values()], **{"class": EVIL}, eye=EVIL, target=EVIL
    )
    given["effects"] = given["effects"].assign(
        image_id=given["effects"]["image_id"].map(renamed), most_changed=EVIL
    )
    return given | {"title": EVIL, "words": EVIL}
