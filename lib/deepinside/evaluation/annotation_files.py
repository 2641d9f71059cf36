"""Reading files of boxes record by record: CSV, COCO and Pascal VOC, as they come in practice.

Each record is checked as it is read. One that cannot be trusted rules out its photo, as the
photo's objects are then not known; the other photos count.
"""

import json
import math
import os
import re
import reprlib
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from PIL import Image

from deepinside.evaluation.csv_tables import read_table, text_lines
from deepinside.images import Box

# no name of a file that could be opened everywhere: controls, what stands for bytes that are
# no text, and half characters
NO_NAME = re.compile("[\0-\x1f\x7f\ufffd\ud800-\udfff]")
# characters that a name or a label may have; no system has longer paths
_LONGEST = 4096


@dataclass
class Record:
    """What is known of a photo until the whole file is read."""

    file: str
    size: tuple[int, int] | None = None
    objects: list[tuple[str, Box]] = field(default_factory=list)
    has_crowds: bool = False
    problem: str = ""

    def fail(self, problem: str) -> None:
        """Note a problem; the first is told, in one line."""
        self.problem = self.problem or one_line(problem)

    def add(self, label: object, corners: Sequence[float]) -> None:
        """Add a labeled box, or raise a ValueError if it is none."""
        words = "" if label is None else one_line(label)
        if not words:
            raise ValueError("expected a label, got none")
        if len(words) > _LONGEST:
            raise ValueError(f"expected a label, got {reprlib.repr(words)}")
        x0, y0, x1, y1 = corners
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"expected x0 < x1 and y0 < y1, got a box {(x0, y0, x1, y1)}")
        self.objects.append((words, (x0, y0, x1, y1)))


# photos, and what belongs to none, by file
_Records = dict[str, Record]


def _record_for(records: _Records, written: object, where: str, root: Path) -> Record:
    """Return the record of the photo that is written so, new if there is none.

    If it cannot be one, that is the record's problem. `where` is the place in the annotations.
    """
    name = written.strip() if isinstance(written, str) else ""
    if name in records:
        return records[name]
    if not name or len(name) > _LONGEST or NO_NAME.search(name):
        record = records.setdefault(where, Record(where))
        record.fail(f"{where}: expected the name of a photo, got {reprlib.repr(written)}")
        return record
    try:
        if "\\" in name and not (root / name).is_file():
            name = name.replace("\\", "/")
        file = PurePath(os.path.normpath(root / name)).relative_to(root).as_posix()
    except (OSError, ValueError):
        record = records.setdefault(name, Record(name))
        record.fail(f"{where}: expected a photo below {root}, got {name}")
        return record
    return records.setdefault(file, Record(file))


def _numbers(values: object) -> list[float]:
    """Return four finite numbers, which may be written as text, or raise a ValueError."""
    try:
        if not isinstance(values, list) or len(values) != 4:
            raise ValueError("not four")
        numbers = [_number(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected four numbers, got {reprlib.repr(values)}") from error
    return numbers


def _number(value: Any) -> float:  # noqa: ANN401
    number = float(value)
    # float() takes True and 1_000 as well
    if not math.isfinite(number) or isinstance(value, bool) or "_" in str(value):
        raise ValueError(f"expected a finite number, got {value}")
    return number


def _stated_size(height: Any, width: Any) -> tuple[int, int] | None:  # noqa: ANN401
    """Return a size that annotations state, None if they state none, by 0 for instance."""
    if not (str(height or "").strip() and str(width or "").strip()):
        return None
    try:
        size = int(_number(height)), int(_number(width))
        is_size = size == (float(height), float(width)) and min(size) >= 0
    except (TypeError, ValueError, OverflowError):
        is_size = False
    if not is_size:
        got = reprlib.repr((width, height))
        raise ValueError(f"expected a width and a height in whole pixels, got {got}")
    return size if all(size) else None


def csv_records(path: Path, root: Path) -> Iterable[Record]:
    """Return the photos of a CSV file, a row a box."""
    records: _Records = {}
    sides = ("x0", "y0", "x1", "y1")
    for line, values, problem in read_table(path, ["file", "label"], sides, ["width", "height"]):
        where = f"{path.name}, line {line}"
        record = _record_for(records, values["file"], where, root)
        try:
            if problem:
                raise ValueError(problem)
            size = _stated_size(values["height"], values["width"])
            if size and record.size and record.size != size:
                sizes = f"{size_words(record.size)} and {size_words(size)}"
                raise ValueError(f"expected one size of the photo, got {sizes}")
            record.size = record.size or size
            corners = [values[side] for side in sides]
            if any(corners):
                record.add(values["label"], _numbers(corners))
        except ValueError as error:
            record.fail(f"{where}: {error}")
    return records.values()


def coco_records(path: Path, root: Path) -> Iterable[Record]:
    """Return the images of a COCO file, and what its annotations say of images it lacks."""
    try:
        content = json.loads("".join(text_lines(path)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected COCO annotations in {path}, but: {error}") from error
    for name in ("images", "categories", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(f"expected COCO annotations in {path}, but it has no list {name!r}")
    records: _Records = {}
    images: defaultdict[str, list[Record]] = defaultdict(list)
    for where, of, image in _coco_entries(path, "image", content["images"]):
        before = len(records)
        record = _record_for(records, image.get("file_name"), where, root)
        if len(records) == before:
            record.fail(f"{where}: expected one image of this file_name, got two")
        if not of:
            record.fail(f"{where}: expected an id, got none")
        try:
            record.size = _stated_size(image.get("height"), image.get("width"))
        except ValueError as error:
            record.fail(f"{where}: {error}")
        if of:
            images[of].append(record)
    for of, same in images.items():
        if len(same) > 1:
            for record in same:
                record.fail(f"{path.name}, image {of}: expected one of this id, got {len(same)}")
    labels: defaultdict[str, set[str | None]] = defaultdict(set)
    for _, of, category in _coco_entries(path, "category", content["categories"]):
        if of:
            label = category.get("name")
            labels[of].add(None if label is None else str(label))
    for where, _, annotation in _coco_entries(path, "annotation", content["annotations"]):
        of = _coco_id(annotation.get("image_id"))
        if of not in images:
            place = f"{path.name}, image {of}" if of else where
            record = records.setdefault(place, Record(place))
            record.fail(f"{where}: expected the image_id of an image, got {of or 'none'}")
            if of:
                images[of].append(record)
        elif len(images[of]) == 1:
            try:
                _add_coco(images[of][0], annotation, labels)
            except ValueError as error:
                images[of][0].fail(f"{where}: {error}")
    return records.values()


def _coco_entries(
    path: Path, kind: str, entries: list[Any]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield where each entry stands, its id, and the entry; one that is none has neither."""
    for number, each in enumerate(entries, 1):
        entry = each if isinstance(each, dict) else {}
        of = _coco_id(entry.get("id"))
        yield f"{path.name}, {kind} {of or f'number {number}'}", of, entry


def _coco_id(written: Any) -> str:  # noqa: ANN401
    """Return an id, a number or text, such that 7, 7.0 and "7" are one; "" if there is none."""
    if isinstance(written, float) and written.is_integer():
        written = int(written)
    return "" if written is None else " ".join(str(written).split())


def _add_coco(
    record: Record, annotation: dict[str, Any], labels: defaultdict[str, set[str | None]]
) -> None:
    if str(annotation.get("iscrowd")).lower() in ("1", "1.0", "true"):
        record.has_crowds = True
        return
    x, y, width, height = _numbers(annotation.get("bbox"))
    of = _coco_id(annotation.get("category_id"))
    if len(labels[of]) != 1:
        raise ValueError(f"expected one category of id {of or 'none'}, got {len(labels[of])}")
    (label,) = labels[of]
    record.add(label, (x, y, x + width, y + height))


def voc_records(path: Path, root: Path) -> Iterable[Record]:
    """Return the photos of a folder of Pascal VOC files, each found by its XML file's name."""
    xmls = [file for file in _files_below(path) if file.suffix.lower() == ".xml"]
    if not xmls:
        raise ValueError(f"expected XML files in {path}, found none")
    base = Path(os.path.normpath(path.absolute()))
    shift = base.relative_to(root).as_posix() if base.is_relative_to(root) else "."
    pictures = _pictures(root)
    records: _Records = {}
    # how sure it is that an XML file means a photo (0 is best), by photo
    claims: defaultdict[str, list[tuple[int, str, Record]]] = defaultdict(list)
    for xml in xmls:
        record, named = _read_voc(path / xml, str(xml))
        rank, found = _meant(xml, named, shift, pictures)
        if len(found) > 1:
            record.fail(f"{xml}: ambiguous: {', '.join(found[:5])}")
            records[record.file] = record
        else:
            # if there is none, reading it will say so; ImageNet's files give no ending
            ending = named.suffix if named.suffix.lower() in _endings() else ".JPEG"
            missing = xml.with_suffix(ending if named.name else "")
            claims[found[0] if found else str(missing)].append((rank, str(xml), record))
    for file, claimants in claims.items():
        best = min(rank for rank, _, _ in claimants)
        holders = [xml for rank, xml, _ in claimants if rank == best]
        for rank, where, record in claimants:
            if rank > best:
                got = f"{file}, which {holders[0]} describes"
                record.fail(f"{where}: expected a photo of its own, got {got}")
            else:
                record.file = file
                if len(holders) > 1:
                    got = f"{len(holders)}: {', '.join(holders[:5])}"
                    record.fail(f"expected one XML file of this photo, got {got}")
            records[record.file] = record
    return records.values()


def _read_voc(path: Path, where: str) -> tuple[Record, PurePosixPath]:
    """Return what an XML file holds, and how it names the photo; expat stops entity bombs."""
    record = Record(where)
    try:
        if not path.is_file():  # a pipe, say, which never ends
            raise ValueError("expected a file")
        root = ElementTree.parse(path).getroot()
        if root.tag != "annotation":
            raise ValueError(f"expected an <annotation>, got <{root.tag}>")
        record.size = _stated_size(root.findtext("size/height"), root.findtext("size/width"))
    except (ElementTree.ParseError, LookupError, OSError, ValueError) as error:
        record.fail(f"{where}: {error}")
        return record, PurePosixPath()
    for number, element in enumerate(root.iter("object"), 1):
        sides = ("xmin", "ymin", "xmax", "ymax")
        try:
            x0, y0, x1, y1 = _numbers([element.findtext(f"bndbox/{side}") for side in sides])
            # Pascal VOC counts pixels from 1 and includes the last one
            record.add(element.findtext("name"), (x0 - 1, y0 - 1, x1, y1))
        except ValueError as error:
            record.fail(f"{where}, object {number}: {error}")
    named = root.findtext("filename", "").strip().replace("\\", "/")
    return record, PurePosixPath(named)


# files by folder and name, with and without ending; the folder None is any
_Pictures = defaultdict[tuple[str | None, str], list[str]]


def _pictures(root: Path) -> _Pictures:
    """Return the pictures below a folder, read once, by all that annotations may say of them."""
    pictures: _Pictures = defaultdict(list)
    for file in _files_below(root):
        if file.suffix.lower() in _endings():
            for place in (file.parent.as_posix(), None):
                pictures[place, file.stem].append(str(file))
                pictures[place, file.name].append(str(file))
    return pictures


@cache
def _endings() -> frozenset[str]:
    return frozenset(Image.registered_extensions())


def _files_below(folder: Path) -> Iterator[PurePosixPath]:
    """Yield the files below a folder, relative to it and in order."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        below = PurePosixPath(Path(place).relative_to(folder).as_posix())
        yield from (below / name for name in sorted(names))


def _meant(
    xml: PurePosixPath, named: PurePosixPath, shift: str, pictures: _Pictures
) -> tuple[int, list[str]]:
    """Return the pictures that an XML file may mean, and by which of the ways they were found.

    The first way that finds any decides; of several the one of the name that the file gives.
    """
    place, stem = xml.parent.as_posix(), xml.stem
    keys = (
        ((PurePosixPath(shift) / xml.parent).as_posix(), stem),  # beside the XML file
        (place, stem),  # at the same place of a tree of its own
        (None, stem),
        (None, named.name),
        (None, named.stem),
    )
    for rank, key in enumerate(keys):
        if found := pictures.get(key, []):
            for end in (named, named.name):
                exact = [file for file in found if f"/{file}".endswith(f"/{end}")]
                if len(exact) == 1:
                    return rank, exact
            return rank, found
    return len(keys), []


def one_line(words: object) -> str:
    """Return text with single spaces in place of line ends and the like."""
    return " ".join(str(words).split())


def size_words(size: tuple[int, int]) -> str:
    """Return a size (height, width) as one reads it."""
    return f"{size[1]} x {size[0]} pixels"
