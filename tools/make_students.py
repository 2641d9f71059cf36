"""Make what students get out of the teacher's notebooks: ``make students``.

Each notebook under classroom/source gives:

- classroom/students/NAME.ipynb, with solutions, hidden tests and rubrics cut and outputs
  stripped, as nbgrader's generate_assignment would do it with classroom/nbgrader_config.py;
- book/exercises/NAME.md, the page of its exercises that follows the chapter in the book;
- the cell of book/NAME.ipynb, before the recap, that names the exercises and leads there. A
  notebook of its own belongs to no chapter, and has the first two only.

``--solutions FOLDER`` copies the book's sources there, with the solutions on these pages.
"""

import argparse
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "classroom/source"
CODE_STUB = 'raise NotImplementedError("not done yet")'
TEXT_STUB = "*Write your answer here.*"
# nbgrader's markers, whatever comment sign stands before them
CUT = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
MARKER = re.compile(rf"\b(BEGIN|END) ({'|'.join(CUT)})\b")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Exercise(NamedTuple):
    """One task: its grade_id, heading and text, what students are given, and the solution."""

    name: str
    title: str
    text: str
    given: str
    solution: str
    is_code: bool


def sources(root: Path = ROOT) -> list[Path]:
    """Return the teacher's notebooks."""
    return sorted((root / SOURCE).glob("*/*.ipynb"))


def student_notebook(teacher: NotebookNode) -> NotebookNode:
    """Return the student's copy of a teacher's notebook.

    Raises
    ------
    ValueError
        If markers do not match, or a solution stands where its cut would leave a notebook
        that does not run: outside of a function, or in a cell that is no solution cell.
    """
    copy = nbformat.v4.new_notebook(metadata=METADATA)
    copy.nbformat_minor = teacher.nbformat_minor
    for cell in teacher.cells:
        made = NotebookNode(cell_type=cell.cell_type, id=cell.id, source=cut(cell))
        made.metadata = NotebookNode()
        if "nbgrader" in cell.metadata:
            made.metadata.update(nbgrader=cell.metadata.nbgrader, deletable=False)
            made.metadata.nbgrader = {
                **cell.metadata.nbgrader, "cell_type": cell.cell_type, "checksum": checksum(made),
            }  # fmt: skip
            if not _is(cell, "solution"):
                made.metadata.editable = False
        if cell.cell_type == "code":
            made.update(execution_count=None, outputs=[])
        copy.cells.append(made)
    nbformat.validate(copy)
    return copy


def checksum(cell: NotebookNode) -> str:
    """Return what nbgrader computes of a cell, to know whether an answer was written at all."""
    known = cell.metadata.nbgrader
    is_grade, is_solution = bool(known.get("grade")), bool(known.get("solution"))
    is_locked = not is_solution and (is_grade or bool(known.get("locked")))
    parts = [cell.source, cell.cell_type, str(is_grade), str(is_solution), str(is_locked)]
    parts += [known.grade_id, *([str(float(known.points))] if is_grade else [])]
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def cut(cell: NotebookNode) -> str:
    """Return a cell's source without what is between markers."""
    is_code = cell.cell_type == "code"
    kept, inside, solutions = [], None, 0
    for line in cell.source.split("\n"):
        marker = MARKER.search(line)
        if not marker:
            if not inside:
                kept.append(line)
            continue
        edge, kind = marker.groups()
        if (edge == "BEGIN") == bool(inside) or (inside and kind != inside):
            raise ValueError(f"markers that do not match in this cell:\n{cell.source}")
        inside = kind if edge == "BEGIN" else None
        if edge == "BEGIN" and kind == "SOLUTION":
            indent = re.match(r"\s*", line).group()
            if is_code and not indent:
                raise ValueError(f"a solution outside of a function in this cell:\n{cell.source}")
            kept.append(indent + (CODE_STUB if is_code else TEXT_STUB))
            solutions += 1
    if inside:
        raise ValueError(f"no END {inside} in this cell:\n{cell.source}")
    if bool(solutions) != _is(cell, "solution"):
        wanted = "SOLUTION markers in" if not solutions else "solution: true in the metadata of"
        raise ValueError(f"expected {wanted} this cell:\n{cell.source}")
    return "\n".join(kept).rstrip()


def solution_lines(teacher: NotebookNode) -> Iterator[str]:
    """Yield each line between markers, stripped: what must not reach the students."""
    for cell in teacher.cells:
        inside = False
        for line in cell.source.split("\n"):
            marker = MARKER.search(line)
            if marker:
                inside = marker[1] == "BEGIN"
            elif inside and line.strip():
                yield line.strip()


def exercises(teacher: NotebookNode) -> list[Exercise]:
    """Return the tasks of a teacher's notebook, in their order.

    The text of a task is the Markdown right above its answer cell, from its heading on.
    """
    found = []
    for place, cell in enumerate(teacher.cells):
        if not _is(cell, "solution"):
            continue
        above = []
        for other in reversed(teacher.cells[:place]):
            if other.cell_type != "markdown" or _is(other, "solution"):
                break
            above.insert(0, other.source)
        *_, task = re.split(r"^#{2,4} +", "\n\n".join(above), flags=re.MULTILINE)
        heading, _, text = task.partition("\n")
        title = re.sub(r"^(\d+)\. +", r"Task \1: ", heading.strip())
        if not title:
            raise ValueError(f"expected a heading and a text above this cell:\n{cell.source}")
        is_code = cell.cell_type == "code"
        given = cut(cell).replace(CODE_STUB if is_code else TEXT_STUB, "..." if is_code else "")
        name, solution = cell.metadata.nbgrader.grade_id, "\n".join(_solution(cell))
        found.append(Exercise(name, title, text.strip(), given, solution, is_code))
    return found


def exercise_page(name: str, teacher: NotebookNode, root: Path, *, solutions: bool = False) -> str:
    """Return the book's page of exercises, in Markdown, with or without the solutions."""
    found = exercises(teacher)
    graded = sum(exercise.is_code for exercise in found)
    path = root / "book" / f"{name}.ipynb"
    if path.exists():
        title = _title(nbformat.read(path, as_version=4))
        heading, of = f"Exercises: {title}", "this chapter"
        belongs = f"These exercises belong to the chapter [{title}](../{name}). "
    else:
        heading = of = _title(teacher)
        belongs = _introduction(teacher) + "\n\n"
    parts = [
        f"# {heading}",
        f"{belongs}The student notebook has a cell for each answer. For {graded} of them, a check "
        "below the cell runs your function on small examples whose results are known, and explains "
        "the mistake if there is one.",
        f"[![Open in Colab: the student notebook of {of}](../pictures/colab.svg)]"
        f"({colab_address(name, root)})",
        "Without Colab: {download}`download the student notebook "
        f"<../../classroom/students/{name}.ipynb>` and open it where the book's package is "
        "installed.",
    ]
    for exercise in found:
        label = f"exercise-{exercise.name}"
        given = _fenced(exercise.given, "python") if exercise.is_code else exercise.given
        content = f":label: {label}\n\n{exercise.text}\n\n{given}".strip()
        parts.append(_fenced(content, "{exercise} " + exercise.title))
        if solutions:
            answer = _fenced(exercise.solution, "python") if exercise.is_code else exercise.solution
            parts.append(_fenced(f":class: dropdown\n\n{answer}", "{solution} " + label))
    return "\n\n".join(parts) + "\n"


def chapter(name: str, teacher: NotebookNode, root: Path) -> NotebookNode:
    """Return the chapter, with the cell that leads to its exercises as it is to be."""
    made = nbformat.read(root / "book" / f"{name}.ipynb", as_version=4)
    kept = [cell for cell in made.cells if not cell.source.startswith("## Exercises")]
    place = next(i for i, cell in enumerate(kept) if cell.source.startswith("## Recap"))
    titles = [
        exercise.title.removeprefix("Task ").replace(":", ".", 1) for exercise in exercises(teacher)
    ]
    lines = [
        "## Exercises",
        "",
        "Write these yourself. In the student notebook, a check below each function explains the",
        "mistake if there is one.",
        "",
        *titles,
        "",
        f"[The exercises](exercises/{name}.md) are on the next page of the book.",
        f"[Open the student notebook in Colab]({colab_address(name, root)}).",
    ]
    kept.insert(place, nbformat.v4.new_markdown_cell("\n".join(lines), id="exercises"))
    made.cells = kept
    return made


def colab_address(name: str, root: Path = ROOT) -> str:
    """Return where Colab opens a student's notebook."""
    repository = yaml.safe_load((root / "_config.yml").read_text("utf-8"))["repository"]
    owner = repository["url"].removeprefix("https://github.com/")
    return (
        f"https://colab.research.google.com/github/{owner}/blob/{repository['branch']}"
        f"/classroom/students/{name}.ipynb"
    )


def made_files(root: Path = ROOT) -> dict[Path, str]:
    """Return path and content of each file that is made."""
    made = {}
    for path in sources(root):
        teacher = nbformat.read(path, as_version=4)
        try:
            copy, page = student_notebook(teacher), exercise_page(path.stem, teacher, root)
        except ValueError as error:
            raise ValueError(f"{path.relative_to(root)}: {error}") from None
        made[root / "classroom" / "students" / path.name] = nbformat.writes(copy) + "\n"
        made[root / "book" / "exercises" / f"{path.stem}.md"] = page
        if (root / "book" / path.name).exists():
            book = chapter(path.stem, teacher, root)
            made[root / "book" / path.name] = nbformat.writes(book) + "\n"
    return made


def copy_with_solutions(folder: Path, root: Path = ROOT) -> None:
    """Make `folder` the book's sources, with solutions on the pages of exercises."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "_build").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "classroom", "tools", "_build/scripts", "_build/web"):
        (folder / name).symlink_to(root / name)
    shutil.copytree(root / "book", folder / "book")
    for path in sources(root):
        teacher = nbformat.read(path, as_version=4)
        page = exercise_page(path.stem, teacher, root, solutions=True)
        (folder / "book" / "exercises" / f"{path.stem}.md").write_text(page, "utf-8")


def _title(notebook: NotebookNode) -> str:
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ")


def _introduction(teacher: NotebookNode) -> str:
    """Return what stands between the title and what will be practiced, for a page of its own."""
    text = teacher.cells[0].source.partition("\n")[2].partition("**What you will practice**")[0]
    return re.sub(r"\(https://github\.com/\S+?/book/(\w+)\.ipynb\)", r"(../\1)", text).strip()


def _is(cell: NotebookNode, kind: str) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get(kind))


def _solution(cell: NotebookNode) -> Iterator[str]:
    """Yield the lines of a solution cell: all of a code cell, the answer of a question."""
    inside = False
    for line in cell.source.split("\n"):
        marker = MARKER.search(line)
        if marker:
            inside = marker[1] == "BEGIN"
        elif inside or cell.cell_type == "code":
            yield line


def _fenced(text: str, name: str) -> str:
    """Return text between fences that are longer than any in it."""
    longest = max((len(run) for run in re.findall(r"^`{3,}", text, re.MULTILINE)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{name}\n{text}\n{fence}"


def main() -> None:
    """Write the files, and say which."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solutions", type=Path, metavar="FOLDER", help="copy the book there")
    options = parser.parse_args()
    if options.solutions:
        copy_with_solutions(options.solutions.resolve())
        return
    for path, content in made_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
