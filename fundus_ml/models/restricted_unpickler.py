"""A stand-in for the module ``pickle`` that rebuilds tensors and containers, and executes nothing.

``torch.load(..., pickle_module=restricted_unpickler)`` reads with it checkpoints that hold more
than tensors: dill's functions and classes, flags, schedules. Of all the names that a pickle can ask
for, only torch's tensors and ``OrderedDict`` mean something here; every other one, and whatever is
called, built or filled through it, is the one object :data:`INERT`.

Source:
    The instructions are those of Python's own unpickler; the five that call, instantiate or set
    the state of something are replaced, and those that fill a container take plain ones only.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar

import torch
from torch import Tensor
from torch.storage import TypedStorage

STORAGE = "storage"
"""The only objects that torch keeps outside the pickle and that are taken from there."""


class Inert:
    """What stands for everything foreign: it has no attributes and takes none."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Say what it is where it turns up in a message."""
        return "INERT"


INERT = Inert()


def _tensor(
    storage: TypedStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor:
    """Lay a tensor over its values; its hooks and its need of a gradient stay behind."""
    rebuild: Callable[..., Tensor] = torch._utils._rebuild_tensor  # noqa: SLF001
    return rebuild(storage, offset, size, stride)


def _parameter(data: object, *_: object) -> object:
    return data


KNOWN: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
}
"""What a name in a pickle may stand for; torch itself adds its storages."""


def _called(function: object, arguments: object) -> object:
    if isinstance(arguments, tuple):
        for known in KNOWN.values():
            if function is known:
                return known(*arguments)
    return INERT


class Unpickler(pickle._Unpickler):  # noqa: SLF001 (the one whose instructions can be replaced)
    """Python's unpickler without the instructions that run something."""

    stack: list[Any]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]
    readline: Callable[[], bytes]

    def find_class(self, module: str, name: str, /) -> object:
        """Look a name up in :data:`KNOWN`; nothing is imported."""
        return KNOWN.get((module, name), INERT)

    def get_extension(self, _code: int) -> None:
        """Leave out what a number registered with ``copyreg`` stands for."""
        self.append(INERT)

    def _instantiate(self, kind: object, arguments: list[object]) -> None:
        self.append(_called(kind, tuple(arguments)))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = _called(self.stack[-1], arguments)

    def _reduce_with_names(self) -> None:
        self.stack.pop()
        self._reduce()

    def _leave_state(self) -> None:
        self.stack.pop()

    def _append(self) -> None:
        value = self.stack.pop()
        if type(self.stack[-1]) is list:
            self.stack[-1].append(value)

    def _appends(self) -> None:
        values = self.pop_mark()
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        if type(self.stack[-1]) in (dict, OrderedDict):
            self.stack[-1][key] = value

    def _set_items(self) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) in (dict, OrderedDict):
            self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _add_items(self) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) is set:
            self.stack[-1].update(items)

    def _from_outside(self) -> None:
        """Fetch a storage; a module whose source torch would compare is left out."""
        saved = self.stack.pop()
        stored = isinstance(saved, tuple) and saved[:1] in ((STORAGE,), (STORAGE.encode(),))
        self.append(self.persistent_load(saved) if stored else INERT)

    def _from_outside_by_line(self) -> None:
        self.readline()
        self.append(INERT)

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,  # noqa: SLF001
        pickle.REDUCE[0]: _reduce,
        pickle.NEWOBJ[0]: _reduce,
        pickle.NEWOBJ_EX[0]: _reduce_with_names,
        pickle.BUILD[0]: _leave_state,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _appends,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.ADDITEMS[0]: _add_items,
        pickle.BINPERSID[0]: _from_outside,
        pickle.PERSID[0]: _from_outside_by_line,
    }


def load(file: IO[bytes], *, encoding: str = "ASCII") -> object:
    """Read one pickle, as ``pickle.load`` does: torch's old format is several in a row."""
    return Unpickler(file, encoding=encoding).load()
