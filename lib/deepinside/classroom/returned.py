"""What an answer may return: read as numbers, and said in words where another kind is wanted."""

import numpy as np
import torch
from torch import Tensor

from deepinside.classroom.results import Hint

TOLERANCE = 1e-4  # float32 holds seven digits, of which long sums lose some


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
        raise Hint(f"Expected {what} as a tensor, got {type(value).__name__}.") from None


def tensor_like(value: object, right: Tensor, what: str) -> Tensor:
    """Return a result as a tensor; where a number is expected, a tensor of one is one."""
    got = tensor_of(value, what)
    return got.reshape(()) if right.ndim == 0 and got.numel() == 1 else got


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
        return ""
    if isinstance(right, int | np.integer):
        return _of_index(value, what)
    if isinstance(right, Tensor | np.ndarray) and right.ndim:
        return _of_tensor(value, right, what)
    if isinstance(value, list | tuple):
        return f"Expected one number for {what}, got {_kind(value)}."
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
        score = "" if number == int(number) else ": is it a score?"
        return f"Expected a whole number for {what}, got {number:.5g}{score}."
    return f"Expected a whole number for {what}, got {_kind(value)}."


def _of_tensor(value: object, right: Tensor | np.ndarray, what: str) -> str:
    masks = str(right.dtype).endswith("bool")
    wanted = f"Expected {what} as a {'`torch.bool` ' if masks else ''}tensor"
    if isinstance(value, np.ndarray):
        return f"{wanted}, got a NumPy array: `torch.from_numpy` makes a tensor of it."
    if isinstance(value, list | tuple):
        maker = "torch.stack" if value and isinstance(value[0], Tensor) else "torch.tensor"
        return f"{wanted}, got {_kind(value)}: `{maker}` makes a tensor of it."
    if not isinstance(value, Tensor):
        return f"{wanted} of shape {tuple(right.shape)}, got {_kind(value)}."
    if masks and value.dtype != torch.bool and value.shape == right.shape:
        return f"{wanted}, got one of {value.dtype}: a comparison such as `a > b` is a mask."
    return ""


def _kind(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Tensor | np.ndarray):
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of {tuple(value.shape)}"
    is_number = isinstance(value, int | float | np.number)
    return f"a single number ({type(value).__name__})" if is_number else type(value).__name__


def _size(value: Tensor | np.ndarray) -> int:
    return value.numel() if isinstance(value, Tensor) else value.size


def _is_scalar(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.ndim == 0


def _is_whole(value: Tensor | np.ndarray) -> bool:
    if isinstance(value, Tensor):
        return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    return np.issubdtype(value.dtype, np.integer)


def numbers(value: object) -> str:
    """Return a result in print: numbers to four digits, at most six along an axis."""
    if isinstance(value, list | tuple):
        return "\n".join(map(numbers, value)) if _holds_axes(value) else _row(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim:
        is_float = value.dtype.kind == "f"
        width = max((len(f"{v:.4g}") for v in value.ravel()), default=0) if is_float else 0
        return np.array2string(
            value, threshold=0, edgeitems=3, formatter={"float_kind": lambda v: f"{v:{width}.4g}"}
        )
    if isinstance(value, float | np.floating | np.ndarray):
        return f"{float(value):.4g}"
    return str(value)


def _holds_axes(values: list | tuple) -> bool:
    return any(isinstance(value, Tensor | np.ndarray) and value.ndim for value in values)


def _row(values: list | tuple) -> str:
    return f"({', '.join(map(numbers, values))})"
