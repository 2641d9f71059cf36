"""What is sent of an answer, unpacked again."""

import base64
import io
import json

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


PANEL = Panel("p", "alt", torch.full((3, 4, 6), 0.5))
CURVE = Curve("score", 2, [0.0, 1.0, 2.0])
NAN = float("nan")


def with_panel(**changed):
    return Answer([PANEL._replace(**changed)], {})


def with_curve(**changed):
    return Answer([PANEL], {}, CURVE._replace(**changed))


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (None, "expected an Answer, got None"),
        (([PANEL], {}), "expected an Answer"),
        (Answer(None, {}), "expected a list of panels, got None"),
        (Answer([None], {}), "expected a Panel with texts as title and alt, got None"),
        (Answer([PANEL], None), "expected numbers, texts by their names, got None"),
        (Answer([PANEL], {"a": 0.5}), "expected numbers, texts by their names, got {'a': 0.5}"),
        (Answer([PANEL], {}, ("score", 2, [1, 2])), "expected a Curve or None"),
        (with_panel(title=None), "expected a Panel with texts"),
        (with_panel(alt=3), "expected a Panel with texts"),
        (with_panel(image=None), "an image of floats, .3, H, W., in panel 'p', got None"),
        (with_panel(image=np.zeros((3, 4, 6))), "got an array of shape .3, 4, 6., float64"),
        (with_panel(image=torch.zeros(3, 4, 6, dtype=torch.uint8)), "of floats, .* torch.uint8"),
        (with_panel(image=torch.zeros(3, 4, 6, device="meta")), "an image of floats, .* on meta"),
        (with_panel(image=torch.zeros(2, 4, 6)), "or .1, H, W. in panel 'p', got shape .2, 4, 6."),
        (with_panel(image=torch.zeros(1, 3, 4, 6)), "in panel 'p', got shape .1, 3, 4, 6."),
        (with_panel(image=torch.zeros(4, 6)), "in panel 'p', got shape .4, 6."),
        (with_panel(image=torch.zeros(3, 0, 6)), "in panel 'p', got shape .3, 0, 6."),
        (with_panel(image=torch.full((1, 4, 6), NAN)), "expected a finite image in panel 'p'"),
        (with_panel(image=torch.full((1, 4, 6), -torch.inf)), "expected a finite image"),
        (with_panel(frames=0), "expected frames of panel 'p' of at least 1, got 0"),
        (with_panel(frames=-2), "expected frames of panel 'p' of at least 1, got -2"),
        (with_panel(frames=None), "expected frames of panel 'p' of at least 1, got None"),
        (with_panel(frames=True), "expected frames of panel 'p'"),
        (with_panel(frames=1.5), "expected frames of panel 'p'"),
        (with_panel(frames=4), "expected a width of 4 equal frames, got 6"),
        (with_panel(mask=torch.zeros(4, 5, dtype=torch.bool)), "a mask .4, 6. of bool in panel"),
        (with_panel(mask=torch.zeros(4, 6)), "a mask .4, 6. of bool in panel 'p'"),
        (with_panel(mask=np.zeros((4, 6), dtype=bool)), "a mask .4, 6. of bool in panel 'p'"),
        (with_panel(frames=2, mask=torch.zeros(4, 6, dtype=torch.bool)), "a mask .4, 3. of bool"),
        (with_panel(boxes=None), "expected boxes by their labels in panel 'p', got None"),
        (with_panel(boxes=[(0, 0, 1, 1)]), "expected boxes by their labels"),
        (with_panel(boxes={"a": (0, 0, 1, NAN)}), "as a box of panel 'p', got 'a': .0, 0, 1, nan."),
        (with_panel(boxes={"a": (0, 0, 1)}), "as a box of panel 'p'"),
        (with_panel(boxes={"a": None}), "as a box of panel 'p', got 'a': None"),
        (with_panel(boxes={"a": (3, 0, 1, 1)}), "as a box of panel 'p'"),
        (with_panel(boxes={1: (0, 0, 1, 1)}), "as a box of panel 'p', got 1"),
        (with_panel(bars={"a": (0, 0, torch.inf, 1)}), "as a box of panel 'p'"),
        (with_panel(scale=("jet", "0", "1")), "the colors of .*, got .'jet', '0', '1'."),
        (with_panel(scale=("magma", 0, 1)), "as the scale of panel 'p'"),
        (with_panel(scale="magma"), "as the scale of panel 'p'"),
        (with_panel(scale=5), "as the scale of panel 'p'"),
        (with_panel(scale=(["magma"], "0", "1")), "as the scale of panel 'p'"),
        (with_panel(aspect=(0, 3)), "a height in the aspect of panel 'p' of at least 1, got 0"),
        (with_panel(aspect=(3, 1.5)), "a width in the aspect of panel 'p' of at least 1, got 1.5"),
        (with_panel(aspect=3), "expected .height, width. as the aspect of panel 'p', got 3"),
        (with_panel(aspect=(1, 2, 3)), "expected .height, width. as the aspect of panel 'p'"),
        (with_panel(aspect=(3000, 1)), "no more than 100 times as long as wide, got 3000 x 1"),
        (with_panel(image=torch.zeros(1, 1, 3000)), "no more than 100 times .* got 1 x 3000"),
        (with_curve(title=None), "a text as the title of a curve, got None"),
        (with_curve(steps=0), "the steps of a curve of at least 1, got 0"),
        (with_curve(steps=None), "the steps of a curve of at least 1, got None"),
        (with_curve(steps=2.5), "the steps of a curve of at least 1, got 2.5"),
        (with_curve(values=None), "two numbers or more as values of a curve, got None"),
        (with_curve(values=[]), "two numbers or more as values of a curve, got"),
        (with_curve(values=[1.0]), "two numbers or more as values of a curve, got"),
        (with_curve(values=[1.0, None]), "two numbers or more as values of a curve, got"),
        (with_curve(values=[1.0, "a"]), "two numbers or more as values of a curve, got"),
        (with_curve(values=torch.zeros(2, 2)), "two numbers or more as values of a curve, got"),
        (with_curve(mark=3), "the mark of a curve, .* from 0 to 2, got 3"),
        (with_curve(mark=-1), "the mark of a curve, .* from 0 to 2, got -1"),
        (with_curve(mark=0.5), "the mark of a curve, .* from 0 to 2, got 0.5"),
    ],
)
def test_what_is_no_answer_is_refused_where_it_is_packed_and_drawn(answer, named):
    for show in (Packing().answer, still):
        with pytest.raises(ValueError, match=named):
            show(answer)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (with_panel(image=PANEL.image.half()), with_panel()),
        (with_panel(image=PANEL.image.bfloat16()), with_panel()),
        (with_panel(image=PANEL.image.double().requires_grad_()), with_panel()),
        (with_panel(image=torch.full((3, 4, 6), 1.5)), with_panel(image=torch.ones(3, 4, 6))),
        (with_panel(frames=np.int64(2)), with_panel(frames=2)),
        (with_panel(frames=torch.tensor(2)), with_panel(frames=2)),
        (with_panel(aspect=np.array([8, 3])), with_panel(aspect=(8, 3))),
        (
            with_panel(boxes={"a": torch.tensor([0, 1, 2, 3])}),
            with_panel(boxes={"a": (0.0, 1.0, 2.0, 3.0)}),
        ),
        (with_curve(values=np.arange(3)), with_curve()),
        (with_curve(values=torch.arange(3.0).half()), with_curve()),
        (with_curve(steps=np.int32(2), mark=np.int64(1)), with_curve(mark=1)),
    ],
)
def test_numbers_of_numpy_and_tensors_are_packed_as_those_of_python(given, same):
    one, other = Packing(), Packing()
    packed = json.dumps([one.answer(given), one.tables()])
    assert packed == json.dumps([other.answer(same), other.tables()])
    assert plots.jpeg(still(given)) == plots.jpeg(still(same))


def test_ends_of_bars_are_two_numbers():
    for ends in ((1, 1), (2, 1), (0, NAN), (None, 1)):
        with pytest.raises(ValueError, match=r"expected a (left|right) end"):
            bar_panel("p", {"a": 1.0}, ends, digits=1)
    with pytest.raises(ValueError, match="expected a value of a"):
        bar_panel("p", {"a": NAN}, (0, 1), digits=1)


def test_texts_are_texts_in_the_picture_that_takes_an_explorers_place():
    """Neither TeX nor HTML."""
    texts = ["photo $1_$x_.jpg", "a $ b", r"\frac{$", "<b>bold</b> & co", "{", "100 %"]
    for text in texts:
        panel = PANEL._replace(title=text, bars={text: (1, 1, 3, 2)})
        answer = Answer([panel], {text: text}, CURVE._replace(title=text))
        figure = still(answer)
        assert plots.jpeg(figure)
        assert figure.axes[0].get_title() == text
