"""Shares within the retina, and those of shams; rows from before keep the square as baseline."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TABLE = "region_shares"


def upgrade() -> None:
    """Add the columns that are missing, so that an interrupted step is completed."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_TABLE)}
    added = (
        sa.Column("baseline", sa.String, nullable=False, server_default="square"),
        sa.Column("sham_energy_share", sa.Double, nullable=True),
        sa.Column("sham_area_share", sa.Double, nullable=True),
    )
    for column in added:
        if column.name not in present:
            op.add_column(_TABLE, column)
