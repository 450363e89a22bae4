"""The memory of the platform: runs, model registry, lineage, results database, studies."""
