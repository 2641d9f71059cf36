"""Make a chapter from the template: ``make chapter NAME=my_maps TITLE="My maps"``.

The template in tools/chapter is a small chapter that works: it prints numbers, draws a figure, and
has an exercise with its check and questions after its sections. This copies it under another name
and title to the places where a chapter's files belong, lists it in _toc.yml and in book/404.html,
and makes what the students get. Then the tests pass but for one: it names each text that is still
to be written.
"""

import argparse
import html
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "tools/chapter"
# of the template: each file, and where a chapter of a name has it
FILES = {
    "new_chapter.ipynb": "book/{name}.ipynb",
    "self_tests.md": "book/self_tests/{name}.md",
    "exercises.ipynb": "classroom/source/{name}/{name}.ipynb",
    "check.py": "lib/deepinside/classroom/checks/{name}.py",
    "test_check.py": "tests/classroom/checks/test_{name}.py",
}
# stands before each text that an author has to write
TO_WRITE = "TO WRITE"
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
TITLE = re.compile(r"[A-Z][^\n\"\\*\[\]`<>]*")
WITH_EXERCISES = re.compile(r"^ +- file: book/exercises/\S+\n +title: .+\n", re.MULTILINE)
ENTRY = """\
      - file: book/{name}
        sections:
          - file: book/exercises/{name}
            title: Exercises
"""


def new_chapter(name: str, title: str, root: Path = ROOT) -> list[Path]:
    """Return the files that were written for a chapter of this name and title.

    Parameters
    ----------
    name
        The name of its files, as in ``my_maps``.
    title
        Its heading.
    root
        The repository's folder.

    Raises
    ------
    ValueError
        If the name or the title is of another form, or one of the files is there. Nothing is
        written then.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"the name must be small letters, digits and _, as my_maps; got {name!r}")
    if not TITLE.fullmatch(title):
        raise ValueError(
            "the title must be one line that begins with a capital letter and has none of "
            f'" \\ * [ ] ` < >; got {title!r}'
        )
    targets = {source: root / target.format(name=name) for source, target in FILES.items()}
    if there := [str(path.relative_to(root)) for path in targets.values() if path.exists()]:
        raise ValueError(f"there is a chapter of this name: {', '.join(there)}")
    for source, target in targets.items():
        text = (root / TEMPLATE / source).read_text("utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(named(text, name, title), "utf-8")
    contents, lost = root / "_toc.yml", root / "book" / "404.html"
    contents.write_text(with_entry(contents.read_text("utf-8"), name), "utf-8")
    lost.write_text(with_link(lost.read_text("utf-8"), name, title), "utf-8")
    return [*targets.values(), contents, lost]


def named(text: str, name: str, title: str) -> str:
    """Return a file of the template with a chapter's name and title."""
    words = {
        "new_chapter": name,
        "new-chapter": name.replace("_", "-"),
        "A new chapter": title,
        "a new chapter": title[0].lower() + title[1:],
    }
    return re.sub("|".join(words), lambda found: words[found[0]], text)


def with_entry(contents: str, name: str) -> str:
    """Return the table of contents with a chapter behind the last one that has exercises."""
    *_, last = WITH_EXERCISES.finditer(contents)
    return contents[: last.end()] + ENTRY.format(name=name) + contents[last.end() :]


def with_link(page: str, name: str, title: str) -> str:
    """Return the page for lost addresses with a link to a chapter behind the last one."""
    *_, last = re.finditer(r'^<li><a href="(.+)/\w+\.html">.*\n', page, re.MULTILINE)
    link = f'<li><a href="{last[1]}/{name}.html">{html.escape(title, quote=False)}</a></li>\n'
    return page[: last.end()] + link + page[last.end() :]


def to_write(root: Path = ROOT) -> list[str]:
    """Return file and text of what is still to be written, in all chapters and exercises."""
    found = []
    for folder in (root / "book", root / "classroom" / "source"):
        for path in sorted([*folder.glob("self_tests/*.md"), *folder.rglob("*.ipynb")]):
            text = path.read_text("utf-8")
            if TO_WRITE not in text or ".ipynb_checkpoints" in path.parts:
                continue
            if path.suffix == ".ipynb":
                text = "\n".join(_texts(json.loads(text)))
            found += [
                f"{path.relative_to(root)}: {line.strip()}"
                for line in text.splitlines()
                if TO_WRITE in line
            ]
    return found


def _texts(notebook: dict) -> list[str]:
    """Return the sources of a notebook's cells, and the alt text and caption of its figures."""
    found = []
    for cell in notebook["cells"]:
        figure = cell["metadata"].get("mystnb", {})
        found.append("".join(cell["source"]))
        found += [figure[kind][text] for kind, text in _SAID if text in figure.get(kind, {})]
    return found


_SAID = (("image", "alt"), ("figure", "caption"))


def main() -> int:
    """Make the chapter that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the name of its files, as my_maps")
    parser.add_argument("title", help="its heading")
    given = parser.parse_args()
    try:
        made = new_chapter(given.name, given.title)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for command in (
        # a long name makes longer lines
        ["-m", "ruff", "format", "--quiet", *(p for p in made if p.suffix in (".ipynb", ".py"))],
        ["tools/make_students.py"],
        ["tools/make_guide.py"],
    ):
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for path in made:
        print(f"wrote {path.relative_to(ROOT)}")
    print(f"The texts to write are marked {TO_WRITE}:")
    print("\n".join(to_write()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
