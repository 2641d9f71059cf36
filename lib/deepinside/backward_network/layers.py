"""The layers of the backward network (paper §4): each goes forward, and carries a signal back.

``forward`` returns the layer's output and what the way back needs of the image, the masks and
switches or only a size; ``carry_back`` takes the signal at the output, and that. It returns one
signal, for all that the layer reads; a concatenation returns one for each. Weights are those of
the modules that the layers are made from, and both directions are those of evaluation mode,
whatever mode the modules are in.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.deconvnet import passed_on, relu_shape
from deepinside.networks import Normalization


class ConvolutionLayer(nn.Module):
    """A convolution; backward, the flipped kernel: the paper's ``r * K^``."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        if convolution.padding_mode != "zeros":
            raise ValueError(f"expected padding with zeros, got {convolution.padding_mode!r}")
        self.convolution = convolution
        self.padding = _padding(convolution)

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the convolution, and the size of what came in."""
        return self.convolution(x), x.shape[2:]

    def carry_back(self, signal: Tensor, size: torch.Size) -> Tensor:
        """Return the signal, spread by the kernel."""
        convolution = self.convolution
        return _spread(
            signal,
            convolution.weight,
            size,
            stride=convolution.stride,
            padding=self.padding,
            dilation=convolution.dilation,
            groups=convolution.groups,
        )


class LinearLayer(nn.Module):
    """A fully connected layer; backward, its transposed matrix."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the layer's output; nothing need be kept."""
        return self.linear(x), None

    def carry_back(self, signal: Tensor, _: None) -> Tensor:
        """Return the signal times the matrix."""
        return signal @ self.linear.weight


class ScaleLayer(nn.Module):
    """Batch norm or normalization: a fixed factor a channel, the same in both directions."""

    def __init__(self, norm: nn.BatchNorm2d | nn.BatchNorm1d | Normalization) -> None:
        super().__init__()
        if not isinstance(norm, Normalization) and norm.running_var is None:
            raise ValueError("expected batch norm with running statistics, got one without")
        self.norm = norm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the layer's output; nothing need be kept."""
        norm = self.norm
        if isinstance(norm, Normalization):
            return norm(x), None
        statistics = (norm.running_mean, norm.running_var)
        return F.batch_norm(x, *statistics, norm.weight, norm.bias, eps=norm.eps), None

    def carry_back(self, signal: Tensor, _: None) -> Tensor:
        """Return the signal times the factor."""
        norm = self.norm
        if isinstance(norm, Normalization):
            return signal / norm.std
        factor = (norm.get_buffer("running_var") + norm.eps).rsqrt()
        factor = factor if norm.weight is None else factor * norm.weight
        return signal * _by_channel(factor, signal)


class ReLULayer(nn.Module):
    """A ReLU of any kind; backward, the mask of its `rule`."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        # of its own, to be neither in place nor in training mode; the slopes are the network's
        self.activation = copy.copy(activation)
        vars(self.activation).update(inplace=False, training=False)
        self.rule = "gradient"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activation, and that which tells where x is positive."""
        y, (slope, _) = self.activation(x), self._shape()
        # y lies above 0 and below the upper limit where x does, and the next layer has it anyway
        return y, y if isinstance(slope, float) and slope >= 0 else x

    def carry_back(self, signal: Tensor, kept: Tensor) -> Tensor:
        """Return the signal times the mask."""
        slope, upper = self._shape()
        if isinstance(slope, Tensor) and slope.numel() > 1:
            slope = _by_channel(slope, signal)
        return passed_on(kept, signal, self.rule, slope, upper)

    def _shape(self) -> tuple[float | Tensor, float | None]:
        return relu_shape(self.activation) or (0.0, None)


class MaxPoolLayer(nn.Module):
    """A max-pooling; backward, the signal goes to the switches, where each window's maximum was.

    Where windows overlap, a place can be the maximum of several. The gradient adds their
    signals; un-pooling by switches keeps one of them: `unpooling` is "add" or "overwrite".
    A pooling to a fixed size has switches, too; to 1 x 1, one for each channel.
    """

    def __init__(self, pool: nn.MaxPool2d | nn.AdaptiveMaxPool2d) -> None:
        super().__init__()
        if pool.return_indices:
            raise ValueError("expected max-pooling that returns only the maxima")
        self.pool = copy.copy(pool)  # of its own, to return the switches as well
        self.pool.return_indices = True
        self.unpooling = "add"

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
        """Return the maxima; and the switches, with the size of what came in."""
        y, switches = self.pool(x)
        return y, (switches, x.shape[2:])

    def carry_back(self, signal: Tensor, kept: tuple[Tensor, torch.Size]) -> Tensor:
        """Return the signal at the switches, and 0 elsewhere."""
        switches, size = kept
        empty = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
        write = empty.scatter_add if self.unpooling == "add" else empty.scatter
        return write(2, switches.flatten(2), signal.flatten(2)).unflatten(2, tuple(size))


class AveragePoolLayer(nn.Module):
    """An average pooling; backward, each window's signal in equal shares over the window."""

    def __init__(self, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = (
            (given, given) if isinstance(given, int) else given
            for given in (pool.kernel_size, pool.stride, pool.padding)
        )
        if pool.ceil_mode or (any(self.padding) and not pool.count_include_pad):
            raise ValueError(f"expected average pooling whose windows are all alike, got {pool}")
        self.pool = pool
        self.count = pool.divisor_override or self.kernel_size[0] * self.kernel_size[1]

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the averages, and the size of what came in."""
        return self.pool(x), x.shape[2:]

    def carry_back(self, signal: Tensor, size: torch.Size) -> Tensor:
        """Return the signal, spread by a kernel of equal shares."""
        channels = signal.shape[1]
        shares = torch.full((channels, 1, *self.kernel_size), 1 / self.count).to(signal)
        return _spread(
            signal, shares, size, stride=self.stride, padding=self.padding, groups=channels
        )


class AdaptivePoolLayer(nn.Module):
    """An average pooling to a fixed size; backward, equal shares over each window.

    Averaging rows, then columns, is one matrix from each side; backward, these transposed.
    """

    def __init__(self, pool: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the averages, and the size of what came in."""
        return self.pool(x), x.shape[2:]

    def carry_back(self, signal: Tensor, size: torch.Size) -> Tensor:
        """Return the signal between the two matrices."""
        rows, columns = (
            F.adaptive_avg_pool1d(torch.eye(full).to(signal), pooled)
            for full, pooled in zip(size, signal.shape[2:], strict=True)
        )
        return rows @ signal @ columns.T


class FlattenLayer(nn.Module):
    """Flattening; backward, the shape from before."""

    def __init__(self, flatten: nn.Flatten) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the flat values, and the shape from before."""
        return self.flatten(x), x.shape

    def carry_back(self, signal: Tensor, shape: torch.Size) -> Tensor:
        """Return the signal in that shape."""
        return signal.reshape(shape)


class SumLayer(nn.Module):
    """A sum of two layers' outputs; backward, the signal goes to both."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, None]:
        """Return the sum; nothing need be kept."""
        if x.shape != y.shape:
            raise ValueError(
                f"expected a sum of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        return x + y, None

    def carry_back(self, signal: Tensor, _: None) -> Tensor:
        """Return the signal, for each term."""
        return signal


class ConcatenationLayer(nn.Module):
    """Layers' outputs, joined; backward, each source's part of the signal."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: Tensor) -> tuple[Tensor, list[int]]:
        """Return the parts, joined, and how long each was."""
        return torch.cat(parts, self.dim), [part.shape[self.dim] for part in parts]

    def carry_back(self, signal: Tensor, lengths: list[int]) -> tuple[Tensor, ...]:
        """Return the signal, split into that of each part."""
        return signal.split(lengths, self.dim)


Pooling = MaxPoolLayer | AveragePoolLayer | AdaptivePoolLayer
Join = SumLayer | ConcatenationLayer
Layer = ConvolutionLayer | LinearLayer | ScaleLayer | ReLULayer | Pooling | FlattenLayer | Join


def _padding(convolution: nn.Conv2d) -> tuple[int, ...]:
    """Return the rows and columns of zeros on each side, also where they are given as a word."""
    if not isinstance(convolution.padding, str):
        return convolution.padding
    if convolution.padding == "valid":
        return (0, 0)
    spans = [
        d * (k - 1) for d, k in zip(convolution.dilation, convolution.kernel_size, strict=True)
    ]
    if any(span % 2 for span in spans):
        raise ValueError("expected padding that is the same on both sides, got an even kernel")
    return tuple(span // 2 for span in spans)


def _by_channel(values: Tensor, signal: Tensor) -> Tensor:
    """Return one value a channel, shaped to be multiplied with a signal, (N, C, ...)."""
    return values.view(-1, *[1] * (signal.ndim - 2))


def _spread(
    signal: Tensor,
    kernel: Tensor,
    size: torch.Size,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    """Return the transposed convolution of a signal, in the size that the convolution took."""
    left_out = []  # the rows and columns at the end that no window reached, whose signal is 0
    for i in range(2):
        window = dilation[i] * (kernel.shape[2 + i] - 1) + 1
        reached = stride[i] * (signal.shape[2 + i] - 1) + window
        left_out.append(size[i] + 2 * padding[i] - reached)
    return F.conv_transpose2d(
        signal,
        kernel,
        stride=stride,
        padding=padding,
        output_padding=left_out,
        groups=groups,
        dilation=dilation,
    )
