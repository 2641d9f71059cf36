"""What is measured: maps of whole photos for a class, and boxes read from a map.

A map (h, w), at least 0, is that of the photo squashed to the network's input; a box is
half-open, in pixels of the map.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from deepinside.class_activation import class_activation_map, grad_cam
from deepinside.images import Box, squashed
from deepinside.integrated_gradients import integrated_gradients
from deepinside.localization import graph_cut_localization, threshold_localization
from deepinside.networks import Network
from deepinside.object_maps import object_maps
from deepinside.occlusion import occlusion
from deepinside.saliency import saliency_map, smooth_grad, ten_crop_saliency

# of photos (3, H, W) and a class for each, maps (N, h, w)
Maps = Callable[[Network, Sequence[Tensor], Sequence[int]], Tensor]
# of the centered Gaussian, in sides
CENTER_DEVIATION = 0.25


def gradient_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return saliency maps of the whole photos, from one pass. Paper §3.1."""
    return saliency_map(network, _images(network, photos), classes)


def ten_crop_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return saliency averaged over ten crops, mirror images included, as in the paper's §3.2."""
    maps = [
        ten_crop_saliency(network, photo.to(network.normalization.mean), target)
        for photo, target in zip(photos, classes, strict=True)
    ]
    return torch.cat([_sized(values[None], network, antialias=True) for values in maps])


def smooth_grad_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return SmoothGrad maps over 32 noisy copies, with the same noise for every photo."""
    maps = [
        smooth_grad(network, image[None], target, generator=torch.Generator().manual_seed(0))
        for image, target in zip(_images(network, photos), classes, strict=True)
    ]
    return torch.cat(maps)


def cam_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return class activation maps, shifted so that their lowest value is 0."""
    maps = _sized(class_activation_map(network, _images(network, photos), classes), network)
    return maps - maps.amin((1, 2), keepdim=True)


def grad_cam_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return Grad-CAM's maps."""
    return _sized(grad_cam(network, _images(network, photos), classes), network)


def integrated_gradients_maps(
    network: Network, photos: Sequence[Tensor], classes: Sequence[int]
) -> Tensor:
    """Return the channels' largest magnitude of integrated gradients from black."""
    images = _images(network, photos)
    black = torch.zeros_like(images)
    return integrated_gradients(network, images, classes, baseline=black).abs().amax(1)


def occlusion_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return occlusion maps of half-overlapping gray squares, shifted to a lowest value of 0."""
    images, patch = _images(network, photos), min(network.input_size) // 4
    gray = torch.full_like(images, 0.5)
    maps = occlusion(network, images, classes, replacement=gray, patch=patch, stride=patch // 2)
    return maps - maps.amin((1, 2), keepdim=True)


def center_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return a Gaussian around the middle, the same for every photo: a control."""
    height, width = network.input_size
    y, x = (torch.arange(side, dtype=torch.float32) + 0.5 - side / 2 for side in (height, width))
    exponent = (y[:, None] / height).square() + (x / width).square()
    return torch.exp(-exponent / (2 * CENTER_DEVIATION**2)).expand(len(photos), -1, -1)


def whole_maps(network: Network, photos: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    """Return a map whose box is the whole picture: a control.

    It is 1 except in one corner, as a flat map finds nothing, and points to the middle.
    """
    height, width = network.input_size
    whole = torch.ones(height, width, dtype=torch.float32)
    whole[0, 0], whole[height // 2, width // 2] = 0.0, 1.01
    return whole.expand(len(photos), -1, -1)


MAPS: dict[str, Maps] = {
    "object_map": object_maps,
    "gradient": gradient_maps,
    "ten_crops": ten_crop_maps,
    "smooth_grad": smooth_grad_maps,
    "cam": cam_maps,
    "grad_cam": grad_cam_maps,
    "integrated_gradients": integrated_gradients_maps,
    "occlusion": occlusion_maps,
    "center": center_maps,
    "whole": whole_maps,
}


def otsu_box(saliency: Tensor, image: Tensor) -> Box:
    """Return the box of `find_object`: Otsu's threshold, the component with the most saliency."""
    return threshold_localization(saliency, by_saliency=True).box


def graph_cut_box(saliency: Tensor, image: Tensor) -> Box:
    """Return the box of the paper's GraphCut, in the photo squashed to the map's size."""
    return graph_cut_localization(image, saliency).box


BOXES: dict[str, Callable[[Tensor, Tensor], Box]] = {"otsu": otsu_box, "graph_cut": graph_cut_box}
# maps of single pixels, which the paper cuts by color; the others have Otsu's threshold
CUT_BY_COLOR = ("gradient", "ten_crops", "smooth_grad", "integrated_gradients")


def _images(network: Network, photos: Sequence[Tensor]) -> Tensor:
    return squashed(network, photos, network.input_size).to(network.normalization.mean)


def _sized(maps: Tensor, network: Network, *, antialias: bool = False) -> Tensor:
    """Return maps (N, h_n, w_n) at the network's input size, (N, h, w), bilinear."""
    size = network.input_size
    return F.interpolate(maps[:, None], size, mode="bilinear", antialias=antialias)[:, 0]
