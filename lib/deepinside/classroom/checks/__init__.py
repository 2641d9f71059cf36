"""The checks of the students' notebooks, one function per task, and the list of all tasks.

``checks.check_saliency_map(saliency_map)`` runs a student's function on small networks
whose results are known, and returns a `Result` that a notebook shows: passed, a hint about
what is wrong with the answer, or not done yet. `passed` asks the same without showing it, and
`mark` is what nbgrader calls. A check is defined in the module of its chapter,
and named nowhere else.
"""

from deepinside.classroom import seal
from deepinside.classroom.answers import Result, Task, mark, passed, tasks_of
from deepinside.classroom.checks import (
    class_models,
    deconvnet,
    later_methods,
    limits,
    localization,
    network,
    saliency,
    shortcut,
)

# each notebook's tasks, in their order in it
TASKS: dict[str, tuple[Task, ...]] = {
    module.__name__.rpartition(".")[2]: tasks_of(module.__name__)
    for module in (
        network,
        class_models,
        saliency,
        localization,
        deconvnet,
        later_methods,
        limits,
        shortcut,
    )
}
_CHECKS = {task.check.__name__: task.check for tasks in TASKS.values() for task in tasks}
globals().update(_CHECKS)

__all__ = ["TASKS", "Result", "Task", "mark", "passed", *_CHECKS]

seal.note()
