"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

from operator import add

import cv2
import numpy as np
import torch
from scipy import ndimage
from skimage import measure
from tables import usual_tests

from deepinside.classroom.checks import localization as checks


def seeds_of(saliency):
    return saliency > saliency.quantile(0.95), saliency <= saliency.quantile(0.30)


def seeds_of_numpy(saliency):
    low, high = np.percentile(saliency.numpy(), [30, 95])
    return [torch.from_numpy(saliency.numpy() > high), ~(saliency > low)]


def seeds_of_sorting(saliency):
    """The same for pixels without a quantile of the library."""
    ordered, last = saliency.flatten().sort().values, saliency.numel() - 1

    def quantile(q):
        below = int(q * last)
        rest = q * last - below
        return ordered[below] * (1 - rest) + ordered[below + 1] * rest

    return torch.stack([saliency > quantile(0.95), saliency <= quantile(0.30)])


def component_by_skimage(mask):
    labels = measure.label(mask.numpy())
    regions = measure.regionprops(labels)
    return torch.from_numpy(labels == max(regions, key=lambda region: region.area).label)


def component_by_opencv(mask):
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.numpy().astype(np.uint8))
    return torch.from_numpy(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


def component_by_filling(mask):
    """A flood fill from each pixel, without any library."""
    left = {tuple(place) for place in mask.nonzero().tolist()}
    best = set()
    while left:
        found, waiting = set(), [left.pop()]
        while waiting:
            row, column = waiting.pop()
            found.add((row, column))
            around = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            waiting += around
        best = max(best, found, key=len)
    answer = torch.zeros_like(mask)
    answer[tuple(zip(*best, strict=True))] = True
    return answer


def box_by_any(mask):
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return columns[0, 0], rows[0, 0], columns[-1, 0] + 1, rows[-1, 0] + 1


def box_by_opencv(mask):
    x, y, width, height = cv2.boundingRect(mask.numpy().astype(np.uint8))
    return [x, y, x + width, y + height]


def box_by_loop(mask):
    pixels = [(r, c) for r in range(mask.shape[0]) for c in range(mask.shape[1]) if mask[r, c]]
    rows, columns = zip(*pixels, strict=True)
    return torch.tensor([min(columns), min(rows), max(columns) + 1, max(rows) + 1])


def iou_by_formula(box, other):
    width = max(0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0, min(box[3], other[3]) - max(box[1], other[1]))
    both = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return width * height / (both - width * height)


def iou_by_masks(box, other):
    masks = torch.zeros(2, 20, 20, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (box, other), strict=True):
        mask[y0:y1, x0:x1] = True
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def iou_by_pixels(box, other):
    first, second = (
        {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in (box, other)
    )
    return len(first & second) / len(first | second)


def grabcut(
    photo,
    object_seeds,
    background_seeds,
    *,
    object_label=cv2.GC_FGD,
    background_label=cv2.GC_BGD,
    undecided=cv2.GC_PR_BGD,
    counted=(cv2.GC_FGD, cv2.GC_PR_FGD),
    factor=255,
    rounds=5,
):
    pixels = (photo.permute(1, 2, 0).numpy() * factor).astype(np.uint8)
    labels = np.full(object_seeds.shape, undecided, np.uint8)
    labels[object_seeds], labels[background_seeds] = object_label, background_label
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels.copy(), labels, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy(np.isin(labels, counted) if counted else labels)


def grabcut_in_another_way(photo, object_seeds, background_seeds):
    pixels = np.moveaxis((photo * 255).round().byte().numpy(), 0, -1)
    labels = np.where(object_seeds, 1, np.where(background_seeds, 0, 3)).astype("uint8")
    cv2.grabCut(pixels[..., ::-1].copy(), labels, None, np.zeros(65)[None], np.zeros(65)[None], 3)
    return torch.from_numpy(labels % 2 == 1)


def grabcut_of_reshaped(photo, *seeds):
    channels_last = photo.reshape(*photo.shape[1:], 3)
    return grabcut(channels_last.permute(2, 0, 1), *seeds)


RIGHT = {
    checks.check_quantile_seeds: [seeds_of, seeds_of_numpy, seeds_of_sorting],
    checks.check_largest_component: [
        component_by_skimage,
        component_by_opencv,
        component_by_filling,
    ],
    checks.check_bounding_box: [box_by_any, box_by_opencv, box_by_loop],
    checks.check_iou: [iou_by_formula, iou_by_masks, iou_by_pixels],
    checks.check_grabcut_mask: [grabcut, grabcut_in_another_way],
}


def box_as(change):
    return lambda mask: change(*box_by_opencv(mask))


def lengths(box, other, extra=0):
    width = min(box[2], other[2]) - max(box[0], other[0]) + extra
    height = min(box[3], other[3]) - max(box[1], other[1]) + extra
    areas = [(b[2] - b[0] + extra) * (b[3] - b[1] + extra) for b in (box, other)]
    return width, height, *areas


def iou_unclipped(box, other):
    width, height, a, b = lengths(box, other)
    return width * height / (a + b - width * height)


def iou_of_closed(box, other):
    width, height, a, b = lengths(box, other, extra=1)
    shared = max(width, 0) * max(height, 0)
    return shared / (a + b - shared)


def iou_over(divisor):
    def answer(box, other):
        width, height, a, b = lengths(box, other)
        shared = max(width, 0) * max(height, 0)
        return shared / divisor(a, b)

    return answer


def iou_upside_down(box, other):
    right = iou_by_formula(box, other)
    return 1 / right if right else float("inf")


def iou_over_hull(box, other):
    corners = zip(box, other, strict=True)
    x0, y0, x1, y1 = (f(pair) for f, pair in zip((min, min, max, max), corners, strict=True))
    width, height, *_ = lengths(box, other)
    return max(width, 0) * max(height, 0) / ((x1 - x0) * (y1 - y0))


def labels_of(mask, **options):
    return ndimage.label(mask.numpy(), **options)[0]


def by_label(pick):
    def answer(mask):
        labels = labels_of(mask, structure=np.ones((3, 3)))
        return labels == pick(np.bincount(labels.ravel()))

    return answer


def of_largest_box(mask):
    regions = measure.regionprops(measure.label(mask.numpy()))
    return component_mask(mask, max(regions, key=lambda region: region.area_bbox).coords)


def component_mask(mask, places):
    answer = torch.zeros_like(mask)
    answer[tuple(places.T)] = True
    return answer


def without_corners(mask):
    labels = labels_of(mask)
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax()


SEEDS = [
    (lambda s: seeds_of(s)[::-1], "exchanged: the task wants the object's"),
    (lambda s: (s > s.quantile(0.95), s < s.quantile(0.3)), "many zeros"),
    (
        lambda s: (s < s.quantile(0.95), s <= s.quantile(0.3)),
        "object's seeds lie on the wrong side",
    ),
    (lambda s: (s > s.quantile(0.05), s < s.quantile(0.3)), "object's seeds lie on the wrong side"),
    (lambda s: (s > s.quantile(0.95), s > s.quantile(0.3)), "background's seeds lie on the wrong"),
    (lambda s: (s > s.quantile(0.95), s < s.quantile(0.7)), "background's seeds lie on the wrong"),
    (lambda s: (s > s.quantile(0.3), s <= s.quantile(0.95)), "The two quantiles are exchanged"),
    (lambda s: (s > 0.95 * s.max(), s <= 0.3 * s.max()), "shares of the largest value"),
    (
        lambda s: (s > np.percentile(s, 0.95), s <= np.percentile(s, 0.3)),
        "`np.percentile` counts from 0 to 100",
    ),
    (
        lambda s: (
            s > s.quantile(0.95, dim=1, keepdim=True),
            s <= s.quantile(0.3, dim=1, keepdim=True),
        ),
        "Each row or column",
    ),
    (lambda s: [s * seeds for seeds in seeds_of(s)], "values of the map"),
    (lambda s: s > s.quantile(0.95), "Expected two masks of the map's shape"),
    (lambda s: 3, "got int"),
]
COMPONENTS = [
    (without_corners, "Diagonal neighbors"),
    (lambda mask: mask.clone(), "the whole mask"),
    (by_label(lambda sizes: sizes.argmax()), "everything but the mask"),
    (by_label(lambda sizes: sizes[1:].argmax()), "one too low or too high"),
    (by_label(lambda sizes: 1 + sizes[1:].argmin()), "the smallest component"),
    (by_label(lambda sizes: 1), "the first or the last component"),
    (by_label(lambda sizes: len(sizes) - 1), "the first or the last component"),
    (of_largest_box, "the largest box"),
    (labels_of, "numbers of the components"),
]
BOXES = [
    (box_as(lambda x0, y0, x1, y1: (y0, x0, y1, x1)), "Rows and columns are swapped"),
    (box_as(lambda x0, y0, x1, y1: (y0, x0, y1 - 1, x1 - 1)), "Rows and columns are swapped"),
    (box_as(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)), "one *after* the last"),
    (box_as(lambda x0, y0, x1, y1: (x0, x1, y0, y1)), "The order is another"),
    (box_as(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)), "width and height"),
    (box_as(lambda x0, y0, x1, y1: (x0 + 1, y0 + 1, x1 + 1, y1 + 1)), "too late or too early"),
]
IOUS = [
    (iou_unclipped, "Boxes that lie apart"),
    (iou_over(add), "counted twice"),
    (lambda box, other: 2 * iou_over(add)(box, other), "the Dice coefficient"),
    (iou_over(min), "divided by one of the boxes"),
    (iou_over(lambda a, b: b), "divided by one of the boxes"),
    (iou_of_closed, "one pixel too long"),
    (iou_over_hull, "the box around both"),
    (iou_over(lambda a, b: 1), "the intersection alone"),
    (iou_upside_down, "upside down"),
]
GRABCUTS = [
    (lambda p, a, b: grabcut(p, b, a), "Object and background are exchanged"),
    (lambda p, a, b: grabcut(p, a, b, undecided=cv2.GC_BGD), "Only the object's seeds came out"),
    (lambda p, a, b: grabcut(p, a, b, counted=[cv2.GC_FGD]), "Only the object's seeds came out"),
    (lambda p, a, b: grabcut(p, a, b, factor=1), "multiply by 255"),
    (lambda p, a, b: grabcut(p, a, b, undecided=cv2.GC_FGD), "Everything but the background's"),
    (lambda p, a, b: grabcut(p, a, b, counted=[1, 2, 3]), "Everything but the background's"),
    (lambda p, a, b: grabcut(p, a, b, counted=[cv2.GC_PR_FGD]), "what GrabCut added"),
    (lambda p, a, b: grabcut(p, a, b, counted=None), "the four labels"),
    (grabcut_of_reshaped, "do not move the channels"),
]

WRONG = {
    checks.check_quantile_seeds: SEEDS,
    checks.check_largest_component: COMPONENTS,
    checks.check_bounding_box: BOXES,
    checks.check_iou: IOUS,
    checks.check_grabcut_mask: GRABCUTS,
}
(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


def test_the_largest_component_of_the_example_is_what_is_seen_in_it():
    found = component_by_filling(checks._MASK)
    assert found.sum() == 7
    assert found[3, 0] and found[5, 4] and not found[6, 7]
    assert without_corners(checks._MASK).sum() == 5


def test_other_wrong_answers_are_told_what_was_expected():
    result = checks.check_quantile_seeds(lambda s: s > s.quantile(0.95))
    assert "Expected two masks" in result.message
    result = checks.check_quantile_seeds(lambda s: 3)
    assert "got int" in result.message
    result = checks.check_bounding_box(lambda mask: (0, 0, 10, 7))
    assert "got (0, 0, 10, 7)" in result.message
    result = checks.check_iou(lambda box, other: 0.5)
    assert result.message.startswith("Expected 1 for the IoU, got 0.5.")
    result = checks.check_grabcut_mask(lambda photo, a, b: photo)
    assert result.message.startswith("Expected the mask of shape (24, 32), got (3, 24, 32).")
