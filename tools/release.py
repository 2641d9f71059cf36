"""Release a version: ``make release VERSION=1.2.0``.

On the branch of development, setup cells, badges and README name that branch. A release is a commit
in which they name its tag, so that what a reader opens from a page, or saved last year, installs
the package that it was tested with. This writes that commit's files, runs ``make test`` on them,
commits and tags them, and goes back to the branch in a second commit. Nothing is pushed: that
publishes the tag's pages.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from set_repository import repository, set_repository

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
IN_PACKAGE = re.compile(r'^__version__ = "((\d+)\.(\d+)\.(\d+)[.\w]*)"$', re.MULTILINE)
UNRELEASED = re.compile(r"^## Unreleased\n+(?=\S)(?!## )", re.MULTILINE)
IN_CITATION = re.compile(r"^(?:version|date-released): .*\n", re.MULTILINE)


def release(
    version: str,
    root: Path = ROOT,
    *,
    test: Callable[[Path], None] | None = None,
    today: datetime.date | None = None,
) -> str:
    """Return the tag that was made for a version.

    Parameters
    ----------
    version
        ``1.2.0``; its tag is ``v1.2.0``.
    root
        The repository's folder.
    test
        Raises ValueError unless the files in a folder pass; ``make test`` if not given.
    today
        The date of the release.

    Raises
    ------
    ValueError
        If the version is of another form or not a later one, the branch is not the one that the
        configuration names, something is not committed, the tag exists, CHANGELOG.md says
        nothing of what is new, or the tests do not pass. The files are then as before.
    """
    check(version, root)
    tag, title = f"v{version}", f"Version {version}"
    url, branch = repository(root)
    date = (today or datetime.date.today()).isoformat()
    try:
        set_repository(url, tag, root)
        set_version(version, root)
        _rewrite(root / "CHANGELOG.md", UNRELEASED, f"## {version} ({date})\n\n")
        citation = root / "CITATION.cff"
        kept = IN_CITATION.sub("", citation.read_text("utf-8"))
        citation.write_text(f"{kept}version: {version}\ndate-released: {date}\n", "utf-8")
        (test or make_test)(root)
    except BaseException:
        git(root, "checkout", "--quiet", "--", ".")
        raise
    git(root, "commit", "--quiet", "--all", "--message", title)
    git(root, "tag", "--annotate", tag, "--message", title)

    set_repository(url, branch, root)
    major, minor, patch = version.split(".")
    set_version(f"{major}.{minor}.{int(patch) + 1}.dev0", root)
    first = re.compile(rf"^(?=## {re.escape(version)} )", re.MULTILINE)
    _rewrite(root / "CHANGELOG.md", first, "## Unreleased\n\n")
    message = f"Setup cells, badges and README name {branch} again"
    git(root, "commit", "--quiet", "--all", "--message", message)
    return tag


def check(version: str, root: Path) -> None:
    """Raise ValueError if there is a reason not to release this version from these files."""
    numbers = VERSION.fullmatch(version)
    if not numbers:
        raise ValueError(f"the version must be three numbers, as in 1.2.0, not {version!r}")
    url, branch = repository(root)
    here = git(root, "branch", "--show-current")
    if here != branch:
        raise ValueError(f"a version of {url} is released from {branch}, not from {here!r}")
    if changed := git(root, "status", "--porcelain"):
        raise ValueError(f"commit these first, or remove them:\n{changed}")
    if git(root, "tag", "--list", f"v{version}"):
        raise ValueError(f"the tag v{version} exists")
    current, *base = IN_PACKAGE.search(package(root).read_text("utf-8")).groups()
    if [int(number) for number in numbers.groups()] < [int(number) for number in base]:
        raise ValueError(f"the version must not be before {current}, got {version}")
    if not UNRELEASED.search((root / "CHANGELOG.md").read_text("utf-8")):
        raise ValueError("CHANGELOG.md must say under '## Unreleased' what is new")


def package(root: Path) -> Path:
    """Return the file that has the version."""
    return root / "lib" / "deepinside" / "__init__.py"


def set_version(version: str, root: Path) -> None:
    """Write the version to the one place that has it."""
    _rewrite(package(root), IN_PACKAGE, f'__version__ = "{version}"')


def make_test(root: Path) -> None:
    """Run ``make test``; raise ValueError if it fails or could not test the pages."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.xml")
        options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={results}"
        environment = os.environ | {"PYTEST_ADDOPTS": options}
        if subprocess.run(["make", "test"], cwd=root, env=environment, check=False).returncode:
            raise ValueError("make test failed")
        if skipped := skipped_pages(results):
            raise ValueError(f"the pages are published, but not tested here: {skipped[0]}")


def skipped_pages(results: Path) -> list[str]:
    """Return why tests of the book's pages were skipped, from pytest's JUnit XML."""
    return [
        f"{case.get('name')}: {reason.get('message')}"
        for case in ElementTree.parse(results).iter("testcase")
        for reason in case.iter("skipped")
        if case.get("classname", "").startswith("tests.book.")
    ]


def git(root: Path, *arguments: str) -> str:
    """Return what git prints, without the last newline."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.rstrip("\n")


def _rewrite(path: Path, pattern: re.Pattern, text: str) -> None:
    content, times = pattern.subn(lambda _: text, path.read_text("utf-8"), count=1)
    if not times:
        raise ValueError(f"{path} has nothing like {pattern.pattern}")
    path.write_text(content, "utf-8")


def main() -> int:
    """Release the version that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="1.2.0")
    try:
        tag = release(parser.parse_args().version)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    _, branch = repository()
    print(f"{tag} is made. To publish it: git push origin {branch} {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
