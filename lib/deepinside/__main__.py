"""The command of this package.

Each sub-command is a module with `add_arguments` and `run`; its docstring is the help text. A
module is imported only when its command is called.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "grade": ("deepinside.classroom.grading.command", "grade a folder of students' notebooks"),
    "evaluate-localization": (
        "deepinside.evaluation.command",
        "measure how well objects are found in a folder of photos",
    ),
    "compare-localization": (
        "deepinside.evaluation.compare",
        "compare two files of such results",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit status."""
    options = argparse.Namespace()
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments), options)
    except KeyboardInterrupt:
        output = getattr(options, "output", "")
        told = f"; {output} has the rows so far; the same command continues" if output else ""
        print(f"\ninterrupted{told}", file=sys.stderr)
        return 130


def _run(arguments: list[str], options: argparse.Namespace) -> int:
    parser = argparse.ArgumentParser(
        prog="deepinside",
        description="Commands of the book Deep Inside ConvNets.",
        epilog="deepinside COMMAND --help lists the options of a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, what) in COMMANDS.items():
        chosen = commands.add_parser(
            name, help=what, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if arguments[:1] == [name]:
            command, called = import_module(module), chosen
            called.description, _, called.epilog = (command.__doc__ or "").partition("\n\n")
            command.add_arguments(called)
    parser.parse_args(arguments, options)
    try:
        return command.run(options)
    except (ValueError, OSError) as error:
        called.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
