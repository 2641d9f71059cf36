"""Run one student's notebook, and check the functions that it binds.

`deepinside.classroom.grading` starts this as a process of its own. Cells run in order, as
in Jupyter, each under a time limit; one that fails does not keep the next from running. Then each
task's check is run on the function that the notebook bound last under the task's name.
What happens is told line by line as it happens, so that nothing is lost if the process
is ended.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType

from deepinside.classroom import confinement

TASKS = "deepinside.classroom.checks"


def run_submission(
    notebook: str,
    cells: dict[int, str],
    tell: Callable[..., None],
    *,
    tasks: str = TASKS,
    skip: tuple[str, ...] = (),
    seconds: float = 30.0,
) -> None:
    """Run the cells, then the checks, and tell of each as it begins and ends.

    Parameters
    ----------
    notebook : str
        Whose tasks to check: a key of TASKS.
    cells : dict
        Code by its place in the notebook.
    tell : callable
        Is given `step=` as a cell or check begins, `task=, passed=, message=` after a
        check, and `failed=` with the places of the cells that raised, and what.
    tasks : str
        The module that has TASKS.
    skip : tuple of str
        Names of tasks that are not to be checked: they ended the process before.
    seconds : float
        Time limit of a cell.
    """
    # only now, as the process is to be confined before anything starts a thread
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    tell(step="loading")
    listed = import_module(tasks).TASKS[notebook]
    names = {task.answer for task in listed}
    quiet = Config(HistoryManager={"enabled": False}, InteractiveShell={"cache_size": 0})
    shell = InteractiveShell.instance(config=quiet)
    # what is shown is not kept, so pictures need not be drawn
    shell.display_formatter.active_types = ["text/plain"]
    home, bound = Path.cwd(), {}
    failed: dict[int, str] = {}
    for place, source in cells.items():
        tell(step=f"cell {place}")
        error = _error(shell, source, seconds)
        if error:
            failed[place] = error
        if not home.exists():  # as little works in a folder that was deleted
            home.mkdir(parents=True)
            os.chdir(home)
        # a later cell may use the name for something else: saliency_map = saliency_map(...)
        bound |= {name: shell.user_ns[name] for name in names if _is_own(shell.user_ns.get(name))}
    tell(failed=failed)
    for task in listed:
        if task.name in skip:
            continue
        tell(step=task.name)
        try:
            result = task.check(bound.get(task.answer))
            passed = result.passed
            message = result.message if result.state == "hint" else result.state
            message = "" if passed else message
        except BaseException as error:  # a notebook may have changed what the check needs
            passed, message = False, f"the check raised {type(error).__name__}"
        tell(task=task.name, passed=passed, message=message[:500])
    tell(step="end")


def _is_own(value: object) -> bool:
    """Return whether a value can be an answer: a function, but none of the book's own."""
    module = getattr(value, "__module__", None) or ""
    return callable(value) and module.split(".")[0] != "deepinside"


class _TimeIsUp(BaseException):
    """Raised in a cell when its time is over, over and over until it ends."""


def _error(shell: "InteractiveShell", source: str, seconds: float) -> str:  # noqa: F821
    """Run a cell and return the name of what it raised, or "" if it ran to its end in time."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TimeIsUp

    try:
        try:
            signal.signal(signal.SIGALRM, ring)
            # again and again, for code that catches everything
            signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
            result = shell.run_cell(source)
            error = result.error_before_exec or result.error_in_exec
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    except BaseException as beside:  # IPython catches what a cell raises; this came beside it
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        error = beside
    if isinstance(error, _TimeIsUp):
        return f"took more than {seconds:g} s"
    return type(error).__name__ if error else ""


def main() -> None:
    """Do what the file of the order says, confined; lines of JSON go to a pipe."""
    order = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    pipe = int(sys.argv[2])
    scratch = Path(order["scratch"])
    confinement.limit(order["memory"])
    bound = confinement.confine_to(scratch)
    confinement.guard(scratch, programs=bound)

    own = os.getpid()

    def tell(**what: object) -> None:
        if os.getpid() == own:  # a notebook may have forked
            os.write(pipe, (json.dumps(what) + "\n").encode())

    cells = {int(place): source for place, source in order["cells"].items()}
    status = 1
    try:
        run_submission(
            order["notebook"], cells, tell,
            tasks=order["tasks"], skip=tuple(order["skip"]), seconds=order["seconds"],
        )  # fmt: skip
        status = 0
    except BaseException as error:
        tell(why=f"{type(error).__name__}: {error}"[:500])
    finally:
        # threads that a notebook left behind are not waited for
        os._exit(status)


if __name__ == "__main__":
    main()
