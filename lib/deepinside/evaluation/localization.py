"""Measures of localization on a folder of photos, a row of a CSV file each.

Rows are written as they come, so that an interrupted run goes on where it was. Photos are
read in batches and forgotten; names and boxes are held, about 1 kB a photo.
"""

import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from deepinside.evaluation.annotations import Truth, label_classes
from deepinside.images import load_photo, squash_photo
from deepinside.localization import find_top_objects, object_box
from deepinside.measures import best_iou, ilsvrc_hit, mean_interval, pointing_hit
from deepinside.networks import Network, in_evaluation_mode
from deepinside.object_maps import SCALES, object_maps
from deepinside.rows import appending, read_rows, write_rows

COLUMNS = (
    "file", "label", "network", "scales", "class_index", "x0", "y0", "x1", "y1",
    "iou", "localized", "pointing", "top1", "top5_localized", "error",
)  # fmt: skip

Row = dict[str, Any]


def evaluate(
    folder: Path,
    truths: Iterable[Truth],
    output: Path,
    *,
    network: Network,
    classes: Mapping[str, list[int]] | None = None,
    scales: Sequence[float] = SCALES,
    top5: bool = False,
    batch_size: int = 8,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> int:
    """Append a row to `output` for each photo that has none, and return how many were added.

    Parameters
    ----------
    folder, truths, output : Path, iterable of Truth, Path
        The photos, what is in them, and the CSV file. With several ranks each writes a
        file of its own beside it, which `merge` puts together.
    network, classes, scales
        For `deepinside.object_maps`; of a label's classes the one of the highest score.
    top5 : bool
        Also find the boxes of the five highest classes, five times the work.
    batch_size, workers : int
        Photos at once, and processes that read them.
    rank, ranks : int
        Which part of the photos this process takes, of how many.

    Raises
    ------
    ValueError
        If there is no folder, or `output` holds results of another network or other scales.
    """
    if not folder.is_dir():
        raise ValueError(f"expected a folder of photos, found none at {folder}")
    settings = {"network": network.name, "scales": " ".join(f"{scale:.4g}" for scale in scales)}
    done = {
        file for path in (output, *parts_of(output)) for file in _measured_files(path, settings)
    }
    mine = [
        truth
        for truth in truths
        if truth.file not in done and zlib.crc32(truth.file.encode()) % ranks == rank
    ]
    photos = _Photos(folder, mine, network.class_names, classes or {})
    loader = DataLoader(photos, batch_size, num_workers=workers, collate_fn=list)
    path = output if ranks == 1 else output.with_name(f"{output.name}.rank{rank}")
    write_rows(path, COLUMNS, read_rows(path, COLUMNS))
    localized = skipped = 0
    with (
        appending(path, COLUMNS) as append,
        tqdm(total=len(mine), unit="photo", disable=rank > 0) as progress,
    ):
        for batch in loader:
            measured = _measured(
                [photo for photo in batch if not photo.error], network, scales, top5
            )
            for photo in batch:
                row: Row = {"error": photo.error} if photo.error else next(measured)
                append(settings | {"file": photo.truth.file, "label": photo.truth.label} | row)
                if "error" in row:
                    skipped += 1
                    progress.write(f"skipped {photo.truth.file}: {row['error']}", sys.stderr)
                localized += row.get("localized", 0)
            progress.set_postfix(localized=localized, skipped=skipped, refresh=False)
            progress.update(len(batch))
    return len(mine)


def parts_of(output: Path) -> list[Path]:
    """Return the files that several ranks left beside `output`."""
    pattern = re.compile(re.escape(output.name) + r"\.rank\d+")
    return sorted(path for path in output.parent.iterdir() if pattern.fullmatch(path.name))


def merge(output: Path) -> None:
    """Put what the ranks wrote into `output`, and remove their files."""
    parts = parts_of(output)
    if parts:
        write_rows(output, COLUMNS, _each_photo_once([output, *parts]))
    for part in parts:
        part.unlink()


def summary(output: Path) -> str:
    """Return the measures of a file of results, each with its 95 % interval."""
    words = {
        "localized": "localization accuracy (IoU of at least 0.5)",
        "pointing": "pointing game (within 15 pixels)",
        "top1": "top-1 accuracy of the classes",
        "top5_localized": "top-5 localization error",
    }
    measures: dict[str, list[float]] = {name: [] for name in words}
    photos = skipped = 0
    for row in read_rows(output, COLUMNS):
        photos, skipped = photos + 1, skipped + bool(row["error"])
        for name, values in measures.items():
            if row[name]:
                hit = float(row[name])
                values.append(1 - hit if name == "top5_localized" else hit)
    lines = [f"{photos - skipped} photos, {skipped} skipped"]
    for name, values in measures.items():
        if values:
            mean = mean_interval(values, generator=torch.Generator().manual_seed(0))
            lines.append("{}: {:.1%} ({:.1%} to {:.1%})".format(words[name], *mean))
    return "\n".join(lines)


class _Photo(NamedTuple):
    """A photo as a worker reads it; what fails comes back as an error's text."""

    truth: Truth
    classes: list[int]
    pixels: Tensor
    error: str = ""


class _Photos(Dataset[_Photo]):
    def __init__(
        self,
        folder: Path,
        truths: list[Truth],
        class_names: Sequence[str],
        classes: Mapping[str, list[int]],
    ) -> None:
        self.folder, self.truths = folder, truths
        self.class_names, self.classes = class_names, classes

    def __len__(self) -> int:
        return len(self.truths)

    def __getitem__(self, index: int) -> _Photo:
        truth = self.truths[index]
        try:
            if not truth.boxes:
                raise ValueError("expected at least one box, got none")
            classes = label_classes(truth.label, self.class_names, self.classes)
            return _Photo(truth, classes, load_photo(self.folder / truth.file))
        except (ValueError, OSError) as error:
            return _Photo(truth, [], torch.empty(0), " ".join(str(error).split()))


def _measured(
    photos: list[_Photo], network: Network, scales: Sequence[float], top5: bool
) -> Iterator[Row]:
    """Yield what is measured on each photo; the passes are those of the whole batch."""
    if not photos:
        return
    size, interpolation = network.input_size, network.interpolation
    images = [squash_photo(photo.pixels, size, interpolation=interpolation) for photo in photos]
    device = next(network.parameters()).device
    with torch.no_grad():
        scores = in_evaluation_mode(network)(torch.stack(images).to(device)).tolist()
    # of a label's classes the one of the highest score
    targets = [
        max(photo.classes, key=own.__getitem__) for photo, own in zip(photos, scores, strict=True)
    ]
    pixels = [photo.pixels for photo in photos]
    maps = object_maps(network, pixels, targets, scales=scales).cpu()
    for photo, own, target, saliency in zip(photos, scores, targets, maps, strict=True):
        try:
            row = _of_map(photo, saliency)
            row |= {"class_index": target, "top1": int(own.index(max(own)) in photo.classes)}
            if top5:
                answers = [
                    # any of the label's classes is the right one
                    (target if answer.index in photo.classes else answer.index, box)
                    for answer, box in find_top_objects(network, photo.pixels, scales=scales)
                ]
                row["top5_localized"] = int(ilsvrc_hit(answers, target, photo.truth.boxes))
        except ValueError as error:
            row = {"error": " ".join(str(error).split())}
        yield row


def _of_map(photo: _Photo, saliency: Tensor) -> Row:
    size = tuple(photo.pixels.shape[1:])
    box = object_box(saliency, size)
    overlap = best_iou(box, photo.truth.boxes)
    laid = F.interpolate(saliency[None, None], size=size, mode="bilinear")[0, 0]
    sides = zip(("x0", "y0", "x1", "y1"), box, strict=True)
    return {
        **{side: f"{place:.1f}" for side, place in sides},
        "iou": f"{overlap:.4f}",
        "localized": int(overlap >= 0.5),
        "pointing": int(pointing_hit(laid, photo.truth.boxes)),
    }


def _measured_files(path: Path, settings: dict[str, str]) -> Iterator[str]:
    for row in read_rows(path, COLUMNS):
        found = {name: row[name] for name in settings}
        if found != settings:
            raise ValueError(f"{path} holds results of {found}, not of {settings}")
        yield row["file"]


def _each_photo_once(paths: Iterable[Path]) -> Iterator[dict[str, str]]:
    """Yield the rows of all files; a merge that was killed may have left some in two."""
    seen: set[str] = set()
    for row in chain.from_iterable(read_rows(path, COLUMNS) for path in paths):
        if row["file"] not in seen:
            seen.add(row["file"])
            yield row
