"""Raw photographs over HTTP: as fast as what, equal to `evaluate`, and what hostile requests get.

    python -m benchmarks.serving --model models:/fundus-amd/1 --photographs ~/ODIR-5K/images

Starts MLflow's own server of a registered version (``mlflow models serve``), sends it photographs
one a request and several a request, and compares its logits with those that `evaluate` stored of
the eyes of the same name. Then it sends what is no photograph. Prints requests/s, the median and
the 95th percentile of a request, the largest difference of logits and of calibrated probabilities,
and the status of each hostile request. A version whose `evaluate` attacked first is as good.
"""

import argparse
import base64
import json
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.servers import free_port, stop, wait_for, with_own_commands
from fundus_ml.evaluation.calibration import Calibration, probabilities
from tracking import results
from tracking.registry import resolve

TOGETHER = 16
"""Photographs of a request that holds several."""
LARGE = 100_000_000
"""Bytes of the largest hostile request."""


def main(argv: Sequence[str] | None = None) -> None:
    """Serve, compare, time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args(argv)
    stored = _stored(given.model)
    files = {path.stem: path for path in sorted(given.photographs.expanduser().iterdir())}
    names = [name for name in stored.index if name in files][: given.count]
    contents = [files[name].read_bytes() for name in names]
    with served(given.model) as address:
        post(address, table_of(contents[:1]))  # the first one warms up
        answers, seconds = zip(*(_timed(address, [content]) for content in contents), strict=True)
        begun = time.perf_counter()
        for start in range(0, len(contents), TOGETHER):
            post(address, table_of(contents[start : start + TOGETHER]))
        together = len(contents) / (time.perf_counter() - begun)
        statuses = {name: post(address, body)[0] for name, body in hostile_requests().items()}
        alive = post(address, table_of(contents[:1]))[0]
    table = pd.DataFrame([answer for each in answers for answer in each], index=names)
    calibration = Calibration.from_tags(resolve(given.model).tags)
    logits = stored.loc[names, "logit"].to_numpy()
    expected = probabilities(logits, temperature=calibration.temperature)
    figures = {
        "photographs": len(names),
        "refused": int(table["refused"].ne("").sum()),
        "largest_logit_difference": np.nanmax(np.abs(table["logit"] - logits)),
        "largest_probability_difference": np.nanmax(np.abs(table["probability"] - expected)),
        "requests_per_second": len(names) / sum(seconds),
        "median_ms": 1000 * float(np.median(seconds)),
        "p95_ms": 1000 * float(np.quantile(seconds, 0.95)),
        f"photographs_per_second_{TOGETHER}_a_request": together,
        **{f"status of {name}": status for name, status in statuses.items()},
        "status of a photograph after them": alive,
    }
    shown = pd.DataFrame(
        [{"what": what, "value": f"{value:.3g}"} for what, value in figures.items()]
    )
    print(shown.to_string(index=False))
    if given.csv:
        shown.to_csv(given.csv, index=False, lineterminator="\n")


def hostile_requests() -> dict[str, bytes]:
    """Bodies that hold no photograph, by what they are."""
    return {
        "no image": table_of([b"junk" * 100]),
        "text": json.dumps({"dataframe_split": {"columns": ["photograph"], "data": [["text"]]}})
        .encode(),
        "100 MB of zeros": table_of([bytes(LARGE)]),
        "header of 60,000 x 60,000": table_of([huge_header()]),
        "wrong JSON": b'{"dataframe_split": {',
        "JSON of another form": b'{"photographs": []}',
        "path of a file": json.dumps(
            {"dataframe_split": {"columns": ["photograph"], "data": [["/etc/passwd"]]}}
        ).encode(),
        "number": json.dumps(
            {"dataframe_split": {"columns": ["photograph"], "data": [[3.5]]}}
        ).encode(),
        "no row": json.dumps({"dataframe_split": {"columns": ["photograph"], "data": []}}).encode(),
    }  # fmt: skip


def huge_header() -> bytes:
    """A PNG whose header promises 3.6 thousand million pixels and whose data are a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def table_of(contents: Sequence[bytes]) -> bytes:
    """The request that holds photographs, as MLflow's server takes a table."""
    rows = [[base64.b64encode(content).decode("ascii")] for content in contents]
    return json.dumps({"dataframe_split": {"columns": ["photograph"], "data": rows}}).encode()


def post(address: str, body: bytes) -> tuple[int, str]:
    """Send a request; hand back its status and its answer."""
    request = urllib.request.Request(  # noqa: S310 (an address of this machine)
        f"{address}/invocations", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def served(model: str) -> Iterator[str]:
    """Serve a registered version by MLflow, and hand out the server's address."""
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    command = [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(  # noqa: S603 (our own command)
        command, env=with_own_commands(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/ping", server)
        yield address
    finally:
        stop(server)


def _timed(address: str, contents: Sequence[bytes]) -> tuple[list[dict[str, object]], float]:
    begun = time.perf_counter()
    status, answer = post(address, table_of(contents))
    seconds = time.perf_counter() - begun
    assert status == 200, answer  # noqa: PLR2004
    rows: list[dict[str, object]] = json.loads(answer)["predictions"]
    return rows, seconds


def _stored(model: str) -> pd.DataFrame:
    """Clean logits that `evaluate` or a training stored, by the name of the photograph."""
    rows = results.predictions(model=model).query("attack == 'none'")
    names = rows["image_id"].str.rpartition("/")[2]
    return rows.set_index(names)[~names.duplicated().to_numpy()]


if __name__ == "__main__":
    main()
