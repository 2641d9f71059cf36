"""A row a student: which notebook counted, for the teacher and for a learning platform."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from deepinside.classroom.grading.course import Question
from deepinside.classroom.grading.students import Sender, Student, find_student, name_key
from deepinside.classroom.grading.submissions import Submission

Row = dict[str, str]
Keep = Literal["latest", "best"]
# what is the same in two notebooks is named if it has so many lines of code, or words
LEAST_LINES = 5
LEAST_WORDS = 20
# Canvas wants these of its own gradebook's columns, in this order
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


class Attempt(NamedTuple):
    """A notebook of a student, what it says of its sender, and its row in the table."""

    submission: Submission
    sender: Sender
    row: Row


def by_student(
    submissions: Sequence[Submission],
    senders: Mapping[str, Sender],
    rows: Mapping[str, Row],
    roster: Sequence[Student],
    keep: Keep,
) -> tuple[list[tuple[Student, dict[str, Attempt], list[str]]], list[str]]:
    """Return each student with the notebooks that count and remarks, and files of nobody.

    Of several notebooks of a student for one exercise, the latest counts, or the one with the
    most points. Those of the roster who handed in nothing are among the students.
    """
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    students: dict[str, Student] = {_key(student): student for student in roster}
    nobodys = []
    for submission in submissions:
        sender = senders[submission.file]
        student = find_student(sender, roster) if roster else None
        if student is None and not sender.name:
            nobodys.append(submission.file)
            continue
        if student is None:
            number = sender.number if sender.platform == "canvas" else ""
            student = Student(sender.name, given={"ID": number} if number else {})
        key = _key(student)
        students.setdefault(key, student)
        attempts[key].append(Attempt(submission, sender, rows[submission.file]))
    known = {_key(student) for student in roster}
    same = _same_answers(attempts, students)
    made = []
    for key, student in students.items():
        remarks = ["not in the roster"] if roster and key not in known else []
        kept, said = _kept(attempts[key], keep)
        remarks += said + [f"same {what} as {names}" for what, names in same.get(key, {}).items()]
        remarks += [] if attempts[key] else ["handed in nothing"]
        made.append((student, kept, remarks))
    # the roster's order, then the others by name
    made = made[: len(known)] + sorted(made[len(known) :], key=lambda m: m[0].name.casefold())
    return made, nobodys


def student_rows(
    made: Iterable[tuple[Student, dict[str, Attempt], list[str]]], notebooks: Sequence[str]
) -> list[Row]:
    """Return a row a student: points of each notebook, in all, and remarks."""
    rows = []
    for student, kept, remarks in made:
        points = {name: kept[name].row["points"] for name in notebooks if name in kept}
        row = {"name": student.name, "id": student.id, "email": student.email, **points}
        row["points"] = number(sum(map(float, points.values())))
        row["of"] = number(sum(float(kept[name].row["of"]) for name in points))
        rows.append(row | {"remarks": "; ".join(remarks)})
    return rows


def platform_rows(
    platform: str,
    made: Iterable[tuple[Student, dict[str, Attempt], list[str]]],
    worth: Mapping[str, float],
) -> tuple[list[str], list[Row]]:
    """Return columns and rows for the import of grades into Moodle or Canvas.

    Parameters
    ----------
    platform : str
        "moodle" or "canvas".
    made : iterable
        Of `by_student`.
    worth : mapping
        The points of each notebook.
    """
    made = list(made)
    header = {name: _header(name, made) for name in worth}
    rows: list[Row] = []
    if platform == "canvas":
        columns = [*CANVAS, *header.values()]
        possible = {header[name]: number(points) for name, points in worth.items()}
        rows.append({"Student": "    Points Possible"} | possible)
    else:
        columns = ["ID number", "Email address", "Full name", *header.values()]
    for student, kept, _ in made:
        grades = {header[name]: kept[name].row["points"] for name in worth if name in kept}
        if platform == "canvas":
            own = {"Student": student.name, "SIS User ID": student.id,
                   "SIS Login ID": student.login or student.email}  # fmt: skip
            rows.append(own | {name: student.given[name] for name in CANVAS
                               if name in student.given} | grades)  # fmt: skip
        else:
            rows.append({"ID number": student.id, "Email address": student.email,
                         "Full name": student.name} | grades)  # fmt: skip
    return columns, rows


def total(row: Row, listed: Sequence[tuple[str, float]], questions: Sequence[Question]) -> Row:
    """Return the points of a row, and how many there are for what has been graded."""
    marks = {question.name: _mark(row.get(question.name, "")) for question in questions}
    graded = [question for question in questions if marks[question.name] is not None]
    points = sum(float(row.get(name) or 0) for name, _ in listed)
    points += sum(marks[question.name] or 0 for question in graded)
    of = sum(most for _, most in listed) + sum(question.points for question in graded)
    return {"points": number(points), "of": number(of)}


def number(value: float) -> str:
    """Return points as they are written: 2, 1.5."""
    return f"{round(float(value), 2):g}"


def _mark(text: str) -> float | None:
    """Return the points that a teacher wrote, with a comma perhaps, or None."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _kept(attempts: Sequence[Attempt], keep: Keep) -> tuple[dict[str, Attempt], list[str]]:
    """Return the notebook that counts for each exercise, and what is to be said."""
    several: dict[str, list[Attempt]] = defaultdict(list)
    remarks = []
    for attempt in attempts:
        name = attempt.submission.notebook
        if name:
            several[name].append(attempt)
        else:
            remarks.append(f"{attempt.submission.file} {attempt.submission.error}")
    kept = {}
    for name, found in several.items():
        kept[name] = max(found, key=_latest if keep == "latest" else _best)
        if len(found) > 1:
            counted = kept[name].submission.file
            remarks.append(f"{name}: {len(found)} notebooks, {counted} counts ({keep})")
        numbers = {a.sender.number for a in found if a.sender.platform == "moodle"}
        if len(numbers) > 1:
            remarks.append(f"{name}: Moodle's numbers {', '.join(sorted(numbers))}: one student?")
        if kept[name].sender.is_late:
            remarks.append(f"{name}: late")
        said = kept[name].row["remarks"]
        if said.startswith("replaces "):
            remarks.append(f"{name}: {said.partition('; ')[0]}")
    return kept, remarks


def _latest(attempt: Attempt) -> tuple[float, int, str]:
    counted = re.search(r"[-(](\d+)\)?\.ipynb$", attempt.submission.file)
    return attempt.submission.time, int(counted[1]) if counted else 0, attempt.submission.file


def _best(attempt: Attempt) -> tuple[float, tuple[float, int, str]]:
    return float(attempt.row["points"]), _latest(attempt)


def _same_answers(
    attempts: Mapping[str, Sequence[Attempt]], students: Mapping[str, Student]
) -> dict[str, dict[str, str]]:
    """Return, for each student, what is the same as another's, and whose.

    All answers of a notebook, two at least and not too short, and long texts. A function of one
    line may well be the same without a copy.
    """
    holders: dict[tuple, dict[str, None]] = defaultdict(dict)
    for key, found in attempts.items():
        for attempt in found:
            notebook, answers = attempt.submission.notebook, attempt.submission.answers
            lines = sum(code.count("\n") + 1 for code in answers.values())
            if len(answers) > 1 and lines >= LEAST_LINES:
                holders[f"answers in {notebook}", tuple(sorted(answers.items()))][key] = None
            for name, text in attempt.submission.texts.items():
                words = text.casefold().split()
                if len(words) >= LEAST_WORDS:
                    holders[f"text in {name}", tuple(words)][key] = None
    same: dict[str, dict[str, str]] = defaultdict(dict)
    for (what, _), keys in holders.items():
        for key in keys if len(keys) > 1 else ():
            same[key][what] = ", ".join(students[other].name for other in keys if other != key)
    return same


def _key(student: Student) -> str:
    return (student.id or student.email or student.login or student.given.get("ID")
            or name_key(student.name) or student.name)  # fmt: skip


def _header(name: str, made: Sequence[tuple]) -> str:
    """Return a notebook's column: the one of the roster that begins with its name, or its name."""
    given: Mapping[str, str] = next((student.given for student, *_ in made if student.given), {})
    wanted = name.replace("_", " ").casefold()
    return next((h for h in given if h.replace("_", " ").casefold().startswith(wanted)), name)
