import inspect

import pytest

from deepinside import checks
from deepinside.checks import TASKS, Result, Task

NOTEBOOKS = ("network", "class_models", "saliency", "localization", "deconvnet", "limits")
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
    assert list(inspect.signature(task.check).parameters) == [task.answer]


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
