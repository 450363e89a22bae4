"""Ids of people and photographs replaced by keyed hashes, before anything is written of them."""

import hmac
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from fundus_ml.data.photographs import Load, Photographs, own_columns
from fundus_ml.errors import InputError, Refused
from fundus_ml.imaging.photographs import Photograph
from fundus_ml.sources.files import named_by_id
from fundus_ml.sources.options import NOT_HEALTHY

SHORTEST_SALT = 16
"""Bytes below which a salt can be guessed from an id that is known."""
DIGITS = 16
"""Hexadecimal digits of a hash: two of a million ids agree once in 37 million releases."""
MOST_VALUES = 2
"""Values of a column of one's own that is kept: those of a question."""
FEWEST_PEOPLE = 2
"""People who must share each of them."""
_EXAMPLE = ", such as "


def read_salt(path: Path) -> bytes:
    """Read the salt of :func:`pseudonymised` from its file, without blanks around it.

    Raises:
        InputError: The file cannot be read or holds fewer than :data:`SHORTEST_SALT` bytes; the
            line repeats neither.
    """
    try:
        salt = path.read_bytes().strip()
    except (OSError, ValueError):
        raise InputError(
            "hash_ids: cannot be read; name the file that holds the salt, not the salt itself"
        ) from None
    if len(salt) < SHORTEST_SALT:
        raise InputError(
            f"hash_ids: the file holds {len(salt)} bytes; at least {SHORTEST_SALT} random ones are "
            "needed, such as those of `openssl rand -hex 32`"
        )
    return salt


def pseudonym(kind: str, name: str, salt: bytes) -> str:
    """Hash the id ``source/ID``; ``source/`` stays.

    Args:
        kind: ``patient`` or ``image``: one text is not the same hash as either.
        name: The id.
        salt: Secret; the same one gives the same hash.

    Source:
        HMAC-SHA256 (RFC 2104, FIPS 198-1), the first :data:`DIGITS` hexadecimal digits.
    """
    source, _, own = name.partition("/")
    digest = hmac.new(salt, f"{kind}\0{own}".encode(), "sha256").hexdigest()
    return f"{source}/{digest[:DIGITS]}"


def pseudonymised(photographs: Photographs, salt: bytes) -> Photographs:
    """Replace every id and leave out what may hold one.

    Columns of one's own stay where they are ``disease_*`` or ``finding_*``, or hold at most two
    values that two people share each. Of refused rows the detail goes, but for eyes that are not
    healthy; of assumptions the example.

    Args:
        photographs: A release; its files are still found.
        salt: From :func:`read_salt`.
    """
    table = photographs.table
    unshared = [name for name in own_columns(table) if not _is_shared(table, name)]
    said = [line.partition(_EXAMPLE)[0] for line in photographs.assumed]
    if unshared:
        said.append(f"hash_ids leaves out what may name people: columns {', '.join(unshared)}")
    rejected = photographs.rejected
    return replace(
        photographs,
        table=_renamed(table.drop(columns=unshared), salt),
        rejected=_renamed(rejected, salt).assign(
            detail=rejected["detail"].where(rejected["reason"].eq(NOT_HEALTHY), "")
        ),
        load=partial(_load, load=photographs.load),
        assumed=tuple(said),
        advice="",
    )


def _renamed(rows: pd.DataFrame, salt: bytes) -> pd.DataFrame:
    columns = [kind for kind in ("image", "patient") if f"{kind}_id" in rows]
    return rows.assign(
        **{
            f"{kind}_id": rows[f"{kind}_id"].map(partial(pseudonym, kind, salt=salt)).astype("str")
            for kind in columns
        }
    )


def _is_shared(table: pd.DataFrame, name: str) -> bool:
    people = table.groupby(name)["patient_id"].nunique()
    return len(people) <= MOST_VALUES and bool((people >= FEWEST_PEOPLE).all())


def _load(row: dict[str, object], least_side: int, *, load: Load) -> Photograph:
    try:
        return load(row, least_side)
    except Refused as refused:
        raise named_by_id(refused, row) from None
