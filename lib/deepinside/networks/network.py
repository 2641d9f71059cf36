"""A frozen network, its first layer, and copies of it that share its weights."""

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import TypeVar

import torch
from torch import Tensor, nn

from deepinside.inference.packed import is_transformed
from deepinside.inference.preparation import prepare, remembered

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class Normalization(nn.Module):
    """The first layer: ``(images - mean) / std``.

    Parameters
    ----------
    mean : Tensor
        What the training subtracted, one value a channel (C, 1, 1) or a whole image (C, H, W):
        the mean of the training images, or a fixed gray as for EfficientNet-Lite.
    std : Tensor
        What the training then divided by, broadcast against `mean`: a deviation or a unit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalized images, (N, C, H, W), in the memory format of the network."""
        normalized = (images - self.mean) / self.std
        if is_transformed():
            return normalized
        return normalized.contiguous(memory_format=torch.channels_last)


def channel_normalization(
    mean: float | Sequence[float], std: float | Sequence[float]
) -> Normalization:
    """Return the first layer for one mean and one deviation a channel."""
    values = [torch.as_tensor(given, dtype=torch.float32).flatten() for given in (mean, std)]
    return Normalization(values[0][:, None, None], values[1][:, None, None])


def checked_size(input_size: Sequence[int]) -> tuple[int, int]:
    """Return (height, width), or raise a ValueError unless both are whole and at least 1."""
    sides = input_size if isinstance(input_size, Sequence) else ()
    if len(sides) != 2 or not all(isinstance(side, Integral) and side >= 1 for side in sides):
        raise ValueError(
            "expected two whole numbers of at least 1, an input_size as (height, width), got "
            f"{input_size!r}"
        )
    return int(sides[0]), int(sides[1])


class Network(nn.Module):
    """A frozen classifier: images in [0, 1], (N, C, H, W), to class scores, (N, classes).

    Attributes
    ----------
    name : str
        The name it was loaded by.
    class_names : tuple of str
        One name a class, in the order of the scores.
    input_size : tuple of int
        (height, width) of the images it takes.
    resized_side : int
        The shorter side of a photo, in pixels, before `input_size` is cropped from it.
    interpolation : str
        How a photo is resized, "bilinear" or "bicubic".
    normalization, layers : nn.Module
        The first layer and all others. ``normalization.mean`` is what the training subtracted.
    """

    def __init__(
        self,
        normalization: Normalization,
        layers: nn.Module,
        *,
        name: str,
        class_names: Sequence[str],
        input_size: tuple[int, int],
        resized_side: int,
        interpolation: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.class_names = tuple(class_names)
        self.input_size = input_size
        self.resized_side = resized_side
        self.interpolation = interpolation
        self.normalization = normalization
        image = normalization.mean.new_full((1, normalization.mean.shape[0], *input_size), 0.25)
        self.layers = prepare(layers, image=normalization(image))
        self.eval().requires_grad_(False)

    @property
    def input_channels(self) -> int:
        """3 for RGB, 1 for gray."""
        return self.normalization.mean.shape[0]

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores, (N, classes), of images (N, C, H, W).

        Raises
        ------
        ValueError
            If `images` is not a batch of the network's channels and input size.
        """
        expected = (self.input_channels, *self.input_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"{self.name} expected images of shape (N, {', '.join(map(str, expected))}), "
                f"got {tuple(images.shape)}" + _shape_hint(tuple(images.shape), expected)
            )
        return self.layers(self.normalization(images))


def copy_sharing_weights(network: AnyNetwork) -> AnyNetwork:
    """Return a copy of a network with the network's own weights, in evaluation mode.

    For whoever needs another mode, a hook or a rule: set on the copy, it is seen by nobody
    else, whatever other threads do with the network at the time. Parameters and buffers are
    shared; the modules, and the lists of their hooks, are copied.
    """
    kept: dict[int, object] = {}
    for module in network.modules():
        own: dict[str, object] = vars(module)
        kept |= {id(found): copy.copy(found) for k, found in own.items() if k.endswith("_hooks")}
        shared = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        kept |= {id(value): value for value in [*shared, *remembered(module)]}
    return copy.deepcopy(network, kept).eval()


def in_evaluation_mode(network: AnyNetwork) -> AnyNetwork:
    """Return a network itself, or if any part of it is in training mode a copy that is not.

    The copy is that of `copy_sharing_weights`: to switch the network itself to and fro would
    switch it under whoever else is using it.
    """
    trains = any(module.training for module in network.modules())
    return copy_sharing_weights(network) if trains else network


def _shape_hint(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return ": an image where a batch was meant? image[None] is a batch of one"
    if len(shape) == 4 and shape[3] == expected[0] and shape[1] != expected[0]:
        return ": channels come before height and width"
    if len(shape) == 4 and shape[1] == expected[0]:
        return ": deepinside.images.fit_photo resizes and crops a photo"
    return ""
