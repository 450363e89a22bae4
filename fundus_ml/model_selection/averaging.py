"""Averages of several networks' weights, and which networks belong in one."""

import copy
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, update_bn

from fundus_ml.data.dataset import FundusDataset, batches
from fundus_ml.errors import InputError
from fundus_ml.model_selection.options import METHODS
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.measured_precision import TINY, resolved
from fundus_ml.models.options import check_precision
from fundus_ml.models.precision import autocast
from fundus_ml.statistics.clustered import auroc
from fundus_ml.training.prediction import predict


@dataclass(frozen=True, kw_only=True)
class Average:
    """A network whose weights are the mean of others'.

    Attributes:
        model: In evaluation mode. Where ``members`` is one name, that network itself.
        members: Names of the networks averaged.
        trail: One row per network in the order it was tried: ``model val_auroc average_val_auroc
            kept``; the two AUROCs, its own and that of the average with it, are NaN for
            ``uniform``, which asks for none.
    """

    model: Classifier
    members: tuple[str, ...]
    trail: pd.DataFrame


def average_classifiers(
    parents: Mapping[str, Classifier],
    train: FundusDataset,
    val: FundusDataset,
    *,
    method: str,
    batch_size: int,
    precision: str = "auto",
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Average:
    """Average networks of one architecture and re-estimate BatchNorm on the training eyes.

    Args:
        parents: Two or more networks on one device, by name.
        train: Eyes that BatchNorm statistics are estimated on.
        val: Eyes that choose between them; read by ``greedy`` alone.
        method: ``uniform`` takes all. ``greedy`` takes the best on ``val``, then each other from
            the second best on where the AUROC of the average does not fall.
        batch_size: Eyes per pass.
        precision: Precision of the passes that estimate BatchNorm; scores are fp32.
        seed: Seed of the order of the training eyes.
        on_step: Called with (eyes passed, eyes in all).

    Raises:
        InputError: As :func:`check_averageable`, ``method`` or ``precision`` is unknown, or eyes
            and networks are of different size.

    Source:
        Wortsman et al. 2022, Model soups, arXiv:2203.05482, recipe 1 for ``greedy``, by AUROC in
        place of accuracy. Izmailov et al. 2018, arXiv:1803.05407, for BatchNorm.
    """
    check_averageable(parents)
    check_precision(precision)
    if method not in METHODS:
        raise InputError(f"method={method}: allowed: {', '.join(METHODS)}")
    size = next(iter(parents.values())).spec.size
    if train.size != size:
        raise InputError(
            f"dataset: holds eyes of size {train.size}, the models were trained at {size}; "
            f"preprocess with size={size}"
        )
    averaging = _Averaging(parents, train, val, batch_size, precision, seed, on_step)
    return averaging.uniform() if method == "uniform" else averaging.greedy()


def check_averageable(parents: Mapping[str, Classifier]) -> None:
    """Refuse networks whose weights do not correspond.

    Raises:
        InputError: Fewer than two, or two of them differ in architecture, width of the head, size
            of the images they were trained on or whether they see both flips; names both. Or they
            normalise pixels differently and :func:`renormalised` does not hold for them.
    """
    if len(parents) < 2:  # noqa: PLR2004 (a mean of one is itself)
        raise InputError(f"models: {len(parents)} given, an average needs two or more")
    shapes = {name: _shape(model) for name, model in parents.items()}
    first, *others = shapes
    for other in others:
        if shapes[other] != shapes[first]:
            raise InputError(
                f"models: {first} is {shapes[first]}, {other} is {shapes[other]}; "
                "only networks of one kind can be averaged"
            )
    if not _same_constants([*parents.values()]) and not _takes_other_constants(parents[first]):
        raise InputError(
            f"models: {first} and others subtract and divide by different constants; networks of "
            f"arch={parents[first].spec.arch} cannot be rewritten to one (its first convolution "
            "standardises its weights, or has neither a bias nor BatchNorm behind it)"
        )


def _same_constants(members: Sequence[Classifier]) -> bool:
    """Whether all normalise pixels alike."""
    return len({(member.spec.mean, member.spec.std) for member in members}) == 1


def _takes_other_constants(model: Classifier) -> bool:
    """Whether the first convolution, or BatchNorm behind it, can take up other constants."""
    modules = list(model.backbone.modules())
    first = next((module for module in modules if isinstance(module, nn.Conv2d)), None)
    behind = any(isinstance(module, _BatchNorm) for module in modules)
    return type(first) is nn.Conv2d and (first.bias is not None or behind)


def mean_weights(members: Sequence[Classifier]) -> Classifier:
    """Average every weight and bias; BatchNorm statistics are the last member's, to be replaced.

    Where members normalise their pixels differently, each is first rewritten to the mean of their
    constants, so that networks which compute the same from pixels average to that same network.

    Args:
        members: Networks of one architecture, on one device; left as they are.
    """
    specs = [member.spec for member in members]
    if _same_constants(members):
        alike = list(members)
    else:
        mean = _channel_means([spec.mean for spec in specs])
        std = _channel_means([spec.std for spec in specs])
        alike = [renormalised(member, mean=mean, std=std) for member in members]
    averaged = AveragedModel(alike[0])
    for member in alike:
        averaged.update_parameters(member)
    model = averaged.module
    assert isinstance(model, Classifier)
    return model.eval()


def renormalised(
    classifier: Classifier, *, mean: tuple[float, ...], std: tuple[float, ...]
) -> Classifier:
    """Rewrite a classifier to other normalisation constants without changing what it computes.

    With ``u = (x - mean)/std`` and the old constants m, s: ``(x - m)/s = u·std/s + (mean - m)/s``.
    The factor goes into the first convolution's weights, the rest into its bias. A convolution
    without bias is followed by BatchNorm in every torchvision backbone: the rest is a constant per
    channel, which BatchNorm removes once its statistics are estimated anew.

    This is exact wherever the first convolution sees pixels only. Where it sees its zero padding,
    the padding stood for a pixel of value m and now stands for one of value ``mean``: outputs at
    the border differ by ``(mean - m)/s`` times the weights that lie outside.

    Args:
        classifier: Left as it is.
        mean: Per channel, RGB in [0, 1].
        std: Per channel, each above 0.
    """
    rewritten = copy.deepcopy(classifier)
    rewritten.spec = dataclasses.replace(classifier.spec, mean=mean, std=std)
    first = next(m for m in rewritten.backbone.modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        rewritten.mean.copy_(torch.tensor(mean).view(1, 3, 1, 1))
        rewritten.std.copy_(torch.tensor(std).view(1, 3, 1, 1))
        shift = (rewritten.mean - classifier.mean) / classifier.std
        if first.bias is not None:
            first.bias.add_((first.weight * shift).sum(dim=(1, 2, 3)))
        first.weight.mul_(rewritten.std / classifier.std)
    return rewritten


def reestimate_statistics(
    model: nn.Module,
    train: FundusDataset,
    *,
    batch_size: int,
    precision: str = "auto",
    seed: int = 0,
    kept: Collection[str] = (),
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Replace BatchNorm statistics in place by their mean over shuffled batches of ``train``.

    BatchNorm alone is in training mode meanwhile: no dropout, no stochastic depth. A last batch
    that is not full is left out, since every batch counts alike. A network without BatchNorm is
    left alone.

    Args:
        model: Maps pixels in [0, 1] to logits.
        train: Eyes to pass through it, once.
        batch_size: Eyes per pass.
        precision: Precision of the passes.
        seed: Seed of the order.
        kept: Names of layers whose statistics stay as they are.
        on_step: Called with the eyes of each pass.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    device = next(model.parameters()).device

    def images() -> Iterator[Tensor]:
        order = torch.Generator().manual_seed(seed)
        full = len(train) >= batch_size
        for pixels, _ in batches(train, batch_size, generator=order, drop_last=full, device=device):
            yield pixels
            if on_step is not None:
                on_step(len(pixels))

    few, _ = next(batches(train, TINY, device=device))
    with autocast(resolved(model, few, precision), device):
        update_bn(images(), _StatisticsOnly(model.eval(), kept=kept).eval())


class _StatisticsOnly(nn.Module):
    """A network in which training mode reaches BatchNorm alone, and not that which is kept."""

    def __init__(self, network: nn.Module, *, kept: Collection[str]) -> None:
        super().__init__()
        self.network = network
        self._kept = {
            module: copy.deepcopy(module.state_dict())
            for name, module in network.named_modules()
            if name in kept
        }

    def forward(self, images: Tensor) -> Tensor:
        logit: Tensor = self.network(images)
        return logit

    def train(self, mode: bool = True) -> "_StatisticsOnly":  # noqa: FBT001, FBT002 (torch's)
        self.training = mode
        for module in self.network.modules():
            if module in self._kept:  # torch has reset its statistics by now
                module.load_state_dict(self._kept[module])
            elif isinstance(module, _BatchNorm):
                module.train(mode)
        return self


@dataclass
class _Averaging:
    """What both methods share."""

    parents: Mapping[str, Classifier]
    train: FundusDataset
    val: FundusDataset
    batch_size: int
    precision: str
    seed: int
    on_step: Callable[[int, int], None] | None
    passed: int = 0
    total: int = 0

    def uniform(self) -> Average:
        self.total = len(self.train)
        trail = pd.DataFrame({"model": list(self.parents), "val_auroc": float("nan")})
        model = self._average(list(self.parents))
        trail = trail.assign(average_val_auroc=float("nan"), kept=True)
        return Average(model=model, members=tuple(self.parents), trail=trail)

    def greedy(self) -> Average:
        count = len(self.parents)
        self.total = count * len(self.val) + (count - 1) * (len(self.train) + len(self.val))
        alone = {name: self._val_auroc(model) for name, model in self.parents.items()}
        best, *others = sorted(alone, key=lambda name: -alone[name])
        members, model, reached = [best], self.parents[best], alone[best]
        rows = [(best, reached, reached, True)]
        for name in others:
            tried = self._average([*members, name])
            value = self._val_auroc(tried)
            rows.append((name, alone[name], value, value >= reached))
            if value >= reached:
                members, model, reached = [*members, name], tried, value
        trail = pd.DataFrame(rows, columns=["model", "val_auroc", "average_val_auroc", "kept"])
        return Average(model=model, members=tuple(members), trail=trail)

    def _average(self, names: Sequence[str]) -> Classifier:
        parents = [self.parents[name] for name in names]
        model = mean_weights(parents)
        reestimate_statistics(
            model,
            self.train,
            batch_size=self.batch_size,
            precision=self.precision,
            seed=self.seed,
            kept=_frozen_statistics(parents),
            on_step=self._advance,
        )
        return model

    def _val_auroc(self, model: Classifier) -> float:
        logit = predict(model, self.val, batch_size=self.batch_size, precision="fp32")
        self._advance(len(self.val))
        return auroc(self.val.labels, logit.numpy())

    def _advance(self, eyes: int) -> None:
        self.passed += eyes
        if self.on_step is not None:
            self.on_step(min(self.passed, self.total), self.total)


def _frozen_statistics(parents: Sequence[Classifier]) -> set[str]:
    """Names of BatchNorm layers whose statistics no parent's training moved: all hold the same.

    What the parents learned rests on them, and their mean too. None where the parents normalise
    pixels differently: what the first layer sees changes with that.
    """
    if not _same_constants(parents):
        return set()
    layers = [dict(parent.named_modules()) for parent in parents]
    return {
        name
        for name, layer in layers[0].items()
        if isinstance(layer, _BatchNorm)
        and layer.running_mean is not None
        and all(
            torch.equal(buffer, each[name].get_buffer(key))
            for each in layers[1:]
            for key, buffer in layer.named_buffers()
            if key != "num_batches_tracked"
        )
    }


def _shape(model: Classifier) -> str:
    spec = model.spec
    return (
        f"arch={spec.arch} head={spec.head} head_hidden={spec.head_hidden} size={spec.size} "
        f"both_flips={spec.both_flips}"
    )


def _channel_means(constants: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(channel) / len(channel) for channel in zip(*constants, strict=True))
