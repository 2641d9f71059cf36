"""Checks of the tasks on the class score (chapter *The network as a function of its input*)."""

import torch
from torch import Tensor

from deepinside.classroom.answers import Answer, Compared, Comparisons, Hint, task, tensor_of
from deepinside.classroom.small_networks import crop_places, drawn, drawn_image, relu_network


@task(
    "network-input",
    points=2,
    praise="Channels first, from bytes to intensities, normalized as in training.",
)
def check_network_input(answer: Answer) -> Comparisons:
    """Check ``network_input(photo, mean, std)``.

    It should return a photo of bytes (H, W, 3) as a normalized tensor (3, H, W), where
    mean and std (3,) are those of intensities in [0, 1].
    """
    mean, std = torch.tensor([0.48, 0.45, 0.40]), torch.tensor([0.23, 0.22, 0.25])
    for size, seed in (((4, 6), 1), ((5, 2), 2)):
        photo = (255 * drawn_image(*size, 3, seed=seed)).to(torch.uint8)
        values = photo / 255
        last = (values - mean) / std
        right = last.permute(2, 0, 1)
        of_channels = (values - values.mean((0, 1))) / values.std((0, 1))
        of_all = (values - values.mean()) / values.std()
        mistakes = {
            "Wrong normalization: mean and deviation are those of intensities in [0, 1], and the "
            "photo's bytes run from 0 to 255. Divide by 255 first.": (
                ((photo - mean) / std).permute(2, 0, 1)
            ),
            "The mean and the deviation are still to be used.": values.permute(2, 0, 1),
            "Wrong normalization: the mean is subtracted, now divide by the deviation.": (
                (values - mean).permute(2, 0, 1)
            ),
            "Wrong normalization: first subtract the mean, then divide by the deviation.": (
                (values / std - mean).permute(2, 0, 1)
            ),
            "Wrong normalization: mean and deviation have changed places.": (
                ((values - std) / mean).permute(2, 0, 1)
            ),
            "Wrong normalization: this is the photo's own mean and deviation. The network expects "
            "those of its training, which were handed over.": [
                of_channels.permute(2, 0, 1),
                of_all.permute(2, 0, 1),
            ],
            "The channels are still last: the network takes (3, H, W).": last,
            "Rows and columns are swapped: the network takes (3, H, W).": last.permute(2, 1, 0),
            "The shape is right but the pixels are scrambled: `reshape` only renames places, "
            "`permute` moves the axes.": [
                last.reshape(right.shape),
                (values.reshape(right.shape) - mean[:, None, None]) / std[:, None, None],
            ],
        }
        yield Compared("the network's input", answer(photo, mean, std), right, mistakes)


@task("network-score", points=1, praise="One number, as the network returns it.")
def check_class_score(answer: Answer) -> Comparisons:
    """Check ``class_score(network, image, class_index)``.

    It should return S_c(I), a number, of one image (3, H, W).
    """
    for size, rank, seed in (((4, 6), 2, 1), ((5, 3), 0, 2), ((5, 3), 3, 2)):
        network, image = relu_network(size, classes=5, seed=seed), drawn_image(3, *size, seed=seed)
        scores = network(image[None])[0].detach()
        c = int(scores.argsort()[rank])  # of 5: never the class of the highest score
        mistakes = {
            "This is the soft-max probability: return the score, as the network returns "
            "it.": scores.softmax(0)[c],
            "This is the log-probability: return the score, as the network returns "
            "it.": scores.log_softmax(0)[c],
            "This is the highest score: return that of the class that was asked for.": scores.max(),
            "This is the index of a class: return its score.": [scores.argmax(), c],
            "This is the score of a neighboring class: classes are counted from 0.": [
                scores[c - 1],
                scores[(c + 1) % 5],
            ],
        }
        yield Compared("the score", answer(network, image, c), scores[c], mistakes)


@task(
    "network-probabilities",
    points=2,
    praise="They sum to 1 for every image, however large the scores are.",
)
def check_class_probabilities(answer: Answer) -> Comparisons:
    """Check ``class_probabilities(scores)``.

    It should return the soft-max of scores (N, classes) over the classes, also of large ones.
    """
    large = torch.tensor([[1000.0, 1001.0, 990.0], [-1000.0, -1001.0, -1000.0]]).double()
    for scores in (2 * drawn(3, 4, seed=1), 2 * drawn(4, 4, seed=2), large):
        powers, right = scores.exp(), scores.softmax(1)
        mistakes = {
            "The probabilities of one class sum to 1 over the images: sum over the "
            "classes.": scores.softmax(0),
            "The sum runs over the whole batch: every image has a sum of its own.": powers
            / powers.sum(),
            "The scores themselves were divided by their sum: take their exponentials first.": (
                scores / scores.sum(1, keepdim=True)
            ),
            "These are the exponentials: divide by their sum.": [
                powers,
                (scores - scores.amax(1, keepdim=True)).exp(),
            ],
            "These are log-probabilities: the task asks for the probabilities.": scores.log_softmax(
                1
            ),
            "Soft-max seems to be applied twice.": right.softmax(1),
            "With scores around 1000 the exponentials are infinite. Soft-max knows only "
            "differences: subtract each image's largest score first.": (
                powers / powers.sum(1, keepdim=True)
            ),
        }
        yield Compared("the probabilities", answer(scores), right, mistakes)


@task("network-top-classes", points=2, praise="The names of the highest scores, best first.")
def check_top_classes(answer: Answer) -> Comparisons:
    """Check ``top_classes(network, image, class_names, count)``.

    It should return the names of the classes of the highest scores, best first.
    """
    names = ("ant", "bee", "cat", "dog", "elk", "fox")
    for count, seed in ((3, 1), (1, 2), (4, 3)):
        network = relu_network((4, 6), classes=6, seed=seed)
        image = drawn_image(3, 4, 6, seed=seed)
        order = network(image[None])[0].argsort(descending=True).tolist()
        got = list(answer(network, image, names, count))  # type: ignore[call-overload]
        _check_names(got, [names[i] for i in order], count)
    return ()


def _check_names(got: list, ranked: list[str], count: int) -> None:
    """Raise a hint unless these are the first names of a ranking."""
    right = ranked[:count]
    if got and not all(isinstance(name, str) for name in got):
        numbers = tensor_of([float(number) for number in got], "the names")
        if torch.isin(numbers, torch.arange(len(ranked)).double()).all():
            raise Hint("These are the indices of the classes: return their names.")
        raise Hint("These are scores: return the names of the classes.")
    if len(got) != count:
        raise Hint(f"Return as many names as `count` says. Expected {count}, got {len(got)}.")
    hints = {
        "These are the classes of the lowest scores.": (ranked[::-1][:count], ranked[-count:]),
        "The right classes, the worst first: begin with the best.": (right[::-1],),
    }
    for hint, mistakes in hints.items():
        if got != right and got in mistakes:
            raise Hint(hint)
    if sorted(got) == sorted(right) and got != right:
        raise Hint("The right classes in another order: begin with the best.")
    if got != right:
        raise Hint(f"Expected {', '.join(right)}; got {', '.join(got)}.")


@task(
    "network-derivative",
    points=1,
    praise="Two values on both sides of the image give the slope between them.",
)
def check_directional_derivative(answer: Answer) -> Comparisons:
    """Check ``directional_derivative(function, image, direction, step)``.

    It should return the central difference (f(I + hd) - f(I - hd)) / 2h, a number.
    """
    for h, seed in ((0.1, 3), (0.2, 2)):
        image, direction = drawn_image(3, 2, 4, seed=seed), drawn(3, 2, 4, seed=seed + 5)
        weight = drawn(3, 2, 4, seed=seed + 10)

        def cubic(image: Tensor, weight: Tensor = weight) -> Tensor:
            along = (weight * image).sum()
            return along + along.square() + along**3

        ahead, here = cubic(image + h * direction), cubic(image)
        behind, unit = cubic(image - h * direction), direction / direction.norm()
        right = (ahead - behind) / (2 * h)
        variable = image.clone().requires_grad_()
        exact = torch.autograd.grad(cubic(variable), variable)[0]
        mistakes = {
            "This is the difference to the image itself, on one side: take a step on both sides.": [
                (ahead - here) / h,
                (here - behind) / h,
                (ahead - here) / 2 / h,
            ],
            "This is twice as large as it should be: the two images are 2h apart.": 2 * right,
            "The sign is wrong: the value behind is subtracted from the value ahead.": [
                -right,
                -2 * right,
            ],
            "The difference of the two values is still to be divided by 2h.": [
                ahead - behind,
                (ahead - behind) / 2,
            ],
            "The direction was normalized to length 1: use it as it is.": (
                (cubic(image + h * unit) - cubic(image - h * unit)) / (2 * h)
            ),
            "This is the exact derivative: the task is to measure it with two values.": (
                (exact * direction).sum()
            ),
        }
        yield Compared("the derivative", answer(cubic, image, direction, h), right, mistakes)


@task("network-ten-crops", points=3, praise="The mean of ten crops' scores.")
def check_ten_crop_scores(answer: Answer) -> Comparisons:
    """Check ``ten_crop_scores(network, photo, size)``.

    It should return the mean scores (classes,) of the four corners and the middle of a
    photo (3, H, W) and of their mirror images.
    """
    for photo_size, size, seed in (((10, 13), (6, 7), 1), ((9, 6), (3, 4), 2)):
        network = relu_network(size, classes=4, seed=seed)
        photo = drawn_image(3, *photo_size, seed=seed)
        five, swapped = _five_crops(photo, size), _five_crops(photo, size[::-1])
        straight, mirrored, upside_down, *of_swapped = (
            network(crops).detach()
            for crops in (five, five.flip(-1), five.flip(-2), swapped, swapped.flip(-1))
        )
        ten = torch.cat([straight, mirrored])
        mistakes = {
            "The mirrored crops are missing: there are ten crops, not five.": straight.mean(0),
            "Mirrored crops swap left and right; here top and bottom were swapped.": torch.cat(
                [straight, upside_down]
            ).mean(0),
            "The crop in the middle is missing: there are ten crops, not eight.": (
                torch.cat([straight[:4], mirrored[:4]]).mean(0)
            ),
            "This is the crop in the middle alone: average over all ten.": straight[4],
            "The scores are added up: divide by the number of crops.": ten.sum(0),
            "The probabilities are averaged: average the scores.": [
                ten.softmax(1).mean(0),
                ten.mean(0).softmax(0),
            ],
            "Rows and columns are swapped: `size` is (height, width).": (
                torch.cat(of_swapped).mean(0)
            ),
        }
        yield Compared("the scores", answer(network, photo, size), ten.mean(0), mistakes)


def _five_crops(photo: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.stack([photo[:, rows, columns] for rows, columns in crop_places(photo, size)])
