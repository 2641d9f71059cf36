import math
from itertools import pairwise, product

import pytest
import torch
from scipy.ndimage import gaussian_filter

from deepinside.regularizers import (
    PAPER,
    Adam,
    Fourier,
    Regularizers,
    drawn,
    gaussian_blur,
    random_view,
    transformed,
)

SIZES = [(7, 11), (10, 6), (8, 8), (9, 9), (6, 7)]


def some_images(generator, size, *, count=2, channels=3):
    return torch.rand(count, channels, *size, generator=generator, dtype=torch.float64)


# Options


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"jitter": -1}, "expected a jitter of at least 0 and at most 1000, got -1"),
        ({"jitter": math.nan}, "expected a jitter of at least 0 and at most 1000, got nan"),
        ({"jitter": "3"}, "expected a jitter of at least 0 and at most 1000, got '3'"),
        ({"rotation": -0.1}, "expected a rotation of at least 0 and at most 180, got -0.1"),
        ({"rotation": math.inf}, "expected a rotation of at least 0 and at most 180, got inf"),
        ({"rotation": True}, "expected a rotation of at least 0 and at most 180, got True"),
        ({"blur": -2}, "expected a blur of at least 0 and at most 1000, got -2"),
        ({"blur": 1e6}, "expected a blur of at least 0 and at most 1000, got 1000000.0"),
        ({"blur": None}, "expected a blur of at least 0 and at most 1000, got None"),
        ({"scale": (0, 1)}, "expected the low end of a scale above 0 and at most 100, got 0"),
        ({"scale": (math.nan, 1)}, "expected the low end of a scale above 0 and at most 100"),
        (
            {"scale": (2, 1)},
            "expected the high end of a scale of at least 2 and at most 100, got 1",
        ),
        ({"scale": (1, math.inf)}, "expected the high end of a scale of at least 1 and at most"),
        ({"scale": (1, 1.1, 1.2)}, "expected a scale (low, high), got (1, 1.1, 1.2)"),
        ({"scale": 1.2}, "expected a scale (low, high), got 1.2"),
        ({"scale": "12"}, "expected a scale (low, high), got '12'"),
        ({"fourier": 1}, "expected fourier as True or False, got 1"),
        ({"adam": "yes"}, "expected adam as True or False, got 'yes'"),
        ({"anneal": None}, "expected anneal as True or False, got None"),
    ],
)
def test_wrong_value_is_answered_with_what_was_expected_and_got(values, message):
    with pytest.raises(ValueError) as caught:
        Regularizers(**values).check()
    assert message in str(caught.value)


@pytest.mark.parametrize("values", [{}, {"jitter": 0.5}, {"scale": [0.5, 0.5]}, {"blur": 3}])
def test_values_in_their_range_pass(values):
    Regularizers(**values).check()


@pytest.mark.parametrize(
    ("values", "views"),
    [
        ({}, False),
        ({"blur": 2.0, "fourier": True, "adam": True, "anneal": True}, False),
        ({"scale": [1, 1]}, False),
        ({"jitter": 1}, True),
        ({"rotation": 1}, True),
        ({"scale": (1, 1.1)}, True),
        ({"scale": (0.9, 0.9)}, True),
    ],
)
def test_views_are_random_if_any_of_their_limits_is_set(values, views):
    assert Regularizers(**values).views is views


def test_the_paper_does_none_of_it():
    assert PAPER == (0, (1, 1), 0, 0, False, False, False)


def test_step_size_falls_from_all_to_nothing_along_half_a_cosine():
    shares = [Regularizers(anneal=True).share_of_step(step, 10) for step in range(11)]
    assert shares[0] == 1
    assert shares[5] == pytest.approx(0.5)
    assert shares[10] == 0
    assert shares == sorted(shares, reverse=True)
    for step, share in enumerate(shares):
        assert share == pytest.approx(math.cos(math.pi * step / 20) ** 2)
    assert [PAPER.share_of_step(step, 10) for step in (0, 5, 10)] == [1, 1, 1]


# Views


def plain_view(image, *, down=0, right=0, scale=1, angle=0):
    """Pixel by pixel: where in the image it looks, and the four values around there."""
    height, width = image.shape[1:]
    seen = torch.zeros_like(image)
    for i, j in product(range(height), range(width)):
        y, x = i - (height - 1) / 2, j - (width - 1) / 2
        cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
        y, x = cos * y + sin * x, cos * x - sin * y
        y, x = y + (height - 1) / 2 + down, x + (width - 1) / 2 + right
        top, left = math.floor(y), math.floor(x)
        for row, column in product((top, top + 1), (left, left + 1)):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                seen[:, i, j] += share * image[:, row, column]
    return seen


@pytest.mark.parametrize("size", SIZES)
def test_view_without_options_is_the_image(size, generator):
    images = some_images(generator, size)
    uniform = torch.rand(2, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(random_view(images, uniform, PAPER), images)


@pytest.mark.parametrize("size", SIZES)
def test_view_at_the_middle_of_every_limit_is_the_image(size, generator):
    images = some_images(generator, size)
    how = Regularizers(jitter=3, scale=(0.5, 2), rotation=40)
    middle = torch.full((2, 4), 0.5, dtype=torch.float64)
    torch.testing.assert_close(random_view(images, middle, how), images)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (0, -3), (-1, 2), (3, 3)])
def test_shift_moves_the_window_down_and_right(size, down, right, generator):
    # what the view shows moves up and left then; what comes in is 0
    images = some_images(generator, size)
    uniform = torch.tensor([(down / 3 + 1) / 2, (right / 3 + 1) / 2, 0.1, 0.9]).double()
    got = random_view(images, uniform.expand(2, -1), Regularizers(jitter=3))
    expected = torch.zeros_like(images)
    for i, j in product(range(size[0]), range(size[1])):
        if 0 <= i + down < size[0] and 0 <= j + right < size[1]:
            expected[:, :, i, j] = images[:, :, i + down, j + right]
    torch.testing.assert_close(got, expected)


def test_shift_alone_is_of_whole_pixels_up_to_the_limit(generator):
    image = torch.zeros(1, 1, 15, 21, dtype=torch.float64)
    image[..., 7, 10] = 1
    uniform = torch.rand(300, 4, generator=generator, dtype=torch.float64)
    seen = random_view(image.expand(300, -1, -1, -1), uniform, Regularizers(jitter=3))
    places = [view[0].round(decimals=6).nonzero().tolist() for view in seen]
    assert all(len(place) == 1 for place in places)
    assert {row for ((row, _),) in places} == set(range(4, 11))
    assert {column for ((_, column),) in places} == set(range(7, 14))


@pytest.mark.parametrize("size", [(7, 11), (10, 6), (8, 8)])
@pytest.mark.parametrize(
    "how",
    [
        Regularizers(scale=(0.5, 2)),
        Regularizers(rotation=180),
        Regularizers(rotation=30, jitter=2),
        Regularizers(jitter=4, scale=(0.8, 1.3), rotation=25),
    ],
)
def test_view_is_one_bilinear_look_at_the_image(how, size, generator):
    images = some_images(generator, size, count=4)
    uniform = torch.rand(4, 4, generator=generator, dtype=torch.float64)
    got = random_view(images, uniform, how)
    for image, seen, (y, x, s, a) in zip(images, got, uniform.tolist(), strict=True):
        low, high = how.scale
        expected = plain_view(
            image,
            down=(2 * y - 1) * how.jitter,
            right=(2 * x - 1) * how.jitter,
            scale=math.exp((1 - s) * math.log(low) + s * math.log(high)),
            angle=(2 * a - 1) * how.rotation / 180 * math.pi,
        )
        torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5, 2.5])
def test_scale_enlarges(scale, generator):
    # a soft disk, as a sharp one is sampled at so many pixels more or less
    rows, columns = torch.arange(61.0)[:, None] - 30, torch.arange(81.0) - 40
    disk = (9 - (rows.square() + columns.square()).sqrt()).sigmoid().double()[None, None]
    uniform = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    seen = random_view(disk, uniform, Regularizers(scale=(scale, scale)))
    assert (seen.sum() / disk.sum()).item() == pytest.approx(scale**2, rel=0.01)


def test_scale_goes_from_low_to_high(generator):
    images = some_images(generator, (9, 12), count=1)
    how = Regularizers(scale=(0.7, 1.6))
    for uniform, scale in ((0.0, 0.7), (1.0, 1.6)):
        got = random_view(images, torch.tensor([[0.5, 0.5, uniform, 0.5]]).double(), how)
        torch.testing.assert_close(got[0], plain_view(images[0], scale=scale))


def test_rotation_is_counterclockwise_above_the_middle(generator):
    images = some_images(generator, (9, 9))
    for uniform, turns in ((1.0, 1), (0.0, -1), (0.5, 0)):
        drawn = torch.tensor([0.5, 0.5, 0.5, uniform]).double().expand(2, -1)
        got = random_view(images, drawn, Regularizers(rotation=90))
        torch.testing.assert_close(got, images.rot90(turns, (2, 3)))


def test_rotation_does_not_distort_what_is_not_square():
    image = torch.zeros(1, 1, 21, 41, dtype=torch.float64)
    image[..., 10, 20:28] = 1
    seen = random_view(
        image, torch.tensor([[0.5, 0.5, 0.5, 1]]).double(), Regularizers(rotation=90)
    )
    expected = torch.zeros_like(image)
    expected[..., 3:11, 20] = 1
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(
    "how", [Regularizers(jitter=4), Regularizers(scale=(0.4, 0.4)), Regularizers(rotation=90)]
)
def test_outside_of_the_image_is_0(how):
    image = torch.full((1, 2, 11, 31), 5.0, dtype=torch.float64)
    seen = random_view(image, torch.ones(1, 4).double(), how)
    assert seen[..., 10, 30].eq(0).all()
    assert seen[..., 5, 15].allclose(image[..., 5, 15])
    assert seen.max() <= 5 + 1e-9


def test_view_can_be_differentiated(generator):
    images = some_images(generator, (5, 6)).requires_grad_()
    uniform = torch.rand(2, 4, generator=generator, dtype=torch.float64)
    how = Regularizers(jitter=1, scale=(0.9, 1.2), rotation=20)
    assert torch.autograd.gradcheck(lambda given: random_view(given, uniform, how), images)


@pytest.mark.parametrize("blur", [0.0, 0.8])
@pytest.mark.parametrize("limits", [{}, {"jitter": 2}, {"scale": (0.8, 1.2), "rotation": 9}])
def test_what_is_seen_is_a_random_view_of_each_image_then_blurred(limits, blur, generator):
    images, how = some_images(generator, (7, 6)), Regularizers(blur=blur, **limits)
    seeds = [torch.Generator().manual_seed(i) for i in (3, 4)]
    expected = images
    if limits:
        uniform = [torch.rand(4, generator=torch.Generator().manual_seed(i)) for i in (3, 4)]
        expected = random_view(images, torch.stack(uniform).double(), how)
    if blur:
        expected = gaussian_blur(expected, blur)
    got = transformed(images, how, seeds)
    torch.testing.assert_close(got, expected)
    # the ascent knows by this that it need not ask for the scores of the images again
    assert (got is images) == (not limits and not blur)
    if not limits:
        assert seeds[0].get_state().equal(torch.Generator().manual_seed(3).get_state())


def test_random_values_are_each_image_s_own_or_all_of_one_generator():
    like = torch.zeros(2, 3, 5, dtype=torch.float64)
    first, second = (torch.randn(3, 5, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    own = drawn(torch.randn, [torch.Generator().manual_seed(i) for i in (1, 2)], like)
    assert own.equal(torch.stack([first, second]).double())
    shared = drawn(torch.randn, [torch.Generator().manual_seed(2)], like)
    assert shared.equal(torch.stack([second, second]).double())


# Blur


@pytest.mark.parametrize("size", [(7, 11), (30, 20), (3, 25)])
@pytest.mark.parametrize("sigma", [0.3, 0.8, 1.0, 2.3])
def test_blur_is_scipy_s(sigma, size, generator):
    images = some_images(generator, size) - 0.5
    reach = math.ceil(3 * sigma)
    expected = gaussian_filter(
        images.numpy(), (0, 0, sigma, sigma), mode="constant", radius=(0, 0, reach, reach)
    )
    torch.testing.assert_close(
        gaussian_blur(images, sigma), torch.from_numpy(expected), rtol=1e-5, atol=1e-6
    )
    whole = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="constant", truncate=8)
    assert (gaussian_blur(images, sigma) - torch.from_numpy(whole)).abs().max() < 1e-2


def test_blur_keeps_the_sum_inside_and_the_channels_apart():
    images = torch.zeros(2, 3, 21, 23, dtype=torch.float64)
    images[0, 1, 10, 11] = images[1, 2, 0, 0] = 1
    blurred = gaussian_blur(images, 1.5)
    assert blurred[0].sum((1, 2)).tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    torch.testing.assert_close(blurred[0], blurred[0].flip(1, 2))
    # 0 outside: a corner loses what runs over its edges
    assert 0.25 < blurred[1, 2].sum() < 0.5
    assert blurred[1, :2].eq(0).all()


# Fourier


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_unknown_of_images_stands_for_the_images_less_the_mean(
    size, channels, dtype, tolerance, generator
):
    images = some_images(generator, size, channels=channels).mul(0.98).add(0.01).to(dtype)
    mean = torch.rand(channels, 1, 1, generator=generator).to(dtype)
    fourier = Fourier(images, mean)
    unknown = fourier.unknown(images)
    assert unknown.shape == (2, channels, size[0], size[1] // 2 + 1, 2)
    assert unknown.dtype == dtype
    torch.testing.assert_close(fourier.centered(unknown) + mean, images, rtol=0, atol=tolerance)
    assert fourier.bounded(unknown).equal(unknown)


def test_black_and_white_are_nearly_kept():
    images = torch.tensor([0.0, 1.0]).expand(1, 1, 4, 2).double()
    fourier = Fourier(images, torch.tensor(0.25))
    got = fourier.centered(fourier.unknown(images)) + 0.25
    torch.testing.assert_close(got, images.clamp(0.001, 0.999))


def plain_fourier_image(fourier, unknown, size):
    """Wave by wave: sigmoid(colors · sum of waves), each with its amplitude."""
    height, width = size
    values = torch.fft.fftfreq(height).double(), torch.fft.fftfreq(width).double()
    rows, columns = torch.arange(height).double()[:, None], torch.arange(width).double()
    channels = torch.zeros(len(unknown), height, width, dtype=torch.float64)
    for c, i, j in product(range(len(unknown)), range(height), range(width // 2 + 1)):
        real, imaginary = (fourier.amplitudes[i, j] * unknown[c, i, j]).tolist()
        phase = 2 * math.pi * (values[0][i] * rows + values[1][j] * columns)
        wave = real * phase.cos() - imaginary * phase.sin()
        # a real image has every wave twice but those that are their own mirror images
        channels[c] += wave * (1 if j in (0, width / 2) else 2)
    channels /= math.sqrt(height * width)
    mixed = [sum(row[k] * channels[k] for k in range(len(channels))) for row in fourier.colors]
    return 1 / (1 + torch.stack(mixed).neg().exp())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_image_is_the_sigmoid_of_colored_waves(size, channels, generator):
    fourier = Fourier(torch.zeros(1, channels, *size, dtype=torch.float64), torch.zeros(()))
    shape = (2, channels, size[0], size[1] // 2 + 1, 2)
    unknown = 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    got = fourier.centered(unknown)
    assert got.min() > 0
    assert got.max() < 1
    for image, coefficients in zip(got, unknown, strict=True):
        torch.testing.assert_close(image, plain_fourier_image(fourier, coefficients, size))


@pytest.mark.parametrize("size", SIZES)
def test_amplitude_falls_with_the_frequency(size):
    height, width = size
    amplitudes = Fourier(torch.zeros(1, 3, *size, dtype=torch.float64), torch.zeros(())).amplitudes
    assert amplitudes.shape == (height, width // 2 + 1)
    assert amplitudes[0, 0] == amplitudes.max()
    frequencies = [
        math.hypot(min(i, height - i) / height, j / width)
        for i, j in product(range(height), range(width // 2 + 1))
    ]
    found = sorted(zip(frequencies, amplitudes.flatten().tolist(), strict=True))
    for (slow, more), (fast, less) in pairwise(found[1:]):
        assert more > less or fast - slow < 1e-6
    assert found[-1][1] < found[0][1] / 4


def test_white_spectrum_makes_a_smooth_image(generator):
    fourier = Fourier(torch.zeros(1, 3, 32, 48), torch.zeros(()))
    images = fourier.centered(torch.randn(4, 3, 32, 25, 2, generator=generator))
    assert images.std() > 0.05
    for along in (2, 3):
        assert images.diff(dim=along).std() < images.std() / 3


def test_step_in_the_spectrum_is_a_smooth_change():
    # what raises one pixel raises those beside it, too
    fourier = Fourier(torch.zeros(1, 1, 16, 18, dtype=torch.float64), torch.zeros(()))
    unknown = torch.zeros(1, 1, 16, 10, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(fourier.centered(unknown)[0, 0, 5, 7], unknown)
    moved = fourier.centered((unknown + gradient / gradient.norm()).detach())[0, 0] - 0.5
    assert moved[5, 7] == moved.max()
    assert moved[5, 8] > 0.5 * moved[5, 7]
    assert moved[6, 7] > 0.5 * moved[5, 7]


def test_gradients_reach_every_frequency(generator):
    fourier = Fourier(torch.zeros(1, 3, 6, 7, dtype=torch.float64), torch.zeros(()))
    unknown = torch.randn(1, 3, 6, 4, 2, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(fourier.centered, unknown)
    weights = torch.randn(1, 3, 6, 7, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * fourier.centered(unknown)).sum(), unknown)
    assert gradient.norm(dim=-1).min() > 0


def test_colors_are_correlated_as_in_photographs():
    colors = Fourier(torch.zeros(1, 3, 4, 5, dtype=torch.float64), torch.zeros(())).colors
    covariance = colors @ colors.T
    expected = torch.full((3, 3), 0.7, dtype=torch.float64).fill_diagonal_(1)
    torch.testing.assert_close(covariance / covariance[0, 0], expected)
    assert Fourier(torch.zeros(1, 1, 4, 5), torch.zeros(())).colors.tolist() == [[1]]


# Adam


def test_directions_are_those_of_torch_s_adam(generator):
    unknown = torch.zeros(3, 2, 4, dtype=torch.float64, requires_grad=True)
    optimizer, adam = torch.optim.Adam([unknown], lr=1, maximize=True), Adam()
    for step in range(12):
        # of very different sizes, also between steps, and none in some places
        gradient = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
        gradient = gradient * torch.tensor([1e-6, 0, 1, 1e4]) * (step % 5)
        before, unknown.grad = unknown.detach().clone(), gradient
        optimizer.step()
        given = gradient.clone()
        direction = adam.direction(given)
        torch.testing.assert_close(direction, unknown.detach() - before, rtol=1e-6, atol=1e-9)
        assert given.equal(gradient)


def test_first_direction_is_the_sign_of_the_gradient():
    gradient = torch.tensor([-3.0, 1e-3, 0.0, 200.0])
    torch.testing.assert_close(Adam().direction(gradient), gradient.sign(), rtol=1e-4, atol=0)


# Half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype, generator):
    images = torch.rand(2, 3, 7, 11, generator=generator).to(dtype)
    uniform = torch.rand(2, 4, generator=generator)
    how = Regularizers(jitter=2, scale=(0.8, 1.2), rotation=9)
    for got, expected in (
        (random_view(images, uniform, how), random_view(images.float(), uniform, how)),
        (gaussian_blur(images, 30), gaussian_blur(images.float(), 30)),
        (Fourier(images, images[:1]).unknown(images), None),
    ):
        if expected is None:
            fourier = Fourier(images, images[:1])
            torch.testing.assert_close(
                fourier.centered(got), (images - images[:1]).float(), atol=0.02, rtol=0
            )
        else:
            assert got.equal(expected.to(dtype))
    # the square of 1e-4 is 0 in float16
    assert (Adam().direction(torch.full((3,), 1e-4).to(dtype)) - 1).abs().max() < 1e-3
