import copy
from itertools import product

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from drawn_networks import Ends
from torch import nn

from deepinside.class_score import class_score
from deepinside.images import load_photo
from deepinside.saliency import (
    gradient_times_input,
    image_gradient,
    saliency_map,
    smooth_grad,
    ten_crop_saliency,
)


@pytest.fixture(scope="module")
def exact_digits(digits_network):
    """The digits network in float64."""
    return copy.deepcopy(digits_network).double()


@pytest.fixture(scope="module")
def some_digits(digits):
    """One digit of each class, in float64."""
    return digits.images[::100].double()


def relative_difference(got, expected):
    return ((got - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)).max().item()


# What it computes


def test_gradient_of_a_linear_score_is_its_weights(linear, generator):
    images = torch.rand(3, 3, 5, 7, generator=generator, dtype=torch.float64)
    weights = linear.weights[[2, 0, 1]]
    assert image_gradient(linear.network, images, [2, 0, 1]).equal(weights)
    assert gradient_times_input(linear.network, images, [2, 0, 1]).equal(weights * images)


def test_saliency_of_a_linear_score_is_the_largest_weight_of_the_channels(linear, generator):
    images = torch.rand(3, 3, 5, 7, generator=generator, dtype=torch.float64)
    got = saliency_map(linear.network, images, [2, 0, 1])
    assert got.shape == (3, 5, 7)
    for image, row, column in product(range(3), range(5), range(7)):
        weights = linear.weights[[2, 0, 1][image], :, row, column].tolist()
        assert got[image, row, column] == max(abs(weight) for weight in weights)


def test_without_a_target_each_image_s_highest_score_is_explained(linear, generator):
    images = torch.rand(6, 3, 5, 7, generator=generator, dtype=torch.float64)
    best = linear.network(images).argmax(1)
    assert len(best.unique()) > 1
    assert image_gradient(linear.network, images).equal(linear.weights[best])


def central_difference(network, image, direction, target):
    """The slope of a class score along a direction of any length."""
    # short enough to stay on one side of nearly every kink of ReLU, long enough for float64
    step = 1e-7 * direction / direction.norm()
    with torch.no_grad():
        higher, lower = network(torch.stack([image + step, image - step]))[:, target]
    return ((higher - lower) / (2e-7) * direction.norm()).item()


@pytest.mark.parametrize("target", [2, 7])
def test_gradient_is_the_central_difference_along_any_direction(
    exact_digits, some_digits, target, generator
):
    gradients = image_gradient(exact_digits, some_digits, target)
    for image, gradient in zip(some_digits, gradients, strict=True):
        direction = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        difference = central_difference(exact_digits, image, direction, target)
        assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-5)


def test_gradient_is_the_central_difference_at_single_pixels(exact_digits, some_digits):
    image = some_digits[8]
    gradient = image_gradient(exact_digits, image[None], 8)[0]
    for row, column in [(5, 13), (9, 10), (14, 14), (14, 8), (20, 17), (11, 21)]:
        pixel = torch.zeros_like(image)
        pixel[0, row, column] = 1
        difference = central_difference(exact_digits, image, pixel, 8)
        assert gradient[0, row, column].item() == pytest.approx(difference, rel=1e-5)


def test_gradient_of_a_photo_is_the_central_difference(network, fitted, generator):
    exact, image = copy.deepcopy(network).double(), fitted["cat"].double()
    gradient = image_gradient(exact, image[None], "tabby")[0]
    direction = torch.randn(image.shape, generator=generator, dtype=torch.float64)
    for along in (direction, gradient):
        difference = central_difference(exact, image, along, 281)
        assert (gradient * along).sum().item() == pytest.approx(difference, rel=1e-4)


@pytest.mark.parametrize("absolute", [True, False])
def test_captum_s_saliency_is_the_same(network, four_images, absolute):
    # a wanted class for each image, not the highest
    targets = [285, 968, 744, 817]
    images = four_images.clone().requires_grad_()
    expected = Saliency(network).attribute(images, target=targets, abs=absolute)
    gradient = image_gradient(network, four_images, targets)
    torch.testing.assert_close(
        gradient.abs() if absolute else gradient, expected, rtol=1e-6, atol=1e-7
    )
    if absolute:
        torch.testing.assert_close(
            saliency_map(network, four_images, targets), expected.amax(1), rtol=1e-6, atol=1e-7
        )


def test_captum_s_saliency_of_timm_s_network_is_nearly_the_same(network, timm_network, four_images):
    # the difference is stated, and explained, in test_networks
    images = four_images.clone().requires_grad_()
    expected = Saliency(timm_network).attribute(images, target=[282, 967, 657, 872]).amax(1)
    got = saliency_map(network, four_images)
    assert relative_difference(got, expected) < 0.05
    assert relative_difference(got[:1], expected[:1]) < 1e-2


def test_batch_equals_a_loop(exact_digits, some_digits):
    targets = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    got = image_gradient(exact_digits, some_digits, targets)
    pairs = zip(some_digits, targets, strict=True)
    expected = torch.cat([image_gradient(exact_digits, image[None], c) for image, c in pairs])
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", [image_gradient, saliency_map, gradient_times_input])
@pytest.mark.parametrize("target", [None, 3, "3", list(range(10))])
def test_batch_is_one_forward_pass(digits_network, digits, method, target):
    sizes = []
    handle = digits_network.layers[0].register_forward_hook(
        lambda layer, given, output: sizes.append(len(output))
    )
    try:
        method(digits_network, digits.images[:10], target)
    finally:
        handle.remove()
    assert sizes == [10]


# SmoothGrad


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_smooth_grad_without_noise_is_the_saliency_map(exact_digits, some_digits):
    plain = image_gradient(exact_digits, some_digits)
    smooth = smooth_grad(exact_digits, some_digits, generator=seeded(0), samples=3, noise=0)
    torch.testing.assert_close(smooth, plain.abs().amax(1))
    squared = smooth_grad(
        exact_digits, some_digits, generator=seeded(0), samples=3, noise=0, squared=True
    )
    torch.testing.assert_close(squared, plain.square().amax(1))


@pytest.mark.parametrize("squared", [False, True])
# a pass holds 16 images: fewer, as many, a rest, and images that do not fit into one
@pytest.mark.parametrize(("count", "samples"), [(1, 5), (2, 8), (2, 13), (3, 11), (20, 2)])
def test_smooth_grad_is_the_mean_over_noisy_copies(generator, count, samples, squared):
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 15, 5))
    layers.double()
    images = torch.rand(count, 3, 5, 7, generator=generator, dtype=torch.float64)
    targets = [index % 5 for index in range(count)]
    got = smooth_grad(
        layers,
        images,
        targets,
        generator=seeded(9),
        samples=samples,
        noise=0.3,
        squared=squared,
    )
    # the noise is drawn copy by copy, each copy all images
    drawn, total = seeded(9), torch.zeros_like(images)
    copies = max(1, 16 // count)
    for start in range(0, samples, copies):
        some = min(copies, samples - start)
        noise = torch.randn(some * count, 3, 5, 7, generator=drawn).double()
        for copied, index in product(range(some), range(count)):
            noisy = images[index] + 0.3 * noise[copied * count + index]
            one = image_gradient(layers, noisy[None], targets[index])[0]
            total[index] += one**2 if squared else one
    torch.testing.assert_close(got, (total / samples).abs().amax(1))


def test_smooth_grad_averages_before_it_takes_the_magnitude(generator):
    # an even score has gradients of either sign that cancel, unless they are squared
    class Even(nn.Module):
        def forward(self, images):
            return images.sub(0.5).square().sum((2, 3))

    images = torch.full((1, 2, 3, 4), 0.5, dtype=torch.float64)
    options = {"samples": 4000, "noise": 0.1}
    smooth = smooth_grad(Even(), images, 0, generator=generator, **options)
    squared = smooth_grad(Even(), images, 0, generator=generator, squared=True, **options)
    assert smooth.max() < 0.02
    # the gradient is 2 times the noise
    torch.testing.assert_close(squared, torch.full_like(squared, (2 * 0.1) ** 2), rtol=0.1, atol=0)


def test_smooth_grad_repeats_with_its_generator_alone(digits_network, digits):
    images, state = digits.images[::250], torch.get_rng_state()
    first, again, other = (
        smooth_grad(digits_network, images, generator=seeded(seed), samples=6) for seed in (1, 1, 2)
    )
    assert first.equal(again)
    assert not first.equal(other)
    assert torch.get_rng_state().equal(state)


def test_smooth_grad_explains_the_clean_image_s_class(exact_digits, some_digits):
    # with so much noise the noisy copies are of any class
    options = {"samples": 4, "noise": 2.0}
    best = exact_digits(some_digits).argmax(1)
    got = smooth_grad(exact_digits, some_digits, generator=seeded(3), **options)
    expected = smooth_grad(exact_digits, some_digits, best, generator=seeded(3), **options)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "expected a number of samples from 1 to 10000, got 0"),
        ({"noise": -0.1}, "expected a noise of at least 0 and at most 10, got -0.1"),
        ({"noise": float("nan")}, "expected a noise of at least 0 and at most 10, got nan"),
        ({"noise": float("inf")}, "expected a noise of at least 0 and at most 10, got inf"),
    ],
)
def test_smooth_grad_checks_its_options(digits_network, digits, options, message):
    with pytest.raises(ValueError, match=message):
        smooth_grad(digits_network, digits.images[:1], generator=seeded(0), **options)


# Ten crops


class SmallPhotoNetwork(nn.Sequential):
    """What `ten_crop_saliency` needs of a network, small and without kinks."""

    class_names = ("a", "b", "c")
    interpolation = "bilinear"

    def __init__(self, *, input_size=(8, 8), resized_side=10, hidden=None):
        torch.manual_seed(8)
        height, width = input_size
        super().__init__(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            hidden or nn.Softplus(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(4 * (height - 2) * (width - 2), 3),
        )
        self.input_size, self.resized_side = input_size, resized_side
        self.eval()


def plain_ten_crops(network, photo, target):
    """The ten crops one by one, for a photo that is resized already."""
    (height, width), (h, w) = photo.shape[1:], network.input_size
    bottom, right = height - h, width - w
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    places.append((round(bottom / 2), round(right / 2)))
    total, shown = torch.zeros(2, height, width, dtype=photo.dtype)
    for top, left in places:
        image = photo[:, top : top + h, left : left + w]
        for mirrored in (False, True):
            given = image.flip(-1) if mirrored else image
            values = saliency_map(network, given[None], target)[0]
            values = values.flip(-1) if mirrored else values
            total[top : top + h, left : left + w] += values
            shown[top : top + h, left : left + w] += 1
    assert shown.min() > 0
    return total / shown


@pytest.mark.parametrize("size", [(10, 13), (13, 10), (10, 10), (10, 15)])
def test_ten_crops_are_laid_back_and_averaged(size, generator):
    network = SmallPhotoNetwork().double()
    photo = torch.rand(3, *size, generator=generator, dtype=torch.float64)
    got = ten_crop_saliency(network, photo, "b")
    torch.testing.assert_close(got, plain_ten_crops(network, photo, 1))


def test_ten_crops_of_a_photo_cover_all_of_it(network):
    photo = load_photo("coffee")
    # resized by an exact half, so that no interpolation stands between map and photo
    small = torch.nn.functional.avg_pool2d(photo[None], 2)[0][:, :, :256]
    small = torch.nn.functional.pad(small, (0, 0, 28, 28), mode="replicate")
    assert small.shape == (3, 256, 256)
    got = ten_crop_saliency(network, small, "espresso")
    expected = plain_ten_crops(network, small, "espresso")
    assert relative_difference(got[None], expected[None]) < 0.01
    assert ten_crop_saliency(network, photo, "espresso").shape == photo.shape[1:]


@pytest.mark.parametrize("size", [(10, 61), (61, 10), (5, 21), (40, 44)])
def test_ten_crops_cover_every_pixel_of_a_panorama(size, generator):
    network = SmallPhotoNetwork(hidden=nn.Identity()).double()
    photo = torch.rand(3, *size, generator=generator, dtype=torch.float64)
    saliency = ten_crop_saliency(network, photo, 0)
    assert saliency.shape == size
    assert saliency.isfinite().all()
    assert saliency.min() > 0


@pytest.mark.parametrize("size", [(10, 14), (16, 10), (20, 36)])
def test_mirrored_photo_gives_the_mirrored_map(size, generator):
    network = SmallPhotoNetwork().double()
    photo = torch.rand(3, *size, generator=generator, dtype=torch.float64)
    straight = ten_crop_saliency(network, photo, 2)
    mirrored = ten_crop_saliency(network, photo.flip(-1), 2)
    assert not torch.allclose(straight, straight.flip(-1), rtol=0.01)
    torch.testing.assert_close(mirrored.flip(-1), straight)


def test_one_class_is_explained_in_all_crops(generator):
    network = SmallPhotoNetwork().double()
    photo = torch.rand(3, 10, 13, generator=generator, dtype=torch.float64)
    crops = [photo[:, :8, :8], photo[:, :8, 5:], photo[:, 2:, :8], photo[:, 2:, 5:]]
    crops.append(photo[:, 1:9, 2:10])
    crops = torch.stack([*crops, *(crop.flip(-1) for crop in crops)])
    scores = network(crops)
    # the first crop is of another class than most
    lead = scores[:, 0] - scores[:, 1]
    with torch.no_grad():
        network[5].bias[1] += (lead[0] + lead.mean()) / 2
        network[5].bias[2] -= 100
    scores = network(crops)
    best = scores.mean(0).argmax().item()
    assert best != scores[0].argmax()
    got = ten_crop_saliency(network, photo)
    expected = plain_ten_crops(network, photo, best)
    torch.testing.assert_close(got, expected)


def test_ten_crops_of_a_long_photo_fit_into_memory(generator):
    # 1,000 crops of this panorama would be one pass of some 100,000 pixels each
    network, sizes = SmallPhotoNetwork(), []
    network[0].register_forward_hook(lambda layer, given, output: sizes.append(len(output)))
    ten_crop_saliency(network, torch.rand(3, 10, 2000, generator=generator), 0)
    assert max(sizes) <= 64


@pytest.mark.parametrize(
    ("photo", "got"),
    [
        (torch.zeros(1, 3, 10, 12), r"got \(1, 3, 10, 12\)"),
        (torch.full((3, 10, 12), 255.0), "got values from 255"),
        (torch.full((3, 10, 12), torch.nan), "got values from nan"),
    ],
)
def test_ten_crops_of_what_is_no_photo_are_refused(photo, got):
    with pytest.raises(ValueError, match=rf"expected a photo .*{got}"):
        ten_crop_saliency(SmallPhotoNetwork(), photo, 0)


# No trace

METHODS = {
    "image_gradient": image_gradient,
    "saliency_map": saliency_map,
    "gradient_times_input": gradient_times_input,
    "smooth_grad": lambda network, images, target: smooth_grad(
        network, images, target, generator=seeded(4), samples=5
    ),
    "ten_crop_saliency": lambda network, images, target: ten_crop_saliency(
        network, images[0], target
    ),
    "class_score": class_score,
}
methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


class FailsForward(nn.Module):
    def forward(self, values):
        raise RuntimeError("this layer fails")


class FailsBackward(nn.Module):
    class _Function(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            return values.clone()

        @staticmethod
        def backward(context, gradient):
            raise RuntimeError("this layer fails")

    def forward(self, values):
        return self._Function.apply(values)


HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)


def state_of(network, images):
    """Everything of the caller's that a method could leave a trace in."""
    tensors = [*network.named_parameters(), *network.named_buffers(), ("images", images)]
    return {
        "hooks": [list(getattr(m, kind)) for m in network.modules() for kind in HOOKS],
        "modules": [(name, type(m), m.training) for name, m in network.named_modules()],
        "values": [(name, id(t), t.tolist(), t._version) for name, t in tensors],
        "requires_grad": [(name, t.requires_grad) for name, t in tensors],
        "grad": [
            (name, id(t.grad), None if t.grad is None else t.grad.tolist())
            for name, t in tensors
            if t.is_leaf
        ],
        "hooks of tensors": [t._backward_hooks for _, t in tensors],
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "random": torch.get_rng_state().tolist(),
    }


def watched_network(*, hidden=None, training):
    """A network with hooks, gradients and modes of its caller's own."""
    network = SmallPhotoNetwork(hidden=hidden)
    if training == "train":
        network.train()
    elif training == "mixed":
        network[1].train()
        network[3].train()
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 7)
    network[0].weight.requires_grad_(False)
    network[0].register_forward_hook(lambda *_: None)
    network[5].register_full_backward_hook(lambda *_: None)
    return network


CASES = {
    "fine": (None, 1, None),
    "fine, highest score": (None, None, None),
    "wrong class": (None, 99, ValueError),
    "unknown name": (None, "d", ValueError),
    "failing forward": (FailsForward, 1, RuntimeError),
    "failing forward, highest score": (FailsForward, None, RuntimeError),
    "failing backward": (FailsBackward, 1, RuntimeError),
}


@methods
@pytest.mark.parametrize("training", ["eval", "train", "mixed"])
@pytest.mark.parametrize(("hidden", "target", "error"), CASES.values(), ids=CASES)
def test_no_trace_is_left(method, hidden, target, error, training, generator):
    network = watched_network(hidden=hidden and hidden(), training=training)
    images = torch.rand(2, 3, 8, 8, generator=generator).requires_grad_()
    images.grad = torch.full_like(images, 7)
    before = state_of(network, images)
    if error is None or (hidden is FailsBackward and method is class_score):
        result = method(network, images, target)
        assert result.requires_grad == (method is class_score)
    else:
        with pytest.raises(error):
            method(network, images, target)
    after = state_of(network, images)
    for what in before:
        assert after[what] == before[what], what


GRADIENTS = {name: method for name, method in METHODS.items() if name != "class_score"}
gradients = pytest.mark.parametrize("method", GRADIENTS.values(), ids=GRADIENTS)


@gradients
@pytest.mark.parametrize("training", ["train", "mixed"])
def test_training_mode_does_not_change_the_result(method, training, generator):
    images = torch.rand(2, 3, 8, 8, generator=generator)
    expected = method(watched_network(training="eval"), images, 1)
    torch.testing.assert_close(method(watched_network(training=training), images, 1), expected)


@gradients
@pytest.mark.parametrize("target", [1, None])
@pytest.mark.parametrize("made_within", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_had_where_autograd_is_off(method, mode, made_within, target, generator):
    network = watched_network(training="eval")
    images = torch.rand(2, 3, 8, 8, generator=generator)
    expected = method(network, images, target)
    with mode():
        given = images.clone() if made_within else images
        got = method(network, given, target)
        assert given.equal(images)
    assert got.equal(expected)


KINDS_OF_IMAGES = {
    "leaf that requires grad": lambda images: images.clone().requires_grad_(),
    "not a leaf": lambda images: images.clone().requires_grad_() * 1,
    "transposed": lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
    "channels last": lambda images: images.contiguous(memory_format=torch.channels_last),
    "part of another": lambda images: nn.functional.pad(images, (1, 1, 1, 1))[..., 1:-1, 1:-1],
    "parameter": nn.Parameter,
}


@gradients
@pytest.mark.parametrize("kind", KINDS_OF_IMAGES.values(), ids=KINDS_OF_IMAGES)
def test_kind_of_tensor_does_not_change_the_result(method, kind, generator):
    images = torch.rand(2, 3, 8, 8, generator=generator)
    network = watched_network(training="eval")
    expected = method(network, images, 1)
    given = kind(images)
    got = method(network, given, 1)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    assert given.equal(images)
    assert not got.requires_grad


def test_expanded_image_is_a_batch(linear):
    images = torch.rand(1, 3, 5, 7, dtype=torch.float64).expand(4, -1, -1, -1)
    assert image_gradient(linear.network, images, [0, 1, 2, 3]).equal(linear.weights)


@gradients
def test_result_is_the_caller_s_own(method, generator):
    network = watched_network(training="eval")
    images = torch.rand(2, 3, 8, 8, generator=generator)
    first = method(network, images, 1)
    kept = first.clone()
    method(network, images, 1).zero_()
    assert first.equal(kept)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@gradients
def test_gpu_gives_what_the_cpu_gives(method, generator):
    network = SmallPhotoNetwork().double()
    images = torch.rand(2, 3, 8, 8, generator=generator, dtype=torch.float64)
    expected = method(network, images, 1)
    got = method(network.to("cuda"), images.to("cuda"), 1)
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), expected)


# What is none


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": None}, "expected a number of samples"),
        ({"samples": 2.5}, "expected a number of samples"),
        ({"samples": 10**9}, "expected a number of samples"),
        ({"noise": None}, "expected a noise"),
        ({"noise": "a"}, "expected a noise"),
        ({"noise": torch.tensor([0.1, 0.2])}, "expected a noise"),
        ({"noise": 1e6}, "expected a noise"),
        ({"generator": None}, "expected a torch.Generator, got None"),
        ({"squared": np.array([1, 2])}, "expected squared as True or False"),
        ({"generator": 0}, "expected a torch.Generator, got 0"),
        ({"generator": np.random.default_rng(0)}, "expected a torch.Generator"),
    ],
)
def test_an_option_of_smooth_grad_that_is_none_is_told(digits_network, digits, options, message):
    with pytest.raises(ValueError, match=message):
        smooth_grad(digits_network, digits.images[:1], 3, **({"generator": seeded(0)} | options))


def test_much_noise_is_no_image_and_has_a_map(digits_network, digits):
    for noise in (0.5, 3, np.float32(10)):
        got = smooth_grad(
            digits_network, digits.images[:1], 0, generator=seeded(0), samples=2, noise=noise
        )
        assert got.isfinite().all()
        assert got.max() > 0


def test_smooth_grad_is_the_same_whatever_the_default_type(digits_network, digits):
    options = {"samples": 3}
    expected = smooth_grad(digits_network, digits.images[:2], generator=seeded(0), **options)
    torch.set_default_dtype(torch.float64)
    try:
        got = smooth_grad(digits_network, digits.images[:2], generator=seeded(0), **options)
    finally:
        torch.set_default_dtype(torch.float32)
    assert got.equal(expected)


MAPS = [
    image_gradient,
    saliency_map,
    gradient_times_input,
    lambda *given: smooth_grad(*given, generator=seeded(0), samples=2),
]


@pytest.mark.parametrize("function", MAPS)
@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda scores: scores.detach(), "expected a network with a gradient by the image"),
        (lambda scores: torch.ones(len(scores), 4), "expected a network with a gradient by the"),
        (lambda scores: scores * torch.nan, "expected finite class scores"),
        (lambda scores: scores.softmax(1), "got those of a soft-max"),
        (lambda scores: scores.sub(scores.detach()).sqrt(), "expected a finite gradient"),
    ],
)
def test_a_map_of_what_has_no_gradient_is_refused(function, end, message):
    with pytest.raises(ValueError, match=message):
        function(Ends(end, 60), torch.rand(2, 3, 4, 5), 1)


@pytest.mark.parametrize("network", [None, "digits", nn.Flatten()])
def test_ten_crops_need_a_network(network):
    with pytest.raises(ValueError, match="expected a Network, got"):
        ten_crop_saliency(network, torch.rand(3, 20, 30), 1)


@gradients
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_nearly_the_same(method, dtype, generator):
    images = torch.rand(2, 3, 8, 8, generator=generator)
    # a photo stays float32
    given = images if method is METHODS["ten_crop_saliency"] else images.to(dtype)
    got = method(SmallPhotoNetwork().eval().to(dtype), given, 1)
    expected = method(SmallPhotoNetwork().eval(), images, 1)
    assert relative_difference(got.float(), expected) < 0.05
