"""Pointwise convolutions whose weights are laid out once for the processor's vector units.

oneDNN, which computes torch's convolutions on a CPU, rearranges the weights at each call
and is not even used for a single image on one thread. A frozen network's weights stay as
they are, so they are rearranged once: for the forward pass, and transposed for the backward.
Torch has operators for this, but they are private: where a call of one fails, the convolution
is computed as any other.
"""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

# stride, padding, dilation and groups of a pointwise convolution
_POINTWISE = ([0, 0], [1, 1], [1, 1], 1)


class PackedConv2d(nn.Conv2d):
    """A frozen 1 x 1 convolution; the same function as the `nn.Conv2d` it was made from.

    Where packed weights cannot be used (another device or type, weights that require a
    gradient, tracing, the transforms of `torch.func`) it computes as any `nn.Conv2d`. Weights
    may be changed in any way, also through ``.data``: at each call they are compared with those
    that were packed.
    """

    _pack: "_Pack | None"

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (N, C, H, W)."""
        if not _serves(input, self.weight, self.bias):
            return nn.Conv2d.forward(self, input)
        try:
            pack = self._pack
            if pack is None or not pack.holds(self.weight):
                # one assignment, so that other threads see the old pack or the new one
                self._pack = pack = _Pack(self.weight, input.shape)
            return _Pointwise.apply(input, self.weight, self.bias, pack)
        except Exception:
            # the public operator raises as well if the input is to blame; else it is used for good
            result = nn.Conv2d.forward(self, input)
            self.__class__ = nn.Conv2d  # type: ignore[assignment]
            return result


def pack_pointwise(network: nn.Module) -> int:
    """Turn each 1 x 1 convolution of a frozen network into a packed one, in place.

    Returns
    -------
    int
        How many convolutions were replaced.
    """
    found = [module for module in network.modules() if _is_pointwise(module)]
    for module in found:
        module.__class__ = PackedConv2d
        # set now, as an attribute that appears later would disturb who copies the network
        vars(module)["_pack"] = None
    return len(found)


class _Pack:
    """A convolution's weights as oneDNN wants them, and as they were when packed."""

    def __init__(self, weight: Tensor, size: torch.Size) -> None:
        weight = weight.detach()
        outputs, inputs = weight.shape[:2]
        pack = torch.ops.mkldnn._reorder_convolution_weight
        transposed = weight.transpose(0, 1).contiguous()
        self.bits = _bits(weight).clone()
        self.forward = pack(weight.contiguous(), *_POINTWISE, [size[0], inputs, *size[2:]])
        self.backward = pack(transposed, *_POINTWISE, [size[0], outputs, *size[2:]])

    def holds(self, weight: Tensor) -> bool:
        """Return whether the weights are, to the bit, those that were packed."""
        return torch.equal(_bits(weight.detach()), self.bits)

    def __deepcopy__(self, memo: dict) -> "_Pack":
        """Return the pack itself: it never changes, and holds for all weights that are equal."""
        return self

    def __reduce__(self) -> tuple:
        """Leave the pack out of files, in which `None` stands for it."""
        return (type(None), ())


class _Pointwise(torch.autograd.Function):
    """A convolution by packed weights, whose backward is one by the transposed weights."""

    # `deconvnet` admits no function of which it does not know that it is linear
    has_rule = True

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        pack: _Pack,
    ) -> Tensor:
        ctx.weight, ctx.pack = weight, pack
        return _convolve(images, pack.forward, bias)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        back = None
        if not torch.is_grad_enabled():  # else asked for a derivative of the derivative
            with suppress(Exception):
                back = _carried_back(signal, ctx.weight, ctx.pack)
        return F.conv_transpose2d(signal, ctx.weight) if back is None else back, None, None, None


def _carried_back(signal: Tensor, weight: Tensor, pack: _Pack) -> Tensor:
    """Return the signal before the convolution, from those channels alone that have one.

    A class score's way back begins in one channel of a thousand. It is looked for only where
    one position gives hope, as looking everywhere takes time.
    """
    if 8 * signal[0, :, 0, 0].count_nonzero() < len(weight):
        channels = signal.abs().sum((0, 2, 3)).nonzero()[:, 0]
        if 8 * len(channels) < len(weight):
            return F.conv_transpose2d(signal[:, channels], weight[channels])
    return _convolve(signal, pack.backward, None)


def _convolve(images: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    convolution = torch.ops.mkldnn._convolution_pointwise
    return convolution(images, packed, bias, *_POINTWISE, "none", [], "")


def _bits(weight: Tensor) -> Tensor:
    """Return float32 weights as integers, two in one where possible, as these compare fast."""
    flat = weight.flatten()
    return flat.view(torch.int32 if flat.numel() % 2 else torch.int64)


def _serves(images: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Return whether a convolution can be computed by packed weights."""
    return (
        images.dtype is weight.dtype is torch.float32
        and images.is_cpu
        and weight.is_cpu
        and not weight.requires_grad
        and (bias is None or not bias.requires_grad)
        and not is_transformed()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined]
    )


def is_transformed() -> bool:
    """Return whether a transform of `torch.func` is under way, such as `grad` or `vmap`.

    Or derivatives are computed forward. They know no packed weights, and `vmap` no memory format.
    """
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0


def _is_pointwise(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and (
        (module.kernel_size, module.stride, module.padding, module.groups)
        == ((1, 1), (1, 1), (0, 0), 1)
    )
