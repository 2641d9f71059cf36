"""A frozen network, its first layer, and copies of it that share its weights."""

import copy
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from deepinside.arguments import checked_map, shown, whole_number
from deepinside.inference.packed import is_transformed
from deepinside.inference.preparation import frozen_copy, prepare, remembered
from deepinside.networks.scores import check_scores, gradient_by

# of an image, in pixels: more take minutes and many gigabytes
_LARGEST_SIDE = 2048

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
        checked_map(mean, "C, H, W", what="a mean")
        if not isinstance(std, Tensor) or not std.isfinite().all() or not std.all():
            raise ValueError(f"expected a std as a tensor of finite values but 0, got {shown(std)}")
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.memory_format = torch.channels_last

    def forward(self, images: Tensor) -> Tensor:
        """Return normalized images, (N, C, H, W), in the memory format of the network."""
        normalized = (images - self.mean) / self.std
        if is_transformed():
            return normalized
        return normalized.contiguous(memory_format=self.memory_format)


def channel_normalization(
    mean: float | Sequence[float], std: float | Sequence[float]
) -> Normalization:
    """Return the first layer for one mean and one deviation a channel."""
    values = [
        torch.as_tensor(given, dtype=torch.float32, device="cpu").flatten() for given in (mean, std)
    ]
    return Normalization(values[0][:, None, None], values[1][:, None, None])


def checked_size(input_size: Iterable[int]) -> tuple[int, int]:
    """Return (height, width), or raise a ValueError unless both are whole and at least 1."""
    with suppress(TypeError, ValueError):
        height, width = (whole_number(side, "a side", 1, _LARGEST_SIDE) for side in input_size)
        return height, width
    raise ValueError(
        "expected two whole numbers of at least 1, an input_size as (height, width), got "
        f"{shown(input_size)}; {_LARGEST_SIDE} at most"
    )


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

    Raises
    ------
    ValueError
        If something is not of its kind, or the layers do not make scores of such images, finite
        and unnormalized, of two classes or more and with a gradient by the images.
    """

    def __init__(
        self,
        normalization: Normalization,
        layers: nn.Module,
        *,
        name: str,
        class_names: Iterable[str] | None,
        input_size: tuple[int, int],
        resized_side: int,
        interpolation: str,
    ) -> None:
        super().__init__()
        if not isinstance(normalization, Normalization) or not isinstance(layers, nn.Module):
            raise ValueError(
                "expected a Normalization and layers as an nn.Module, got "
                f"{type(normalization).__name__} and {type(layers).__name__}"
            )
        if not isinstance(name, str) or interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                'expected a name, and "bilinear" or "bicubic" as interpolation, got '
                f"{shown(name)} and {shown(interpolation)}"
            )
        self.name = name
        self.input_size = checked_size(input_size)
        self.resized_side = whole_number(resized_side, "a resized_side", 1)
        self.interpolation = interpolation
        with torch.inference_mode(False):
            # a copy, as a tensor that was made in inference mode has no gradient
            self.normalization = copy.deepcopy(normalization)
        scores, images = tried(layers, self.normalization, self.input_size, name, count=2)
        checked_gradient(scores, images, name)
        self.class_names = _checked_names(class_names, scores.shape[1])
        with _ordinary(images):
            failure: RuntimeError | None = None
            # with the second, slower one, a model may take a `.view` of what convolutions return
            for memory_format in (torch.channels_last, torch.contiguous_format):
                self.normalization.memory_format = memory_format
                image = self.normalization(images).detach()
                try:
                    self.layers = prepare(layers, image=image, memory_format=memory_format)
                    break
                except RuntimeError as error:
                    failure = error
            else:
                raise ValueError(
                    f"expected a {name} that gives one image the same scores each time, got "
                    f"{str(failure).partition(chr(10))[0]}, where no layer works in place"
                ) from failure
        self.eval().requires_grad_(False)

    @torch.inference_mode(False)
    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return a copy that has a gradient also if it is made in an inference mode."""
        memo[id(self)] = copied = self.__class__.__new__(self.__class__)
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied

    @property
    def input_channels(self) -> int:
        """3 for RGB, 1 for gray."""
        return self.normalization.mean.shape[0]

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores, (N, classes), of images (N, C, H, W).

        Raises
        ------
        ValueError
            If `images` is not a batch of the network's channels, input size, type and device.
        """
        expected, mean = (self.input_channels, *self.input_size), self.normalization.mean
        if not isinstance(images, Tensor) or (images.dtype, images.device) != (
            mean.dtype,
            mean.device,
        ):
            raise ValueError(
                f"{self.name} expected images as a tensor of {mean.dtype} on {mean.device}, got "
                f"{shown(images)}"
            )
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"{self.name} expected images of shape (N, {', '.join(map(str, expected))}), "
                f"got {tuple(images.shape)}" + _shape_hint(tuple(images.shape), expected)
            )
        return self.layers(self.normalization(images))


def check_network(network: object) -> None:
    """Raise a ValueError unless this is a `Network`, which knows its size, classes and layers."""
    if not isinstance(network, Network):
        got = type(network).__name__ if isinstance(network, nn.Module) else shown(network)
        raise ValueError(f"expected a Network, as load_network returns, got {got}")


def copy_sharing_weights(network: AnyNetwork) -> AnyNetwork:
    """Return a copy of a network with the network's own weights, in evaluation mode.

    For whoever needs another mode, a hook or a rule: set on the copy, it is seen by nobody
    else, whatever other threads do with the network at the time. Parameters and buffers are
    shared; the modules, and the lists of their hooks, are copied.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network as an nn.Module, got {shown(network)}")
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
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network as an nn.Module, got {shown(network)}")
    trains = any(module.training for module in network.modules())
    return copy_sharing_weights(network) if trains else network


def tried(
    layers: nn.Module,
    normalization: Normalization,
    size: tuple[int, int],
    name: str,
    *,
    count: int = 3,
) -> tuple[Any, Tensor]:
    """Return what layers make of images of noise, with its gradient, and these images.

    Each is of another scale, so that what holds for all of them is no chance.

    Raises
    ------
    ValueError
        If they take no such images.
    """
    if any(is_lazy(values) or values.is_meta for values in layers.parameters()):
        raise ValueError(
            f"expected a {name} with weights, got one whose weights are on no device or are made "
            "by its first pass: pass it a batch"
        )
    shape = (count, normalization.mean.shape[0], *size)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
    noise *= torch.tensor([1.0, 0.5, 0.1][:count], device="cpu")[:, None, None, None]
    with _ordinary(normalization.mean):
        images = noise.to(normalization.mean).requires_grad_()
        try:
            # as the layers are, images are laid out as everywhere in torch
            normalized = normalization(images)
            if normalized.shape != images.shape:
                raise ValueError(f"a mean of shape {tuple(normalization.mean.shape)}")
            output = frozen_copy(layers)(normalized.contiguous())
        except Exception as error:  # the layers' own code raises what it likes
            raise ValueError(
                f"expected a {name} that takes images {shape}, by input_size and the channels of "
                f"mean and std, got {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            ) from error
    return output, images


def checked_gradient(scores: Any, images: Tensor, name: str) -> Tensor:  # noqa: ANN401
    """Return the gradient by images of what has to be a classifier's scores of them."""
    check_scores(scores, len(images), name)
    if scores.shape[1] < 2:
        raise ValueError(
            f"expected {name} with two classes or more, got {scores.shape[1]}: 0 as the score of "
            "a second class leaves a sigmoid as it is"
        )
    # in a sum of all scores, their gradients might cancel
    weights = torch.linspace(1, 2, scores.shape[1], device=scores.device, dtype=scores.dtype)
    return gradient_by(scores * weights, images, name, finite=False)


def _checked_names(class_names: Iterable[str] | None, count: int) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    with suppress(TypeError):
        names = tuple(class_names)  # type: ignore[arg-type]
    # a set has no order
    are_names = not isinstance(class_names, Set) and all(isinstance(n, str) for n in names)
    if len(names) != count or not are_names:
        raise ValueError(
            f"expected class_names, a str for each of {count} classes, got {len(names)}: "
            f"{class_names!r:.60}"
        )
    return names


@contextmanager
def _ordinary(values: Tensor) -> Iterator[None]:
    """Compute with gradients and in the values' type, whatever mode the caller is in."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(values.device.type, enabled=False),
        torch.random.fork_rng(devices=[]),
    ):
        yield


def _shape_hint(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return ": an image where a batch was meant? image[None] is a batch of one"
    if len(shape) == 4 and shape[3] == expected[0] and shape[1] != expected[0]:
        return ": channels come before height and width"
    if len(shape) == 4 and shape[1] == expected[0]:
        return ": deepinside.images.fit_photo resizes and crops a photo"
    return ""
