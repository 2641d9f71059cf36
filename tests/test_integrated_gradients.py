import copy

import pytest
import torch
from captum.attr import IntegratedGradients
from drawn_networks import Refuses, convnext, densenet, drawn, resnet, squeezed, vit
from plain_squeezenet import EXACTLY
from torch import nn
from torch.nn import functional as F

from deepinside.class_score import class_score
from deepinside.integrated_gradients import integrated_gradients
from deepinside.saliency import gradient_times_input

CLASSES = [4, 0, 2]
BLACK = torch.zeros((), dtype=torch.float64)


@pytest.fixture
def images(generator):
    return torch.rand(3, 3, 64, 64, generator=generator, dtype=torch.float64)


def small(activation):
    torch.manual_seed(4)
    layers = [nn.Conv2d(3, 4, 3), activation, nn.Flatten(), nn.Linear(4 * 15, 5)]
    return nn.Sequential(*layers).double()


@pytest.fixture
def small_images(generator):
    return torch.rand(3, 3, 5, 7, generator=generator, dtype=torch.float64)


def remainder(network, images, target, baseline, steps):
    """The sum less the score's change from the baseline, of each image, as share of the change."""
    total = integrated_gradients(network, images, target, baseline=baseline, steps=steps)
    with torch.no_grad():
        scores, first = (
            class_score(network, given, target) for given in (images, baseline.expand_as(images))
        )
    return total.sum((1, 2, 3)) / (scores - first) - 1


# What it computes


@pytest.mark.parametrize("steps", [1, 5])
def test_of_a_linear_score_it_is_the_weights_times_the_change(linear, small_images, steps):
    baseline = small_images.roll(1, 0)
    got = integrated_gradients(
        linear.network, small_images, [2, 0, 1], baseline=baseline, steps=steps
    )
    torch.testing.assert_close(got, linear.weights[[2, 0, 1]] * (small_images - baseline))


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Softplus()])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_it_is_the_mean_of_the_gradients_in_the_middle_of_each_step(
    activation, small_images, steps
):
    network, baseline = small(activation), torch.full((3, 1, 1), 0.3, dtype=torch.float64)
    got = integrated_gradients(network, small_images, CLASSES, baseline=baseline, steps=steps)
    for one, image, target in zip(got, small_images, CLASSES, strict=True):
        gradients = []
        for step in range(steps):
            share = (2 * step + 1) / (2 * steps)
            point = (1 - share) * baseline + share * image
            jacobian = torch.autograd.functional.jacobian(network, point[None])
            gradients.append(jacobian[0, target, 0])
        expected = (image - baseline) * sum(gradients) / steps
        torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("build", [resnet, squeezed, convnext, vit])
@pytest.mark.parametrize("is_black", [True, False])
def test_captum_s_integrated_gradients_are_the_same(build, is_black, images):
    network = drawn(build)
    baseline = torch.zeros_like(images) if is_black else F.avg_pool2d(images, 9, 1, 4)
    # of a power of two, as Captum divides in float32
    expected = IntegratedGradients(network).attribute(
        images, baseline, target=CLASSES, n_steps=4, method="riemann_middle"
    )
    assert (expected.abs().amax((1, 2, 3)) > 0).all()
    got = integrated_gradients(network, images, CLASSES, baseline=baseline, steps=4)
    torch.testing.assert_close(got, expected, **EXACTLY)


def test_of_digits_the_sum_is_the_score_s_change(digits_network, digits):
    images, black = digits.images[::500], torch.zeros(())
    classes = digits_network(images).argmax(1)
    assert remainder(digits_network, images, classes, black, 1000).abs().max() < 1e-3
    # ReLU and max-pooling have kinks, so a few steps do not do
    assert remainder(digits_network, images, classes, black, 5).abs().max() > 1e-2


def test_where_the_score_is_smooth_twice_the_steps_leave_a_quarter(small_images):
    network = small(nn.Softplus(beta=5))
    left = [remainder(network, small_images, CLASSES, BLACK, steps) for steps in (20, 40, 80)]
    assert (left[0].abs() > 1e-6).all()
    torch.testing.assert_close(left[0] / left[1], torch.full_like(left[0], 4), rtol=0.02, atol=0)
    torch.testing.assert_close(left[1] / left[2], torch.full_like(left[0], 4), rtol=0.02, atol=0)


def test_a_saturated_score_has_no_gradient_and_yet_its_whole_change_is_shared():
    """``min(10 x, 6)`` ends its rise at 0.6 of the way from 0 to 1."""

    class Saturated(nn.Module):
        def forward(self, images):
            score = F.relu6(10 * images[:, 0].mean((1, 2)))
            return torch.stack([score, -score], 1)

    images = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    assert gradient_times_input(Saturated(), images, 0).abs().max() == 0
    got = integrated_gradients(Saturated(), images, 0, baseline=BLACK, steps=10)
    torch.testing.assert_close(got, torch.full_like(images, 6 / 4))


def test_way_back_has_the_opposite_sign(small_images):
    network, other = small(nn.ReLU()), small_images.roll(1, 0)
    there = integrated_gradients(network, small_images, 1, baseline=other, steps=9)
    back = integrated_gradients(network, other, 1, baseline=small_images, steps=9)
    torch.testing.assert_close(there, -back)


def test_what_is_equal_in_both_has_no_share(small_images):
    small_images[:, :, 2:, :3] = 0.25
    got = integrated_gradients(
        small(nn.ReLU()), small_images, baseline=torch.full_like(BLACK, 0.25), steps=3
    )
    assert (got[:, :, 2:, :3] == 0).all()
    assert (got[:, :, :2].abs().sum(1) > 0).all()


# How it is called


def test_baseline_is_broadcast(small_images):
    network, options = small(nn.ReLU()), {"steps": 4}
    color = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)[:, None, None]
    expected = integrated_gradients(
        network, small_images, baseline=color.repeat(3, 1, 5, 7), **options
    )
    assert integrated_gradients(network, small_images, baseline=color, **options).equal(expected)
    one = small_images.mean(0)
    each = [
        integrated_gradients(network, image[None], baseline=one, **options)
        for image in small_images
    ]
    got = integrated_gradients(network, small_images, baseline=one[None], **options)
    torch.testing.assert_close(got, torch.cat(each))


def test_batch_equals_a_loop(images):
    network, blurred = drawn(densenet), F.avg_pool2d(images, 9, 1, 4)
    got = integrated_gradients(network, images, CLASSES, baseline=blurred, steps=3)
    for one, image, start, target in zip(got, images, blurred, CLASSES, strict=True):
        alone = integrated_gradients(network, image[None], target, baseline=start, steps=3)
        torch.testing.assert_close(one, alone[0])


def test_batch_is_a_pass_a_step_and_one_for_the_class(images):
    network, sizes = copy.deepcopy(drawn(densenet)), []
    network.layers.register_forward_hook(lambda layer, given, output: sizes.append(len(output)))
    integrated_gradients(network, images, baseline=BLACK, steps=5)
    assert sizes == [3] * 6


def test_without_a_target_each_image_has_its_own_class_all_along(linear, generator):
    images = torch.rand(6, 3, 5, 7, generator=generator, dtype=torch.float64)
    best = linear.network(images).argmax(1)
    # the baseline is of yet another class
    baseline = linear.weights[3]
    assert 3 not in best
    assert len(best.unique()) > 1
    got = integrated_gradients(linear.network, images, baseline=baseline, steps=2)
    torch.testing.assert_close(got, linear.weights[best] * (images - baseline))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": 0.0}, r"baseline .* \(2, 3, 5, 7\) of torch.float64 on cpu, got float"),
        ({"baseline": torch.zeros(3, 5, 7)}, r"got \(3, 5, 7\) of torch.float32 on cpu"),
        ({"baseline": BLACK.to("meta")}, r"got \(\) of torch.float64 on meta"),
        ({"baseline": BLACK.expand(1, 3, 7, 5)}, r"a baseline .*, got \(1, 3, 7, 5\) of"),
        ({"baseline": BLACK.expand(3, 3, 5, 7)}, r"a baseline .*, got \(3, 3, 5, 7\) of"),
        ({"baseline": BLACK.expand(1, 1, 3, 5, 7)}, r"a baseline .*, got \(1, 1, 3, 5, 7\) of"),
        ({"steps": 0}, "expected a number of steps of at least 1, got 0"),
        ({"steps": 2.5}, "number of steps .* got 2.5, which is no whole number"),
        ({"steps": True}, "number of steps .* got True, which is no whole number"),
        ({"steps": "50"}, "number of steps .* got '50', which is no whole number"),
        ({"images": torch.zeros(3, 5, 7, dtype=torch.float64)}, "expected a batch of images"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_pass(options, message):
    images = torch.zeros(2, 3, 5, 7, dtype=torch.float64)
    given = {"images": images, "target": 0, "baseline": BLACK, **options}
    with pytest.raises(ValueError, match=message):
        integrated_gradients(Refuses(1, 1).double(), **given)


def test_a_wrong_class_or_baseline_value_is_refused(images):
    with pytest.raises(ValueError, match="expected a class index from 0 to 4, got 5"):
        integrated_gradients(drawn(densenet), images, 5, baseline=BLACK)
    with pytest.raises(ValueError, match=r"expected finite (replacement|baseline) images"):
        integrated_gradients(drawn(densenet), images, 0, baseline=BLACK / 0)


def test_nothing_is_left_behind(images):
    network = drawn(densenet)
    # a baseline and images that remember, and a network that learns
    blurred = F.avg_pool2d(images, 9, 1, 4).requires_grad_()
    images.requires_grad_()
    training = copy.deepcopy(network).train().requires_grad_()
    before = [values.clone() for values in (images, blurred, *training.state_dict().values())]
    got = integrated_gradients(training, images, CLASSES, baseline=blurred, steps=3)
    assert not got.requires_grad
    after = [images, blurred, *training.state_dict().values()]
    assert all(one.equal(other) for one, other in zip(before, after, strict=True))
    assert all(module.training for module in training.modules())
    leaves = [images, blurred, *training.parameters()]
    assert all(leaf.grad is None and leaf.requires_grad for leaf in leaves)
    # nor does it matter in what mode the network is, or the caller
    assert integrated_gradients(network, images, CLASSES, baseline=blurred, steps=3).equal(got)
    with torch.inference_mode():
        again = integrated_gradients(network, images.clone(), CLASSES, baseline=blurred, steps=3)
    assert again.equal(got)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_what_the_cpu_gives(images):
    network = drawn(densenet)
    expected = integrated_gradients(network, images, CLASSES, baseline=BLACK, steps=3)
    there = copy.deepcopy(network).to("cuda")
    got = integrated_gradients(
        there, images.to("cuda"), CLASSES, baseline=BLACK.to("cuda"), steps=3
    )
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), expected)
    with pytest.raises(ValueError, match=r"on cuda:0, got .* on cpu"):
        integrated_gradients(there, images.to("cuda"), CLASSES, baseline=BLACK)
