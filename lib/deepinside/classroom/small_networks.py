"""Tiny fixed networks in float64, for which the checks know the right result.

All their numbers are such that float32 holds them as well: the answer gets them in float32, and
the judge computes in float64. Each network is drawn anew at every call, from a generator of its
own, so that nothing an answer does to one affects the next.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def drawn(*shape: int, seed: int) -> Tensor:
    """Return standard normal values that depend on the seed alone, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).float().double()


def drawn_image(*shape: int, seed: int) -> Tensor:
    """Return an image of uniform values in [0, 1] that depend on the seed alone, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64).float().double()


def linear_network(weight: Tensor, bias: Tensor) -> nn.Sequential:
    """Return S(I) = w^T I + b from weights (classes, C, H, W) and biases (classes,)."""
    layer = nn.Linear(weight[0].numel(), len(weight), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight.flatten(1))
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer).eval().float().double()


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
    fill(network, 0.3, seed=100 * seed)
    with torch.no_grad():
        norm.weight.add_(1)
    norm.running_mean = 0.3 * drawn(4, seed=100 * seed + 90)
    norm.running_var = 0.5 + drawn(4, seed=100 * seed + 91).square()
    return network.eval().float().double()


def fill(network: nn.Module, deviation: float, *, seed: int) -> None:
    """Draw all parameters of a network, normal with one standard deviation."""
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            values = deviation * drawn(*parameter.shape, seed=seed + i)
            parameter.copy_(values.float())


def scored_images() -> list[tuple[nn.Sequential, Tensor, int]]:
    """Return networks, images and classes; no class is the one of the highest score."""
    cases = []
    for size, seed, classes in (((4, 6), 1, 5), ((5, 3), 2, 6)):
        network = relu_network(size, classes=classes, seed=seed)
        image = drawn_image(3, *size, seed=seed)
        with torch.no_grad():
            cases.append((network, image, network(image[None])[0].argsort()[-2].item()))
    return cases


def gradient(network: nn.Module, images: Tensor, objective: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the gradient of an objective of the scores, of a batch or of one image."""
    variable = images.clone().requires_grad_()
    scores = network(variable if images.ndim == 4 else variable[None])
    return torch.autograd.grad(objective(scores), variable)[0]


def class_gradient(
    network: nn.Module,
    images: Tensor,
    c: int,
    goal: Callable[[Tensor, int], Tensor] = lambda scores, _: scores,
) -> Tensor:
    """Return the gradient of class c's score, or of what else a goal makes of the scores."""
    return gradient(network, images, lambda scores: goal(scores, 1)[:, c].sum())


def halved(side: int, part: int) -> int:
    """Return where the middle part of a side begins, rounded down."""
    return (side - part) // 2


def rounded(side: int, part: int) -> int:
    """Return the same, rounded to the nearest whole number, and from the half to an even one."""
    return round((side - part) / 2)


MIRRORED_FIRST = (
    "The photo was mirrored before it was cut, so the crop in its middle lies a column beside that "
    "of the photo itself: cut each crop first, then mirror it."
)

# how else a student may find the middle: rounded up, to even, and with each side halved itself
OTHER_HALVES: tuple[Callable[[int, int], int], ...] = (
    lambda side, part: (side - part + 1) // 2,
    rounded,
    lambda side, part: side // 2 - part // 2,
)


def crop_places(
    photo: Tensor, size: tuple[int, int], middle: Callable[[int, int], int] = halved
) -> list[tuple[slice, slice]]:
    """Return where the corners and the middle of a photo lie: rows and columns of five crops."""
    (height, width), (h, w) = photo.shape[1:], size
    starts = [(top, left) for top in (0, height - h) for left in (0, width - w)]
    starts.append((middle(height, h), middle(width, w)))
    return [(slice(top, top + h), slice(left, left + w)) for top, left in starts]


def five_crops(
    photo: Tensor, size: tuple[int, int], middle: Callable[[int, int], int] = halved
) -> Tensor:
    """Return the crops of the four corners and the middle, (5, 3, h, w)."""
    places = crop_places(photo, size, middle)
    return torch.stack([photo[:, rows, columns] for rows, columns in places])
