"""Write what the teacher's guide says of sessions and tasks: ``make students``.

In book/teaching.md the lines between ``<!-- session N -->`` or ``<!-- tasks -->`` and the next
``<!-- end -->`` are made: the minutes of a session from its slides, the tasks with points and
minutes from the checks and the teacher's notebooks.
"""

import re
from pathlib import Path

import nbformat
import yaml
from make_slides import NOTE, clock
from make_students import SOURCE, exercises

from deepinside.classroom.checks import TASKS

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "book" / "teaching.md"
MADE = re.compile(r"(<!-- (session \d|tasks) -->\n).*?(?=<!-- end -->)", re.DOTALL)
QUESTION = re.compile(r"\*(Core|Optional) · \d points · about (\d+) minutes\*")


def with_tables(text: str) -> str:
    """Return the guide with its tables as they are to be."""
    return MADE.sub(lambda place: f"{place[1]}\n{table(place[2])}\n\n", text)


def table(what: str) -> str:
    """Return the plan of a session or the tables of tasks, in Markdown."""
    kind, _, number = what.partition(" ")
    return plan(int(number)) if kind == "session" else tasks()


def plan(number: int) -> str:
    """Return when each slide of a session begins."""
    text = (ROOT / "classroom" / "slides" / f"session_{number}.md").read_text("utf-8")
    rows, minute = [], 0
    for slide in re.split(r"^---$", text, flags=re.MULTILINE):
        minutes = int(NOTE.search(slide)[1])
        title = re.search(r"^#+ (?:Session \d: )?(.+)$", slide, re.MULTILINE)[1]
        given = re.findall(r"```tasks\n\w+ ([\d ]+)\n```", slide)
        title += f" ({', '.join(f'task {one}' for one in given[0].split())})" if given else ""
        rows.append(f"- **{clock(minute)}**, {minutes} min: {title}")
        minute += minutes
    return "\n".join(rows)


def in_order() -> list[str]:
    """Return the names of the notebooks of exercises as the table of contents lists them."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [
        Path(section["file"]).name
        for part in contents["parts"]
        for chapter in part["chapters"]
        for section in chapter.get("sections", ())
        if section["file"].startswith("book/exercises/")
    ]


def tasks() -> str:
    """Return a table a notebook: tasks with points, minutes, and what is part of the core."""
    parts = []
    for name in in_order():
        known = TASKS[name]
        teacher = nbformat.read(ROOT / SOURCE / name / f"{name}.ipynb", as_version=4)
        path = ROOT / "book" / f"{name}.ipynb"
        named = nbformat.read(path, as_version=4) if path.exists() else teacher
        title = named.cells[0].source.splitlines()[0].removeprefix("# ")
        checked = {task.name: task for task in known}
        points = {
            cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
            for cell in teacher.cells
            if "points" in cell.metadata.get("nbgrader", {})
        }
        core = sum(task.minutes for task in known if not task.optional)
        more = sum(task.minutes for task in known if task.optional)
        spent = f"{core} minutes for the core" + f", {more} for the rest" * bool(more)
        head = f"**{title}**: {sum(points.values())} points, {spent}"
        found = exercises(teacher)
        asked = QUESTION.match(found[-1].text)
        head += f"; {asked[2]} minutes for the question" + ", optional" * (asked[1] == "Optional")
        rows = ["| Task | Points | Minutes | Part |", "|---|---|---|---|"]
        for exercise in found:
            task = checked.get(exercise.name)
            kind = "question" if task is None else "optional" if task.optional else "core"
            worth = points[exercise.name] if task is None else task.points
            minutes = task.minutes if task else asked[2]
            heading = exercise.title.removeprefix("Task ").replace(":", ".", 1)
            rows.append(f"| {heading} | {worth} | {minutes} | {kind} |")
        parts.append(head + "\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def main() -> None:
    """Write the guide's tables anew."""
    GUIDE.write_text(with_tables(GUIDE.read_text("utf-8")), "utf-8")
    print(f"wrote {GUIDE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
