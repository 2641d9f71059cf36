"""The sheet of essays: one HTML file to read the answers to open questions through."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deepinside.classroom.grading.course import Question

_STYLE = """
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color-scheme: light dark; }
article { border-top: 1px solid; margin-top: 1.5rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.text p { margin: 0; }
details { border-left: 0.3rem solid; padding-left: 0.8rem; }
input { font: inherit; width: 5rem; }
button { font: inherit; }
@media print { button { display: none; } }
"""
# what is noted stays in this browser, and can be saved as a table for `--points`
_SCRIPT = """
const boxes = [...document.querySelectorAll("input")];
const told = document.querySelector("#told");
const tell = () => {
  const noted = boxes.filter((box) => box.value !== "").length;
  told.textContent = `${noted} of ${boxes.length} texts have points.`;
};
for (const box of boxes) {
  const key = `points ${box.dataset.digest} ${box.dataset.question}`;
  box.value = localStorage.getItem(key) ?? box.value;
  box.addEventListener("input", () => {
    localStorage.setItem(key, box.value);
    tell();
  });
}
document.querySelector("button").addEventListener("click", () => {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = boxes
    .filter((box) => box.value !== "")
    .map((box) => [box.dataset.file, box.dataset.question, box.value].map(quoted).join(","));
  const table = ["file,question,points", ...lines].join("\\n") + "\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\\ufeff", table], { type: "text/csv" }));
  link.download = "points.csv";
  link.click();
});
tell();
"""


class Essay(NamedTuple):
    """A student's answer to an open question, and the points noted so far."""

    student: str
    file: str
    digest: str
    text: str
    points: str


def essay_sheet(answered: Sequence[tuple[str, Question, Sequence[Essay]]]) -> str:
    """Return a page with each question, its rubric, and the text of each student.

    Parameters
    ----------
    answered : sequence of tuple
        A notebook, one of its questions, and the answers.

    Returns
    -------
    str
        HTML that needs nothing else; texts are escaped, and no address is loaded.
    """
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Answers to open questions</title>\n<style>{_STYLE}</style>\n</head>",
        "<body>\n<main>",
        "<h1>Answers to open questions</h1>",
        "<p>Read one question through before the next. The points that you note stay in this "
        "browser; save them as a table and give it to the command that grades, with "
        "<code>--points points.csv</code>.</p>",
        '<p><button type="button">Save the points</button> '
        '<span id="told" role="status"></span></p>',
    ]
    for notebook, question, essays in answered:
        parts.append(_section(notebook, question, essays))
    parts.append(f"</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n")
    return "\n".join(parts)


def readable(text: str) -> str:
    """Return Markdown as HTML that reads well: all is escaped, and only a little is formatted."""
    made = html.escape(text.strip())
    made = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", made)
    made = re.sub(r"\*\*([^*\n]+)\*\*", r"<strong>\1</strong>", made)
    made = re.sub(r"(?<![*\w])\*(\S[^*\n]*)\*(?![*\w])", r"<em>\1</em>", made)
    made = re.sub(r"^#+ +(.+)$", r"<strong>\1</strong>", made, flags=re.MULTILINE)
    # lines of a paragraph belong together; those of lists and tables do not
    made = re.sub(r"(?<=\S)\n(?=[^\s\-*+|>\d])", " ", made)
    return f'<div class="text">{made}</div>'


def _section(notebook: str, question: Question, essays: Sequence[Essay]) -> str:
    name = html.escape(f"{notebook}: {question.name}")
    rubric = f"<details><summary>Answer and rubric</summary>{readable(question.rubric)}</details>"
    parts = [f"<section>\n<h2>{name}</h2>", readable(question.text)]
    parts += [rubric] if question.rubric else []
    for count, essay in enumerate(essays, start=1):
        box = html.escape(f"{question.name}-{count}", quote=True)
        data = {"file": essay.file, "digest": essay.digest, "question": question.name}
        about = " ".join(f'data-{key}="{html.escape(value)}"' for key, value in data.items())
        text = readable(essay.text) if essay.text else "<p><em>no answer</em></p>"
        parts.append(
            f'<article aria-labelledby="{box}-of">\n<h3 id="{box}-of">{html.escape(essay.student)}'
            f'</h3>\n{text}\n<p><label for="{box}">Points of {question.points:g}</label> '
            f'<input id="{box}" aria-describedby="{box}-of" type="number" min="0" '
            f'max="{question.points:g}" step="0.5" '
            f'value="{html.escape(essay.points)}" {about}></p>\n</article>'
        )
    return "\n".join([*parts, "</section>"])


def essays_of(
    name: str, senders: Mapping[str, str], rows: Mapping[str, Mapping[str, str]],
    texts: Sequence[tuple[str, str, str]],
) -> list[Essay]:  # fmt: skip
    """Return the answers to a question, by student; texts are of (file, digest, text)."""
    found = [
        Essay(senders[file], file, digest, text, rows[file].get(name, ""))
        for file, digest, text in texts
    ]
    return sorted(found, key=lambda essay: (essay.student.casefold(), essay.file))
