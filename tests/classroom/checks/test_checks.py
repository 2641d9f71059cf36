import inspect
import re
from pathlib import Path

import nbformat
import pytest

from deepinside.classroom import answers, checks
from deepinside.classroom.checks import TASKS, Result, Task

SOURCE = Path(__file__).resolve().parents[3] / "classroom" / "source"
tasks = [
    pytest.param(notebook, task, id=task.name) for notebook in TASKS for task in TASKS[notebook]
]


def test_each_teacher_s_notebook_has_a_module_of_one_to_six_tasks():
    written = sorted(path.stem for path in SOURCE.glob("*/*.ipynb"))
    assert sorted(TASKS) == written, (
        "each notebook classroom/source/NAME/NAME.ipynb needs its checks in "
        "lib/deepinside/classroom/checks/NAME.py, and these the notebook: "
        f"one without the other is {sorted({*TASKS} ^ {*written})}"
    )
    for notebook, listed in TASKS.items():
        assert 1 <= len(listed) <= 6, (
            f"checks/{notebook}.py registers {len(listed)} tasks by `@task`; a notebook has one to "
            "six, as a seventh is not done in 90 minutes"
        )


def test_names_are_unique():
    names = [task.name for listed in TASKS.values() for task in listed]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"two tasks have one name; rename one of each in checks/: {sorted(twice)}"


@pytest.mark.parametrize(("notebook", "task"), tasks)
def test_a_task_is_named_after_its_notebook_and_function(notebook, task):
    assert isinstance(task, Task)
    begins = notebook.replace("_", "-") + "-"
    assert task.name.startswith(begins), f"the name of a task of {notebook} begins with {begins!r}"
    name = f"check_{task.answer}"
    assert task.check is getattr(checks, name), (
        f"two modules of checks/ define {name}: rename the function that one of them asks for"
    )
    assert name in checks.__all__
    assert task.points >= 1, f"{name} is worth {task.points} points; a task is worth one or more"
    assert len(inspect.signature(task.check).parameters) == 1
    assert task.check.__doc__.startswith(f"Check ``{task.answer}("), (
        f"the docstring of {name} must begin with: Check ``{task.answer}(ARGUMENTS)``."
    )


@pytest.mark.parametrize(("notebook", "task"), tasks)
def test_a_stub_is_not_done_yet(notebook, task):
    def stub(*arguments):
        raise NotImplementedError("not done yet")

    assert task.check(stub) == Result(task.answer, "not done yet", "")


@pytest.mark.parametrize(("notebook", "task"), tasks)
@pytest.mark.parametrize("value", [0, 1.0, "a map", (), [], {}, object(), float("nan")])
def test_no_check_passes_or_fails_on_a_value_out_of_place(notebook, task, value):
    result = task.check(lambda *arguments: value)
    assert result.state == "hint" and result.message, (
        f"{task.check.__name__} must give a hint to an answer that returns {value!r}: compare what "
        "it returns with the right value, by `Compared`"
    )


@pytest.mark.parametrize(("notebook", "task"), tasks)
def test_giving_an_argument_back_does_not_pass(notebook, task):
    for place in range(3):
        result = task.check(
            lambda *arguments, place=place: arguments[min(place, len(arguments) - 1)]
        )
        assert result.state == "hint", (
            f"{task.check.__name__} passes an answer that returns its argument: choose a case "
            "whose right value is none of the arguments"
        )


def test_everything_public_is_listed():
    named = {name for name in vars(checks) if name.startswith("check_")}
    assert named <= set(checks.__all__)


# ---- the teacher's notebooks

written = pytest.mark.parametrize(
    "path", sorted(SOURCE.glob("*/*.ipynb")), ids=lambda path: path.stem
)


def graded(path, kind):
    """The cells that nbgrader calls solutions, or grades, by their names."""
    cells = nbformat.read(path, as_version=4).cells
    marked = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get(kind)]
    return {cell.metadata.nbgrader.grade_id: cell for cell in marked}


def the_question(path):
    """The one cell whose answer is text."""
    found = [cell for cell in graded(path, "solution").values() if cell.cell_type == "markdown"]
    assert len(found) == 1, (
        f"a notebook asks for one answer in words: one Markdown cell with nbgrader: solution true "
        f"and grade true; got {len(found)}"
    )
    return found[0]


@written
def test_every_solution_of_the_teacher_passes_its_check(path):
    space = {}
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    # the imports, without what only Colab runs
    exec(re.sub(r"^if .*?\n\n", "", code[0].source, flags=re.MULTILINE | re.DOTALL), space)
    for task in TASKS[path.stem]:
        exec(graded(path, "solution")[task.name].source, space)
        result = task.check(space[task.answer])
        assert result.passed, f"the teacher's solution fails its own check: {result}"
        # the small case that is worked through gives what it says
        example = inspect.getclosurevars(task.check).nonlocals["example"]
        assert example, f"give `@task` of {task.check.__name__} a small case: example=..."
        assert answers._worked(space[task.answer], example()) == "", task.name


@written
def test_the_teacher_has_a_cell_and_a_check_for_each_task(path):
    names = [task.name for task in TASKS[path.stem]]
    answers = [name for name, cell in graded(path, "solution").items() if cell.cell_type == "code"]
    assert answers == names, (
        "each task of checks/ needs an answer cell whose metadata say nbgrader: solution true and "
        "grade_id its name, in the same order"
    )
    checking = {n: cell for n, cell in graded(path, "grade").items() if cell.cell_type == "code"}
    assert list(checking) == [f"{name}-check" for name in names], (
        "below each answer cell stands a check cell: nbgrader grade true, grade_id NAME-check"
    )
    for task in TASKS[path.stem]:
        cell = checking[f"{task.name}-check"]
        wanted = (
            f"checks.check_{task.answer}({task.answer})\n### BEGIN HIDDEN TESTS\n"
            f'checks.mark("{task.name}", {task.answer})\n### END HIDDEN TESTS'
        )
        assert cell.source == wanted, f"the check cell of {task.name} must be:\n{wanted}"
        known = cell.metadata.nbgrader
        assert known.locked and known.points == task.points, (
            f"the check cell of {task.name} must have locked: true and points: {task.points}"
        )


LINE = re.compile(
    r"^## (\d+)\. [^\n]+\n\n\*(Core|Optional) · (\d+) (points?) · about (\d+) minutes\*\n\n"
)


@written
def test_each_heading_is_followed_by_points_and_minutes_that_add_up(path):
    cells = nbformat.read(path, as_version=4).cells
    headings = [cell.source for cell in cells if cell.source.startswith("## ")]
    said = [LINE.match(heading) for heading in headings]
    assert all(said), (
        "a heading is `## 1. Its name`, and two lines below it stands `*Core · 2 points · about 10 "
        f"minutes*` or `*Optional · ...*`; not so: {[h for h in headings if not LINE.match(h)]}"
    )
    assert [int(line[1]) for line in said] == list(range(1, len(TASKS[path.stem]) + 2)), (
        "headings are numbered from 1 on, one for each task and last one for the open question"
    )
    told = [(line[2] == "Optional", int(line[3]), int(line[5])) for line in said]
    assert all((line[3] == "1") == (line[4] == "point") for line in said)
    assert told[:-1] == [(task.optional, task.points, task.minutes) for task in TASKS[path.stem]], (
        "optional, points and minutes below a heading must be those of its `@task` in checks/"
    )
    assert told[-1][1] == the_question(path).metadata.nbgrader.points, (
        "the points below the question's heading must be those in its cell's metadata"
    )
    core, more = (sum(m for is_more, _, m in told if is_more == wanted) for wanted in (False, True))
    assert 0 < core <= 75, f"the core takes {core} minutes; a session has time for 1 to 75"
    wanted = (
        f"The core takes about {core} minutes in all, the optional tasks {more} more."
        if more
        else f"All of them are core and take about {core} minutes."
    )
    assert wanted in " ".join(cells[0].source.split()), f"the first cell must say: {wanted}"


@written
def test_there_is_one_open_question_with_marks_that_add_up(path):
    question = the_question(path)
    assert question.metadata.nbgrader.grade, "the question's cell needs nbgrader: grade true"
    text = question.source.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
    marks = re.findall(r"^- (\d+):", text, re.MULTILINE)
    assert sum(map(int, marks)) == question.metadata.nbgrader.points, (
        "the marks, lines `- 1: what earns it`, must add up to the points in the cell's metadata"
    )


@written
def test_the_teachers_notebook_is_committed_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code), (
        "a teacher's notebook is committed without outputs: clear all outputs and save"
    )


@written
def test_cells_are_short_enough_to_be_followed(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            lines = [
                line for line in cell.source.splitlines() if not line.strip().startswith("###")
            ]
            assert len(lines) <= 20, f"a cell has at most 20 lines; divide this one:\n{cell.source}"
