"""What a notebook replaced is named, and put back for a check."""

import builtins
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.classroom import answers, checks, seal

REPLACED = [
    (builtins, "abs", "builtins.abs"),
    (torch, "allclose", "torch.allclose"),
    (torch.Tensor, "detach", "torch.Tensor.detach"),
    (torch.Tensor, "backward", "torch.Tensor.backward"),
    (nn.functional, "conv2d", "torch.nn.functional.conv2d"),
    (nn.ReLU, "forward", "torch.nn.modules.activation.ReLU.forward"),
    (nn.Module, "__call__", "torch.nn.modules.module.Module.__call__"),
    (torch.autograd, "grad", "torch.autograd.grad"),
    (torch.linalg, "norm", "torch.linalg.norm"),
    (np, "asarray", "numpy.asarray"),
    (answers, "_verdict", "deepinside.classroom.answers._verdict"),
    (answers.Result, "passed", "deepinside.classroom.results.Result.passed"),
    (checks, "check_saliency_map", "deepinside.classroom.checks.check_saliency_map"),
]


@pytest.mark.parametrize(("owner", "name", "path"), REPLACED, ids=[row[2] for row in REPLACED])
def test_what_was_replaced_is_named_and_put_back_for_a_while(monkeypatch, owner, name, path):
    assert seal.replaced() == []
    was_own = name in vars(owner)
    right = vars(owner).get(name)
    fake = property(lambda self: True) if isinstance(right, property) else lambda *_: True
    monkeypatch.setattr(owner, name, fake)
    assert seal.replaced() == [path]
    with seal.restored():
        assert seal.replaced() == []
        assert vars(owner).get(name) is right and (name in vars(owner)) == was_own
    assert vars(owner)[name] is fake
    monkeypatch.undo()
    assert seal.replaced() == []


def test_a_function_whose_code_was_exchanged_is_named_and_put_back(monkeypatch):
    before = answers.tensor_of.__code__
    monkeypatch.setattr(
        answers.tensor_of, "__code__", (lambda value, what: torch.zeros(1)).__code__
    )
    assert "deepinside.classroom.answers.tensor_of" in seal.replaced()
    with seal.restored():
        assert answers.tensor_of([2.0], "it").item() == 2
        assert answers.tensor_of.__code__ is before
    assert answers.tensor_of([2.0], "it").item() == 0


def test_what_was_deleted_is_put_back_and_deleted_again(monkeypatch):
    monkeypatch.delattr(torch, "flip")
    assert seal.replaced() == ["torch.flip"]
    with seal.restored():
        assert callable(torch.flip)
    assert not hasattr(torch, "flip")


def test_what_failed_leaves_the_notebook_as_it_was(monkeypatch):
    monkeypatch.setattr(torch, "sum", max)
    with pytest.raises(KeyboardInterrupt), seal.restored():
        raise KeyboardInterrupt
    assert torch.sum is max


def test_even_the_functions_that_it_needs_itself_may_be_replaced():
    program = """
import builtins
from deepinside.classroom import seal
real = vars(builtins).copy()
for name in ("isinstance", "vars", "getattr", "setattr", "delattr", "list", "property"):
    builtins.__dict__[name] = lambda *_: False
names = seal.replaced()
with seal.restored():
    assert isinstance(1, int) and vars(builtins) and not seal.replaced()
assert not isinstance(1, int)
builtins.__dict__.update(real)
assert len(names) == 7, names
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_pytorch_does_itself_is_no_attempt():
    """Compiling and per-sample gradients replace parts of PyTorch."""
    program = """
import torch
from deepinside.classroom import checks, seal
import torch._dynamo
torch.func.vmap(torch.func.grad(lambda x: x.sum()))(torch.ones(2, 2))
from deepinside import deconvnet, limits, networks, plots
print(seal.replaced())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_it_costs_little():
    best = min(_timed(seal.replaced) for _ in range(20))
    assert best < 0.05  # a quiet machine takes 1 ms


def _timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
