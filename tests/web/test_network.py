"""The network in the page, in Node and in Chromium, against torch on the same float16 weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from deepinside import deconvnet, images
from deepinside.class_activation import class_activation_map
from deepinside.deconvnet import pseudo_gradient, reconstruction
from deepinside.description import network_description
from deepinside.digits import load_digits
from deepinside.limits import layers_top_down
from deepinside.networks import Network, load_network
from deepinside.networks.network import channel_normalization

# forward, and back from a class by each rule
BOTH_WAYS = """
const net = new network.Network(new WebAssembly.Module(wasm), fields, weights, size);
net.image.set(image);
const scores = net.forward().slice();
const signals = rules.map((rule) => net.backward(target, rule).slice());
const one = net.forward(target)[target];
const alone = rules.map((rule) => net.backward(target, rule).slice());
return { scores, signals, one, alone };
"""
FROM_LAYER = """
const net = new network.Network(new WebAssembly.Module(wasm), fields, weights, size);
net.image.set(image);
net.forward();
return rules.map((rule) => net.backwardFrom(layer, net.view(layer).slice(), rule).slice());
"""
PHOTOS = images.photo_names()
# photos on which no two numbers that the network compares are so close that rounding decides
WITHOUT_TIES = ("coffee", "coins")


def distance(ours, right):
    """Return the length of the difference over that of what it should be."""
    ours, right = (torch.as_tensor(values).double().flatten() for values in (ours, right))
    return float(torch.linalg.vector_norm(ours - right) / torch.linalg.vector_norm(right))


@pytest.fixture(scope="module", params=["in_node", "in_chromium"])
def ask(request, wasm):
    """Return a function that runs a body there on a network, its image and what else it needs."""
    run = request.getfixturevalue(request.param)

    def asked(body, network, image, **values):
        fields, weights = network_description(network)
        return run(
            body,
            wasm=wasm,
            fields=fields,
            weights=weights.float().numpy(),
            size=list(image.shape[1:]),
            image=image.numpy(),
            rules=list(deconvnet.RULES),
            **values,
        )

    return asked


def signals_of(network, image, target):
    return [pseudo_gradient(network, image[None], target, rule=rule)[0] for rule in deconvnet.RULES]


def small_network():
    """Return a network of each kind of layer, with strides, borders and windows that overlap."""

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(2, 6, (3, 2), stride=(2, 1), padding=(1, 0))
            self.relu = nn.ReLU()
            self.pool = nn.MaxPool2d((3, 2), stride=(2, 1), ceil_mode=True)
            self.left, self.left_relu = nn.Conv2d(6, 5, 1), nn.ReLU()
            self.right, self.right_relu = nn.Conv2d(6, 3, 3, padding=1), nn.ReLU()
            self.last, self.last_relu = nn.Conv2d(8, 7, 3, stride=2, padding=1), nn.ReLU()
            self.most, self.flat = nn.AdaptiveMaxPool2d(1), nn.Flatten()
            self.scores = nn.Linear(7, 4)

        def forward(self, x):
            x = self.pool(self.relu(self.first(x)))
            both = [self.left_relu(self.left(x)), self.right_relu(self.right(x))]
            x = self.last_relu(self.last(torch.cat(both, dim=1)))
            return self.scores(self.flat(self.most(x)))

    torch.manual_seed(5)
    return rounded(
        Network(
            name="joined",
            normalization=channel_normalization((0.4, 0.6), (0.2, 0.3)),
            layers=Joined(),
            class_names=tuple("abcd"),
            input_size=(23, 19),
            resized_side=23,
            interpolation="bilinear",
        )
    )


def rounded(network):
    """Return the network with the weights that float16 leaves of its own."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    return network


def test_layers_of_each_kind_go_both_ways_as_those_of_torch(ask, generator):
    network = small_network()
    image = torch.rand(2, 23, 19, generator=generator)
    found = ask(BOTH_WAYS, network, image, target=2)
    network, image = network.double(), image.double()
    assert distance(found["scores"], network(image[None])[0]) < 1e-6
    assert found["one"] == pytest.approx(float(found["scores"][2]), rel=1e-6)
    for both, alone, right in zip(
        found["signals"], found["alone"], signals_of(network, image, 2), strict=True
    ):
        assert distance(both, right) < 1e-5
        assert distance(alone, right) < 1e-5


@pytest.mark.parametrize("layer", ["layers.pool", "layers.left_relu", "layers.last_relu"])
def test_what_a_layer_holds_goes_back_to_the_image_as_in_python(ask, generator, layer):
    network = small_network()
    image = torch.rand(2, 23, 19, generator=generator)
    found = ask(FROM_LAYER, network, image, layer=layer)
    for rule, signal in zip(deconvnet.RULES, found, strict=True):
        right = reconstruction(network, image[None], layer, rule=rule)[0]
        assert distance(signal, right) < 1e-5


@pytest.mark.parametrize("name", ["digits", "cluttered_digits"])
def test_digits_have_the_scores_and_signals_of_torch(ask, name):
    network = load_network(name)
    for image in load_digits().images[::250]:
        canvas = torch.zeros(1, *network.input_size)
        canvas[:, :28, -28:] = image
        target = int(network(canvas[None]).argmax())
        found = ask(BOTH_WAYS, network, canvas, target=target)
        assert distance(found["scores"], network(canvas[None])[0]) < 1e-5
        for signal, right in zip(
            found["signals"], signals_of(network, canvas, target), strict=True
        ):
            assert distance(signal, right) < 1e-5


@pytest.fixture(scope="module")
def squeezenet():
    return load_network("squeezenet")


def fitted(photo, network):
    return images.fit_photo(images.load_photo(photo), network)[0]


@pytest.mark.parametrize("photo", PHOTOS)
def test_photos_have_the_scores_and_signals_of_torch(ask, squeezenet, photo):
    image = fitted(photo, squeezenet)
    target = int(squeezenet(image[None]).argmax())
    found = ask(BOTH_WAYS, squeezenet, image, target=target)
    exact = copy.deepcopy(squeezenet).double()
    assert distance(found["scores"], exact(image[None].double())[0]) < 1e-5
    ours = found["signals"]
    theirs = signals_of(squeezenet, image, target)
    for signal, alone in zip(ours, found["alone"], strict=True):
        assert distance(alone, signal) < 1e-5
    if photo in WITHOUT_TIES:
        assert all(distance(a, b) < 1e-5 for a, b in zip(ours, theirs, strict=True))
    # elsewhere rounding turns single masks and switches, of torch's and of ours, not the same ones
    exactly = signals_of(exact, image.double(), target)
    off = [distance(*pair) for pair in zip(ours, exactly, strict=True)]
    assert off[0] < max(1e-5, 2 * distance(theirs[0], exactly[0]))
    assert max(off[1:]) < 0.02


@pytest.mark.parametrize("size", [(160, 160), (128, 200)])
def test_photos_of_other_sizes_have_the_scores_of_torch(ask, size):
    network = load_network("squeezenet", input_size=size)
    image = images.squashed(network, [images.load_photo("coffee")], size)[0]
    found = ask(BOTH_WAYS, network, image, target=967)
    assert distance(found["scores"], network(image[None])[0]) < 1e-5


def test_a_class_activation_map_is_that_of_python(ask, squeezenet):
    image = fitted("cat", squeezenet)
    body = """
    const net = new network.Network(new WebAssembly.Module(wasm), fields, weights, size);
    net.image.set(image);
    return class_activation.classActivationMap(net, 281).values;
    """
    right = class_activation_map(squeezenet, image[None], 281)[0]
    assert distance(ask(body, squeezenet, image), right) < 1e-5


def test_random_layers_are_counted_from_the_top_and_drawn_as_in_python(ask, squeezenet):
    image = fitted("cat", squeezenet)
    body = """
    const names = limits.layersTopDown(fields).map(({ name }) => name);
    const drawn = limits.randomized(weights, fields, 2);
    const parts = fields.layers.filter(({ weight }) => weight).map((layer) => {
      const [first, count] = layer.weight;
      const [begin, length] = layer.bias;
      return [drawn.slice(first, first + count), drawn.slice(begin, begin + length)];
    });
    return { names, parts };
    """
    found = ask(body, squeezenet, image)
    assert found["names"] == layers_top_down(squeezenet)
    modules = [dict(squeezenet.named_modules())[name] for name in layers_top_down(squeezenet)[::-1]]
    for i, (module, (weight, bias)) in enumerate(zip(modules, found["parts"], strict=True)):
        if i < len(modules) - 2:
            assert (weight == module.weight.flatten().numpy()).all()
            continue
        assert float(weight.std()) == pytest.approx(np.sqrt(2 / module.weight[0].numel()), rel=0.03)
        assert not bias.any()


def test_five_hundred_passes_take_no_more_memory_than_one(ask, squeezenet):
    body = """
    const net = new network.Network(new WebAssembly.Module(wasm), fields, weights, size);
    net.image.set(image);
    const bytes = () => net.memory.memory.buffer.byteLength;
    const before = bytes();
    for (let i = 0; i < 500; i++) {
      net.forward(i);
      net.backward(i, rules[i % 3]);
    }
    return [before, bytes()];
    """
    network = load_network("squeezenet", input_size=(64, 64))
    before, after = ask(body, network, torch.rand(3, 64, 64))
    assert after == before < 64e6


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        ("", (27, 28), "expected 512 inputs"),
        ("", (3, 3), "expected at least 5,5 pixels"),
        ("fields.layers[3].reads = ['layers.0'];", (28, 28), "expected that layers.1 alone reads"),
    ],
)
def test_a_network_that_cannot_be_made_says_why(ask, change, size, message):
    body = f"""
    {change}
    try {{
      new network.Network(new WebAssembly.Module(wasm), fields, weights, size);
    }} catch (error) {{
      return error.message;
    }}
    """
    assert message in ask(body, load_network("digits"), torch.rand(1, *size))
