"""A table of answers in the making: rows reach the disk as they come, the table when whole."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pandas as pd
from filelock import FileLock, Timeout

from fundus_ml.errors import InputError
from fundus_ml.serving.scoring import COLUMNS, Scored

HEAD = ("photograph", "model", *COLUMNS)
TEXTS = ("photograph", "model", "class", "flags", "refused")


class ScoreTable:
    """Rows of one scoring, beside ``out`` until the last of them is there.

    Args:
        out: The table; replaced only when every photograph is answered.
        model: Address of the version that answers, in every row.
        files: The photographs, in the order of the rows.
        identity: What decides the answers beside ``files``: content of the version, places, sizes
            and times of the photographs. Rows of a killed run of another identity are not taken.

    Attributes:
        done: Photographs answered so far, by a killed run too.

    Raises:
        InputError: ``out`` cannot be written, or another process is writing it.
    """

    def __init__(
        self, out: Path, model: str, files: Sequence[str], *, identity: Sequence[object]
    ) -> None:
        self._out, self._model, self._files = out, model, files
        key = json.dumps([model, list(files), [str(part) for part in identity]])
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self._partial = out.with_name(f".{out.name}.{digest}.partial")
        self._lock = FileLock(out.with_name(f".{out.name}.lock"))

    def __enter__(self) -> Self:
        """Open it, behind the rows that a killed run left."""
        if self._out.is_dir():
            raise InputError(f"scores={self._out}: is a folder, must be a file")
        try:
            self._out.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self.done = self._taken_over()
            self._file: IO[str] = self._partial.open("a", encoding="utf-8", newline="")
        except Timeout:
            raise InputError(f"scores={self._out}: another score is writing it") from None
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"scores={self._out}: cannot be written: {reason}") from None
        self._rows = csv.writer(self._file)
        if not self.done:
            self._rows.writerow(HEAD)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; what was written stays for the next run."""
        self._file.close()
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def add(self, answer: Scored) -> None:
        """Write the answer of the next photograph."""
        cells = ["" if value != value else value for value in answer.values()]  # noqa: PLR0124 (NaN)
        self._rows.writerow([self._files[self.done], self._model, *cells])
        self._file.flush()
        self.done += 1

    def finish(self) -> list[str]:
        """Put the table in its place; hand back the class of reason of each refused photograph."""
        self._file.close()
        table = _read(self._partial)
        if self._out.suffix == ".parquet":
            whole = self._partial.with_suffix(".whole")
            table.to_parquet(whole, index=False)
            whole.replace(self._out)
            self._partial.unlink()
        else:
            self._partial.replace(self._out)
        refused = table["refused"].dropna()
        return [str(reason).partition(":")[0] for reason in refused]

    def _taken_over(self) -> int:
        """Rows that a killed run left of this very scoring; anything else is thrown away."""
        if not self._partial.is_file():
            return 0
        content = self._partial.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        self._partial.write_bytes(whole)
        try:
            rows = _read(self._partial)
        except (ValueError, KeyError):
            rows = pd.DataFrame(columns=list(HEAD))
        same = (
            list(rows.columns) == list(HEAD)
            and rows["model"].eq(self._model).all()
            and rows["photograph"].tolist() == list(self._files[: len(rows)])
        )
        if not same or rows.empty:
            self._partial.unlink()
            return 0
        return len(rows)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(TEXTS, "str"),
        keep_default_na=False,
        na_values={column: [""] for column in HEAD},
    )
