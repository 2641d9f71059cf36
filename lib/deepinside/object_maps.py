"""Object maps: the paper's saliency map at several depths and sizes, for localization.

The gradient of a class score with respect to the pixels alternates in sign from pixel to
pixel and marks edges more than bodies. Taken with respect to the activation X_n of a
hidden stage, the same measure, ``max over channels of |dS_c/dX_n|``, is smoother and
fills the object. `object_map` averages it over the stages of the network, over three
sizes of the photo and over its mirror image; a box is read from it with Otsu's threshold.
Nothing is trained, and nothing chosen for the single photo.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.class_score import Target, class_indices, target_classes
from deepinside.images import squash_photo
from deepinside.networks import Network, copy_sharing_weights

# sizes of the photo, as shares of the network's input; each has twice the pixels of the last
SCALES = (1.0, 2**0.5, 2.0)
# the sides must be multiples of what the network divides them by
_MULTIPLE = 32


def object_maps(
    network: Network,
    photos: Sequence[Tensor],
    target: Target = None,
    *,
    scales: Sequence[float] = SCALES,
    mirrored: bool = True,
) -> Tensor:
    """Return saliency averaged over depths and sizes, one map a photo, (N, h, w).

    The photos are squashed to the network's input size times each scale; the maps of all
    stages, divided by their means, are averaged at the network's input size (h, w). So a
    value of 1 is the average of the picture.

    Parameters
    ----------
    network, photos, target
        As for `find_object`; the photos may differ in size.
    scales : sequence of float
        Rounded to sides that are multiples of 32. 1 alone serves networks of one size.
    mirrored : bool
        Average with the map of the mirror image, turned back.
    """
    if not len(photos) or not len(scales) or min(scales) <= 0:
        raise ValueError(f"expected photos and scales above 0, got {len(photos)} and {scales}")
    device, size = _device(network), network.input_size
    # one copy for all passes, whose layers are listened to
    network = copy_sharing_weights(network)
    squashed = _squashed(network, photos, size).to(device)
    classes = target_classes(network, squashed, target)
    names = stage_names(network)
    seen = _listened_to(network, names)
    total = torch.zeros((len(photos), *size), device=device)
    for scale in scales:
        sides = size if scale == 1 else (_side(size[0] * scale), _side(size[1] * scale))
        images = squashed if scale == 1 else _squashed(network, photos, sides).to(device)
        total += _averaged(_stage_saliency(network, images, classes, names, seen), size)
        if mirrored:
            maps = _stage_saliency(network, images.flip(-1), classes, names, seen)
            total += _averaged(maps, size).flip(-1)
    return total / (len(scales) * (1 + mirrored))


def stage_saliency(
    network: Network, images: Tensor, target: Target, layers: Sequence[str]
) -> list[Tensor]:
    """Return max over channels of ``|dS_c/dX_n|`` for the activation X_n of each layer.

    One forward and one backward pass for all layers.

    Parameters
    ----------
    network : Network
        Its layers are called directly, so the images may have any size they take.
    images : Tensor
        (N, 3, h, w), RGB in [0, 1].
    target : int, str, sequence or tensor
        The class, by index or name, one for all images or one each.
    layers : sequence of str
        Names of ``network.named_modules()`` that return activations (N, C, h_n, w_n).

    Returns
    -------
    list of Tensor
        A map (N, h_n, w_n) for each layer.
    """
    network = copy_sharing_weights(network)
    indices = class_indices(target, len(images), network.class_names)
    classes = torch.tensor(indices, device=_device(network))
    return _stage_saliency(network, images, classes, layers, _listened_to(network, layers))


def stage_names(network: Network) -> list[str]:
    """Return the layers whose activations stand for the depths of a network.

    For an EfficientNet all stages but the first; else the last activation of each
    resolution, from a quarter of the image's side down.
    """
    blocks = getattr(network.layers, "blocks", None)
    if isinstance(blocks, nn.Sequential):
        return [f"layers.blocks.{i}" for i in range(1, len(blocks))]
    network = copy_sharing_weights(network)
    leaves = [name for name, module in network.named_modules() if not list(module.children())]
    seen = _listened_to(network, leaves)
    weight = next(network.parameters())
    with torch.no_grad():
        network(weight.new_full((1, network.input_channels, *network.input_size), 0.5))
    last: dict[tuple[int, ...], str] = {}
    for name, output in seen.items():
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            last[tuple(output.shape[2:])] = name
    small = [name for size, name in last.items() if 4 * size[0] <= network.input_size[0] + 4]
    if not small:
        raise ValueError(f"expected a network with activations (N, C, h, w), got {network.name}")
    return small


def _listened_to(network: Network, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return where each pass leaves the outputs of these layers, in the order of the calls."""
    modules = dict(network.named_modules())
    unknown = [name for name in layers if name not in modules]
    if unknown or not len(layers):
        raise ValueError(f"expected names of modules of {network.name}, got {unknown or 'none'}")
    seen: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = output

        return keep

    for name in layers:
        modules[name].register_forward_hook(keeper(name))
    return seen


def _stage_saliency(
    network: Network,
    images: Tensor,
    classes: Tensor,
    layers: Sequence[str],
    seen: dict[str, Tensor],
) -> list[Tensor]:
    """Return the maps of layers that are listened to, by one pass each way."""
    with torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        scores = network.layers(network.normalization(images))
        chosen = scores.gather(1, classes[:, None]).sum()
        gradients = torch.autograd.grad(chosen, [seen[name] for name in layers])
    return [gradient.abs().amax(1) for gradient in gradients]


def _averaged(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return the mean over layers of the maps, each divided by its mean, at one size."""
    total = maps[0].new_zeros(len(maps[0]), 1, *size)
    for stage in maps:
        tiny = torch.finfo(stage.dtype).tiny
        relative = stage / stage.mean((1, 2), keepdim=True).clamp(min=tiny)
        total = total + F.interpolate(
            relative[:, None], size=size, mode="bilinear", align_corners=False
        )
    return total[:, 0] / len(maps)


def _squashed(network: Network, photos: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    interpolation = network.interpolation
    return torch.stack([squash_photo(photo, size, interpolation=interpolation) for photo in photos])


def _side(length: float) -> int:
    return max(1, round(length / _MULTIPLE)) * _MULTIPLE


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device
