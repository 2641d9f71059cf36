"""What students get: the rules of make_students on made-up cells, then what is committed."""

import html
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from deepinside.classroom.checks import TASKS

ROOT = Path(__file__).resolve().parents[2]
CLASSROOM = ROOT / "classroom"
STUDENTS = sorted((CLASSROOM / "students").glob("*.ipynb"))
# the others are notebooks of their own
OF_CHAPTERS = [path for path in STUDENTS if (ROOT / "book" / path.name).exists()]
EXERCISES = ROOT / "book" / "exercises"

student = pytest.mark.parametrize("path", STUDENTS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("students", ROOT / "tools" / "make_students.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path):
    return nbformat.read(path, as_version=4)


def teacher_of(path):
    return read(CLASSROOM / "source" / path.stem / path.name)


def graded(name, **kind):
    kind = {"grade": False, "solution": False, "locked": False} | kind
    kind |= {"points": 2} if kind["grade"] else {}
    return {"nbgrader": {"grade_id": name, "schema_version": 3} | kind}


ANSWER = '''def half(x):
    """Return half of it."""
    if x:
        ### BEGIN SOLUTION
        y = x / 2
        return y
        ### END SOLUTION
    return x'''
CHECK = """result = checks.check_half(half)
### BEGIN HIDDEN TESTS
assert result.passed
### END HIDDEN TESTS"""
QUESTION = """### BEGIN SOLUTION
Because it is.

**Marks**: 1
### END SOLUTION"""


CHECKSUMS = {
    "c": "37317bc8544eea3487da2955b9a17213",
    "d": "4f5a57a33954c6110480144f3853138e",
    "f": "f55011ed83a07f36602731361c873acd",
}


def small_notebook():
    cells = [
        new_markdown_cell("# Exercises", id="a"),
        new_markdown_cell("## 1. A half\n\nHalve it:\n\n```python\n# as here\n```", id="b"),
        new_code_cell(ANSWER, id="c", metadata=graded("half", solution=True)),
        new_code_cell(CHECK, id="d", metadata=graded("half-check", grade=True, locked=True)),
        new_markdown_cell("## 2. A question\n\nWhy?", id="e"),
        new_markdown_cell(QUESTION, id="f", metadata=graded("why", grade=True, solution=True)),
    ]
    cells[2].outputs = [nbformat.v4.new_output("stream", text="seen")]
    cells[2].execution_count = 7
    cells[2].metadata["scrolled"] = True
    return new_notebook(cells=cells, metadata={"author": "me"})


def test_solutions_hidden_tests_and_rubrics_are_cut(tool):
    made = tool.student_notebook(small_notebook())
    assert [cell.id for cell in made.cells] == list("abcdef")
    assert made.cells[2].source == (
        'def half(x):\n    """Return half of it."""\n    if x:\n'
        '        raise NotImplementedError("not done yet")\n    return x'
    )
    assert made.cells[3].source == "result = checks.check_half(half)"
    assert made.cells[5].source == "*Write your answer here.*"
    assert made.cells[2].outputs == [] and made.cells[2].execution_count is None
    assert set(made.metadata) == {"kernelspec", "language_info"}


def test_nbgrader_finds_its_metadata_and_locks_what_it_would_lock(tool):
    before, after = small_notebook().cells, tool.student_notebook(small_notebook()).cells
    for cell, made in zip(before, after, strict=True):
        known = dict(made.metadata.get("nbgrader", {}))
        assert known.pop("cell_type", cell.cell_type) == cell.cell_type
        # as nbgrader 0.9.6 computes them for these cells
        assert known.pop("checksum", "") == CHECKSUMS.get(cell.id, "")
        assert known == cell.metadata.get("nbgrader", {})
    assert after[2].metadata.deletable is False and "editable" not in after[2].metadata
    assert after[3].metadata.deletable is False and after[3].metadata.editable is False
    assert "scrolled" not in after[2].metadata


def test_what_is_cut_is_known_line_by_line(tool):
    assert list(tool.solution_lines(small_notebook())) == [
        "y = x / 2", "return y", "assert result.passed", "Because it is.", "**Marks**: 1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def f():\n    ### BEGIN SOLUTION\n    pass", {"solution": True}, "no END SOLUTION"),
        ("def f():\n    pass\n    ### END SOLUTION", {"solution": True}, "do not match"),
        (
            "def f():\n    ### BEGIN SOLUTION\n    ### BEGIN SOLUTION\n    ### END SOLUTION",
            {"solution": True},
            "do not match",
        ),
        (
            "def f():\n    ### BEGIN SOLUTION\n    pass\n    ### END HIDDEN TESTS",
            {"solution": True},
            "do not match",
        ),
        (
            "### BEGIN SOLUTION\nf = 1\n### END SOLUTION",
            {"solution": True},
            "outside of a function",
        ),
        ("def f():\n    ### BEGIN SOLUTION\n    ### END SOLUTION", {}, "expected solution: true"),
        ("def f():\n    pass", {"solution": True}, "expected SOLUTION markers"),
    ],
)
def test_markers_that_would_let_a_solution_through_are_refused(tool, source, kind, message):
    notebook = new_notebook(cells=[new_code_cell(source, metadata=graded("f", **kind))])
    with pytest.raises(ValueError, match=message):
        tool.student_notebook(notebook)


def test_exercises_have_the_tasks_texts_and_solutions(tool):
    half, why = tool.exercises(small_notebook())
    assert (half.name, half.title) == ("half", "Task 1: A half")
    assert half.text == "Halve it:\n\n```python\n# as here\n```"
    assert half.given.splitlines()[2:] == ["    if x:", "        ...", "    return x"]
    assert half.solution.splitlines()[2:] == [
        "    if x:", "        y = x / 2", "        return y", "    return x",
    ]  # fmt: skip
    assert (why.title, why.text, why.given) == ("Task 2: A question", "Why?", "")
    assert why.solution == "Because it is.\n\n**Marks**: 1"


def test_a_solution_without_a_text_above_it_is_refused(tool):
    notebook = small_notebook()
    del notebook.cells[4]
    with pytest.raises(ValueError, match="expected a heading and a text"):
        tool.exercises(notebook)


def test_making_them_again_changes_nothing(tool):
    made = tool.made_files()
    for path, content in made.items():
        name = path.relative_to(ROOT)
        assert path.exists(), f"{name} is not made yet: `make students`"
        assert path.read_text("utf-8") == content, f"{name} is out of date: `make students`"
    on_disk = {*STUDENTS, *EXERCISES.glob("*.md")}
    alone = on_disk - {*made}
    assert not alone, f"made of no notebook in classroom/source; remove {sorted(alone)}"


def test_there_is_a_notebook_for_each_module_of_checks():
    names = [path.stem for path in STUDENTS]
    assert names == sorted(TASKS), (
        "each module of lib/deepinside/classroom/checks has a student's notebook of its name, and "
        f"no other; `make students` makes it of the teacher's: {sorted({*names} ^ {*TASKS})}"
    )


@student
def test_no_line_of_a_solution_is_left(tool, path):
    lines = list(tool.solution_lines(teacher_of(path)))
    assert lines, "no line stands between `### BEGIN SOLUTION` and `### END SOLUTION`"
    for made in (path, EXERCISES / f"{path.stem}.md"):
        text = made.read_text("utf-8")
        if made.suffix == ".ipynb":
            text = "\n".join(cell.source for cell in read(made).cells)
        left = {line.strip() for line in text.splitlines()} & set(lines)
        assert not left, (
            f"{made.name} shows lines of a solution, as they stand elsewhere in the teacher's "
            f"notebook, too; write them otherwise in one place: {sorted(left)}"
        )
        assert not re.search("BEGIN|END SOLUTION|HIDDEN|MARK SCHEME", text), (
            f"{made.name} shows a marker: in the teacher's notebook it stands alone on its line"
        )


@student
def test_nothing_was_executed_and_texts_are_plain_markdown(path):
    notebook = read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
        else:
            found = re.search(r"^(```|:::)\{|\{[a-z:]+\}`", cell.source, re.MULTILINE)
            assert not found, (
                f"write plain Markdown in classroom/source, as Colab shows directives raw: {found}"
            )


@student
def test_setup_cell_installs_from_the_repository_in_the_configuration(path):
    repository = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]
    setup = next(cell.source for cell in read(path).cells if cell.cell_type == "code")
    wanted = f"git+{repository['url']}@{repository['branch']}"
    for part in (wanted, 'if "google.colab" in sys.modules:', "%pip install -q --no-deps"):
        assert part in setup, (
            f"the first code cell of the teacher's notebook has {part!r}: copy it from another one"
        )


@student
def test_notebook_has_the_tasks_and_points_of_the_checks(path):
    cells = [cell for cell in read(path).cells if "nbgrader" in cell.metadata]
    answers = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in cells
        if cell.cell_type == "code" and cell.metadata.nbgrader.solution
    }
    checked = {c.metadata.nbgrader.grade_id: c for c in cells if not c.metadata.nbgrader.solution}
    tasks = TASKS.get(path.stem)
    assert tasks, f"lib/deepinside/classroom/checks/{path.stem}.py must have the tasks' checks"
    names = [task.name for task in tasks]
    assert list(answers) == names and list(checked) == [f"{name}-check" for name in names], (
        f"the notebook's cells must be those of the checks, in their order: {names}, each with a "
        "cell NAME-check; change the grade_id in the teacher's notebook or the name at `@task`"
    )
    for task in tasks:
        assert re.search(rf"^def {task.answer}\(", answers[task.name], re.MULTILINE), (
            f"the answer cell of {task.name} must define {task.answer}, as its check is "
            f"{task.check.__name__}"
        )
        check = checked[f"{task.name}-check"]
        assert f"checks.{task.check.__name__}({task.answer})" in check.source
        assert check.metadata.nbgrader.points == task.points, (
            f"{task.name} is worth {task.points} points at `@task`: write them into the metadata "
            "of its check cell"
        )
    questions = [cell for cell in cells if cell.cell_type == "markdown"]
    assert len(questions) == 1 and questions[0].metadata.nbgrader.points > 0, (
        "the teacher's notebook needs one question to be answered in words, worth points"
    )


def test_names_of_tasks_are_columns_of_one_table():
    names = [task.name for tasks in TASKS.values() for task in tasks]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"two tasks have one name; rename one of each: {sorted(twice)}"


def test_every_student_notebook_runs_to_its_end_and_each_check_says_not_done_yet():
    """All in one kernel, emptied between two of them: the imports take most of the time."""
    every, ends = new_notebook(), []
    for path in STUDENTS:
        every.cells += [*read(path).cells, new_code_cell("%reset -f")]
        ends.append(len(every.cells))
    where = {"metadata": {"path": str(CLASSROOM / "students")}}
    NotebookClient(every, timeout=300, kernel_name="python3", resources=where).execute()
    start = 0
    for path, end in zip(STUDENTS, ends, strict=True):
        cells = every.cells[start:end]
        said = [
            output.data["text/plain"]
            for cell in cells
            if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-check")
            for output in cell.outputs
            if "data" in output
        ]
        assert said == [f"{task.answer}: not done yet." for task in TASKS[path.stem]], path.name
        start = end


@student
def test_exercises_follow_their_chapter_and_a_notebook_of_its_own_those(path):
    name = path.stem
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    chapters = [chapter for part in parts for chapter in part["chapters"]]
    if path in OF_CHAPTERS:
        sections = [entry.get("sections") for entry in chapters if entry["file"] == f"book/{name}"]
        wanted = {"file": f"book/exercises/{name}", "title": "Exercises"}
        assert sections and sections[0] and sections[0][0] == wanted, (
            f"in _toc.yml, the first of the sections below book/{name} must be {wanted}"
        )
    else:
        title = read(path).cells[0].source.splitlines()[0].removeprefix("# ")
        behind = [entry for chapter in chapters for entry in chapter.get("sections", [])[1:]]
        wanted = {"file": f"book/exercises/{name}", "title": title}
        assert wanted in behind, (
            f"there is no chapter book/{name}.ipynb, so in _toc.yml the sections below another "
            f"chapter must have, behind its exercises, {wanted}"
        )
    page = (EXERCISES / f"{name}.md").read_text("utf-8")
    shown = len(re.findall(r"^`{3,}\{exercise\} Task \d: ", page, re.MULTILINE))
    assert shown == len(TASKS.get(name, ())) + 1, (
        f"the teacher's notebook has {shown} numbered tasks; it needs one for each check in "
        f"checks/{name}.py, and a question"
    )
    assert f"classroom/students/{name}.ipynb" in page


@student
def test_chapter_and_page_lead_to_colab(tool, path):
    address = tool.colab_address(path.stem)
    page = (EXERCISES / f"{path.stem}.md").read_text("utf-8")
    assert f"(../pictures/colab.svg)]({address})" in page
    if path not in OF_CHAPTERS:
        return
    texts = [c.source for c in read(ROOT / "book" / path.name).cells if c.cell_type == "markdown"]
    cells = [text for text in texts if text.startswith("## Exercises")]
    assert len(cells) == 1 and address in cells[0], (
        "the chapter has one cell `## Exercises`, before its recap; `make students` writes it"
    )
    assert f"(exercises/{path.stem}.md)" in cells[0]


def text_of(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))


def squeezed(text):
    return "".join(text.split())


CONF = """
extensions = ["myst_parser", "sphinx_exercise"]
myst_enable_extensions = ["dollarmath"]
include_patterns = ["index.md", "exercises/*", {chapters}]
nitpicky = True
"""


@pytest.fixture(scope="module")
def solved(tool, tmp_path_factory):
    """What SOLUTIONS=1 builds from, and its pages of exercises rendered beside empty chapters."""
    folder = tmp_path_factory.mktemp("solved")
    tool.copy_with_solutions(folder)
    tool.copy_with_solutions(folder)  # over an earlier one
    names = [path.stem for path in STUDENTS]
    for name in names:
        (folder / "book" / f"{name}.md").write_text("# A chapter")
    pages = "\n".join(f"{name}\nexercises/{name}" for name in names)
    (folder / "book" / "index.md").write_text(f"# Book\n\n```{{toctree}}\n{pages}\n```\n")
    chapters = ", ".join(f'"{name}.md"' for name in names)
    (folder / "book" / "conf.py").write_text(CONF.replace("{chapters}", chapters))
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "book", "html"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@student
def test_with_solutions_the_book_has_all_of_them(tool, solved, path):
    page = text_of(solved / "html" / "exercises" / f"{path.stem}.html")
    lines = [
        squeezed(exercise.solution)
        for exercise in tool.exercises(teacher_of(path))
        if exercise.is_code
    ]
    assert len(lines) == len(TASKS[path.stem])
    for solution in lines:
        assert solution in squeezed(page)
    assert page.count("Solution to") == len(TASKS[path.stem]) + 1


def test_making_them_with_solutions_changes_nothing_here(tool, solved):
    for path, content in tool.made_files().items():
        assert path.read_text("utf-8") == content
    assert (solved / "_config.yml").resolve() == ROOT / "_config.yml"


def test_make_builds_solutions_only_when_asked_for():
    # what the make that runs the tests was called with is not for this one
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "SOLUTIONS")}

    def said(*arguments):
        done = subprocess.run(["make", "-n", "-B", "book", *arguments], cwd=ROOT, text=True,
                              capture_output=True, check=True, env=environment)  # fmt: skip
        return done.stdout

    assert "--solutions" not in said() and "_build/html/index.html" in said()
    assert "make_students.py --solutions _build/solutions" in said("SOLUTIONS=1")
    assert "jupyter-book build --all -n -W --keep-going _build/solutions" in said("SOLUTIONS=1")


def test_book_as_it_is_built_has_no_solution(tool, built_book):
    """Neither on a page nor among the sources and downloads beside it."""
    files = [
        path for path in built_book.rglob("*") if path.suffix in (".html", ".txt", ".md", ".ipynb")
    ]
    texts = {path: text_of(path) for path in files}
    assert len([path for path in texts if "exercises" in path.parts]) >= len(STUDENTS)
    for path in STUDENTS:
        pages = [text for file, text in texts.items() if file.stem.split(".")[0] == path.stem
                 and "exercises" in file.parts]  # fmt: skip
        lines = {squeezed(line) for text in pages for line in text.splitlines()}
        assert not lines & {squeezed(line) for line in tool.solution_lines(teacher_of(path))}
    for path, text in texts.items():
        assert "BEGIN SOLUTION" not in text and "Solution to" not in text, path
