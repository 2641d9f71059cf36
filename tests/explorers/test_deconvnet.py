"""The explorer of the rules for ReLU: its signals, and what is said of them."""

import re

import pytest
import torch
from torch import nn

from deepinside.deconvnet import pseudo_gradient, reconstruction
from deepinside.explorers import deconvnet_explorer
from deepinside.images import fit_photo, load_photo, photo_names
from deepinside.networks import from_model, load_network

RULES = {"gradient": "gradient", "DeconvNet": "deconvnet", "guided back-propagation": "guided"}
NORM = "norm, over that of the gradient's signal"
LAYERS = {
    "class score": None,
    "stage 5": "layers.blocks.5",
    "stage 2": "layers.blocks.2",
    "first convolution": "layers.bn1",
}


@pytest.fixture
def answer(answer_of, network):
    return answer_of(deconvnet_explorer, network)


def carried_back(network, image, layer, rule):
    if layer is None:
        return pseudo_gradient(network, image, rule=rule)[0]
    return reconstruction(network, image, layer, rule=rule)[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_signal_and_numbers_are_those_of_layer_and_rule(answer, network, fitted, layer, rule):
    image = fitted["cat"]
    found = answer(photo="cat", layer=layer, rule=rule)
    signal = carried_back(network, image[None], LAYERS[layer], RULES[rule])
    # the 99th percentile of the magnitudes is white or black, and no signal is gray
    end = sorted(signal.abs().flatten().tolist())[round(0.99 * (signal.numel() - 1))]
    gray = found.panels[1].image
    torch.testing.assert_close((gray - 0.5) * 2 * end, signal, rtol=1e-3, atol=1e-3 * end)

    x, y = signal.double() - signal.double().mean(), image.double() - image.double().mean()
    likeness = ((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()).item()
    shown = float(found.numbers["correlation with the photo"])
    assert shown == pytest.approx(likeness, abs=0.006)
    alt = re.fullmatch(
        rf"Chelsea the cat: from {layer} by the rule {rule}, correlation (.*) with the photo\.",
        found.panels[1].alt,
    )
    assert float(alt[1]) == pytest.approx(likeness, abs=0.051)

    gradient = carried_back(network, image[None], LAYERS[layer], "gradient")
    ratio = (signal.double().square().sum() / gradient.double().square().sum()).sqrt().item()
    assert float(found.numbers[NORM]) == pytest.approx(ratio, rel=0.006)
    if rule == "gradient":
        assert found.numbers[NORM] == "1"


def test_the_readers_photo_is_cropped_and_carried_back(answer, own_photo):
    found = answer(photo=own_photo)
    assert found.panels[0].image.shape == (3, 224, 224)
    assert found.panels[1].alt.startswith(
        "your photo: from stage 2 by the rule guided back-propagation"
    )


def test_layers_are_the_networks_and_photos_the_books(without_grid, network):
    photo, layer, rule = without_grid(deconvnet_explorer, network)[0]
    assert set(photo.values) <= set(photo_names())
    assert len(layer.values) == 7
    assert set(LAYERS) <= set(layer.values)
    assert rule.values == tuple(RULES)


def test_a_network_of_the_papers_kind_starts_from_its_fire_modules(answer_of):
    squeezenet = load_network("squeezenet", input_size=(96, 96))
    found = answer_of(deconvnet_explorer, squeezenet)(
        photo="cat", layer="stage 2", rule="DeconvNet"
    )
    image = fit_photo(load_photo("cat"), squeezenet)[0]
    signal = reconstruction(squeezenet, image[None], "layers.fire5", rule="deconvnet")[0]
    likeness = torch.corrcoef(torch.stack([signal.flatten(), image.flatten()]))[0, 1]
    assert found.numbers["correlation with the photo"] == f"{likeness:.2f}"


def test_a_network_without_relus_is_refused():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = from_model(layers, class_names=list("abcd"), input_size=(16, 16))
    with pytest.raises(ValueError, match="expected a network with ReLUs that are modules"):
        deconvnet_explorer(network)
