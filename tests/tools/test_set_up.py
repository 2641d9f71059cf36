"""What a newcomer meets first: `make`, with Pythons and a pip that only look like ones."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import alone
import drafts
import pytest
import set_up
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCREEN = 30  # lines of README that are seen without scrolling
# answers what make asks, and notes what it is called with
STUB = """#!/bin/sh
[ "$1" = -c ] && exit {unsupported}
case "$*" in *--check*) cat answer; exit;; esac
echo "$0 $*" >> calls
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """What `make` needs to set up, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    for name in (
        "Makefile",
        "requirements.txt",
        "constraints.txt",
        "pyproject.toml",
        "_config.yml",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("lib/deepinside", "book", "classroom/students", "classroom/slides", "web"):
        (folder / name).mkdir(parents=True)
    (folder / "classroom/source").mkdir()
    (folder / "lib/deepinside/explorers").mkdir()
    for name in ("package.json", "package-lock.json", "lib/deepinside/explorers/widget.js"):
        (folder / name).touch()
    (folder / "tools").symlink_to(ROOT / "tools")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ready(checkout):
    """The same, set up, with answers of a stub in place of the environment's Python."""
    environment(checkout)
    stub(checkout / ".venv/bin/python")
    (checkout / ".venv/.ready").touch()
    answer(checkout, "fits")
    return checkout


def environment(folder, *, version="3.12.1", of=None):
    """Write what `python -m venv` writes of itself."""
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("python", "pip"):
        (folder / ".venv/bin" / name).touch()
    made = f"version = {version}\ncommand = /usr/bin/python3 -m venv {of or folder}/.venv\n"
    (folder / ".venv/pyvenv.cfg").write_text(made, "utf-8")


def stub(path, *, unsupported=0):
    path.write_text(STUB.format(unsupported=unsupported), "utf-8")
    path.chmod(0o755)
    return path


def answer(folder, text):
    (folder / "answer").write_text(text, "utf-8")


def make(*arguments, **changed):
    """Call make as from a shell, without what a make around the tests has set."""
    kept = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    kept.pop("PYTHON", None)
    return subprocess.run(
        ["make", *arguments], env=kept | changed, capture_output=True, text=True, check=False
    )


def test_environment_of_this_folder_fits(checkout):
    environment(checkout)
    assert set_up.misfit() == set_up.misfit("3.12") == ""


@pytest.mark.parametrize(
    ("made", "wanted", "reason"),
    [
        ({"version": "3.10.13"}, "", "is of Python 3.10, and one of 3.11, 3.12, 3.13 is needed"),
        ({"version": "3.11.2"}, "3.12", "is of Python 3.11, not 3.12"),
        ({"of": "/home/someone/book"}, "", "was made for another folder"),
    ],
)
def test_environment_that_does_not_fit_is_named(checkout, made, wanted, reason):
    environment(checkout, **made)
    assert set_up.misfit(wanted) == reason


@pytest.mark.parametrize(
    ("name", "reason"), [("bin/python", "Python"), ("bin/pip", "incom"), ("pyvenv.cfg", "incom")]
)
def test_environment_that_lacks_something_is_named(checkout, name, reason):
    environment(checkout)
    (checkout / ".venv" / name).unlink()
    assert reason in set_up.misfit()


def test_it_is_made_anew(checkout, monkeypatch, capfd):
    environment(checkout, version="3.10.13")
    (checkout / ".venv/old").touch()
    monkeypatch.setattr(set_up, "install", lambda: None)
    monkeypatch.setattr(
        set_up.subprocess,
        "run",
        lambda command, **_: environment(checkout) or subprocess.CompletedProcess(command, 0),
    )
    set_up.set_up("")
    assert "is of Python 3.10" in capfd.readouterr().out
    assert not (checkout / ".venv/old").exists()
    assert (checkout / ".venv/.ready").exists()


def test_what_a_link_leads_to_is_left_alone(checkout, tmp_path):
    other = tmp_path / "other"
    environment(other)
    (checkout / ".venv").symlink_to(other / ".venv")
    with pytest.raises(
        SystemExit, match=r"is a link to .*other/\.venv, which was made for another"
    ):
        set_up.set_up("")
    assert (other / ".venv/bin/pip").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Retrying after connection broken by 'NewConnectionError'", "network"),
        ("ReadTimeoutError: Read timed out.", "network"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: ResolutionImpossible", "its reason stands above"),
    ],
)
def test_why_pip_failed_is_told_after_what_it_said(checkout, capfd, said, told):
    environment(checkout)
    pip = checkout / ".venv/bin/python"
    pip.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n', "utf-8")
    pip.chmod(0o755)
    with pytest.raises(SystemExit, match=told):
        set_up.install()
    assert said in capfd.readouterr().err


def test_make_sets_up_once(ready):
    assert make("-q", ".venv/.ready").returncode == 0


def test_make_sets_up_again_where_it_does_not_fit(ready):
    answer(ready, "was made for another folder")
    stub(ready / "python3.12")
    done = make(".venv/.ready", "PYTHON=./python3.12")
    assert done.returncode == 0, done.stderr
    called = (ready / "calls").read_text("utf-8")
    assert "tools/alone.py .venv/.ready" in called
    assert "tools/set_up.py --this-python" in called


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_python_that_is_given_must_be_a_supported_one(ready, how):
    answer(ready, "is of another Python")
    stub(ready / "python3.10", unsupported=1)
    if how == "argument":
        done = make(".venv/.ready", "PYTHON=./python3.10")
    else:
        done = make(".venv/.ready", PYTHON="./python3.10")
    assert done.returncode
    assert "is needed, and ./python3.10 is none of them" in done.stderr
    assert "uv python install" in done.stderr
    assert not (ready / "calls").exists()


def test_a_link_to_packages_is_not_emptied(ready):
    (ready / "elsewhere").mkdir()
    (ready / "node_modules").symlink_to("elsewhere")
    done = make("node_modules/.package-lock.json")
    assert done.returncode
    assert "node_modules is a link" in done.stderr


def test_make_says_that_windows_needs_wsl():
    assert "WSL" in make("help", OS="Windows_NT").stderr


NAMES = ["a chapter.ipynb", "Untitled Folder/x.ipynb", "saliency-Copy1.ipynb", "untitled.txt"]


def test_names_with_spaces_count_and_drafts_do_not(ready):
    for name in NAMES:
        (ready / "book" / name).parent.mkdir(exist_ok=True)
        (ready / "book" / name).touch()
    shown = make("-n", "notebooks").stdout.splitlines()
    assert [line for line in shown if "execute" in line][-1].endswith(r"book/a\ chapter.ipynb")
    rules = make("-n", "-p", "book").stdout
    html = next(line for line in rules.splitlines() if line.startswith("_build/html/index.html:"))
    assert "chapter.ipynb" in html
    assert not any(word in html for word in ("Untitled", "Copy1", "untitled"))


def test_git_does_not_see_drafts():
    names = [f"book/{name}" for name in NAMES]
    command = ["git", "check-ignore", "--no-index", *names]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode == 128:
        pytest.skip("not a checkout of git")
    assert found.stdout.splitlines() == names[1:]


def test_tests_do_not_take_drafts():
    paths = [
        Path("book", name) for name in ("Untitled1.ipynb", "b.ipynb", "b-Copy1.ipynb", "a.ipynb")
    ]
    assert drafts.without(paths) == [Path("book/a.ipynb"), Path("book/b.ipynb")]


def test_one_notebook_alone_is_executed(ready):
    shown = make("-n", "notebooks", "NOTEBOOKS=book/saliency.ipynb").stdout
    assert shown.splitlines()[-1].endswith("execute_notebooks.py book/saliency.ipynb")


def test_pages_are_built_without_an_execution(ready):
    """Of the recipe only the configuration, as the book's own is rewritten by patterns."""
    recipe = make("-n", "pages").stdout
    start = recipe.index("sed -e")
    sed = recipe[start : recipe.index("PYTHONPATH", start)]
    (ready / "_build/pages").mkdir(parents=True)
    subprocess.run(sed, shell=True, check=True)
    old, new = (
        yaml.safe_load((ready / name).read_text("utf-8"))
        for name in ("_config.yml", "_build/pages/_config.yml")
    )
    assert new["execute"].pop("execute_notebooks") == "off"
    assert old["execute"].pop("execute_notebooks") == "force"
    settings = [config["sphinx"]["config"]["suppress_warnings"] for config in (old, new)]
    assert settings[1] == ["misc.highlighting_failure", *settings[0]]


def test_a_second_process_waits_and_does_nothing_more(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    tool = [sys.executable, ROOT / "tools/alone.py", "made"]
    with subprocess.Popen([*tool, "touch started; sleep 0.5; touch made"]) as first:
        while not Path("started").exists():
            time.sleep(0.01)
        assert alone.main("made", "touch again") == 0
        assert first.wait() == 0
    assert "waiting for it" in capfd.readouterr().out
    assert not Path("again").exists()
    assert alone.main("made", "exit 3") == 3


def test_hooks_call_what_make_has():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}  # nothing is downloaded
    for hook in hooks:
        assert hook["language"] == "system"
        command, target = hook["entry"].split()
        assert command == "make"
        assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8")


def test_readme_shows_book_and_colab_first():
    first = "\n".join((ROOT / "README.md").read_text("utf-8").splitlines()[:SCREEN])
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert f"]({config['html']['baseurl']})" in first
    repository = config["repository"]
    name = repository["url"].removeprefix("https://github.com/")
    assert f"/github/{name}/blob/{repository['branch']}/book/intro.ipynb)" in first
