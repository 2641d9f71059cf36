"""Checks of the tasks on the class score (chapter *The network as a function of its input*)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deepinside.classroom.answers import Answer, Hint, Result, compare, judged, tensor_of
from deepinside.classroom.small_networks import drawn, drawn_image, relu_network

HINTS: dict[str, dict[str, str]] = {
    "network_input": {
        "range": (
            "Wrong normalization: mean and deviation are those of intensities in [0, 1], and the "
            "photo's bytes run from 0 to 255. Divide by 255 first."
        ),
        "not_normalized": "The mean and the deviation are still to be used.",
        "mean_only": "Wrong normalization: the mean is subtracted, now divide by the deviation.",
        "order": "Wrong normalization: first subtract the mean, then divide by the deviation.",
        "exchanged": "Wrong normalization: mean and deviation have changed places.",
        "own_statistics": (
            "Wrong normalization: this is the photo's own mean and deviation. The network expects "
            "those of its training, which were handed over."
        ),
        "channels_last": "The channels are still last: the network takes (3, H, W).",
        "swapped": "Rows and columns are swapped: the network takes (3, H, W).",
        "reshaped": (
            "The shape is right but the pixels are scrambled: `reshape` only renames places, "
            "`permute` moves the axes."
        ),
    },
    "class_score": {
        "softmax": (
            "This is the soft-max probability: return the score, as the network returns it."
        ),
        "log_softmax": "This is the log-probability: return the score, as the network returns it.",
        "top": "This is the highest score: return that of the class that was asked for.",
        "index": "This is the index of a class: return its score.",
        "from_one": "This is the score of a neighboring class: classes are counted from 0.",
    },
    "class_probabilities": {
        "axis": "The probabilities of one class sum to 1 over the images: sum over the classes.",
        "total": "The sum runs over the whole batch: every image has a sum of its own.",
        "no_exponential": "The scores themselves are shared out: take their exponentials first.",
        "not_divided": "These are the exponentials: divide by their sum.",
        "logarithm": "These are log-probabilities: the task asks for the probabilities.",
        "two": "Soft-max seems to be applied twice.",
        "overflow": (
            "With scores around 1000 the exponentials are infinite. Soft-max knows only "
            "differences: subtract each image's largest score first."
        ),
    },
    "top_classes": {
        "lowest": "These are the classes of the lowest scores.",
        "reversed": "The right classes, the worst first: begin with the best.",
        "indices": "These are the indices of the classes: return their names.",
        "unsorted": "The right classes in another order: begin with the best.",
        "count": "Return as many names as `count` says.",
        "scores": "These are scores: return the names of the classes.",
    },
    "directional_derivative": {
        "one_sided": (
            "This is the difference to the image itself, on one side: take a step on both sides."
        ),
        "factor": "This is twice as large as it should be: the two images are 2h apart.",
        "sign": "The sign is wrong: the value behind is subtracted from the value ahead.",
        "not_divided": "The difference of the two values is still to be divided by 2h.",
        "unit": "The direction was brought to length 1: use it as it is.",
        "exact": "This is the exact derivative: the task is to measure it with two values.",
    },
    "ten_crop_scores": {
        "straight": "The mirrored crops are missing: there are ten crops, not five.",
        "upside_down": "Mirrored crops swap left and right; here top and bottom were swapped.",
        "corners": "The crop in the middle is missing: there are ten crops, not eight.",
        "middle": "This is the crop in the middle alone: average over all ten.",
        "sum": "The scores are added up: divide by the number of crops.",
        "softmax": "The probabilities are averaged: average the scores.",
        "swapped": "Rows and columns are swapped: `size` is (height, width).",
    },
}


def check_network_input(network_input: object) -> Result:
    """Return what is said of ``network_input(photo, mean, std)``.

    It should return a photo of bytes (H, W, 3) as a normalized tensor (3, H, W), where
    mean and std (3,) are those of intensities in [0, 1].
    """
    return judged("network_input", network_input, _judge_network_input)


def check_class_score(class_score: object) -> Result:
    """Return what is said of ``class_score(network, image, class_index)``.

    It should return S_c(I), a number, of one image (3, H, W).
    """
    return judged("class_score", class_score, _judge_class_score)


def check_class_probabilities(class_probabilities: object) -> Result:
    """Return what is said of ``class_probabilities(scores)``.

    It should return the soft-max of scores (N, classes) over the classes, also of large ones.
    """
    return judged("class_probabilities", class_probabilities, _judge_class_probabilities)


def check_top_classes(top_classes: object) -> Result:
    """Return what is said of ``top_classes(network, image, class_names, count)``.

    It should return the names of the classes of the highest scores, best first.
    """
    return judged("top_classes", top_classes, _judge_top_classes)


def check_directional_derivative(directional_derivative: object) -> Result:
    """Return what is said of ``directional_derivative(function, image, direction, step)``.

    It should return the central difference (f(I + hd) - f(I - hd)) / 2h, a number.
    """
    return judged("directional_derivative", directional_derivative, _judge_derivative)


def check_ten_crop_scores(ten_crop_scores: object) -> Result:
    """Return what is said of ``ten_crop_scores(network, photo, size)``.

    It should return the mean scores (classes,) of the four corners and the middle of a
    photo (3, H, W) and of their mirror images.
    """
    return judged("ten_crop_scores", ten_crop_scores, _judge_ten_crop_scores)


def _judge_network_input(answer: Answer) -> str:
    mean, std = torch.tensor([0.48, 0.45, 0.40]), torch.tensor([0.23, 0.22, 0.25])
    for size, seed in (((4, 6), 1), ((5, 2), 2)):
        photo = (255 * drawn_image(*size, 3, seed=seed)).to(torch.uint8)
        values = photo / 255
        last = (values - mean) / std
        right = last.permute(2, 0, 1)
        own_mean, own_std = values.mean((0, 1)), values.std((0, 1))
        of_all = (values - values.mean()) / values.std()
        column_mean, column_std = mean[:, None, None], std[:, None, None]
        mistakes = {
            "range": _channels_first(photo - mean) / column_std,
            "not_normalized": _channels_first(values),
            "mean_only": _channels_first(values - mean),
            "order": _channels_first(values / std - mean),
            "exchanged": _channels_first((values - std) / mean),
            "own_statistics": [
                _channels_first(one) for one in ((values - own_mean) / own_std, of_all)
            ],
            "channels_last": last,
            "swapped": last.permute(2, 1, 0),
            "reshaped": [
                last.reshape(right.shape),
                (values.reshape(right.shape) - column_mean) / column_std,
            ],
        }
        _compare("network_input", answer(photo, mean, std), right, mistakes)
    return "Channels first, from bytes to intensities, normalized as in training."


def _judge_class_score(answer: Answer) -> str:
    for size, rank, seed in (((4, 6), 2, 1), ((5, 3), 0, 2), ((5, 3), 3, 2)):
        network, image = relu_network(size, classes=5, seed=seed), drawn_image(3, *size, seed=seed)
        with torch.no_grad():
            scores = network(image[None])[0]
        c = scores.argsort()[rank].item()  # of 5: never the class of the highest score
        mistakes = {
            "softmax": scores.softmax(0)[c],
            "log_softmax": scores.log_softmax(0)[c],
            "top": scores.max(),
            "index": [scores.argmax(), torch.tensor(c)],
            "from_one": [scores[c - 1], scores[(c + 1) % 5]],
        }
        _compare("class_score", answer(network, image, c), scores[c], mistakes)
    return "One number, as the network returns it."


def _judge_class_probabilities(answer: Answer) -> str:
    for count, classes, seed in ((3, 4, 1), (4, 4, 2)):
        scores = 2 * drawn(count, classes, seed=seed)
        powers = scores.exp()
        right = scores.softmax(1)
        mistakes = {
            "axis": scores.softmax(0),
            "total": powers / powers.sum(),
            "no_exponential": scores / scores.sum(1, keepdim=True),
            "not_divided": [powers, (scores - scores.amax(1, keepdim=True)).exp()],
            "logarithm": scores.log_softmax(1),
            "two": right.softmax(1),
        }
        _compare("class_probabilities", answer(scores), right, mistakes)
    large = torch.tensor([[1000.0, 1001.0, 990.0], [-1000.0, -1001.0, -1000.0]]).double()
    value = tensor_of(answer(large), "the probabilities")
    if not value.isfinite().all():
        raise Hint(HINTS["class_probabilities"]["overflow"])
    _compare("class_probabilities", value, large.softmax(1), {})
    return "They sum to 1 for every image, however large the scores are."


def _judge_top_classes(answer: Answer) -> str:
    names = ("ant", "bee", "cat", "dog", "elk", "fox")
    for count, seed in ((3, 1), (1, 2), (4, 3)):
        network = relu_network((4, 6), classes=6, seed=seed)
        image = drawn_image(3, 4, 6, seed=seed)
        with torch.no_grad():
            scores = network(image[None])[0]
        order = scores.argsort(descending=True).tolist()
        value = answer(network, image, names, count)
        _check_names(list(value), [names[i] for i in order], order, scores, count)
    return "The names of the highest scores, best first."


def _check_names(
    got: list[object], ranked: list[str], order: list[int], scores: Tensor, count: int
) -> None:
    """Raise a hint unless these are the first names of a ranking."""
    hints, right = HINTS["top_classes"], ranked[:count]
    if got == right:
        return
    if got and not all(isinstance(one, str) for one in got):
        numbers = tensor_of([float(one) for one in got], "the names")
        whole = torch.isin(numbers, torch.tensor(order).double()).all()
        raise Hint(hints["indices" if whole else "scores"])
    if len(got) != count:
        raise Hint(f"{hints['count']} Expected {count}, got {len(got)}.")
    if got in (ranked[::-1][:count], ranked[-count:]):
        raise Hint(hints["lowest"])
    if got == right[::-1]:
        raise Hint(hints["reversed"])
    if sorted(got) == sorted(right):
        raise Hint(hints["unsorted"])
    raise Hint(f"Expected {', '.join(right)}; got {', '.join(map(str, got))}.")


def _judge_derivative(answer: Answer) -> str:
    for step, seed in ((0.1, 3), (0.2, 2)):
        image, direction = drawn_image(3, 2, 4, seed=seed), drawn(3, 2, 4, seed=seed + 5)
        weight = drawn(3, 2, 4, seed=seed + 10)

        def cubic(image: Tensor, weight: Tensor = weight) -> Tensor:
            along = (weight * image).sum()
            return along + along.square() + along**3

        def central(direction: Tensor, h: float, image: Tensor = image) -> Tensor:
            return (cubic(image + h * direction) - cubic(image - h * direction)) / (2 * h)

        ahead, here = cubic(image + step * direction), cubic(image)
        behind, right = cubic(image - step * direction), central(direction, step)
        variable = image.clone().requires_grad_()
        exact = (torch.autograd.grad(cubic(variable), variable)[0] * direction).sum()
        mistakes = {
            "one_sided": [(ahead - here) / step, (here - behind) / step, (ahead - here) / 2 / step],
            "factor": 2 * right,
            "sign": [-right, -2 * right],
            "not_divided": [ahead - behind, (ahead - behind) / 2],
            "unit": central(direction / direction.norm(), step),
            "exact": exact,
        }
        value = answer(cubic, image, direction, step)
        _compare("directional_derivative", value, right, mistakes)
    return "Two values on both sides of the image give the slope between them."


def _judge_ten_crop_scores(answer: Answer) -> str:
    for photo_size, size, seed in (((10, 13), (6, 7), 1), ((9, 6), (3, 4), 2)):
        network = relu_network(size, classes=4, seed=seed)
        photo = drawn_image(3, *photo_size, seed=seed)
        ten = _scores(network, _crops(photo, size))
        four, five = _crops(photo, size)[:4], _crops(photo, size)[:5]
        upside_down = torch.cat([five, five.flip(-2)])
        mistakes = {
            "straight": ten[:5].mean(0),
            "upside_down": _scores(network, upside_down).mean(0),
            "corners": _scores(network, torch.cat([four, four.flip(-1)])).mean(0),
            "middle": ten[4],
            "sum": ten.sum(0),
            "softmax": [ten.softmax(1).mean(0), ten.mean(0).softmax(0)],
            "swapped": _scores(network, _crops(photo, size[::-1])).mean(0),
        }
        value = answer(network, photo, size)
        _compare("ten_crop_scores", value, ten.mean(0), mistakes)
    return "The mean of ten crops' scores."


def _channels_first(values: Tensor) -> Tensor:
    return values.permute(2, 0, 1)


@torch.no_grad()
def _scores(network: Callable[[Tensor], Tensor], crops: Tensor) -> Tensor:
    return network(crops)


def _crops(photo: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the corners, the middle, and the mirror images of all five, (10, 3, h, w)."""
    (height, width), (h, w) = photo.shape[1:], size
    places = [(top, left) for top in (0, height - h) for left in (0, width - w)]
    places.append(((height - h) // 2, (width - w) // 2))
    crops = torch.stack([photo[:, top : top + h, left : left + w] for top, left in places])
    return torch.cat([crops, crops.flip(-1)])


def _compare(
    task: str, value: object, right: Tensor, mistakes: dict[str, Tensor | Sequence[Tensor]]
) -> None:
    what = {
        "network_input": "the network's input",
        "class_score": "the score",
        "class_probabilities": "the probabilities",
        "directional_derivative": "the derivative",
        "ten_crop_scores": "the scores",
    }[task]
    named = {HINTS[task][name]: results for name, results in mistakes.items()}
    compare(value, right, named, what=what)
