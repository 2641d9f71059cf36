"""Packed pointwise convolutions: the same function, also after its weights were changed."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from deepinside.inference import packed
from deepinside.inference.packed import PackedConv2d, pack_pointwise

available = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_convolution_pointwise"), reason="torch has no such operator"
)


@pytest.fixture
def pair(generator):
    """A frozen convolution, and a packed copy of it."""
    plain = nn.Sequential(nn.Conv2d(24, 40, 1)).requires_grad_(False)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    other = copy.deepcopy(plain)
    assert pack_pointwise(other) == 1
    return plain, other


def by_hand(images, convolution):
    """The convolution as a sum over channels, in float64."""
    weight = convolution.weight.detach().double()[:, :, 0, 0]
    return (
        torch.einsum("oc,nchw->nohw", weight, images.double())
        + convolution.bias.double()[:, None, None]
    )


def frozen(values):
    return nn.Parameter(values, requires_grad=False)


def gradient(network, images, signal):
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad((network(leaf) * signal).sum(), leaf)[0]


@available
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_forward_and_backward_equal_the_sum_by_hand(pair, generator, memory_format):
    _, network = pair
    assert type(network[0]) is PackedConv2d
    # packed for the first size, used for all
    for size in ((1, 24, 7, 5), (3, 24, 7, 5), (1, 24, 20, 31), (2, 24, 1, 1)):
        images = torch.randn(size, generator=generator).to(memory_format=memory_format)
        signal = torch.randn(size[0], 40, *size[2:], generator=generator)
        expected = by_hand(images, network[0])
        assert torch.allclose(network(images).double(), expected, atol=1e-5)
        weight = network[0].weight[:, :, 0, 0].double()
        back = torch.einsum("oc,nohw->nchw", weight, signal.double())
        assert torch.allclose(gradient(network, images, signal).double(), back, atol=1e-5)


@available
@pytest.mark.parametrize("channels", [[], [7], [7, 11], range(8), range(40)])
def test_way_back_from_few_channels_is_that_from_all(pair, generator, channels):
    _, network = pair
    images = torch.randn(3, 24, 6, 5, generator=generator)
    signal = torch.zeros(3, 40, 6, 5)
    for image, channel in enumerate(channels):
        # in one image, and not where one looks first
        signal[image % 3, channel, 1:] = torch.randn(5, 5, generator=generator)
    back = torch.einsum("oc,nohw->nchw", network[0].weight[:, :, 0, 0].double(), signal.double())
    assert torch.allclose(gradient(network, images, signal).double(), back, atol=1e-5)


@available
def test_a_signal_that_is_no_number_does_not_vanish(pair, generator):
    images, signal = torch.randn(1, 24, 4, 4, generator=generator), torch.zeros(1, 40, 4, 4)
    signal[0, 3, 1, 2] = torch.nan
    assert gradient(pair[1], images, signal)[0, :, 1, 2].isnan().all()


@available
@pytest.mark.parametrize(
    "change",
    [
        lambda network: nn.init.normal_(network[0].weight),
        lambda network: network[0].weight.data.normal_(),
        lambda network: network[0].weight.data[17].zero_(),
        lambda network: network[0].weight.data[39, 23].add_(0.1),
        lambda network: network[0].weight.numpy()[3].fill(0),
        lambda network: setattr(network[0].weight, "data", torch.randn(40, 24, 1, 1)),
        lambda network: setattr(
            network[0], "weight", nn.Parameter(torch.ones(40, 24, 1, 1), False)
        ),
        lambda network: network.load_state_dict(
            {"0.weight": torch.randn(40, 24, 1, 1), "0.bias": torch.randn(40)}
        ),
    ],
    ids=[
        "init",
        "data in place",
        "a filter",
        "a weight",
        "numpy",
        "data replaced",
        "parameter replaced",
        "state dict",
    ],
)
def test_changed_weights_are_used_at_once(pair, generator, change):
    _, network = pair
    images = torch.randn(1, 24, 6, 6, generator=generator)
    before = network(images)
    change(network)
    after = network(images)
    assert not torch.allclose(before, after)
    assert torch.allclose(after.double(), by_hand(images, network[0]), atol=1e-5)


@available
def test_second_derivative_is_that_of_the_plain_convolution(pair, generator):
    images = torch.randn(2, 24, 4, 4, generator=generator)

    def curvature(network):
        leaf = images.clone().requires_grad_()
        first = torch.autograd.grad(network(leaf).pow(3).sum(), leaf, create_graph=True)[0]
        return torch.autograd.grad(first.pow(2).sum(), leaf)[0]

    expected, got = (curvature(network) for network in pair)
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-2 * expected.abs().mean().item())
    assert expected.abs().mean() > 1


@available
def test_weights_that_learn_get_their_gradient(pair, generator):
    images = torch.randn(2, 24, 4, 4, generator=generator)
    _, network = pair
    network(images)
    network.requires_grad_(True)
    loss = network(images).pow(2).sum()
    weight, bias = torch.autograd.grad(loss, list(network.parameters()))
    assert weight.abs().sum() > 0
    assert bias.abs().sum() > 0


@available
def test_other_types_are_computed_as_ever(pair, generator):
    _, network = pair
    images = torch.randn(1, 24, 4, 4, generator=generator).double()
    assert torch.allclose(network.double()(images), by_hand(images, network[0]), atol=1e-12)


@available
def test_copies_and_files_hold_the_weights_once(pair, generator):
    plain, network = pair
    images = torch.randn(1, 24, 4, 4, generator=generator)
    expected = network(images)
    assert torch.equal(copy.deepcopy(network)(images), expected)
    assert list(network.state_dict()) == list(plain.state_dict())
    sizes = []
    for convolution in pair:
        file = io.BytesIO()
        torch.save(convolution, file)
        sizes.append(len(file.getvalue()))
    assert sizes[1] < 1.2 * sizes[0]


@available
def test_only_pointwise_convolutions_are_packed():
    others = nn.Sequential(
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.Linear(4, 4),
    )
    assert pack_pointwise(others) == 0


TRANSFORMS = {
    "grad": lambda score, images: torch.stack([torch.func.grad(score)(i) for i in images]),
    "vmap of grad": lambda score, images: torch.func.vmap(torch.func.grad(score))(images),
    "jacrev": lambda score, images: torch.func.vmap(torch.func.jacrev(score))(images),
    "batched grad": lambda score, images: (
        torch.autograd.functional.jacobian(
            lambda batch: torch.stack([score(i) for i in batch]), images, vectorize=True
        )
        .diagonal(0, 0, 1)
        .permute(3, 0, 1, 2)
    ),
}


@available
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_of_torch_func_give_the_gradient_and_leave_the_pack(pair, generator, transform):
    _, network = pair
    images = torch.randn(2, 24, 3, 4, generator=generator)
    signal = torch.randn(40, 3, 4, generator=generator)
    expected = gradient(network, images, signal)
    pack = network[0]._pack

    def score(image):
        return (network(image[None])[0] * signal).sum()

    assert torch.allclose(transform(score, images), expected, atol=1e-4)
    assert type(network[0]) is PackedConv2d
    assert network[0]._pack is pack is not None


@available
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_derivatives_forward_and_calls_with_other_weights_leave_the_pack(pair, generator):
    _, network = pair
    images, direction = torch.randn(2, 2, 24, 3, 4, generator=generator)
    before, pack = network(images), network[0]._pack
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(images, direction)
        tangents = [forward_ad.unpack_dual(one(dual)).tangent for one in pair]
    torch.testing.assert_close(tangents[1], tangents[0], rtol=1e-4, atol=1e-4)
    others = {name: 2 * value for name, value in network.named_parameters()}
    for _ in range(2):
        got = torch.func.functional_call(network, others, (images,))
        torch.testing.assert_close(got, 2 * before, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network(images), before)
    stacked = {name: torch.stack([value, 2 * value]) for name, value in others.items()}
    both = torch.func.vmap(lambda own: torch.func.functional_call(network, own, (images,)))(stacked)
    torch.testing.assert_close(both, torch.stack([2 * before, 4 * before]), rtol=1e-4, atol=1e-4)
    assert type(network[0]) is PackedConv2d
    assert network[0]._pack.bits.equal(pack.bits)


@pytest.fixture
def without_operators(monkeypatch):
    """A torch whose private operators are there and fail when they are called."""

    def fails(*_):
        raise TypeError("got an unexpected argument")

    monkeypatch.setattr(packed.torch.ops.mkldnn, "_convolution_pointwise", fails, raising=False)


def test_operators_that_fail_are_done_without(pair, generator, without_operators):
    _, network = pair
    images = torch.randn(2, 24, 4, 4, generator=generator)
    assert torch.allclose(network(images).double(), by_hand(images, network[0]), atol=1e-5)
    assert type(network[0]) is nn.Conv2d


@available
def test_operators_that_fail_later_are_done_without(pair, generator, request):
    _, network = pair
    images = torch.randn(2, 24, 4, 4, generator=generator)
    signal = torch.randn(2, 40, 4, 4, generator=generator)
    leaf = images.clone().requires_grad_()
    under_way = network(leaf)
    request.getfixturevalue("without_operators")
    back = torch.einsum("oc,nohw->nchw", network[0].weight[:, :, 0, 0], signal)
    assert torch.allclose(network(images).double(), by_hand(images, network[0]), atol=1e-5)
    assert torch.allclose(gradient(network, images, signal), back, atol=1e-4)
    got = torch.autograd.grad((under_way * signal).sum(), leaf)[0]
    assert torch.allclose(got, back, atol=1e-4)


@available
def test_a_copy_has_the_pack_of_its_own_weights(pair, generator):
    _, network = pair
    images = torch.randn(1, 24, 4, 4, generator=generator)
    expected = network(images)
    other = copy.deepcopy(network)
    assert other[0]._pack is network[0]._pack
    other[0].weight.data.zero_()
    assert torch.allclose(other(images), other[0].bias[:, None, None].expand(40, 4, 4))
    assert network(images).equal(expected)


def test_wrong_channels_are_refused_as_by_any_convolution(pair):
    plain, network = pair
    images = torch.zeros(1, 23, 4, 4)
    for convolution in (plain, network):
        with pytest.raises(RuntimeError, match="24 channels"):
            convolution(images)
    assert type(network[0]) is PackedConv2d
