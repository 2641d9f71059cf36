"""The checks of the students' notebooks, one function a task, and the list of all tasks.

``checks.check_saliency_map(saliency_map)`` runs a student's function on small networks
whose results are known, and returns a `Result` that a notebook shows: passed, a hint of
what kind of wrong the answer is, or not done yet.
"""

from collections.abc import Callable
from typing import NamedTuple

from deepinside.answers import Result

__all__ = ["TASKS", "Result", "Task"]


class Task(NamedTuple):
    """One task of a student's notebook.

    Attributes
    ----------
    name : str
        Its name in the notebook's metadata (nbgrader's grade_id) and in tables of marks.
    answer : str
        The name of the function that the notebook binds.
    check : callable
        From that function to a `Result`.
    points : int
        What a right answer is worth.
    """

    name: str
    answer: str
    check: Callable[[object], Result]
    points: int


# each notebook's tasks, in their order in it
TASKS: dict[str, tuple[Task, ...]] = {
    "network": (),
    "class_models": (),
    "saliency": (),
    "localization": (),
    "deconvnet": (),
    "limits": (),
}
