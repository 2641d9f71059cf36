import copy

import pytest
import torch
from backward_network.small_networks import THREE_CLASSES, scored, three_images
from plain_squeezenet import max_pooling
from torch import nn
from torch.nn import functional as F

from deepinside.backward_network import backward_network
from deepinside.backward_network.layers import MaxPoolLayer, SumLayer
from deepinside.deconvnet import RULES, pseudo_gradient
from deepinside.saliency import image_gradient


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
    "batch norm": lambda: with_statistics(nn.BatchNorm2d(4, eps=0.1)),
    "batch norm, not affine": lambda: with_statistics(nn.BatchNorm2d(4, affine=False)),
    "max-pool": lambda: nn.MaxPool2d(2),
    "max-pool, overlapping": lambda: nn.MaxPool2d(3, stride=2),
    "max-pool, stride 1": lambda: nn.MaxPool2d((3, 2), stride=1, padding=1),
    "max-pool, ceil": lambda: nn.MaxPool2d((2, 3), stride=(2, 4), ceil_mode=True),
    "max-pool, dilated": lambda: nn.MaxPool2d(2, dilation=2, stride=2),
    "max-pool, to one place": lambda: nn.AdaptiveMaxPool2d(1),
    "max-pool, to a fixed size": lambda: nn.AdaptiveMaxPool2d((3, 5)),
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
    "randomized": nn.RReLU,
    "dropout": nn.Dropout,
    "identity": nn.Identity,
}


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_each_layer_equals_autograd_exactly(layer, rule):
    network = scored(layer(), nn.LeakyReLU(0.5)).eval()
    images = three_images() * 2.5  # so that ReLU6 saturates here and there
    scores, gradient = backward_network(network, rule=rule)(images, THREE_CLASSES)
    with torch.no_grad():
        assert scores.equal(network(images))
    expected = pseudo_gradient(network, images, THREE_CLASSES, rule=rule)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_each_layer_computes_as_in_evaluation_mode(layer):
    network = scored(layer(), nn.LeakyReLU(0.5)).train()
    twin = copy.deepcopy(network).eval()
    both_ways = backward_network(network).train()
    scores, gradient = both_ways(three_images(), THREE_CLASSES)
    with torch.no_grad():
        assert scores.equal(twin(three_images()))
    expected = image_gradient(twin, three_images(), THREE_CLASSES)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    assert all(module.training for module in network.modules() if module is not network[0])


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


def test_a_signal_goes_to_the_place_of_each_channel_s_maximum():
    x = torch.tensor([[[[1.0, 2, 3], [4, 9, 5]], [[0, 0, 0], [0, 0, 0]]]])
    pool = nn.AdaptiveMaxPool2d(1)
    layer = MaxPoolLayer(pool)
    y, kept = layer(x)
    assert y.flatten().tolist() == [9, 0]
    carried = layer.carry_back(torch.tensor([[[[7.0]], [[8.0]]]]), kept)
    # of equal values, to the first
    assert carried[0].tolist() == [[[0, 0, 0], [0, 7, 0]], [[8, 0, 0], [0, 0, 0]]]
    assert not pool.return_indices


@pytest.mark.parametrize(("stride", "same"), [(3, True), (2, False)])
def test_unpooling_is_the_gradient_where_windows_are_disjoint(stride, same):
    network = scored(nn.MaxPool2d(3, stride=stride))
    both_ways = backward_network(network)
    _, added = both_ways(three_images(), THREE_CLASSES)
    _, overwritten = both_ways.use(unpooling="overwrite")(three_images(), THREE_CLASSES)
    assert added.equal(overwritten) == same
    torch.testing.assert_close(added, image_gradient(network, three_images(), THREE_CLASSES))


def test_unpooling_is_that_of_torch_on_one_thread(generator, one_thread):
    # with several, which signal torch keeps where windows overlap is left to chance
    x = torch.randn(2, 3, 9, 9, generator=generator)
    layer = MaxPoolLayer(nn.MaxPool2d(3, stride=2))
    layer.unpooling = "overwrite"
    y, kept = layer(x)
    signal = torch.randn(y.shape, generator=generator)
    expected = F.max_unpool2d(signal, kept[0], 3, 2, output_size=x.shape[2:])
    assert layer.carry_back(signal, kept).equal(expected)


@pytest.mark.parametrize("unpooling", ["add", "overwrite"])
@pytest.mark.parametrize("size", [(7, 9), (8, 10), (7, 4), (3, 2)])
def test_windows_that_reach_over_the_edge_are_those_of_loops(size, unpooling, generator):
    # rectified, so that some windows have only zeros
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).relu()
    pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    layer = MaxPoolLayer(pool)
    layer.unpooling = unpooling
    y, kept = layer(x)
    expected, back = max_pooling(x, unpooling)
    assert y.equal(expected)
    signal = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(layer.carry_back(signal, kept), back(signal))
    if unpooling == "add":
        given = x.requires_grad_()
        torch.testing.assert_close(torch.autograd.grad(pool(given), given, signal)[0], back(signal))


def test_slopes_are_those_that_the_network_has_at_the_time():
    network = scored(nn.PReLU(4)).float()
    both_ways = backward_network(network)
    network.double()
    with torch.no_grad():
        network[0][1].weight.mul_(-2)
    _, gradient = both_ways(three_images(), THREE_CLASSES)
    torch.testing.assert_close(gradient, image_gradient(network, three_images(), THREE_CLASSES))


def test_terms_of_a_sum_have_one_shape():
    layer = SumLayer()
    with pytest.raises(ValueError, match=r"a sum of one shape, got \(2, 3\) and \(2, 1\)"):
        layer(torch.rand(2, 3), torch.rand(2, 1))
