"""What grading does within the kernel that runs a submission."""

import contextlib
import linecache
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import ExecutionResult

# line magics that run a student's own code, whose errors are the student's
_RUNS_CODE = ("prun", "run", "time", "timeit")


def prepare(tasks: str, notebook: str) -> None:
    """Have this kernel keep the answers that cells bind, and check them by ``%check_answer``.

    A magic command cannot be rebound by what the notebook names. What a check finds goes
    into the reply to its cell as a payload: ``{"points": 1, "message": "..."}``. The payload
    of a cell that fails has the line that failed, and that of each cell what it replaced of the
    libraries. A magic that fails, as there is no such extension or no package to install,
    costs no more than its own line.

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
    # imported with the checks of this book, if with any
    seal = sys.modules.get("deepinside.classroom.seal")
    replaced: Any = getattr(seal, "replaced", list)
    restored: Any = getattr(seal, "restored", contextlib.nullcontext)
    checks = sys.modules.get("deepinside.classroom.checks")
    own, home = os.getpid(), Path.cwd()
    bound: dict[str, object] = {}
    tell = shell.payload_manager.write_payload

    def keep(result: ExecutionResult) -> None:
        if os.getpid() != own:  # a cell has forked, and only one of the two may go on
            os._exit(0)
        if not home.exists():  # as little works in a folder that was deleted
            home.mkdir(parents=True)
            os.chdir(home)
        # a later cell may use the name for something else: saliency_map = saliency_map(...)
        bound.update((name, shell.user_ns[name]) for name in names & shell.user_ns.keys()
                     if _is_own(shell.user_ns[name]))  # fmt: skip
        with contextlib.suppress(Exception):  # whatever a cell did to what this uses
            found = replaced()
            if checks and shell.user_ns.get("checks", checks) is not checks:
                found.append("checks")
            error = result.error_in_exec or result.error_before_exec
            line = _failing_line(error, shell) if error else ""
            tell({"source": "cell", "line": line[:80], "replaced": found[:10]}, single=False)

    def check_answer(name: str) -> None:
        task = listed[name]
        try:
            with restored():
                result = task.grade(bound.get(task.answer))
                message = result.message if result.state == "hint" else result.state
                points, message = result.points, "" if result.passed else str(message)
        except KeyboardInterrupt:  # its time is over
            raise
        except BaseException as error:  # a notebook may have changed what the check needs
            points, message = 0, f"the check raised {type(error).__name__}"
        tell({"source": "check_answer", "points": points, "message": message[:500]}, single=False)

    shell.events.register("post_run_cell", keep)
    shell.register_magic_function(check_answer)
    _forgive_magics(shell)
    # what is shown is not kept: pictures need not be drawn, texts need not be sent
    shell.display_formatter.active_types = ["text/plain"]
    shell.display_pub.register_hook(lambda message: None)
    silent = Path(os.devnull).open("w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stdout = sys.stderr = silent


def _forgive_magics(shell: Any) -> None:  # noqa: ANN401 - IPython's shell has no types
    """Have lines like ``%load_ext tensorboard`` fail alone, and not with the cell they are in."""
    run_line, run_cell = shell.run_line_magic, shell.run_cell_magic

    def run_line_magic(name: str, line: str, _stack_depth: int = 1) -> object:
        try:
            return run_line(name, line, _stack_depth=_stack_depth + 1)
        except Exception:
            if name in _RUNS_CODE:
                raise
            return None

    def run_cell_magic(name: str, line: str, cell: str) -> object:
        if shell.find_cell_magic(name):
            return run_cell(name, line, cell)
        # one of an extension that is not here, as %%wandb: it may only watch the cell's code
        shell.run_cell(cell).raise_error()
        return None

    shell.run_line_magic, shell.run_cell_magic = run_line_magic, run_cell_magic


def _failing_line(error: BaseException, shell: Any) -> str:  # noqa: ANN401
    """Return the line of a notebook's own code at which an error came up, or ""."""
    if isinstance(error, SyntaxError) and error.text:
        return error.text.strip()
    lines = [
        linecache.getline(frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals is shell.user_ns
    ]
    return lines[-1].strip() if lines else ""


def _is_own(value: object) -> bool:
    """Return whether a value can be an answer: a function, but none of the book's own."""
    module = getattr(value, "__module__", None) or ""
    return callable(value) and module.split(".")[0] != "deepinside"
