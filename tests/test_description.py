import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from deepinside.backward_network import backward_network
from deepinside.description import network_description
from deepinside.digits import weights_path
from deepinside.networks import Network, load_network
from deepinside.networks.network import channel_normalization

NAMES = ("digits", "cluttered_digits", "squeezenet")
PAIRS = {"kernel", "stride", "padding"}


def network_of(*layers, mean=(0.5, 0.25), interpolation="bilinear", classes=3):
    """A network of these layers behind a normalization, for images of 2 x 9 x 11."""
    torch.manual_seed(4)
    return Network(
        channel_normalization(mean, [2.0] * len(mean)),
        nn.Sequential(*layers),
        name="small",
        class_names=[f"class {i}" for i in range(classes)],
        input_size=(9, 11),
        resized_side=12,
        interpolation=interpolation,
    )


def head(channels):
    return nn.Flatten(), nn.Linear(channels, 3)


class Fork(nn.Module):
    """Two convolutions side by side, joined as the caller says."""

    def __init__(self, join):
        super().__init__()
        self.left, self.right, self.join = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1), join

    def forward(self, x):
        return self.join(self.left(x), self.right(x))


def of_channels(x, y):
    return torch.cat([x, y], 1)


def run(description, images):
    """What a reader of the description computes, from its words and float16 weights alone."""
    fields, weights = description
    values = {"input": images}

    def of(layer, part, *shape):
        first, count = layer[part]
        return weights[first : first + count].float().reshape(*shape)

    for layer in fields["layers"]:
        read = [values[name] for name in layer["reads"]]
        x, kind = read[0], layer["kind"]
        if kind == "normalization":
            # one value a channel, or a whole image
            mean, std = (
                torch.tensor(layer[part]).reshape(
                    x.shape[1:] if len(layer[part]) == x[0].numel() else (-1, 1, 1)
                )
                for part in ("mean", "std")
            )
            y = (x - mean) / std
        elif kind == "convolution":
            shape = (layer["outputs"], x.shape[1], *layer["kernel"])
            y = F.conv2d(
                x,
                of(layer, "weight", *shape),
                of(layer, "bias", -1),
                stride=layer["stride"],
                padding=layer["padding"],
            )
        elif kind == "linear":
            y = x @ of(layer, "weight", layer["outputs"], -1).T + of(layer, "bias", -1)
        elif kind == "relu":
            y = x.clamp(min=0)
        elif kind == "max_pooling":
            y = F.max_pool2d(x, layer["kernel"], layer["stride"], ceil_mode=layer["ceil_mode"])
        elif kind == "average":
            y = x.mean((2, 3), keepdim=True)
        elif kind == "maximum":
            y = x.amax((2, 3), keepdim=True)
        elif kind == "flatten":
            y = x.flatten(1)
        else:
            assert kind == "concatenation"
            y = torch.cat(read, 1)
        values[layer["name"]] = y
    return values[fields["layers"][-1]["name"]]


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_file_to_the_bit(name):
    network = load_network(name)
    fields, weights = network_description(network)
    stored = load_file(weights_path(name))
    prefix = "" if name == "squeezenet" else "layers."
    # the file's own numbers, by the names of the layers
    expected = {key: value for key, value in stored.items() if not key.startswith("normalization")}
    got = {}
    for layer in fields["layers"]:
        for part in {"weight", "bias"} & set(layer):
            first, count = layer[part]
            key = prefix + layer["name"].removeprefix("layers.")
            got[f"{key}.{part}"] = weights[first : first + count]
    assert set(got) == set(expected)
    for key, values in expected.items():
        assert values.dtype == weights.dtype == torch.float16
        assert got[key].view(torch.int16).equal(values.flatten().view(torch.int16)), key
    # and nothing else is among them
    assert len(weights) == sum(value.numel() for value in expected.values())


@pytest.mark.parametrize("name", NAMES)
def test_scores_follow_from_the_description_alone(name, generator):
    network = load_network(name)
    fields, weights = network_description(network)
    images = torch.rand(2, *fields["input"], generator=generator)
    got = run((json.loads(json.dumps(fields)), weights), images)
    torch.testing.assert_close(got, network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_named_and_so_are_its_layers(name):
    network = load_network(name)
    fields, _ = network_description(network)
    assert fields["name"] == name
    assert fields["input"] == [network.input_channels, *network.input_size]
    assert fields["resized_side"] == network.resized_side
    assert fields["class_names"] == list(network.class_names)
    layers = fields["layers"]
    assert [layer["name"] for layer in layers] == list(backward_network(network).names)
    assert layers[0]["reads"] == ["input"]
    known = {"input"}
    for layer in layers:
        assert set(layer["reads"]) <= known
        known.add(layer["name"])
        assert all(len(layer[option]) == 2 for option in PAIRS & set(layer))


def test_a_third_network_of_these_layers_can_be_described(generator):
    network = network_of(
        nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(1, 0), bias=False),
        nn.ReLU(),
        nn.MaxPool2d((2, 3), stride=(2, 1), ceil_mode=True),
        Fork(of_channels),
        nn.Conv2d(5, 6, 3, padding="same"),
        nn.AdaptiveMaxPool2d((1, 1)),
        *head(6),
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    description = network_description(network)
    layers = {layer["name"]: layer for layer in description.fields["layers"]}
    assert [layer["kind"] for layer in layers.values()] == [
        "normalization",
        "convolution",
        "relu",
        "max_pooling",
        "convolution",
        "convolution",
        "concatenation",
        "convolution",
        "maximum",
        "flatten",
        "linear",
    ]
    assert layers["layers.0"] == {
        "name": "layers.0",
        "reads": ["normalization"],
        "kind": "convolution",
        "outputs": 4,
        "kernel": [3, 2],
        "stride": [1, 2],
        "padding": [1, 0],
        "weight": [0, 48],
        "bias": [48, 4],
    }
    assert layers["layers.2"] == {
        "name": "layers.2",
        "reads": ["layers.1"],
        "kind": "max_pooling",
        "kernel": [2, 3],
        "stride": [2, 1],
        "ceil_mode": True,
    }
    assert layers["cat"]["reads"] == ["layers.3.left", "layers.3.right"]
    assert layers["layers.4"]["padding"] == [1, 1]
    assert layers["normalization"]["mean"] == [0.5, 0.25]
    assert layers["normalization"]["std"] == [2, 2]
    images = torch.rand(3, 2, 9, 11, generator=generator)
    torch.testing.assert_close(run(description, images), network(images), rtol=1e-5, atol=1e-5)


def test_layers_that_read_the_mean_over_positions(generator):
    network = network_of(nn.Conv2d(2, 4, 1), nn.AdaptiveAvgPool2d(1), *head(4))
    description = network_description(network)
    assert [layer["kind"] for layer in description.fields["layers"]][2:] == [
        "average",
        "flatten",
        "linear",
    ]
    images = torch.rand(3, 2, 9, 11, generator=generator)
    torch.testing.assert_close(run(description, images), network(images), rtol=1e-2, atol=1e-3)


def test_weights_are_rounded_to_the_nearest():
    network = network_of(nn.Flatten(), nn.Linear(2 * 9 * 11, 3))
    weights = network_description(network).weights
    exact = torch.cat([network.layers[1].weight.flatten(), network.layers[1].bias])
    assert ((weights.float() - exact).abs() <= exact.abs() * 2**-11 + 2**-25).all()


FOUR = nn.Conv2d(2, 4, 1)
REFUSED = {
    "grouped": ([nn.Conv2d(2, 4, 3, groups=2), *head(252)], "layers.0: .*groups=2"),
    "dilated": ([nn.Conv2d(2, 4, 3, dilation=2), *head(140)], r"layers.0: .*dilation=\(2, 2\)"),
    "batch norm": ([nn.BatchNorm2d(2), *head(198)], "layers.0: .*batch norm"),
    "ReLU6": ([FOUR, nn.ReLU6(), *head(396)], r"layers.1: expected a plain ReLU, got ReLU6"),
    "leaky": ([nn.LeakyReLU(0.1), *head(198)], "layers.0: expected a plain ReLU, got LeakyReLU"),
    "padded": ([nn.MaxPool2d(3, 2, padding=1), *head(60)], "layers.0: .*without padding"),
    "spread": ([nn.MaxPool2d(3, 1, dilation=2), *head(70)], "layers.0: .*dilation"),
    "average": ([nn.AvgPool2d(3), *head(18)], "layers.0: expected a layer .*, got AveragePool"),
    "to rows": ([nn.AdaptiveAvgPool2d((2, 1)), *head(4)], "layers.0: .*all positions"),
    "to more": ([nn.AdaptiveMaxPool2d(2), *head(8)], "layers.0: .*all positions"),
    "sum": ([nn.Conv2d(2, 4, 1), Fork(lambda x, y: x + x), *head(198)], "add: .*, got Sum"),
    "columns": (
        [FOUR, Fork(lambda x, y: torch.cat([x, x], 3)), *head(396)],
        "cat: expected a concatenation of channels, dim 1, got dim 3",
    ),
    "flat from 2": (
        [nn.Flatten(2), nn.Flatten(), nn.Linear(198, 3)],
        "layers.0: expected flattening of all but the batch",
    ),
    "sigmoid": ([nn.Sigmoid(), *head(198)], "layers.0: Sigmoid"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_described_is_named(layers, message):
    with pytest.raises(ValueError, match=message):
        network_description(network_of(*layers))


def test_weights_beyond_half_precision_are_named():
    network = network_of(nn.Flatten(), nn.Linear(2 * 9 * 11, 3))
    with torch.no_grad():
        network.layers[1].bias[1] = -70_000
    with pytest.raises(ValueError, match=r"layers\.1: .*float16 can hold, got values up to 7e\+04"):
        network_description(network)


@pytest.mark.parametrize("wrong", [None, "squeezenet", nn.Linear(2, 2)])
def test_what_is_no_network_is_named(wrong):
    with pytest.raises(ValueError, match="expected a Network, as load_network returns, got"):
        network_description(wrong)


def test_another_way_to_resize_photos_is_named():
    network = network_of(nn.Flatten(), nn.Linear(2 * 9 * 11, 3), interpolation="bicubic")
    with pytest.raises(ValueError, match="bilinear interpolation, got 'bicubic'"):
        network_description(network)
