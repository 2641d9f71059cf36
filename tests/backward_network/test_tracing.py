import copy
import threading
from collections import OrderedDict

import pytest
import torch
from backward_network.small_networks import THREE_CLASSES, scored, three_images
from torch import nn
from torch.nn import functional as F

from deepinside.backward_network import backward_network
from deepinside.deconvnet import pseudo_gradient
from deepinside.saliency import image_gradient


class Small(nn.Module):
    """Two convolutions and three scores; what it computes is given as a function of its parts."""

    def __init__(self, compute):
        super().__init__()
        torch.manual_seed(6)
        self.first, self.again = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.overwriting = nn.ReLU(), nn.ReLU(inplace=True)
        self.dropout, self.identity = nn.Dropout(), nn.Identity()
        self.last = nn.Linear(4 * 9 * 11, 3)
        self.compute = compute
        self.double()

    def forward(self, images):
        return self.compute(self, images)


def assert_same(network, plain):
    """Compare scores and gradient with those of a network that does the same more plainly."""
    scores, gradient = backward_network(network)(three_images(), THREE_CLASSES)
    plain.eval()
    torch.testing.assert_close(scores, plain(three_images()).detach())
    expected = image_gradient(plain, three_images(), THREE_CLASSES)
    torch.testing.assert_close(gradient, expected)
    assert expected.abs().sum() > 0


# Calls are layers, too


def calls_only(net, images):
    x = F.relu(net.first(images))
    x = F.max_pool2d(x, 2)
    y = net.overwriting(net.again(x))
    y = F.leaky_relu(net.again(y), 0.1)
    y += x
    y = torch.add(y, y)
    y = net.overwriting(y)
    y = F.avg_pool2d(y, kernel_size=2)
    y = F.adaptive_max_pool2d(y, (2, 2))
    y = F.adaptive_avg_pool2d(y, (9, 11)).relu()
    unused = torch.sigmoid(y)  # noqa: F841
    y = F.dropout(torch.flatten(y, 1), training=net.training)
    return net.last(y)


def test_calls_are_layers_too():
    network = Small(calls_only)
    assert_same(network, copy.deepcopy(network))
    both_ways = backward_network(network)
    kinds = [type(layer).__name__ for layer in both_ways.layers]
    assert kinds.count("SumLayer") == 2
    assert kinds.count("ReLULayer") == 5
    # for a ReLU that is a call, the second network has the rules that hooks cannot give
    with pytest.raises(ValueError, match="expected every ReLU to be a module"):
        pseudo_gradient(network, three_images(), THREE_CLASSES, rule="guided")
    _, gradient = both_ways(three_images(), THREE_CLASSES)
    _, guided = both_ways.use(rule="guided")(three_images(), THREE_CLASSES)
    assert not guided.equal(gradient)


class Joined(nn.Module):
    """Two outputs, of 4 and of 3 channels, joined as a function says."""

    def __init__(self, join):
        super().__init__()
        torch.manual_seed(9)
        self.again, self.join = nn.Conv2d(4, 3, 3, padding=1), join

    def forward(self, x):
        return F.relu(self.join(F.relu(x), self.again(x)))


CONCATENATIONS = {
    "tuple": lambda x, y: torch.cat((x, y), 1),
    "list, dim by name": lambda x, y: torch.concat([x, y], dim=1),
    "dim by its other name": lambda x, y: torch.cat([x, y], axis=1),
    "all by name": lambda x, y: torch.concatenate(dim=1, tensors=[x, y]),
    "of a sum by name": lambda x, y: torch.cat([torch.add(input=y, other=y), y], 1),
    "counted from the end": lambda x, y: torch.cat((x, y), -3),
    "along the columns": lambda x, y: torch.cat((x, x), 3),
    "three, one of them twice": lambda x, y: torch.cat([y, x, y], 1),
    "one": lambda x, y: torch.cat([y], 1),
    "of earlier ones": lambda x, y: torch.cat([x, torch.cat([x, y], 1), y], 1),
    "of poolings": lambda x, y: torch.cat(
        [F.max_pool2d(x, 3, 1, 1), F.avg_pool2d(y, kernel_size=3, stride=1, padding=1)], 1
    ),
    "flat": lambda x, y: torch.cat([x.flatten(1), torch.flatten(y, 1)], -1),
}


@pytest.mark.parametrize("join", CONCATENATIONS.values(), ids=CONCATENATIONS)
def test_concatenations_are_layers_too(join):
    network = scored(Joined(join))
    assert_same(network, copy.deepcopy(network))


# Each layer has one name, that of the network's module


def test_names_are_those_of_the_modules(network):
    names = backward_network(network).names
    modules = {name for name, _ in network.named_modules()}
    assert len(set(names)) == len(names)
    # EfficientNet-Lite0 has nine sums
    assert set(names) - modules == {"add", *(f"add_{i}" for i in range(1, 9))}
    assert "layers.blocks.1.0.conv_pw" in names


def test_calls_have_names_of_their_own():
    def compute(net, images):
        x = net.relu(F.relu(net.first(images)) + net.again(net.first(images)))
        return net.last(torch.flatten(net.again(x) + x, 1))

    network = Small(compute)
    both_ways = backward_network(network)
    assert both_ways.names == (
        *("first", "relu_1", "first_1", "again", "add", "relu", "again_1", "add_1", "flatten"),
        "last",
    )
    assert both_ways["first"].convolution is both_ways["first_1"].convolution is network.first
    assert_same(network, copy.deepcopy(network))


def test_no_layer_takes_the_name_of_the_images():
    layers = {"input": nn.Conv2d(2, 3, (9, 11)).double(), "flat": nn.Flatten()}
    network = nn.Sequential(OrderedDict(layers))
    assert backward_network(network).names == ("input_1", "flat")
    assert_same(network, copy.deepcopy(network))


# What works in place changes what others read


def sum_overwrites(net, images):
    x = net.first(images)
    skip = x
    x += net.again(x)
    return net.last(torch.flatten(net.relu(x + skip), 1))


def bare_sum_overwrites(net, images):
    x = net.first(images)
    x.add_(net.again(x))
    return net.last(torch.flatten(net.relu(x + x), 1))


def sum_overwrites_what_does_nothing_passed_on(net, images):
    x = net.first(images)
    skip = net.identity(input=F.dropout(net.dropout(x), training=net.training))
    x += net.again(x)
    return net.last(torch.flatten(net.relu(x + skip), 1))


def relu_overwrites(net, images):
    x = net.first(images)
    return net.last(torch.flatten(net.again(x) + net.overwriting(x) + x, 1))


def called_relu_overwrites(net, images):
    x = net.first(images)
    y = net.again(x)
    F.relu(x, True)
    return net.last(torch.flatten(y + x + x, 1))


def flat_is_overwritten(net, images):
    x = torch.flatten(net.first(images), 1)
    net.overwriting(x)
    return net.last(x)


def overwrites_under_a_view(net, images):
    x = net.first(images)
    flat = torch.flatten(x, 1)
    net.overwriting(x)
    return net.last(flat)


def overwrites_through_a_view(net, images):
    x = net.first(images)
    net.overwriting(torch.flatten(x, 1))
    return net.last(torch.flatten(x, 1))


def overwrites_data(net, images):
    x = net.first(images)
    x.data.add_(net.again(x))
    return net.last(torch.flatten(x, 1))


def subtracts_from_the_images(net, images):
    images.sub_(0.5)
    return net.last(torch.flatten(net.first(images), 1))


def rectifies_the_images(net, images):
    rectified = F.relu(images, inplace=True)
    return net.last(torch.flatten(net.first(images) + net.first(rectified), 1))


def multiplies_in_place(net, images):
    x = net.first(images)
    skip = x
    x *= 2
    return net.last(torch.flatten(skip, 1))


def calls_what_works_in_place(net, images):
    x = net.first(images)
    x.clamp_(0, 1)
    return net.last(torch.flatten(x, 1))


def overwrites_what_noise_does_not_show(net, images):
    x = net.first(images)
    x.clamp_(-100, 100)
    return net.last(torch.flatten(x, 1))


def writes_out(net, images):
    x = net.first(images)
    torch.tanh(net.again(x), out=x)
    return net.last(torch.flatten(x, 1))


def calls_an_activation_in_place(net, images):
    x = net.first(images)
    F.elu(x, inplace=True)
    return net.last(torch.flatten(x, 1))


@pytest.mark.parametrize(
    "overwriting",
    [
        sum_overwrites,
        bare_sum_overwrites,
        sum_overwrites_what_does_nothing_passed_on,
        relu_overwrites,
        called_relu_overwrites,
        flat_is_overwritten,
        overwrites_under_a_view,
        overwrites_through_a_view,
        overwrites_data,
        subtracts_from_the_images,
        rectifies_the_images,
        multiplies_in_place,
        calls_what_works_in_place,
        overwrites_what_noise_does_not_show,
        writes_out,
        calls_an_activation_in_place,
    ],
)
def test_what_overwrites_what_others_read_is_refused(overwriting):
    network, images = Small(overwriting), three_images()
    with pytest.raises(ValueError, match=r"expected layers .* got"):
        backward_network(network)(images, THREE_CLASSES)
    assert images.equal(three_images())


def overwrites_what_nobody_else_reads(net, images):
    x = net.overwriting(net.first(images))
    x += net.overwriting(net.again(x))
    x = F.relu(x, inplace=True)
    return net.last(torch.flatten(x, 1))


def computes_the_same_plainly(net, images):
    x = net.relu(net.first(images))
    x = net.relu(x + net.relu(net.again(x)))
    return net.last(torch.flatten(x, 1))


def test_what_overwrites_what_nobody_else_reads_is_taken():
    network = Small(overwrites_what_nobody_else_reads)
    assert_same(network, Small(computes_the_same_plainly))


# What it cannot do it says


class Branches(nn.Module):
    def forward(self, images):
        return images.flatten(1) if images.sum() > 0 else images.flatten(1) * 2


class TwoOutputs(nn.Module):
    def forward(self, images):
        return images, images


class Weighs(nn.Conv2d):
    def forward(self, images):
        return F.conv2d(images, self.weight * 2)


class Computes(nn.Module):
    """A function as a part of a network."""

    def __init__(self, compute):
        super().__init__()
        self.compute = compute

    def forward(self, x):
        return self.compute(x)


class RuledReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return F.relu(x)

    @staticmethod
    def backward(ctx, signal):
        return F.relu(signal)


def partly_without_gradient(x):
    with torch.no_grad():
        y = F.relu(x)
    return x + y


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(2, 2, 3), nn.GELU()),
            r"^expected layers of the kinds that help\(backward_network\) lists, got 0\.1: GELU$",
        ),
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.LayerNorm(4)), r"got 0\.1: LayerNorm"),
        (nn.Conv2d(2, 2, 3, padding_mode="circular"), "0: .* zeros, got 'circular'"),
        (nn.Conv2d(2, 2, 2, padding="same"), "even kernel"),
        (nn.AvgPool2d(3, padding=1, count_include_pad=False), "windows are all alike"),
        (nn.AvgPool2d(3, ceil_mode=True), "windows are all alike"),
        (nn.BatchNorm2d(2, track_running_stats=False), "running statistics"),
        (nn.MaxPool2d(2, return_indices=True), "returns only the maxima"),
        (Branches(), "can be traced by torch.fx"),
        (TwoOutputs(), "returns one tensor"),
        (Weighs(2, 2, 3), "got conv2d: conv2d"),
        (Computes(lambda x: x * (x > 0)), "got gt: gt"),
        (Computes(lambda x: x + 1), "add: expected a sum of two layers' outputs"),
        (Computes(lambda x: torch.add(x, x, alpha=2)), "add: expected a sum of two"),
        (Computes(lambda x: x + torch.ones(9, 11)), "add: expected a sum of two"),
        (Computes(lambda x: torch.add(torch.ones(9, 11), x)), "add: expected a sum of two"),
        (Computes(lambda x: torch.cat([x, torch.ones(1, 2, 9, 11)], 1)), "cat: .* layers' outputs"),
        (Computes(lambda x: torch.cat([x, x])), "cat: .* not of images, dim 0"),
        (Computes(lambda x: torch.cat([x, x], -4)), "cat: .* not of images, dim 0"),
        (Computes(lambda x: torch.cat([x, x], axis=0)), "cat: .* not of images, dim 0"),
        (Computes(lambda x: torch.stack([x, x], 1)), "got stack: stack"),
        (Computes(RuledReLU.apply), "relu .* is called without gradient or with one of its own"),
        (Computes(partly_without_gradient), "relu .* is called without gradient"),
        (Computes(lambda x: x), "returns one tensor"),
        (Computes(F.dropout), "dropout: expected dropout that evaluation mode switches off"),
        (Computes(lambda x: F.dropout(x, training=True)), "that evaluation mode switches off"),
    ],
)
def test_what_it_cannot_do_is_named(network, message):
    with pytest.raises(ValueError, match=message):
        backward_network(nn.Sequential(network))


def hooked(register):
    def change(network):
        getattr(network[0][1], register)(lambda *_: None)

    return change


def with_forward_replaced(network):
    network[0][1].forward = lambda x: x.clamp(min=0)


def with_a_hook_on_the_whole(network):
    network.register_forward_hook(lambda *_: None)


def with_parametrization(network):
    nn.utils.parametrizations.weight_norm(network[0][0])


CHANGES = {
    "forward hook on '0.1'": hooked("register_forward_hook"),
    "forward pre-hook on '0.1'": hooked("register_forward_pre_hook"),
    "backward hook on '0.1'": hooked("register_full_backward_hook"),
    "backward pre-hook on '0.1'": hooked("register_full_backward_pre_hook"),
    "forward pass of its own on '0.1'": with_forward_replaced,
    "a forward hook on 'Sequential'": with_a_hook_on_the_whole,
    "a parametrization on '0.0.parametrizations.weight'": with_parametrization,
}


@pytest.mark.parametrize(("message", "change"), CHANGES.items(), ids=CHANGES)
def test_changed_layers_are_named(message, change):
    network = scored(nn.ReLU())
    both_ways = backward_network(network)
    both_ways(three_images(), THREE_CLASSES)
    change(network)
    with pytest.raises(ValueError, match=message):
        backward_network(network)
    # those that are changed later, too
    with pytest.raises(ValueError, match=message):
        both_ways(three_images(), THREE_CLASSES)


def test_dropout_of_probability_0_is_none():
    network = Small(lambda net, images: net.last(torch.flatten(F.dropout(net.first(images), 0), 1)))
    assert_same(network, copy.deepcopy(network))


# Nobody notices


def test_others_can_compute_while_it_traces():
    network, images = scored(nn.ReLU()).eval(), three_images()
    expected, call = network(images), nn.Module.__call__
    wrong, done = [], threading.Event()

    def compute():
        while not done.is_set():
            if not network(images).equal(expected):
                wrong.append("scores")

    other = threading.Thread(target=compute)
    other.start()
    for _ in range(50):
        if not backward_network(network)(images, THREE_CLASSES)[0].equal(expected):
            wrong.append("scores of the backward network")
    done.set()
    other.join()
    assert not wrong
    assert nn.Module.__call__ is call
