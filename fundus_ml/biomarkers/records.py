"""What is known of a biomarker: name, unit, needs, source, published directions."""

from dataclasses import dataclass

STRUCTURES = ("disc", "peripapillary", "vessels", "macula", "pigment")
"""Where biomarkers are measured, in the order of tables and figures."""

OURS = ""
"""Source of a biomarker that no paper defines this way."""


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A published difference, or a published relation to what a contrast is cut from.

    ``docs/methods.md`` lists what each paper compares: myopia also stands for refraction or axial
    length, ``hypertensive`` also for hypertension that follows.

    Attributes:
        contrast: ``sex`` (male less female), ``glaucoma``, ``myopia`` or ``hypertensive`` (those
            who have it less those who do not).
        sign: 1 where it is larger in the first of the two, -1 where smaller.
        doi: The paper that says so.
    """

    contrast: str
    sign: int
    doi: str


@dataclass(frozen=True, kw_only=True)
class Biomarker:
    """What is known of one biomarker.

    Attributes:
        name: Name of its column.
        label: A few words for a figure.
        unit: Unit; ``TDD`` is a typical disc diameter, 0.30 of the field of view's radius: 0.15 of
            its diameter, which takes the field for one of 45 degrees.
        structure: One of :data:`STRUCTURES`.
        needs: Parts of :class:`~fundus_ml.imaging.regions.structures.Regions` it is measured from.
        meaning: What it is, in one line.
        doi: The paper that defines it, or :data:`OURS`.
        directions: Published differences.
    """

    name: str
    label: str
    unit: str
    structure: str
    needs: tuple[str, ...]
    meaning: str
    doi: str = OURS
    directions: tuple[Direction, ...] = ()
