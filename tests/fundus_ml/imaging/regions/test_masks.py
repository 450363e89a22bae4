"""Masks people drew: which photograph each belongs to, what is refused, what they replace."""

import numpy as np
import pytest

from fundus_ml.errors import InputError, Refused
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.drawn_parts import with_masks
from fundus_ml.imaging.regions.evidence import SURE
from fundus_ml.imaging.regions.masks import MaskFolder, read_masks
from fundus_ml.imaging.regions.structures import Landmark, Laterality

from .test_columns import SIZE, seen

WIDTH, HEIGHT = 160, 120


def drawn(folder, name, *, size=(HEIGHT, WIDTH), ellipse=((90, 60), (22, 26), 20), inverted=False):
    """Write a mask of one ellipse: centre, axes, degrees."""
    mask = np.zeros(size, np.uint8)
    cv2.ellipse(mask, ellipse, 255, -1)
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), 255 - mask if inverted else mask)
    return file


def test_masks_find_their_photographs(tmp_path):
    """Also where one photograph's name begins another's."""
    for name in ("disc/1_left.png", "disc/1_left_b_disc.png", "cup/2_right_mask.PNG"):
        drawn(tmp_path, name)
    (tmp_path / "disc" / "notes.txt").write_text("mine", encoding="utf-8")
    files = MaskFolder(tmp_path, ["1_left", "1_left_b", "2_right", "3_left"]).files
    assert {stem: sorted(parts) for stem, parts in files.items()} == {
        "1_left": ["disc"],
        "1_left_b": ["disc"],
        "2_right": ["cup"],
    }


def test_a_folder_without_parts_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no folder disc, cup, vessels; allowed: yes, no"):
        MaskFolder(tmp_path, ["1_left"])


@pytest.mark.parametrize("name", ["1_left.jpg", "1_left.PPM", "1_left_disc.webp", "2_right.pgm"])
def test_a_mask_of_another_ending_is_refused(tmp_path, name):
    """Also of no photograph here: nobody wants it left out unsaid."""
    drawn(tmp_path, "disc/3_left.png")
    (tmp_path / "disc" / name).write_bytes(b"")
    told = rf"disc/{name}: .*; allowed: \.png, \.tif, \.tiff, \.bmp, \.gif"
    with pytest.raises(InputError, match=told):
        MaskFolder(tmp_path, ["1_left", "3_left"])


def test_masks_in_a_folder_of_their_own_are_refused(tmp_path):
    drawn(tmp_path, "disc/3_left.png")
    (tmp_path / "disc/notes").mkdir()
    assert MaskFolder(tmp_path, ["1_left", "3_left"]).files
    drawn(tmp_path, "disc/left/done/1_left.png")
    with pytest.raises(InputError, match=r"disc/left: holds pictures; .* lie in disc itself"):
        MaskFolder(tmp_path, ["1_left", "3_left"])


def test_folders_that_hold_no_mask_are_refused(tmp_path):
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc/1_left.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"no mask in disc; allowed: \.png"):
        MaskFolder(tmp_path, ["1_left"])


def test_masks_of_missing_eyes_are_named(tmp_path):
    drawn(tmp_path, "disc/9_left.png")
    with pytest.raises(InputError, match=r"masks of no photograph here: disc/9_left\.png"):
        MaskFolder(tmp_path, ["1_left"])


def test_two_masks_of_one_part_are_refused(tmp_path):
    drawn(tmp_path, "disc/1_left.png")
    drawn(tmp_path, "disc/1_left_disc.png")
    with pytest.raises(InputError, match="both belong to 1_left"):
        MaskFolder(tmp_path, ["1_left"])


def test_a_mask_of_two_photographs_of_one_name_is_refused(tmp_path):
    """P1/left.png and P2/left.png: nobody knows whose disc it is."""
    drawn(tmp_path, "disc/left.png")
    with pytest.raises(InputError, match=r"disc/left\.png belongs to 2 photographs named left"):
        MaskFolder(tmp_path, ["left", "left", "right"])
    assert MaskFolder(tmp_path, ["left", "right", "right"]).files


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"size": (HEIGHT, WIDTH + 1)}, "161 x 120 pixels, its photograph 160 x 120"),
        ({"inverted": True}, "marks 98% of the frame, at most 10% are allowed; white is the part"),
        ({"ellipse": ((-50, -50), (2, 2), 0)}, "marks nothing"),
    ],
)
def test_a_mask_that_cannot_be_one_is_refused(tmp_path, changed, told):
    file = drawn(tmp_path, "disc/1.png", **changed)
    with pytest.raises(Refused, match=told):
        read_masks({"disc": file}, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("levels", [(1, 2), (127, 255), (128, 200)])
@pytest.mark.parametrize(("wide", "inner"), [(12, 5), (30, 18)])
def test_disc_and_cup_in_one_file_are_refused(tmp_path, levels, wide, inner):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (80, 60), wide // 2, levels[0], -1)
    cv2.circle(mask, (80, 60), inner // 2, levels[1], -1)
    cv2.imwrite(str(tmp_path / "1.png"), mask)
    with pytest.raises(Refused, match="mask: disc: holds more than two levels; one part a file"):
        read_masks({"disc": tmp_path / "1.png"}, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("how", ["halved", "smooth", "enlarged"])
@pytest.mark.parametrize("part", ["disc", "vessels"])
def test_a_mask_with_soft_borders_is_taken(tmp_path, part, how):
    """A small disc and thin vessels, of which a third or more is border."""
    mask = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
    if part == "disc":
        cv2.circle(mask, (151, 121), 20, 255, -1)
    else:
        for end in ((300, 131), (300, 33), (151, 10)):
            cv2.line(mask, (51, 131), end, 255, 5)
    if how == "enlarged":
        mask = cv2.resize(mask, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
        mask = np.where(mask > 100, 255, 0).astype(np.uint8)
    if how == "smooth":
        mask = cv2.GaussianBlur(mask, (0, 0), 2)
    soft = cv2.resize(mask, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(tmp_path / "1.png"), soft)
    between = (soft > 0.2 * soft.max()) & (soft < 0.8 * soft.max())
    assert between.sum() > 0.05 * (soft > 0).sum()
    (taken,) = read_masks({part: tmp_path / "1.png"}, width=WIDTH, height=HEIGHT).values()
    np.testing.assert_array_equal(taken, soft > soft.max() / 2)


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    file = tmp_path / "1.png"
    file.write_bytes(b"text")
    with pytest.raises(Refused, match="mask: disc: no picture"):
        read_masks({"disc": file}, width=WIDTH, height=HEIGHT)


def test_what_was_drawn_goes_before_what_was_found(tmp_path):
    """The ellipse comes back on the square: its centre, axes and angle."""
    vessels = drawn(tmp_path, "vessels/1.png", ellipse=((80, 60), (70, 3), 0))
    files = {"disc": drawn(tmp_path, "disc/1.png"), "vessels": vessels}
    masks = read_masks(files, width=WIDTH, height=HEIGHT)
    field = FieldOfView(80.0, 60.0, 50.0)
    doubts = (("disc", "blurred"), ("fovea", "dark"))
    found = seen(fovea=None, disc=None, eye=None, doubts=doubts)
    placed = with_masks(found, masks, field)
    factor = SIZE / 100
    assert placed.disc.x == pytest.approx((90 - 30 + 0.5) * factor - 0.5, abs=1)
    assert placed.disc.y == pytest.approx((60 - 10 + 0.5) * factor - 0.5, abs=1)
    assert placed.disc.width == pytest.approx(22 * factor, rel=0.06)
    assert placed.disc.height == pytest.approx(26 * factor, rel=0.06)
    assert np.degrees(placed.disc.angle) == pytest.approx(20, abs=6)
    assert placed.vessels.mask.sum() == pytest.approx(masks["vessels"].sum() * factor**2, rel=0.1)
    assert not placed.vessels.arteries.any()
    assert placed.cup == found.cup
    assert placed.doubts == (("fovea", "dark"),)


@pytest.mark.parametrize("part", ["disc", "cup", "vessels"])
def test_a_part_outside_the_field_is_refused(tmp_path, part):
    files = {part: drawn(tmp_path, "1.png", ellipse=((8, 8), (9, 9), 0))}
    masks = read_masks(files, width=WIDTH, height=HEIGHT)
    with pytest.raises(Refused, match=f"mask: {part}: lies outside the field of view"):
        with_masks(seen(), masks, FieldOfView(100.0, 70.0, 30.0))


def disc_at(x, y=48.0):
    """A drawn disc, 16 pixels wide, on a photograph that is its own square."""
    mask = np.zeros((SIZE, SIZE), bool)
    down, across = np.mgrid[:SIZE, :SIZE]
    mask[np.hypot(across - x, down - y) <= 8] = True
    return {"disc": mask}


FIELD = FieldOfView((SIZE - 1) / 2, (SIZE - 1) / 2, SIZE / 2)


def test_a_cup_outside_the_drawn_disc_is_doubted():
    """It lies where no disc is; one inside it stays."""
    placed = with_masks(seen(fovea=None), disc_at(25.0), FIELD)
    assert placed.cup is None
    assert dict(placed.doubts)["cup"] == "it lies outside the drawn disc"
    found = seen()
    assert with_masks(found, disc_at(60.0), FIELD).cup == found.cup
    both = disc_at(25.0) | {"cup": disc_at(25.0)["disc"]}
    assert with_masks(seen(), both, FIELD).cup is not None


@pytest.mark.parametrize(("disc", "fovea", "eye"), [(25.0, 63.0, "left"), (70.0, 32.0, "right")])
@pytest.mark.parametrize("said", ["left", "right", None])
def test_a_drawn_disc_and_a_fovea_say_which_eye_it_is(disc, fovea, eye, said):
    """Whatever the disc that was found said."""
    side = said and Laterality(eye=said, confidence=0.95)
    found = seen(fovea=Landmark(x=fovea, y=52.0), eye=side, doubts=(("eye", "old"),))
    placed = with_masks(found, disc_at(disc), FIELD)
    assert placed.eye.eye == eye
    assert SURE["eye"] <= placed.eye.confidence < 1
    assert placed.fovea == found.fovea
    assert "eye" not in dict(placed.doubts)


def test_a_fovea_that_no_drawn_disc_can_have_is_doubted():
    """It was found beside another disc; neither it nor that disc says which eye it is."""
    placed = with_masks(seen(), disc_at(30.0), FIELD)
    assert placed.fovea is None
    assert placed.eye is None
    doubts = dict(placed.doubts)
    assert doubts["fovea"] == "disc and fovea lie at an implausible distance or height"
    assert doubts["eye"] == "the drawn disc is another than the found one"
    assert with_masks(seen(fovea=None), disc_at(60.0), FIELD).eye == seen().eye


def test_a_drawn_disc_where_the_macula_should_be_leaves_the_side_open():
    """The fovea beside it says left, its place in the field right."""
    placed = with_masks(seen(fovea=Landmark(x=95.0, y=51.0)), disc_at(66.0), FIELD)
    assert placed.fovea is not None
    assert placed.eye is None
    told = "the fovea and the disc's place in the field disagree: confidence 0.89, 0.9 is needed"
    assert dict(placed.doubts)["eye"] == told
