"""Tensors out of pickles that hold more: all that is foreign stays behind, and nothing runs."""

import argparse
import copyreg
import io
import pickle
import pickletools
import struct
import types
import warnings
from collections import OrderedDict
from pathlib import Path

import dill
import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models import restricted_unpickler
from fundus_ml.models.restricted_unpickler import INERT
from fundus_ml.models.weight_files import read_state

FORMATS = [True, False]
"""Zip, and what torch wrote before 1.6."""


def tensors():
    """Tensors of several types and layouts; two share their values."""
    base = torch.arange(24.0).view(2, 3, 4)
    return OrderedDict(
        weight=base, rotated=base.transpose(0, 2), half=base.half(), count=torch.tensor(7),
        parameter=torch.nn.Parameter(torch.ones(3)), empty=torch.empty(0, 2),
    )  # fmt: skip


def save(content, path, *, zipped, module=pickle):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dill.PicklingWarning)
        torch.save(content, path, pickle_module=module, _use_new_zipfile_serialization=zipped)


class Runs:
    """Reading it would write a file."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return exec, (f"import pathlib; pathlib.Path({str(self.proof)!r}).touch()",)


def system(proof):
    """``os.system`` by its own module's name, as ``pickle`` writes it."""

    class System:
        def __reduce__(self):
            import os  # noqa: PLC0415 (what the pickle asks for)

            return os.system, (f"touch {proof}",)

    return System()


def built_by_dill(proof):
    """An instance whose class dill pickles by value, and which acts when its state is set."""

    class Bomb:
        def __getstate__(self):
            return str(proof)

        def __setstate__(self, state):
            Path(state).touch()

    return Bomb()


def called_by_dill(proof):
    """A function by its code, called where it is read."""

    def act():
        Path(proof).touch()

    class Called:
        def __reduce__(self):
            return act, ()

    return Called()


HOSTILE = {"exec": Runs, "system": system, "bomb": built_by_dill, "function": called_by_dill}


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_beside_the_tensors_never_runs(tmp_path, kind, zipped):
    """The proof is written where the same file is read by dill, and not by us."""
    proof, path = tmp_path / "proof", tmp_path / "checkpoint.pt"
    content = {"before": HOSTILE[kind](proof), "model": tensors(), "after": HOSTILE[kind](proof)}
    save(content, path, zipped=zipped, module=dill)
    state = read_state(path)
    assert not proof.exists()
    assert list(state) == list(tensors())
    for name, value in tensors().items():
        assert type(state[name]) is torch.Tensor
        assert state[name].dtype == value.dtype
        assert torch.equal(state[name], value), name
    assert not any(value.requires_grad for value in state.values())
    torch.load(path, pickle_module=dill, weights_only=False)
    assert proof.exists()


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_among_the_tensors_is_refused(tmp_path, kind, zipped):
    """A network that is not of tensors alone is none."""
    proof, path = tmp_path / "proof", tmp_path / "checkpoint.pt"
    content = tensors() | {"more": HOSTILE[kind](proof)}
    save({"model": content}, path, zipped=zipped, module=dill)
    with pytest.raises(InputError, match="not a plain state dict") as one:
        read_state(path)
    assert "\n" not in str(one.value)
    assert not proof.exists()


@pytest.mark.parametrize("zipped", FORMATS)
def test_flags_schedules_and_types_are_left_out(tmp_path, zipped):
    """What research scripts keep beside a network, dill's types and recursion among it."""

    class Parameters:
        def __init__(self):
            self.lr, self.itself = 0.1, self

    content = {
        "args": argparse.Namespace(lr=1.0, out=Path("out")),
        "params": Parameters(),
        "types": [type(None), dict, types.FunctionType, np.float32, torch.float64],
        "schedule": {"lr_lambdas": [lambda epoch: 0.1 ** (epoch // 50)], "best": np.float64(0.9)},
        "state_dict": tensors(),
        "seen": {1, 2},
    }
    save(content, tmp_path / "all.pt", zipped=zipped, module=dill)
    state = read_state(tmp_path / "all.pt")
    assert all(torch.equal(state[name], value) for name, value in tensors().items())


def read(instructions):
    return restricted_unpickler.load(io.BytesIO(instructions))


def asked(module, name):
    return f"c{module}\n{name}\n".encode()


@pytest.mark.parametrize(
    "instructions",
    [
        asked("os", "system") + b"(S'false'\ntR.",
        b"(S'false'\nios\nsystem\n.",
        b"(" + asked("os", "system") + b"S'false'\no.",
        b"\x80\x02" + asked("os", "system") + b")\x81.",
        b"\x80\x04" + asked("os", "system") + b")}\x92.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)R.",
        b"\x80\x02\x82\xf0(S'false'\ntR.",
        asked("os", "system") + b"(S'false'\ntb.",
        asked("builtins", "list") + b")R(I1\nI2\ne.",
        asked("builtins", "dict") + b")RI1\nI2\ns.",
        asked("builtins", "dict") + b")R(I1\nI2\nu.",
        b"\x80\x04" + asked("builtins", "set") + b")R(I1\n\x90.",
        b"Panything\n.",
        b"\x80\x02X\x05\x00\x00\x00thingQ.",
        b"(S'module'\n" + asked("os", "system") + b"S'file'\nS'source'\ntQ.",
        # What torch's functions would do with a state that is set on them.
        asked("torch._utils", "_rebuild_tensor_v2") + b"0" + asked("torch", "load") + b")R.",
    ],
)
def test_every_instruction_that_acts_gives_the_inert_object(instructions):
    """Calling, instantiating, setting a state, filling, registered numbers, outside objects."""
    pickletools.dis(instructions, out=io.StringIO())
    copyreg.add_extension("os", "system", 240)
    try:
        assert read(instructions) is INERT
    finally:
        copyreg.remove_extension("os", "system", 240)


def test_no_state_reaches_what_is_known():
    """A pickle that sets attributes of torch's functions or of a class changes neither."""
    slots = b"(N(S'__defaults__'\nS'x'\ndtb"
    for module, name in restricted_unpickler.KNOWN:
        known = restricted_unpickler.KNOWN[module, name]
        assert read(asked(module, name) + slots + b".") is known
        assert getattr(known, "__defaults__", None) is None
    filled = read(asked("collections", "OrderedDict") + b")R(S'move_to_end'\nI1\ndb.")
    assert filled == OrderedDict()
    assert callable(filled.move_to_end)


def test_plain_containers_are_what_they_were():
    """Beside tensors a pickle is read as it is."""
    content = {"a": [1, (2.5, "x", None)], "b": OrderedDict(c={3, 4}), 5: b"\x00\xff", "d": True}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = read(pickle.dumps(content, protocol=protocol))
        if protocol >= 4:
            assert found == content
        assert found["a"] == content["a"]
        assert list(found) == list(content)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", FORMATS)
def test_a_damaged_file_ends_in_one_line(tmp_path, zipped):
    """Cut anywhere, or with bytes of it changed."""
    path, proof = tmp_path / "whole.pt", tmp_path / "proof"
    save({"model": tensors(), "beside": Runs(proof)}, path, zipped=zipped, module=dill)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[: int(cut)] for cut in rng.integers(1, len(whole), 100)]
    for _ in range(300):
        changed = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 1500), 3):
            changed[place] = rng.integers(256)
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        try:
            state = read_state(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 (either is right)
        else:
            assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert not proof.exists()


def test_a_huge_storage_ends_in_one_line(tmp_path):
    """A size that no memory holds."""
    path = tmp_path / "huge.pt"
    save({"beside": Runs("none"), "model": tensors()}, path, zipped=False)
    whole = path.read_bytes()
    small = b"K" + struct.pack("<B", 24)
    assert small in whole
    path.write_bytes(whole.replace(small, b"\x8a\x07" + bytes(6) + b"\x7f", 1))
    with pytest.raises(InputError, match="not a plain state dict"):
        read_state(path)
