"""Tiny fixed networks in float64, on which the checks know the right result.

Each is drawn anew at every call, from a generator of its own, so that nothing that an
answer does to one reaches the next.
"""

import torch
from torch import Tensor, nn


def drawn(*shape: int, seed: int) -> Tensor:
    """Return standard normal values that depend on the seed alone, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def drawn_image(*shape: int, seed: int) -> Tensor:
    """Return an image of uniform values in [0, 1] that depend on the seed alone, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def linear_network(weight: Tensor, bias: Tensor) -> nn.Sequential:
    """Return S(I) = w^T I + b from weights (classes, C, H, W) and biases (classes,)."""
    layer = nn.Linear(weight[0].numel(), len(weight), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight.flatten(1))
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer).eval()


def relu_network(size: tuple[int, int], *, classes: int, seed: int) -> nn.Sequential:
    """Return a network of one convolution, batch norm, ReLU and a fully connected layer.

    From RGB images (N, 3, H, W) of a size (H, W) to scores (N, classes), in evaluation
    mode. Batch norm makes it another function in training mode.
    """
    norm = nn.BatchNorm2d(4)
    network = nn.Sequential(
        nn.Conv2d(3, 4, kernel_size=3, padding=1),
        norm,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * size[0] * size[1], classes),
    ).double()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(0.3 * drawn(*parameter.shape, seed=100 * seed + i))
        norm.weight += 1
        norm.running_mean.copy_(0.3 * drawn(4, seed=100 * seed + 90))
        norm.running_var.copy_(0.5 + drawn(4, seed=100 * seed + 91).square())
    return network.eval()
