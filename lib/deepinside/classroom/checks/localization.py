"""Checks of the exercises on localization (paper §3.2): seeds, component, box, IoU, GrabCut.

Each takes a student's function and says what kind of wrong it is. The maps and masks are
small and their results known; nothing here uses `deepinside.localization`.
"""

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from deepinside.classroom.answers import Answer, Hint, Result, compare, compare_cases, judged

Box = tuple[int, int, int, int]


def check_quantile_seeds(quantile_seeds: object) -> Result:
    """Return what a check says of the seeds of object and background of a map.

    Expected is ``quantile_seeds(saliency)``, from a map (H, W) to two masks (H, W): pixels
    above the 95 % quantile, and those not above the 30 % quantile. Paper §3.2.
    """
    return judged("quantile_seeds", quantile_seeds, _judge_quantile_seeds)


def check_largest_component(largest_component: object) -> Result:
    """Return what a check says of the largest connected component of a mask.

    Expected is ``largest_component(mask)``, from a mask to a mask, both (H, W); diagonal
    neighbors are connected. Paper §3.2.
    """
    return judged("largest_component", largest_component, _judge_largest_component)


def check_bounding_box(bounding_box: object) -> Result:
    """Return what a check says of the box around a mask.

    Expected is ``bounding_box(mask)``, from a mask (H, W) to (x0, y0, x1, y1), half-open.
    """
    return judged("bounding_box", bounding_box, _judge_bounding_box)


def check_iou(iou: object) -> Result:
    """Return what a check says of the intersection over union of two boxes.

    Expected is ``iou(box, other)`` of half-open (x0, y0, x1, y1), a number.
    """
    return judged("iou", iou, _judge_iou)


def check_grabcut_mask(grabcut_mask: object) -> Result:
    """Return what a check says of a mask that GrabCut grows from seeds.

    Expected is ``grabcut_mask(photo, object_seeds, background_seeds)``, from a photo
    (3, H, W) in [0, 1] and two masks (H, W) to a mask (H, W). Paper §3.2.
    """
    return judged("grabcut_mask", grabcut_mask, _judge_grabcut_mask)


# ---- seeds


def _judge_quantile_seeds(answer: Answer) -> str:
    def seeds(saliency: Tensor) -> Tensor:
        value = answer(saliency)
        try:
            pair = [torch.as_tensor(np.asarray(one)).double() for one in value]
        except (TypeError, ValueError, RuntimeError):
            pair = []
        if len(pair) != 2 or pair[0].shape != pair[1].shape:
            raise Hint(
                "Expected two masks of the map's shape, `object_seeds, background_seeds`, "
                f"got {_described(value)}."
            )
        return torch.stack(pair)

    generator = torch.Generator().manual_seed(0)
    values = torch.rand(8, 7, generator=generator, dtype=torch.float64) ** 2
    cases = [(values,), ((values - values.quantile(0.7)).clamp(min=0),)]
    compare_cases(seeds, cases, _seeds, _SEED_MISTAKES, what="the two masks")
    return "A twentieth of the pixels is certain to be object, three tenths to be background."


def _described(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"one of shape {tuple(shape)}"
    return f"{len(value)}" if isinstance(value, tuple | list) else type(value).__name__


def _seeds(
    saliency: Tensor,
    is_object: Callable[[Tensor], Tensor] = lambda s: s > s.quantile(0.95),
    is_background: Callable[[Tensor], Tensor] = lambda s: s <= s.quantile(0.30),
) -> Tensor:
    return torch.stack([is_object(saliency), is_background(saliency)]).double()


def _seed_variants(objects: list[Callable], backgrounds: list[Callable]) -> list[Callable]:
    pairs = product(objects, backgrounds)
    return [lambda s, a=a, b=b: _seeds(s, a, b) for a, b in pairs]


_RIGHT_OBJECT, _RIGHT_BACKGROUND = _seeds.__defaults__
_LOW_OBJECTS = [
    lambda s: s < s.quantile(0.95),
    lambda s: s <= s.quantile(0.95),
    lambda s: s > s.quantile(0.05),
    lambda s: s < s.quantile(0.05),
    lambda s: s <= s.quantile(0.05),
]
_STRICT_BACKGROUND = [lambda s: s < s.quantile(0.30)]
_HIGH_BACKGROUNDS = [
    lambda s: s > s.quantile(0.30),
    lambda s: s >= s.quantile(0.30),
    lambda s: s > s.quantile(0.70),
    lambda s: s <= s.quantile(0.70),
    lambda s: s < s.quantile(0.70),
]


def _by_share(s: Tensor) -> list[Tensor]:
    return [s > 0.95 * s.max(), s <= 0.30 * s.max()]


def _by_line(s: Tensor, dim: int) -> list[Tensor]:
    high, low = (s.quantile(q, dim=dim, keepdim=True) for q in (0.95, 0.30))
    return [s > high, s <= low]


_SEED_MISTAKES = {
    "The two masks are exchanged: the task wants the object's seeds first.": [
        lambda s: _seeds(s).flip(0),
        lambda s: _seeds(s, is_background=_STRICT_BACKGROUND[0]).flip(0),
    ],
    "No pixel of a map with many zeros is *below* its 30 % quantile, as that is zero itself: the "
    "background is what is not above it, `<=`.": _seed_variants(
        [_RIGHT_OBJECT], _STRICT_BACKGROUND
    ),
    "The object's seeds lie on the wrong side of their quantile, or it is the wrong one: they are "
    "the 5 % *highest* values, those above the quantile 0.95.": _seed_variants(
        _LOW_OBJECTS, [_RIGHT_BACKGROUND, *_STRICT_BACKGROUND, *_HIGH_BACKGROUNDS]
    ),
    "The background's seeds lie on the wrong side of their quantile, or it is the wrong one: they "
    "are the 30 % *lowest* values, those not above the quantile 0.30.": _seed_variants(
        [_RIGHT_OBJECT], _HIGH_BACKGROUNDS
    ),
    "The two quantiles are exchanged: the object is above 0.95, the background not above "
    "0.30.": _seed_variants(
        [lambda s: s > s.quantile(0.30)],
        [lambda s: s <= s.quantile(0.95), lambda s: s < s.quantile(0.95)],
    ),
    "The thresholds are shares of the largest value. A quantile counts pixels: 95 % of them lie "
    "below the quantile 0.95, whatever their values are.": [
        lambda s: torch.stack(_by_share(s)),
        lambda s: torch.stack(_by_share(s - s.min())),
    ],
    "The quantiles are far too low: `np.percentile` counts from 0 to 100, `np.quantile` and "
    "`torch.quantile` from 0 to 1.": _seed_variants(
        [lambda s: s > s.quantile(0.0095)],
        [lambda s: s <= s.quantile(0.003), lambda s: s < s.quantile(0.003)],
    ),
    "Each row or column has a quantile of its own here. The task wants one of all pixels of the "
    "map, so without `dim` or `axis`.": [
        lambda s: torch.stack(_by_line(s, 0)),
        lambda s: torch.stack(_by_line(s, 1)),
    ],
    "These are the values of the map, or zeros, in place of masks: a comparison such as `a > b` "
    "is a mask already.": lambda s: _seeds(s) * s,
}


# ---- component

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


def _judge_largest_component(answer: Answer) -> str:
    cases = [(_MASK,), (_MASK.flip(0, 1),), (_MASK.T,)]
    compare_cases(answer, cases, _component, _COMPONENT_MISTAKES, what="the mask")
    return "The component of most pixels, connected at corners as well."


def _labels(mask: Tensor, *, corners: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each pixel's component, 0 for none, and the components' sizes."""
    structure = np.ones((3, 3)) if corners else None
    labels, _ = ndimage.label(mask.numpy(), structure)
    return labels, np.bincount(labels.ravel())[1:]


def _component(mask: Tensor, *, corners: bool = True) -> Tensor:
    labels, sizes = _labels(mask, corners=corners)
    return torch.from_numpy(labels == 1 + sizes.argmax())


def _numbered_component(mask: Tensor, pick: Callable[[np.ndarray], int], corners: bool) -> Tensor:
    labels, sizes = _labels(mask, corners=corners)
    return torch.from_numpy(labels == pick(sizes))


def _component_of_largest_box(mask: Tensor, corners: bool) -> Tensor:
    labels, _ = _labels(mask, corners=corners)
    heights_widths = [[part.stop - part.start for part in o] for o in ndimage.find_objects(labels)]
    return torch.from_numpy(labels == 1 + np.argmax([h * w for h, w in heights_widths]))


def _either(function: Callable, *arguments: object) -> list[Callable]:
    """Return a mistake made with and without connection at corners."""
    return [lambda m, c=corners: function(m, *arguments, c) for corners in (True, False)]


_COMPONENT_MISTAKES = {
    "Diagonal neighbors are not connected here. Say so to the library: `connectivity=8` "
    "(OpenCV), `connectivity=2` (scikit-image), `structure=np.ones((3, 3))` (SciPy).": (
        lambda m: _component(m, corners=False)
    ),
    "This is the whole mask, with all components.": lambda m: m,
    "This is everything but the mask: label 0 is the background, which is no component and must "
    "not take part in the search for the largest.": lambda m: ~m,
    "The label is one too low or too high: label 0 is the background, so the first size without "
    "it belongs to label 1.": [
        *_either(_numbered_component, lambda sizes: sizes.argmax()),
        *_either(_numbered_component, lambda sizes: sizes.argmax() + 2),
    ],
    "This is the smallest component.": _either(
        _numbered_component, lambda sizes: 1 + sizes.argmin()
    ),
    "This is the first or the last component that was numbered, not the one of most pixels.": [
        *_either(_numbered_component, lambda sizes: 1),
        *_either(_numbered_component, lambda sizes: len(sizes)),
    ],
    "This component has the largest box, but not the most pixels.": _either(
        _component_of_largest_box
    ),
    "These are the numbers of the components. The task wants a mask of one of them: compare with "
    "the number of the largest.": [
        lambda m: torch.from_numpy(_labels(m)[0]),
        lambda m: torch.from_numpy(_labels(m, corners=False)[0]),
    ],
}


# ---- box


def _judge_bounding_box(answer: Answer) -> str:
    bent, corner, pixel = (torch.zeros(7, 10, dtype=torch.bool) for _ in range(3))
    bent[2, 3:8] = bent[2:4, 3] = True
    corner[4:, 8:] = True
    pixel[5, 1] = True
    cases = [(bent,), (corner,), (pixel,)]
    compare_cases(answer, cases, lambda m: _numbers(_box(m)), _BOX_MISTAKES, what="the box")
    return "Half-open, x before y."


def _box(mask: Tensor) -> Box:
    rows, columns = torch.where(mask)
    return (
        columns.min().item(),
        rows.min().item(),
        columns.max().item() + 1,
        rows.max().item() + 1,
    )


def _numbers(values: tuple) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _of_box(change: Callable[..., tuple]) -> Callable[[Tensor], Tensor]:
    return lambda mask: _numbers(change(*_box(mask)))


_BOX_MISTAKES = {
    "Rows and columns are swapped: x counts columns, y counts rows, and x comes first.": [
        _of_box(lambda x0, y0, x1, y1: (y0, x0, y1, x1)),
        _of_box(lambda x0, y0, x1, y1: (y0, x0, y1 - 1, x1 - 1)),
        _of_box(lambda x0, y0, x1, y1: (y0, x0, y1 - y0, x1 - x0)),
    ],
    "The last column and row are left out: a half-open box ends one *after* the last pixel that "
    "it holds.": _of_box(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)),
    "The order is another: expected (x0, y0, x1, y1), the upper left corner and then the lower "
    "right one.": [
        _of_box(lambda x0, y0, x1, y1: (x0, x1, y0, y1)),
        _of_box(lambda x0, y0, x1, y1: (y0, y1, x0, x1)),
        _of_box(lambda x0, y0, x1, y1: (x0, x1 - 1, y0, y1 - 1)),
        _of_box(lambda x0, y0, x1, y1: (y0, y1 - 1, x0, x1 - 1)),
        _of_box(lambda x0, y0, x1, y1: (x1, y1, x0, y0)),
        _of_box(lambda x0, y0, x1, y1: (x1 - 1, y1 - 1, x0, y0)),
    ],
    "The last two numbers are width and height. Expected is where the box ends: x0 + width, y0 + "
    "height.": [
        _of_box(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)),
        _of_box(lambda x0, y0, x1, y1: (x0, y0, x1 - x0 - 1, y1 - y0 - 1)),
    ],
    "The box starts one pixel too late or too early: a half-open box starts *at* the first pixel "
    "that it holds.": [
        _of_box(lambda x0, y0, x1, y1: (x0 + 1, y0 + 1, x1, y1)),
        _of_box(lambda x0, y0, x1, y1: (x0 - 1, y0 - 1, x1, y1)),
        _of_box(lambda x0, y0, x1, y1: (x0 + 1, y0 + 1, x1 + 1, y1 + 1)),
    ],
}


# ---- intersection over union


def _judge_iou(answer: Answer) -> str:
    box = (1, 1, 5, 4)
    others = [
        box,
        (1, 1, 4, 4),
        (3, 2, 9, 7),
        (2, 2, 4, 3),
        (5, 1, 8, 4),
        # apart in one direction, and in both, where two negative lengths have a positive product
        (7, 2, 9, 3),
        (8, 6, 11, 10),
    ]
    cases = [(box, other) for other in others]
    cases += [(other, box) for other in others[1:4]]
    compare_cases(answer, cases, _iou, _IOU_MISTAKES, what="the IoU")
    return "1 for the same box, 0 for boxes that share no pixel."


def _areas(box: Box, other: Box, extra: int = 0, clipped: bool = True) -> tuple[float, ...]:
    """Return the areas of the intersection, of both boxes, and of the box around both."""
    width = min(box[2], other[2]) - max(box[0], other[0]) + extra
    height = min(box[3], other[3]) - max(box[1], other[1]) + extra
    shared = max(width, 0) * max(height, 0) if clipped else width * height
    one, two = ((b[2] - b[0] + extra) * (b[3] - b[1] + extra) for b in (box, other))
    hull = (max(box[2], other[2]) - min(box[0], other[0])) * (
        max(box[3], other[3]) - min(box[1], other[1])
    )
    return shared, one, two, hull


def _of_areas(formula: Callable[..., float], **options: object) -> Callable[[Box, Box], Tensor]:
    return lambda box, other: _numbers((formula(*_areas(box, other, **options)),))[0]


_iou = _of_areas(lambda shared, one, two, hull: shared / (one + two - shared))

_IOU_MISTAKES = {
    "Boxes that lie apart get an IoU other than 0. There the overlap's width or height comes out "
    "negative, two negative ones with a positive product: take at least 0 of each.": [
        _of_areas(lambda i, a, b, _: i / (a + b - i), clipped=False),
        _of_areas(lambda i, a, b, _: max(i, 0) / (a + b - max(i, 0)), clipped=False),
        _of_areas(lambda i, a, b, _: abs(i) / (a + b - abs(i)), clipped=False),
    ],
    "The shared pixels are counted twice in the union: it is the sum of both areas *minus* the "
    "intersection.": [
        _of_areas(lambda i, a, b, _: i / (a + b)),
        _of_areas(lambda i, a, b, _: i / (a + b), clipped=False),
    ],
    "This is the Dice coefficient, twice the intersection over the sum of both areas. The IoU "
    "divides by the union.": _of_areas(lambda i, a, b, _: 2 * i / (a + b)),
    "The intersection is divided by one of the boxes, in place of the union of both: a box that "
    "covers everything would then be right everywhere.": [
        _of_areas(lambda i, a, b, _: i / a),
        _of_areas(lambda i, a, b, _: i / b),
        _of_areas(lambda i, a, b, _: i / min(a, b)),
        _of_areas(lambda i, a, b, _: i / max(a, b)),
    ],
    "Lengths are one pixel too long: boxes are half-open, so a width is x1 - x0, without + 1.": [
        _of_areas(lambda i, a, b, _: i / (a + b - i), extra=1),
        _of_areas(lambda i, a, b, _: i / (a + b - i), extra=1, clipped=False),
    ],
    "The intersection is divided by the box around both boxes. The union holds only pixels that "
    "are in one of them.": _of_areas(lambda i, a, b, hull: i / hull),
    "This is the intersection alone, in pixels: divide it by the union.": _of_areas(
        lambda i, a, b, _: i
    ),
    "This is the union over the intersection, upside down.": _of_areas(
        lambda i, a, b, _: (a + b - i) / i if i else torch.inf
    ),
}


# ---- GrabCut


def _judge_grabcut_mask(answer: Answer) -> str:
    photo, truth, object_seeds, background_seeds = _colored_rectangle()
    given = (photo, object_seeds, background_seeds)
    compare(answer(*given), truth, _grabcut_mistakes(*given, truth), what="the mask")
    return "From a few certain pixels to the whole object, by its color."


def _grabcut_mistakes(
    photo: Tensor, object_seeds: Tensor, background_seeds: Tensor, truth: Tensor
) -> dict[str, Tensor]:
    labels = _grab_cut(photo, object_seeds, background_seeds)
    return {
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
        "`photo.permute(1, 2, 0)`.": _mask_of(
            _grab_cut(_reshaped(photo), object_seeds, background_seeds)
        ),
    }


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


def _reshaped(photo: Tensor) -> Tensor:
    """Return the photo that one gets who reshapes to (H, W, 3), channels first again."""
    return photo.reshape(*photo.shape[1:], 3).permute(2, 0, 1)


def _grab_cut(photo: Tensor, object_seeds: Tensor, background_seeds: Tensor) -> Tensor:
    """Return the four labels of OpenCV's GrabCut, (H, W)."""
    pixels = (photo.permute(1, 2, 0).contiguous().numpy() * 255).astype(np.uint8)
    labels = np.full(object_seeds.shape, cv2.GC_PR_BGD, np.uint8)
    labels[object_seeds.numpy()] = cv2.GC_FGD
    labels[background_seeds.numpy()] = cv2.GC_BGD
    models = np.zeros((2, 1, 65))
    cv2.grabCut(pixels, labels, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy(labels)


def _mask_of(labels: Tensor) -> Tensor:
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
