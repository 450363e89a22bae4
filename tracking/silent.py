"""A run that leaves nothing behind: what all but the first of several processes are given."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tracking.runs import Run
from tracking.versions import DatasetVersion, ModelVersion

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SilentRun(Run):
    """Takes everything a run takes and records none of it."""

    silent = True

    def __init__(self) -> None:
        self.run_id = ""

    def page(self, tab: str = "") -> str:  # noqa: ARG002
        """Give no address."""
        return ""

    def log_inputs(
        self, *, datasets: Sequence[DatasetVersion] = (), models: Sequence[ModelVersion] = ()
    ) -> None:
        """Record nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record nothing."""

    def log_image(self, array: np.ndarray[Any, Any], key: str, step: int = 0) -> None:
        """Record nothing."""

    def log_figure(self, figure: "Figure", path: str) -> None:
        """Record nothing."""

    def log_text(self, text: str, path: str) -> None:
        """Record nothing."""

    def log_json(self, content: object, path: str) -> None:
        """Record nothing."""

    def log_table(self, frame: pd.DataFrame, path: str) -> None:
        """Record nothing."""

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Record nothing."""

    def log_artifacts(self, directory: Path, folder: str | None = None) -> None:
        """Record nothing."""

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Record nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record nothing."""

    def continue_from(self, run_id: str) -> None:
        """Record nothing."""
