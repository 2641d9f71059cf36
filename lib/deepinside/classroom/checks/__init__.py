"""The checks of the students' notebooks, one function per task, and the list of all tasks.

``checks.check_saliency_map(saliency_map)`` runs a student's function on small networks
whose results are known, and returns a `Result` that a notebook shows: passed, a hint about
what is wrong with the answer, or not done yet. `passed` asks the same without showing it, and
`mark` is what nbgrader calls. A check is defined in the module of its chapter,
and named nowhere else.
"""

import pkgutil
from importlib import import_module

from deepinside.classroom import seal
from deepinside.classroom.answers import Result, Task, mark, passed, tasks_of

# each notebook's tasks, in their order in it; a notebook is named as its module in this folder
TASKS: dict[str, tuple[Task, ...]] = {
    name: tasks_of(import_module(f"{__name__}.{name}").__name__)
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__))
}
_CHECKS = {task.check.__name__: task.check for tasks in TASKS.values() for task in tasks}
globals().update(_CHECKS)

__all__ = ["TASKS", "Result", "Task", "mark", "passed", *_CHECKS]

seal.note()
