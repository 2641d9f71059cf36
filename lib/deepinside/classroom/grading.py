"""Mark a folder of students' notebooks.

``python -m deepinside.classroom.grading SUBMISSIONS --output CSV``

Notebooks may lie in folders, in any layout. Each runs in a process of its own, with
limits of time and memory, in a scratch folder that is all it can change, and without
network where the system lets an ordinary user cut it. Marks come from the checks of this
installation, run on the functions that a notebook binds, whatever its own cells say.

The result is a CSV file with a row a notebook and a column a task, written as it goes:
started again, the command goes on with what is new or changed. The exit status is 0 when
every notebook has its row (the remarks say which are broken), 1 if processes cannot be
started here, 2 if there is no notebook or the call is wrong, 130 if it was interrupted.
"""

import argparse
import contextlib
import csv
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, TextIO

from deepinside.classroom import confinement
from deepinside.classroom.checks import Task
from deepinside.classroom.submission import TASKS

# how often a notebook whose process was ended is run again, without what ended it
ATTEMPTS = 4
# what a notebook's process needs to know of the environment; no keys, no tokens
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
# how long a check may take
SECONDS = 10.0
# how long after its own limit a cell is ended from outside
_GRACE = 5.0


class Submission(NamedTuple):
    """A notebook to be marked: its path below the folder, a fingerprint, and its code."""

    file: str
    digest: str
    notebook: str
    cells: dict[int, str]
    error: str


@dataclass
class Marks:
    """What a submission got: the tasks that passed, and remarks on the others."""

    passed: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """Seconds of a cell and of a whole notebook, and bytes of memory."""

    cell: float = 30.0
    notebook: float = 180.0
    memory: int = 4 * 2**30


def read_submission(path: Path, folder: Path, tasks: dict[str, tuple[Task, ...]]) -> Submission:
    """Return a submission; one that cannot be read has an error that says why."""
    file, digest, notebook, cells, error = path.relative_to(folder).as_posix(), "", "", {}, ""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        parsed = json.loads(_text(content))
        cells = dict(_code_cells(parsed))
        notebook = which_notebook(parsed, cells, path.stem, tasks)
    except (OSError, RecursionError) as reason:
        error = f"cannot be read: {reason}"
    except ValueError as reason:
        error = f"is no notebook: {reason}"
    except (KeyError, TypeError, AttributeError):
        error = "is no notebook of format 4"
    else:
        if not notebook:
            error = "is no notebook of these exercises: it has none of their functions"
    return Submission(file, digest, notebook, cells, error)


def which_notebook(
    parsed: dict, cells: dict[int, str], stem: str, tasks: dict[str, tuple[Task, ...]]
) -> str:
    """Return the notebook of TASKS that a submission answers, or "" if none is like it.

    The one most of whose functions it defines and whose cells it has; between equals the
    one that the file's name names.
    """
    code = "\n".join(cells.values())
    defined = set(re.findall(r"^(?:def +)?(\w+) *[(=]", code, re.MULTILINE))
    marked = {_grade_id(cell) for cell in parsed["cells"]}
    best, found = (0, False), ""
    for name, listed in tasks.items():
        alike = sum((task.answer in defined) + (task.name in marked) for task in listed)
        if alike and (alike, name in stem) > best:
            best, found = (alike, name in stem), name
    return found


def mark_submission(
    submission: Submission,
    listed: Iterable[Task],
    *,
    tasks: str = TASKS,
    limits: Limits = Limits(),
    start: Iterable[str] = (),
    stopped: threading.Event | None = None,
) -> Marks:
    """Run a submission in a process of its own and return its marks.

    If the process ends or has to be ended, it is started again without the cell or
    check that did it, so that this costs no more than one task.

    Parameters
    ----------
    submission : Submission
        A submission without error.
    listed : iterable of Task
        The tasks of its notebook.
    tasks : str
        The module that has TASKS.
    limits : Limits
        Of time and memory.
    start : iterable of str
        What `confinement.namespaces` returned.
    stopped : Event, optional
        Ends the process when it is set.

    Raises
    ------
    RuntimeError
        If the process ends before it comes to the notebook, which is not to be blamed.
    """
    names = [task.name for task in listed]
    cells, marks = dict(submission.cells), Marks()
    told: dict[str, tuple[bool, str]] = {}
    deadline = time.monotonic() + limits.notebook
    for _ in range(ATTEMPTS):
        order = {
            "notebook": submission.notebook, "cells": cells, "tasks": tasks, "skip": list(told),
            "memory": limits.memory, "seconds": limits.cell,
        }  # fmt: skip
        step, why, failed = "start", "", {}
        for line in _attempt(order, start, deadline, stopped):
            step, why = line.get("step", step), why or line.get("why", "")
            failed = line.get("failed", failed)
            if "task" in line:
                told[line["task"]] = (line["passed"], line["message"])
        if step == "end":
            break
        if step in names:
            told[step] = (False, why)
        elif step.startswith("cell "):
            marks.remarks.append(f"{step}: {why}")
            del cells[int(step.removeprefix("cell "))]
        else:
            raise RuntimeError(f"could not start to run {submission.file}: {why}")
        if time.monotonic() > deadline or (stopped and stopped.is_set()):
            break
    # where a cell failed, a function may be missing
    marks.remarks += [f"cell {place}: {error}" for place, error in failed.items()]
    marks.remarks += [
        f"{name}: {told[name][1]}" for name in names if name in told and told[name][1]
    ]
    marks.passed = {name for name, (passed, _) in told.items() if passed}
    return marks


def mark_all(
    folder: Path,
    output: Path,
    *,
    tasks: str = TASKS,
    limits: Limits = Limits(),
    jobs: int = 1,
) -> list[dict[str, str]]:
    """Write a row for each notebook of a folder, and return the rows.

    Rows that `output` has already are kept where the notebook has not changed.

    Raises
    ------
    ValueError
        If there is no notebook in the folder, or `output` is another kind of file.
    """
    listed = import_module(tasks).TASKS
    paths = sorted(
        path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    if not paths:
        raise ValueError(f"expected notebooks (*.ipynb) in {folder}, found none")
    found = [read_submission(path, folder, listed) for path in paths]
    earlier = _read_rows(output)
    kept = [
        earlier[one.file] for one in found if earlier.get(one.file, {}).get("digest") == one.digest
    ]
    done = {row["file"] for row in kept}
    present = {one.notebook for one in found}
    names = [task.name for name in listed if name in present for task in listed[name]]
    columns = ["file", "notebook", *names, "points", "of", "digest", "remarks"]
    _write_rows(output, columns, kept)
    start, stopped, began = confinement.namespaces(), threading.Event(), time.monotonic()
    cut = "cut" if start else "not cut: this system does not let an ordinary user"
    _say(f"{len(found)} notebooks, {len(done)} of them marked before; network {cut}")

    def mark(one: Submission) -> dict[str, str]:
        if one.error:
            return _row(one, listed, Marks(remarks=[one.error]))
        marks = mark_submission(
            one, listed[one.notebook], tasks=tasks, limits=limits, start=start, stopped=stopped
        )
        return _row(one, listed, marks)

    rows, open_ones = list(kept), [one for one in found if one.file not in done]
    with ThreadPoolExecutor(jobs) as pool, _open(output, "a") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        waiting = [pool.submit(mark, one) for one in open_ones]
        try:
            for future in as_completed(waiting):
                rows.append(future.result())
                writer.writerow(rows[-1])
                file.flush()
                _show(rows[-1], len(rows) - len(kept), len(open_ones), time.monotonic() - began)
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
    rows.sort(key=lambda row: row["file"])
    _write_rows(output, columns, rows)
    return rows


def summary(rows: list[dict[str, str]], tasks: dict[str, tuple[Task, ...]]) -> str:
    """Return how many of a notebook's submissions passed each of its tasks."""
    lines = []
    for name, listed in tasks.items():
        those = [row for row in rows if row["notebook"] == name]
        if those:
            lines.append(f"{name}: {len(those)} notebooks")
        for task in listed if those else ():
            passed = sum(row[task.name] not in ("", "0") for row in those)
            lines.append(f"  {task.name}: passed by {passed}")
    unknown = sum(not row["notebook"] for row in rows)
    if unknown:
        lines.append(f"not marked, see the remarks: {unknown}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Mark, show progress, print the summary, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="\n".join(__doc__.splitlines()[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="SUBMISSIONS", help="the notebooks")
    parser.add_argument("--output", type=Path, default=Path("marks.csv"), metavar="CSV")
    parser.add_argument("--jobs", type=int, default=_processors(), help="notebooks at once")
    parser.add_argument("--cell-seconds", type=float, default=Limits.cell, help="limit of a cell")
    parser.add_argument("--seconds", type=float, default=Limits.notebook, help="of a notebook")
    parser.add_argument("--memory", type=float, default=4.0, help="GB, of a notebook")
    parser.add_argument("--tasks", default=TASKS, help="module with TASKS, for tasks of your own")
    options = parser.parse_args(arguments)
    for name in ("jobs", "cell_seconds", "seconds", "memory"):
        if not getattr(options, name) > 0:
            parser.error(
                f"expected --{name.replace('_', '-')} above 0, got {getattr(options, name)}"
            )
    limits = Limits(options.cell_seconds, options.seconds, int(options.memory * 2**30))
    try:
        rows = mark_all(
            options.folder, options.output, tasks=options.tasks, limits=limits, jobs=options.jobs
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    except RuntimeError as error:
        _say(f"{error}\n{options.output} has the rows so far, the same command goes on")
        return 1
    except KeyboardInterrupt:
        _say(f"\ninterrupted; {options.output} has the rows so far, the same command goes on")
        return 130
    print(summary(rows, import_module(options.tasks).TASKS))
    return 0


def _text(content: bytes) -> str:
    """Return what is written in a file, whatever editor wrote it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _code_cells(parsed: dict) -> Iterator[tuple[int, str]]:
    """Yield place, counted from 1, and code of each code cell."""
    for place, cell in enumerate(parsed["cells"], start=1):
        if cell["cell_type"] == "code":
            source = cell["source"]
            yield place, source if isinstance(source, str) else "".join(source)


def _attempt(
    order: dict,
    start: Iterable[str],
    deadline: float,
    stopped: threading.Event | None,
) -> list[dict]:
    """Run a process, and return what it told; at last why it ended, if before its end."""
    scratch = Path(tempfile.mkdtemp(prefix="deepinside-mark-")).resolve()
    reading, writing = os.pipe()
    process = None
    try:
        home, file = scratch / "home", scratch / "order.json"
        home.mkdir()
        file.write_text(json.dumps(order | {"scratch": str(scratch)}), "utf-8")
        module = [
            sys.executable,
            "-P",
            "-m",
            "deepinside.classroom.submission",
            str(file),
            str(writing),
        ]
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        process = subprocess.Popen(
            [*start, *module], cwd=home, env=_environment(scratch), pass_fds=(writing,),
            start_new_session=True, **quiet,
        )  # fmt: skip
        os.close(writing)
        return list(_told(reading, process, order["seconds"], deadline, stopped))
    finally:
        os.close(reading)
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        _remove(scratch)


def _told(
    reading: int,
    process: subprocess.Popen,
    seconds: float,
    deadline: float,
    stopped: threading.Event | None,
) -> Iterator[dict]:
    """Yield each line as it comes, and why there are no more if that was not the end.

    Cells and checks have limits of their own, which do not reach into all of C: a process
    that says nothing for longer is not waited for.
    """
    pending, patience, silent_since = b"", float("inf"), time.monotonic()
    while True:
        now = time.monotonic()
        if stopped and stopped.is_set():
            yield {"why": "interrupted"}
        elif now > deadline:
            yield {"why": "the time for the whole notebook was over"}
        elif now > silent_since + patience:
            yield {"why": f"did not end within {patience:g} s"}
        elif not select.select([reading], [], [], 0.2)[0]:
            continue
        else:
            content = os.read(reading, 1 << 16)
            *lines, pending = (pending + content).split(b"\n")
            for line in map(_parsed, lines):
                yield line
                step = line.get("step", "")
                if step == "end":
                    return
                if step != "loading":
                    patience = (seconds if step.startswith("cell ") else SECONDS) + _GRACE
            silent_since = time.monotonic()
            if content:
                continue
            yield {"why": f"the process ended, exit status {process.wait()}"}
        return


def _parsed(line: bytes) -> dict:
    """Return what a line tells: nothing, if it is the notebook that wrote into the pipe."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _environment(scratch: Path) -> dict[str, str]:
    home, one = str(scratch / "home"), "1"
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": home, "TMPDIR": str(scratch), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": one,
        "IPYTHONDIR": str(scratch / "ipython"), "MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": one,
    }  # fmt: skip


def _remove(scratch: Path) -> None:
    """Remove a folder, whatever a notebook did to the permissions in it."""

    def open_up(function: object, path: str, error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)

    shutil.rmtree(scratch, onerror=open_up)
    shutil.rmtree(scratch, ignore_errors=True)


def _row(one: Submission, listed: dict[str, tuple[Task, ...]], marks: Marks) -> dict[str, str]:
    row = {"file": one.file, "notebook": one.notebook, "digest": one.digest}
    points = of = 0
    for task in listed.get(one.notebook, ()):
        earned = task.points if task.name in marks.passed else 0
        row[task.name] = str(earned)
        points, of = points + earned, of + task.points
    if one.notebook:
        row |= {"points": str(points), "of": str(of)}
    return row | {"remarks": "; ".join(" ".join(remark.split()) for remark in marks.remarks)}


def _read_rows(output: Path) -> dict[str, dict[str, str]]:
    """Return the whole rows of an earlier run by file; the last line may be torn."""
    if not output.exists():
        return {}
    lines = output.read_text("utf-8").splitlines(keepends=True)
    if lines and not lines[0].startswith("file,notebook,"):
        raise ValueError(f"expected a file of marks, or none, got {output}")
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return {row["file"]: row for row in rows if None not in row and None not in row.values()}


def _write_rows(output: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    """Replace a file by one with these rows, at once, so that no moment has neither."""
    beside = output.with_name(output.name + ".new")
    with _open(beside, "w") as file:
        writer = csv.DictWriter(
            file, columns, restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(output)


def _open(path: Path, mode: str) -> TextIO:
    """Open a table for writing; the name of a file on disk need not be Unicode."""
    return path.open(mode, encoding="utf-8", errors="backslashreplace", newline="")


def _show(row: dict[str, str], done: int, total: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    got = f"{row['points']} of {row['of']} points" if row.get("of") else "not marked"
    _say(f"{done}/{total}  {row['file']}: {got}; {seconds:.0f} s, about {left:.0f} s left")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _grade_id(cell: dict) -> str:
    """Return the task that a cell belongs to, as nbgrader's metadata has it."""
    return str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", ""))


if __name__ == "__main__":
    sys.exit(main())
