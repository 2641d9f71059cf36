"""Decoding pictures from anywhere: upright, in sRGB, over white.

A file's content is not trusted. Only `FORMATS` are read, none of which starts another program;
the size is checked before anything is decoded; whatever a damaged file raises becomes one
ValueError. Callers use `images.load_photo`.
"""

import errno
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    PngImagePlugin,
    TiffImagePlugin,
    TiffTags,
    UnidentifiedImageError,
)
from torch import Tensor

# what photos come in; phones' MPO is read as the JPEG that it begins with
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "JPEG2000")
# pictures are converted a strip of so many pixels at a time: no copy but the photo is whole
_STRIP = 2**20
# the tags of width and height of a TIFF's tiles
_TILE_SIDES = (322, 323)
# action, message, category, module and line, as `warnings.filters` has them
_NO_WARNING_OF_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)
# by the bytes of an unsigned value: the float32 nearest to each value over white
_UNIT = {size: (np.arange(256**size) / (256**size - 1)).astype(np.float32) for size in (1, 2)}

Source = Path | io.BytesIO | Image.Image
# a gray value, a palette's index, a color, or the alpha of each of a palette's colors
Transparent = int | tuple[int, ...] | bytes | None


def picture_photo(source: Source, what: str, max_pixels: int) -> Tensor:
    """Return a picture, named `what` in errors, as a photo (3, H, W)."""
    picture, orientation, transparent = _decoded(source, what, max_pixels)
    read: Callable[[Image.Image], np.ndarray] = np.asarray
    if picture.mode.startswith("I"):
        read = _gray_16_bits
        if picture.mode == "I":
            _check_32_bits(picture, what)
    elif picture.mode != "F":
        read = _eight_bits(picture)

    def rows(top: int, bottom: int) -> np.ndarray:
        strip = picture.crop((0, top, picture.width, bottom))
        if transparent is not None:
            strip.info["transparency"] = transparent
        return read(strip)

    return _photo(picture.height, picture.width, rows, orientation)


def picture_orientation(source: Source, what: str, max_pixels: int) -> int:
    """Return EXIF's number for how a picture, named `what` in errors, is stored: 1 to 8."""
    with _opened(source, what, max_pixels) as picture:
        return _orientation(picture)


def array_photo(array: np.ndarray, max_pixels: int) -> Tensor:
    """Return an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as a photo (3, H, W)."""
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError("expected an array without a mask, got one with values that are none")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        shapes = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        raise ValueError(f"expected an array of shape {shapes}, got {array.shape}")
    height, width = array.shape[:2]
    _check_size(width, height, "an array", max_pixels)
    if not issubclass(array.dtype.type, np.uint8 | np.uint16 | np.bool_ | np.floating):
        raise ValueError(f"expected uint8, uint16, bool or float values, got {array.dtype}")
    return _photo(height, width, lambda top, bottom: array[top:bottom])


def _decoded(source: Source, what: str, max_pixels: int) -> tuple[Image.Image, int, Transparent]:
    """Return a file's first picture, how it is still to be turned, and its transparent value."""
    with _opened(source, what, max_pixels) as picture:
        transparent = _transparent(picture)
        orientation = _orientation(picture)
        picture.load()
        if picture.format == "TIFF":  # which Pillow turns as it decodes it
            orientation = 1
        # the pixels alone, as decoders hold on to the memory of several pictures
        return (picture if picture is source else picture.copy()), orientation, transparent


def _transparent(picture: Image.Image) -> Transparent:
    """Return the value that is transparent, as Pillow's pixels have it, which are of 8 bits."""
    value: Transparent = picture.info.get("transparency")
    if not (isinstance(picture, PngImagePlugin.PngImageFile) and picture.tile):
        return value
    raw_mode = str(picture.tile[0][3])
    if isinstance(value, tuple):
        return tuple(one >> 8 for one in value) if raw_mode == "RGB;16B" else value
    # gray of 1, 2 and 4 bits: Pillow multiplies the pixels, but not this value
    if isinstance(value, int) and raw_mode in ("1", "L;2", "L;4"):
        return min(value * {"1": 255, "L;2": 85, "L;4": 17}[raw_mode], 255)
    return value


@contextmanager
def _opened(source: Source, what: str, max_pixels: int) -> Iterator[Image.Image]:
    """Yield a picture that is not decoded yet, of a format and a size that are read."""
    with ExitStack() as stack:
        if isinstance(source, Image.Image):
            picture = source
        else:
            with _one_error(what, max_pixels):
                picture = stack.enter_context(_open(source))
        if picture.format == "EPS":  # Pillow would start Ghostscript
            raise ValueError(f"expected a picture in {', '.join(_formats())}, got {what} in EPS")
        _check_size(*picture.size, what, max_pixels)
        with _one_error(what, max_pixels):
            tile_size = _tile_size(picture)
        _check_size(*tile_size, f"a tile of {what}", max_pixels)
        with _one_error(what, max_pixels):
            yield picture


def _open(source: Path | io.BytesIO) -> Image.Image:
    """Return a picture of `FORMATS`; an AVIF without its EXIF if that is unreadable."""
    try:
        return Image.open(source, formats=_formats())
    except Exception:
        # EXIF keeps an AVIF from being opened, but its rotation stands elsewhere
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            file.seek(4)
            if file.read(4) != b"ftyp":
                raise
            file.seek(0)
            content = file.read()
        # the item's type, in the box that lists it ("infe", version 2), becomes an unknown one
        without = re.sub(rb"(infe\x02.{7})Exif", rb"\1none", content, count=1, flags=re.DOTALL)
        return Image.open(io.BytesIO(without), formats=_formats())


def _tile_size(picture: Image.Image) -> tuple[int, int]:
    """Return width and height of a TIFF's tiles, which may be larger than it; else its own."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        width, height = (picture.tag_v2.get(side) for side in _TILE_SIDES)
        if isinstance(width, int) and isinstance(height, int):
            return width, height
    return picture.size


def _formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow reads; AVIF is read from 11.2 on."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@contextmanager
def _one_error(what: str, max_pixels: int) -> Iterator[None]:
    """Turn whatever is raised by a picture into one ValueError, but not the disk's errors."""
    try:
        with _pillow_is_quiet():
            yield
    except UnidentifiedImageError as error:
        got = f"{what}, which is in none of these or damaged"
        raise ValueError(f"expected a picture in {', '.join(_formats())}, got {got}") from error
    except Image.DecompressionBombError as error:
        got = f"{what}: {error}"
        raise ValueError(f"expected at most {max_pixels:,} pixels, got {got}") from error
    except Exception as error:
        # EINVAL is of a place that a damaged file names, before its start or past any end
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        cause = " ".join(str(error).split()) or type(error).__name__
        got = f"{what} ends early or is damaged: {cause}"
        raise ValueError(f"expected a whole picture, but {got}") from error


@contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Leave out warnings of large or damaged pictures, of which the errors tell.

    `warnings.catch_warnings` would put back the filters that it met, which another thread may
    have put there for a while: this adds one filter, and removes it from where it was added.
    """
    filters = cast("list[tuple]", warnings.filters)
    filters.insert(0, _NO_WARNING_OF_PILLOW)
    try:
        yield
    finally:
        with suppress(ValueError):  # removed by someone who cleared the filters
            filters.remove(_NO_WARNING_OF_PILLOW)


def _check_size(width: int, height: int, what: str, max_pixels: int) -> None:
    got = f"{width} x {height} = {width * height:,} in {what}"
    if width * height > max_pixels:
        raise ValueError(f"expected at most {max_pixels:,} pixels, got {got}")
    if width * height == 0:
        raise ValueError(f"expected at least one pixel, got {got}")


def _orientation(picture: Image.Image) -> int:
    """Return EXIF's number, or XMP's if EXIF has none; 1 if neither has one from 1 to 8."""
    if picture.format == "PNG":  # whose EXIF may follow the pixels
        picture.load()
    try:
        number = picture.getexif().get(ExifTags.Base.Orientation)
        if number is None and "exif" in picture.info:
            number = _orientation_entry(picture.info["exif"])
    except Exception:  # whatever unreadable EXIF raises: the pixels do without
        return 1
    return next((one for one in range(1, 9) if one == number), 1)


def _orientation_entry(exif: bytes) -> int | None:
    """Return the orientation from EXIF in which Pillow stopped at a tag before it."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (directory,) = struct.unpack_from(f"{order}L", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, directory)
    for entry in range(entries):
        tag, kind, _, value = struct.unpack_from(f"{order}HHLH", exif, directory + 2 + 12 * entry)
        if (tag, kind) == (ExifTags.Base.Orientation, TiffTags.SHORT):
            return value
    return None


def _check_32_bits(picture: Image.Image, what: str) -> None:
    """Refuse integers that are not those of 16 bits, as nothing else says what is white."""
    low, high = np.ravel(picture.getextrema())
    # those of 8 bits would become almost black
    in_use = high > 255 or picture.format == "PPM"
    if not (in_use and low >= 0 and high <= 65535):
        got = f"32-bit values from {low} to {high} in {what}"
        raise ValueError(f"expected 16-bit values, some over 255, got {got}")


def _gray_16_bits(strip: Image.Image) -> np.ndarray:
    values = np.asarray(strip).astype(np.uint16)
    values[values == strip.info.get("transparency", -1)] = 65535
    return values


def _eight_bits(picture: Image.Image) -> Callable[[Image.Image], np.ndarray]:
    """Return what makes sRGB (h, w, 3), or (h, w, 4) with alpha, of a strip of a picture."""
    alphas = ("LA", "PA", "RGBA", "La", "RGBa")
    has_alpha = picture.mode in alphas or "transparency" in picture.info
    to_srgb = _to_srgb(picture)

    def read(strip: Image.Image) -> np.ndarray:
        if strip.mode == "La":
            strip = strip.convert("LA")
        shown = strip.convert("RGBA" if has_alpha else "RGB")
        if to_srgb is None:
            return np.asarray(shown)
        own = strip if strip.mode == "CMYK" else shown.convert(to_srgb.input_mode)
        color = np.asarray(to_srgb.apply(own))
        return np.dstack([color, np.asarray(shown)[..., 3]]) if has_alpha else color

    return read


def _to_srgb(picture: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a picture's profile to sRGB; None if no profile fits.

    None as well if the profile is sRGB under any name: if it moves no color of a grid over the
    cube by more than 2 of 255, the pixels stay exactly as they are.
    """
    if "icc_profile" not in picture.info:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        mode = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}[profile.profile.xcolor_space]
        srgb = ImageCms.createProfile("sRGB")
        # lcms's shortcuts cost up to 10 of 255 in dark gray, and gain no time
        exact = ImageCms.Flags.NOOPTIMIZE
        to_srgb = ImageCms.buildTransform(profile, srgb, mode, "RGB", flags=exact)
    except Exception:  # whatever an unreadable profile raises: the pixels do without
        return None
    fits = {
        "RGB": picture.mode not in ("CMYK", "LAB"),
        "L": picture.mode in ("1", "L", "LA", "La"),
        "CMYK": picture.mode == "CMYK",
    }
    if not fits[mode]:
        return None
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), 3).reshape(-1, 18, 3))
    cube = cube.convert(mode)
    moved = np.asarray(to_srgb.apply(cube), int) - np.asarray(cube.convert("RGB"), int)
    return to_srgb if np.abs(moved).max() > 2 else None


def _photo(
    height: int, width: int, rows: Callable[[int, int], np.ndarray], orientation: int = 1
) -> Tensor:
    """Return the photo of a stored picture, of which `rows` gives those from one to another."""
    turned = orientation > 4
    shape = (3, width, height) if turned else (3, height, width)
    # whatever the defaults of the process are; one of inference mode would know no gradient
    with torch.inference_mode(False):
        photo = torch.empty(shape, dtype=torch.float32, device="cpu")
    # the photo's memory, its pixels in the order in which they are stored
    stored = photo.numpy().swapaxes(1, 2) if turned else photo.numpy()
    if orientation in (3, 4, 6, 7):
        stored = stored[:, ::-1]
    if orientation in (2, 3, 7, 8):
        stored = stored[:, :, ::-1]
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        stored[:, top:bottom] = _unit(rows(top, bottom))
    return photo


def _unit(pixels: np.ndarray) -> np.ndarray:
    """Return values (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) as floats over white, (C, h, w)."""
    if pixels.dtype.kind == "u":
        values = _UNIT[pixels.itemsize][pixels]
    else:
        low, high = pixels.min(), pixels.max()
        if not (low >= 0 and high <= 1):
            got = f"{low:.6g} to {high:.6g}"
            raise ValueError(f"expected {pixels.dtype} values in [0, 1], got {got}")
        values = pixels.astype(np.float32)
    values = np.atleast_3d(values)
    if values.shape[2] == 4:
        color, alpha = values[..., :3], values[..., 3:]
        values = color * alpha + (1 - alpha)
    return np.moveaxis(values, 2, 0)
