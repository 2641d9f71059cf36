"""The digits: a sample of MNIST that needs no download, and a small network for them.

The network is of the kind that the paper's own network belongs to (convolution, ReLU,
max-pooling, fully connected layers), small enough to be read layer by layer.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

_DATA = Path(__file__).parent / "data"

CLASS_NAMES = tuple(str(digit) for digit in range(10))


class Digits(NamedTuple):
    """Labeled images of digits: white strokes on black."""

    images: Tensor
    labels: Tensor


def load_digits() -> Digits:
    """Return 1,000 digits of MNIST, 100 of each class, sorted by class.

    They are held out: the digits network was not trained on them.

    Returns
    -------
    Digits
        `images`, float32 of shape (1000, 1, 28, 28) in [0, 1], and `labels`, int64 of
        shape (1000,).
    """
    with np.load(_DATA / "digits_sample.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    return Digits(
        torch.from_numpy(images).float().div(255).unsqueeze(1),
        torch.from_numpy(labels).long(),
    )


def weights_path() -> Path:
    """Return the path of the shipped weights of the digits network (safetensors)."""
    return _DATA / "digits.safetensors"


def digits_layers() -> nn.Sequential:
    """Return the layers of the digits network with fresh weights.

    From zero-centered digits (N, 1, 28, 28) to ten class scores (N, 10). Two
    convolutions, each followed by ReLU and a max-pooling whose windows do not overlap,
    then two fully connected layers; LeNet-5 (LeCun et al., 1998) with ReLU and
    max-pooling in place of its sigmoids and averages.

    All biases but the last layer's start at 0.25: at the mean image, where every class
    model starts, a convolution gives nothing but its bias, and were that negative in every
    channel, no gradient would leave this image.
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
        if hasattr(layer, "bias"):
            nn.init.constant_(layer.bias, 0.25)
    return layers


def training_record() -> dict[str, str]:
    """Return how the shipped weights of the digits network were trained, and their accuracy."""
    with safe_open(weights_path(), framework="pt") as file:
        return dict(sorted(file.metadata().items()))
