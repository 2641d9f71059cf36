"""Reading what students handed in, whatever it is."""

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from deepinside.classroom.grading.archives import Found
from deepinside.classroom.grading.course import Course, grade_id, source_of

if TYPE_CHECKING:  # PyTorch, for which --help need not wait
    from deepinside.classroom.checks import Task

Tasks = Mapping[str, Sequence["Task"]]


class Submission(NamedTuple):
    """A notebook to be graded.

    Attributes
    ----------
    file, digest : str
        Its path below the folder, and a fingerprint of its content.
    time : float
        When it was last changed, in seconds.
    notebook : str
        Which notebook it answers, a key of TASKS.
    cells, labels : dict
        Code by its place, counted from 1, and how a remark calls it.
    answers : dict
        Each task's code that was written, in one form however it is laid out.
    texts : dict
        The answers to open questions, by grade_id.
    error : str
        Why it cannot be graded, or "".
    """

    file: str
    digest: str
    time: float
    notebook: str
    cells: dict[int, str]
    labels: dict[int, str]
    answers: dict[str, str]
    texts: dict[str, str]
    error: str


def read_submission(found: Found, tasks: Tasks, course: Course) -> Submission:
    """Return a submission; one that cannot be read has an error that says why."""
    digest, notebook, error = "", "", found.error
    cells: dict[int, str] = {}
    labels: dict[int, str] = {}
    answers: dict[str, str] = {}
    texts: dict[str, str] = {}
    try:
        digest = hashlib.sha256(found.content or found.error.encode()).hexdigest()[:12]
        digest = f"sha256-{digest}"  # which no spreadsheet takes for a number
        if not error:
            parsed = json.loads(text_of(found.content))
            cells = dict(_code_cells(parsed))
            stem = found.file.rpartition("/")[2].rpartition(".")[0]
            notebook = which_notebook(parsed, cells, stem, tasks)
            labels = {place: _label(parsed["cells"][place - 1], place) for place in cells}
            answers = _answers(cells, tasks.get(notebook, ()))
            texts = course.texts(notebook, parsed["cells"])
    except RecursionError as reason:
        error = f"cannot be read: {reason}"
    except ValueError as reason:
        error = f"is no notebook: {reason}"
    except (KeyError, TypeError, AttributeError):
        error = "is no notebook of format 4"
    if not (error or notebook):
        error = "is no notebook of these exercises: it has none of their functions"
    notebook = "" if error else notebook
    return Submission(
        found.file, digest, found.time, notebook, cells, labels, answers, texts, error
    )


def which_notebook(parsed: dict, cells: dict[int, str], stem: str, tasks: Tasks) -> str:
    """Return the notebook of TASKS that a submission answers, or "" if none is like it.

    The one most of whose functions it defines and whose cells it has; between equals the
    one that the file's name names.
    """
    code = "\n".join(cells.values())
    defined = set(re.findall(r"^(?:def +)?(\w+) *[(=]", code, re.MULTILINE))
    given = {grade_id(cell) for cell in parsed["cells"]}
    best, found = (0, False), ""
    for name, listed in tasks.items():
        alike = sum((task.answer in defined) + (task.name in given) for task in listed)
        if alike and (alike, name in stem) > best:
            best, found = (alike, name in stem), name
    return found


def first_line(source: str) -> str:
    """Return the first line of a cell that is no comment, shortened."""
    lines = [line.strip() for line in source.splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    return (said or lines or [""])[0][:60]


def _label(cell: dict, place: int) -> str:
    """Return a cell's name: its number in Jupyter if it was run there, and its first line."""
    count = cell.get("execution_count")
    return f"{f'In [{count}]' if count else f'cell {place}'} (`{first_line(source_of(cell))}`)"


def _answers(cells: dict[int, str], listed: Sequence["Task"]) -> dict[str, str]:
    """Return the code of each answer, without layout, comments and docstrings."""
    names = {task.answer: task.name for task in listed}
    found = {}
    for source in cells.values():
        try:
            # magics and shell escapes are no Python, and stand in other cells
            statements = ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in statements:
            if isinstance(node, ast.FunctionDef) and node.name in names:
                is_text = ast.get_docstring(node) is not None
                body = node.body[is_text:]
                found[names[node.name]] = "\n".join(map(ast.unparse, body))
    # what students are given raises this error
    return {name: code for name, code in found.items()
            if code and "raise NotImplementedError" not in code}  # fmt: skip


def text_of(content: bytes) -> str:
    """Return what is written in a file, whatever editor wrote it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _code_cells(parsed: dict) -> Iterator[tuple[int, str]]:
    """Yield place, counted from 1, and code of each code cell."""
    for place, cell in enumerate(parsed["cells"], start=1):
        if cell["cell_type"] == "code":
            yield place, source_of(cell)
