"""Measure every step of the localization procedure on photos with boxes, and its controls.

``python tools/measure_localization.py FOLDER`` reads FOLDER/boxes.json, a list of `file`,
`source`, `boxes_xyxy` (pixels) and `class_index`, squashes each photo to 224 x 224, and
writes the IoU of each step, a row a photo. ``--report`` prints shares and intervals of the
file that is there. The photos stay where they are.
"""

import argparse
import csv
import json
import warnings
from pathlib import Path

import torch
from PIL import Image, ImageFile
from torch import Tensor

from deepinside.images import load_photo, squash_photo
from deepinside.localization import graph_cut_localization, threshold_localization
from deepinside.measures import best_iou, mean_interval, paired_interval
from deepinside.networks import Network, load_network
from deepinside.object_maps import SCALES, object_maps
from deepinside.saliency import saliency_map, smooth_grad

OUTPUT = (
    Path(__file__).resolve().parents[1] / "lib" / "deepinside" / "data" / "localization_iou.csv"
)
SIZE = (224, 224)
# a step and the one that its gain is counted from
STEPS = {
    "center box": None,
    "random map": None,
    "one pass, GraphCut": None,
    "squared SmoothGrad, GraphCut": "one pass, GraphCut",
    "one pass, Otsu": "one pass, GraphCut",
    "stages": "one pass, Otsu",
    "stages, mirrored": "stages",
    "stages, mirrored, three sizes": "stages, mirrored",
    "component of most saliency": "stages, mirrored, three sizes",
    "the same, wrong class": "component of most saliency",
    "the same, GraphCut": "component of most saliency",
}
# of all boxes around the middle, the side that serves best on these photos is searched for
SIDES = [side / 100 for side in range(50, 100, 5)]


def read_photo(path: Path) -> Tensor:
    """Return a photo; one that is cut short by a few bytes as far as it goes."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_photo(Image.open(path))


def maps_and_boxes(network: Network, photo: Tensor, target: int, seed: int) -> dict[str, tuple]:
    """Return the box of each step, in pixels of the squashed photo."""
    generator = torch.Generator().manual_seed(seed)
    image = squash_photo(photo, SIZE)
    one = saliency_map(network, image[None], target)[0]
    squared = smooth_grad(network, image[None], target, generator=generator, squared=True)[0]
    noise = torch.rand(14, 14, generator=generator)
    noise = torch.nn.functional.interpolate(noise[None, None], size=SIZE, mode="bilinear")[0, 0]
    wrong = int(torch.randint(1000, (1,), generator=generator))
    stages = object_maps(network, [photo], target, scales=[1], mirrored=False)[0]
    mirrored = object_maps(network, [photo], target, scales=[1])[0]
    best = object_maps(network, [photo], target, scales=SCALES)[0]
    other = object_maps(network, [photo], wrong, scales=SCALES)[0]
    found = {
        "random map": threshold_localization(noise),
        "one pass, GraphCut": graph_cut_localization(image, one),
        "squared SmoothGrad, GraphCut": graph_cut_localization(image, squared),
        "one pass, Otsu": threshold_localization(one),
        "stages": threshold_localization(stages),
        "stages, mirrored": threshold_localization(mirrored),
        "stages, mirrored, three sizes": threshold_localization(best),
        "component of most saliency": threshold_localization(best, by_saliency=True),
        "the same, wrong class": threshold_localization(other, by_saliency=True),
        "the same, GraphCut": graph_cut_localization(image, best, by_saliency=True),
    }
    return {step: one.box for step, one in found.items()}


def measure(folder: Path) -> None:
    """Write the IoU of each step on each photo."""
    network = load_network()
    rows, squashed = [], []
    for i, one in enumerate(json.loads((folder / "boxes.json").read_text("utf-8"))):
        photo = read_photo(folder / one["file"])
        height, width = photo.shape[1:]
        to = (SIZE[1] / width, SIZE[0] / height) * 2
        true = [tuple(v * s for v, s in zip(b, to, strict=True)) for b in one["boxes_xyxy"]]
        boxes = maps_and_boxes(network, photo, one["class_index"], i)
        rows.append({"file": one["file"], "source": one["source"]})
        rows[-1] |= {step: f"{best_iou(box, true):.3f}" for step, box in boxes.items()}
        squashed.append(true)
        print(f"{i + 1} photos", end="\r", flush=True)
    centers = {side: [best_iou(_center(side), true) for true in squashed] for side in SIDES}
    best = max(SIDES, key=lambda side: sum(value >= 0.5 for value in centers[side]))
    for row, value in zip(rows, centers[best], strict=True):
        row["center box"] = f"{value:.3f}"
    with OUTPUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["file", "source", *STEPS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def report() -> None:
    """Print the share of photos with an IoU of at least 0.5, and what each step adds."""
    with OUTPUT.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for source in ("all", *sorted({row["source"] for row in rows})):
        chosen = [row for row in rows if source in ("all", row["source"])]
        print(f"\n{source}, {len(chosen)} photos")
        for step, before in STEPS.items():
            hits = [float(float(row[step]) >= 0.5) for row in chosen]
            line = "{:.0%} ({:.0%} to {:.0%})".format(*mean_interval(hits, generator=_seeded()))
            if before:
                earlier = [float(float(row[before]) >= 0.5) for row in chosen]
                gain = paired_interval(hits, earlier, generator=_seeded())
                points = "{:+.0f} ({:+.0f} to {:+.0f})".format(*(100 * one for one in gain))
                line += f"; {points} points against {before}"
            print(f"{step:30s} {line}")


def _center(side: float) -> tuple[float, ...]:
    margin = (1 - side) / 2
    return (margin * SIZE[1], margin * SIZE[0], (1 - margin) * SIZE[1], (1 - margin) * SIZE[0])


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.folder:
        measure(options.folder)
    if options.report or options.folder:
        report()
