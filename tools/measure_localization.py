"""Measure every step of the localization procedure on photos with boxes, and its controls.

``python tools/measure_localization.py FOLDER ...`` reads each FOLDER/boxes.json, a list of
`file`, `source`, `boxes_xyxy` (pixels) and `class_index`, or FOLDER/boxes.csv, a row a box with
the columns file, label (an index of ImageNet), x0, y0, x1, y1; squashes each photo to 224 x 224,
and writes the IoU of each step, a row a photo. ``--report`` prints shares and intervals of the
file that is there. The photos stay where they are.
"""

import argparse
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageFile
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from deepinside.evaluation.annotations import read_truths
from deepinside.evaluation.methods import cam_maps, ten_crop_maps, whole_maps
from deepinside.images import Box, load_photo, squash_photo
from deepinside.localization import (
    graph_cut_localization,
    rescaled_box,
    threshold_localization,
)
from deepinside.measures import best_iou, mean_interval, paired_interval, recorded_iou
from deepinside.networks import Network, load_network
from deepinside.object_maps import object_maps, stage_names
from deepinside.rows import write_rows
from deepinside.saliency import saliency_map

OUTPUT = (
    Path(__file__).resolve().parents[1] / "lib" / "deepinside" / "data" / "localization_iou.csv"
)
SIZE = (224, 224)
# a step and the one that its gain is counted from
STEPS = {
    "whole picture": None,
    "center box": None,
    "random map": None,
    "one pass, GraphCut": None,
    "ten crops, GraphCut": "one pass, GraphCut",
    "CAM, Otsu": "whole picture",
    "one pass, Otsu": "one pass, GraphCut",
    "one pass, blurred, Otsu": "one pass, Otsu",
    "six stages": "one pass, blurred, Otsu",
    "last three stages": "six stages",
    "mirrored": "last three stages",
    "two sizes": "mirrored",
    "component of most saliency": "two sizes",
    "the same, wrong class": "component of most saliency",
    "the same, GraphCut": "component of most saliency",
}
# of all boxes around the middle, the side that serves best on these photos is searched for
SIDES = [side / 100 for side in range(50, 100, 5)]


def chosen_on(file: str) -> bool:
    """Return whether ways to find objects may be chosen by this photo; the others judge, once."""
    return hashlib.sha256(file.encode()).digest()[0] % 2 == 0


def read_photo(path: Path) -> Tensor:
    """Return a photo; one that is cut short by a few bytes as far as it goes."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_photo(Image.open(path))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """Return what boxes.json or boxes.csv of a folder tells of each photo."""
    if (folder / "boxes.json").exists():
        return json.loads((folder / "boxes.json").read_text("utf-8"))
    truths = read_truths(folder / "boxes.csv", folder / "photos")
    for truth in truths:
        if truth.problem:
            raise ValueError(truth.problem)
    return [
        {
            "file": f"photos/{truth.file}",
            "source": "ilsvrc",
            "boxes_xyxy": truth.boxes,
            "class_index": int(truth.label),
        }
        for truth in truths
    ]


def boxes_of_steps(network: Network, photo: Tensor, target: int, seed: int) -> dict[str, Box]:
    """Return the box of each step, in pixels of the squashed photo."""
    generator = torch.Generator().manual_seed(seed)
    image = squash_photo(photo, SIZE)
    one_pass = saliency_map(network, image[None], target)[0]
    crops = ten_crop_maps(network, [photo], [target])[0]
    noise = torch.rand(1, 1, 14, 14, generator=generator)
    noise = F.interpolate(noise, size=SIZE, mode="bilinear")[0, 0]
    wrong = int(torch.randint(1000, (1,), generator=generator))
    every, one = stage_names(network), {"scales": [1], "mirrored": False}
    best = object_maps(network, [photo], target)[0]
    other = object_maps(network, [photo], wrong)[0]
    maps = {
        "whole picture": whole_maps(network, [photo], [target])[0],
        "random map": noise,
        "one pass, Otsu": one_pass,
        "one pass, blurred, Otsu": blurred(one_pass),
        "six stages": object_maps(network, [photo], target, layers=every, **one)[0],
        "last three stages": object_maps(network, [photo], target, **one)[0],
        "mirrored": object_maps(network, [photo], target, scales=[1])[0],
        "two sizes": best,
    }
    by_saliency = {
        "CAM, Otsu": cam_maps(network, [photo], [target])[0],
        "component of most saliency": best,
        "the same, wrong class": other,
    }
    found = {step: threshold_localization(values) for step, values in maps.items()}
    found |= {
        step: threshold_localization(values, by_saliency=True)
        for step, values in by_saliency.items()
    }
    found |= {
        "one pass, GraphCut": graph_cut_localization(image, one_pass),
        "ten crops, GraphCut": graph_cut_localization(image, crops),
        "the same, GraphCut": graph_cut_localization(image, best, by_saliency=True),
    }
    return {step: localization.box for step, localization in found.items()}


def blurred(saliency: Tensor) -> Tensor:
    """Return a map as coarse as the middle stages', 14 x 14, smooth between: depth left out."""
    coarse = F.avg_pool2d(saliency[None, None], 16)
    return F.interpolate(coarse, size=saliency.shape, mode="bilinear")[0, 0]


def measure(folders: list[Path]) -> None:
    """Write the IoU of each step on each photo; of center boxes that which serves a source best."""
    network = load_network()
    rows: list[dict[str, str]] = []
    truths: list[list[Box]] = []
    for folder in folders:
        for i, entry in enumerate(tqdm(read_entries(folder), unit="photo")):
            photo = read_photo(folder / entry["file"])
            true = [rescaled_box(box, photo.shape[1:], SIZE) for box in entry["boxes_xyxy"]]
            boxes = boxes_of_steps(network, photo, entry["class_index"], i)
            overlaps = {step: written(best_iou(box, true)) for step, box in boxes.items()}
            file, source = Path(entry["file"]).name, entry["source"]
            half = {True: "choose", False: "judge"}[chosen_on(file)] if source == "ilsvrc" else ""
            rows.append({"file": file, "source": source, "half": half} | overlaps)
            truths.append(true)
    add_center_boxes(rows, truths)
    write_rows(OUTPUT, ["file", "source", "half", *STEPS], rows)


def written(overlap: float) -> str:
    """Return three digits, or a fourth where rounding could make a hit of a miss."""
    short = f"{overlap:.3f}"
    return f"{overlap:.4f}" if short == "0.500" else short


def add_center_boxes(rows: list[dict[str, str]], truths: list[list[Box]]) -> None:
    """Add the IoU of the box around the middle whose side serves most photos of a source."""
    for source in {row["source"] for row in rows}:
        chosen = [i for i, row in enumerate(rows) if row["source"] == source]
        overlaps = [[best_iou(_center(side), truths[i]) for i in chosen] for side in SIDES]
        best = max(overlaps, key=lambda some: sum(overlap >= 0.5 for overlap in some))
        for i, overlap in zip(chosen, best, strict=True):
            rows[i]["center box"] = written(overlap)


def report() -> None:
    """Print the share of photos with an IoU of at least 0.5, and what each step adds."""
    rows = recorded_iou()
    parts = {
        source: [row for row in rows if row["source"] == source]
        for source in sorted({row["source"] for row in rows})
    }
    parts["ilsvrc, kept to judge by"] = [row for row in rows if row["half"] == "judge"]
    for part, chosen in parts.items():
        print(f"\n{part}, {len(chosen)} photos")
        for step, before in STEPS.items():
            hits = _hits(chosen, step)
            line = "{:.0%} ({:.0%} to {:.0%})".format(*mean_interval(hits, generator=_seeded()))
            if before:
                gain = paired_interval(hits, _hits(chosen, before), generator=_seeded())
                points = "{:+.0f} ({:+.0f} to {:+.0f})".format(*(100 * share for share in gain))
                line += f"; {points} points against {before}"
            print(f"{step:30s} {line}")


def _hits(rows: list[dict[str, str]], step: str) -> list[float]:
    return [float(float(row[step]) >= 0.5) for row in rows]


def _center(side: float) -> Box:
    margin = (1 - side) / 2
    return (margin * SIZE[1], margin * SIZE[0], (1 - margin) * SIZE[1], (1 - margin) * SIZE[0])


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.folders:
        measure(options.folders)
    if options.report or options.folders:
        report()
