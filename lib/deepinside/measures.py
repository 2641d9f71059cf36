"""Measures of localization, each with the interval that the number of images allows.

An image counts as localized where box and true box have an intersection over union (IoU)
of at least 0.5. Intervals are percentile bootstraps: images are drawn again, with
replacement, and the measure is taken of each draw. Chapter *Localization without boxes*.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor

from deepinside.images import Box

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

    Raises
    ------
    ValueError
        If a box has no area.
    """
    both = 0.0
    for x0, y0, x1, y1 in (box, other):
        if not (x1 > x0 and y1 > y0):
            raise ValueError(f"expected x0 < x1 and y0 < y1, got the box {(x0, y0, x1, y1)}")
        both += (x1 - x0) * (y1 - y0)
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (both - shared)


def best_iou(box: Box, true_boxes: Sequence[Box]) -> float:
    """Return the largest IoU of a box with any of the true boxes."""
    if not len(true_boxes):
        raise ValueError("expected at least one true box, got none")
    return max(iou(box, true_box) for true_box in true_boxes)


def pointing_hit(saliency: Tensor, true_boxes: Sequence[Box]) -> bool:
    """Return whether the map's maximum lies in a true box or at most 15 pixels from it.

    The pointing game (Zhang et al., 2016). Boxes are in pixels of the map.
    """
    if saliency.ndim != 2 or not torch.isfinite(saliency).all():
        raise ValueError(f"expected a finite map (H, W), got shape {tuple(saliency.shape)}")
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    # a box ends between pixels, and the center of one is half a pixel from its sides
    x, y = column + 0.5, row + 0.5
    return any(
        math.hypot(max(x0 - x, x - x1, 0), max(y0 - y, y - y1, 0)) <= 15
        for x0, y0, x1, y1 in true_boxes
    )


def ilsvrc_hit(
    answers: Sequence[tuple[int, Box]], true_class: int, true_boxes: Sequence[Box]
) -> bool:
    """Return whether one of at most five answers has the class and an IoU of at least 0.5.

    ``1 - mean`` over images is the top-5 localization error of ILSVRC. Paper §3.2.
    """
    if len(answers) > 5:
        raise ValueError(f"expected at most five answers, got {len(answers)}")
    right = [box for answer, box in answers if answer == true_class]
    return any(best_iou(box, true_boxes) >= 0.5 for box in right)


def mean_interval(values: Sequence[float] | Tensor, *, generator: torch.Generator) -> Estimate:
    """Return the mean over images and its 95 % bootstrap interval.

    As many images as there are are drawn 10,000 times, with replacement; 95 % of the
    means of these draws lie within the interval. `values` has one number an image, as an IoU,
    or whether it was a hit; the same state of the generator gives the same interval.

    Raises
    ------
    ValueError
        If there are no values, or one is not finite.
    """
    sample = torch.as_tensor(values, dtype=torch.float64).detach().flatten().cpu().numpy()
    if not len(sample) or not np.isfinite(sample).all():
        raise ValueError(f"expected finite values, one an image, got {len(sample)} values")
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
    pair = [torch.as_tensor(some, dtype=torch.float64) for some in (values, baseline)]
    shapes = [tuple(some.shape) for some in pair]
    if shapes[0] != shapes[1]:
        raise ValueError(f"expected both methods on the same images, got values of shapes {shapes}")
    return mean_interval(pair[0] - pair[1], generator=generator)


def recorded_iou() -> list[dict[str, str]]:
    """Return the IoU of each step of the procedure on 84 photos, one row a photo.

    `file`, `source` ("coco" or "kangaroo"), then the steps. The photos are not in the
    package; ``tools/measure_localization.py`` wrote the rows.
    """
    path = Path(__file__).parent / "data" / "localization_iou.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
