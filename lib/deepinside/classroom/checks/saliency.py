"""Checks of the tasks on saliency maps (paper §3.1, chapter *Saliency maps*)."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import Answer, Hint, Result, compare, judged, tensor_of
from deepinside.classroom.small_networks import drawn, drawn_image, relu_network

_SOFTMAX = (
    "This is the gradient of the soft-max probability, in which the other classes take part: "
    "differentiate the class score, as the network returns it."
)
_LOG_SOFTMAX = (
    "This is the gradient of the log-probability, in which the other classes take part: "
    "differentiate the class score, as the network returns it."
)
_TOP = "This belongs to the class of the highest score: take the class that was asked for."
_TRAINING = (
    "The network was in training mode, so its batch norm used this one image's statistics: "
    "switch it to evaluation mode first."
)
_LEFT = (
    "The first call is right, the second adds to it: gradients were left from the earlier call. "
    "`.backward()` adds to `.grad`; start from a fresh copy of the image, or use "
    "`torch.autograd.grad`."
)
_NO_MAGNITUDE = "The absolute value is missing: a large negative gradient matters as much."
_SUM = "The channels are added up: take the largest magnitude of the three."
_MEAN = "The channels are averaged: take the largest magnitude of the three."

HINTS: dict[str, dict[str, str]] = {
    "image_gradient": {
        "softmax": _SOFTMAX,
        "log_softmax": _LOG_SOFTMAX,
        "top": _TOP,
        "training": _TRAINING,
        "left": _LEFT,
        "magnitude": "The sign is lost: the image gradient is signed, the map comes next.",
        "sign": "The sign is wrong: it points to where the score falls.",
        "all_classes": "This is the gradient of all scores together: take one score alone.",
    },
    "saliency_map": {
        "no_magnitude": _NO_MAGNITUDE,
        "late_magnitude": (
            "The magnitude is taken after the maximum over the channels: a channel with a large "
            "negative gradient then loses to a small positive one. First the magnitude."
        ),
        "sum": _SUM,
        "mean": _MEAN,
        "norm": "The channels are joined by the root of their squares: take the largest magnitude.",
        "cancel": (
            "The signed channels are added before the magnitude is taken, so that they cancel: "
            "first the magnitude, then the largest of the three."
        ),
        "signed": "This is still the gradient of three channels: reduce them to one value a pixel.",
        "axis": "The maximum is taken along an axis of the image: channels are the first axis.",
        "swapped": "Rows and columns are swapped: the map has the height and width of the image.",
        "rescaled": "The map was rescaled: leave it in logits per unit intensity.",
        "input": "This is the gradient times the image: the paper's map is the gradient alone.",
        "softmax": _SOFTMAX,
        "log_softmax": _LOG_SOFTMAX,
        "top": _TOP,
        "training": _TRAINING,
        "left": _LEFT,
    },
    "linear_map": {
        "no_magnitude": _NO_MAGNITUDE,
        "sum": _SUM,
        "mean": _MEAN,
        "order": (
            "The weights were read with the channels last: `nn.Flatten` runs through the columns "
            "fastest, then the rows, then the channels."
        ),
        "swapped": "Rows and columns are swapped: `shape` is (channels, height, width).",
        "class": "This is the map of another class: one row of the weights belongs to one class.",
    },
    "saliency_maps": {
        "mean_score": (
            "Every map is too small by the number of images: it is the gradient of the mean of "
            "their scores. The gradient of the sum holds each image's own."
        ),
        "one_class": "Every image got the first one's class: image i has class i of the list.",
        "all_pairs": (
            "Each image got the scores of all the classes in the list: `scores[:, classes]` pairs "
            "every image with every class, `scores[range(n), classes]` each with its own."
        ),
        "axis": "The maximum is taken over the images: channels are the second axis of a batch.",
        "no_magnitude": _NO_MAGNITUDE,
        "sum": _SUM,
        "mean": _MEAN,
        "softmax": _SOFTMAX,
        "top": "Each image got its class of the highest score: take the classes asked for.",
    },
    "ten_crop_map": {
        "not_back": (
            "The maps of the mirrored crops lie mirrored in the average: mirror each of them back "
            "before it is laid down."
        ),
        "ten": (
            "Everything is divided by 10, also where fewer crops show the pixel: divide each "
            "pixel by the number of crops that show it."
        ),
        "sum": "The maps are added up and not divided by the number of crops that show a pixel.",
        "straight": "The mirrored crops are missing: there are ten maps, not five.",
        "upside_down": "Mirrored crops swap left and right; here top and bottom were swapped.",
        "corners": "The crop in the middle is missing: there are ten maps, not eight.",
        "swapped": "Rows and columns are swapped: `size` is (height, width).",
        "laid_once": "Each crop replaced what lay there already: add the maps up, then divide.",
        "no_number": (
            "Some pixels are 0 / 0: no crop shows them. Do the crops reach the last row and column?"
        ),
    },
    "smooth_grad": {
        "early_magnitude": (
            "The magnitudes are averaged: average the signed gradients first, so that what changes "
            "sign from copy to copy cancels. The magnitude comes last."
        ),
        "clean": "This is the map of the image without noise: add each noise to the image.",
        "noise_only": "This is the mean over noise without the image: add each noise to it.",
        "mean_image": (
            "This is one gradient, at the average of the noisy images: take the gradient at each "
            "of them, and average the gradients."
        ),
        "sum": "The gradients are added up: divide by the number of noisy copies.",
        "squared": "The squares are averaged: that is another method. Average the gradients.",
        "no_magnitude": _NO_MAGNITUDE,
        "mean": _MEAN,
    },
}


def check_image_gradient(image_gradient: object) -> Result:
    """Return what is said of ``image_gradient(network, image, class_index)``.

    It should return the signed dS_c/dI of an image (3, H, W), also for a network that is
    handed over in training mode, and the same when called again.
    """
    return judged("image_gradient", image_gradient, _judge_image_gradient)


def check_saliency_map(saliency_map: object) -> Result:
    """Return what is said of ``saliency_map(network, image, class_index)``.

    It should return max over channels of ``|dS_c/dI|``, (H, W), of an image (3, H, W).
    """
    return judged("saliency_map", saliency_map, _judge_saliency_map)


def check_linear_map(linear_map: object) -> Result:
    """Return what is said of ``linear_map(weight, shape, class_index)``.

    It should return the saliency map (H, W) of the score S(I) = w^T I + b, read off the
    weights (classes, C * H * W), where `shape` is (C, H, W).
    """
    return judged("linear_map", linear_map, _judge_linear_map)


def check_saliency_maps(saliency_maps: object) -> Result:
    """Return what is said of ``saliency_maps(network, images, classes)``.

    It should return the maps (N, H, W) of a batch (N, 3, H, W), image i for class i.
    """
    return judged("saliency_maps", saliency_maps, _judge_saliency_maps)


def check_ten_crop_map(ten_crop_map: object) -> Result:
    """Return what is said of ``ten_crop_map(map_of, photo, size)``.

    It should return the average (H, W) of the maps ``map_of(crop)`` of the four corners
    and the middle of a photo (3, H, W) and of their mirror images, laid back.
    """
    return judged("ten_crop_map", ten_crop_map, _judge_ten_crop_map)


def check_smooth_grad(smooth_grad: object) -> Result:
    """Return what is said of ``smooth_grad(network, image, class_index, noise)``.

    It should return max over channels of ``|mean gradient|``, (H, W), the mean taken over
    the image with each of the noises (N, 3, H, W) added.
    """
    return judged("smooth_grad", smooth_grad, _judge_smooth_grad)


Objective = Callable[[Tensor], Tensor]
_Case = tuple[nn.Module, Tensor, int]


def _judge_image_gradient(answer: Answer) -> str:
    for network, image, c in _cases():
        value = answer(network.train(), image, c)
        right = _gradient(network.eval(), image, _score(c))
        mistakes = {
            **_wrong_objectives(network, image, c),
            "all_classes": _gradient(network, image, lambda scores: scores.sum()),
            "magnitude": right.abs(),
            "sign": -right,
        }
        _compare("image_gradient", value, right, mistakes)
        _compare("image_gradient", answer.again(), right, {"left": 2 * right})
    return "The signed gradient of one class score, the same at every call."


def _judge_saliency_map(answer: Answer) -> str:
    for network, image, c in _cases():
        value = answer(network.train(), image, c)
        gradient = _gradient(network.eval(), image, _score(c))
        right = _map(gradient)
        wrong = _wrong_objectives(network, image, c)
        mistakes = {
            **_wrong_reductions(gradient),
            **{name: _map(one) for name, one in wrong.items()},
            "late_magnitude": gradient.amax(0).abs(),
            "norm": gradient.norm(dim=0),
            "cancel": [gradient.sum(0).abs(), gradient.mean(0).abs()],
            "signed": [gradient, gradient.abs()],
            "axis": [gradient.abs().amax(1), gradient.abs().amax(2)],
            "swapped": right.T,
            "rescaled": [right / right.max(), (right - right.min()) / (right.max() - right.min())],
            "input": _map(gradient * image),
        }
        _compare("saliency_map", value, right, mistakes)
        _compare("saliency_map", answer.again(), right, {"left": 2 * right})
    return "The largest magnitude of the channels, for every pixel."


def _judge_linear_map(answer: Answer) -> str:
    for shape, c, seed in (((3, 4, 6), 2, 1), ((2, 5, 3), 0, 2)):
        weight = drawn(4, *shape, seed=seed)
        own, (channels, height, width) = weight[c], shape
        mistakes = {
            **_wrong_reductions(own),
            "order": _map(own.reshape(height, width, channels).permute(2, 0, 1)),
            "swapped": [own.reshape(channels, width, height).abs().amax(0), _map(own).T],
            "class": [_map(weight[c - 1]), _map(weight[(c + 1) % 4]), _map(weight.amax(0))],
        }
        value = answer(weight.flatten(1), shape, c)
        _compare("linear_map", value, _map(own), mistakes)
    return "The weights themselves, read pixel by pixel: no gradient was needed."


def _judge_saliency_maps(answer: Answer) -> str:
    for size, classes, seed in (((4, 6), [3, 0, 1], 4), ((5, 3), [1, 1], 5)):
        network = relu_network(size, classes=4, seed=seed)
        images = drawn_image(len(classes), 3, *size, seed=seed)
        own = _gradient(network, images, _own_sum(classes))
        mistakes = _wrong_batches(network, images, classes)
        mistakes |= {**_wrong_reductions(own), "axis": own.abs().amax(0)}
        _compare("saliency_maps", answer(network, images, classes), _map(own), mistakes)
    return "Each image's own map, all from one sum of scores."


def _wrong_batches(network: nn.Module, images: Tensor, classes: list[int]) -> dict[str, Tensor]:
    top, own = network(images).argmax(1).tolist(), _own_sum(classes)
    objectives: dict[str, Objective] = {
        "mean_score": lambda scores: own(scores) / len(scores),
        "all_pairs": lambda scores: scores[:, classes].sum(),
        "softmax": lambda scores: own(scores.softmax(1)),
        "top": _own_sum(top),
    }
    if len(set(classes)) > 1:
        objectives["one_class"] = lambda scores: scores[:, classes[0]].sum()
    return {name: _map(_gradient(network, images, one)) for name, one in objectives.items()}


def _own_sum(classes: list[int]) -> Objective:
    """Return the sum over a batch of each image's own score."""
    return lambda scores: scores[range(len(classes)), classes].sum()


def _judge_ten_crop_map(answer: Answer) -> str:
    for photo_size, size in (((10, 12), (6, 8)), ((8, 6), (4, 4))):
        photo = drawn_image(3, *photo_size, seed=sum(size))
        weight = drawn_image(3, *size, seed=sum(photo_size))

        def map_of(crop: Tensor, weight: Tensor = weight) -> Tensor:
            """Return a map that depends on the crop and is not its own mirror image."""
            if tuple(crop.shape[-2:]) != tuple(weight.shape[-2:]):
                # what comes of a crop of swapped sides has to have a map, too
                return crop.abs().amax(-3)
            return (crop * weight).amax(-3)

        mistakes = {
            "not_back": _laid(map_of, photo, size, back=None),
            "ten": _laid(map_of, photo, size, divide="ten"),
            "sum": _laid(map_of, photo, size, divide=None),
            "straight": _laid(map_of, photo, size, mirror=None),
            "upside_down": _laid(map_of, photo, size, mirror=-2, back=-2),
            "corners": _laid(map_of, photo, size, middle=False),
            "laid_once": _laid(map_of, photo, size, divide="replace"),
        }
        if size[0] != size[1]:
            mistakes["swapped"] = _laid(map_of, photo, size[::-1])
        value = answer(map_of, photo, size)
        if tensor_of(value, "the map").isnan().any():
            raise Hint(HINTS["ten_crop_map"]["no_number"])
        _compare("ten_crop_map", value, _laid(map_of, photo, size), mistakes)
    return "Ten maps, each where its crop lies, and every pixel's own average."


def _judge_smooth_grad(answer: Answer) -> str:
    for network, image, c in _cases():
        noise = 0.5 * drawn(5, *image.shape, seed=c + 20)

        def gradients(images: Tensor, network: nn.Module = network, c: int = c) -> Tensor:
            return _gradient(network, images, lambda scores: scores[:, c].sum())

        each = gradients(image + noise)
        mean = each.mean(0)
        mistakes = {
            "early_magnitude": [_map(each.abs().mean(0)), _map(each).mean(0)],
            "clean": _map(gradients(image[None])[0]),
            "noise_only": _map(gradients(noise).mean(0)),
            "mean_image": _map(gradients((image + noise).mean(0)[None])[0]),
            "sum": _map(each.sum(0)),
            "squared": [_map(each.square().mean(0)), _map(each.square().mean(0).sqrt())],
            "no_magnitude": mean.amax(0),
            "mean": mean.abs().mean(0),
        }
        _compare("smooth_grad", answer(network, image, c, noise), _map(mean), mistakes)
    return "The gradients of the noisy copies are averaged with their signs."


def _cases() -> list[_Case]:
    """Return networks, images and classes; no class is the one of the highest score."""
    cases = []
    for size, seed in (((4, 6), 1), ((5, 3), 2)):
        network, image = relu_network(size, classes=5, seed=seed), drawn_image(3, *size, seed=seed)
        with torch.no_grad():
            cases.append((network, image, network(image[None])[0].argsort()[-2].item()))
    return cases


def _score(c: int) -> Objective:
    return lambda scores: scores[0, c]


def _gradient(network: nn.Module, images: Tensor, objective: Objective) -> Tensor:
    """Return the gradient of an objective of the scores, of a batch or of one image."""
    variable = images.clone().requires_grad_()
    scores = network(variable if images.ndim == 4 else variable[None])
    return torch.autograd.grad(objective(scores), variable)[0]


def _map(gradient: Tensor) -> Tensor:
    return gradient.abs().amax(-3)


def _wrong_objectives(network: nn.Module, image: Tensor, c: int) -> dict[str, Tensor]:
    top = network(image[None])[0].argmax().item()
    return {
        "softmax": _gradient(network, image, lambda scores: scores.softmax(1)[0, c]),
        "log_softmax": _gradient(network, image, lambda scores: scores.log_softmax(1)[0, c]),
        "top": _gradient(network, image, _score(top)),
        # a copy, as batch norm in training mode also notes what it has seen
        "training": _gradient(copy.deepcopy(network).train(), image, _score(c)),
    }


def _wrong_reductions(gradient: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """Return what goes wrong where three channels become one; nothing of it for one channel."""
    wrong = {"no_magnitude": gradient.amax(-3)}
    if gradient.shape[-3] > 1:
        wrong["sum"] = [gradient.abs().sum(-3), gradient.sum(-3)]
        wrong["mean"] = [gradient.abs().mean(-3), gradient.mean(-3)]
    return wrong


def _laid(
    map_of: Callable[[Tensor], Tensor],
    photo: Tensor,
    size: tuple[int, int],
    *,
    mirror: int | None = -1,
    back: int | None = -1,
    middle: bool = True,
    divide: str | None = "shown",
) -> Tensor:
    """Return the average of crops' maps: rightly, or with one thing about it wrong."""
    (height, width), (h, w) = photo.shape[1:], size
    total, shown = torch.zeros(height, width).double(), torch.zeros(height, width).double()
    starts = [(top, left) for top in (0, height - h) for left in (0, width - w)]
    for top, left in starts + [((height - h) // 2, (width - w) // 2)] * middle:
        rows, columns = slice(top, top + h), slice(left, left + w)
        crop = photo[:, rows, columns]
        maps = [map_of(crop)]
        if mirror is not None:
            turned = map_of(crop.flip(mirror))
            maps.append(turned if back is None else turned.flip(back))
        for one in maps:
            if divide == "replace":
                total[rows, columns] = one
            else:
                total[rows, columns] += one
            shown[rows, columns] += 1
    return total / {"shown": shown, "ten": 10, None: 1, "replace": 1}[divide]


def _compare(
    task: str, value: object, right: Tensor, mistakes: dict[str, Tensor | Sequence[Tensor]]
) -> None:
    what = "the gradient" if task == "image_gradient" else "the map"
    named = {HINTS[task][name]: results for name, results in mistakes.items()}
    compare(value, right, named, what=what)
