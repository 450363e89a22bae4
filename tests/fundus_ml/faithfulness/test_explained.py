"""What is decided, which pixel comes first, and what is refused before any score."""

import pytest
import torch
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.explained import Explained, checked_maps, explained_again
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    HEIGHT,
    WIDTH,
    Curved,
    Weighted,
    make_explained,
    make_images,
    make_maps,
)


def test_maps_point_towards_the_decision():
    model, images, maps = Weighted(), make_images(), make_maps()
    logits = model(images).detach()
    assert 0 < int((logits > 0).sum()) < COUNT
    explained = make_explained(model, maps)
    for place in range(COUNT):
        sign = 1 if logits[place] >= 0 else -1
        assert torch.equal(explained.directed[place], sign * maps[place])
        assert float(explained.logits[place]) == pytest.approx(abs(float(logits[place])), rel=1e-5)
    assert torch.equal(make_explained(model, maps, signed=False).directed, maps.abs())


def test_the_network_is_folded_for_scores_and_given_back():
    model = Curved().train()
    explained = make_explained(model)
    assert explained.given is model
    assert model.training
    assert all(each.requires_grad for each in model.parameters())
    assert not any(isinstance(each, nn.BatchNorm2d) for each in explained.quick.modules())
    found = model.eval()(make_images()).detach().abs()
    assert torch.allclose(explained.logits, found, rtol=1e-3, atol=1e-4)


def test_places_follow_the_map_and_ties_the_same_chance():
    maps = make_maps()
    maps[0] = 0
    maps[1] = (maps[1] > 0).float()
    explained = make_explained(Weighted(bias=1e3), maps, seed=3)
    places = explained.places.long()
    assert torch.equal(places.sort(dim=1).values, torch.arange(HEIGHT * WIDTH).expand(COUNT, -1))
    read = torch.empty(COUNT, HEIGHT * WIDTH).scatter_(1, places, maps.flatten(1))
    assert torch.equal(read, maps.flatten(1).sort(dim=1, descending=True).values)
    # Ties: not in the order of the square, and the same order within equals of another map.
    assert not torch.equal(places[0], torch.arange(HEIGHT * WIDTH))
    ones = maps[1].flatten() == 1
    assert torch.equal(places[0][ones].argsort(), places[1][ones].argsort())
    again = make_explained(Weighted(bias=1e3), maps, seed=3).places
    assert torch.equal(explained.places, again)
    assert not torch.equal(again, make_explained(Weighted(bias=1e3), maps, seed=4).places)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, images):
        return self.layer(images.mean((2, 3)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"images": make_images()[:, :2]},
            r"images: shape must be \(N, 3, H, W\), not",
        ),
        ({"images": make_images()[:0]}, r"images: none; one or more are needed"),
        ({"images": 2 * make_images()}, r"images: pixels must lie in \[0, 1\], found .* to 2"),
        (
            {"maps": make_maps()[:3]},
            r"attributions: shape must be \(5, 20, 26\), not \(3, 20, 26\)",
        ),
        ({"maps": make_maps().log()}, r"attributions: \d+ of 2600 values are not finite"),
        ({"model": Pair()}, r"classifier: must give one logit per image, \(5,\), not \(5, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(given, said):
    with pytest.raises(InputError, match=f"^{said}"):
        make_explained(**given)


def test_maps_made_again_are_checked_and_made_in_batches():
    model, images, sizes = Curved().train(), make_images(), []

    def explain(network, part):
        assert not network.training
        assert not any(each.requires_grad for each in network.parameters())
        sizes.append(len(part))
        return part.mean(dim=1).double()

    found = explained_again(explain, model, images, batch_size=2)
    assert sizes == [2, 2, 1]
    assert found.dtype == torch.float32
    assert torch.equal(found, images.mean(dim=1).double().float())
    assert model.training
    with pytest.raises(InputError, match=r"^explain: shape must be \(2, 20, 26\), not \(2, 3, 20"):
        explained_again(lambda _, part: part, model, images, batch_size=2)
    bad = make_maps()
    bad[1, 2, 3] = torch.nan
    with pytest.raises(InputError, match=r"^maps: 1 of 2600 values are not finite$"):
        checked_maps("maps", bad, images)


def test_pairs_count_every_change_once():
    explained = Explained(
        given=Weighted(), quick=Weighted(), images=make_images(), attributions=make_maps(),
        directed=make_maps(), direction=torch.ones(COUNT), logits=torch.ones(COUNT),
        batch_size=4, seed=0,
    )  # fmt: skip
    parts = list(explained.pairs(3))
    assert [len(part) for part in parts] == [4, 4, 4, 3]
    assert torch.cat(parts).tolist() == list(range(3 * COUNT))
