"""Checks of the exercises on localization (paper §3.2): seeds, component, box, IoU, GrabCut.

The maps and masks are small and their results known; nothing here uses
`deepinside.localization`.
"""

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from deepinside.classroom.answers import Answer, Compared, Comparisons, Hint, task
from deepinside.images import Box


@task(
    "localization-seeds",
    points=2,
    praise="A twentieth of the pixels are object seeds, three tenths are background seeds.",
)
def check_quantile_seeds(answer: Answer) -> Comparisons:
    """Check ``quantile_seeds(saliency)``.

    It should return two masks (H, W) of a map (H, W): of the pixels above the 95 %
    quantile, and of those not above the 30 % quantile. Paper §3.2.
    """
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(8, 7, generator=generator, dtype=torch.float64) ** 2
    for s in (values, (values - values.quantile(0.7)).clamp(min=0)):
        # q stands for the quantile 0.q
        q95, q30, q05, q70 = (s.quantile(q) for q in (0.95, 0.30, 0.05, 0.70))
        right, strict = torch.stack([s > q95, s <= q30]), torch.stack([s > q95, s < q30])
        high = [s > q30, s >= q30, s > q70, s <= q70, s < q70]
        (rows95, rows30), (columns95, columns30) = (
            [s.quantile(q, dim=dim, keepdim=True) for q in (0.95, 0.30)] for dim in (0, 1)
        )
        mistakes = {
            "The two masks are exchanged: the task wants the object's seeds first.": [
                right.flip(0),
                strict.flip(0),
            ],
            "No pixel of a map with many zeros is *below* its 30 % quantile, as that is zero "
            "itself: the background is what is not above it, `<=`.": strict,
            "The object's seeds lie on the wrong side of their quantile, or it is the wrong one: "
            "they are the 5 % *highest* values, those above the quantile 0.95.": _pairs(
                [s < q95, s <= q95, s > q05, s < q05, s <= q05], [s <= q30, s < q30, *high]
            ),
            "The background's seeds lie on the wrong side of their quantile, or it is the wrong "
            "one: they are the 30 % *lowest* values, those not above the quantile 0.30.": _pairs(
                [s > q95], high
            ),
            "The two quantiles are exchanged: the object is above 0.95, the background not above "
            "0.30.": _pairs([s > q30], [s <= q95, s < q95]),
            "The thresholds are shares of the largest value. A quantile counts pixels: 95 % of "
            "them lie below the quantile 0.95, whatever their values are.": [
                torch.stack([m > 0.95 * m.max(), m <= 0.30 * m.max()]) for m in (s, s - s.min())
            ],
            "The quantiles are far too low: `np.percentile` counts from 0 to 100, `np.quantile` "
            "and `torch.quantile` from 0 to 1.": _pairs(
                [s > s.quantile(0.0095)], [s <= s.quantile(0.003), s < s.quantile(0.003)]
            ),
            "Each row or column has a quantile of its own here. The task wants one of all pixels "
            "of the map, so without `dim` or `axis`.": [
                torch.stack([s > rows95, s <= rows30]),
                torch.stack([s > columns95, s <= columns30]),
            ],
            "These are the values of the map, or zeros, in place of masks: a comparison such as "
            "`a > b` is a mask already.": right * s,
        }
        yield Compared("the two masks", _two_masks(answer(s)), right, mistakes)


def _pairs(objects: list[Tensor], backgrounds: list[Tensor]) -> list[Tensor]:
    return [torch.stack(pair) for pair in product(objects, backgrounds)]


def _two_masks(value: object) -> Tensor:
    try:
        pair = [torch.as_tensor(np.asarray(mask)) for mask in value]  # type: ignore[attr-defined]
    except (TypeError, ValueError, RuntimeError):
        pair = []
    if len(pair) != 2 or pair[0].shape != pair[1].shape:
        if isinstance(value, tuple | list):
            got = f"{len(value)}"
        else:
            shape = getattr(value, "shape", None)
            got = type(value).__name__ if shape is None else f"one of shape {tuple(shape)}"
        raise Hint(
            f"Expected two masks of the map's shape, `object_seeds, background_seeds`, got {got}."
        )
    return torch.stack(pair)


# seven pixels that hang together at a corner, five in a block, four on a diagonal, three in a row
_MASK = (
    torch.tensor(
        [
            [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
            [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0],
            [0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0],
        ]
    )
    > 0
)


@task(
    "localization-component",
    points=2,
    praise="The component with the most pixels, connected at corners as well.",
)
def check_largest_component(answer: Answer) -> Comparisons:
    """Check ``largest_component(mask)``.

    It should return the mask of the largest connected component of a mask, both (H, W);
    diagonal neighbors are connected. Paper §3.2.
    """
    for mask in (_MASK, _MASK.flip(0, 1), _MASK.T):
        # with neighbors at corners, and without
        labels, few = (ndimage.label(mask, structure)[0] for structure in (np.ones((3, 3)), None))
        both = [(part, np.bincount(part.ravel())[1:]) for part in (labels, few)]
        boxes = [
            [
                np.prod([side.stop - side.start for side in box])
                for box in ndimage.find_objects(part)
            ]
            for part in (labels, few)
        ]
        (_, sizes), (_, few_sizes) = both
        mistakes = {
            "Diagonal neighbors are not connected here. Say so to the library: `connectivity=8` "
            "(OpenCV), `connectivity=2` (scikit-image), `structure=np.ones((3, 3))` "
            "(SciPy).": few == 1 + few_sizes.argmax(),
            "This is the whole mask, with all components.": mask,
            "This is everything but the mask: label 0 is the background, which is no component "
            "and must not take part in the search for the largest.": ~mask,
            "The label is one too low or too high: label 0 is the background, so the first size "
            "without it belongs to label 1.": [
                part == count.argmax() + off for part, count in both for off in (0, 2)
            ],
            "This is the smallest component.": [part == 1 + count.argmin() for part, count in both],
            "This is the first or the last component that was numbered, not the one of most "
            "pixels.": [part == label for part, count in both for label in (1, len(count))],
            "This component has the largest box, but not the most pixels.": [
                part == 1 + np.argmax(areas) for (part, _), areas in zip(both, boxes, strict=True)
            ],
            "These are the numbers of the components. The task wants a mask of one of them: "
            "compare with the number of the largest.": [labels, few],
        }
        yield Compared("the mask", answer(mask), labels == 1 + sizes.argmax(), mistakes)


@task("localization-box", points=1, praise="Half-open, x before y.")
def check_bounding_box(answer: Answer) -> Comparisons:
    """Check ``bounding_box(mask)``.

    It should return the box (x0, y0, x1, y1) around a mask (H, W), half-open.
    """
    bent, corner, pixel = (torch.zeros(7, 10, dtype=torch.bool) for _ in range(3))
    bent[2, 3:8] = bent[2:4, 3] = True
    corner[4:, 8:] = True
    pixel[5, 1] = True
    for mask, right in ((bent, (3, 2, 8, 4)), (corner, (8, 4, 10, 7)), (pixel, (1, 5, 2, 6))):
        x0, y0, x1, y1 = right
        mistakes = {
            "Rows and columns are swapped: x counts columns, y counts rows, and x comes first.": [
                (y0, x0, y1, x1),
                (y0, x0, y1 - 1, x1 - 1),
                (y0, x0, y1 - y0, x1 - x0),
            ],
            "The last column and row are left out: a half-open box ends one *after* the last pixel "
            "that it holds.": (x0, y0, x1 - 1, y1 - 1),
            "The order is another: expected (x0, y0, x1, y1), the upper left corner and then the "
            "lower right one.": [
                (x0, x1, y0, y1),
                (y0, y1, x0, x1),
                (x0, x1 - 1, y0, y1 - 1),
                (y0, y1 - 1, x0, x1 - 1),
                (x1, y1, x0, y0),
                (x1 - 1, y1 - 1, x0, y0),
            ],
            "The last two numbers are width and height. Expected is where the box ends: x0 + "
            "width, y0 + height.": [(x0, y0, x1 - x0, y1 - y0), (x0, y0, x1 - x0 - 1, y1 - y0 - 1)],
            "The box starts one pixel too late or too early: a half-open box starts *at* the first "
            "pixel that it holds.": [
                (x0 + 1, y0 + 1, x1, y1),
                (x0 - 1, y0 - 1, x1, y1),
                (x0 + 1, y0 + 1, x1 + 1, y1 + 1),
            ],
        }
        yield Compared("the box", answer(mask), right, mistakes)


@task("localization-iou", points=2, praise="1 for the same box, 0 for boxes that share no pixel.")
def check_iou(answer: Answer) -> Comparisons:
    """Check ``iou(box, other)``.

    It should return the intersection over union of half-open (x0, y0, x1, y1), a number.
    """
    first = (1, 1, 5, 4)
    others = [(1, 1, 4, 4), (3, 2, 9, 7), (2, 2, 4, 3)]
    # apart in one direction, and in both, where two negative lengths have a positive product
    apart = [(5, 1, 8, 4), (7, 2, 9, 3), (8, 6, 11, 10)]
    cases = [(first, other) for other in [first, *others, *apart]]
    for box, other in cases + [(other, first) for other in others]:
        negative, clipped, a, b = _areas(box, other)
        long_negative, long_clipped, long_a, long_b = _areas(box, other, extra=1)
        union = a + b - clipped
        hull = _area([min(box[0], other[0]), min(box[1], other[1]), *map(max, box[2:], other[2:])])
        mistakes = {
            "Boxes that lie apart get an IoU other than 0. There the overlap's width or height "
            "comes out negative, two negative ones with a positive product: take at least 0 of "
            "each.": [
                shared / (a + b - shared) for shared in (negative, max(negative, 0), abs(negative))
            ],
            "The shared pixels are counted twice in the union: it is the sum of both areas *minus* "
            "the intersection.": [clipped / (a + b), negative / (a + b)],
            "This is the Dice coefficient, twice the intersection over the sum of both areas. The "
            "IoU divides by the union.": 2 * clipped / (a + b),
            "The intersection is divided by one of the boxes, in place of the union of both: a box "
            "that covers everything would then be right everywhere.": [
                clipped / divisor for divisor in (a, b, min(a, b), max(a, b))
            ],
            "Lengths are one pixel too long: boxes are half-open, so a width is x1 - x0, without + "
            "1.": [shared / (long_a + long_b - shared) for shared in (long_clipped, long_negative)],
            "The intersection is divided by the box around both boxes. The union holds only pixels "
            "that are in one of them.": clipped / hull,
            "This is the intersection alone, in pixels: divide it by the union.": clipped,
            "This is the union over the intersection, upside down.": (
                union / clipped if clipped else np.inf
            ),
        }
        yield Compared("the IoU", answer(box, other), clipped / union, mistakes)


def _areas(box: Box, other: Box, extra: int = 0) -> tuple[float, float, float, float]:
    """Return the overlap's width times height as they are, and where at least 0; both areas."""
    x0, y0, x1, y1 = *map(max, box[:2], other[:2]), *map(min, box[2:], other[2:])
    width, height = x1 - x0 + extra, y1 - y0 + extra
    clipped = max(width, 0) * max(height, 0)
    return width * height, clipped, _area(box, extra), _area(other, extra)


def _area(box: Sequence[float], extra: int = 0) -> float:
    return (box[2] - box[0] + extra) * (box[3] - box[1] + extra)


@task(
    "localization-grabcut",
    points=3,
    praise="From a few seeds to the whole object, by its color.",
)
def check_grabcut_mask(answer: Answer) -> Comparisons:
    """Check ``grabcut_mask(photo, object_seeds, background_seeds)``.

    It should return the mask (H, W) that GrabCut grows in a photo (3, H, W) in [0, 1] from
    two masks (H, W). Paper §3.2.
    """
    photo, truth, object_seeds, background_seeds = _colored_rectangle()
    # the photo that one gets who reshapes to (H, W, 3), channels first again
    reshaped = photo.reshape(*photo.shape[1:], 3).permute(2, 0, 1)
    labels, of_reshaped = (
        _grab_cut(image, object_seeds, background_seeds) for image in (photo, reshaped)
    )
    mistakes = {
        "Object and background are exchanged: `cv2.GC_FGD` belongs to the object's seeds, and the "
        "mask is where the labels are `GC_FGD` or `GC_PR_FGD`.": ~truth,
        "Only the object's seeds came out, for one of three reasons. The undecided pixels were "
        "labeled `GC_BGD`, which is 0 and means *certain*: they want `GC_PR_BGD`. Or `GC_PR_FGD` "
        "does not count as object in the end. Or GrabCut saw a black photo: values in [0, 1] "
        "become zeros when made `uint8`, so multiply by 255 first.": object_seeds,
        "Everything but the background's seeds came out: either undecided pixels were labeled "
        "`GC_FGD`, which is certain, or those that GrabCut labeled `GC_PR_BGD` count as "
        "object.": ~background_seeds,
        "This is what GrabCut added, without the object's own seeds: the mask is where the labels "
        "are `GC_FGD` *or* `GC_PR_FGD`.": truth & ~object_seeds,
        "These are the four labels of GrabCut. The task wants a mask: true where the label is "
        "`GC_FGD` or `GC_PR_FGD`.": labels,
        "`reshape` and `view` do not move the channels, they cut the numbers anew. Move the axis: "
        "`photo.permute(1, 2, 0)`.": np.isin(of_reshaped, (cv2.GC_FGD, cv2.GC_PR_FGD)),
    }
    value = answer(photo, object_seeds, background_seeds)
    yield Compared("the mask", value, truth, mistakes)


def _colored_rectangle() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a photo with one red rectangle, its mask, and seeds of object and background."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(24, 32, dtype=torch.bool)
    truth[6:15, 9:25] = True
    colors = torch.tensor([[0.2, 0.5, 0.3], [0.8, 0.2, 0.2]], dtype=torch.float64)
    photo = colors[truth.long()].permute(2, 0, 1)
    noise = torch.rand(photo.shape, generator=generator, dtype=torch.float64)
    object_seeds, background_seeds = torch.zeros(2, *truth.shape, dtype=torch.bool)
    object_seeds[9:12, 12:20] = True
    background_seeds[18:] = background_seeds[:, 28:] = True
    return photo + 0.1 * (noise - 0.5), truth, object_seeds, background_seeds


def _grab_cut(photo: Tensor, object_seeds: Tensor, background_seeds: Tensor) -> np.ndarray:
    """Return the four labels of OpenCV's GrabCut, (H, W)."""
    pixels = (photo.permute(1, 2, 0).contiguous().numpy() * 255).astype(np.uint8)
    labels = np.full(object_seeds.shape, cv2.GC_PR_BGD, np.uint8)
    labels[object_seeds.numpy()] = cv2.GC_FGD
    labels[background_seeds.numpy()] = cv2.GC_BGD
    models = np.zeros((2, 1, 65))
    whole = (0, 0, *reversed(labels.shape))  # not used, as there are seeds
    cv2.grabCut(pixels, labels, whole, models[0], models[1], 5, cv2.GC_INIT_WITH_MASK)
    return labels
