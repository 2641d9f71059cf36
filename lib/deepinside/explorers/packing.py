"""An explorer's answers, and how they are packed for a page.

A page holds hundreds of answers, which share most of their pictures and texts. Each of these is
therefore stored once, in a table, and an answer holds the places of its parts in the tables.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from deepinside import plots
from deepinside.arguments import number, shown, whole_number
from deepinside.images import Box
from deepinside.localization import rescaled_box

# up to so many pixels a picture is shown pixel by pixel, and kept as it is
_SMALL = 64 * 64
# the percentile of a map's values at which its scale ends
_END = 99
# pixels of a picture of bars: its width, and the height of a bar with its label
_BARS_WIDTH, _BAR_ROW = 200, 34
# a longer panel would be a line on the page, or take the page
_LONGEST = 100
# what stands in a picture that takes an explorer's place
STILL = "Run this cell to move the controls."


class Panel(NamedTuple):
    """One picture of an answer.

    Attributes
    ----------
    title, alt : str
        What the picture is, and what can be seen in it.
    image : Tensor
        (3, H, W) or (1, H, W) of finite floats; what is not in [0, 1] is clipped.
    mask : Tensor, optional
        (H, W) of one frame, bool; pixels outside the mask are darkened.
    boxes : dict
        Label to half-open box (x0, y0, x1, y1) in pixels of the image.
    bars : dict
        The same, but filled and with the label above the box: see `bar_panel`.
    scale : tuple of str, optional
        A color map of `plots.COLORS` and what its two ends mean.
    grainy : bool
        Whether the picture, one of many like it, may be made smaller on a page.
    aspect : tuple of int, optional
        (height, width): the shape in which the picture is shown, if that is not its own. It
        gives a squashed photo its shape back, together with its mask and boxes.
    frames : int
        How many pictures of one size the image holds side by side, from first to last. The
        last one is shown, and the page plays them.
    """

    title: str
    alt: str
    image: Tensor
    mask: Tensor | None = None
    boxes: Mapping[str, Box] = {}
    bars: Mapping[str, Box] = {}
    scale: tuple[str, str, str] | None = None
    grainy: bool = False
    aspect: tuple[int, int] | None = None
    frames: int = 1


class Curve(NamedTuple):
    """One curve of an answer, over steps 0 to the last; a mark is the place of one value.

    Values may be NaN or infinite, as of an ascent that diverged: the curve leaves them out.
    """

    title: str
    steps: int
    values: Sequence[float]
    mark: int | None = None


class Answer(NamedTuple):
    """What an explorer shows for one state of its controls."""

    panels: Sequence[Panel]
    numbers: Mapping[str, str]
    curve: Curve | None = None


def map_panel(alt: str, saliency: Tensor, *, grainy: bool = False, signed: bool = False) -> Panel:
    """Return the panel of a map (H, W), at least 0 unless it is signed, with its scale."""
    colors = plots.colored(saliency, signed=signed, percentile=_END)
    end = f"{_END}th percentile"
    scale = ("RdBu_r", "against", f"for, {end}") if signed else ("magma", "0", end)
    return Panel("map", alt, colors, scale=scale, grainy=grainy)


def bar_panel(
    title: str, values: Mapping[str, float], ends: tuple[float, float], *, digits: int
) -> Panel:
    """Return the panel of values as bars from a line at 0, each below its name and number.

    `ends` are what the left and the right side of the picture stand for.
    """
    low = number(ends[0], "a left end", -math.inf)
    high = number(ends[1], "a right end", low, above=True)
    height = len(values) * _BAR_ROW

    def x(value: float) -> float:
        return 1 + (_BARS_WIDTH - 3) * (value - low) / (high - low)

    for name, value in values.items():
        number(value, f"a value of {name}", -math.inf)
    told = [f"{name} {value:z.{digits}f}" for name, value in values.items()]
    bars = {"": (x(0), 0.0, x(0) + 1, float(height))}
    for i, (text, value) in enumerate(zip(told, values.values(), strict=True)):
        left, right = sorted((x(0), x(value)))
        bars[text] = (left, _BAR_ROW * (i + 0.6), right + 1, _BAR_ROW * (i + 0.95))
    blank = torch.ones(1, height, _BARS_WIDTH)
    return Panel(title, f"{title}: {', '.join(told)}.", blank, bars=bars)


class Packing:
    """Answers as they are sent: each picture and text once, and then only its place.

    Parameters
    ----------
    side : int, optional
        Grainy pictures are made no larger than this, in pixels.
    """

    def __init__(self, side: int | None = None) -> None:
        self._side = side
        self._pictures: dict[str, int] = {}
        self._texts: dict[str, int] = {}

    def tables(self) -> dict[str, list[str]]:
        """Return the pictures, as data URLs, and the texts of all answers packed so far."""
        return {"pictures": list(self._pictures), "texts": list(self._texts)}

    def answer(self, answer: Answer) -> list:
        """Return panels, numbers and the curve, if there is one.

        A panel is [title, alt, [height, width], picture, mask or -1, boxes, scale, aspect,
        frames] with the size and the boxes those of one frame, and its bars after these if it
        has any; a number is [name, value], a curve [title, steps, values] and its mark, if any.

        Raises
        ------
        ValueError
            If the answer is none, or a part of it is not as `Panel` and `Curve` say.
        """
        _check_answer(answer)
        panels = [self._panel(panel) for panel in answer.panels]
        numbers = [[self._text(text) for text in pair] for pair in answer.numbers.items()]
        if not answer.curve:
            return [panels, numbers]
        title, steps, values, mark = answer.curve
        curve = [self._text(title), int(steps), [_rounded(float(value)) for value in values]]
        return [panels, numbers, curve if mark is None else [*curve, int(mark)]]

    def _panel(self, panel: Panel) -> list:
        pixels = _pixels(panel.image)
        height, width = pixels.shape[0], _frame_width(panel)
        return [
            self._text(panel.title),
            self._text(panel.alt),
            [height, width],
            self._picture(_webp(pixels, self._side if panel.grainy else None, int(panel.frames))),
            -1 if panel.mask is None else self._picture(_shade(panel.mask)),
            self._boxes(panel.boxes),
            [self._text(text) for text in panel.scale or ()],
            [height, width] if panel.aspect is None else [int(side) for side in panel.aspect],
            int(panel.frames),
            *([self._boxes(panel.bars)] if panel.bars else []),
        ]

    def _boxes(self, boxes: Mapping[str, Box]) -> list[list]:
        return [
            [self._text(label), *(round(float(corner), 1) for corner in box)]
            for label, box in boxes.items()
        ]

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _picture(self, url: str) -> int:
        return self._pictures.setdefault(url, len(self._pictures))


def still(answer: Answer) -> plots.Figure:
    """Return an answer as a figure, for where no explorer can be shown."""
    _check_answer(answer)
    drawn = [_drawn(panel) for panel in answer.panels]
    numbers = "    ".join(f"{name}: {value}" for name, value in answer.numbers.items())
    return plots.pictures_and_curve(
        [image for image, _ in drawn],
        [panel.title for panel in answer.panels],
        boxes=[boxes for _, boxes in drawn],
        bars=[panel.bars for panel in answer.panels],
        curve=answer.curve and answer.curve[:3],
        note=f"{numbers}\n{STILL}",
    )


def _check_answer(answer: Answer) -> None:
    if not isinstance(answer, Answer):
        raise ValueError(f"expected an Answer, got {shown(answer)}")
    if not isinstance(answer.panels, Sequence):
        raise ValueError(f"expected a list of panels, got {shown(answer.panels)}")
    for panel in answer.panels:
        _check_panel(panel)
    _check_texts(answer.numbers, "numbers, texts by their names")
    if not (answer.curve is None or isinstance(answer.curve, Curve)):
        raise ValueError(f"expected a Curve or None, got {shown(answer.curve)}")
    if answer.curve:
        _check_curve(answer.curve)


def _check_panel(panel: Panel) -> None:
    if not isinstance(panel, Panel) or not {type(panel.title), type(panel.alt)} == {str}:
        raise ValueError(f"expected a Panel with texts as title and alt, got {shown(panel)}")
    named = f"panel {panel.title!r}"
    image = panel.image
    if not isinstance(image, Tensor) or image.is_meta or not image.is_floating_point():
        raise ValueError(f"expected an image of floats, (3, H, W), in {named}, got {shown(image)}")
    if image.ndim != 3 or len(image) not in (1, 3) or not image.numel():
        raise ValueError(
            f"expected an image (3, H, W) or (1, H, W) in {named}, got shape {tuple(image.shape)}"
        )
    if not image.isfinite().all():
        raise ValueError(f"expected a finite image in {named}, got NaN or infinite values")
    size = (image.shape[1], _frame_width(panel))
    mask = panel.mask
    is_mask = isinstance(mask, Tensor) and mask.dtype == torch.bool and not mask.is_meta
    if mask is not None and not (is_mask and mask.shape == size):
        raise ValueError(f"expected a mask {size} of bool in {named}, got {shown(mask)}")
    for boxes in (panel.boxes, panel.bars):
        if not isinstance(boxes, Mapping):
            raise ValueError(f"expected boxes by their labels in {named}, got {shown(boxes)}")
        for label, box in boxes.items():
            if not isinstance(label, str) or not _is_box(box):
                raise ValueError(
                    f"expected a text and (x0, y0, x1, y1) as a box of {named}, got "
                    f"{shown(label)}: {shown(box)}"
                )
    scale = panel.scale
    is_scale = isinstance(scale, tuple | list) and [type(text) for text in scale] == [str] * 3
    if scale is not None and not (is_scale and scale[0] in plots.COLORS):
        known = ", ".join(plots.COLORS)
        raise ValueError(
            f"expected (colors, low, high) as the scale of {named}, the colors of {known}, got "
            f"{shown(scale)}"
        )
    aspect = size if panel.aspect is None else panel.aspect
    if not hasattr(aspect, "__len__") or len(aspect) != 2:
        raise ValueError(f"expected (height, width) as the aspect of {named}, got {shown(aspect)}")
    height = whole_number(aspect[0], f"a height in the aspect of {named}", 1)
    width = whole_number(aspect[1], f"a width in the aspect of {named}", 1)
    if max(height, width) > _LONGEST * min(height, width):
        raise ValueError(
            f"expected {named} to be no more than {_LONGEST} times as long as wide, got "
            f"{height} x {width}"
        )


def _check_curve(curve: Curve) -> None:
    if not isinstance(curve.title, str):
        raise ValueError(f"expected a text as the title of a curve, got {shown(curve.title)}")
    whole_number(curve.steps, "the steps of a curve", 1)
    values = curve.values
    try:
        count = len([float(value) for value in values])
    except (TypeError, ValueError, RuntimeError):
        count = 0
    if count < 2:
        raise ValueError(f"expected two numbers or more as values of a curve, got {shown(values)}")
    if curve.mark is not None:
        whole_number(curve.mark, "the mark of a curve, the place of a value,", 0, count - 1)


def _check_texts(texts: Mapping[str, str], what: str) -> None:
    if not isinstance(texts, Mapping) or not all(
        isinstance(text, str) for pair in texts.items() for text in pair
    ):
        raise ValueError(f"expected {what}, got {shown(texts)}")


def _is_box(box: Box) -> bool:
    try:
        x0, y0, x1, y1 = (float(corner) for corner in box)
    except (TypeError, ValueError):
        return False
    return all(map(math.isfinite, (x0, y0, x1, y1))) and x0 <= x1 and y0 <= y1


def _frame_width(panel: Panel) -> int:
    frames = whole_number(panel.frames, f"frames of panel {panel.title!r}", 1)
    width, rest = divmod(panel.image.shape[-1], frames)
    if rest:
        raise ValueError(f"expected a width of {frames} equal frames, got {panel.image.shape[-1]}")
    return width


def _drawn(panel: Panel) -> tuple[Tensor, list[Box]]:
    """Return the last frame of a panel, darkened and in the shape that is shown, and its boxes."""
    image = _clipped(panel.image)[..., -_frame_width(panel) :]
    if panel.mask is not None:
        image = image * (0.31 + 0.69 * panel.mask.cpu().float())
    boxes = list(panel.boxes.values())
    if panel.aspect is None:
        return image, boxes
    size = image.shape[-2:]
    tall, wide = (int(side) for side in panel.aspect)
    # no side is made longer than it is
    unit = min(size[0] / tall, size[1] / wide)
    shown = (max(1, round(tall * unit)), max(1, round(wide * unit)))
    image = F.interpolate(image[None], shown, mode="bilinear", antialias=True)[0]
    return image, [rescaled_box(box, size, shown) for box in boxes]


def _clipped(image: Tensor) -> Tensor:
    return image.detach().cpu().float().clamp(0, 1)


def _pixels(image: Tensor) -> np.ndarray:
    """Return an image (H, W, 3), uint8."""
    values = _clipped(image).expand(3, -1, -1).permute(1, 2, 0)
    return (values * 255).round().byte().numpy()


def _webp(pixels: np.ndarray, side: int | None, frames: int) -> str:
    return _encoded(pixels.tobytes(), pixels.shape[:2], side, frames)


# of a grid's states many in a row have the same picture, and encoding it takes 20 ms
@lru_cache(maxsize=8)
def _encoded(content: bytes, size: tuple[int, int], side: int | None, frames: int) -> str:
    picture = Image.frombytes("RGB", size[::-1], content)
    width, height = picture.width // frames, picture.height
    if width * height <= _SMALL:
        return _data_url(picture, "webp", quality=80, method=6)
    if side and max(width, height) > side:
        unit = side / max(width, height)
        size = (max(1, round(width * unit)) * frames, max(1, round(height * unit)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return _data_url(picture, "webp", quality=60 if side else 75, method=6)


def _shade(mask: Tensor) -> str:
    """Return a picture that is clear in the mask and dark elsewhere: one bit a pixel."""
    picture = Image.fromarray(mask.cpu().numpy().astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 0, 0, 0])
    return _data_url(picture, "png", transparency=bytes([175, 0]), bits=1, optimize=True)


def _data_url(picture: Image.Image, kind: str, **options: Any) -> str:  # noqa: ANN401
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _rounded(value: float) -> float | None:
    """Return three digits of a number; JSON knows none that is not finite."""
    return float(f"{value:.3g}") if math.isfinite(value) else None
