"""Grade a folder of students' notebooks.

Notebooks may lie in subfolders, in any layout. Each runs in a kernel of its own, with limits on
time and memory. Where bubblewrap (bwrap) is installed and allowed, a notebook has no network and
can change files only in a scratch folder. Points come from the checks of this installation, run
on the functions that a notebook defines, whatever its own cells say.

The output is a CSV file with one row per notebook and one column per task, written as it goes:
started again, the command continues with what is new or changed. The exit status is 0 when
every notebook has its row (the remarks say which are broken), 1 if kernels cannot be
started here, 2 if there is no notebook or the call is wrong, 130 if it was interrupted.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from deepinside.classroom.grading.confinement import LIMITS, Limits, can_confine
from deepinside.classroom.grading.submissions import Submission, read_submission
from deepinside.rows import appending, claiming, read_rows, write_rows

if TYPE_CHECKING:
    from deepinside.classroom.checks import Task
    from deepinside.classroom.grading.execution import Grades

TASKS = "deepinside.classroom.checks"

Row = dict[str, str]
Tasks = Mapping[str, Sequence["Task"]]


def grade_all(
    folder: Path, output: Path, *, tasks: str = TASKS, limits: Limits = LIMITS, jobs: int = 1
) -> list[Row]:
    """Write a row for each notebook of a folder, and return the rows.

    Rows that `output` has already are kept where the notebook has not changed.

    Parameters
    ----------
    folder, output : Path
        The notebooks, and the CSV file.
    tasks : str
        The module that has TASKS.
    limits : Limits
        Those of each notebook.
    jobs : int
        How many notebooks run at once.

    Raises
    ------
    ValueError
        If there is no notebook in the folder, `output` is another kind of file, or this
        system lacks what grading needs.
    RuntimeError
        If no kernel can be started.
    """
    _require()
    listed = import_module(tasks).TASKS
    paths = sorted(
        path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    if not paths:
        raise ValueError(f"expected notebooks (*.ipynb) in {folder}, found none")
    submissions = [read_submission(path, folder, listed) for path in paths]
    digests = {submission.file: submission.digest for submission in submissions}
    with claiming(output):
        earlier = read_rows(output, ("file", "notebook"))
        rows = [row for row in earlier if digests.get(row["file"]) == row.get("digest")]
        done = {row["file"] for row in rows}
        waiting = [submission for submission in submissions if submission.file not in done]
        present = {submission.notebook for submission in submissions}
        names = [task.name for name in listed if name in present for task in listed[name]]
        columns = ["file", "notebook", *names, "points", "of", "digest", "remarks"]
        write_rows(output, columns, rows)
        _say(f"{len(submissions)} notebooks, {len(done)} of them graded before")
        if not can_confine():
            _say("bubblewrap (bwrap) does not work here: notebooks can change files and use the "
                 "network; only their time and memory are limited")  # fmt: skip
        with (
            appending(output, columns) as append,
            tqdm(total=len(waiting), unit="notebook", file=sys.stderr) as bar,
        ):

            def take(row: Row) -> None:
                rows.append(row)
                append(row)
                bar.update()
                got = f"{row['points']} of {row['of']} points" if "of" in row else "not graded"
                bar.write(f"{row['file']}: {got}", file=sys.stderr)

            asyncio.run(_grade(waiting, listed, tasks, limits, jobs, take))
        rows.sort(key=lambda row: row["file"])
        write_rows(output, columns, rows)
        return rows


def summary(rows: Sequence[Mapping[str, str]], tasks: Tasks) -> str:
    """Return how many of a notebook's submissions passed each of its tasks."""
    lines = []
    for name, listed in tasks.items():
        those = [row for row in rows if row["notebook"] == name]
        if those:
            lines.append(f"{name}: {len(those)} notebooks")
        for task in listed if those else ():
            passed = sum(row.get(task.name, "") not in ("", "0") for row in those)
            lines.append(f"  {task.name}: passed by {passed}")
    unknown = sum(not row["notebook"] for row in rows)
    if unknown:
        lines.append(f"not graded, see the remarks: {unknown}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="SUBMISSIONS", help="the folder of notebooks")
    add("--output", type=Path, default=Path("grades.csv"), help="default: %(default)s")
    add("--jobs", type=int, default=_processors(), help="notebooks at once (default: %(default)s)")
    cell = "seconds allowed per cell (default: %(default)g)"
    add("--cell-seconds", type=float, default=LIMITS.cell, metavar="S", help=cell)
    whole = "seconds allowed per notebook (default: %(default)g)"
    add("--seconds", type=float, default=LIMITS.notebook, metavar="S", help=whole)
    memory = "memory allowed per notebook (default: %(default)g)"
    add("--memory", type=float, default=LIMITS.memory / 2**30, metavar="GB", help=memory)
    add("--tasks", default=TASKS, metavar="MODULE", help="module with TASKS, to use your own")


def run(options: argparse.Namespace) -> int:
    """Grade, show progress, print the summary, and return the exit status."""
    for name in ("jobs", "cell_seconds", "seconds", "memory"):
        value = getattr(options, name)
        if not value > 0:
            raise ValueError(f"expected --{name.replace('_', '-')} above 0, got {value}")
    limits = Limits(
        cell=options.cell_seconds, notebook=options.seconds, memory=int(options.memory * 2**30)
    )
    try:
        rows = grade_all(
            options.folder, options.output, tasks=options.tasks, limits=limits, jobs=options.jobs
        )
    except RuntimeError as error:
        _say(f"{error}\n{options.output} has the rows so far; the same command continues")
        return 1
    print(summary(rows, import_module(options.tasks).TASKS))
    return 0


def _require() -> None:
    """Raise a ValueError that says what grading needs and this system lacks."""
    if sys.platform == "win32":
        raise ValueError("grading needs Linux or macOS; on Windows, Linux in WSL has all it needs")
    missing = [name for name in ("ipykernel", "nbclient") if find_spec(name) is None]
    if missing:
        raise ValueError(f"grading needs further packages: pip install {' '.join(missing)}")


async def _grade(
    submissions: Sequence[Submission],
    listed: Tasks,
    tasks: str,
    limits: Limits,
    jobs: int,
    take: Callable[[Row], None],
) -> None:
    """Grade so many submissions at once, and have each row taken as it comes."""
    from deepinside.classroom.grading.execution import Grades, grade_submission

    free = asyncio.Semaphore(jobs)

    async def grade(submission: Submission) -> Row:
        if submission.error:
            return _row(submission, (), Grades(remarks=[submission.error]))
        answers = listed[submission.notebook]
        async with free:
            grades = await grade_submission(submission, answers, tasks=tasks, limits=limits)
        return _row(submission, answers, grades)

    waiting = [asyncio.create_task(grade(submission)) for submission in submissions]
    try:
        for graded in asyncio.as_completed(waiting):
            take(await graded)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _row(submission: Submission, listed: Sequence["Task"], grades: "Grades") -> Row:
    row = {"file": submission.file, "notebook": submission.notebook, "digest": submission.digest}
    earned = {task.name: task.points * (task.name in grades.passed) for task in listed}
    row |= {name: str(points) for name, points in earned.items()}
    if submission.notebook:
        of = sum(task.points for task in listed)
        row |= {"points": str(sum(earned.values())), "of": str(of)}
    return row | {"remarks": "; ".join(" ".join(remark.split()) for remark in grades.remarks)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
