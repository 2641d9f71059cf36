"""Checks of the exercises on localization (paper §3.2): seeds, component, box, IoU, GrabCut.

The maps and masks are small and their results known; nothing here uses
`deepinside.localization`.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from deepinside.classroom.answers import Answer, Compared, Comparisons, Example, Hint, task
from deepinside.classroom.small_networks import drawn_image
from deepinside.images import Box

_OBJECT, _BACKGROUND = "the object's seeds", "the background's seeds"


def _seeds_example() -> Example:
    values = torch.tensor([[0.0, 7, 0, 9], [12, 0, 8, 6], [0, 10, 11, 0]])
    shown = (
        f"saliency:\n{values.int().tolist()}\nIts 95 % quantile is 11.45: only 12 lies above it. "
        "Its 30 % quantile is 0, as five of the twelve values are 0: those are not above it."
    )
    return Example((values,), shown, [values == 12, values == 0])


@task(
    "localization-seeds",
    points=2,
    minutes=15,
    parts={_OBJECT: 1, _BACKGROUND: 1},
    example=_seeds_example,
    praise="A twentieth of the pixels are object seeds, three tenths are background seeds.",
)
def check_quantile_seeds(answer: Answer) -> Comparisons:
    """Check ``quantile_seeds(saliency)``.

    It should return two masks (H, W) of a map (H, W): of the pixels above the 95 %
    quantile, and of those not above the 30 % quantile. Paper §3.2.
    """
    for s in _maps():
        object_seeds, background_seeds = _two_masks(answer(s), s)
        right, others = s > s.quantile(0.95), s <= s.quantile(0.30)
        by_quantiles = _thresholds(s)
        counted = (
            "Pixels are counted here. `torch.quantile` gives a value between those of two pixels; "
            "compare all pixels with it, so that equal ones get the same label."
        )
        mistakes = {
            "The two masks are exchanged: the task wants the object's seeds first.": [
                others,
                s < s.quantile(0.30),
            ],
            "The object's seeds lie *above* the 95 % quantile, `>`: pixels that equal it, as many "
            "do here, are no seeds.": s >= s.quantile(0.95),
            "The object's seeds lie on the wrong side of their quantile, or it is the wrong one: "
            "they are the 5 % *highest* values, those above the quantile 0.95.": [
                *(s < s.quantile(q) for q in (0.95, 0.05)),
                *(s <= s.quantile(q) for q in (0.95, 0.05)),
                *(s > s.quantile(q) for q in (0.05, 0.30, 0.70)),
            ],
            counted: _counted(s, 0.95),
            **{hint: [s > high for high, _ in pairs] for hint, pairs in by_quantiles.items()},
            "These are the values of the map, or zeros, in place of a mask of the object's seeds: "
            "a comparison such as `a > b` is a mask already.": s * right,
        }
        yield Compared(_OBJECT, object_seeds, right, mistakes, part=_OBJECT)
        mistakes = {
            "No pixel of a map with many zeros is *below* its 30 % quantile, as that is zero "
            "itself: the background is what is not above it, `<=`.": s < s.quantile(0.30),
            "This background is all that is no seed of the object. Pixels between the two "
            "quantiles get no label yet.": [s <= s.quantile(0.95), s < s.quantile(0.95)],
            "The background's seeds lie on the wrong side of their quantile, or it is the wrong "
            "one: they are the 30 % *lowest* values, those not above the quantile 0.30.": [
                *(s > s.quantile(q) for q in (0.30, 0.70)),
                *(s >= s.quantile(q) for q in (0.30, 0.70)),
                *(s <= s.quantile(q) for q in (0.70, 0.05)),
                s < s.quantile(0.70),
            ],
            counted: [~seeds for seeds in _counted(s, 0.30)],
            **{
                hint: [s <= low for _, low in pairs] + [s < low for _, low in pairs]
                for hint, pairs in by_quantiles.items()
            },
        }
        yield Compared(_BACKGROUND, background_seeds, others, mistakes, part=_BACKGROUND)


def _maps() -> list[Tensor]:
    """Return a map, one of many zeros, and one whose 95 % quantile is the value of many pixels."""
    values = drawn_image(8, 7, seed=0).square().float().double()
    sparse = (values - values.quantile(0.7)).clamp(min=0)
    ranks = values.flatten().argsort().argsort().view_as(values).double() / 64
    tied = torch.where((ranks > 0.7) & (ranks < 0.84), 0.75, ranks)
    tied[ranks == ranks.max()] = 1.5  # far above all others
    return [values, sparse, tied]


def _counted(s: Tensor, q: float) -> list[Tensor]:
    """Return the pixels above a quantile by their count or their place, without its value."""
    last = q * s.numel()
    places = {floor(last), ceil(last), round(last)}
    ranks = [s.flatten().argsort(stable=stable).argsort() for stable in (False, True)]
    ordered = s.flatten().sort().values
    return [
        *(rank.view_as(s) >= place for rank in ranks for place in places),
        *(s > ordered[place] for place in (floor(last) - 1, floor(last))),
    ]


def _thresholds(s: Tensor) -> dict[str, list]:
    """Return the usual wrong thresholds of object and background."""
    positive = s[s > 0]
    return {
        "The thresholds are shares of the largest value. A quantile counts pixels: 95 % of "
        "them lie below the quantile 0.95, whatever their values are.": [
            (0.95 * s.max(), 0.30 * s.max()),
            (s.min() + 0.95 * (s.max() - s.min()), s.min() + 0.30 * (s.max() - s.min())),
        ],
        "The values of the map are compared with 0.95 and 0.30. These are shares of the pixels: "
        "`torch.quantile` gives the value that belongs to each.": [(0.95, 0.30)],
        "The quantiles are far too low: `np.percentile` counts from 0 to 100, `np.quantile` and "
        "`torch.quantile` from 0 to 1.": [(s.quantile(0.0095), s.quantile(0.003))],
        "Each row or column has a quantile of its own here. The task wants one of all pixels of "
        "the map, so without `dim` or `axis`.": [
            [s.quantile(q, dim=dim, keepdim=True) for q in (0.95, 0.30)] for dim in (0, 1)
        ],
        "The quantiles leave out the pixels that are 0: the task wants those of all pixels.": [
            (positive.quantile(0.95), positive.quantile(0.30))
        ],
    }


def _two_masks(value: object, s: Tensor) -> list:
    if isinstance(value, Hint):
        return [value, value]
    masks = list(value) if isinstance(value, tuple | list) else []
    if isinstance(value, Tensor) and value.ndim == 3:
        masks = list(value)
    if len(masks) != 2:
        got = f"{len(masks)}" if masks else f"one {type(value).__name__}"
        raise Hint(f"Expected two masks, `object_seeds, background_seeds`, got {got}.")
    shapes = [tuple(getattr(mask, "shape", ())) for mask in masks]
    if shapes == [(), ()]:
        raise Hint(
            "These are two numbers, such as the quantiles. The task wants two masks: compare "
            "the map with them."
        )
    if any(shape != s.shape for shape in shapes):
        raise Hint(
            f"Expected two masks of the map's shape, {tuple(s.shape)}, got {shapes[0]} and "
            f"{shapes[1]}."
        )
    return masks


# seven pixels that hang together at a corner, six in a block, four on a diagonal, three in a row
_DIAGONALS = (
    ".###.......",
    ".......#...",
    "........#..",
    "##.......#.",
    "##........#",
    "..###......",
    ".......###.",
    ".##....###.",
)
# eighteen pixels around a hole; a ring of sixteen that encloses more, twelve in a long line
_HOLES = (
    "#####..#####..",
    "#...#..##.##..",
    "#...#..##.##..",
    "#...#..#####..",
    "#####.........",
    "..............",
    "......##......",
    "..............",
    ".############.",
)


# larger than the background, and last whoever numbers; alone
_LARGE = ("#..####", "#.#####", "..#####")
_ALONE = ("......", ".##...", "...#..", "......")


def _mask(*rows: str) -> Tensor:
    return torch.tensor([[pixel == "#" for pixel in row] for row in rows])


def _component_example() -> Example:
    mask = _mask("#...#", ".#..#", "..#..")
    shown = (
        f"mask:\n{mask.int().tolist()}\nTwo components: three pixels on a diagonal, connected at "
        "their corners, and two in the last column. The diagonal has more."
    )
    return Example((mask,), shown, _mask("#....", ".#...", "..#.."))


@task(
    "localization-component",
    points=2,
    minutes=15,
    example=_component_example,
    praise="The component with the most pixels, connected at corners as well.",
)
def check_largest_component(answer: Answer) -> Comparisons:
    """Check ``largest_component(mask)``.

    It should return the mask of the largest connected component of a mask, both (H, W);
    diagonal neighbors are connected. Paper §3.2.
    """
    diagonals, holes = _mask(*_DIAGONALS), _mask(*_HOLES)
    turned = [diagonals, diagonals.flip(0, 1), diagonals.mT.contiguous(), diagonals.flip(1)]
    for mask in (*turned, holes, holes.flip(1), _mask(*_LARGE), _mask(*_ALONE)):
        # with neighbors at corners, and without, as SciPy and OpenCV number them
        both = [_components(mask, structure) for structure in (np.ones((3, 3)), None)]
        components, few = both
        both += [_components_of_opencv(mask, connectivity) for connectivity in (8, 4)]
        right = max(components, key=_count)
        closed = _components(_filled(mask), np.ones((3, 3)))
        outlined = max(components, key=_outlined_area)
        mistakes = {
            "Diagonal neighbors are not connected here. Say so to the library: `connectivity=8` "
            "(OpenCV), `connectivity=2` (scikit-image), `structure=np.ones((3, 3))` "
            "(SciPy).": max(few, key=_count),
            "This is the whole mask, with all components.": mask,
            "This is everything but the mask: label 0 is the background, which is no component "
            "and must not take part in the search for the largest.": [
                ~mask,
                max(~mask, right, key=_count),
            ],
            "A hole is filled, or counts as a part of its component. Count and return only pixels "
            "that are true in the mask.": [
                _filled(right),
                max(closed, key=_count),
                max(closed, key=_count) & mask,
            ],
            "The component whose *outline* encloses most was taken: `cv2.contourArea` measures an "
            "outline, and holes count as well. Count the pixels.": [outlined, _filled(outlined)],
            "The label is one too low or too high: label 0 is the background, so the first size "
            "without it belongs to label 1.": [
                _numbers(listed) == largest + off
                for listed in both
                for largest in [int(np.argmax([_count(one) for one in listed]))]
                for off in (0, 2)
            ],
            "This is the smallest component.": [min(listed, key=_count) for listed in both],
            "This is the first or the last component that was numbered, not the one of most "
            "pixels.": [listed[place] for listed in both for place in (0, -1)],
            "This component has the largest box, but not the most pixels.": [
                max(listed, key=lambda one: _count(_boxed(one))) for listed in both
            ],
            "These are the two largest components. The task wants one.": (
                torch.stack(sorted(components, key=_count)[-2:]).any(0)
            ),
            "All of the component's box is true here. The task wants only its pixels.": (
                _boxed(right)
            ),
            "The labels are compared with a size. `max` gives the number of pixels, `argmax` the "
            "label that has so many.": [_numbers(listed) == _count(right) for listed in both],
            "These are the numbers of the components. The task wants a mask of one of them: "
            "compare with the number of the largest.": [_numbers(listed) for listed in both],
        }
        yield Compared("the mask", answer(mask), right, mistakes)


def _components(mask: Tensor, structure: np.ndarray | None) -> list[Tensor]:
    """Return the mask of each component, in the order of their numbers."""
    labels, count = ndimage.label(mask, structure)
    return [torch.from_numpy(labels == number) for number in range(1, count + 1)]


def _components_of_opencv(mask: Tensor, connectivity: int) -> list[Tensor]:
    pixels = mask.numpy().astype(np.uint8)
    count, labels = cv2.connectedComponents(pixels, connectivity=connectivity)
    return [torch.from_numpy(labels == number) for number in range(1, count)]


def _numbers(components: list[Tensor]) -> Tensor:
    return torch.stack([(i + 1) * one for i, one in enumerate(components)]).sum(0)


def _count(mask: Tensor) -> int:
    return int(mask.sum())


def _filled(mask: Tensor) -> Tensor:
    return torch.from_numpy(ndimage.binary_fill_holes(mask))


def _boxed(mask: Tensor) -> Tensor:
    """Return the mask of a mask's box."""
    return mask.any(1)[:, None] & mask.any(0)


def _outlined_area(component: Tensor) -> float:
    pixels = component.numpy().astype(np.uint8)
    (outline,), _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.contourArea(outline)


def _box_example() -> Example:
    mask = _mask(".....", "..###", ".....")
    shown = f"mask:\n{mask.int().tolist()}\nThe true pixels lie in columns 2 to 4 and in row 1."
    return Example((mask,), shown, (2, 1, 5, 2))


# bent; at the lower right corner; one pixel; widest in its middle row; in two pieces
_BOXED = (
    ((".........", ".........", "...#####.", "...#....."), (3, 2, 8, 4)),
    (
        (
            "..........",
            "..........",
            "..........",
            "..........",
            "........##",
            "........##",
            "........##",
        ),
        (8, 4, 10, 7),
    ),
    (("......", "......", "......", "......", "......", ".#...."), (1, 5, 2, 6)),
    ((".........", "....#....", "..#####..", ".....#...", "........."), (2, 1, 7, 4)),
    (
        ("........", "..#.....", "...#....", "........", "........", ".....###", "........"),
        (2, 1, 8, 6),
    ),
)


@task(
    "localization-box",
    points=1,
    minutes=10,
    example=_box_example,
    praise="Half-open, x before y.",
)
def check_bounding_box(answer: Answer) -> Comparisons:
    """Check ``bounding_box(mask)``.

    It should return the box (x0, y0, x1, y1) around a mask (H, W), half-open.
    """
    for rows, right in _BOXED:
        mask, (x0, y0, x1, y1) = _mask(*rows), right
        (height, width), seen = mask.shape, mask.nonzero().tolist()
        (first_y, first_x), (last_y, last_x) = seen[0], seen[-1]
        pieces = [torch.where(piece) for piece in _components(mask, np.ones((3, 3)))]
        mistakes = {
            "Rows and columns are swapped: x counts columns, y counts rows, and x comes first.": [
                (y0, x0, y1, x1),
                (y0, x0, y1 - 1, x1 - 1),
                (y0, x0, y1 - y0, x1 - x0),
            ],
            "The last column or row is left out: a half-open box ends one *after* the last pixel "
            "that it holds.": [
                (x0, y0, x1 - 1, y1 - 1),
                (x0, y0, x1, y1 - 1),
                (x0, y0, x1 - 1, y1),
            ],
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
            "width, y0 + height.": [
                (x0, y0, x1 - x0, y1 - y0),
                (x0, y0, y1 - y0, x1 - x0),
                (x0, y0, x1 - x0 - 1, y1 - y0 - 1),
                ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0),
            ],
            "The box starts one pixel too late or too early: a half-open box starts *at* the first "
            "pixel that it holds.": [
                (x0 + 1, y0 + 1, x1, y1),
                (x0 + 1, y0, x1, y1),
                (x0, y0 + 1, x1, y1),
                (x0 - 1, y0 - 1, x1, y1),
                (x0 + 1, y0 + 1, x1 + 1, y1 + 1),
            ],
            "The box ends one pixel too late: it ends right after the last pixel that it holds.": (
                (x0, y0, x1 + 1, y1 + 1)
            ),
            "The first and the last true pixel in reading order bound the rows, but others may lie "
            "further left or right: take the smallest and the largest column of all.": [
                (first_x, first_y, last_x + 1, last_y + 1),
                (first_x, first_y, last_x, last_y),
            ],
            "The columns and rows with true pixels are counted. There may be gaps among them: the "
            "box ends after the last one.": [
                (x0, y0, x0 + _count(mask.any(0)), y0 + _count(mask.any(1))),
                (x0, y0, x0 + int(mask.sum(1).max()), y0 + int(mask.sum(0).max())),
            ],
            "This is the box of one component alone, such as the largest or the first. The task "
            "wants that of all true pixels.": [
                (
                    *(int(places.min()) for places in piece[::-1]),
                    *(int(places.max()) + 1 for places in piece[::-1]),
                )
                for piece in pieces
            ],
            "Coordinates count from the wrong edge: x from the left one, and y from the top, as "
            "rows do.": [
                (x0, height - y1, x1, height - y0),
                (width - x1, y0, width - x0, y1),
            ],
            "This is the box of the whole image. Only the true pixels count.": (
                (0, 0, width, height)
            ),
            "These are shares of the width and the height. A box counts pixels, in four whole "
            "numbers.": (x0 / width, y0 / height, x1 / width, y1 / height),
        }
        # as floats, so that 3.0 does as well as 3
        yield Compared("the box", answer(mask), tuple(map(float, right)), mistakes)


def _iou_example() -> Example:
    shown = (
        "box = (0, 0, 4, 2) and other = (2, 1, 4.5, 3) share 2 columns and 1 row: 2 pixels. "
        "Their areas are 8 and 2.5 * 2 = 5, so both cover 8 + 5 - 2 = 11."
    )
    return Example(((0, 0, 4, 2), (2, 1, 4.5, 3)), shown, 2 / 11)


@task(
    "localization-iou",
    points=2,
    minutes=15,
    example=_iou_example,
    praise="1 for the same box, 0 for boxes that share no pixel.",
)
def check_iou(answer: Answer) -> Comparisons:
    """Check ``iou(box, other)``.

    It should return the intersection over union of half-open (x0, y0, x1, y1), a number.
    """
    first = (1, 1, 5, 4)
    others = [(1, 1, 4, 4), (3, 2, 9, 7), (2, 2, 4, 3), (2.75, 0.5, 6.25, 3.75)]
    # apart in one direction or the other, and in both, where two negative lengths have a
    # positive product
    apart = [(5, 1, 8, 4), (7, 2, 9, 3), (2, 6, 4, 9), (8, 6, 11, 10)]
    cases = [(first, other) for other in [first, *others, *apart]]
    for box, other in cases + [(other, first) for other in (*others, *apart)]:
        width, height, a, b = _lengths(box, other)
        shared = max(width, 0) * max(height, 0)
        negative, right = width * height, shared / (a + b - shared)
        long_width, long_height, long_a, long_b = _lengths(box, other, extra=1)
        long_shared = [max(long_width, 0) * max(long_height, 0), long_width * long_height]
        corners = list(zip(box, other, strict=True))
        hull = _area([*map(min, corners[:2]), *map(max, corners[2:])])
        mistakes = {
            "Coordinates are not always whole: a true box may start at 2.75. Take them as they "
            "are, without `int`, `round` or a mask of pixels.": [
                *(_iou(_cut(box, *cuts), _cut(other, *cuts)) for cuts in _CUTS),
                _iou(box, _cut(other, int, int)),
            ],
            "Boxes that lie apart get an IoU other than 0. There the overlap's width or height "
            "comes out negative, two negative ones with a positive product: take at least 0 of "
            "each.": [
                part / (a + b - part)
                for part in (
                    negative,
                    max(negative, 0),
                    abs(negative),
                    max(width, 0) * height,
                    width * max(height, 0),
                    negative if width > 0 else 0,
                    negative if height > 0 else 0,
                    0 if width < 0 and height < 0 else negative,
                )
            ],
            "The shared pixels are counted twice in the union: it is the sum of both areas *minus* "
            "the intersection.": [shared / (a + b), negative / (a + b)],
            "This is the Dice coefficient, twice the intersection over the sum of both areas. The "
            "IoU divides by the union.": 2 * shared / (a + b),
            "The intersection is divided by one of the boxes, in place of the union of both: a box "
            "that covers everything would then be right everywhere.": [
                shared / divisor for divisor in (a, b, min(a, b), max(a, b))
            ],
            "Lengths are one pixel too long: boxes are half-open, so a width is x1 - x0, without + "
            "1.": [part / (long_a + long_b - part) for part in long_shared],
            "The intersection is divided by the box around both boxes. The union holds only pixels "
            "that are in one of them.": shared / hull,
            "Parentheses are missing: divide the intersection by the whole union, `shared / (both "
            "- shared)`.": [
                shared / a + b - shared,
                shared / (a + b) - shared,
                shared / (box[2] - box[0]) * (box[3] - box[1]) + b - shared,
            ],
            "This is the intersection alone, in pixels: divide it by the union.": shared,
            "This is the union over the intersection, upside down.": (
                1 / right if shared else np.inf
            ),
            "`min` and `max` are exchanged: the overlap starts at the *larger* of both starts and "
            "ends at the *smaller* of both ends.": (
                hull / (a + b - hull) if a + b != hull else np.inf
            ),
            "The last two numbers are where a box *ends*, x1 and y1, and not its width and "
            "height.": [
                _iou(*((*one[:2], one[0] + one[2], one[1] + one[3]) for one in (box, other))),
                shared / (box[2] * box[3] + other[2] * other[3] - shared),
            ],
            "`//` cuts the quotient to a whole number: divide by `/`.": shared // (a + b - shared),
            "The quotient is rounded. Return it as it is.": [round(right, n) for n in (1, 2, 3)],
            "This is the IoU in percent. Return it as a number from 0 to 1.": 100 * right,
            "This is 1 minus the IoU.": 1 - right,
            "This says whether the IoU is at least 0.5. The task wants the IoU itself.": (
                float(right >= 0.5)
            ),
        }
        yield Compared("the IoU", answer(box, other), right, mistakes)


# of starts and of ends: cut off, rounded, or as masks of pixels hold a box
_CUTS = ((int, int), (round, round), (floor, ceil), (ceil, floor), (ceil, ceil))


def _cut(box: Box, start: Callable[[float], int], end: Callable[[float], int]) -> Box:
    return (start(box[0]), start(box[1]), end(box[2]), end(box[3]))


def _iou(box: Box, other: Box) -> float:
    width, height, a, b = _lengths(box, other)
    shared = max(width, 0) * max(height, 0)
    return shared / (a + b - shared)


def _lengths(box: Box, other: Box, extra: int = 0) -> tuple[float, float, float, float]:
    """Return the overlap's width and height, negative where boxes lie apart; both areas."""
    x0, y0, x1, y1 = *map(max, box[:2], other[:2]), *map(min, box[2:], other[2:])
    return x1 - x0 + extra, y1 - y0 + extra, _area(box, extra), _area(other, extra)


def _area(box: Sequence[float], extra: int = 0) -> float:
    return (box[2] - box[0] + extra) * (box[3] - box[1] + extra)


def _grabcut_example() -> Example:
    truth = _mask("......", ".####.", ".####.", "......", "......", "......")
    object_seeds, background_seeds = torch.zeros(2, 6, 6, dtype=torch.bool)
    object_seeds[1] = truth[1]
    background_seeds[4:] = True
    photo = (
        torch.tensor([[0.2, 0.6, 0.2], [0.8, 0.2, 0.2]])[truth.long()].permute(2, 0, 1).contiguous()
    )
    shown = (
        "A green photo of 6 x 6 pixels with a red rectangle, in rows 1 and 2 and columns 1 to 4. "
        "Row 1 of it is the object's seeds, the rows 4 and 5 are the background's. Red is the "
        "object's color, so row 2 of the rectangle becomes object as well."
    )
    return Example((photo, object_seeds, background_seeds), shown, truth)


@task(
    "localization-grabcut",
    points=3,
    minutes=20,
    optional=True,
    example=_grabcut_example,
    praise="From a few seeds to the whole object, by its color.",
)
def check_grabcut_mask(answer: Answer) -> Comparisons:
    """Check ``grabcut_mask(photo, object_seeds, background_seeds)``.

    It should return the mask (H, W) that GrabCut grows in a photo (3, H, W) in [0, 1] from
    two masks (H, W). Paper §3.2.
    """
    for color in (_BLUE, _PURPLE):
        yield _compared_cut(answer, *_colored_rectangles(color))


def _compared_cut(
    answer: Answer, photo: Tensor, truth: Tensor, object_seeds: Tensor, background_seeds: Tensor
) -> Compared:
    seeds = object_seeds, background_seeds
    # the photo that one gets who reshapes to (H, W, 3), channels first again
    reshaped = photo.reshape(*photo.shape[1:], 3).permute(2, 0, 1)
    none = torch.zeros_like(truth)
    labels = _grab_cut(photo, *seeds)
    components = _components(truth, np.ones((3, 3)))
    mistakes = {
        "Object and background are exchanged: `cv2.GC_FGD` belongs to the object's seeds, and the "
        "mask is where the labels are `GC_FGD` or `GC_PR_FGD`.": [
            ~truth,
            _is_object(_grab_cut(photo, *seeds[::-1])),
        ],
        "Only the object's seeds came out, for one of four reasons. The undecided pixels were "
        "labeled `GC_BGD`, which is 0 and means *certain*: they want `GC_PR_BGD`. Or `GC_PR_FGD` "
        "does not count as object in the end. Or GrabCut saw a black photo: values in [0, 1] "
        "become zeros when made `uint8`, so multiply by 255 first. Or GrabCut did not run, or ran "
        "on a copy of the labels that count in the end.": (object_seeds),
        "Everything but the background's seeds came out, as if undecided pixels were labeled "
        "`GC_FGD`, which is certain, or those that GrabCut labeled `GC_PR_BGD` counted as "
        "object.": ~background_seeds,
        "This is what GrabCut added, without the object's own seeds: the mask is where the labels "
        "are `GC_FGD` *or* `GC_PR_FGD`.": truth & ~object_seeds,
        "These are the four labels of GrabCut. The task wants a mask: true where the label is "
        "`GC_FGD` or `GC_PR_FGD`.": labels,
        "No pixel came out as object. Either the last line asks for pixels that are `GC_FGD` *and* "
        "`GC_PR_FGD`, or the object's seeds were not labeled as certain, `GC_FGD`.": none,
        "The last line takes the wrong labels: the object is where the label is `GC_FGD`, which is "
        "1, *or* `GC_PR_FGD`, which is 3.": [
            _is_one_of(labels, counted) for counted in ((2,), (0, 1), (1, 2), (0, 3), (2, 3))
        ],
        "`reshape` and `view` do not move the channels, they cut the numbers anew. Move the axis: "
        "`photo.permute(1, 2, 0)`.": _is_object(_grab_cut(reshaped, *seeds)),
        "The undecided pixels start as `GC_PR_FGD`, and with them other colors come into the "
        "object's model: label them `GC_PR_BGD`.": [
            _is_object(_grab_cut(photo, *chosen, cv2.GC_PR_FGD))
            for chosen in (seeds, (none, background_seeds))
        ],
        "The background's seeds are not used: they are certain, too, and want the label "
        "`GC_BGD`.": _is_object(_grab_cut(photo, object_seeds, none)),
        "GrabCut saw gray, or one color of the photo alone: it wants all three.": [
            _is_object(_grab_cut(gray.expand_as(photo), *seeds))
            for gray in (*photo.split(1), photo.mean(0, keepdim=True))
        ],
        "A hole is filled, or only the largest component is kept. Here the task wants the mask as "
        "GrabCut gives it.": [_filled(truth), max(components, key=_count)],
    }
    try:
        cv2.setRNGSeed(0)
        value = answer(photo, *seeds)
    except Hint as hint:
        if "fgdSamples.empty()" not in str(hint):
            raise
        raise Hint(
            "GrabCut found no pixel that is labeled as object, or none that is labeled as "
            "background. It needs both: write both masks of seeds into `labels`."
        ) from None
    if isinstance(value, Tensor) and value.dtype == torch.bool and value.shape == truth.shape:
        violated = (
            "Some seeds got the other label, though they are certain: the object's are `GC_FGD` "
            "and the background's `GC_BGD` in `labels`, and GrabCut starts from `labels` only with "
            "`cv2.GC_INIT_WITH_MASK`. Colors alone do not tell it."
        )
        if (object_seeds & ~value | background_seeds & value).any():
            mistakes[violated] = value
    return Compared("the mask", value, truth, mistakes)


# what is neither object nor background; purple is as red as the object
_BLUE, _PURPLE = (0.1, 0.2, 0.9), (0.8, 0.2, 0.9)


def _colored_rectangles(
    color: tuple[float, float, float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a photo with colored rectangles, the object, and seeds of object and background.

    Green is the background's color, and red the object's: a large rectangle with a hole, and a
    small one. A rectangle of another color is in no seed. A few seeds are certain against their
    color: a green block of the object, a red one of the background.
    """
    truth, other, object_seeds, background_seeds = torch.zeros(4, 32, 44, dtype=torch.bool)
    truth[4:16, 6:24] = truth[4:9, 30:40] = True
    truth[11:14, 17:21] = False  # the hole
    other[18:25, 28:40] = True
    colors = torch.tensor([[0.2, 0.5, 0.3], [0.8, 0.2, 0.2], color])
    photo = colors[truth + 2 * other].permute(2, 0, 1)
    noise = 0.1 * (drawn_image(*photo.shape, seed=0).float() - 0.5)
    object_seeds[6:9, 9:17] = object_seeds[21:24, 6:10] = True
    background_seeds[28:] = background_seeds[4:8, 20:24] = True
    truth = truth & ~background_seeds | object_seeds
    return (photo + noise).double().contiguous(), truth, object_seeds, background_seeds


def _grab_cut(
    photo: Tensor, object_seeds: Tensor, background_seeds: Tensor, undecided: int = cv2.GC_PR_BGD
) -> Tensor:
    """Return the four labels of OpenCV's GrabCut, (H, W)."""
    pixels = (photo.permute(1, 2, 0).contiguous().numpy() * 255).astype(np.uint8)
    labels = np.full(object_seeds.shape, undecided, np.uint8)
    labels[object_seeds.numpy()] = cv2.GC_FGD
    labels[background_seeds.numpy()] = cv2.GC_BGD
    models = np.zeros((2, 1, 65))
    whole = (0, 0, *reversed(labels.shape))  # not used, as there are seeds
    cv2.setRNGSeed(0)  # it draws; the answer draws the same
    cv2.grabCut(pixels, labels, whole, models[0], models[1], 5, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy(labels)


def _is_object(labels: Tensor) -> Tensor:
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _is_one_of(labels: Tensor, counted: tuple[int, ...]) -> Tensor:
    return torch.isin(labels, torch.tensor(counted, dtype=torch.uint8))
