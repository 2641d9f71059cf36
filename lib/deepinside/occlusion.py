"""Occlusion: how far the score falls when a part of the image is covered.

What the gradient promises for a small change is tried with a large one: a square of the image is
replaced, the network is run again, and no gradient is needed (Zeiler and Fergus, ECCV 2014,
arXiv 1311.2901, who moved a gray square and watched the probability of the class).
"""

import torch
from torch import Tensor, nn

from deepinside.class_score import Target, class_score, target_classes
from deepinside.networks import in_evaluation_mode

_IMAGES_A_PASS = 16


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
    image are cut there. One forward pass a square. Zeiler and Fergus (2014).

    Parameters
    ----------
    network, images, target
        As for `deepinside.class_score.class_score`; without a target, the image's class.
    replacement : Tensor
        What is seen in a square's place, broadcast against `images`: gray, or the image blurred.
    patch, stride : int
        The side of the square, and how far it moves, in pixels.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_score`, or if the squares do not fit into the image or
        leave pixels out.
    """
    classes = target_classes(network, images, target)
    network = in_evaluation_mode(network)
    height, width = images.shape[2:]
    if not 1 <= stride <= patch <= min(height, width):
        raise ValueError(
            f"expected 1 <= stride <= patch <= {min(height, width)}, got {stride} and {patch}"
        )
    tops, lefts = (range(0, side - patch + stride, stride) for side in (height, width))
    squares = torch.zeros(len(tops), len(lefts), height, width, dtype=torch.bool)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            squares[i, j, top : top + patch, left : left + patch] = True
    squares = squares.flatten(0, 1).to(images.device)
    maps = []
    scores = class_score(network, images, classes)
    for image, other, score, c in zip(
        images, replacement.expand_as(images), scores, classes.tolist(), strict=True
    ):
        covered = [
            torch.where(some[:, None], other, image) for some in squares.split(_IMAGES_A_PASS)
        ]
        drops = torch.cat([score - class_score(network, some, c) for some in covered])
        maps.append(torch.tensordot(drops, squares.to(drops), 1) / squares.sum(0))
    return torch.stack(maps)
