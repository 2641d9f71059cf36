"""Evaluate localization on a folder of photos: ``python -m deepinside.evaluation.localization``.

Boxes come from a folder of Pascal VOC XML files, a COCO JSON file, or a CSV file with the
columns file, label, x0, y0, x1, y1 (a row a box, half-open pixels). The result is a CSV
file with a row a photo, written as it goes: started again, the command goes on where it
was interrupted. A photo that cannot be read gets a row that says why.

``torchrun --nproc-per-node 4 -m deepinside.evaluation.localization ...`` splits the photos.
Photos are read in batches and forgotten; names and boxes are held, about 1 kB a photo.
"""

import argparse
import csv
import json
import os
import sys
import time
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import torch
from timm.data import ImageNetInfo
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deepinside.class_score import class_index, top_classes
from deepinside.images import load_photo, squash_photo
from deepinside.localization import Box, find_object, rescaled_box, threshold_localization
from deepinside.measures import best_iou, ilsvrc_hit, mean_interval, pointing_hit
from deepinside.networks import Network, load_network
from deepinside.object_maps import SCALES, object_maps

COLUMNS = (
    "file", "label", "network", "scales", "class_index", "x0", "y0", "x1", "y1",
    "iou", "localized", "pointing", "top1", "top5_localized", "error",
)  # fmt: skip


class Truth(NamedTuple):
    """A photo's label and the boxes of its objects, in pixels of the photo."""

    file: str
    label: str
    boxes: list[Box]


def read_truths(path: Path) -> Iterator[Truth]:
    """Yield label and boxes of each photo, from VOC XML files, COCO JSON or CSV.

    Of several labels in one photo the one with the largest box is taken, with all boxes
    of that label.

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


def read_classes(path: Path | None, network: Network) -> dict[str, list[int]]:
    """Return the class indices of each label of a CSV file with columns label, class_index."""
    classes: dict[str, list[int]] = {}
    if path is not None:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                index = class_index(int(row["class_index"]), network.class_names)
                classes.setdefault(row["label"], []).append(index)
    return classes


def label_classes(label: str, network: Network, classes: dict[str, list[int]]) -> list[int]:
    """Return the classes that a label stands for: listed, a name, an index or a WordNet id."""
    if label in classes:
        return classes[label]
    if len(network.class_names) == 1000:
        ids = ImageNetInfo("imagenet1k").label_names()
        if label in ids:
            return [ids.index(label)]
    return [class_index(int(label) if label.isdecimal() else label, network.class_names)]


def evaluate(
    folder: Path,
    truths: Iterable[Truth],
    output: Path,
    *,
    network: Network,
    classes: dict[str, list[int]] | None = None,
    scales: tuple[float, ...] = SCALES,
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
        If `output` holds results of another network or other scales.
    """
    settings = {"network": network.name, "scales": " ".join(f"{s:.4g}" for s in scales)}
    done: set[str] = set()
    for path in (output, *parts_of(output)):
        done |= _finished(path, settings)
    mine = [
        one for one in truths
        if one.file not in done and zlib.crc32(one.file.encode()) % ranks == rank
    ]  # fmt: skip
    path = output if ranks == 1 else output.with_name(f"{output.name}.rank{rank}")
    _drop_torn_row(path)
    fresh = not path.exists() or not path.stat().st_size
    loader = DataLoader(
        _Photos(folder, mine), batch_size, num_workers=workers, collate_fn=list, shuffle=False
    )
    started, added, hits, skipped = time.monotonic(), 0, 0, 0
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        if fresh:
            writer.writeheader()
        for batch in loader:
            rows = _rows(batch, network, classes or {}, scales, top5)
            for row in rows:
                if row.get("error"):
                    skipped += 1
                    print(f"\nskipped {row['file']}: {row['error']}", file=sys.stderr)
                writer.writerow(settings | row)
                hits += int(row.get("localized") or 0)
            file.flush()
            added += len(rows)
            if rank == 0:
                _show_progress(added, len(mine), hits, skipped, time.monotonic() - started)
    if rank == 0 and added:
        print(file=sys.stderr)
    return added


def parts_of(output: Path) -> list[Path]:
    """Return the files that several ranks left beside `output`."""
    return sorted(output.parent.glob(f"{output.name}.rank*"))


def merge(output: Path) -> None:
    """Append what the ranks wrote to `output`, and remove their files."""
    for part in parts_of(output):
        _drop_torn_row(part)
        lines = part.read_text("utf-8").splitlines(keepends=True)
        _drop_torn_row(output)
        fresh = not output.exists() or not output.stat().st_size
        with output.open("a", encoding="utf-8", newline="") as file:
            file.writelines(lines if fresh else lines[1:])
        part.unlink()


def summary(output: Path) -> str:
    """Return the measures of a file of results, each with its 95 % interval."""
    columns = {"localized": [], "pointing": [], "top1": [], "top5_localized": []}
    photos = skipped = 0
    with output.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            photos, skipped = photos + 1, skipped + bool(row["error"])
            for name, values in columns.items():
                if row[name] != "":
                    values.append(float(row[name]))
    lines = [f"{photos - skipped} photos, {skipped} skipped"]
    words = {
        "localized": "localization accuracy (IoU of at least 0.5)",
        "pointing": "pointing game (within 15 pixels)",
        "top1": "top-1 accuracy of the classes",
        "top5_localized": "top-5 localization error",
    }
    for name, values in columns.items():
        if values:
            if name == "top5_localized":
                values = [1 - value for value in values]
            mean = mean_interval(values, generator=torch.Generator().manual_seed(0), draws=2000)
            lines.append("{}: {:.1%} ({:.1%} to {:.1%})".format(words[name], *mean))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Evaluate, show progress, and print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="\n".join(__doc__.splitlines()[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, help="the photos")
    parser.add_argument("--boxes", type=Path, required=True, help="VOC folder, COCO .json or .csv")
    parser.add_argument("--output", type=Path, default=Path("localization.csv"))
    parser.add_argument("--classes", type=Path, help="CSV: label,class_index, several rows a label")
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument("--top5", action="store_true", help="also the boxes of the top-5 classes")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="processes that read photos")
    parser.add_argument("--device", help="cuda or cpu; unless given, a GPU if there is one")
    options = parser.parse_args(arguments)

    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    default = f"cuda:{local % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    network = load_network(options.network).to(options.device or default)
    if ranks > 1:
        # only to know when all are done, which may be days apart
        torch.distributed.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        evaluate(
            options.folder,
            read_truths(options.boxes),
            options.output,
            network=network,
            classes=read_classes(options.classes, network),
            scales=tuple(options.scales),
            top5=options.top5,
            batch_size=options.batch_size,
            workers=options.workers,
            rank=rank,
            ranks=ranks,
        )
        if ranks > 1:
            torch.distributed.barrier()
    finally:
        if ranks > 1:
            torch.distributed.destroy_process_group()
    if rank == 0:
        merge(options.output)
        print(summary(options.output))


class _Photos(Dataset):
    """Photos to be read by worker processes; what fails comes back as an error's text."""

    def __init__(self, folder: Path, truths: list[Truth]) -> None:
        self.folder, self.truths = folder, truths

    def __len__(self) -> int:
        return len(self.truths)

    def __getitem__(self, index: int) -> tuple[Truth, Tensor | str]:
        truth = self.truths[index]
        try:
            if not truth.boxes:
                raise ValueError("expected at least one box, got none")
            return truth, load_photo(self.folder / truth.file)
        except (ValueError, OSError) as error:
            return truth, str(error)


def _rows(
    batch: list[tuple[Truth, Tensor | str]],
    network: Network,
    classes: dict[str, list[int]],
    scales: tuple[float, ...],
    top5: bool,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    good: list[tuple[dict, Truth, Tensor, list[int]]] = []
    for truth, photo in batch:
        row: dict[str, object] = {"file": truth.file, "label": truth.label}
        rows.append(row)
        try:
            if isinstance(photo, str):
                raise ValueError(photo)
            good.append((row, truth, photo, label_classes(truth.label, network, classes)))
        except ValueError as error:
            row["error"] = " ".join(str(error).split())
    if not good:
        return rows
    device = next(network.parameters()).device
    photos = [photo for _, _, photo, _ in good]
    squashed = [squash_photo(one, network.input_size) for one in photos]
    ranked = top_classes(network, torch.stack(squashed).to(device), len(network.class_names))
    targets = []
    for (*_, label), answers in zip(good, ranked, strict=True):
        targets.append(next(one.index for one in answers if one.index in label))
    maps = object_maps(network, photos, targets, scales=scales)
    for (row, truth, photo, label), target, answers, one in zip(
        good, targets, ranked, maps, strict=True
    ):
        try:
            row |= _measured(truth, photo, target, one.cpu())
            row["top1"] = int(answers[0].index in label)
            if top5:
                boxes = [
                    (target if answer.index in label else answer.index,
                     find_object(network, photo, answer.index, scales=scales))
                    for answer in answers[:5]
                ]  # fmt: skip
                row["top5_localized"] = int(ilsvrc_hit(boxes, target, truth.boxes))
        except ValueError as error:
            row["error"] = " ".join(str(error).split())
    return rows


def _measured(truth: Truth, photo: Tensor, target: int, one: Tensor) -> dict[str, object]:
    size, photo_size = tuple(one.shape), tuple(photo.shape[1:])
    found = threshold_localization(one, by_saliency=True)
    box = rescaled_box(found.box, size, photo_size)
    overlap = best_iou(box, truth.boxes)
    laid = torch.nn.functional.interpolate(one[None, None], size=photo_size, mode="bilinear")[0, 0]
    names = ("x0", "y0", "x1", "y1")
    return {
        "class_index": target,
        **{name: f"{value:.1f}" for name, value in zip(names, box, strict=True)},
        "iou": f"{overlap:.4f}",
        "localized": int(overlap >= 0.5),
        "pointing": int(pointing_hit(laid, truth.boxes)),
    }


def _finished(path: Path, settings: dict[str, str]) -> set[str]:
    if not path.exists():
        return set()
    _drop_torn_row(path)
    with path.open(encoding="utf-8", newline="") as file:
        done = set()
        for row in csv.DictReader(file):
            found = {name: row.get(name) for name in settings}
            if found != settings:
                raise ValueError(f"{path} holds results of {found}, not of {settings}")
            done.add(row["file"])
    return done


def _drop_torn_row(path: Path) -> None:
    """Remove what follows the last line end: the row at which a run was killed."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])


def _show_progress(done: int, total: int, hits: int, skipped: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    print(
        f"\r{done} of {total} photos, {done / seconds:.1f} a second, {left / 60:.0f} min left, "
        f"{hits} localized, {skipped} skipped",
        end="", file=sys.stderr, flush=True,
    )  # fmt: skip


def _read_voc(path: Path) -> Truth:
    try:
        root = ElementTree.parse(path).getroot()
        rows = []
        for one in root.iter("object"):
            corners = [one.find("bndbox").find(name) for name in ("xmin", "ymin", "xmax", "ymax")]
            x0, y0, x1, y1 = (float(corner.text) for corner in corners)
            # Pascal VOC counts pixels from 1 and includes the last one
            rows.append((one.findtext("name"), (x0 - 1, y0 - 1, x1, y1)))
        name = root.findtext("filename") or path.stem
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError):
        # reported with the photo, as a photo that cannot be read is
        return Truth(path.stem, f"unreadable boxes in {path.name}", [])
    if not Path(name).suffix:  # ImageNet's files name the photo without its ending
        name += ".JPEG"
    return _largest(name, rows)


def _coco_rows(path: Path) -> Iterator[tuple[str, str, Box]]:
    try:
        content = json.loads(path.read_text("utf-8"))
        files = {one["id"]: one["file_name"] for one in content["images"]}
        labels = {one["id"]: one["name"] for one in content["categories"]}
        for one in content["annotations"]:
            if not one.get("iscrowd"):
                x, y, width, height = one["bbox"]
                yield (
                    files[one["image_id"]],
                    labels[one["category_id"]],
                    (x, y, x + width, y + height),
                )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"expected COCO annotations in {path}, but: {error!r}") from error


def _csv_rows(path: Path) -> Iterator[tuple[str, str, Box]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        needed = {"file", "label", "x0", "y0", "x1", "y1"}
        if not needed <= set(reader.fieldnames or ()):
            raise ValueError(f"expected columns {', '.join(sorted(needed))} in {path}")
        for row in reader:
            try:
                box = tuple(float(row[name]) for name in ("x0", "y0", "x1", "y1"))
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"expected four numbers in {path}, line {reader.line_num}"
                ) from error
            yield row["file"], row["label"], box


def _grouped(rows: Iterable[tuple[str, str, Box]]) -> Iterator[Truth]:
    photos: dict[str, list[tuple[str, Box]]] = {}
    for file, label, box in rows:
        photos.setdefault(file, []).append((label, box))
    for file, found in photos.items():
        yield _largest(file, found)


def _largest(file: str, rows: list[tuple[str, Box]]) -> Truth:
    rows = [(label, box) for label, box in rows if box[2] > box[0] and box[3] > box[1]]
    if not rows:
        return Truth(file, "", [])
    label, _ = max(rows, key=lambda row: (row[1][2] - row[1][0]) * (row[1][3] - row[1][1]))
    return Truth(file, label, [box for name, box in rows if name == label])


if __name__ == "__main__":
    main()
