"""Object maps: the paper's saliency map at several depths and sizes, for localization.

A saliency map at the pixels is grainy: its high values are scattered, and what lies above a
threshold falls into many small pieces. The same measure, ``max over channels of |dS_c/dX_n|``,
can be taken at the activation X_n of a hidden stage, which has fewer and larger positions, so
what lies above a threshold holds together. `object_maps` averages it over the last stages of
the network, over two sizes of the photo and over its mirror image. Nothing is trained, and all
photos have the same stages and sizes. The paper has none of this: object maps are ours.
"""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from deepinside.arguments import checked_map, full_precision, number, shown
from deepinside.class_score import Target, check_images, class_indices, target_classes
from deepinside.images import squashed
from deepinside.networks import Network, copy_sharing_weights
from deepinside.networks.network import check_network
from deepinside.networks.scores import check_scores, no_gradient
from deepinside.stages import Layout, layouts, listened_to, stages

# sizes of the photo, as shares of the network's input
SCALES = (1.0, 2.0)
# how many of the last; chosen on half of the photos of ILSVRC that the README describes
_STAGES = 3
# the sides must be multiples of what the network divides them by
_MULTIPLE = 32
# of a scaled photo; EfficientNet-Lite0's activations are then some 5 GB
_MOST_PIXELS = 4_000_000


def object_maps(
    network: Network,
    photos: Sequence[Tensor],
    target: Target = None,
    *,
    scales: Sequence[float] = SCALES,
    mirrored: bool = True,
    layers: Sequence[str] | None = None,
) -> Tensor:
    """Return saliency averaged over depths and sizes, one map a photo, (N, h, w).

    The photos are squashed to the network's input size times each scale; the maps of the last
    three stages, each divided by its mean, are averaged at the network's input size (h, w). So
    the mean of a map is 1, up to rounding and interpolation. Maps of a network of half precision
    are averaged in, and returned as, float32.

    Parameters
    ----------
    network, photos, target
        As for `find_object`; the photos may differ in size.
    scales : sequence of float
        Rounded to sides that are multiples of 32, of up to 4 million pixels together. 1 alone
        serves networks of one size.
    mirrored : bool
        Average with the map of the mirror image, which is mirrored back.
    layers : sequence of str, optional
        As for `stage_saliency`; without them the last three `stage_names`.

    Raises
    ------
    ValueError
        If photos, class, scales or layers are none; or if the network does not take images of
        the size of a scale.
    """
    check_network(network)
    is_list = isinstance(photos, Sequence) or (isinstance(photos, Tensor) and photos.ndim == 4)
    if not is_list or not len(photos):
        raise ValueError(f"expected a list of at least one photo (3, H, W), got {shown(photos)}")
    mean, size = network.normalization.mean, network.input_size
    scales = checked_scales(scales, size)
    unscaled = squashed(network, photos, size).to(mean)
    check_images(network, unscaled)
    classes = None if target is None else _given(network, target, len(photos))
    if layers is None:
        found = dict([*stages(network).items()][-_STAGES:])
    else:
        found = layouts(network, layers)
    if classes is None:
        classes = target_classes(network, unscaled)
    # one copy for all passes, whose layers are listened to
    network = copy_sharing_weights(network)
    seen = listened_to(network, [*found])
    total = full_precision(mean).new_zeros(len(photos), *size)
    for scale in scales:
        sides = size if scale == 1 else (_side(size[0] * scale), _side(size[1] * scale))
        images = unscaled if scale == 1 else squashed(network, photos, sides).to(mean)
        try:
            total += _averaged(_stage_saliency(network, images, classes, found, seen), size)
        except Exception as error:  # the network's own code raises what it likes
            if scale == 1:
                raise
            raise ValueError(
                f"expected scales=[1] for {network.name}, which takes images of {size} and fails "
                f"at {sides}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            ) from error
        if mirrored:
            maps = _stage_saliency(network, images.flip(-1), classes, found, seen)
            total += _averaged(maps, size).flip(-1)
    return total / (len(scales) * (1 + mirrored))


def stage_saliency(
    network: Network, images: Tensor, target: Target, layers: Sequence[str]
) -> list[Tensor]:
    """Return max over channels of ``|dS_c/dX_n|`` for the activation X_n of each layer.

    One forward and one backward pass serve all layers. A pass with a single image of noise
    comes before, to see their layouts.

    Parameters
    ----------
    network : Network
        Its layers are called directly, so the images may have any size they take.
    images : Tensor
        (N, 3, h, w), RGB in [0, 1].
    target : int, str, sequence or tensor
        The class, by index or name, one for all images or one each.
    layers : sequence of str
        Names of ``network.named_modules()`` that return activations (N, C, h_n, w_n),
        (N, h_n, w_n, C) or tokens (N, any others + h_n * w_n, C).

    Returns
    -------
    list of Tensor
        A map (N, h_n, w_n) for each layer, of float32 if the network has half precision.

    Raises
    ------
    ValueError
        If images, class or layers are none of these, or the scores do not depend on the images.
    """
    check_network(network)
    check_images(network, images)
    if images.shape[1] != network.input_channels:
        channels = network.input_channels
        raise ValueError(f"expected images (N, {channels}, h, w), got {tuple(images.shape)}")
    classes = _given(network, target, len(images))
    found = layouts(network, layers)
    network = copy_sharing_weights(network)
    seen = listened_to(network, layers)
    return _stage_saliency(network, images, classes, found, seen)


def stage_names(network: Network) -> list[str]:
    """Return the layers whose activations stand for the depths: `deepinside.stages.stages`."""
    return [*stages(network)]


def checked_scales(scales: Sequence[float], size: Sequence[int]) -> list[float]:
    """Return scales as floats; a ValueError says if one is none, or needs too much memory."""
    is_list = isinstance(scales, Collection) and getattr(scales, "ndim", 1) == 1
    if isinstance(scales, str) or not is_list or not len(scales):
        raise ValueError(f"expected a list of scales above 0, such as [1], got {shown(scales)}")
    # the network's own size is no matter of scales
    largest = max(1.0, (_MOST_PIXELS / math.prod(size)) ** 0.5)
    what = "a scale that memory allows,"
    return [number(scale, what, 0, largest, above=True) for scale in scales]


def _given(network: Network, target: Target, count: int) -> Tensor:
    indices = class_indices(target, count, network.class_names)
    return torch.tensor(indices, device=network.normalization.mean.device)


def _stage_saliency(
    network: Network,
    images: Tensor,
    classes: Tensor,
    found: dict[str, Layout],
    seen: dict[str, Tensor],
) -> list[Tensor]:
    """Return the maps of layers that are listened to, by one pass each way."""
    with torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        scores = network.layers(network.normalization(images))
        check_scores(scores, len(images))
        # a copy, as they may come from the caller's inference mode
        chosen = scores.gather(1, classes.clone()[:, None]).sum()
        if not chosen.requires_grad:
            raise no_gradient()
        gradients = torch.autograd.grad(chosen, [seen[name] for name in found])
    return [
        checked_map(
            layout.as_picture(gradient, images.shape[2:]).abs().amax(1),
            "N, h, w",
            what=f"the gradient at {name}",
        )
        for (name, layout), gradient in zip(found.items(), gradients, strict=True)
    ]


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


def _side(length: float) -> int:
    return max(1, round(length / _MULTIPLE)) * _MULTIPLE
