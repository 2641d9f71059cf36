"""The explorer of limits: maps by autograd's own gradient, ranks by sorting, squares by loops."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torchvision.transforms import GaussianBlur

from deepinside.deconvnet import pseudo_gradient
from deepinside.explorers import limits_explorer
from deepinside.images import load_photo, photo_names
from deepinside.limits import layers_top_down, randomize_layers
from deepinside.networks import load_network

RANK_CORRELATION = "rank correlation of the two maps"
LAYERS, PIXELS = "layers", "pixels"


@pytest.fixture
def answer(answer_of, network):
    return answer_of(limits_explorer, network)


def map_of(network, image, target, rule):
    """The magnitudes (H, W) of what a rule carries back from a class score."""
    if rule != "gradient":
        return pseudo_gradient(network, image, target, rule=rule)[0].abs().amax(0)
    image = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(image)[0, target], image)
    return gradient[0].abs().amax(0)


def forgetful(network, count):
    """A network whose last layers with weights, so many, are drawn as the chapter draws them."""
    names = layers_top_down(network)[:count]
    return randomize_layers(network, names, generator=torch.Generator().manual_seed(0))


def similarity(one, other):
    places = [values.flatten().argsort().argsort().double() for values in (one, other)]
    return torch.corrcoef(torch.stack(places))[0, 1].item()


def colors(values):
    share = values / np.percentile(values.numpy(), 99)
    return plt.colormaps["magma"](share.clamp(0, 1).numpy())[..., :3]


@pytest.mark.parametrize(
    ("count", "shown", "rule"),
    [
        (1, "gradient", "gradient"),
        (10, "DeconvNet", "deconvnet"),
        (50, "guided back-propagation", "guided"),
    ],
)
def test_maps_and_numbers_are_those_of_both_networks(answer, network, fitted, count, shown, rule):
    image = fitted["cat"][None]
    found = answer(photo="cat", layers=count, rule=shown)
    blank = forgetful(network, count)
    with torch.no_grad():
        scores, new_scores = network(image)[0], blank(image)[0]
    target, says = scores.argmax().item(), new_scores.argmax().item()
    maps = [map_of(net, image, target, rule) for net in (network, blank)]
    for panel, expected in zip(found.panels, maps, strict=True):
        pixels = panel.image.permute(1, 2, 0).numpy()
        assert np.abs(pixels - colors(expected)).mean() < 2e-3
        assert f"tiger cat, by the rule {shown}" in panel.alt

    probability = new_scores.softmax(0)[says].item()
    name, told = found.numbers["random network says"].rsplit(" (", 1)
    assert name == network.class_names[says]
    assert float(told.removesuffix(")")) == pytest.approx(probability, abs=0.0051)
    assert float(found.numbers[RANK_CORRELATION]) == pytest.approx(similarity(*maps), abs=0.011)
    assert found.panels[1].title == f"{count} of 50 random"
    assert found.panels[1].alt.endswith(f"rank correlation {found.numbers[RANK_CORRELATION]}.")


def test_nothing_random_is_the_trained_network(answer):
    found = answer(layers=0)
    assert torch.equal(found.panels[0].image, found.panels[1].image)
    assert found.numbers[RANK_CORRELATION] == "1.00"
    assert found.numbers["random network says"].startswith("tiger cat (")


def test_half_a_layer_of_the_slider_is_a_whole_one(answer):
    assert answer(layers=7.4).panels[1].title == "7 of 50 random"


def test_the_networks_own_weights_stay(answer, network):
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    before = [layer.weight.clone() for layer in layers]
    answer(layers=50)
    assert all(map(torch.equal, before, [layer.weight for layer in layers]))


def test_own_photo_is_cropped(answer, own_photo):
    found = answer(photo=own_photo, layers=2)
    assert found.panels[1].image.shape == (3, 224, 224)
    assert "your photo" in found.panels[1].alt


def test_slider_goes_from_none_to_all_layers_and_photos_are_the_books(without_grid, network):
    _, layers, rule, *_, photo = without_grid(limits_explorer, network)[0]
    assert (layers.values[0], layers.values[-1]) == (0, len(layers_top_down(network)))
    assert set(photo.values) <= set(photo_names())
    assert len(rule.values) == 3
    assert [control.kind for control in (layers, rule, photo)] == ["slider", "list", "photo"]


def test_a_network_of_other_layers_has_them_on_its_slider(answer_of, without_grid):
    squeezenet = load_network("squeezenet", input_size=(96, 96))
    ((_, counts, *_), _) = without_grid(limits_explorer, squeezenet)
    assert (counts.values, counts.start) == ((0, 1, 2, 5, 10, 20, 26), 26)
    found = answer_of(limits_explorer, squeezenet)(photo="cat", layers=26, rule="gradient")
    (trained, random) = found.panels
    # redrawn, this network's last ReLU is shut for the class at all positions
    assert found.numbers[RANK_CORRELATION] == "none"
    assert trained.title == "trained network"
    assert "rank correlation none" in random.alt


def replaced(image, values, share):
    """An image (3, 224, 224) whose highest squares, a share of all, are blurred."""
    highest = sorted(range(784), key=lambda i: -values.flatten()[i])
    # a blur of its own implementation, with the same kernel
    seen, blurred = image.clone(), GaussianBlur(51, 12.0)(image)
    for i in highest[: round(share * 784)]:
        rows, columns = (slice(8 * k, 8 * k + 8) for k in divmod(i, 28))
        seen[:, rows, columns] = blurred[:, rows, columns]
    return seen


def strength(network, image, target, order):
    """What an order goes by, in squares of 8 x 8 pixels."""
    if order == "random order":
        return torch.rand(28, 28, generator=torch.Generator().manual_seed(0))
    if order == "edges of the photo":
        gray = image.mean(0).numpy()
        fine = torch.from_numpy(np.hypot(ndimage.sobel(gray, 0), ndimage.sobel(gray, 1)))
    else:
        rule = {"gradient": "gradient", "guided back-propagation": "guided"}[order]
        fine = map_of(network, image[None], target, rule)
    means = [[part.mean() for part in row.split(8, 1)] for row in fine.split(8)]
    return torch.tensor(means)


@pytest.mark.parametrize(
    ("order", "share"),
    [
        ("gradient", 30),
        ("guided back-propagation", 100),
        ("edges of the photo", 50),
        ("random order", 10),
    ],
)
def test_highest_squares_are_replaced_and_the_curve_is_marked(
    answer, network, fitted, order, share
):
    image = fitted["coffee"]
    found = answer(test=PIXELS, photo="coffee", order=order, share=share)
    target = network(image[None]).argmax().item()
    values = strength(network, image, target, order)
    steps = torch.stack([replaced(image, values, step / 10) for step in range(11)])
    torch.testing.assert_close(found.panels[1].image, steps[share // 10], atol=1e-5, rtol=0)
    with torch.no_grad():
        curve = network(steps).softmax(1)[:, target].tolist()
    assert found.curve.values == pytest.approx(curve, abs=2e-3)
    assert (found.curve.steps, found.curve.mark) == (10, share // 10)
    probability, area = found.numbers.items()
    assert probability[0] == "probability of espresso"
    assert float(probability[1]) == pytest.approx(curve[share // 10], abs=0.008)
    assert float(area[1]) == pytest.approx(np.trapezoid(curve, dx=0.1), abs=0.008)
    assert f"{share}% of it replaced" in found.panels[1].alt
    pixels = found.panels[0].image.permute(1, 2, 0).numpy()
    assert np.abs(pixels - colors(values)).mean() < 2e-3


def test_a_share_between_two_of_the_slider_is_computed(answer, network, fitted):
    image, own_photo = fitted["coffee"], load_photo("coffee")
    found = answer(test=PIXELS, photo=own_photo, share=14.9, order="gradient")
    target = network(image[None]).argmax().item()
    seen = replaced(image, strength(network, image, target, "gradient"), 0.149)
    torch.testing.assert_close(found.panels[1].image, seen, atol=1e-5, rtol=0)
    probability = network(seen[None]).softmax(1)[0, target].item()
    told = float(found.numbers["probability of espresso"])
    assert told == pytest.approx(probability, abs=0.008)
    # not the value of the step beside it
    assert abs(told - found.curve.values[1]) > 0.02
    assert found.panels[1].title == "15% replaced"
    assert found.panels[1].alt.startswith("your photo, 15% of it replaced")
    # no point of the curve is the one that is told
    assert found.curve.mark is None


def test_each_control_belongs_to_one_test_and_the_photo_to_both(without_grid, network):
    test, *others, photo = without_grid(limits_explorer, network)[0]
    assert test.values == (LAYERS, PIXELS)
    assert [control.needs for control in others] == [("test", LAYERS)] * 2 + [("test", PIXELS)] * 2
    assert photo.needs is None
