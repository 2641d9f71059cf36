"""Grade a folder of students' notebooks.

Notebooks may lie in subfolders and zip files, in any layout: as Moodle or Canvas export them, or
a folder or file a student. Each runs in a kernel of its own, with limits on time and memory.
Where bubblewrap (bwrap) is installed and allowed, a notebook has no network and can change
files only in a scratch folder. Points come from the checks of this installation, run on the
functions that a notebook defines, whatever its own cells say.

grades.csv has one row per notebook and one column per task, written as it goes: started again,
the command continues with what is new or changed. Open questions have columns without points.
Fill them in there, or in the sheet of --essays, and run the command again: they count then.

grades-students.csv has one row per student. Of several notebooks of a student for one exercise
the last one counts (by the time of the file), late or not, or with --keep best the one with the
most points; the remarks say which. Equal answers of different students are named there.
--roster is a CSV file whose header names columns such as ID, Email and Name; students who handed
in nothing have rows, too. --format writes grades-moodle.csv or grades-canvas.csv for upload; for
Canvas, give the gradebook that it exports as the roster.

The exit status is 0 when every notebook has its row (the remarks say which are broken), 1 if
kernels cannot be started here, 2 if there is no notebook or the call is wrong, 130 if it was
interrupted.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from deepinside.classroom.grading.archives import find_notebooks
from deepinside.classroom.grading.confinement import LIMITS, Limits, can_confine
from deepinside.classroom.grading.course import COURSE, Course, Question
from deepinside.classroom.grading.essays import essay_sheet, essays_of
from deepinside.classroom.grading.students import Student, read_roster, senders
from deepinside.classroom.grading.submissions import Submission, Tasks, read_submission
from deepinside.classroom.grading.tables import (
    Keep,
    Row,
    by_student,
    number,
    platform_rows,
    student_rows,
    total,
)  # fmt: skip
from deepinside.rows import appending, claiming, read_rows, write_rows

if TYPE_CHECKING:
    from deepinside.classroom.checks import Task
    from deepinside.classroom.grading.execution import Grades

TASKS = "deepinside.classroom.checks"
# with a mark by which Excel knows that names are in UTF-8
ENCODING = "utf-8-sig"


class Graded(NamedTuple):
    """The rows of all notebooks, and what they are of."""

    rows: list[Row]
    submissions: list[Submission]
    questions: dict[str, list[Question]]


def grade_all(
    folder: Path,
    output: Path,
    *,
    tasks: str = TASKS,
    limits: Limits = LIMITS,
    jobs: int = 1,
    course: Path = COURSE,
    points: Path | None = None,
) -> Graded:
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
    course : Path
        The folder of what students were given, for the open questions.
    points : Path, optional
        A CSV file with the columns file, question and points.

    Raises
    ------
    ValueError
        If there is no notebook in the folder, `output` is another kind of file, or this
        system lacks what grading needs.
    RuntimeError
        If no kernel can be started.
    """
    _require()
    listed, given = import_module(tasks).TASKS, Course(course)
    submissions = [read_submission(found, listed, given) for found in find_notebooks(folder)]
    if not submissions:
        raise ValueError(f"expected notebooks (*.ipynb) in {folder}, found none")
    digests = {submission.file: submission.digest for submission in submissions}
    present = {submission.notebook for submission in submissions}
    questions = {name: given.questions(name) for name in listed if name in present}
    noted = _noted(points)
    with claiming(output):
        earlier = read_rows(output, ("file", "notebook"))
        rows = [row for row in earlier if digests.get(row["file"]) == row.get("digest")]
        done = {row["file"] for row in rows}
        waiting = [submission for submission in submissions if submission.file not in done]
        names = [
            name
            for notebook, asked in questions.items()
            for name in [task.name for task in listed[notebook]] + [q.name for q in asked]
        ]
        columns = ["file", "notebook", *names, "points", "of", "digest", "remarks"]
        write_rows(output, columns, rows, encoding=ENCODING)
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
        for row in rows:
            row |= noted.get(row["file"], {})
            if row["notebook"]:
                worth = [(task.name, task.points) for task in listed[row["notebook"]]]
                row |= total(row, worth, questions[row["notebook"]])
        rows.sort(key=lambda row: row["file"])
        write_rows(output, columns, rows, encoding=ENCODING)
        return Graded(rows, submissions, questions)


def write_students(
    graded: Graded,
    output: Path,
    *,
    tasks: Tasks,
    roster: Sequence[Student] = (),
    platform: str = "",
    keep: Keep = "latest",
    essays: Path | None = None,
) -> list[str]:
    """Write the tables of students and the sheet of essays, and return what is to be said.

    Parameters
    ----------
    graded : Graded
        The rows of the notebooks.
    output : Path
        The file of these rows, beside which the tables are written.
    tasks : mapping
        TASKS.
    roster : sequence of Student
        All who are to have a row.
    platform : str
        "moodle", "canvas" or "".
    keep : {"latest", "best"}
        Which of a student's notebooks for one exercise counts.
    essays : Path, optional
        The sheet of essays.
    """
    rows = {row["file"]: row for row in graded.rows}
    whose = senders([submission.file for submission in graded.submissions], tasks)
    made, nobodys = by_student(graded.submissions, whose, rows, roster, keep)
    notebooks = list(graded.questions)
    path = _beside(output, "students")
    columns = ["name", "id", "email", *notebooks, "points", "of", "remarks"]
    write_rows(path, columns, student_rows(made, notebooks), encoding=ENCODING)
    said = [f"{len(made)} students: {path}"]
    if platform:
        worth = {
            name: sum(task.points for task in tasks[name]) + sum(q.points for q in asked)
            for name, asked in graded.questions.items()
        }
        path = _beside(output, platform)
        write_rows(path, *platform_rows(platform, made, worth), encoding=ENCODING)
        said.append(f"to upload to {platform.capitalize()}: {path}")
    if essays:
        names = {a.submission.file: student.name for student, kept, _ in made
                 for a in kept.values()}  # fmt: skip
        names |= {file: file for file in nobodys}
        texts = [s for s in graded.submissions if s.file in names and s.notebook]
        sheet = [
            (notebook, question, essays_of(question.name, names, rows, [
                (s.file, s.digest, s.texts.get(question.name, "")) for s in texts
                if s.notebook == notebook
            ]))
            for notebook, asked in graded.questions.items() for question in asked
        ]  # fmt: skip
        essays.write_text(essay_sheet(sheet), "utf-8")
        said.append(f"essays to read: {essays}")
    strangers = [student.name for student, _, remarks in made if "not in the roster" in remarks]
    if strangers:
        said.append(f"not in the roster: {', '.join(strangers)}")
    if nobodys:
        said.append(f"of no student that the name tells: {', '.join(nobodys)}")
    return said


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
    add("--roster", type=Path, metavar="CSV", help="the students, with ID, e-mail and name")
    add("--format", choices=("moodle", "canvas"), help="write a table to upload there, too")
    add("--keep", choices=("latest", "best"), default="latest",
        help="which notebook of a student counts (default: %(default)s)")  # fmt: skip
    add("--essays", type=Path, metavar="HTML", help="write the open questions' answers there")
    add("--points", type=Path, metavar="CSV", help="points of answers, saved from that sheet")
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
    if options.format == "moodle" and not options.roster:
        raise ValueError("--format moodle needs --roster, with the IDs or e-mail addresses")
    roster = read_roster(options.roster) if options.roster else []
    limits = Limits(
        cell=options.cell_seconds, notebook=options.seconds, memory=int(options.memory * 2**30)
    )
    try:
        graded = grade_all(
            options.folder, options.output, tasks=options.tasks, limits=limits, jobs=options.jobs,
            points=options.points,
        )  # fmt: skip
    except RuntimeError as error:
        _say(f"{error}\n{options.output} has the rows so far; the same command continues")
        return 1
    tasks = import_module(options.tasks).TASKS
    print(summary(graded.rows, tasks))
    said = write_students(
        graded, options.output, tasks=tasks, roster=roster, platform=options.format or "",
        keep=options.keep, essays=options.essays,
    )  # fmt: skip
    print("\n".join(said))
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
    row |= {task.name: number(grades.points.get(task.name, 0)) for task in listed}
    if submission.notebook:
        row |= total(row, [(task.name, task.points) for task in listed], ())
    return row | {"remarks": "; ".join(" ".join(remark.split()) for remark in grades.remarks)}


def _noted(path: Path | None) -> dict[str, Row]:
    """Return the points of open questions by file, from a table of the sheet of essays."""
    noted: dict[str, Row] = {}
    if path:
        for row in read_rows(path, ("file", "question", "points")):
            noted.setdefault(row["file"], {})[row["question"]] = row["points"]
    return noted


def _beside(output: Path, what: str) -> Path:
    return output.with_name(f"{output.stem}-{what}.csv")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
