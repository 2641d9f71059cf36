"""Saliency maps (paper §3.1): where the class score is most sensitive to the image.

The tangent of the class score at an image I0 is ``w^T I + b`` with the image gradient
``w = dS_c/dI`` at I0. One backward pass gives w; the saliency map is ``M_ij = max_k |w_kij|``
over the color channels k (Simonyan, Vedaldi, Zisserman, 2013). A network of ReLUs and
max-pooling is piecewise linear: the tangent is exact until a ReLU or a maximum flips, so the map
tells of small changes and does not predict what erasing a pixel does.
"""

import math

import torch
from torch import Tensor, nn

from deepinside.arguments import check_generator, full_precision, number, shown, whole_number
from deepinside.class_score import (
    Target,
    check_images,
    class_index,
    class_score,
    scores_of,
    target_classes,
)
from deepinside.images import View, check_photo, crop, in_channels_of, lay_back, resize_photo
from deepinside.networks import Network, in_evaluation_mode
from deepinside.networks.scores import gradient_by

# enough to keep every core busy, few enough to stay within a laptop's memory
_IMAGES_A_PASS = 16
_MOST_SAMPLES, _MOST_NOISE = 10_000, 10


def image_gradient(network: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Return dS_c/dI, signed, in logits per unit intensity, shape (N, C, H, W).

    One forward and one backward pass for the whole batch. Nothing is left behind:
    neither in the network nor in the caller's tensors. Paper §3.1, chapter *Saliency maps*.

    Parameters
    ----------
    network : nn.Module
        From images (N, C, H, W) to class scores (N, classes).
    images : Tensor
        (N, C, H, W), RGB in [0, 1].
    target : int, str, sequence or tensor, optional
        The class c, by index or name, one for all images or one each; without it each
        image's class of the highest score.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_score`.
    """
    check_images(network, images)
    with torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        # an image's score depends on no other image, so the sum's gradient holds each one's
        return gradient_by(class_score(network, images, target), images)


def saliency_map(network: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Return max over channels of ``|dS_c/dI|``, at least 0, shape (N, H, W). Paper §3.1.

    Parameters and errors as for `image_gradient`.
    """
    return image_gradient(network, images, target).abs().amax(1)


def gradient_times_input(network: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Return the image gradient times the image, signed, in logits, shape (N, C, H, W).

    What each intensity adds to the score that the tangent gives the image: with b of the
    tangent, which is its score of a black image, the products sum to the class score. Black
    adds 0 only because it is coded as 0. Parameters and errors as for `image_gradient`. Of half
    precision, the products are float32.
    """
    return full_precision(image_gradient(network, images, target)) * full_precision(images.detach())


def smooth_grad(
    network: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    generator: torch.Generator,
    samples: int = 32,
    noise: float = 0.15,
    squared: bool = False,
) -> Tensor:
    """Return the saliency map of the gradient averaged over noisy copies, (N, H, W).

    SmoothGrad (Smilkov et al., 2017), ``max_k |mean of w|``, estimates the gradient of a
    blurred score, the mean score of the image's noisy neighbors; squared (Hooker et al.,
    2019), ``max_k (mean of w^2)``, in which signs cannot cancel.

    Parameters
    ----------
    network, images, target
        As for `image_gradient`; without a target, the clean image's class.
    generator : torch.Generator
        Draws the noise; the same generator state gives the same map.
    samples : int
        How many noisy copies of each image, up to 10,000.
    noise : float
        Standard deviation of the Gaussian noise, in units of intensity, up to 10.
    squared : bool
        Average squared gradients. The map has the unit of `image_gradient` squared: take its
        root before comparing how peaked or how dense it is with that of other maps.

    Raises
    ------
    ValueError
        As `image_gradient`, or if `samples`, `noise` or `generator` is none.
    """
    samples = whole_number(samples, "a number of samples", 1, _MOST_SAMPLES)
    noise = number(noise, "a noise", 0, _MOST_NOISE)
    check_generator(generator)
    if not isinstance(squared, bool):
        raise ValueError(f"expected squared as True or False, got {shown(squared)}")
    classes = target_classes(network, images, target)
    total = torch.zeros_like(full_precision(images))
    copies = max(1, _IMAGES_A_PASS // len(images))
    for done in range(0, samples, copies):
        count = min(copies, samples - done)
        repeated = images.detach().repeat(count, 1, 1, 1)
        # drawn as float32 on the generator's device, so that a run repeats on any device
        drawn = torch.randn(
            repeated.shape, generator=generator, device=generator.device, dtype=torch.float32
        )
        noisy = repeated + noise * drawn.to(repeated)
        gradients = full_precision(_noisy_gradient(network, noisy, classes.repeat(count)))
        total += (gradients.square() if squared else gradients).unflatten(0, (count, -1)).sum(0)
    return (total / samples).abs().amax(1)


def _noisy_gradient(network: nn.Module, noisy: Tensor, classes: Tensor) -> Tensor:
    """Return `image_gradient` of images that noise may have moved out of the range."""
    with torch.inference_mode(False), torch.enable_grad():
        noisy = noisy.detach().clone().requires_grad_()
        scores = scores_of(network, noisy)
        return gradient_by(scores.gather(1, classes.clone()[:, None]), noisy)


def ten_crop_saliency(network: Network, photo: Tensor, target: int | str | None = None) -> Tensor:
    """Return the average map of 10 crops and reflections, over the whole photo, (H, W).

    The corners and the middle of the resized photo and their mirror images are one batch
    (Krizhevsky et al., 2012); each map is turned and laid back to where its crop lies,
    and each pixel's value is the mean over the crops that show it. A photo too long for
    two crops a side to cover it takes as many more as are needed. Paper §3.1.

    Parameters
    ----------
    network : Network
        From `deepinside.networks.load_network`.
    photo : Tensor
        (3, H, W), RGB in [0, 1], of any size.
    target : int or str, optional
        The class; without it the one of the highest mean score over the crops.

    Raises
    ------
    ValueError
        As `image_gradient`, or if the network is no `Network` or the photo is none.
    """
    if not isinstance(network, nn.Module) or not hasattr(network, "resized_side"):
        raise ValueError(f"expected a Network, got {shown(network):.80}")
    check_photo(photo)
    if target is not None:
        target = class_index(target, network.class_names)
    resized = resize_photo(photo, network.resized_side, interpolation=network.interpolation)
    resized = in_channels_of(network, resized)
    (photo_height, photo_width), (height, width) = photo.shape[1:], resized.shape[1:]
    whole = View((photo_height, photo_width), (height, width), 0, 0, (height, width))
    views = _crop_views(whole, network.input_size)
    crops = torch.stack([crop(resized, view) for view in views])
    weight = next(network.parameters(), crops)
    if full_precision(weight).dtype == crops.dtype:
        # what a network of half precision sees was resized in float32
        crops = crops.to(weight.dtype)
    passes = torch.cat([crops, crops.flip(-1)]).split(_IMAGES_A_PASS)
    evaluated = in_evaluation_mode(network)
    if target is None:
        with torch.no_grad():
            scores = torch.cat([scores_of(evaluated, part) for part in passes])
        target = int(full_precision(scores).mean(0).argmax())
    maps = torch.cat([saliency_map(evaluated, part, target) for part in passes])
    straight, mirrored = full_precision(maps).chunk(2)
    total, times = torch.zeros_like(resized[0]), torch.zeros_like(resized[0])
    for view, pair in zip(views, straight + mirrored.flip(-1), strict=True):
        crop(total, view).add_(pair)
        crop(times, view).add_(2)
    return lay_back(total / times, whole)


def _crop_views(whole: View, size: tuple[int, int]) -> list[View]:
    """Return the corners and the middle, or as many crops as cover a long photo."""
    (height, width), (h, w) = whole.resized_size, size
    corners = [(top, left) for top in _starts(height, h) for left in _starts(width, w)]
    middle = (round((height - h) / 2), round((width - w) / 2))
    places = dict.fromkeys([*corners, middle])
    return [View(whole.photo_size, whole.resized_size, top, left, size) for top, left in places]


def _starts(length: int, size: int) -> list[int]:
    """Return evenly spaced starts of windows that cover a length, first and last included."""
    count = max(2, math.ceil(length / size)) if length > size else 1
    return [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]
