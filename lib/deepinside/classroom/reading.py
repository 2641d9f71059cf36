"""What a student's code itself says: its lines, and where they return nothing."""

import ast
import dis
import inspect
import linecache
import re
import textwrap
import traceback
from inspect import unwrap
from types import CodeType, FrameType, FunctionType

from torch import Tensor, nn

# what an answer may read in place of its arguments
_READ = Tensor | nn.Module


def line_of(error: BaseException, code: CodeType | None) -> str:
    """Return where in the student's own code an error came up, or nothing."""
    own = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if code and frame.f_code.co_filename == code.co_filename
    ]
    if not own:
        return ""
    frame, line = own[-1]
    source = source_line(frame.f_code, line)
    return f" in line {line}" + (f", `{short(source)}`" if source else "")


def source_line(code: CodeType, line: int) -> str:
    """Return a line of the source, without its indentation."""
    return linecache.getline(code.co_filename, line).strip()


def is_stub(error: BaseException) -> bool:
    """Whether somebody wrote ``raise NotImplementedError``; operations of PyTorch raise it, too."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    source = source_line(frame.f_code, line)
    raised = not source or re.search(r"(^|[:;]\s*)raise\b", source)
    return type(error) is NotImplementedError and bool(raised)


def reason(error: BaseException) -> str:
    """Return the first line of an error's message."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an error of the student's own, which cannot say what it is
        lines = []
    return short(lines[0]) if lines else ""


def short(text: str) -> str:
    """Return a text, cut where it is too long for a hint."""
    return text if len(text) <= 200 else text[:199] + "…"


def left_stub(error: BaseException) -> str:
    """Return a hint if a stub's ``raise`` still stands in code that was written, else nothing."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    function = _function(frame.f_code)
    body = function.body if isinstance(function, ast.FunctionDef) else []
    if sum(not _is_note(statement) for statement in body) < 2:
        return ""
    return (
        f"The line `{source_line(frame.f_code, line)}` still stands in line {line}, and ends the "
        "function there: delete it."
    )


def nothing_returned(frame: FrameType, line: int, chosen: str) -> str:
    """Return which line of a function gave nothing, and why, or nothing for a stub.

    Parameters
    ----------
    frame : frame
        That of the call, as it was when it returned None.
    line : int
        The line where it ended.
    chosen : str
        The arguments that may decide on a branch, in words.
    """
    function = _function(frame.f_code)
    if function is None:
        return "It returns None: does it end with `return`?"
    if isinstance(function, ast.Lambda):
        body: ast.expr | None = function.body
        written = not isinstance(body, ast.Constant)
    else:
        every = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
        returns = [node for node in every if node.lineno <= line <= (node.end_lineno or 0)]
        body = returns[0].value if returns else None
        written = any(not _is_empty(statement) for statement in function.body)
        if written and not returns:
            case = f"With {chosen} it" if chosen and every else "It"
            source = short(source_line(frame.f_code, line))
            return f"{case} ended in line {line}, `{source}`, without a `return`, so it gave None."
    if not written:
        return ""
    source = source_line(frame.f_code, line)
    return f"`{short(source)}` in line {line} gave None{_why(body, function, frame)}."


def missing_gradient(frame: FrameType, line: int) -> str:
    """Return why a ``.grad`` in a line is None, or nothing."""
    function = _function(frame.f_code)
    if function is None:
        return ""
    for node in ast.walk(function):
        if isinstance(node, ast.expr) and node.lineno <= line <= (node.end_lineno or node.lineno):
            why = _why(node, function, frame)
            if why:
                return why
    return ""


def _why(value: ast.expr | None, function: ast.AST, frame: FrameType) -> str:
    """Return why a value that is a ``.grad``, or was assigned from one, is None."""
    if isinstance(value, ast.Name):
        assigned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            if any(isinstance(to, ast.Name) and to.id == value.id for to in node.targets)
        ]
        value = assigned[-1] if assigned else None
    if not isinstance(value, ast.Attribute) or value.attr != "grad":
        return ""
    name = ast.unparse(value.value)
    tensor = frame.f_locals.get(name)
    if not isinstance(tensor, Tensor):
        return ": no gradient was kept there"
    if not tensor.requires_grad:
        return f": `{name}` does not require a gradient, `{name}.requires_grad_()` asks for it"
    if not tensor.is_leaf:
        return (
            f": `{name}` was computed from another tensor, and PyTorch keeps gradients only for "
            "those that were not. Call `.detach().requires_grad_()` on what the network gets, and "
            "read the `.grad` of that very tensor"
        )
    return f": no `.backward()` has reached `{name}`"


def _function(code: CodeType) -> ast.FunctionDef | ast.Lambda | None:
    """Return a function's syntax tree, its lines numbered as in the file."""
    try:
        lines, start = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    ast.increment_lineno(tree, start - 1)
    kind = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(tree) if isinstance(node, kind)]
    return found[0] if found else None


def _is_note(statement: ast.stmt) -> bool:
    """Whether a statement does nothing: a docstring, ``...`` or ``pass``."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_empty(statement: ast.stmt) -> bool:
    """Whether a statement is a note, or returns a constant such as None."""
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    return _is_note(statement)


def why_none(error: BaseException, code: CodeType | None) -> str:
    """Return why a ``.grad`` in the line of an error is None, or nothing."""
    if "NoneType" not in reason(error):
        return ""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if code and frame.f_code.co_filename == code.co_filename:
            return missing_gradient(frame, line)
    return ""


def unused(function: object) -> str:
    """Return a sentence on arguments that a function's code never uses, or nothing.

    With it, what the code reads in their place: tensors and networks of the notebook.
    """
    own = unwrap(function) if callable(function) else None
    if not isinstance(own, FunctionType):
        return ""
    code = own.__code__
    loaded = _loaded(code, "LOAD")
    count = code.co_argcount + code.co_kwonlyargcount
    ignored = [name for name in code.co_varnames[:count] if name not in loaded]
    if not ignored:
        return ""
    names = " and ".join(f"`{name}`" for name in ignored)
    names_of_notebook = sorted(_loaded(code, "LOAD_GLOBAL"))
    found = [f"`{n}`" for n in names_of_notebook if isinstance(own.__globals__.get(n), _READ)]
    read = f", but reads {' and '.join(found)} of the notebook" if found else ""
    return f" It never uses its argument{'s' * (len(ignored) > 1)} {names}{read}."


def _loaded(code: CodeType, kind: str) -> set[str]:
    """Return the names that a function's code, or a function in it, reads by steps of a kind."""
    found: set[str] = set()
    for step in dis.get_instructions(code):
        if kind in step.opname and step.opname != "LOAD_CONST":
            found.update(step.argval if isinstance(step.argval, tuple) else [str(step.argval)])
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return found.union(*(_loaded(part, kind) for part in inner))
