"""Measure how well objects are found in a folder of photos with boxes.

BOXES is a folder of Pascal VOC XML files, a COCO JSON file, or a CSV file with the columns
file, label, x0, y0, x1, y1: one row per box, half-open, in pixels of the photo as it is seen, or
of a picture whose size is given in further columns width, height. An XML file belongs to the
picture beside it, or to the one at the same place below PHOTOS, or else to the only one of its
name. A label is the name of a class, its index or its WordNet id, or is listed in --classes. If a
photo has several labels, that of its largest box is evaluated; if that label stands for several
classes, the one with the highest score.

The measures are MaxBoxAccV2 and MaxBoxAcc (Choe et al., 2020); the share of photos whose box has
an IoU of at least 0.5 with a true box, first with the class given, then only if the class is also
the network's first or among its first five; and how often the map's maximum lies in a true box.
Each has a 95 % interval. `compare-localization` compares two files of results.

The output is a CSV file with one row per photo, written as it goes: started again, the command
continues where it was interrupted, and measures again what has changed. A photo that cannot be
read gets a row that says why, and is tried again next time.

Several processes share the photos, each with a GPU of its own if there are enough:

  torchrun --nproc-per-node 4 -m deepinside evaluate-localization PHOTOS --boxes BOXES
"""

import argparse
import os
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from deepinside.evaluation.annotations import read_classes, read_truths
from deepinside.evaluation.localization import Method, evaluate, merge, records
from deepinside.evaluation.methods import BOXES, MAPS
from deepinside.evaluation.summary import summary
from deepinside.networks import load_network
from deepinside.object_maps import SCALES
from deepinside.rows import claiming


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="PHOTOS", help="the folder of photos")
    add("--boxes", type=Path, required=True, help="VOC folder, COCO .json or .csv")
    add("--output", type=Path, default=Path("localization.csv"), help="default: %(default)s")
    add("--classes", type=Path, help="CSV with label,class_index; a label may have several rows")
    add("--network", default="efficientnet_lite0", help="default: %(default)s")
    add("--map", choices=MAPS, default="object_map", help="default: %(default)s")
    add("--box", choices=BOXES, default="", help="rule from map to box (default: the map's own)")
    add("--scales", type=float, nargs="+", default=SCALES, help="in sizes of the network's input")
    add("--batch-size", type=int, default=8, help="photos at once (default: %(default)s)")
    add("--workers", type=int, default=2, help="processes that read photos (default: %(default)s)")
    add("--device", help="cuda or cpu (default: a GPU if there is one)")
    # what it asked for is always measured now
    add("--top5", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Evaluate, show progress, and print the summary."""
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    default = "cpu"
    if torch.cuda.is_available():
        default = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    for name, least in (("batch-size", 1), ("workers", 0)):
        if (given := vars(options)[name.replace("-", "_")]) < least:
            raise ValueError(f"expected --{name} of at least {least}, got {given}")
    network = load_network(options.network)
    device = options.device or default
    try:
        network.to(device)
        network(torch.zeros(1, network.input_channels, *network.input_size, device=device)).cpu()
    except Exception as error:  # each device has its own
        first = str(error).partition("\n")[0]
        raise ValueError(f"expected a device that works here, got {device}: {first}") from error
    classes = read_classes(options.classes, network.class_names) if options.classes else {}
    method = Method(network, options.map, options.box, options.scales)
    method.check()
    truths = read_truths(options.boxes, options.folder)
    wanted = records(options.folder, truths, method, classes)
    if ranks > 1:
        # only to know when all are done, which may be days apart
        distributed.init_process_group("gloo", timeout=timedelta(days=7))
    with claiming(options.output) if rank == 0 else nullcontext():
        if rank == 0:
            merge(options.output, wanted, method.settings)
        if ranks > 1:
            distributed.barrier()
        evaluate(
            wanted,
            options.output,
            method,
            batch_size=options.batch_size,
            workers=options.workers,
            rank=rank,
            ranks=ranks,
        )
        if ranks > 1:
            distributed.barrier()
            distributed.destroy_process_group()
        if rank == 0:
            merge(options.output, wanted, method.settings)
            print(summary(options.output))
    return 0
