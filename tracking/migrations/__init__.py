"""How a results database of an earlier layout becomes today's, step by step, by Alembic."""
