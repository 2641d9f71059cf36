"""What a notebook has replaced of the libraries that a check relies on.

A check computes the right result in the process of the answer. A notebook that rebinds
`torch.allclose`, `builtins.abs` or a function of `deepinside.classroom`, by accident or to pass,
would change what is right. So the functions are noted when the checks are imported:
`replaced` names those that are other ones now, and `restored` puts them back for a while.

It notes names, not what lies deeper, such as the variables that a function encloses.
"""

import builtins
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import nn


class _Noted(NamedTuple):
    """A function or class, the code of a function, and the name it is bound to."""

    owner: ModuleType | type
    bound: Mapping[str, object]
    path: str
    name: str
    value: object
    code: object


_OWN = "deepinside"
# replaced by the kernel, and by PyTorch itself when it is asked to compile
_MADE_ANEW = ("input", "manual_seed", "Storage")
_ABSENT = object()
# a notebook may have replaced these, too
_setattr, _delattr = setattr, delattr
_noted: list[_Noted] = []
_seen: set[str] = set()


def note() -> None:
    """Note the functions of the modules of this package that are imported by now.

    Called at the end of the import of the checks, and by `replaced` for what came later.
    """
    for path, module in list(sys.modules.items()):
        if path in _seen or path.partition(".")[0] != _OWN or not _is_loaded(module):
            continue
        _seen.add(path)
        _note(module, private=True)
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == path:
                _note(value, private=True)


def replaced() -> list[str]:
    """Return the names that are bound to something else than when they were noted.

    Of PyTorch, NumPy, Python's built-in functions and this package, such as
    ``["builtins.abs", "torch.Tensor.sum"]``.
    """
    names = [f"{known.path}.{known.name}" for known in _other()]
    if not names:
        note()
    return names


@contextmanager
def restored() -> Iterator[None]:
    """Put back what was replaced, and give the block's end what was there before it."""
    before = []
    for known in _other():
        value = known.bound.get(known.name, _ABSENT)
        same = known.code is not None and value is known.value
        before.append((known, value, value.__code__ if same else None))  # type: ignore[attr-defined]
    try:
        for known, _, _ in before:
            _bind(known, known.value, known.code)
        yield
    finally:
        for known, value, code in before:
            _bind(known, value, code)


def _other() -> list[_Noted]:
    # no function is called here that a notebook may have replaced
    return [
        _Noted(owner, bound, path, name, value, code)
        for owner, bound, path, name, value, code in _noted
        if bound.get(name, _ABSENT) is not value
        or (code is not None and value.__code__ is not code)  # type: ignore[attr-defined]
    ]


def _bind(known: _Noted, value: object, code: object) -> None:
    if value is _ABSENT:
        _delattr(known.owner, known.name)
        return
    _setattr(known.owner, known.name, value)
    if code is not None:
        value.__code__ = code  # type: ignore[attr-defined]


def _note(owner: ModuleType | type, *, private: bool = False, only: str = "") -> None:
    bound = vars(owner)
    for name, value in list(bound.items()):
        if only and name != only:
            continue
        is_known = callable(value) or isinstance(value, property | classmethod | staticmethod)
        if is_known and (private or not name.startswith("_")) and name not in _MADE_ANEW:
            code = value.__code__ if isinstance(value, FunctionType) else None
            _noted.append(_Noted(owner, bound, _path(owner), name, value, code))


def _note_libraries() -> None:
    # what IPython puts there in a notebook is none of these
    for name, value in list(vars(builtins).items()):
        is_known = isinstance(value, BuiltinFunctionType | type) and not name.startswith("_")
        if is_known and name not in _MADE_ANEW:
            _noted.append(_Noted(builtins, vars(builtins), "builtins", name, value, None))
    for module in (torch, nn, nn.functional, torch.autograd, torch.func, torch.linalg, np):
        _note(module)
    for owner in (torch.Tensor, nn.Module):
        _note(owner, private=True)
    # a method in Python that hides one of the class below it
    inherited = set(dir(torch.Tensor)) - set(vars(torch.Tensor))
    _noted.extend(
        _Noted(torch.Tensor, vars(torch.Tensor), "torch.Tensor", name, _ABSENT, None)
        for name in inherited
    )
    for layer in [value for value in vars(nn).values() if isinstance(value, type)]:
        _note(layer, only="forward")


def _is_loaded(module: object) -> bool:
    spec = getattr(module, "__spec__", None)
    return isinstance(module, ModuleType) and not getattr(spec, "_initializing", False)


def _path(owner: ModuleType | type) -> str:
    if isinstance(owner, ModuleType):
        return owner.__name__
    return f"{owner.__module__}.{owner.__qualname__}"


_note_libraries()
note()
