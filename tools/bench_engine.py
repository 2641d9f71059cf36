"""Time the network in the page beside onnxruntime-web: ``make bench``, which installs that.

Both run the same graph, forward and from a class score back to the image, on one thread of Node.
"""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from deepinside import images
from deepinside.backward_network import backward_network, export_onnx
from deepinside.description import network_description
from deepinside.digits import load_digits
from deepinside.networks import load_network

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FOLDER = ROOT / "_build" / "bench"
RUNTIME = "onnxruntime-web@1.30.0"
# network, the side of its images
CASES = (("digits", 28), ("squeezenet", 227), ("squeezenet", 160), ("squeezenet", 128))


def write_case(name: str, side: int) -> str:
    """Write a network's graph, description, and an image with its class; return their name."""
    network = load_network(name, input_size=(side, side))
    if name == "digits":
        image = load_digits().images[0]
    else:
        image = images.fit_photo(images.load_photo("coffee"), network)[0]
    fields, weights = network_description(network)
    case = {
        "description": fields,
        "weights": base64.b64encode(weights.numpy().astype("<f2").tobytes()).decode("ascii"),
        "shape": list(image.shape),
        "image": image.flatten().tolist(),
        "target": int(network(image[None]).argmax()),
    }
    title = f"{name}-{side}"
    (FOLDER / f"{title}.json").write_text(json.dumps(case), "utf-8")
    export_onnx(backward_network(network), FOLDER / f"{title}.onnx", images=image[None])
    return title


def main() -> None:
    """Write all cases, install the runtime, and time both."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "_build" / "web" / "kernels.wasm", FOLDER)
    (FOLDER / "package.json").write_text("{}", "utf-8")
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run([BIN / "npm", "install", *options, RUNTIME], cwd=FOLDER, check=True)
    with torch.no_grad():
        titles = [write_case(*case) for case in CASES]
    subprocess.run([BIN / "node", ROOT / "tools" / "bench_engine.mjs", FOLDER, *titles], check=True)


if __name__ == "__main__":
    main()
