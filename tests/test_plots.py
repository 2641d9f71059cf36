"""What a figure shows is read from the figure itself."""

import io
import itertools

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation
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
