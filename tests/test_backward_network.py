import copy
import sys

import onnx
import onnxruntime
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from deepinside.backward_network import (
    MaxPoolLayer,
    ReLULayer,
    backward_network,
    export_onnx,
)
from deepinside.deconvnet import RULES, pseudo_gradient
from deepinside.inference.preparation import evaluation_mode
from deepinside.saliency import image_gradient

rules = pytest.mark.parametrize("rule", RULES)


def relative_difference(got, expected):
    return ((got - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)).max().item()


# It is the gradient


def assert_equals_autograd(network, images, classes):
    scores, gradient = backward_network(network)(images, classes)
    with torch.no_grad(), evaluation_mode(network):
        assert scores.equal(network(images))
    assert not gradient.requires_grad
    expected = image_gradient(network, images, classes)
    assert expected.flatten(1).norm(dim=1).min() > 0
    assert relative_difference(gradient, expected) < 1e-5


def test_it_equals_autograd_on_every_photo(network, fitted):
    images = torch.stack(list(fitted.values()))
    assert_equals_autograd(network, images, network(images).argmax(1))
    assert_equals_autograd(network, images, torch.arange(len(images)) * 100)


def test_it_equals_autograd_on_digits(digits_network, digits):
    classes = torch.arange(100) % 10
    assert_equals_autograd(digits_network, digits.images[::10], classes)


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "mobilenet_v2"])
def test_it_equals_autograd_on_networks_of_torchvision(name, four_images):
    torch.manual_seed(0)
    # as they come: in-place ReLU, dropout, batch norm, in training mode
    network = torchvision.models.get_model(name, weights=None)
    assert_equals_autograd(network, four_images[:2], torch.tensor([3, 900]))
    assert all(module.training for module in network.modules())


def scored(*layers):
    """Layers between a convolution and a fully connected layer of 3 scores, for 2 x 9 x 11."""
    torch.manual_seed(4)
    body = nn.Sequential(nn.Conv2d(2, 4, 3), *layers).double()
    body.eval()
    shape = body(torch.zeros(1, 2, 9, 11, dtype=torch.float64)).shape
    head = nn.Linear(shape[1:].numel(), 3).double()
    return nn.Sequential(body, nn.Flatten(), head)


def with_statistics(norm):
    torch.manual_seed(8)
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        if tensor is not None:
            tensor.data.uniform_(0.5, 2)
    return norm


LAYERS = {
    "strided": lambda: nn.Conv2d(4, 6, 3, stride=2),
    "strided, rows left out": lambda: nn.Conv2d(4, 6, (2, 3), stride=(3, 4), padding=(0, 1)),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=(2, 3), padding=2),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, stride=2),
    "same": lambda: nn.Conv2d(4, 6, (3, 5), padding="same", dilation=(1, 2)),
    "valid": lambda: nn.Conv2d(4, 6, 3, padding="valid", bias=False),
    "pointwise": lambda: nn.Conv2d(4, 6, 1),
    "batch norm": lambda: with_statistics(nn.BatchNorm2d(4)),
    "batch norm, not affine": lambda: with_statistics(nn.BatchNorm2d(4, affine=False)),
    "max-pool": lambda: nn.MaxPool2d(2),
    "max-pool, overlapping": lambda: nn.MaxPool2d(3, stride=2),
    "max-pool, stride 1": lambda: nn.MaxPool2d((3, 2), stride=1, padding=1),
    "max-pool, ceil": lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    "max-pool, dilated": lambda: nn.MaxPool2d(2, dilation=2, stride=2),
    "average": lambda: nn.AvgPool2d(2),
    "average, overlapping": lambda: nn.AvgPool2d(3, stride=2, padding=1),
    "average, divisor": lambda: nn.AvgPool2d((2, 3), stride=(1, 4), divisor_override=5),
    "adaptive": lambda: nn.AdaptiveAvgPool2d((1, 1)),
    "adaptive, overlapping": lambda: nn.AdaptiveAvgPool2d((3, 5)),
    "adaptive, rows only": lambda: nn.AdaptiveAvgPool2d((2, None)),
    "adaptive, to more": lambda: nn.AdaptiveAvgPool2d((9, 12)),
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6,
    "leaky": lambda: nn.LeakyReLU(0.3),
    "leaky, negative": lambda: nn.LeakyReLU(-0.3),
    "parametric": lambda: nn.PReLU(4),
    "dropout": nn.Dropout,
    "identity": nn.Identity,
}


@rules
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_each_layer_equals_autograd_exactly(layer, rule, generator):
    network = scored(layer(), nn.ReLU())
    images = torch.randn(3, 2, 9, 11, generator=generator, dtype=torch.float64)
    images *= 5  # so that ReLU6 saturates here and there
    classes = torch.tensor([2, 0, 1])
    scores, gradient = backward_network(network, rule=rule)(images, classes)
    with torch.no_grad(), evaluation_mode(network):
        assert scores.equal(network(images))
    expected = pseudo_gradient(network, images, classes, rule=rule)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    assert gradient.abs().sum() > 0


class CallsOnly(nn.Module):
    """A network that calls what others have as modules, with a sum and one layer used twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.first, self.again = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.last = nn.ReLU(inplace=True), nn.Linear(4 * 4, 3)

    def forward(self, images):
        x = F.relu(self.first(images))
        x = F.max_pool2d(x, 2)
        y = self.relu(self.again(x))
        y = F.leaky_relu(self.again(y), 0.1)
        y += x
        y = torch.add(y, y)
        y = self.relu(y)
        y = F.avg_pool2d(y, kernel_size=2)
        y = F.adaptive_avg_pool2d(y, 2).relu()
        unused = torch.sigmoid(y)  # noqa: F841
        y = F.dropout(torch.flatten(y, 1), training=self.training)
        return self.last(y)


def test_calls_are_layers_too(generator):
    network = CallsOnly().double()
    images = torch.randn(3, 2, 9, 11, generator=generator, dtype=torch.float64)
    classes = torch.tensor([2, 0, 1])
    both_ways = backward_network(network)
    scores, gradient = both_ways(images, classes)
    network.eval()
    torch.testing.assert_close(scores, network(images).detach())
    torch.testing.assert_close(gradient, image_gradient(network, images, classes))
    kinds = [type(layer).__name__ for layer in both_ways.layers]
    assert kinds.count("SumLayer") == 2
    assert kinds.count("ReLULayer") == 5
    # for a ReLU that is a call, the second network has the rules that hooks cannot give
    with pytest.raises(ValueError, match="expected every ReLU to be a module"):
        pseudo_gradient(network, images, classes, rule="guided")
    assert not both_ways.use(rule="guided")(images, classes)[1].equal(gradient)


# It is a network whose layers can be looked at


@rules
def test_its_signals_are_those_of_the_pseudo_gradient(rule, digits_network, digits):
    images, classes = digits.images[::100], torch.arange(10)
    signals = backward_network(digits_network, rule=rule).signals(images, classes)
    names = [f"layers.{i}" for i in reversed(range(10))]
    assert list(signals) == [*names, "normalization", "input"]
    for name in [*names, "normalization", None]:
        expected = pseudo_gradient(digits_network, images, classes, rule=rule, layer=name)
        torch.testing.assert_close(signals[name or "input"], expected, rtol=1e-5, atol=1e-6)


def test_given_the_masks_it_is_linear(digits_network, digits):
    images = digits.images[:5]
    both_ways = backward_network(digits_network)
    _, kept = both_ways.scores_and_kept(images)
    a, b = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    one, other, sum_of_both = (
        both_ways.carry_back(signal, kept)["input"] for signal in (a, b, 2 * a - b)
    )
    torch.testing.assert_close(sum_of_both, 2 * one - other, rtol=1e-4, atol=1e-5)


@rules
def test_it_is_the_deconvnet_with_another_mask(rule, network, four_images):
    classes = network(four_images).argmax(1)
    both_ways = backward_network(network)
    assert both_ways.use(rule=rule) is both_ways
    _, got = both_ways(four_images, classes)
    expected = pseudo_gradient(network, four_images, classes, rule=rule)
    assert relative_difference(got, expected) < 1e-5


def test_one_layer_alone_can_have_another_rule(digits_network, digits):
    images, classes = digits.images[::100], torch.arange(10)
    both_ways = backward_network(digits_network)
    plain = both_ways.signals(images, classes)
    both_ways["layers.1"].rule = "deconvnet"
    changed = both_ways.signals(images, classes)
    differ = {name for name in plain if not plain[name].equal(changed[name])}
    assert differ == {"layers.0", "normalization", "input"}
    positive = plain["layers.1"].clamp(min=0)
    assert changed["layers.0"].equal(positive)


def test_layers_are_found_by_their_names(network):
    both_ways = backward_network(network)
    assert set(both_ways.names) - {name for name, _ in network.named_modules()} == {
        name for name in both_ways.names if name.startswith("add")
    }
    assert both_ways["layers.conv_stem"].convolution is network.layers.conv_stem
    assert isinstance(both_ways["layers.bn1"], ReLULayer)
    with pytest.raises(ValueError, match=r"expected a layer's name, such as .*, got 'bn1'"):
        both_ways["bn1"]


def test_overlapping_windows_add_for_the_gradient_and_overwrite_for_the_deconvnet():
    # the 9 in the middle is the maximum of all four windows
    x = torch.tensor([[[[1.0, 2, 3], [4, 9, 5], [6, 7, 8]]]])
    signal = torch.tensor([[[[1.0, 10], [100, 1000]]]])
    layer = MaxPoolLayer(nn.MaxPool2d(2, stride=1))
    y, kept = layer(x)
    assert y.eq(9).all()
    assert layer.carry_back(signal, kept)[0, 0].tolist() == [[0, 0, 0], [0, 1111, 0], [0, 0, 0]]
    layer.unpooling = "overwrite"
    assert layer.carry_back(signal, kept)[0, 0].tolist() == [[0, 0, 0], [0, 1000, 0], [0, 0, 0]]


@pytest.mark.parametrize(("stride", "same"), [(3, True), (2, False)])
def test_unpooling_is_the_gradient_where_windows_are_disjoint(stride, same, generator):
    network = scored(nn.MaxPool2d(3, stride=stride))
    images = torch.randn(3, 2, 9, 11, generator=generator, dtype=torch.float64)
    classes = torch.tensor([2, 0, 1])
    both_ways = backward_network(network)
    _, added = both_ways(images, classes)
    _, overwritten = both_ways.use(unpooling="overwrite")(images, classes)
    assert added.equal(overwritten) == same
    torch.testing.assert_close(added, image_gradient(network, images, classes))


def test_unpooling_is_that_of_torch(generator):
    x = torch.randn(2, 3, 9, 9, generator=generator)
    layer = MaxPoolLayer(nn.MaxPool2d(3, stride=2))
    layer.unpooling = "overwrite"
    y, kept = layer(x)
    signal = torch.randn(y.shape, generator=generator)
    expected = F.max_unpool2d(signal, kept[0], 3, 2, output_size=x.shape[2:])
    assert layer.carry_back(signal, kept).equal(expected)


# It leaves the network alone, and says what it cannot do


def test_it_shares_the_weights_and_leaves_the_network_as_it_was(generator):
    network = scored(nn.ReLU(inplace=True), nn.Dropout())
    network.train()
    network[0][0].eval()
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    both_ways = backward_network(network)
    images = torch.rand(2, 2, 9, 11, generator=generator, dtype=torch.float64)
    kept = images.clone()
    both_ways(images, torch.tensor([0, 1]))
    assert [module.training for module in network.modules()] == modes
    assert network[0][1].inplace
    assert images.equal(kept)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert {id(p) for p in both_ways.parameters()} == {id(p) for p in network.parameters()}
    # training goes on, the second network follows
    with torch.no_grad():
        network[2].weight.mul_(2)
    _, gradient = both_ways(images, torch.tensor([0, 1]))
    torch.testing.assert_close(gradient, image_gradient(network, images, [0, 1]))


def test_modes_are_restored_when_it_fails():
    network = scored(nn.ReLU()).train()
    both_ways = backward_network(network)
    with pytest.raises(RuntimeError):
        both_ways(torch.rand(1, 2, 40, 40, dtype=torch.float64), torch.tensor([0]))
    assert all(module.training for module in network.modules())


def test_it_needs_no_autograd(digits_network, digits, monkeypatch):
    images, classes = digits.images[:3], torch.arange(3)
    expected = image_gradient(digits_network, images, classes)
    both_ways = backward_network(digits_network)
    monkeypatch.setattr(torch.autograd, "grad", None)
    with torch.inference_mode():
        _, got = both_ways(images, classes)
    assert relative_difference(got, expected) < 1e-5


def test_one_class_serves_a_batch(digits_network, digits):
    both_ways = backward_network(digits_network)
    one = both_ways(digits.images[:4], torch.tensor([7]))[1]
    assert one.equal(both_ways(digits.images[:4], torch.tensor([7] * 4))[1])


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [
        (torch.rand(2, 1, 28, 28), [1, 2], "expected classes as a tensor of int64"),
        (torch.rand(2, 1, 28, 28), torch.tensor([1.0, 2]), "expected classes as a tensor of int64"),
        (torch.rand(2, 1, 28, 28), torch.tensor([1, 2, 3]), r"classes of shape \(2,\), got \(3,\)"),
        (torch.rand(2, 1, 28, 28), torch.tensor([1, 10]), r"classes from 0 to 9, got \[10\]"),
        (torch.rand(2, 1, 28, 28), torch.tensor([-1, 1]), r"classes from 0 to 9, got \[-1\]"),
        (torch.rand(1, 28, 28), torch.tensor([1]), r"expected a batch of images"),
        (torch.rand(1, 1, 32, 32), torch.tensor([1]), r"\(N, 1, 28, 28\), got \(1, 1, 32, 32\)"),
        (torch.full((1, 1, 28, 28), torch.nan), torch.tensor([1]), "expected finite images"),
    ],
)
def test_bad_input_is_named(digits_network, images, classes, message):
    with pytest.raises(ValueError, match=message):
        backward_network(digits_network)(images, classes)


class Branches(nn.Module):
    def forward(self, images):
        return images.flatten(1) if images.sum() > 0 else images.flatten(1) * 2


class TwoOutputs(nn.Module):
    def forward(self, images):
        return images, images


class Overwrites(nn.Module):
    def forward(self, images):
        return F.relu(images, inplace=True) + images


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.GELU()), "got _0_1: GELU"),
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.LayerNorm(4)), "got _0_1: LayerNorm"),
        (nn.Conv2d(2, 2, 3, padding_mode="circular"), "padding with zeros, got 'circular'"),
        (nn.Conv2d(2, 2, 2, padding="same"), "even kernel"),
        (nn.AvgPool2d(3, padding=1, count_include_pad=False), "windows are all alike"),
        (nn.AvgPool2d(3, ceil_mode=True), "windows are all alike"),
        (nn.BatchNorm2d(2, track_running_stats=False), "running statistics"),
        (nn.MaxPool2d(2, return_indices=True), "returns only the maxima"),
        (Branches(), "can be traced by torch.fx"),
        (TwoOutputs(), "returns one tensor"),
        (Overwrites(), "overwrites what another layer reads"),
    ],
)
def test_what_it_cannot_do_is_named(network, message):
    with pytest.raises(ValueError, match=message):
        backward_network(nn.Sequential(network))


def test_unknown_rules_are_named(digits_network):
    with pytest.raises(ValueError, match="expected a rule of gradient, deconvnet, guided"):
        backward_network(digits_network, rule="relu")
    with pytest.raises(ValueError, match="expected unpooling of add, overwrite, got 'sum'"):
        backward_network(digits_network, unpooling="sum")


# As one graph


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory):
    """Write a network's graph, once; returns the file and a session that runs it."""

    def write(network, images):
        path = tmp_path_factory.mktemp("graph") / "both_ways.onnx"
        export_onnx(backward_network(network), path, images=images)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return path, session

    return write


def run(session, images, classes):
    given = {"image": images.numpy(), "class": classes.numpy()}
    return [torch.from_numpy(one) for one in session.run(["scores", "gradient"], given)]


def test_graph_of_efficientnet_gives_scores_and_gradient(network, fitted, graph_of):
    images = torch.stack(list(fitted.values()))
    _, session = graph_of(network, images)
    classes = network(images).argmax(1)
    scores, gradients = run(session, images, classes)
    expected = network(images)
    assert (scores - expected).abs().max() < 1e-4
    # on the other photos some ReLU6 stands at its kink, and rounding decides on its mask
    clear = [list(fitted).index(name) for name in ("astronaut", "cat")]
    exact = image_gradient(network, images, classes)
    assert relative_difference(gradients[clear], exact[clear]) < 1e-4
    assert relative_difference(gradients, exact) < 0.01
    # one image as a batch, another class
    scores, gradients = run(session, images[2:3], torch.tensor([281]))
    assert (scores - expected[2:3]).abs().max() < 1e-4
    assert relative_difference(gradients, image_gradient(network, images[2:3], 281)) < 1e-4


def test_graph_is_one_lean_file(network, four_images, graph_of):
    path, _ = graph_of(network, four_images[:1])
    assert [one.name for one in path.parent.iterdir()] == ["both_ways.onnx"]
    weights = sum(p.numel() * 4 for p in network.parameters())
    assert path.stat().st_size < 1.02 * weights
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert all(one.version <= 21 for one in model.opset_import if not one.domain)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Conv") == kinds.count("ConvTranspose") == 49
    names = {one.name: one.type.tensor_type for one in model.graph.input}
    assert names["image"].elem_type == onnx.TensorProto.FLOAT
    assert names["class"].elem_type == onnx.TensorProto.INT64
    assert [one.name for one in model.graph.output] == ["scores", "gradient"]


def test_graph_of_the_digits_network_has_its_switches(digits_network, digits, graph_of):
    images, classes = digits.images[::10], torch.arange(100) % 10
    _, session = graph_of(digits_network, images)
    scores, gradient = run(session, images, classes)
    assert (scores - digits_network(images)).abs().max() < 1e-4
    expected = image_gradient(digits_network, images, classes)
    assert relative_difference(gradient, expected) < 1e-4


def test_graph_has_the_rules_of_the_time(digits_network, digits, tmp_path):
    images, classes = digits.images[::100], torch.arange(10)
    export_onnx(backward_network(digits_network, rule="guided"), tmp_path / "a", images=images)
    session = onnxruntime.InferenceSession(tmp_path / "a", providers=["CPUExecutionProvider"])
    expected = pseudo_gradient(digits_network, images, classes, rule="guided")
    assert relative_difference(run(session, images, classes)[1], expected) < 1e-4


def test_export_leaves_the_network_as_it_was(digits, digits_network, tmp_path):
    network = copy.deepcopy(digits_network.layers).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_onnx(backward_network(network), tmp_path / "a.onnx", images=digits.images[:1])
    assert all(module.training for module in network.modules())
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_missing_package_is_named(digits_network, digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'deepinside\[onnx\]'"):
        export_onnx(backward_network(digits_network), tmp_path / "a", images=digits.images[:1])
    assert not list(tmp_path.iterdir())
