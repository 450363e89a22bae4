"""The memory of the platform: runs, model registry, lineage, results database, studies."""

import os

import lazy_loader

# Read as MLflow is imported. Reports to its makers have no place beside patients' photographs, and
# the thread that sends them changes the environment while requests read it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
