"""What grading does within the kernel that runs a submission."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import ExecutionResult


def prepare(tasks: str, notebook: str) -> None:
    """Have this kernel keep the answers that cells bind, and check them by ``%check_answer``.

    A magic command cannot be rebound by what the notebook names. What a check finds goes
    into the reply to its cell: ``{"passed": False, "message": "..."}``, as a payload.

    Parameters
    ----------
    tasks : str
        The module that has TASKS.
    notebook : str
        Whose tasks: a key of TASKS.
    """
    shell: Any = get_ipython()
    listed = {task.name: task for task in import_module(tasks).TASKS[notebook]}
    names = {task.answer for task in listed.values()}
    own, home = os.getpid(), Path.cwd()
    bound: dict[str, object] = {}

    def keep(_: ExecutionResult) -> None:
        if os.getpid() != own:  # a cell has forked, and only one of the two may go on
            os._exit(0)
        if not home.exists():  # as little works in a folder that was deleted
            home.mkdir(parents=True)
            os.chdir(home)
        # a later cell may use the name for something else: saliency_map = saliency_map(...)
        bound.update((name, shell.user_ns[name]) for name in names & shell.user_ns.keys()
                     if _is_own(shell.user_ns[name]))  # fmt: skip

    def check_answer(name: str) -> None:
        task = listed[name]
        try:
            result = task.check(bound.get(task.answer))
            message = result.message if result.state == "hint" else result.state
            passed, message = bool(result.passed), "" if result.passed else str(message)
        except KeyboardInterrupt:  # its time is over
            raise
        except BaseException as error:  # a notebook may have changed what the check needs
            passed, message = False, f"the check raised {type(error).__name__}"
        found = {"source": "check_answer", "passed": passed, "message": message[:500]}
        shell.payload_manager.write_payload(found)

    shell.events.register("post_run_cell", keep)
    shell.register_magic_function(check_answer)
    # what is shown is not kept: pictures need not be drawn, texts need not be sent
    shell.display_formatter.active_types = ["text/plain"]
    shell.display_pub.register_hook(lambda message: None)
    silent = Path(os.devnull).open("w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stdout = sys.stderr = silent


def _is_own(value: object) -> bool:
    """Return whether a value can be an answer: a function, but none of the book's own."""
    module = getattr(value, "__module__", None) or ""
    return callable(value) and module.split(".")[0] != "deepinside"
