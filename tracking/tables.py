"""The rows of the results database, and what makes each of them one of a kind.

Every table has a natural key, so that a repeated run replaces its rows. Key columns are never
empty: a database takes two empty values for different ones.
"""

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0006"
"""Revision of :mod:`tracking.migrations` that these tables have."""


class Base(DeclarativeBase):
    """Everything the database holds."""


class _OfOnePhotograph:
    """Which network, which photograph, and the run that last wrote the row."""

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(index=True)
    model_id: Mapped[str]
    dataset_digest: Mapped[str]
    image_id: Mapped[str]


class _OfOneModulation(_OfOnePhotograph):
    """Which way and how far a photograph was pushed.

    ``mode`` says too what else than the eye was pushed, and what else than the logit was climbed:
    ``flip from noise``, ``flip by cross_entropy``. ``region`` is the part the change was confined
    to, ``whole`` when it was free.
    """

    mode: Mapped[str]
    target: Mapped[str]
    constraint: Mapped[str]
    eps: Mapped[float]
    region: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)


class Biomarker(Base):
    """One quantity of one photograph, whichever network is asked about it.

    ``value`` is empty where it could not be measured: ``reason`` says why. ``measured_by`` names
    the version of the measures and where the regions came from.
    """

    __tablename__ = "biomarkers"
    __table_args__ = (
        UniqueConstraint("dataset_digest", "image_id", "biomarker", name="biomarker_key"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(index=True)
    dataset_digest: Mapped[str]
    image_id: Mapped[str]
    biomarker: Mapped[str]
    measured_by: Mapped[str]
    value: Mapped[float | None]
    reason: Mapped[str]


_PHOTOGRAPH = ("model_id", "dataset_digest", "image_id")
_MODULATION = (*_PHOTOGRAPH, "mode", "target", "constraint", "eps", "region", "seed")


class Prediction(_OfOnePhotograph, Base):
    """What one model version says of one photograph; ``attack`` is ``none`` for the clean one."""

    __tablename__ = "predictions"
    __table_args__ = (
        UniqueConstraint(*_PHOTOGRAPH, "attack", "constraint", "eps", name="prediction_key"),
    )

    model_name: Mapped[str]
    model_version: Mapped[int]
    attack: Mapped[str]
    constraint: Mapped[str]
    eps: Mapped[float]
    patient_id: Mapped[str]
    split: Mapped[str]
    label: Mapped[int]
    logit: Mapped[float]
    prob: Mapped[float]


class Modulation(_OfOneModulation, Base):
    """One photograph pushed towards one sex inside one budget.

    ``picture`` is where its 8-bit PNG is kept: an address :func:`tracking.results.picture_path`
    turns into a file.
    """

    __tablename__ = "modulations"
    __table_args__ = (UniqueConstraint(*_MODULATION, name="modulation_key"),)

    model_name: Mapped[str]
    model_version: Mapped[int]
    patient_id: Mapped[str]
    split: Mapped[str]
    label: Mapped[int]
    prob_target_before: Mapped[float]
    prob_target: Mapped[float]
    success: Mapped[bool]
    l2: Mapped[float]
    linf: Mapped[float]
    attack_steps: Mapped[int]
    step_size: Mapped[float]
    picture: Mapped[str]


class RegionShare(_OfOneModulation, Base):
    """How much of one modulation lies in one anatomical ``part``.

    ``baseline`` is what shares are shares of: ``retina``, or ``square``, the whole picture, for the
    part ``outside`` and in rows that earlier releases wrote; the two are not comparable. A share is
    empty where it has no value: nothing changed, or the part or its sham is not in the picture.
    """

    __tablename__ = "region_shares"
    __table_args__ = (UniqueConstraint(*_MODULATION, "part", name="region_share_key"),)

    part: Mapped[str]
    energy_share: Mapped[float | None]
    area_share: Mapped[float | None]
    enrichment: Mapped[float | None]
    baseline: Mapped[str]
    sham_energy_share: Mapped[float | None]
    sham_area_share: Mapped[float | None]


class MinimalPerturbation(_OfOnePhotograph, Base):
    """The smallest change that makes a network see the target in one photograph.

    ``min_norm`` is 0 where it sees it as it is, and empty where no change was found that does, or
    the photograph does not show ``region``: ``searched`` tells the two apart.
    """

    __tablename__ = "minimal_perturbations"
    __table_args__ = (
        UniqueConstraint(
            *_PHOTOGRAPH,
            "mode",
            "target",
            "constraint",
            "region",
            "seed",
            name="least_budget_key",
        ),
    )

    model_name: Mapped[str]
    model_version: Mapped[int]
    patient_id: Mapped[str]
    mode: Mapped[str]
    target: Mapped[str]
    constraint: Mapped[str]
    region: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    searched: Mapped[bool]
    min_norm: Mapped[float | None]


class Transfer(_OfOneModulation, Base):
    """What another network, the independent evaluator, sees in one modulation."""

    __tablename__ = "transfers"
    __table_args__ = (UniqueConstraint(*_MODULATION, "evaluator_model_id", name="transfer_key"),)

    evaluator_model_id: Mapped[str]
    evaluator: Mapped[str]
    patient_id: Mapped[str]
    evaluator_prob_before: Mapped[float]
    evaluator_prob_target: Mapped[float]
    transferred: Mapped[bool]


class ExplanationScore(_OfOnePhotograph, Base):
    """What one score says of one explanation method's map of one photograph.

    ``part`` is the part of the retina that the score is about, empty where it is about the whole
    map. ``value`` is empty where the score abstains: the part is not in the picture, or the map is
    zero everywhere.
    """

    __tablename__ = "explanation_scores"
    __table_args__ = (
        UniqueConstraint(
            *_PHOTOGRAPH, "method", "score", "part", "seed", name="explanation_score_key"
        ),
    )

    model_name: Mapped[str]
    model_version: Mapped[int]
    patient_id: Mapped[str]
    method: Mapped[str]
    score: Mapped[str]
    part: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float | None]
