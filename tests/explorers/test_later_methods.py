"""The explorer of later methods: each map a second, plain way, on a network of small images."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepinside.deconvnet import pseudo_gradient
from deepinside.explorers import later_methods_explorer
from deepinside.images import fit_photo, load_photo, photo_names
from deepinside.limits import layers_top_down, randomize_layers
from deepinside.networks import load_network

TRAINED, RANDOM = "trained", "all layers random"
INTEGRATED = "integrated gradients from black"
LIKE_TRAINED = "similarity to the trained network's map"
LIKE_EDGES = "similarity to the photo's edges"
SUMS = "signed sum (score's change)"


@pytest.fixture(scope="module")
def small():
    return load_network(input_size=(96, 96))


@pytest.fixture(scope="module")
def blank(small):
    seeded = torch.Generator().manual_seed(0)
    return randomize_layers(small, layers_top_down(small), generator=seeded)


@pytest.fixture
def answer(answer_of, small):
    return answer_of(later_methods_explorer, small)


@pytest.fixture(scope="module")
def coffee(small):
    return fit_photo(load_photo("coffee"), small)[0][None]


def gradient(network, image, target):
    image = image.clone().requires_grad_()
    return torch.autograd.grad(network(image)[:, target].sum(), image)[0]


def enlarged(values):
    return F.interpolate(values[None, None], (96, 96), mode="bilinear")[0, 0]


def last_activation(network, image):
    """What the network averages over positions, (channels, 3, 3)."""
    with torch.no_grad():
        return network.layers.forward_features(network.normalization(image))[0]


def cam(network, image, target):
    """The score of each position, without the class's bias."""
    weights = network.layers.classifier.weight[target].detach()
    return sum(
        w * values for w, values in zip(weights, last_activation(network, image), strict=True)
    )


def grad_cam_at_6(network, image, target):
    layers, kept = network.layers, []
    hook = layers.blocks[4].register_forward_hook(lambda *given: kept.append(given[2]))
    image = image.clone().requires_grad_()
    (back,) = torch.autograd.grad(network(image)[0, target], kept)
    hook.remove()
    channels = zip(back[0], kept[0][0].detach(), strict=True)
    return enlarged(sum(way.mean() * values for way, values in channels).relu())


def guided_grad_cam(network, image, target):
    """Up to a factor: CAM's positive part times the largest guided signal of the channels."""
    guided = pseudo_gradient(network, image, target, rule="guided")[0].abs().amax(0)
    return guided * enlarged(cam(network, image, target).relu())


def shares(network, image, target):
    """Integrated gradients from black by the middle of 15 parts, all in one batch."""
    parts = (torch.arange(15.0) + 0.5) / 15
    return image * gradient(network, parts.view(-1, 1, 1, 1) * image, target).mean(0)


@torch.no_grad()
def occlusion(network, image, target):
    total, times, score = torch.zeros(96, 96), torch.zeros(96, 96), network(image)[0, target]
    for top in range(0, 73, 12):
        for left in range(0, 73, 12):
            place = (..., slice(top, top + 24), slice(left, left + 24))
            covered = image.clone()
            covered[place] = 0.5
            total[place] += score - network(covered)[0, target]
            times[place] += 1
    return total / times


# each map (H, W) of one image (1, 3, H, W), and what its panel is called
METHODS = {
    "gradient": (lambda n, x, c: gradient(n, x, c)[0].abs().amax(0), "largest magnitude"),
    "CAM": (lambda n, x, c: enlarged(cam(n, x, c)), "signed"),
    "Grad-CAM at 6 × 6": (grad_cam_at_6, "positive part"),
    "guided Grad-CAM": (guided_grad_cam, "largest magnitude"),
    INTEGRATED: (lambda n, x, c: shares(n, x, c)[0].abs().amax(0), "largest magnitude"),
    "occlusion": (occlusion, "signed"),
}


def ranks(values):
    """The places of values in order; equal ones share the mean of theirs.

    Zero is one value, whatever rounding leaves of it.
    """
    rounded = (values / values.abs().max()).double().numpy().round(6).ravel()
    _, place, counts = np.unique(rounded, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def similarity(one, other):
    return np.corrcoef(ranks(one), ranks(other))[0, 1]


def colors(values, is_signed):
    share = values / np.percentile(values.abs().numpy(), 99)
    if is_signed:
        return plt.colormaps["RdBu_r"]((share.clamp(-1, 1).numpy() + 1) / 2)[..., :3]
    return plt.colormaps["magma"](share.clamp(0, 1).numpy())[..., :3]


def edges_of(image):
    gray = F.pad(image.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    kernels = torch.stack([across, across.T])[:, None]
    return F.conv2d(gray, kernels).square().sum(1).sqrt()[0]


@pytest.mark.parametrize("method", METHODS)
def test_map_and_numbers_are_those_of_the_method_class_and_network(
    answer, small, blank, coffee, method
):
    make, kind = METHODS[method]
    target = small(coffee)[0].topk(2).indices[1].item()
    second = {"class": small.class_names[target]}
    found = answer(photo="coffee", method=method, network=RANDOM, **second)
    trained, expected = (make(one, coffee, target) for one in (small, blank))

    photo, shown = found.panels
    assert torch.equal(photo.image, coffee[0])
    assert shown.title == f"map, {kind}"
    pixels = shown.image.permute(1, 2, 0).numpy()
    assert np.abs(pixels - colors(expected, kind == "signed")).mean() < 2e-3

    assert found.numbers["class"] == small.class_names[target]
    score = blank(coffee)[0, target].item()
    assert float(found.numbers["class score"]) == pytest.approx(score, abs=0.051)
    likeness = similarity(expected, trained)
    assert likeness < 0.9
    assert float(found.numbers[LIKE_TRAINED]) == pytest.approx(likeness, abs=0.011)
    edges = similarity(expected, edges_of(coffee))
    assert float(found.numbers[LIKE_EDGES]) == pytest.approx(edges, abs=0.011)

    told = re.fullmatch(
        rf"Map of {small.class_names[target]} by {method}; network: {RANDOM}\. "
        r"It is highest at (\d+)% of the width and (\d+)% of the height, "
        r"similarity (\S+) to the trained network's\.",
        shown.alt,
    )
    column, row = (round(int(percent) * 96 / 100) for percent in told.groups()[:2])
    near = expected[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    assert near.max() >= 0.999 * expected.max()
    assert told[3] == found.numbers[LIKE_TRAINED]


def test_sum_of_integrated_gradients_is_told_against_the_change(answer, small, coffee):
    found = answer(photo="coffee", method=INTEGRATED)
    target = small(coffee)[0].argmax().item()
    change = (small(coffee) - small(torch.zeros_like(coffee)))[0, target].item()
    told = [float(number) for number in found.numbers[SUMS].strip(")").split(" (")]
    assert told == pytest.approx([shares(small, coffee, target).sum().item(), change], abs=0.06)
    assert SUMS not in answer(photo="coffee", method="CAM").numbers


def test_first_class_is_the_trained_networks_whichever_is_shown(answer, small, coffee):
    expected = small.class_names[small(coffee)[0].argmax()]
    for shown in (TRAINED, RANDOM):
        found = answer(photo="coffee", network=shown, **{"class": "the network's 1st"})
        assert found.numbers["class"] == expected
        assert (found.numbers[LIKE_TRAINED] == "1.00") == (shown == TRAINED)


def test_any_class_and_any_photo(answer, own_photo):
    found = answer(photo=own_photo, **{"class": "Tiger Cat"})
    assert found.numbers["class"] == "tiger cat"
    assert found.panels[0].alt == "The photo, cropped: your photo."
    assert found.panels[1].image.shape == (3, 96, 96)
    with pytest.raises(ValueError, match="expected the name of a class, got 'tigercat'"):
        answer(**{"class": "tigercat"})


def test_a_photo_is_covered_once_for_all_classes(answer_of, small):
    passed = []
    answer = answer_of(later_methods_explorer, small)
    hook = small.register_forward_hook(lambda *given: passed.append(len(given[1][0])))
    first = answer(method="occlusion")
    assert sum(passed) >= 49
    passed.clear()
    other = answer(method="occlusion", **{"class": "goldfish"})
    assert passed == []
    hook.remove()
    assert not torch.equal(first.panels[1].image, other.panels[1].image)


def test_scores_that_were_dropped_are_computed_again(answer, own_photo):
    first = answer(method="occlusion")
    for photo in ("cat", own_photo, own_photo.flip(1)):
        answer(method="occlusion", photo=photo)
    again = answer(method="occlusion")
    assert again.numbers == first.numbers
    assert torch.equal(again.panels[1].image, first.panels[1].image)


def test_a_map_of_zeros_is_like_nothing(answer):
    found = answer(photo=torch.zeros(3, 90, 90), method=INTEGRATED)
    assert (found.numbers[LIKE_EDGES], found.numbers[LIKE_TRAINED]) == ("none", "none")
    assert found.numbers[SUMS] == "0.0 (0.0)"
    alt = found.panels[1].alt
    assert alt.endswith("It is 0 everywhere, similarity none to the trained network's.")
    zero = colors(torch.tensor([0.0, 1.0]), False)[0]
    assert np.allclose(found.panels[1].image.permute(1, 2, 0), zero, atol=1e-6)


def test_a_network_of_other_layers_has_another_finer_one(answer_of, without_grid):
    squeezenet = load_network("squeezenet", input_size=(96, 96))
    (_, _, method, _), _ = without_grid(later_methods_explorer, squeezenet)
    assert method.values[2] == "Grad-CAM at 11 × 11"
    answer = answer_of(later_methods_explorer, squeezenet)
    assert answer(method=method.values[2]).numbers[LIKE_TRAINED] == "1.00"
    # redrawn, this network's last ReLU is shut for the class at all positions
    found = answer(photo="cat", method="gradient", network=RANDOM)
    assert found.numbers[LIKE_TRAINED] == "none"


def test_a_network_without_class_activation_maps_is_refused(without_grid, digits_network):
    with pytest.raises(ValueError, match="an average over positions"):
        without_grid(later_methods_explorer, digits_network)


def test_any_class_may_be_typed_and_photos_are_the_books(without_grid, small):
    photo, target, method, network = without_grid(later_methods_explorer, small)[0]
    assert set(photo.values) <= set(photo_names())
    kinds = [control.kind for control in (photo, target, method, network)]
    assert kinds == ["photo", "list", "list", "list"]
    assert [photo.free, target.free, method.free, network.free] == ["", "or any class", "", ""]
    assert list(method.values) == list(METHODS)
    assert network.values == (TRAINED, RANDOM)
