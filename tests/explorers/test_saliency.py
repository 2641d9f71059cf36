"""The explorer of saliency maps: every number and map from autograd itself."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from deepinside.explorers import saliency_explorer
from deepinside.images import photo_names

CLASS, WAY = "class", "map"
RANK_CORRELATION = "rank correlation with the paper's map, 1st class"


def gradient(network, image, target):
    image = image.clone().requires_grad_()
    return torch.autograd.grad(network(image)[:, target].sum(), image)[0]


def noisy_gradients(network, image, target):
    noise = torch.randn(8, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    return torch.cat([gradient(network, image + 0.15 * drawn, target) for drawn in noise])


# each map (H, W) of one image (1, 3, H, W)
WAYS = {
    "largest magnitude (the paper's)": lambda n, x, c: gradient(n, x, c)[0].abs().amax(0),
    "mean magnitude": lambda n, x, c: gradient(n, x, c)[0].abs().sum(0) / 3,
    "positive part": lambda n, x, c: gradient(n, x, c)[0].relu().amax(0),
    "gradient × input": lambda n, x, c: (gradient(n, x, c) * x)[0].abs().amax(0),
    "SmoothGrad": lambda n, x, c: noisy_gradients(n, x, c).mean(0).abs().amax(0),
    "SmoothGrad, root of squares": (
        lambda n, x, c: noisy_gradients(n, x, c).square().mean(0).sqrt().amax(0)
    ),
}


def ranks(values):
    """The places of values in order; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values.numpy().ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


@pytest.fixture
def answer(answer_of, network):
    return answer_of(saliency_explorer, network)


@pytest.fixture(scope="module")
def coffee(network, fitted):
    """The photo as a batch, its scores, and its second class."""
    image = fitted["coffee"][None]
    with torch.no_grad():
        scores = network(image)[0]
    return image, scores, scores.topk(2).indices[1].item()


@pytest.mark.parametrize("way", WAYS)
def test_map_and_numbers_are_those_of_the_class_and_the_way(answer, network, coffee, way):
    image, scores, second = coffee
    found = answer(photo="coffee", **{CLASS: "the network's 2nd", WAY: way})
    expected = WAYS[way](network, image, second)
    paper = WAYS["largest magnitude (the paper's)"](network, image, scores.argmax().item())

    share = expected / np.percentile(expected.numpy(), 99)
    colors = plt.colormaps["magma"](share.clamp(0, 1).numpy())[..., :3]
    shown = found.panels[1].image.permute(1, 2, 0).numpy()
    assert np.abs(shown - colors).mean() < 1e-3

    assert found.numbers["class"] == network.class_names[second]
    assert float(found.numbers["class score"]) == pytest.approx(scores[second].item(), abs=0.06)
    probability = scores[second].exp() / scores.exp().sum()
    assert float(found.numbers["class probability"]) == pytest.approx(probability.item(), abs=0.006)
    rank = np.corrcoef(ranks(expected), ranks(paper))[0, 1]
    assert rank < 0.9
    assert float(found.numbers[RANK_CORRELATION]) == pytest.approx(rank, abs=0.006)

    values = sorted(expected.flatten().tolist(), reverse=True)
    top = sum(values[: 224 * 224 // 20]) / sum(values)
    told = re.fullmatch(
        rf"Map of {network.class_names[second]} by {re.escape(way)}: "
        r"the brightest twentieth holds (\d+)% of it\.",
        found.panels[1].alt,
    )
    assert int(told[1]) / 100 == pytest.approx(top, abs=0.006)


def test_the_papers_map_of_the_first_class_is_like_itself(answer):
    assert answer().numbers[RANK_CORRELATION] == "1.00"


@pytest.mark.parametrize(("name", "place"), [("1st", 0), ("2nd", 1)])
def test_ranks_are_the_networks(answer, network, fitted, name, place):
    scores = network(fitted["rocket"][None])[0]
    best = scores.topk(2).indices.tolist()
    found = answer(photo="rocket", **{CLASS: f"the network's {name}"})
    assert found.numbers["class"] == network.class_names[best[place]]


def test_saliency_of_any_class_and_any_photo(answer, own_photo):
    found = answer(photo=own_photo, **{CLASS: "Tiger Cat"})
    assert found.numbers["class"] == "tiger cat"
    assert found.panels[0].alt == "The photo, cropped: your photo."
    with pytest.raises(ValueError, match="expected the name of a class, got 'tigercat'"):
        answer(**{CLASS: "tigercat"})


def test_any_class_may_be_typed_and_photos_are_the_books(without_grid, network):
    photo, target, way = without_grid(saliency_explorer, network)[0]
    assert set(photo.values) <= set(photo_names())
    assert [photo.kind, target.kind, way.kind] == ["photo", "list", "list"]
    assert [photo.free, target.free, way.free] == ["", "or any class", ""]
    assert list(way.values) == list(WAYS)
