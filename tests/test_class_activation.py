import copy
import warnings
from itertools import product

import pytest
import torch
from captum.attr import GuidedGradCam, LayerGradCam
from drawn_networks import (
    convnext,
    densenet,
    drawn,
    max_pooled,
    resnet,
    squeezed,
    vgg,
    vit,
    without_bias,
)
from plain_squeezenet import EXACTLY
from torch import nn
from torchcam.methods import CAM, GradCAM

from deepinside.class_activation import class_activation_map, grad_cam, guided_grad_cam
from deepinside.class_score import class_score
from deepinside.deconvnet import pseudo_gradient
from deepinside.images import fit_photo, load_photo
from deepinside.networks import from_model
from deepinside.stages import last_activation

CLASSES = [4, 0, 2]


@pytest.fixture(scope="module")
def two_photos(squeezenet):
    photos = [load_photo(name) for name in ("cat", "coffee")]
    return torch.stack([fit_photo(photo, squeezenet)[0] for photo in photos])


@pytest.fixture
def images(generator):
    return torch.rand(3, 3, 64, 64, generator=generator, dtype=torch.float64)


# Class activation maps


def test_map_is_the_last_activation_weighed_by_the_class_s_weights(network, four_images):
    classes = [282, 967, 657, 872]
    maps = class_activation_map(network, four_images, classes)
    assert maps.shape == (4, 7, 7)
    activations = network.layers.forward_features(network.normalization(four_images))
    for one, activation, target in zip(maps, activations, classes, strict=True):
        expected = torch.zeros(7, 7)
        for weight, channel in zip(
            network.layers.classifier.weight[target], activation, strict=True
        ):
            expected += weight * channel
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", [resnet, densenet, without_bias])
def test_score_is_the_map_s_mean_and_the_bias(build, images):
    network = drawn(build)
    maps = class_activation_map(network, images, CLASSES)
    assert maps[0].numel() > 1
    bias = [*network.modules()][-1].bias
    means = maps.mean((1, 2)) + (0 if bias is None else bias[CLASSES])
    torch.testing.assert_close(means, class_score(network, images, CLASSES))


@pytest.mark.parametrize(("target", "is_cut"), [([282, 967], False), (0, True)])
def test_squeezenet_s_score_is_the_mean_of_the_map_s_positive_part(
    squeezenet, two_photos, target, is_cut
):
    maps = class_activation_map(squeezenet, two_photos, target)
    assert maps.shape == (2, 14, 14)
    assert (maps < 0).any() == is_cut
    means = maps.clamp(min=0).mean((1, 2))
    torch.testing.assert_close(means, class_score(squeezenet, two_photos, target))


def test_torchcam_s_class_activation_map_is_the_same(images):
    network = drawn(resnet)
    with CAM(network, "layers.layer4", "layers.fc") as cam, torch.no_grad():
        network(images)
        (expected,) = cam(CLASSES, normalized=False)
    torch.testing.assert_close(class_activation_map(network, images, CLASSES), expected)


def test_torchcam_s_map_of_squeezenet_is_the_same_less_the_bias(squeezenet, two_photos):
    classes = [282, 967]
    with CAM(squeezenet, "layers.fire9", "layers.conv10") as cam, torch.no_grad():
        squeezenet(two_photos)
        (expected,) = cam(classes, normalized=False)
    got = class_activation_map(squeezenet, two_photos, classes)
    bias = squeezenet.layers.conv10.bias[classes, None, None]
    torch.testing.assert_close(got - bias, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("build", [vgg, max_pooled, convnext, vit])
def test_other_networks_have_no_class_activation_map(build, images):
    network = drawn(build)
    with pytest.raises(ValueError, match="expected a network whose score is an average over pos"):
        class_activation_map(network, images, CLASSES)
    # and Grad-CAM is not 0
    assert (grad_cam(network, images, CLASSES).amax((1, 2)) > 0).any()


class Weighed(nn.Module):
    """A classifier without any layer that weighs."""

    def __init__(self, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, classes) - 0.5)

    def forward(self, images):
        return images.mean((2, 3)) @ self.weight


class Regrouped(nn.Module):
    """A classifier whose last layer has fewer outputs than there are classes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, images):
        return self.layer(images.mean((2, 3))).repeat(1, 3)


@pytest.mark.parametrize("model", [Weighed(6), Regrouped()])
def test_network_whose_last_layer_gives_no_scores_has_no_class_activation_map(model):
    network = from_model(model, class_names=list("abcdef"), input_size=(16, 16))
    with pytest.raises(ValueError, match="expected a network whose score is an average over pos"):
        class_activation_map(network, torch.rand(1, 3, 16, 16), 5)


# Grad-CAM


@pytest.mark.parametrize("build", [resnet, without_bias])
def test_grad_cam_is_the_class_activation_map_s_positive_part(build, images):
    network = drawn(build)
    maps = class_activation_map(network, images, CLASSES)
    assert maps.min() < 0 < maps.max()
    expected = maps.clamp(min=0) / maps[0].numel()
    torch.testing.assert_close(grad_cam(network, images, CLASSES), expected)


def test_grad_cam_of_efficientnet_is_its_class_activation_map(network, four_images):
    classes = [282, 967, 657, 872]
    expected = class_activation_map(network, four_images, classes).clamp(min=0) / 49
    got = grad_cam(network, four_images, classes)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_grad_cam_of_squeezenet_is_in_proportion_to_the_map_less_its_bias(squeezenet, two_photos):
    """The gradient goes through the positions that are not cut at 0."""
    maps = class_activation_map(squeezenet, two_photos, [282, 967])
    share = (maps > 0).float().mean((1, 2), keepdim=True)
    bias = squeezenet.layers.conv10.bias[[282, 967], None, None]
    expected = (maps - bias).clamp(min=0) * share / maps[0].numel()
    got = grad_cam(squeezenet, two_photos, [282, 967])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["features.3", "features.2.0", None])
def test_captum_s_grad_cam_is_the_same(images, layer):
    network = drawn(convnext)
    name = f"layers.{layer}" if layer else last_activation(network)[0]
    captum = LayerGradCam(network, network.get_submodule(name))
    expected = captum.attribute(images, target=CLASSES, relu_attributions=True)[:, 0]
    got = grad_cam(network, images, CLASSES, layer and name)
    torch.testing.assert_close(got, expected.detach())
    assert (got > 0).any()
    assert (got == 0).any()


@pytest.mark.parametrize(
    ("build", "layer"), [(resnet, "layer4"), (resnet, "layer3"), (vgg, "2"), (squeezed, "fire4")]
)
def test_torchcam_s_grad_cam_is_the_same(build, layer, images):
    network, name = drawn(build), f"layers.{layer}"
    with GradCAM(network, name) as cam:
        scores = network(images.clone().requires_grad_())
        (expected,) = cam(CLASSES, scores, normalized=False)
    assert (expected.amax((1, 2)) > 1e-3).any()
    torch.testing.assert_close(grad_cam(network, images, CLASSES, name), expected, **EXACTLY)


def test_grad_cam_of_tokens_is_a_picture(images):
    """Of the tokens before the last block, (N, 1 + 16, 16), without the class token."""
    network = drawn(vit)
    names = [f"encoder_layer_{i}" for i in range(3)]
    before, last = (network.layers.encoder.layers.get_submodule(name) for name in names[1:])
    model = network.layers
    kept = []
    handle = before.register_forward_hook(lambda module, inputs, output: kept.append(output))
    network(images)
    handle.remove()
    tokens = kept[0].detach().requires_grad_()
    scores = model.heads(model.encoder.ln(last(tokens))[:, 0])
    (gradient,) = torch.autograd.grad(scores[[0, 1, 2], CLASSES].sum(), tokens)
    weights = gradient[:, 1:].mean(1, keepdim=True)
    expected = (weights * tokens[:, 1:]).sum(2).clamp(min=0).unflatten(1, (4, 4))
    torch.testing.assert_close(grad_cam(network, images, CLASSES), expected.detach())


@pytest.mark.parametrize(
    ("build", "layer"),
    [
        (resnet, "layers.layer4"),
        (densenet, "layers.features"),
        (vgg, "layers.2"),
        (convnext, "layers.features"),
        (vit, "layers.encoder.layers.encoder_layer_1"),
    ],
)
def test_last_activation(build, layer):
    assert last_activation(drawn(build))[0] == layer


def test_squeezenet_s_last_activation_is_before_the_maps_of_classes(squeezenet):
    assert last_activation(squeezenet)[0] == "layers.fire9"


def test_an_activation_of_as_many_channels_as_classes_is_no_map_of_them():
    def narrow():
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5)]
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 3), nn.ReLU(), *pooled)

    assert last_activation(drawn(narrow))[0] == "layers.3"


def test_a_network_that_looks_at_no_places_has_no_last_activation():
    network = copy.deepcopy(drawn(resnet))
    with torch.no_grad():
        network.layers.fc.weight.zero_()
    with pytest.raises(ValueError, match="depend on the image, got a gradient of 0 at all"):
        last_activation(network)


@pytest.mark.parametrize("layer", ["nowhere", "layers.fc", "layers.avgpool"])
def test_a_layer_without_positions_is_refused(images, layer):
    with pytest.raises(ValueError, match=f"expected .*{layer}"):
        grad_cam(drawn(resnet), images, CLASSES, layer)


# Guided Grad-CAM


@pytest.mark.parametrize("layer", ["layers.1", None])
def test_guided_grad_cam_is_the_guided_signal_times_the_map(images, layer):
    network = drawn(vgg)
    signal = pseudo_gradient(network, images, CLASSES, rule="guided")
    maps = grad_cam(network, images, CLASSES, layer)
    got = guided_grad_cam(network, images, CLASSES, layer)
    assert got.min() < 0 < got.max()
    (side, _), expected = maps.shape[1:], torch.zeros_like(images)
    for n, y, x in product(range(3), range(64), range(64)):
        # a position's value is that of its middle, and goes on to the edge
        down, right = (min(max((at + 0.5) * side / 64 - 0.5, 0), side - 1) for at in (y, x))
        i, j = min(int(down), side - 2), min(int(right), side - 2)
        upper, lower = (m[j] + (right - j) * (m[j + 1] - m[j]) for m in maps[n, i : i + 2].tolist())
        expected[n, :, y, x] = signal[n, :, y, x] * (upper + (down - i) * (lower - upper))
    torch.testing.assert_close(got, expected, **EXACTLY)


def by_captum(network, layer, images, target):
    captum = GuidedGradCam(network, network.get_submodule(layer))
    with warnings.catch_warnings(action="ignore"):
        return captum.attribute(images, target=target, interpolate_mode="bilinear").detach()


@pytest.mark.parametrize("layer", ["layers.1", "layers.2"])
def test_captum_s_guided_grad_cam_is_the_same(layer, images):
    network = drawn(vgg)
    expected = by_captum(network, layer, images, CLASSES)
    assert (expected.abs().amax((1, 2, 3)) > 1e-6).all()
    got = guided_grad_cam(network, images, CLASSES, layer)
    torch.testing.assert_close(got, expected, **EXACTLY)


def test_captum_s_guided_grad_cam_of_a_photo_is_the_same(squeezenet, two_photos):
    expected = by_captum(squeezenet, "layers.fire9", two_photos, [282, 967])
    largest = expected.abs().max()
    got = guided_grad_cam(squeezenet, two_photos, [282, 967])
    torch.testing.assert_close(got / largest, expected / largest, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [convnext, vit])
def test_guided_grad_cam_is_refused_where_there_are_no_relus(build, images):
    with pytest.raises(ValueError, match=r"kinds of ReLU, .* rule 'guided'.* got GeluBackward0"):
        guided_grad_cam(drawn(build), images, CLASSES)


# All


@pytest.fixture(params=[class_activation_map, grad_cam, guided_grad_cam])
def method(request):
    return request.param


def test_batch_equals_a_loop(method, images):
    network = drawn(resnet)
    got = method(network, images, CLASSES)
    for one, image, target in zip(got, images, CLASSES, strict=True):
        torch.testing.assert_close(one, method(network, image[None], target)[0])


def test_without_a_target_each_image_has_its_own_class(method, network, four_images):
    best = network(four_images).argmax(1)
    assert len(best.unique()) == 4
    assert method(network, four_images).equal(method(network, four_images, best))


@pytest.mark.parametrize("target", [5, "espresso", [0, 1]])
def test_a_wrong_class_or_image_is_refused(method, images, target):
    network = drawn(resnet)
    with pytest.raises(ValueError, match="expected"):
        method(network, images, target)
    with pytest.raises(ValueError, match="batch of images"):
        method(network, images[0], 0)


def test_nothing_is_left_behind(method, images):
    network = drawn(resnet)
    images.requires_grad_()
    expected = method(network, images, CLASSES)
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert images.grad is None
    assert not expected.requires_grad
    # nor does it matter in what mode the network is, or the caller
    training = copy.deepcopy(network).train().requires_grad_()
    got = method(training, images, CLASSES)
    assert got.equal(expected)
    assert not got.requires_grad
    assert all(parameter.grad is None for parameter in training.parameters())
    assert all(module.training for module in training.modules())
    with torch.inference_mode():
        assert method(network, images, CLASSES).equal(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_what_the_cpu_gives(method, images):
    network = drawn(resnet)
    expected = method(network, images, CLASSES)
    got = method(copy.deepcopy(network).to("cuda"), images.to("cuda"), CLASSES)
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), expected)
