"""Cells found again in notebooks that lost their metadata, on the course's own notebooks."""

import json

import pytest

from deepinside.classroom.checks import TASKS
from deepinside.classroom.grading.course import COURSE, Course, aligned, grade_id, source_of


def solved(name):
    """What a student hands in from Colab: no names, no metadata, cells added, texts written."""
    cells = []
    source = json.loads((COURSE / "source" / name / f"{name}.ipynb").read_text("utf-8"))["cells"]
    for place, (given, teachers) in enumerate(zip(Course().given(name), source, strict=True)):
        known = given["metadata"].get("nbgrader", {})
        text = source_of(teachers if known.get("solution") else given)
        if given["cell_type"] == "markdown" and known.get("solution"):
            text = f"I think so ({name})."
        cells.append({"cell_type": given["cell_type"], "metadata": {"id": f"xY{place}"},
                      "source": [text], "was": grade_id(given)})  # fmt: skip
        if place % 7 == 3:
            cells.append({"cell_type": "code", "metadata": {}, "source": "1 + 1", "was": ""})
    return cells


@pytest.mark.parametrize("name", TASKS)
def test_cells_are_found_again_without_names_and_metadata(name):
    cells, course = solved(name), Course()
    lost = course.restore_metadata(name, cells)
    assert {cell["was"]: grade_id(cell) for cell in cells} == {
        cell["was"]: cell["was"] for cell in cells
    }
    assert len(lost) == len([cell for cell in course.given(name) if grade_id(cell)])
    assert course.restore_metadata(name, cells) == []


@pytest.mark.parametrize("name", TASKS)
def test_an_answer_in_words_is_found_without_names_and_metadata(name):
    course = Course()
    (question,) = course.questions(name)
    cells = solved(name)
    assert course.texts(name, cells) == {question.name: f"I think so ({name})."}
    below = 1 + next(i for i, cell in enumerate(cells) if "I think so" in source_of(cell))
    cells.insert(below, {"cell_type": "markdown", "metadata": {}, "source": "And this."})
    assert course.texts(name, cells)[question.name].endswith("\n\nAnd this.")
    given = [cell | {"metadata": {}, "id": ""} for cell in course.given(name)]
    assert course.texts(name, given) == {question.name: ""}
    assert course.texts(name, given[:3]) == {question.name: ""}
    assert question.points > 0 and question.rubric and question.text.startswith("## ")
    assert "SOLUTION" not in question.rubric + question.text


def test_a_notebook_that_is_not_of_the_course_has_no_questions(tmp_path):
    assert Course(tmp_path).questions("network") == []
    assert Course(tmp_path).texts("network", []) == {}


def test_of_two_cells_that_define_a_function_the_last_counts():
    given = [{"cell_type": "code", "metadata": {}, "source": "def f(x):\n    pass"}]
    cells = [{"cell_type": "code", "metadata": {}, "source": f"def f(x):\n    return {i}"}
             for i in range(3)]  # fmt: skip
    assert aligned(given, cells) == {0: 2}
