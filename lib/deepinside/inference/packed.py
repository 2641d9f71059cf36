"""Pointwise convolutions whose weights are laid out once for the processor's vector units.

oneDNN, which computes torch's convolutions on a CPU, rearranges the weights at each call
and, for a single image on one thread, is not even asked. For the 1 x 1 convolutions of a
small network this costs up to half of their time. A frozen network's weights stay as they
are, so they are rearranged once: for the forward pass, and transposed for the backward.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_convolution_pointwise"
)
# stride, padding, dilation and groups of a pointwise convolution
_POINTWISE = ([0, 0], [1, 1], [1, 1], 1)
_SAMPLES = 16


class PackedConv2d(nn.Conv2d):
    """A frozen 1 x 1 convolution; the same function as the `nn.Conv2d` it was made from.

    Where the packed weights do not serve (another device or type, weights that require a
    gradient, tracing) it computes as any `nn.Conv2d`.
    """

    _packed: tuple[Tensor, Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (N, C, H, W)."""
        weight = self.weight
        if (
            input.dtype is not torch.float32
            or weight.dtype is not torch.float32
            or not (input.is_cpu and weight.is_cpu)
            or weight.requires_grad
            or (self.bias is not None and self.bias.requires_grad)
            or not torch.backends.mkldnn.enabled
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
        ):
            return super().forward(input)
        if self._packed is None or self._changed():
            self._pack(list(input.shape))
        return _Pointwise.apply(input, weight, self.bias, *self._packed)

    def _pack(self, size: list[int]) -> None:
        weight = self.weight.detach().contiguous()
        transposed = weight.transpose(0, 1).contiguous()
        pack = torch.ops.mkldnn._reorder_convolution_weight
        self._packed = (
            pack(weight, *_POINTWISE, size),
            pack(transposed, *_POINTWISE, [size[0], self.out_channels, *size[2:]]),
        )
        self._packed_from = (self.weight.data_ptr(), self.weight._version)
        self._watched = self.weight.detach().flatten()[:: max(1, weight.numel() // _SAMPLES)]
        self._watched_values = self._watched.clone()

    def _changed(self) -> bool:
        # changes in place count up the version, but not those made through `.data`
        made_from = (self.weight.data_ptr(), self.weight._version)
        return made_from != self._packed_from or not torch.equal(
            self._watched, self._watched_values
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the packed weights out of copies and files: they are made when needed."""
        made = ("_packed", "_watched")
        return {key: value for key, value in self.__dict__.items() if not key.startswith(made)}


def pack_pointwise(network: nn.Module) -> int:
    """Turn each 1 x 1 convolution of a frozen network into a packed one, in place.

    Returns
    -------
    int
        How many convolutions were turned: 0 where torch comes without oneDNN.
    """
    if not _AVAILABLE:
        return 0
    found = [module for module in network.modules() if type(module) is nn.Conv2d]
    found = [module for module in found if _is_pointwise(module)]
    for module in found:
        module.__class__ = PackedConv2d
    return len(found)


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and convolution.stride == (1, 1)
        and convolution.padding == (0, 0)
        and convolution.groups == 1
        and convolution.weight.dtype == torch.float32
    )


class _Pointwise(torch.autograd.Function):
    """A convolution by packed weights, whose backward is one by the transposed weights."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        packed: Tensor,
        transposed: Tensor,
    ) -> Tensor:
        ctx.weight, ctx.transposed = weight, transposed
        return _convolve(images, packed, bias)

    @staticmethod
    def backward(ctx: FunctionCtx, signal: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # asked for a derivative of the derivative
            return F.conv_transpose2d(signal, ctx.weight), None, None, None, None
        return _convolve(signal, ctx.transposed, None), None, None, None, None


def _convolve(images: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    convolution = torch.ops.mkldnn._convolution_pointwise
    return convolution(images, packed, bias, *_POINTWISE, "none", [], "")
