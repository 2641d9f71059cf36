import itertools
import tracemalloc

import numpy as np
import pytest
import torch

from deepinside.measures import (
    best_iou,
    ilsvrc_hit,
    iou,
    mean_interval,
    paired_interval,
    pointing_hit,
    recorded_iou,
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


@pytest.mark.parametrize("saliency", [torch.zeros(1, 5, 5), torch.full((5, 5), torch.nan)])
def test_only_a_finite_map_points(saliency):
    with pytest.raises(ValueError, match=r"finite map \(H, W\)"):
        pointing_hit(saliency, [(0, 0, 2, 2)])


def test_ilsvrc_needs_class_and_box():
    true = [(0, 0, 10, 10)]
    assert ilsvrc_hit([(3, (50, 50, 60, 60)), (7, (0, 0, 10, 9))], 7, true)
    assert not ilsvrc_hit([(3, (0, 0, 10, 10)), (7, (50, 50, 60, 60))], 7, true)
    assert not ilsvrc_hit([], 7, true)
    # an IoU of exactly 0.5, and one just below, of the nearer of two boxes
    assert ilsvrc_hit([(7, (0, 0, 10, 5))], 7, [(50, 50, 60, 60), *true])
    assert not ilsvrc_hit([(7, (0, 0, 10, 4.99))], 7, [(50, 50, 60, 60), *true])
    with pytest.raises(ValueError, match="at most five"):
        ilsvrc_hit([(7, true[0])] * 6, 7, true)


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
    assert [sum(row["source"] == source for row in rows) for source in ("coco", "kangaroo")] == [
        38,
        46,
    ]
    for row in rows:
        assert all(0 <= float(value) <= 1 for value in list(row.values())[2:])
