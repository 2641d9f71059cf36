import numpy as np
import pytest
import torch
from torch import nn

from deepinside.class_model import class_model
from deepinside.class_score import class_index, class_probability, class_score, top_classes
from deepinside.networks import load_network
from deepinside.networks.scores import gradient_by


@pytest.fixture(scope="module")
def gray(digits_network, digits):
    """Four digits: 2, 6, 8 and 1, which the digits network reads rightly."""
    images = digits.images[[200, 600, 800, 100]]
    with torch.no_grad():
        assert digits_network(images).argmax(1).tolist() == [2, 6, 8, 1]
    return images


TARGETS = {
    "none": (None, [2, 6, 8, 1]),
    "index": (3, [3, 3, 3, 3]),
    "first index": (0, [0, 0, 0, 0]),
    "name": ("3", [3, 3, 3, 3]),
    "list": ([3, 0, 9, 1], [3, 0, 9, 1]),
    "tuple": ((3, 0, 9, 1), [3, 0, 9, 1]),
    "list of names and indices": (["3", 0, "9", 1], [3, 0, 9, 1]),
    "int64 tensor": (torch.tensor([3, 0, 9, 1]), [3, 0, 9, 1]),
    "int32 tensor": (torch.tensor([3, 0, 9, 1], dtype=torch.int32), [3, 0, 9, 1]),
    "tensor of no dimension": (torch.tensor(3), [3, 3, 3, 3]),
    "NumPy integer": (np.int64(3), [3, 3, 3, 3]),
    "NumPy array": (np.array([3, 0, 9, 1]), [3, 0, 9, 1]),
    "list of NumPy integers": ([np.uint8(3), np.int32(0), 9, 1], [3, 0, 9, 1]),
    "NumPy array of no dimension": (np.array(3), [3, 3, 3, 3]),
}


@pytest.mark.parametrize(("target", "classes"), TARGETS.values(), ids=TARGETS)
def test_score_is_the_network_s_answer_for_the_class(digits_network, gray, target, classes):
    scores = digits_network(gray)
    got = class_score(digits_network, gray, target)
    assert got.tolist() == [scores[i, c].item() for i, c in enumerate(classes)]
    shares = [scores[i].exp()[c] / scores[i].exp().sum() for i, c in enumerate(classes)]
    torch.testing.assert_close(class_probability(digits_network, gray, target), torch.stack(shares))


def test_digit_probabilities_sum_to_one(digits_network, gray):
    total = sum(class_probability(digits_network, gray, c) for c in range(10))
    torch.testing.assert_close(total, torch.ones(4))


def test_names_are_found_in_any_case(network, four_images):
    with torch.no_grad():
        expected = network(four_images)[:, 967]
    for name in ("espresso", "Espresso", "ESPRESSO", 967):
        assert class_score(network, four_images, name).equal(expected)
    assert class_index("siberian HUSKY", network.class_names) == 250


def test_score_is_differentiable(linear):
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    for of, factor in ((class_score, 1.0), (class_probability, None)):
        (gradient,) = torch.autograd.grad(of(linear.network, images, [1, 2]).sum(), images)
        if factor:
            assert gradient.equal(linear.weights[[1, 2]])
        assert gradient.abs().min() > 0


def test_top_classes_are_the_highest_scores_best_first(network, four_images):
    with torch.no_grad():
        scores = network(four_images)
    tops = top_classes(network, four_images, count=3)
    assert [len(top) for top in tops] == [3] * 4
    for row, top in zip(scores, tops, strict=True):
        best = sorted(range(1000), key=lambda c: -row[c])[:3]
        assert [one.index for one in top] == best
        assert [one.name for one in top] == [network.class_names[c] for c in best]
        assert [one.score for one in top] == [row[c].item() for c in best]
        assert [one.probability for one in top] == pytest.approx(row.softmax(0)[best].tolist())


def test_top_classes_of_a_network_without_names_are_numbered(linear):
    images = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    top = top_classes(linear.network, images, count=4)[0]
    assert [one.name for one in top] == [str(one.index) for one in top]
    assert sum(one.probability for one in top) == pytest.approx(1)


@pytest.mark.parametrize("count", [0, -1, 11])
def test_count_of_top_classes_is_checked(digits_network, gray, count):
    with pytest.raises(ValueError, match=f"expected a count from 1 to 10, got {count}"):
        top_classes(digits_network, gray, count)


def test_network_in_training_mode_is_scored_as_in_evaluation(gray):
    layers = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 3))
    layers.eval()
    expected = class_score(layers, gray, 1)
    layers.train()
    assert class_score(layers, gray, 1).equal(expected)
    assert layers.training
    assert layers[2].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (10, "expected a class index from 0 to 9, got 10"),
        (-1, "expected a class index from 0 to 9, got -1"),
        (True, "expected a class index from 0 to 9, got True"),
        (3.0, "expected a class index from 0 to 9, got 3.0"),
        (np.float64(3), "expected a class index from 0 to 9, got "),
        ([1, 2, 3, 10], "expected a class index from 0 to 9, got 10"),
        ([1, 2, 3, None], "expected a class index from 0 to 9, got None"),
        ([1, 2, 3, torch.tensor(True)], "expected a class index from 0 to 9, got "),
        (np.array([True, False, True, False]), "expected a class index from 0 to 9, got "),
        (torch.tensor([1, 2, 3, -1]), "expected a class index from 0 to 9, got -1"),
        (torch.tensor([1.0, 2, 3, 4]), "expected a class index from 0 to 9, got 1.0"),
        (torch.tensor([True] * 4), "expected a class index from 0 to 9, got True"),
        (torch.tensor([[1, 2, 3, 4]]), "expected one class or 4, one for each image; got 1"),
        ([1, 2, 3], "expected one class or 4, one for each image; got 3"),
        ([], "expected one class or 4, one for each image; got 0"),
        (range(5), "expected one class or 4, one for each image; got 5"),
        ("eight", "expected the name of a class, got 'eight'"),
        ("", "expected the name of a class, got ''"),
    ],
)
def test_wrong_target_is_answered_with_what_was_expected_and_got(
    digits_network, gray, target, message
):
    with pytest.raises(ValueError) as caught:
        class_score(digits_network, gray, target)
    assert message in str(caught.value)


def test_wrong_target_costs_no_pass(digits_network, gray):
    calls = []
    handle = digits_network.register_forward_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(ValueError, match="expected a class index"):
            class_score(digits_network, gray, 10)
        assert not calls
        class_score(digits_network, gray, 9)
        assert len(calls) == 1
    finally:
        handle.remove()


def test_name_that_two_classes_bear_is_answered_with_both(network, four_images):
    # ImageNet has a dog called Cardigan, too
    with pytest.raises(ValueError, match="got 'cardigan', which 2 do: give the index, 264 or 474"):
        class_score(network, four_images, "cardigan")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("expresso", "espresso (967)"), ("ostritch", "ostrich (9)"), ("tabby cat", "tabby")],
)
def test_unknown_name_is_answered_with_the_nearest(network, four_images, name, nearest):
    with pytest.raises(ValueError, match=f"expected the name of a class, got '{name}'") as caught:
        class_score(network, four_images, name)
    assert nearest in str(caught.value).split("nearest")[1]


def with_value(value):
    images = torch.full((2, 1, 28, 28), 0.5)
    images[1, 0, 3, 4] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 28, 28), "got shape (1, 28, 28); image[None] is a batch of one"),
        (torch.zeros(28, 28), "expected a batch of images (N, C, H, W), got shape (28, 28)"),
        (torch.zeros(0, 1, 28, 28), "got shape (0, 1, 28, 28)"),
        (torch.zeros(2, 3, 28, 28), "expected images of shape (N, 1, 28, 28), got (2, 3, 28, 28)"),
        (with_value(torch.nan), "expected finite images, got 1 values that are NaN or infinite"),
        (with_value(-torch.inf), "expected finite images, got 1 values that are NaN or infinite"),
        (with_value(255.0), "in [0, 1], got values from 0.5 to 255: divide by 255?"),
        (with_value(0).to(torch.uint8), "expected images of floats in [0, 1], got torch.uint8"),
        (with_value(0).double(), "torch.float32 on cpu; got torch.float64 on cpu"),
        (with_value(0).half(), "torch.float32 on cpu; got torch.float16 on cpu"),
        (with_value(0).numpy(), "expected images as a tensor (N, C, H, W), got ndarray"),
        ([with_value(0)], "expected images as a tensor (N, C, H, W), got list"),
    ],
)
def test_wrong_images_are_answered_with_what_was_expected_and_got(digits_network, images, message):
    for function in (class_score, class_probability, top_classes):
        with pytest.raises(ValueError) as caught:
            function(digits_network, images)
        assert message in str(caught.value)


class Returns(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer(images)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda images: images, r"\(2, 3, 4, 5\)"),
        (lambda images: images.mean((1, 2, 3)), r"\(2,\)"),
        (lambda images: images.mean((2, 3))[:1], r"\(1, 3\)"),
        (lambda images: (images.mean((2, 3)), None), "tuple"),
    ],
)
def test_network_that_returns_no_scores_is_refused(answer, got):
    with pytest.raises(ValueError, match=rf"expected a network that returns scores .* got {got}"):
        class_score(Returns(answer), torch.rand(2, 3, 4, 5), 0)


def test_errors_leave_the_network_as_it_was(gray):
    network = load_network("digits").train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    for images, target in ((gray, 10), (gray[0], 1), (gray.expand(-1, 3, -1, -1), 1)):
        with pytest.raises(ValueError, match="expected"):
            class_score(network, images, target)
    assert all(module.training for module in network.modules())
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


# What is no image, and what is no score


def normalized(network, images):
    return network.normalization(images)


IMAGES_THAT_ARE_NONE = {
    "normalized": normalized,
    "normalized with ImageNet's deviation": lambda _, images: (images - 0.45) / 0.225,
    "from -1 to 1": lambda _, images: 2 * images - 1,
    "0 to 255": lambda _, images: 255 * images,
    "0 to 255, less a mean": lambda _, images: 255 * (images - 0.45),
    "one value far below": lambda _, images: images.masked_fill(images == images.max(), -1e6),
    "one value far above": lambda _, images: images.masked_fill(images == images.max(), 1e6),
    "-5": lambda _, images: torch.full_like(images, -5),
    "50": lambda _, images: torch.full_like(images, 50),
}


@pytest.mark.parametrize("made", IMAGES_THAT_ARE_NONE.values(), ids=IMAGES_THAT_ARE_NONE)
def test_an_image_that_is_none_is_told(network, squeezenet, four_images, made):
    for of in (network, squeezenet):
        for i, image in enumerate(four_images.split(1)):
            with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got .* from .* to"):
                class_score(of, made(of, image), i)


def test_noise_and_class_models_are_images(network, four_images):
    noise = torch.randn(four_images.shape, generator=torch.Generator().manual_seed(0))
    for amount in (0.15, 0.25, 0.5):
        noisy = four_images + amount * noise
        assert noisy.min() < -amount
        assert class_score(network, noisy, 0).equal(network(noisy)[:, 0])
        found = class_model(network, 0, steps=3, step_size=amount)
        assert class_score(network, found.images, 0).isfinite().all()


def test_a_plain_network_takes_normalized_images():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    normalized_images = (images - 0.45) / 0.225
    assert class_score(plain, normalized_images, 1).equal(plain(normalized_images)[:, 1])
    with pytest.raises(ValueError, match="expected images"):
        class_score(plain, images - 5, 1)


@pytest.mark.parametrize("images", [None, "photo", torch.ones(2, 3, 8, 8, device="meta")])
def test_what_is_no_tensor_with_values_is_told(linear, images):
    with pytest.raises(ValueError, match="expected images as a tensor"):
        class_score(linear.network, images, 1)


@pytest.mark.parametrize("network", [None, "vgg16", lambda images: images.mean((2, 3))])
def test_what_is_no_network_is_told(network):
    with pytest.raises(ValueError, match=r"expected a network as an nn.Module, got"):
        class_score(network, torch.rand(2, 3, 4, 5), 0)


def test_autocast_is_told(digits_network, gray):
    with torch.autocast("cpu"), pytest.raises(ValueError, match="expected no autocast"):
        class_score(digits_network, gray, 0)


SCORES_THAT_ARE_NONE = {
    "NaN": (
        lambda scores: scores * torch.nan,
        "class scores of a network, got 6 of 6",
    ),
    "infinite": (lambda scores: 2 ** (scores * 1e4), "expected finite class scores"),
    "no class": (
        lambda scores: scores[:, :0],
        "with scores of one class or more, got none",
    ),
    "places": (lambda scores: scores.argsort(1), "that returns scores of floats, got torch.int64"),
    "complex": (lambda scores: scores * 1j, "that returns scores of floats, got torch.complex64"),
    "probabilities": (lambda scores: scores.softmax(1), "got those of a soft-max"),
    "their logarithms": (lambda scores: scores.log_softmax(1), "got those of a log-soft-max"),
}


@pytest.mark.parametrize(
    ("last", "message"), SCORES_THAT_ARE_NONE.values(), ids=SCORES_THAT_ARE_NONE
)
@pytest.mark.parametrize("function", [class_score, class_probability, top_classes])
def test_scores_that_are_none_are_told(function, last, message):
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=message):
        function(Returns(lambda images: last(images.mean((2, 3)))), images)


def test_one_unit_has_a_score_and_no_probability():
    network, images = Returns(lambda images: images.mean((2, 3))[:, :1]), torch.rand(2, 3, 4, 5)
    assert class_score(network, images).equal(images[:, 0].mean((1, 2)))
    for function in (class_probability, top_classes):
        with pytest.raises(ValueError, match="expected two classes or more for probabilities, got"):
            function(network, images)


DOES_NOT_DEPEND = {
    "detached": lambda images: images.detach().mean((2, 3)),
    "constant": lambda images: torch.arange(3.0).expand(len(images), -1),
    "constant that learns": lambda images: torch.ones(len(images), 3, requires_grad=True),
    "without gradient": torch.no_grad()(lambda images: images.mean((2, 3))),
}


@pytest.mark.parametrize("answer", DOES_NOT_DEPEND.values(), ids=DOES_NOT_DEPEND)
def test_what_does_not_depend_on_the_image_has_no_gradient_by_it(answer):
    images = torch.rand(2, 3, 4, 5, requires_grad=True)
    with pytest.raises(ValueError, match="expected a network with a gradient by the image, got no"):
        gradient_by(answer(images), images)


def test_a_gradient_that_is_no_number_is_told():
    images = torch.zeros(2, 3, 4, 5, requires_grad=True)
    with pytest.raises(ValueError, match="expected a finite gradient, got 120 values"):
        gradient_by(images.sqrt(), images)


@pytest.mark.parametrize(
    "target",
    [{"a": 1}, {1, 2}, object(), [None] * 4, [[1]] * 4, torch.ones(4, device="meta"), b"3", [], ""],
)
def test_a_target_of_another_kind_is_told(digits_network, gray, target):
    with pytest.raises(ValueError, match=r"expected (a class|one class|the name)"):
        class_score(digits_network, gray, target)
