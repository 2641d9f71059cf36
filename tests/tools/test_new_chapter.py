"""A chapter from the template keeps the rules of chapters, exercises and questions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import make_students
import new_chapter as tool
import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME, TITLE = "my_maps", "My maps & yours"
# the rules that read files and run checks; none opens a page or executes a notebook
RULES = (
    "tests/book/test_notebooks.py",
    "tests/book/test_colab.py",
    "tests/classroom/test_students.py",
    "tests/classroom/checks/test_checks.py",
    f"tests/classroom/checks/test_{NAME}.py",
    "tests/tools/test_self_tests.py",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the tree with a chapter made in it, and its files."""
    folder = tmp_path_factory.mktemp("tree")
    others = [path.name for path in tool.ROOT.glob("book/*.ipynb") if path.name != "intro.ipynb"]
    others += [path.parent.name for path in ROOT.glob("classroom/source/*/*.ipynb")]
    left = shutil.ignore_patterns("__pycache__", ".*", "data", "students", "exercises", *others)
    for name in ("book", "classroom", "lib", "tests", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=left)
    data = Path("lib", "deepinside", "data")
    (folder / data).symlink_to(ROOT / data)
    for name in ("_config.yml", "_toc.yml", "pyproject.toml", "Makefile", "constraints-colab.txt"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder, tool.new_chapter(NAME, TITLE, folder)


def ran(folder, *command):
    environment = os.environ | {"PYTHONPATH": str(folder / "lib"), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_it_keeps_the_rules_once_its_texts_are_written(made):
    folder, paths = made
    left = tool.to_write(folder)
    assert {line.partition(":")[0] for line in left} == {
        f"book/{NAME}.ipynb",
        f"book/self_tests/{NAME}.md",
        f"classroom/source/{NAME}/{NAME}.ipynb",
    }
    assert any("what one sees and concludes" in line for line in left)
    for path in paths:
        text = path.read_text("utf-8").replace(f"{tool.TO_WRITE}: ", "Here: ")
        path.write_text(text, "utf-8")
    assert tool.to_write(folder) == []
    for path, content in make_students.made_files(folder).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    linted = [str(path) for path in paths if path.suffix in (".ipynb", ".py")]
    for command in (["check"], ["format", "--check"]):
        done = ran(folder, "-m", "ruff", *command, "--no-cache", *linted)
        assert done.returncode == 0, done.stdout
    # the pages of exercises are built by Sphinx elsewhere
    chosen = f"{NAME} and not with_solutions"
    done = ran(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *RULES)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 40


def test_what_it_prints_is_what_its_cells_compute(capsys):
    cells = json.loads((ROOT / tool.TEMPLATE / "new_chapter.ipynb").read_text("utf-8"))["cells"]
    space = {}
    for cell in [cell for cell in cells if cell["cell_type"] == "code"][:-1]:
        source = "".join(line for line in cell["source"] if "%pip" not in line)
        exec(source.replace('if "google.colab" in sys.modules:', "if True:"), space)
        shown = "".join("".join(output.get("text", ())) for output in cell["outputs"])
        assert capsys.readouterr().out == shown, "execute tools/chapter/new_chapter.ipynb again"


def test_it_is_listed_behind_the_last_chapter_and_among_the_lost(made):
    folder, _ = made
    contents = (folder / "_toc.yml").read_text("utf-8")
    assert contents.replace(tool.ENTRY.format(name=NAME), "") == (ROOT / "_toc.yml").read_text()
    lost = (folder / "book" / "404.html").read_text("utf-8")
    last = lost.split("</ol>")[0].splitlines()[-1]
    assert last.endswith(f'/book/{NAME}.html">My maps &amp; yours</a></li>')


@pytest.mark.parametrize(
    ("name", "title", "told"),
    [
        ("My-maps", TITLE, "the name must be"),
        ("my_maps_", TITLE, "the name must be"),
        ("other", "my maps", "begins with a capital letter"),
        ("other", 'My "maps"', "begins with a capital letter"),
        (NAME, TITLE, "there is a chapter of this name: book/my_maps.ipynb"),
    ],
)
def test_what_makes_no_chapter_is_refused_and_nothing_changes(made, name, title, told):
    folder, _ = made
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match=told):
        tool.new_chapter(name, title, folder)
    assert sorted(folder.rglob("*")) == before
