"""Scores of explanation maps: one row per photograph, method, score and part."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TABLE = "explanation_scores"
_KEY = ("model_id", "dataset_digest", "image_id", "method", "score", "part", "seed")
_TEXTS = (
    "run_id", "model_id", "dataset_digest", "image_id", "model_name", "patient_id", "method",
    "score", "part",
)  # fmt: skip


def upgrade() -> None:
    """Make the table and its index where they are missing, so that an interrupted step ends."""
    inspector = sa.inspect(op.get_bind())
    if _TABLE not in inspector.get_table_names():
        op.create_table(
            _TABLE,
            sa.Column("id", sa.Integer, primary_key=True),
            *(sa.Column(name, sa.String, nullable=False) for name in _TEXTS),
            sa.Column("model_version", sa.Integer, nullable=False),
            sa.Column("seed", sa.BigInteger, nullable=False),
            sa.Column("value", sa.Double, nullable=True),
            sa.UniqueConstraint(*_KEY, name="explanation_score_key"),
        )
        inspector = sa.inspect(op.get_bind())
    if "ix_explanation_scores_run_id" not in {
        index["name"] for index in inspector.get_indexes(_TABLE)
    }:
        op.create_index("ix_explanation_scores_run_id", _TABLE, ["run_id"])
