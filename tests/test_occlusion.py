import copy

import pytest
import torch
from captum.attr import Occlusion
from drawn_networks import Refuses, convnext, densenet, drawn, resnet, squeezed, vit
from torch import nn
from torch.nn import functional as F

from deepinside.occlusion import occlusion

CLASSES = [4, 0, 2]
GRAY = torch.tensor(0.5, dtype=torch.float64)


@pytest.fixture
def images(generator):
    return torch.rand(3, 3, 64, 64, generator=generator, dtype=torch.float64)


@pytest.fixture
def small_images(generator):
    return torch.rand(3, 3, 5, 7, generator=generator, dtype=torch.float64)


def small():
    torch.manual_seed(4)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 15, 5)]
    return nn.Sequential(*layers).double()


def by_loops(network, image, target, other, patch, stride):
    """The map of one image (C, H, W), pixel by pixel: the mean over the squares on it."""
    _, height, width = image.shape

    def drop(top, left):
        covered = image.clone()
        for y in range(top, min(top + patch, height)):
            for x in range(left, min(left + patch, width)):
                covered[:, y, x] = other[:, y, x]
        with torch.no_grad():
            before, after = network(torch.stack([image, covered]))[:, target].tolist()
        return before - after

    def starts(length):
        found = [0]
        while found[-1] + patch < length:
            found.append(found[-1] + stride)
        return found

    drops = {(t, s): drop(t, s) for t in starts(height) for s in starts(width)}
    values = torch.zeros(height, width, dtype=image.dtype)
    for y in range(height):
        for x in range(width):
            on_it = [d for (t, s), d in drops.items() if t <= y < t + patch and s <= x < s + patch]
            values[y, x] = sum(on_it) / len(on_it)
    return values


# What it computes


# squares that end at the edge, beyond it, that overlap, of a pixel, and one that is all of a side
@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 2), (3, 2), (3, 1), (5, 5), (5, 4)])
@pytest.mark.parametrize("is_square", [False, True])
def test_it_is_what_loops_over_pixels_give(small_images, patch, stride, is_square):
    # neither a square image nor one color in place of it
    images = small_images[..., 1:6] if is_square else small_images.mT
    network, other = small(), images.roll(1, 0)
    if is_square:
        network[3] = nn.Linear(4 * 9, 5).double()
    got = occlusion(network, images, CLASSES, replacement=other, patch=patch, stride=stride)
    assert (got.abs().amax((1, 2)) > 0).all()
    for one, image, instead, target in zip(got, images, other, CLASSES, strict=True):
        expected = by_loops(network, image, target, instead, patch, stride)
        torch.testing.assert_close(one, expected)


def test_of_a_linear_score_a_pixel_s_map_is_gradient_times_change(linear, small_images):
    got = occlusion(linear.network, small_images, [2, 0, 1], replacement=GRAY, patch=1, stride=1)
    expected = (linear.weights[[2, 0, 1]] * (small_images - GRAY)).sum(1)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("build", [resnet, squeezed, convnext, vit])
@pytest.mark.parametrize(("patch", "stride"), [(32, 16), (30, 20)])
def test_captum_s_occlusion_is_the_same(build, patch, stride, images):
    network, blurred = drawn(build), F.avg_pool2d(images, 9, 1, 4)
    expected = Occlusion(network).attribute(
        images, (3, patch, patch), (3, stride, stride), baselines=blurred, target=CLASSES
    )
    got = occlusion(network, images, CLASSES, replacement=blurred, patch=patch, stride=stride)
    assert (got.abs().amax((1, 2)) > 0).all()
    largest = got.abs().amax()
    # Captum adds up in float32
    torch.testing.assert_close((got / largest).float(), expected[:, 0] / largest.float())


def test_where_nothing_changes_nothing_falls(images):
    other = images.clone()
    other[..., 32:, :] = 0.5
    got = occlusion(drawn(densenet), images, CLASSES, replacement=other, patch=16, stride=16)
    assert (got[:, :32] == 0).all()
    assert (got[:, 32:] != 0).all()


# How it is called


def test_replacement_is_broadcast(small_images):
    network, options = small(), {"patch": 3, "stride": 2}
    expected = occlusion(network, small_images, replacement=GRAY.expand(3, 3, 5, 7), **options)
    assert occlusion(network, small_images, replacement=GRAY, **options).equal(expected)
    color = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)[:, None, None]
    got = occlusion(network, small_images, replacement=color, **options)
    whole = color.repeat(3, 1, 5, 7)
    assert got.equal(occlusion(network, small_images, replacement=whole, **options))
    assert not got.equal(expected)


def test_batch_equals_a_loop(images):
    network, blurred = drawn(densenet), F.avg_pool2d(images, 9, 1, 4)
    options = {"patch": 32, "stride": 16}
    got = occlusion(network, images, CLASSES, replacement=blurred, **options)
    for one, image, other, target in zip(got, images, blurred, CLASSES, strict=True):
        alone = occlusion(network, image[None], target, replacement=other, **options)
        torch.testing.assert_close(one, alone[0])


def test_batch_is_a_pass_a_square(images):
    network, sizes = copy.deepcopy(drawn(densenet)), []
    network.layers.register_forward_hook(lambda layer, given, output: sizes.append(len(output)))
    occlusion(network, images, CLASSES, replacement=GRAY, patch=16, stride=8)
    # and two of the images as they are
    assert sizes == [3] * (49 + 2)


def test_without_a_target_each_image_has_its_own_class(linear, generator):
    images = torch.rand(6, 3, 5, 7, generator=generator, dtype=torch.float64)
    best = linear.network(images).argmax(1)
    assert len(best.unique()) > 1
    # whatever the class of what is seen in its place
    options = {"replacement": linear.weights[3], "patch": 3, "stride": 2}
    expected = occlusion(linear.network, images, best, **options)
    assert occlusion(linear.network, images, **options).equal(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replacement": 0.5}, r"replacement .* \(2, 3, 5, 7\) of torch.float64 on cpu, got float"),
        ({"replacement": GRAY.float()}, r"got \(\) of torch.float32 on cpu"),
        ({"replacement": GRAY.to("meta")}, r"got \(\) of torch.float64 on meta"),
        ({"replacement": GRAY.expand(1, 3, 7, 5)}, r"a replacement .*, got \(1, 3, 7, 5\) of"),
        ({"stride": 3}, "a stride, not above the patch, from 1 to 2, got 3"),
        ({"stride": 0}, "a stride, .* from 1 to 2, got 0"),
        ({"patch": 0, "stride": 0}, "a patch, within the image, from 1 to 5, got 0"),
        ({"patch": 6}, "a patch, within the image, from 1 to 5, got 6"),
        ({"patch": 2.0}, "a patch, .* got 2.0, which is no whole number"),
        ({"stride": True}, "a stride, .* got True, which is no whole number"),
        ({"patch": (2, 2)}, r"a patch, .* got \(2, 2\), which is no whole number"),
        ({"images": torch.zeros(3, 5, 7, dtype=torch.float64)}, "expected a batch of images"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_pass(options, message):
    images = torch.zeros(2, 3, 5, 7, dtype=torch.float64)
    given = {"images": images, "target": 0, "replacement": GRAY, "patch": 2, "stride": 1}
    with pytest.raises(ValueError, match=message):
        occlusion(Refuses(1, 1).double(), **{**given, **options})


def test_a_wrong_class_or_replacing_value_is_refused(images):
    options = {"patch": 32, "stride": 16}
    with pytest.raises(ValueError, match="expected a class index from 0 to 4, got 5"):
        occlusion(drawn(densenet), images, 5, replacement=GRAY, **options)
    with pytest.raises(ValueError, match=r"expected finite (replacement|baseline) images"):
        occlusion(drawn(densenet), images, 0, replacement=GRAY / 0, **options)


def test_nothing_is_left_behind(images):
    network, options = drawn(densenet), {"patch": 32, "stride": 32}
    # images and what replaces them remember, and a network that learns
    blurred = F.avg_pool2d(images, 9, 1, 4).requires_grad_()
    images.requires_grad_()
    training = copy.deepcopy(network).train().requires_grad_()
    before = [values.clone() for values in (images, blurred, *training.state_dict().values())]
    got = occlusion(training, images, CLASSES, replacement=blurred, **options)
    assert not got.requires_grad
    after = [images, blurred, *training.state_dict().values()]
    assert all(one.equal(other) for one, other in zip(before, after, strict=True))
    assert all(module.training for module in training.modules())
    leaves = [images, blurred, *training.parameters()]
    assert all(leaf.grad is None and leaf.requires_grad for leaf in leaves)
    # nor does it matter in what mode the network is, or the caller
    assert occlusion(network, images, CLASSES, replacement=blurred, **options).equal(got)
    with torch.inference_mode():
        again = occlusion(network, images.clone(), CLASSES, replacement=blurred, **options)
    assert again.equal(got)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_what_the_cpu_gives(images):
    network, options = drawn(densenet), {"patch": 32, "stride": 16}
    expected = occlusion(network, images, CLASSES, replacement=GRAY, **options)
    there, given = copy.deepcopy(network).to("cuda"), images.to("cuda")
    got = occlusion(there, given, CLASSES, replacement=GRAY.to("cuda"), **options)
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), expected)
    with pytest.raises(ValueError, match=r"on cuda:0, got .* on cpu"):
        occlusion(there, given, CLASSES, replacement=GRAY, **options)
