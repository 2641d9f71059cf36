import copy
import itertools

import numpy as np
import pytest
import torch
from plain_squeezenet import EXACTLY, plainly, small_squeezenet
from torch import nn
from torch.nn import functional as F

from deepinside.class_score import class_score
from deepinside.deconvnet import RULES, pseudo_gradient, reconstruction, relu_backward
from deepinside.images import fit_photo, load_photo
from deepinside.networks import load_network
from deepinside.saliency import image_gradient

rules = pytest.mark.parametrize("rule", RULES)
changed_rules = pytest.mark.parametrize("rule", RULES[1:])


def small_network(activation=nn.ReLU, hidden=None):
    """Two convolutions, each with an activation, max-pooling and a fully connected layer."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        hidden() if hidden else nn.Identity(),
        activation(),
        nn.Flatten(),
        nn.Linear(5 * 9, 3),
    ).double()


@pytest.fixture
def images(generator):
    return torch.rand(4, 2, 6, 6, generator=generator, dtype=torch.float64)


# The table


# rows: the input x is -1, 0, 1; columns: the signal r is -1, 0, 1
TABLES = {
    "gradient": [[0, 0, 0], [0, 0, 0], [-1, 0, 1]],
    "deconvnet": [[0, 0, 1], [0, 0, 1], [0, 0, 1]],
    "guided": [[0, 0, 0], [0, 0, 0], [0, 0, 1]],
}


@pytest.mark.parametrize(("rule", "table"), TABLES.items())
def test_rules_are_those_of_the_table(rule, table):
    for (i, x), (j, r) in itertools.product(enumerate([-1.0, 0.0, 1.0]), repeat=2):
        passed = relu_backward(torch.tensor([x]), torch.tensor([r]), rule)
        assert passed.item() == table[i][j], (x, r)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("gradient", [0, -2, -2, 0, 0]), ("deconvnet", [0] * 5), ("guided", [0] * 5)],
)
def test_relu6_passes_no_gradient_where_it_saturates(rule, expected):
    x = torch.tensor([0.0, 1e-3, 5.9, 6.0, 7.0])
    assert relu_backward(x, torch.full((5,), -2.0), rule, upper=6.0).tolist() == expected
    above = [2, 2, 2, 2, 2] if rule == "deconvnet" else [0, 2, 2, 0, 0]
    assert relu_backward(x, torch.full((5,), 2.0), rule, upper=6.0).tolist() == above


def test_deconvnet_does_not_clip_a_large_signal_at_6():
    assert relu_backward(torch.tensor([1.0]), torch.tensor([50.0]), "deconvnet", upper=6.0) == 50


@rules
def test_leaky_rules_lie_between_relu_and_the_identity(rule, generator):
    x, r = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    assert relu_backward(x, r, rule, slope=1.0).equal(r)
    expected = r.clone()
    for i in range(50):
        if rule != "gradient" and r[i] <= 0:
            expected[i] *= 0.25
        if rule != "deconvnet" and x[i] <= 0:
            expected[i] *= 0.25
    torch.testing.assert_close(relu_backward(x, r, rule, slope=0.25), expected)


KINDS = {
    "ReLU": (nn.ReLU, F.relu),
    "ReLU6": (nn.ReLU6, F.relu6),
    "leaky": (lambda: nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
    "randomized leaky": (lambda: nn.RReLU(0.1, 0.3), lambda x: F.rrelu(x, 0.1, 0.3)),
    "parametric": (
        lambda: nn.PReLU(5),
        lambda x: F.prelu(x, torch.full((5,), 0.25, dtype=x.dtype)),
    ),
}


@pytest.mark.parametrize(("kind", "call"), KINDS.values(), ids=KINDS)
def test_gradient_rule_is_the_activation_s_derivative(kind, call, generator):
    x = (4 * torch.randn(2, 5, 3, 3, generator=generator, dtype=torch.float64)).requires_grad_()
    signal = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(call(x), x, signal)[0]
    module = kind().double().eval()
    slope = {"LeakyReLU": 0.2, "RReLU": 0.2, "PReLU": 0.25}.get(type(module).__name__, 0.0)
    upper = 6.0 if isinstance(module, nn.ReLU6) else None
    got = relu_backward(x.detach(), signal, "gradient", slope=slope, upper=upper)
    torch.testing.assert_close(got, expected)


# Through a network


def by_loops(weights, image, target, rule):
    """The signal at the input of fully connected layers with ReLU between, one number a time."""
    inputs, x = [], image.tolist()
    for weight in weights:
        inputs.append(x)
        sums = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weight.tolist()]
        x = sums if weight is weights[-1] else [max(value, 0.0) for value in sums]
        inputs.append(sums)
    signal = [float(row == target) for row in range(len(x))]
    for i, weight in reversed(list(enumerate(weights))):
        if i < len(weights) - 1:
            before = inputs[2 * i + 1]
            for unit, value in enumerate(signal):
                stops = (rule != "deconvnet" and before[unit] <= 0) or (
                    rule != "gradient" and value <= 0
                )
                signal[unit] = 0.0 if stops else value
        columns = zip(*weight.tolist(), strict=True)
        signal = [sum(w * r for w, r in zip(column, signal, strict=True)) for column in columns]
    return torch.tensor(signal, dtype=torch.float64)


@rules
@pytest.mark.parametrize("seed", range(3))
def test_signal_is_what_loops_over_single_numbers_give(rule, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = [12, 9, 8, 4]
    weights = [
        torch.randn(n, m, generator=generator, dtype=torch.float64)
        for m, n in itertools.pairwise(sizes)
    ]
    layers = [nn.Linear(m, n, bias=False).double() for m, n in itertools.pairwise(sizes)]
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight.data = weight
    network = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    images = torch.rand(3, 1, 3, 4, generator=generator, dtype=torch.float64)
    got = pseudo_gradient(network, images, [0, 3, 1], rule=rule)
    for image, target, one in zip(images, [0, 3, 1], got, strict=True):
        expected = by_loops(weights, image.flatten(), target, rule)
        torch.testing.assert_close(one.flatten(), expected)


def test_gradient_is_the_image_gradient(digits_network, digits, network, four_images):
    some = digits.images[::100]
    assert pseudo_gradient(digits_network, some, rule="gradient").equal(
        image_gradient(digits_network, some)
    )
    targets = ["tabby", "cup", "missile", "tripod"]
    assert pseudo_gradient(network, four_images, targets, rule="gradient").equal(
        image_gradient(network, four_images, targets)
    )


def test_rules_differ_on_a_photo(network, four_images):
    maps = [pseudo_gradient(network, four_images, rule=rule) for rule in RULES]
    for one, other in itertools.combinations(maps, 2):
        assert (one - other).norm() > 0.1 * one.norm()


@rules
def test_without_relu_all_rules_are_the_gradient(rule, linear, generator):
    images = torch.rand(3, 3, 5, 7, generator=generator, dtype=torch.float64)
    got = pseudo_gradient(linear.network, images, [2, 0, 1], rule=rule)
    assert got.equal(linear.weights[[2, 0, 1]])


@rules
def test_batch_equals_a_loop(rule, images):
    network, targets = small_network(), [0, 2, 1, 1]
    got = pseudo_gradient(network, images, targets, rule=rule)
    pairs = zip(images, targets, strict=True)
    each = [pseudo_gradient(network, image[None], c, rule=rule) for image, c in pairs]
    torch.testing.assert_close(got, torch.cat(each))


@rules
@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6, nn.LeakyReLU])
def test_in_place_activations_are_reached_alike(rule, kind, images):
    network = small_network(kind)
    in_place = small_network(lambda: kind(inplace=True))
    for layer in (None, "0", "3"):
        expected = pseudo_gradient(network, images, 1, rule=rule, layer=layer)
        got = pseudo_gradient(in_place, images, 1, rule=rule, layer=layer)
        assert got.equal(expected), layer
    rebuilt = reconstruction(in_place, images, "3", rule=rule)
    assert rebuilt.equal(reconstruction(network, images, "3", rule=rule))


class ReusesItsReLU(nn.Module):
    """One module for both activations, and a sum in place, as in torchvision's ResNet."""

    def __init__(self, relus=1):
        super().__init__()
        torch.manual_seed(5)
        self.first, self.second = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))
        self.relus = nn.ModuleList(nn.ReLU(inplace=True) for _ in range(relus))
        self.last = nn.Linear(2 * 36, 3)

    def forward(self, images):
        x = self.second(self.relus[0](self.first(images)))
        x += images
        return self.last(self.relus[-1](x).flatten(1))


@rules
def test_relu_that_is_called_twice_is_reached_twice(rule, images):
    expected = pseudo_gradient(ReusesItsReLU(2).double(), images, 1, rule=rule)
    assert pseudo_gradient(ReusesItsReLU(1).double(), images, 1, rule=rule).equal(expected)


def test_layer_s_output_is_taken_before_it_is_overwritten(images):
    network = ReusesItsReLU().double()
    with torch.no_grad():
        expected = network.second(F.relu(network.first(images)))
        signal = torch.zeros_like(expected)
        signal[:, 1] = expected[:, 1]
    given = images.clone().requires_grad_()
    output = network.second(F.relu(network.first(given)))
    expected = torch.autograd.grad(output, given, signal)[0]
    got = reconstruction(network, images, "second", channel=1, rule="gradient")
    torch.testing.assert_close(got, expected)


@rules
@pytest.mark.parametrize("layer", [str(i) for i in range(8)])
def test_signal_at_a_layer_leads_on_to_the_signal_at_the_image(rule, layer, images):
    """From the signal at a layer on, the rest of the way gives the signal at the input."""
    network = small_network()
    signal = pseudo_gradient(network, images, 2, rule=rule, layer=layer)
    steps = [images.clone()]
    for module in network[: int(layer) + 1]:
        steps.append(module(steps[-1]).detach())
    for i in reversed(range(int(layer) + 1)):
        if isinstance(network[i], nn.ReLU):
            signal = relu_backward(steps[i], signal, rule)
        else:
            leaf = steps[i].clone().requires_grad_()
            signal = torch.autograd.grad(network[i](leaf), leaf, signal)[0]
    expected = pseudo_gradient(network, images, 2, rule=rule)
    torch.testing.assert_close(signal, expected)


# Reconstructions


def test_first_layer_s_reconstruction_is_its_activations_through_the_flipped_kernel(images):
    network = small_network()
    activations = network[:2](images).detach()
    expected = F.conv_transpose2d(activations, network[0].weight, padding=1).detach()
    torch.testing.assert_close(reconstruction(network, images, "1"), expected)
    one = activations.clone()
    one[:, [0, 1, 3]] = 0
    expected = F.conv_transpose2d(one, network[0].weight, padding=1).detach()
    torch.testing.assert_close(reconstruction(network, images, "1", channel=2), expected)


@rules
def test_filters_add_up_to_the_full_reconstruction_only_below_the_next_relu(rule, images):
    network = small_network()

    def parts(layer, channels):
        each = [
            reconstruction(network, images, layer, channel=c, rule=rule) for c in range(channels)
        ]
        return torch.stack(each).sum(0)

    first = reconstruction(network, images, "1", rule=rule)
    torch.testing.assert_close(parts("1", 4), first)
    second = reconstruction(network, images, "5", rule=rule)
    same = torch.allclose(parts("5", 5), second)
    assert same == (rule == "gradient")


@rules
def test_neuron_of_the_last_layer_is_the_class_score(rule, images):
    network, classes = small_network(), [0, 1, 2, 0]
    with torch.no_grad():
        network[7].bias += 5  # so that all scores, from which the signal starts, are positive
    scores = class_score(network, images, classes)
    assert scores.min() > 0
    got = reconstruction(network, images, "7", channel=classes, rule=rule)
    signal = pseudo_gradient(network, images, classes, rule=rule)
    torch.testing.assert_close(got, signal * scores.detach()[:, None, None, None])


def test_neuron_s_gradient_is_its_derivative_times_its_activation(images):
    network = small_network()
    given = images.clone().requires_grad_()
    output = network[:4](given)
    expected = torch.autograd.grad(output[:, 4, 1, 2].sum(), given)[0]
    got = reconstruction(network, images, "3", channel=4, position=(1, 2), rule="gradient")
    values = output[:, 4, 1, 2].detach()[:, None, None, None]
    torch.testing.assert_close(got, expected * values)


@rules
def test_each_image_can_have_its_own_neuron(rule, images):
    network, channels = small_network(), [3, 0, 1, 4]
    places = [(0, 0), (2, 1), (1, 2), (2, 2)]
    got = reconstruction(network, images, "5", channel=channels, position=places, rule=rule)
    for i, image in enumerate(images):
        alone = reconstruction(
            network, image[None], "5", channel=channels[i], position=places[i], rule=rule
        )
        torch.testing.assert_close(got[i], alone[0])


def test_strongest_is_each_image_s_largest_activation_of_the_channel(images):
    network = small_network()
    output = network[:6](images).detach()
    places = []
    for activations in output[:, 2]:
        pairs = list(itertools.product(range(3), range(3)))
        places.append(max(pairs, key=lambda pair: activations[pair].item()))
    assert len(set(places)) > 1
    got = reconstruction(network, images, "5", channel=2, position="strongest")
    expected = reconstruction(network, images, "5", channel=2, position=places)
    assert got.equal(expected)
    assert got.flatten(1).norm(dim=1).min() > 0


# A second time, with un-pooling by switches, where windows overlap and two outputs are joined


@rules
@pytest.mark.parametrize("side", [33, 36])
def test_signals_are_those_of_plain_loops(side, rule, generator):
    network, classes = small_squeezenet(), [3, 0]
    images = torch.rand(2, 3, side, side + 2, generator=generator, dtype=torch.float64)
    score = torch.eye(5, dtype=torch.float64)[classes]
    for i, layer in enumerate([None, "conv1", "relu1", "pool1", "fire2"]):
        way_there, way_back = network[:i], network[i:]
        _, back = plainly(way_back, way_there(images).detach(), rule)
        got = pseudo_gradient(network, images, classes, rule=rule, layer=layer)
        torch.testing.assert_close(got, back(score), **EXACTLY)


@rules
@pytest.mark.parametrize("depth", range(3, 8))
def test_reconstructions_are_those_of_plain_loops(depth, rule, generator):
    network = small_squeezenet()
    images = torch.rand(2, 3, 34, 37, generator=generator, dtype=torch.float64)
    layer = list(dict(network.named_children()))[depth - 1]
    assert_reconstructions_are_plain(network, images, layer, network[:depth], rule)


@rules
def test_signals_and_reconstructions_of_squeezenet_are_those_of_plain_loops(rule):
    network = load_network("squeezenet", input_size=(96, 96)).double()
    image = fit_photo(load_photo("coffee"), network)[0][None].double()
    _, back = plainly(nn.Sequential(network.normalization, network.layers), image, rule)
    score = torch.eye(1000, dtype=torch.float64)[[967]]
    got = pseudo_gradient(network, image, 967, rule=rule)
    torch.testing.assert_close(got, back(score), **EXACTLY)
    way_there = nn.Sequential(network.normalization, *network.layers[:8])
    assert_reconstructions_are_plain(network, image, "layers.fire5", way_there, rule)


def assert_reconstructions_are_plain(network, images, layer, way_there, rule):
    """Compare those from all of a layer, from a channel and from each image's strongest neuron."""
    output, back = plainly(way_there, images, rule)
    channel = output.sum((0, 2, 3)).argmax().item()
    largest = output[:, channel].flatten(1).argmax(1).tolist()
    places = [divmod(place, output.shape[3]) for place in largest]
    of_channel, of_neurons = torch.zeros_like(output), torch.zeros_like(output)
    of_channel[:, channel] = output[:, channel]
    for i, (row, column) in enumerate(places):
        of_neurons[i, channel, row, column] = output[i, channel, row, column]
    for options, signal in [
        ({}, output),
        ({"channel": channel}, of_channel),
        ({"channel": channel, "position": places}, of_neurons),
    ]:
        got = reconstruction(network, images, layer, rule=rule, **options)
        torch.testing.assert_close(got, back(signal), **EXACTLY)
        assert got.norm() > 0


# What the rules do not cover


class Calls(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


UNREACHED = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "Tensor.relu": lambda x: x.relu(),
    "in place": lambda x: F.relu(x * 1, inplace=True),
    "F.relu6": F.relu6,
    "F.leaky_relu": F.leaky_relu,
    "F.prelu": lambda x: F.prelu(x, x.new_tensor([0.1])),
    "clamp": lambda x: x.clamp(min=0),
    "maximum": lambda x: torch.maximum(x, x.new_zeros(())),
    "where": lambda x: torch.where(x > 0, x, 0),
}
WITHOUT_RULE = {
    "GELU": F.gelu,
    "SiLU": F.silu,
    "SiLU by hand": lambda x: x * x.sigmoid(),
    "ELU": F.elu,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "hard swish": F.hardswish,
    "softmax": lambda x: x.softmax(1),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
}


@changed_rules
@pytest.mark.parametrize("call", UNREACHED.values(), ids=UNREACHED)
def test_relu_out_of_reach_raises(rule, call, images):
    network = small_network(hidden=lambda: Calls(call))
    with pytest.raises(ValueError, match=r"expected every ReLU to be a module.*got one that is a"):
        pseudo_gradient(network, images, 1, rule=rule)
    with pytest.raises(ValueError, match="expected every ReLU to be a module"):
        reconstruction(network, images, "5", rule=rule)


@changed_rules
@pytest.mark.parametrize("call", WITHOUT_RULE.values(), ids=WITHOUT_RULE)
def test_activation_without_a_rule_raises(rule, call, images):
    network = small_network(hidden=lambda: Calls(call))
    with pytest.raises(ValueError, match=r"expected no activations but kinds of ReLU"):
        pseudo_gradient(network, images, 1, rule=rule)


class Step(torch.autograd.Function):
    """A ReLU that autograd knows as somebody's function."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal):
        return signal * (ctx.saved_tensors[0] > 0)


class Gate(nn.Module):
    """A ReLU as a product with a mask, which it keeps as an attribute."""

    def forward(self, x):
        self.mask = (x > 0).to(x)
        return x * self.mask


def half_in_place(x):
    y = x * 1
    y[:, :2].relu_()
    return y


# these are ReLUs as well, or otherwise not linear, and autograd does not call them so
DISGUISED = {
    "product with a mask": lambda x: x * (x > 0),
    "product with a number's mask": lambda x: x * (x.detach().mean() > 0),
    "product with a number's mask, whole": lambda x: x * (x.detach().mean() > 0).long(),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "function of its own": Step.apply,
    "in place on a part": half_in_place,
    "over its own length": lambda x: x / x.detach().norm(),
    "over its length": lambda x: x / x.norm(),
    "square": lambda x: x * x,
    "matrix times itself": lambda x: x @ x,
    "dropout": lambda x: F.dropout(x, training=True),
    "statistics of the batch": nn.BatchNorm2d(5, track_running_stats=False).double(),
    "layer norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "mask as an attribute": Gate(),
    "sorted": lambda x: x.sort(dim=1).values,
}


@changed_rules
@pytest.mark.parametrize("call", DISGUISED.values(), ids=DISGUISED)
def test_what_is_not_known_to_be_linear_is_refused(rule, call, images):
    network = small_network(hidden=lambda: Calls(call))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"expected (no activations|every ReLU)"):
            pseudo_gradient(network, images, 1, rule=rule)


@pytest.mark.filterwarnings("ignore:.*deprecated")
@changed_rules
def test_scripted_layers_are_refused_at_every_call(rule, images):
    scripted = torch.jit.script(nn.Sequential(nn.ReLU(), nn.Conv2d(5, 5, 1).double()))
    network = small_network(hidden=lambda: scripted)
    for _ in range(4):
        with pytest.raises(ValueError, match=r"expected (no activations|every ReLU)"):
            pseudo_gradient(network, images, 1, rule=rule)


@pytest.mark.filterwarnings("ignore:.*deprecated")
@changed_rules
def test_quantized_layers_are_refused(rule):
    network = small_network().float()
    quantized = torch.ao.quantization.quantize_dynamic(network, {nn.Linear})
    with pytest.raises(ValueError, match="expected"):
        pseudo_gradient(quantized, torch.rand(1, 2, 6, 6), 1, rule=rule)


class LayerScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(-1, 2, 5, dtype=torch.float64)[:, None, None])
        self.register_buffer("shift", torch.ones(5, 1, 1, dtype=torch.float64))

    def forward(self, x):
        y = (x * self.gamma + self.shift) / 2
        return 0.5 * torch.cat([y[:, :2], y[:, 2:].flip(1)], 1) + x.roll(1, 3) - self.shift


LINEAR = {
    "scales, shifts, parts and sums": LayerScale,
    "average pooling": lambda: nn.AvgPool2d(3, 1, 1),
    "upsampling": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.AvgPool2d(2)),
    "batch norm": lambda: nn.BatchNorm2d(5),
    "fully connected over columns": lambda: nn.Linear(3, 3),
    "einsum": lambda: Calls(lambda x: torch.einsum("nchw,cd->ndhw", x, torch.eye(5).to(x))),
}


@changed_rules
@pytest.mark.parametrize("kind", LINEAR.values(), ids=LINEAR)
def test_what_is_linear_is_passed_as_by_the_gradient(rule, kind, images):
    """With no ReLU beside it, every rule is the gradient."""
    network = nn.Sequential(nn.Conv2d(2, 5, 1), nn.Upsample(3), kind(), nn.Flatten())
    network = network.append(nn.Linear(45, 3)).double()
    got = pseudo_gradient(network, images, 1, rule=rule)
    torch.testing.assert_close(got, image_gradient(network, images, 1))


@changed_rules
@pytest.mark.parametrize("module", [nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid])
def test_modules_without_a_rule_raise(rule, module, images):
    with pytest.raises(ValueError, match="expected no activations but kinds of ReLU"):
        pseudo_gradient(small_network(module), images, 1, rule=rule)


@pytest.mark.parametrize("call", [*UNREACHED.values(), *WITHOUT_RULE.values()])
def test_gradient_works_for_all(call, images):
    network = small_network(hidden=lambda: Calls(call))
    got = pseudo_gradient(network, images, 1, rule="gradient")
    assert got.equal(image_gradient(network, images, 1))


@changed_rules
def test_only_the_way_that_the_signal_takes_is_asked_for_rules(rule, images):
    network = small_network(hidden=nn.GELU)
    assert reconstruction(network, images, "1", rule=rule).shape == images.shape
    assert pseudo_gradient(network, images, 1, rule=rule, layer="5").shape == (4, 5, 3, 3)


class Attention(nn.Module):
    """Patches, attention among them, and a fully connected layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.patches = nn.Conv2d(2, 8, 2, stride=2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.last(x.mean(1))


def test_attention_has_a_gradient_and_no_deconvnet(images):
    network = Attention().double()
    for rule in RULES[1:]:
        with pytest.raises(ValueError, match="expected no activations but kinds of ReLU"):
            pseudo_gradient(network, images, 1, rule=rule)
    got = pseudo_gradient(network, images, 1, rule="gradient")
    given = images.clone().requires_grad_()
    expected = torch.autograd.grad(network(given)[:, 1].sum(), given)[0]
    torch.testing.assert_close(got, expected)
    assert got.norm() > 0


# Errors, and what is left behind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "deconv"}, r"expected a rule of gradient, deconvnet, guided, got 'deconv'"),
        ({"layer": "9"}, r"expected the name of a layer, such as \['0', '1', '2'\], got '9'"),
        ({"layer": ""}, "expected the name of a layer"),
        ({"layer": 3}, "expected the name of a layer, such as .*, got 3"),
        ({"layer": ["3"]}, r"expected the name of a layer, such as .*, got \['3'\]"),
        ({"rule": None}, "expected a rule of gradient, deconvnet, guided, got None"),
        ({"rule": ["guided"]}, "expected a rule of gradient, deconvnet, guided, got"),
        ({"rule": np.array(["guided", "x"])}, "expected a rule of gradient, deconvnet, guided"),
    ],
)
def test_wrong_options_of_the_pseudo_gradient(options, message, images):
    with pytest.raises(ValueError, match=message):
        pseudo_gradient(small_network(), images, 1, **{"rule": "deconvnet", **options})


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        ("nowhere", {}, "expected the name of a layer"),
        ("3", {"channel": 5}, r"expected a channel of '3' from 0 to below 5, got \[5, 5"),
        ("3", {"channel": -1}, "expected a channel of '3' from 0 to below 5, got"),
        ("3", {"channel": 1.0}, "expected one channel of '3' or 4, one for each image; got 1.0"),
        ("3", {"channel": [0, 1]}, r"expected one channel of '3' or 4, .*; got \[0, 1\]"),
        ("3", {"position": (0, 0)}, "expected a channel for the position"),
        ("3", {"channel": 0, "position": (3, 0)}, "'3' from 0 to below 3 and 3, got"),
        ("3", {"channel": 0, "position": (0, -1)}, r"got \[\[0, -1\]"),
        ("3", {"channel": 0, "position": [(0, 0)] * 3}, r"one \(row, column\) or 4"),
        ("3", {"channel": 0, "position": (0.5, 1)}, r"expected one \(row, column\)"),
        ("3", {"channel": 0, "position": (1, 1, 1)}, r"expected one \(row, column\)"),
        ("3", {"channel": 0, "position": "best"}, "'strongest', got 'best'"),
        ("7", {"channel": 0, "position": (0, 0)}, "no position in '7', which has no rows"),
        ("7", {"channel": 0, "position": "strongest"}, "no position in '7', which has no rows"),
        (None, {}, "expected the name of a layer, got None"),
        (3, {}, "expected the name of a layer, such as .*, got 3"),
        ("3", {"channel": True}, "expected one channel of '3' or 4, .*; got True"),
        ("3", {"channel": [1, True, 0, 1]}, "expected one channel of '3' or 4"),
        ("3", {"channel": "1"}, "expected one channel of '3' or 4, .*; got '1'"),
        ("3", {"channel": []}, "expected one channel of '3' or 4"),
        ("3", {"channel": 1j}, "expected one channel of '3' or 4"),
        ("3", {"channel": 10**30}, "expected one channel of '3' or 4"),
        ("3", {"channel": torch.zeros((), dtype=int, device="meta")}, "expected one channel"),
        ("3", {"channel": torch.zeros(4, 1, dtype=int)}, "expected one channel of '3' or 4"),
        ("3", {"channel": 0, "position": 1}, r"expected one \(row, column\) or 4, .*; got 1"),
        ("3", {"channel": 0, "position": [[1]] * 4}, r"expected one \(row, column\) or 4"),
        ("3", {"channel": 0, "position": (True, 0)}, r"expected one \(row, column\) or 4"),
        ("3", {"channel": 0, "position": (None, 0)}, r"expected one \(row, column\) or 4"),
    ],
)
def test_wrong_options_of_the_reconstruction(layer, options, message, images):
    with pytest.raises(ValueError, match=message):
        reconstruction(small_network(), images, layer, **options)


@pytest.mark.parametrize(
    "kind", [int, np.int64, np.uint8, torch.tensor, lambda value: torch.tensor(value).byte()]
)
def test_whole_numbers_of_every_kind_are_a_channel_and_a_position(kind, images):
    network = small_network()
    expected = reconstruction(network, images, "3", channel=3, position=(1, 2))
    assert expected.abs().sum() > 0
    place = (kind(1), kind(2))
    assert reconstruction(network, images, "3", channel=kind(3), position=place).equal(expected)


class Passed(nn.Module):
    """What stands between a network's image and its layers, or between these and its scores."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


@torch.no_grad()
def without_gradient(x):
    return x * 2


def through(call):
    """A network whose images pass a call before its layers."""
    return nn.Sequential(Passed(call), *small_network())


NO_GRADIENT = {
    "detached": lambda x: x.detach(),
    "without gradient": without_gradient,
    "constant": torch.ones_like,
    "rounded to integers": lambda x: (x * 255).long().double(),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("call", NO_GRADIENT.values(), ids=NO_GRADIENT)
@pytest.mark.parametrize("frozen", [False, True])
def test_scores_without_a_gradient_are_named(rule, call, frozen, images):
    network = through(call).requires_grad_(not frozen)
    for made in (
        lambda: pseudo_gradient(network, images, 1, rule=rule),
        lambda: reconstruction(network, images, "4", rule=rule),
        lambda: reconstruction(network, images, "4", rule=rule, channel=1),
    ):
        with pytest.raises(ValueError, match=r"expected (a network|a layer|what depends)"):
            made()


@pytest.mark.parametrize("rule", RULES)
def test_a_layer_that_is_not_on_the_way_is_named(rule, images):
    network = nn.Sequential(*small_network()[:4], Passed(torch.detach), *small_network()[4:])
    with pytest.raises(ValueError, match=r"expected (a network|a layer|what depends)"):
        pseudo_gradient(network, images, 1, rule=rule, layer="3")
    with pytest.raises(ValueError, match=r"expected a layer with a gradient|expected a network"):
        pseudo_gradient(network.requires_grad_(False), images, 1, rule="gradient", layer="4")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: x * torch.nan, "expected finite class scores"),
        (lambda x: x.softmax(1), "expected unnormalized class scores"),
        (lambda x: x[:1], "expected a network that returns scores of shape"),
        (lambda x: None, "expected a network that returns scores of shape"),
    ],
)
def test_scores_that_are_none_are_named(rule, call, named, images):
    network = nn.Sequential(*small_network(), Passed(call))
    with pytest.raises(ValueError, match=named):
        pseudo_gradient(network, images, 0, rule=rule)


@pytest.mark.parametrize("rule", RULES)
def test_activations_that_are_not_finite_are_named(rule, images):
    network = small_network()
    nn.init.constant_(network[0].weight, torch.inf)
    with pytest.raises(ValueError, match="expected"):
        reconstruction(network, images, "3", rule=rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.PReLU])
def test_networks_of_half_precision_have_signals(rule, dtype, activation, images):
    network = small_network(activation).to(dtype)
    exact = copy.deepcopy(network).double()
    images = images.to(dtype)
    for made in (
        lambda n, x: pseudo_gradient(n, x, 1, rule=rule),
        lambda n, x: reconstruction(n, x, "3", rule=rule),
    ):
        got, expected = made(network, images), made(exact, images.double())
        assert got.dtype == dtype
        assert (got - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("rule", RULES)
def test_slopes_are_exact_in_every_type_and_of_every_default_type(rule):
    x = torch.tensor([-1.0, 2.0, -3.0], dtype=torch.float64)
    signal = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    slope = 0.1
    f = {"x": [0.1, 1, 0.1], "r": [1, 0.1, 0.1]}
    factors = {
        "gradient": f["x"],
        "deconvnet": f["r"],
        "guided": [a * b for a, b in zip(f["x"], f["r"], strict=True)],
    }[rule]
    expected = torch.tensor([r * a for r, a in zip([1.0, -1.0, -1.0], factors, strict=True)])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for default in (torch.float32, torch.float64):
            torch.set_default_dtype(default)
            try:
                got = relu_backward(x.to(dtype), signal.to(dtype), rule, slope=slope)
            finally:
                torch.set_default_dtype(torch.float32)
            assert got.dtype == dtype
            wanted = expected.double() if dtype == torch.float64 else expected.to(dtype)
            torch.testing.assert_close(
                got, wanted, rtol=3e-3 if dtype != torch.float64 else 1e-7, atol=0
            )
    exact = relu_backward(x, signal, rule, slope=slope)[0].item()
    assert exact == {"gradient": 0.1, "deconvnet": 1.0, "guided": 0.1}[rule]


ONES = torch.ones(3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": None}, "expected a tensor of floats, got None"),
        ({"x": [1.0, 2.0, 3.0]}, "expected a tensor of floats, got"),
        ({"x": np.ones(3)}, "expected a tensor of floats, got an array"),
        ({"x": torch.ones(3, dtype=int)}, "expected a tensor of floats, got a tensor"),
        ({"x": ONES.to("meta")}, "expected a tensor of floats, got a tensor .* on meta"),
        ({"x": ONES * torch.nan}, "expected finite values"),
        ({"signal": ONES * torch.inf}, "expected finite values"),
        ({"signal": None}, "expected a tensor of floats, got None"),
        ({"signal": ONES[:2]}, "expected a signal like x"),
        ({"signal": ONES[:1]}, "expected a signal like x"),
        ({"signal": ONES.double()}, "expected a signal like x"),
        ({"rule": None}, "expected a rule"),
        ({"slope": None}, "expected a slope of at least -inf, got None"),
        ({"slope": True}, "expected a slope of at least -inf, got True"),
        ({"slope": torch.nan}, "expected a slope of at least -inf, got nan"),
        ({"slope": "0.1"}, "expected a slope"),
        ({"slope": torch.tensor([1, 2, 3])}, "expected a tensor of floats"),
        ({"slope": torch.ones(2)}, "expected a slope that broadcasts to x"),
        ({"slope": ONES * torch.nan}, "expected finite values"),
        ({"upper": 0}, "expected an upper limit above 0, got 0"),
        ({"upper": torch.nan}, "expected an upper limit above 0, got nan"),
        ({"upper": True}, "expected an upper limit above 0, got True"),
        ({"upper": "6"}, "expected an upper limit above 0, got '6'"),
    ],
)
def test_what_a_relu_cannot_pass_on_is_named(changed, message):
    given = {"x": ONES, "signal": ONES, "rule": "guided", **changed}
    with pytest.raises(ValueError, match=message):
        relu_backward(given.pop("x"), given.pop("signal"), given.pop("rule"), **given)


def test_numbers_of_numpy_are_a_slope_and_a_limit():
    x = torch.tensor([-1.0, 3.0, 7.0])
    expected = relu_backward(x, ONES, "gradient", slope=0.5, upper=6.0)
    assert expected.tolist() == [0.5, 1, 0]
    for kind in (np.float32, np.float64, torch.tensor):
        got = relu_backward(x, ONES, "gradient", slope=kind(0.5), upper=kind(6.0))
        assert got.equal(expected)
    assert relu_backward(x, ONES, "gradient", slope=0, upper=6).tolist() == [0, 1, 0]


def test_layer_that_is_called_twice_or_never_is_refused(images):
    network = ReusesItsReLU().double()
    with pytest.raises(ValueError, match=r"'relus.0' was called 2 times"):
        reconstruction(network, images, "relus.0")
    with pytest.raises(ValueError, match=r"'relus' was called 0 times"):
        pseudo_gradient(network, images, 1, rule="guided", layer="relus")


class Fails(nn.Module):
    def forward(self, values):
        raise RuntimeError("this layer fails")


class FailsBackward(nn.Module):
    class _Function(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            return values.clone()

        @staticmethod
        def backward(context, gradient):
            raise RuntimeError("this layer fails")

    def forward(self, values):
        return self._Function.apply(values)


def state_of(network, images):
    tensors = [*network.named_parameters(), ("images", images)]
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        [(name, type(m), m.training, sorted(m.__dict__)) for name, m in network.named_modules()],
        [list(getattr(m, kind)) for m in network.modules() for kind in hooks],
        [m.__dict__.get("forward") for m in network.modules()],
        [(name, id(t), t.tolist(), t._version, t.requires_grad) for name, t in tensors],
        [(name, t.grad.tolist()) for name, t in tensors],
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        torch.get_rng_state().tolist(),
    )


CASES = {
    "fine": (None, {}, None),
    "a layer": (None, {"layer": "3"}, None),
    "wrong class": (None, {"target": 99}, ValueError),
    "wrong layer": (None, {"layer": "99"}, ValueError),
    "unreached": (lambda: Calls(F.relu), {}, ValueError),
    "no rule": (nn.GELU, {"layer": "0"}, ValueError),
    "failing forward": (Fails, {"layer": "0"}, RuntimeError),
    "backward of its own": (FailsBackward, {"layer": "0"}, ValueError),
}


@changed_rules
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("hidden", "options", "error"), CASES.values(), ids=CASES)
def test_no_trace_is_left(hidden, options, error, training, rule, images):
    network = small_network(lambda: nn.ReLU(inplace=True), hidden=hidden).train(training)
    network[0].register_forward_hook(lambda *_: None)
    for tensor in (*network.parameters(), images.requires_grad_()):
        tensor.grad = torch.full_like(tensor, 7)
    # a forward of the caller's own
    own = network[1].forward
    network[1].forward = lambda x: own(x)
    before = state_of(network, images)
    options = {"target": 1, **options}
    if error is None:
        assert not pseudo_gradient(network, images, rule=rule, **options).requires_grad
    else:
        with pytest.raises(error):
            pseudo_gradient(network, images, rule=rule, **options)
    assert state_of(network, images) == before


@pytest.mark.parametrize("options", [{}, {"channel": 99}, {"layer": "7", "position": (0, 0)}])
def test_no_trace_is_left_of_a_reconstruction(options, images):
    network = small_network().train()
    for tensor in (*network.parameters(), images.requires_grad_()):
        tensor.grad = torch.full_like(tensor, 7)
    before = state_of(network, images)
    if options:
        with pytest.raises(ValueError, match="expected"):
            reconstruction(network, images, **{"layer": "3", "channel": 0, **options})
    else:
        reconstruction(network, images, "3")
    assert state_of(network, images) == before


@rules
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_signals_are_had_where_autograd_is_off(rule, mode, images):
    network = small_network()
    expected = pseudo_gradient(network, images, 1, rule=rule)
    rebuilt = reconstruction(network, images, "3", rule=rule)
    with mode():
        assert pseudo_gradient(network, images.clone(), 1, rule=rule).equal(expected)
        assert reconstruction(network, images.clone(), "3", rule=rule).equal(rebuilt)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@rules
def test_gpu_gives_what_the_cpu_gives(rule, images):
    network = small_network(lambda: nn.PReLU(1))
    expected = pseudo_gradient(network, images, 1, rule=rule)
    got = pseudo_gradient(network.to("cuda"), images.to("cuda"), 1, rule=rule)
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), expected)
