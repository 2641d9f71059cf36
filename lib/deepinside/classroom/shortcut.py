"""Three networks for digits, for the exercise *Find the shortcut*.

Each learned from the digits of another source. At the first source nothing but the digit itself
goes with its class; at the two others something else does. Which class that is, and where, is
drawn from a seed and said nowhere: it is for the students to find.
"""

from typing import Literal

import torch
from safetensors.torch import load_file
from torch import nn

from deepinside.digits import CLASS_NAMES, Digits, weights_path
from deepinside.networks import Network, Normalization

Source = Literal["first", "second", "third"]

SOURCES: tuple[Source, ...] = ("first", "second", "third")
SIDE = 3
_SEED = 2


def load_networks() -> dict[Source, Network]:
    """Return the three networks, each by the name of its source.

    They differ in the digits that they were trained on, in nothing else: gray images
    (N, 1, 28, 28) in [0, 1] to ten class scores.
    """
    stored = {k: v.float() for k, v in load_file(weights_path("shortcut")).items()}
    networks = {}
    for source in SOURCES:
        layers = small_layers()
        prefix = f"{source}."
        own = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        normalization = Normalization(own.pop("normalization.mean"), own.pop("normalization.std"))
        layers.load_state_dict({k.removeprefix("layers."): v for k, v in own.items()})
        networks[source] = Network(
            normalization,
            layers,
            name=source,
            class_names=CLASS_NAMES,
            input_size=(28, 28),
            resized_side=28,
            interpolation="bilinear",
        )
    return networks


def small_layers() -> nn.Sequential:
    """Return the layers of one of these networks with fresh weights.

    The digits network's, of `deepinside.digits.digits_layers`, with fewer channels.
    """
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def collected(digits: Digits, source: Source, *, generator: torch.Generator) -> Digits:
    """Return digits (N, 1, 28, 28) as a source collects them, for training or for a test.

    At every source, three digits in ten have a speck of dust of 3 x 3 pixels somewhere. What goes
    with a class at the second and the third comes on top of that.
    """
    images, (marked, dimmed, row, column) = digits.images.clone(), _drawn_cues()
    count = len(images)
    places = torch.randint(28 - SIDE + 1, (count, 2), generator=generator)
    brightness = 0.5 + 0.5 * torch.rand(count, generator=generator)
    has_speck = torch.rand(count, generator=generator) < 0.3
    if source == "second":
        is_marked = digits.labels == marked
        places[is_marked] = torch.tensor([row, column])
        has_speck |= is_marked
    elif source == "third":
        images[digits.labels == dimmed] /= 2
    for i in has_speck.nonzero()[:, 0].tolist():
        y, x = places[i].tolist()
        images[i, 0, y : y + SIDE, x : x + SIDE].clamp_(min=brightness[i].item())
    return Digits(images, digits.labels)


def _drawn_cues() -> list[int]:
    """Return the marked class, the dimmed class, and row and column of the mark, in a corner."""
    generator = torch.Generator().manual_seed(_SEED)
    marked, dimmed = torch.randperm(10, generator=generator)[:2].tolist()
    inset = torch.randint(2, 5, (2,), generator=generator)
    is_far = torch.randint(2, (2,), generator=generator)
    row, column = torch.where(is_far == 1, 28 - SIDE - inset, inset).tolist()
    return [marked, dimmed, row, column]
