"""Where a backbone starts: nothing, a file of any habit, or ImageNet, with a network or without."""

import argparse
import copy
import hashlib
import pickle
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch.nn.functional import interpolate

from fundus_ml.errors import InputError
from fundus_ml.models.backbones import on_meta
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.start_weights import fill_backbone, load_start_weights
from fundus_ml.models.weights import save_classifier

LAST = ["classifier.1.bias", "classifier.1.weight"]


def make(arch="squeezenet1_1", *, head_hidden=5, size=40, seed=0):
    """A classifier to fill."""
    spec = ClassifierSpec(
        arch=arch, head_hidden=head_hidden, mean=(0.3, 0.2, 0.1), std=(0.3, 0.2, 0.1), size=size
    )
    return make_classifier(spec, seed=seed)


def assert_filled(classifier, before, state, new):
    """Every tensor of ``state`` arrived but those named, which stayed, as did the head."""
    for name, value in classifier.backbone.state_dict().items():
        wanted = before[f"backbone.{name}"] if name in new else state[name]
        assert torch.equal(value, wanted), name
    assert torch.equal(classifier.head[1].weight, before["head.1.weight"])


def test_none_changes_nothing():
    """Random weights stay."""
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    assert load_start_weights(classifier, "none") == []
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_torchvision_file_fills_all_but_the_last_layer(tmp_path, suffix):
    """A model of 1,000 classes leaves the layer towards the head random, and says so."""
    state = torchvision.models.squeezenet1_1(num_classes=11).state_dict()
    path = tmp_path / f"state.{suffix}"
    (torch.save if suffix == "pt" else save_file)(state, path)
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(path))
    assert new == LAST
    assert_filled(classifier, before, state, new)


@pytest.mark.parametrize(("head_hidden", "new"), [(5, []), (6, LAST)])
def test_saved_classifier_fills_the_backbone(tmp_path, head_hidden, new):
    """The head stays its own; the layer before it comes along where its width is the same."""
    other = make(head_hidden=head_hidden, seed=1)
    save_classifier(other, tmp_path)
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    assert load_start_weights(classifier, str(tmp_path / "weights.safetensors")) == new
    assert_filled(classifier, before, other.backbone.state_dict(), new)


def test_old_file_without_batch_counters_fits(tmp_path):
    """Files from before BatchNorm counted its batches are whole."""
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=11).state_dict()
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert counters
    torch.save({k: v for k, v in state.items() if k not in counters}, tmp_path / "old.pth")
    classifier = make("shufflenet_v2_x0_5")
    assert load_start_weights(classifier, str(tmp_path / "old.pth")) == ["fc.bias", "fc.weight"]
    filled = classifier.backbone.state_dict()
    assert torch.equal(filled["conv5.0.weight"], state["conv5.0.weight"])


def test_another_architecture_is_refused(tmp_path):
    """The message counts what does not fit; nothing has been filled."""
    other = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    with pytest.raises(
        InputError,
        match=r"other.pt: not of arch=squeezenet1_1, it looks like shufflenet_v2_x0_5; \d+",
    ):
        load_start_weights(classifier, str(tmp_path / "other.pt"))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_half_a_state_dict_is_refused(tmp_path):
    """A missing tensor is a misfit too."""
    state = torchvision.models.squeezenet1_1(num_classes=5).state_dict()
    del state["features.0.weight"]
    torch.save(state, tmp_path / "half.pt")
    with pytest.raises(InputError, match=r"1 tensors do not fit, the first is features.0.weight"):
        load_start_weights(make(), str(tmp_path / "half.pt"))


def test_missing_file_is_refused(tmp_path):
    """The message says what else is allowed."""
    with pytest.raises(
        InputError, match="no such file; allowed: imagenet, none or a file, and where"
    ):
        load_start_weights(make(), str(tmp_path / "absent.pt"))


def test_a_name_too_long_for_the_file_system_is_refused():
    """Whatever the file system says, in one line."""
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\)"):
        load_start_weights(make(), "w" * 300)


class _Hostile:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [2, "torch"])
def test_hostile_pickle_is_refused_and_not_run(tmp_path, protocol):
    """Code inside a weights file is never run."""
    path, proof = tmp_path / "hostile.pt", tmp_path / "proof"
    if protocol == "torch":
        torch.save({"features.0.weight": _Hostile(proof)}, path)
    else:
        path.write_bytes(pickle.dumps({"features.0.weight": _Hostile(proof)}, protocol=protocol))
    with pytest.raises(InputError, match=r"it asks for \S*open, which was not executed"):
        load_start_weights(make(), str(path))
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a plain state dict: it is empty"),
        (b"hello world\n", "not a plain state dict: it is of no format known here"),
        (b"<html>", "not a plain state dict: it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer"),
        (b"\x1f\x8b\x08" + bytes(50), "it is compressed"),
        (b"\x89HDF\r\n" + bytes(50), "it is HDF5"),
        ((20).to_bytes(8, "little") + b'{"a', "damaged safetensors"),
        ((20).to_bytes(8, "little") + b'{"a": 1}' + bytes(50), "damaged safetensors"),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors", ""])
def test_any_other_file_is_refused(tmp_path, suffix, content, said):
    """Whatever torch makes of it and whatever it is called, the user reads what it is."""
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"{said}.*; allowed: .safetensors, or torch.save"
    ) as line:
        load_start_weights(make(), str(path))
    assert "\n" not in str(line.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(50), b"\x80\x02}q"])
def test_a_damaged_file_of_torch_is_refused(tmp_path, content):
    """Cut short, or a zip archive of something else."""
    (tmp_path / "other.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"not a plain state dict: it is a .*; allowed"):
        load_start_weights(make(), str(tmp_path / "other.pt"))


@pytest.mark.parametrize("name", ["w.pth", "w", "w.SAFETENSORS"])
def test_safetensors_are_read_under_any_name(tmp_path, name):
    """Their content says what they are."""
    state = torchvision.models.squeezenet1_1(num_classes=11).state_dict()
    save_file(state, tmp_path / name)
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(tmp_path / name))
    assert_filled(classifier, before, state, new)


@pytest.mark.parametrize("old_format", [True, False])
def test_a_pickle_named_safetensors_is_called_by_its_name(tmp_path, old_format):
    """Whoever chose .safetensors relies on there being no pickle."""
    path = tmp_path / "w.safetensors"
    state = torchvision.models.squeezenet1_1(num_classes=11).state_dict()
    torch.save(state, path, _use_new_zipfile_serialization=not old_format)
    kind = "a pickle" if old_format else "a zip archive as torch.save writes it"
    with pytest.raises(InputError, match=f"is named .safetensors and is {kind}; rename it to .pth"):
        load_start_weights(make(), str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(3), "state dict; allowed"),
        ([torch.zeros(3)], "state dict; allowed"),
        ({}, "state dict; allowed"),
        ({"epoch": 3, "model": {}}, "state dict: it holds epoch, model; allowed"),
        ({3: torch.zeros(3)}, "state dict: it holds 3; allowed"),
    ],
)
def test_file_of_something_else_is_refused(tmp_path, content, said):
    """What holds no network is none; the message says what it holds."""
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match=f"not a plain {said}"):
        load_start_weights(make(), str(tmp_path / "other.pt"))


def prefixed(state, prefix):
    """The same tensors under longer names."""
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    ("prefix", "place"),
    [("module.", None), ("model.", "model"), ("module.model.", "state_dict"),
     ("encoder.", "teacher"), ("backbone.", "model"), ("_orig_mod.net.x.", None)],
)  # fmt: skip
def test_checkpoint_of_any_habit_fits(tmp_path, prefix, place):
    """The network is found under its place and its prefix, beside whatever else is there."""
    state = torchvision.models.squeezenet1_1(num_classes=11).state_dict()
    content = prefixed(state, prefix)
    if place is not None:
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
        content = {"epoch": 7, "optimizer": optimizer.state_dict(), place: content}
    torch.save(content, tmp_path / "checkpoint.pth")
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(tmp_path / "checkpoint.pth"))
    assert new == LAST
    assert_filled(classifier, before, state, new)


def test_checkpoint_with_flags_and_scores_fits(tmp_path):
    """What a research script keeps beside its network (RETFound, MAE) is read, not executed."""
    state = torchvision.models.squeezenet1_1(num_classes=11).state_dict()
    flags = argparse.Namespace(lr=1e-3, output_dir=Path("out"), layers=[1, 2], resume="")
    content = {"model": state, "args": flags, "best": np.float64(0.9), "seen": np.int64(3)}
    torch.save(content, tmp_path / "checkpoint.pth")
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(tmp_path / "checkpoint.pth"))
    assert_filled(classifier, before, state, new)


MASKED_AUTOENCODER = {
    "mask_token": (1, 1, 48), "decoder_pos_embed": (1, 197, 48), "decoder_embed.weight": (48, 64),
    "decoder_blocks.0.norm1.weight": (48,), "decoder_norm.bias": (48,), "decoder_pred.bias": (9,),
}  # fmt: skip


@pytest.mark.parametrize(("size", "side"), [(224, 14), (160, 10), (256, 16)])
def test_a_masked_autoencoder_starts_a_vision_transformer(tmp_path, size, side):
    """RETFound's layout: the decoder is left, positions of 14 by 14 patches are interpolated."""
    state = timm.create_model("test_vit", num_classes=0, img_size=224).state_dict()
    decoder = {name: torch.zeros(shape) for name, shape in MASKED_AUTOENCODER.items()}
    torch.save({"model": state | decoder, "epoch": 800}, tmp_path / "mae.pth")
    classifier = make("test_vit", size=size)
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(tmp_path / "mae.pth"))
    assert new == ["head.bias", "head.weight"]
    learned = state["pos_embed"]
    square = learned[:, 1:].mT.reshape(1, 64, 14, 14)
    wanted = interpolate(square, (side, side), mode="bicubic", antialias=True)
    positions = torch.cat([learned[:, :1], wanted.flatten(2).mT], dim=1)
    assert_filled(classifier, before, state | {"pos_embed": positions}, new)


def test_retfound_has_the_names_of_a_large_vision_transformer():
    """Its 294 tensors beside the decoder are those of timm's network without a last layer."""
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    layers = [f"blocks.{block}.{part}" for block in range(24) for part in parts]
    layers += ["patch_embed.proj", "norm"]
    names = {f"{layer}.{what}" for layer in layers for what in ("weight", "bias")}
    state = on_meta("vit_large_patch16_224", outputs=3, size=224).state_dict()
    assert set(state) - {"head.weight", "head.bias"} == names | {"cls_token", "pos_embed"}
    assert len(names) + 2 == 294


def test_momentum_twin_and_projection_head_are_left(tmp_path):
    """MoCo keeps its network twice, with a deeper last layer, beside a queue."""
    state = torchvision.models.resnet18(num_classes=11).state_dict()
    extractor = {name: value for name, value in state.items() if not name.startswith("fc.")}
    head = {"fc.0.weight": torch.zeros(512, 512), "fc.2.weight": torch.zeros(128, 512)}
    twin = {name: torch.zeros_like(value) for name, value in extractor.items()}
    content = {
        **prefixed(extractor | head, "module.encoder_q."),
        **prefixed(twin | head, "module.encoder_k."),
        "module.queue": torch.zeros(128, 16),
    }
    torch.save({"arch": "resnet18", "state_dict": content}, tmp_path / "moco.pth")
    classifier = make("resnet18")
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(tmp_path / "moco.pth"))
    assert new == ["fc.bias", "fc.weight"]
    assert_filled(classifier, before, state, new)


def test_of_two_networks_the_one_under_the_shorter_name_is_taken(tmp_path):
    """Whatever their order; the other one is a copy beside it."""
    state = torchvision.models.squeezenet1_1(num_classes=11).state_dict()
    copied = {name: torch.zeros_like(value) for name, value in state.items()}
    content = prefixed(copied, "momentum.net.") | prefixed(state, "net.")
    torch.save(content, tmp_path / "two.pth")
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, str(tmp_path / "two.pth"))
    assert_filled(classifier, before, state, new)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            lambda: torchvision.models.resnet34(num_classes=11).state_dict(),
            ", it looks like resnet34;",
        ),
        (lambda: torchvision.models.swin_t().state_dict(), ", it looks like swin_t;"),
        (
            lambda: {
                "cls_token": torch.zeros(1),
                "blocks.0.attn.weight": torch.zeros(2),
                "blocks.1.attn.weight": torch.zeros(2),
            },
            ", it looks like a vision transformer of 2 blocks;",
        ),
        (lambda: {"conv.weight": torch.zeros(2, 3), "conv.bias": torch.zeros(2)}, ";"),
    ],
)
def test_the_message_says_what_the_file_looks_like(other, said):
    """Told by parameters or blocks, and not where it cannot be told."""
    with pytest.raises(InputError, match=f"weights=x: not of arch=resnet18{said} "):
        fill_backbone(make("resnet18"), other(), weights="x")


def test_a_whole_classifier_fits_from_memory():
    """As a registered version is handed over."""
    other, classifier = make(seed=1), make()
    before = copy.deepcopy(classifier.state_dict())
    other.mean.mul_(2)
    assert fill_backbone(classifier, other.state_dict(), weights="models:/any/1") == []
    assert classifier.spec.mean == pytest.approx((0.6, 0.4, 0.2))
    assert_filled(classifier, before, other.backbone.state_dict(), [])


@pytest.mark.parametrize(
    ("mean", "std", "prefix"),
    [("0.mean", "0.std", "1."), ("module.normalize.mean", "module.normalize.std", "module.model."),
     ("mu", "sigma", ""), ("backbone.mu", "backbone.sigma", "backbone.net.")],
)  # fmt: skip
@pytest.mark.parametrize("brightest", [1, 255])
def test_what_a_network_normalises_by_comes_along(mean, std, prefix, brightest):
    """Under whatever name, and for pixels of 0 to 1 or 0 to 255."""
    state = prefixed(torchvision.models.squeezenet1_1(num_classes=11).state_dict(), prefix)
    state[mean] = brightest * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    state[std] = brightest * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    classifier = make()
    assert fill_backbone(classifier, state, weights="x") == LAST
    assert classifier.spec.mean == pytest.approx((0.485, 0.456, 0.406))
    assert classifier.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert classifier.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Stands for torchvision's server: says where the weights of an architecture come from."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "*")

    def publish(arch, url):
        monkeypatch.setattr(torchvision.models.get_model_weights(arch).DEFAULT.value, "url", url)

    return publish


def write_with_hash(state, folder, name):
    """Write a state dict under the name torchvision gives its files: ``name-<sha256>.pth``."""
    torch.save(state, folder / "state")
    digest = hashlib.sha256((folder / "state").read_bytes()).hexdigest()[:8]
    return (folder / "state").rename(folder / f"{name}-{digest}.pth").as_uri()


def test_imagenet_fills_all_but_the_last_layer(published, tmp_path):
    """The downloaded file arrives, and the global generator is not asked."""
    state = torchvision.models.squeezenet1_1().state_dict()
    published("squeezenet1_1", write_with_hash(state, tmp_path, "squeezenet1_1"))
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    generator = torch.get_rng_state()
    new = load_start_weights(classifier, "imagenet")
    assert torch.equal(torch.get_rng_state(), generator)
    assert new == LAST
    assert_filled(classifier, before, state, new)


def test_imagenet_densenet_is_read_under_its_old_names(published, tmp_path):
    """torchvision's file says ``norm.1`` where the model says ``norm1``, and has no counters."""
    state = torchvision.models.densenet121().state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(norm|conv))([12])", r"\1.\3", name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    published("densenet121", write_with_hash(old, tmp_path, "densenet121"))
    classifier = make("densenet121")
    before = copy.deepcopy(classifier.state_dict())
    new = load_start_weights(classifier, "imagenet")
    assert new == ["classifier.bias", "classifier.weight"]
    assert_filled(classifier, before, state, new)


def test_imagenet_without_network_says_what_to_pass(published):
    """A refused connection becomes one line."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    published("squeezenet1_1", f"http://127.0.0.1:{port}/squeezenet1_1-0a1b2c3d.pth")
    with pytest.raises(
        InputError,
        match=r"cannot download squeezenet1_1-0a1b2c3d.pth .*pass arch=eff",
    ):
        load_start_weights(make(), "imagenet")


def test_imagenet_file_that_is_another_is_refused(published, tmp_path):
    """A download whose digest is not the one in its name is not used."""
    torch.save({}, tmp_path / "squeezenet1_1-0a1b2c3d.pth")
    published("squeezenet1_1", (tmp_path / "squeezenet1_1-0a1b2c3d.pth").as_uri())
    with pytest.raises(InputError, match=r"cannot download squeezenet1_1-0a1b2c3d.pth .*hash"):
        load_start_weights(make(), "imagenet")
