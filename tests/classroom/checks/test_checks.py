import inspect
import re
from pathlib import Path

import nbformat
import pytest

from deepinside.classroom import answers, checks
from deepinside.classroom.checks import TASKS, Result, Task

NOTEBOOKS = (
    "network",
    "class_models",
    "saliency",
    "localization",
    "deconvnet",
    "later_methods",
    "limits",
    "shortcut",
)
tasks = [
    pytest.param(notebook, task, id=task.name) for notebook in TASKS for task in TASKS[notebook]
]


def test_there_are_four_to_six_tasks_a_notebook():
    assert tuple(TASKS) == NOTEBOOKS
    for notebook, listed in TASKS.items():
        assert not listed or 4 <= len(listed) <= 6, notebook


def test_names_are_unique():
    names = [task.name for listed in TASKS.values() for task in listed]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize(("notebook", "task"), tasks)
def test_a_task_is_named_after_its_notebook_and_function(notebook, task):
    assert isinstance(task, Task)
    assert task.name.startswith(notebook.replace("_", "-") + "-")
    assert task.check is getattr(checks, f"check_{task.answer}")
    assert f"check_{task.answer}" in checks.__all__
    assert task.points >= 1
    assert len(inspect.signature(task.check).parameters) == 1
    assert task.check.__doc__.startswith(f"Check ``{task.answer}(")


@pytest.mark.parametrize(("notebook", "task"), tasks)
def test_a_stub_is_not_done_yet(notebook, task):
    def stub(*arguments):
        raise NotImplementedError("not done yet")

    assert task.check(stub) == Result(task.answer, "not done yet", "")


@pytest.mark.parametrize(("notebook", "task"), tasks)
@pytest.mark.parametrize("value", [0, 1.0, "a map", (), [], {}, object(), float("nan")])
def test_no_check_passes_or_fails_on_a_value_out_of_place(notebook, task, value):
    result = task.check(lambda *arguments: value)
    assert result.state == "hint"
    assert result.message


@pytest.mark.parametrize(("notebook", "task"), tasks)
def test_giving_an_argument_back_does_not_pass(notebook, task):
    for place in range(3):
        result = task.check(
            lambda *arguments, place=place: arguments[min(place, len(arguments) - 1)]
        )
        assert result.state == "hint"


def test_everything_public_is_listed():
    named = {name for name in vars(checks) if name.startswith("check_")}
    assert named <= set(checks.__all__)


# ---- the teacher's notebooks

SOURCE = Path(__file__).resolve().parents[3] / "classroom" / "source"
written = pytest.mark.parametrize(
    "path", sorted(SOURCE.glob("*/*.ipynb")), ids=lambda path: path.stem
)


def graded(path, kind):
    """The cells that nbgrader calls solutions, or grades, by their names."""
    cells = nbformat.read(path, as_version=4).cells
    marked = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get(kind)]
    return {cell.metadata.nbgrader.grade_id: cell for cell in marked}


@written
def test_every_solution_of_the_teacher_passes_its_check(path):
    space = {}
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    # the imports, without what only Colab runs
    exec(re.sub(r"^if .*?\n\n", "", code[0].source, flags=re.MULTILINE | re.DOTALL), space)
    for task in TASKS[path.stem]:
        exec(graded(path, "solution")[task.name].source, space)
        result = task.check(space[task.answer])
        assert result.passed, result
        # the small case that is worked through gives what it says
        example = inspect.getclosurevars(task.check).nonlocals["example"]
        assert answers._worked(space[task.answer], example()) == "", task.name


@written
def test_the_teacher_has_a_cell_and_a_check_for_each_task(path):
    names = [task.name for task in TASKS[path.stem]]
    answers = [name for name, cell in graded(path, "solution").items() if cell.cell_type == "code"]
    assert answers == names
    checking = {n: cell for n, cell in graded(path, "grade").items() if cell.cell_type == "code"}
    assert list(checking) == [f"{name}-check" for name in names]
    for task in TASKS[path.stem]:
        cell = checking[f"{task.name}-check"]
        assert cell.source == (
            f"checks.check_{task.answer}({task.answer})\n### BEGIN HIDDEN TESTS\n"
            f'checks.mark("{task.name}", {task.answer})\n### END HIDDEN TESTS'
        )
        assert cell.metadata.nbgrader.points == task.points
        assert cell.metadata.nbgrader.locked


LINE = re.compile(
    r"^## (\d+)\. [^\n]+\n\n\*(Core|Optional) · (\d+) (points?) · about (\d+) minutes\*\n\n"
)


@written
def test_each_heading_is_followed_by_points_and_minutes_that_add_up(path):
    cells = nbformat.read(path, as_version=4).cells
    headings = [cell.source for cell in cells if cell.source.startswith("## ")]
    said = [LINE.match(heading) for heading in headings]
    assert all(said), headings
    assert [int(line[1]) for line in said] == list(range(1, len(TASKS[path.stem]) + 2))
    told = [(line[2] == "Optional", int(line[3]), int(line[5])) for line in said]
    assert all((line[3] == "1") == (line[4] == "point") for line in said)
    assert told[:-1] == [(task.optional, task.points, task.minutes) for task in TASKS[path.stem]]
    (question,) = [
        cell for cell in graded(path, "solution").values() if cell.cell_type == "markdown"
    ]
    assert told[-1][1] == question.metadata.nbgrader.points
    core, more = (sum(m for is_more, _, m in told if is_more == wanted) for wanted in (False, True))
    assert 0 < core <= 75
    first = " ".join(cells[0].source.split())
    assert (
        f"The core takes about {core} minutes in all, the optional tasks {more} more." in first
        if more
        else f"All of them are core and take about {core} minutes." in first
    )


@written
def test_there_is_one_open_question_with_marks_that_add_up(path):
    questions = [cell for cell in graded(path, "solution").values() if cell.cell_type == "markdown"]
    (question,) = questions
    assert question.metadata.nbgrader.grade
    text = question.source.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
    marks = re.findall(r"^- (\d+):", text, re.MULTILINE)
    assert sum(map(int, marks)) == question.metadata.nbgrader.points


@written
def test_the_teachers_notebook_is_committed_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_cells_are_short_enough_to_be_followed(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            lines = [
                line for line in cell.source.splitlines() if not line.strip().startswith("###")
            ]
            assert len(lines) <= 20, cell.source
