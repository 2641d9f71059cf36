import errno
import io
import re
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image, ImageCms, ImageFile, PngImagePlugin
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from deepinside.images import (
    MAX_PIXELS,
    View,
    check_photo,
    checked_box,
    crop,
    fit_photo,
    lay_back,
    load_photo,
    photo_boxes,
    photo_credit,
    photo_names,
    photo_orientation,
    resize_photo,
    squash_photo,
    squashed,
)


def encoded(picture, kind, **options):
    """The content of a file that holds a PIL image or an array."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def colors(height=6, width=9):
    """Random pixels: no two rows, columns or channels are alike."""
    generator = np.random.default_rng(3)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_photo(pixels):
    """(H, W, 3) of 0 to 255, as the photo that it should become."""
    return torch.from_numpy(np.asarray(pixels, np.float64) / 255).float().permute(2, 0, 1)


# Reading


@pytest.mark.parametrize("name", photo_names())
def test_shipped_photo_loads_and_has_a_credit(name):
    photo = load_photo(name)
    assert photo.dtype == torch.float32
    assert photo.shape[0] == 3
    assert min(photo.shape[1:]) >= 224
    assert 0 <= photo.min() < 0.4
    assert 0.9 < photo.max() <= 1
    credit = photo_credit(name)
    assert all(len(part) > 2 for part in credit)


def test_shipped_photos_include_those_of_the_book():
    assert {"cat", "coffee", "rocket", "camera"} <= set(photo_names())
    with pytest.raises(ValueError, match=r"expected one of .*cat.* got 'dog'"):
        photo_credit("dog")


def test_cat_is_red_green_blue_and_upright():
    # Chelsea is ginger, and her eyes are in the upper half
    photo = load_photo("cat")
    assert photo.shape == (3, 300, 451)
    red, green, blue = photo.mean((1, 2))
    assert red > green > blue


SOURCES = {
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "path": lambda path: path,
    "string": str,
    "PIL image": lambda path: Image.open(io.BytesIO(path.read_bytes())),
    "array": lambda path: np.asarray(Image.open(io.BytesIO(path.read_bytes()))),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_kind_of_source_gives_the_same_photo(source, tmp_path):
    path = tmp_path / "some picture.png"
    path.write_bytes(encoded(colors(), "PNG"))
    photo = load_photo(source(path))
    assert photo.dtype == torch.float32
    assert photo.is_contiguous()
    assert photo.equal(as_photo(colors()))


# which side of the upright picture the file's first row and first column are, by the standard
EXIF_SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright(stored, orientation):
    """Place pixel by pixel what a camera stored."""
    rows, columns = stored.shape[:2]
    sides = EXIF_SIDES[orientation]
    turned = sides[0] in ("left", "right")
    size = (columns, rows) if turned else (rows, columns)
    placed = np.zeros((*size, 3), stored.dtype)
    for row in range(rows):
        for column in range(columns):
            first = row if sides[0] in ("top", "left") else rows - 1 - row
            second = column if sides[1] in ("top", "left") else columns - 1 - column
            placed[(second, first) if turned else (first, second)] = stored[row, column]
    return placed


@pytest.mark.parametrize("orientation", EXIF_SIDES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PIL image"])
def test_camera_s_rotation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # blocks of 16 pixels survive JPEG
    stored = np.kron(colors(2, 3), np.ones((16, 16, 1), np.uint8))
    if kind == "PIL image":
        source = Image.open(io.BytesIO(encoded(stored, "PNG", exif=exif)))
    else:
        options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
        source = encoded(stored, kind, exif=exif, **options)
    photo = load_photo(source)
    assert photo.shape == (3, 48, 32) if orientation > 4 else (3, 32, 48)
    tolerance = 0.03 if kind == "JPEG" else 0
    expected = as_photo(upright(stored, orientation))
    torch.testing.assert_close(photo, expected, rtol=0, atol=tolerance)


def gray_ramp(dtype, white):
    return (np.linspace(0, 1, 54).reshape(6, 9) * white).astype(dtype)


def palette_with_transparency():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 0])
    picture.putpixel((1, 0), 1)
    return encoded(picture, "PNG", transparency=0)


def with_alpha(alpha):
    """Pixels over white, computed in plain arithmetic, and the file's content."""
    pixels = colors()
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)])
    over_white = pixels * (alpha / 255) + 255 * (1 - alpha / 255)
    return encoded(rgba, "PNG"), over_white


def gray(values):
    return np.repeat(np.asarray(values, np.float64)[..., None], 3, axis=2)


BYTE_RAMP = gray_ramp(np.uint8, 255)
LA_PIXELS = np.dstack([BYTE_RAMP, BYTE_RAMP[::-1]])
CHECKERS = np.indices((6, 9)).sum(0) % 2 == 0
PICTURES = {
    "gray PNG": (encoded(BYTE_RAMP, "PNG"), gray(BYTE_RAMP)),
    "gray with alpha PNG": (
        encoded(LA_PIXELS, "PNG"),
        gray(LA_PIXELS[..., 0] * (LA_PIXELS[..., 1] / 255) + 255 * (1 - LA_PIXELS[..., 1] / 255.0)),
    ),
    "palette PNG with transparency": (
        palette_with_transparency(),
        [[[255, 255, 255], [200, 100, 0]]],
    ),
    "gray PNG with one transparent value": (
        encoded(BYTE_RAMP, "PNG", transparency=int(BYTE_RAMP[2, 3])),
        gray([[255 if value == BYTE_RAMP[2, 3] else value for value in row] for row in BYTE_RAMP]),
    ),
    "opaque RGBA PNG": with_alpha(255),
    "half transparent RGBA PNG": with_alpha(128),
    "invisible RGBA PNG": with_alpha(0),
    "1-bit PNG": (encoded(CHECKERS, "PNG"), gray(CHECKERS * 255)),
    "CMYK TIFF": (
        encoded(Image.fromarray(colors()).convert("CMYK"), "TIFF"),
        # cyan, magenta and yellow are what is missing of red, green and blue
        colors(),
    ),
    "animated GIF, first of two": (
        encoded(
            Image.fromarray(BYTE_RAMP),
            "GIF",
            save_all=True,
            append_images=[Image.fromarray(BYTE_RAMP[::-1].copy())],
        ),
        gray(BYTE_RAMP),
    ),
}


@pytest.mark.parametrize(("content", "expected"), PICTURES.values(), ids=PICTURES)
def test_every_kind_of_picture_becomes_rgb(content, expected):
    torch.testing.assert_close(load_photo(content), as_photo(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2")]
)
def test_16_bit_gray_keeps_its_precision(kind, dtype):
    values = np.array([[0, 1, 255, 256], [257, 32768, 65534, 65535]])
    expected = torch.from_numpy(values / 65535).float().expand(3, 2, 4)
    assert load_photo(encoded(values.astype(dtype), kind)).equal(expected)


def test_float_tiff_is_taken_as_it_is():
    values = gray_ramp(np.float32, 1)
    assert load_photo(encoded(values, "TIFF")).equal(torch.from_numpy(values).expand(3, 6, 9))
    with pytest.raises(ValueError, match=r"expected float32 values in \[0, 1\], got 0 to 255"):
        load_photo(encoded(values * 255, "TIFF"))


@pytest.mark.parametrize(
    ("dtype", "white"),
    [
        ("uint8", 255),
        ("uint16", 65535),
        (">u2", 65535),
        ("bool", 1),
        ("float16", 1),
        ("float32", 1),
        ("float64", 1),
        (">f8", 1),
    ],
)
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_array_of_every_type_and_shape(dtype, white, channels):
    ramp = gray_ramp(np.float64, white).astype(dtype)
    array = ramp if channels is None else np.stack([ramp] * channels, axis=-1)
    if channels == 3:
        array[..., 1], array[..., 2] = array[..., 0][::-1], array[..., 0][:, ::-1]
    if channels == 4:
        array[..., 3] = white
    values = array.astype(np.float64) / white
    values = values[..., None] if channels is None else values
    expected = np.broadcast_to(values[..., :3], (6, 9, 3)).transpose(2, 0, 1)
    torch.testing.assert_close(
        load_photo(array), torch.from_numpy(expected.copy()).float(), rtol=0, atol=1e-7
    )


def test_array_with_alpha_shows_white_below():
    array = np.full((2, 3, 4), 0.5)
    array[..., 3] = 0.25
    torch.testing.assert_close(load_photo(array), torch.full((3, 2, 3), 0.5 * 0.25 + 0.75))


def test_array_is_copied_and_may_be_a_flipped_view():
    array = np.random.default_rng(0).random((4, 5, 3))
    kept = array.copy()
    photo = load_photo(array[::-1, ::-1])
    torch.testing.assert_close(
        photo, torch.from_numpy(kept[::-1, ::-1].transpose(2, 0, 1).copy()).float()
    )
    photo.zero_()
    assert (array == kept).all()


def test_pil_image_of_the_caller_stays_open_and_turned_as_it_was():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.open(io.BytesIO(encoded(colors(), "PNG", exif=exif)))
    load_photo(picture)
    assert picture.size == (9, 6)
    assert picture.getexif()[0x0112] == 6
    assert (np.asarray(picture) == colors()).all()


# Refusing


def noise_file(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return encoded(pixels, kind, exif=exif)


@pytest.mark.parametrize("share", [0.002, 0.008, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_file_cut_short_is_refused(kind, share):
    content = noise_file(kind)
    with pytest.raises(ValueError, match="expected a"):
        load_photo(content[: int(share * len(content))])


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"<svg></svg>"])
def test_file_of_something_else_is_refused(content, tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(ValueError, match=r"expected a (whole )?picture"):
            load_photo(source)


def test_an_error_of_the_disk_is_not_taken_for_one_of_the_picture(monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "picture.png"
    path.write_bytes(encoded(colors(), "PNG"))
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        load_photo(path)


@pytest.mark.parametrize(
    "path", ["a\0b.jpg", "x" * 5000 + ".jpg", "missing/photo.jpg", "photo.jpg", Path("cat"), Path()]
)
def test_path_that_leads_nowhere(path):
    with pytest.raises(FileNotFoundError, match="expected a picture file, found none at"):
        load_photo(path)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("x" * 300, "astronaut, camera"),
        ("cats", "cat"),
        ("Rocket", "rocket"),
        ("dog", "astronaut, camera"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"got '{name[:76]}.*; the nearest names are .*{nearest}"):
        load_photo(name)


@pytest.mark.parametrize("source", [None, 3, [1, 2], torch.zeros(3, 4, 4)])
def test_source_of_another_type_is_refused(source):
    with pytest.raises(ValueError, match=f"expected a photo's name.* got {type(source).__name__}"):
        load_photo(source)


def png_of_size(width, height):
    """A file of 100 bytes that promises a picture and holds none."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"garbage") + chunk(b"IEND", b"")


# Pillow says nothing of the first, warns of the second and refuses the third
@pytest.mark.parametrize("side", [8_000, 10_000, 50_000])
@pytest.mark.parametrize("strict", [True, False])
def test_huge_picture_is_refused_before_it_is_decoded(side, strict, tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png_of_size(side, side))
    for source in (path, path.read_bytes()):
        with warnings.catch_warnings(record=not strict) as caught:
            warnings.simplefilter("error" if strict else "always")
            with pytest.raises(ValueError, match=f"expected at most {MAX_PIXELS:,} pixels"):
                load_photo(source)
        assert not caught


@pytest.mark.parametrize("name", ["array", "bytes", "PIL image"])
def test_limit_of_pixels_holds_for_every_source(monkeypatch, tmp_path, name):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(colors(), "PNG"))
    monkeypatch.setattr("deepinside.images.MAX_PIXELS", 54)
    assert load_photo(SOURCES[name](path)).shape == (3, 6, 9)
    monkeypatch.setattr("deepinside.images.MAX_PIXELS", 53)
    with pytest.raises(ValueError, match="expected at most 53 pixels, got 9 x 6 = 54"):
        load_photo(SOURCES[name](path))


def changed(dtype, value):
    array = np.full((4, 5, 3), 1, dtype)
    array[2, 3, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (changed("float32", np.nan), "got nan to nan"),
        (changed("float32", np.inf), "got 1 to inf"),
        (changed("float64", 255), "got 1 to 255"),
        (changed("float64", -0.5), "got -0.5 to 1"),
        (changed("complex64", 0), "got complex64"),
        (changed("int8", 0), "got int8"),
        (changed("int16", 0), "got int16"),
        # silently read as 16-bit values, an int64 picture up to 255 would be almost black
        (changed("int64", 255), "got int64"),
        (changed("int64", -1), "got "),
        (changed("object", 0), "got object"),
        (np.zeros((3, 4, 5)), r"got \(3, 4, 5\)"),
        (np.zeros((2, 3, 4, 3)), r"got \(2, 3, 4, 3\)"),
        (np.zeros(5), r"got \(5,\)"),
        (np.ma.masked_array(np.zeros((4, 5)), mask=True), "got one with values that are none"),
        (np.zeros((0, 5, 3)), r"got \(0, 5, 3\)"),
    ],
)
def test_array_that_is_no_picture_is_refused(array, got):
    with pytest.raises(ValueError, match=rf"expected .*{got}"):
        load_photo(array)


# The world's files


def exif_block(*entries, order="<", header=None):
    """EXIF by hand: entries (tag, type, count, 4 bytes), in the order given."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}L", 8)
    body = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(f"{order}HHL", tag, kind, count) + value
    return b"Exif\0\0" + (header or head) + body + struct.pack(f"{order}L", 0)


def turned_by(number, order="<"):
    return (0x0112, 3, 1, struct.pack(f"{order}HH", number, 0))


UNREADABLE = {
    # what Pillow cannot write back: a text for a fraction, a negative number for an unsigned one
    "text for a fraction": exif_block(turned_by(6), (0x011A, 2, 4, b"abc\0")),
    "negative": exif_block(turned_by(6), (0x0128, 8, 1, struct.pack("<hh", -3, 0))),
    # a value past the end: Pillow reads no entry after it
    "past the end": exif_block((0x010F, 2, 20, struct.pack("<L", 9_999)), turned_by(6)),
    "past the end, big-endian": exif_block(
        (0x010F, 2, 20, struct.pack(">L", 9_999)), turned_by(6, ">"), order=">"
    ),
    "unknown type": exif_block((0x010F, 99, 20, struct.pack("<L", 9_999)), turned_by(6)),
    "directory past the end": exif_block(turned_by(6), (0x8769, 4, 1, struct.pack("<L", 9_999))),
}


@pytest.mark.parametrize("exif", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_unreadable_exif_leaves_pixels_and_rotation(kind, exif):
    content = encoded(colors(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert photo_orientation(content) == 6
    photo = load_photo(content)
    assert photo.shape == (3, 9, 6)
    if kind != "JPEG":
        assert photo.equal(as_photo(upright(colors(), 6)))


@pytest.mark.parametrize(
    "exif",
    [
        exif_block(header=b"garbage!"),
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        exif_block(turned_by(0)),
        exif_block(turned_by(9)),
        exif_block(turned_by(65535)),
        exif_block((0x0112, 2, 4, b"6\0\0\0")),
        exif_block((0x0112, 5, 1, struct.pack("<L", 9_999))),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_exif_without_a_valid_rotation_turns_nothing(kind, exif):
    content = encoded(colors(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert photo_orientation(content) == 1
    assert load_photo(content).equal(as_photo(colors()))


@pytest.mark.parametrize("damage", ["header", "entry"])
def test_unreadable_exif_of_an_avif_leaves_pixels_and_rotation(damage, tmp_path):
    if ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow reads no AVIF")
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    whole = encoded(colors(40, 60), "AVIF", exif=exif, speed=10)
    # the resolution's fraction becomes a text, which Pillow cannot write back
    entry = b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x02"
    content = whole.replace(*entry) if damage == "entry" else whole.replace(b"MM\0*", b"XXXX")
    assert content != whole
    path = tmp_path / "photo.avif"
    path.write_bytes(content)
    for source in (content, path):
        assert photo_orientation(source) == 6
        assert load_photo(source).equal(load_photo(whole))


def xmp(number):
    info = PngImagePlugin.PngInfo()
    told = f'<rdf:Description tiff:Orientation="{number}"/>'
    info.add_itxt("XML:com.adobe.xmp", f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{told}</x:xmpmeta>')
    return info


@pytest.mark.parametrize("number", EXIF_SIDES)
@pytest.mark.parametrize("kind", ["PNG", "late PNG", "WEBP", "TIFF", "LZW TIFF", "AVIF", "XMP"])
def test_number_of_the_rotation_is_that_by_which_the_photo_is_turned(kind, number):
    stored = np.kron(colors(2, 3), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = number
    if kind == "AVIF":
        if ".avif" not in Image.registered_extensions():
            pytest.skip("this Pillow reads no AVIF")
        content = encoded(stored, "AVIF", exif=exif, quality=100, subsampling="4:4:4", speed=10)
    elif kind == "WEBP":
        content = encoded(stored, "WEBP", exif=exif, lossless=True)
    elif kind == "XMP":
        content = encoded(stored, "PNG", pnginfo=xmp(number))
    elif kind.endswith("TIFF"):
        compression = "tiff_lzw" if kind == "LZW TIFF" else None
        content = encoded(stored, "TIFF", tiffinfo={0x0112: number}, compression=compression)
    else:
        content = encoded(stored, "PNG", exif=exif)
        if kind == "late PNG":
            # EXIF behind the pixels
            start = content.index(b"eXIf") - 4
            end = start + 12 + int.from_bytes(content[start : start + 4])
            content = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    assert photo_orientation(content) == number
    tolerance = 0.03 if kind == "AVIF" else 0
    expected = as_photo(upright(stored, number))
    torch.testing.assert_close(load_photo(content), expected, rtol=0, atol=tolerance)


def test_rotation_is_told_for_each_kind_of_source(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "some picture.png"
    path.write_bytes(encoded(colors(), "PNG", exif=exif))
    for name, source in SOURCES.items():
        assert photo_orientation(source(path)) == (1 if name == "array" else 8)
    assert photo_orientation("cat") == 1
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="expected a picture in JPEG"):
        photo_orientation(path)
    with pytest.raises(FileNotFoundError):
        photo_orientation(tmp_path / "missing.jpg")


READ = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")


@pytest.mark.parametrize("kind", READ)
def test_formats_of_photos_are_read(kind):
    photo = load_photo(encoded(np.full((16, 16, 3), (200, 100, 50), np.uint8), kind))
    expected = (torch.tensor([200, 100, 50]) / 255)[:, None, None].expand(3, 16, 16)
    torch.testing.assert_close(photo, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "PCX", "SGI", "DDS", "IM"])
def test_other_formats_are_refused_and_those_that_are_read_are_named(kind, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(colors(16, 16), kind))
    expected = r"expected a picture in JPEG, PNG, GIF, .*TIFF, PPM, JPEG2000, got .*photo\.jpg"
    with pytest.raises(ValueError, match=expected):
        load_photo(path)


def test_no_program_is_started_for_a_picture_that_was_opened(monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("started"))
    picture = Image.open(io.BytesIO(encoded(colors(), "EPS")))
    with pytest.raises(ValueError, match=r"expected a picture in .*, got the picture in EPS"):
        load_photo(picture)


@pytest.mark.parametrize("kind", [*READ, "AVIF"])
def test_too_large_a_picture_of_any_format_is_not_decoded(kind, monkeypatch):
    if kind == "AVIF" and ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow reads no AVIF")
    content = encoded(colors(16, 20), kind)
    monkeypatch.setattr("deepinside.images.MAX_PIXELS", 319)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for call in (load_photo, photo_orientation):
        with pytest.raises(ValueError, match="expected at most 319 pixels, got 20 x 16 = 320 in"):
            call(content)


def test_tiles_larger_than_a_tiff_are_refused():
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000}
    entries = [*((tag, 4, 1, struct.pack("<L", value)) for tag, value in tags.items())]
    data = zlib.compress(bytes(100))
    # after the header, ten entries, and the end of their list
    entries += [(324, 4, 1, struct.pack("<L", 134)), (325, 4, 1, struct.pack("<L", len(data)))]
    content = exif_block(*entries).removeprefix(b"Exif\0\0") + data
    with pytest.raises(
        ValueError, match=r"expected at most .* pixels, got 60000 x 60000 .* a tile"
    ):
        load_photo(content)


PEAK = """
import sys
from pathlib import Path
from deepinside.images import load_photo

def peak():
    # of this process since it began, in kB; getrusage counts that of its parent as well
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

before = peak()
print(load_photo(sys.argv[1]).shape[2], peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux tells it")
def test_memory_is_that_of_the_photo_and_of_one_picture(tmp_path):
    # a picture with alpha, to be turned, of 9 million pixels
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGBA", (3_600, 2_500), (9, 99, 200, 77))
    path = tmp_path / "large.png"
    picture.save(path, exif=exif, compress_level=1)
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    width, kilobytes = map(int, run.stdout.split())
    assert width == 2_500
    pixels = 3_600 * 2_500
    # 12 bytes a pixel for the photo, 4 for the picture; 60 MB for what is converted at a time
    assert 12 * pixels < 1_024 * kilobytes < 16 * pixels + 60e6


@pytest.mark.parametrize("orientation", [1, 4, 7])
def test_photo_is_put_together_from_strips(monkeypatch, orientation):
    monkeypatch.setattr("deepinside.pictures._STRIP", 25)
    rgba = np.dstack([colors(13, 9), colors(13, 9)[..., :1]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(rgba, "PNG", exif=exif)
    alpha = rgba[..., 3:] / 255
    over_white = upright(rgba[..., :3] * alpha + 255 * (1 - alpha), orientation)
    torch.testing.assert_close(load_photo(content), as_photo(over_white), rtol=0, atol=1e-6)
    if orientation == 1:
        torch.testing.assert_close(load_photo(rgba), as_photo(over_white), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_value_is_the_nearest_float(dtype):
    white = np.iinfo(dtype).max
    values = np.arange(white + 1, dtype=dtype).reshape(16, -1)
    expected = torch.tensor([float(Fraction(v, white)) for v in range(white + 1)]).view(16, -1)
    assert load_photo(values).equal(expected.expand(3, -1, -1))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(size, depth, color, pixels, *chunks):
    """A PNG by hand: (name, data) of the chunks before the pixels, whose rows are bytes."""
    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    "metadata",
    [
        (b"iCCP", b"name\0\0" + zlib.compress(bytes(80_000_000))),
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000))),
    ],
)
def test_metadata_that_expand_without_end_are_refused(metadata):
    with pytest.raises(ValueError, match=r"(?i)expected a whole picture, but .* too large"):
        load_photo(png((1, 1), 8, 0, b"\0\0", metadata))


DAMAGED = {
    "JPEG": {"exif": UNREADABLE["past the end"]},
    "MPO": {"save_all": True, "append_images": [Image.new("RGB", (60, 40))]},
    "PNG": {"exif": UNREADABLE["past the end"]},
    "GIF": {"save_all": True, "append_images": [Image.new("RGB", (60, 40))]},
    "WEBP": {"exif": UNREADABLE["past the end"]},
    "AVIF": {"speed": 10},
    "BMP": {},
    "TIFF": {},
    "PPM": {},
    "JPEG2000": {},
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_file_is_a_photo_or_one_value_error(kind, tmp_path):
    if kind == "AVIF" and ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow reads no AVIF")
    whole = encoded(Image.fromarray(colors(40, 60)), kind, **DAMAGED[kind])
    generator = np.random.default_rng(7)
    path = tmp_path / "photo"
    refused = 0
    for turn in range(60):
        content = bytearray(whole)
        # most of what can go wrong stands in the first bytes
        end = len(content) if turn % 2 else min(300, len(content))
        for place in generator.integers(0, end, generator.integers(1, 5)):
            content[place] = generator.choice([0, 1, 127, 255, generator.integers(256)])
        if turn % 3 == 0:
            del content[generator.integers(len(content)) :]
        path.write_bytes(content)
        for source in (bytes(content), path):
            try:
                check_photo(load_photo(source))
            except ValueError as error:
                refused += 1
                assert re.fullmatch(r"expected .*(got|but) .*", str(error)), error
                assert ("bytes" if source is not path else str(path)) in str(error)
    assert refused > 10


def curve(number):
    """A tone curve: of sRGB, or an exponent."""
    if number is None:
        values = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
        parameters = [round(value * 65_536) for value in values]
        return struct.pack(">4sIHH5i", b"para", 0, 3, 0, *parameters)
    return struct.pack(">4sIHHi", b"para", 0, 0, 0, round(number * 65_536))


def profile(space, **tags):
    """An ICC profile by hand, by version 4 of the standard."""
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    connection = b"Lab " if "A2B0" in tags else b"XYZ "
    head = struct.pack(
        ">I4sI4s4s4s", start + len(data), b"", 0x04200000, b"mntr", space, connection
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + table + data


def xyz(values):
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65_536) for value in values))


# x and y of red, green and blue, by the standards
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
D65 = np.array([0.3127, 0.3290, 0.3583]) / 0.3290
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_xyz(primaries):
    """The matrix from linear RGB to XYZ: white is D65."""
    columns = np.array([(x, y, 1 - x - y) for x, y in primaries]).T
    return columns * np.linalg.solve(columns, D65)


def rgb_profile(primaries, exponent):
    to_d50 = np.linalg.solve(BRADFORD, np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD)
    red, green, blue = (to_d50 @ to_xyz(primaries)).T
    tones = dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve(exponent))
    matrix = {"rXYZ": xyz(red), "gXYZ": xyz(green), "bXYZ": xyz(blue)}
    return profile(b"RGB ", wtpt=xyz(D50), **matrix, **tones)


def in_srgb(pixels, primaries, exponent):
    """Values 0 to 255 of other primaries, worked out by the definitions of the color spaces."""
    values = pixels / 255
    if exponent is None:
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    else:
        linear = values**exponent
    linear = linear @ np.linalg.solve(to_xyz(SRGB), to_xyz(primaries)).T
    linear = linear.clip(0, 1)
    low = linear <= 0.0031308
    return 255 * np.where(low, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


PROFILES = {"Display P3": (P3, None), "Adobe RGB": (ADOBE, 563 / 256)}


@pytest.mark.parametrize(("primaries", "exponent"), PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "PIL image", "palette", "alpha"])
def test_colors_come_by_the_profile(kind, primaries, exponent):
    pixels, icc = colors(), rgb_profile(primaries, exponent)
    expected = in_srgb(pixels.astype(float), primaries, exponent)
    # the profile matters: some colors are far from what they would be without it
    assert np.abs(expected - pixels).max() > 20
    if kind == "alpha":
        alpha = colors()[..., :1]
        expected = expected * (alpha / 255) + 255 - alpha
        source = encoded(np.dstack([pixels, alpha]), "PNG", icc_profile=icc)
    elif kind == "palette":
        picture = Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9), "P")
        picture.putpalette(pixels.tobytes())
        source = encoded(picture, "PNG", icc_profile=icc)
    else:
        options = {"lossless": True} if kind == "WEBP" else {}
        source = encoded(pixels, "PNG" if kind == "PIL image" else kind, icc_profile=icc, **options)
        source = Image.open(io.BytesIO(source)) if kind == "PIL image" else source
    torch.testing.assert_close(load_photo(source), as_photo(expected), rtol=0, atol=2 / 255)


def test_p3_red_is_what_the_primaries_say():
    # by hand: 200, 30, 40 in Display P3 is linear 0.5776, 0.0130, 0.0212; in sRGB
    # 1.2249 * 0.5776 - 0.2247 * 0.0130 = 0.7046, which is 218.0
    content = encoded(
        np.full((1, 1, 3), (200, 30, 40), np.uint8), "PNG", icc_profile=rgb_profile(P3, None)
    )
    assert load_photo(content)[0].item() * 255 == pytest.approx(218, abs=2)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_comes_by_its_profile(mode):
    icc = profile(b"GRAY", wtpt=xyz(D50), kTRC=curve(1.0))
    ramp = BYTE_RAMP if mode == "L" else np.dstack([BYTE_RAMP, np.full_like(BYTE_RAMP, 255)])
    expected = in_srgb(gray(BYTE_RAMP), SRGB, 1.0)
    content = encoded(ramp, "PNG", icc_profile=icc)
    torch.testing.assert_close(load_photo(content), as_photo(expected), rtol=0, atol=2 / 255)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_come_by_their_profile(kind):
    # Lab of the 16 corners, cyan first: an ink takes 20 of lightness, black 100; all are gray
    corners = [(i >> 3 & 1, i >> 2 & 1, i >> 1 & 1, i & 1) for i in range(16)]
    lab = [(round(255 * (1 - 0.2 * (c + m + y)) * (1 - k)), 128, 128) for c, m, y, k in corners]
    identity = struct.pack(">9i", *(65_536 * (i % 4 == 0) for i in range(9)))
    tables = bytes(range(256))
    lut = struct.pack(">4sI4B", b"mft1", 0, 4, 3, 2, 0) + identity + tables * 4
    icc = profile(b"CMYK", wtpt=xyz(D50), A2B0=lut + bytes(sum(lab, ())) + tables * 3)
    for inks, lightness in (((255, 0, 0, 0), 0.8), ((255, 255, 0, 0), 0.6), ((0, 0, 0, 255), 0)):
        picture = Image.new("CMYK", (16, 16), inks)
        options = {"quality": 100} if kind == "JPEG" else {}
        photo = load_photo(encoded(picture, kind, icc_profile=icc, **options))
        # by the definition of L*
        linear = ((100 * lightness + 16) / 116) ** 3 if lightness > 0.08 else 0
        value = max(0, 1.055 * linear ** (1 / 2.4) - 0.055)
        torch.testing.assert_close(photo, torch.full_like(photo, value), rtol=0, atol=2 / 255)


@pytest.mark.parametrize(
    "icc",
    [
        b"no profile",
        rgb_profile(P3, None)[:200],
        rgb_profile(P3, None)[:300] + bytes(200),
        profile(b"GRAY", wtpt=xyz(D50), kTRC=curve(1.0)),
        profile(b"CMYK", wtpt=xyz(D50)),
        profile(b"XYZ ", wtpt=xyz(D50)),
        # sRGB, written in three ways
        rgb_profile(SRGB, None),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
    ids=["none", "cut", "zeros", "gray", "inks", "other", "sRGB by hand", "sRGB by lcms"],
)
def test_pixels_stay_under_a_profile_that_is_unreadable_unfit_or_srgb(icc):
    content = encoded(colors(), "PNG", icc_profile=icc)
    assert load_photo(content).equal(as_photo(colors()))


def test_16_bit_gray_is_taken_without_its_profile():
    values = np.array([[0, 1_000, 65_535]], np.uint16)
    icc = profile(b"GRAY", wtpt=xyz(D50), kTRC=curve(1.0))
    expected = torch.from_numpy(values / 65_535).float().expand(3, 1, 3)
    assert load_photo(encoded(values, "PNG", icc_profile=icc)).equal(expected)


# rows begin with a zero, the PNG's filter
TRANSPARENT = {
    "1-bit": (png((8, 1), 1, 0, b"\0\x5a", (b"tRNS", b"\0\0")), [255] * 8),
    "2-bit": (png((4, 1), 2, 0, b"\0\x1b", (b"tRNS", b"\0\1")), [0, 255, 170, 255]),
    "4-bit": (png((4, 1), 4, 0, b"\0\x03\xf7", (b"tRNS", b"\0\3")), [0, 255, 255, 119]),
    "8-bit": (png((3, 1), 8, 0, b"\0\x03\x04\x05", (b"tRNS", b"\0\4")), [3, 255, 5]),
    "16-bit": (
        png((3, 1), 16, 0, b"\0" + struct.pack(">3H", 300, 301, 9_000), (b"tRNS", b"\1\x2c")),
        [255, 255 * 301 / 65_535, 255 * 9_000 / 65_535],
    ),
    "16-bit color": (
        png(
            (2, 1),
            16,
            2,
            b"\0" + struct.pack(">6H", *[40_000] * 3, *[50_000] * 3),
            (b"tRNS", struct.pack(">3H", *[40_000] * 3)),
        ),
        [255, 50_000 // 256],
    ),
}


@pytest.mark.parametrize(("content", "expected"), TRANSPARENT.values(), ids=TRANSPARENT)
def test_transparent_value_of_a_png_is_white(content, expected):
    torch.testing.assert_close(load_photo(content), as_photo(gray([expected])), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_16_bit_pictures_of_pil_keep_their_values(mode):
    values = np.array([[0, 1, 255, 256], [257, 32_768, 65_534, 65_535]])
    dtype = {"I": np.int32, "I;16B": ">u2"}.get(mode, "<u2")
    picture = Image.frombytes(mode, (4, 2), values.astype(dtype).tobytes())
    assert load_photo(picture).equal(torch.from_numpy(values / 65_535).float().expand(3, 2, 4))


@pytest.mark.parametrize("values", [[0, 70_000], [-1, 300], [0, 255], [0, 2**31 - 1]])
@pytest.mark.parametrize("kind", ["TIFF", "PIL image"])
def test_32_bit_values_that_do_not_say_what_is_white_are_refused(kind, values):
    picture = Image.fromarray(np.array([values], np.int32))
    source = picture if kind == "PIL image" else encoded(picture, kind)
    with pytest.raises(ValueError, match=f"got 32-bit values from {values[0]} to {values[1]} in"):
        load_photo(source)


@pytest.mark.parametrize("white", [255, 1_000, 65_535])
def test_gray_pgm_is_scaled_by_its_own_white(white):
    content = b"P2 3 1 %d\n0 %d %d" % (white, white // 5, white)
    expected = torch.tensor([0, white // 5 / white, 1]).expand(3, 1, 3)
    torch.testing.assert_close(load_photo(content), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "P"])
def test_pil_image_of_any_mode_shows_its_colors(mode):
    pixels = np.kron([[(200, 100, 50), (20, 60, 220)]], np.ones((4, 4, 1))).astype(np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "LAB":
        to_lab = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        picture = ImageCms.applyTransform(picture, ImageCms.buildTransform(*to_lab))
    else:
        picture = picture.convert(mode, palette=Image.Palette.ADAPTIVE)
    torch.testing.assert_close(load_photo(picture), as_photo(pixels), rtol=0, atol=3 / 255)


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_pil_image_with_alpha_shows_white_below(mode):
    if mode == "PA":
        picture = Image.frombytes("PA", (2, 2), bytes([1, 128] * 4))
        picture.putpalette([0, 0, 0, 100, 100, 100])
    elif mode in ("LA", "La"):
        picture = Image.new("LA", (2, 2), (100, 128)).convert(mode)
    else:
        picture = Image.new("RGBA", (2, 2), (100, 100, 100, 128)).convert(mode)
    value = (100 * 128 + 255 * 127) / 255**2
    torch.testing.assert_close(
        load_photo(picture), torch.full((3, 2, 2), value), rtol=0, atol=1 / 255
    )


def test_picture_of_no_pixels_or_of_no_numbers_is_refused():
    with pytest.raises(ValueError, match="expected at least one pixel, got 0 x 5"):
        load_photo(Image.new("RGB", (0, 5)))
    with pytest.raises(ValueError, match="got nan to nan"):
        load_photo(encoded(np.array([[0, np.nan]], np.float32), "TIFF"))


def test_link_to_nowhere_and_a_folder_are_no_files(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "missing.jpg")
    for path in (tmp_path / "link.jpg", tmp_path):
        with pytest.raises(FileNotFoundError, match="expected a picture file, found none at"):
            load_photo(path)


# Boxes


def test_boxes_are_read_by_name_and_lie_within_the_photo():
    assert photo_boxes("coffee") == {"espresso": (172, 17, 407, 307)}
    assert list(photo_boxes("camera")) == ["tripod", "reflex camera"]
    assert photo_boxes("coins") == {}
    for name in photo_names():
        height, width = load_photo(name).shape[1:]
        for x0, y0, x1, y1 in photo_boxes(name).values():
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
    with pytest.raises(ValueError, match=r"expected one of .* got 'dog'"):
        photo_boxes("dog")


# Fitting


def network_input(size, resized_side, interpolation="bilinear", **others):
    """What `fit_photo` asks of a network."""
    return SimpleNamespace(
        input_size=size, resized_side=resized_side, interpolation=interpolation, **others
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "size",
    [
        (300, 451),
        (451, 300),
        (333, 333),
        (256, 256),
        (225, 1023),
        (97, 131),
        (10, 13),
        # sides that 224 / side * side misses by a rounding error
        (55, 55),
        (110, 55),
        (166, 83),
    ],
)
@pytest.mark.parametrize(("side", "resized"), [(224, 256), (224, 224)])
def test_fit_is_torchvision_s_resize_and_center_crop(size, interpolation, side, resized, generator):
    photo = torch.rand(3, *size, generator=generator)
    image, view = fit_photo(photo, network_input((side, side), resized, interpolation))
    expected = TF.resize(photo, [resized], InterpolationMode(interpolation), antialias=True)
    assert view.resized_size == tuple(expected.shape[1:])
    assert view.photo_size == size
    expected = TF.center_crop(expected, [side, side]).clamp(0, 1)
    assert image.shape == expected.shape
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-6)


def test_gray_network_gets_the_mean_of_the_channels(generator):
    photo = torch.rand(3, 40, 60, generator=generator)
    image, view = fit_photo(photo, network_input((20, 24), 30, input_channels=1))
    color, same = fit_photo(photo, network_input((20, 24), 30))
    assert view == same
    torch.testing.assert_close(image, (color[:1] + color[1:2] + color[2:]) / 3)


@pytest.mark.parametrize(
    ("photo_size", "box"),
    [
        # the shorter side is halved to 200 pixels, of which the middle 100 are 200 of the photo
        ((400, 800), (300, 100, 500, 300)),
        ((800, 400), (100, 300, 300, 500)),
        ((400, 400), (100, 100, 300, 300)),
    ],
)
def test_box_of_the_crop_is_in_pixels_of_the_photo(photo_size, box):
    _, view = fit_photo(torch.rand(3, *photo_size), network_input((100, 100), 200))
    assert view.box == pytest.approx(box)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 30), (50, 25), (90, 160)])
def test_squash_is_torchvision_s_resize_to_both_sides(size, interpolation, generator):
    photo = torch.rand(3, 60, 80, generator=generator)
    squashed = squash_photo(photo, size, interpolation=interpolation)
    expected = TF.resize(photo, list(size), InterpolationMode(interpolation), antialias=True)
    torch.testing.assert_close(squashed, expected.clamp(0, 1), rtol=0, atol=1e-6)


def test_squashed_photo_keeps_all_of_it_and_stays_in_range():
    photo = torch.zeros(3, 40, 80)
    photo[:, :, 40:] = 1
    squashed = squash_photo(photo, (20, 20))
    assert squashed[:, :, :9].max() < 0.1
    assert squashed[:, :, 11:].min() > 0.9
    # beside an edge bicubic values overshoot
    for size in ((20, 20), (80, 320)):
        squashed = squash_photo(photo, size)
        assert (squashed.min(), squashed.max()) == (0, 1)


def test_squashing_averages_what_becomes_too_fine():
    stripes = (torch.arange(240) % 2).float().expand(3, 240, 240)
    assert (squash_photo(stripes, (20, 20)) - 0.5).abs().max() < 0.05


def test_crop_cuts_rows_then_columns():
    resized = torch.arange(7 * 9).reshape(1, 7, 9)
    view = View(photo_size=(7, 9), resized_size=(7, 9), top=2, left=5, size=(3, 4))
    assert crop(resized, view).tolist() == [
        [[row * 9 + column for column in range(5, 9)] for row in range(2, 5)]
    ]


def blob(size, place, width):
    """A bright spot at (row, column) on black."""
    rows = torch.arange(size[0])[:, None] - place[0]
    columns = torch.arange(size[1])[None, :] - place[1]
    return torch.exp(-(rows**2 + columns**2) / (2 * width**2))


@pytest.mark.parametrize(
    ("size", "place"),
    [
        ((300, 451), (150, 225)),
        ((300, 451), (70, 160)),
        ((300, 451), (240, 290)),
        ((451, 300), (200, 60)),
        ((80, 100), (55, 30)),
        ((600, 601), (100, 480)),
    ],
)
def test_blob_comes_back_to_its_place(size, place):
    photo = blob(size, place, 0.03 * min(size)).expand(3, -1, -1)
    image, view = fit_photo(photo, network_input((224, 224), 256))
    laid = lay_back(image.mean(0), view)
    assert laid.shape == size
    total = laid.sum()
    row = (laid.sum(1) * torch.arange(size[0])).sum() / total
    column = (laid.sum(0) * torch.arange(size[1])).sum() / total
    assert (row.item(), column.item()) == pytest.approx(place, abs=0.5)
    highest = divmod(laid.argmax().item(), size[1])
    assert highest == pytest.approx(place, abs=1)


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (61, 93)])
def test_constant_map_fills_its_box_and_no_more(size):
    _, view = fit_photo(torch.rand(3, *size), network_input((90, 70), 100))
    laid = lay_back(torch.full((90, 70), 2.5), view)
    x0, y0, x1, y1 = view.box
    expected = torch.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            # a pixel belongs to the box that its center lies in
            if x0 < column + 0.5 < x1 and y0 < row + 0.5 < y1:
                expected[row, column] = 2.5
    assert expected.unique().tolist() == [0, 2.5]
    torch.testing.assert_close(laid, expected, rtol=0, atol=1e-5)


def test_smooth_photo_comes_back_the_same():
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 310), torch.linspace(0, 1, 402), indexing="ij"
    )
    photo = torch.stack([rows, columns, (3 * rows + 5 * columns).sin() / 2 + 0.5])
    image, view = fit_photo(photo, network_input((224, 224), 256))
    laid = lay_back(image, view)
    shown = lay_back(torch.ones(3, 224, 224), view) > 0
    x0, y0, x1, y1 = view.box
    assert shown.sum() / 3 == pytest.approx((x1 - x0) * (y1 - y0), rel=0.02)
    torch.testing.assert_close(laid[shown], photo[shown], rtol=0, atol=0.01)


def test_maps_of_any_batch_are_laid_back_one_by_one(generator):
    _, view = fit_photo(torch.rand(3, 40, 60), network_input((20, 24), 30))
    values = torch.randn(2, 3, 20, 24, generator=generator, dtype=torch.float64)
    laid = lay_back(values, view)
    assert laid.shape == (2, 3, 40, 60)
    assert laid.dtype == torch.float64
    for first in range(2):
        for second in range(3):
            assert laid[first, second].equal(lay_back(values[first, second], view))


@pytest.mark.parametrize("shape", [(24, 20), (3, 20, 23), (20,), (1, 20, 24, 1)])
def test_map_of_another_size_is_refused(shape):
    _, view = fit_photo(torch.rand(3, 40, 60), network_input((20, 24), 30))
    with pytest.raises(ValueError, match=r"expected values of shape \(\.\.\., 20, 24\), got"):
        lay_back(torch.zeros(shape), view)


@pytest.mark.parametrize(
    ("photo", "got"),
    [
        (torch.zeros(1, 3, 40, 60), r"got \(1, 3, 40, 60\)"),
        (torch.zeros(40, 60, 3), r"got \(40, 60, 3\)"),
        (torch.zeros(40, 60), r"got \(40, 60\)"),
        (torch.zeros(3, 0, 60), r"got \(3, 0, 60\)"),
        (torch.full((3, 40, 60), 255.0), "got values from 255 to 255"),
        (torch.full((3, 40, 60), -0.1), "got values from -0.1"),
        (torch.full((3, 40, 60), torch.nan), "got values from nan"),
        (torch.zeros(3, 40, 60, dtype=torch.uint8), "got torch.uint8"),
    ],
)
def test_what_is_no_photo_is_refused(photo, got):
    for call in (
        lambda: fit_photo(photo, network_input((20, 24), 30)),
        lambda: squash_photo(photo, (20, 24)),
    ):
        with pytest.raises(ValueError, match=rf"expected a photo .*{got}"):
            call()


@pytest.mark.parametrize("shape", [(3, 1, 2_000), (3, 2_000, 1)])
def test_photo_too_long_for_memory_is_refused(shape):
    with pytest.raises(ValueError, match="expected a less elongated photo"):
        resize_photo(torch.zeros(shape), 256)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((3, 5, 5), np.float32), "as a tensor .* got ndarray"),
        (torch.zeros(3, 5, 5, dtype=torch.complex64), "got torch.complex64"),
    ],
)
def test_what_is_no_tensor_of_floats_is_refused(photo, message):
    with pytest.raises(ValueError, match=message):
        resize_photo(photo, 4)


def test_a_side_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match="a shorter side of at least 1, got 0"):
        resize_photo(torch.zeros(3, 5, 5), 0)


# What comes from anywhere

HALF = (torch.float16, torch.bfloat16)
NOTHING = (None, 3, "cat", [[0.0]], np.zeros((3, 9, 9)), torch.zeros(3, 9, 9, device="meta"))


def ramp(*size):
    """A photo whose values no two pixels in a row share."""
    return torch.linspace(0, 1, size[0] * size[1]).reshape(size).expand(3, *size)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(
    "call",
    [
        lambda photo: resize_photo(photo, 20),
        lambda photo: squash_photo(photo, (20, 30)),
        lambda photo: fit_photo(photo, network_input((20, 24), 30))[0],
        lambda photo: squashed(network_input((20, 24), 30), [photo], (20, 24)),
        lambda photo: lay_back(photo, View((401, 640), (60, 90), 2, 3, (50, 80))),
    ],
    ids=["resize", "squash", "fit", "squashed", "lay back"],
)
def test_half_precision_is_resized_and_laid_in_float32(call, dtype):
    given = ramp(50, 80).to(dtype)
    result = call(given)
    assert result.dtype == torch.float32
    assert result.equal(call(given.float()))
    assert 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize("shape", [(0, 5, 5), (5, 0), (5,), (), (5, 6)])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_only_maps_of_the_view_are_laid_back(shape, batch):
    view = View((9, 9), (9, 9), 2, 2, (5, 5))
    with pytest.raises(ValueError, match=r"expected values of shape \(\.\.\., 5, 5\), got"):
        lay_back(torch.ones((*batch, *shape)), view)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (torch.ones(5, 5, dtype=torch.bool), "tensor of floats, got .* torch.bool"),
        (torch.ones(5, 5, dtype=torch.uint8), "tensor of floats, got .* torch.uint8"),
        (torch.ones(5, 5, dtype=torch.complex64), "tensor of floats, got .* torch.complex64"),
        (torch.full((5, 5), torch.nan), "finite values, got 25 that are NaN or infinite"),
        (torch.full((5, 5), -torch.inf), "finite values, got 25 that are NaN or infinite"),
        *((nothing, "expected values as a tensor of floats, got") for nothing in NOTHING),
    ],
)
def test_what_is_no_map_is_not_laid_back(values, got):
    with pytest.raises(ValueError, match=got):
        lay_back(values, View((9, 9), (9, 9), 2, 2, (5, 5)))


@pytest.mark.parametrize("size", [1e-37, 1e30, 3e38])
def test_maps_of_any_magnitude_are_laid_back(size):
    view = View((9, 9), (9, 9), 2, 2, (5, 5))
    assert lay_back(torch.full((5, 5), size), view)[2:7, 2:7].equal(torch.full((5, 5), size))


@pytest.mark.parametrize(
    ("place", "got"),
    [
        (((9, 9), (9, 9), 0, 0, (0, 5)), r"a size \(height, width\) of a part, got \(0, 5\)"),
        (((9, 0), (9, 9), 0, 0, (5, 5)), r"of a photo, got \(9, 0\)"),
        (((9, 9), (9,), 0, 0, (5, 5)), r"of a resized photo, got \(9,\)"),
        (((9, 9), (9, 9), 5, 0, (5, 5)), "within the resized photo of 9 x 9, got 5 x 5 at 5, 0"),
        (((9, 9), (9, 9), 0, -1, (5, 5)), "within the resized photo of 9 x 9, got 5 x 5 at 0, -1"),
        (((9, 9), (9, 9), 0, 0, (10, 5)), "within the resized photo of 9 x 9, got 10 x 5 at 0, 0"),
        (((9, 9), (9, 9), 0.5, 0, (5, 5)), "within the resized photo"),
        (((9, 9), None, 0, 0, (5, 5)), "of a resized photo, got None"),
    ],
)
def test_a_view_lies_within_the_resized_photo(place, got):
    with pytest.raises(ValueError, match=got):
        View(*place)


def test_an_input_larger_than_the_resized_photo_is_refused():
    with pytest.raises(ValueError, match="resized photo of 30 x 45, got 20 x 46 at 5, 0"):
        fit_photo(torch.zeros(3, 40, 60), network_input((20, 46), 30))
    assert fit_photo(torch.zeros(3, 40, 60), network_input((20, 45), 30))[0].shape == (3, 20, 45)


def test_a_crop_is_cut_from_a_photo_of_the_views_size():
    with pytest.raises(ValueError, match=r"resized photo of \(7, 9\), got \(1, 9, 9\)"):
        crop(torch.zeros(1, 9, 9), View((7, 9), (7, 9), 2, 5, (3, 4)))


@pytest.mark.parametrize("number", [np.int64(30), np.uint8(30), torch.tensor(30)])
def test_sides_may_be_numbers_of_numpy(number):
    photo = ramp(40, 60)
    assert resize_photo(photo, number).equal(resize_photo(photo, 30))
    assert squash_photo(photo, (number, number)).equal(squash_photo(photo, (30, 30)))
    view = View((40, 60), (40, 60), number, number, (number - 20, number))
    assert lay_back(torch.ones(10, 30), view).sum() == 300


@pytest.mark.parametrize(
    ("call", "got"),
    [
        (lambda photo: resize_photo(photo, 10**9), "less elongated photo or a shorter side"),
        (lambda photo: resize_photo(photo, -3), "a shorter side of at least 1, got -3"),
        (lambda photo: resize_photo(photo, True), "a shorter side of at least 1, got True"),
        (lambda photo: resize_photo(photo, 2.5), "a shorter side of at least 1, got 2.5"),
        (lambda photo: resize_photo(photo, None), "a shorter side of at least 1, got None"),
        (lambda photo: resize_photo(photo, 9, interpolation="nearest"), "bilinear or bicubic"),
        (lambda photo: squash_photo(photo, (9, 9), interpolation=None), "bilinear or bicubic"),
        (lambda photo: squash_photo(photo, (10**5, 10**5)), "at most 50,000,000 pixels, got 1000"),
        (
            lambda photo: squash_photo(photo, (0, 9)),
            r"\(height, width\) to resize to, got \(0, 9\)",
        ),
        (lambda photo: squash_photo(photo, 9), "to resize to, got 9"),
        (lambda photo: squash_photo(photo, (9, 9, 9)), "to resize to, got"),
        (lambda photo: squash_photo(photo, None), "to resize to, got None"),
        (lambda photo: squashed(network_input((9, 9), 9), [], (9, 9)), "at least one photo"),
        (lambda photo: squashed(network_input((9, 9), 9), None, (9, 9)), "at least one photo"),
        (lambda photo: squashed(None, [photo], (9, 9)), "a network of .*got NoneType without"),
        (lambda photo: fit_photo(photo, torch.nn.ReLU()), "a network of .*got ReLU without"),
        (lambda photo: lay_back(photo, None), "the view that fit_photo returns, got None"),
        (
            lambda photo: lay_back(photo, View((10**4, 10**4), (9, 9), 0, 0, (9, 9))),
            "a photo of at most 50,000,000 pixels",
        ),
    ],
)
def test_sizes_and_networks_are_checked_before_any_work(call, got):
    with pytest.raises(ValueError, match=f"expected .*{got}"):
        call(ramp(9, 9))


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize(
    "call",
    [
        lambda photo: resize_photo(photo, 9),
        lambda photo: squash_photo(photo, (9, 9)),
        lambda photo: fit_photo(photo, network_input((9, 9), 9)),
        lambda photo: squashed(network_input((9, 9), 9), [photo], (9, 9)),
        check_photo,
    ],
)
def test_what_holds_no_photo_is_refused(nothing, call):
    with pytest.raises(ValueError, match="expected a photo"):
        call(nothing)


@pytest.mark.parametrize(
    "box",
    [
        None,
        5,
        "abcd",
        (1, 2, 3),
        (1, 2, 3, 4, 5),
        (0, 0, torch.nan, 1),
        (0, 0, torch.inf, 1),
        (0, 0, 1e300, 1),
        (0, 0, True, 1),
        (2, 0, 2, 1),
        (0, 3, 2, 1),
        torch.zeros(4, device="meta"),
    ],
)
def test_what_is_no_box_is_refused(box):
    with pytest.raises(ValueError, match="expected a box"):
        checked_box(box)


@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.tensor])
def test_a_box_may_be_any_sequence_of_numbers(kind):
    assert checked_box(kind([1, 2, 3, 4])) == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize("name", [None, 3, ["cat"], {}])
def test_a_name_is_a_text(name):
    for call in (photo_credit, photo_boxes):
        with pytest.raises(ValueError, match="expected one of astronaut"):
            call(name)


def test_threads_that_load_photos_leave_the_filters_of_warnings():
    # two of Pillow's warnings: of a large picture, and of EXIF that is cut short
    large = png_of_size(10_000, 10_000)
    cut = encoded(colors(), "TIFF")[:-40]
    before, kept = warnings.filters, list(warnings.filters)

    def load(number):
        for _ in range(10):
            for content in (encoded(colors(), "PNG"), large, cut):
                with suppress(ValueError):
                    load_photo(content)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(load, range(8)))
    assert warnings.filters is before
    assert warnings.filters == kept


@pytest.mark.parametrize(
    "process",
    [
        torch.inference_mode,
        lambda: default_of(torch.set_default_dtype, torch.float64, torch.float32),
        lambda: default_of(torch.set_default_device, "meta", None),
    ],
    ids=["inference mode", "float64", "meta"],
)
@pytest.mark.parametrize("source", ["cat", encoded(colors(), "PNG"), colors()])
def test_photos_are_the_same_whatever_the_process_is_set_to(source, process):
    expected = load_photo(source)
    with process():
        photo = load_photo(source)
    assert photo.equal(expected)
    assert (photo.dtype, photo.device.type) == (torch.float32, "cpu")
    # its gradient may be asked for
    (photo.clone() * photo.requires_grad_()).sum().backward()


@contextmanager
def default_of(setter, value, usual):
    setter(value)
    try:
        yield
    finally:
        setter(usual)
