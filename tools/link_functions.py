"""Write into each chapter which functions of the package it uses, linked to the package's pages.

``make notebooks`` does it for the notebooks that it executes; ``python tools/link_functions.py``
for every chapter, without executing anything. The list is read from the code cells.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import nbformat
from nbformat import NotebookNode

BOOK = Path(__file__).resolve().parents[1] / "book"
CELL = "functions"
DOCUMENTED = re.compile(r"^\.\. automodule:: (\S+)$", re.MULTILINE)


def with_links(notebook: NotebookNode) -> NotebookNode:
    """Return the chapter with the cell that links its functions, before the references.

    The first page has no references, and gets no such cell.
    """
    made = nbformat.from_dict(notebook)
    made.cells = [cell for cell in made.cells if cell.id != CELL]
    found = functions(made)
    for i, cell in enumerate(made.cells):
        if found and cell.source.startswith("## References"):
            made.cells.insert(i, nbformat.v4.new_markdown_cell(links(found), id=CELL))
            break
    return made


def functions(notebook: NotebookNode) -> dict[str, list[str]]:
    """Return the functions and classes of the package that the code names, by module."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    tree = ast.parse(re.sub(r"^\s+%.*$", "    pass", code, flags=re.MULTILINE))
    found: dict[str, list[str]] = {}
    for module, name in sorted(set(_named(tree))):
        value = getattr(import_module(module), name)
        if inspect.isfunction(value) or inspect.isclass(value):
            found.setdefault(module, []).append(name)
    return found


def links(found: dict[str, list[str]]) -> str:
    """Return the text of the cell: a line a module."""
    pages = {
        module: f"api/{path.name}"
        for path in BOOK.glob("api/*.rst")
        for module in DOCUMENTED.findall(path.read_text("utf-8"))
    }
    lines = ["**Functions used**, described on [the package's pages](api/package.rst)", ""]
    for module, names in found.items():
        linked = (f"[`{name}`]({pages[module]}#{module}.{name})" for name in names)
        lines.append(f"- `{module.removeprefix('deepinside.')}`: {', '.join(linked)}")
    return "\n".join(lines)


def _named(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield module and name of what is imported from a module, or is an attribute of one."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "deepinside":
            modules |= {alias.name: f"deepinside.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepinside."):
            yield from ((node.module, alias.name) for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            module = modules.get(ast.unparse(node.value))
            if module:
                yield module, node.attr


def main() -> None:
    """Write every chapter anew, and say which."""
    for path in sorted(BOOK.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(with_links(notebook), path)
        print(f"linked the functions of {path.name}")


if __name__ == "__main__":
    main()
