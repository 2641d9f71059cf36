"""What is in the photos: labels and boxes, from Pascal VOC, COCO or CSV files."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from timm.data.imagenet_info import ImageNetInfo

from deepinside.class_score import class_index
from deepinside.images import Box


class Truth(NamedTuple):
    """A photo's label and the boxes of its objects, in pixels of the photo."""

    file: str
    label: str
    boxes: list[Box]


def read_truths(path: Path) -> Iterator[Truth]:
    """Yield label and boxes of each photo, from VOC XML files, COCO JSON or CSV.

    Of several labels in one photo the one with the largest box is taken, with all boxes
    of that label. Crowds of COCO, whose boxes bound no single object, are left out.

    Raises
    ------
    ValueError
        If the file is none of these, or lacks something.
    """
    if path.is_dir():
        yield from map(_read_voc, sorted(path.rglob("*.xml")))
    elif path.suffix.lower() == ".json":
        yield from _grouped(_coco_rows(path))
    elif path.suffix.lower() == ".csv":
        yield from _grouped(_csv_rows(path))
    else:
        raise ValueError(f"expected a folder of XML files, a .json or a .csv file, got {path}")


def read_classes(path: Path, class_names: Sequence[str]) -> dict[str, list[int]]:
    """Return the class indices of each label of a CSV file with columns label, class_index."""
    classes: dict[str, list[int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            index = class_index(int(row["class_index"]), class_names)
            classes.setdefault(row["label"], []).append(index)
    return classes


def label_classes(
    label: str, class_names: Sequence[str], listed: Mapping[str, list[int]]
) -> list[int]:
    """Return the classes that a label stands for: listed, a name, an index or a WordNet id."""
    if label in listed:
        return listed[label]
    if len(class_names) == 1000 and label in _wordnet_ids():
        return [_wordnet_ids().index(label)]
    return [class_index(int(label) if label.isdecimal() else label, class_names)]


@cache
def _wordnet_ids() -> list[str]:
    return ImageNetInfo("imagenet1k").label_names()


def _read_voc(path: Path) -> Truth:
    try:
        root = ElementTree.parse(path).getroot()
        rows = []
        for element in root.iter("object"):
            sides = ("xmin", "ymin", "xmax", "ymax")
            x0, y0, x1, y1 = (float(element.findtext(f"bndbox/{side}", "")) for side in sides)
            # Pascal VOC counts pixels from 1 and includes the last one
            rows.append((element.findtext("name", ""), (x0 - 1, y0 - 1, x1, y1)))
        name = root.findtext("filename") or path.stem
    except (ElementTree.ParseError, ValueError):
        # reported with the photo, as a photo that cannot be read is
        return Truth(path.stem, f"unreadable boxes in {path.name}", [])
    if not Path(name).suffix:  # ImageNet's files name the photo without its ending
        name += ".JPEG"
    return _largest(name, rows)


def _coco_rows(path: Path) -> Iterator[tuple[str, str, Box]]:
    try:
        content = json.loads(path.read_text("utf-8"))
        files = {image["id"]: image["file_name"] for image in content["images"]}
        labels = {category["id"]: category["name"] for category in content["categories"]}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                x, y, width, height = annotation["bbox"]
                file, label = files[annotation["image_id"]], labels[annotation["category_id"]]
                yield file, label, (x, y, x + width, y + height)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected COCO annotations in {path}, but: {error!r}") from error


def _csv_rows(path: Path) -> Iterator[tuple[str, str, Box]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        needed = ("file", "label", "x0", "y0", "x1", "y1")
        if not set(needed) <= set(reader.fieldnames or ()):
            raise ValueError(f"expected columns {', '.join(needed)} in {path}")
        for row in reader:
            try:
                x0, y0, x1, y1 = (float(row[side]) for side in needed[2:])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"expected four numbers in {path}, line {reader.line_num}"
                ) from error
            yield row["file"], row["label"], (x0, y0, x1, y1)


def _grouped(rows: Iterable[tuple[str, str, Box]]) -> Iterator[Truth]:
    photos: dict[str, list[tuple[str, Box]]] = {}
    for file, label, box in rows:
        photos.setdefault(file, []).append((label, box))
    for file, found in photos.items():
        yield _largest(file, found)


def _largest(file: str, rows: Iterable[tuple[str, Box]]) -> Truth:
    """Return the truth of the label with the largest box; boxes without area are none."""
    areas = {
        (label, box): (box[2] - box[0]) * (box[3] - box[1])
        for label, box in rows
        if box[2] > box[0] and box[3] > box[1]
    }
    if not areas:
        return Truth(file, "", [])
    largest, _ = max(areas, key=areas.__getitem__)
    return Truth(file, largest, [box for label, box in areas if label == largest])
