"""Write the networks and photos of the page *Playground* into a folder: ``make book``.

Each is a classic script that calls a function of the page with what it holds. So a page that is
opened from the disk, which may not read a file, can load it as well.
"""

import base64
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from deepinside.description import network_description
from deepinside.digits import load_digits
from deepinside.images import load_photo, photo_credit, photo_names, resize_photo
from deepinside.networks import Network, load_network

NAMES = ("digits", "cluttered_digits", "squeezenet")
PHOTO_SIDE = 256  # pixels of the shorter side, to which SqueezeNet's photos are resized anyway
QUALITY = 90
SAMPLE = 8  # of each digit's hundred held-out images, the one that comes with the network


def network_script(network: Network, samples: Sequence[Tensor] = ()) -> str:
    """Return the script that hands a network's description and weights to the page.

    Parameters
    ----------
    samples : sequence of Tensor
        Images of 256 gray levels that come with the description, a byte a pixel, as base64.
    """
    fields, weights = network_description(network)
    if samples:
        levels = [(image * 255).round().byte().numpy() for image in samples]
        fields["samples"] = [_base64(image.tobytes()) for image in levels]
    packed = {"description": fields, "weights": _base64(weights.numpy().astype("<f2").tobytes())}
    return _call("networkArrived", network.name, packed)


def photos_script() -> str:
    """Return the script that hands the shipped photos to the page, as JPEG data URLs."""
    photos = {}
    for name in photo_names():
        title, author, terms = photo_credit(name)
        photos[name] = {"title": title, "credit": f"{author}, {terms}", "url": _data_url(name)}
    return _call("photosArrived", photos)


def _data_url(name: str) -> str:
    photo = resize_photo(load_photo(name), PHOTO_SIDE)
    pixels = (photo * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        file, "JPEG", quality=QUALITY, subsampling=0, optimize=True
    )
    return f"data:image/jpeg;base64,{_base64(file.getvalue())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _call(function: str, *arguments: object) -> str:
    texts = (
        json.dumps(argument, ensure_ascii=False, separators=(",", ":")) for argument in arguments
    )
    return f"{function}({', '.join(texts)});\n"


def main() -> None:
    """Write all of them into the folder that is named."""
    folder = Path(sys.argv[1])
    (folder / "networks").mkdir(parents=True, exist_ok=True)
    samples = {"digits": [*load_digits().images[SAMPLE::100]]}
    for name in NAMES:
        script = network_script(load_network(name), samples.get(name, ()))
        (folder / "networks" / f"{name}.js").write_text(script, "utf-8")
    # last, as its time tells `make` that all of them are there
    (folder / "photos.js").write_text(photos_script(), "utf-8")


if __name__ == "__main__":
    main()
