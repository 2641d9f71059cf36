"""What an answer may return: read as numbers, and said in words where another kind is wanted."""

import re
from inspect import isroutine
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from deepinside.classroom.results import Hint

TOLERANCE = 1e-4  # float32 holds seven digits, of which long sums lose some
_NUMBERS = int | float | complex | np.generic | Tensor | np.ndarray


def tensor_of(value: object, what: str) -> Tensor:
    """Return a result as a float64 tensor on the CPU, without its graph.

    Raises
    ------
    Hint
        If it cannot be read as one.
    """
    if isinstance(value, Hint):  # in place of a result, where a task has parts
        raise value
    try:
        if isinstance(value, list | tuple):  # NumPy reads no tensor that has a graph
            value = [part.detach().cpu() if isinstance(part, Tensor) else part for part in value]
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        return tensor.detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Hint(f"Expected {what} in numbers, got {_kind(value)}.") from None


def tensor_like(value: object, right: Tensor, what: str) -> Tensor:
    """Return a result as a tensor; where a number is expected, a tensor of one is one.

    So is the only element of a list, if it has the axes of what is right.
    """
    got = tensor_of(value, what)
    alone = right.ndim == 0 and got.numel() == 1
    alone = alone or (isinstance(value, list | tuple) and got.shape == (1, *right.shape))
    return got.reshape(right.shape) if alone else got


def agree(got: Tensor, expected: Tensor, tolerance: float = TOLERANCE, least: float = 1e-9) -> bool:
    """Return whether values are the expected ones but for a share of the largest of these."""
    if got.shape != expected.shape:
        return False
    far = tolerance * largest(expected) + least
    return torch.allclose(got, expected, rtol=0, atol=far, equal_nan=True)


def largest(values: Tensor) -> float:
    """Return the largest finite magnitude."""
    finite = values[values.isfinite()]
    return finite.abs().max().item() if finite.numel() else 0.0


def complaint(value: object, right: object, what: str) -> str:
    """Return what is wrong with the kind of a result, or nothing.

    What is right says which kind is wanted: a tensor with axes, a number, a whole number, a
    mask, or a list of such.
    """
    if type(value).__module__ == "torch.return_types":
        return (
            f"Expected {what} as a tensor, got two: along an axis `torch.{type(value).__name__}` "
            "returns values and indices. Take `.values`."
        )
    if isinstance(right, list | tuple):
        return _of_list(value, right, what)
    if isinstance(right, bool | np.bool_):
        is_number = isinstance(value, _NUMBERS | list | tuple)
        return "" if is_number else f"Expected True or False for {what}, got {_kind(value)}."
    if isinstance(right, int | np.integer):
        return _of_index(value, what)
    if isinstance(right, Tensor | np.ndarray) and right.ndim:
        return _of_tensor(value, right, what)
    if isinstance(value, list | tuple):
        only = ": take its only element, `[0]`" if len(value) == 1 else ""
        return f"Expected one number for {what}, got {_kind(value)}{only}."
    if not isinstance(value, _NUMBERS):
        return f"Expected {what} as a number, got {_kind(value)}."
    return ""


def _of_list(value: object, right: list | tuple, what: str) -> str:
    if isinstance(value, list | tuple | Tensor | np.ndarray) and not _is_scalar(value):
        if len(value) != len(right):
            return f"Expected {len(right)} values for {what}, got {len(value)}."
        found = (complaint(*pair, what) for pair in zip(value, right, strict=True))
        return next(filter(None, found), "")
    return f"Expected {len(right)} values for {what}, got {_kind(value)}."


def _of_index(value: object, what: str) -> str:
    if isinstance(value, int | np.integer):
        return ""
    if isinstance(value, Tensor | np.ndarray) and _is_whole(value):
        return "" if _size(value) == 1 else f"Expected one whole number for {what}."
    if isinstance(value, float | np.floating) or _is_scalar(value):
        number = float(value)  # type: ignore[arg-type]
        score = "" if number.is_integer() else ": is it a score?"
        return f"Expected a whole number for {what}, got {number:.5g}{score}."
    return f"Expected a whole number for {what}, got {_kind(value)}."


def _of_tensor(value: object, right: Tensor | np.ndarray, what: str) -> str:
    masks = str(right.dtype).endswith("bool")
    wanted = f"Expected {what} as a {'`torch.bool` ' if masks else ''}tensor"
    if isinstance(value, np.ndarray):
        return f"{wanted}, got a NumPy array: `torch.from_numpy` makes a tensor of it."
    if isinstance(value, list | tuple):
        return f"{wanted}{_of_several(value, tuple(right.shape))}."
    if not isinstance(value, Tensor):
        return f"{wanted} of shape {tuple(right.shape)}, got {_kind(value)}."
    if masks and value.dtype != torch.bool and value.shape == right.shape:
        return f"{wanted}, got one of {value.dtype}: a comparison such as `a > b` is a mask."
    return ""


def _of_several(value: list | tuple, shape: tuple[int, ...]) -> str:
    """Return what came in place of a tensor, and how one is made of it if that is clear."""
    try:
        stacked = tuple(tensor_of(value, "it").shape)
    except Hint:  # its parts are of several kinds or shapes
        stacked = ()
    if stacked == shape:
        maker = "torch.stack" if isinstance(value[0], Tensor) else "torch.tensor"
        return f", got {_kind(value)}: `{maker}` makes a tensor of it"
    if stacked == (1, *shape):
        return f", got {_kind(value)}: take its only element, `[0]`"
    kinds = list(map(_kind, value))
    parts = f", each {kinds[0]}" if len({*kinds}) == 1 else f": {' and '.join(kinds)}"
    parts = parts if 0 < len(kinds) < 4 or len({*kinds}) == 1 else ""
    one = ". Return one: one of these, or what they give together" * (stacked[1:] == shape)
    return f" of shape {shape}, got {_kind(value)}{parts}{one}"


def _kind(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Tensor) and value.ndim == 0:
        return "a tensor of one number"
    if isinstance(value, Tensor | np.ndarray):
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of {tuple(value.shape)}"
    is_number = isinstance(value, int | float | np.number)
    if isroutine(value):
        return "a function"
    kind = "None" if value is None else type(value).__name__
    return f"a single number ({kind})" if is_number else kind


def _size(value: Tensor | np.ndarray) -> int:
    return value.numel() if isinstance(value, Tensor) else value.size


def _is_scalar(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.ndim == 0


def _is_whole(value: Tensor | np.ndarray) -> bool:
    if isinstance(value, Tensor):
        return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    return np.issubdtype(value.dtype, np.integer)


def numbers(value: object, digits: int = 4) -> str:
    """Return a result in print: numbers to four digits, at most six along an axis."""
    if isinstance(value, list | tuple):
        printed = [numbers(part, digits) for part in value]
        return "\n".join(printed) if _holds_axes(value) else f"({', '.join(printed)})"
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim:
        is_float = value.dtype.kind == "f"
        width = max((len(f"{v:.{digits}g}") for v in value.ravel()), default=0) if is_float else 0
        return np.array2string(
            value,
            threshold=0,
            edgeitems=3,
            formatter={"float_kind": lambda v: f"{v:{width}.{digits}g}"},
        )
    if isinstance(value, float | np.floating | np.ndarray):
        return f"{float(value):.{digits}g}"
    return _kind(value) if isroutine(value) else str(value)


def apart(one: object, other: object, least: int = 4) -> tuple[str, str]:
    """Return two results in print, to so many digits that they can be told apart."""
    for digits in range(least, 10):
        printed = numbers(one, digits), numbers(other, digits)
        shown, beside_it = (re.findall(r"[^][(),\s]+", text) for text in printed)
        if shown != beside_it:
            break
    return printed


def farthest(got: Tensor, right: Tensor) -> tuple[int, ...]:
    """Return the place where two tensors of one shape differ most."""
    far = (got - right).abs().nan_to_num(torch.inf)
    far[(got == right) | (got.isnan() & right.isnan())] = 0
    return tuple(int(i) for i in np.unravel_index(int(far.argmax()), far.shape))


def beside(shown: str, right: object, own: object) -> str:
    """Return a case in words with the right result and the answer's own.

    Of axes longer than six it shows a part, in which they differ most.
    """
    part = ""
    if _is_large(right) and _is_large(own) and right.shape == own.shape:
        right, own = (torch.as_tensor(value).detach().cpu() for value in (right, own))
        place = farthest(own.double(), right.double())
        cut = [_around(*pair) for pair in zip(place, right.shape, strict=True)]
        right, own = right[tuple(cut)], own[tuple(cut)]
        ends = (":" if c == slice(None) else f"{c.start}:{c.stop}" for c in cut)
        part = f", the part [{', '.join(ends)}]"
    shapes = {tuple(v.shape) for v in (right, own) if isinstance(v, Tensor | np.ndarray)}
    texts = (numbers(right), numbers(own)) if len(shapes) == 2 else apart(right, own)
    gap = "\n" if any("\n" in text for text in texts) else " "
    return f"{shown}\nright{part}:{gap}{texts[0]}\nyours{part}:{gap}{texts[1]}"


def _is_large(value: object) -> TypeGuard[Tensor | np.ndarray]:
    """Whether this is an array of which print would leave something out."""
    return isinstance(value, Tensor | np.ndarray) and max(value.shape, default=0) > 6


def _around(index: int, length: int) -> slice:
    start = max(min(index - 3, length - 6), 0)
    return slice(start, start + 6) if length > 6 else slice(None)


def _holds_axes(values: list | tuple) -> bool:
    return any(isinstance(value, Tensor | np.ndarray) and value.ndim for value in values)
