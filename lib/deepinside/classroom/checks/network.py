"""Checks of the tasks on the class score (chapter *The network as a function of its input*)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import (
    Answer,
    Compared,
    Comparisons,
    Example,
    Hint,
    task,
    tensor_of,
)
from deepinside.classroom.small_networks import (
    MIRRORED_FIRST,
    OTHER_HALVES,
    drawn,
    drawn_image,
    five_crops,
    linear_network,
    relu_network,
)


def _input_example() -> Example:
    photo = torch.tensor([[[255, 0, 51], [0, 255, 102]]], dtype=torch.uint8)
    mean, std = torch.tensor([0.5, 0.5, 0.2]), torch.tensor([0.5, 0.25, 0.2])
    shown = (
        "A photo of one row with two pixels, (255, 0, 51) and (0, 255, 102), with mean "
        "(0.5, 0.5, 0.2) and std (0.5, 0.25, 0.2). Divided by 255 the pixels are (1, 0, 0.2) and "
        "(0, 1, 0.4). Red is (1 - 0.5) / 0.5 and (0 - 0.5) / 0.5, and so on for green and blue; "
        "each channel is then a row of its own."
    )
    right = torch.tensor([[[1.0, -1.0]], [[-2.0, 2.0]], [[0.0, 1.0]]])
    return Example((photo, mean, std), shown, right)


@task(
    "network-input",
    points=2,
    minutes=10,
    praise="Channels first, from bytes to intensities, normalized as in training.",
    example=_input_example,
)
def check_network_input(answer: Answer) -> Comparisons:
    """Check ``network_input(photo, mean, std)``.

    It should return a photo of bytes (H, W, 3) as a normalized tensor (3, H, W), where
    mean and std (3,) are those of intensities in [0, 1].
    """
    for size, means, deviations, seed, brightest in (
        ((4, 6), (0.48, 0.45, 0.40), (0.23, 0.22, 0.25), 1, 255),
        ((5, 2), (0.62, 0.31, 0.55), (0.17, 0.28, 0.21), 2, 255),
        ((3, 4), (0.39, 0.57, 0.44), (0.26, 0.19, 0.24), 3, 180),
    ):
        photo = (brightest * drawn_image(*size, 3, seed=seed)).to(torch.uint8)
        photo[0, 0, 0] = brightest  # 255 is what a division of whole numbers leaves
        mean, std = (torch.tensor(given).double() for given in (means, deviations))
        values = photo.double() / 255
        last = (values - mean) / std
        right = last.permute(2, 0, 1)
        wrapped = (photo - (255 * mean).to(torch.uint8)).double() / (255 * std)
        imagenet = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()
        own = [
            (values - values.mean(axes)) / values.std(axes, correction=correction)
            for axes in ((0, 1), (0, 1, 2))
            for correction in (0, 1)
        ]
        mistakes = {
            "Wrong normalization: mean and deviation are those of intensities in [0, 1], and the "
            "photo's bytes run from 0 to 255. Divide by 255 first.": (
                ((photo - mean) / std).permute(2, 0, 1)
            ),
            "The mean and the deviation are still to be used.": [
                values.permute(2, 0, 1),
                (2 * values - 1).permute(2, 0, 1),
            ],
            "Wrong normalization: the mean is subtracted, now divide by the deviation.": (
                (values - mean).permute(2, 0, 1)
            ),
            "Wrong normalization: the deviation is used, the mean is still to be subtracted "
            "first.": (values / std).permute(2, 0, 1),
            "Wrong normalization: first subtract the mean, then divide by the deviation. Without "
            "parentheses `a - b / c` divides first.": [
                (values / std - mean).permute(2, 0, 1),
                (values - mean / std).permute(2, 0, 1),
            ],
            "Wrong normalization: divide by the deviation, do not multiply by it.": [
                ((values - mean) * std).permute(2, 0, 1),
                (values * std + mean).permute(2, 0, 1),
            ],
            "Wrong normalization: divide by the deviation, not by its square.": (
                ((values - mean) / std.square()).permute(2, 0, 1)
            ),
            "These are ImageNet's constants, typed in: use the `mean` and `std` that are handed "
            "over.": ((values - imagenet[0]) / imagenet[1]).permute(2, 0, 1),
            "The mean was subtracted from bytes, which cannot be negative: below 0 they begin "
            "again at 255. Divide by 255 first.": wrapped.permute(2, 0, 1),
            "The values were cut off: what is darker than the mean is negative, and values beyond "
            "1 are right as well.": [right.clamp(0, 1), right.clamp(-1, 1), right.clamp(min=0)],
            "Wrong normalization: the mean is subtracted, not added.": (
                ((values + mean) / std).permute(2, 0, 1)
            ),
            "Wrong normalization: mean and deviation have changed places.": (
                ((values - std) / mean).permute(2, 0, 1)
            ),
            "Wrong normalization: this is the photo's own mean and deviation. The network expects "
            "those of its training, which were handed over.": [
                part.permute(2, 0, 1) for part in own
            ],
            "The bytes run from 0 to 255, and 255 stands for the intensity 1: divide by 255, not "
            "by 256.": ((photo.double() / 256 - mean) / std).permute(2, 0, 1),
            "The bytes were divided as whole numbers, so that all but 255 became 0: `/` keeps the "
            "fraction, `//` drops it.": ((photo.double() // 255 - mean) / std).permute(2, 0, 1),
            "The colors are in the order blue, green, red: keep that of the photo.": [
                right.flip(0),
                ((values.flip(2) - mean) / std).permute(2, 0, 1),
            ],
            "The channels are still last: the network takes (3, H, W).": last,
            "Rows and columns are swapped: the network takes (3, H, W).": last.permute(2, 1, 0),
            "The shape is right but the pixels are scrambled: `reshape` and `view` only rename "
            "places, `permute` moves the axes.": [
                last.reshape(right.shape),
                (values.reshape(right.shape) - mean[:, None, None]) / std[:, None, None],
                last.permute(1, 0, 2).reshape(right.shape),
            ],
        }
        if brightest < 255:
            mistakes[
                "The bytes were divided by the photo's own largest value: 255 stands for the "
                "intensity 1, also where no pixel is as bright."
            ] = ((photo / photo.max() - mean) / std).permute(2, 0, 1)
        value = answer(photo, mean, std)
        _check_float32(value, right)
        yield Compared("the network's input", value, right, mistakes)


def _check_float32(value: object, right: Tensor) -> None:
    """Raise a hint if only the type of a result is wrong: half numbers are coarse as well."""
    if not isinstance(value, Tensor) or value.shape != right.shape:
        return
    is_other = value.is_floating_point() and value.dtype != torch.float32
    if is_other and torch.allclose(value.detach().double(), right, rtol=0, atol=0.02):
        raise Hint(
            f"The values are right, but their type is `{value.dtype}`: return float32, which "
            "`.float()` makes."
        )


def _three_scores() -> tuple[nn.Module, Tensor]:
    """Return a network of the scores 2 R, -3 G and R + B, and an image of one pixel."""
    weight = torch.tensor([[2.0, 0, 0], [0, -3, 0], [1, 0, 1]]).reshape(3, 3, 1, 1)
    return linear_network(weight, torch.zeros(3)), torch.tensor([1.0, 1.0, 0.5]).reshape(3, 1, 1)


def _score_example() -> Example:
    network, image = _three_scores()
    shown = (
        "An image of one pixel, red 1, green 1, blue 0.5, and a network of three scores: 2 R, "
        "-3 G and R + B. They are 2, -3 and 1.5. Asked for is the class 1, the second of them."
    )
    return Example((network, image, 1), shown, -3.0)


@task(
    "network-score",
    points=1,
    minutes=5,
    praise="One number, as the network returns it.",
    example=_score_example,
)
def check_class_score(answer: Answer) -> Comparisons:
    """Check ``class_score(network, image, class_index)``.

    It should return S_c(I), a number, of one image (3, H, W).
    """
    # of both signs; cut to whole numbers they are no index of a class that plays a part. The
    # last class comes late, as there the score of the next one fails
    cases = (
        ((4, 6), 1, 3, 5),
        ((5, 3), 3, 7, 5),
        ((4, 6), 0, 7, 5),
        ((4, 6), 4, 4, 5),
        ((3, 4), 5, 9, 7),
    )
    for size, c, seed, classes in cases:
        network = relu_network(size, classes=classes, seed=seed).requires_grad_(False)
        image = drawn_image(3, *size, seed=seed)
        scores = network(image[None])[0].detach()
        score = scores[c]
        mistakes = {
            "This is the soft-max probability: return the score, as the network returns "
            "it.": scores.softmax(0)[c],
            "This is the log-probability: return the score, as the network returns "
            "it.": scores.log_softmax(0)[c],
            "This is the exponential of the score: return the score, as the network returns "
            "it.": score.exp(),
            "This is the highest score: return that of the class that was asked for.": scores.max(),
            "This is the index of a class: return its score.": [scores.argmax(), torch.tensor(c)],
            "The score was cut or rounded to a whole number: return it as it is.": [
                score.trunc(),
                score.round(),
                score.floor(),
            ],
            "The sign is lost: a score can be negative.": [score.abs(), score.clamp(min=0)],
            "The sign is wrong: return the score as the network returns it.": -score,
            "This is the score of a neighboring class: classes are counted from 0.": [
                scores[c - 1],
                scores[(c + 1) % classes],
            ],
            "This is always the score of the class 0: take that of `class_index`.": scores[0],
            "All scores are added or averaged: take one of them.": [scores.sum(), scores.mean()],
        }
        yield Compared("the score", answer(network, image, c), score, mistakes)


_USUAL, _LARGE = "scores of usual size", "scores of some thousands"


def _probabilities_example() -> Example:
    scores = torch.tensor([[0.0, math.log(3)], [1000.0, 1000.0]])
    shown = (
        "Two images and two classes. The scores of the first are 0 and 1.0986: their exponentials "
        "are 1 and 3, the sum is 4. Those of the second are 1000 and 1000: with the largest "
        "subtracted they are 0 and 0, the exponentials are 1 and 1, the sum is 2."
    )
    return Example((scores,), shown, torch.tensor([[0.25, 0.75], [0.5, 0.5]]))


@task(
    "network-probabilities",
    points=2,
    minutes=10,
    praise="They sum to 1 for every image, however large the scores are.",
    parts={_USUAL: 1, _LARGE: 1},
    example=_probabilities_example,
)
def check_class_probabilities(answer: Answer) -> Comparisons:
    """Check ``class_probabilities(scores)``.

    It should return the soft-max of scores (N, classes) over the classes, also of large ones.
    """
    large = torch.tensor(
        [[3000.0, 3001.0, -1000.0], [-3000.0, -3001.0, -3000.0], [1000.0, 999.0, 997.0]]
    ).double()
    # the square first: there a sum without its axis can be computed, elsewhere it fails
    for scores in (2 * drawn(4, 4, seed=2), 2 * drawn(3, 4, seed=1), drawn(1, 5, seed=3), large):
        is_large = scores is large
        mistakes = _of_large(scores) if is_large else _of_usual(scores)
        part = _LARGE if is_large else _USUAL
        yield Compared("the probabilities", answer(scores), scores.softmax(1), mistakes, part=part)


def _of_usual(scores: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """Return what comes of wrong ways from scores to probabilities."""
    powers, right, own = scores.exp(), scores.softmax(1), scores.amax(1, keepdim=True)
    shifted = (scores - own).exp()
    first = torch.zeros_like(right)
    first[0] = right[0]
    mistakes: dict[str, Tensor | list[Tensor]] = {
        "The probabilities of one class sum to 1 over the images: sum over the "
        "classes.": scores.softmax(0),
        "The sum runs over the whole batch: every image has a sum of its own.": [
            powers / powers.sum(),
            shifted / shifted.sum(),
            scores.flatten().softmax(0).reshape(scores.shape),
        ],
        "The scores themselves were divided by their sum: take their exponentials first.": (
            scores / scores.sum(1, keepdim=True)
        ),
        "These are the exponentials: divide by their sum.": [powers, shifted],
        "The largest score was subtracted above the fraction line alone: subtract it in the sum "
        "as well.": shifted / powers.sum(1, keepdim=True),
        "This is the sigmoid of each score: in soft-max the exponentials of all classes are "
        "added up and divide.": scores.sigmoid(),
        "Only the first image has its probabilities: does a `return` stand inside the loop?": first,
        "These are log-probabilities: the task asks for the probabilities.": scores.log_softmax(1),
        "Soft-max seems to be applied twice.": right.softmax(1),
        "The sign of the scores is wrong: the highest score has the highest probability.": (
            -scores
        ).softmax(1),
        "The powers are those of 2: soft-max takes those of e, `.exp()`.": [
            (scores * math.log(2)).softmax(1),
        ],
        "The scores were divided by a scale of their own: that changes the probabilities. "
        "Only adding the same number to all scores of an image does not.": [
            (scores / own).softmax(1),
            (scores / scores.norm(dim=1, keepdim=True)).softmax(1),
            ((scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True)).softmax(1),
        ],
        "From each score its *class's* largest was subtracted: subtract each *image's* "
        "largest, the same number from all of its scores.": ((scores - scores.amax(0)).softmax(1)),
    }
    if len(scores) == scores.shape[1]:
        mistakes[
            "The sums lost their axis, and each column was divided by another image's: "
            "`keepdim=True` keeps it."
        ] = [
            powers / powers.sum(1),
            shifted / shifted.sum(1),
            (scores - scores.amax(1)).softmax(1),
            (scores - scores.amax(1)).exp() / (scores - scores.amax(1)).exp().sum(1),
        ]
    return mistakes


def _of_large(scores: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """Return what comes of scores of some thousands, where others come out right."""

    def less(subtracted: Tensor | float) -> Tensor:
        powers = (scores - subtracted).exp()
        return powers / powers.sum(1, keepdim=True)

    clipped = [scores.clamp(low, 80).softmax(1) for low in (-80, None)]
    clipped.append(scores.clamp(max=80).exp() / scores.clamp(max=80).exp().sum(1, keepdim=True))
    return {
        "With scores of some thousands the exponentials are infinite or 0. Soft-max knows only "
        "differences: subtract each image's largest score first.": [
            less(0),
            less(0).nan_to_num(),
            less(0).nan_to_num(1.0),
        ],
        "The largest score of the whole batch was subtracted, so that the exponentials of the "
        "other images vanish: subtract each image's own largest.": [
            less(scores.max()),
            less(scores.max()).nan_to_num(),
        ],
        "The largest *magnitude* was subtracted: where all scores are negative, this is not the "
        "largest score.": [
            less(scores.abs().amax(1, keepdim=True)),
            less(scores.abs().amax(1, keepdim=True)).nan_to_num(),
        ],
        "Not the largest score of each image was subtracted, so that the exponential of the "
        "largest is infinite: subtract the largest.": [
            less(scores.mean(1, keepdim=True)),
            less(scores.amin(1, keepdim=True)),
            less(scores.mean()),
            less(scores.min()),
        ],
        "Large scores were clipped, so that their differences are lost: subtract each image's "
        "largest score instead.": clipped,
    }


def _top_example() -> Example:
    network, image = _three_scores()
    shown = (
        "Three classes, ant, bee and cat, with the scores 2, -3 and 1.5; `count` is 2. The "
        "highest score is ant's, the second highest cat's."
    )
    return Example((network, image, ("ant", "bee", "cat"), 2), shown, ["ant", "cat"])


@task(
    "network-top-classes",
    points=2,
    minutes=10,
    praise="The names of the highest scores, best first.",
    example=_top_example,
)
def check_top_classes(answer: Answer) -> Comparisons:
    """Check ``top_classes(network, image, class_names, count)``.

    It should return the names of the classes of the highest scores, best first.
    """
    for count, seed, names in (
        (3, 1, ("ant", "bee", "cat", "dog", "elk", "fox")),
        (1, 2, ("gnu", "yak", "emu", "owl", "pig", "rat")),
        (4, 3, ("fox", "elk", "dog", "cat", "bee", "ant", "jay")),
        (5, 3, ("hen", "cow", "ram", "doe", "ewe", "pup")),  # the fifth has a negative score
    ):
        network = relu_network((4, 6), classes=len(names), seed=seed).requires_grad_(False)
        image = drawn_image(3, 4, 6, seed=seed)
        scores = network(image[None])[0].detach()
        got = answer(network, image, names, count)
        _check_names(_listed(got), names, scores, count)
    return ()


def _listed(got: object) -> list:
    """Return the names as a list."""
    if isinstance(got, str):
        raise Hint(f"This is one text, `{got}`: return a list of names, also of a single one.")
    if isinstance(got, set | frozenset | dict):
        raise Hint(f"A {type(got).__name__} keeps no ranking: return a list, the best first.")
    names = got.flatten().tolist() if isinstance(got, Tensor) else got
    if not isinstance(names, list | tuple):
        how = ": `list(...)` makes one of it" if hasattr(got, "__len__") else ""
        raise Hint(f"Expected a list of names, got {type(got).__name__}{how}.")
    names = list(names)
    if any(isinstance(name, list | tuple) for name in names):
        raise Hint("Return the names alone, one after another in a list.")
    return names


def _check_names(got: list, names: tuple[str, ...], scores: Tensor, count: int) -> None:
    """Raise a hint unless these are the first names of a ranking."""
    order = scores.argsort(descending=True).tolist()
    ranked = [names[i] for i in order]
    right = ranked[:count]
    if got and not all(isinstance(name, str) for name in got):
        numbers = tensor_of([float(number) for number in got], "the names")
        if torch.isin(numbers, torch.arange(len(ranked)).double()).all():
            raise Hint("These are the indices of the classes: return their names.")
        raise Hint("These are scores: return the names of the classes.")
    if len(got) != count:
        raise Hint(f"Return as many names as `count` says. Expected {count}, got {len(got)}.")
    large = [names[i] for i in scores.abs().argsort(descending=True).tolist()]
    hints = {
        "These are the classes of the lowest scores.": (ranked[::-1][:count], ranked[-count:]),
        "The right classes, the worst first: begin with the best.": (right[::-1],),
        "These are the classes of the largest magnitudes: a strongly negative score is a low "
        "one.": (large[:count],),
        "The best class is left out: places in a list are counted from 0.": (
            ranked[1 : count + 1],
        ),
        "These are the first names of the list, whatever their scores.": (list(names[:count]),),
    }
    for hint, mistakes in hints.items():
        if got != right and got in mistakes:
            raise Hint(hint)
    if sorted(got) == sorted(right) and got != right:
        raise Hint("The right classes in another order: begin with the best.")
    if got != right:
        raise Hint(f"Expected {', '.join(right)}; got {', '.join(got)}.")


def _derivative_example() -> Example:
    def cube(image: Tensor) -> Tensor:
        return image[0, 0, 0] ** 3

    image, direction = torch.zeros(3, 1, 1), torch.zeros(3, 1, 1)
    image[0], direction[0] = 1, 2
    shown = (
        "The function is R³, the image is one pixel with R = 1, the direction is 2 in red, the "
        "step is 1. Ahead R is 1 + 2 = 3, behind it is 1 - 2 = -1. The values are 27 and -1; "
        "their difference, 28, is divided by 2."
    )
    return Example((cube, image, direction, 1.0), shown, 14.0)


@task(
    "network-derivative",
    points=1,
    minutes=10,
    praise="Two values on both sides of the image give the slope between them.",
    example=_derivative_example,
)
def check_directional_derivative(answer: Answer) -> Comparisons:
    """Check ``directional_derivative(function, image, direction, step)``.

    It should return the central difference (f(I + hd) - f(I - hd)) / 2h, a number.
    """
    # the first two differ in the step alone; the slopes are of both signs
    cases = ((0.125, 3, 1.0), (0.375, 3, 1.0), (0.25, 2, -1.0))
    first: dict[int, object] = {}
    for h, seed, sign in cases:
        image, direction = drawn_image(3, 2, 4, seed=seed), drawn(3, 2, 4, seed=seed + 5)
        weight = sign * drawn(3, 2, 4, seed=seed + 10)

        def cubic(image: Tensor, weight: Tensor = weight) -> Tensor:
            if image.shape != weight.shape:
                raise ValueError(
                    f"`function` takes one image {tuple(weight.shape)}, got {tuple(image.shape)}"
                )
            along = (weight.to(image.dtype) * image).sum()
            return along + along.square() + along**3

        def at(step: Tensor | float, image: Tensor = image, function: Callable = cubic) -> Tensor:
            return function(image + step)

        ahead, here, behind = at(h * direction), at(0.0), at(-h * direction)
        unit = direction / direction.norm()
        right = (ahead - behind) / (2 * h)
        variable = image.clone().requires_grad_()
        exact = torch.autograd.grad(cubic(variable), variable)[0]
        value = answer(cubic, image, direction, h)
        first.setdefault(seed, value)
        mistakes = {
            "This is the difference to the image itself, on one side: take a step on both sides.": [
                (ahead - here) / h,
                (here - behind) / h,
                (ahead - here) / 2 / h,
                ahead - here,
            ],
            "This is twice as large as it should be: the two images are 2h apart.": 2 * right,
            "This is half of what it should be: divide by 2h once.": right / 2,
            "The sign is lost: where the function falls, the slope is negative.": right.abs(),
            "The sign is wrong: the value behind is subtracted from the value ahead.": [
                -right,
                -2 * right,
            ],
            "The difference of the two values is still to be divided by 2h.": [
                ahead - behind,
                (ahead - behind) / 2,
            ],
            "The two values are added: take their difference.": (ahead + behind) / (2 * h),
            "The value at the image itself plays no part, and h is not squared: this is a second "
            "derivative.": (ahead - 2 * here + behind) / h**2,
            "This is 0: were both values taken at the same image? One lies ahead, one "
            "behind.": torch.tensor(0.0),
            "Parentheses are missing: `a / 2 * h` multiplies by h, and `a - b / c` divides "
            "before it subtracts.": [
                (ahead - behind) / 2 * h,
                (ahead - behind) * h,
                ahead - behind / (2 * h),
            ],
            "The image was moved by the whole direction: the step h is missing there.": [
                (at(direction) - at(-direction)) / (2 * h),
                (at(direction) - at(-direction)) / 2,
            ],
            "Each image was moved by half the step: the formula takes a whole step to both "
            "sides.": [
                (at(h / 2 * direction) - at(-h / 2 * direction)) / (2 * h),
                (at(h / 2 * direction) - at(-h / 2 * direction)) / h,
            ],
            "The direction is missing: every pixel was moved by h.": (at(h) - at(-h)) / (2 * h),
            "The direction was normalized to length 1: use it as it is.": (
                (at(h * unit) - at(-h * unit)) / (2 * h)
            ),
            "This is the exact derivative: the task is to measure it with two values.": (
                (exact * direction).sum()
            ),
        }
        mistakes[
            "It returns the same for another `step`, where the central difference is another one."
        ] = first[seed]
        yield Compared("the derivative", value, right, mistakes)


def _crops_example() -> Example:
    photo = torch.zeros(3, 2, 3)
    photo[0] = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    weight = torch.zeros(1, 3, 1, 2)
    weight[0, 0, 0, 0] = 1
    shown = (
        "A photo whose red is [1 2 3] above [4 5 6], crops of size (1, 2), and a network whose "
        "score is the red of a crop's left pixel. The corners give 1, 2, 4 and 5. The middle "
        "starts at row 1 / 2 and column 1 / 2, both rounded down to 0, and gives 1. In the mirror "
        "images the right pixels come to the left: 2, 3, 5, 6 and 2. The ten add up to 31."
    )
    return Example((linear_network(weight, torch.zeros(1)), photo, (1, 2)), shown, _vector(3.1))


def _vector(value: float) -> Tensor:
    return torch.tensor([value])


@task(
    "network-ten-crops",
    points=3,
    minutes=15,
    optional=True,
    praise="The mean of ten crops' scores.",
    example=_crops_example,
)
def check_ten_crop_scores(answer: Answer) -> Comparisons:
    """Check ``ten_crop_scores(network, photo, size)``.

    It should return the mean scores (classes,) of the four corners and the middle of a
    photo (3, H, W) and of their mirror images.
    """
    # what is spare are odd numbers, of which each way of rounding makes something else
    for photo_size, size, seed in (((10, 13), (5, 10), 1), ((9, 8), (6, 3), 2)):
        network = relu_network(size, classes=3 + seed, seed=seed).requires_grad_(False)
        photo = drawn_image(3, *photo_size, seed=seed)
        value = answer(network, photo, size)
        five = five_crops(photo, size)
        straight, mirrored = network(five).detach(), network(five.flip(-1)).detach()
        ten = torch.cat([straight, mirrored])
        short = five_crops(photo[:, :-1, :-1], size)
        swapped = five_crops(photo, size[::-1])
        early = (short, torch.cat([short[:4], five[4:]]))
        turned = five_crops(photo.flip(-1), size)

        def mean(*crops: Tensor, network: nn.Module = network) -> Tensor:
            return network(torch.cat(crops)).detach().mean(0)

        mistakes = {
            "The mirrored crops are missing, or not mirrored: left and right of each of the five "
            "change places, `crop.flip(-1)`.": straight.mean(0),
            "Mirrored crops swap left and right; here top and bottom were swapped.": [
                mean(five, five.flip(-2)),
                mean(five, five.flip(-1, -2)),
            ],
            "Mirrored crops swap left and right; here the colors were swapped.": mean(
                five, five.flip(1)
            ),
            "The crop in the middle is missing: there are ten crops, not eight.": mean(
                five[:4], five[:4].flip(-1)
            ),
            "The mirror image of the middle is missing: there are ten crops, not nine.": mean(
                five, five[:4].flip(-1)
            ),
            "This is the crop in the middle alone: average over all ten.": straight[4],
            "The scores are added up: divide by the number of crops.": [
                ten.sum(0),
                ten.sum(0) / 5,
            ],
            "This is each class's highest score among the crops: average them.": ten.amax(0),
            "The probabilities are averaged: average the scores.": [
                ten.softmax(1).mean(0),
                ten.mean(0).softmax(0),
            ],
            MIRRORED_FIRST: mean(five, turned),
            "The middle begins at another row or column: (H - h) / 2 and (W - w) / 2 are rounded "
            "down, 3 / 2 to 1, so `(H - h) // 2`.": [
                mean(crops, other)
                for middle in OTHER_HALVES
                for crops in [five_crops(photo, size, middle)]
                for other in (crops.flip(-1), five_crops(photo.flip(-1), size, middle))
            ],
            "The crops at the far sides end one row and column too early: they begin at H - h and "
            "W - w.": [mean(crops, crops.flip(-1)) for crops in early],
            "Rows and columns are swapped: `size` is (height, width).": mean(
                swapped, swapped.flip(-1)
            ),
        }
        yield Compared("the scores", value, ten.mean(0), mistakes)
