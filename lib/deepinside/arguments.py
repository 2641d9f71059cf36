"""Arguments: numbers and maps that are what a function needs, or one clear error before any work.

Every error says what was expected and what came.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor


def whole_number(
    value: Any,  # noqa: ANN401
    what: str,
    low: int,
    high: int | None = None,
) -> int:
    """Return a whole number from `low` to `high`, also one of NumPy or a tensor of no dimension.

    Raises
    ------
    ValueError
        That calls it `what`, unless it is one; True and 1.0 are none.
    """
    whole = _scalar(value)
    if not isinstance(whole, Integral) or isinstance(whole, bool | np.bool_):
        whole = None
    if whole is None or not low <= whole <= (math.inf if high is None else high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        hint = ", which is no whole number" if whole is None else ""
        raise ValueError(f"expected {what} {span}, got {shown(value)}{hint}")
    return int(whole)


def number(
    value: Any,  # noqa: ANN401
    what: str,
    low: float,
    high: float | None = None,
    *,
    above: bool = False,
) -> float:
    """Return a finite number from `low`, or `above` it, to `high`, also one of NumPy or a tensor.

    Raises
    ------
    ValueError
        That calls it `what`, unless it is one.
    """
    real = _scalar(value)
    is_real = isinstance(real, Real) and not isinstance(real, bool | np.bool_)
    # whole numbers are of any size, and compare exactly with those that are infinite
    good = (
        is_real and -math.inf < real < math.inf and real >= low and (high is None or real <= high)
    )
    if not good or (above and real == low):
        span = f"above {low:g}" if above else f"of at least {low:g}"
        span += "" if high is None else f" and at most {high:g}"
        raise ValueError(f"expected {what} {span}, got {shown(value)}")
    return float(real)


def checked_map(
    values: object, axes: str = "H, W", *, signed: bool = True, what: str = "a map"
) -> Tensor:
    """Return a map, or maps, detached, those of half precision as float32.

    Parameters
    ----------
    values : Tensor
        Of floats, finite, and unless `signed` at least 0.
    axes : str
        The names of its axes, such as "N, H, W".
    what : str
        What it is called in errors.

    Raises
    ------
    ValueError
        If it is no such map.
    """
    expected = f"expected {what} as a tensor ({axes}) of finite floats"
    if not isinstance(values, Tensor) or values.is_meta or values.layout != torch.strided:
        raise ValueError(f"{expected}, got {shown(values)}")
    count = axes.count(",") + 1
    if values.ndim != count or not values.numel() or not values.is_floating_point():
        raise ValueError(f"{expected}, got shape {tuple(values.shape)} of {values.dtype}")
    values = full_precision(values.detach())
    low, high = values.aminmax()
    if not (low.isfinite() and high.isfinite()):
        bad = int((~values.isfinite()).sum())
        raise ValueError(f"{expected}, got {bad} values that are NaN or infinite")
    if not signed and low < 0:
        raise ValueError(f"{expected} of at least 0, got values down to {low.item():.4g}")
    return values


def full_precision(values: Tensor) -> Tensor:
    """Return values, those of half precision as float32, in which sums do not overflow."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_generator(generator: object) -> None:
    """Raise a ValueError unless this is a generator of random numbers of torch."""
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"expected a torch.Generator, got {shown(generator)}")


def shown(value: object) -> str:
    """Return a value as an error shows it: what is large by its kind and size."""
    if isinstance(value, Tensor):
        kind = f"{value.dtype}" if value.layout == torch.strided else f"{value.dtype}, sparse,"
        return f"a tensor of shape {tuple(value.shape)}, {kind} on {value.device}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}, {value.dtype}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > 10:
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _scalar(value: Any) -> Any:  # noqa: ANN401
    """Return the number in a tensor or an array of no dimension, or the value itself."""
    is_scalar = isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0
    return value.item() if is_scalar and not getattr(value, "is_meta", False) else value
