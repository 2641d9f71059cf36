import ast
import subprocess
import sys
from pathlib import Path

import pytest

import deepinside

PACKAGE = Path(deepinside.__file__).parent
# what takes only arrays does not know of networks
TAKES_ONLY_ARRAYS = ("images", "measures", "regularizers", "plots")
TREES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.stem != "__init__"
}
modules = pytest.mark.parametrize("module", TREES)


def imported(tree):
    """Every module that a module imports, also within its functions, with full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "deepinside" if node.level else node.module
            if node.level and node.module:
                package += "." + node.module
            yield package
            # `from deepinside import saliency` imports a module, too
            yield from (f"{package}.{alias.name}" for alias in node.names)


def imported_of_package(module):
    parts = (name.split(".") for name in imported(TREES[module]))
    return {part[1] for part in parts if part[0] == "deepinside" and len(part) > 1}


def imports(module, library):
    return any(name.split(".")[0] == library for name in imported(TREES[module]))


def calls(tree):
    """Each call as its dotted name and the node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_graph_of_imports_is_read():
    # were it empty, the tests beside this one would prove nothing
    assert {"class_score", "images", "networks"} <= imported_of_package("saliency")
    assert imports("saliency", "torch")


@pytest.mark.parametrize("module", [name for name in TAKES_ONLY_ARRAYS if name in TREES])
def test_what_takes_only_arrays_knows_no_networks(module):
    assert not imported_of_package(module) & {"networks", "saliency", "preparation"}


@modules
@pytest.mark.parametrize(
    ("library", "owner"),
    [
        ("matplotlib", "plots"),
        ("ipywidgets", "explorers.widget"),
        ("anywidget", "explorers.widget"),
    ],
)
def test_heavy_libraries_have_one_owner(module, library, owner):
    assert not imports(module, library) or module == owner


@modules
def test_stored_weights_cannot_run_code(module):
    for name, call in calls(TREES[module]):
        if name == "torch.load" or name.endswith(("load_state_dict_from_url", "get_state_dict")):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert options.get("weights_only") == "True", f"{module}, line {call.lineno}"
        if name.endswith(("np.load", "numpy.load")):
            assert "allow_pickle" not in ast.unparse(call)
        assert name not in ("pickle.load", "pickle.loads", "eval", "exec"), f"line {call.lineno}"


@modules
def test_nothing_fills_grad(module):
    names = {name for name, _ in calls(TREES[module])}
    assert not any(name.endswith(".backward") for name in names)


def public_functions(tree):
    """Functions, and methods of classes, whose names have no leading underscore."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@modules
def test_everything_public_says_what_it_is(module):
    tree = TREES[module]
    assert ast.get_docstring(tree), module
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
    for function in public_functions(tree):
        assert ast.get_docstring(function), function.name
        assert function.returns is not None, function.name
        given = function.args
        parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        parameters += [one for one in (given.vararg, given.kwarg) if one]
        for parameter in parameters:
            named = parameter.annotation is not None or parameter.arg in ("self", "cls")
            assert named, f"{function.name}({parameter.arg})"


def test_package_is_imported_from_any_folder(tmp_path):
    program = (
        "import sys; from deepinside import saliency; print(saliency.__file__); "
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    path, drew = done.stdout.split()
    assert Path(path) == PACKAGE / "saliency.py"
    assert drew == "False"
