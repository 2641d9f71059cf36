"""What neither ruff nor import-linter can say of the library's code."""

import ast
from pathlib import Path

import pytest

import deepinside

PACKAGE = Path(deepinside.__file__).parent
LOADS_WEIGHTS = (".load_state_dict_from_url", ".get_state_dict")

every_module = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)


def calls(source):
    """Each call as its dotted name and its keyword arguments' source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            yield f".{ast.unparse(node.func)}", given


def unsafe_loads(source):
    """The calls that would run code of a file of weights or arrays."""
    found = []
    for name, given in calls(source):
        if name == ".torch.load" or name.endswith(LOADS_WEIGHTS):
            found += [name] * (given.get("weights_only") != "True")
        if name.endswith((".np.load", ".numpy.load")):
            found += [name] * (given.get("allow_pickle", "False") != "False")
    return found


def fills_grad(source):
    return any(name.endswith(".backward") for name, _ in calls(source))


@every_module
def test_stored_weights_and_arrays_cannot_run_code(path):
    assert unsafe_loads(path.read_text("utf-8")) == []


@every_module
def test_nothing_fills_grad(path):
    assert not fills_grad(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "hub.load_state_dict_from_url(url)",
        "weights.get_state_dict(progress=True)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_an_unsafe_load_is_found(source):
    assert unsafe_loads(source) != []


def test_what_is_allowed_is_not_found():
    source = "torch.load(path, weights_only=True)\nnp.load(path)\ntorch.autograd.grad(score, image)"
    assert unsafe_loads(source) == []
    assert not fills_grad(source)
    assert fills_grad("scores.sum().backward()")
