"""Checks of the tasks on saliency maps (paper §3.1, chapter *Saliency maps*)."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import Answer, Compared, Comparisons, Hint, task, tensor_of
from deepinside.classroom.small_networks import (
    class_gradient,
    crop_places,
    drawn,
    drawn_image,
    gradient,
    relu_network,
    scored_images,
)

_SOFTMAX = (
    "This is the gradient of the soft-max probability, in which the other classes take part: "
    "differentiate the class score, as the network returns it."
)
_NO_MAGNITUDE = "The absolute value is missing: a large negative gradient matters as much."
_SUM = "The channels are added up: take the largest magnitude of the three."
_MEAN = "The channels are averaged: take the largest magnitude of the three."


@task(
    "saliency-linear",
    points=1,
    praise="The weights themselves, read pixel by pixel: no gradient was needed.",
)
def check_linear_map(answer: Answer) -> Comparisons:
    """Check ``linear_map(weight, shape, class_index)``.

    It should return the saliency map (H, W) of the score S(I) = w^T I + b, read off the
    weights (classes, C * H * W), where `shape` is (C, H, W).
    """
    for shape, c, seed in (((3, 4, 6), 2, 1), ((2, 5, 3), 0, 2)):
        weight = drawn(4, *shape, seed=seed)
        own, (channels, height, width) = weight[c], shape
        mistakes = {
            **_wrong_reductions(own),
            "The weights were read with the channels last: `nn.Flatten` runs through the columns "
            "fastest, then the rows, then the channels.": _map(
                own.reshape(height, width, channels).permute(2, 0, 1)
            ),
            "Rows and columns are swapped: `shape` is (channels, height, width).": [
                _map(own.reshape(channels, width, height)),
                _map(own).T,
            ],
            "This is the map of another class: one row of the weights belongs to one class.": [
                _map(weight[c - 1]),
                _map(weight[(c + 1) % 4]),
                _map(weight.amax(0)),
            ],
        }
        yield Compared("the map", answer(weight.flatten(1), shape, c), _map(own), mistakes)


@task(
    "saliency-gradient",
    points=2,
    praise="The signed gradient of one class score, the same at every call.",
)
def check_image_gradient(answer: Answer) -> Comparisons:
    """Check ``image_gradient(network, image, class_index)``.

    It should return the signed dS_c/dI of an image (3, H, W), also for a network that is
    handed over in training mode, and the same when called again.
    """
    for network, image, c in scored_images():
        value = answer(network.train(), image, c)
        right = class_gradient(network.eval(), image, c)
        mistakes = {
            **_wrong_objectives(network, image, c),
            "This is the gradient of all scores together: take one score alone.": gradient(
                network, image, torch.sum
            ),
            "The sign is lost: the image gradient is signed, the map comes next.": right.abs(),
            "The sign is wrong: it points to where the score falls.": -right,
        }
        yield Compared("the gradient", value, right, mistakes)
        answer.repeat(right)


@task("saliency-map", points=1, praise="The largest magnitude of the channels, for every pixel.")
def check_saliency_map(answer: Answer) -> Comparisons:
    """Check ``saliency_map(network, image, class_index)``.

    It should return max over channels of ``|dS_c/dI|``, (H, W), of an image (3, H, W).
    """
    for network, image, c in scored_images():
        value = answer(network.train(), image, c)
        w = class_gradient(network.eval(), image, c)
        right = _map(w)
        mistakes = {
            **_wrong_reductions(w),
            **{hint: _map(other) for hint, other in _wrong_objectives(network, image, c).items()},
            "The magnitude is taken after the maximum over the channels: a channel with a large "
            "negative gradient then loses to a small positive one. First the "
            "magnitude.": w.amax(0).abs(),
            "The channels are joined by the root of their squares: take the largest "
            "magnitude.": w.norm(dim=0),
            "The signed channels are added before the magnitude is taken, so that they cancel: "
            "first the magnitude, then the largest of the three.": [
                w.sum(0).abs(),
                w.mean(0).abs(),
            ],
            "This is still the gradient of three channels: reduce them to one value a pixel.": [
                w,
                w.abs(),
            ],
            "The maximum is taken along an axis of the image: channels are the first axis.": [
                w.abs().amax(1),
                w.abs().amax(2),
            ],
            "Rows and columns are swapped: the map has the height and width of the image.": right.T,
            "The map was rescaled: leave it in logits per unit intensity.": [
                right / right.max(),
                (right - right.min()) / (right.max() - right.min()),
            ],
            "This is the gradient times the image: the paper's map is the gradient alone.": _map(
                w * image
            ),
        }
        yield Compared("the map", value, right, mistakes)
        answer.repeat(right)


@task("saliency-batch", points=2, praise="Each image's own map, all from one sum of scores.")
def check_saliency_maps(answer: Answer) -> Comparisons:
    """Check ``saliency_maps(network, images, classes)``.

    It should return the maps (N, H, W) of a batch (N, 3, H, W), image i for class i.
    """
    for size, classes, seed in (((4, 6), [3, 0, 1], 4), ((5, 3), [1, 1], 5)):
        network = relu_network(size, classes=4, seed=seed)
        images = drawn_image(len(classes), 3, *size, seed=seed)
        w = gradient(network, images, _own_sum(classes))
        mistakes = {**_wrong_batches(network, images, classes), **_wrong_reductions(w)}
        mistakes[
            "The maximum is taken over the images: channels are the second axis of a batch."
        ] = w.abs().amax(0)
        yield Compared("the map", answer(network, images, classes), _map(w), mistakes)


def _wrong_batches(network: nn.Module, images: Tensor, classes: list[int]) -> dict[str, Tensor]:
    own, top = _own_sum(classes), _own_sum(network(images).argmax(1).tolist())
    objectives: dict[str, Callable[[Tensor], Tensor]] = {
        "Every map is too small by the number of images: it is the gradient of the mean of "
        "their scores. The gradient of the sum holds each image's own.": (
            lambda scores: own(scores) / len(scores)
        ),
        "Each image got the scores of all the classes in the list: `scores[:, classes]` pairs "
        "every image with every class, `scores[range(n), classes]` each with its own.": (
            lambda scores: scores[:, classes].sum()
        ),
        _SOFTMAX: lambda scores: own(scores.softmax(1)),
        "Each image got its class of the highest score: take the classes asked for.": top,
        "Every image got the first one's class: image i has class i of the list.": (
            lambda scores: scores[:, classes[0]].sum()
        ),
    }
    return {hint: _map(gradient(network, images, wrong)) for hint, wrong in objectives.items()}


def _own_sum(classes: list[int]) -> Callable[[Tensor], Tensor]:
    """Return the sum over a batch of each image's own score."""
    return lambda scores: scores[range(len(classes)), classes].sum()


@task(
    "saliency-ten-crops",
    points=3,
    praise="Ten maps, each where its crop lies, and every pixel's own average.",
)
def check_ten_crop_map(answer: Answer) -> Comparisons:
    """Check ``ten_crop_map(map_of, photo, size)``.

    It should return the average (H, W) of the maps ``map_of(crop)`` of the four corners
    and the middle of a photo (3, H, W) and of their mirror images, laid back.
    """
    for photo_size, size in (((10, 12), (6, 8)), ((8, 6), (4, 4))):
        photo = drawn_image(3, *photo_size, seed=sum(size))
        weight = drawn_image(3, *size, seed=sum(photo_size))

        def map_of(crop: Tensor, weight: Tensor = weight) -> Tensor:
            """Return a map that depends on the crop and is not its own mirror image."""
            if tuple(crop.shape[-2:]) != tuple(weight.shape[-2:]):
                # what comes of a crop of swapped sides has to have a map, too
                return crop.abs().amax(-3)
            return (crop * weight).amax(-3)

        total, shown = _laid(map_of, photo, size)
        straight, straight_shown = _laid(map_of, photo, size, mirror=None)
        corners, corners_shown = _laid(map_of, photo, size, crops=4)
        mistakes = {
            "The maps of the mirrored crops lie mirrored in the average: mirror each of them back "
            "before it is laid down.": _laid(map_of, photo, size, back=None)[0] / shown,
            "Everything is divided by 10, also where fewer crops show the pixel: divide each "
            "pixel by the number of crops that show it.": total / 10,
            "The maps are added up and not divided by the number of crops that show a "
            "pixel.": total,
            "The mirrored crops are missing: there are ten maps, not five.": straight
            / straight_shown,
            "Mirrored crops swap left and right; here top and bottom were swapped.": (
                _laid(map_of, photo, size, mirror=-2, back=-2)[0] / shown
            ),
            "The crop in the middle is missing: there are ten maps, not eight.": corners
            / corners_shown,
            "Each crop replaced what lay there already: add the maps up, then divide.": _laid(
                map_of, photo, size, replace=True
            )[0],
            "Rows and columns are swapped: `size` is (height, width).": torch.div(
                *_laid(map_of, photo, size[::-1])
            ),
        }
        value = answer(map_of, photo, size)
        if tensor_of(value, "the map").isnan().any():
            raise Hint(
                "Some pixels are 0 / 0: no crop shows them. Do the crops reach the last row and "
                "column?"
            )
        yield Compared("the map", value, total / shown, mistakes)


def _laid(
    map_of: Callable[[Tensor], Tensor],
    photo: Tensor,
    size: tuple[int, int],
    *,
    mirror: int | None = -1,
    back: int | None = -1,
    crops: int = 5,
    replace: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the sum of crops' maps and of how many show a pixel; or with one thing wrong."""
    total, shown = torch.zeros(2, *photo.shape[1:]).double()
    for rows, columns in crop_places(photo, size)[:crops]:
        crop = photo[:, rows, columns]
        maps = [map_of(crop)]
        if mirror is not None:
            turned = map_of(crop.flip(mirror))
            maps.append(turned if back is None else turned.flip(back))
        for laid in maps:
            total[rows, columns] = laid + (0 if replace else total[rows, columns])
            shown[rows, columns] += 1
    return total, shown


@task(
    "saliency-smooth-grad",
    points=2,
    praise="The gradients of the noisy copies are averaged with their signs.",
)
def check_smooth_grad(answer: Answer) -> Comparisons:
    """Check ``smooth_grad(network, image, class_index, noise)``.

    It should return max over channels of ``|mean gradient|``, (H, W), the mean taken over
    the image with each of the noises (N, 3, H, W) added.
    """
    for network, image, c in scored_images():
        noise = 0.5 * drawn(5, *image.shape, seed=c + 20)
        each, of_noise = (class_gradient(network, n, c) for n in (image + noise, noise))
        mean = each.mean(0)
        mistakes = {
            "The magnitudes are averaged: average the signed gradients first, so that what changes "
            "sign from copy to copy cancels. The magnitude comes last.": [
                _map(each.abs().mean(0)),
                _map(each).mean(0),
            ],
            "This is the map of the image without noise: add each noise to the image.": _map(
                class_gradient(network, image, c)
            ),
            "This is the mean over noise without the image: add each noise to it.": _map(
                of_noise.mean(0)
            ),
            "This is one gradient, at the average of the noisy images: take the gradient at each "
            "of them, and average the gradients.": _map(
                class_gradient(network, (image + noise).mean(0), c)
            ),
            "The gradients are added up: divide by the number of noisy copies.": _map(each.sum(0)),
            "The squares are averaged: that is another method. Average the gradients.": [
                _map(each.square().mean(0)),
                _map(each.square().mean(0).sqrt()),
            ],
            _NO_MAGNITUDE: mean.amax(0),
            _MEAN: mean.abs().mean(0),
        }
        yield Compared("the map", answer(network, image, c, noise), _map(mean), mistakes)


def _map(w: Tensor) -> Tensor:
    return w.abs().amax(-3)


def _wrong_objectives(network: nn.Module, image: Tensor, c: int) -> dict[str, Tensor]:
    """Return the gradients of what is easily taken for the class score."""
    top = int(network(image[None])[0].argmax())
    return {
        _SOFTMAX: class_gradient(network, image, c, torch.softmax),
        "This is the gradient of the log-probability, in which the other classes take part: "
        "differentiate the class score, as the network returns it.": class_gradient(
            network, image, c, torch.log_softmax
        ),
        "This belongs to the class of the highest score: take the class that was asked "
        "for.": class_gradient(network, image, top),
        "The network was in training mode, so its batch norm used this one image's statistics: "
        "switch it to evaluation mode first.": class_gradient(
            # a copy, as batch norm in training mode also notes what it has seen
            copy.deepcopy(network).train(),
            image,
            c,
        ),
    }


def _wrong_reductions(w: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """Return what goes wrong where three channels become one."""
    return {
        _NO_MAGNITUDE: w.amax(-3),
        _SUM: [w.abs().sum(-3), w.sum(-3)],
        _MEAN: [w.abs().mean(-3), w.mean(-3)],
    }
