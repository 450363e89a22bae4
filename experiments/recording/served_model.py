"""A registered version as MLflow loads it: raw photographs in, a table of answers out.

``mlflow.pyfunc.load_model`` and ``mlflow models serve`` import this module from the version's own
``code`` folder, where this project is not installed. It unpickles nothing: the exported program is
read once its archive was seen to hold tensor operators alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.cropping import LoadPhotograph
from fundus_ml.imaging.photographs import Photograph
from fundus_ml.imaging.pictures import to_images
from fundus_ml.serving.given import photograph_loader
from fundus_ml.serving.options import ScoringOptions
from fundus_ml.serving.scoring import as_table, score_photographs
from tracking.programs import read_program

PHOTOGRAPH = "photograph"
"""Column of photographs in a table that holds others too."""
TEXT_OR_OBJECT = "OSU"
"""Kinds of arrays that hold photographs, not pixels."""
BATCH = 4
"""Axes of an array of several photographs' pixels."""


class RequestRefusedError(MlflowException):
    """A request in which nothing is a photograph: HTTP status 400 and one line."""

    def __init__(self, line: str) -> None:
        self._line = line
        super().__init__(line, error_code=BAD_REQUEST)

    @property
    def message(self) -> str:
        """The line; MLflow's server would write the whole request before it."""
        return self._line

    @message.setter
    def message(self, _longer: str) -> None:
        pass


class PhotographModel:
    """Answers raw photographs with one network."""

    def __init__(self, program: torch.nn.Module, options: ScoringOptions, files_below: str) -> None:
        self._program = program
        self._options = options
        self._files_below = files_below

    def predict(self, model_input: object, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer each photograph.

        Args:
            model_input: A table whose column ``photograph``, or only column, holds bytes of image
                files, base64 of them, :class:`~pathlib.Path` or ``(H, W, 3)`` uint8 RGB pixels;
                one of these; or a list of them.
            params: None is known.

        Returns:
            One row per photograph, with its index: the columns of
            :data:`fundus_ml.serving.scoring.COLUMNS`.

        Raises:
            RequestRefusedError: Nothing in it can be read as a photograph.
        """
        del params
        given = _column(model_input)
        opened = [_Opened(photograph_loader(item, files_below=self._files_below)) for item in given]
        table = as_table(score_photographs(opened, self._score, self._options), index=given.index)
        if not any(photograph.was_read for photograph in opened):
            why = table["refused"].iloc[0] if len(table) else "no photograph was given"
            raise RequestRefusedError(str(why))
        if table["refused"].eq("").all():
            return table
        # JSON knows no NaN: what a refused photograph lacks is null.
        return table.astype(object).where(table.notna(), None)

    def _score(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = self._program(to_images(pixels)).numpy()
        return logits


class _Opened:
    """A loader that remembers whether its photograph could be read."""

    def __init__(self, load: LoadPhotograph) -> None:
        self._load = load
        self.was_read = False

    def __call__(self, least_side: int) -> Photograph:
        photograph = self._load(least_side)
        self.was_read = True
        return photograph


def _column(model_input: object) -> "pd.Series[Any]":
    """The photographs of a request, by its index."""
    if isinstance(model_input, pd.DataFrame):
        if PHOTOGRAPH not in model_input and len(model_input.columns) != 1:
            named = ", ".join(map(str, model_input.columns))
            raise RequestRefusedError(f"the table has no column {PHOTOGRAPH}, only: {named}")
        return model_input[PHOTOGRAPH] if PHOTOGRAPH in model_input else model_input.iloc[:, 0]
    if isinstance(model_input, pd.Series):
        return model_input
    items = list(_several(model_input))
    column = pd.Series([None] * len(items), dtype=object)
    for place, item in enumerate(items):
        column.iloc[place] = item
    return column


def _several(model_input: object) -> Iterable[object]:
    """One photograph, or several: a list, a batch of pixels, or what JSON made of a column."""
    if isinstance(model_input, Mapping):
        return _several(model_input.get(PHOTOGRAPH, []))
    if isinstance(model_input, np.ndarray):
        if model_input.dtype.kind in TEXT_OR_OBJECT:
            return list(model_input.reshape(-1))
        return list(model_input) if model_input.ndim == BATCH else [model_input]
    single = isinstance(model_input, str | bytes | bytearray)
    return [model_input] if single or not isinstance(model_input, Iterable) else model_input


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> PhotographModel:
    """Load a version; MLflow calls this.

    Args:
        path: The exported program.
        model_config: Scoring options, and ``files_below``: the folder below which a text may name
            a file, empty for none.
    """
    config = dict(model_config or {})
    try:
        options = ScoringOptions.from_plain(config)
    except InputError as error:
        raise MlflowException(f"model_config: {error}", error_code=BAD_REQUEST) from error
    return PhotographModel(
        read_program(Path(path)), options, files_below=str(config.get("files_below") or "")
    )
