"""Measures of localization on a folder of photos, a row of a CSV file each.

Rows are written as they come, so that an interrupted run goes on where it was. Photos are
read in batches and forgotten; names and boxes are held, about 1 kB a photo.
"""

import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from deepinside.evaluation.annotations import Classes, Truth, label_classes
from deepinside.images import load_photo, squashed
from deepinside.localization import find_top_objects, object_box
from deepinside.measures import best_iou, ilsvrc_hit, mean_interval, pointing_hit
from deepinside.networks import Network, in_evaluation_mode
from deepinside.object_maps import SCALES, object_maps
from deepinside.rows import appending, read_rows, write_rows

COLUMNS = (
    "file", "label", "network", "scales", "class_index", "x0", "y0", "x1", "y1",
    "iou", "localized", "pointing", "top1", "top5_localized", "error",
)  # fmt: skip


def evaluate(
    folder: Path,
    truths: Iterable[Truth],
    output: Path,
    *,
    network: Network,
    classes: Classes | None = None,
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
    files = (output, *parts_of(output))
    done = {file for path in files for file in _measured_files(path, settings)}
    left = (truth for truth in truths if truth.file not in done)
    mine = [truth for truth in left if zlib.crc32(truth.file.encode()) % ranks == rank]
    read = partial(_read, folder, network.class_names, classes or {})
    # a list is a data set to torch, if not to its types
    photos = DataLoader(cast(Dataset, mine), batch_size, num_workers=workers, collate_fn=read)
    path = output if ranks == 1 else output.with_name(f"{output.name}.rank{rank}")
    write_rows(path, COLUMNS, read_rows(path, COLUMNS))
    localized = skipped = 0
    with (
        appending(path, COLUMNS) as append,
        tqdm(total=len(mine), unit="photo", disable=rank > 0) as progress,
    ):
        for batch in photos:
            readable = [photo for photo in batch if not photo.error]
            measured = _measured(readable, network, scales, top5)
            for photo in batch:
                row = {"error": photo.error} if photo.error else next(measured)
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
        # by file, as a merge that was killed may have left some rows in two
        rows = {row["file"]: row for path in (output, *parts) for row in read_rows(path, COLUMNS)}
        write_rows(output, COLUMNS, rows.values())
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


def _read(
    folder: Path, class_names: Sequence[str], listed: Classes, truths: list[Truth]
) -> list[_Photo]:
    photos = []
    for truth in truths:
        try:
            if truth.problem:
                raise ValueError(truth.problem)
            if not truth.boxes:
                raise ValueError("expected at least one box, got none")
            classes = label_classes(truth.label, class_names, listed)
            photos.append(_Photo(truth, classes, load_photo(folder / truth.file)))
        except (ValueError, OSError) as error:
            photos.append(_Photo(truth, [], torch.empty(0), " ".join(str(error).split())))
    return photos


def _measured(
    photos: list[_Photo], network: Network, scales: Sequence[float], top5: bool
) -> Iterator[dict[str, Any]]:
    """Yield what is measured on each photo; the passes are those of the whole batch."""
    if not photos:
        return
    pixels = [photo.pixels for photo in photos]
    images = squashed(network, pixels, network.input_size)
    device = next(network.parameters()).device
    with torch.no_grad():
        scores = in_evaluation_mode(network)(images.to(device)).tolist()
    # of a label's classes the one of the highest score
    targets = [
        max(photo.classes, key=own.__getitem__) for photo, own in zip(photos, scores, strict=True)
    ]
    maps = object_maps(network, pixels, targets, scales=scales).cpu()
    for photo, own, target, saliency in zip(photos, scores, targets, maps, strict=True):
        true_boxes, photo_size = photo.truth.boxes, tuple(photo.pixels.shape[1:])
        try:
            box = object_box(saliency, photo_size)
            overlap = best_iou(box, true_boxes)
            laid = F.interpolate(saliency[None, None], size=photo_size, mode="bilinear")[0, 0]
            row: dict[str, Any] = {
                "class_index": target,
                **{
                    side: f"{at:.1f}"
                    for side, at in zip(("x0", "y0", "x1", "y1"), box, strict=True)
                },
                "iou": f"{overlap:.4f}",
                "localized": int(overlap >= 0.5),
                "pointing": int(pointing_hit(laid, true_boxes)),
                "top1": int(own.index(max(own)) in photo.classes),
            }
            if top5:
                answers = [
                    # any of the label's classes is the right one
                    (target if answer.index in photo.classes else answer.index, box)
                    for answer, box in find_top_objects(network, photo.pixels, scales=scales)
                ]
                row["top5_localized"] = int(ilsvrc_hit(answers, target, true_boxes))
        except ValueError as error:
            row = {"error": " ".join(str(error).split())}
        yield row


def _measured_files(path: Path, settings: dict[str, str]) -> Iterator[str]:
    for row in read_rows(path, COLUMNS):
        found = {name: row[name] for name in settings}
        if found != settings:
            raise ValueError(f"{path} holds results of {found}, not of {settings}")
        yield row["file"]
