"""Draw the still picture of the page *Playground*: ``make book``.

It stands where the network in the page cannot run: on paper, without scripts, and in browsers
without the instructions that it needs. Each column shows what one of the four panels does.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from deepinside.class_model import class_model
from deepinside.deconvnet import reconstruction
from deepinside.digits import load_digits
from deepinside.images import fit_photo, load_photo
from deepinside.networks import load_network
from deepinside.plots import colored, image_panels, jpeg
from deepinside.saliency import saliency_map

PERCENTILE = 99.5  # of a map's values, at which its scale ends
STEPS = 200


def panels() -> dict[str, Tensor]:
    """Return by their titles the pictures of the first row, then those of the second."""
    digits, squeezenet = load_network("digits"), load_network("squeezenet")
    eight = load_digits().images[808]
    cat = fit_photo(load_photo("cat"), squeezenet)[0]
    eight_map, cat_map = (
        saliency_map(network, image[None])[0]
        for network, image in ((digits, eight), (squeezenet, cat))
    )
    grown = class_model(digits, "3", l2_weight=1.0, step_size=0.05, steps=STEPS, snapshots=41)
    layer = "layers.fire3"
    rebuilt = reconstruction(squeezenet, cat[None], layer, rule="guided")[0]
    return {
        "a digit": eight,
        "a photo": cat,
        f"3, after {int(grown.steps[1])} steps": grown.snapshots[1, 0],
        "the photo again": cat,
        "its saliency map": colored(eight_map, percentile=PERCENTILE),
        "the cat's map": colored(cat_map, percentile=PERCENTILE),
        f"after {STEPS} steps": grown.images[0],
        "from layer fire3": _on_gray(rebuilt),
    }


def _on_gray(signal: Tensor) -> Tensor:
    """Return a signal as a picture in which zero is middle gray."""
    return 0.5 + 0.5 * signal / torch.quantile(signal.abs().flatten()[::7], PERCENTILE / 100)


def main() -> None:
    """Draw it into the file that is named."""
    shown = panels()
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(image_panels([*shown.values()], [*shown], columns=4)))


if __name__ == "__main__":
    main()
