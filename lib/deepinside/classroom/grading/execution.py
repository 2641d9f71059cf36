"""Running a submission in a kernel of its own, under limits, as often as it takes.

nbclient executes the cells, and after them the checks of this installation in the same
kernel. If a cell or a check ends the kernel, or has to be ended, everything is run once more
without it, so that it costs no more than one task.
"""

import asyncio
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from deepinside.classroom.grading.confinement import Limits, can_confine, confined, limited
from deepinside.classroom.grading.submissions import Submission, first_line

if TYPE_CHECKING:
    from deepinside.classroom.checks import Task

# how often a notebook whose kernel was ended is run again, without what ended it
ATTEMPTS = 4
# seconds in which a kernel has to start
STARTUP = 60
# what a kernel needs to know of the environment; no keys, no tokens
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
# how many seconds after it was interrupted a cell is ended from outside
_GRACE = 5.0

# the kernel's own sockets come behind the descriptors that a notebook may write to by accident
_LAUNCH = (
    "import os; null = os.open(os.devnull, os.O_RDWR); "
    "[os.dup2(null, place, inheritable=False) for place in range(null + 1, 64)]; "
    "from ipykernel import kernelapp; kernelapp.launch_new_instance()"
)

Execute = Callable[..., Awaitable[dict]]


@dataclass
class Grades:
    """What a submission got: points by task, and remarks on what is missing."""

    points: dict[str, float] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class Ended(Exception):  # noqa: N818 - no error of the program, but what a notebook did
    """The kernel ended, or has to be ended, and why."""


async def grade_submission(
    submission: Submission,
    listed: Sequence["Task"],
    *,
    tasks: str,
    limits: Limits,
) -> Grades:
    """Run a submission, check its answers, and return its grades.

    Parameters
    ----------
    submission : Submission
        A submission without error.
    listed : sequence of Task
        The tasks of its notebook.
    tasks : str
        The module that has TASKS.
    limits : Limits
        Of time and memory.

    Raises
    ------
    RuntimeError
        If no kernel comes to the notebook, which is not to be blamed.
    """
    names = [task.name for task in listed]
    cells, grades = dict(submission.cells), Grades()
    told: dict[str, tuple[float, str]] = {}
    replaced: dict[str, None] = {}
    prepare = (
        "__import__('importlib').import_module('deepinside.classroom.grading.kernel')"
        f".prepare({tasks!r}, {submission.notebook!r})"
    )
    deadline = time.monotonic() + limits.notebook
    for _ in range(ATTEMPTS):
        step: int | str = "start"
        failed: dict[int, str] = {}
        try:
            async with _kernel(limits.memory, deadline) as execute:
                started = await execute(prepare, limits.notebook)
                if "ename" in started:
                    raise Ended(f"{started['ename']}: {started['evalue']}")
                for step, source in cells.items():
                    reply = await execute(source, limits.cell, True)
                    about = _told(reply, "cell")
                    replaced |= dict.fromkeys(about.get("replaced", ()))
                    if "ename" in reply:
                        failed[step] = _at(reply["ename"], about.get("line", ""), source)
                for step in [name for name in names if name not in told]:
                    reply = await execute(f"%check_answer {step}", limits.check)
                    replaced |= dict.fromkeys(_told(reply, "cell").get("replaced", ()))
                    found = _told(reply, "check_answer")
                    told[step] = (
                        found.get("points", 0),
                        found.get("message", reply.get("ename", "the check told nothing")),
                    )
            break
        except Ended as ended:
            if step in names:
                told[step] = (0, str(ended))
            elif step in cells:
                grades.remarks.append(f"{submission.labels[step]}: {ended}")
                del cells[step]
            else:
                raise RuntimeError(f"could not start to run {submission.file}: {ended}") from None
        if time.monotonic() > deadline:
            break
    # where a cell failed, a function may be missing
    grades.remarks += [f"{submission.labels[place]}: {error}" for place, error in failed.items()]
    grades.remarks += [
        f"{name}: {told[name][1]}" for name in names if name in told and told[name][1]
    ]
    if replaced:
        grades.remarks.insert(0, f"replaces {', '.join(replaced)}, to no effect on the checks")
    grades.points = {name: points for name, (points, _) in told.items()}
    return grades


def _told(reply: dict, source: str) -> dict:
    """Return what `kernel` says of a cell or of an answer."""
    payloads = [told for told in reply.get("payload", ()) if told.get("source") == source]
    return payloads[-1] if payloads else {}


def _at(error: str, line: str, source: str) -> str:
    """Return an error with the line where it came up, unless this is how the cell is called."""
    return f"{error} at `{line}`" if line and line != first_line(source) else error


@asynccontextmanager
async def _kernel(memory: int, deadline: float) -> AsyncIterator[Execute]:
    """Start a kernel in a scratch folder, give what executes code in it, and end it.

    ``await execute(code, seconds)`` returns the reply of the kernel, with "ename" if the code
    failed or took too long, and raises `Ended` if there is no kernel any more. With a third
    argument that is true the cell is counted, and its value kept as ``Out[1]``.
    """
    scratch = Path(tempfile.mkdtemp(prefix="deepinside-grade-")).resolve()
    manager: Any = _manager(scratch, memory)
    channels: Any = None
    replies: list[dict] = []
    client = NotebookClient(
        new_notebook(cells=[new_code_cell()]), manager, allow_errors=True, record_timing=False,
        store_widget_state=False,
        on_cell_executed=lambda execute_reply, **_: replies.append(execute_reply["content"]),
    )  # fmt: skip

    async def ended(otherwise: str) -> Ended:
        status = await manager.provisioner.poll()
        if status is None:
            return Ended(otherwise)
        # a signal as bubblewrap and shells tell it
        return Ended(f"the process ended, exit status {128 - status if status < 0 else status}")

    async def interrupt_after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        await manager.interrupt_kernel()

    async def execute(source: str, seconds: float, counted: bool = False) -> dict:
        over = Ended("the time for the whole notebook was over")
        allowed = min(seconds, deadline - time.monotonic())
        if allowed <= 0:
            raise over
        if not source.strip():  # nothing that the kernel would reply to
            return {}
        interruption = asyncio.create_task(interrupt_after(allowed))
        client.timeout = math.ceil(allowed + _GRACE)
        try:
            await client.async_execute_cell(new_code_cell(source), 0, store_history=counted)
        except CellTimeoutError:
            raise await ended(f"did not end within {seconds + _GRACE:g} s") from None
        except DeadKernelError:
            # nbclient takes a cancellation for the kernel's death
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from None
            raise await ended("the process ended") from None
        except UnicodeEncodeError as error:  # a string that is no text cannot be sent
            return {"ename": type(error).__name__}
        finally:
            interrupted = interruption.done()
            interruption.cancel()
        reply = replies.pop()
        if interrupted and allowed < seconds:
            raise over
        if interrupted and "ename" in reply:
            reply["ename"] = f"took more than {seconds:g} s"
        return reply

    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        # within bubblewrap the kernel cannot see its parent, and is ended with it
        await manager.start_kernel(
            cwd=str(scratch / "home"), env=_environment(scratch), independent=can_confine(), **quiet
        )
        channels = client.kc = manager.client()
        channels.start_channels()
        channels.allow_stdin = False
        try:
            await channels.wait_for_ready(timeout=STARTUP)
        except RuntimeError:
            raise await ended(f"did not start within {STARTUP} s") from None
        yield execute
    finally:
        # first, as the manager closes what the channels' threads use
        if channels:
            channels.stop_channels()
        await manager.shutdown_kernel(now=True)
        _remove(scratch)


def _manager(scratch: Path, memory: int) -> AsyncKernelManager:
    """Return what starts and ends a kernel that is confined to a folder."""
    (scratch / "home").mkdir()
    (scratch / "submission").mkdir()
    kernel = [
        *limited(memory), *(confined(scratch) if can_confine() else ()),
        sys.executable, "-P", "-c", _LAUNCH, "-f", "{connection_file}",
        "--IPKernelApp.capture_fd_output=False", "--HistoryManager.enabled=False",
        "--InteractiveShell.xmode=Minimal",
    ]  # fmt: skip
    # interrupted by a message: a signal would end bubblewrap
    spec = {"argv": kernel, "display_name": "", "language": "python", "interrupt_mode": "message"}
    (scratch / "submission" / "kernel.json").write_text(json.dumps(spec), "utf-8")
    return AsyncKernelManager(
        kernel_name="submission", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(scratch)]),
        connection_file=str(scratch / "connection.json"), transport="ipc", ip=str(scratch / "ipc"),
    )  # fmt: skip


def _environment(scratch: Path) -> dict[str, str]:
    home, once = str(scratch / "home"), "1"
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": home, "TMPDIR": str(scratch), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": once,
        "IPYTHONDIR": str(scratch / "ipython"), "CUDA_VISIBLE_DEVICES": "",
        # what it finds out in the end anyway, without a network
        "PIP_NO_INDEX": once, "OMP_NUM_THREADS": once,
    }  # fmt: skip


def _remove(scratch: Path) -> None:
    """Remove a folder, whatever a notebook did to the permissions in it."""

    def open_up(function: object, path: str, error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)

    shutil.rmtree(scratch, onerror=open_up)
    shutil.rmtree(scratch, ignore_errors=True)
