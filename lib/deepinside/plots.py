"""Figures: images, maps that share one scale, and class scores as bars.

Maps that are compared share one norm and one colorbar with its unit. Maps that are never
negative are drawn from black (zero) in magma, signed maps in a red-blue scale whose
white is zero.
"""

import io
import itertools
import json
import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure as Figure  # for those who call this module, too
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from deepinside.class_score import ClassScore
from deepinside.images import Box

WIDTH = 7.2
_DPI = 120
# not optimized, as Pillow then fails on a picture of noise, which it cannot compress
_JPEG = {"quality": 82, "subsampling": 0}
# the two scales of all maps, each as nine colors from its low end to its high end
COLORS = {
    name: [to_hex(plt.colormaps[name](x)) for x in np.linspace(0, 1, 9)]
    for name in ("magma", "RdBu_r")
}
# pixels between two rows of panels that are stacked for a phone
_GAP = 12
# inches that a colorbar with its label takes
_COLORBAR = 0.55


class Panels(Figure):
    """A figure of photos and maps, which a notebook shows and keeps as JPEG.

    As PNG, photos and grainy maps would be five times as large, and a chapter has a dozen.
    """

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"image/jpeg": jpeg(self), "text/plain": repr(self)}, raw=True)


def jpeg(figure: Figure) -> bytes:
    """Return a figure as the content of a JPEG file, whose comment says where the columns are."""
    file, engine = io.BytesIO(), figure.get_layout_engine()
    comment = json.dumps(_layout(figure))
    figure.set_layout_engine("none")  # laid out again, its panels would move
    figure.savefig(file, format="jpeg", pil_kwargs=_JPEG | {"comment": comment})
    figure.set_layout_engine(engine)
    return file.getvalue()


def two_columns(picture: Image.Image) -> Image.Image | None:
    """Return a figure's picture with two columns of panels in a row, for a phone.

    The panels of one column stay together, and what is below all panels, such as a colorbar,
    comes last. The result is None if there are at most two columns, or if the picture was not
    made by `jpeg`.
    """
    layout = json.loads(picture.info.get("comment") or "null")
    if not layout or len(layout["cuts"]) <= 3:
        return None
    width, height = picture.size
    cuts, foot = [round(x * width) for x in layout["cuts"]], round(layout["foot"] * height)
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
    norm = _shared_norm([values], signed, percentile, False)
    pixels = plt.colormaps["RdBu_r" if signed else "magma"](norm(values.detach().cpu().numpy()))
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
    count = len(images) + (curve is not None)
    width = WIDTH / max(count, 3)
    figure, axes = plt.subplots(
        1,
        count,
        figsize=(count * width, width + 0.6),
        dpi=_DPI,
        squeeze=False,
        layout="constrained",
        FigureClass=Panels,
    )
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.set_axis_off()
        axis.set_title(titles[i], fontsize=9)
        _draw_image(axis, image)
        for k, box in enumerate(boxes[i] if i < len(boxes) else ()):
            _outline(axis, box, "--" if k else "-")
        for label, (x0, y0, x1, y1) in (bars[i] if i < len(bars) else {}).items():
            axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, color="tab:gray"))
            axis.text(2, y0 - 4, label, fontsize=8)
    if curve:
        title, steps, values = curve
        axis = axes.flat[-1]
        axis.plot(np.linspace(0, steps, len(values)), values, color="black")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    # as many characters of this size as the figure is wide
    lines = [textwrap.fill(line, round(14 * count * width)) for line in note.splitlines()]
    figure.supxlabel("\n".join(lines), fontsize=9)
    plt.close(figure)
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
    """
    figure, axes = _grid(images, titles, columns)
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
        Each (H, W), at least 0 unless `signed`.
    titles : sequence of str
        One per map, or none.
    unit : str
        What the colorbar measures.
    signed : bool
        Center the scale on zero, in red and blue.
    percentile : float
        The percentile of all magnitudes at which the scale ends; below 100 the colorbar
        says so.
    relative : bool
        Divide each map by its own percentile, so that maps of different magnitude can be
        compared; the colorbar says so.
    columns : int, optional
        How many panels in a row (default: all).

    Raises
    ------
    ValueError
        If a map has negative values and `signed` is not set.
    """
    maps, label = _scaled(maps, unit, percentile, relative)
    norm = _shared_norm(maps, signed, percentile, relative)
    figure, axes = _grid(maps, titles, columns, space_below=_COLORBAR)
    for axis, values in zip(axes, maps, strict=True):
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
    maps, label = _scaled(maps, unit, percentile, relative)
    norm = _shared_norm(maps, False, percentile, relative)
    figure, axes = _grid([*photos, *maps], titles, len(photos), space_below=_COLORBAR)
    for axis, photo in zip(axes, photos, strict=False):
        _draw_image(axis, photo)
    below = axes[len(photos) :]
    for axis, values in zip(below, maps, strict=True):
        drawn = _draw_map(axis, values, norm, False)
    _colorbar(figure, below, drawn, label)
    return figure


def class_bars(classes: Sequence[ClassScore]) -> Figure:
    """Return a figure of class scores and, beside them, the same classes' probabilities."""
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(WIDTH, 0.32 * len(classes) + 0.8),
        dpi=_DPI,
        sharey=True,
        layout="constrained",
    )
    names = [found.name for found in classes]
    left.barh(names, [found.score for found in classes], color="tab:gray")
    left.set_xlabel("class score (logits)")
    right.barh(names, [found.probability for found in classes], color="black")
    right.set_xlabel("class probability")
    right.set_xlim(0, 1)
    left.invert_yaxis()
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    plt.close(figure)
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
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2), dpi=_DPI, layout="constrained")
    styles = ["-", "--", ":", "-."]
    colors = plt.colormaps["viridis"](np.linspace(0, 0.8, len(curves)))
    for i, (label, y) in enumerate(curves.items()):
        axis.plot(x, y, styles[i % len(styles)], color=colors[i], label=label)
        if bands and label in bands:
            axis.fill_between(x, *bands[label], color=colors[i], alpha=0.2, linewidth=0)
    axis.set(xlabel=x_label, ylabel=y_label, yscale="log" if log else "linear")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    plt.close(figure)
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
    """
    rows = max(map(len, columns.values()))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.42 * rows + 0.5), dpi=_DPI)
    places: dict[str, tuple[int, float]] = {}
    for x, (title, labels) in enumerate(columns.items()):
        axis.text(x, 0, title, ha="center", va="center", weight="bold")
        step = rows / len(labels)
        for i, label in enumerate(labels):
            places[label] = x, y = x, -step * (i + 0.5) - 0.3
            _draw_box(axis, (x - 0.4, y, 0.8, 0.66), label, "0.93", "0.4", size=8)
    for left, right in links:
        (start, low), (end, high) = places[left], places[right]
        axis.plot([start + 0.4, end - 0.4], [low, high], color="0.4", linewidth=1)
    axis.set(xlim=(-0.45, len(columns) - 0.55), ylim=(-rows - 0.4, 0.4))
    axis.axis("off")
    figure.tight_layout(pad=0.2)
    plt.close(figure)
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
    figure, axis = plt.subplots(figsize=(WIDTH, 5.6), dpi=_DPI, layout="constrained")
    axis.set(xlim=(0, 14.2), ylim=(-0.6, 2 * len(rows) - 1.4))
    axis.set_axis_off()
    for i, (forward, between, backward) in enumerate(rows):
        y, is_end = 2 * i, i in (0, len(rows) - 1)
        edge, line = ("#b2182b", 2) if forward == "ReLU" else ("black", 1)
        _draw_box(axis, (0.1, y, 3.8, 1), forward, "white" if is_end else "#d1e5f0")
        _draw_box(axis, (8.0, y, 6.1, 1), backward, "white" if is_end else "#fddbc7", edge, line)
        if i:
            _draw_arrow(axis, (2.0, y - 1.5), (2.0, y - 0.5))
            _draw_arrow(axis, (11.05, y - 0.5), (11.05, y - 1.5))
        if between:
            _draw_arrow(axis, (3.9, y), (8.0, y), dashes="--")
            axis.text(5.95, y + 0.1, between, ha="center", va="bottom")
    _draw_kernel(axis, (4.4, 1.7), range(1, 10))
    _draw_kernel(axis, (6.2, 1.7), range(9, 0, -1))
    plt.close(figure)
    return figure


def _grid(
    items: Sequence[Tensor],
    titles: Sequence[str],
    columns: int | None,
    *,
    space_below: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    if not len(items):
        raise ValueError("expected at least one image or map, got none")
    if len(titles) > len(items):
        raise ValueError(f"expected at most {len(items)} titles, got {len(titles)}")
    columns = columns or len(items)
    rows = math.ceil(len(items) / columns)
    # columns as wide as their first panel is, so that one row has one height
    ratios = [item.shape[-1] / item.shape[-2] for item in items[:columns]]
    ratios += [ratios[-1]] * (columns - len(ratios))
    titled = math.ceil(len(titles) / columns)
    size = (WIDTH, rows * (WIDTH / sum(ratios) + 0.04) + titled * 0.27 + space_below)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=size,
        dpi=_DPI,
        squeeze=False,
        layout="constrained",
        gridspec_kw={"width_ratios": ratios},
        FigureClass=Panels,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=9)
    plt.close(figure)
    return figure, list(axes.flat)[: len(items)]


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


def _without_edge(picture: Image.Image, *, sides: bool = False) -> Image.Image:
    """Return a picture without the white at its lower end, and at its sides if asked."""
    drawn = Image.fromarray(np.asarray(picture.convert("RGB")).min(2) < 230).getbbox()
    left, _, right, low = drawn or (0, 0, picture.width, 1)
    return picture.crop((left, 0, right, low) if sides else (0, 0, picture.width, low))


def _draw_image(axis: Axes, image: Tensor) -> None:
    pixels = image.detach().cpu().clamp(0, 1).permute(1, 2, 0).numpy()
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=1)


def _draw_map(axis: Axes, values: Tensor, norm: Normalize, signed: bool) -> plt.cm.ScalarMappable:
    cmap = "RdBu_r" if signed else "magma"
    return axis.imshow(values.detach().cpu().numpy(), cmap=cmap, norm=norm)


def _scaled(
    maps: Sequence[Tensor], unit: str, percentile: float, relative: bool
) -> tuple[Sequence[Tensor], str]:
    """Return the maps to draw and what the colorbar says of them."""
    if relative:
        ends = [values.abs().quantile(percentile / 100).item() for values in maps]
        scaled = [values / (end or 1.0) for values, end in zip(maps, ends, strict=True)]
        end = "largest" if percentile == 100 else f"percentile {percentile:g}"
        return scaled, f"{unit}, as a share of each map's {end}"
    return maps, unit if percentile == 100 else f"{unit}; scale ends at percentile {percentile:g}"


def _shared_norm(
    maps: Sequence[Tensor], signed: bool, percentile: float, relative: bool
) -> Normalize:
    pooled = np.concatenate([values.detach().cpu().numpy().ravel() for values in maps])
    if not signed and pooled.min() < 0:
        raise ValueError(f"expected maps of 0 or more, got {pooled.min():.4g}: signed=True?")
    end = 1.0 if relative else np.percentile(np.abs(pooled), percentile) or 1.0
    return Normalize(-end if signed else 0, end)


def _colorbar(figure: Figure, axes: list[Axes], drawn: plt.cm.ScalarMappable, label: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.03)
    bar.set_label(label, fontsize=8)
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
) -> None:
    """Draw a text in a box at (left, middle, width, height)."""
    left, middle, width, height = place
    corner = (left, middle - height / 2)
    axis.add_patch(Rectangle(corner, width, height, fc=fill, ec=edge, lw=line))
    axis.text(left + width / 2, middle, text, ha="center", va="center", size=size)


def _draw_arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], dashes: str = "-"
) -> None:
    style = {"arrowstyle": "->", "linestyle": dashes, "shrinkA": 2, "shrinkB": 2}
    axis.annotate("", end, start, arrowprops=style)


def _draw_kernel(axis: Axes, corner: tuple[float, float], numbers: Sequence[int]) -> None:
    """Draw 3 x 3 numbers, row by row from the upper left corner."""
    width, height = 0.42, 0.34
    for i, number in enumerate(numbers):
        x, y = corner[0] + width * (i % 3), corner[1] - height * (i // 3 + 1)
        axis.add_patch(Rectangle((x, y), width, height, fill=False, lw=0.6))
        axis.text(x + width / 2, y + height / 2, str(number), ha="center", va="center", size=7)
