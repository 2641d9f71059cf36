"""Checks of the tasks on saliency maps (paper §3.1, chapter *Saliency maps*)."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import Answer, Compared, Comparisons, Example, Hint, task
from deepinside.classroom.small_networks import (
    MIRRORED_FIRST,
    OTHER_HALVES,
    class_gradient,
    crop_places,
    drawn,
    drawn_image,
    gradient,
    halved,
    linear_network,
    relu_network,
    scored_images,
)

_SOFTMAX = (
    "This is the gradient of the soft-max probability, in which the other classes take part: "
    "differentiate the class score, as the network returns it."
)
_LOG_SOFTMAX = (
    "This is the gradient of the log-probability, in which the other classes take part: "
    "differentiate the class score, as the network returns it."
)
_TOP = "This belongs to the class of the highest score: take the class that was asked for."
_OTHER = "This belongs to another class: take the one that was asked for."
_ALL = "This is the gradient of all scores together: take one score alone."
_TRAINING = (
    "The network was in training mode, so its batch norm used this one image's statistics: "
    "switch it to evaluation mode first."
)
_NO_MAGNITUDE = "The absolute value is missing: a large negative gradient matters as much."
_AFTERWARDS = (
    "The magnitude is taken after the maximum over the channels: a channel with a large negative "
    "gradient then loses to a small positive one. First the magnitude."
)
_SUM = "The channels are added up: take the largest magnitude."
_MEAN = "The channels are averaged: take the largest magnitude."
_CANCELED = (
    "The signed channels are added before the magnitude is taken, so that they cancel: first the "
    "magnitude, then the largest of them."
)
_NORM = "The channels are joined by the root of their squares: take the largest magnitude."
_SQUARE = "The values are squared: take their magnitude."
_SMALLEST = "This is the smallest magnitude of the channels: take the largest."
_ONE_CHANNEL = "This is one channel alone: take the largest magnitude of all of them."
_WHICH = (
    "This says *which* channel is largest, not how large it is: take `.values` of what "
    "`max(dim)` returns, not `.indices`, and no `argmax`."
)
_AXIS = "The maximum is taken along an axis of the image: take it over the channels."
_UNREDUCED = "This is still the gradient of each channel: reduce them to one value a pixel."
_RESCALED = "The map was rescaled: leave it in logits per unit intensity."
_PILED = (
    "Called again with the same image, it returns something else: gradients were left from the "
    "earlier call. `.backward()` *adds* to `.grad`; start from `image.detach().clone()`, or use "
    "`torch.autograd.grad`."
)
_PASSES = (
    "The result is right, but the network was called again and again for one gradient, as if each "
    "pixel or each class needed its own: one forward and one backward pass give the whole "
    "gradient. With a real network yours would take minutes."
)


def _three_weights() -> Tensor:
    """Return the weights of two linear scores of two pixels side by side, (2, 3, 1, 2)."""
    first = torch.tensor([[[7.0, 1.0]], [[0.0, 1.0]], [[1.0, 6.0]]])
    return torch.stack([first, torch.tensor([[[1.0, -5.0]], [[-3.0, 2.0]], [[2.0, 4.0]]])])


def _linear_example() -> Example:
    shown = (
        "The shape is (3, 1, 2), two pixels side by side, and the row of the class 1 is "
        "1, -5, -3, 2, 2, 4: red (1, -5), green (-3, 2), blue (2, 4). The largest magnitude of "
        "the left pixel is that of -3, of the right one that of -5."
    )
    return Example((_three_weights().flatten(1), (3, 1, 2), 1), shown, torch.tensor([[3.0, 5.0]]))


@task(
    "saliency-linear",
    points=1,
    minutes=10,
    praise="The weights themselves, read pixel by pixel: no gradient was needed.",
    example=_linear_example,
)
def check_linear_map(answer: Answer) -> Comparisons:
    """Check ``linear_map(weight, shape, class_index)``.

    It should return the saliency map (H, W) of the score S(I) = w^T I + b, read off the
    weights (classes, C * H * W), where `shape` is (C, H, W).
    """
    for shape, c, seed in (((3, 4, 6), 2, 1), ((2, 5, 3), 1, 2), ((1, 3, 2), 3, 3)):
        weight = drawn(5, *shape, seed=seed)
        own, (channels, height, width) = weight[c], shape
        mistakes = {
            # here there is no gradient
            **{
                hint.replace("gradient", "weight"): wrong
                for hint, wrong in _wrong_reductions(own).items()
            },
            "The weights were read with the channels last: `nn.Flatten` runs through the columns "
            "fastest, then the rows, then the channels.": _map(
                own.reshape(height, width, channels).permute(2, 0, 1)
            ),
            "Rows and columns are swapped: `shape` is (channels, height, width).": [
                _map(own.reshape(channels, width, height)),
                _map(own).T,
                _map(own.reshape(channels, width, height)).T,
            ],
            "This is the map of another class: one row of the weights belongs to one class.": [
                *(_map(weight[k]) for k in (0, c - 1, (c + 1) % 5)),
                _map(weight.amax(0)),
                _map(weight.abs().amax(0)),
                _map(weight.sum(0)),
            ],
        }
        yield Compared("the map", answer(weight.flatten(1), shape, c), _map(own), mistakes)


def _gradient_example() -> Example:
    shown = (
        "The network is linear, and the weights of the class 1 are red (1, -5), green (-3, 2), "
        "blue (2, 4), for two pixels side by side. Make a value larger by 0.01, and the score "
        "grows by 0.01 times its weight: the gradient is the weights, with their signs, whatever "
        "the image is."
    )
    weight, image = _three_weights(), torch.full((3, 1, 2), 0.5)
    return Example((linear_network(weight, torch.zeros(2)), image, 1), shown, weight[1])


_EVALUATION, _TRAINED = "a network in evaluation mode", "one in training mode, and a second call"


@task(
    "saliency-gradient",
    points=2,
    minutes=15,
    praise="The signed gradient of one class score, the same at every call.",
    parts={_EVALUATION: 1, _TRAINED: 1},
    example=_gradient_example,
)
def check_image_gradient(answer: Answer) -> Comparisons:
    """Check ``image_gradient(network, image, class_index)``.

    It should return the signed dS_c/dI of an image (C, H, W), also for a network that is
    handed over in training mode, and the same when called again.
    """
    # of one channel and a negative score
    gray = linear_network(-drawn(4, 1, 3, 5, seed=8), -drawn(4, seed=9))
    for network, image, c in [*scored_images(), (gray, drawn_image(1, 3, 5, seed=8), 2)]:
        value = answer(network, image, c)
        passes = answer.forwards
        in_training = answer(copy.deepcopy(network).train(), image, c)
        right, score = class_gradient(network, image, c), network(image[None])[0, c].detach()
        mistakes = _wrong_objectives(network, image, c) | {
            "This is the gradient of the score's magnitude or square: differentiate the score "
            "itself, which may be negative.": [right * score.sign(), right * 2 * score],
            "This is the gradient of the cross-entropy, in which the other classes take part: "
            "differentiate the class score.": -class_gradient(network, image, c, torch.log_softmax),
            "The sign is lost: the image gradient is signed, the map comes next.": [
                right.abs(),
                right.clamp(min=0),
                right.square(),
            ],
            "The sign is wrong: it points to where the score falls.": -right,
            "This is already the map: return the signed gradient of every channel.": [
                _map(right),
                right.amax(0),
            ],
            "This is the gradient times the image: return the gradient alone.": right * image,
            "The gradient was rescaled: leave it in logits per unit intensity.": [
                right / right.abs().max(),
                right / right.norm(),
                (right - right.min()) / (right.max() - right.min()),
                (right - right.mean()) / right.std(),
            ],
            "This is the gradient at another image: take it at the image that was handed over.": [
                class_gradient(network, torch.zeros_like(image), c),
                class_gradient(network, image.flip(-1), c),
                class_gradient(network, 255 * image, c),
            ],
        }
        yield Compared("the gradient", value, right, mistakes, part=_EVALUATION)
        yield _few_passes(value, passes, _EVALUATION)
        yield Compared("the gradient", in_training, right, mistakes, part=_TRAINED)
        again = _or_doubled(mistakes, right)
        again[_TRAINING] = [*again[_TRAINING], _after_training(network, image, c)]
        second = _second(answer)  # not earlier, as it may add to what was returned before
        yield Compared("the second gradient", second, right, again, part=_TRAINED)


def _after_training(network: nn.Module, image: Tensor, c: int) -> Tensor:
    """Return the gradient of a network that has seen the image in training mode."""
    twin = copy.deepcopy(network).train()
    twin(image[None])  # which moves the statistics of batch norm
    return class_gradient(twin.eval(), image, c)


def _second(answer: Answer) -> object:
    """Return what comes of the same call again, or the hint if that fails."""
    try:
        return answer.again()
    except Hint as hint:
        return hint


def _or_doubled(
    mistakes: dict[str, Tensor | list[Tensor]], right: Tensor
) -> dict[str, Tensor | list[Tensor]]:
    """Return what mistakes give at a second call, which may add to what the first one left."""
    several = {
        hint: results if isinstance(results, list) else [results]
        for hint, results in mistakes.items()
    }
    doubled: dict[str, Tensor | list[Tensor]] = {
        hint: [*results, *(2 * result for result in results)] for hint, results in several.items()
    }
    return doubled | {_PILED: 2 * right}


def _few_passes(value: object, passes: int, part: str = "", gradients: int = 1) -> Compared:
    """Compare whether the network was called a few times a gradient, and not for every pixel."""
    got = value if isinstance(value, Hint) else float(passes > 4 * gradients)
    return Compared("the passes", got, 0.0, {_PASSES: [1.0, 0.0]}, part=part)


def _map_example() -> Example:
    shown = (
        "The network is linear, and the weights of the class 1 are red (1, -5), green (-3, 2), "
        "blue (2, 4), for two pixels side by side. The gradient is these weights. The largest "
        "magnitude of the left pixel is that of -3, of the right one that of -5."
    )
    weight, image = _three_weights(), torch.full((3, 1, 2), 0.5)
    network = linear_network(weight, torch.zeros(2))
    return Example((network, image, 1), shown, torch.tensor([[3.0, 5.0]]))


@task(
    "saliency-map",
    points=1,
    minutes=5,
    praise="The largest magnitude of the channels, for every pixel.",
    example=_map_example,
)
def check_saliency_map(answer: Answer) -> Comparisons:
    """Check ``saliency_map(network, image, class_index)``.

    It should return max over channels of ``|dS_c/dI|``, (H, W), of an image (3, H, W).
    """
    for network, image, c in scored_images():
        value = answer(copy.deepcopy(network).train(), image, c)
        passes = answer.forwards
        w = class_gradient(network, image, c)
        right = _map(w)
        mistakes = {
            **_wrong_reductions(w),
            **{
                hint: [_map(one) for one in (other if isinstance(other, list) else [other])]
                for hint, other in _wrong_objectives(network, image, c).items()
            },
            "Rows and columns are swapped: the map has the height and width of the image.": right.T,
            _RESCALED: [
                right / right.max(),
                right / right.sum(),
                (right - right.min()) / (right.max() - right.min()),
            ],
            "This is the gradient times the image: the paper's map is the gradient alone.": _map(
                w * image
            ),
        }
        yield Compared("the map", value, right, mistakes)
        yield _few_passes(value, passes)
        answer.repeat(right)


_MAPS, _ONE_PASS = "the maps", "all in one pass"


def _batch_example() -> Example:
    weight, images = _three_weights(), torch.full((2, 3, 1, 2), 0.5)
    shown = (
        "The network is linear. The weights of the class 0 are red (7, 1), green (0, 1), blue "
        "(1, 6), those of the class 1 red (1, -5), green (-3, 2), blue (2, 4). Two images, the "
        "first for the class 1, the second for the class 0."
    )
    right = torch.tensor([[[3.0, 5.0]], [[7.0, 6.0]]])
    return Example((linear_network(weight, torch.zeros(2)), images, [1, 0]), shown, right)


@task(
    "saliency-batch",
    points=2,
    minutes=15,
    praise="Each image's own map, all from one call of the network.",
    parts={_MAPS: 1, _ONE_PASS: 1},
    example=_batch_example,
)
def check_saliency_maps(answer: Answer) -> Comparisons:
    """Check ``saliency_maps(network, images, classes)``.

    It should return the maps (N, H, W) of a batch (N, 3, H, W), image i for class i.
    """
    for size, classes, seed in (((4, 6), [3, 0, 1], 4), ((5, 3), [1, 1], 5), ((5, 3), [2], 6)):
        network = relu_network(size, classes=3 + len(classes), seed=seed)
        images = drawn_image(len(classes), 3, *size, seed=seed)
        value = answer(network, images, classes)
        passes = answer.forwards
        w = gradient(network, images, _own_sum(classes))
        mistakes = {**_wrong_batches(network, images, classes), **_wrong_reductions(w)}
        mistakes[
            "The maximum is taken over the images: channels are the second axis of a batch."
        ] = w.abs().amax(0)
        mistakes[_RESCALED] = [
            _map(w) / _map(w).max(),
            _map(w) / _map(w).amax((1, 2), keepdim=True),
        ]
        mistakes[
            "A batch of one image has lost its axis: the result is (N, H, W), also for N = 1. "
            "`squeeze()` drops every axis of size 1."
        ] = _map(w).squeeze(0)
        for part in (_MAPS, _ONE_PASS):
            yield Compared("the map", value, _map(w), mistakes, part=part)
        again = _or_doubled(mistakes, _map(w))
        second = _second(answer)
        yield Compared("the second result", second, _map(w), again, part=_MAPS)
        loop = (
            "The maps are right, but the network was called once for every image: hand it the "
            "whole batch, and differentiate the sum of the scores, each image's own."
        )
        more = float(passes > 1)
        yield Compared("the passes", more, 0.0, {loop: [1.0, 0.0]}, part=_ONE_PASS)


def _wrong_batches(
    network: nn.Module, images: Tensor, classes: list[int]
) -> dict[str, Tensor | list[Tensor]]:
    own, top = _own_sum(classes), _own_sum(network(images).argmax(1).tolist())
    objectives: dict[str, list[Callable[[Tensor], Tensor]]] = {
        "Every map is too small by the number of images: it is the gradient of the mean of "
        "their scores. The gradient of the sum holds each image's own.": [
            lambda scores: own(scores) / len(scores)
        ],
        "Each image got the scores of all the classes in the list: `scores[:, classes]` pairs "
        "every image with every class, `scores[range(n), classes]` each with its own.": [
            lambda scores: scores[:, classes].sum(),
            lambda scores: scores[:, classes].mean(),
        ],
        _SOFTMAX: [lambda scores: own(scores.softmax(1))],
        _LOG_SOFTMAX: [lambda scores: own(scores.log_softmax(1))],
        "Each image got its class of the highest score: take the classes asked for.": [top],
        "Every image got the first one's class: image i has class i of the list.": [
            lambda scores: scores[:, classes[0]].sum()
        ],
        "Every image got the last one's class: image i has class i of the list.": [
            lambda scores: scores[:, classes[-1]].sum()
        ],
        "The classes are paired with the images in another order: image i has class i of the "
        "list.": [_own_sum(classes[::-1]), _own_sum(sorted(classes))],
        _ALL: [torch.sum, torch.mean],
    }
    return {
        hint: [_map(gradient(network, images, wrong)) for wrong in listed]
        for hint, listed in objectives.items()
    }


def _own_sum(classes: list[int]) -> Callable[[Tensor], Tensor]:
    """Return the sum over a batch of each image's own score."""
    return lambda scores: scores[range(len(classes)), classes].sum()


def _crops_example() -> Example:
    def map_of(crop: Tensor) -> Tensor:
        return crop[0] * torch.tensor([1.0, 10.0])

    photo = torch.zeros(3, 1, 3)
    photo[0] = torch.tensor([1.0, 2.0, 3.0])
    shown = (
        "A photo of one row whose red is 1, 2, 3, crops of size (1, 2), and a map that is the "
        "left red and ten times the right one. The left crop, 1 2, has the map 1 20; its mirror "
        "image, 2 1, has 2 10, flipped back 10 2: together 11 22. The right crop, 2 3, has 2 30 "
        "and 20 3: together 22 33. Top and bottom are the same here, so both count twice, and the "
        "middle, which starts at 1 / 2 rounded down to 0, is the left one once more. The sums "
        "are 33, 66 + 44 and 66, over 6, 10 and 4 maps."
    )
    return Example((map_of, photo, (1, 2)), shown, torch.tensor([[5.5, 11.0, 16.5]]))


@task(
    "saliency-ten-crops",
    points=3,
    minutes=20,
    optional=True,
    praise="Ten maps, each where its crop lies, and every pixel's own average.",
    example=_crops_example,
)
def check_ten_crop_map(answer: Answer) -> Comparisons:
    """Check ``ten_crop_map(map_of, photo, size)``.

    It should return the average (H, W) of the maps ``map_of(crop)`` of the four corners
    and the middle of a photo (3, H, W) and of their mirror images, laid back.
    """
    # what is spare are odd numbers, of which each way of rounding makes something else
    for photo_size, size in (((10, 11), (7, 6)), ((8, 9), (5, 6))):
        photo = drawn_image(3, *photo_size, seed=sum(size))
        weight = drawn_image(3, *photo_size, seed=sum(photo_size))
        weight[:, 1, 1] = 0  # so that a map holds a 0, which counts
        calls: list[int] = []

        def map_of(crop: Tensor, weight: Tensor = weight, calls: list[int] = calls) -> Tensor:
            """Return a map that depends on the crop and is not its own mirror image."""
            calls.append(1)
            if crop.ndim != 3 or len(crop) != 3:
                raise ValueError(
                    f"`map_of` takes one crop (3, h, w), got the shape {tuple(crop.shape)}"
                )
            # crops of other sizes have a map, too
            here = weight[:, : crop.shape[1], : crop.shape[2]].to(crop.dtype)
            return (crop * here).amax(0)

        value = answer(map_of, photo, size)
        count = len(calls)
        total, shown = _laid(map_of, photo, size)
        straight = torch.div(*_laid(map_of, photo, size, mirror=None))
        other_middles = [
            torch.div(*_laid(map_of, photo, size, middle=middle, cut_first=cut_first))
            for middle in OTHER_HALVES
            for cut_first in (True, False)
        ]
        last = _last_pairs(map_of, photo, size)
        mistakes = {
            "The maps of the mirrored crops lie mirrored in the average: mirror each of them back "
            "before it is laid down.": _laid(map_of, photo, size, back=None)[0] / shown,
            "Everything is divided by 10, also where fewer crops show the pixel: divide each "
            "pixel by the number of crops that show it.": total / 10,
            "The maps are added up and not divided by the number of crops that show a "
            "pixel.": total,
            "Each pixel is divided by the number of places that show it, but every place has two "
            "maps, the crop's and its mirror image's.": 2 * total / shown,
            "Everything is divided by 5: divide each pixel by the number of maps that show "
            "it.": total / 5,
            "The mirrored crops are missing, or not mirrored: there are ten maps, not "
            "five.": straight,
            "Mirrored crops swap left and right; here top and bottom were swapped.": (
                _laid(map_of, photo, size, mirror=-2, back=-2)[0] / shown
            ),
            "Mirrored crops swap left and right; here the colors were swapped.": (
                _laid(map_of, photo, size, mirror=0, back=None)[0] / shown
            ),
            "The map of a mirrored crop was mirrored back top to bottom: left and right change "
            "places, the last axis.": _laid(map_of, photo, size, back=0)[0] / shown,
            "The crop in the middle is missing: there are ten maps, not eight.": torch.div(
                *_laid(map_of, photo, size, crops=4)
            ),
            "Each crop replaced what lay there already: add the maps up, then divide.": [
                _laid(map_of, photo, size, replace=True)[0],
                _laid(map_of, photo, size, replace=True)[0] / shown,
                last,
                last / 2,
                last / shown,
            ],
            "This is the largest of the maps at each pixel: take their mean.": _laid(
                map_of, photo, size, largest=True
            )[0],
            MIRRORED_FIRST: torch.div(*_laid(map_of, photo, size, cut_first=False)),
            "The middle begins at another row or column: (H - h) / 2 and (W - w) / 2 are rounded "
            "down, 3 / 2 to 1, so `(H - h) // 2`.": other_middles,
            "Rows and columns are swapped: `size` is (height, width).": torch.div(
                *_laid(map_of, photo, size[::-1])
            ).nan_to_num(),
        }
        if isinstance(value, Tensor) and value.isnan().any():
            raise Hint(
                "Some pixels are 0 / 0: no crop shows them. Do the crops reach the last row and "
                "column?"
            )
        yield Compared("the map", value, total / shown, mistakes)
        if count > 40:
            raise Hint(
                f"The map is right, but `map_of` was called {count} times: call it once for each "
                "of the ten crops, and add its map to a whole part of the sum, "
                "`total[i : i + h, j : j + w] += ...`."
            )


def _last_pairs(map_of: Callable[[Tensor], Tensor], photo: Tensor, size: tuple[int, int]) -> Tensor:
    """Return each place's two maps, added, where a later place replaces an earlier one."""
    laid = torch.zeros_like(photo[0])
    for rows, columns in crop_places(photo, size):
        crop = photo[:, rows, columns]
        laid[rows, columns] = map_of(crop) + map_of(crop.flip(-1)).flip(-1)
    return laid


def _laid(
    map_of: Callable[[Tensor], Tensor],
    photo: Tensor,
    size: tuple[int, int],
    *,
    mirror: int | None = -1,
    back: int | None = -1,
    crops: int = 5,
    replace: bool = False,
    largest: bool = False,
    middle: Callable[[int, int], int] = halved,
    cut_first: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return the sum of crops' maps and of how many show a pixel; or with one thing wrong."""
    total, shown = torch.zeros(2, *photo.shape[1:]).double()
    for rows, columns in crop_places(photo, size, middle)[:crops]:
        crop = photo[:, rows, columns]
        maps = [(columns, map_of(crop))]
        if mirror is not None:
            across = columns
            if not cut_first:  # where the crop of the mirrored photo lies in the photo
                across = slice(photo.shape[2] - columns.stop, photo.shape[2] - columns.start)
                crop = photo[:, rows, across]
            turned = map_of(crop.flip(mirror))
            maps.append((across, turned if back is None else turned.flip(back)))
        for across, laid in maps:
            before = total[rows, across]
            total[rows, across] = (
                laid if replace else laid.maximum(before) if largest else laid + before
            )
            shown[rows, across] += 1
    return total, shown


def _smooth_example() -> Example:
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0]]))
        second.weight.copy_(torch.tensor([[1.0, 1.0, 0.5]]))
        first.bias.zero_()
        second.bias.zero_()
    network = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second).eval()
    image, noise = torch.tensor([1.0, 1.0, 1.0]).reshape(3, 1, 1), torch.zeros(2, 3, 1, 1)
    noise[:, 0, 0, 0] = torch.tensor([1.0, -3.0])
    shown = (
        "An image of one pixel, (1, 1, 1), and the score |R| + 0.5 G. The two noises add 1 and -3 "
        "to the red: R is 2 and -2. The gradients are (1, 0.5, 0) and (-1, 0.5, 0), their mean "
        "is (0, 0.5, 0)."
    )
    return Example((network, image, 0, noise), shown, torch.tensor([[0.5]]))


@task(
    "saliency-smooth-grad",
    points=2,
    minutes=10,
    praise="The gradients of the noisy copies are averaged with their signs.",
    example=_smooth_example,
)
def check_smooth_grad(answer: Answer) -> Comparisons:
    """Check ``smooth_grad(network, image, class_index, noise)``.

    It should return max over channels of ``|mean gradient|``, (H, W), the mean taken over
    the image with each of the noises (N, 3, H, W) added.
    """
    for copies, (network, image, c) in zip((5, 4), scored_images(), strict=True):
        noise = 0.5 * drawn(copies, *image.shape, seed=c + 20)
        opposite = answer(network, image, c, -noise)
        value = answer(network, image, c, noise)
        passes = answer.forwards
        noisy = image + noise
        each, of_noise = (class_gradient(network, n, c) for n in (noisy, noise))
        mean = each.mean(0)
        mistakes = {
            "The magnitudes are averaged: average the signed gradients first, so that what changes "
            "sign from copy to copy cancels. The magnitude comes last.": [
                _map(each.abs().mean(0)),
                _map(each).mean(0),
                _map(each).sum(0),
            ],
            "This is the largest of the copies' maps: average the signed gradients, then take the "
            "magnitude.": _map(each).amax(0),
            "This is the map of the image without noise: add each noise to the image.": _map(
                class_gradient(network, image, c)
            ),
            "This is the mean over noise without the image: add each noise to it.": _map(
                of_noise.mean(0)
            ),
            "The noise is subtracted or multiplied: add it to the image.": [
                _map(class_gradient(network, image - noise, c).mean(0)),
                _map(class_gradient(network, image * noise, c).mean(0)),
                _map(class_gradient(network, image * (1 + noise), c).mean(0)),
            ],
            "The noisy images are clipped: take them as they are.": _map(
                class_gradient(network, noisy.clamp(0, 1), c).mean(0)
            ),
            "The noises pile up from copy to copy: add each of them to the image alone.": _map(
                class_gradient(network, image + noise.cumsum(0), c).mean(0)
            ),
            "This is one gradient, at the average of the noisy images: take the gradient at each "
            "of them, and average the gradients.": _map(class_gradient(network, noisy.mean(0), c)),
            "This is one noisy copy alone: average the gradients of all of them.": [
                _map(each[0]),
                _map(each[-1]),
            ],
            "One of the noisy copies is left out.": [
                _map(each[1:].mean(0)),
                _map(each[:-1].mean(0)),
                _map(each[1:].sum(0) / copies),
                _map(each[:-1].sum(0) / copies),
            ],
            "The image without noise counts as a copy: average over the noisy ones.": [
                _map((each.sum(0) + class_gradient(network, image, c)) / n)
                for n in (copies, copies + 1)
            ],
            "The gradients are added up: divide by the number of noisy copies.": _map(each.sum(0)),
            "The sum is divided by another number: divide by the number of noisy copies, "
            "`len(noise)`.": [
                _map(each.sum(0) / n) for n in (3, 10, 16, copies - 1, copies + 1, copies**2)
            ],
            "The squares are averaged: that is another method. Average the gradients.": [
                _map(each.square().mean(0)),
                _map(each.square().mean(0).sqrt()),
                _map(each.var(0)),
                _map(each.std(0)),
            ],
            "This belongs to another class: take the one that was asked for.": [
                _map(class_gradient(network, noisy, k).mean(0)) for k in (0, c - 1, (c + 1) % 5)
            ],
            "This is the gradient of the soft-max probability, in which the other classes take "
            "part: differentiate the class score, as the network returns it.": _map(
                class_gradient(network, noisy, c, torch.softmax).mean(0)
            ),
            "The median is taken: take the mean.": _map(each.median(0).values),
            **_wrong_reductions(mean),
            "It returns the same for other values of `noise`: add the noise that is handed over, "
            "and draw none.": opposite,
        }
        yield Compared("the map", value, _map(mean), mistakes)
        yield _few_passes(value, passes, gradients=copies)
        answer.repeat(_map(mean))


def _map(w: Tensor) -> Tensor:
    return w.abs().amax(-3)


def _wrong_objectives(
    network: nn.Module, image: Tensor, c: int
) -> dict[str, Tensor | list[Tensor]]:
    """Return the gradients of what is easily taken for the class score."""
    scores = network(image[None])[0]
    others = {0, c - 1, (c + 1) % len(scores)} - {c}
    return {
        _SOFTMAX: class_gradient(network, image, c, torch.softmax),
        _LOG_SOFTMAX: class_gradient(network, image, c, torch.log_softmax),
        _TOP: class_gradient(network, image, int(scores.argmax())),
        _OTHER: [class_gradient(network, image, k) for k in others],
        _ALL: [gradient(network, image, torch.sum), gradient(network, image, torch.mean)],
        _TRAINING: class_gradient(
            # a copy, as batch norm in training mode also notes what it has seen
            copy.deepcopy(network).train(),
            image,
            c,
        ),
    }


def _wrong_reductions(w: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """Return what goes wrong where the channels become one value a pixel."""
    return {
        _NO_MAGNITUDE: w.amax(-3),
        _AFTERWARDS: w.amax(-3).abs(),
        _SUM: [w.abs().sum(-3), w.sum(-3)],
        _MEAN: [w.abs().mean(-3), w.mean(-3)],
        _CANCELED: [w.sum(-3).abs(), w.mean(-3).abs()],
        _NORM: w.norm(dim=-3),
        _SQUARE: [w.square().amax(-3), w.square().sum(-3), w.square().mean(-3)],
        _SMALLEST: [w.abs().amin(-3), w.amin(-3), -w.amin(-3)],
        _ONE_CHANNEL: [part for one in w.unbind(-3) for part in (one, one.abs())],
        _WHICH: [w.abs().argmax(-3), w.argmax(-3)],
        _AXIS: [w.abs().amax(-2), w.abs().amax(-1), w.amax(-2), w.amax(-1)],
        _UNREDUCED: [w, w.abs()],
    }
