"""The words of the field: minimal perturbations, enrichment, evaluator, transferred.

Seeds become 64 bits wide where an earlier release made them of 32, on PostgreSQL.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_RENAMED = "minimal_perturbations"
_COLUMNS = {
    _RENAMED: {"least_eps": "min_norm"},
    "region_shares": {"density": "enrichment"},
    "transfers": {
        "judge_model_id": "evaluator_model_id",
        "judge": "evaluator",
        "judge_prob_before": "evaluator_prob_before",
        "judge_prob_target": "evaluator_prob_target",
        "transfer": "transferred",
    },
}
_WITH_SEED = ("modulations", "region_shares", _RENAMED, "transfers")


def upgrade() -> None:
    """Rename what still has its former name, so that an interrupted step is completed."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    if "least_budgets" in there:
        op.rename_table("least_budgets", _RENAMED)
    for table, columns in _COLUMNS.items():
        present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        for former, name in columns.items():
            if former in present:
                op.execute(f"ALTER TABLE {table} RENAME COLUMN {former} TO {name}")
    indexes = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(_RENAMED)}
    if f"ix_{_RENAMED}_run_id" not in indexes:
        op.create_index(f"ix_{_RENAMED}_run_id", _RENAMED, ["run_id"])
    if "ix_least_budgets_run_id" in indexes:
        op.drop_index("ix_least_budgets_run_id", _RENAMED)
    if op.get_bind().dialect.name == "postgresql":
        for table in _WITH_SEED:
            op.alter_column(table, "seed", type_=sa.BigInteger)
