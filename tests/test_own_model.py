"""Models that the package does not come with: as networks, and where they have positions."""

import copy
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from deepinside.backward_network import backward_network
from deepinside.class_model import class_model
from deepinside.class_score import class_score, top_classes
from deepinside.deconvnet import pseudo_gradient, reconstruction
from deepinside.images import fit_photo, load_photo
from deepinside.limits import layers_top_down, randomize_layers
from deepinside.localization import find_object, find_top_objects
from deepinside.networks import copy_sharing_weights, from_model, imagenet_class_names
from deepinside.object_maps import object_maps, stage_names, stage_saliency
from deepinside.regularizers import Regularizers
from deepinside.saliency import image_gradient, smooth_grad, ten_crop_saliency

CLASSES = ["ant", "bee", "cat", "dog", "eel"]


def drawn(model):
    """The model with weights that tell images apart, as some are drawn at 0 or nearly."""
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight, generator=generator)
        elif name.endswith("bias"):
            nn.init.uniform_(weight, -0.1, 0.1, generator=generator)
    return model


class Returns(nn.Module):
    """A small classifier that returns what `wrap` makes of its scores."""

    def __init__(self, wrap=lambda scores: scores, *, channels=3, classes=5):
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 6, 5, stride=2), nn.Linear(6, classes)
        self.dropout, self.wrap = nn.Dropout(), wrap

    def forward(self, images):
        return self.wrap(self.head(self.dropout(self.conv(images).relu().mean((2, 3)))))


def plain(**options):
    return drawn(Returns(**options))


# The layouts of each family; of 64 pixels and 16 channels ConvNeXt and Swin have 16 x 16 x 16


def convnext():
    blocks = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 2)]
    return ConvNeXt(blocks, layer_scale=1.0, num_classes=5)


def timm_convnext():
    depths, dims = (1, 1, 1, 2), (16, 32, 32, 32)
    return timm.models.ConvNeXt(depths=depths, dims=dims, ls_init_value=1.0, num_classes=5)


def swin():
    return SwinTransformer([4, 4], 16, [2, 2], [2, 2], [4, 4], num_classes=5)


def timm_swin():
    options = {"img_size": 64, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2)}
    return timm.models.SwinTransformer(**options, window_size=4, num_classes=5)


def maxvit():
    return MaxVit((64, 64), 8, 4, [16, 16], [1, 1], 8, 0.0, num_classes=5)


def googlenet():
    return torchvision.models.googlenet(num_classes=5, init_weights=False)


def vit():
    return VisionTransformer(64, 16, 3, 2, 16, 32, num_classes=5)


def timm_vit():
    """With a class token and more registers than the smallest square root would tell."""
    options = {"img_size": 64, "patch_size": 32, "embed_dim": 16, "depth": 3, "num_heads": 2}
    return timm.models.VisionTransformer(**options, reg_tokens=8, num_classes=5)


def resnet18():
    return torchvision.models.resnet18(num_classes=5)


def mobilenet():
    return torchvision.models.mobilenet_v3_small(num_classes=5)


FAMILIES = [
    resnet18,
    mobilenet,
    googlenet,
    convnext,
    timm_convnext,
    swin,
    timm_swin,
    maxvit,
    vit,
    timm_vit,
]
FIXED = {timm_swin, maxvit, vit, timm_vit}
WINDOWS = "layers.blocks.0.layers.0.layers.window_attention.partition_op"


@cache
def network_of(family):
    return from_model(drawn(family()), class_names=CLASSES, input_size=(64, 64))


def first(values):
    """Channels first, as convolutions have them."""
    return values.abs().amax(1)


def last(values):
    return values.abs().amax(3)


def patches(values):
    """Of a ViT's tokens those of patches, whose sides are 4, or 2 where there are fewer."""
    side = 4 if values.shape[1] > 16 else 2
    return values[:, -side * side :].abs().amax(2).unflatten(1, (side, side))


@pytest.mark.parametrize(
    ("family", "layer", "reduced"),
    [
        (resnet18, "layer2", first),
        (googlenet, "inception3b", first),
        (convnext, "features.1", first),
        (convnext, "features.1.0.block.2", last),
        (timm_convnext, "stages.0", first),
        (swin, "features.1", last),
        (swin, "features.3", last),
        (timm_swin, "layers.0", last),
        (maxvit, "blocks.0", first),
        (vit, "encoder.layers.encoder_layer_1", patches),
        (timm_vit, "blocks.1", patches),
    ],
)
def test_map_of_a_layer_is_the_largest_gradient_over_its_own_channels(
    family, layer, reduced, generator
):
    network, images = network_of(family), torch.rand(2, 3, 64, 64, generator=generator)
    (found,) = stage_saliency(network, images, [1, 2], [f"layers.{layer}"])
    model, kept = drawn(family()).eval(), []
    model.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))
    scores = model(network.normalization(images))
    (gradient,) = torch.autograd.grad(scores[0, 1] + scores[1, 2], kept)
    expected = reduced(gradient)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * expected.max().item())


@pytest.mark.parametrize(
    ("family", "layer", "is_last"),
    [
        (swin, "features.1", True),
        (swin, "features.3", True),
        (timm_swin, "layers.0", True),
        (convnext, "features.1", False),
        (convnext, "features.1.0.block.2", True),
        (resnet18, "layer2", False),
        (resnet18, "avgpool", False),
    ],
)
def test_reconstruction_begins_in_the_layer_s_own_channel(family, layer, is_last, generator):
    network, images = network_of(family), torch.rand(1, 3, 64, 64, generator=generator)
    model, kept = drawn(family()).eval(), []
    model.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))
    images.requires_grad_()
    model(network.normalization(images))
    channel = kept[0][..., 3] if is_last else kept[0][:, 3]
    place = divmod(channel.argmax().item(), channel.shape[2])
    for position, start in ((None, channel), ("strongest", channel.max()), (place, channel.max())):
        got = reconstruction(
            network, images, f"layers.{layer}", rule="gradient", channel=3, position=position
        )
        (expected,) = torch.autograd.grad(start, images, start.detach(), retain_graph=True)
        torch.testing.assert_close(
            got, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item()
        )


def test_reconstruction_of_a_plain_model_goes_by_the_shape(generator):
    network, images = network_of(swin), torch.rand(1, 3, 64, 64, generator=generator)
    options = {"rule": "gradient", "channel": 30}
    # with respect to normalized images
    got = reconstruction(drawn(swin()), network.normalization(images), "features.3", **options)
    expected = reconstruction(network, images, "layers.features.3", **options)
    expected = expected * network.normalization.std
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(
    "call",
    [
        lambda network, images: stage_saliency(network, images, 0, [WINDOWS]),
        lambda network, images: reconstruction(
            network, images, WINDOWS, rule="gradient", channel=0
        ),
    ],
    ids=["stage saliency", "reconstruction"],
)
def test_windows_of_maxvit_are_no_pictures(call):
    with pytest.raises(ValueError, match=r"expected layers of MaxVit with activations"):
        call(network_of(maxvit), torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("family", FAMILIES)
def test_stages_are_pictures_that_shrink_or_blocks_of_tokens(family):
    network = network_of(family)
    names = stage_names(network)
    maps = stage_saliency(network, torch.rand(1, 3, 64, 64), 0, names)
    sides = [one.shape[1:] for one in maps]
    assert all(height == width for height, width in sides)
    if family in (vit, timm_vit):
        # the class score reads nothing of the last block's patches
        blocks = "encoder.layers.encoder_layer_" if family is vit else "blocks."
        assert names == [f"layers.{blocks}{i}" for i in range(2)]
    else:
        assert len(names) > 1
        assert sides == sorted(set(sides), reverse=True)
        assert sides[0][0] == 16
    for one in maps:
        assert one.max() > 1.001 * one.min()


def test_stages_are_no_branches_no_bottlenecks_and_no_windows():
    squeezenet = torchvision.models.squeezenet1_1(num_classes=5)
    network = from_model(drawn(squeezenet), class_names=CLASSES, input_size=(64, 64))
    assert stage_names(network) == [f"layers.features.{i}" for i in (4, 7, 11)]
    names = [f"layers.{name}" for name in ("inception3b", "inception4e", "inception5a")]
    assert stage_names(network_of(googlenet))[1:] == names
    assert stage_names(network_of(maxvit))[0] == "layers.blocks.0"


def test_layers_are_found_in_a_model_within_a_model():
    network = network_of(resnet18)
    wrapped = from_model(
        nn.Sequential(nn.Identity(), drawn(resnet18())), class_names=CLASSES, input_size=(64, 64)
    )
    assert stage_names(wrapped) == [
        name.replace("layers.", "layers.1.") for name in stage_names(network)
    ]


def test_activation_is_that_of_the_layer_whatever_works_in_place_after_it(generator):
    """In GoogLeNet a ReLU overwrites what the batch norm before it returned."""
    network, images = network_of(googlenet), torch.rand(1, 3, 64, 64, generator=generator)
    (found,) = stage_saliency(network, images, 0, ["layers.inception3b.branch1.bn"])
    model, kept = drawn(googlenet()).eval(), []

    def keep(module, given, output):
        kept.append(output)
        return output.clone()

    model.inception3b.branch1.bn.register_forward_hook(keep)
    score = model(network.normalization(images))[0, 0]
    expected = first(torch.autograd.grad(score, kept)[0])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * expected.max().item())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_helper_takes_the_network_or_says_why_not(family, generator):
    network, images = network_of(family), torch.rand(2, 3, 64, 64, generator=generator)
    cat = load_photo("cat")
    assert class_score(network, images, "dog").shape == (2,)
    assert top_classes(network, images, 1)[0][0].name in CLASSES
    assert image_gradient(network, images).abs().amax((1, 2, 3)).min() > 0
    assert smooth_grad(network, images, generator=generator, samples=2).shape == (2, 64, 64)
    assert ten_crop_saliency(network, cat, "dog").shape == cat.shape[1:]
    options = {"l2_weight": 0.0, "step_size": 1e-3, "regularizers": Regularizers(adam=True)}
    found = class_model(network, ["dog", "cat"], start=images, steps=2, **options)
    assert (found.class_scores[-1] > found.class_scores[0]).all()
    x0, y0, x1, y1 = find_object(network, cat, "dog", scales=[1])
    assert 0 <= x0 < x1 <= 451
    assert 0 <= y0 < y1 <= 300
    assert len(find_top_objects(network, cat, 2, scales=[1])) == 2
    top = layers_top_down(network)[:1]
    assert not randomize_layers(network, top, generator=generator)(images).equal(network(images))
    signal = pseudo_gradient(network, images, 1, rule="gradient")
    gradient = image_gradient(network, images, 1)
    torch.testing.assert_close(signal, gradient)
    if family in (resnet18, googlenet):
        _, signal = backward_network(network)(images, torch.tensor([1]))
        largest = gradient.abs().max().item()
        torch.testing.assert_close(signal, gradient, rtol=1e-4, atol=1e-5 * largest)
    else:
        for call in (
            lambda: pseudo_gradient(network, images, 1, rule="guided"),
            lambda: backward_network(network),
        ):
            with pytest.raises(ValueError, match="expected"):
                call()


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_one_size_ask_for_scale_1(family):
    network, cat = network_of(family), load_photo("cat")
    if family in FIXED:
        with pytest.raises(ValueError, match=r"expected scales=\[1\] for .* fails at \(96, 96\)"):
            object_maps(network, [cat], 1, scales=[1, 1.5])
    else:
        assert object_maps(network, [cat], 1, scales=[1, 1.5]).shape == (1, 64, 64)


def test_patches_are_counted_anew_at_another_size():
    model = timm.models.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=16, depth=2, num_heads=2, dynamic_img_size=True
    )
    network = from_model(drawn(model), class_names=imagenet_class_names(), input_size=(64, 64))
    (one,) = stage_saliency(network, torch.rand(1, 3, 96, 128), 0, ["layers.blocks.0"])
    assert one.shape == (1, 6, 8)


def test_images_need_not_be_square():
    network = from_model(drawn(convnext()), class_names=CLASSES, input_size=(64, 96))
    names = stage_names(network)
    sizes = [m.shape[1:] for m in stage_saliency(network, torch.rand(1, 3, 64, 96), 0, names)]
    assert sizes == [(16, 24), (8, 12)]


class Whole(nn.Module):
    """A classifier without layers of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3 * 8 * 8, 5) - 0.5)

    def forward(self, images):
        return images.flatten(1) @ self.weight


class Sum(nn.Module):
    def forward(self, values):
        return values.sum()


class Beside(Returns):
    """Has a layer that returns a single number."""

    def __init__(self):
        super().__init__()
        self.sum = Sum()

    def forward(self, images):
        return super().forward(images) * self.sum(images)


def test_layers_of_no_axes_and_the_first_layer_of_all_are_no_stages():
    network = from_model(drawn(Beside()), class_names=CLASSES, input_size=(64, 64))
    with pytest.raises(ValueError, match=r"expected layers of Beside with .*'layers.sum'"):
        stage_saliency(network, torch.rand(1, 3, 64, 64), 0, ["layers.sum"])
    network, images = network_of(resnet18), torch.rand(1, 3, 64, 64)
    assert "normalization" not in stage_names(network)
    (found,) = stage_saliency(network, images, 0, ["normalization"])
    std = network.normalization.std
    expected = (image_gradient(network, images, 0) * std).abs().amax(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("model", [Whole(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))])
def test_network_without_positions_is_answered_with_what_was_looked_for(model):
    network = from_model(model, class_names=CLASSES, input_size=(8, 8))
    expected = r"expected a network with activations \(N, C, h, w\) or \(N, h, w, C\), or tokens"
    with pytest.raises(ValueError, match=expected):
        find_object(network, load_photo("cat"), 0, scales=[1])


def test_layers_can_be_chosen():
    network, cat = network_of(resnet18), load_photo("cat")
    one = object_maps(network, [cat], 1, scales=[1], layers=["layers.layer2"])
    both = object_maps(network, [cat], 1, scales=[1], layers=["layers.layer2", "layers.layer3"])
    other = object_maps(network, [cat], 1, scales=[1], layers=["layers.layer3"])
    torch.testing.assert_close(both, (one + other) / 2)


# A model in a line


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_the_model_s_own_and_the_model_is_left_as_it_is(family, generator):
    model = drawn(family())
    before = {name: values.clone() for name, values in model.state_dict().items()}
    network = from_model(model, class_names=CLASSES, input_size=(64, 64))
    assert all(module.training for module in model.modules())
    assert all(weight.requires_grad for weight in model.parameters())
    assert all(values.equal(before[name]) for name, values in model.state_dict().items())
    images = torch.rand(2, 3, 64, 64, generator=generator)
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.no_grad():
        expected = model.eval()((images - mean) / std)
        got = network(images)
    assert (expected[0] - expected[1]).abs().max() > 1e-2 * expected.abs().max()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda scores: SimpleNamespace(logits=scores, loss=None),
        lambda scores: (scores, scores[:, :1]),
        lambda scores: [scores],
        lambda scores: {"features": scores[:, :1], "logits": scores},
        lambda scores: {"scores": scores},
    ],
)
def test_scores_are_found_in_what_the_model_returns(wrap, generator):
    images = torch.rand(2, 3, 16, 16, generator=generator)
    expected = from_model(plain(), class_names=CLASSES, input_size=(16, 16))
    network = from_model(plain(wrap=wrap), class_names=CLASSES, input_size=(16, 16))
    torch.testing.assert_close(network(images), expected(images))
    torch.testing.assert_close(image_gradient(network, images), image_gradient(expected, images))


def test_gray_model_is_told_by_one_mean_value():
    network = from_model(
        plain(channels=1), mean=0.25, std=[0.5], class_names=CLASSES, input_size=(32, 32)
    )
    assert network.input_channels == 1
    assert network.normalization(torch.ones(1, 1, 2, 2)).eq(1.5).all()
    cat = load_photo("cat")
    gray = cat.mean(0, keepdim=True).expand(3, -1, -1)
    torch.testing.assert_close(
        object_maps(network, [cat], "bee", scales=[1], layers=["layers.conv"]),
        object_maps(network, [gray], "bee", scales=[1], layers=["layers.conv"]),
        rtol=1e-3,
        atol=1e-3,
    )
    torch.testing.assert_close(
        ten_crop_saliency(network, cat, "bee"), ten_crop_saliency(network, gray, "bee")
    )
    image, _ = fit_photo(cat, network)
    assert pseudo_gradient(network, image[None], "bee", rule="gradient").shape == (1, 1, 32, 32)


def test_what_timm_and_transformers_note_is_taken():
    model = plain(classes=1000)
    model.pretrained_cfg = {
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.25),
        "input_size": (3, 24, 24),
        "crop_pct": 0.75,
        "interpolation": "bicubic",
    }
    network = from_model(model)
    assert network.normalization.std.flatten().tolist() == [0.5, 0.5, 0.25]
    assert (network.input_size, network.resized_side) == ((24, 24), 32)
    assert network.interpolation == "bicubic"
    assert network.class_names == imagenet_class_names()
    model = plain()
    model.config = SimpleNamespace(image_size=28, id2label=dict(enumerate(CLASSES)))
    network = from_model(model)
    assert network.class_names == tuple(CLASSES)
    assert (network.input_size, network.resized_side) == ((28, 28), 32)
    assert network.interpolation == "bilinear"
    assert network.name == "Returns"
    given = from_model(model, class_names=CLASSES[::-1], input_size=(20, 30))
    assert given.class_names == tuple(CLASSES[::-1])
    assert given.input_size == (20, 30)


class Remembers(Returns):
    """Keeps what it returned, as models do that are looked into; it has a gradient."""

    def forward(self, images):
        self.last = super().forward(images)
        return self.last


def test_model_that_remembers_its_last_pass_is_taken_and_goes_on_remembering():
    model = drawn(Remembers())
    kept = model(torch.rand(2, 3, 16, 16))
    network = from_model(model, class_names=CLASSES, input_size=(16, 16))
    assert model.last is kept
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 5)


class Views(nn.Module):
    """Views what convolutions return, which fails where channels come last in memory."""

    def __init__(self, view):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 1)
        self.norm, self.head, self.view = nn.BatchNorm2d(4), nn.Linear(8 * 36, 5), view

    def forward(self, images):
        return self.head(self.view(self.second(self.norm(self.first(images)).relu())))


VIEWS = {
    "flat": lambda x: x.view(len(x), -1),
    "flat from the end": lambda x: x.view(-1, 8 * 36),
    "channels of all images": lambda x: x.view(len(x) * 8, 36).softmax(1).view(len(x), -1),
    "groups": lambda x: x.view(len(x), 2, 4, 6, 6).transpose(1, 2).flatten(1),
    "in memory": lambda x: x.as_strided((len(x), 288), (288, 1)),
}


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_of_what_convolutions_return_are_those_of_the_model(view, batch, generator):
    model, images = drawn(Views(view)), torch.rand(batch, 3, 6, 6, generator=generator)
    leaf = images.clone().requires_grad_()
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    scores = model.eval()((leaf - mean) / std)
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    for given in (model, copy.deepcopy(model).to(memory_format=torch.channels_last)):
        network = from_model(given, class_names=CLASSES, input_size=(6, 6))
        for one in (network, copy_sharing_weights(network), copy.deepcopy(network)):
            torch.testing.assert_close(one(images), scores, rtol=1e-4, atol=1e-4)
            found = image_gradient(one, images, 1)
            torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-4)


class Counts(Returns):
    """Writes in place into a tensor that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.count = torch.zeros(1)

    def forward(self, images):
        self.count += 1
        return super().forward(images)


def test_model_that_counts_its_passes_is_not_counted_on():
    model = drawn(Counts())
    network = from_model(model, class_names=CLASSES, input_size=(16, 16))
    before = network.layers.count.item()
    stage_saliency(network, torch.rand(1, 3, 16, 16), 0, ["layers.conv"])
    assert model.count == 0
    assert network.layers.count == before


def test_compiled_model_is_taken_as_it_was():
    model = plain()
    compiled = torch.compile(model, backend="eager")
    network = from_model(compiled, class_names=CLASSES, input_size=[16, 16])
    assert network.name == "Returns"
    assert stage_saliency(network, torch.rand(1, 3, 16, 16), 0, ["layers.conv"])[0].any()


def test_maps_need_no_gradient_of_the_caller():
    network, cat = network_of(swin), load_photo("cat")
    expected = object_maps(network, [cat], 1, scales=[1])
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            assert object_maps(network, [cat], 1, scales=[1]).equal(expected)


def test_double_precision_stays():
    network = from_model(plain().double(), class_names=CLASSES, input_size=(16, 16))
    assert network(torch.rand(1, 3, 16, 16, dtype=torch.float64)).dtype == torch.float64


class Blind(Returns):
    def forward(self, images):
        return super().forward(torch.ones_like(images))


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (
            plain(),
            {"class_names": None},
            "expected class_names, a str for each of 5 .* got 0: None",
        ),
        (plain(), {"class_names": [1, 2, 3, 4, 5]}, "a str for each of 5 classes, got 5: "),
        (plain(classes=1000), {"class_names": ["cat", "dog"]}, "each of 1000 classes, got 2: "),
        (plain(), {"class_names": "cat"}, "each of 5 classes, got 3: 'cat'"),
        (plain(), {"class_names": "abcde"}, "each of 5 classes, got 5: 'abcde'"),
        (plain(), {"class_names": 5}, "each of 5 classes, got 0: 5"),
        (plain(), {"class_names": set(CLASSES)}, "each of 5 classes, got 5: {"),
        (
            plain(),
            {"input_size": (10**6, 16)},
            r"whole numbers .* got \(1000000, 16\); 2048",
        ),
        (plain(), {"input_size": (True, 16)}, r"whole numbers of at least 1.* got \(True, 16\)"),
        (None, {}, "expected a model as an nn.Module of Python, got NoneType"),
        (Returns, {}, "expected a model as an nn.Module of Python, got type"),
        (nn.Sequential(nn.LazyConv2d(4, 3)), {}, "a Sequential with weights, got one whose"),
        (nn.Conv2d(3, 4, 3, device="meta"), {}, "a Conv2d with weights, got one whose weights are"),
        (plain(wrap=lambda s: s.softmax(1)), {}, "unnormalized .* got those of a soft-max"),
        (plain(wrap=lambda s: 9 * s.log_softmax(1) / 9), {}, "got those of a log-soft-max"),
        (plain(classes=1), {}, "with two classes or more, got 1"),
        (plain(wrap=lambda s: s.detach()), {}, "with a gradient by the image, got none"),
        (plain(wrap=lambda s: s.round() + 0 * s), {}, "with a gradient by the image, got none"),
        (Blind(), {}, "with a gradient by the image, got none"),
        (plain(wrap=torch.no_grad()(lambda s: s * 2)), {}, "with a gradient by the image"),
        (
            plain(wrap=lambda s: s[:, :, None]),
            {},
            r"scores of shape \(3, classes\), got \(3, 5, 1\)",
        ),
        (plain(wrap=lambda s: s[0]), {}, r"scores of shape \(3, classes\), got \(5,\)"),
        (plain(wrap=lambda s: "cat"), {}, "scores of shape .*, got str"),
        (plain(wrap=lambda s: s / 0), {}, "expected finite class scores"),
        (plain(), {"input_size": (3, 3)}, r"takes images \(3, 3, 3, 3\).* got RuntimeError"),
        (plain(channels=1), {}, r"takes images \(3, 3, 16, 16\).* got RuntimeError"),
        (plain(), {"mean": 0.5, "std": 0.5}, r"takes images \(3, 1, 16, 16\)"),
        (plain(), {"mean": [123.7, 116.3, 103.5]}, r"images in \[0, 1\], three values"),
        (plain(), {"mean": 0.5}, "three values each for RGB or one for gray"),
        (plain(), {"std": [0.5, 0.5, 0.0]}, "three values each for RGB or one for gray"),
        (plain().half(), {}, "expected a model of float32, got torch.float16"),
        (plain(), {"mean": "imagenet"}, "three values each for RGB .* got imagenet and"),
        (plain(), {"input_size": 16}, r"input_size as \(height, width\), got 16"),
        (plain(), {"input_size": (-1, 16)}, r"whole numbers of at least 1.* got \(-1, 16\)"),
        (plain(), {"input_size": ("16", "16")}, r"whole numbers .* got \('16', '16'\)"),
        (
            plain(wrap=lambda s: nn.functional.dropout(s)),
            {},
            "a Returns that gives one image the same scores each time, got .* changed its scores",
        ),
        (len, {}, "expected a model as an nn.Module of Python, got builtin"),
    ],
)
def test_each_mistake_is_one_line(model, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        from_model(model, **{"class_names": CLASSES, "input_size": (16, 16)} | options)
    assert "\n" not in str(caught.value)


def test_the_model_s_own_exception_is_the_cause():
    with pytest.raises(ValueError, match="got AssertionError: Wrong image height") as caught:
        from_model(vit(), class_names=CLASSES, input_size=(32, 32))
    assert isinstance(caught.value.__cause__, AssertionError)


def test_snippets_of_the_readme_run_as_written(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    section = readme.split("\n## Your own model\n")[1].split("\n## ")[0]
    snippets = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 5

    def small(*, weights):
        """Stand in for the download of a large one."""
        assert weights == "DEFAULT"
        convolutions = nn.Conv2d(3, 8, 8, stride=4), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
        head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000)
        return drawn(nn.Sequential(*convolutions, *head))

    monkeypatch.setattr(torchvision.models, "resnet18", small)
    monkeypatch.chdir(tmp_path)
    names = {}
    for snippet in snippets:
        exec(snippet, names)
    assert names["ours"].shape == names["theirs"].shape == (224, 224)
    assert names["goose"].shape == (3, 224, 224)
    x0, y0, x1, y1 = names["box"]
    assert 0 <= x0 < x1 <= 451
    assert 0 <= y0 < y1 <= 300
    assert (tmp_path / "maps.png").stat().st_size > 10_000
