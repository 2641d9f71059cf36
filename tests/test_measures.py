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
    assert best_iou(a, [b, a]) == 1


@pytest.mark.parametrize("box", [(3, 3, 3, 5), (5, 0, 2, 4)])
def test_a_box_without_area_is_refused(box):
    with pytest.raises(ValueError, match="x0 < x1"):
        iou(box, (0, 0, 2, 2))


@pytest.mark.parametrize(
    ("row", "column", "hit"),
    [(50, 50, True), (50, 84, True), (50, 86, False), (74, 50, True), (76, 50, False)],
)
def test_pointing_game_tolerates_15_pixels(row, column, hit):
    saliency = torch.zeros(100, 120)
    saliency[row, column] = 1
    assert pointing_hit(saliency, [(30, 40, 70, 60)]) is hit
    assert pointing_hit(saliency, [(0, 0, 2, 2), (30, 40, 70, 60)]) is hit


def test_tolerance_is_a_distance_also_at_corners():
    saliency = torch.zeros(100, 100)
    saliency[72, 82] = 1  # 12.5 away in both directions
    assert not pointing_hit(saliency, [(30, 40, 70, 60)])


def test_ilsvrc_needs_class_and_box():
    true = [(0, 0, 10, 10)]
    assert ilsvrc_hit([(3, (50, 50, 60, 60)), (7, (0, 0, 10, 9))], 7, true)
    assert not ilsvrc_hit([(3, (0, 0, 10, 10)), (7, (50, 50, 60, 60))], 7, true)
    with pytest.raises(ValueError, match="at most five"):
        ilsvrc_hit([(7, true[0])] * 6, 7, true)


def test_interval_has_the_width_that_theory_gives(generator):
    hits = torch.arange(400) % 4 == 0
    mean = mean_interval(hits, generator=generator)
    expected = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert mean.value == 0.25
    assert mean.high - mean.value == pytest.approx(expected, rel=0.1)
    assert mean.value - mean.low == pytest.approx(expected, rel=0.1)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    covered = 0
    for seed in range(300):
        values = torch.randn(40, generator=torch.Generator().manual_seed(seed)).double() + 2
        interval = mean_interval(values, generator=torch.Generator().manual_seed(seed), draws=400)
        assert interval.low < interval.value < interval.high
        covered += interval.low < 2 < interval.high
    assert 0.9 < covered / 300 < 0.98


def test_interval_repeats_and_does_not_depend_on_how_many_are_drawn_at_once(generator, monkeypatch):
    values = torch.rand(50, generator=generator)
    one = mean_interval(values, generator=torch.Generator().manual_seed(1), draws=500)
    again = mean_interval(values, generator=torch.Generator().manual_seed(1), draws=500)
    assert one == again
    monkeypatch.setattr("deepinside.measures._AT_ONCE", 100)
    parts = mean_interval(values, generator=torch.Generator().manual_seed(1), draws=500)
    assert parts.low == pytest.approx(one.low, abs=0.02)


def test_paired_interval_knows_that_the_images_are_the_same(generator):
    hard = torch.rand(100, generator=generator)
    gain = paired_interval(hard + 0.1, hard, generator=generator)
    assert gain.low == pytest.approx(0.1)
    assert gain.high == pytest.approx(0.1)
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
