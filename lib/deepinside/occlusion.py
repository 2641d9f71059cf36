"""Occlusion: how far the score falls when a part of the image is covered.

The gradient predicts the effect of a small change. Occlusion measures that of a large one: a square
of the image is replaced and the network runs again, without a gradient (Zeiler and Fergus, ECCV
2014, arXiv 1311.2901, who moved a gray square and watched the probability of the class).
"""

import itertools

import torch
from torch import Tensor, nn

from deepinside.arguments import full_precision, whole_number
from deepinside.class_score import (
    Target,
    broadcast_to_images,
    check_images,
    class_score,
    target_classes,
)
from deepinside.networks import in_evaluation_mode


@torch.no_grad()
def occlusion(
    network: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    replacement: Tensor,
    patch: int,
    stride: int,
) -> Tensor:
    """Return how far the class score falls when a pixel is covered, signed, (N, H, W).

    In logits: the mean over the squares that cover the pixel. Squares that would end beyond the
    image are cut there. The falls of all squares need not add up to that of the whole image. Each
    square takes one forward pass, for all images together. Scores of half precision are
    subtracted in, and the map is returned as, float32. Zeiler and Fergus (2014).

    Parameters
    ----------
    network, images, target
        As for `deepinside.class_score.class_score`; without a target, the image's class.
    replacement : Tensor
        What replaces a square, RGB in [0, 1], broadcast to `images`: gray, or the image blurred.
    patch, stride : int
        The side of the square, and how far it moves, in pixels.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_score`; if the replacement does not broadcast to the
        images, is out of their range, or of another type or device; or if squares leave pixels
        out, do not fit into the image, or their sides are no whole numbers.
    """
    check_images(network, images)
    replacement = broadcast_to_images(replacement, images, "replacement")
    check_images(network, replacement, "replacement images")
    height, width = images.shape[2:]
    patch = whole_number(patch, "a patch, within the image,", 1, min(height, width))
    stride = whole_number(stride, "a stride, not above the patch,", 1, patch)
    network = in_evaluation_mode(network)
    classes = target_classes(network, images, target)
    scores = full_precision(class_score(network, images, classes))
    total = torch.zeros_like(full_precision(images[:, 0]))
    times = torch.zeros_like(total[0])
    tops, lefts = (range(0, side - patch + stride, stride) for side in (height, width))
    for top, left in itertools.product(tops, lefts):
        square = (..., slice(top, top + patch), slice(left, left + patch))
        covered = images.clone()
        covered[square] = replacement[square]
        drop = scores - class_score(network, covered, classes)
        total[square] += drop[:, None, None]
        times[square] += 1
    return total / times
