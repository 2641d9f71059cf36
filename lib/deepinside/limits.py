"""Tests of maps: random weights, replaced pixels, one changed pixel.

A map that explains a class score must change with the network's weights (Adebayo et al., 2018)
and with the class; the pixels that it ranks first should matter most to the class probability
(Petsiuk et al., 2018). Passing one test is no proof: an edge filter passes some of them. Each
measure returns one value an image; `deepinside.measures` gives their mean and its interval.
"""

import copy

import torch
from scipy.stats import spearmanr
from skimage.filters import sobel
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from deepinside.class_score import Target, class_probability, target_classes

_IMAGES_A_PASS = 16


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Return each map's rank correlation (Spearman) with the other map of its image, (N,).

    1 for the same order of the pixels, 0 for unrelated orders, -1 for the reverse; it is not
    the share of an order that is kept. Signed maps and their magnitudes, of one shape
    (N, ...), give different values. Chapter *Limits*.

    Raises
    ------
    ValueError
        If the shapes differ, or a map has a single value throughout and so no order.
    """
    if maps.shape != others.shape or maps.ndim < 2:
        shapes = f"{tuple(maps.shape)} and {tuple(others.shape)}"
        raise ValueError(f"expected maps of one shape (N, ...), got {shapes}")
    pair = [values.detach().flatten(1).cpu() for values in (maps, others)]
    for values in pair:
        low, high = values.aminmax(dim=1)
        if not (low < high).all():
            raise ValueError("expected finite maps with an order of pixels, got one value all over")
    images = zip(*(values.numpy() for values in pair), strict=True)
    return torch.tensor([spearmanr(*image).statistic for image in images], dtype=torch.float64)


def edge_maps(images: Tensor) -> Tensor:
    """Return how strong the edges of images (N, C, H, W) are, (N, H, W), by a Sobel filter.

    A map that knows no network, and the control of those that do. Chapter *Limits*.
    """
    return torch.stack([torch.from_numpy(sobel(gray.numpy())) for gray in images.mean(1)])


def blurred(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) blurred until no class is seen, as pixels are replaced by them.

    With a standard deviation of 12 pixels, for images of 224 x 224. Chapter *Limits*.
    """
    return gaussian_blur(images, [51, 51], [12.0, 12.0])


def layers_top_down(network: nn.Module) -> list[str]:
    """Return the names of the layers with a kernel or a matrix, the class scores' first.

    Convolutions, fully connected and attention layers, and whatever else has a parameter of
    two axes or more, such as a table of positions; no normalization, and no gains, such as
    ConvNeXt's (C, 1, 1). In the reverse of the order in which the network registers them, which
    in networks of one path is that of the forward pass. So it is in SqueezeNet, where of the
    two convolutions that stand side by side in a fire module neither is above the other.
    """
    return [
        name
        for name, layer in network.named_modules()
        if any(_is_weight(layer, parameter) for parameter in layer.parameters(recurse=False))
    ][::-1]


def _is_weight(layer: nn.Module, parameter: nn.Parameter) -> bool:
    """Return whether a layer's own parameter is a kernel, matrix or table: no gain, no bias."""
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm) or parameter.ndim < 2:
        return False
    return isinstance(layer, nn.Conv2d | nn.Linear) or parameter.shape[1:].numel() > 1


def randomize_layers(
    network: nn.Module, names: list[str], *, generator: torch.Generator
) -> nn.Module:
    """Return a copy of a network in which the named layers have random weights.

    Weights are drawn as for a network with ReLU before its training (He et al., 2015), with
    variance 2 / inputs of a unit; biases are 0. The gains and shifts of normalizations, which
    no name stands for, stay. Where scores come from a ReLU, as SqueezeNet's do, some are then
    0, and so is their gradient. Chapter *Limits*.

    Raises
    ------
    ValueError
        If a name is none of `layers_top_down`.
    """
    unknown = set(names) - set(layers_top_down(network))
    if unknown:
        raise ValueError(f"expected names of layers_top_down, got {sorted(unknown)}")
    randomized = copy.deepcopy(network)
    with torch.no_grad():
        for name in names:
            layer = randomized.get_submodule(name)
            for parameter in layer.parameters(recurse=False):
                if _is_weight(layer, parameter):
                    # drawn on the generator's device, so that a run repeats on any device
                    drawn = torch.empty(parameter.shape, device=generator.device)
                    nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=generator)
                    parameter.copy_(drawn)
                elif parameter.ndim < 2:
                    parameter.zero_()
    return randomized


@torch.no_grad()
def deletion_curve(
    network: nn.Module,
    images: Tensor,
    maps: Tensor,
    target: Target = None,
    *,
    replacement: Tensor,
    steps: int = 20,
) -> Tensor:
    """Return the class probability while pixels are replaced, highest first, (N, steps + 1).

    The first value is that of the image, the last that of the replacement. A fast fall says
    that the probability needs the first pixels of the map. Chapter *Limits*.

    Parameters
    ----------
    network, images, target
        As for `deepinside.class_score.class_score`; without a target, the image's class.
    maps : Tensor
        (N, H, W): the order in which pixels go.
    replacement : Tensor
        What replaces a pixel, broadcast against `images`. The choice, such as black, blur
        or gray, changes the curve.
    steps : int
        In how many equal shares the pixels go.
    """
    if steps < 1:
        raise ValueError(f"expected at least 1 step, got {steps}")
    classes = target_classes(network, images, target)
    expected, got = tuple(images[:, 0].shape), tuple(maps.shape)
    if got != expected:
        raise ValueError(f"expected maps of shape {expected}, got {got}")
    # each pixel's place in the order, 0 for the highest
    places = maps.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1)
    counts = torch.arange(steps + 1, device=maps.device)[:, None] * places.shape[1] / steps
    curves, others = [], replacement.expand_as(images)
    for image, other, place, c in zip(images, others, places, classes.tolist(), strict=True):
        gone = (place < counts).view(-1, 1, *image.shape[1:])
        parts = torch.where(gone, other, image).split(_IMAGES_A_PASS)
        curves.append(torch.cat([class_probability(network, part, c) for part in parts]))
    return torch.stack(curves)


def insertion_curve(
    network: nn.Module,
    images: Tensor,
    maps: Tensor,
    target: Target = None,
    *,
    replacement: Tensor,
    steps: int = 20,
) -> Tensor:
    """Return the class probability while pixels are put back, highest first, (N, steps + 1).

    From the replacement to the image. A fast rise says that the first pixels of the map are
    enough for the probability, not that it needs them. Parameters and errors as for
    `deletion_curve`.
    """
    classes = target_classes(network, images, target)
    blank = replacement.expand_as(images)
    return deletion_curve(network, blank, maps, classes, replacement=images, steps=steps)


def area_under(curves: Tensor) -> Tensor:
    """Return the mean height of each curve (N, steps + 1), by trapezoids, (N,)."""
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


def change_one_pixel(
    images: Tensor, *, amount: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return copies in which one pixel is brighter or darker, and its (row, column), (N, 2).

    The place is drawn for each image. All channels of the pixel move by `amount` toward the
    middle, 0.5, so that they stay within [0, 1] for an amount of up to 0.5.

    Raises
    ------
    ValueError
        If the amount is not between 0 and 0.5.
    """
    if not 0 < amount <= 0.5:
        raise ValueError(f"expected an amount above 0 and at most 0.5, got {amount}")
    count, _, height, width = images.shape
    places = torch.randint(height * width, (count,), generator=generator, device=generator.device)
    rows, columns = places.cpu() // width, places.cpu() % width
    changed, each = images.detach().clone(), torch.arange(count)
    pixels = changed[each, :, rows, columns]
    changed[each, :, rows, columns] = torch.where(pixels > 0.5, pixels - amount, pixels + amount)
    return changed, torch.stack([rows, columns], 1)
