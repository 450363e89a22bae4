"""One table of every biomarker: what it is, its unit, what it needs, where it comes from."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from fundus_ml.biomarkers.records import Biomarker, Direction

_ROTTERDAM = "10.1016/S0161-6420(99)90457-8"
_RIM = "10.1167/iovs.11-8533"
_GLAUCOMA = "10.1136/bjo.86.2.238"
_MYOPIC_DISC = "10.3389/fmed.2023.1094937"
_PERIPAPILLARY_ATROPHY = "10.1038/sj.eye.6702601"
_NOMA = "10.1007/s00417-020-04969-1"
_KNUDTSON = "10.1076/ceyr.27.3.143.16049"
_BLOOD_PRESSURE = "10.1167/iovs.07-1450"
_INCIDENT_HYPERTENSION = "10.1161/01.HYP.0000199104.61945.33"
_MYOPIC_VESSELS = "10.1167/iovs.10-6184"
_GLAUCOMA_VESSELS = "10.1016/j.ophtha.2004.08.015"
_ARTERY_ANGLE = "10.1371/journal.pone.0177247"
_ARTERY_SHIFT = "10.1371/journal.pone.0250233"


def _said(doi: str, **signs: int) -> tuple[Direction, ...]:
    return tuple(Direction(contrast=name, sign=sign, doi=doi) for name, sign in signs.items())


_of_disc = partial(Biomarker, structure="disc", needs=("disc",))
_of_cup = partial(Biomarker, structure="disc", needs=("disc", "cup"))
_of_rim = partial(Biomarker, structure="disc", needs=("disc", "cup", "vessels"))
_of_ring = partial(Biomarker, structure="peripapillary", needs=("disc",))
_of_calibre = partial(Biomarker, structure="vessels", needs=("disc", "vessels"))
_of_tree = partial(Biomarker, structure="vessels", needs=("vessels",))
_of_arcades = partial(Biomarker, structure="vessels", needs=("disc", "fovea", "vessels"))
_of_position = partial(Biomarker, structure="macula", needs=("disc", "fovea"))
_of_macula = partial(Biomarker, structure="macula", needs=("fovea",))
_of_background = partial(Biomarker, structure="pigment", needs=())
_against_cup = partial(Biomarker, structure="pigment", needs=("disc", "cup"))

_DISC = (
    _of_disc(
        name="disc_area",
        label="Disc area",
        unit="typical discs",
        meaning="area of the disc over that of a typical disc",
        doi=_ROTTERDAM,
        directions=_said(_ROTTERDAM, sex=1, myopia=1),
    ),
    _of_disc(
        name="disc_width",
        label="Disc, horizontal diameter",
        unit="TDD",
        meaning="width of the box around the disc",
    ),
    _of_disc(
        name="disc_ovality",
        label="Disc ovality",
        unit="ratio",
        meaning="shorter over longer axis, 1 for a round disc",
        doi=_MYOPIC_DISC,
        directions=_said(_NOMA, sex=1) + _said(_MYOPIC_DISC, myopia=-1),
    ),
    _of_disc(
        name="disc_tilt",
        label="Disc torsion",
        unit="degrees",
        meaning="angle of the long axis from the vertical, above 0 where its top leans temporally",
        doi=_MYOPIC_DISC,
    ),
    _of_cup(
        name="cup_disc_ratio",
        label="Cup/disc ratio, vertical",
        unit="ratio",
        meaning="height of the cup over height of the disc",
        doi=_RIM,
        directions=_said("10.3341/kjo.2015.29.5.336", sex=1) + _said(_GLAUCOMA, glaucoma=1),
    ),
    _of_cup(
        name="rim_width",
        label="Narrowest rim",
        unit="disc diameters",
        meaning="smallest width of the rim over all directions, over the disc's diameter there",
        doi=_RIM,
        directions=_said(_GLAUCOMA, glaucoma=-1),
    ),
    _of_rim(
        name="rim_pallor",
        label="Rim pallor",
        unit="log units",
        meaning="log(green/red) of the rim less that of the cup; 0 where the rim is as pale",
    ),
)

_PERIPAPILLARY = (
    *(
        _of_ring(
            name=f"ring_{channel}",
            label=f"Ring, {channel}",
            unit="log units",
            meaning=f"log {channel} light 0.5 to 1 disc diameter from the margin, less the field's",
        )
        for channel in ("red", "green", "blue")
    ),
    _of_ring(
        name="ring_tessellation",
        label="Ring, tessellation index",
        unit="share",
        meaning="R/(R+G+B) of the ring's 8-bit levels",
        doi=_NOMA,
    ),
    _of_ring(
        name="atrophy",
        label="Peripapillary atrophy",
        unit="share",
        meaning="share of the half disc diameter beside the margin twice as green as the ring",
        directions=(
            *_said("10.1186/s12886-022-02282-5", glaucoma=1),
            *_said(_PERIPAPILLARY_ATROPHY, myopia=1),
        ),
    ),
    _of_ring(
        name="beta_zone",
        label="Atrophy, temporal",
        unit="share",
        meaning="the same within 45 degrees of the temporal direction",
        directions=_said(_PERIPAPILLARY_ATROPHY, myopia=1),
    ),
)

_VESSELS = (
    _of_calibre(
        name="crae",
        label="Arterial equivalent (CRAE)",
        unit="TDD",
        meaning="six widest arteries 0.5 to 1 disc diameter from the margin, joined",
        doi=_KNUDTSON,
        directions=(
            *_said(_BLOOD_PRESSURE, hypertensive=-1),
            *_said(_MYOPIC_VESSELS, myopia=-1),
            *_said(_GLAUCOMA_VESSELS, glaucoma=-1),
        ),
    ),
    _of_calibre(
        name="crve",
        label="Venous equivalent (CRVE)",
        unit="TDD",
        meaning="six widest veins there, joined",
        doi=_KNUDTSON,
        directions=_said(_MYOPIC_VESSELS, myopia=-1),
    ),
    _of_calibre(
        name="artery_vein_ratio",
        label="Artery/vein ratio",
        unit="ratio",
        meaning="CRAE over CRVE",
        doi=_KNUDTSON,
        directions=_said(_INCIDENT_HYPERTENSION, hypertensive=-1),
    ),
    _of_tree(
        name="vessel_density",
        label="Vessel density",
        unit="share",
        meaning="share of the retina outside the disc that vessels cover",
        doi="10.1167/tvst.11.7.12",
    ),
    _of_tree(
        name="vessel_length",
        label="Vessel length density",
        unit="1/TDD",
        meaning="length of all centre lines over the retina's area",
    ),
    _of_tree(
        name="fractal_dimension",
        label="Fractal dimension",
        unit="dimension",
        meaning="box-counting dimension of the centre lines",
        doi="10.1016/0375-9601(89)90854-2",
        directions=(
            *_said("10.1371/journal.pone.0106551", hypertensive=-1),
            *_said("10.1155/2014/783525", myopia=-1),
        ),
    ),
    _of_tree(
        name="tortuosity",
        label="Tortuosity",
        unit="ratio - 1",
        meaning="arc over chord less one, median over the pieces between branchings",
        doi="10.1016/S1386-5056(98)00163-4",
        # Said of arterioles.
        directions=_said(_MYOPIC_VESSELS, myopia=-1),
    ),
    _of_arcades(
        name="artery_angle",
        label="Arcade angle, arteries",
        unit="degrees",
        meaning="angle between the temporal main arteries one disc diameter from its centre",
        doi=_ARTERY_ANGLE,
        directions=_said(_ARTERY_SHIFT, myopia=-1),
    ),
    _of_arcades(
        name="vein_angle",
        label="Arcade angle, veins",
        unit="degrees",
        meaning="the same of the temporal main veins",
        doi=_ARTERY_ANGLE,
    ),
)

_MACULA = (
    _of_position(
        name="disc_fovea_distance",
        label="Disc-fovea distance",
        unit="TDD",
        meaning="from the disc's centre to the fovea",
        doi="10.1371/journal.pone.0138701",
        directions=_said("10.1371/journal.pone.0138701", myopia=1),
    ),
    _of_position(
        name="disc_fovea_ratio",
        label="Disc-fovea distance over disc",
        unit="disc diameters",
        meaning="the same in this eye's own disc diameters: a large disc lowers it",
    ),
    _of_position(
        name="disc_fovea_angle",
        label="Disc-fovea angle",
        unit="degrees",
        meaning="fovea below the disc's centre, from the horizontal: papillomacular position",
        doi="10.1371/journal.pone.0141771",
    ),
    _of_macula(
        name="foveal_darkness",
        label="Foveal darkness",
        unit="log units",
        meaning="log green light 1 to 1.5 TDD around the fovea less that within 0.25 TDD of it",
    ),
    _of_macula(
        name="foveal_reflex",
        label="Foveal reflex",
        unit="log units",
        meaning="log green light of the 99th percentile less the median, within 0.15 TDD",
    ),
    _of_macula(
        name="macula_green_red",
        label="Macula, green/red",
        unit="log units",
        meaning="log(green/red) within 1 TDD of the fovea, without vessels",
    ),
    _of_macula(
        name="macula_red_blue",
        label="Macula, red/blue",
        unit="log units",
        meaning="log(red/blue) there",
    ),
)

_PIGMENT = (
    _of_background(
        name="background_green_red",
        label="Background, green/red",
        unit="log units",
        meaning="log(green/red) of the retina without vessels and disc",
    ),
    _of_background(
        name="background_red_blue",
        label="Background, red/blue",
        unit="log units",
        meaning="log(red/blue) there",
    ),
    _of_background(
        name="hue",
        label="Background, hue",
        unit="degrees",
        meaning="angle on the colour circle there, 0 red and 60 yellow",
    ),
    _against_cup(
        name="background_darkness",
        label="Background darkness",
        unit="log units",
        meaning="log green light of the cup less that of the retina within a diameter of the disc",
    ),
)

CATALOGUE: tuple[Biomarker, ...] = (*_DISC, *_PERIPAPILLARY, *_VESSELS, *_MACULA, *_PIGMENT)
"""Every biomarker, by structure."""

BY_NAME: Mapping[str, Biomarker] = MappingProxyType({each.name: each for each in CATALOGUE})
