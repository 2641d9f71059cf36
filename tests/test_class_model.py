import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from drawn_networks import Ends
from torch import nn
from tqdm import tqdm

from deepinside.class_model import ClassModels, Pixels, ascent, class_model
from deepinside.networks import Network, Normalization
from deepinside.regularizers import (
    MODERN,
    PAPER,
    Fourier,
    Regularizers,
    gaussian_blur,
    random_view,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class SmallNetwork(Network):
    """A network with a mean of its own, of images that are neither square nor gray, no kinks."""

    def __init__(self, *, hidden=None):
        torch.manual_seed(8)
        normalization = Normalization(
            torch.rand(3, 6, 7), torch.tensor([0.5, 0.4, 0.3])[:, None, None]
        )
        layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), hidden or nn.Softplus(), nn.Flatten(), nn.Linear(4 * 4 * 5, 4)
        )
        super().__init__(
            normalization,
            layers,
            name="small",
            class_names=("a", "b", "c", "d"),
            input_size=(6, 7),
            resized_side=6,
            interpolation="bilinear",
        )
        self.double()


@pytest.fixture(scope="module")
def small():
    return SmallNetwork()


@pytest.fixture
def passes(digits_network):
    """The number of images of each pass through the digits network."""
    sizes = []
    handle = digits_network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    yield sizes
    handle.remove()


def of_length(images):
    return images.flatten(1).norm(dim=1)


# The loop


def test_ascent_adds_alpha_times_the_gradient_at_each_step():
    # S = a·x², less 2·b·x: the gradient is 2 a x - 2 b, by hand
    a, b = torch.tensor([0.5, -1.5, 2.0]).double(), torch.tensor([1.0, 0.25, -3.0]).double()
    start = torch.tensor([[[[0.5, -1.0, 2.0]]], [[[3.0, 0.0, -0.125]]]]).double()
    states = ascent(
        lambda centered: (a * centered.square()).sum((2, 3)),
        lambda scores, centered: scores[:, 0] - 2 * (b * centered).sum((1, 2, 3)),
        start,
        lambda step: torch.tensor([0.1, 0.2]).double().view(2, 1, 1, 1) / (step + 1),
        3,
        parametrization=Pixels(torch.zeros(())),
    )
    image = start.clone()
    for step, (centered, scores) in enumerate(states):
        torch.testing.assert_close(centered.detach(), image)
        if step == 3:
            assert scores is None
        else:
            torch.testing.assert_close(scores.detach(), (a * image**2).sum((2, 3)))
        for i, alpha in enumerate((0.1, 0.2)):
            image[i] += alpha / (step + 1) * (2 * a * image[i] - 2 * b)
    assert step == 3


def test_ascent_asks_for_transform_direction_and_parametrization():
    class Halved:
        """Images are half of the unknown, which is never above 3."""

        def centered(self, unknown):
            return unknown / 2

        def bounded(self, unknown):
            return unknown.clamp(max=3.0)

    states = ascent(
        lambda seen: seen.square().sum((2, 3)),
        lambda scores, centered: scores[:, 0] - centered.sum((1, 2, 3)),
        torch.tensor([[[[0.5, 4.0]]]]),
        lambda step: torch.tensor(0.5),
        1,
        parametrization=Halved(),
        transform=lambda centered: 3 * centered,
        direction=lambda gradient: 2 * gradient,
    )
    before, after = states
    assert before[0].tolist() == [[[[0.25, 2.0]]]]
    # of the scores of what the network saw, and of nothing yet
    assert before[1] is None
    assert after[1] is None
    # u + 2 α · d/du [9 u² / 4 - u / 2] = u + 9 u / 2 - 1 / 2: 2.25, and far above 3
    assert after[0].tolist() == [[[[1.125, 1.5]]]]


@pytest.mark.parametrize("clip", [False, True])
def test_pixels_stand_for_the_images_less_the_mean(small, clip):
    images, mean = torch.rand(2, 3, 6, 7, generator=seeded(0)).double(), small.normalization.mean
    pixels = Pixels(mean, clip)
    unknown = pixels.bounded(pixels.unknown(images))
    torch.testing.assert_close(unknown, images - mean)
    torch.testing.assert_close(pixels.centered(unknown) + mean, images)
    outside = pixels.bounded(pixels.unknown(3 * images - 1)) + mean
    expected = (3 * images - 1).clamp(0, 1) if clip else 3 * images - 1
    torch.testing.assert_close(outside, expected)


def test_pixels_that_are_no_image_any_more_are_nan():
    unknown = torch.zeros(4, 1, 2, 2)
    # root mean squares of 999 and 1001, and one value of four that is no number
    unknown[1], unknown[2], unknown[3, 0, 1, 0] = 999, 1001, torch.nan
    bounded = Pixels(torch.zeros(())).bounded(unknown)
    assert bounded[:2].equal(unknown[:2])
    assert bounded[2:].isnan().all()


# What it computes

VARIANTS = {
    "paper": PAPER,
    "jitter": Regularizers(jitter=2),
    "views": Regularizers(jitter=2, scale=(0.8, 1.3), rotation=20),
    "blur": Regularizers(blur=0.7),
    "fourier": Regularizers(fourier=True),
    "adam": Regularizers(adam=True),
    "anneal": Regularizers(anneal=True),
    "all": Regularizers(
        jitter=1, scale=(0.9, 1.2), rotation=10, blur=0.5, fourier=True, adam=True, anneal=True
    ),
}
variants = pytest.mark.parametrize("how", VARIANTS.values(), ids=VARIANTS)


def plain_ascent(
    network, target, *, weight, size, steps, start, objective="score", norm="squared", how, seed
):
    """One image, step by step, by torch's own optimizers."""
    mean, generator = network.normalization.mean, seeded(seed)
    fourier = Fourier(start[None], mean) if how.fourier else None
    unknown = (fourier.unknown(start[None]) if fourier else (start - mean)[None]).clone()
    kind = torch.optim.Adam if how.adam else torch.optim.SGD
    optimizer = kind([unknown.requires_grad_()], lr=size, maximize=True)
    for step in range(steps):
        image = fourier.centered(unknown) if fourier else unknown
        seen = image
        if how.views:
            seen = random_view(seen, torch.rand(1, 4, generator=generator).double(), how)
        if how.blur:
            seen = gaussian_blur(seen, how.blur)
        (scores,) = network(seen + mean)
        value = scores[target]
        if objective == "log_probability":
            value = (scores[target].exp() / scores.exp().sum()).log()
        length = (image**2).sum() ** (1 if norm == "squared" else 0.5)
        (unknown.grad,) = torch.autograd.grad(value - weight * length, unknown)
        if how.anneal:
            optimizer.param_groups[0]["lr"] = size * np.cos(np.pi * step / steps / 2) ** 2
        optimizer.step()
    return ((fourier.centered(unknown) if fourier else unknown)[0] + mean).detach()


@variants
@pytest.mark.parametrize("norm", ["squared", "plain"])
@pytest.mark.parametrize("objective", ["score", "log_probability"])
def test_every_variant_is_the_loop_written_plainly(small, objective, norm, how):
    start = torch.rand(3, 6, 7, generator=seeded(4)).double()
    options = {"steps": 7, "objective": objective, "norm": norm}
    got = class_model(
        small,
        "c",
        l2_weight=0.25,
        step_size=0.375,
        start=start[None],
        regularizers=how,
        generator=seeded(5),
        **options,
    )
    expected = plain_ascent(
        small, 2, weight=0.25, size=0.375, start=start, how=how, seed=5, **options
    )
    torch.testing.assert_close(got.images[0], expected, rtol=1e-7, atol=1e-9)
    assert (got.images[0] - start).abs().max() > 0.01


def test_linear_score_reaches_the_image_it_must(linear):
    weights, start = linear.weights[[2, 0, 1]], torch.zeros(3, 3, 5, 7, dtype=torch.float64)
    got = class_model(
        linear.network,
        [2, 0, 1],
        l2_weight=(0.1, 0.5, 2.0),
        step_size=(2.0, 0.3, 0.2),
        steps=100,
        start=start,
        snapshots=101,
    )
    optimum = weights / (2 * torch.tensor([0.1, 0.5, 2.0]).double().view(-1, 1, 1, 1))
    torch.testing.assert_close(got.images, optimum, rtol=1e-6, atol=1e-6)
    # on the way there, each step leaves 1 - 2 α λ of what is missing
    left = 1 - 2 * torch.tensor([0.2, 0.15, 0.4]).double().view(-1, 1, 1, 1)
    for step, images in enumerate(got.snapshots):
        torch.testing.assert_close(images, (1 - left**step) * optimum, rtol=1e-6, atol=1e-6)


def test_one_step_follows_the_gradient_less_what_the_norm_costs(linear, generator):
    start = torch.rand(2, 3, 5, 7, generator=generator, dtype=torch.float64)
    weights = linear.weights[[3, 1]]
    got = class_model(
        linear.network, [3, 1], l2_weight=0.25, step_size=0.5, steps=1, start=start
    ).images
    torch.testing.assert_close(got, start + 0.5 * (weights - 2 * 0.25 * start), rtol=1e-12, atol=0)
    plain = class_model(
        linear.network, [3, 1], l2_weight=0.25, step_size=0.5, steps=1, start=start, norm="plain"
    ).images
    unit = start / of_length(start).view(-1, 1, 1, 1)
    torch.testing.assert_close(plain, start + 0.5 * (weights - 0.25 * unit), rtol=1e-12, atol=0)


def test_options_are_as_exact_as_the_images(linear, generator):
    # 0.1 and 0.3 are others in float32 than in float64
    start = torch.rand(1, 3, 5, 7, generator=generator, dtype=torch.float64)
    options = {"start": start, "steps": 1}
    got = class_model(linear.network, 1, l2_weight=0.1, step_size=0.3, **options).images
    expected = start + 0.3 * (linear.weights[1] - 2 * 0.1 * start)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_plain_norm_below_the_length_of_the_gradient_has_no_optimum(linear):
    length = linear.weights[1].norm()
    weights = [0.0, 0.5 * length, 0.9 * length]
    start = torch.zeros(1, 3, 5, 7, dtype=torch.float64)
    got = class_model(
        linear.network,
        1,
        l2_weight=weights,
        step_size=0.5,
        steps=20,
        start=start,
        norm="plain",
        snapshots=21,
    )
    for image, weight in enumerate(weights):
        # at the zero image the norm has no slope
        growth = [0.5 * length, *[0.5 * (length - weight)] * 19]
        torch.testing.assert_close(got.norms[1:, image], torch.stack(growth).cumsum(0))


def test_plain_norm_above_the_length_of_the_gradient_shrinks_the_image(linear, generator):
    start = torch.rand(2, 3, 5, 7, generator=generator, dtype=torch.float64)
    weight = 1.5 * linear.weights[1].norm()
    got = class_model(
        linear.network,
        1,
        l2_weight=weight,
        step_size=0.005,
        steps=20,
        start=start,
        norm="plain",
        snapshots=21,
    )
    assert (got.norms.diff(dim=0) < 0).all()
    assert (got.norms[-1] < 0.9 * got.norms[0]).all()


@pytest.mark.parametrize("objective", ["score", "log_probability"])
@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_small_steps_raise_the_objective_every_time(small, objective, norm):
    got = class_model(
        small,
        range(4),
        l2_weight=0.05,
        step_size=0.05,
        steps=20,
        snapshots=21,
        objective=objective,
        norm=norm,
    )
    values = got.class_scores if objective == "score" else got.class_probabilities.log()
    cost = 0.05 * (got.norms**2 if norm == "squared" else got.norms)
    # the plain norm has its kink at the start, the zero image
    assert ((values - cost).diff(dim=0)[1 if norm == "plain" else 0 :] > 0).all()
    assert (values[-1] > values[0]).all()


def test_every_digit_is_found_from_the_mean_image(digits_network):
    got = class_model(digits_network, range(10), snapshots=3)
    assert (got.class_scores.diff(dim=0) > 0).all()
    assert got.class_probabilities[-1].min() > 0.99
    assert got.scores[-1].argmax(1).tolist() == list(range(10))


def test_mean_image_of_the_digits_has_a_gradient_for_every_class(digits_network):
    # were it 0, no class model could leave the zero image
    images = digits_network.normalization.mean.expand(10, -1, -1, -1).clone().requires_grad_()
    scores = digits_network(images).diagonal().sum()
    gradients = of_length(torch.autograd.grad(scores, images)[0])
    assert gradients.min() > 1e-2
    assert (class_model(digits_network, range(10), steps=1).norms[-1] > 1e-2).all()


@pytest.mark.parametrize(
    ("how", "size"), [(PAPER, 3.0), (Regularizers(fourier=True, adam=True), 0.05)]
)
def test_a_few_steps_raise_the_score_of_a_large_network(network, how, size):
    got = class_model(
        network, ["ostrich", 254], steps=4, step_size=size, l2_weight=0.001, regularizers=how
    )
    assert got.images.shape == (2, 3, 224, 224)
    assert (got.class_scores[-1] > got.class_scores[0] + 0.5).all()


# Batches

TARGETS = [2, 0, "d", 1, 1, 0]
WEIGHTS = [0.01, 0.1, 0.3, 0.05, 0.2, 0.5]
STEP_SIZES = [0.5, 0.3, 0.6, 0.2, 0.1, 0.4]


@variants
@pytest.mark.parametrize("own", [False, True], ids=["one generator", "own generators"])
@pytest.mark.parametrize("start", ["zero", "noise"])
def test_batch_equals_a_loop(small, start, own, how):
    options = {"start": start, "steps": 8, "regularizers": how, "snapshots": 3}
    got = class_model(
        small,
        TARGETS,
        l2_weight=WEIGHTS,
        step_size=torch.tensor(STEP_SIZES),
        generator=[seeded(i) for i in range(6)] if own else seeded(3),
        **options,
    )
    for i in range(6):
        alone = class_model(
            small,
            TARGETS[i],
            l2_weight=WEIGHTS[i],
            step_size=STEP_SIZES[i],
            generator=seeded(i if own else 3),
            **options,
        )
        assert alone.classes == got.classes[i]
        for name in ("snapshots", "scores", "norms"):
            values = getattr(alone, name)[:, 0]
            # Adam divides by the gradient, so what rounding leaves of a small one counts
            torch.testing.assert_close(getattr(got, name)[:, i], values, rtol=1e-6, atol=1e-7)


def test_batch_of_digits_equals_a_loop(digits_network):
    options = {"l2_weight": 0.02, "step_size": 0.1, "steps": 10}
    got = class_model(digits_network, range(10), **options).images
    alone = torch.cat([class_model(digits_network, c, **options).images for c in range(10)])
    assert (of_length(got - alone) / of_length(alone)).max() < 1e-4


def test_grid_equals_a_loop(small):
    grid = torch.cartesian_prod(torch.tensor([0.01, 0.1, 0.3]), torch.tensor([0.1, 0.5, 1.0]))
    got = class_model(small, "b", l2_weight=grid[:, 0], step_size=grid[:, 1], steps=10)
    for image, (weight, size) in zip(got.images, grid.tolist(), strict=True):
        alone = class_model(small, "b", l2_weight=weight, step_size=size, steps=10)
        torch.testing.assert_close(image, alone.images[0], rtol=1e-6, atol=1e-8)


def test_images_of_one_class_with_one_generator_are_the_same(small):
    options = {"start": "noise", "steps": 4, "regularizers": VARIANTS["views"]}
    twice = {"target": [1, 1], **options}
    same = class_model(small, generator=seeded(0), **twice).images
    torch.testing.assert_close(same[0], same[1])
    own = class_model(small, generator=[seeded(0), seeded(1)], **twice).images
    torch.testing.assert_close(own[0], same[0])
    assert not own[1].allclose(same[1], atol=0.01)


def test_number_of_generators_is_the_number_of_images(small):
    got = class_model(small, 1, start="noise", steps=1, generator=[seeded(i) for i in range(3)])
    assert got.classes.tolist() == [1, 1, 1]
    assert of_length(got.images[1:] - got.images[0]).min() > 0.1


@variants
def test_generator_repeats_bit_for_bit(digits_network, how):
    state = torch.get_rng_state()
    options = {"start": "noise", "steps": 4, "step_size": 0.1, "regularizers": how}
    first, again, other = (
        class_model(digits_network, 3, generator=seeded(seed), **options) for seed in (1, 1, 2)
    )
    assert first.snapshots.equal(again.snapshots)
    assert first.scores.equal(again.scores)
    assert not first.images.equal(other.images)
    assert torch.get_rng_state().equal(state)


def test_whole_batch_takes_one_pass_a_step(digits_network, passes):
    class_model(digits_network, range(10), steps=5, snapshots=6)
    # one for the classes, one for the scores at the end
    assert len(passes) <= 5 + 2
    assert passes[1:] == [10] * (len(passes) - 1)


def test_whole_grid_takes_one_pass_a_step(digits_network, passes):
    grid = torch.cartesian_prod(torch.tensor([0.0, 0.003, 0.03]), torch.tensor([0.1, 0.5, 1.0]))
    class_model(digits_network, 3, l2_weight=grid[:, 0], step_size=grid[:, 1], steps=15)
    assert len(passes) <= 15 + 2
    assert set(passes) == {9}


# Start and end


def test_start_is_the_mean_image(digits_network, digits):
    got = class_model(digits_network, [3, 5], steps=1)
    mean = digits_network.normalization.mean
    assert mean.max() > 0.4
    assert got.snapshots[0].equal(mean.expand(2, -1, -1, -1))
    assert got.norms[0].tolist() == [0, 0]


def test_noise_to_start_from_is_gaussian_and_around_the_mean(small):
    got = class_model(small, 0, start="noise", steps=1, generator=seeded(6))
    drawn = torch.randn(3, 6, 7, generator=seeded(6)).double()
    ratio = (got.snapshots[0, 0] - small.normalization.mean) / drawn
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.1))


def test_noise_in_fourier_coordinates_is_added_to_the_coefficients(small):
    how, mean = Regularizers(fourier=True), small.normalization.mean
    got = class_model(small, 0, start="noise", steps=1, regularizers=how, generator=seeded(6))
    fourier = Fourier(mean[None], mean)
    drawn = torch.randn(3, 6, 4, 2, generator=seeded(6)).double()
    expected = fourier.centered(fourier.unknown(mean[None]) + 0.01 * drawn) + mean
    torch.testing.assert_close(got.snapshots[0], expected)


@pytest.mark.parametrize("count", [1, 3])
def test_start_may_be_images(small, count, generator):
    start = torch.rand(count, 3, 6, 7, generator=generator, dtype=torch.float64)
    got = class_model(small, [0, 1, 3], start=start, steps=2)
    torch.testing.assert_close(got.snapshots[0], start.expand(3, -1, -1, -1))
    centered = start - small.normalization.mean
    torch.testing.assert_close(got.norms[0], of_length(centered).expand(3))


@pytest.mark.parametrize("start", ["zero", "noise", "images"])
def test_spectrum_starts_from_the_same_image(small, start):
    if start == "images":
        start = torch.rand(1, 3, 6, 7, generator=seeded(0)).double()
        expected, tolerance = start, 1e-6
    else:
        expected, tolerance = small.normalization.mean, {"zero": 1e-6, "noise": 0.2}[start]
    expected = expected.clamp(0.001, 0.999)
    how = Regularizers(fourier=True)
    got = class_model(
        small, 0, start=start, steps=1, regularizers=how, generator=seeded(1)
    ).snapshots[0]
    assert (got - expected).abs().max() < tolerance
    if start == "noise":
        assert (got - expected).abs().max() > 1e-3


def test_network_of_another_kind_has_the_mean_0(linear):
    start = torch.full((1, 3, 5, 7), 0.25, dtype=torch.float64)
    got = class_model(linear.network, 0, start=start, steps=1)
    assert got.norms[0, 0].item() == pytest.approx(0.25 * 105**0.5)


@pytest.mark.parametrize(
    ("steps", "snapshots", "taken"),
    [
        (10, 1, [10]),
        (10, 2, [0, 10]),
        (10, 3, [0, 5, 10]),
        (10, 4, [0, 3, 7, 10]),
        (10, 11, list(range(11))),
        (1, 1, [1]),
        (1, 2, [0, 1]),
        (7, 8, list(range(8))),
    ],
)
def test_snapshots_are_evenly_spaced(small, steps, snapshots, taken):
    got = class_model(small, [1, 2], steps=steps, snapshots=snapshots)
    assert got.steps.tolist() == taken
    assert got.snapshots.shape == (len(taken), 2, 3, 6, 7)
    assert got.scores.shape == (len(taken), 2, 4)
    assert got.norms.shape == (len(taken), 2)


@variants
def test_snapshots_are_what_fewer_steps_would_have_found(small, how):
    how = how._replace(anneal=False)
    options = {"regularizers": how, "step_size": 0.3}
    got = class_model(small, [1, 2], steps=9, snapshots=4, generator=seeded(2), **options)
    for step, images in zip(got.steps[1:].tolist(), got.snapshots[1:], strict=True):
        fewer = class_model(small, [1, 2], steps=step, generator=seeded(2), **options)
        torch.testing.assert_close(images, fewer.images)


@variants
def test_scores_and_norms_are_those_of_the_snapshots(small, how):
    # of the clean image, whatever the network sees on the way
    got = class_model(
        small, [1, 2], steps=5, step_size=0.3, snapshots=3, regularizers=how, generator=seeded(2)
    )
    for images, scores, norms in zip(got.snapshots, got.scores, got.norms, strict=True):
        torch.testing.assert_close(scores, small(images))
        torch.testing.assert_close(norms, of_length(images - small.normalization.mean))


def test_own_class_is_picked_from_the_scores():
    scores = torch.tensor([[[1.0, 2, 3], [4, 5, 6]], [[7, 8, 9], [1, 1, 1]]])
    images = torch.rand(2, 2, 1, 3, 4)
    got = ClassModels(torch.tensor([2, 0]), torch.tensor([0, 1]), images, scores, scores[..., 0])
    assert got.class_scores.tolist() == [[3, 4], [9, 1]]
    for step, image, c in ((0, 0, 2), (0, 1, 0), (1, 0, 2), (1, 1, 0)):
        share = scores[step, image, c].exp() / scores[step, image].exp().sum()
        torch.testing.assert_close(got.class_probabilities[step, image], share)
    assert got.images.equal(images[1])


STOPPING = {"l2_weight": 0.02, "step_size": 0.1, "steps": 40}


def test_each_image_is_left_alone_once_it_is_probable(digits_network):
    every = class_model(digits_network, range(10), snapshots=41, **STOPPING)
    reached = (every.class_probabilities >= 0.9).int().argmax(0)
    assert len(reached.unique()) > 3
    assert reached.min() > 0
    got = class_model(digits_network, range(10), snapshots=41, stop_at=0.9, **STOPPING)
    last = reached.max().item()
    assert got.steps.tolist() == list(range(last + 1))
    assert got.class_probabilities[-1].min() >= 0.9
    for image, first in enumerate(reached.tolist()):
        expected = every.snapshots[: last + 1, image].clone()
        expected[first:] = expected[first]
        torch.testing.assert_close(got.snapshots[:, image], expected)
        assert got.snapshots[first:, image].eq(got.images[image]).all()


def test_step_sizes_of_the_caller_are_not_changed(digits_network):
    sizes = torch.tensor([0.1, 0.1, 1.0])
    options = {"steps": 40, "l2_weight": [0.02, 0.02, 2.0], "diverging": "mark", "stop_at": 0.9}
    got = class_model(digits_network, [3, 4, 5], step_size=sizes, **options)
    assert got.class_probabilities[-1, :2].min() >= 0.9
    assert got.images[2].isnan().all()
    torch.testing.assert_close(sizes, torch.tensor([0.1, 0.1, 1.0]), rtol=0, atol=0)


def test_last_snapshot_is_of_the_step_at_which_all_have_stopped(digits_network):
    every = class_model(digits_network, [3, 4], snapshots=41, **STOPPING)
    last = (every.class_probabilities >= 0.9).int().argmax(0).max().item()
    for snapshots, taken in ((1, [last]), (2, [0, last]), (41, list(range(last + 1)))):
        got = class_model(digits_network, [3, 4], snapshots=snapshots, stop_at=0.9, **STOPPING)
        assert got.steps.tolist() == taken
        assert got.class_probabilities[-1].min() >= 0.9


def test_image_that_never_is_probable_goes_on(digits_network):
    # so much weight on the norm that nothing moves
    options = {**STOPPING, "l2_weight": [0.02, 4.0, 0.02], "step_size": 0.1}
    got = class_model(digits_network, [3, 1, 5], stop_at=0.9, **options)
    assert got.steps.tolist() == [0, 40]
    assert got.class_probabilities[-1, 1] < 0.9
    assert got.class_probabilities[-1, [0, 2]].min() >= 0.9
    alone = class_model(digits_network, 1, **{**options, "l2_weight": 4.0})
    torch.testing.assert_close(got.images[1], alone.images[0], rtol=1e-3, atol=1e-4)


def test_probable_image_takes_no_step(digits_network, digits):
    start = digits.images[[300, 500]]
    assert digits_network(start).softmax(1)[[0, 1], [3, 5]].min() > 0.9
    got = class_model(digits_network, [3, 5], start=start, stop_at=0.9)
    assert got.steps.tolist() == [0]
    torch.testing.assert_close(got.images, start)


def test_stopping_with_views_looks_at_the_clean_image(small):
    got = class_model(
        small,
        range(4),
        steps=60,
        step_size=0.2,
        l2_weight=0.0,
        stop_at=0.7,
        regularizers=Regularizers(jitter=2, blur=0.5, adam=True),
        generator=seeded(1),
        snapshots=61,
    )
    assert len(got.steps) < 61
    assert got.class_probabilities[-1].min() >= 0.7
    moved = of_length(got.snapshots.diff(dim=0).flatten(0, 1)).view(-1, 4) > 0
    assert moved.equal(got.class_probabilities[:-1] < 0.7)


def test_clipped_images_stay_images(small):
    options = {"steps": 10, "step_size": 2.0, "l2_weight": 0.0, "snapshots": 11}
    free = class_model(small, range(4), **options)
    assert free.snapshots.min() < -1
    assert free.snapshots.max() > 2
    got = class_model(small, range(4), clip=True, **options)
    assert got.snapshots.min() >= 0
    assert got.snapshots.max() <= 1
    assert (got.class_scores[-1] > got.class_scores[0]).all()
    torch.testing.assert_close(got.snapshots[1], free.snapshots[1].clamp(0, 1))


def test_clipped_images_are_images_from_the_start(small):
    got = class_model(small, range(4), clip=True, start="noise", steps=2, generator=seeded(0))
    assert got.snapshots.min() >= 0
    assert got.snapshots.max() <= 1


# Views


def seen_by(network, **options):
    """What the network was given at each of its passes, and what was found."""
    seen = []
    handle = network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    try:
        found = class_model(network, **options)
    finally:
        handle.remove()
    return seen, found


def test_network_sees_views_of_the_image(small):
    options = {"target": [0, 1], "steps": 5, "step_size": 0.3}
    how = Regularizers(jitter=2)
    seen, found = seen_by(small, generator=seeded(3), regularizers=how, snapshots=6, **options)
    mean, drawn = small.normalization.mean, seeded(3)
    for images in found.snapshots[:-1]:
        uniform = torch.rand(4, generator=drawn).double().expand(2, -1)
        expected = random_view(images - mean, uniform, how) + mean
        assert any(given.allclose(expected) for given in seen)
    # the start is the mean, and it is so in every view
    assert seen[1].allclose(mean.expand(2, -1, -1, -1))


def test_network_sees_the_image_blurred(small):
    how = Regularizers(blur=1.0)
    seen, found = seen_by(small, target=1, steps=4, step_size=0.3, regularizers=how, snapshots=5)
    mean = small.normalization.mean
    for images in found.snapshots[:-1]:
        expected = gaussian_blur(images - mean, 1.0) + mean
        assert any(given.allclose(expected) for given in seen)


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"objective": "probability"},
            "expected an objective of score, log_probability, got 'probability'",
        ),
        ({"objective": None}, "expected an objective of score, log_probability, got None"),
        ({"norm": "l1"}, "expected a norm of squared, plain, got 'l1'"),
        ({"diverging": "warn"}, "expected diverging of raise, mark, got 'warn'"),
        ({"start": "mean"}, 'expected a start of "zero", "noise" or images (N, C, H, W), got \'me'),
        (
            {"start": None},
            'expected a start of "zero", "noise" or images (N, C, H, W), got <class ',
        ),
        (
            {"start": np.zeros((2, 1, 28, 28))},
            "or images (N, C, H, W), got <class 'numpy.ndarray'>",
        ),
        ({"start": torch.zeros(1, 28, 28)}, "got shape (1, 28, 28); image[None] is a batch of one"),
        ({"start": torch.zeros(2, 1, 28, 27)}, "of shape (N, 1, 28, 28), got (2, 1, 28, 27)"),
        ({"start": torch.zeros(1, 3, 28, 28)}, "of shape (N, 1, 28, 28), got (1, 3, 28, 28)"),
        (
            {"start": torch.zeros(1, 1, 28, 28).double()},
            "torch.float32 on cpu; got torch.float64 o",
        ),
        ({"start": torch.full((1, 1, 28, 28), 255.0)}, "in [0, 1], got values from 255 to 255"),
        (
            {"start": torch.full((1, 1, 28, 28), torch.nan)},
            "expected finite images, got 784 values",
        ),
        (
            {"l2_weight": -0.1},
            "expected a finite l2_weight of 0 or more, for all images or each, got -0.1",
        ),
        ({"l2_weight": [0.1, -2.0]}, "0 or more, for all images or each, got [0.1, -2.0]"),
        (
            {"l2_weight": float("nan")},
            "expected a finite l2_weight of 0 or more, for all images or each, got nan",
        ),
        (
            {"l2_weight": float("inf")},
            "expected a finite l2_weight of 0 or more, for all images or each, got inf",
        ),
        ({"l2_weight": torch.zeros(2, 2)}, "or each, got a tensor of shape (2, 2)"),
        ({"step_size": torch.ones(1, 1)}, "or each, got a tensor of shape (1, 1)"),
        ({"step_size": 0}, "expected a finite step_size above 0, for all images or each, got 0"),
        ({"step_size": [1.0, -1.0]}, "above 0, for all images or each, got [1.0, -1.0]"),
        (
            {"step_size": float("inf")},
            "expected a finite step_size above 0, for all images or each, got inf",
        ),
        (
            {"step_size": float("nan")},
            "expected a finite step_size above 0, for all images or each, got nan",
        ),
        ({"steps": 0}, "expected a number of steps from 1 to 100000, got 0"),
        ({"steps": -3}, "expected a number of steps from 1 to 100000, got -3"),
        ({"steps": 2.0}, "expected a number of steps from 1 to 100000, got 2.0"),
        ({"snapshots": 0}, "expected a number of snapshots from 1 to 11, got 0"),
        ({"snapshots": 12}, "expected a number of snapshots from 1 to 11, got 12"),
        ({"snapshots": 2.0}, "expected a number of snapshots from 1 to 11, got 2.0"),
        ({"stop_at": 0}, "expected a probability to stop at above 0 and at most 1, got 0"),
        ({"stop_at": 1}, "expected a probability below 1 to stop at, got 1"),
        ({"stop_at": 2}, "expected a probability to stop at above 0 and at most 1, got 2"),
        ({"stop_at": float("nan")}, "a probability to stop at above 0 and at most 1, got nan"),
        ({"start": "noise"}, "expected a torch.Generator for noise and views, or one for each im"),
        ({"regularizers": Regularizers(jitter=1)}, "for noise and views, or one for each image"),
        ({"regularizers": Regularizers(rotation=1)}, "noise and views, or one for each image"),
        ({"start": "noise", "generator": []}, "a torch.Generator for noise and views, or one for"),
        ({"start": "noise", "generator": 7}, "views, or one for each image, got 7"),
        ({"generator": 7}, "views, or one for each image, got 7"),
        ({"start": "noise", "generator": [seeded(0), 1]}, "for each image, got [<torch._C.Gener"),
        ({"target": [1, 2], "l2_weight": [0.1] * 3}, "'target': 2, 'l2_weight': 3, 'step_size': 1"),
        ({"step_size": [1, 2], "l2_weight": [0.1] * 3}, "'l2_weight': 3, 'step_size': 2}"),
        ({"start": torch.zeros(2, 1, 28, 28), "target": [1, 2, 3]}, "got {'start': 2, 'generator'"),
        (
            {"start": "noise", "target": [1, 2, 3], "generator": [seeded(0), seeded(1)]},
            "expected one value for all images or as many as images, got {'start': 1, "
            "'generator': 2, 'target': 3",
        ),
        ({"l2_weight": []}, "expected one value for all images or as many as images, got "),
        ({"target": []}, "expected one value for all images or as many as images, got "),
        ({"target": np.array([], int)}, "for all images or as many as images, got "),
        ({"target": torch.zeros(0).long()}, "for all images or as many as images, got "),
        ({"target": 10}, "expected a class index from 0 to 9, got 10"),
        ({"target": [1, -1]}, "expected a class index from 0 to 9, got -1"),
        ({"target": "eleven"}, "expected the name of a class, got 'eleven'"),
        (
            {"regularizers": Regularizers(jitter=-1)},
            "expected a jitter of at least 0 and at most 1000, got -1",
        ),
        (
            {"regularizers": Regularizers(blur=float("nan"))},
            "expected a blur of at least 0 and at most 1000, got nan",
        ),
        (
            {"regularizers": Regularizers(scale=(0, 1))},
            "expected the low end of a scale above 0 and at most 100, got 0",
        ),
    ],
)
def test_wrong_option_is_answered_with_what_was_expected_and_got(
    digits_network, passes, options, message
):
    with pytest.raises(ValueError) as caught:
        class_model(digits_network, **{"target": 3, "steps": 10, **options})
    assert message in str(caught.value)
    # a wrong shape is told by the network itself
    assert not passes or "of shape (N, 1, 28, 28)" in message


@pytest.mark.parametrize("start", ["zero", "noise"])
def test_network_of_another_kind_needs_images_to_start_from(linear, start):
    with pytest.raises(ValueError, match="as a Sequential does not tell its size"):
        class_model(linear.network, 1, start=start, generator=seeded(0))


@pytest.mark.parametrize(("target", "got"), [(4, "got 4"), ("a", "got 'a'"), ([0, 9], "got 9")])
def test_class_of_a_network_of_another_kind_is_checked(linear, target, got):
    with pytest.raises(ValueError, match=f"expected .*{got}"):
        class_model(linear.network, target, start=torch.zeros(1, 3, 5, 7).double())


# A hostile world


@pytest.mark.parametrize("value", [-5.0, -0.5, -0.1, 1.1, 1.5, 50.0, 255.0])
def test_start_out_of_its_range_is_refused(digits_network, passes, value):
    start = torch.full((1, 1, 28, 28), value)
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\]"):
        class_model(digits_network, 3, start=start)
    assert not passes


@variants
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_network_of_half_precision_is_climbed_in_float32(small, how, dtype):
    options = {"steps": 3, "step_size": 0.05, "start": "noise", "regularizers": how}
    got = class_model(copy.deepcopy(small).to(dtype), 1, generator=seeded(2), **options)
    expected = class_model(small, 1, generator=seeded(2), **options)
    assert got.images.dtype == torch.float32
    torch.testing.assert_close(got.images.double(), expected.images, atol=0.06, rtol=0)
    assert (got.class_scores[-1] > got.class_scores[0]).all()


# Divergence


@pytest.mark.parametrize(("size", "weight"), [(1.0, 1.0), (0.5, 2.0), (30.0, 0.1)])
def test_steps_that_can_only_diverge_are_not_taken(digits_network, passes, size, weight):
    message = f"image 1 diverges with a step size of {size:g} and an L2 weight of {weight:g}"
    with pytest.raises(FloatingPointError, match=message):
        class_model(digits_network, [3, 4], step_size=[0.01, size], l2_weight=[0.1, weight])
    assert not passes


def test_steps_just_short_of_that_arrive(linear):
    start = torch.zeros(1, 3, 5, 7, dtype=torch.float64)
    got = class_model(linear.network, 1, step_size=0.5, l2_weight=1.9, steps=500, start=start)
    torch.testing.assert_close(got.images[0], linear.weights[1] / 3.8)


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "plain"},
        {"regularizers": Regularizers(adam=True)},
        {"regularizers": Regularizers(fourier=True)},
    ],
)
def test_other_steps_of_that_size_are_taken(small, options):
    got = class_model(small, 1, step_size=0.5, l2_weight=4.0, steps=5, **options)
    assert got.images.isfinite().all()


def test_diverging_image_is_told(digits_network):
    options = {"step_size": [0.1, 1e8], "l2_weight": 0.0, "steps": 20}
    with pytest.raises(FloatingPointError) as caught:
        class_model(digits_network, 3, **options)
    assert "image 1 diverges with a step size of 1e+08 and an L2 weight of 0" in str(caught.value)
    assert "after step 1:" in str(caught.value)


class Root(nn.Module):
    """A score whose gradient is not a number where the values are 0.5."""

    def forward(self, images):
        return images.sub(0.5).abs().sqrt().sum((2, 3))


def test_gradient_that_is_no_number_is_told():
    start = torch.tensor([0.25, 0.5]).view(2, 1, 1, 1).expand(-1, 1, 3, 4)
    with pytest.raises(FloatingPointError, match=r"image 1 diverges .* after step 1:"):
        class_model(Root(), 0, start=start)
    got = class_model(Root(), 0, start=start, diverging="mark", step_size=0.01, steps=5)
    assert got.images[1].isnan().all()
    assert got.images[0].isfinite().all()
    assert got.class_scores[-1, 0] > got.class_scores[0, 0]


def test_growing_image_is_no_image_at_some_point(linear):
    start = torch.zeros(1, 3, 5, 7, dtype=torch.float64)
    options = {"l2_weight": 0.0, "step_size": 10.0, "start": start, "steps": 300}
    growth = 10 * linear.weights[1].square().mean().sqrt()
    step = int(1e3 / growth) + 1
    with pytest.raises(FloatingPointError, match=f"after step {step}:"):
        class_model(linear.network, 1, **options)


@pytest.mark.parametrize(
    ("size", "weight"), [(1.0, 2.0), (1e9, 0.0)], ids=["known before", "seen on the way"]
)
@variants
def test_diverging_image_is_marked_and_the_others_go_on(small, how, size, weight):
    options = {"steps": 6, "snapshots": 3, "diverging": "mark", "regularizers": how}
    got = class_model(
        small,
        [0, 1, 2],
        step_size=[0.1, size, 0.2],
        l2_weight=[0.1, weight, 0.0],
        generator=seeded(0),
        **options,
    )
    others = class_model(
        small, [0, 2], step_size=[0.1, 0.2], l2_weight=[0.1, 0.0], generator=seeded(0), **options
    )
    if not how.fourier and (size == 1e9 or not how.adam):
        assert got.snapshots[1:, 1].isnan().all()
        assert got.class_scores[1:, 1].isnan().all()
        assert got.norms[1:, 1].isnan().all()
    assert got.snapshots[0].isfinite().all()
    torch.testing.assert_close(got.snapshots[:, [0, 2]], others.snapshots)
    torch.testing.assert_close(got.scores[:, [0, 2]], others.scores)


def test_nothing_diverges_that_is_between_0_and_1():
    # black and white pixels at random: high frequencies of large coefficients
    layers = nn.Sequential(nn.AvgPool2d(224), nn.Flatten())
    start = torch.rand(1, 3, 224, 224, generator=seeded(0)).round()
    how = Regularizers(fourier=True, adam=True)
    got = class_model(layers, 0, start=start, steps=2, step_size=0.01, regularizers=how)
    assert got.images.isfinite().all()


# No trace


class Fails(nn.Module):
    """A layer that raises at its fifth call."""

    calls = 0

    def forward(self, values):
        self.calls += 1
        if self.calls == 5:
            raise RuntimeError("this layer fails")
        return values


def watched_network(*, last=None):
    """A network of several modes, with gradients of its caller's own."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 4 * 5, 3),
        last or nn.Identity(),
    )
    network.train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    network[4].bias.grad = torch.full((3,), 7.0)
    return network


def state_of(network, start):
    """Everything of the caller's that an ascent could leave a trace in."""
    tensors = [*network.named_parameters(), *network.named_buffers(), ("start", start)]
    return {
        "modes": [(name, module.training) for name, module in network.named_modules()],
        "values": [(name, id(t), t.tolist(), t._version) for name, t in tensors],
        "requires_grad": [(name, t.requires_grad) for name, t in tensors],
        "grad": [(name, None if t.grad is None else t.grad.tolist()) for name, t in tensors],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
        "autograd": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "random": torch.get_rng_state().tolist(),
    }


@variants
@pytest.mark.parametrize(
    ("last", "options", "error"),
    [
        (None, {}, None),
        (None, {"clip": True}, None),
        (None, {"stop_at": 0.9}, None),
        (None, {"target": 3}, ValueError),
        (None, {"l2_weight": -1}, ValueError),
        (None, {"step_size": torch.inf}, ValueError),
        (Fails, {}, RuntimeError),
        (Root, {}, IndexError),
    ],
    ids=["fine", "clip", "stop", "class", "weight", "size", "network fails", "no scores"],
)
def test_no_trace_is_left(how, last, options, error):
    network = watched_network(last=last and last())
    start = torch.rand(2, 3, 6, 7, generator=seeded(0)).requires_grad_()
    before = state_of(network, start)
    options = {"target": 1, "step_size": 0.05, "steps": 6, **options}

    def run():
        return class_model(network, start=start, regularizers=how, generator=seeded(1), **options)

    if error:
        with pytest.raises(error):
            run()
    else:
        found = run()
        assert not any(tensor.requires_grad for tensor in found)
        found.snapshots.zero_()
    after = state_of(network, start)
    for what in before:
        assert after[what] == before[what], what


def test_no_trace_is_left_by_divergence():
    network = watched_network()
    start = torch.rand(2, 3, 6, 7, generator=seeded(0))
    before = state_of(network, start)
    with pytest.raises(FloatingPointError):
        class_model(network, 1, start=start, step_size=1e9, steps=3)
    assert state_of(network, start) == before


def test_parameters_that_require_a_gradient_get_none(linear):
    assert all(parameter.requires_grad for parameter in linear.network.parameters())
    class_model(linear.network, 1, start=torch.zeros(1, 3, 5, 7).double(), steps=3)
    assert all(parameter.grad is None for parameter in linear.network.parameters())


def test_training_mode_does_not_change_the_result():
    network, start = watched_network(), torch.rand(2, 3, 6, 7, generator=seeded(0))
    got = class_model(network, 1, start=start, step_size=0.05, steps=4)
    expected = class_model(network.eval(), 1, start=start, step_size=0.05, steps=4)
    assert got.images.equal(expected.images)


@pytest.mark.parametrize("how", [PAPER, VARIANTS["all"]], ids=["paper", "all"])
def test_two_threads_with_one_network_do_not_disturb_each_other(how):
    network, start = watched_network(), torch.rand(2, 3, 6, 7, generator=seeded(0))
    before = state_of(network, start)

    def images_of(target):
        options = {"start": start, "step_size": 0.05, "steps": 4, "regularizers": how}
        return class_model(network, target, generator=seeded(target), **options).images

    alone = [images_of(target) for target in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(images_of, [0, 1, 2] * 40))
    assert all(got.equal(alone[i % 3]) for i, got in enumerate(together))
    assert state_of(network, start) == before


@variants
@pytest.mark.parametrize("made_within", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_ascent_goes_on_where_autograd_is_off(small, mode, made_within, how):
    start = torch.rand(2, 3, 6, 7, generator=seeded(0)).double()
    options = {"step_size": 0.3, "steps": 3, "regularizers": how, "stop_at": 0.99}
    expected = class_model(small, 1, start=start, generator=seeded(1), **options)
    with mode():
        given = start.clone() if made_within else start
        got = class_model(small, 1, start=given, generator=seeded(1), **options)
        assert given.equal(start)
    assert got.images.equal(expected.images)
    zero = class_model(small, 1, generator=seeded(1), **options)
    with mode():
        assert class_model(small, 1, generator=seeded(1), **options).images.equal(zero.images)


@pytest.mark.parametrize(
    "kind",
    [
        lambda images: images.clone().requires_grad_() * 1,
        lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
        lambda images: images.contiguous(memory_format=torch.channels_last),
        nn.Parameter,
    ],
    ids=["not a leaf", "transposed", "channels last", "parameter"],
)
@pytest.mark.parametrize("how", [PAPER, VARIANTS["all"]], ids=["paper", "all"])
def test_kind_of_tensor_does_not_change_the_result(small, how, kind):
    start = torch.rand(2, 3, 6, 7, generator=seeded(0)).double()
    options = {"steps": 3, "step_size": 0.3, "regularizers": how}
    expected = class_model(small, [0, 1], start=start, generator=seeded(1), **options)
    given = kind(start)
    got = class_model(small, [0, 1], start=given, generator=seeded(1), **options)
    torch.testing.assert_close(got.images, expected.images)
    assert given.equal(start)


# Progress


def bar(*given, **options):
    """A bar that does not wait."""
    return tqdm(*given, **{**options, "delay": 0, "mininterval": 0})


@pytest.mark.parametrize("where", ["terminal", "Colab", "elsewhere"])
def test_bar_counts_the_steps_on_terminals_and_in_colab(digits_network, capsys, monkeypatch, where):
    monkeypatch.setattr("deepinside.class_model.tqdm", bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: where == "terminal")
    if where == "Colab":
        monkeypatch.setitem(sys.modules, "google.colab", sys)
    class_model(digits_network, 3, steps=7)
    out, err = capsys.readouterr()
    assert out == ""
    if where == "elsewhere":
        assert err == ""
    else:
        assert "class model" in err
        assert "3/7" in err


def test_bar_waits_two_seconds(digits_network, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    class_model(digits_network, 3, steps=3)
    assert capsys.readouterr() == ("", "")


# GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@variants
@pytest.mark.parametrize("own", [False, True])
def test_gpu_gives_what_the_cpu_gives(small, own, how):
    options = {"start": "noise", "steps": 5, "step_size": 0.3, "regularizers": how}
    expected, got = (
        class_model(
            network,
            [0, 1],
            generator=[seeded(0), seeded(1)] if own else seeded(0),
            **options,
        )
        for network in (small, copy.deepcopy(small).to("cuda"))
    )
    assert got.snapshots.device.type == "cuda"
    torch.testing.assert_close(got.snapshots.cpu(), expected.snapshots)
    torch.testing.assert_close(got.scores.cpu(), expected.scores)


# What is no start, no ascent and no option


NO_ASCENT = {
    "detached": (lambda s: s.detach(), "expected a network with a gradient by the image"),
    "without gradient": (lambda s: s.detach() + 1, "expected a network with a gradient"),
    "constant": (lambda s: torch.arange(4.0).expand(len(s), -1), "expected a network with a gr"),
    "rounded": (lambda s: s.round(), "a gradient of 0 for class 1, image 0: are all ReLUs closed"),
    "closed ReLUs": (lambda s: (s - 1e3).relu(), "a gradient of 0 for class 1, image 0"),
    "NaN": (lambda s: s * torch.nan, "class scores of a network, got 8 of 8"),
    "soft-max": (lambda s: s.softmax(1), "got those of a soft-max"),
}


@pytest.mark.parametrize(("end", "message"), NO_ASCENT.values(), ids=NO_ASCENT)
@pytest.mark.parametrize("diverging", ["raise", "mark"])
def test_an_ascent_that_is_none_is_told(end, message, diverging):
    start = torch.full((2, 3, 5, 7), 0.25)
    with pytest.raises(ValueError, match=message):
        class_model(Ends(end, 105), 1, start=start, diverging=diverging, step_size=0.01)


def test_the_one_image_of_a_batch_that_cannot_climb_is_told():
    network = Ends(lambda scores: (scores - 10).relu(), 105)
    with torch.no_grad():
        network.linear.weight.fill_(0.2)
        network.linear.bias.zero_()
    # 105 intensities of 0.2 each: the scores are 5.25 and 15.75
    start = torch.stack([torch.full((3, 5, 7), value) for value in (0.25, 0.75)])
    with pytest.raises(ValueError, match="for class 1, image 0"):
        class_model(network, 1, start=start, step_size=0.01)
    assert class_model(network, 1, start=start[1:], step_size=0.01).class_scores[-1] > 5.75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regularizers": ()}, r"expected regularizers as Regularizers, got \(\)"),
        ({"regularizers": None}, "expected regularizers as Regularizers, got None"),
        ({"clip": "yes"}, "expected clip as True or False, got 'yes'"),
        ({"steps": 10**9}, "expected a number of steps from 1 to 100000"),
        ({"steps": 10**5, "snapshots": 10**5, "l2_weight": [0.1] * 20}, "1,000,000,000 values tog"),
        ({"steps": None}, "expected a number of steps"),
        ({"steps": True}, "expected a number of steps"),
        ({"snapshots": "2"}, "expected a number of snapshots"),
        ({"stop_at": "a"}, "expected a probability to stop at"),
        ({"l2_weight": None}, "expected a finite l2_weight"),
        ({"l2_weight": "a"}, "expected a finite l2_weight"),
        ({"l2_weight": ["a"]}, "expected a finite l2_weight"),
        ({"l2_weight": True}, "expected a finite l2_weight"),
        ({"l2_weight": torch.tensor(1j)}, "expected a finite l2_weight"),
        ({"step_size": None}, "expected a finite step_size"),
        ({"step_size": torch.ones((), device="meta")}, "expected a finite step_size"),
        ({"norm": np.zeros(2)}, "expected a norm of squared, plain"),
        ({"generator": 0}, "expected a torch.Generator"),
        ({"generator": "a"}, "expected a torch.Generator"),
        ({"start": torch.ones(1, 1, 28, 28, device="meta")}, "expected images as a tensor"),
        ({"start": torch.ones(1, 1, 0, 0)}, "expected a batch of images"),
        ({"target": 2.5}, "expected a class index"),
        ({"target": object()}, "expected a class index"),
        ({"target": iter([1])}, "expected a class index"),
        ({"network": None}, "expected a network as an nn.Module, got None"),
        ({"network": "digits"}, "expected a network as an nn.Module, got 'digits'"),
    ],
)
def test_an_option_that_is_none_is_told(digits_network, options, message):
    given = {"network": digits_network, "target": 3, "steps": 2, "step_size": 0.01} | options
    with pytest.raises(ValueError, match=message):
        class_model(**given)


def test_a_wrong_class_moves_no_generator(digits_network):
    generator = seeded(0)
    with pytest.raises(ValueError, match="expected a class index from 0 to 9, got 99"):
        class_model(digits_network, 99, start="noise", generator=generator)
    assert generator.get_state().equal(seeded(0).get_state())


def test_one_unit_has_no_logarithm_of_a_probability():
    one = nn.Sequential(nn.Flatten(), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="expected two classes or more for probabilities"):
        class_model(one, 0, start=torch.zeros(1, 1, 1, 2), objective="log_probability")


def test_numbers_may_be_those_of_numpy(digits_network):
    options = {"steps": 4, "snapshots": 3, "step_size": 0.01, "l2_weight": 0.5, "stop_at": 0.9}
    numpys = {"steps": np.int64(4), "snapshots": np.uint8(3), "step_size": np.float64(0.01)}
    numpys |= {"l2_weight": np.array([0.5]), "stop_at": np.float64(0.9)}
    expected = class_model(digits_network, 3, **options)
    for found, wanted in zip(class_model(digits_network, 3, **numpys), expected, strict=True):
        assert found.equal(wanted)


@pytest.mark.parametrize("how", [PAPER, MODERN._replace(jitter=2.0, blur=1.0)])
def test_the_default_type_of_numbers_changes_nothing(digits_network, how):
    options = {"steps": 4, "step_size": 0.02, "start": "noise", "regularizers": how}
    expected = class_model(digits_network, 3, generator=seeded(0), **options).images
    torch.set_default_dtype(torch.float64)
    try:
        got = class_model(digits_network, 3, generator=seeded(0), **options).images
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_one_unit_has_scores_and_no_probabilities():
    one = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    options = {"start": torch.zeros(1, 1, 1, 2), "steps": 2, "step_size": 0.1}
    found = class_model(one, 0, **options)
    assert found.class_scores[-1] > found.class_scores[0]
    with pytest.raises(ValueError, match="expected two classes or more for probabilities"):
        _ = found.class_probabilities
    with pytest.raises(ValueError, match="expected two classes or more for probabilities"):
        class_model(one, 0, stop_at=0.9, **options)
