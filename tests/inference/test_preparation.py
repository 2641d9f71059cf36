import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import nn

from deepinside.inference.packed import PackedConv2d
from deepinside.inference.preparation import (
    fold_batch_norm,
    make_padding_static,
    prepare,
)


def random_norm(channels, *, generator, affine=True):
    norm = nn.BatchNorm2d(channels, affine=affine, dtype=torch.float64)
    return randomized(norm, generator=generator)


def randomized(module, *, generator):
    """Give every parameter and running statistic a value of its own; variances stay positive."""
    with torch.no_grad():
        for name, values in [*module.named_parameters(), *module.named_buffers()]:
            if values.is_floating_point():
                drawn = torch.randn(values.shape, generator=generator, dtype=values.dtype)
                values.copy_(drawn.exp() if name.endswith("running_var") else drawn)
    return module.eval()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_fold_equals_normalizing_each_channel_by_hand(affine, bias, groups, stride, seed):
    generator = torch.Generator().manual_seed(seed)
    convolution = nn.Conv2d(
        4, 6, (3, 2), stride=stride, groups=groups, bias=bias, dtype=torch.float64
    )
    randomized(convolution, generator=generator)
    norm = random_norm(6, generator=generator, affine=affine)
    images = torch.randn(2, 4, 7, 6, generator=generator, dtype=torch.float64)
    convolved = convolution(images)
    expected = torch.empty_like(convolved)
    for channel in range(6):
        deviation = (norm.running_var[channel] + norm.eps) ** 0.5
        expected[:, channel] = (convolved[:, channel] - norm.running_mean[channel]) / deviation
        if affine:
            expected[:, channel] *= norm.weight[channel]
            expected[:, channel] += norm.bias[channel]

    network = nn.Sequential(convolution, norm)
    assert fold_batch_norm(network) == 1
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network)
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(network[0](images), expected, rtol=1e-12, atol=1e-12)


class OneConvolution(nn.Module):
    """A convolution and a norm, put together in the way that `wiring` says."""

    def __init__(self, wiring, *, generator, norm=None):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1, dtype=torch.float64)
        self.norm = nn.BatchNorm2d(3, dtype=torch.float64) if norm is None else norm
        self.wiring = wiring
        randomized(self, generator=generator)

    def forward(self, images):
        return self.wiring(self.convolution, self.norm, images)


NOT_FOLDED = {
    "convolution called twice": lambda conv, norm, x: norm(conv(conv(x))),
    "convolution called twice, once without the norm": lambda conv, norm, x: conv(norm(conv(x))),
    "output of the convolution used twice": lambda conv, norm, x: norm(y := conv(x)) + y,
    "norm called twice": lambda conv, norm, x: norm(norm(conv(x))),
    "norm before the convolution, as in DenseNet": lambda conv, norm, x: conv(norm(x)),
    "something between the two": lambda conv, norm, x: norm(conv(x).relu()),
    "a branch that depends on the values": lambda conv, norm, x: (
        norm(conv(x)) if x.sum() > 0 else conv(x)
    ),
}


@pytest.mark.parametrize("wiring", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_what_cannot_be_folded_is_left_as_it_is(wiring, generator):
    network = OneConvolution(wiring, generator=generator)
    before = copy.deepcopy(network.state_dict())
    images = torch.rand(2, 3, 6, 5, generator=generator, dtype=torch.float64)
    expected = network(images)
    assert fold_batch_norm(network) == 0
    assert isinstance(network.norm, nn.BatchNorm2d)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert network(images).equal(expected)


def test_norm_without_running_statistics_is_left(generator):
    norm = nn.BatchNorm2d(3, track_running_stats=False, dtype=torch.float64)
    network = OneConvolution(lambda conv, norm, x: norm(conv(x)), generator=generator, norm=norm)
    assert fold_batch_norm(network) == 0
    assert network.norm is norm


def test_norm_called_by_keyword_keeps_the_function(generator):
    network = OneConvolution(lambda conv, norm, x: norm(input=conv(x)), generator=generator)
    images = torch.rand(2, 3, 6, 5, generator=generator, dtype=torch.float64)
    expected = network(images)
    fold_batch_norm(network)
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)


def test_every_foldable_norm_is_folded_wherever_it_is_nested(generator):
    block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network = nn.Sequential(block, nn.ReLU(), nn.Sequential(copy.deepcopy(block), nn.ReLU()))
    randomized(network.double(), generator=generator)
    images = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    expected = network(images)
    assert fold_batch_norm(network) == 2
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)


def test_the_activation_that_timm_keeps_in_its_norm_stays(generator):
    norm = BatchNormAct2d(3, act_layer=nn.ReLU).double()
    network = nn.Sequential(nn.Conv2d(3, 3, 1, dtype=torch.float64), norm)
    randomized(network, generator=generator)
    images = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    expected = network(images)
    assert fold_batch_norm(network) == 1
    assert (expected == 0).any()
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)


def small_classifier():
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5, inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 4 * 3, 5),
    )
    layers.train()
    layers[1].eval()  # as a caller does who freezes the norm alone
    layers[0].weight.requires_grad_(False)
    layers[5].weight.grad = torch.ones_like(layers[5].weight)
    return layers


def everything_about(layers):
    return [
        (type(m), m.training, getattr(m, "inplace", None), dict(m.named_children()).keys())
        for m in layers.modules()
    ] + [
        (name, p.requires_grad, p.stride(), p.tolist(), None if p.grad is None else p.grad.tolist())
        for name, p in [*layers.named_parameters(), *layers.named_buffers()]
    ]


def test_prepare_leaves_the_caller_s_network_as_it_is():
    layers = small_classifier()
    before = everything_about(layers)
    prepared = prepare(layers, image=torch.rand(1, 3, 6, 5))
    assert everything_about(layers) == before
    shared = {p.data_ptr() for p in layers.parameters()}
    assert shared.isdisjoint(p.data_ptr() for p in prepared.parameters())


def test_prepared_network_is_frozen_and_computes_the_same(generator):
    layers = randomized(small_classifier(), generator=generator)
    images = torch.rand(3, 3, 6, 5, generator=generator)
    prepared = prepare(layers, image=images[:1])
    assert not any(module.training for module in prepared.modules())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())
    assert not any(getattr(module, "inplace", False) for module in prepared.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    torch.testing.assert_close(prepared(images), layers.eval()(images), rtol=1e-5, atol=1e-5)


class DoublesInPlace(nn.Module):
    """A layer that computes something else when it is told not to work in place."""

    inplace = True

    def forward(self, scores):
        return scores * 2 if self.inplace else scores


class NeverTwiceTheSame(nn.Module):
    def forward(self, scores):
        return scores + torch.rand(scores.shape)


class NotANumber(nn.Module):
    def forward(self, scores):
        return scores * torch.nan


@pytest.mark.parametrize("last", [DoublesInPlace, NeverTwiceTheSame, NotANumber])
def test_prepare_refuses_a_changed_function(last):
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), last()).train()
    with pytest.raises(RuntimeError, match=r"preparing Sequential changed its scores: .* got"):
        prepare(layers, image=torch.rand(1, 3, 2, 2))
    assert all(module.training for module in layers.modules())


@pytest.mark.parametrize("length", [9, 12, 17])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
def test_static_padding_equals_padding_computed_at_each_call(kernel, stride, length, generator):
    padded = Conv2dSame(3, 6, kernel, stride=stride, groups=3).double()
    images = torch.randn(2, 3, length, length + 5, generator=generator).double()
    expected = padded(images)
    network = nn.Sequential(padded)
    assert make_padding_static(network, images) == 1
    assert type(network[0]) is nn.Conv2d
    assert torch.allclose(network(images), expected, atol=1e-12)


def test_default_network_has_no_padding_left_to_compute(network):
    convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    assert len(convolutions) == 49
    assert all(type(one) in (nn.Conv2d, PackedConv2d) for one in convolutions)
