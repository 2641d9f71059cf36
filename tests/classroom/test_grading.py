"""Grading of made-up submissions to made-up tasks, which need no PyTorch and so little time."""

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
from deepinside.__main__ import main
from deepinside.classroom.checks import TASKS
from deepinside.classroom.grading import command, execution
from deepinside.classroom.grading.cells import grade_cells
from deepinside.classroom.grading.command import grade_all
from deepinside.classroom.grading.confinement import Limits, can_confine, confined

needs_bubblewrap = pytest.mark.skipif(
    not can_confine(), reason="no bubblewrap that works: apt-get install bubblewrap"
)
LIB = str(Path(deepinside.__file__).parents[1])

MADE_UP = """
from types import SimpleNamespace

class Task(SimpleNamespace):
    pass

def grade(argument, right, points):
    def run(function):
        if function is None:
            return SimpleNamespace(passed=False, state="not done yet", message="", points=0)
        got = function(argument)
        if got == right:
            return SimpleNamespace(passed=True, state="passed", message="Right.", points=points)
        earned = points / 4 if got == -right else 0
        message = "Not\\nthis; but that, 1.5."
        return SimpleNamespace(passed=False, state="hint", message=message, points=earned)
    return run

TASKS = {
    "numbers": (
        Task(name="twice", answer="double", grade=grade(3, 6, 1), points=1),
        Task(name="half-of-it", answer="half", grade=grade(3, 1.5, 2), points=2),
    ),
    "words": (Task(name="shout", answer="shout", grade=grade("a", "A", 1), points=1),),
}
"""
DOUBLE = "def double(number):\n    return 2 * number"
HALF = "def half(number):\n    return number / 2"
SHOUT = "def shout(word):\n    return word.upper()"


MAGICS = {
    "inline": "%matplotlib inline\nimport math",
    "no_display": "%matplotlib qt\nimport math",
    "extension": "%load_ext tensorboard\n%tensorboard --logdir runs",
    "unknown": "%nosuchmagic",
    "unknown_cell": "%%nosuchmagic --with options",
    "timed": "%%time",
    "captured": "%%capture out",
    "shell": "!pip install something\nfiles = !ls",
    "pip": "%pip install -q something",
    "conda": "%conda install something",
    "autoreload": "%load_ext autoreload\n%autoreload 2",
    "widget": "import ipywidgets\nipywidgets.interact(lambda x: x, x=3);",
}


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
        "good/numbers.ipynb": notebook(DOUBLE, " \n", HALF, ""),
        "wrong/numbers.ipynb": notebook(DOUBLE, "def half(number):\n    return number"),
        "sign.ipynb": notebook(DOUBLE, "def half(number):\n    return -number / 2"),
        "missing.ipynb": notebook(DOUBLE),
        "raises.ipynb": notebook(DOUBLE, "1 / 0", HALF),
        "syntax.ipynb": notebook("def half(:", DOUBLE, HALF),
        "rebound.ipynb": notebook(DOUBLE, HALF, "half = half(7)", "double = None"),
        "magics.ipynb": notebook(DOUBLE, "%time 1\n!echo hello", HALF),
        "checks.ipynb": notebook(
            "import submitted_tasks, builtins\nfor task in submitted_tasks.TASKS['numbers']:\n"
            "    task.grade = lambda function: print('passed')",
            DOUBLE,
            "half = lambda number: number",
        ),
        "library.ipynb": notebook(DOUBLE, "from deepinside.rows import read_rows as half"),
        "endless.ipynb": notebook(DOUBLE, "while True:\n    pass", HALF),
        "catches_all.ipynb": notebook(
            DOUBLE,
            "while True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass",
            HALF,
        ),
        "endless_in_c.ipynb": notebook(DOUBLE, "import itertools\nsum(itertools.repeat(1))", HALF),
        "endless_answer.ipynb": notebook(
            DOUBLE, "def half(number):\n    while True:\n        pass"
        ),
        "endless_answer_in_c.ipynb": notebook(
            DOUBLE, "def half(number):\n    import itertools\n    return sum(itertools.repeat(1))"
        ),
        "memory.ipynb": notebook(DOUBLE, "full = bytearray(10**10)", HALF),
        "outputs.ipynb": notebook("1 + 1", "assert _ + Out[1] == 4", DOUBLE, HALF),
        "exits.ipynb": notebook(DOUBLE, "import sys\nsys.exit()", "import os\nos._exit(0)", HALF),
        "killed.ipynb": notebook(DOUBLE, "import os\nos.kill(os.getpid(), 9)", HALF),
        "leaves.ipynb": notebook(
            DOUBLE,
            "import subprocess",
            f"subprocess.Popen(['sh', '-c', 'sleep 60 # {outside}'], start_new_session=True)",
            HALF,
        ),
        "exits_in_answer.ipynb": notebook(DOUBLE, "import os\ndef half(number):\n    os._exit(0)"),
        "quits.ipynb": notebook(DOUBLE, "exit()", "quit", HALF),
        "waits.ipynb": notebook(DOUBLE, "import asyncio\nawait asyncio.sleep(0)", HALF),
        "forks.ipynb": notebook(
            DOUBLE, "import os\nchild = os.fork()", "os.waitpid(child, 0)", HALF
        ),
        "pictures.ipynb": notebook(
            DOUBLE,
            "drawn = []\nclass Picture:\n    def _repr_png_(self):\n        drawn.append(1)",
            "display(Picture())\nPicture()",
            "assert not drawn",
            HALF,
        ),
        "secrets.ipynb": notebook(
            DOUBLE, "import os\nassert 'TOKEN_OF_TESTS' not in os.environ", HALF
        ),
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


def rows_of(path, key="file"):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row[key]: row for row in csv.DictReader(file)}


def plain(remarks):
    """Remarks without the lines that they quote."""
    return re.sub(r" (\(`[^`]*`\)|at `[^`]*`)", "", remarks)


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
def graded(tmp_path_factory, tasks):
    """All submissions, graded once: their rows, and the folders."""
    root = tmp_path_factory.mktemp("graded")
    outside = root / "outside"
    outside.mkdir()
    (outside / "keep.txt").write_text("kept")
    (root / "scratch").mkdir()
    folder = hand_in(root / "submissions", submissions(outside))
    limits = Limits(cell=1.0, check=1.0, notebook=30.0, memory=2**30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "_GRACE", 1.0)
        patch.setenv("TOKEN_OF_TESTS", "secret")
        patch.setattr("tempfile.tempdir", str(root / "scratch"))
        grade_all(folder, root / "grades.csv", tasks=tasks, limits=limits, jobs=2)
    return root


@pytest.mark.parametrize(
    ("file", "twice", "half", "remark"),
    [
        ("good/numbers.ipynb", "1", "2", ""),
        ("wrong/numbers.ipynb", "1", "0", "half-of-it: Not this; but that, 1.5."),
        ("sign.ipynb", "1", "0.5", "half-of-it: Not this; but that, 1.5."),
        ("missing.ipynb", "1", "0", "half-of-it: not done yet"),
        ("raises.ipynb", "1", "2", "cell 3: ZeroDivisionError"),
        ("syntax.ipynb", "1", "2", "cell 2: SyntaxError"),
        ("rebound.ipynb", "1", "2", ""),
        ("magics.ipynb", "1", "2", ""),
        ("library.ipynb", "1", "0", "half-of-it: not done yet"),
        ("endless.ipynb", "1", "2", "cell 3: took more than 1 s"),
        ("catches_all.ipynb", "1", "2", "cell 3: did not end within 2 s"),
        ("endless_in_c.ipynb", "1", "2", "cell 3: did not end within 2 s"),
        ("endless_answer.ipynb", "1", "0", "half-of-it: took more than 1 s"),
        ("endless_answer_in_c.ipynb", "1", "0", "half-of-it: did not end within 2 s"),
        ("memory.ipynb", "1", "2", "cell 3: MemoryError"),
        ("exits.ipynb", "1", "2", "cell 4: the process ended, exit status 0; cell 3: SystemExit"),
        ("killed.ipynb", "1", "2", "cell 3: the process ended, exit status 137"),
        ("leaves.ipynb", "1", "2", ""),
        ("exits_in_answer.ipynb", "1", "0", "half-of-it: the process ended, exit status 0"),
        ("forks.ipynb", "1", "2", ""),
        ("pictures.ipynb", "1", "2", ""),
        ("secrets.ipynb", "1", "2", ""),
        ("babbles.ipynb", "1", "2", ""),
        ("closes.ipynb", "1", "2", "cell 3: the process ended, exit status 134"),
        ("quits.ipynb", "1", "2", ""),
        ("waits.ipynb", "1", "2", ""),
        ("outputs.ipynb", "1", "2", ""),
        ("r\\udce9ponses.ipynb", "1", "2", ""),
        ("asks.ipynb", "1", "2", "cell 3: StdinNotImplementedError"),
        ("prints.ipynb", "1", "2", ""),
        ("connects.ipynb", "1", "2", "cell 3: URLError"),
        ("utf8_sig.ipynb", "1", "2", ""),
        ("utf16.ipynb", "1", "2", ""),
        ("latin.ipynb", "1", "2", ""),
    ],
)
def test_points_and_remarks(graded, file, twice, half, remark):
    row = rows_of(graded / "grades.csv")[file]
    assert (row["twice"], row["half-of-it"], plain(row["remarks"])) == (twice, half, remark)
    assert row["points"] == f"{float(twice) + float(half):g}"
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
def test_what_is_no_notebook_gets_a_row_that_says_so(graded, file, remark):
    row = rows_of(graded / "grades.csv")[file]
    assert row["remarks"].startswith(remark)
    assert {row[name] for name in ("notebook", "twice", "half-of-it", "points", "of")} == {""}


def test_a_string_that_is_no_text_costs_no_more_than_its_cell(graded):
    row = rows_of(graded / "grades.csv")["surrogate.ipynb"]
    assert row["points"] == "3" and plain(row["remarks"]) in ("", "cell 3: UnicodeEncodeError")


def test_checks_that_a_notebook_changes_do_not_grade_it(graded):
    """It may spoil its own points in this way, and gains none."""
    row = rows_of(graded / "grades.csv")["checks.ipynb"]
    assert row["half-of-it"] == "0"


def test_table_has_each_submission_once_in_order_and_a_column_a_task(graded):
    lines = (graded / "grades.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "file,notebook,twice,half-of-it,shout,points,of,digest,remarks"
    files = [line.split(",")[0] for line in lines[1:]]
    handed_in = {name.encode("utf-8", "backslashreplace").decode() for name in submissions(graded)}
    assert sorted(files) == sorted(handed_in - {".ipynb_checkpoints/good.ipynb"})
    assert files[:3] == ["asks.ipynb", "babbles.ipynb", "broken.ipynb"]
    shouted = rows_of(graded / "grades.csv")["shout.ipynb"]
    assert (shouted["notebook"], shouted["shout"], shouted["twice"]) == ("words", "1", "")
    assert {"good/numbers.ipynb", "wrong/numbers.ipynb"} <= set(files)


@needs_bubblewrap
def test_nothing_outside_of_the_scratch_folder_is_changed(graded):
    assert (graded / "outside" / "keep.txt").read_text() == "kept"
    folder, handed_in = graded / "submissions", submissions(graded / "outside")
    assert len([path for path in folder.rglob("*") if path.is_file()]) == len(handed_in)
    for name, content in handed_in.items():
        written = content if isinstance(content, bytes) else content.encode()
        assert (folder / name).read_bytes() == written
    remarks = plain(rows_of(graded / "grades.csv")["deletes.ipynb"]["remarks"])
    failed = dict(re.findall(r"cell (\d+): (\w+)", remarks))
    # refused, one after the other; what follows happens in the scratch folder, and works
    assert [failed.pop(str(place)) for place in (4, 5, 6, 7, 8)] == ["OSError"] * 5
    assert not failed
    assert rows_of(graded / "grades.csv")["deletes.ipynb"]["points"] == "3"


def test_scratch_folders_and_processes_are_gone(graded):
    assert sorted(path.name for path in graded.iterdir()) == [
        "grades.csv", "outside", "scratch", "submissions"
    ]  # fmt: skip
    assert not list((graded / "scratch").iterdir())
    if can_confine():
        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")
                    if os.access(path, os.R_OK)]  # fmt: skip
        assert not [command for command in commands if os.fsencode(graded) in command]


def run(folder, output, *options, tasks):
    path = os.pathsep.join((LIB, str(Path(sys.modules[tasks].__file__).parent)))
    return subprocess.run(
        [sys.executable, "-m", "deepinside", "grade", str(folder), "--output", str(output),
         "--tasks", tasks, "--jobs", "1", *options],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip


def test_started_again_it_grades_what_is_new_or_changed(tmp_path, tasks, capsys):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": notebook(HALF)})
    output = tmp_path / "grades.csv"
    first = {row["file"]: row for row in grade_all(folder, output, tasks=tasks).rows}
    assert rows_of(output) == first
    # the last row torn, as when the machine went down; one submission changed, one is new
    lines = output.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace("half-of-it: not done yet", "seen")
    output.write_text("".join(lines)[:-10])
    hand_in(folder, {"c.ipynb": notebook(SHOUT)})
    capsys.readouterr()
    grade_all(folder, output, tasks=tasks)
    progress = capsys.readouterr().err
    rows = rows_of(output)
    assert rows["a.ipynb"]["remarks"] == "seen"
    assert rows["b.ipynb"] == first["b.ipynb"] | {"shout": ""}
    assert rows["c.ipynb"]["shout"] == "1"
    assert "3 notebooks, 1 of them graded before" in progress
    assert "1/2" in progress and "b.ipynb: 2 of 3 points" in progress
    hand_in(folder, {"a.ipynb": notebook(DOUBLE, HALF)})
    grade_all(folder, output, tasks=tasks)
    assert rows_of(output)["a.ipynb"]["points"] == "3"


def test_interrupted_it_keeps_the_rows_that_it_has(tmp_path, tasks, interruptible):
    __import__(tasks)
    slow = notebook(DOUBLE, "import time\ntime.sleep(60)")
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": slow})
    output = tmp_path / "grades.csv"
    path = os.pathsep.join((LIB, str(Path(sys.modules[tasks].__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, "-m", "deepinside", "grade", str(folder), "--output", str(output),
         "--tasks", tasks, "--jobs", "1"],
        env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started = time.monotonic()
    assert "2 notebooks" in process.stderr.readline()
    while "a.ipynb: 1 of 3 points" not in (line := process.stderr.readline()):
        assert line, "it ended before the first notebook was graded"
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130
    assert "interrupted" in rest and "Traceback" not in rest
    assert time.monotonic() - started < 30
    assert list(rows_of(output)) == ["a.ipynb"]


def test_the_time_of_a_whole_notebook_is_limited(tmp_path, tasks):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE, "import time\ntime.sleep(99)")})
    limits = Limits(notebook=10.0)
    (row,) = grade_all(folder, tmp_path / "grades.csv", tasks=tasks, limits=limits).rows
    assert plain(row["remarks"]) == "cell 3: the time for the whole notebook was over"
    assert (row["points"], row["of"]) == ("0", "3")


def test_command_shows_progress_and_a_summary(tmp_path, tasks):
    __import__(tasks)
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": "{"})
    done = run(folder, tmp_path / "grades.csv", tasks=tasks)
    assert done.returncode == 0, done.stderr
    assert "twice: passed by 1\n" in done.stdout and "half-of-it: passed by 0\n" in done.stdout
    assert "not graded, see the remarks: 1" in done.stdout
    assert "2/2" in done.stderr and "a.ipynb: 1 of 3 points" in done.stderr


def test_no_student_is_graded_where_nothing_can_be_run(tmp_path, tasks, monkeypatch, capsys):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE)})
    monkeypatch.setattr(sys, "executable", "/bin/false")
    status = main(["grade", str(folder), "--output", str(tmp_path / "m.csv"), "--tasks", tasks])
    assert status == 1
    assert "could not start to run a.ipynb: the process ended" in capsys.readouterr().err
    assert rows_of(tmp_path / "m.csv") == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected notebooks"),
        (("--jobs", "0"), "expected --jobs above 0, got 0"),
        (("--format", "moodle"), "--format moodle needs --roster"),
        (("--roster", os.devnull), "expected a header with columns such as ID"),
        (("--memory", "-1"), "expected --memory above 0, got -1.0"),
    ],
)
def test_wrong_calls_say_what_is_wrong(tmp_path, tasks, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "grade",
                str(tmp_path),
                "--output",
                str(tmp_path / "m.csv"),
                "--tasks",
                tasks,
                *options,
            ]
        )
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_another_file_is_not_overwritten(tmp_path, tasks):
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE)})
    (tmp_path / "grades.csv").write_text("name,grade\nanna,1\n")
    with pytest.raises(
        ValueError,
        match=r"expected no file or one that begins with file,notebook, got .*grades\.csv",
    ):
        grade_all(folder, tmp_path / "grades.csv", tasks=tasks)
    assert (tmp_path / "grades.csv").read_text() == "name,grade\nanna,1\n"


def test_the_teachers_notebooks_get_all_points_and_run_to_their_ends(tmp_path):
    """The real tasks, and the cells between them that use the answers."""
    source = Path(__file__).resolve().parents[2] / "classroom" / "source"
    # what they do is tested here, and not how fast
    limits = Limits(cell=300.0, check=100.0, notebook=1800.0)
    rows = grade_all(source, tmp_path / "grades.csv", limits=limits, jobs=2).rows
    assert [row["notebook"] for row in rows] == sorted(TASKS)
    for row in rows:
        assert row["remarks"] == "", row["file"]
        assert (
            row["points"] == row["of"] == str(sum(task.points for task in TASKS[row["notebook"]]))
        )


@pytest.mark.parametrize("confines", [pytest.param(True, marks=needs_bubblewrap), False])
def test_memory_size_of_files_and_changes_are_limited(
    tmp_path, monkeypatch, capsys, tasks, confines
):
    """Without bubblewrap one line says what is not confined."""
    for module in (command, execution):
        monkeypatch.setattr(module, "can_confine", lambda: confines)
    cells = (
        "full = bytearray(10**10)",
        "with open('large', 'wb') as file:\n    file.write(bytes(2**28 + 1))",
        f"open({str(tmp_path / 'new')!r}, 'w')",
    )
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE, *cells, HALF)})
    limits = Limits(memory=2**30)
    (row,) = grade_all(folder, tmp_path / "grades.csv", tasks=tasks, limits=limits).rows
    refused = "; cell 5: OSError" if confines else ""
    assert plain(row["remarks"]) == "cell 3: MemoryError; cell 4: OSError" + refused
    assert row["points"] == "3"
    assert (tmp_path / "new").exists() != confines
    assert ("bubblewrap (bwrap) does not work here" in capsys.readouterr().err) != confines


@needs_bubblewrap
def test_a_confined_program_sees_no_network_and_no_process_but_its_own(tmp_path):
    program = """
import os, socket
print([name for name in os.listdir("/proc") if name.isdecimal()])
try:
    socket.create_connection(("192.0.2.1", 80), timeout=20)
except OSError as error:
    print(error.strerror)
"""
    command = [*confined(tmp_path), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['1', '2']", "Network is unreachable"]


def test_bubblewrap_that_is_missing_or_refused_is_noticed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert not can_confine.__wrapped__()
    monkeypatch.undo()
    monkeypatch.setattr("deepinside.classroom.grading.confinement.confined", lambda _: ["false"])
    assert not can_confine.__wrapped__()


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("sys.platform = 'win32'", "grading needs Linux or macOS; on Windows, Linux in WSL"),
        ("sys.modules['nbclient'] = None", "pip install nbclient"),
    ],
)
def test_what_a_system_lacks_is_said_before_any_work(tmp_path, lacks, message):
    """Modules that Windows does not have are not asked for, not even to say so."""
    program = f"""
import asyncio, sys, tqdm
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
{lacks}
from deepinside.__main__ import main
main(["grade", {str(tmp_path)!r}])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": LIB},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert last.startswith("deepinside grade: error: ") and message in last
    assert not list(tmp_path.iterdir())


def test_magics_and_widgets_cost_no_more_than_their_own_line(tmp_path, tasks):
    made = {f"{name}.ipynb": notebook(f"{magic}\n{DOUBLE}", HALF) for name, magic in MAGICS.items()}
    folder = hand_in(tmp_path / "in", made)
    rows = grade_all(folder, tmp_path / "grades.csv", tasks=tasks, jobs=2).rows
    assert {row["file"]: (row["points"], row["remarks"]) for row in rows} == {
        file: ("3", "") for file in made
    }


def test_a_failing_cell_is_called_as_jupyter_counts_it_and_the_line_is_told(tmp_path, tasks):
    cells = [
        ("# to begin\nfirst = 1\nsecond = first / 0", 7),
        ("def helper():\n    return missing", 8),
        ("helper()", 9),
        ("x = (", None),
        ("1 / 0", 11),
        ("%%time\n1 / 0 ", 12),
    ]
    made = json.loads(notebook(*(source for source, _ in cells)))
    for cell, (_, count) in zip(made["cells"][1:], cells, strict=True):
        cell["execution_count"] = count
    made["cells"].append(made["cells"][1] | {"source": DOUBLE})
    folder = hand_in(tmp_path / "in", {"a.ipynb": json.dumps(made)})
    (row,) = grade_all(folder, tmp_path / "grades.csv", tasks=tasks).rows
    assert row["remarks"].split("; ")[:-1] == [
        "In [7] (`first = 1`): ZeroDivisionError at `second = first / 0`",
        "In [9] (`helper()`): NameError at `return missing`",
        "cell 5 (`x = (`): SyntaxError",
        "In [11] (`1 / 0`): ZeroDivisionError",
        "In [12] (`%%time`): ZeroDivisionError",
    ]


def test_what_a_notebook_replaces_is_named_and_has_no_effect(tmp_path):
    """On tasks that import what notes the functions, as those of the book do."""
    (tmp_path / "sealed_tasks.py").write_text(
        "import torch\nfrom deepinside.classroom import checks, seal\n" + MADE_UP.replace(
            "function(argument) == right", "torch.equal(torch.tensor(function(argument)), torch."
            "tensor(right))").replace("got = torch", "got = right if torch").replace(
            "tensor(right))", "tensor(right)) else 0").replace('"a", "A"', "1, 1")
    )  # fmt: skip
    wrong = "def half(number):\n    return number"
    cheat = (
        "import torch, builtins\ntorch.equal = lambda *_: True\nclass Fake:\n"
        "    def __getattr__(self, name):\n        return lambda *_: 99\nchecks = Fake()"
    )
    handed_in = {
        "cheat.ipynb": notebook(cheat, DOUBLE, wrong),
        "in_answer.ipynb": notebook(
            DOUBLE, "def half(number):\n    import torch\n    torch.equal = lambda *_: True"
        ),
        "undone.ipynb": notebook(
            "import torch\nkept = torch.equal\ntorch.equal = max", "torch.equal = kept", DOUBLE
        ),
        "honest.ipynb": notebook(
            "import torch, numpy as np\nfrom deepinside.classroom import checks", DOUBLE, HALF
        ),
    }
    folder = hand_in(tmp_path / "in", handed_in)
    sys.path.append(str(tmp_path))
    try:
        rows = grade_all(folder, tmp_path / "grades.csv", tasks="sealed_tasks").rows
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("sealed_tasks")
    cheat, honest, in_answer, undone = rows
    assert in_answer["remarks"].startswith("replaces torch.equal, to no effect")
    named = "replaces torch.equal, checks, to no effect on the checks; half-of-it: "
    assert cheat["remarks"].startswith(named) and cheat["points"] == "1"
    assert (honest["remarks"], honest["points"]) == ("", "3")
    assert undone["remarks"].startswith("replaces torch.equal, to no effect on the checks")


def checked(*pairs):
    """A notebook's cells as nbgrader has them: code and grade_id."""
    return [
        {"cell_type": "code", "source": source, "outputs": [], "execution_count": None,
         "metadata": {"nbgrader": {"grade_id": name, "grade": name.endswith("-check")}}}
        for source, name in pairs
    ]  # fmt: skip


def test_cells_for_nbgrader_get_points_that_a_notebook_cannot_redefine(tasks):
    """nbgrader reads an error as no points, and a value as so many."""
    cells = checked(
        ("class Fake:\n    def __getattr__(self, name):\n        return lambda *_: 99\n"
         "checks = Fake()\n" + DOUBLE, "twice"),
        ("checks.check_double(double)\nchecks.mark('twice', double)", "twice-check"),
        ("def half(number):\n    raise NotImplementedError", "half-of-it"),
        ("checks.mark('half-of-it', half)", "half-of-it-check"),
    )  # fmt: skip
    grade_cells("numbers", cells, tasks=tasks)
    (value,), (error,) = cells[1]["outputs"], cells[3]["outputs"]
    assert (value["output_type"], value["data"]) == ("execute_result", {"text/plain": "1"})
    assert (error["output_type"], cells[0]["outputs"]) == ("error", [])
    cells[2]["source"] = "def half(number):\n    return -number / 2"
    grade_cells("numbers", cells, tasks=tasks)
    told, value = cells[3]["outputs"]
    assert value["data"] == {"text/plain": "0.5"} and "Not\nthis" in told["text"]


def test_points_of_open_questions_count_when_they_are_filled_in(tmp_path, tasks, capsys):
    question = {"grade_id": "why", "grade": True, "solution": True, "points": 4}
    made = json.loads(notebook(DOUBLE))
    for text, folder in (("*Here.*", "students"), ("- 4: so", "source/numbers")):
        cell = {"cell_type": "markdown", "source": text, "metadata": {"nbgrader": question}}
        path = tmp_path / "course" / folder / "numbers.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(made | {"cells": [*made["cells"], cell]}))
    folder = hand_in(tmp_path / "in", {"a.ipynb": notebook(DOUBLE), "b.ipynb": notebook(HALF)})
    output, given = tmp_path / "grades.csv", {"tasks": tasks, "course": tmp_path / "course"}
    grade_all(folder, output, **given)
    assert rows_of(output)["a.ipynb"]["why"] == ""
    assert [rows_of(output)["a.ipynb"][name] for name in ("points", "of")] == ["1", "3"]
    text = output.read_text("utf-8-sig")
    output.write_text(text.replace("a.ipynb,numbers,1,0,,1,3", 'a.ipynb,numbers,1,0,"2,5",1,3'))
    (tmp_path / "points.csv").write_text("\ufefffile,question,points\nb.ipynb,why,4\n", "utf-8")
    grade_all(folder, output, points=tmp_path / "points.csv", **given)
    assert "2 of them graded before" in capsys.readouterr().err
    rows = rows_of(output)
    assert [rows["a.ipynb"][name] for name in ("why", "points", "of")] == ["2,5", "3.5", "7"]
    assert [rows["b.ipynb"][name] for name in ("why", "points", "of")] == ["4", "6", "7"]
