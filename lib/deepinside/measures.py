"""Measures of localization, each with the interval that the number of images allows.

An image counts as localized where box and true box have an intersection over union (IoU)
of at least 0.5. Intervals are percentile bootstraps: images are drawn again, with
replacement, and the measure is taken of each draw. Chapter *Localization without boxes*.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from deepinside.images import Box

# drawn indices held at once
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
    areas = [_area(box), _area(other)]
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (sum(areas) - shared)


def best_iou(box: Box, true_boxes: Sequence[Box]) -> float:
    """Return the largest IoU of a box with any of the true boxes."""
    if not len(true_boxes):
        raise ValueError("expected at least one true box, got none")
    return max(iou(box, true_box) for true_box in true_boxes)


def pointing_hit(saliency: Tensor, true_boxes: Sequence[Box], *, tolerance: float = 15) -> bool:
    """Return whether the map's maximum lies in a true box or near it.

    The pointing game (Zhang et al., 2016). Box and tolerance are in pixels of the map.
    """
    if saliency.ndim != 2 or not torch.isfinite(saliency).all():
        raise ValueError(f"expected a finite map (H, W), got shape {tuple(saliency.shape)}")
    row, column = divmod(saliency.argmax().item(), saliency.shape[1])
    x, y = column + 0.5, row + 0.5
    for x0, y0, x1, y1 in true_boxes:
        away = max(x0 - x, x - x1, 0) ** 2 + max(y0 - y, y - y1, 0) ** 2
        if away <= tolerance**2:
            return True
    return False


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


def mean_interval(
    values: Sequence[float] | Tensor,
    *,
    generator: torch.Generator,
    confidence: float = 0.95,
    draws: int = 10_000,
) -> Estimate:
    """Return the mean over images and its bootstrap interval.

    Parameters
    ----------
    values : sequence or tensor
        One an image: IoUs, or whether it was a hit.
    generator : torch.Generator
        Draws the images; the same state gives the same interval.
    confidence : float
        The share of draws that the interval holds.
    draws : int
        How often as many images as there are are drawn, with replacement.

    Raises
    ------
    ValueError
        If there are no values, or one is not finite.
    """
    values = torch.as_tensor(values, dtype=torch.float64).flatten()
    if not len(values) or not torch.isfinite(values).all():
        raise ValueError(f"expected finite values, one an image, got {len(values)} values")
    if not 0 < confidence < 1 or draws < 1:
        raise ValueError(f"expected 0 < confidence < 1 and a draw, got {confidence} and {draws}")
    means, step = [], max(1, _AT_ONCE // len(values))
    for done in range(0, draws, step):
        size = (min(step, draws - done), len(values))
        means.append(values[torch.randint(len(values), size, generator=generator)].mean(1))
    ends = torch.tensor([1 - confidence, 1 + confidence], dtype=torch.float64) / 2
    low, high = torch.cat(means).quantile(ends).tolist()
    return Estimate(values.mean().item(), low, high)


def paired_interval(
    values: Sequence[float] | Tensor,
    baseline: Sequence[float] | Tensor,
    *,
    generator: torch.Generator,
    confidence: float = 0.95,
    draws: int = 10_000,
) -> Estimate:
    """Return the mean difference of two methods on the same images, and its interval.

    Image by image, so what makes an image hard for both does not widen the interval. The
    difference can be relied on where the interval leaves out 0. Parameters as
    `mean_interval`.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    baseline = torch.as_tensor(baseline, dtype=torch.float64)
    if values.shape != baseline.shape:
        raise ValueError(
            f"expected both methods on the same images, got {tuple(values.shape)} and "
            f"{tuple(baseline.shape)} values"
        )
    return mean_interval(values - baseline, generator=generator, confidence=confidence, draws=draws)


def recorded_iou() -> list[dict[str, str]]:
    """Return the IoU of each step of the procedure on 84 photos, one row a photo.

    `file`, `source` ("coco" or "kangaroo"), then the steps. The photos are not in the
    package; ``tools/measure_localization.py`` wrote the rows.
    """
    path = Path(__file__).parent / "data" / "localization_iou.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _area(box: Box) -> float:
    x0, y0, x1, y1 = box
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"expected a box (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {box}")
    return (x1 - x0) * (y1 - y0)
