"""Marking of made-up submissions to made-up tasks, which need no PyTorch and so little time."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import deepinside
from deepinside.classroom import confinement
from deepinside.classroom import grading as mark
from deepinside.classroom.checks import TASKS

LIB = str(Path(deepinside.__file__).parents[1])

MADE_UP = """
from types import SimpleNamespace

class Task(SimpleNamespace):
    pass

def check(argument, right):
    def run(function):
        if function is None:
            return SimpleNamespace(passed=False, state="not done yet", message="")
        if function(argument) == right:
            return SimpleNamespace(passed=True, state="passed", message="Right.")
        return SimpleNamespace(passed=False, state="hint", message="Not\\nthis; but that, 1.5.")
    return run

TASKS = {
    "numbers": (
        Task(name="twice", answer="double", check=check(3, 6), points=1),
        Task(name="half-of-it", answer="half", check=check(3, 1.5), points=2),
    ),
    "words": (Task(name="shout", answer="shout", check=check("a", "A"), points=1),),
}
"""
DOUBLE = "def double(number):\n    return 2 * number"
HALF = "def half(number):\n    return number / 2"
SHOUT = "def shout(word):\n    return word.upper()"


def notebook(*cells):
    made = [{"cell_type": "markdown", "metadata": {}, "source": ["# Answers"]}]
    for source in cells:
        cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        made.append(cell | {"source": source})
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def submissions(outside):
    """Return what students handed in; `outside` is a folder that is none of their business."""
    keep = str(outside / "keep.txt")
    return {
        "good/numbers.ipynb": notebook(DOUBLE, HALF),
        "wrong/numbers.ipynb": notebook(DOUBLE, "def half(number):\n    return number"),
        "missing.ipynb": notebook(DOUBLE),
        "raises.ipynb": notebook(DOUBLE, "1 / 0", HALF),
        "syntax.ipynb": notebook("def half(:", DOUBLE, HALF),
        "rebound.ipynb": notebook(DOUBLE, HALF, "half = half(7)", "double = None"),
        "magics.ipynb": notebook(DOUBLE, "%time 1\n!echo hello", HALF),
        "checks.ipynb": notebook(
            "import submitted_tasks, builtins\nfor one in submitted_tasks.TASKS['numbers']:\n"
            "    one.check = lambda function: print('passed')",
            DOUBLE,
            "half = lambda number: number",
        ),
        "library.ipynb": notebook(
            DOUBLE, "from deepinside.classroom.confinement import limit as half"
        ),
        "endless.ipynb": notebook(DOUBLE, "while True:\n    pass", HALF),
        "catches_all.ipynb": notebook(
            DOUBLE,
            "while True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass",
            HALF,
        ),
        "endless_in_c.ipynb": notebook(DOUBLE, "import itertools\nsum(itertools.repeat(1))", HALF),
        "endless_answer.ipynb": notebook(
            DOUBLE, "def half(number):\n    import itertools\n    return sum(itertools.repeat(1))"
        ),
        "memory.ipynb": notebook(DOUBLE, "full = bytearray(10**10)", HALF),
        "exits.ipynb": notebook(DOUBLE, "import sys\nsys.exit()", "import os\nos._exit(0)", HALF),
        "exits_in_answer.ipynb": notebook(DOUBLE, "import os\ndef half(number):\n    os._exit(0)"),
        "forks.ipynb": notebook(DOUBLE, "import os\nos.fork()", HALF),
        "babbles.ipynb": notebook(
            DOUBLE,
            "import os\nfor place in range(3, 40):\n    try:\n"
            "        os.write(place, b'[1]\\n{\\n')\n    except OSError:\n        pass",
            HALF,
        ),
        "closes.ipynb": notebook(DOUBLE, "import os\nos.closerange(3, 99)", HALF),
        "surrogate.ipynb": notebook(DOUBLE, "name = '\ud800'", HALF),
        os.fsdecode(b"r\xe9ponses.ipynb"): notebook(DOUBLE, HALF),
        "asks.ipynb": notebook(DOUBLE, "input('Your name?')", HALF),
        "prints.ipynb": notebook(
            DOUBLE, "for _ in range(500):\n    print('much ' * 10000)", "'x' * 10**6", HALF
        ),
        "connects.ipynb": notebook(
            DOUBLE, "import urllib.request as u\nu.urlopen('http://192.0.2.1', timeout=20)", HALF
        ),
        "deletes.ipynb": notebook(
            DOUBLE,
            "import os, shutil\nfrom pathlib import Path",
            f"Path({keep!r}).unlink()",
            f"Path({keep!r}).write_text('changed')",
            f"os.rename({keep!r}, 'mine.txt')",
            f"shutil.rmtree({str(outside)!r})",
            f"os.symlink({keep!r}, 'link')\nopen('link', 'w')",
            f"!rm -rf {outside}",
            "Path('note.txt').write_text('mine')\nassert Path('note.txt').exists()",
            "!rm -rf ~ * .. ../..",
            "shutil.rmtree(Path.home())",
            "os.makedirs('new/folder')",
            HALF,
        ),
        "utf8_sig.ipynb": ("\ufeff" + notebook("# é", DOUBLE, HALF)).encode(),
        "utf16.ipynb": notebook(DOUBLE, HALF).encode("utf-16"),
        "latin.ipynb": notebook(DOUBLE, HALF).replace("Answers", "Réponses").encode("latin-1"),
        "shout.ipynb": notebook(SHOUT),
        "broken.ipynb": notebook(DOUBLE, HALF)[:99],
        "empty.ipynb": "",
        "list.ipynb": "[1, 2]",
        "old.ipynb": '{"worksheets": [], "nbformat": 3}',
        "deep.ipynb": "[" * 100_000,
        "other.ipynb": notebook("print('of another course')"),
        ".ipynb_checkpoints/good.ipynb": notebook(DOUBLE),
    }


def hand_in(folder, made):
    for name, content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """The name of a module of tasks, which can be imported here and in other processes."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "submitted_tasks.py").write_text(MADE_UP)
    sys.path.append(str(folder))
    yield "submitted_tasks"
    sys.path.remove(str(folder))
    sys.modules.pop("submitted_tasks", None)


@pytest.fixture(scope="module")
def marked(tmp_path_factory, tasks):
    """All submissions, marked once: their rows, and the folders."""
    root = tmp_path_factory.mktemp("marked")
    outside = root / "outside"
    outside.mkdir()
    (outside / "keep.txt").write_text("kept")
    folder = hand_in(root / "submissions", submissions(outside))
    limits = mark.Limits(cell=1.0, notebook=30.0, memory=2**30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mark, "_GRACE", 1.0)
        patch.setattr(mark, "SECONDS", 1.0)
        mark.mark_all(folder, root / "marks.csv", tasks=tasks, limits=limits, jobs=2)
    return root


@pytest.mark.parametrize(
    ("file", "twice", "half", "remark"),
    [
        ("good/numbers.ipynb", "1", "2", ""),
        ("wrong/numbers.ipynb", "1", "0", "half-of-it: Not this; but that, 1.5."),
        ("missing.ipynb", "1", "0", "half-of-it: not done yet"),
        ("raises.ipynb", "1", "2", "cell 3: ZeroDivisionError"),
        ("syntax.ipynb", "1", "2", "cell 2: SyntaxError"),
        ("rebound.ipynb", "1", "2", ""),
        ("magics.ipynb", "1", "2", ""),
        ("library.ipynb", "1", "0", "half-of-it: not done yet"),
        ("endless.ipynb", "1", "2", "cell 3: took more than 1 s"),
        ("catches_all.ipynb", "1", "2", "cell 3: did not end within 2 s"),
        ("endless_in_c.ipynb", "1", "2", "cell 3: did not end within 2 s"),
        ("endless_answer.ipynb", "1", "0", "half-of-it: did not end within 2 s"),
        ("memory.ipynb", "1", "2", "cell 3: MemoryError"),
        ("exits.ipynb", "1", "2", "cell 4: the process ended, exit status 0; cell 3: SystemExit"),
        ("exits_in_answer.ipynb", "1", "0", "half-of-it: the process ended, exit status 0"),
        ("forks.ipynb", "1", "2", ""),
        ("babbles.ipynb", "1", "2", ""),
        ("closes.ipynb", "1", "2", "cell 3: the process ended, exit status 1"),
        ("r\\udce9ponses.ipynb", "1", "2", ""),
        ("asks.ipynb", "1", "2", "cell 3: EOFError"),
        ("prints.ipynb", "1", "2", ""),
        ("connects.ipynb", "1", "2", "cell 3: URLError"),
        ("utf8_sig.ipynb", "1", "2", ""),
        ("utf16.ipynb", "1", "2", ""),
        ("latin.ipynb", "1", "2", ""),
    ],
)
def test_marks_and_remarks(marked, file, twice, half, remark):
    row = rows_of(marked / "marks.csv")[file]
    assert (row["twice"], row["half-of-it"], row["remarks"]) == (twice, half, remark)
    assert row["points"] == str(int(twice) + int(half))
    assert (row["notebook"], row["of"], row["shout"]) == ("numbers", "3", "")


@pytest.mark.parametrize(
    ("file", "remark"),
    [
        ("broken.ipynb", "is no notebook: "),
        ("empty.ipynb", "is no notebook: "),
        ("list.ipynb", "is no notebook of format 4"),
        ("old.ipynb", "is no notebook of format 4"),
        ("deep.ipynb", "cannot be read: "),
        ("other.ipynb", "is no notebook of these exercises: it has none of their functions"),
    ],
)
def test_what_is_no_notebook_gets_a_row_that_says_so(marked, file, remark):
    row = rows_of(marked / "marks.csv")[file]
    assert row["remarks"].startswith(remark)
    assert {row[name] for name in ("notebook", "twice", "half-of-it", "points", "of")} == {""}


def test_a_string_that_is_no_text_costs_no_more_than_its_cell(marked):
    row = rows_of(marked / "marks.csv")["surrogate.ipynb"]
    assert row["points"] == "3" and row["remarks"] in ("", "cell 3: UnicodeEncodeError")


def test_checks_that_a_notebook_changes_do_not_mark_it(marked):
    """It may spoil its own marks in this way, and gains none."""
    row = rows_of(marked / "marks.csv")["checks.ipynb"]
    assert row["half-of-it"] == "0"


def test_table_has_each_submission_once_in_order_and_a_column_a_task(marked):
    lines = (marked / "marks.csv").read_text("utf-8").splitlines()
    assert lines[0] == "file,notebook,twice,half-of-it,shout,points,of,digest,remarks"
    files = [line.split(",")[0] for line in lines[1:]]
    handed_in = {name.encode("utf-8", "backslashreplace").decode() for name in submissions(marked)}
    assert sorted(files) == sorted(handed_in - {".ipynb_checkpoints/good.ipynb"})
    assert files[:3] == ["asks.ipynb", "babbles.ipynb", "broken.ipynb"]
    shouted = rows_of(marked / "marks.csv")["shout.ipynb"]
    assert (shouted["notebook"], shouted["shout"], shouted["twice"]) == ("words", "1", "")
    assert {"good/numbers.ipynb", "wrong/numbers.ipynb"} <= set(files)


def test_nothing_outside_of_the_scratch_folder_is_changed(marked):
    assert (marked / "outside" / "keep.txt").read_text() == "kept"
    folder, handed_in = marked / "submissions", submissions(marked / "outside")
    assert len([path for path in folder.rglob("*") if path.is_file()]) == len(handed_in)
    for name, content in handed_in.items():
        written = content if isinstance(content, bytes) else content.encode()
        assert (folder / name).read_bytes() == written
    remarks = rows_of(marked / "marks.csv")["deletes.ipynb"]["remarks"]
    failed = dict(re.findall(r"cell (\d+): (\w+)", remarks))
    # refused, one after the other; what follows happens in the scratch folder, and works
    assert [failed.pop(str(place)) for place in (4, 5, 6, 7, 8)] == ["PermissionError"] * 5
    assert not failed
    assert rows_of(marked / "marks.csv")["deletes.ipynb"]["points"] == "3"


def test_scratch_folders_and_processes_are_gone(marked):
    assert not [path for path in marked.iterdir() if path.name not in
                ("outside", "submissions", "marks.csv")]  # fmt: skip
    if sys.platform == "linux":
        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")
                    if os.access(path, os.R_OK)]  # fmt: skip
        assert not [one for one in commands if b"submitted_tasks" in one]


def run(folder, output, *options, tasks):
    path = os.pathsep.join((LIB, str(Path(sys.modules[tasks].__file__).parent)))
    return subprocess.run(
        [sys.executable, "-m", "deepinside.classroom.grading", str(folder), "--output", str(output),
         "--tasks", tasks, "--jobs", "1", *options],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip


def test_started_again_it_marks_what_is_new_or_changed(tmp_path, tasks, capsys):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": notebook(HALF)})
    output = tmp_path / "marks.csv"
    first = {row["file"]: row for row in mark.mark_all(folder, output, tasks=tasks)}
    assert rows_of(output) == first
    # the last row torn, as when the machine went down; one submission changed, one is new
    lines = output.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace("half-of-it: not done yet", "seen")
    output.write_text("".join(lines)[:-10])
    hand_in(folder, {"c.ipynb": notebook(SHOUT)})
    capsys.readouterr()
    mark.mark_all(folder, output, tasks=tasks)
    progress = capsys.readouterr().err
    rows = rows_of(output)
    assert rows["a.ipynb"]["remarks"] == "seen"
    assert rows["b.ipynb"] == first["b.ipynb"] | {"shout": ""}
    assert rows["c.ipynb"]["shout"] == "1"
    assert "3 notebooks, 1 of them marked before" in progress
    assert "1/2  b.ipynb: 2 of 3 points" in progress
    hand_in(folder, {"a.ipynb": notebook(DOUBLE, HALF)})
    mark.mark_all(folder, output, tasks=tasks)
    assert rows_of(output)["a.ipynb"]["points"] == "3"


def test_interrupted_it_keeps_the_rows_that_it_has(tmp_path, tasks, interruptible):
    __import__(tasks)
    slow = notebook(DOUBLE, "import time\ntime.sleep(60)")
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": slow})
    output = tmp_path / "marks.csv"
    path = os.pathsep.join((LIB, str(Path(sys.modules[tasks].__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, "-m", "deepinside.classroom.grading", str(folder), "--output", str(output),
         "--tasks", tasks, "--jobs", "1"],
        env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started = time.monotonic()
    assert "2 notebooks" in process.stderr.readline()
    assert "1/2  a.ipynb" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130
    assert "interrupted" in rest and "Traceback" not in rest
    assert time.monotonic() - started < 30
    assert list(rows_of(output)) == ["a.ipynb"]


def test_command_shows_progress_and_a_summary(tmp_path, tasks):
    __import__(tasks)
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": "{"})
    done = run(folder, tmp_path / "marks.csv", tasks=tasks)
    assert done.returncode == 0, done.stderr
    assert "twice: passed by 1\n" in done.stdout and "half-of-it: passed by 0\n" in done.stdout
    assert "not marked, see the remarks: 1" in done.stdout
    assert "2/2" in done.stderr and "left" in done.stderr


def test_no_student_is_marked_where_nothing_can_be_run(tmp_path, tasks, monkeypatch, capsys):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE)})
    monkeypatch.setattr(mark.sys, "executable", "/bin/false")
    status = mark.main([str(folder), "--output", str(tmp_path / "m.csv"), "--tasks", tasks])
    assert status == 1
    assert "could not start to run a.ipynb: the process ended" in capsys.readouterr().err
    assert rows_of(tmp_path / "m.csv") == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected notebooks"),
        (("--jobs", "0"), "expected --jobs above 0, got 0"),
        (("--memory", "-1"), "expected --memory above 0, got -1.0"),
    ],
)
def test_wrong_calls_say_what_is_wrong(tmp_path, tasks, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        mark.main([str(tmp_path), "--output", str(tmp_path / "m.csv"), "--tasks", tasks, *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_another_file_is_not_overwritten(tmp_path, tasks):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE)})
    (tmp_path / "grades.csv").write_text("name,grade\nanna,1\n")
    with pytest.raises(ValueError, match="expected a file of marks"):
        mark.mark_all(folder, tmp_path / "grades.csv", tasks=tasks)
    assert (tmp_path / "grades.csv").read_text() == "name,grade\nanna,1\n"


def confined(program, *arguments):
    """Run a program in which `confinement` and `scratch` are defined; return what it printed."""
    before = "import os, sys\nfrom pathlib import Path\nfrom deepinside import confinement\n"
    done = subprocess.run(
        [*arguments, sys.executable, "-c", before + program],
        env=os.environ | {"PYTHONPATH": LIB}, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1] + done.stderr.splitlines()[-1:]


TRIES = """
for change in (
    lambda: (outside / "kept").unlink(),
    lambda: (outside / "kept").write_text("new"),
    lambda: os.remove("../outside/kept"),
    lambda: (outside / "kept").rename(scratch / "moved"),
    lambda: (outside / "empty").rmdir(),
    lambda: (outside / "folder").mkdir(),
    lambda: (outside / "link").symlink_to("kept"),
    lambda: os.truncate(outside / "kept", 0),
    lambda: open(os.open(outside / "kept", os.O_WRONLY)),
    lambda: os.unlink("kept", dir_fd=os.open(outside, os.O_RDONLY)),
):
    try:
        change()
        print("changed")
    except OSError:
        pass
os.makedirs("a/b")
Path("a/b/c").write_text("mine")
os.rename("a/b/c", "a/d")
__import__("shutil").rmtree("a")
open(os.devnull, "w").write("nothing")
print((outside / "kept").read_text(), sorted(os.listdir()))
"""


@pytest.mark.parametrize("layer", ["guard(scratch, programs=False)", "confine_to(scratch)"])
def test_each_layer_alone_keeps_changes_inside(tmp_path, layer):
    scratch, outside = tmp_path / "scratch", tmp_path / "outside"
    scratch.mkdir()
    (outside / "empty").mkdir(parents=True)
    (outside / "kept").write_text("as it was")
    program = f"""
scratch, outside = Path({str(scratch)!r}), Path({str(outside)!r})
os.chdir(scratch)
print(confinement.{layer})
"""
    held, *said = confined(program + TRIES)
    if held == "False":
        pytest.skip("this kernel has no Landlock")
    assert said == ["as it was []"]
    assert sorted(path.name for path in outside.iterdir()) == ["empty", "kept"]


def test_landlock_binds_the_programs_that_are_started(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "kept").write_text("")
    held, *_ = confined(f"""
print(confinement.confine_to(Path({str(tmp_path / "scratch")!r})))
os.system("rm -f {tmp_path / "kept"}; touch {tmp_path / "scratch" / "new"}")
""")
    if held == "False":
        pytest.skip("this kernel has no Landlock")
    assert (tmp_path / "kept").exists() and (tmp_path / "scratch" / "new").exists()


def test_guard_refuses_programs_and_connections(tmp_path):
    said = confined(f"""
import socket, subprocess
confinement.guard(Path({str(tmp_path)!r}), programs=False)
for one in (
    lambda: os.system("true"),
    lambda: subprocess.run(["true"]),
    lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
    lambda: socket.getaddrinfo("localhost", 80),
):
    try:
        one()
        print("done")
    except PermissionError as error:
        print(str(error).split(",")[0])
""")
    assert said == ["no program is started here"] * 2 + ["there is no network here"] * 2


def test_namespaces_cut_the_network_and_hide_other_processes():
    start = confinement.namespaces()
    if not start:
        pytest.skip("this system does not let an ordinary user make namespaces")
    said = confined(
        """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=20)
except OSError as error:
    print(error.strerror)
""",
        *start,
    )
    assert said == ["Network is unreachable"]


def test_no_namespaces_where_the_system_has_none(monkeypatch):
    monkeypatch.setattr(confinement.shutil, "which", lambda name: None)
    assert confinement.namespaces() == []
    monkeypatch.undo()
    monkeypatch.setattr(confinement, "_NAMESPACES", (("--no-such-option",),))
    assert confinement.namespaces() == []


def test_limits_hold(tmp_path):
    said = confined(f"""
confinement.limit(2**29, file_size=1000)
try:
    bytearray(2**30)
except MemoryError:
    print("memory")
try:
    with open({str(tmp_path / "large")!r}, "wb") as file:
        file.write(bytes(5000))
except OSError:
    print("file")
""")
    assert "memory" in said
    assert "file" in said and (tmp_path / "large").stat().st_size <= 1000


def test_the_teachers_notebooks_get_all_points_and_run_to_their_ends(tmp_path):
    """The real tasks, and the cells between them that use the answers."""
    source = Path(__file__).resolve().parents[2] / "classroom" / "source"
    rows = mark.mark_all(source, tmp_path / "marks.csv", jobs=2)
    assert [row["notebook"] for row in rows] == sorted(TASKS)
    for row in rows:
        assert row["remarks"] == "", row["file"]
        assert row["points"] == row["of"] == str(sum(one.points for one in TASKS[row["notebook"]]))
