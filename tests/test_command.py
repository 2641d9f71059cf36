"""The command line: what its help says, what it imports, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import deepinside
import deepinside.__main__ as command

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(deepinside.__file__).parents[1])}


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("arguments", "says", "imports_not"),
    [
        (["--help"], ["grade", "evaluate-localization", "COMMAND --help"],
         ["deepinside.classroom", "deepinside.evaluation"]),
        (["grade", "--help"], ["SUBMISSIONS", "--output", "bubblewrap", "exit status"],
         ["deepinside.evaluation", "torch", "nbclient"]),
        (["evaluate-localization", "--help"], ["PHOTOS", "--boxes", "--output", "torchrun"],
         ["deepinside.classroom", "nbclient"]),
    ],
)  # fmt: skip
def test_help_suffices_and_imports_nothing_of_another_command(arguments, says, imports_not):
    done = python("-X", "importtime", "-m", "deepinside", *arguments)
    assert done.returncode == 0
    assert not [text for text in says if text not in done.stdout]
    imported = [line.split("|")[-1].strip() for line in done.stderr.splitlines()]
    assert "argparse" in imported
    assert not [module for module in imports_not if module in imported]


def test_help_under_torchrun():
    done = python("-m", "torch.distributed.run", "-m", "deepinside", "evaluate-localization", "-h")
    assert done.returncode == 0
    assert "usage: deepinside evaluate-localization" in done.stdout
    assert "--boxes" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["mark"], ["--output", "x"]])
def test_without_a_command_it_says_which_there_are(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "usage: deepinside" in said and "COMMAND" in said


@pytest.fixture
def ends(monkeypatch):
    """A function that has a command return or raise something, and returns the exit status."""

    def run(what, argument="--output"):
        def act(options):
            if isinstance(what, int):
                return what
            raise what

        made_up = SimpleNamespace(
            __doc__="Does it.\n\nIn full.", run=act,
            add_arguments=lambda parser: parser.add_argument(argument, default="rows.csv"),
        )  # fmt: skip
        monkeypatch.setitem(sys.modules, "made_up_command", made_up)
        monkeypatch.setitem(command.COMMANDS, "act", ("made_up_command", "what it does"))
        try:
            return command.main(["act"])
        except SystemExit as stopped:
            return stopped.code

    return run


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (ValueError("expected a, got b"), 2, "deepinside act: error: expected a, got b"),
        (FileNotFoundError(2, "No such file", "c"), 2, "error: [Errno 2] No such file: 'c'"),
        (KeyboardInterrupt(), 130, "rows.csv has the rows so far; the same command continues"),
    ],
)
def test_how_it_ends(ends, capsys, what, status, said):
    assert ends(what) == status
    assert said in capsys.readouterr().err


def test_an_interrupted_command_without_output_promises_nothing(ends, capsys):
    assert ends(KeyboardInterrupt(), "--results") == 130
    assert capsys.readouterr().err == "\ninterrupted\n"
