"""What a figure shows is read from the figure itself."""

import io
import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

from deepinside import plots
from deepinside.class_score import ClassScore


def drawn(figure):
    """The images of a figure, in the order of its panels."""
    return [axes.images[0] for axes in figure.axes if axes.images]


def test_images_keep_rows_columns_and_channels():
    image = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    (shown,) = drawn(plots.image_panels([image]))
    assert np.allclose(shown.get_array(), image.permute(1, 2, 0).numpy())


def test_gray_is_drawn_from_black_to_white_whatever_it_holds():
    (shown,) = drawn(plots.image_panels([torch.full((1, 4, 4), 0.5)]))
    assert shown.get_clim() == (0, 1)
    assert np.allclose(shown.to_rgba(shown.get_array().squeeze())[..., :3], 0.5, atol=0.01)


@pytest.mark.parametrize(("signed", "low"), [(False, 0), (True, -90)])
def test_colors_of_a_map_are_those_of_its_scale(signed, low):
    values = torch.arange(101.0).reshape(1, 101)
    colors = plots.colored(values, signed=signed, percentile=90)
    assert colors.shape == (3, 1, 101)
    known = plots.COLORS["RdBu_r" if signed else "magma"]
    # nine colors, evenly spaced from the low end to the 90th percentile
    for value in (0, 45, 90, 100):
        place = round(8 * (min(value, 90) - low) / (90 - low))
        assert colors[:, 0, value].tolist() == pytest.approx(to_rgb(known[place]), abs=0.02)


@pytest.mark.parametrize(("signed", "zero"), [(False, "black"), (True, "white")])
def test_zero_looks_like_zero(signed, zero):
    values = torch.tensor([[0.0, 1.0], [2.0, -3.0 if signed else 3.0]])
    (shown,) = drawn(plots.map_panels([values], unit="value", signed=signed))[:1]
    assert np.allclose(shown.to_rgba(0.0)[:3], to_rgb(zero), atol=0.04)


def test_signed_maps_are_centered_on_zero():
    (shown,) = drawn(plots.map_panels([torch.tensor([[0.5, -2.0]])], unit="value", signed=True))[:1]
    assert shown.get_clim() == (-2, 2)
    red, blue = shown.to_rgba(1.0), shown.to_rgba(-1.0)
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_compared_maps_share_one_scale_and_one_colorbar_with_its_unit():
    maps = [torch.full((4, 4), value) for value in (1.0, 5.0, 2.0)]
    figure = plots.map_panels(maps, ["a", "b", "c"], unit="logits")
    assert [shown.get_clim() for shown in drawn(figure)[:3]] == [(0, 5)] * 3
    (bar,) = [axes for axes in figure.axes if axes.get_xlabel()]
    assert bar.get_xlabel() == "logits"


def test_a_clipped_scale_is_stated():
    values = torch.arange(101.0).reshape(1, 101)
    figure = plots.map_panels([values], unit="logits", percentile=90)
    assert drawn(figure)[0].get_clim()[1] == pytest.approx(90)
    assert "scale ends at percentile 90" in figure.axes[-1].get_xlabel()


def test_relative_maps_are_divided_each_by_its_own_percentile():
    values = torch.arange(101.0).reshape(1, 101)
    figure = plots.map_panels([values, 10 * values], unit="value", percentile=90, relative=True)
    first, second = drawn(figure)[:2]
    assert np.allclose(first.get_array(), second.get_array())
    assert first.get_array().max() == pytest.approx(100 / 90)
    assert first.get_clim() == (0, 1)
    assert "share of each map's percentile 90" in figure.axes[-1].get_xlabel()


def test_photos_stand_above_their_maps():
    photos = [torch.zeros(3, 4, 6), torch.ones(3, 4, 6)]
    maps = [torch.full((4, 6), 1.0), torch.full((4, 6), 2.0)]
    shown = drawn(plots.photo_map_panels(photos, maps, ["a", "b"], unit="logits"))[:4]
    assert [panel.get_array().max() for panel in shown] == [0, 1, 1, 2]
    assert {panel.get_clim() for panel in shown[2:]} == {(0, 2)}


def test_a_map_with_negative_values_is_refused_unless_signed():
    with pytest.raises(ValueError, match=r"got -1: signed=True\?"):
        plots.map_panels([torch.tensor([[-1.0, 2.0]])], unit="value")


def test_an_empty_map_is_drawn_black():
    (shown,) = drawn(plots.map_panels([torch.zeros(3, 3)], unit="value"))[:1]
    assert np.allclose(shown.to_rgba(shown.get_array())[..., :3], 0, atol=0.02)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one image or map"):
        plots.image_panels([])


def test_more_titles_than_panels_are_refused():
    with pytest.raises(ValueError, match="at most 1 titles, got 2"):
        plots.image_panels([torch.zeros(3, 2, 2)], ["a", "b"])


def test_a_box_is_drawn_around_its_half_open_pixels():
    figure = plots.image_panels([torch.zeros(3, 10, 20)], boxes=[(2, 3, 12, 7)])
    outline = figure.axes[0].patches[0]
    # pixel centers are whole numbers: pixels 2 to 11 and 3 to 6 reach from 1.5 and 2.5
    assert outline.get_xy() == (1.5, 2.5)
    assert (outline.get_width(), outline.get_height()) == (10, 4)


def test_bars_show_scores_and_probabilities_best_first():
    classes = [ClassScore(4, "first", 9.0, 0.7), ClassScore(2, "second", 3.0, 0.1)]
    scores, probabilities = plots.class_bars(classes).axes
    assert [bar.get_width() for bar in scores.patches] == [9.0, 3.0]
    assert [bar.get_width() for bar in probabilities.patches] == [0.7, 0.1]
    assert scores.yaxis_inverted()


def test_columns_have_a_box_for_each_label_and_lines_from_edge_to_edge():
    columns = {"paper": ["§2", "§3"], "chapter": ["one", "two", "three"]}
    links = [("§2", "one"), ("§2", "two"), ("§3", "three")]
    (axis,) = plots.linked_columns(columns, links).axes
    centers = {text.get_text(): text.get_position() for text in axis.texts}
    assert set(centers) == {"paper", "chapter", "§2", "§3", "one", "two", "three"}
    boxes = [patch.get_bbox() for patch in axis.patches]
    assert len(boxes) == 5
    for name in ("§2", "§3", "one", "two", "three"):
        assert sum(box.contains(*centers[name]) for box in boxes) == 1
    assert [centers[name][1] for name in columns["chapter"]] == sorted(
        (centers[name][1] for name in columns["chapter"]), reverse=True
    )
    for line, (left, right) in zip(axis.lines, links, strict=True):
        assert line.get_ydata().tolist() == [centers[left][1], centers[right][1]]
        assert centers[left][0] < line.get_xdata()[0] < line.get_xdata()[1] < centers[right][0]


def test_the_twin_is_drawn_beside_each_layer_with_the_kernel_turned_and_one_box_in_red():
    (axis,) = plots.backward_twin().axes
    at = {text.get_text().split("\n")[0]: text.get_position() for text in axis.texts}
    for forward, backward in (
        ("ReLU", "gradient: mask from the left"),
        ("max-pooling", "un-pooling: to the switches,"),
        ("fully connected", "transposed matrix"),
    ):
        assert at[forward][0] < at[backward][0]
        assert at[forward][1] == at[backward][1]
    (red,) = [box for box in axis.patches if box.get_linewidth() == 2]
    assert red.get_bbox().contains(*at["gradient: mask from the left"])
    assert red.get_edgecolor()[0] > 2 * max(red.get_edgecolor()[1:3])


def test_the_twins_kernels_are_read_in_opposite_orders():
    (axis,) = plots.backward_twin().axes
    numbers = [text for text in axis.texts if text.get_text().isdigit()]
    middle = np.mean([text.get_position()[0] for text in numbers])
    read = {True: [], False: []}
    for text in sorted(numbers, key=lambda text: (-text.get_position()[1], text.get_position()[0])):
        read[text.get_position()[0] < middle].append(int(text.get_text()))
    assert read == {True: [*range(1, 10)], False: [*range(9, 0, -1)]}


def test_the_twins_arrows_go_up_on_the_left_down_on_the_right_and_across_in_between():
    (axis,) = plots.backward_twin().axes
    at = {text.get_text(): text.get_position() for text in axis.texts}
    left, right = at["image"][0], at["signal at the image"][0]
    layers = ("image", "convolution", "ReLU", "max-pooling", "fully connected", "class scores")
    heights = [at[name][1] for name in layers]
    # from (x, y) to (x, y), between boxes that are one high
    pairs = list(itertools.pairwise(heights))
    up = [(left, low + 0.5, left, high - 0.5) for low, high in pairs]
    across = [(3.9, height, 8.0, height) for height in heights[1:-1]]
    down = [(right, high - 0.5, right, low + 0.5) for low, high in pairs]
    arrows = [text for text in axis.texts if isinstance(text, Annotation)]
    ways = sorted((*text.get_position(), *text.xy) for text in arrows)
    assert ways == [pytest.approx(way) for way in (*up, *across, *sorted(down))]


def test_lines_are_told_apart_without_color():
    figure = plots.lines([0, 1], {"a": [0, 1], "b": [1, 2]}, x_label="x", y_label="y")
    styles = [line.get_linestyle() for line in figure.axes[0].lines]
    assert len(set(styles)) == 2


def test_lines_can_have_bands_and_a_logarithmic_axis():
    bands = {"b": ([0.5, 1.5], [2, 3])}
    figure = plots.lines(
        [0, 1], {"a": [0.1, 1], "b": [1, 2]}, x_label="x", y_label="y", bands=bands, log=True
    )
    (axis,) = figure.axes
    assert axis.get_yscale() == "log"
    (band,) = axis.collections
    corners = band.get_paths()[0].vertices.tolist()
    assert all([x, y] in corners for x, y in ([0, 0.5], [1, 1.5], [0, 2], [1, 3]))
    assert tuple(band.get_facecolor()[0][:3]) == tuple(axis.lines[1].get_color()[:3])


def test_a_notebook_shows_panels_as_jpeg(monkeypatch):
    shown = []
    display = lambda data, raw: shown.append((data, raw))  # noqa: E731
    monkeypatch.setattr("IPython.display.display", display)
    plots.image_panels([torch.rand(3, 8, 8)])._ipython_display_()
    ((data, raw),) = shown
    assert raw
    with Image.open(io.BytesIO(data["image/jpeg"])) as picture:
        assert picture.format == "JPEG"
    assert "Panels" in data["text/plain"] or "Figure" in data["text/plain"]


def test_bands_reach_from_low_to_high():
    bands = {"a": ([0.4, 0.5], [0.7, 0.8])}
    figure = plots.lines([0, 1], {"a": [0.5, 0.6]}, x_label="x", y_label="y", bands=bands)
    axis = figure.axes[0]
    assert axis.get_lines()[0].get_ydata() == pytest.approx([0.5, 0.6])
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.4, 0.8)


def colors_at(picture, places):
    """The colors of a picture at shares of its width and height."""
    width, height = picture.size
    found = [picture.getpixel((int(x * width), int(y * height))) for x, y in places]
    return [tuple(round(value / 255) for value in color) for color in found]


def test_a_saved_figure_keeps_its_layout():
    titles = ["first", "second"]
    made = [plots.map_panels([torch.eye(9)] * 2, titles, unit="magnitude") for _ in range(2)]
    plain = io.BytesIO()
    made[0].savefig(plain, format="png")
    plots.jpeg(made[1])
    places = [[axis.get_position().bounds for axis in figure.axes] for figure in made]
    assert places[1] == places[0]
    assert made[1].get_layout_engine().colorbar_gridspec == (
        made[0].get_layout_engine().colorbar_gridspec
    )
    assert type(made[1].get_layout_engine()) is type(made[0].get_layout_engine())


def test_columns_are_stacked_two_by_two_and_what_is_below_them_comes_last():
    corners = [(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)][1:7]
    images = [torch.tensor(color).float()[:, None, None].expand(3, 8, 8) for color in corners]
    figure = plots.image_panels(images, columns=3)
    picture = Image.open(io.BytesIO(plots.jpeg(figure)))
    third = [(x, y) for y in (0.25, 0.75) for x in (1 / 6, 3 / 6, 5 / 6)]
    assert colors_at(picture, third) == corners
    stacked = plots.two_columns(picture)
    # the first two columns of both rows, then the third
    places = [(x, y) for y in (0.13, 0.36) for x in (0.25, 0.75)] + [(0.25, 0.62), (0.25, 0.86)]
    assert colors_at(stacked, places) == [corners[i] for i in (0, 1, 3, 4, 2, 5)]
    assert stacked.width < 0.7 * picture.width


def test_a_colorbar_stays_below_the_columns():
    figure = plots.map_panels([torch.eye(9)] * 4, unit="magnitude")
    picture = Image.open(io.BytesIO(plots.jpeg(figure)))
    stacked = plots.two_columns(picture)
    below = np.asarray(stacked.convert("L"))[-stacked.height // 12 :]
    assert (below < 100).mean() > 0.01
    assert (below > 250).mean() > 0.5


def test_a_column_that_is_not_full_leaves_no_space():
    images = [torch.zeros(1, 8, 8)] * 5
    picture = Image.open(io.BytesIO(plots.jpeg(plots.image_panels(images, columns=3))))
    stacked = np.asarray(plots.two_columns(picture).convert("L"))
    # two rows of the first two columns and one of the third, which has no second
    assert stacked.shape[0] < 0.85 * stacked.shape[1] / 2 * 4
    assert (stacked[-90:-40, 30:150] < 10).all()


@pytest.mark.parametrize("count", [1, 2])
def test_two_columns_are_left_as_they_are(count):
    picture = Image.open(io.BytesIO(plots.jpeg(plots.image_panels([torch.rand(1, 4, 4)] * count))))
    assert plots.two_columns(picture) is None


def test_a_picture_that_is_no_figure_is_left_as_it_is():
    assert plots.two_columns(Image.new("RGB", (9, 9))) is None


# What comes from anywhere

GRAY = torch.linspace(0, 1, 48).reshape(6, 8)
IMAGE = GRAY.expand(3, 6, 8)
NAN, EMPTY = torch.full((6, 8), torch.nan), torch.zeros(0, 8)
AXES = {"x_label": "x", "y_label": "y"}
ONE = ClassScore(4, "one", 9.0, 0.7)


def of_maps(maps, **options):
    """Every way to draw maps."""
    photos = [IMAGE] * len(maps) if isinstance(maps, list) else maps
    yield lambda: plots.map_panels(maps, **({"unit": "u"} | options))
    yield lambda: plots.photo_map_panels(photos, maps, **({"unit": "u"} | options))


def all_texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_maps_and_images_of_any_floats_are_drawn_as_those_of_float32(dtype):
    values = (60000 * GRAY).to(dtype)
    for call, same in zip(
        of_maps([values], percentile=90, relative=True),
        of_maps([values.float()], percentile=90, relative=True),
        strict=True,
    ):
        assert plots.jpeg(call()) == plots.jpeg(same())
    assert plots.colored(values).equal(plots.colored(values.float()))
    image = IMAGE.to(dtype)
    pair = [plots.jpeg(plots.image_panels([one])) for one in (image, image.float())]
    assert pair[0] == pair[1]
    half = plots.lines(GRAY[0].to(dtype), {"a": GRAY[1].to(dtype).requires_grad_()}, **AXES)
    expected = GRAY[1].to(dtype).tolist()
    assert half.axes[0].lines[0].get_ydata().tolist() == expected


@pytest.mark.parametrize("size", [1e-45, 1e-37, 3e38])
@pytest.mark.parametrize("signed", [False, True])
def test_magnitude_changes_the_scale_and_no_color(size, signed):
    values = torch.tensor([[0.0, 1.0, -1.0 if signed else 1.0]])
    figures = [plots.map_panels([m], unit="u", signed=signed) for m in (values, values * size)]
    figures.append(plots.map_panels([values * size], unit="u", signed=signed, relative=True))
    first, *others = map(colors_in_the_middle, figures)
    assert others == [first] * 2
    assert first[0] != first[1]
    assert plots.colored(values * size, signed=signed).equal(plots.colored(values, signed=signed))


def colors_in_the_middle(figure):
    """The colors of the first panel's three pixels, as they are drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    places = figure.axes[0].transData.transform([(column, 0) for column in range(3)])
    return [pixels[len(pixels) - round(y), round(x)].tolist() for x, y in places]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("percentile", [1, 99, 100])
def test_maps_of_zeros_look_like_zero_and_flat_maps_do_not(signed, relative, percentile):
    options = {"signed": signed, "relative": relative, "percentile": percentile, "unit": "u"}
    zero, flat = drawn(plots.map_panels([torch.zeros(3, 3), torch.full((3, 3), 2.0)], **options))[
        :2
    ]
    for shown, color in ((zero, "white" if signed else "black"), (flat, None)):
        colors = shown.to_rgba(shown.get_array())[..., :3]
        is_zero = np.abs(colors - to_rgb("white" if signed else "black")).max() < 0.05
        assert is_zero == (color is not None)


@pytest.mark.parametrize(("relative", "end"), [(False, 0.5), (True, 1.0)])
def test_a_scale_ends_at_the_largest_where_its_percentile_is_zero(relative, end):
    values = torch.zeros(20, 20)
    values[3, 4] = 0.5
    figure = plots.map_panels([values], unit="u", percentile=99, relative=relative)
    shown = drawn(figure)[0]
    assert shown.get_clim() == (0, end)
    assert shown.get_array()[3, 4] == end
    assert "percentile 99, or its largest where that is 0" in figure.axes[-1].get_xlabel()
    assert plots.colored(values, percentile=99)[:, 3, 4].min() > 0.7


NO_MAPS = {
    "NaN": ([NAN], "finite floats, got 48 values that are NaN"),
    "one NaN": ([GRAY, torch.where(GRAY > 0.99, torch.nan, GRAY)], "got 1 values that are NaN"),
    "infinite": ([GRAY / 0], "values that are NaN or infinite"),
    "huge": ([GRAY.double() * 1e300], "magnitudes of 0, or from 1e-100 to 1e"),
    "tiny": ([GRAY.double() * 1e-300], "magnitudes of 0, or from 1e-100 to 1e"),
    "negative": ([-GRAY], r"maps of 0 or more, got -1: signed=True\?"),
    "bool": ([GRAY > 0.5], r"got shape \(6, 8\) of torch.bool"),
    "integers": ([GRAY.int()], r"got shape \(6, 8\) of torch.int32"),
    "complex": ([GRAY.cfloat()], "of torch.complex64"),
    "an image": ([IMAGE], r"got shape \(3, 6, 8\)"),
    "empty": ([EMPTY], r"got shape \(0, 8\)"),
    "meta": ([GRAY.to("meta")], "on meta"),
    "lists": ([[[0.0, 1.0]]], r"got \[\[0.0, 1.0\]\]"),
    "an array": ([GRAY.numpy()], "got an array of shape"),
    "None in it": ([None], "got None"),
    "none": ([], "at least one image or map, got none"),
    "None": (None, "as a sequence, got None"),
    "a number": (torch.tensor(1.0), "as a sequence, got a tensor of shape"),
}


@pytest.mark.parametrize(("maps", "got"), NO_MAPS.values(), ids=NO_MAPS)
def test_what_is_no_map_is_refused_in_every_figure(maps, got):
    calls = [*of_maps(maps)]
    if isinstance(maps, list) and maps:
        calls.append(lambda: plots.colored(maps[-1]))
    for call in calls[1:] if maps == [] else calls:
        with pytest.raises(
            ValueError, match=rf"expected .*{got}|images as a sequence|at least one"
        ):
            call()


@pytest.mark.parametrize(
    ("images", "got"),
    [
        ([NAN.expand(3, 6, 8)], "144 values that are NaN"),
        ([255 * IMAGE], r"images in \[0, 1\], got up to 255: divide by 255\?"),
        ([IMAGE[:2]], r"\(3, H, W\) or \(1, H, W\), got \(2, 6, 8\)"),
        ([torch.ones(4, 6, 8)], r"or \(1, H, W\), got \(4, 6, 8\)"),
        (IMAGE, r"\(C, H, W\) of finite floats, got shape \(6, 8\)"),
        ([(255 * IMAGE).byte()], "of torch.uint8"),
        ([IMAGE.to("meta")], "on meta"),
        ([None], "got None"),
        (None, "images as a sequence, got None"),
        ([], "got none|images and curves, got 0"),
    ],
)
def test_what_is_no_image_is_refused_in_every_figure(images, got):
    for call in (
        lambda: plots.image_panels(images),
        lambda: plots.photo_map_panels(images, [GRAY], unit="u"),
        lambda: plots.pictures_and_curve(images, [""] * (images is not None and len(images))),
    ):
        with pytest.raises(ValueError, match=rf"expected .*({got})|one for each photo"):
            call()


@pytest.mark.parametrize(
    ("call", "got"),
    [
        *(
            (lambda v=value: plots.map_panels([GRAY], unit="u", percentile=v), "a percentile above")
            for value in (0, -1, 101, torch.nan, None, "99", True)
        ),
        *(
            (lambda v=value: plots.image_panels([IMAGE] * 3, columns=v), "columns from 1 to 256")
            for value in (0, -2, 1.5, True, "2", 10**9)
        ),
        (lambda: plots.map_panels([GRAY], unit=None), "a unit, got None"),
        (lambda: plots.map_panels([torch.rand(3000, 1)], unit="u"), "pixels, got 864 x 2,592,071"),
        (lambda: plots.map_panels([torch.rand(1, 3000)], unit="u"), "wide enough to see, got 1"),
        (lambda: plots.map_panels([GRAY] * 100, unit="u"), "enough to see, got 100 columns"),
        (lambda: plots.map_panels([GRAY, torch.rand(3000, 1)], unit="u"), "enough to see, got 2"),
        (lambda: plots.map_panels([GRAY] * 300, unit="u", columns=9), "at most 256, got 300"),
        (lambda: plots.image_panels([IMAGE], ["\n" * 5000]), "at most 50,000,000 pixels"),
        (lambda: plots.image_panels([IMAGE], None), "titles as a sequence, got None"),
        (lambda: plots.image_panels([IMAGE], 5), "titles as a sequence, got 5"),
        (lambda: plots.image_panels([IMAGE], [None]), "a text in titles, got None"),
        (lambda: plots.image_panels([IMAGE], [b"a"]), "a text in titles, got b'a'"),
        (lambda: plots.image_panels([IMAGE], boxes=None), "boxes as a sequence, got None"),
        (lambda: plots.image_panels([IMAGE], boxes=[None] * 2), "1 boxes, one for each .* got 2"),
        (lambda: plots.image_panels([IMAGE] * 2, boxes=[None]), "2 boxes, one for each .* got 1"),
        (lambda: plots.image_panels([IMAGE], boxes=[(1, 2, 3)]), "a box of four numbers"),
        (lambda: plots.image_panels([IMAGE], boxes=[(3, 1, 2, 2)]), "a box with x0 < x1"),
        (lambda: plots.image_panels([IMAGE], boxes=[(8, 0, 9, 2)]), "in the image of 6 x 8, got"),
        (lambda: plots.photo_map_panels([IMAGE], [GRAY] * 2, unit="u"), "1 maps, one for each"),
        (lambda: plots.pictures_and_curve([IMAGE], []), "1 titles, one for each"),
        (lambda: plots.pictures_and_curve([IMAGE] * 99, ["a"] * 99), "1 to 12 images and curves"),
        (lambda: plots.pictures_and_curve([IMAGE], "a", boxes=[(1, 2, 3, 4)]), "a box of four"),
        (lambda: plots.pictures_and_curve([IMAGE], "a", boxes=[[]] * 2), "boxes and bars of 1"),
        (lambda: plots.pictures_and_curve([IMAGE], "a", bars=[5]), "bars of each image as a dict"),
        (lambda: plots.pictures_and_curve([IMAGE], "a", curve=5), "a curve of title, last step"),
        (
            lambda: plots.pictures_and_curve([IMAGE], "a", curve=("a", 2, [0, torch.nan])),
            "values of a curve, .* got nan",
        ),
        (lambda: plots.pictures_and_curve([IMAGE], "a", note=None), "a note, got None"),
        (lambda: plots.class_bars([]), "at least one ClassScore"),
        (lambda: plots.class_bars(None), "classes as a sequence"),
        (lambda: plots.class_bars([("a", 1.0)]), "at least one ClassScore"),
        (lambda: plots.class_bars([ONE] * 10**5), "at most 50,000,000 pixels"),
        (lambda: plots.class_bars([ONE._replace(score=torch.nan)]), "a class score .* got nan"),
        (lambda: plots.class_bars([ONE._replace(probability=1.5)]), "probability .* got 1.5"),
        (lambda: plots.class_bars([ONE._replace(name=None)]), "a class name, got None"),
        (lambda: plots.lines([0, 1], {}, **AXES), "two positions and one curve"),
        (lambda: plots.lines([0], {"a": [1]}, **AXES), "two positions and one curve"),
        (lambda: plots.lines([0, 1], None, **AXES), "two positions and one curve"),
        (lambda: plots.lines(None, {"a": [0, 1]}, **AXES), "positions as a sequence, got None"),
        (lambda: plots.lines([0, 1], {"a": [0]}, **AXES), "2 values of a, got 1"),
        (lambda: plots.lines([0, 1], {"a": [0, torch.nan]}, **AXES), "values of a, .* got nan"),
        (lambda: plots.lines([0, 1], {"a": [0, 1e200]}, **AXES), "values of a, .* got 1e"),
        (lambda: plots.lines([0, 1], {"a": "01"}, **AXES), "values of a, .* got '0'"),
        (
            lambda: plots.lines([0, 1], {"a": [0, 1]}, x_label=None, y_label="y"),
            "a label, got None",
        ),
        (lambda: plots.lines([0, 1], {"a": [0, 1]}, log=True, **AXES), "above 0 on a logarithmic"),
        *(
            (lambda b=bands: plots.lines([0, 1], {"a": [0, 1]}, bands=b, **AXES), got)
            for bands, got in (
                ({"b": ([0, 1], [1, 2])}, r"bands of the curves \['a'\]"),
                ([1], r"bands of the curves \['a'\]"),
                ({"a": None}, "limits of a as a sequence"),
                ({"a": ([0, 1],)}, "a lower and an upper limit of a"),
                ({"a": ([0, 1], [1])}, "2 limits of a, got 1"),
            )
        ),
        (lambda: plots.linked_columns(None, []), "columns as a dict"),
        (lambda: plots.linked_columns({"a": []}, []), "labels in each column, all different"),
        (lambda: plots.linked_columns({"a": "xx"}, []), "labels in each column, all different"),
        (lambda: plots.linked_columns({"a": "x", "b": "y"}, ["xz"]), "links of two labels"),
        (lambda: plots.linked_columns({"a": "x", "b": "y"}, ["yx"]), "the left one first"),
        (lambda: plots.linked_columns({"a": map(str, range(10**5))}, []), "50,000,000 pixels"),
        (lambda: plots.jpeg(None), "a figure, got None"),
        (lambda: plots.jpeg(Figure(figsize=(1000, 1000))), "at most 50,000,000 pixels"),
        (lambda: plots.two_columns(None), "a PIL image, got None"),
    ],
)
def test_arguments_are_checked_before_anything_is_drawn(call, got, monkeypatch):
    def draw(*arguments, **options):
        raise AssertionError("drawn")

    monkeypatch.setattr(plt, "subplots", draw)
    with pytest.raises(ValueError, match=f"expected .*{got}"):
        call()


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(2), torch.tensor(2)])
def test_numbers_of_numpy_are_taken(value):
    figure = plots.map_panels([GRAY] * 4, [value] * 4, unit="u", columns=value, percentile=value)
    assert [axis.get_title() for axis in figure.axes[:4]] == ["2"] * 4
    assert figure.axes[0].get_subplotspec().get_gridspec().ncols == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda t: plots.image_panels([IMAGE], [t]),
        lambda t: plots.map_panels([GRAY], [t], unit=t),
        lambda t: plots.photo_map_panels([IMAGE], [GRAY], [t], unit=t),
        lambda t: plots.class_bars([ClassScore(1, t, 1.0, 0.5)]),
        lambda t: plots.lines([0, 1], {t: [0, 1]}, x_label=t, y_label=t),
        lambda t: plots.linked_columns({f"{t}c": [t], "b": ["y"]}, [(t, "y")]),
        lambda t: plots.pictures_and_curve(
            [IMAGE], [t], bars=[{t: (0, 0, 2, 2)}], curve=(t, 3, [0, 1]), note=t
        ),
    ],
)
def test_texts_are_shown_as_they_are(call):
    figure = call("_photo $1_$x_ $\\frac{1$ \udce9.jpg")
    plots.jpeg(figure)
    found = [one for one in all_texts(figure) if one.get_visible() and "$" in one.get_text()]
    assert found
    for one in found:
        assert not one.get_parse_math()
        assert "_photo $1_$x_ $\\frac{1$ \\udce9.jpg" in one.get_text()


def test_the_twins_own_formula_is_one():
    found = [text for text in all_texts(plots.backward_twin()) if "$c$" in text.get_text()]
    assert [text.get_parse_math() for text in found] == [True]


def test_classes_of_one_name_have_a_bar_each():
    classes = [ClassScore(134, "crane", 9.0, 0.7), ClassScore(517, "crane", 3.0, 0.1)]
    scores, _ = plots.class_bars(classes).axes
    assert [(bar.get_y() + 0.4, bar.get_width()) for bar in scores.patches] == [(0, 9), (1, 3)]
    assert [label.get_text() for label in scores.get_yticklabels()] == ["crane", "crane"]


def test_titles_of_several_lines_have_room():
    heights = [
        plots.image_panels([IMAGE], [title]).get_size_inches()[1] for title in ("a", "a\nb\nc")
    ]
    assert heights[1] - heights[0] == pytest.approx(0.32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots.image_panels([IMAGE]),
        lambda: plots.map_panels([GRAY], unit="u"),
        lambda: plots.photo_map_panels([IMAGE], [GRAY], unit="u"),
        lambda: plots.class_bars([ONE]),
        lambda: plots.lines([0, 1], {"a": [0, 1]}, **AXES),
        lambda: plots.linked_columns({"a": "x", "b": "y"}, ["xy"]),
        lambda: plots.pictures_and_curve([IMAGE], "a", curve=("a", 1, [0, 1])),
        plots.backward_twin,
    ],
)
def test_no_figure_stays_open_and_no_setting_changes(call, monkeypatch):
    mine = plt.figure()
    open_before, settings = plt.get_fignums(), dict(mpl.rcParams)
    plots.jpeg(call())
    # the first thing that is drawn
    for name in ("set_axis_off", "barh", "plot", "text"):
        monkeypatch.setattr(Axes, name, failing)
    with pytest.raises(RuntimeError, match="fails"):
        call()
    assert plt.get_fignums() == open_before
    assert plt.gcf() is mine
    assert dict(mpl.rcParams) == settings
    plt.close(mine)


def failing(*arguments, **options):
    raise RuntimeError("fails")


def test_maps_stay_upright_whatever_the_settings_are():
    with mpl.rc_context({"image.origin": "lower", "image.aspect": "auto"}):
        for shown in drawn(plots.photo_map_panels([IMAGE], [GRAY], unit="u"))[:2]:
            assert shown.origin == "upper"
            assert shown.axes.get_aspect() == 1


def test_a_figure_that_cannot_be_saved_keeps_its_layout(monkeypatch):
    figure = plots.image_panels([IMAGE])
    engine = figure.get_layout_engine()
    monkeypatch.setattr(Figure, "savefig", failing)
    with pytest.raises(RuntimeError, match="fails"):
        plots.jpeg(figure)
    assert figure.get_layout_engine() is engine


@pytest.mark.parametrize(
    "process", [torch.inference_mode, torch.no_grad, lambda: mpl.rc_context({"figure.dpi": 30})]
)
def test_figures_are_the_same_whatever_the_process_is_set_to(process):
    expected = plots.jpeg(plots.photo_map_panels([IMAGE], [GRAY], unit="u", relative=True))
    with process():
        figure = plots.photo_map_panels([IMAGE], [GRAY.clone()], unit="u", relative=True)
    assert plots.jpeg(figure) == expected


COMMENTS = [
    "hello",
    b"\xff\xfe",
    "5",
    "[1, 2]",
    "{}",
    '{"cuts": [0, 0.3, 0.6, 1]}',
    '{"cuts": [0, 0.6, 0.3, 1], "foot": 1}',
    '{"cuts": [0, NaN, 0.6, 1], "foot": 1}',
    '{"cuts": "abcde", "foot": 1}',
    '{"cuts": [0, 0.3, 0.6, 1], "foot": 0}',
    '{"cuts": [0, 0.3, 0.6, 9], "foot": 1}',
    "[" * 100_000,
]


@pytest.mark.parametrize("comment", COMMENTS)
def test_a_picture_with_another_comment_is_left_as_it_is(comment):
    picture = Image.new("RGB", (90, 60))
    picture.info["comment"] = comment
    assert plots.two_columns(picture) is None


def test_a_figure_that_was_made_tiny_is_left_as_it_is():
    picture = Image.open(io.BytesIO(plots.jpeg(plots.image_panels([IMAGE] * 3))))
    small = picture.resize((2, 2))
    small.info = dict(picture.info)
    assert plots.two_columns(picture) is not None
    assert plots.two_columns(small) is None
