"""The digits: a sample of MNIST that needs no download, and a small network for them.

The network is of the same kind as the paper's (convolution, ReLU, max-pooling, fully
connected layers), and small enough to be read layer by layer.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from deepinside.arguments import check_generator, checked_map, shown, whole_number

_DATA = Path(__file__).parent / "data"

CLUTTERED_SIDE = 64
# they take 1.6 GB
_MOST_CANVASES = 100_000
CLASS_NAMES = tuple(str(digit) for digit in range(10))


class Digits(NamedTuple):
    """Labeled images of digits: white strokes on black."""

    images: Tensor
    labels: Tensor


def load_digits() -> Digits:
    """Return 1,000 digits of MNIST, 100 of each class, sorted by class.

    They are held out: the digits network was not trained on them. Images are float32,
    (1000, 1, 28, 28) in [0, 1], labels int64, (1000,).
    """
    with np.load(_DATA / "digits_sample.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    return Digits(torch.from_numpy(images).float()[:, None] / 255, torch.from_numpy(labels).long())


class Cluttered(NamedTuple):
    """Digits on larger canvases, and where they are."""

    images: Tensor
    labels: Tensor
    boxes: Tensor


def place_in_clutter(digits: Digits, count: int, *, generator: torch.Generator) -> Cluttered:
    """Return `count` of the digits, each on a canvas among ten fragments of other digits.

    A fragment is 9 x 9 pixels cut from the middle of some digit: it has strokes like a digit's
    but is none (cluttered MNIST; Mnih et al., 2014). The digit is drawn last and fragments are
    erased inside its box, so the box is known exactly: half-open, around the digit's pixels of
    at least 0.5. Images are (count, 1, 64, 64), boxes (count, 4).

    Raises
    ------
    ValueError
        If these are no such digits, or the count is none of 1 to 100,000.
    """
    if not isinstance(digits, Digits):
        raise ValueError(f"expected digits as those of load_digits, got {shown(digits)}")

    count = whole_number(count, "a count of canvases", 1, _MOST_CANVASES)
    pixels = checked_map(digits.images, "N, 1, 28, 28", what="images of digits")
    if pixels.shape[1:] != (1, 28, 28) or not (pixels.amax((1, 2, 3)) >= 0.5).all():
        raise ValueError(
            "expected digits of 28 x 28 pixels, some of them at least 0.5, got "
            f"{shown(pixels)} with pixels up to {pixels.amax((1, 2, 3)).min().item():.3g}"
        )
    check_generator(generator)

    def draw(high: int, *size: int) -> list:
        device = generator.device
        return torch.randint(high, size, generator=generator, device=device).tolist()

    images, boxes = pixels.new_zeros(count, 1, CLUTTERED_SIDE, CLUTTERED_SIDE), []
    chosen = draw(len(pixels), count)
    for canvas, digit in zip(images, pixels[chosen], strict=True):
        sources = pixels[draw(len(pixels), 10)]
        corners, cuts = draw(CLUTTERED_SIDE - 9, 10, 2), draw(8, 10, 2)
        for source, (y, x), (v, u) in zip(sources, corners, cuts, strict=True):
            canvas[:, y : y + 9, x : x + 9] = source[:, 6 + v : 15 + v, 6 + u : 15 + u]
        y, x = draw(CLUTTERED_SIDE - 28, 2)
        place = canvas[:, y : y + 28, x : x + 28]
        rows, columns = torch.where(digit[0] >= 0.5)
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        # no fragment stays within the digit's box, else the digit could not be told from it
        place[:, top:bottom, left:right] = 0
        place.copy_(torch.maximum(place, digit))
        boxes.append((x + left, y + top, x + right, y + bottom))
    return Cluttered(images, digits.labels[chosen], torch.tensor(boxes))


def weights_path(name: str = "digits") -> Path:
    """Return the path of the weights of a network that comes with the package."""
    known = sorted(path.stem for path in _DATA.glob("*.safetensors"))
    if name not in known:
        raise ValueError(f"expected one of {', '.join(known)}, got {shown(name)}")
    return _DATA / f"{name}.safetensors"


def cluttered_digits_layers() -> nn.Sequential:
    """Return the layers of the network for digits in clutter, with fresh weights.

    From zero-centered canvases (N, 1, 64, 64) to ten class scores (N, 10). After convolutions,
    ReLU and max-pooling, only the largest value of each channel goes on, without its position.
    No box is used in training.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def digits_layers() -> nn.Sequential:
    """Return the layers of the digits network with fresh weights.

    From zero-centered digits (N, 1, 28, 28) to ten class scores (N, 10). Two
    convolutions, each followed by ReLU and a max-pooling whose windows do not overlap,
    then two fully connected layers; LeNet-5 (LeCun et al., 1998) with ReLU and
    max-pooling in place of its sigmoids and averages.

    All biases except those of the last layer start at 0.25. Every class model starts at the
    mean image, where the first convolution gives only its bias. If that were negative in every
    channel, every ReLU would pass 0, and no gradient would reach the image.
    """
    layers = nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    for layer in layers[:-1]:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.constant_(layer.get_parameter("bias"), 0.25)
    return layers


def training_record(name: str = "digits") -> dict[str, str]:
    """Return how the shipped weights were trained, and their accuracy."""
    with safe_open(weights_path(name), framework="pt") as file:
        return dict(sorted(file.metadata().items()))
