"""What the archive of an exported program may hold, so that loading it runs tensor operators alone.

``torch.export.load`` unpickles what an archive marks as pickled, evaluates the text of its size
expressions and guards, pastes its names into the code it generates, and calls whatever a node
names below ``torch``. Here an archive is refused unless its records are those that
``torch.export.save`` writes for plain tensors and every text in its graph is a name, an operator
of ``aten`` or arithmetic on sizes.
"""

import ast
import io
import json
import pickle
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket
from torch.export.pt2_archive import PT2ArchiveReader

from tracking.errors import TrackingError

GRAPH = "models/model.json"
EXAMPLE = "data/sample_inputs/model.pt"
_CONFIG = re.compile(r"data/(?:weights/model_weights|constants/model_constants)_config\.json")
_TENSOR = re.compile(r"data/(?:weights/weight|constants/tensor)_\d+")
_LABEL = re.compile(
    r"archive_format|archive_version|byteorder|(?:\.data/)?(?:version|serialization_id)"
)
_NAME = re.compile(r"-?\w*", re.ASCII)
_PATH = re.compile(r"[\w.+-]*", re.ASCII)
_PATHS = frozenset(
    {"parameter_name", "buffer_name", "tensor_constant_name", "fqn", "torch_version"}
)
_TEXT = re.compile(r"[^'\"\\\n\r]*")
"""A text that an operator takes; torch puts those that a program takes between quotes in code. Of
the operators of ``aten`` only ``from_file`` and ``save`` would open what a text names."""
_SYMBOL = re.compile(r"[a-z]{1,3}\d+", re.ASCII)
_ATEN = re.compile(
    r"torch\.ops\.aten\.(?!from_file|save)(?P<name>\w+)\.(?P<overload>\w+)", re.ASCII
)
_PYTHON = re.compile(
    r"_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|math\.(?:ceil|floor|trunc|sqrt)|torch\.sym_(?:max|min|int|float|not|ite|sum)"
)
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict")
_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.keyword,
    ast.Constant, ast.Name, ast.Subscript, ast.Attribute, ast.Load, ast.operator, ast.unaryop,
    ast.boolop, ast.cmpop,
)  # fmt: skip
_FUNCTIONS = frozenset(
    re.findall(
        r"\w+",
        """
        L torch math max min int float abs Symbol Integer Float Rational Add Mul Pow Abs Max Min Mod
        And Or Not Equality Unequality GreaterThan StrictGreaterThan LessThan StrictLessThan
        Eq Ne Ge Gt Le Lt PythonMod FloorDiv CeilDiv CleanDiv ModularIndexing CeilToInt FloorToInt
        TruncToInt TruncToFloat RoundToInt IntTrueDiv FloatTrueDiv FloatPow PowByNatural ToFloat
        Where Identity
        """,
    )
)
"""What sizes are computed with, as sympy and torch name it."""
_ATTRIBUTES = frozenset(
    {
        "size", "ceil", "floor", "trunc", "sqrt",
        "sym_max", "sym_min", "sym_int", "sym_float", "sym_not",
    }
)  # fmt: skip
_NOT_READ = (
    pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError,
    AttributeError, AssertionError,
)  # fmt: skip
"""What torch and json raise on records that are none of theirs."""


def check_archive(path: Path) -> None:
    """Refuse an archive whose loading could run anything but tensor operators.

    Records are read with torch's own reader, so that what is checked is what is loaded.

    Raises:
        TrackingError: It is no archive of ``torch.export.save``, or holds something that would be
            unpickled, evaluated or called.
    """
    try:
        reader = PT2ArchiveReader(str(path))
        found = next(_troubles(reader), None)
    except _NOT_READ as error:
        raise TrackingError(
            f"{path.name}: not what torch.export.save writes ({str(error).partition(chr(10))[0]})"
        ) from error
    if found is not None:
        raise TrackingError(
            f"{path.name}: {found}, which loading would execute; nothing was loaded "
            "(load_classifier rebuilds the network without it)"
        )


def _troubles(reader: PT2ArchiveReader) -> Iterator[str]:
    """What the archive holds that loading it would execute."""
    for name in reader.get_file_names():
        if _CONFIG.fullmatch(name):
            yield from _pickles(name, json.loads(reader.read_string(name)))
        elif name == EXAMPLE:
            example = reader.read_bytes(name)
            if example:
                torch.load(io.BytesIO(example), weights_only=True)
        elif name == GRAPH:
            yield from _texts(json.loads(reader.read_string(name)), "")
        elif not (_TENSOR.fullmatch(name) or _LABEL.fullmatch(name)):
            yield f"it holds {name[:80]!r}"


def _pickles(name: str, config: dict[str, Any]) -> Iterator[str]:
    folder = name.rpartition("/")[0]
    for tensor, entry in config["config"].items():
        record = f"{folder}/{entry['path_name']}"
        if entry["use_pickle"] is not False or _TENSOR.fullmatch(record) is None:
            yield f"its tensor {tensor[:80]!r} is a pickle"


def _texts(value: object, key: str) -> Iterator[str]:
    """Go through the graph; every text stands under a key that says what it may be."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(name, "name")
            if not (name == "metadata" and _is_flat(item)):  # stack traces: kept, never run
                yield from _texts(item, name)
    elif isinstance(value, str) and not _allowed(value, key):
        yield f"its graph holds {value[:80]!r} as {key}"


def _is_flat(value: object) -> bool:
    """Whether this is a node's metadata, and not a tensor that is called so."""
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _allowed(text: str, key: str) -> bool:
    if key in ("expr_str", "guards_code"):
        return _is_arithmetic(text)
    if key in ("in_spec", "out_spec"):
        return _is_plain_tree(json.loads(text))
    if key == "target":
        return _is_operator(text)
    if key in ("as_string", "as_strings"):
        return _TEXT.fullmatch(text) is not None
    return (_PATH if key in _PATHS else _NAME).fullmatch(text) is not None


def _is_operator(target: str) -> bool:
    aten = _ATEN.fullmatch(target)
    if aten is None:
        return _PYTHON.fullmatch(target) is not None
    packet = getattr(torch.ops.aten, aten["name"], None)
    return isinstance(packet, OpOverloadPacket) and isinstance(
        getattr(packet, aten["overload"], None), OpOverload
    )


@cache
def _is_arithmetic(text: str) -> bool:
    """Whether the text computes with sizes and symbols, and with nothing else."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return False
    return all(_is_arithmetic_node(node) for node in ast.walk(tree))


def _is_arithmetic_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Attribute):
        return node.attr in _ATTRIBUTES
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _NAME.fullmatch(node.value) is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    return isinstance(node, _NODES)


def _is_plain_tree(tree: object) -> bool:
    """Whether arguments are nested in nothing but tuples, lists and dictionaries."""
    if isinstance(tree, list):
        return all(_is_plain_tree(item) for item in tree)
    if isinstance(tree, dict):
        return (
            tree["type"] in _TREES
            and tree["context"] in (None, "null", "[]")
            and _is_plain_tree(tree["children_spec"])
        )
    return isinstance(tree, int)
