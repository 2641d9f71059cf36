"""Photos: read from anywhere, fitted to a network's input, and maps laid back over them.

A photo is a float32 tensor (3, H, W), RGB in [0, 1], of any size. A network takes a
square cut from the resized photo; a `View` remembers where that square lies, so that
what is computed for it can be drawn over the original picture.
"""

import csv
import difflib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from deepinside.pictures import array_photo, picture_orientation, picture_photo

MAX_PIXELS = 50_000_000
_FLOATS = (torch.float32, torch.float64)
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
    """What `fit_photo` needs to know of a network; one that has 1 as `input_channels` gets gray."""

    input_size: tuple[int, int]
    resized_side: int
    interpolation: str


@dataclass(frozen=True)
class View:
    """Where a crop lies in a photo: the part of `size` at `top` and `left` of the resized photo.

    Sizes are (height, width); all is in pixels.
    """

    photo_size: tuple[int, int]
    resized_size: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]

    @property
    def box(self) -> Box:
        """The crop as a half-open box (x0, y0, x1, y1) in pixels of the photo."""
        rows = self.photo_size[0] / self.resized_size[0]
        columns = self.photo_size[1] / self.resized_size[1]
        bottom, right = self.top + self.size[0], self.left + self.size[1]
        return (self.left * columns, self.top * rows, right * columns, bottom * rows)


def photo_names() -> list[str]:
    """Return the names of the photos that need no file."""
    return list(_PHOTOS)


def photo_credit(name: str) -> Credit:
    """Return title, author and terms of a photo that `load_photo` knows by name."""
    if name not in _PHOTOS:
        raise ValueError(f"expected one of {', '.join(_PHOTOS)}; got {name!r}")
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

    The rotation noted by the camera is applied (`photo_orientation`). Colors are brought to
    sRGB by the picture's ICC profile; one without, or with an unreadable one, is sRGB. Gray
    becomes RGB, transparent parts show white. Gray of 16 bits keeps its precision, and is
    taken as it is, without a profile; other pictures of 16 bits are read with 8. Of several
    pictures in a file the first is read.

    Files are read in JPEG (phones' MPO too), PNG, GIF, WebP, AVIF (from Pillow 11.2 on), BMP,
    TIFF, PPM and JPEG 2000. A picture of more than `MAX_PIXELS`, which are enough for phones'
    cameras, is refused before it is decoded. The photo takes 12 bytes a pixel, the picture
    that it is decoded to up to 4 more: together 0.8 GB for the largest.

    Parameters
    ----------
    source : str, path, bytes, PIL image or array
        The name of a shipped photo (`photo_names`), a file, a file's content, or an array
        (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, or float in [0, 1].

    Raises
    ------
    ValueError
        If the source is not a picture, is cut short, damaged, too large, empty, out of range,
        or in another format. What is unreadable beside the pixels (EXIF, profile) is ignored.
    FileNotFoundError
        If a path leads nowhere.
    """
    found, what = _found(source)
    if isinstance(found, np.ndarray):
        return array_photo(found, MAX_PIXELS)
    return picture_photo(found, what, MAX_PIXELS)


def photo_orientation(source: str | PathLike | bytes | Image.Image | np.ndarray) -> int:
    """Return the number, 1 to 8, by which `load_photo` turns the stored picture upright.

    It is EXIF's: the picture's first row and column are at the photo's 1: top and left; 2: top
    and right; 3: bottom and right; 4: bottom and left; 5: left and top; 6: right and top;
    7: right and bottom; 8: left and bottom. From 5 on width and height are exchanged. Where
    EXIF has none, XMP's is taken, where neither has, 1. Sources and errors are those of
    `load_photo`; pixels are only decoded where it takes that to find the number.
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
    low, high = photo.min().item(), photo.max().item()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"expected a photo in [0, 1], got values from {low:.4g} to {high:.4g}")


def resize_photo(photo: Tensor, shorter_side: int, *, interpolation: str = "bilinear") -> Tensor:
    """Return the photo with its shorter side resized, antialiased, its shape kept.

    Raises
    ------
    ValueError
        If `photo` is not (3, H, W) in [0, 1], or the result exceeds `MAX_PIXELS`.
    """
    check_photo(photo)
    if shorter_side < 1:
        raise ValueError(f"expected a shorter side of at least 1 pixel, got {shorter_side}")
    height, width = photo.shape[1:]
    # the longer side is rounded down, as torchvision does
    shorter = min(height, width)
    size = (height * shorter_side // shorter, width * shorter_side // shorter)
    if size[0] * size[1] > MAX_PIXELS:
        becomes = f"{width} x {height} pixels become {size[1]} x {size[0]}"
        raise ValueError(f"expected a photo less long: {becomes}, over {MAX_PIXELS:,}")
    return squash_photo(photo, size, interpolation=interpolation)


def fit_photo(photo: Tensor, network: NetworkInput) -> tuple[Tensor, View]:
    """Return the network's input cut from a photo as in its training, and where it lies.

    The shorter side is resized to `network.resized_side`, the middle cropped to
    `network.input_size`. The input is (C, h, w) in [0, 1], by `in_channels_of`, and
    ``image[None]`` a batch of one; the view is for `lay_back`.
    """
    resized = resize_photo(photo, network.resized_side, interpolation=network.interpolation)
    resized = in_channels_of(network, resized)
    (height, width), (h, w) = resized.shape[1:], network.input_size
    top, left = round((height - h) / 2), round((width - w) / 2)
    view = View((photo.shape[1], photo.shape[2]), (height, width), top, left, (h, w))
    return crop(resized, view), view


def squash_photo(photo: Tensor, size: tuple[int, int], *, interpolation: str = "bicubic") -> Tensor:
    """Return the whole photo at a size (height, width), antialiased, its shape not kept.

    Raises
    ------
    ValueError
        If `photo` is not (3, H, W) in [0, 1].
    """
    check_photo(photo)
    resized = F.interpolate(
        photo[None], size=size, mode=interpolation, antialias=True, align_corners=False
    )[0]
    return resized.clamp(0, 1)


def squashed(network: NetworkInput, photos: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return whole photos as a batch of a network's images, of a size, (N, C, height, width)."""
    interpolation = network.interpolation
    images = [squash_photo(photo, size, interpolation=interpolation) for photo in photos]
    return in_channels_of(network, torch.stack(images))


def in_channels_of(network: NetworkInput, photos: Tensor) -> Tensor:
    """Return RGB photos (..., 3, H, W) as the network takes them: gray is the channels' mean."""
    is_gray = getattr(network, "input_channels", 3) == 1
    return photos.mean(-3, keepdim=True) if is_gray else photos


def crop(resized: Tensor, view: View) -> Tensor:
    """Return the part of a resized photo (..., H, W) that a view names."""
    (h, w), top, left = view.size, view.top, view.left
    return resized[..., top : top + h, left : left + w]


def lay_back(values: Tensor, view: View) -> Tensor:
    """Return values of a crop's pixels, placed where they belong in the original photo.

    Bilinear between the crop's pixels, 0 where the crop shows nothing of the photo. Maps keep
    their values (they are not rescaled by the area of a pixel). From (..., h, w), a map or an
    image of the size that `view` names, to (..., H, W), of the photo's size.

    Raises
    ------
    ValueError
        If the values are not of the view's size, or not float32 or float64.
    """
    if values.dtype not in _FLOATS:
        raise ValueError(f"expected values of float32 or float64, got {values.dtype}")
    (h, w), got = view.size, tuple(values.shape)
    if got[-2:] != (h, w):
        raise ValueError(f"expected values of shape (..., {h}, {w}), got {got}")
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


def _found(source: object) -> tuple[np.ndarray | Image.Image | Path | io.BytesIO, str]:
    """Return what a photo is read from, and its name in errors."""
    if isinstance(source, str) and source in _PHOTOS:
        return _PHOTOS[source][0](), source
    if isinstance(source, np.ndarray | Image.Image):
        return source, "the picture"
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), f"{len(source)} bytes"
    if not isinstance(source, str | PathLike):
        expected = "a photo's name, a path, bytes, a PIL image or a NumPy array"
        raise ValueError(f"expected {expected}, got {type(source).__name__}")
    path = Path(source)
    if path.is_file():
        return path, str(source)
    if isinstance(source, str) and path.name == source and not path.suffix:
        nearest = ", ".join(difflib.get_close_matches(source, _PHOTOS, n=3) or _PHOTOS)
        expected = f"expected the name of a photo or a file, got {source!r}"
        raise ValueError(f"{expected}; the nearest names are {nearest}")
    raise FileNotFoundError(f"expected a picture file, found none at {source}")
