"""Measures of localization on a folder of photos: a CSV file with one row per photo.

Rows are written as they come, so that an interrupted run continues where it stopped. Only names
and boxes stay in memory, about 1 kB a photo; the photos are read in batches. A row has a key made
of everything that determines it: if boxes, classes or the photo itself change, the photo is
measured again.
"""

import math
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from deepinside.arguments import whole_number
from deepinside.evaluation.annotation_files import one_line
from deepinside.evaluation.annotations import Classes, Truth, boxes_in_photo, label_classes
from deepinside.evaluation.methods import BOXES, CUT_BY_COLOR, MAPS
from deepinside.images import Box, load_photo, photo_orientation, resize_photo, squashed
from deepinside.localization import rescaled_box
from deepinside.measures import THRESHOLDS, best_iou, pointing_hit, threshold_overlaps
from deepinside.networks import Network, in_evaluation_mode
from deepinside.networks.network import check_network
from deepinside.networks.scores import check_scores
from deepinside.object_maps import SCALES, checked_scales, object_maps
from deepinside.rows import appending, read_rows, write_rows

COLUMNS = (
    "file", "label", "network", "map", "box", "scales", "class_index", "x0", "y0", "x1", "y1",
    "iou", "localized", "pointing", "pointing_exact", "top1", "top5", "top1_localized",
    "top5_localized", "max_box", "truth", "key", "error",
)  # fmt: skip
# columns of 0 and 1
HITS = ("localized", "pointing", "pointing_exact", "top1", "top5", "top1_localized",
        "top5_localized")  # fmt: skip
# IoUs that count for MaxBoxAccV2, of boxes around all contours; for MaxBoxAcc of the largest's
ALL_IOUS, LARGEST_IOU = (0.3, 0.5, 0.7), 0.5
# whole bytes, two digits each
_MAX_BOX = re.compile(f"[0-9a-f]{{{2 * math.ceil((len(ALL_IOUS) + 1) * THRESHOLDS / 8)}}}")
# what a batch of photos takes of memory is bounded: a larger photo is resized to this first
_PIXELS = 4_000_000


@dataclass(frozen=True)
class Method:
    """A way to find objects: a network, its map, and how a box is read from it.

    `map` is a name in ``methods.MAPS`` and `box` one in ``methods.BOXES`` (by default the one that
    suits the map); `scales` matter only to the object map.
    """

    network: Network
    map: str = "object_map"
    box: str = ""
    scales: Sequence[float] = SCALES

    def check(self) -> None:
        """Raise a ValueError if a name or a scale is none, or the network has no such map."""
        check_network(self.network)
        for what, name, known in (("map", self.map, MAPS), ("box", self.box, ["", *BOXES])):
            if name not in [*known]:
                raise ValueError(f"expected a {what} of {', '.join(known)}; got {name!r}")
        checked_scales(self.scales, self.network.input_size)
        self.maps([torch.full((3, *self.network.input_size), 0.5)], [0])

    @property
    def settings(self) -> dict[str, str]:
        """The columns by which a row names the method."""
        box = self.box or ("graph_cut" if self.map in CUT_BY_COLOR else "otsu")
        scales = self.scales if self.map == "object_map" else ()
        return {
            "network": self.network.name,
            "map": self.map,
            "box": box,
            "scales": " ".join(f"{scale:.4g}" for scale in scales),
        }

    def maps(self, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
        """Return a map for each photo, (N, h, w), on the CPU."""
        if self.map == "object_map":
            found = object_maps(self.network, photos, classes, scales=self.scales)
        else:
            found = MAPS[self.map](self.network, photos, classes)
        return found.cpu()

    def box_of(self, saliency: Tensor, image: Tensor) -> Box:
        """Return the box in pixels of the map; `image` is the photo at its size."""
        return BOXES[self.settings["box"]](saliency, image)


class Record(NamedTuple):
    """A photo to be measured: where it is, what is in it, the label's classes, its row's key."""

    path: Path
    truth: Truth
    classes: list[int]
    key: str


def records(
    folder: Path, truths: Iterable[Truth], method: Method, classes: Classes | None = None
) -> list[Record]:
    """Return a record for each photo, with the classes that its label stands for.

    Raises
    ------
    ValueError
        If there is no folder.
    """
    if not folder.is_dir():
        raise ValueError(f"expected a folder of photos, found none at {folder}")
    found = []
    for truth in truths:
        own: list[int] = []
        if not truth.problem:
            try:
                own = label_classes(truth.label, method.network.class_names, classes or {})
            except ValueError as error:
                truth = truth._replace(problem=one_line(error))
        path = folder / truth.file
        key = _digest(truth, own, _fingerprint(path), method.settings)
        found.append(Record(path, truth, own, key))
    return found


def _fingerprint(path: Path) -> tuple[object, ...]:
    """Return what a copy of a photo keeps and a change does not; () if it cannot be read.

    Size and time alone are those of any uncompressed photo from an archive without times.
    """
    try:
        if not path.is_file():
            return ()
        stat = path.stat()
        with path.open("rb") as file:
            file.seek(stat.st_size // 2)
            return stat.st_size, stat.st_mtime_ns, file.read(4096)
    except OSError:
        return ()


def evaluate(
    wanted: Sequence[Record],
    output: Path,
    method: Method,
    *,
    batch_size: int = 8,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> int:
    """Append a row to `output` for each photo that has none, and return how many were added.

    A row that reports an error does not count: its photo is tried again.

    Parameters
    ----------
    wanted, output, method : sequence of Record, Path, Method
        The photos, the CSV file, and what is measured. With several ranks, each writes a file
        of its own beside the CSV file, and `merge` joins them.
    batch_size, workers : int
        Photos at once, and processes that read them.
    rank, ranks : int
        Which part of the photos this process takes, and how many parts there are.

    Raises
    ------
    ValueError
        If `output` holds other rows, or results of another method; or if a count is none.
    """
    batch_size = whole_number(batch_size, "a batch size", 1)
    workers = whole_number(workers, "a number of workers", 0)
    ranks = whole_number(ranks, "a number of ranks", 1)
    rank = whole_number(rank, "a rank", 0, ranks - 1)
    done = {
        row["key"]
        for path in (output, *parts_of(output))
        for row in _rows(path, method.settings)
        if not row["error"]
    }
    mine = [
        record
        for record in wanted
        if record.key not in done and zlib.crc32(record.truth.file.encode()) % ranks == rank
    ]
    path = output if ranks == 1 else output.with_name(f"{output.name}.rank{rank}")
    again = {record.key for record in mine}
    write_rows(path, COLUMNS, (row for row in results(path) if row["key"] not in again))
    # a list is a data set to torch, if not to its types
    photos = DataLoader(
        cast(Dataset, mine),
        batch_size,
        num_workers=workers,
        collate_fn=_read,
        prefetch_factor=1 if workers else None,
    )
    localized = skipped = 0
    with (
        appending(path, COLUMNS) as append,
        tqdm(total=len(mine), unit="photo", disable=rank > 0, smoothing=0.05) as progress,
    ):
        for batch in photos:
            measured = iter(_measured_all([photo for photo in batch if not photo.error], method))
            for photo in batch:
                truth, key = photo.record.truth, photo.record.key
                row = {"error": photo.error} if photo.error else next(measured)
                named = {"file": truth.file, "label": truth.label, "truth": _digest(truth)}
                append(method.settings | named | {"key": key} | row)
                if "error" in row:
                    skipped += 1
                    progress.write(f"skipped {truth.file}: {row['error']}", sys.stderr)
                localized += row.get("localized", 0)
            progress.set_postfix(localized=localized, skipped=skipped, refresh=False)
            progress.update(len(batch))
    return len(mine)


def parts_of(output: Path) -> list[Path]:
    """Return the files that several ranks left beside `output`."""
    pattern = re.compile(re.escape(output.name) + r"\.rank\d+")
    return sorted(path for path in output.parent.iterdir() if pattern.fullmatch(path.name))


def merge(output: Path, wanted: Sequence[Record], settings: Mapping[str, str]) -> None:
    """Put the rows of all ranks into `output`, one per photo, in the order of `wanted`.

    Results of other photos, boxes or classes are kept in a file ``.old`` beside it, and come
    back if they are wanted again.
    """
    parts, beside = parts_of(output), output.with_name(f"{output.name}.old")
    # by key, as a merge that was killed may have left some rows in two
    old = {row["key"]: row for row in results(beside)}
    new = {row["key"]: row for path in (output, *parts) for row in _rows(path, settings)}
    rows = old | new
    keys = {record.key for record in wanted}
    moved = {key: row for key, row in new.items() if key not in keys}
    if moved.keys() - old.keys():
        write_rows(beside, COLUMNS, (old | moved).values())
        print(
            f"{len(moved)} rows of other photos, boxes, classes or folders were in {output}, and "
            f"are now in {beside}",
            file=sys.stderr,
        )
    write_rows(output, COLUMNS, (rows[record.key] for record in wanted if record.key in rows))
    for part in parts:
        part.unlink()


class _Photo(NamedTuple):
    """A photo as a worker reads it; what fails comes back as an error's text."""

    record: Record
    pixels: Tensor
    size: tuple[int, int] = (0, 0)
    boxes: Sequence[Box] = ()
    error: str = ""


def _read(wanted: list[Record]) -> list[_Photo]:
    photos = []
    for record in wanted:
        truth = record.truth
        try:
            if truth.problem:
                raise ValueError(truth.problem)
            pixels = load_photo(record.path)
            height, width = size = (pixels.shape[1], pixels.shape[2])
            # only a stated size can be that of the picture before its turn
            orientation = photo_orientation(record.path) if truth.size else 1
            boxes = boxes_in_photo(truth, size, orientation)
            if height * width > _PIXELS:
                shorter = round(min(size) * (_PIXELS / (height * width)) ** 0.5)
                pixels = resize_photo(pixels, shorter)
            photos.append(_Photo(record, pixels, size, boxes))
        except Exception as error:  # whatever a file is, it costs its own row and no other
            photos.append(_Photo(record, torch.empty(0), error=_told(error)))
    return photos


def _measured_all(photos: list[_Photo], method: Method) -> list[dict[str, Any]]:
    """Return what is measured on each photo; of a batch that fails each photo by itself."""
    try:
        return list(_measured(photos, method))
    except Exception as error:  # whatever a photo does to a map, it costs its own row
        if len(photos) > 1:
            return [row for photo in photos for row in _measured_all([photo], method)]
        return [{"error": _told(error)}]


def _measured(photos: list[_Photo], method: Method) -> Iterator[dict[str, Any]]:
    """Yield what is measured on each photo; the passes are those of the whole batch."""
    if not photos:
        return
    network, pixels = method.network, [photo.pixels for photo in photos]
    images = squashed(network, pixels, network.input_size)
    with torch.no_grad():
        scores = in_evaluation_mode(network)(images.to(network.normalization.mean)).cpu()
    check_scores(scores, len(photos))
    answers = scores.topk(min(5, scores.shape[1])).indices.tolist()
    # of a label's classes the one of the highest score
    targets = [
        max(photo.record.classes, key=own.__getitem__)
        for photo, own in zip(photos, scores.tolist(), strict=True)
    ]
    maps = method.maps(pixels, targets)
    for photo, image, target, five, saliency in zip(
        photos, images.expand(-1, 3, -1, -1), targets, answers, maps, strict=True
    ):
        row = _of_map(photo, saliency, image, method)
        # an answer's box depends on its class alone, so the boxes of the right ones decide
        right = [index for index in five if index in photo.record.classes]
        found = bool(right) and bool(row["localized"])
        if len(right) > 1 and not found:
            others = method.maps([photo.pixels] * (len(right) - 1), right[1:])
            found = any(_of_map(photo, other, image, method)["localized"] for other in others)
        yield row | {
            "class_index": target,
            "top1": int(five[0] == target),
            "top5": int(bool(right)),
            "top1_localized": int(five[0] == target and row["localized"]),
            "top5_localized": int(found),
        }


def _of_map(photo: _Photo, saliency: Tensor, image: Tensor, method: Method) -> dict[str, Any]:
    """Return what a map gives: its box, and the measures that need no class."""
    size, photo_size = tuple(saliency.shape), photo.size
    true_boxes = [rescaled_box(box, photo_size, size) for box in photo.boxes]
    try:
        box = method.box_of(saliency, image)
    except ValueError:  # a map that is flat, say, finds nothing
        row: dict[str, Any] = {"iou": "0.0000", "localized": 0}
    else:
        sides = zip(("x0", "y0", "x1", "y1"), rescaled_box(box, size, photo_size), strict=True)
        overlap = best_iou(box, true_boxes)
        row = {side: f"{at:.1f}" for side, at in sides}
        row |= {"iou": f"{overlap:.4f}", "localized": int(overlap >= 0.5)}
    laid = F.interpolate(saliency[None, None], size=photo_size, mode="bilinear")[0, 0]
    everywhere, largest = threshold_overlaps(saliency, photo.boxes, photo_size)
    hits = [everywhere >= least for least in ALL_IOUS] + [largest >= LARGEST_IOU]
    return row | {
        "pointing": int(pointing_hit(laid, photo.boxes)),
        "pointing_exact": int(pointing_hit(laid, photo.boxes, tolerance=0)),
        "max_box": np.packbits(torch.stack(hits).numpy()).tobytes().hex(),
    }


def results(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a file of results; a row that was changed by hand gets an error.

    A spreadsheet, for instance, rounds what it takes to be a long number.
    """
    for row in read_rows(path, COLUMNS):
        is_result = _MAX_BOX.fullmatch(row["max_box"]) and all(
            row[hit] in ("0", "1") for hit in HITS
        )
        if not row["error"] and not is_result:
            row["error"] = "expected the row as it was written, got an altered one"
        yield row


def _rows(path: Path, settings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for row in results(path):
        found = {name: row[name] for name in settings}
        if found != settings:
            raise ValueError(f"{path} holds results of {found}, not of {dict(settings)}")
        yield row


def _told(error: Exception) -> str:
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return kind + one_line(error)


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode(errors="backslashreplace")).hexdigest()[:16]
