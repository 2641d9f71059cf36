"""Reading what students handed in, whatever it is."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # PyTorch, for which --help need not wait
    from deepinside.classroom.checks import Task


class Submission(NamedTuple):
    """A notebook to be graded.

    Attributes
    ----------
    file, digest : str
        Its path below the folder, and a fingerprint of its content.
    notebook : str
        Which notebook it answers, a key of TASKS.
    cells : dict
        Code by its place, counted from 1.
    error : str
        Why it cannot be graded, or "".
    """

    file: str
    digest: str
    notebook: str
    cells: dict[int, str]
    error: str


def read_submission(path: Path, folder: Path, tasks: Mapping[str, Sequence["Task"]]) -> Submission:
    """Return a submission; one that cannot be read has an error that says why."""
    # as it will be in the table; the name of a file on disk need not be Unicode
    file = path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
    digest, notebook, cells, error = "", "", {}, ""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        parsed = json.loads(_text(content))
        cells = dict(_code_cells(parsed))
        notebook = which_notebook(parsed, cells, path.stem, tasks)
    except (OSError, RecursionError) as reason:
        error = f"cannot be read: {reason}"
    except ValueError as reason:
        error = f"is no notebook: {reason}"
    except (KeyError, TypeError, AttributeError):
        error = "is no notebook of format 4"
    else:
        if not notebook:
            error = "is no notebook of these exercises: it has none of their functions"
    return Submission(file, digest, notebook, cells, error)


def which_notebook(
    parsed: dict, cells: dict[int, str], stem: str, tasks: Mapping[str, Sequence["Task"]]
) -> str:
    """Return the notebook of TASKS that a submission answers, or "" if none is like it.

    The one most of whose functions it defines and whose cells it has; between equals the
    one that the file's name names.
    """
    code = "\n".join(cells.values())
    defined = set(re.findall(r"^(?:def +)?(\w+) *[(=]", code, re.MULTILINE))
    given = {_grade_id(cell) for cell in parsed["cells"]}
    best, found = (0, False), ""
    for name, listed in tasks.items():
        alike = sum((task.answer in defined) + (task.name in given) for task in listed)
        if alike and (alike, name in stem) > best:
            best, found = (alike, name in stem), name
    return found


def _text(content: bytes) -> str:
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
            source = cell["source"]
            yield place, source if isinstance(source, str) else "".join(source)


def _grade_id(cell: dict) -> str:
    """Return the task that a cell belongs to, as nbgrader's metadata has it."""
    return str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", ""))
