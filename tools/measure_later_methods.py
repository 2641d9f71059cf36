"""Measure the maps of later methods by the book's own tests, on photos with boxes.

``python tools/measure_later_methods.py FOLDER --rows FILE`` reads FOLDER/boxes.csv and
FOLDER/photos, as ``tools/measure_localization.py`` does, and of the photos that nothing was chosen
on takes the first 100 in the order of a hash of their names. FILE gets a row a photo and method
with the hits at every threshold, and a run that was ended goes on from it; once all is measured,
the record that comes with the package is written. ``--report`` prints means and intervals of the
record that is there. The photos stay where they are.
"""

import argparse
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from measure_localization import chosen_on, read_entries, read_photo
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from deepinside.class_activation import class_activation_map, guided_grad_cam
from deepinside.deconvnet import pseudo_gradient
from deepinside.evaluation.localization import ALL_IOUS
from deepinside.evaluation.methods import center_maps
from deepinside.images import Box, squashed
from deepinside.integrated_gradients import integrated_gradients
from deepinside.limits import (
    area_under,
    blurred,
    deletion_curve,
    edge_maps,
    insertion_curve,
    layers_top_down,
    randomize_layers,
    rank_correlation,
)
from deepinside.measures import (
    THRESHOLDS,
    Estimate,
    mean_interval,
    paired_interval,
    recorded_methods,
    threshold_overlaps,
)
from deepinside.networks import Network, load_network
from deepinside.occlusion import occlusion
from deepinside.rows import appending, claiming, read_rows, write_rows
from deepinside.saliency import saliency_map

OUTPUT = Path(__file__).resolve().parents[1] / "lib" / "deepinside" / "data" / "later_methods.csv"
MEASURES = (
    "deletion", "insertion", "edges", "second", "last_random", "all_random", "hits", "seconds"
)  # fmt: skip
COLUMNS = ("file", "method", *MEASURES)
# in place of `hits`, these at every IoU and threshold, as bits in hexadecimal
WORK_COLUMNS = ("max_box", *COLUMNS)
STEPS = 10
# CAM has a value for each cell of so many pixels a side
CELL = 32
# of which difference the interval is asked: a method, the other one, and by which measures
PAIRS = (
    ("cam", "center", ("deletion", "insertion", "hits")),
    ("cam", "gradient_coarse", MEASURES[:-1]),
    ("cam", "occlusion", MEASURES[:-1]),
    ("integrated_gradients", "gradient", MEASURES[:-1]),
    ("integrated_gradients_coarse", "gradient_coarse", MEASURES[:-1]),
    ("integrated_gradients_blurred", "integrated_gradients", MEASURES[:-1]),
    ("gradient_coarse", "gradient", MEASURES[:-1]),
    ("guided_grad_cam", "guided", MEASURES[:-1]),
)

# of a network, images (N, 3, H, W) and a class, maps (N, H, W)
Method = Callable[[Network, Tensor, int], Tensor]


def enlarged(maps: Tensor, images: Tensor) -> Tensor:
    """Return maps (N, h, w) at the images' size, bilinear."""
    return F.interpolate(maps[:, None], images.shape[2:], mode="bilinear")[:, 0]


def coarse(maps: Tensor) -> Tensor:
    """Return maps as coarse as CAM's: averaged over its cells, and enlarged as it is."""
    return enlarged(F.avg_pool2d(maps, CELL), maps[:, None])


def largest(signals: Tensor) -> Tensor:
    """Return the largest magnitude over the channels, as the paper reads its map."""
    return signals.abs().amax(1)


METHODS: dict[str, Method] = {
    "gradient": saliency_map,
    "guided": lambda network, images, target: largest(
        pseudo_gradient(network, images, target, rule="guided")
    ),
    "cam": lambda network, images, target: enlarged(
        class_activation_map(network, images, target), images
    ),
    "guided_grad_cam": lambda network, images, target: largest(
        guided_grad_cam(network, images, target)
    ),
    "integrated_gradients": lambda network, images, target: largest(
        integrated_gradients(network, images, target, baseline=torch.zeros(()))
    ),
    "integrated_gradients_blurred": lambda network, images, target: largest(
        integrated_gradients(network, images, target, baseline=blurred(images))
    ),
    "occlusion": lambda network, images, target: occlusion(
        network, images, target, replacement=torch.full((), 0.5), patch=56, stride=28
    ),
}
# maps that tell what being coarse does from what the method does
COARSE = {
    "gradient_coarse": "gradient",
    "integrated_gradients_coarse": "integrated_gradients",
}
# ... and maps that no network has a part in
CONTROLS = ("edges", "center", "random")
ALL_METHODS = (*METHODS, *COARSE, *CONTROLS)


def method_maps(network: Network, image: Tensor, target: int) -> dict[str, tuple[Tensor, float]]:
    """Return the map (1, H, W) of each method with a network, and its seconds of CPU."""
    found = {}
    for name, method in METHODS.items():
        start = time.process_time()
        found[name] = method(network, image, target), time.process_time() - start
    for name, fine in COARSE.items():
        maps, seconds = found[fine]
        found[name] = coarse(maps), seconds
    return found


def control_maps(network: Network, image: Tensor, file: str) -> dict[str, Tensor]:
    """Return the maps (1, H, W) that no network has a part in."""
    generator = torch.Generator().manual_seed(_hashed(file) % 2**32)
    side = image.shape[2] // CELL
    return {
        "edges": edge_maps(image),
        "center": center_maps(network, image, [0]),
        "random": enlarged(torch.rand(1, side, side, generator=generator), image),
    }


def measure_photo(
    networks: Mapping[str, Network], photo: Tensor, label: int, boxes: Sequence[Box], file: str
) -> list[dict[str, str]]:
    """Return a row for each method: what the book's tests say of its maps of one photo.

    Parameters
    ----------
    networks : mapping
        "trained", and "last_random" and "all_random", which have forgotten that much.
    photo : Tensor
        (3, H, W), RGB in [0, 1].
    label : int
        The class that the boxes are of; else maps are for the class of the highest score.
    boxes : sequence of Box
        In pixels of the photo.
    file : str
        The photo's name, from which the random map is drawn.
    """
    network = networks["trained"]
    image = squashed(network, [photo], network.input_size)
    with torch.no_grad():
        first, other = network(image)[0].topk(2).indices.tolist()
    asked = {"trained": ("trained", first), "second": ("trained", other)}
    asked |= {"label": ("trained", label)}
    asked |= {name: (name, first) for name in ("last_random", "all_random")}
    # the label is often one of the two classes, and its maps are then there
    found = {
        pair: method_maps(networks[pair[0]], image, pair[1])
        for pair in dict.fromkeys(asked.values())
    }
    controls = control_maps(network, image, file)
    rows = []
    for method in ALL_METHODS:
        row = {"file": file, "method": method}
        if method in controls:
            maps = labeled = controls[method]
        else:
            maps, seconds = found[asked["trained"]][method]
            labeled, _ = found[asked["label"]][method]
            row["seconds"] = f"{seconds:.3g}"
            for against in ("second", "last_random", "all_random"):
                row[against] = ranked(maps, found[asked[against]][method][0])
        row["edges"] = ranked(maps, controls["edges"])
        given, options = (network, image, maps, first), {"replacement": blurred(image)}
        for name, curve in {"deletion": deletion_curve, "insertion": insertion_curve}.items():
            row[name] = f"{area_under(curve(*given, **options, steps=STEPS)).item():.4f}"
        overlaps = threshold_overlaps(labeled[0], boxes, photo.shape[1:])[0]
        hits = torch.stack([overlaps >= least for least in ALL_IOUS])
        rows.append(row | {"max_box": np.packbits(hits.numpy()).tobytes().hex()})
    return rows


def ranked(maps: Tensor, others: Tensor) -> str:
    """Return the rank correlation of two maps, or nothing where one has no order of pixels."""
    if any(not values.min() < values.max() for values in (maps, others)):
        return ""
    return f"{rank_correlation(maps, others.to(maps)).item():.3f}"


def unpacked(rows: Sequence[Mapping[str, str]]) -> Tensor:
    """Return whether each photo is a hit, at each IoU and threshold, (N, 3, 255)."""
    packed = np.stack([np.frombuffer(bytes.fromhex(row["max_box"]), np.uint8) for row in rows])
    count = len(ALL_IOUS) * THRESHOLDS
    bits = np.unpackbits(packed, axis=1, count=count)
    return torch.from_numpy(bits).view(-1, len(ALL_IOUS), THRESHOLDS).bool()


def best_hits(hits: Tensor) -> Tensor:
    """Return each photo's share of IoUs with a hit at the threshold that is best for all, (N,).

    The mean over the photos is MaxBoxAccV2.
    """
    best = hits.sum(0).argmax(1)
    return hits[:, torch.arange(len(best)), best].double().mean(1)


def with_hits(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the rows of all photos with the hits that the best thresholds give."""
    done = [dict(row) for row in rows]
    for method in ALL_METHODS:
        own = [row for row in done if row["method"] == method]
        for row, value in zip(own, best_hits(unpacked(own)).tolist(), strict=True):
            row["hits"] = f"{value:.3f}"
    return done


def measure(folder: Path, path: Path, count: int) -> None:
    """Write what is measured of the first photos, as it goes, and then the record."""
    torch.set_num_threads(1)
    network = load_network()
    networks = {"trained": network}
    layers = layers_top_down(network)
    for name, some in {"last_random": layers[:1], "all_random": layers}.items():
        networks[name] = randomize_layers(network, some, generator=torch.Generator().manual_seed(0))
    entries = {Path(entry["file"]).name: entry for entry in read_entries(folder)}
    files = sorted((file for file in entries if not chosen_on(file)), key=_hashed)[:count]
    with claiming(path):
        rows = list(read_rows(path, WORK_COLUMNS))
        there = [row["file"] for row in rows]
        # a photo whose rows are not all there is measured again
        rows = [row for row in rows if there.count(row["file"]) == len(ALL_METHODS)]
        done = {row["file"] for row in rows}
        write_rows(path, WORK_COLUMNS, rows)
        with appending(path, WORK_COLUMNS) as append:
            for file in tqdm([file for file in files if file not in done], unit="photo"):
                entry = entries[file]
                photo = read_photo(folder / entry["file"])
                given = photo, entry["class_index"], entry["boxes_xyxy"], file
                for row in measure_photo(networks, *given):
                    append(row)
                    rows.append(row)
    write_rows(OUTPUT, COLUMNS, with_hits([row for row in rows if row["file"] in files]))


def report() -> None:
    """Print the mean of each measure of each method, and differences, with 95 % intervals."""
    rows = recorded_methods()
    print(f"{len({row['file'] for row in rows})} photos; of correlations, how many are missing")
    for measure in MEASURES:
        print(f"\n{measure}")
        for method in ALL_METHODS:
            values = list(_values(rows, method, measure).values())
            if values:
                missing = len(_values(rows, method, "deletion")) - len(values)
                note = f"; {missing} missing" if missing and measure != "seconds" else ""
                print(f"{method:30s} {_stated(mean_interval(values, generator=_seeded()))}{note}")
    print("\ndifferences on the same photos")
    for method, other, measures in PAIRS:
        for measure in measures:
            pair = [_values(rows, name, measure) for name in (method, other)]
            both = [file for file in pair[0] if file in pair[1]]
            values = [[some[file] for file in both] for some in pair]
            gain = paired_interval(*values, generator=_seeded())
            print(f"{method} - {other}, {measure:12s} {_stated(gain)}")


def _values(rows: Sequence[Mapping[str, str]], method: str, measure: str) -> dict[str, float]:
    """Return a measure of each photo that has it."""
    return {
        row["file"]: float(row[measure]) for row in rows if row["method"] == method and row[measure]
    }


def _stated(estimate: Estimate) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*estimate)


def _hashed(file: str) -> int:
    return int.from_bytes(hashlib.sha256(file.encode()).digest(), "big")


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="what is measured, as it goes")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.folder:
        if not options.rows:
            parser.error("FOLDER needs --rows")
        measure(options.folder, options.rows, options.photos)
    if options.report or options.folder:
        report()
