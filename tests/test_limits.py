import copy
import itertools
import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from deepinside.class_score import class_probability
from deepinside.limits import (
    area_under,
    blurred,
    change_one_pixel,
    deletion_curve,
    edge_maps,
    insertion_curve,
    layers_top_down,
    randomize_layers,
    rank_correlation,
)
from deepinside.networks import copy_sharing_weights


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Rank correlation


def by_counting(a, b):
    """Spearman's correlation of two lists: ranks by counting, then Pearson's formula."""

    def ranks(values):
        below = [sum(other < value for other in values) for value in values]
        equal = [sum(other == value for other in values) for value in values]
        return [low + (same + 1) / 2 for low, same in zip(below, equal, strict=True)]

    ranks_a, ranks_b = ranks(a), ranks(b)
    mean = (len(a) + 1) / 2
    products = sum((x - mean) * (y - mean) for x, y in zip(ranks_a, ranks_b, strict=True))
    squares = [sum((x - mean) ** 2 for x in some) for some in (ranks_a, ranks_b)]
    return products / math.sqrt(squares[0] * squares[1])


class Gained(nn.Module):
    """A matrix with a gain of its own beside it."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(3, 3)), nn.Parameter(torch.rand(3))
        self.gain = nn.Parameter(torch.rand(3, 1))

    def forward(self, values):
        return self.gain[:, 0] * (values @ self.weight + self.bias)


def test_rank_correlation_is_counted_by_hand():
    # whole numbers, so that there are ties
    maps = torch.randint(6, (3, 4, 5), generator=seeded(1)).float()
    others = torch.randint(6, (3, 4, 5), generator=seeded(2)).float()
    got = rank_correlation(maps, others)
    assert got.dtype == torch.float64
    for values, other, rank in zip(maps, others, got, strict=True):
        expected = by_counting(values.flatten().tolist(), other.flatten().tolist())
        assert rank.item() == pytest.approx(expected)


def test_only_the_order_counts():
    maps = torch.randn(2, 3, 8, 8, generator=seeded())
    assert rank_correlation(maps, maps.exp() * 7).tolist() == pytest.approx([1, 1])
    assert rank_correlation(maps, -(maps**3)).tolist() == pytest.approx([-1, -1])
    assert rank_correlation(maps, maps.flip(0))[0].abs() < 0.3


@pytest.mark.parametrize(
    ("maps", "others", "message"),
    [
        (torch.ones(2, 3, 3), torch.rand(2, 3, 3), "got one value all over"),
        (torch.rand(2, 3, 3), torch.zeros(2, 3, 3), "got one value all over"),
        (torch.full((2, 3), torch.nan), torch.rand(2, 3), "expected finite maps"),
        (torch.rand(2, 3, 3), torch.rand(2, 3, 4), r"got \(2, 3, 3\) and \(2, 3, 4\)"),
        (torch.rand(3), torch.rand(3), r"expected maps of one shape \(N, ...\)"),
    ],
)
def test_maps_without_a_rank_correlation_raise(maps, others, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(maps, others)


# Maps and images without a network


def test_edges_are_where_the_mean_of_the_channels_changes():
    step = torch.zeros(3, 6, 8)
    step[1, :, 4:] = 3
    expected = torch.zeros(6, 8)
    expected[:, 3:5] = 1 / math.sqrt(2)
    for image, edges in ((step, expected), (step.mT, expected.T)):
        torch.testing.assert_close(
            edge_maps(torch.stack([image, 0 * image])), torch.stack([edges, 0 * edges])
        )


def test_a_blurred_point_is_a_bell_of_twelve_pixels():
    image = torch.zeros(1, 3, 61, 71)
    image[0, 1, 30, 35] = 1
    bell = torch.exp(-(torch.arange(-25.0, 26) ** 2) / (2 * 12**2))
    bell /= bell.sum()
    expected = torch.zeros_like(image)
    expected[0, 1, 5:56, 10:61] = bell[:, None] * bell
    torch.testing.assert_close(blurred(image), expected, atol=1e-7, rtol=1e-4)


# Randomized layers


def test_layers_come_from_the_top(digits_network, network):
    assert layers_top_down(digits_network) == [f"layers.{i}" for i in (9, 7, 3, 0)]
    names = layers_top_down(network)
    assert names[0] == "layers.classifier"
    assert names[1] == "layers.conv_head"
    assert names[-1] == "layers.conv_stem"
    assert len(names) == 50


def test_layers_of_squeezenet_are_in_the_reverse_order_of_the_forward_pass(squeezenet):
    network, called = copy_sharing_weights(squeezenet), []
    for name, layer in network.named_modules():
        if hasattr(layer, "weight"):
            layer.register_forward_hook(lambda *_, name=name: called.append(name))
    network(torch.zeros(1, 3, 227, 227))
    assert layers_top_down(network) == called[::-1]
    names = ("fire9.squeeze", "fire9.expand1x1", "fire9.expand3x3", "conv10")
    assert called[-4:] == [f"layers.{name}" for name in names]


def test_only_the_named_layers_are_redrawn_and_only_in_the_copy(digits_network):
    before = {name: value.clone() for name, value in digits_network.state_dict().items()}
    randomized = randomize_layers(digits_network, ["layers.9", "layers.3"], generator=seeded())
    assert all(v.equal(before[k]) for k, v in digits_network.state_dict().items())
    changed = {k for k, v in randomized.state_dict().items() if not v.equal(before[k])}
    assert changed == {f"layers.{i}.{kind}" for i in (9, 3) for kind in ("weight", "bias")}
    assert not any(parameter.requires_grad for parameter in randomized.parameters())
    assert not randomized.training


def test_redrawn_weights_have_the_variance_of_he(digits_network):
    names = layers_top_down(digits_network)
    randomized = randomize_layers(digits_network, names, generator=seeded(3))
    inputs = {"layers.9": 128, "layers.7": 512, "layers.3": 16 * 25, "layers.0": 25}
    for name in names:
        layer = randomized.get_submodule(name)
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / inputs[name]), rel=0.12)
        assert abs(layer.weight.mean().item()) < 3 * math.sqrt(2 / inputs[name] / 400)
        assert layer.bias.eq(0).all()


def test_all_layers_leave_no_kernel_no_matrix_and_no_bias_as_it_was():
    """Attention keeps a matrix of its own, a transformer its tokens and positions."""
    torch.manual_seed(4)
    vit = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.1)
    names = layers_top_down(vit)
    randomized = randomize_layers(vit, names, generator=seeded())
    kept = {
        name
        for name, value in randomized.state_dict().items()
        if (value - vit.state_dict()[name]).abs().min() == 0
    }
    norms = (
        "encoder.ln",
        *(f"encoder.layers.encoder_layer_{i}.ln_{k}" for i in (0, 1) for k in (1, 2)),
    )
    assert kept == {f"{norm}.{kind}" for norm in norms for kind in ("weight", "bias")}
    attention = randomized.get_submodule("encoder.layers.encoder_layer_1.self_attention")
    assert attention.in_proj_weight.std().item() == pytest.approx(math.sqrt(2 / 16), rel=0.12)
    assert attention.in_proj_bias.eq(0).all()


def test_gains_of_any_shape_are_no_layers_and_stay():
    """ConvNeXt scales its branches by (C, 1, 1), and a normalization may have a gain a pixel."""
    torch.manual_seed(5)
    convnext = ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=3)
    model = nn.Sequential(
        nn.LayerNorm((3, 32, 32)), convnext, nn.Linear(3, 1), nn.Linear(1, 3), Gained()
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    names = layers_top_down(model)
    by_type = (nn.Conv2d, nn.Linear, Gained)
    layers = [name for name, layer in model.named_modules() if isinstance(layer, by_type)]
    assert names == layers[::-1]
    randomized, before = randomize_layers(model, names, generator=seeded()), model.state_dict()
    redrawn = {k for k, v in randomized.state_dict().items() if not v.equal(before[k])}
    kept = before.keys() - redrawn
    assert redrawn == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    assert {key.rpartition(".")[2] for key in kept} == {"layer_scale", "gain", "weight", "bias"}
    assert "0.weight" in kept


def test_randomizing_goes_by_the_generator(network, four_images):
    names = layers_top_down(network)[:2]
    scores = [
        randomize_layers(network, names, generator=seeded(seed))(four_images) for seed in (5, 5, 6)
    ]
    assert scores[0].equal(scores[1])
    # packed weights of a copied network must be those of the copy
    assert not torch.allclose(scores[0], scores[2], atol=0.1)
    assert not torch.allclose(scores[0], network(four_images), atol=0.1)


def small_network(change=lambda layer: None):
    """A network whose two layers with weights were changed in one way."""
    torch.manual_seed(6)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    )
    for layer in (network[0], network[4]):
        change(layer)
    network(torch.rand(2, 3, 8, 8))  # some compute their weight in a pass
    return network.eval()


class Squashed(nn.Module):
    """A parametrization that no weight can be assigned through."""

    def forward(self, weight):
        return weight.tanh()


class LowRank(nn.Module):
    """A parametrization with parameters of its own."""

    def __init__(self, shape):
        super().__init__()
        self.add = nn.Parameter(torch.rand(shape))

    def forward(self, weight):
        return weight + self.add


def keep_from_training(layer, *, as_buffer):
    weight = layer.weight.detach().clone()
    del layer.weight
    if as_buffer:
        layer.register_buffer("weight", weight)
    else:
        layer.weight = weight


def prune_twice(layer):
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.random_unstructured(layer, "weight", 0.5)
    prune.l1_unstructured(layer, "bias", 0.5)


COMPUTED_WEIGHTS = {
    "weight norm": nn.utils.parametrizations.weight_norm,
    "weight norm of old": nn.utils.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "spectral norm of old": nn.utils.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
    "one way": lambda layer: parametrize.register_parametrization(layer, "weight", Squashed()),
    "low rank": lambda layer: parametrize.register_parametrization(
        layer, "weight", LowRank(layer.weight.shape)
    ),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.9),
    "pruned twice": prune_twice,
    "a buffer": partial(keep_from_training, as_buffer=True),
    "a tensor": partial(keep_from_training, as_buffer=False),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("change", COMPUTED_WEIGHTS.values(), ids=COMPUTED_WEIGHTS)
def test_weights_that_are_computed_are_redrawn_as_any(change, mode, generator):
    network, images = small_network(change), torch.rand(2, 3, 8, 8, generator=generator)
    state, scores = copy.deepcopy(network.state_dict()), network(images)
    with mode():
        names = layers_top_down(network)
        randomized = randomize_layers(network, names, generator=seeded())
        partly = randomize_layers(network, names[:1], generator=seeded())
    assert names == ["4", "0"]
    # the function's own weights, by the scores of a plain network that has them
    plain = small_network()
    for name in names:
        weight = randomized.get_submodule(name).weight
        assert (weight - network.get_submodule(name).weight).abs().min() > 0
        inputs = weight[0].numel()
        assert weight.std().item() == pytest.approx(math.sqrt(2 / inputs), rel=0.2)
        with torch.no_grad():
            plain.get_submodule(name).weight.copy_(weight)
            plain.get_submodule(name).bias.zero_()
    leaf = images.clone().requires_grad_()
    torch.testing.assert_close(randomized(leaf), plain(leaf))
    assert torch.autograd.grad(randomized(leaf).sum(), leaf)[0].any()
    assert partly[0](images).equal(network[0](images))
    assert not partly(images).equal(scores)
    assert all(value.equal(state[name]) for name, value in network.state_dict().items())
    assert network(images).equal(scores)


def test_tied_weights_are_redrawn_and_frozen_ones_stay_frozen():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).requires_grad_(False)
    network[1].weight = network[0].weight
    nn.utils.parametrizations.weight_norm(network.append(nn.Linear(4, 4))[2])
    network.requires_grad_(False)
    names = layers_top_down(network)
    randomized = randomize_layers(network, names, generator=seeded())
    assert names == ["2", "1", "0"]
    assert randomized[0].weight is randomized[1].weight
    for layer, before in zip(randomized, network, strict=True):
        assert (layer.weight - before.weight).abs().min() > 0
    assert not any(parameter.requires_grad for parameter in randomized.parameters())


def quantized(network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        return torch.ao.quantization.quantize_dynamic(network, {nn.Linear})


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (None, "expected a network as an nn.Module, got None"),
        (nn.Linear, "expected a network as an nn.Module, got <class"),
        (nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3)), r"got others: \['1'\]"),
        (nn.Linear(2, 3, device="meta"), r"with weights of floats, got others: \[''\]"),
        (quantized(small_network()), "with weights of floats, got others: .'4'"),
    ],
)
def test_what_has_no_weights_to_randomize_is_named(network, words):
    for call in (layers_top_down, lambda one: randomize_layers(one, [], generator=seeded())):
        with pytest.raises(ValueError, match=words):
            call(network)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["layers.9", "layers.1"], r"got \['layers.1'\]"),
        ("layers.9", "got 'layers.9'"),
        (None, "got None|and None"),
        ([9], r"got \[9\]"),
        ([None], r"got \[None\]"),
        ({"layers.9"}, "got {'layers.9'}"),
    ],
)
def test_unknown_layers_are_named(digits_network, names, words):
    with pytest.raises(ValueError, match=f"expected names of layers_top_down, {words}"):
        randomize_layers(digits_network, names, generator=seeded())


@pytest.mark.parametrize(
    "call",
    [
        lambda network: randomize_layers(network, ["layers.9"], generator=None),
        lambda network: change_one_pixel(torch.rand(1, 3, 4, 4), amount=0.1, generator=7),
    ],
)
def test_what_is_no_generator_is_named(digits_network, call):
    with pytest.raises(ValueError, match=r"expected a torch.Generator, got (None|7)"):
        call(digits_network)


# Maps, curves and images that are none


def spoiled(shape):
    """What is no tensor of finite floats of this shape, and what an error says of it."""
    good = torch.rand(shape)
    for value in (torch.nan, torch.inf, -torch.inf):
        values = good.clone()
        values.view(-1)[3] = value
        yield values, "1 values that are NaN or infinite|finite images, got 1 values"
    for values in (good.long(), good > 0.5, good.to(torch.complex64)):
        yield values, "got shape .* of torch|of floats"
    yield from (
        (good.to("meta"), "on meta|one without values"),
        (good[:0], r"got .*\(0, "),
        (good.numpy(), "an array of shape|got ndarray"),
        (None, "got None|and None"),
        ("map", "(got|and) 'map'|got str"),
        ([1.0, 2.0], r"(got|and) \[1.0, 2.0\]|got list"),
    )


TAKE_MAPS = {
    "rank correlation": ((2, 4, 4), lambda maps: rank_correlation(maps, torch.rand(2, 4, 4))),
    "rank correlation of the second": (
        (2, 4, 4),
        lambda maps: rank_correlation(torch.rand(2, 4, 4), maps),
    ),
    "deletion": ((2, 28, 28), lambda maps: curve_of(deletion_curve, maps)),
    "insertion": ((2, 28, 28), lambda maps: curve_of(insertion_curve, maps)),
    "area": ((2, 21), area_under),
    "edges": ((2, 3, 8, 8), edge_maps),
    "blur": ((2, 3, 32, 32), blurred),
    "one pixel": (
        (2, 3, 8, 8),
        lambda images: change_one_pixel(images, amount=0.1, generator=seeded())[0],
    ),
}


def curve_of(curve, maps, **options):
    layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    options = {"replacement": torch.zeros(()), "steps": 2} | options
    return curve(layers, torch.full((2, 1, 28, 28), 0.5), maps, **options)


@pytest.mark.parametrize(("shape", "call"), TAKE_MAPS.values(), ids=TAKE_MAPS)
def test_maps_and_images_that_are_none_are_named(shape, call):
    for values, words in spoiled(shape):
        # of ranks, which may be whole numbers, these are no order
        with pytest.raises(ValueError, match=f"^expected .*({words}|one value all over)"):
            call(values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("shape", "call"), TAKE_MAPS.values(), ids=TAKE_MAPS)
def test_half_precision_is_computed_in_float32(shape, call, dtype):
    torch.manual_seed(7)
    values = torch.rand(shape, generator=seeded()).to(dtype)
    got = call(values)
    torch.manual_seed(7)
    expected = call(values.float().requires_grad_())
    assert not got.requires_grad
    torch.testing.assert_close(got, expected.to(got.dtype))


@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"steps": steps}, "a number of steps from 1 to 10000, got") for steps in (0, None, 2.0)),
        *(({"steps": steps}, "a number of steps from 1 to 10000, got") for steps in (True, 10**9)),
        ({"replacement": None}, "a replacement that broadcasts to .* got NoneType"),
        ({"replacement": torch.zeros(5)}, r"a replacement that broadcasts to .* got \(5,\)"),
        ({"replacement": torch.full((), torch.nan)}, "finite replacement images, got 1568 values"),
    ],
)
def test_wrong_options_of_curves_are_named(curve, options, words):
    with pytest.raises(ValueError, match=f"expected {words}"):
        curve_of(curve, torch.rand(2, 28, 28), **options)


@pytest.mark.parametrize("steps", [np.int64(3), torch.tensor(3)])
def test_steps_may_be_of_numpy(steps):
    assert curve_of(deletion_curve, torch.rand(2, 28, 28), steps=steps).shape == (2, 4)


def test_sizes_without_an_answer_are_named():
    with pytest.raises(ValueError, match="expected curves of two points or more, got 1"):
        area_under(torch.rand(2, 1))
    with pytest.raises(ValueError, match=r"at least 26 x 26 pixels to blur, got \(25, 30\)"):
        blurred(torch.rand(1, 3, 25, 30))


# Removed pixels


@pytest.fixture
def two_scores():
    """Two class scores of gray images of 2 x 2: 0, and the pixels' sum weighted 1, 2, 3, 4."""
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [1, 2, 3, 4]]))
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer)


def sigmoids(*scores):
    return [pytest.approx(1 / (1 + math.exp(-score))) for score in scores]


def test_curves_by_hand(two_scores):
    image = torch.full((1, 1, 2, 2), 0.5)
    weights = torch.tensor([[[1.0, 2], [3, 4]]])
    options = {"replacement": torch.zeros(()), "steps": 4}
    fallen = deletion_curve(two_scores, image, weights, 1, **options)
    assert fallen[0].tolist() == sigmoids(5, 3, 1.5, 0.5, 0)
    risen = insertion_curve(two_scores, image, weights, 1, **options)
    assert risen[0].tolist() == sigmoids(0, 2, 3.5, 4.5, 5)
    reverse = deletion_curve(two_scores, image, -weights, 1, **options)
    assert reverse[0].tolist() == sigmoids(5, 4.5, 3.5, 2, 0)
    halves = deletion_curve(two_scores, image, weights, 1, replacement=image + 0.1, steps=2)
    assert halves[0].tolist() == sigmoids(5, 5.7, 6)


def test_curve_of_a_batch_is_each_image_s(digits_network, digits):
    images, maps = digits.images[::100], torch.rand(10, 28, 28, generator=seeded())
    blurred = torch.nn.functional.avg_pool2d(images, 9, stride=1, padding=4)
    options = {"steps": 7}
    targets = list(range(10))
    for curve in (deletion_curve, insertion_curve):
        got = curve(digits_network, images, maps, targets, replacement=blurred, **options)
        for i in range(10):
            own = slice(i, i + 1)
            alone = curve(
                digits_network, images[own], maps[own], i, replacement=blurred[own], **options
            )
            torch.testing.assert_close(got[own], alone)
        ends = [class_probability(digits_network, x, targets) for x in (images, blurred)]
        if curve is insertion_curve:
            ends.reverse()
        torch.testing.assert_close(got[:, 0], ends[0])
        torch.testing.assert_close(got[:, -1], ends[1])


def test_ties_go_in_the_order_of_the_pixels_and_every_pixel_once(two_scores):
    image, flat = torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 2, 2)
    got = deletion_curve(two_scores, image, flat, 1, replacement=torch.zeros(()), steps=4)
    assert got[0].tolist() == sigmoids(5, 4.5, 3.5, 2, 0)


def test_order_of_true_weights_beats_any_other(two_scores):
    image = torch.full((1, 1, 2, 2), 0.5)
    areas = {}
    for order in itertools.permutations([1.0, 2, 3, 4]):
        ranked = torch.tensor(order).view(1, 2, 2)
        curve = deletion_curve(two_scores, image, ranked, 1, replacement=torch.zeros(()), steps=4)
        areas[order] = area_under(curve).item()
    assert min(areas, key=areas.get) == (1, 2, 3, 4)


@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_without_a_target_the_image_s_class_is_followed(digits_network, digits, curve):
    images, maps = digits.images[::100], digits.images[::100, 0]
    zero = torch.zeros(())
    got = curve(digits_network, images, maps, replacement=zero, steps=3)
    classes = digits_network(images).argmax(1)
    expected = curve(digits_network, images, maps, classes, replacement=zero, steps=3)
    assert got.equal(expected)


def test_area_is_that_of_trapezoids():
    assert area_under(torch.tensor([[1.0, 0.0], [1, 1]])).tolist() == [0.5, 1]
    assert area_under(torch.tensor([[1.0, 0.5, 0.0, 0.0]]))[0] == pytest.approx((0.75 + 0.25) / 3)


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (torch.rand(2, 28, 28), {}, r"expected maps of shape \(1, 28, 28\), got \(2, 28, 28\)"),
        (torch.rand(1, 1, 28, 28), {}, r"expected maps of shape \(1, 28, 28\)"),
        (torch.rand(1, 28, 28), {"steps": 0}, "expected a number of steps from 1 to 10000, got 0"),
        (torch.rand(1, 28, 28), {"target": 10}, "expected a class index from 0 to 9"),
    ],
)
def test_wrong_curves_are_named(digits_network, digits, maps, options, message):
    with pytest.raises(ValueError, match=message):
        deletion_curve(
            digits_network, digits.images[:1], maps, **{"replacement": torch.zeros(()), **options}
        )


# One pixel


def test_one_pixel_changes_by_the_amount(generator):
    images = torch.rand(5, 3, 4, 6, generator=seeded())
    kept = images.clone()
    changed, places = change_one_pixel(images, amount=0.25, generator=generator)
    assert images.equal(kept)
    assert len({tuple(place) for place in places.tolist()}) > 1
    for before, after, (row, column) in zip(images, changed, places.tolist(), strict=True):
        difference = after - before
        assert difference[:, row, column].abs().tolist() == pytest.approx([0.25] * 3)
        difference[:, row, column] = 0
        assert difference.eq(0).all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_every_pixel_can_be_drawn(generator):
    images = torch.rand(300, 1, 2, 3, generator=generator)
    _, places = change_one_pixel(images, amount=0.1, generator=generator)
    assert len({tuple(place) for place in places.tolist()}) == 6


@pytest.mark.parametrize("amount", [0, -0.1, 0.6, math.nan, None, True, "0.1"])
def test_amount_must_leave_images_in_range(amount, generator):
    with pytest.raises(ValueError, match=r"expected an amount above 0 and at most 0\.5"):
        change_one_pixel(torch.rand(1, 3, 4, 4), amount=amount, generator=generator)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int64, torch.float16])
def test_ranks_may_be_whole_numbers(kind):
    one, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[10, 20, 40, 30]])
    assert rank_correlation(one.to(kind), other.to(kind)).item() == pytest.approx(0.8)


def test_edges_of_what_is_no_image_are_not_infinite():
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got up to 1e\+30"):
        edge_maps(torch.full((1, 3, 8, 8), 1e30))


def test_a_pixel_of_what_is_no_image_is_not_changed():
    images = 255 * torch.rand(1, 3, 8, 8, generator=seeded())
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got values from"):
        change_one_pixel(images, amount=0.1, generator=seeded())


@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
@pytest.mark.parametrize("value", [255.0, -7.0, torch.nan])
def test_a_replacement_that_is_no_image_is_told(curve, value):
    with pytest.raises(ValueError, match=r"expected .*replacement images"):
        curve_of(curve, torch.rand(2, 28, 28), replacement=torch.tensor(value))
