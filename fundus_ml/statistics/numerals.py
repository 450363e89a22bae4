"""Numbers as text: read only where they are plain and bounded, written alike in every name."""

import re
from decimal import Decimal
from fractions import Fraction

SMALLEST, LARGEST = 1e-12, 1e12
"""Sizes of a number but 0."""
LARGEST_WHOLE = 2**32 - 1
"""Size of a whole number, and the largest seed that every generator in use takes."""
_LONGEST = 40
"""Characters: enough for a double or a ratio of two whole numbers."""
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_RATIO = re.compile(r"([+-]?\d+)/(\d+)", re.ASCII)


class RangeError(ValueError):
    """A number that is plain but too large or too small."""


def read_number(text: str) -> float:
    """Read a decimal such as ``0.5`` or ``1e-3``, or a ratio such as ``4/255``.

    Raises:
        RangeError: It is neither 0 nor from 1e-12 to 1e12 in size.
        ValueError: It is written otherwise; ``nan``, ``inf``, ``0x10`` and ``1_000`` are.
    """
    text = text.strip()
    if _DECIMAL.fullmatch(text):
        # A longest text bounds the digits, three digits bound the exponent.
        value = float(text) if len(text) <= _LONGEST else float("inf")
        zero = value == 0 and not re.search("[1-9]", text.lower().partition("e")[0])
    elif (ratio := _RATIO.fullmatch(text)) and len(text) <= _LONGEST and int(ratio[2]):
        value = float(Fraction(int(ratio[1]), int(ratio[2])))
        zero = value == 0
    else:
        raise ValueError(f"{shortened(text)}: no number")
    if not zero and not SMALLEST <= abs(value) <= LARGEST:
        raise RangeError("must be 0, or from 1e-12 to 1e12 in size")
    return value + 0.0  # -0 becomes 0


def read_whole(text: str) -> int:
    """Read a whole number in the digits 0 to 9.

    Raises:
        RangeError: It is larger than 4294967295 in size.
        ValueError: It is written otherwise; ``1e3``, ``0x10`` and ``1_000`` are.
    """
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{shortened(text)}: no whole number")
    if len(text) > _LONGEST or abs(int(text)) > LARGEST_WHOLE:
        raise RangeError(f"must be from {-LARGEST_WHOLE} to {LARGEST_WHOLE}")
    return int(text)


def plain(number: float) -> str:
    """Write a number to six digits for a name, without an exponent.

    >>> plain(0.25), plain(1e9), plain(4 / 255), plain(1e-5)
    ('0.25', '1000000000', '0.0156863', '0.00001')
    """
    return f"{Decimal(f'{number:g}'):f}"


def shortened(text: str) -> str:
    """Cut a text that would fill a screen."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
