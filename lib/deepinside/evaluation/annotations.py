"""What is in the photos: labels and boxes, from Pascal VOC, COCO or CSV files.

Each record is checked as it is read. A photo with a record that cannot be trusted gets a problem
in place of boxes; only a file that is of another kind raises an error.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from timm.data.imagenet_info import ImageNetInfo

from deepinside.class_score import class_index
from deepinside.evaluation.annotation_files import (
    NO_NAME,
    Record,
    coco_records,
    csv_records,
    one_line,
    size_words,
    voc_records,
)
from deepinside.evaluation.csv_tables import read_table
from deepinside.images import Box

# a label, and the indices of the classes that it stands for
Classes = dict[str, list[int]]
# how the camera turned a picture whose sides it exchanged: whether x and y run backward
# in the picture as it is seen, after they have changed places (EXIF's orientation)
_TURNED = {5: (False, False), 6: (True, False), 7: (True, True), 8: (False, True)}


class Truth(NamedTuple):
    """A photo's label and the boxes of its objects.

    Attributes
    ----------
    file : str
        The photo, below the folder of photos, with slashes.
    label, boxes : str, list of Box
        Of its objects; the boxes are half-open, in pixels of a picture of `size`.
    size : tuple of int, or None
        The (height, width) that the annotations state, if they do.
    problem : str
        Why the photo cannot be measured, in one line; it then has no boxes.
    """

    file: str
    label: str
    boxes: list[Box]
    size: tuple[int, int] | None = None
    problem: str = ""


def read_truths(path: Path, folder: Path) -> list[Truth]:
    """Return the label and the boxes of each photo, from VOC XML files, COCO JSON or CSV.

    If a photo has several labels, that of its largest box is taken, with all boxes of that
    label. COCO's crowds, whose boxes bound no single object, are left out.

    Parameters
    ----------
    path : Path
        A folder of Pascal VOC XML files, a COCO .json, or a .csv with the columns file, label,
        x0, y0, x1, y1 and, optionally, width and height of the picture that the box refers to.
    folder : Path
        The photos. An XML file belongs to the picture of its own name beside it, else at the
        same place in `folder`, else anywhere there; else to the picture that it names.

    Returns
    -------
    list of Truth
        One for each photo, in the order of the files. A record that belongs to no photo is
        included, with a problem, under a name that says where the record is.

    Raises
    ------
    ValueError
        If the path is none of these, or lacks a column, a list or any XML file.
    """
    root = Path(os.path.normpath(folder.absolute()))
    if path.is_dir():
        records = voc_records(path, root)
    elif path.suffix.lower() == ".json":
        records = coco_records(path, root)
    elif path.suffix.lower() == ".csv":
        records = csv_records(path, root)
    else:
        raise ValueError(f"expected a folder of XML files, a .json or a .csv file, got {path}")
    return [_truth(record) for record in records]


def boxes_in_photo(truth: Truth, photo_size: tuple[int, int], orientation: int) -> list[Box]:
    """Return a truth's boxes in pixels of the photo as `load_photo` shows it.

    The size that the annotations state tells which picture the boxes were drawn in: the photo
    as it is seen, the picture as the camera stored it, or either of these at another scale.
    Without a stated size, it is the photo as it is seen.

    Parameters
    ----------
    truth : Truth
        A photo without a problem.
    photo_size : tuple of int
        (height, width) as `load_photo` shows the photo.
    orientation : int
        How the camera turned it, EXIF's 1 to 8 (`deepinside.images.photo_orientation`).

    Raises
    ------
    ValueError
        If the stated size is not the photo's or does not tell how the boxes are turned, if a
        box is more than a pixel outside (less is cut off), or if no corner is much above 1, so
        that the boxes seem to be given as shares of the picture.
    """
    size, is_turned = truth.size or photo_size, False
    if truth.size and orientation != 1:
        seen, stored = photo_size, photo_size[::-1] if orientation in _TURNED else photo_size
        fits_seen, fits_stored = (
            size == each or (size not in (seen, stored) and _is_scaled(size, each))
            for each in (seen, stored)
        )
        if fits_seen and fits_stored:
            turn = f"the photo is turned by the camera (EXIF orientation {orientation})"
            told = f"the stated size, {size_words(size)}, cannot tell whether its boxes are"
            raise ValueError(f"{turn}, and {told}")
        is_turned = fits_stored
    height, width = photo_size[::-1] if is_turned else photo_size
    if not _is_scaled(size, (height, width)):
        got = f"boxes of a picture of {size_words(size)}"
        raise ValueError(f"expected boxes of the photo, {size_words(photo_size)}, got {got}")
    if max(size) > 8 and max(map(max, truth.boxes)) < 1.5:
        got = f"{truth.boxes[0]}, which looks like shares of the picture"
        raise ValueError(f"expected boxes in pixels, got {got}")
    boxes, across, down = [], width / size[1], height / size[0]
    for box in truth.boxes:
        x0, y0, x1, y1 = _clipped(box, size)
        x0, y0, x1, y1 = x0 * across, y0 * down, x1 * across, y1 * down
        if is_turned:
            (x0, x1), (y0, y1) = (y0, y1), (x0, x1)
            back_x, back_y = _TURNED[orientation]
            if back_x:
                x0, x1 = photo_size[1] - x1, photo_size[1] - x0
            if back_y:
                y0, y1 = photo_size[0] - y1, photo_size[0] - y0
        boxes.append((x0, y0, x1, y1))
    return boxes


def read_classes(path: Path, class_names: Sequence[str]) -> Classes:
    """Return the class indices of each label of a CSV file with columns label, class_index.

    Raises
    ------
    ValueError
        If a column is missing, or a line holds no label or no index of a class.
    """
    classes: Classes = {}
    for line, values, problem in read_table(path, ["label"], ["class_index"]):
        try:
            if problem or not values["label"]:
                raise ValueError(problem or "expected a label")
            if not values["class_index"].isdecimal():
                raise ValueError(f"expected a class index, got {values['class_index']!r}")
            index = class_index(int(values["class_index"]), class_names)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        classes.setdefault(one_line(values["label"]), []).append(index)
    return classes


def label_classes(label: str, class_names: Sequence[str], listed: Classes) -> list[int]:
    """Return the classes that a label stands for: listed, a name, an index or a WordNet id."""
    if label in listed:
        return listed[label]
    if len(class_names) == 1000 and label in _wordnet_ids():
        return [_wordnet_ids().index(label)]
    return [class_index(int(label) if label.isdecimal() else label, class_names)]


@cache
def _wordnet_ids() -> list[str]:
    return ImageNetInfo("imagenet1k").label_names()


def _truth(record: Record) -> Truth:
    """Return the label of the largest box, with all boxes of that label."""
    file = NO_NAME.sub(lambda found: ascii(found[0])[1:-1], record.file)
    if file != record.file:
        record.fail(f"expected a photo's name in Unicode, got {file}")
    if not record.objects:
        record.fail("no box, only crowds" if record.has_crowds else "no box")
    label, _ = max(record.objects, key=_area, default=("", None))
    boxes = list(dict.fromkeys(box for other, box in record.objects if other == label))
    return Truth(file, label, [] if record.problem else boxes, record.size, record.problem)


def _area(labeled: tuple[str, Box]) -> float:
    x0, y0, x1, y1 = labeled[1]
    return (x1 - x0) * (y1 - y0)


def _is_scaled(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one is the other at another scale, a side rounded to a whole pixel."""
    (height, width), (h, w) = max(size, other), min(size, other)
    return abs(height * w - width * h) <= max(height, width)


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    height, width = size
    x0, y0, x1, y1 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
    outside = max(x0 - box[0], y0 - box[1], box[2] - x1, box[3] - y1)
    if outside > 1 or x0 >= x1 or y0 >= y1:
        raise ValueError(f"expected a box within {size_words(size)}, got {box}")
    return x0, y0, x1, y1
