"""Figures: images, maps that share one scale, and class scores as bars.

Maps that are compared share one norm and one colorbar with its unit. Maps that are never
negative are drawn from black (zero) in magma, signed maps in a red-blue scale whose
white is zero. Texts are shown as they are: a dollar sign begins no formula.
"""

import io
import itertools
import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from numbers import Real
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure as Figure  # for those who call this module, too
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from deepinside.arguments import checked_map, number, shown, whole_number
from deepinside.class_score import ClassScore
from deepinside.images import MAX_PIXELS, Box, checked_box

WIDTH = 7.2
_DPI = 120
# not optimized, as Pillow then fails on a picture of noise, which it cannot compress
_JPEG = {"quality": 82, "subsampling": 0}
# the two scales of all maps, each as nine colors from its low end to its high end
COLORS = {
    name: [to_hex(plt.colormaps[name](x)) for x in np.linspace(0, 1, 9)]
    for name in ("magma", "RdBu_r")
}
# whatever the settings of the process are
_UPRIGHT: Mapping[str, Any] = {"origin": "upper", "aspect": "equal"}
# pixels between two rows of panels that are stacked for a phone
_GAP = 12
# inches that a colorbar with its label takes, and a title's first line and each further one
_COLORBAR, _TITLE, _LINE = 0.55, 0.27, 0.16
# inches that a panel and its margins take at least, and the most panels of a figure
_PANEL, _PANELS = 0.1, 256
# the most pictures beside each other that have room for a title
_IN_A_ROW = 12
# larger numbers, and smaller ones than their inverse, leave no room for an axis in float64
_LARGEST = 1e100


class Panels(Figure):
    """A figure of photos and maps, which a notebook shows and keeps as JPEG.

    As PNG, photos and grainy maps would be five times as large, and a chapter has a dozen.
    """

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"image/jpeg": jpeg(self), "text/plain": repr(self)}, raw=True)


def jpeg(figure: Figure) -> bytes:
    """Return a figure as the content of a JPEG file, whose comment says where the columns are."""
    if not isinstance(figure, Figure):
        raise ValueError(f"expected a figure, got {shown(figure)}")
    _check_size(figure.get_figwidth(), figure.get_figheight(), figure.dpi)
    file, engine = io.BytesIO(), figure.get_layout_engine()
    comment = json.dumps(_layout(figure))
    figure.set_layout_engine("none")  # laid out again, its panels would move
    try:
        figure.savefig(file, format="jpeg", pil_kwargs=_JPEG | {"comment": comment})
    finally:
        figure.set_layout_engine(engine)
    return file.getvalue()


def two_columns(picture: Image.Image) -> Image.Image | None:
    """Return a figure's picture with two columns of panels in a row, for a phone.

    The panels of one column stay together, and what is below all panels, such as a colorbar,
    comes last. The result is None if there are at most two columns, or if the picture was not
    made by `jpeg`.
    """
    if not isinstance(picture, Image.Image):
        raise ValueError(f"expected a PIL image, got {shown(picture)}")
    layout = _noted_layout(picture)
    if layout is None or len(layout[0]) <= 3:
        return None
    (width, height), (cuts, foot) = picture.size, layout
    pairs = [cuts[i : i + 3] for i in range(0, len(cuts) - 1, 2)]
    rows = [_without_edge(picture.crop((ends[0], 0, ends[-1], foot))) for ends in pairs]
    narrow = max(ends[-1] - ends[0] for ends in pairs)
    below = _without_edge(picture.crop((0, foot, width, height)), sides=True)
    below.thumbnail((narrow, height))
    stacked = Image.new("RGB", (narrow, sum(row.height + _GAP for row in (*rows, below))), "white")
    top = 0
    for row in rows:
        stacked.paste(row, (0, top))
        top += row.height + _GAP
    stacked.paste(below, ((narrow - below.width) // 2, top))
    return stacked


def colored(values: Tensor, *, signed: bool = False, percentile: float = 100.0) -> Tensor:
    """Return a map (H, W) in its colors, (3, H, W) in [0, 1].

    The scale ends at the percentile of the map's own magnitudes. Colors, signs and errors
    as for `map_panels`.
    """
    (drawn,), norm, _ = _scaled([values], "", signed, percentile, False)
    pixels = plt.colormaps["RdBu_r" if signed else "magma"](norm(drawn))
    return torch.from_numpy(pixels[..., :3]).float().permute(2, 0, 1)


def pictures_and_curve(
    images: Sequence[Tensor],
    titles: Sequence[str],
    *,
    boxes: Sequence[Sequence[Box]] = (),
    bars: Sequence[Mapping[str, Box]] = (),
    curve: tuple[str, int, Sequence[float]] | None = None,
    note: str = "",
) -> Figure:
    """Return a figure of images in a row, a curve beside them, and a text below.

    Parameters
    ----------
    images, titles
        As for `image_panels`.
    boxes : sequence of sequences of box
        Those of each image; the first is solid, others are dashed.
    bars : sequence of dict
        Those of each image: label to box, which is filled and has its label above it.
    curve : tuple, optional
        Its title, the last step, and values that are evenly spaced over the steps.
    note : str
        The text below.
    """
    images, titles = _images(images), _texts(titles, "titles")
    if len(titles) != len(images):
        raise ValueError(f"expected {len(images)} titles, one for each image, got {len(titles)}")
    boxes = [[checked_box(box) for box in _items(each, "boxes")] for each in _items(boxes, "boxes")]
    bars = _items(bars, "bars")
    if not all(isinstance(each, Mapping) for each in bars):
        raise ValueError(f"expected bars of each image as a dict, got {shown(bars)}")
    filled = [[(_text(label, "a label"), checked_box(b)) for label, b in e.items()] for e in bars]
    if max(len(boxes), len(filled)) > len(images):
        raise ValueError(f"expected boxes and bars of {len(images)} images, got more")
    if not 1 <= len(images) + (curve is not None) <= _IN_A_ROW:
        raise ValueError(f"expected 1 to {_IN_A_ROW} images and curves, got {len(images)} images")
    if curve is not None:
        if not isinstance(curve, Sequence) or len(curve) != 3:
            raise ValueError(f"expected a curve of title, last step and values, got {shown(curve)}")
        title, x = _text(curve[0], "a title"), (0, number(curve[1], "the last step", 0))
        values = _numbers(curve[2], "values of a curve")
    # as many characters of this size as the figure is wide
    count = len(images) + (curve is not None)
    width = WIDTH / max(count, 3)
    note = _text(note, "a note")
    lines = [textwrap.fill(line, round(14 * count * width)) for line in note.splitlines()]
    size = (count * width, width + 0.6)
    with _figure(1, count, size, layout="constrained", FigureClass=Panels) as (figure, axes):
        for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
            axis.set_axis_off()
            axis.set_title(titles[i], fontsize=9, parse_math=False)
            _draw_image(axis, image)
            for k, box in enumerate(boxes[i] if i < len(boxes) else ()):
                _outline(axis, box, "--" if k else "-")
            for label, (x0, y0, x1, y1) in filled[i] if i < len(filled) else ():
                axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, color="tab:gray"))
                axis.text(2, y0 - 4, label, fontsize=8, parse_math=False)
        if curve is not None:
            axis = axes.flat[-1]
            axis.plot(np.linspace(*x, len(values)), values, color="black")
            axis.set_title(title, fontsize=9, parse_math=False)
            axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        figure.supxlabel("\n".join(lines), fontsize=9, parse_math=False)
    return figure


def image_panels(
    images: Sequence[Tensor],
    titles: Sequence[str] = (),
    *,
    columns: int | None = None,
    boxes: Sequence[Box | None] = (),
) -> Figure:
    """Return a figure of images side by side.

    Parameters
    ----------
    images : sequence of Tensor
        Each (3, H, W) or (1, H, W) in [0, 1]; values outside are clipped.
    titles : sequence of str
        One per image, or none.
    columns : int, optional
        How many panels in a row (default: all).
    boxes : sequence of box or None
        A half-open box (x0, y0, x1, y1) to outline in each image, or none.

    Raises
    ------
    ValueError
        If an image, title or box is none, a box lies outside of its image, or the figure would
        have more than 256 panels, or more pixels than a photo may.
    """
    images = _images(images)
    boxes = [None if box is None else checked_box(box) for box in _items(boxes, "boxes")]
    if boxes and len(boxes) != len(images):
        raise ValueError(f"expected {len(images)} boxes, one for each image, got {len(boxes)}")
    for image, box in zip(images, boxes, strict=False):
        height, width = image.shape[1:]
        if box and not (box[0] < width and box[1] < height and min(box[2:]) > 0):
            raise ValueError(f"expected a box in the image of {height} x {width}, got {box}")
    with _grid(images, titles, columns) as (figure, axes):
        for axis, image in zip(axes, images, strict=True):
            _draw_image(axis, image)
        for axis, box in zip(axes, boxes, strict=False):
            if box is not None:
                _outline(axis, box)
    return figure


def map_panels(
    maps: Sequence[Tensor],
    titles: Sequence[str] = (),
    *,
    unit: str,
    signed: bool = False,
    percentile: float = 100.0,
    relative: bool = False,
    columns: int | None = None,
) -> Figure:
    """Return a figure of maps that share one color scale and one colorbar.

    Parameters
    ----------
    maps : sequence of Tensor
        Each (H, W), finite, at least 0 unless `signed`.
    titles : sequence of str
        One per map, or none.
    unit : str
        What the colorbar measures.
    signed : bool
        Center the scale on zero, in red and blue.
    percentile : float
        The percentile of all magnitudes at which the scale ends; below 100 the colorbar
        says so. Where it is 0, as fewer pixels than that differ from 0, the scale ends at the
        largest magnitude.
    relative : bool
        Divide each map by its own percentile, so that maps of different magnitude can be
        compared; the colorbar says so.
    columns : int, optional
        How many panels in a row (default: all).

    Raises
    ------
    ValueError
        If a map has negative values and `signed` is not set, or as for `image_panels`.
    """
    scaled, norm, label = _scaled(maps, unit, signed, percentile, relative)
    with _grid(scaled, titles, columns, space_below=_COLORBAR) as (figure, axes):
        for axis, values in zip(axes, scaled, strict=True):
            drawn = _draw_map(axis, values, norm, signed)
        _colorbar(figure, axes, drawn, label)
    return figure


def photo_map_panels(
    photos: Sequence[Tensor],
    maps: Sequence[Tensor],
    titles: Sequence[str] = (),
    *,
    unit: str,
    percentile: float = 100.0,
    relative: bool = False,
) -> Figure:
    """Return a figure with photos above and their maps, on one scale, below.

    Parameters as for `image_panels` and `map_panels`; photo i and map i are one column.
    """
    images = _images(photos)
    scaled, norm, label = _scaled(maps, unit, False, percentile, relative)
    if len(scaled) != len(images):
        raise ValueError(f"expected {len(images)} maps, one for each photo, got {len(scaled)}")
    panels: list[Tensor | np.ndarray] = [*images, *scaled]
    with _grid(panels, titles, len(images), space_below=_COLORBAR) as (figure, axes):
        above, below = axes[: len(images)], axes[len(images) :]
        for axis, image in zip(above, images, strict=True):
            _draw_image(axis, image)
        for axis, values in zip(below, scaled, strict=True):
            drawn = _draw_map(axis, values, norm, False)
        _colorbar(figure, below, drawn, label)
    return figure


def class_bars(classes: Sequence[ClassScore]) -> Figure:
    """Return a figure of class scores and, beside them, the same classes' probabilities."""
    classes = _items(classes, "classes")
    if not classes or not all(isinstance(found, ClassScore) for found in classes):
        raise ValueError(f"expected at least one ClassScore, got {shown(classes)}")
    names = [_text(found.name, "a class name") for found in classes]
    scores = [number(found.score, "a class score", -_LARGEST, _LARGEST) for found in classes]
    # as soft-max rounds its last digit, too
    shares = [number(found.probability, "a class probability", 0, 1 + 1e-6) for found in classes]
    places, size = range(len(classes)), (WIDTH, 0.32 * len(classes) + 0.8)
    with _figure(1, 2, size, sharey=True, layout="constrained") as (figure, axes):
        left, right = axes.flat
        # by place, as two classes may have one name
        left.barh(places, scores, color="tab:gray")
        left.set_yticks(places, names, parse_math=False)
        left.set_xlabel("class score (logits)")
        right.barh(places, shares, color="black")
        right.set_xlabel("class probability")
        right.set_xlim(0, 1)
        left.invert_yaxis()
        for axis in (left, right):
            axis.spines[["top", "right"]].set_visible(False)
    return figure


def lines(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log: bool = False,
) -> Figure:
    """Return a figure of labeled curves, which differ in dash pattern and in color.

    Parameters
    ----------
    x : sequence of float
        The horizontal positions of the curves' values.
    curves : dict
        Label to values.
    x_label, y_label : str
        What the axes measure, with the unit.
    bands : dict, optional
        Label of a curve to its lower and upper limits, which are shaded.
    log : bool
        Make the vertical axis logarithmic.

    Raises
    ------
    ValueError
        If the values of a curve or band are not finite, or not as many as its positions; if a
        band has no curve, or a value has no logarithm.
    """
    x = _numbers(x, "positions")
    if not isinstance(curves, Mapping) or not curves or len(x) < 2:
        got = f"{len(x)} positions and {shown(curves)}"
        raise ValueError(f"expected at least two positions and one curve, got {got}")
    bands = {} if bands is None else bands
    if not isinstance(bands, Mapping) or not set(bands) <= set(curves):
        raise ValueError(f"expected bands of the curves {list(curves)}, got {shown(bands)}")
    labels = [_text(label, "a label") for label in curves]
    heights = [_numbers(y, f"values of {label}", len(x)) for label, y in curves.items()]
    limits = {}
    for label, band in bands.items():
        ends = _items(band, f"limits of {label}")
        limits[label] = [_numbers(end, f"limits of {label}", len(x)) for end in ends]
        if len(ends) != 2:
            raise ValueError(f"expected a lower and an upper limit of {label}, got {shown(band)}")
    drawn = itertools.chain(*heights, *itertools.chain(*limits.values()))
    if log and (lowest := min(drawn)) <= 0:
        raise ValueError(f"expected values above 0 on a logarithmic axis, got {lowest:.4g}")
    styles = ["-", "--", ":", "-."]
    colors = plt.colormaps["viridis"](np.linspace(0, 0.8, len(curves)))
    x_label, y_label = _text(x_label, "a label"), _text(y_label, "a label")
    with _figure(1, 1, (WIDTH, 3.2), layout="constrained") as (figure, axes):
        axis = axes[0, 0]
        for i, (label, y) in enumerate(zip(curves, heights, strict=True)):
            axis.plot(x, y, styles[i % len(styles)], color=colors[i], label=f"curve {i}")
            if label in limits:
                axis.fill_between(x, *limits[label], color=colors[i], alpha=0.2, linewidth=0)
        axis.set_yscale("log" if log else "linear")
        axis.set_xlabel(x_label, parse_math=False)
        axis.set_ylabel(y_label, parse_math=False)
        axis.spines[["top", "right"]].set_visible(False)
        # named here, as a label that begins with _ would have no place in the legend
        for text, label in zip(axis.legend(frameon=False).get_texts(), labels, strict=True):
            text.set(text=label, parse_math=False)
    return figure


def linked_columns(
    columns: Mapping[str, Sequence[str]], links: Sequence[tuple[str, str]]
) -> Figure:
    """Return a drawing of columns of boxes, and of lines between boxes of different columns.

    Parameters
    ----------
    columns : dict
        Title of a column to the labels of its boxes, from the top. All labels differ.
    links : sequence of (str, str)
        Labels of two boxes, the left one first.

    Raises
    ------
    ValueError
        If a column has no boxes, two labels are equal, or a link leads nowhere or to the left.
    """
    if not isinstance(columns, Mapping) or not columns:
        raise ValueError(f"expected columns as a dict of titles to labels, got {shown(columns)}")
    texts = {_text(title, "a title"): _texts(each, "labels") for title, each in columns.items()}
    rows = max(map(len, texts.values()))
    places: dict[str, tuple[int, float]] = {
        label: (x, -rows / len(labels) * (i + 0.5) - 0.3)
        for x, labels in enumerate(texts.values())
        for i, label in enumerate(labels)
    }
    if not all(texts.values()) or len(places) != sum(map(len, texts.values())):
        raise ValueError(f"expected labels in each column, all different, got {shown(columns)}")
    pairs = [_texts(link, "a link") for link in _items(links, "links")]
    for pair in pairs:
        known = [places[label] for label in pair if label in places]
        if len(pair) != 2 or len(known) != 2 or not known[0][0] < known[1][0]:
            raise ValueError(f"expected links of two labels, the left one first, got {pair}")
    with _figure(1, 1, (WIDTH, 0.42 * rows + 0.5)) as (figure, axes):
        axis = axes[0, 0]
        for x, title in enumerate(texts):
            axis.text(x, 0, title, ha="center", va="center", weight="bold", parse_math=False)
        for label, (x, y) in places.items():
            _draw_box(axis, (x - 0.4, y, 0.8, 0.66), label, "0.93", "0.4", size=8, formulas=False)
        for left, right in pairs:
            (start, low), (end, high) = places[left], places[right]
            axis.plot([start + 0.4, end - 0.4], [low, high], color="0.4", linewidth=1)
        axis.set(xlim=(-0.45, len(texts) - 0.55), ylim=(-rows - 0.4, 0.4))
        axis.axis("off")
        figure.tight_layout(pad=0.2)
    return figure


def backward_twin() -> Figure:
    """Return the drawing of a network beside its way back, and of what passes between (paper §4).

    On the left the image goes up to the class scores, on the right the signal comes down. Red
    outlines the one layer at which gradient and DeconvNet differ.
    """
    rows = (
        ("image", "", "signal at the image"),
        ("convolution", "fixed kernel", "convolution,\nkernel turned by half a turn"),
        ("ReLU", "this image's mask", "gradient: mask from the left\nDeconvNet: its own mask"),
        ("max-pooling", "this image's switches", "un-pooling: to the switches,\n0 elsewhere"),
        ("fully connected", "fixed matrix", "transposed matrix"),
        ("class scores", "", "1 at the class $c$,\n0 elsewhere"),
    )
    with _figure(1, 1, (WIDTH, 5.6), layout="constrained") as (figure, axes):
        axis = axes[0, 0]
        axis.set(xlim=(0, 14.2), ylim=(-0.6, 2 * len(rows) - 1.4))
        axis.set_axis_off()
        for i, (forward, between, backward) in enumerate(rows):
            y, is_end = 2 * i, i in (0, len(rows) - 1)
            edge, line = ("#b2182b", 2) if forward == "ReLU" else ("black", 1)
            _draw_box(axis, (0.1, y, 3.8, 1), forward, "white" if is_end else "#d1e5f0")
            _draw_box(
                axis, (8.0, y, 6.1, 1), backward, "white" if is_end else "#fddbc7", edge, line
            )
            if i:
                _draw_arrow(axis, (2.0, y - 1.5), (2.0, y - 0.5))
                _draw_arrow(axis, (11.05, y - 0.5), (11.05, y - 1.5))
            if between:
                _draw_arrow(axis, (3.9, y), (8.0, y), dashes="--")
                axis.text(5.95, y + 0.1, between, ha="center", va="bottom")
        _draw_kernel(axis, (4.4, 1.7), range(1, 10))
        _draw_kernel(axis, (6.2, 1.7), range(9, 0, -1))
    return figure


@contextmanager
def _figure(
    rows: int,
    columns: int,
    size: tuple[float, float],
    **options: Any,  # noqa: ANN401
) -> Iterator[tuple[Figure, np.ndarray]]:
    """Give a figure and its axes; whatever comes, it is not left open."""
    _check_size(*size, _DPI)
    figure, axes = plt.subplots(rows, columns, figsize=size, dpi=_DPI, squeeze=False, **options)
    try:
        yield figure, axes
    finally:
        plt.close(figure)


@contextmanager
def _grid(
    panels: Sequence[Tensor | np.ndarray],
    titles: Iterable[object],
    columns: int | None,
    *,
    space_below: float = 0.0,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure and the axes of images (C, H, W) and maps (H, W)."""
    if not 1 <= len(panels) <= _PANELS:
        what = f"at least one image or map, and at most {_PANELS}"
        raise ValueError(f"expected {what}, got {len(panels) or 'none'}")
    titles = _texts(titles, "titles")
    if len(titles) > len(panels):
        raise ValueError(f"expected at most {len(panels)} titles, got {len(titles)}")
    columns = len(panels) if columns is None else whole_number(columns, "columns", 1, _PANELS)
    rows = math.ceil(len(panels) / columns)
    # columns as wide as their first panel is, so that one row has one height
    ratios = [panel.shape[-1] / panel.shape[-2] for panel in panels[:columns]]
    ratios += [ratios[-1]] * (columns - len(ratios))
    row = WIDTH / sum(ratios)
    for panel, ratio in zip(panels, itertools.cycle(ratios), strict=False):
        height, width = panel.shape[-2:]
        # as large as its place in the grid lets it be
        shrunk = min(ratio * row / width, row / height)
        if ratio * row < _PANEL or min(height, width) * shrunk * _DPI < 1:
            got = f"{columns} columns and {height} x {width}"
            raise ValueError(f"expected columns and panels that are wide enough to see, got {got}")
    above = math.ceil(len(titles) / columns) * _TITLE
    above += _LINE * max((title.count("\n") for title in titles), default=0) * rows
    size = (WIDTH, rows * max(row + 0.04, _PANEL) + above + space_below)
    options = {"gridspec_kw": {"width_ratios": ratios}, "FigureClass": Panels}
    with _figure(rows, columns, size, layout="constrained", **options) as (figure, axes):
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, title in zip(axes.flat, titles, strict=False):
            axis.set_title(title, fontsize=9, parse_math=False)
        yield figure, list(axes.flat)[: len(panels)]


def _check_size(width: float, height: float, dpi: float) -> None:
    """Raise a ValueError if a figure of so many inches would have too many pixels."""
    pixels = round(width * dpi) * round(height * dpi)
    if not 1 <= pixels <= MAX_PIXELS:
        got = f"{width * dpi:,.0f} x {height * dpi:,.0f}"
        raise ValueError(f"expected a figure of at most {MAX_PIXELS:,} pixels, got {got}")


def _items(values: object, what: str) -> list:
    if not isinstance(values, Iterable) or (isinstance(values, Tensor) and not values.ndim):
        raise ValueError(f"expected {what} as a sequence, got {shown(values)}")
    return list(values)


def _texts(values: object, what: str) -> list[str]:
    return [_text(value, f"a text in {what}") for value in _items(values, what)]


def _text(value: object, what: str) -> str:
    """Return a text or a number as it is drawn."""
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta:
        value = value.item()
    if not isinstance(value, str | Real):
        raise ValueError(f"expected {what}, got {shown(value)}")
    # names of files, which need not be Unicode, are among what is drawn
    return str(value).encode(errors="backslashreplace").decode()


def _numbers(values: object, what: str, count: int | None = None) -> list[float]:
    """Return finite numbers, as many as `count` if it is given."""
    each = _items(values.detach() if isinstance(values, Tensor) else values, what)
    found = [number(value, f"{what}, each", -_LARGEST, _LARGEST) for value in each]
    if not found or len(found) != (count or len(found)):
        raise ValueError(f"expected {count or 'some'} {what}, got {len(found)}")
    return found


def _images(images: Iterable[Tensor]) -> list[Tensor]:
    """Return images to draw, each checked."""
    checked = [checked_map(image, "C, H, W", what="an image") for image in _items(images, "images")]
    for image in checked:
        if image.shape[0] not in (1, 3):
            shapes = "(3, H, W) or (1, H, W)"
            raise ValueError(f"expected images of shape {shapes}, got {tuple(image.shape)}")
        if image.max() > 100:  # class models and enlarged differences leave [0, 1], but not so far
            high = image.max().item()
            raise ValueError(f"expected images in [0, 1], got up to {high:.4g}: divide by 255?")
    return checked


def _layout(figure: Figure) -> dict:
    """Return where columns of panels may be cut, and where the last panel ends, as shares."""
    figure.draw_without_rendering()
    columns: dict[int, list] = {}
    lowest = figure.bbox.height
    for axis in figure.axes:
        place, bounds = axis.get_subplotspec(), axis.get_tightbbox()
        if place and bounds:  # a colorbar has no place in the grid
            columns.setdefault(place.colspan.start, []).append(axis.get_position())
            lowest = min(lowest, bounds.y0)
    ends = [
        (min(box.x0 for box in boxes), max(box.x1 for box in boxes))
        for _, boxes in sorted(columns.items())
    ]
    between = [(right + left) / 2 for (_, right), (left, _) in itertools.pairwise(ends)]
    return {"cuts": [0, *between, 1], "foot": 1 - lowest / figure.bbox.height}


def _noted_layout(picture: Image.Image) -> tuple[list[int], int] | None:
    """Return the cuts and the foot that `jpeg` noted, in pixels; None for another comment."""
    with suppress(Exception):  # whatever other programs write there
        layout = json.loads(picture.info["comment"])
        cuts = [round(number(x, "a cut", 0, 1) * picture.width) for x in layout["cuts"]]
        foot = min(
            round(number(layout["foot"], "a foot", 0, 1) * picture.height), picture.height - 1
        )
        if foot > 0 and all(left < right for left, right in itertools.pairwise(cuts)):
            return cuts, foot
    return None


def _without_edge(picture: Image.Image, *, sides: bool = False) -> Image.Image:
    """Return a picture without the white at its lower end, and at its sides if asked."""
    drawn = Image.fromarray(np.asarray(picture.convert("RGB")).min(2) < 230).getbbox()
    left, _, right, low = drawn or (0, 0, picture.width, 1)
    return picture.crop((left, 0, right, low) if sides else (0, 0, picture.width, low))


def _draw_image(axis: Axes, image: Tensor) -> None:
    pixels = image.cpu().clamp(0, 1).permute(1, 2, 0).numpy()
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=1, **_UPRIGHT)


def _draw_map(
    axis: Axes, values: np.ndarray, norm: Normalize, signed: bool
) -> plt.cm.ScalarMappable:
    return axis.imshow(values, cmap="RdBu_r" if signed else "magma", norm=norm, **_UPRIGHT)


def _scaled(
    maps: Iterable[Tensor], unit: str, signed: bool, percentile: float, relative: bool
) -> tuple[list[np.ndarray], Normalize, str]:
    """Return the maps to draw, their scale, and what the colorbar says of them."""
    unit, percentile = _text(unit, "a unit"), number(percentile, "a percentile", 0, 100, above=True)
    checked = [checked_map(values) for values in _items(maps, "maps")]
    if not checked:
        raise ValueError("expected at least one image or map, got none")
    lowest = min(values.min().item() for values in checked)
    if not signed and lowest < 0:
        raise ValueError(f"expected maps of 0 or more, got {lowest:.4g}: signed=True?")
    # in float64, in which magnitudes and their ratios are no denormal numbers
    scaled = [values.cpu().double().numpy() for values in checked]
    groups = scaled if relative else [np.concatenate([*map(np.ravel, scaled)])]
    ends = [np.percentile(np.abs(values), percentile) for values in groups]
    largest = [np.abs(values).max() for values in groups]
    if any(top and not 1 / _LARGEST < top < _LARGEST for top in largest):
        span = f"0, or from {1 / _LARGEST:g} to {_LARGEST:g}"
        raise ValueError(f"expected magnitudes of {span}, got {max(largest):g}")
    at = "largest" if percentile == 100 else f"percentile {percentile:g}"
    if any(top > 0 == end for end, top in zip(ends, largest, strict=True)):
        at += ", or its largest where that is 0"
    ends = [end or top or 1.0 for end, top in zip(ends, largest, strict=True)]
    if relative:
        scaled = [values / end for values, end in zip(scaled, ends, strict=True)]
        label, end = f"{unit}, as a share of each map's {at}", 1.0
    else:
        label, end = unit if percentile == 100 else f"{unit}; scale ends at {at}", ends[0]
    return scaled, Normalize(-end if signed else 0, end), label


def _colorbar(figure: Figure, axes: list[Axes], drawn: plt.cm.ScalarMappable, label: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.03)
    bar.set_label(label, fontsize=8, parse_math=False)
    bar.ax.tick_params(labelsize=8)


def _outline(axis: Axes, box: Box, dashes: str = "-") -> None:
    x0, y0, x1, y1 = box
    # pixel centers lie on whole numbers, so a half-open box starts half a pixel earlier
    corner, size = (x0 - 0.5, y0 - 0.5), (x1 - x0, y1 - y0)
    for color, width, style in (("black", 3, "-"), ("white", 1.5, dashes)):
        axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, lw=width, ls=style))


def _draw_box(
    axis: Axes,
    place: tuple[float, float, float, float],
    text: str,
    fill: str,
    edge: str = "black",
    line: float = 1,
    size: float = 10,
    *,
    formulas: bool = True,
) -> None:
    """Draw a text in a box at (left, middle, width, height)."""
    left, middle, width, height = place
    corner = (left, middle - height / 2)
    axis.add_patch(Rectangle(corner, width, height, fc=fill, ec=edge, lw=line))
    here = left + width / 2, middle
    axis.text(*here, text, ha="center", va="center", size=size, parse_math=formulas)


def _draw_arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], dashes: str = "-"
) -> None:
    style = {"arrowstyle": "->", "linestyle": dashes, "shrinkA": 2, "shrinkB": 2}
    axis.annotate("", end, start, arrowprops=style)


def _draw_kernel(axis: Axes, corner: tuple[float, float], numbers: Sequence[int]) -> None:
    """Draw 3 x 3 numbers, row by row from the upper left corner."""
    width, height = 0.42, 0.34
    for i, digit in enumerate(numbers):
        x, y = corner[0] + width * (i % 3), corner[1] - height * (i // 3 + 1)
        axis.add_patch(Rectangle((x, y), width, height, fill=False, lw=0.6))
        axis.text(x + width / 2, y + height / 2, str(digit), ha="center", va="center", size=7)
