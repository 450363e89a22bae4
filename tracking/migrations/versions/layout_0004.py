"""Biomarkers: quantities of a photograph that no network is asked about."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table and its index where they are missing, so that an interrupted step ends."""
    inspector = sa.inspect(op.get_bind())
    if "biomarkers" not in inspector.get_table_names():
        op.create_table(
            "biomarkers",
            sa.Column("id", sa.Integer, primary_key=True),
            *(sa.Column(name, sa.String, nullable=False) for name in _TEXTS),
            sa.Column("value", sa.Double, nullable=True),
            sa.UniqueConstraint("dataset_digest", "image_id", "biomarker", name="biomarker_key"),
        )
        inspector = sa.inspect(op.get_bind())
    indexes = {index["name"] for index in inspector.get_indexes("biomarkers")}
    if "ix_biomarkers_run_id" not in indexes:
        op.create_index("ix_biomarkers_run_id", "biomarkers", ["run_id"])


_TEXTS = ("run_id", "dataset_digest", "image_id", "biomarker", "measured_by", "reason")
