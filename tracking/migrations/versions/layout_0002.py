"""The five tables as release 0.6.0 wrote them, those that are missing; its layout row goes.

Release 0.6.0 and earlier kept no Alembic revision but one row in ``schema_version``; their first
layout lacks ``least_budgets`` and ``transfers``. A new database begins here too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = None

_PHOTOGRAPH = ("model_id", "dataset_digest", "image_id")
_DIRECTION = ("mode", "target", "constraint")
_MODULATION = (*_PHOTOGRAPH, *_DIRECTION, "eps", "region", "seed")


def upgrade() -> None:
    """Make what is missing."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, (columns, key, key_name) in _tables().items():
        if name not in there:
            op.create_table(
                name,
                sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("run_id", sa.String, nullable=False, index=True),
                *(sa.Column(each, sa.String, nullable=False) for each in _PHOTOGRAPH),
                *columns,
                sa.UniqueConstraint(*key, name=key_name),
            )
    if "schema_version" in there:
        op.drop_table("schema_version")


def _tables() -> dict[str, tuple[list[sa.Column[object]], tuple[str, ...], str]]:
    """Own columns, natural key and its name, by table."""
    version = [_text("model_name"), _whole("model_version")]
    modulation = [*map(_text, _DIRECTION), _real("eps"), _text("region"), _seed()]
    return {
        "predictions": (
            [
                *version,
                _text("attack"),
                _text("constraint"),
                _real("eps"),
                _text("patient_id"),
                _text("split"),
                _whole("label"),
                _real("logit"),
                _real("prob"),
            ],
            (*_PHOTOGRAPH, "attack", "constraint", "eps"),
            "prediction_key",
        ),
        "modulations": (
            [
                *modulation,
                *version,
                _text("patient_id"),
                _text("split"),
                _whole("label"),
                _real("prob_target_before"),
                _real("prob_target"),
                _truth("success"),
                _real("l2"),
                _real("linf"),
                _whole("attack_steps"),
                _real("step_size"),
                _text("picture"),
            ],
            _MODULATION,
            "modulation_key",
        ),
        "region_shares": (
            [
                *modulation,
                _text("part"),
                _real("energy_share", nullable=True),
                _real("area_share", nullable=True),
                _real("density", nullable=True),
            ],
            (*_MODULATION, "part"),
            "region_share_key",
        ),
        "least_budgets": (
            [
                *version,
                _text("patient_id"),
                *map(_text, _DIRECTION),
                _text("region"),
                _seed(),
                _truth("searched"),
                _real("least_eps", nullable=True),
            ],
            (*_PHOTOGRAPH, *_DIRECTION, "region", "seed"),
            "least_budget_key",
        ),
        "transfers": (
            [
                *modulation,
                _text("judge_model_id"),
                _text("judge"),
                _text("patient_id"),
                _real("judge_prob_before"),
                _real("judge_prob_target"),
                _truth("transfer"),
            ],
            (*_MODULATION, "judge_model_id"),
            "transfer_key",
        ),
    }


def _text(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String, nullable=False)


def _whole(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer, nullable=False)


def _real(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _truth(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _seed() -> sa.Column[object]:
    return sa.Column("seed", sa.BigInteger, nullable=False)
