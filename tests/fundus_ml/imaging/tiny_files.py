"""Small image files written byte by byte, so that they can say what no library would write."""

import struct
import zlib

import numpy as np

COLOURS = 2
"""PNG's colour type of RGB."""


def chunk(name, body):
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width, height, *, depth=8, colour=COLOURS, rows=(), extra=b""):
    """A PNG that claims its size in the header, and holds ``rows`` or next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_of(image, tags=None, *, planes=False, tiled=False):
    """An uncompressed TIFF of ``(H, W, 3)`` samples: one strip, one per channel, or one tile."""
    height, width, channels = image.shape
    stored = np.ascontiguousarray(image.transpose(2, 0, 1) if planes else image).tobytes()
    parts = channels if planes else 1
    sizes = [len(stored) // parts] * parts
    lists = {
        256: [width],
        257: [height],
        258: [8 * image.itemsize] * channels,
        259: [1],
        262: [2],
        324 if tiled else 273: [0] * parts,
        277: [channels],
        325 if tiled else 279: sizes,
        284: [2 if planes else 1],
    } | {tag: [value] for tag, value in (tags or {}).items()}
    if not tiled:
        lists[278] = [height]
    lists = dict(sorted(lists.items()))
    after = 8 + 2 + 12 * len(lists) + 4
    long_lists = sum(4 * len(values) for values in lists.values() if len(values) > 1)
    starts = after + long_lists
    lists[324 if tiled else 273] = [starts + sum(sizes[:part]) for part in range(parts)]
    entries, outside = b"", b""
    for tag, values in lists.items():
        field = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            field, outside = struct.pack("<I", after + len(outside)), outside + field
        entries += struct.pack("<HHI", tag, 4, len(values)) + field
    return b"II*\0" + struct.pack("<IH", 8, len(lists)) + entries + bytes(4) + outside + stored
