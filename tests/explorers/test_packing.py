"""What is sent of an answer, unpacked again."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside import plots
from deepinside.explorers.packing import (
    Answer,
    Curve,
    Packing,
    Panel,
    bar_panel,
    map_panel,
    still,
)


def decoded(url):
    kind, encoded = url.removeprefix("data:image/").split(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.format.lower() == kind
    return picture


def test_an_answer_says_where_its_texts_and_pictures_are():
    stripes = torch.full((3, 8, 16), 0.5)
    stripes[:, :, ::4] = 0
    packing = Packing()
    panels, numbers = packing.answer(Answer([Panel("p", "striped", stripes)], {"width": "4"}))
    texts, pictures = packing.tables()["texts"], packing.tables()["pictures"]
    ((title, alt, size, picture, mask, boxes, scale, aspect, frames),) = panels
    assert (texts[title], texts[alt]) == ("p", "striped")
    assert [[texts[place] for place in pair] for pair in numbers] == [["width", "4"]]
    assert (size, mask, boxes, scale) == ([8, 16], -1, [], [])
    assert (aspect, frames) == ([8, 16], 1)
    pixels = np.asarray(decoded(pictures[picture]).convert("L"), dtype=float) / 255
    assert pixels.shape == (8, 16)
    assert pixels[:, ::4].mean() < 0.1 < 0.4 < pixels[:, 2::4].mean() < 0.6


def test_equal_pictures_and_texts_are_kept_once():
    packing = Packing()
    same = Answer([Panel("a", "b", torch.zeros(3, 4, 4))], {"a": "b"})
    assert packing.answer(same) == packing.answer(same)
    tables = packing.tables()
    assert len(tables["pictures"]) == 1
    assert tables["texts"] == ["a", "b"]


def test_bars_go_from_a_line_at_zero_to_their_values():
    panel = bar_panel("score", {"cat": 3.0, "dog": -1.04, "fox": 0.0}, (-2, 4), digits=1)
    assert panel.alt == "score: cat 3.0, dog -1.0, fox 0.0."
    width = panel.image.shape[2] - 3
    zero, end, other = (1 + width * share for share in (2 / 6, 5 / 6, 0.96 / 6))
    line, cat, dog, fox = panel.bars.values()
    assert [(left, right - 1) for left, _, right, _ in (line, cat, dog, fox)] == [
        pytest.approx(ends) for ends in ((zero, zero), (zero, end), (other, zero), (zero, zero))
    ]
    assert (line[1], line[3]) == (0, panel.image.shape[1])
    assert cat[1] < cat[3] < dog[1] < dog[3] < fox[1] < fox[3] < panel.image.shape[1]
    packing = Packing()
    ((*_, frames, bars),) = packing.answer(Answer([panel], {}))[0]
    texts = packing.tables()["texts"]
    assert frames == 1
    assert [texts[label] for label, *_ in bars] == ["", "cat 3.0", "dog -1.0", "fox 0.0"]
    assert bars[1][1:] == [round(corner, 1) for corner in cat]


def test_bars_are_drawn_in_the_picture_that_takes_an_explorers_place():
    columns = []
    for value in (-1.0, 0.0, 1.0):
        panel = bar_panel("p", {"a": value}, (-1, 1), digits=1)
        file = io.BytesIO(plots.jpeg(still(Answer([panel], {}))))
        gray = np.abs(np.asarray(Image.open(file).convert("L"), dtype=int) - 127) < 20
        # a letter's edges are gray, too, but in few rows
        columns.append(np.flatnonzero(gray.sum(0) > 8))
    left, line, right = columns
    assert len(line) < 6
    assert (left[-1], right[0]) == pytest.approx((line[-1], line[0]), abs=2)
    assert line[0] - left[0] == pytest.approx(right[-1] - line[-1], abs=3)
    assert len(right) > 100


def test_mask_is_dark_outside_and_clear_inside():
    mask = torch.zeros(6, 10, dtype=torch.bool)
    mask[1:3, 4:9] = True
    packing = Packing()
    panel = Panel("p", "p", torch.ones(3, 6, 10), mask, {"found": (4, 1.04, 9, 3)})
    ((_, _, _, _, shade, boxes, *_),) = packing.answer(Answer([panel], {}))[0]
    alpha = np.asarray(decoded(packing.tables()["pictures"][shade]).convert("RGBA"))[..., 3]
    assert (alpha[mask.numpy()] == 0).all()
    assert (alpha[~mask.numpy()] == 175).all()
    ((label, *corners),) = boxes
    assert packing.tables()["texts"][label] == "found"
    assert corners == [4, 1, 9, 3]


def test_curve_keeps_three_digits_and_leaves_out_what_is_no_number():
    packing = Packing()
    curve = Curve("score", 40, [0.0, 1.23456, float("nan")])
    _, _, (title, steps, values) = packing.answer(Answer([], {}, curve))
    assert packing.tables()["texts"][title] == "score"
    assert (steps, values) == (40, [0.0, 1.23, None])
    marked = packing.answer(Answer([], {}, curve._replace(mark=1)))
    assert marked[2] == [title, steps, values, 1]


@pytest.mark.parametrize(
    ("side", "grainy", "kept"), [(160, True, 160), (160, False, 224), (None, True, 224)]
)
def test_grainy_pictures_are_made_smaller_where_a_side_is_given(side, grainy, kept):
    noise = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))
    packing = Packing(side)
    ((_, _, size, *_),) = packing.answer(Answer([Panel("n", "n", noise, grainy=grainy)], {}))[0]
    assert size == [224, 224]
    assert decoded(packing.tables()["pictures"][0]).size == (kept, kept)


def test_frames_keep_their_number_and_the_size_of_one_when_they_are_made_smaller():
    frames = torch.cat([torch.full((1, 300, 200), level) for level in (0.0, 0.5, 1.0)], dim=2)
    packing = Packing(side=150)
    panel = Panel("p", "p", frames, grainy=True, frames=3, aspect=(4, 3))
    ((_, _, size, _, _, _, _, aspect, count),) = packing.answer(Answer([panel], {}))[0]
    assert (size, aspect, count) == ([300, 200], [4, 3], 3)
    picture = np.asarray(decoded(packing.tables()["pictures"][0]).convert("L")) / 255
    assert picture.shape == (150, 300)
    assert picture[75, 50::100].round(1).tolist() == [0, 0.5, 1]


def test_a_width_that_is_no_multiple_of_the_frames_raises():
    panel = Panel("p", "p", torch.zeros(1, 4, 10), frames=3)
    with pytest.raises(ValueError, match="width of 3 equal frames, got 10"):
        Packing().answer(Answer([panel], {}))


def test_panel_of_a_map_has_its_colors_and_says_where_they_end():
    values = torch.arange(1001.0).reshape(7, 143)
    panel = map_panel("a ramp", values)
    assert panel.scale == ("magma", "0", "99th percentile")
    brightness = panel.image.sum(0).flatten()
    assert (brightness[:985].diff() >= 0).all()
    assert (brightness[990:] == brightness[-1]).all()
    assert panel.image.flatten(1)[:, 0].max() < 0.02


def test_still_picture_darkens_what_is_not_in_the_mask_and_outlines_boxes():
    mask = torch.zeros(6, 10, dtype=torch.bool)
    mask[:, :5] = True
    boxes = {"found": (0, 0, 5, 6), "drawn by hand": (1, 1, 6, 6)}
    panels = [
        Panel("component", "", torch.ones(3, 6, 10), mask, boxes),
        Panel("map", "", torch.full((1, 6, 10), 0.5)),
    ]
    figure = still(Answer(panels, {"IoU": "0.70"}, Curve("score", 10, [1.0, 2.0, 4.0])))
    assert isinstance(figure, plots.Panels)
    left, middle, right = figure.axes
    shown = left.images[0].get_array()
    assert (shown[:, :5] == 1).all()
    assert shown[:, 5:].max() < 0.4
    # each box is a dark and a light line, the second one dashed
    assert [patch.get_linestyle() for patch in left.patches] == ["-", "-", "-", "--"]
    assert [axis.get_title() for axis in (left, middle, right)] == ["component", "map", "score"]
    assert right.lines[0].get_xydata().tolist() == [[0, 1], [5, 2], [10, 4]]
    assert figure.get_supxlabel() == "IoU: 0.70\nRun this cell to move the controls."


def test_still_picture_shows_the_last_frame_in_its_shape_with_its_box():
    frames = torch.cat([torch.zeros(1, 6, 10), torch.ones(1, 6, 10)], dim=2)
    panel = Panel("p", "", frames, boxes={"found": (5, 1, 10, 6)}, aspect=(12, 5), frames=2)
    (axis,) = still(Answer([panel], {})).axes
    shown = axis.images[0].get_array()
    # twelve to five, and neither side longer than it was: half a pixel is rounded
    assert shown.shape[:2] == (6, 2)
    assert shown.min() > 0.99
    box = axis.patches[0]
    # matplotlib's pixel centers lie on whole numbers
    assert (box.get_x(), box.get_y()) == (0.5, 0.5)
    assert (box.get_width(), box.get_height()) == (1, 5)


def test_panel_of_a_signed_map_is_white_at_zero_and_says_which_end_is_for():
    values = torch.arange(-500.0, 501).reshape(7, 143)
    panel = map_panel("a ramp", values, signed=True)
    assert panel.scale == ("RdBu_r", "against", "for, 99th percentile")
    red, _, blue = panel.image.flatten(1)
    assert panel.image.flatten(1)[:, 500].min() > 0.95
    assert (red[:250] < blue[:250]).all()
    assert (red[-250:] > blue[-250:]).all()
