"""Prepare a frozen network once, so that every later pass through it is faster.

The function that the network computes stays the same; what changes is how it is
computed. Batch normalization of a frozen network is a fixed scale and shift of each
channel, so it is folded into the convolution before it. In-place layers are switched
off, as they overwrite the activations that later chapters look at.
"""

import copy
import math
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from deepinside.inference.packed import pack_pointwise
from deepinside.inference.recording import recorded_calls


def prepare(
    layers: nn.Module, *, image: Tensor, memory_format: torch.memory_format = torch.channels_last
) -> nn.Module:
    """Return a frozen copy of a network in evaluation mode, made ready for many passes.

    Parameters
    ----------
    layers : nn.Module
        Any classifier; it is left as it is.
    image : Tensor
        A batch of normalized images, (N, C, H, W), to compare both networks on.
    memory_format : torch.memory_format
        How the layers shall lay out activations. With channels last they are faster, but a
        ``.view`` after convolutions fails.

    Raises
    ------
    RuntimeError
        If the prepared network's scores differ from the original's by more than 1e-4 of
        the largest score: then preparing it has changed the function.
    """
    prepared = frozen_copy(layers)
    with torch.no_grad():
        # on a copy, as the first layer may work in place
        expected = prepared(image.clone(memory_format=torch.contiguous_format))
    for module in prepared.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    fold_batch_norm(prepared)
    make_padding_static(prepared, image)
    if memory_format is torch.channels_last:
        pack_pointwise(prepared)
    _keep_freed_memory()
    # folding leaves fresh modules behind, which are in training mode
    prepared.eval().to(memory_format=memory_format)
    with torch.no_grad():
        got = prepared(image)
    difference, largest = (got - expected).abs().max().item(), expected.abs().max().item()
    if not difference <= 1e-4 * largest:
        raise RuntimeError(
            f"preparing {type(layers).__name__} changed its scores: expected a difference of "
            f"at most 1e-4 times the largest, {largest:.3g}, got {difference:.3g}"
        )
    return prepared


def frozen_copy(layers: nn.Module) -> nn.Module:
    """Return a copy of layers in evaluation mode, whose weights require no gradient.

    Activations are laid out in memory with channels first, as a ``.view`` of them expects.
    """
    shared = {id(value): value for module in layers.modules() for value in remembered(module)}
    copied = copy.deepcopy(layers, shared).eval().requires_grad_(False)
    return copied.to(memory_format=torch.contiguous_format)


def remembered(module: nn.Module) -> list[Tensor]:
    """Return what a module remembers of a pass with its gradient, which cannot be copied."""
    values = vars(module).values()
    return [value for value in values if isinstance(value, Tensor) and value.grad_fn is not None]


def fold_batch_norm(network: nn.Module) -> int:
    """Fold each batch norm that directly follows a convolution into it, in place.

    A frozen batch norm is a scale and a shift of each channel, so the convolution can do both.
    The arithmetic is done in float64.

    Returns
    -------
    int
        How many batch norms were folded. It is 0 for a network whose forward pass
        cannot be traced, which is then left as it is.
    """
    modules = dict(network.named_modules())
    try:
        graph = recorded_calls(
            copy.deepcopy(network), lambda module: isinstance(module, nn.Conv2d | nn.BatchNorm2d)
        )
    except ValueError:
        return 0
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    folded = 0
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0] if node.args else node.kwargs["input"]
        if source.op != "call_module" or not isinstance(modules[source.target], nn.Conv2d):
            continue
        convolution, norm = modules[source.target], modules[node.target]
        once = calls[source.target] == calls[node.target] == 1 and len(source.users) == 1
        if not once or norm.running_var is None:
            continue
        _fold(convolution, norm)
        parent, _, name = node.target.rpartition(".")
        # timm's batch norm carries the activation that follows it
        setattr(modules[parent], name, getattr(norm, "act", nn.Identity()))
        folded += 1
    return folded


def make_padding_static(network: nn.Module, image: Tensor) -> int:
    """Replace padding that is computed at each call by the convolution's own, in place.

    The networks that come from TensorFlow pad an even input by one more pixel below and to
    the right than above and to the left. A convolution pads all sides alike; so where
    they differ, its kernel gets a first row and column of zeros in exchange.

    Returns
    -------
    int
        How many convolutions were changed.
    """
    sizes: dict[nn.Conv2d, tuple[int, int]] = {}

    def note_size(module: nn.Conv2d, inputs: tuple[Tensor]) -> None:
        sizes[module] = (inputs[0].shape[-2], inputs[0].shape[-1])

    found = [module for module in network.modules() if type(module).__name__ == "Conv2dSame"]
    hooks = [module.register_forward_pre_hook(note_size) for module in found]
    if found:
        with torch.no_grad():
            network(image)
    for hook in hooks:
        hook.remove()
    plain = {conv: size for conv, size in sizes.items() if set(conv.dilation) == {1}}
    for convolution, size in plain.items():
        _pad_statically(convolution, size)
    return len(plain)


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    exact = copy.deepcopy(convolution).double().eval(), copy.deepcopy(norm).double().eval()
    fused = fuse_conv_bn_eval(*exact).to(convolution.weight.dtype).requires_grad_(False)
    convolution.weight, convolution.bias = fused.weight, fused.bias


def _keep_freed_memory() -> None:
    """Let the C library keep freed blocks of up to 32 MB for the next pass.

    glibc gives a large block back to the system when it is freed, and the next pass pays
    for fresh pages: a quarter of the time of a single image. Freeing one block just below
    its limit raises the size from which it does so, once for the process. Elsewhere this
    does nothing.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8, device="cpu")


def _pad_statically(convolution: nn.Conv2d, size: tuple[int, int]) -> None:
    zeros, padding = [], []
    for length, kernel, stride in zip(
        size, convolution.kernel_size, convolution.stride, strict=True
    ):
        total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
        # one more after than before, if the total is odd
        zeros.append(total % 2)
        padding.append(total - total // 2)
    weight = F.pad(convolution.weight.detach(), (zeros[1], 0, zeros[0], 0))
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (weight.shape[2], weight.shape[3]),
        stride=(convolution.stride[0], convolution.stride[1]),
        padding=(padding[0], padding[1]),
        groups=convolution.groups,
        device="meta",
    )
    plain.weight = nn.Parameter(weight, requires_grad=False)
    plain.bias = convolution.bias
    # the module stays the same object, as its parent and its name refer to it
    convolution.__class__, convolution.__dict__ = nn.Conv2d, plain.__dict__
