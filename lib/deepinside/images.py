"""Reading photos, fitting them to a network's input, and laying maps back over them.

A photo is a float32 tensor (3, H, W), RGB in [0, 1], of any size. A network's input is cut
from the resized photo; a `View` remembers where the cut lies, so that a map of the input can be
drawn over the original photo.
"""

import csv
import difflib
import io
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from deepinside.arguments import number, shown, whole_number
from deepinside.pictures import array_photo, picture_orientation, picture_photo

MAX_PIXELS = 50_000_000
_ONE_AT_A_TIME = Lock()
_FLOATS = (torch.float32, torch.float64)
# those that PyTorch resizes by without aliasing
_INTERPOLATIONS = ("bilinear", "bicubic")
# half-open (x0, y0, x1, y1), in pixels
Box = tuple[float, float, float, float]


class Credit(NamedTuple):
    """What a shipped photo shows, who took it, and on which terms it may be used."""

    title: str
    author: str
    terms: str


# name: how it is read, and its credit
_PHOTOS: dict[str, tuple[Callable[[], np.ndarray], str, str, str]] = {
    "astronaut": (data.astronaut, "Eileen Collins, astronaut", "NASA", "public domain"),
    "camera": (data.camera, "A photographer (gray)", "Lav Varshney", "CC0"),
    "cat": (data.chelsea, "Chelsea the cat", "Stéfan van der Walt", "CC0"),
    "clock": (data.clock, "A wall clock, blurred (gray)", "Stéfan van der Walt", "public domain"),
    "coffee": (data.coffee, "A cup of coffee, Pikolo Espresso Bar", "Rachel Michetti", "CC0"),
    "coins": (data.coins, "Coins from Pompeii (gray)", "Brooklyn Museum", "no known restrictions"),
    "rocket": (data.rocket, "Falcon 9 carrying DSCOVR", "SpaceX", "public domain"),
}


class NetworkInput(Protocol):
    """What `fit_photo` needs to know of a network; with `input_channels` 1 it makes gray images."""

    input_size: tuple[int, int]
    resized_side: int
    interpolation: str


@dataclass(frozen=True)
class View:
    """Where a crop lies in a photo: the part of `size` at `top` and `left` of the resized photo.

    Sizes are (height, width); all values are in pixels. A ValueError says if the part does not
    lie within the resized photo.
    """

    photo_size: tuple[int, int]
    resized_size: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        checked_size(self.photo_size, "of a photo")
        height, width = checked_size(self.resized_size, "of a resized photo")
        h, w = checked_size(self.size, "of a part")
        try:
            whole_number(self.top, "top", 0, height - h)
            whole_number(self.left, "left", 0, width - w)
        except ValueError as error:
            expected = f"expected a part within the resized photo of {height} x {width}"
            got = f"{h} x {w} at {shown(self.top)}, {shown(self.left)}"
            raise ValueError(f"{expected}, got {got}") from error

    @property
    def box(self) -> Box:
        """The crop as a half-open box (x0, y0, x1, y1) in pixels of the photo."""
        rows = self.photo_size[0] / self.resized_size[0]
        columns = self.photo_size[1] / self.resized_size[1]
        bottom, right = self.top + self.size[0], self.left + self.size[1]
        return (self.left * columns, self.top * rows, right * columns, bottom * rows)


def photo_names() -> list[str]:
    """Return the names of the photos that `load_photo` knows."""
    return list(_PHOTOS)


def photo_credit(name: str) -> Credit:
    """Return title, author and terms of a photo that `load_photo` knows by name."""
    if not isinstance(name, str) or name not in _PHOTOS:
        raise ValueError(f"expected one of {', '.join(_PHOTOS)}; got {shown(name)}")
    return Credit(*_PHOTOS[name][1:])


def photo_boxes(name: str) -> dict[str, Box]:
    """Return the boxes drawn by hand around objects of a shipped photo, by class name.

    Half-open (x0, y0, x1, y1), in pixels of the photo; empty where none was drawn.
    """
    photo_credit(name)
    with (Path(__file__).parent / "data" / "boxes.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] == name]
    return {
        label: (float(x0), float(y0), float(x1), float(y1)) for _, label, x0, y0, x1, y1 in rows
    }


def load_photo(source: str | PathLike | bytes | Image.Image | np.ndarray) -> Tensor:
    """Return a photo as it is meant to be seen: RGB in [0, 1], (3, H, W), float32.

    The rotation noted by the camera is applied (`photo_orientation`). Colors are converted to
    sRGB by the picture's ICC profile; without a readable profile they are taken to be sRGB. Gray
    becomes RGB, and transparent parts show white. 16-bit gray keeps its precision, and its
    profile is ignored; other 16-bit pictures are read with 8 bits. If a file holds several
    pictures, the first is read.

    The formats are JPEG (including phones' MPO), PNG, GIF, WebP, AVIF (from Pillow 11.2 on), BMP,
    TIFF, PPM and JPEG 2000. A picture of more than `MAX_PIXELS` is refused before it is decoded.
    The photo takes 12 bytes a pixel and the decoded picture up to 4 more: together 0.8 GB for
    the largest.

    Parameters
    ----------
    source : str, path, bytes, PIL image or array
        The name of a shipped photo (`photo_names`), a file, a file's content, or an array
        (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, or float in [0, 1].

    Raises
    ------
    ValueError
        If the source is not a picture, is cut short, damaged, too large, empty, out of range,
        or in another format. EXIF data or a profile that cannot be read is ignored.
    FileNotFoundError
        If a path leads nowhere.
    """
    found, what = _found(source)
    if isinstance(found, np.ndarray):
        return array_photo(found, MAX_PIXELS)
    return picture_photo(found, what, MAX_PIXELS)


def photo_orientation(source: str | PathLike | bytes | Image.Image | np.ndarray) -> int:
    """Return the number, 1 to 8, by which `load_photo` turns the stored picture upright.

    The number is EXIF's. It says which edges of the photo are the stored picture's first row and
    first column: 1: top and left; 2: top and right; 3: bottom and right; 4: bottom and left;
    5: left and top; 6: right and top; 7: right and bottom; 8: left and bottom. From 5 on, width
    and height are exchanged. Without a number in EXIF, XMP's is used; without either, 1. Sources
    and errors are those of `load_photo`; pixels are decoded only if the number depends on it.
    """
    found, what = _found(source)
    return 1 if isinstance(found, np.ndarray) else picture_orientation(found, what, MAX_PIXELS)


def check_photo(photo: Tensor) -> None:
    """Raise a ValueError unless `photo` is a tensor (3, H, W) of floats in [0, 1]."""
    if not isinstance(photo, Tensor):
        raise ValueError(f"expected a photo as a tensor (3, H, W), got {type(photo).__name__}")
    if photo.ndim != 3 or photo.shape[0] != 3 or 0 in photo.shape:
        raise ValueError(f"expected a photo of shape (3, H, W), got {tuple(photo.shape)}")
    if photo.dtype not in _FLOATS:
        raise ValueError(f"expected a photo of float32 or float64, got {photo.dtype}")
    if photo.is_meta:
        raise ValueError("expected a photo with values, got one on the meta device")
    low, high = photo.min().item(), photo.max().item()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"expected a photo in [0, 1], got values from {low:.4g} to {high:.4g}")


def checked_box(box: Box) -> Box:
    """Return a half-open box as four floats; a ValueError says if it is none.

    It may be any sequence of finite numbers, also a tensor's, with x0 < x1 and y0 < y1.
    """
    try:
        x0, y0, x1, y1 = (number(edge, "an edge of a box", -1e9, 1e9) for edge in box)
    except (TypeError, ValueError) as error:
        got = box.tolist() if isinstance(box, Tensor) and not box.is_meta else box
        raise ValueError(f"expected a box of four numbers, got {shown(got)}") from error
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"expected a box with x0 < x1 and y0 < y1, got {x0, y0, x1, y1}")
    return (x0, y0, x1, y1)


def resize_photo(photo: Tensor, shorter_side: int, *, interpolation: str = "bilinear") -> Tensor:
    """Return the photo resized to a shorter side, antialiased, with its aspect ratio kept.

    Raises
    ------
    ValueError
        As `squash_photo`, or if the shorter side is no whole number of pixels.
    """
    photo = _at_least_float32(photo)
    check_photo(photo)
    shorter_side = whole_number(shorter_side, "a shorter side", 1)
    height, width = photo.shape[1:]
    # the longer side is rounded down, as torchvision does
    shorter = min(height, width)
    size = (height * shorter_side // shorter, width * shorter_side // shorter)
    if size[0] * size[1] > MAX_PIXELS:
        becomes = f"{width} x {height} pixels become {size[1]} x {size[0]}, over {MAX_PIXELS:,}"
        raise ValueError(f"expected a less elongated photo or a shorter side: got {becomes}")
    return squash_photo(photo, size, interpolation=interpolation)


def fit_photo(photo: Tensor, network: NetworkInput) -> tuple[Tensor, View]:
    """Return the network's input, cut from the middle of a photo, and where it lies.

    The shorter side is resized to `network.resized_side`, and the middle is cropped to
    `network.input_size`. The input is (C, h, w) in [0, 1], gray if the network's images are;
    ``image[None]`` is a batch of one. `lay_back` takes the view.

    Raises
    ------
    ValueError
        As `resize_photo`, or if the resized photo is smaller than the network's input.
    """
    _check_network_input(network)
    resized = resize_photo(photo, network.resized_side, interpolation=network.interpolation)
    resized = in_channels_of(network, resized)
    (height, width), (h, w) = resized.shape[1:], network.input_size
    top, left = round((height - h) / 2), round((width - w) / 2)
    view = View((photo.shape[1], photo.shape[2]), (height, width), top, left, (h, w))
    return crop(resized, view), view


def squash_photo(photo: Tensor, size: tuple[int, int], *, interpolation: str = "bicubic") -> Tensor:
    """Return the whole photo resized to (height, width), antialiased, whatever its aspect ratio.

    A photo of half precision is resized in, and returned as, float32.

    Raises
    ------
    ValueError
        If `photo` is not (3, H, W) in [0, 1], the result exceeds `MAX_PIXELS`, or the
        interpolation is neither "bilinear" nor "bicubic".
    """
    photo = _at_least_float32(photo)
    check_photo(photo)
    size = height, width = checked_size(size, "to resize to")
    if height * width > MAX_PIXELS:
        got = f"{height} x {width} = {height * width:,}"
        raise ValueError(f"expected a size of at most {MAX_PIXELS:,} pixels, got {got}")
    if not isinstance(interpolation, str) or interpolation not in _INTERPOLATIONS:
        names = " or ".join(_INTERPOLATIONS)
        raise ValueError(f"expected an interpolation {names}, got {shown(interpolation)}")
    resized = F.interpolate(
        photo[None], size=size, mode=interpolation, antialias=True, align_corners=False
    )[0]
    return resized.clamp(0, 1)


def squashed(network: NetworkInput, photos: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return whole photos, resized to one size, as a network's batch (N, C, height, width)."""
    _check_network_input(network)
    if not isinstance(photos, Sequence | Tensor) or not len(photos):
        raise ValueError(f"expected at least one photo in a sequence, got {shown(photos)}")
    interpolation = network.interpolation
    images = [squash_photo(photo, size, interpolation=interpolation) for photo in photos]
    return in_channels_of(network, torch.stack(images))


def in_channels_of(network: NetworkInput, photos: Tensor) -> Tensor:
    """Return RGB photos (..., 3, H, W), or their channels' mean for a network of gray images."""
    is_gray = getattr(network, "input_channels", 3) == 1
    return photos.mean(-3, keepdim=True) if is_gray else photos


def crop(resized: Tensor, view: View) -> Tensor:
    """Return the part of a resized photo (..., H, W) that a view describes."""
    if resized.shape[-2:] != tuple(view.resized_size):
        got = f"{tuple(resized.shape)}"
        raise ValueError(f"expected a resized photo of {view.resized_size}, got {got}")
    (h, w), top, left = view.size, view.top, view.left
    return resized[..., top : top + h, left : left + w]


def lay_back(values: Tensor, view: View) -> Tensor:
    """Return a map or an image of a crop, laid over the original photo, (..., H, W).

    The values are (..., h, w), of the view's `size`. Between the crop's pixels they are
    interpolated bilinearly; where the crop shows nothing of the photo they are 0. They are not
    rescaled by the area of a pixel. Half precision cannot tell a photo's pixels apart: such
    values are laid, and returned, as float32.

    Raises
    ------
    ValueError
        If the values are not finite floats of the view's size, or the photo exceeds
        `MAX_PIXELS`.
    """
    if not isinstance(view, View):
        raise ValueError(f"expected the view that fit_photo returns, got {shown(view)}")
    if not isinstance(values, Tensor) or values.is_meta or not values.is_floating_point():
        raise ValueError(f"expected values as a tensor of floats, got {shown(values)}")
    (h, w), got = view.size, tuple(values.shape)
    if got[-2:] != (h, w) or not values.numel():
        raise ValueError(f"expected values of shape (..., {h}, {w}), got {got}")
    values = _at_least_float32(values)
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise ValueError(f"expected finite values, got {bad} that are NaN or infinite")
    if math.prod(view.photo_size) > MAX_PIXELS:
        raise ValueError(f"expected a photo of at most {MAX_PIXELS:,} pixels, got {view}")
    # each photo pixel's center in the crop, whose sides are at -1 and 1
    axes = []
    for axis, offset in ((0, view.top), (1, view.left)):
        length, resized = view.photo_size[axis], view.resized_size[axis]
        centers = torch.arange(length, dtype=values.dtype, device=values.device) + 0.5
        axes.append((centers * (resized / length) - offset) * (2 / view.size[axis]) - 1)
    y, x = torch.meshgrid(*axes, indexing="ij")
    layers, grid = values.reshape(1, -1, h, w), torch.stack([x, y], dim=-1)[None]
    laid = F.grid_sample(layers, grid, padding_mode="border", align_corners=False)
    inside = (x.abs() <= 1) & (y.abs() <= 1)
    return torch.where(inside, laid, 0.0).reshape(*values.shape[:-2], *view.photo_size)


def _at_least_float32(values: Tensor) -> Tensor:
    """Return values of half precision as float32, and anything else as it is."""
    is_lower = isinstance(values, Tensor) and values.is_floating_point()
    return values.float() if is_lower and values.dtype not in _FLOATS else values


def checked_size(size: Sequence[int], what: str) -> tuple[int, int]:
    """Return (height, width) as two integers; a ValueError says if it is none."""
    try:
        height, width = (whole_number(side, "a side", 1) for side in size)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected a size (height, width) {what}, got {shown(size)}") from error
    return height, width


def _check_network_input(network: NetworkInput) -> None:
    missing = [name for name in NetworkInput.__annotations__ if not hasattr(network, name)]
    if missing:
        got = f"{type(network).__name__} without {missing[0]}"
        raise ValueError(f"expected a network of deepinside.networks, got {got}")


def _found(source: object) -> tuple[np.ndarray | Image.Image | Path | io.BytesIO, str]:
    """Return what a photo is read from, and its name in errors."""
    if isinstance(source, str) and source in _PHOTOS:
        # scikit-image changes the filters of warnings, and changes them back, as it reads
        with _ONE_AT_A_TIME:
            return _PHOTOS[source][0](), source
    if isinstance(source, np.ndarray | Image.Image):
        return source, "the picture"
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return io.BytesIO(content), f"{len(content)} bytes"
    if not isinstance(source, str | PathLike) or not isinstance(fspath(source), str):
        expected = "a photo's name, a path, bytes, a PIL image or a NumPy array"
        raise ValueError(f"expected {expected}, got {type(source).__name__}")
    path = Path(source)
    with suppress(OSError):  # of a name that no file can have
        if path.is_file():
            return path, str(source)
    if isinstance(source, str) and path.name == source and not path.suffix:
        nearest = ", ".join(difflib.get_close_matches(source, _PHOTOS, n=3) or _PHOTOS)
        expected = f"expected the name of a photo or a file, got {shown(source)}"
        raise ValueError(f"{expected}; the nearest names are {nearest}")
    raise FileNotFoundError(f"expected a picture file, found none at {str(source)[:300]}")
