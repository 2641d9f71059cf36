"""Measures of localization, each with the interval that the number of images allows.

A box is judged by its intersection over union (IoU) with the true one; ILSVRC counts an image
as localized from 0.5 on. MaxBoxAccV2 (Choe et al., CVPR 2020, arXiv 2001.07437) judges a map
before a box is read from it: at every threshold and at three IoUs. Intervals are percentile
bootstraps: images are drawn again, with replacement, and the measure is taken of each draw.
Chapter *Localization without boxes*.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor

from deepinside.arguments import check_generator, checked_map, number, shown
from deepinside.images import Box, checked_box, checked_size

# between the 256 values of a map in 8 bits
THRESHOLDS = 255
_DRAWS = 10_000
# drawn values held at once
_AT_ONCE = 2_000_000


class Estimate(NamedTuple):
    """A mean over images and the ends of its interval."""

    value: float
    low: float
    high: float


def iou(box: Box, other: Box) -> float:
    """Return intersection over union of two half-open boxes, from 0 to 1.

    Boxes are sequences, arrays or tensors of any numbers; the areas are computed in float64.

    Raises
    ------
    ValueError
        If a box is not of four finite numbers, or has no area.
    """
    box, other = checked_box(box), checked_box(other)
    both = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (box, other))
    if not 0 < both < math.inf:
        raise ValueError(f"expected boxes with an area, got {box} and {other}")
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (both - shared)


def best_iou(box: Box, true_boxes: Sequence[Box]) -> float:
    """Return the largest IoU of a box with any of the true boxes. Errors as for `iou`."""
    return max(iou(box, true_box) for true_box in checked_boxes(true_boxes))


def checked_boxes(boxes: Sequence[Box]) -> list[Box]:
    """Return true boxes as floats; a ValueError says if there are none, or one is no box."""
    if not isinstance(boxes, Sequence | np.ndarray | Tensor) or not len(boxes):
        raise ValueError(f"expected a list of at least one true box, got {shown(boxes)}")
    return [checked_box(box) for box in boxes]


def threshold_overlaps(
    saliency: Tensor, true_boxes: Sequence[Box], photo_size: Sequence[int]
) -> Tensor:
    """Return the best IoU of a map's boxes with any true box, at each threshold, (2, 255).

    First of the boxes around all contours, for MaxBoxAccV2, then of the one around the largest,
    for MaxBoxAcc (Choe et al., 2020): ``overlaps[0] >= 0.3`` says at which thresholds the image
    is a hit at this IoU. The protocol scales a map to [0, 1], and in 8 bits to 0 ... 255, and
    there its 1,000 thresholds are 255: above 0, 1, ... 254. Contours are the outlines of what is
    above, in one piece also across corners, and of its holes.

    Boxes are as in the protocol's program. They count inclusive pixels of the map: a true box's
    first and last pixels are scaled and rounded down, and a contour's box has one column and
    one row more than the contour, where the map does not end there. Of a flat map the box is the
    first pixel.

    Parameters
    ----------
    saliency : Tensor
        (h, w), the map of a whole photo; the protocol has 224 x 224.
    true_boxes : sequence of Box
        Half-open, in pixels of the photo.
    photo_size : sequence of int
        (height, width) of the photo.

    Returns
    -------
    Tensor
        IoU as float64, so that ``>=`` holds where it is exactly 0.3 or 0.7.

    Raises
    ------
    ValueError
        If the map is not of finite floats, there is no true box, or one or the size is none.
    """
    values = checked_map(saliency, "h, w").cpu().double().numpy()
    true_boxes, (height, width) = (
        checked_boxes(true_boxes),
        checked_size(photo_size, "in whole pixels"),
    )
    scale = np.divide([*values.shape[::-1]] * 2, [width, height] * 2)
    true = np.trunc((np.array(true_boxes) - (0, 0, 1, 1)) * scale)
    true[:, 2:] = np.maximum(true[:, 2:], true[:, :2])
    if np.abs(values).max() > np.finfo(float).max / 2:
        # or the range would overflow
        values = values / 2
    values = values - values.min()
    gray = (values / (values.max() or 1) * 255).astype(np.uint8)
    if not gray.any():
        overlap = torch.from_numpy(_inclusive_iou(np.zeros((1, 4)), true))
        return overlap.expand(2, THRESHOLDS).clone()
    # between two values of the map a higher threshold leaves the same mask
    levels = np.unique(gray)
    boxes: list[Sequence[int]] = []
    starts, largest = [], []
    for level in levels[:-1]:
        mask = (gray > level).view(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        starts.append(len(boxes))
        largest.append(len(boxes) + np.argmax([cv2.contourArea(line) for line in contours]))
        boxes += [cv2.boundingRect(line) for line in contours]
    rectangles = np.array(boxes)
    rectangles[:, 2:] += rectangles[:, :2]
    rectangles[:, 2:] = np.minimum(rectangles[:, 2:], [gray.shape[1] - 1, gray.shape[0] - 1])
    overlaps = _inclusive_iou(rectangles, true)
    best = np.stack([np.maximum.reduceat(overlaps, starts), overlaps[largest]])
    return torch.from_numpy(best.repeat(np.diff(levels), axis=1))


def _inclusive_iou(boxes: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the best IoU of each box with any true box, in whole pixels with both ends."""
    boxes = boxes[:, None]
    sides = np.minimum(boxes[..., 2:], true[:, 2:]) - np.maximum(boxes[..., :2], true[:, :2]) + 1
    shared = sides.clip(min=0).prod(-1)
    areas, true_areas = ((some[..., 2:] - some[..., :2] + 1).prod(-1) for some in (boxes, true))
    return (shared / (areas + true_areas - shared)).max(1)


def pointing_hit(saliency: Tensor, true_boxes: Sequence[Box], *, tolerance: float = 15) -> bool:
    """Return whether the map's maximum lies in a true box, or not farther from it than allowed.

    The pointing game (Zhang et al., 2016), which tolerates 15 pixels. Boxes and tolerance are
    in pixels of the map. A flat map points nowhere, which is no hit.

    Raises
    ------
    ValueError
        If the map is not (H, W) of finite floats, there is no true box, one is none, or the
        tolerance is not at least 0.
    """
    saliency, true_boxes = checked_map(saliency), checked_boxes(true_boxes)
    tolerance = number(tolerance, "a tolerance in pixels", 0)
    if saliency.min() == saliency.max():
        return False
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    # a box ends between pixels, and the center of one is half a pixel from its sides
    x, y = column + 0.5, row + 0.5
    return any(
        math.hypot(max(x0 - x, x - x1, 0), max(y0 - y, y - y1, 0)) <= tolerance
        for x0, y0, x1, y1 in true_boxes
    )


def mean_interval(values: Sequence[float] | Tensor, *, generator: torch.Generator) -> Estimate:
    """Return the mean over images and its 95 % bootstrap interval.

    As many images as there are are drawn 10,000 times, with replacement; 95 % of the
    means of these draws lie within the interval. `values` has one number an image, as an IoU,
    or whether it was a hit; the same state of the generator gives the same interval.

    Raises
    ------
    ValueError
        If the values are not finite numbers, one an image and at least one.
    """
    sample = _one_an_image(values)
    check_generator(generator)
    seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
    if sample.min() == sample.max():  # as of one image, for which SciPy has no interval
        return Estimate(*[sample[0].item()] * 3)
    low, high = bootstrap(
        (sample,),
        np.mean,
        n_resamples=_DRAWS,
        batch=max(1, _AT_ONCE // len(sample)),
        method="percentile",
        rng=np.random.default_rng(int(seed)),
    ).confidence_interval
    return Estimate(sample.mean().item(), low.item(), high.item())


def paired_interval(
    values: Sequence[float] | Tensor,
    baseline: Sequence[float] | Tensor,
    *,
    generator: torch.Generator,
) -> Estimate:
    """Return the mean difference of two methods on the same images, and its interval.

    Image by image, so what makes an image hard for both does not widen the interval. The
    difference can be relied on where the interval leaves out 0. Parameters as
    `mean_interval`.
    """
    pair = [_one_an_image(some) for some in (values, baseline)]
    counts = [len(some) for some in pair]
    if counts[0] != counts[1]:
        raise ValueError(f"expected both methods on the same images, got values of {counts}")
    return mean_interval(torch.from_numpy(pair[0] - pair[1]), generator=generator)


def _one_an_image(values: Sequence[float] | Tensor) -> np.ndarray:
    """Return values, one an image, in float64."""
    expected = "expected finite values, one number an image"
    try:
        if "complex" in str(getattr(values, "dtype", "")):
            # whose imaginary part PyTorch would drop
            raise TypeError("complex")
        sample = torch.as_tensor(values, dtype=torch.float64).detach().cpu().numpy()
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{expected}, got {shown(values)}") from error
    if sample.ndim != 1 or not len(sample):
        raise ValueError(f"{expected}, got values of shape {sample.shape}")
    if not np.isfinite(sample).all():
        bad = (~np.isfinite(sample)).sum()
        raise ValueError(f"{expected}, got {bad} of {len(sample)} that are NaN or infinite")
    return sample


def max_box_accuracy(
    hits: Tensor, *, baseline: Tensor | None = None, generator: torch.Generator
) -> Estimate:
    """Return the accuracy at the best threshold, averaged over IoUs, and its 95 % interval.

    MaxBoxAccV2 (Choe et al., 2020) of the hits at IoU 0.3, 0.5 and 0.7 of the boxes around all
    contours; MaxBoxAcc of those at 0.5 of the largest contour's. One threshold serves all images;
    it is the best for each IoU, and is chosen anew in each of the 10,000 draws. The interval has
    this choice in it, and lies a little high, as a best does.

    Parameters
    ----------
    hits : Tensor
        (N, IoUs, thresholds), bool, whether the image is a hit; from `threshold_overlaps`.
    baseline : Tensor, optional
        The hits of another method on the same images. With it the difference to this method is
        returned, of which both take the same draws.
    generator : torch.Generator
        Draws the images.

    Raises
    ------
    ValueError
        If the hits are not bool, or have another shape, or those of the baseline.
    """
    methods = [hits] if baseline is None else [hits, baseline]
    for some in methods:
        is_of_hits = isinstance(some, Tensor) and some.ndim == 3 and some.numel()
        if not is_of_hits or some.dtype != torch.bool or some.is_meta or some.shape != hits.shape:
            raise ValueError(
                "expected hits (N, IoUs, thresholds) of the same images as tensors of bool, got "
                + " and ".join(map(shown, methods))
            )
    check_generator(generator)
    count = len(hits)
    # counts of hits are exact in float32 up to 16 million images
    columns = torch.cat([some.flatten(1) for some in methods], 1).cpu().float()

    def accuracy(times: Tensor) -> Tensor:
        """Return the measure of images that are each taken some times, (draws, N)."""
        sums = (times @ columns).unflatten(1, (len(methods), *hits.shape[1:]))
        best = sums.amax(3).double().mean(2) / count
        return best[:, 0] if baseline is None else best[:, 0] - best[:, 1]

    drawn = []
    for draws in torch.arange(_DRAWS).split(max(1, _AT_ONCE // count)):
        size = (len(draws), count)
        images = torch.randint(count, size, generator=generator, device=generator.device)
        ones = torch.ones(size, dtype=torch.float32)
        times = torch.zeros_like(ones).scatter_add_(1, images.cpu(), ones)
        drawn.append(accuracy(times))
    low, high = np.quantile(torch.cat(drawn), [0.025, 0.975])
    return Estimate(accuracy(columns.new_ones(1, count)).item(), low.item(), high.item())


def recorded_iou() -> list[dict[str, str]]:
    """Return the IoU of each step of the procedure on 734 photos, one row a photo.

    `file`, `source` ("ilsvrc", "coco" or "kangaroo"), `half` ("choose" or "judge" where steps
    were chosen on one half of a source and judged on the other), then the steps. The photos are
    not in the package; ``tools/measure_localization.py`` wrote the rows.
    """
    return _recorded("localization_iou.csv")


def recorded_methods() -> list[dict[str, str]]:
    """Return the results of the book's tests of later methods, one row a photo and method.

    For EfficientNet-Lite0 and 100 photos of ILSVRC-2012's validation set, squashed to 224 x 224.
    The package's page on later methods explains the columns. A cell is empty if nothing is to be
    measured, or if a map has one value throughout and so no order. The photos are not in the
    package; ``tools/measure_later_methods.py`` wrote the rows.
    """
    return _recorded("later_methods.csv")


def _recorded(name: str) -> list[dict[str, str]]:
    path = Path(__file__).parent / "data" / name
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
