import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import ndimage

from deepinside.measures import (
    best_iou,
    iou,
    max_box_accuracy,
    mean_interval,
    paired_interval,
    pointing_hit,
    recorded_iou,
    threshold_overlaps,
)


def test_iou_counts_pixels():
    a, b = (1, 2, 6, 5), (3, 0, 8, 4)
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (a, b), strict=True):
        mask[y0:y1, x0:x1] = True
    assert iou(a, b) == (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert iou(a, a) == 1
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert iou((0, 0, 2, 2), (5, 5, 6, 6)) == 0
    assert best_iou(a, [b, a]) == best_iou(a, [a, b]) == 1
    with pytest.raises(ValueError, match="at least one true box"):
        best_iou(a, [])


@pytest.mark.parametrize("box", [(3, 3, 3, 5), (5, 0, 2, 4)])
def test_a_box_without_area_is_refused(box):
    with pytest.raises(ValueError, match="x0 < x1"):
        iou(box, (0, 0, 2, 2))


@pytest.mark.parametrize(
    ("row", "column", "hit"),
    [
        (50, 50, True),
        # from the center of a pixel to the side of the box: 14.5 or 15.5
        (50, 84, True),
        (50, 85, False),
        (74, 50, True),
        (75, 50, False),
        (50, 15, True),
        (50, 14, False),
        (25, 50, True),
        (24, 50, False),
        # 10.5 and 12.5 away in both directions, so that the distance is 14.8 and 17.7
        (70, 80, True),
        (72, 82, False),
    ],
)
def test_pointing_game_tolerates_15_pixels(row, column, hit):
    saliency = torch.zeros(100, 120)
    saliency[row, column] = 1
    assert pointing_hit(saliency, [(30, 40, 70, 60)]) is hit
    assert pointing_hit(saliency, [(110, 0, 112, 2), (30, 40, 70, 60)]) is hit


def test_15_pixels_away_is_a_hit_and_a_little_more_is_none():
    saliency = torch.zeros(100, 120)
    saliency[50, 85] = 1
    assert pointing_hit(saliency, [(30, 40, 70.5, 60)])
    assert not pointing_hit(saliency, [(30, 40, 70.4, 60)])


def ring():
    """Return a map with a hole in it, and a pixel in the hole."""
    saliency = torch.zeros(9, 9)
    saliency[:7, :7] = 1
    saliency[2:5, 2:5] = 0
    saliency[3, 3] = 1
    return saliency


@pytest.mark.parametrize(
    ("true_box", "of_all", "of_largest"),
    [
        # the whole ring is 7 wide, its box 8, as a contour's box has one pixel more
        ((0, 0, 8, 8), 1, 1),
        # the hole's outline runs through the pixels around it, 1 to 5; the box ends at 6
        ((1, 1, 7, 7), 1, 36 / 64),
        # the pixel in the hole is at 3, and its box goes to 4
        ((3, 3, 5, 5), 1, 4 / 64),
        ((3, 3, 4, 4), 1 / 4, 1 / 64),
        # less than a pixel is one
        ((3, 3, 3.5, 3.5), 1 / 4, 1 / 64),
    ],
)
def test_holes_and_what_is_in_them_have_boxes_of_their_own(true_box, of_all, of_largest):
    overlaps = threshold_overlaps(ring(), [true_box], (9, 9))
    assert overlaps.shape == (2, 255)
    assert set(overlaps[0].tolist()) == {of_all}
    assert set(overlaps[1].tolist()) == {of_largest}


def test_levels_at_which_a_second_object_appears():
    saliency = torch.zeros(10, 10)
    saliency[1:4, 1:4] = 1
    # 127.5 in 8 bits is 127: above the thresholds 0 to 126
    saliency[5:9, 5:9] = 0.5
    small, large = (1, 1, 4, 4), (5, 5, 10, 10)
    # 3 x 3 pixels in a box of 4 x 4
    overlaps = threshold_overlaps(saliency, [small], (10, 10))
    assert overlaps[0].tolist() == [9 / 16] * 255
    assert overlaps[1].tolist() == [0] * 127 + [9 / 16] * 128
    # its box has one more column and row, and is not cut at 9, the last of the map
    both = threshold_overlaps(saliency, [small, large], (10, 10))
    assert both[0].tolist() == both[1].tolist() == [1] * 127 + [9 / 16] * 128


def test_true_boxes_are_cut_to_inclusive_pixels_of_the_map():
    saliency = torch.zeros(10, 10)
    # the contour's box is 1 to 4 and 1 to 5, with one more than the contour
    saliency[1:5, 1:4] = 1
    # x 4 to 19 of 40, y 2 to 11 of 20: 1 to 4.75 and 1 to 5.5
    assert threshold_overlaps(saliency, [(4, 2, 20, 12)], (20, 40)).unique().tolist() == [1]
    # x to 20 is 5
    wider = threshold_overlaps(saliency, [(4, 2, 21, 12)], (20, 40))
    assert wider.unique().tolist() == [20 / 25]
    # a map that is above the threshold to its end has a box to its last pixel
    saliency[:, 1:] = 1
    assert threshold_overlaps(saliency, [(1, 0, 10, 10)], (10, 10)).unique().tolist() == [1]


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0])
def test_a_flat_map_has_the_first_pixel(value):
    overlaps = threshold_overlaps(torch.full((6, 6), value), [(0, 0, 2, 2), (3, 3, 5, 5)], (6, 6))
    assert overlaps.shape == (2, 255)
    assert overlaps.unique().tolist() == [1 / 4]


def contour_boxes(mask):
    """Return the inclusive boxes around all contours and around the largest ones.

    By components: an outline is that of an 8-connected component, or of the pixels around a
    hole, 4-connected. Its polygon goes through the centers of pixels.
    """
    components, _ = ndimage.label(mask, np.ones((3, 3)))
    boxes, areas = [], []
    for index, (rows, columns) in enumerate(ndimage.find_objects(components), 1):
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        filled = ndimage.binary_fill_holes(components == index).astype(int)
        corners = filled[1:, 1:] + filled[1:, :-1] + filled[:-1, 1:] + filled[:-1, :-1]
        areas.append((corners == 4).sum() + (corners == 3).sum() / 2)
    largest = [box for box, area in zip(boxes, areas, strict=True) if area == max(areas)]
    holes, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    for index, (rows, columns) in enumerate(ndimage.find_objects(holes), 1):
        if index != holes[0, 0]:
            # in the padded mask one more each; the pixels around reach one farther
            boxes.append((columns.start - 2, rows.start - 2, columns.stop, rows.stop))
    return boxes, largest


def inclusive_iou(box, true_box):
    one, other = np.zeros((2, 12, 16), dtype=bool)
    one[box[1] : min(box[3], 11) + 1, box[0] : min(box[2], 15) + 1] = True
    other[true_box[1] : true_box[3] + 1, true_box[0] : true_box[2] + 1] = True
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("blur", [0, 1, 2])
def test_overlaps_are_those_of_a_thousand_thresholds(blur):
    """As published: thresholds k / 1000 of a map in 8 bits, boxes around all contours."""
    rng = np.random.default_rng(blur)
    saliency = rng.random((12, 16))
    saliency = ndimage.gaussian_filter(saliency, blur) if blur else saliency
    true_boxes = [(2, 1, 8, 6), (7, 5, 15, 11)]
    overlaps = threshold_overlaps(torch.tensor(saliency), true_boxes, (12, 16)).numpy()
    inclusive = [(x0, y0, x1 - 1, y1 - 1) for x0, y0, x1, y1 in true_boxes]
    scaled = (saliency - saliency.min()) / (saliency.max() - saliency.min())
    gray = (scaled * 255).astype(np.uint8)
    seen, known = set(), {}
    for k in range(1000):
        level = int(k / 1000 * 255)
        seen.add(level)
        mask = gray > level
        if mask.tobytes() not in known:
            known[mask.tobytes()] = contour_boxes(mask)
        boxes, largest = known[mask.tobytes()]
        best = max(inclusive_iou(box, true) for box in boxes for true in inclusive)
        assert overlaps[0, level] == pytest.approx(best, abs=1e-12)
        # contours of the same area are ordered by OpenCV
        of_largest = [max(inclusive_iou(box, true) for true in inclusive) for box in largest]
        assert np.isclose(of_largest, overlaps[1, level]).any()
    assert seen == set(range(255))


def test_overlaps_know_order_and_not_size(generator):
    steps = torch.randint(5, (16, 20), generator=generator).double()
    box = [(4, 3, 15, 12)]
    overlaps = threshold_overlaps(steps, box, (16, 20))
    assert torch.equal(threshold_overlaps(steps * 8 - 3, box, (16, 20)), overlaps)
    # other distances between the five values: the same four masks, at other thresholds
    cubed = threshold_overlaps(steps**3, box, (16, 20))
    assert torch.equal(cubed.unique_consecutive(dim=1), overlaps.unique_consecutive(dim=1))
    assert not torch.equal(cubed, overlaps)


def test_overlaps_need_a_map_and_a_box():
    with pytest.raises(ValueError, match=r"map .* \(h, w\) of finite floats"):
        threshold_overlaps(torch.full((5, 5), torch.nan), [(0, 0, 2, 2)], (5, 5))
    with pytest.raises(ValueError, match="at least one true box"):
        threshold_overlaps(torch.rand(5, 5), [], (5, 5))


def test_best_threshold_is_that_of_all_images_at_each_iou(generator):
    hits = torch.tensor(
        [
            # two IoUs, three thresholds
            [[1, 1, 0], [1, 0, 0]],
            [[1, 1, 0], [0, 0, 1]],
            [[0, 1, 1], [0, 0, 1]],
            [[0, 0, 1], [0, 0, 0]],
        ],
        dtype=torch.bool,
    )
    # 3 of 4 at the second threshold, 2 of 4 at the third
    assert max_box_accuracy(hits, generator=generator).value == (0.75 + 0.5) / 2
    # 2 of 4, and 1 of 4
    fewer = hits.clone()
    fewer[0, 0], fewer[1, 1] = False, False
    gain = max_box_accuracy(hits, baseline=fewer, generator=generator)
    assert gain.value == (0.75 + 0.5) / 2 - (0.5 + 0.25) / 2
    assert max_box_accuracy(hits, baseline=hits, generator=generator) == (0, 0, 0)


def test_threshold_is_chosen_anew_in_each_draw(monkeypatch):
    monkeypatch.setattr("deepinside.measures._DRAWS", 60)
    # 25 draws at once
    monkeypatch.setattr("deepinside.measures._AT_ONCE", 1000)
    hits, baseline = torch.rand(2, 40, 3, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    found = max_box_accuracy(hits, baseline=baseline, generator=torch.Generator().manual_seed(2))
    alone = max_box_accuracy(hits, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    images = torch.cat([torch.randint(40, (n, 40), generator=generator) for n in (25, 25, 10)])

    def accuracy(some):
        return np.mean([max(np.mean(column) for column in at_iou.T) for at_iou in some])

    first = [accuracy(hits[draw].numpy().swapaxes(0, 1)) for draw in images]
    second = [accuracy(baseline[draw].numpy().swapaxes(0, 1)) for draw in images]
    assert alone[1:] == pytest.approx(np.quantile(first, [0.025, 0.975]))
    assert found[1:] == pytest.approx(np.quantile(np.subtract(first, second), [0.025, 0.975]))


def test_accuracy_at_one_threshold_has_the_interval_of_a_mean(generator):
    hits = torch.arange(400) % 4 == 0
    accuracy = max_box_accuracy(hits[:, None, None], generator=generator)
    assert accuracy == pytest.approx(mean_interval(hits, generator=generator), abs=0.004)


@pytest.mark.parametrize("shape", [(0, 3, 255), (10, 255)])
def test_accuracy_needs_hits_of_the_same_images(shape, generator):
    with pytest.raises(ValueError, match=r"hits \(N, IoUs, thresholds\)"):
        max_box_accuracy(torch.ones(shape, dtype=torch.bool), generator=generator)
    hits = torch.ones(4, 3, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="same images"):
        max_box_accuracy(hits, baseline=hits[1:], generator=generator)


@pytest.mark.parametrize(("tolerance", "hit"), [(0, False), (0.4, False), (0.5, True)])
def test_pointing_without_tolerance(tolerance, hit):
    saliency = torch.zeros(20, 20)
    saliency[10, 12] = 1
    assert pointing_hit(saliency, [(5, 5, 13, 13)], tolerance=0)
    assert pointing_hit(saliency, [(5, 5, 12, 13)], tolerance=tolerance) is hit


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_tolerance_is_a_distance(tolerance):
    with pytest.raises(ValueError, match="tolerance in pixels of at least 0"):
        pointing_hit(torch.rand(5, 5), [(0, 0, 2, 2)], tolerance=tolerance)


@pytest.mark.parametrize("saliency", [torch.zeros(1, 5, 5), torch.full((5, 5), torch.nan)])
def test_only_a_finite_map_points(saliency):
    with pytest.raises(ValueError, match=r"map .* \(H, W\) of finite floats"):
        pointing_hit(saliency, [(0, 0, 2, 2)])


def test_interval_has_the_width_that_theory_gives(generator):
    hits = torch.arange(400) % 4 == 0
    mean = mean_interval(hits, generator=generator)
    expected = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert mean.value == 0.25
    assert mean.high - mean.value == pytest.approx(expected, rel=0.1)
    assert mean.value - mean.low == pytest.approx(expected, rel=0.1)


def test_interval_is_that_of_every_draw_there_is(generator):
    """Of three values all 27 draws can be counted: the ends are quantiles of their means."""
    values = [0.0, 1.0, 5.0]
    means = torch.tensor([sum(draw) / 3 for draw in itertools.product(values, repeat=3)])
    interval = mean_interval(values, generator=generator)
    assert interval.value == 2
    # 1 of 27 draws, 3.7 %, is all zeros, and one is all fives
    assert [interval.low, interval.high] == [means.min(), means.max()] == [0, 5]
    # of ten values with one hit no hit is drawn in 35 %, four or more in 1.3 %
    assert mean_interval([1.0] + [0.0] * 9, generator=generator)[1:] == (0, pytest.approx(0.3))


def test_interval_covers_the_true_mean_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr("deepinside.measures._DRAWS", 400)
    covered = 0
    for seed in range(300):
        values = torch.randn(40, generator=torch.Generator().manual_seed(seed)).double() + 2
        interval = mean_interval(values, generator=torch.Generator().manual_seed(seed))
        assert interval.low < interval.value < interval.high
        covered += interval.low < 2 < interval.high
    assert 0.9 < covered / 300 < 0.98


def test_interval_goes_by_the_generator_alone(generator):
    values = torch.rand(50, generator=generator)
    first, again, other = (
        mean_interval(values, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    # as any draw it moves the generator on
    assert mean_interval(values, generator=generator) != mean_interval(values, generator=generator)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    mean_interval(values, generator=generator)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("values", [[0.3], [0.3] * 7, [True, True]])
def test_interval_of_equal_values_is_that_value(values, generator):
    assert mean_interval(values, generator=generator) == (values[0],) * 3


def test_many_images_are_drawn_a_part_at_a_time(generator):
    values = torch.rand(5000, generator=generator)
    tracemalloc.start()
    mean_interval(values, generator=generator)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # all draws at once would be 400 MB, twice
    assert peak < 100e6


def test_paired_interval_knows_that_the_images_are_the_same(generator):
    hard = torch.rand(100, generator=generator)
    gain = paired_interval(hard + 0.1, hard, generator=generator)
    assert gain.low == pytest.approx(0.1)
    assert gain.high == pytest.approx(0.1)
    assert paired_interval([0.0, 1.0], [1.0, 1.0], generator=generator).value == -0.5
    with pytest.raises(ValueError, match="same images"):
        paired_interval(hard, hard[:-1], generator=generator)


@pytest.mark.parametrize("values", [[], [float("nan")]])
def test_no_interval_of_nothing(values, generator):
    with pytest.raises(ValueError, match="finite values"):
        mean_interval(values, generator=generator)


def test_record_has_a_share_for_each_photo_and_step():
    rows = recorded_iou()
    sources = [row["source"] for row in rows]
    assert {name: sources.count(name) for name in sources} == {
        "coco": 38,
        "kangaroo": 46,
        "ilsvrc": 650,
    }
    assert {row["half"] for row in rows if row["source"] != "ilsvrc"} == {""}
    assert sum(row["half"] == "judge" for row in rows) == 325
    for row in rows:
        assert all(0 <= float(value) <= 1 for value in list(row.values())[3:])
