"""Tests of maps: random weights, replaced pixels, one changed pixel.

A map that explains a class score must change with the network's weights (Adebayo et al., 2018)
and with the class; the pixels that it ranks first should matter most to the class probability
(Petsiuk et al., 2018). Passing one test is no proof: an edge filter passes some of them. Each
measure returns one value an image; `deepinside.measures` gives their mean and its interval.
"""

import copy
from collections.abc import Sequence

import torch
from scipy.stats import spearmanr
from skimage.filters import sobel
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torchvision.transforms.v2.functional import gaussian_blur

from deepinside.arguments import check_generator, checked_map, number, shown, whole_number
from deepinside.class_score import (
    Target,
    broadcast_to_images,
    check_images,
    class_probability,
    target_classes,
)

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_IMAGES_A_PASS, _MOST_STEPS = 16, 10_000


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Return each map's rank correlation (Spearman) with the other map of its image, (N,).

    1 for the same order of the pixels, 0 for unrelated orders, -1 for the reverse; it is not
    the share of an order that is kept. Signed maps and their magnitudes, of one shape
    (N, ...), give different values. Chapter *Limits*.

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, or a map has a single value throughout and
        so no order.
    """
    shapes = [tuple(v.shape) if isinstance(v, Tensor) else shown(v) for v in (maps, others)]
    if shapes[0] != shapes[1] or not isinstance(maps, Tensor) or maps.ndim < 2:
        raise ValueError(f"expected maps of one shape (N, ...), got {shapes[0]} and {shapes[1]}")
    flat = (values.flatten(1) for values in (maps, others))
    # ranks may be given as whole numbers
    given = (v.double() if v.dtype in _WHOLE else v for v in flat)
    pair = [checked_map(values, "N, pixels", what="finite maps").cpu() for values in given]
    for values in pair:
        low, high = values.aminmax(dim=1)
        if not (low < high).all():
            raise ValueError("expected finite maps with an order of pixels, got one value all over")
    images = zip(*(values.numpy() for values in pair), strict=True)
    return torch.tensor([spearmanr(*image).statistic for image in images], dtype=torch.float64)


def edge_maps(images: Tensor) -> Tensor:
    """Return how strong the edges of images (N, C, H, W) are, (N, H, W), by a Sobel filter.

    A map that knows no network, and the control of those that do. Of images of half precision
    in float32. Chapter *Limits*.
    """
    values = checked_map(images, "N, C, H, W", what="images")
    if values.abs().max() > 1000:  # a filter's squares of much larger ones are infinite
        raise ValueError(f"expected images in [0, 1], got up to {values.abs().max():.4g}")
    grays = values.mean(1)
    edges = [torch.from_numpy(sobel(gray.numpy())) for gray in grays.cpu()]
    return torch.stack(edges).to(grays.device)


def blurred(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) blurred until no class is seen, as pixels are replaced by them.

    With a standard deviation of 12 pixels, for images of 224 x 224. Chapter *Limits*.
    """
    values = checked_map(images, "N, C, H, W", what="images")
    if min(values.shape[2:]) < 26:
        size = tuple(values.shape[2:])
        raise ValueError(f"expected images of at least 26 x 26 pixels to blur, got {size}")
    return gaussian_blur(values, [51, 51], [12.0, 12.0]).to(images.dtype)


def layers_top_down(network: nn.Module) -> list[str]:
    """Return the names of the layers with a kernel or a matrix, the class scores' first.

    Convolutions, fully connected and attention layers, and whatever else has a parameter of
    two axes or more, such as a table of positions; no normalization, and no gains, such as
    ConvNeXt's (C, 1, 1). In the reverse of the order in which the network registers them, which
    in networks of one path is that of the forward pass. So it is in SqueezeNet, where of the
    two convolutions that stand side by side in a fire module neither is above the other.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network as an nn.Module, got {shown(network)}")
    unknown = [
        name
        for name, layer in network.named_modules()
        if type(layer).__module__.startswith("torch.ao.nn.quantized")
        or any(is_lazy(values) or values.is_meta for values in layer.parameters(recurse=False))
    ]
    if unknown:
        raise ValueError(f"expected layers with weights of floats, got others: {unknown}")
    return [
        name
        for name, layer in network.named_modules()
        if ".parametrizations." not in f".{name}."
        and any(_is_weight(layer, values) for values in _own_values(layer))
    ][::-1]


def _own_values(layer: nn.Module) -> list[Tensor]:
    """Return a layer's own parameters, those that its weights are computed from among them."""
    own: list[Tensor] = [*layer.parameters(recurse=False)]
    if is_parametrized(layer):
        own += layer.get_submodule("parametrizations").parameters()
    # a weight that is no parameter
    kept = vars(layer).get("weight", layer._buffers.get("weight"))
    return [*own, kept] if isinstance(kept, Tensor) else own


def _is_weight(layer: nn.Module, values: Tensor) -> bool:
    """Return whether a layer's own parameter is a kernel, matrix or table: no gain, no bias."""
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm) or values.ndim < 2:
        return False
    return isinstance(layer, nn.Conv2d | nn.Linear) or values.shape[1:].numel() > 1


def _make_plain(layer: nn.Module) -> None:
    """Turn weights that are computed from others into parameters, with the values they have."""
    before, learns = [*layer.parameters()], any(p.requires_grad for p in layer.parameters())
    if is_parametrized(layer):
        # torch's own function would change the class, which the layer shares with its copies
        computed = dict(layer.get_submodule("parametrizations").named_children())
        values = {name: getattr(layer, name) for name in computed}
        layer.__class__ = type_before_parametrizations(layer)
        delattr(layer, "parametrizations")
        for name, value in values.items():
            layer.register_parameter(name, nn.Parameter(value.clone()))
    for key, hook in [*layer._forward_pre_hooks.items()]:
        if isinstance(hook, WeightNorm | SpectralNorm | BasePruningMethod):
            hook.remove(layer)
            del layer._forward_pre_hooks[key]
    for parameter in layer.parameters(recurse=False):
        if all(parameter is not known for known in before):
            parameter.requires_grad_(learns)


def randomize_layers(
    network: nn.Module, names: list[str], *, generator: torch.Generator
) -> nn.Module:
    """Return a copy of a network in which the named layers have random weights.

    Weights are drawn as for a network with ReLU before its training (He et al., 2015), with
    variance 2 / inputs of a unit; biases are 0. Weights that were computed, as by weight or
    spectral normalization or from a mask, are plain ones in the copy. The gains and shifts of
    normalizations, which no name stands for, stay. Where scores come from a ReLU, as SqueezeNet's
    do, some are then 0, and so is their gradient. Chapter *Limits*.

    Raises
    ------
    ValueError
        If a name is none of `layers_top_down`.
    """
    known = layers_top_down(network)
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    unknown = [name for name in names if name not in known] if is_list else names
    if unknown or not is_list:
        raise ValueError(f"expected names of layers_top_down, got {shown(unknown)}")
    check_generator(generator)
    # what a layer remembers of a pass cannot be copied with its gradient
    own = (value for layer in network.modules() for value in vars(layer).values())
    kept = {id(v): v.detach().clone() for v in own if isinstance(v, Tensor) and v.grad_fn}
    with torch.inference_mode(False), torch.no_grad():
        randomized = copy.deepcopy(network, kept)
        for name in names:
            layer = randomized.get_submodule(name)
            _make_plain(layer)
            for values in _own_values(layer):
                if _is_weight(layer, values):
                    # drawn on the generator's device, so that a run repeats on any device
                    drawn = torch.empty(values.shape, dtype=torch.float32, device=generator.device)
                    nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=generator)
                    values.copy_(drawn)
                elif values.ndim < 2:
                    values.zero_()
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
        In how many equal shares the pixels go, 10,000 at most.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_score`, or if maps, replacement or steps are none.
    """
    check_images(network, images)
    expected = tuple(images[:, 0].shape)
    got = tuple(maps.shape) if isinstance(maps, Tensor) else shown(maps)
    if got != expected:
        raise ValueError(f"expected maps of shape {expected}, got {got}")
    maps = checked_map(maps, "N, H, W", what="maps").to(images.device)
    steps = whole_number(steps, "a number of steps", 1, _MOST_STEPS)
    others = broadcast_to_images(replacement, images, "replacement")
    check_images(network, others, "replacement images")
    classes = target_classes(network, images, target)
    # each pixel's place in the order, 0 for the highest
    places = maps.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1)
    counts = torch.arange(steps + 1, device=maps.device)[:, None] * places.shape[1] / steps
    curves = []
    for image, other, place, c in zip(images, others, places, classes.tolist(), strict=True):
        curve = []
        for count in counts.split(_IMAGES_A_PASS):
            gone = (place < count).view(-1, 1, *image.shape[1:])
            curve.append(class_probability(network, torch.where(gone, other, image), c))
        curves.append(torch.cat(curve))
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
    check_images(network, images)
    blank = broadcast_to_images(replacement, images, "replacement")
    check_images(network, blank, "replacement images")
    classes = target_classes(network, images, target)
    return deletion_curve(network, blank, maps, classes, replacement=images, steps=steps)


def area_under(curves: Tensor) -> Tensor:
    """Return the mean height of each curve (N, steps + 1), by trapezoids, (N,)."""
    curves = checked_map(curves, "N, steps + 1", what="curves")
    if curves.shape[1] < 2:
        raise ValueError(f"expected curves of two points or more, got {curves.shape[1]}")
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
    low, high = checked_map(images, "N, C, H, W", what="images").aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"expected images in [0, 1], got values from {low:.4g} to {high:.4g}")
    amount = number(amount, "an amount", 0, 0.5, above=True)
    check_generator(generator)
    count, _, height, width = images.shape
    places = torch.randint(height * width, (count,), generator=generator, device=generator.device)
    rows, columns = places.cpu() // width, places.cpu() % width
    changed, each = images.detach().clone(), torch.arange(count, device="cpu")
    pixels = changed[each, :, rows, columns]
    changed[each, :, rows, columns] = torch.where(pixels > 0.5, pixels - amount, pixels + amount)
    return changed, torch.stack([rows, columns], 1)
