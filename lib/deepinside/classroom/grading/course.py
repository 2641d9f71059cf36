"""What students were given, and where it is in what they handed in.

Colab and other editors drop the metadata and the names of cells. A cell is found again by the
metadata if they are there, by its name (id), by the function that it defines or checks, by its
text, and an answer in words by the cells around it.
"""

import copy
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import deepinside

# in a checkout of the book's repository
COURSE = Path(deepinside.__file__).resolve().parents[2] / "classroom"
_MARKERS = re.compile(r"^.*\b(BEGIN|END) (SOLUTION|MARK SCHEME)\b.*\n?", re.MULTILINE)

Cell = dict


class Question(NamedTuple):
    """An open question: its grade_id, points, text, stub, and the teacher's answer and rubric."""

    name: str
    points: float
    text: str
    stub: str
    rubric: str


class Course:
    """The notebooks of a course, from a folder with ``source/`` and ``students/``.

    Parameters
    ----------
    folder : Path
        What is missing in it is not known, and no error.
    """

    def __init__(self, folder: Path = COURSE) -> None:
        self.folder = folder
        self._given: dict[str, list[Cell]] = {}
        self._questions: dict[str, list[Question]] = {}

    def given(self, notebook: str) -> list[Cell]:
        """Return the cells of a student's notebook as it was handed out."""
        if notebook not in self._given:
            self._given[notebook] = _cells(self.folder / "students" / f"{notebook}.ipynb")
        return self._given[notebook]

    def questions(self, notebook: str) -> list[Question]:
        """Return the open questions of a notebook, in their order."""
        if notebook not in self._questions:
            given = self.given(notebook)
            solved = _cells(self.folder / "source" / notebook / f"{notebook}.ipynb")
            rubrics = {grade_id(cell): source_of(cell) for cell in solved}
            self._questions[notebook] = [
                Question(
                    grade_id(cell), cell["metadata"]["nbgrader"].get("points", 0),
                    _text_above(given, place), source_of(cell),
                    _MARKERS.sub("", rubrics.get(grade_id(cell), "")).strip(),
                )
                for place, cell in enumerate(given) if _is_question(cell)
            ]  # fmt: skip
        return self._questions[notebook]

    def texts(self, notebook: str, cells: Sequence[Cell]) -> dict[str, str]:
        """Return the answers to a notebook's open questions by grade_id; "" for none."""
        given = self.given(notebook)
        places = aligned(given, cells)
        found = {}
        for question in self.questions(notebook):
            place = next(i for i, cell in enumerate(given) if grade_id(cell) == question.name)
            text = "\n\n".join(
                part for part in _written(cells, places, place) if part != question.stub.strip()
            )
            found[question.name] = text.strip()
        return found

    def restore_metadata(self, notebook: str, cells: Sequence[Cell]) -> list[str]:
        """Put nbgrader's metadata back into cells that have lost them, and return whose."""
        given = self.given(notebook)
        lost = []
        for place, other in aligned(given, cells).items():
            known = given[place].get("metadata", {}).get("nbgrader")
            if known and not grade_id(cells[other]):
                cells[other].setdefault("metadata", {})["nbgrader"] = copy.deepcopy(known)
                lost.append(known["grade_id"])
        return lost


def aligned(given: Sequence[Cell], cells: Sequence[Cell]) -> dict[int, int]:
    """Return, for the places of cells that were given, where they are among others."""
    places: dict[int, int] = {}
    for name_of in (grade_id, _id, _role, _content):
        where: dict[tuple, int] = {}
        for place, cell in enumerate(cells):
            if name_of(cell):
                # of several with one function, the last one counts
                where[cell["cell_type"], name_of(cell)] = place
        taken = set(places.values())
        for place, cell in enumerate(given):
            other = where.get((cell["cell_type"], name_of(cell))) if name_of(cell) else None
            if place not in places and other is not None and other not in taken:
                places[place] = other
                taken.add(other)
    for place, cell in enumerate(given):
        if place not in places and _is_question(cell):
            before = max((places[i] for i in range(place) if i in places), default=-1)
            later = (places[i] for i in range(place + 1, len(given)) if i in places)
            after = min((i for i in later if i > before), default=len(cells))
            between = [
                i for i in range(before + 1, after)
                if cells[i]["cell_type"] == "markdown" and source_of(cells[i]).strip()
            ]  # fmt: skip
            if between:
                places[place] = between[0]
    return places


def _written(cells: Sequence[Cell], places: dict[int, int], place: int) -> Iterator[str]:
    """Yield the text of an answer, and of cells that a student added right below it."""
    if place not in places:
        return
    first, known = places[place], set(places.values())
    for i, cell in enumerate(cells[first:], start=first):
        if cell["cell_type"] != "markdown" or (i > first and i in known):
            return
        yield source_of(cell).strip()


def grade_id(cell: Cell) -> str:
    """Return the task that a cell belongs to, as nbgrader's metadata has it."""
    return str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", ""))


def source_of(cell: Cell) -> str:
    """Return a cell's text, which files have in one piece or in lines."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _id(cell: Cell) -> str:
    # Colab keeps it here
    return str(cell.get("id") or cell.get("metadata", {}).get("id", ""))


def _role(cell: Cell) -> str:
    """Return what a code cell of a task defines or checks."""
    if cell["cell_type"] != "code":
        return ""
    source = source_of(cell)
    checked = re.search(r"^[^#\n]*\bchecks\.check_(\w+)\(", source, re.MULTILINE)
    if checked and not re.search(r"^(def|if) ", source, re.MULTILINE):
        return f"checks {checked[1]}"
    defined = re.findall(r"^def (\w+)\(", source, re.MULTILINE)
    return f"defines {defined[0]}" if len(defined) == 1 else ""


def _content(cell: Cell) -> str:
    return " ".join(source_of(cell).split())


def _is_question(cell: Cell) -> bool:
    known = cell.get("metadata", {}).get("nbgrader", {})
    return cell["cell_type"] == "markdown" and bool(known.get("grade") and known.get("solution"))


def _text_above(cells: Sequence[Cell], place: int) -> str:
    return source_of(cells[place - 1]) if place else ""


def _cells(path: Path) -> list[Cell]:
    return json.loads(path.read_text("utf-8"))["cells"] if path.exists() else []
