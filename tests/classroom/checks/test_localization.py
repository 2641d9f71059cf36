"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

from operator import add

import cv2
import numpy as np
import pytest
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


def box_of_floats(mask):
    return [float(edge) for edge in box_by_opencv(mask)]


def box_by_loop(mask):
    pixels = [(r, c) for r in range(mask.shape[0]) for c in range(mask.shape[1]) if mask[r, c]]
    rows, columns = zip(*pixels, strict=True)
    return torch.tensor([min(columns), min(rows), max(columns) + 1, max(rows) + 1])


def iou_by_formula(box, other):
    width = max(0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0, min(box[3], other[3]) - max(box[1], other[1]))
    both = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return width * height / (both - width * height)


def iou_by_tensors(box, other):
    box, other = torch.tensor(box, dtype=torch.float32), torch.tensor(other, dtype=torch.float32)
    sides = torch.minimum(box[2:], other[2:]) - torch.maximum(box[:2], other[:2])
    shared = sides.clamp(min=0).prod()
    areas = [(b[2:] - b[:2]).prod() for b in (box, other)]
    return shared / (sum(areas) - shared)


def iou_by_cases(box, other):
    if box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]:
        return 0
    return np.array([iou_by_formula(box, other)])


def iou_by_pixels(box, other):
    first, second = (
        {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}
        for b in ([int(edge) for edge in box], [int(edge) for edge in other])
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
    used=(True, True),
    start=cv2.GC_INIT_WITH_MASK,
):
    pixels = (photo.permute(1, 2, 0).numpy() * factor).astype(np.uint8)
    labels = np.full(object_seeds.shape, undecided, np.uint8)
    if used[0]:
        labels[object_seeds] = object_label
    if used[1]:
        labels[background_seeds] = background_label
    models = np.zeros((1, 65)), np.zeros((1, 65))
    inner = (1, 1, labels.shape[1] - 2, labels.shape[0] - 2)
    cv2.grabCut(pixels.copy(), labels, inner, *models, rounds, start)
    return torch.from_numpy(np.isin(labels, counted) if counted else labels)


def grabcut_in_another_way(photo, object_seeds, background_seeds):
    pixels = np.moveaxis((photo * 255).round().byte().numpy(), 0, -1)
    labels = np.where(object_seeds, 1, np.where(background_seeds, 0, 2)).astype("uint8")
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
    checks.check_bounding_box: [box_by_any, box_by_opencv, box_by_loop, box_of_floats],
    checks.check_iou: [iou_by_formula, iou_by_tensors, iou_by_cases],
    checks.check_grabcut_mask: [grabcut, grabcut_in_another_way],
}


def filled(mask):
    return torch.from_numpy(ndimage.binary_fill_holes(mask))


def of_largest_outline(mask, *, with_holes):
    pixels = mask.numpy().astype(np.uint8)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros_like(pixels)
    cv2.drawContours(drawn, [max(outlines, key=cv2.contourArea)], -1, 1, -1)
    return torch.from_numpy(drawn > 0) & (mask | with_holes)


def by_box(change):
    """An answer from the right box and the mask."""
    return lambda mask: change(mask, *box_by_opencv(mask))


def box_in_reading_order(mask):
    places = mask.nonzero().tolist()
    return places[0][1], places[0][0], places[-1][1] + 1, places[-1][0] + 1


def box_of_first(mask):
    labels = torch.from_numpy(labels_of(mask, structure=np.ones((3, 3))))
    return box_by_opencv(labels == 1)


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


def iou_clipped_once(box, other):
    width, height, a, b = lengths(box, other)
    shared = max(width, 0) * height
    return shared / (a + b - shared)


def iou_of_sizes(box, other):
    return iou_by_formula(*((*b[:2], b[0] + b[2], b[1] + b[3]) for b in (box, other)))


def iou_of_exchanged(box, other):
    width = max(box[2], other[2]) - min(box[0], other[0])
    height = max(box[3], other[3]) - min(box[1], other[1])
    a, b = lengths(box, other)[2:]
    return width * height / (a + b - width * height) if width * height != a + b else float("inf")


def of_iou(change):
    return lambda box, other: change(iou_by_formula(box, other))


def iou_of_cut(cut):
    return lambda box, other: iou_by_formula(*([cut(edge) for edge in b] for b in (box, other)))


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


def iou_without_parentheses(box, other):
    width, height, a, b = lengths(box, other)
    shared = max(width, 0) * max(height, 0)
    return shared / a + b - shared


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


def two_largest(mask):
    first = component_by_filling(mask)
    left = mask & ~first
    return first | component_by_filling(left) if left.any() else first


def boxed(mask):
    return mask.any(1, keepdim=True) & mask.any(0)


def seeds_by_count(saliency):
    order, count = saliency.flatten().argsort(), saliency.numel()
    seeds = torch.zeros(2, count, dtype=torch.bool)
    seeds[0, order[count - int(0.05 * count) :]] = True
    seeds[1, order[: int(0.3 * count)]] = True
    return seeds.view(2, *saliency.shape)


def seeds_by_place(saliency):
    ordered, count = saliency.flatten().sort().values, saliency.numel()
    return saliency > ordered[int(0.95 * count)], saliency <= ordered[int(0.3 * count)]


def component_but_not_the_last(mask):
    count, labels = cv2.connectedComponents(mask.numpy().astype(np.uint8))
    sizes = [(labels == label).sum() for label in range(1, count - 1)]
    return torch.from_numpy(labels == 1 + (np.argmax(sizes) if sizes else 0))


def component_of_several(mask):
    return component_by_opencv(mask) if ndimage.label(mask, np.ones((3, 3)))[1] > 1 else None


def component_of_one_diagonal(mask):
    labels = labels_of(mask, structure=[[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    return torch.from_numpy(labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def component_of_second_label(mask):
    return torch.from_numpy(by_label(lambda sizes: sizes.argsort()[-2])(mask))


def component_of_opencv(pick):
    def answer(mask):
        count, labels = cv2.connectedComponents(mask.numpy().astype(np.uint8))
        return torch.from_numpy(labels == pick(count))

    return answer


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
    (lambda s: (s > s.quantile(0.3), s <= s.quantile(0.95)), "object's seeds lie on the wrong"),
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
    (seeds_by_count, "Pixels are counted"),
    (seeds_by_place, "Pixels are counted"),
    (lambda s: (s > s.quantile(0.95), seeds_by_count(s)[1]), "Pixels are counted"),
    (lambda s: s > s.quantile(0.95), "Expected two masks, `object_seeds, background_seeds`"),
    (lambda s: 3, "got one int"),
    (lambda s: (s >= s.quantile(0.95), s <= s.quantile(0.3)), "pixels that equal it"),
    (lambda s: (s > s.quantile(0.95), s <= s.quantile(0.95)), "no seed of the object"),
    (lambda s: (s > 0.95, s <= 0.3), "compared with 0.95 and 0.30"),
    (lambda s: (s > s[s > 0].quantile(0.95), s <= s[s > 0].quantile(0.3)), "that are 0"),
    (lambda s: (s.quantile(0.95), s.quantile(0.3)), "two numbers"),
    (lambda s: [seed.nonzero() for seed in seeds_of(s)], "of the map's shape, (8, 7)"),
    (lambda s: [seed.float() for seed in seeds_of(s)], "`torch.bool`"),
]
COMPONENTS = [
    (without_corners, "Diagonal neighbors"),
    (lambda mask: mask.clone(), "the whole mask"),
    (by_label(lambda sizes: sizes.argmax()), "everything but the mask"),
    (by_label(lambda sizes: sizes[1:].argmax()), "one too low or too high"),
    (by_label(lambda sizes: 1 + sizes[1:].argmin()), "the smallest component"),
    (by_label(lambda sizes: 1), "the first or the last component"),
    (by_label(lambda sizes: len(sizes) - 1), "the first or the last component"),
    (component_of_opencv(lambda count: 1), "the first or the last component"),
    (component_of_opencv(lambda count: count - 1), "the first or the last component"),
    (component_but_not_the_last, "its values are not"),
    (component_of_several, "None"),
    (component_of_one_diagonal, "its values are not"),
    (component_of_second_label, "its values are not"),
    (of_largest_box, "the largest box"),
    (lambda mask: torch.from_numpy(labels_of(mask)), "numbers of the components"),
    (lambda mask: filled(component_by_filling(mask)), "A hole is filled"),
    (lambda mask: component_by_filling(filled(mask)), "A hole is filled"),
    (lambda mask: component_by_filling(filled(mask)) & mask, "counts as a part"),
    (lambda mask: of_largest_outline(mask, with_holes=True), "*outline* encloses"),
    (lambda mask: of_largest_outline(mask, with_holes=False), "*outline* encloses"),
    (two_largest, "the two largest"),
    (lambda mask: boxed(component_by_filling(mask)), "All of the component's box"),
    (by_label(lambda sizes: sizes[1:].max()), "compared with a size"),
]
BOXES = [
    (box_as(lambda x0, y0, x1, y1: (y0, x0, y1, x1)), "Rows and columns are swapped"),
    (box_as(lambda x0, y0, x1, y1: (y0, x0, y1 - 1, x1 - 1)), "Rows and columns are swapped"),
    (box_as(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)), "one *after* the last"),
    (box_as(lambda x0, y0, x1, y1: (x0, x1, y0, y1)), "The order is another"),
    (box_as(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)), "width and height"),
    (box_as(lambda x0, y0, x1, y1: (x0 + 1, y0 + 1, x1 + 1, y1 + 1)), "too late or too early"),
    (box_as(lambda x0, y0, x1, y1: (x0, y0, x1, y1 - 1)), "one *after* the last"),
    (box_as(lambda x0, y0, x1, y1: (x0, y0, x1 + 1, y1 + 1)), "ends one pixel too late"),
    (
        box_as(lambda x0, y0, x1, y1: ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)),
        "width and height",
    ),
    (box_in_reading_order, "in reading order"),
    (
        by_box(lambda m, x0, y0, *_: (x0, y0, x0 + int(m.any(0).sum()), y0 + int(m.any(1).sum()))),
        "are counted",
    ),
    (lambda mask: box_by_opencv(component_by_filling(mask)), "one component alone"),
    (box_of_first, "one component alone"),
    (
        by_box(lambda m, *box: [edge / m.shape[1 - i % 2] for i, edge in enumerate(box)]),
        "shares of the width",
    ),
    (lambda mask: box_by_opencv(~mask), "Only the true pixels"),
    (by_box(lambda m, x0, y0, x1, y1: (x0, len(m) - y1, x1, len(m) - y0)), "the wrong edge"),
    (lambda mask: (0, 0, mask.shape[1], mask.shape[0]), "the whole image"),
]
IOUS = [
    (iou_unclipped, "Boxes that lie apart"),
    (iou_over(add), "counted twice"),
    (lambda box, other: 2 * iou_over(add)(box, other), "the Dice coefficient"),
    (iou_over(min), "divided by one of the boxes"),
    (iou_over(lambda a, b: b), "divided by one of the boxes"),
    (iou_of_closed, "one pixel too long"),
    (iou_over_hull, "the box around both"),
    (iou_without_parentheses, "Parentheses are missing"),
    (iou_over(lambda a, b: 1), "the intersection alone"),
    (iou_upside_down, "upside down"),
    (iou_clipped_once, "Boxes that lie apart"),
    (iou_by_pixels, "not always whole"),
    (iou_of_cut(round), "not always whole"),
    (iou_of_sizes, "where a box *ends*"),
    (iou_of_exchanged, "are exchanged"),
    (of_iou(lambda value: value // 1), "`//` cuts"),
    (of_iou(lambda value: round(value, 2)), "rounded"),
    (of_iou(lambda value: 100 * value), "in percent"),
    (of_iou(lambda value: 1 - value), "1 minus the IoU"),
    (of_iou(lambda value: value >= 0.5), "at least 0.5"),
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
    (lambda p, a, b: grabcut(p, a, b, counted=[2, 3]), "takes the wrong labels"),
    (lambda p, a, b: grabcut(p, a, b, counted=[9]), "No pixel came out"),
    (lambda p, a, b: grabcut(p[:1].expand(3, -1, -1), a, b), "one color"),
    (lambda p, a, b: grabcut(p.mean(0, keepdim=True).expand(3, -1, -1), a, b), "saw gray"),
    (grabcut_of_reshaped, "do not move the channels"),
    (lambda p, a, b: grabcut(p, a, b, counted=[0, 2]), "Object and background are exchanged"),
    (lambda p, a, b: grabcut(p, a, b, undecided=cv2.GC_PR_FGD), "start as `GC_PR_FGD`"),
    (lambda p, a, b: grabcut(p, a, b, used=(True, False)), "background's seeds are not used"),
    (lambda p, a, b: grabcut(p, a, b, used=(False, True)), "It needs both"),
    (lambda p, a, b: grabcut(p, a, b, used=(False, False)), "It needs both"),
    (lambda p, a, b: grabcut(p, a, b, start=cv2.GC_INIT_WITH_RECT), "Some seeds got the other"),
    (lambda p, a, b: grabcut(p, a, b, object_label=cv2.GC_PR_FGD), "not labeled as certain"),
    (lambda p, a, b: p[0] > 0.5, "Some seeds got the other"),
    (lambda p, a, b: filled(grabcut(p, a, b)), "A hole is filled"),
    (lambda p, a, b: component_by_filling(grabcut(p, a, b)), "only the largest component"),
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


def test_the_largest_components_are_what_is_seen_in_the_masks():
    diagonals, holes = checks._mask(*checks._DIAGONALS), checks._mask(*checks._HOLES)
    found = component_by_filling(diagonals)
    assert found.sum() == 7
    assert found[3, 0] and found[5, 4] and not found[6, 7]
    assert without_corners(diagonals).sum() == 6
    assert component_by_filling(holes).sum() == 18


def test_each_mask_of_the_seeds_earns_a_point():
    result = checks.check_quantile_seeds(lambda s: (seeds_of(s)[0], s < s.quantile(0.3)))
    assert (result.state, result.points) == ("hint", 1)
    assert checks.check_quantile_seeds(seeds_of).points == 2


@pytest.mark.parametrize("color", [checks._BLUE, checks._PURPLE])
def test_grabcut_finds_the_object_whatever_it_draws_and_in_whatever_order_colors_are(color):
    photo, truth, *seeds = checks._colored_rectangles(color)
    for seed in range(5):
        cv2.setRNGSeed(seed)
        for image, rounds in ((photo, 5), (photo.flip(0), 5), (photo, 3), (photo, 8)):
            assert torch.equal(grabcut(image, *seeds, rounds=rounds), truth)


def test_other_wrong_answers_are_told_what_was_expected():
    result = checks.check_quantile_seeds(lambda s: s > s.quantile(0.95))
    assert "Expected two masks" in result.message
    result = checks.check_quantile_seeds(lambda s: 3)
    assert "got one int" in result.message
    result = checks.check_bounding_box(lambda mask: (0, 0, 10, 7))
    assert "got (0, 0, 10, 7)" in result.message
    result = checks.check_iou(lambda box, other: 0.5)
    assert result.message.startswith("Expected 1 for the IoU, got 0.5.")
    result = checks.check_grabcut_mask(lambda photo, a, b: photo)
    assert result.message.startswith("Expected the mask of shape (32, 44), got (3, 32, 44).")
