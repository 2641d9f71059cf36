import copy
import threading

import pytest
import torch
import torchvision
from backward_network.small_networks import (
    THREE_CLASSES,
    relative_difference,
    scored,
    three_images,
)
from plain_squeezenet import EXACTLY, plainly, small_squeezenet
from torch import nn
from torch.nn import functional as F

from deepinside.backward_network import backward_network
from deepinside.backward_network.layers import ReLULayer
from deepinside.deconvnet import RULES, pseudo_gradient
from deepinside.images import fit_photo, load_photo
from deepinside.networks import Network, Normalization, in_evaluation_mode, load_network
from deepinside.saliency import image_gradient

rules = pytest.mark.parametrize("rule", RULES)


# It is the gradient


def assert_equals_autograd(network, images, classes):
    scores, gradient = backward_network(network)(images, classes)
    with torch.no_grad():
        assert scores.equal(in_evaluation_mode(network)(images))
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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("squeezenet1_1", {}),
        ("googlenet", {"transform_input": False, "init_weights": False}),
        ("densenet121", {}),
    ],
)
def test_it_equals_autograd_on_networks_that_concatenate(name, options, generator):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, **options).double()
    images = torch.rand(2, 3, 64, 64, generator=generator, dtype=torch.float64)
    assert_equals_autograd(network, images, torch.tensor([3, 900]))


@pytest.mark.parametrize("name", ["cat", "camera", "coffee", "coins"])
def test_gradient_of_squeezenet_is_float64s_given_its_masks_and_switches(squeezenet, name):
    exact = copy.deepcopy(squeezenet).double()
    image = fit_photo(load_photo(name), squeezenet)[0][None]
    classes = squeezenet(image).argmax(1)
    expected = image_gradient(exact, image.double(), classes)
    _, kept = backward_network(exact).scores_and_kept(image.double())
    kept = {name: k.float() if isinstance(k, torch.Tensor) else k for name, k in kept.items()}
    score = F.one_hot(classes, 1000).float()
    got = backward_network(squeezenet).carry_back(score, kept)["input"]
    assert relative_difference(got.double(), expected) < 1e-5
    if name in ("coffee", "coins"):
        # on the others rounding decides on a switch or on the mask of some neuron
        rounded = image_gradient(squeezenet, image, classes)
        assert relative_difference(rounded.double(), expected) < 1e-5


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


@rules
@pytest.mark.parametrize("unpooling", ["add", "overwrite"])
@pytest.mark.parametrize("side", [33, 36])
def test_its_signals_are_those_of_plain_loops(side, unpooling, rule, generator):
    network, classes = small_squeezenet(), torch.tensor([3, 0])
    images = torch.rand(2, 3, side, side + 2, generator=generator, dtype=torch.float64)
    signals = backward_network(network, rule=rule, unpooling=unpooling).signals(images, classes)
    score = F.one_hot(classes, 5).double()
    _, back = plainly(network, images, rule, unpooling)
    torch.testing.assert_close(signals["input"], back(score), **EXACTLY)
    _, back = plainly(network[3:], network[:3](images).detach(), rule, unpooling)
    torch.testing.assert_close(signals["pool1"], back(score), **EXACTLY)


def test_given_the_masks_it_is_linear(digits_network, digits):
    images = digits.images[:5]
    both_ways = backward_network(digits_network)
    _, kept = both_ways.scores_and_kept(images)
    a, b = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    back_from_a, back_from_b, back_from_both = (
        both_ways.carry_back(signal, kept)["input"] for signal in (a, b, 2 * a - b)
    )
    torch.testing.assert_close(back_from_both, 2 * back_from_a - back_from_b, rtol=1e-4, atol=1e-5)


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
    assert both_ways["layers.conv_stem"].convolution is network.layers.conv_stem
    assert isinstance(both_ways["layers.bn1"], ReLULayer)
    with pytest.raises(ValueError, match=r"expected a layer's name, such as .*, got 'bn1'"):
        both_ways["bn1"]


# It leaves the network alone, and says what it cannot do


def test_it_shares_the_weights_and_leaves_the_network_as_it_was():
    network = scored(nn.ReLU(inplace=True), nn.Dropout())
    network.train()
    network[0][0].eval()
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    both_ways = backward_network(network).train().eval()
    images = three_images()
    both_ways(images, THREE_CLASSES)
    assert [module.training for module in network.modules()] == modes
    assert network[0][1].inplace
    assert images.equal(three_images())
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert {id(p) for p in both_ways.parameters()} == {id(p) for p in network.parameters()}
    # training goes on, the second network follows
    with torch.no_grad():
        network[2].weight.mul_(2)
    _, gradient = both_ways(images, THREE_CLASSES)
    torch.testing.assert_close(gradient, image_gradient(network, images, THREE_CLASSES))


def test_threads_can_share_it_and_the_network():
    network = scored(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.RReLU())
    both_ways = backward_network(network)
    batches = [three_images(seed) for seed in range(2)]
    expected = [both_ways(images, THREE_CLASSES)[1] for images in batches]
    got, done = [[], []], threading.Event()

    def compute(i):
        got[i] = [both_ways(batches[i], THREE_CLASSES)[1] for _ in range(200)]

    def switch():
        while not done.is_set():
            network.train()
            network.eval()

    computing = [threading.Thread(target=compute, args=[i]) for i in range(2)]
    switching = threading.Thread(target=switch)
    for thread in (switching, *computing):
        thread.start()
    for thread in computing:
        thread.join()
    done.set()
    switching.join()
    for gradients, gradient in zip(got, expected, strict=True):
        assert len(gradients) == 200
        assert all(found.equal(gradient) for found in gradients)


@pytest.mark.parametrize("without_gradient", [torch.inference_mode, torch.no_grad])
def test_it_needs_no_autograd(without_gradient, digits_network, digits, monkeypatch):
    images, classes = digits.images[:3], torch.arange(3)
    expected = image_gradient(digits_network, images, classes)
    monkeypatch.setattr(torch.autograd, "grad", None)
    with without_gradient():
        _, got = backward_network(digits_network)(images, classes)
    assert relative_difference(got, expected) < 1e-5


def test_one_class_serves_a_batch(digits_network, digits):
    both_ways = backward_network(digits_network)
    gradient = both_ways(digits.images[:4], torch.tensor([7]))[1]
    assert gradient.equal(both_ways(digits.images[:4], torch.tensor([7] * 4))[1])


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
        (torch.full((1, 1, 28, 28), 255.0), torch.tensor([1]), "divide by 255"),
        (torch.full((1, 1, 28, 28), -2.0), torch.tensor([1]), "are they normalized"),
        (torch.zeros(1, 1, 28, 28, device="meta"), torch.tensor([1]), "expected images"),
        (torch.zeros(0, 1, 28, 28), torch.tensor([1]), "expected a batch of images"),
        (torch.zeros(1, 1, 28, 28).half(), torch.tensor([1]), "images of the network's type"),
        (None, torch.tensor([1]), "expected images as a tensor"),
        (torch.zeros(1, 1, 28, 28), None, "classes as a tensor of int64, got None"),
        (torch.zeros(1, 1, 28, 28), 1, "classes as a tensor of int64, got 1"),
        (torch.zeros(1, 1, 28, 28), torch.tensor([True]), "classes as a tensor of int64"),
        (torch.zeros(1, 1, 28, 28), torch.tensor(1), r"classes of shape \(1,\), got \(\)"),
        (torch.zeros(1, 1, 28, 28), torch.zeros(1, dtype=int, device="meta"), "of int64, got"),
    ],
)
def test_bad_input_is_named(digits_network, images, classes, message):
    with pytest.raises(ValueError, match=message):
        backward_network(digits_network)(images, classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda signal: None, r"expected a signal of floats, \(2, 10\), got None"),
        (lambda signal: signal.tolist(), "expected a signal of floats"),
        (lambda signal: signal.long(), "expected a signal of floats"),
        (lambda signal: signal.to("meta"), "expected a signal of floats"),
        (lambda signal: signal[:1], r"a signal of shape \(2, 10\), got \(1, 10\)"),
        (lambda signal: signal[0], r"a signal of shape \(2, 10\), got \(10,\)"),
        (lambda signal: signal[:, :9], r"a signal of shape \(2, 10\), got \(2, 9\)"),
        (lambda signal: signal * torch.nan, "expected a finite signal"),
    ],
)
def test_what_is_no_signal_is_named(digits_network, digits, change, message):
    both_ways = backward_network(digits_network)
    scores, kept = both_ways.scores_and_kept(digits.images[:2])
    assert both_ways.carry_back(torch.ones_like(scores), kept)["input"].abs().amax(1).sum() > 0
    with pytest.raises(ValueError, match=message):
        both_ways.carry_back(change(torch.ones_like(scores)), kept)
    for nothing in (None, {}, {"input": scores.shape}):
        with pytest.raises(ValueError, match="expected what scores_and_kept returns, got"):
            both_ways.carry_back(scores, nothing)


@pytest.mark.parametrize("wrong", [None, "digits", F.relu, torch.zeros(2)])
def test_what_is_no_network_is_named(wrong):
    with pytest.raises(ValueError, match=r"expected a network as an nn\.Module, got"):
        backward_network(wrong)


def with_weights_of(value):
    network = scored(nn.ReLU())
    nn.init.constant_(network[2].weight, value)
    return network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (with_weights_of(torch.nan), "expected finite class scores"),
        (with_weights_of(torch.inf), "expected finite class scores"),
    ],
)
def test_scores_that_are_none_are_named(network, message):
    with pytest.raises(ValueError, match=message):
        backward_network(network)(three_images(), torch.tensor([0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_pseudo_gradient_of_half_precision(digits, dtype):
    network = load_network("digits")
    expected = image_gradient(network, digits.images[:2], 7)
    network.to(dtype)
    images = digits.images[:2].to(dtype)
    got = backward_network(network)(images, torch.tensor([7, 7]))[1]
    assert got.dtype == dtype
    assert relative_difference(got.float(), image_gradient(network, images, 7).float()) < 0.05
    assert relative_difference(got.float(), expected) < 0.15


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_signals_are_had_in_every_mode_and_of_every_default_type(digits_network, digits, mode):
    classes = torch.tensor([7, 7])
    expected = backward_network(digits_network)(digits.images[:2], classes)[1]
    torch.set_default_dtype(torch.float64)
    try:
        with mode():
            got = backward_network(digits_network)(digits.images[:2].clone(), classes)[1]
    finally:
        torch.set_default_dtype(torch.float32)
    assert got.equal(expected)
    with torch.autocast("cpu"), pytest.raises(ValueError, match="expected no autocast"):
        backward_network(digits_network)(digits.images[:2], classes)


def test_unknown_rules_are_named(digits_network):
    with pytest.raises(ValueError, match="expected a rule of gradient, deconvnet, guided"):
        backward_network(digits_network, rule="relu")
    with pytest.raises(ValueError, match="expected unpooling of add, overwrite, got 'sum'"):
        backward_network(digits_network, unpooling="sum")


# Its scores are the network's own


class Switched(nn.Module):
    """What it computes depends on an attribute, which its layers do not tell."""

    passes = 0

    def __init__(self):
        super().__init__()
        self.relu, self.flatten = nn.ReLU(), nn.Flatten()
        self.switch = False

    def forward(self, images):
        Switched.passes += 1
        x = self.relu(images)
        return self.flatten(x + x if self.switch else x)


def test_scores_are_compared_with_the_networks_own():
    network = Switched()
    both_ways = backward_network(network)
    network.switch = True
    for blank in (torch.zeros(1, 2, 3, 3), torch.zeros(2, 2, 3, 3)):
        for compute in (both_ways, both_ways.signals):
            with pytest.raises(
                ValueError, match=r"the network's own scores.* got \[.*\] and not \["
            ):
                compute(blank, torch.tensor([0]))
        with pytest.raises(ValueError, match="the network's own scores"):
            both_ways.scores_and_kept(blank)


def test_scores_are_compared_once_for_each_size():
    both_ways = backward_network(Switched())
    passes = []
    for side in (3, 3, 4, 3, 4, 5):
        before = Switched.passes
        both_ways(torch.rand(2, 2, side, side), torch.tensor([0]))
        passes.append(Switched.passes - before)
    assert passes == [1, 0, 1, 0, 0, 1]


class Doubling(Network):
    def forward(self, images):
        return 2 * super().forward(images)


def test_scores_of_a_network_are_compared_when_it_is_built():
    network = Doubling(
        Normalization(torch.tensor([0.3])[:, None, None], torch.tensor([0.5])[:, None, None]),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()),
        name="doubling",
        class_names=[str(c) for c in range(18)],
        input_size=(5, 5),
        resized_side=5,
        interpolation="bilinear",
    )
    with pytest.raises(ValueError, match="the network's own scores"):
        backward_network(network)


def test_scores_are_those_of_classes():
    with pytest.raises(ValueError, match=r"shape \(1, classes\), got \(1, 4, 7, 9\)"):
        backward_network(scored(nn.ReLU())[0])(three_images(), THREE_CLASSES)
    # flattened as one image
    network = nn.Sequential(nn.ReLU(), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"shape \(1, classes\), got \(198,\)"):
        backward_network(network)(three_images(), THREE_CLASSES)
