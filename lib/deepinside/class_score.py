"""Class scores S_c(I): the network as a function of its input (paper §2, first half).

The score is what the last layer returns, before soft-max. Soft-max turns the scores of
one image into probabilities ``P_c = exp(S_c) / sum_k exp(S_k)``. A probability also rises when
the other scores fall, so the paper works with the score. Probabilities determine the scores
only up to a function of the image that is added to all classes.
"""

import difflib
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from deepinside.arguments import shown, whole_number
from deepinside.networks import Network, in_evaluation_mode
from deepinside.networks.scores import check_scores

# how far a value of an image may lie outside of [0, 1], as those of class models do
_SLACK = 10.0
# the range of the means of regions, and that of a network without a normalization of its own
_REGIONS, _NORMALIZED = (-0.65, 2.0), (-3.0, 3.0)

Target = int | str | Sequence[int | str] | Tensor | None


class ClassScore(NamedTuple):
    """One class and what a network gives it."""

    index: int  # type: ignore[assignment]
    name: str
    score: float
    probability: float


def class_score(network: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Return the unnormalized score of one class an image (logits), shape (N,).

    Differentiable with respect to `images`. Paper §2.

    Parameters
    ----------
    network : nn.Module
        From images (N, C, H, W) to class scores (N, classes). Of one unit, the score of class 0
        is what it puts out.
    images : Tensor
        (N, C, H, W), RGB or gray, in [0, 1]; see `check_images`.
    target : int, str, sequence or tensor, optional
        The class, by index or name, one for all images or one each; without it each
        image's class of the highest score.

    Raises
    ------
    ValueError
        If the images are not a batch, not finite, not in [0, 1] or not in the network's type; if
        the target is not one of its classes; or if what it returns are no scores.
    """
    scores, classes = scores_and_classes(network, images, target)
    return scores.gather(1, classes[:, None])[:, 0]


def class_probability(network: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Return the soft-max probability of one class an image, shape (N,).

    Parameters and errors as for `class_score`, and if there is one class alone.
    """
    scores, classes = scores_and_classes(network, images, target)
    return probabilities(scores).gather(1, classes[:, None])[:, 0]


@torch.no_grad()
def top_classes(network: nn.Module, images: Tensor, count: int = 5) -> list[list[ClassScore]]:
    """Return, for each image, the `count` classes of the highest scores, best first."""
    scores, _ = scores_and_classes(network, images, None)
    shares = probabilities(scores)
    count = whole_number(count, "a count", 1, scores.shape[1])
    names = getattr(network, "class_names", None) or [str(c) for c in range(scores.shape[1])]
    return [
        [ClassScore(c, names[c], s[c].item(), p[c].item()) for c in s.topk(count).indices.tolist()]
        for s, p in zip(scores, shares, strict=True)
    ]


def class_index(target: int | str, class_names: Sequence[str]) -> int:
    """Return the index of a class given by its index or its name (in any case).

    Raises
    ------
    ValueError
        If the index is out of range, the name unknown, or borne by two classes.
    """
    if isinstance(target, str):
        return _named_class(target, class_names)
    return whole_number(target, "a class index", 0, len(class_names) - 1)


def class_indices(target: Target, count: int, class_names: Sequence[str]) -> list[int]:
    """Return the class index of each of `count` images, of a target that names one or all.

    Raises
    ------
    ValueError
        As `class_index`, or if the target has another number of classes.
    """
    if target is None or getattr(target, "is_meta", False):
        raise ValueError(f"expected a class, or one for each image; got {shown(target)}")
    if isinstance(target, Tensor | np.ndarray | np.generic):
        target = target.tolist()
    if isinstance(target, str) or not isinstance(target, Sequence):
        return [class_index(target, class_names)] * count
    if len(target) != count:
        raise ValueError(f"expected one class or {count}, one for each image; got {len(target)}")
    return [class_index(index_or_name, class_names) for index_or_name in target]


def check_images(network: nn.Module, images: Tensor, name: str = "images") -> None:
    """Raise a ValueError unless `images` is a finite batch in [0, 1] in the network's type.

    Class models and noisy copies leave the range. So single values may, by `_SLACK`, while the
    mean of each region, in which noise averages out, has to stay near the range. What is no
    `Network` may want normalized images. `name` is what they are called in errors.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network as an nn.Module, got {shown(network)}")
    if not isinstance(images, Tensor) or images.is_meta or images.layout != torch.strided:
        kind = type(images).__name__
        got = f"one on {images.device}, {images.layout}" if isinstance(images, Tensor) else kind
        raise ValueError(f"expected {name} as a tensor (N, C, H, W), got {got}")
    if images.ndim != 4 or not images.numel():
        hint = "; image[None] is a batch of one" if images.ndim == 3 else ""
        raise ValueError(
            f"expected a batch of {name} (N, C, H, W), got shape {tuple(images.shape)}{hint}"
        )
    weight = next(network.parameters(), None)
    if not images.is_floating_point():
        raise ValueError(f"expected {name} of floats in [0, 1], got {images.dtype}")
    if weight is not None and (images.dtype, images.device) != (weight.dtype, weight.device):
        raise ValueError(
            f"expected {name} of the network's type and device, {weight.dtype} on "
            f"{weight.device}; got {images.dtype} on {images.device}"
        )
    if torch.is_autocast_enabled(images.device.type):
        raise ValueError(
            "expected no autocast, which moves maps by a few percent: leave its block, or give "
            "network and images another type, such as network.half()"
        )
    regions = _REGIONS if isinstance(network, Network) else _NORMALIZED
    _check_range(images.detach(), regions, name)


def _check_range(images: Tensor, regions: tuple[float, float], name: str) -> None:
    low, high = images.aminmax()
    if not (low.isfinite() and high.isfinite()):
        bad = (~images.isfinite()).sum().item()
        raise ValueError(f"expected finite {name}, got {bad} values that are NaN or infinite")
    if low < -_SLACK or high > 1 + _SLACK:
        found = f"values from {low.item():.4g} to {high.item():.4g}"
        hint = ": divide by 255?" if low >= 0 else ""
        raise ValueError(f"expected {name} in [0, 1], got {found}{hint}")
    height, width = (min(8, math.ceil(side / 4)) for side in images.shape[2:])
    means = adaptive_avg_pool2d(images.float(), (height, width)).aminmax()
    if means.min < regions[0] or means.max > regions[1]:
        raise ValueError(
            f"expected {name} in [0, 1], got regions with means from {means.min.item():.3g} to "
            f"{means.max.item():.3g}: are they normalized? The network does that by itself"
        )


def probabilities(scores: Tensor) -> Tensor:
    """Return the soft-max of scores (..., classes), of two classes or more."""
    _check_two_classes(scores)
    return scores.softmax(-1)


def log_probabilities(scores: Tensor) -> Tensor:
    """Return the logarithm of `probabilities`."""
    _check_two_classes(scores)
    return scores.log_softmax(-1)


def _check_two_classes(scores: Tensor) -> None:
    if scores.shape[-1] < 2:
        raise ValueError(
            "expected two classes or more for probabilities, got one, whose soft-max is always 1: "
            "give a second class the score 0, and soft-max is the sigmoid of the other"
        )


def scores_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the scores of images that have been checked, or made of such, (N, classes).

    Raises
    ------
    ValueError
        If what the network returns are none.
    """
    scores = in_evaluation_mode(network)(images)
    check_scores(scores, len(images))
    return scores


def broadcast_to_images(values: Tensor, images: Tensor, name: str) -> Tensor:
    """Return what takes the images' place, broadcast to them, (N, C, H, W).

    Raises
    ------
    ValueError
        That calls `values` by its name, unless it is a tensor of the images' type and device
        and of a shape that broadcasts to theirs.
    """
    wanted, got = (
        f"{tuple(given.shape)} of {given.dtype} on {given.device}"
        if isinstance(given, Tensor)
        else type(given).__name__
        for given in (images, values)
    )
    with suppress(AttributeError, RuntimeError):
        if (values.dtype, values.device) == (images.dtype, images.device):
            return values.expand_as(images)
    raise ValueError(f"expected a {name} that broadcasts to {wanted}, got {got}")


@torch.no_grad()
def target_classes(network: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Return each image's class index, (N,): its target, or its class of the highest score."""
    return scores_and_classes(network, images, target)[1]


def scores_and_classes(network: nn.Module, images: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return the scores (N, classes) of images, and each one's class (N,), as `class_score`."""
    check_images(network, images)
    names = getattr(network, "class_names", None)
    if target is not None and names:
        # known before the pass: a wrong target costs nothing
        target = class_indices(target, len(images), names)
    scores = scores_of(network, images)
    if target is None:
        return scores, scores.detach().argmax(1)
    if not names:
        target = class_indices(target, len(images), [str(c) for c in range(scores.shape[1])])
    return scores, torch.tensor(target, device=scores.device)


def _named_class(name: str, class_names: Sequence[str]) -> int:
    folded = [known.casefold() for known in class_names]
    found = [index for index, known in enumerate(folded) if known == name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"expected a name that one class bears, got {name!r}, which "
            f"{len(found)} do: give the index, {' or '.join(map(str, found))}"
        )
    near = difflib.get_close_matches(name.casefold(), folded, n=3)
    nearest = [f"{class_names[folded.index(known)]} ({folded.index(known)})" for known in near]
    hint = f"; the nearest are {', '.join(nearest)}" if nearest else ""
    raise ValueError(f"expected the name of a class, got {name!r}{hint}")
