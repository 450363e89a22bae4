"""Which arithmetic a pass runs in."""

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models.options import check_precision
from fundus_ml.models.precision import autocast, best_device, bf16_pays

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_named_precision_is_what_a_layer_computes_in(precision, dtype):
    """The context decides the type of a layer's output."""
    layer = torch.nn.Linear(3, 2)
    with autocast(precision, CPU):
        assert layer(torch.zeros(4, 3)).dtype == dtype


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", None])
def test_auto_follows_the_hardware(monkeypatch, feature):
    """Either instruction set makes bf16 pay; without both it is off."""
    found = {"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}
    if feature is not None:
        found[feature] = True
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert bf16_pays(CPU) == (feature is not None)
    with autocast("auto", CPU):
        wanted = torch.float32 if feature is None else torch.bfloat16
        assert torch.nn.Linear(3, 2)(torch.zeros(4, 3)).dtype == wanted


def test_a_processor_that_says_nothing_gets_fp32(monkeypatch):
    """Other architectures list other features, and other devices have none."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"neon": True})
    assert not bf16_pays(CPU)
    assert not bf16_pays(torch.device("meta"))


def test_unknown_precision_is_refused():
    """Before any work, and by the context itself."""
    with pytest.raises(InputError, match="precision=fp8: allowed: auto, fp32, bf16, fp16"):
        check_precision("fp8")
    with pytest.raises(InputError, match="precision=half: allowed"):
        autocast("half", CPU)


def test_best_device_is_the_gpu_where_there_is_one():
    """It is a device tensors can be made on."""
    device = best_device()
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.zeros(2, device=device).device.type == device.type
