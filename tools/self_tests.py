"""The questions after a chapter's sections: a Sphinx extension of the book.

`book/self_tests/NAME.md` holds those of `book/NAME`. Below the title of a section stands a
question, and below it its options as a list of tasks, the right one ticked. The lines that are
indented below an option explain why it is right or wrong:

    ## Soft-max by hand

    All scores rise by 10. What happens to the probabilities?

    - [ ] They rise.
      Only differences of scores count.
    - [x] They stay.
      The factor $e^{10}$ cancels.

Each text is one paragraph of Markdown. `book/_static/self_tests.js` answers in the page. On
paper, and where no script runs, the answers stand at the chapter's end.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

FOLDER = "book/self_tests"
END = "Recap"  # the section below which the answers are counted
LETTERS = "ABCD"
OPTION = re.compile(r"- \[([ x])\] +(.+)")
# what was answered is seen before the page is painted: nothing moves when the script has loaded
KEPT = """<script>
try {{
  const kept = Object.entries(JSON.parse(localStorage.getItem("{key}")) ?? {{}});
  const shown = `${{kept.map(([name, option]) => `#${{name}}-${{option}}`)}} {{ display: block; }}`;
  document.head.insertAdjacentHTML("beforeend", '<style id="kept"></style>');
  document.getElementById("kept").textContent = shown;
}} catch {{}}
</script>"""
SCORE = """<div class="self-tests-score" data-key="{key}">
<span role="status">Answered right: <span>0</span> of {count}.</span>
<button type="button">Clear my answers</button>
<p>Your answers are kept in this browser, and nowhere else.</p>
</div>"""


class Option(NamedTuple):
    """An option of a question, and why it is right or wrong."""

    text: str
    why: str
    is_right: bool


class Question(NamedTuple):
    """A question after a section."""

    section: str
    text: str
    options: list[Option]

    @property
    def name(self) -> str:
        """The question's name in the page and in the browser's storage.

        It is made from the text, so a question that was changed has not been answered yet.
        """
        return f"question-{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"

    @property
    def right(self) -> int:
        """The place of the right option."""
        return [option.is_right for option in self.options].index(True)


class self_test(nodes.comment):  # noqa: N801
    """What the page shows of a question.

    It is a comment so that the search does not find a page by the wrong options of its questions.
    """


def questions(text: str) -> list[Question]:
    """Return the questions of a file.

    Parameters
    ----------
    text : str
        What the file holds, as the module describes it.

    Raises
    ------
    ValueError
        If a question is not as described; the message names the question.
    """
    found = []
    before, *sections = re.split(r"^## +", text, flags=re.MULTILINE)
    if before.strip():
        raise ValueError(f"“{_begin(before)}” stands above the first section")
    for section in sections:
        title, _, rest = section.partition("\n")
        blocks: list[list[str]] = [[]]
        for line in rest.split("\n"):
            # a text below options is the next question
            if re.match(r"[^ -]", line) and any(OPTION.match(above) for above in blocks[-1]):
                blocks.append([])
            blocks[-1].append(line)
        found += [_question(title.strip(), "\n".join(block)) for block in blocks]
    return found


def _question(section: str, block: str) -> Question:
    text, *listed = re.split(r"^(?=- )", block, flags=re.MULTILINE)
    options = []
    for item in listed:
        first, *why = item.strip().split("\n")
        option = OPTION.fullmatch(first)
        if not option or not why or any(not line.startswith("  ") for line in why):
            raise ValueError(
                f"{section}, “{_begin(text)}”: expected “- [ ] an option” (“- [x]” if it is right) "
                f"and below it, indented, why it is right or wrong, got “{_begin(item)}”"
            )
        options.append(Option(option[2], " ".join(map(str.strip, why)), option[1] == "x"))
    right = sum(option.is_right for option in options)
    if not 2 <= len(options) <= len(LETTERS) or right != 1:
        raise ValueError(
            f"{section}, “{_begin(text)}”: expected 2 to {len(LETTERS)} options, one of them "
            f"ticked, got {len(options)} with {right} ticked"
        )
    return Question(section, " ".join(text.split()), options)


def _begin(text: str) -> str:
    return " ".join(text.split()[:8])


class SelfTests(SphinxTransform):
    """Put a chapter's questions after its sections."""

    default_priority = 200  # before what finishes a page

    def apply(self) -> None:
        """Change the page that has been read."""
        path = Path(self.env.srcdir, FOLDER, f"{Path(self.env.docname).name}.md")
        if self.env.docname != f"book/{path.stem}" or not path.exists():
            return
        self.path = path
        try:
            found = questions(path.read_text("utf-8"))
            for number, question in enumerate(found, 1):
                self._append(question.section, self._shown(number, question))
            self._append(END, self._end(path.stem, found))
            first = next(self.document.findall(self_test))
            first.insert(0, _html(KEPT.format(key=_key(path.stem))))
        except ValueError as error:
            raise ExtensionError(f"{path}: {error}") from error

    def _append(self, title: str, shown: self_test) -> None:
        for section in self.document.findall(nodes.section):
            if section.next_node(nodes.title).astext() == title:
                place = len(section)
                # a link to the next section leads to an anchor above its title
                while section[place - 1].astext().startswith("<a id="):
                    place -= 1
                section.insert(place, shown)
                return
        raise ValueError(f"the chapter has no section “{title}”")

    def _shown(self, number: int, question: Question) -> self_test:
        name = question.name
        parts = [
            f'<fieldset class="self-test" id="{name}"><legend><b>Question {number}</b> ',
            *self._inline(question.text),
            "</legend>",
        ]
        for place, option in enumerate(question.options):
            choice = f'<input type="radio" name="{name}" value="{place}" autocomplete="off">'
            parts += [f"<label>{choice}<span>{LETTERS[place]}</span> <span>"]
            parts += [*self._inline(option.text), "</span></label>"]
        parts += ['<button type="button">Check</button><div role="status">']
        for place, option in enumerate(question.options):
            verdict = ("Wrong", "Right")[option.is_right]
            parts += [f'<p id="{name}-{place}" class="{verdict.lower()}"><b>{verdict}.</b> ']
            parts += [*self._inline(option.why), "</p>"]
        parts += ['<p class="none">Choose an option first.</p></div></fieldset>']
        return _joined(parts)

    def _end(self, page: str, found: list[Question]) -> self_test:
        parts = [SCORE.format(key=_key(page), count=len(found))]
        parts += ['<div class="self-tests-answers"><p><b>Answers to the questions</b></p><ol>']
        for question in found:
            parts += [f"<li><b>{LETTERS[question.right]}.</b> "]
            parts += [*self._inline(question.options[question.right].why), "</li>"]
        return _joined([*parts, "</ol></div>"])

    def _inline(self, text: str) -> list[nodes.Node]:
        part = new_document(str(self.path), self.document.settings)
        MystParser().parse(text, part)
        if len(part) != 1 or not isinstance(part[0], nodes.paragraph):
            raise ValueError(f"“{_begin(text)}” is not one paragraph")
        # Sphinx curls no quotation marks within a comment
        for plain in list(part.findall(nodes.Text)):
            if not isinstance(plain.parent, nodes.literal | nodes.math):
                plain.parent.replace(plain, nodes.Text(plain.replace("'", "’")))
        return part[0].children


def _joined(parts: list[str | nodes.Node]) -> self_test:
    return self_test("", "", *(_html(p) if isinstance(p, str) else p for p in parts))


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _key(page: str) -> str:
    return f"self-tests {page}"


def visit(translator: HTML5Translator, node: self_test) -> None:
    """Write what is within."""


def add_script(app: Sphinx, page: str, _: str, context: dict, tree: nodes.document | None) -> None:
    """Load the script on the pages that have questions."""
    if 'class="self-test"' in context.get("body", ""):
        app.add_js_file("self_tests.js")


def setup(app: Sphinx) -> dict:
    """Register all of this."""
    app.add_node(self_test, html=(visit, visit))
    app.add_transform(SelfTests)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
