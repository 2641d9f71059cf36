"""What a classifier gives: scores with a gradient by the image, or one clear error."""

from typing import Any

import torch
from torch import Tensor


def check_scores(scores: Any, count: int, name: str = "a network") -> None:  # noqa: ANN401
    """Raise a ValueError unless these are unnormalized scores of `count` images, (N, classes).

    `name` is what the network is called.
    """
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != count:
        raise ValueError(
            f"expected {name} that returns scores of shape ({count}, classes), got "
            f"{tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__}"
        )
    if not scores.is_floating_point():
        raise ValueError(f"expected {name} that returns scores of floats, got {scores.dtype}")
    if not scores.shape[1]:
        raise ValueError(f"expected {name} with scores of one class or more, got none")
    found = scores.detach().float()
    if not found.isfinite().all():
        bad = (~found.isfinite()).sum().item()
        raise ValueError(
            f"expected finite class scores of {name}, got {bad} of {found.numel()} that are NaN or "
            "infinite: are the weights finite?"
        )
    if scores.shape[1] == 1:
        return
    is_soft = found.min() >= 0 and bool(((found.sum(1) - 1).abs() < 1e-3).all())
    if is_soft or (found.max() <= 0 and bool((found.logsumexp(1).abs() < 1e-3).all())):
        raise ValueError(
            f"expected unnormalized class scores of {name}, got those of a "
            f"{'soft-max' if is_soft else 'log-soft-max'}: leave this last layer out"
        )


def gradient_by(
    values: Tensor, images: Tensor, name: str = "a network", *, finite: bool = True
) -> Tensor:
    """Return the gradient of the sum of values by the images, as the images.

    Raises
    ------
    ValueError
        If the values do not depend on the images, or the gradient has to be finite and is not.
    """
    gradient = None
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values.sum(), images, allow_unused=True)
    if gradient is None:
        raise no_gradient(name)
    if finite and not gradient.isfinite().all():
        bad = (~gradient.isfinite()).sum().item()
        raise ValueError(f"expected a finite gradient, got {bad} values that are NaN or infinite")
    return gradient


def no_gradient(name: str = "a network") -> ValueError:
    """Return the error of what has no gradient by the image."""
    return ValueError(
        f"expected {name} with a gradient by the image, got none: its output does not depend "
        "on the image, or it detaches it, computes without gradient or is quantized"
    )
