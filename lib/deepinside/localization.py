"""Localization: from a class, or from a map of it, to a mask and a box (paper §3.2).

A map becomes a mask in one of two ways. `threshold_localization` takes the pixels above a
threshold. `graph_cut_localization` is the paper's: pixels with the highest and the lowest
values are *seeds* of object and background, a color model (a mixture of Gaussians) is fitted
to each, and GraphCut labels all other pixels by their color and their neighbors. Both answer
with one connected component of the mask and its bounding box.

The paper cuts the mean map of ten crops, `deepinside.saliency.ten_crop_saliency`.
`find_object` is ours: an object map, `deepinside.object_maps.object_maps`, and a threshold.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from deepinside.arguments import checked_map, number
from deepinside.class_score import ClassScore, top_classes
from deepinside.images import Box, check_photo, checked_box, checked_size, squashed
from deepinside.networks import Network
from deepinside.networks.network import check_network
from deepinside.object_maps import SCALES, object_maps

# a longer photo is cut at this size, in pixels, and the mask enlarged
_LONGER_SIDE = 250
# Gaussians a color model has in OpenCV, and the parameters of each
_GAUSSIANS, _PARAMETERS = 5, 13
_NO_RECTANGLE = (0, 0, 0, 0)


class Found(NamedTuple):
    """One class and where it is: a half-open box in pixels of the photo."""

    answer: ClassScore
    box: Box


def find_object(
    network: Network,
    photo: Tensor,
    target: int | str | None = None,
    *,
    scales: Sequence[float] = SCALES,
) -> Box:
    """Return the box of a class's object, half-open, in pixels of the photo.

    The whole photo is squashed to the network's input, and the box is read from its object map
    by `object_box`. For the paper's procedure see `graph_cut_localization`. Chapter
    *Localization without boxes*.

    Parameters
    ----------
    network : Network
        From `deepinside.networks.load_network`.
    photo : Tensor
        (3, H, W), RGB in [0, 1], of any size.
    target : int or str, optional
        The class; without it the one of the highest score.
    scales : sequence of float
        As for `object_maps`.

    Raises
    ------
    ValueError
        If the photo or the class is none, or the map is flat.
    """
    saliency = object_maps(network, [photo], target, scales=scales)[0]
    return object_box(saliency, photo.shape[1:])


def find_top_objects(
    network: Network, photo: Tensor, count: int = 5, *, scales: Sequence[float] = SCALES
) -> list[Found]:
    """Return the classes of the highest scores, best first, each with its own box.

    As the paper answers in ILSVRC: five classes, one box for each. Parameters as for
    `find_object`.
    """
    check_network(network)
    image = squashed(network, [photo], network.input_size).to(network.normalization.mean)
    answers = top_classes(network, image, count)[0]
    classes = [answer.index for answer in answers]
    maps = object_maps(network, [photo] * len(classes), classes, scales=scales)
    boxes = [object_box(saliency, photo.shape[1:]) for saliency in maps]
    return [Found(*pair) for pair in zip(answers, boxes, strict=True)]


def object_box(saliency: Tensor, photo_size: Sequence[int]) -> Box:
    """Return the box that an object map gives, half-open, in pixels of its photo.

    The map, (h, w), is that of the whole photo. The box bounds the component with the most
    saliency among the pixels above Otsu's threshold. `photo_size` is (height, width).
    """
    box = threshold_localization(saliency, by_saliency=True).box
    return rescaled_box(box, saliency.shape, photo_size)


def rescaled_box(box: Box, size: Sequence[int], photo_size: Sequence[int]) -> Box:
    """Return a box of a picture of one size (height, width) in pixels of it at another."""
    (height, width), (photo_height, photo_width) = (
        checked_size(each, "in whole pixels") for each in (size, photo_size)
    )
    x, y = photo_width / width, photo_height / height
    x0, y0, x1, y1 = checked_box(box)
    return (x0 * x, y0 * y, x1 * x, y1 * y)


class Localization(NamedTuple):
    """Where the object is, and how it was found: a box in pixels of the map, and masks.

    `mask` is the component that the box bounds; `foreground` holds all pixels labeled as
    object, the mask among them; seeds are the pixels whose label the map fixed. Masks are
    (H, W), bool.
    """

    box: Box
    mask: Tensor
    foreground: Tensor
    object_seeds: Tensor
    background_seeds: Tensor


def threshold_localization(
    saliency: Tensor,
    *,
    quantile: float | None = None,
    share_of_maximum: float | None = None,
    by_saliency: bool = False,
) -> Localization:
    """Return the object as one component of the pixels above a threshold.

    Colors play no part. Chapter *Localization without boxes*.

    Parameters
    ----------
    saliency : Tensor
        (H, W), at least 0.
    quantile, share_of_maximum : float, optional
        The threshold as a quantile of the map or as a share of its largest value. With
        neither it is read from the map's histogram (`otsu_threshold`).
    by_saliency : bool
        Take the component with the most saliency in place of the one with the most pixels.

    Raises
    ------
    ValueError
        If the map is flat or none, both thresholds are given, one is out of range, or nothing
        is above it.
    """
    values, _ = _scaled_map(saliency)
    if quantile is not None and share_of_maximum is not None:
        raise ValueError("expected a quantile or a share of the maximum, got both")
    if share_of_maximum is not None:
        threshold = number(share_of_maximum, "a share of the maximum", 0, 1) * values.max()
    elif quantile is not None:
        threshold = np.quantile(values, number(quantile, "a quantile", 0, 1))
    else:
        # not rounded to the map's own precision, of which an almost flat map needs the last digit
        threshold = np.float64(_otsu_threshold(values))
    foreground = values > threshold
    mask = _component(foreground, values if by_saliency else None)
    return _localization(mask, foreground, foreground, ~foreground)


def graph_cut_localization(
    photo: Tensor,
    saliency: Tensor,
    *,
    object_quantile: float = 0.95,
    background_quantile: float = 0.30,
    by_saliency: bool = False,
) -> Localization:
    """Return the object as GraphCut separates it by color. Paper §3.2.

    The color models are fitted to the seeds, and the photo is cut once. GrabCut (Rother et
    al., 2004) would fit them again to what was found, and cut again. The paper's map is
    `deepinside.saliency.ten_crop_saliency`. Chapter *Localization without boxes*.

    Parameters
    ----------
    photo, saliency : Tensor
        (3, H, W) in [0, 1], and its map (H, W), at least 0.
    object_quantile, background_quantile : float
        Pixels above the first are seeds of the object, pixels not above the second seeds of
        the background. Where more of the map is 0 than the second, all zeros are such seeds.
    by_saliency : bool
        Take the component with the most saliency in place of the one with the most pixels.

    Raises
    ------
    ValueError
        If shapes, ranges or parameters do not fit, or there is no object.
    """
    values, _ = _scaled_map(saliency)
    check_photo(photo)
    height, width = values.shape
    if photo.shape[1:] != values.shape:
        got = tuple(photo.shape)
        raise ValueError(f"expected a photo of the map's size, {(3, height, width)}, got {got}")
    high = number(object_quantile, "the object's quantile", 0, 1)
    low = number(background_quantile, "the background's quantile, not above the object's,", 0, high)
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    whole = (photo.detach().cpu().permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    pixels = cv2.resize(np.ascontiguousarray(whole), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    object_seeds = small > float(np.quantile(small, high))
    background_seeds = small <= float(np.quantile(small, low))
    for name, seeds in (("object", object_seeds), ("background", background_seeds)):
        if seeds.sum() < _GAUSSIANS:
            expected = f"expected at least {_GAUSSIANS} seeds of the {name}, got {seeds.sum()}"
            raise ValueError(f"{expected}: a map with too few different values?")
    # OpenCV draws the first means of the mixtures from a generator that each thread begins
    # anew: in a thread of its own the cut repeats, and the caller's generator stays as it is
    with ThreadPoolExecutor(1) as executor:
        cut = executor.submit(_graph_cut, pixels, object_seeds, background_seeds).result()
    mask = _component(cut, small if by_saliency else None)
    found = [mask, cut, object_seeds, background_seeds]
    size, nearest = (width, height), cv2.INTER_NEAREST
    return _localization(
        *(cv2.resize(part.astype(np.uint8), size, interpolation=nearest) > 0 for part in found)
    )


def otsu_threshold(saliency: Tensor) -> float:
    """Return the threshold that best splits a map's values into two groups.

    Otsu (1979): the one of 256 levels for which the values within each group vary least. So
    the map itself says how large the object is; a quantile would fix it.

    Raises
    ------
    ValueError
        If the map is flat, or not (H, W) of finite values of 0 or more.
    """
    values, exponent = _scaled_map(saliency)
    return math.ldexp(_otsu_threshold(values), exponent)


def _otsu_threshold(values: np.ndarray) -> float:
    low, high = values.min(), values.max()
    levels = np.round((values - low) * (255 / (high - low))).astype(np.uint8)
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(low) + (level + 0.5) * (float(high) - float(low)) / 255


def _graph_cut(
    pixels: np.ndarray, object_seeds: np.ndarray, background_seeds: np.ndarray
) -> np.ndarray:
    labels = np.full(object_seeds.shape, cv2.GC_PR_BGD, np.uint8)
    labels[background_seeds], labels[object_seeds] = cv2.GC_BGD, cv2.GC_FGD
    seeds = object_seeds | background_seeds
    background, foreground = np.zeros((2, 1, _GAUSSIANS * _PARAMETERS))
    models = (_NO_RECTANGLE, background, foreground, 1)
    # the color models are fitted to a picture of the seeds alone ...
    cv2.grabCut(pixels[seeds][None], labels[seeds][None], *models, cv2.GC_INIT_WITH_MASK)
    # ... and stay as they are in the cut
    cv2.grabCut(pixels, labels, *models, cv2.GC_EVAL_FREEZE_MODEL)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _component(foreground: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the largest component, or that of the largest sum of weights."""
    count, labels = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=8)
    if count < 2:
        raise ValueError("no object found: no pixel is above the threshold")
    flat = None if weights is None else weights.ravel()
    sums = np.bincount(labels.ravel(), flat, minlength=count)
    return labels == 1 + sums[1:].argmax()


def _localization(mask: np.ndarray, *others: np.ndarray) -> Localization:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    masks = [torch.from_numpy(part) for part in (mask, *others)]
    return Localization((x, y, x + width, y + height), *masks)


def _scaled_map(saliency: Tensor) -> tuple[np.ndarray, int]:
    """Return a map divided by a power of 2, which is exact, to a largest value from 0.5 to 1.

    So neither huge values overflow nor tiny ones vanish. And the exponent of the power.
    """
    values = checked_map(saliency, signed=False).cpu().numpy()
    low, high = values.min(), values.max()
    if low == high:
        raise ValueError(f"no object found: the map is flat, {low:.4g} everywhere")
    exponent = math.frexp(high)[1]
    return np.ldexp(values, -exponent), exponent
