"""A network as data: its layers in words, its weights as numbers of half precision.

Whoever reads this can go both ways through the network (paper §4) without torch and without
Python: the book's page *Playground* does so in the reader's browser.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deepinside.backward_network import layers
from deepinside.backward_network.tracing import steps
from deepinside.networks import Network, Normalization
from deepinside.networks.network import check_network


class Description(NamedTuple):
    """What `network_description` returns.

    Attributes
    ----------
    fields : dict
        What can be written as JSON: `name`, `input` as [channels, height, width],
        `resized_side`, `class_names` and `layers`, in the order of the forward pass. Each layer
        has a `name`, a `kind`, what it `reads` ("input" is the image), and what its kind needs;
        `weight` and `bias` are places in the weights, [first, count].
    weights : Tensor
        float16, (count,): each layer's weight, row by row, then its bias.
    """

    fields: dict[str, Any]
    weights: Tensor


def network_description(network: Network) -> Description:
    """Return a network's layers and weights, for a program that runs it without torch.

    The names are those of `backward_network`. Weights are rounded to float16, as which those that
    come with the package are stored anyway. Paper §4, chapter *Playground*.

    Parameters
    ----------
    network : Network
        Of convolutions, ReLU, max-pooling without padding, concatenations of channels, the mean or
        the maximum over all positions, flattening and fully connected layers.

    Raises
    ------
    ValueError
        If the network resizes photos in another way than bilinearly, or a layer is of another
        kind, has options that the description has no word for, or weights beyond float16.
    """
    check_network(network)
    if network.interpolation != "bilinear":
        raise ValueError(
            f"expected a network with bilinear interpolation, got {network.interpolation!r}"
        )
    stored = _Weights()
    described = []
    for name, layer, sources in steps(network):
        try:
            options = _options(layer, stored)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        described.append({"name": name, "reads": list(sources), **options})
    fields = {
        "name": network.name,
        "input": [network.input_channels, *network.input_size],
        "resized_side": network.resized_side,
        "class_names": list(network.class_names),
        "layers": described,
    }
    return Description(fields, stored.joined())


class _Weights:
    """Weights one after the other."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.count = 0

    def place(self, values: Tensor) -> list[int]:
        """Return where the values are from now on, [first, count]."""
        half = values.detach().cpu().half().flatten()
        if not half.isfinite().all():
            raise ValueError(
                "expected weights that float16 can hold, got values up to "
                f"{values.abs().max().item():.4g}"
            )
        first, self.count = self.count, self.count + half.numel()
        self.parts.append(half)
        return [first, half.numel()]

    def joined(self) -> Tensor:
        return torch.cat(self.parts) if self.parts else torch.empty(0, dtype=torch.float16)


def _options(layer: layers.Layer, stored: _Weights) -> dict[str, Any]:
    """Return the layer's kind and what this needs; a ValueError says what cannot be described."""
    describe = _DESCRIBED.get(type(layer))
    if describe is None:
        raise ValueError(f"expected a layer of a kind that can be described, got {_kind_of(layer)}")
    return describe(layer, stored)


def _kind_of(layer: layers.Layer) -> str:
    return type(layer).__name__.removesuffix("Layer")


def _normalization(layer: layers.ScaleLayer, _: _Weights) -> dict[str, Any]:
    norm = layer.norm
    if not isinstance(norm, Normalization):
        raise ValueError("expected no batch norm but one that follows a convolution, got another")
    values = {part: getattr(norm, part).flatten().tolist() for part in ("mean", "std")}
    return {"kind": "normalization", **values}


def _convolution(layer: layers.ConvolutionLayer, stored: _Weights) -> dict[str, Any]:
    convolution = layer.convolution
    if convolution.groups != 1 or convolution.dilation != (1, 1):
        raise ValueError(
            "expected a convolution of one group without dilation, got "
            f"groups={convolution.groups}, dilation={convolution.dilation}"
        )
    return {
        "kind": "convolution",
        "outputs": convolution.out_channels,
        "kernel": list(convolution.kernel_size),
        "stride": list(convolution.stride),
        "padding": list(layer.padding),
        **_weight_and_bias(convolution, convolution.out_channels, stored),
    }


def _linear(layer: layers.LinearLayer, stored: _Weights) -> dict[str, Any]:
    outputs = layer.linear.out_features
    return {
        "kind": "linear",
        "outputs": outputs,
        **_weight_and_bias(layer.linear, outputs, stored),
    }


def _weight_and_bias(
    module: nn.Conv2d | nn.Linear, outputs: int, stored: _Weights
) -> dict[str, list[int]]:
    bias = torch.zeros(outputs) if module.bias is None else module.bias
    return {"weight": stored.place(module.weight), "bias": stored.place(bias)}


def _relu(layer: layers.ReLULayer, _: _Weights) -> dict[str, Any]:
    if not isinstance(layer.activation, nn.ReLU):
        raise ValueError(f"expected a plain ReLU, got {layer.activation}")
    return {"kind": "relu"}


def _max_pooling(layer: layers.MaxPoolLayer, _: _Weights) -> dict[str, Any]:
    pool = layer.pool
    if isinstance(pool, nn.AdaptiveMaxPool2d):
        _check_size(pool)
        return {"kind": "maximum"}
    if _pair(pool.padding) != [0, 0] or _pair(pool.dilation) != [1, 1]:
        raise ValueError(f"expected max-pooling without padding and dilation, got {pool}")
    return {
        "kind": "max_pooling",
        "kernel": _pair(pool.kernel_size),
        "stride": _pair(pool.stride),
        "ceil_mode": pool.ceil_mode,
    }


def _average(layer: layers.AdaptivePoolLayer, _: _Weights) -> dict[str, Any]:
    _check_size(layer.pool)
    return {"kind": "average"}


def _flatten(layer: layers.FlattenLayer, _: _Weights) -> dict[str, Any]:
    if (layer.flatten.start_dim, layer.flatten.end_dim) != (1, -1):
        raise ValueError(f"expected flattening of all but the batch, got {layer.flatten}")
    return {"kind": "flatten"}


def _concatenation(layer: layers.ConcatenationLayer, _: _Weights) -> dict[str, Any]:
    # counted from the end, 1 is -3 among the axes of pictures
    if layer.dim not in (1, -3):
        raise ValueError(f"expected a concatenation of channels, dim 1, got dim {layer.dim}")
    return {"kind": "concatenation"}


def _check_size(pool: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) -> None:
    if pool.output_size not in (1, (1, 1)):
        raise ValueError(f"expected pooling over all positions, output_size 1, got {pool}")


def _pair(given: int | tuple[int, ...]) -> list[int]:
    return [given, given] if isinstance(given, int) else list(given)


_DESCRIBED: dict[type[nn.Module], Callable[[Any, _Weights], dict[str, Any]]] = {
    layers.ScaleLayer: _normalization,
    layers.ConvolutionLayer: _convolution,
    layers.LinearLayer: _linear,
    layers.ReLULayer: _relu,
    layers.MaxPoolLayer: _max_pooling,
    layers.AdaptivePoolLayer: _average,
    layers.FlattenLayer: _flatten,
    layers.ConcatenationLayer: _concatenation,
}
