"""The rules that every chapter keeps. nbval compares the outputs; this is about the rest."""

import base64
import re
from pathlib import Path

import drafts
import link_functions
import nbformat
import new_chapter
import pages
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = drafts.without(BOOK.glob("*.ipynb"))
FIRST_PAGE = BOOK / "intro.ipynb"
CHAPTERS = [path for path in NOTEBOOKS if path != FIRST_PAGE]
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))

PICTURES = {"image/png", "image/jpeg"}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)

# what is not a claim of the text: code, formulas' commands, addresses, years, sections, dimensions
NOT_PROSE = re.compile(
    r"`[^`]*`"
    r"|\$\$.*?\$\$"
    r"|\]\([^)]*\)"
    r"|https?://\S+"
    r"|\b(?:19|20)\d\d\b"
    r"|§[\d.]+"
    r"|\b\d+ × \d+\b",
    re.DOTALL,
)
NUMBER = re.compile(r"(?<![\w.])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])")


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def pictures(cell):
    return [output for output in cell.outputs if PICTURES & set(output.get("data", {}))]


def text_of(outputs):
    parts = []
    for output in outputs:
        parts.append(output.get("text", ""))
        parts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(parts)


def numbers_in(text):
    return {found.replace(",", "").replace("−", "-") for found in NUMBER.findall(text)}


def claims(source):
    """Return the numbers of a text that a cell must have printed: decimals and from 11 up."""
    body = "\n".join(line for line in source.splitlines() if not line.startswith("#"))
    found = numbers_in(NOT_PROSE.sub(" ", body))
    return {number for number in found if "." in number or abs(int(number)) > 10}


def unprinted(cells):
    """Return the numbers of the texts that no cell holds where the reader looks for them.

    A number is in the output or source of a cell above, or announces one in the source of
    the next code cell; what is computed by hand is printed by the next code cell.
    """
    known, missing = set(), []
    for i, cell in enumerate(cells):
        if cell.cell_type == "code":
            known |= numbers_in(cell.source) | numbers_in(text_of(cell.outputs))
        elif not cell.source.startswith("## References"):
            following = next((cell for cell in cells[i:] if cell.cell_type == "code"), None)
            ahead = numbers_in(following.source) if following else set()
            if following and re.search(r"^## .*by hand", cell.source, re.MULTILINE | re.IGNORECASE):
                ahead |= numbers_in(text_of(following.outputs))
            found = claims(cell.source) - known - ahead
            missing += [(number, cell.source[:40]) for number in sorted(found)]
    return missing


def markdown(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def shown(source, count=60):
    """The beginning of a cell, by which an author finds it."""
    return repr(" ".join(source.split())[:count])


def listed(path):
    """What the table of contents says of a chapter."""
    chapters = [chapter for part in CONTENTS["parts"] for chapter in part["chapters"]]
    found = [chapter for chapter in chapters if chapter["file"] == f"book/{path.stem}"]
    assert len(found) == 1, (
        f"_toc.yml must list book/{path.stem} once as a chapter, and does {len(found)} times; "
        f"a notebook that is no chapter does not belong into {path.parent.name}/"
    )
    return found[0]


def explorer_cells(path):
    return [cell for cell in code_cells(path) if "Explorer of" in text_of(cell.outputs)]


def test_there_are_a_first_page_and_chapters():
    assert CHAPTERS, "book/ has no chapter"
    assert CONTENTS["root"] == f"book/{FIRST_PAGE.stem}", "_toc.yml must begin with the first page"


@chapter
def test_chapter_is_in_the_table_of_contents(path):
    assert listed(path)


def test_nothing_is_left_to_write():
    left = "\n".join(new_chapter.to_write())
    assert not left, f"write these texts, and take away the mark {new_chapter.TO_WRITE}:\n{left}"


@chapter
def test_chapter_can_be_read_in_one_sitting(path):
    """Every word of the texts counts; code, output and captions do not."""
    words = len(" ".join(markdown(path)).split())
    assert words <= 2800, f"a chapter has at most 2800 words, this one {words}: shorten it"


@chapter
def test_chapter_leads_to_its_explorer_and_the_table_of_contents_marks_it(path):
    texts = markdown(path)
    places = [text for text in texts if '<a id="try-it"></a>' in text]
    if not explorer_cells(path):
        assert "#try-it" not in texts[0] and not places and "title" not in listed(path), (
            "the chapter shows no explorer: take away its links to #try-it, the anchor, and its "
            "title in _toc.yml; or execute it with its explorer by `make notebooks`"
        )
        return
    parts = texts[0].split("\n\n")
    assert (
        parts[2:] and parts[2].startswith("[Try it](#try-it)") and not parts[1].startswith("[")
    ), (
        "the first cell of a chapter with an explorer is a title, a paragraph, and a paragraph "
        "that begins with [Try it](#try-it)"
    )
    # JupyterLab finds the anchor by its name, and a heading by other rules than the pages do
    begins = '<a id="try-it"></a>\n\n## Try it: '
    assert len(places) == 1 and places[0].startswith(begins), (
        f"one cell, above the explorer, begins with {begins!r}"
    )
    wanted = parts[0].removeprefix("# ") + " · try it"
    assert listed(path).get("title") == wanted, f"its entry in _toc.yml needs the title: {wanted}"


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if explorer_cells(path)], ids=lambda path: path.stem
)
def test_what_to_try_stands_in_the_text_above_the_explorer(path):
    """Jupyter shows no captions."""
    cells = read(path).cells
    places = [i for i, cell in enumerate(cells) if cell in explorer_cells(path)]
    assert len(places) == 1, f"a notebook shows one explorer, this one {len(places)}"
    above = next(cell for cell in cells[places[0] :: -1] if cell.cell_type == "markdown")
    assert re.search(r"\b(Move|Change|Take|Lower|choose)\b", above.source), (
        "the text above an explorer says what to do: Move, Change, Take, Lower or choose something"
    )


def test_first_page_is_a_title_a_few_words_and_an_explorer():
    title, setup, shown, below = read(FIRST_PAGE).cells[:4]
    assert len(title.source.split()) < 50
    assert setup.metadata["tags"] == ["remove-cell"]
    assert shown.metadata["tags"] == ["remove-input"]
    assert [shown] == explorer_cells(FIRST_PAGE)
    leads_to = set(re.findall(r"\]\((\w+\.ipynb)\)", below.source))
    wanted = {path.name for path in pages.with_explorers() if path != FIRST_PAGE}
    assert leads_to == wanted, (
        "the first page links each chapter that has an explorer, and no other; change its cell "
        f"below the explorer for {sorted(leads_to ^ wanted)}"
    )


@every_notebook
def test_every_cell_was_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), (
        "cells are committed executed, once from top to bottom: `make notebooks`"
    )


@every_notebook
def test_no_output_is_an_error_or_a_warning(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            said = output.get("text") or output.get("evalue")
            assert output.output_type != "error" and output.get("name") != "stderr", (
                f"the cell {shown(cell.source)} gives an error or a warning; mend it: {said}"
            )


@every_notebook
def test_notebook_holds_nothing_of_the_machine_or_the_run(path):
    notebook = read(path)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }, "the notebook's metadata must be Python 3's alone: `make notebooks` writes them"
    for cell in notebook.cells:
        more = set(cell.metadata) - {"mystnb", "tags"}
        assert not more, f"remove {sorted(more)} from the metadata of {shown(cell.source)}"
    # in what is printed and written; the letters of an encoded picture may be any
    text = "\n".join(cell.source + text_of(cell.get("outputs", [])) for cell in notebook.cells)
    found = re.findall(r".*(?:0x[0-9a-f]{6,}|/home/|/tmp/|site-packages).*", text)
    assert not found, f"addresses and paths differ on another machine; do not print them: {found}"


@every_notebook
def test_every_picture_has_alt_text_caption_and_name(path):
    names = []
    for cell in code_cells(path):
        drawn = pictures(cell)
        place = f"the cell {shown(cell.source)}"
        assert len(drawn) <= 1, f"one figure a cell; divide {place}"
        if drawn:
            metadata = cell.metadata.get("mystnb", {})
            alt, figure = metadata.get("image", {}).get("alt", ""), metadata.get("figure", {})
            caption = figure.get("caption", "")
            assert len(alt) > 60, (
                f"{place} draws: its metadata need mystnb.image.alt, more than 60 letters that say "
                f"what one sees and concludes; got {alt!r}"
            )
            assert len(caption) > 40 and alt != caption, (
                f"{place} draws: its metadata need mystnb.figure.caption, more than 40 letters and "
                f"other ones than the alt text; got {caption!r}"
            )
            # myst-nb would give both outputs of an explorer the name: the page's extension does
            is_explorer = cell in explorer_cells(path)
            assert ("name" in figure) == (not is_explorer), (
                f"{place} draws: its metadata need mystnb.figure.name, fig-SOMETHING; "
                "that of an explorer has none"
            )
            names.append("fig-explorer" if is_explorer else figure["name"])
    assert names, "a chapter has at least one figure"
    wrong = [name for name in names if names.count(name) > 1 or not name.startswith("fig-")]
    assert not wrong, f"names of figures begin with fig- and differ; rename {wrong}"


def test_no_two_figures_of_the_book_have_one_name():
    cells = [cell for path in NOTEBOOKS for cell in code_cells(path) if pictures(cell)]
    figures = [cell.metadata["mystnb"]["figure"] for cell in cells]
    names = [figure["name"] for figure in figures if "name" in figure]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"the name of a figure, mystnb.figure.name, is used once: rename {twice}"


@every_notebook
def test_cells_are_short_and_use_no_rainbow(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 20, (
            f"a cell has at most 20 lines; divide the cell {shown(cell.source)}"
        )
        found = re.search(r"\b(jet|rainbow|hsv|nipy_spectral)\b", cell.source)
        assert not found, f"no rainbow: take magma, gray or RdBu_r in {shown(cell.source)}"


@chapter
def test_chapter_opens_with_its_aims_and_closes_with_recap_and_references(path):
    texts = markdown(path)
    headings = re.findall(r"^## (.+)$", "\n".join(texts), re.MULTILINE)
    assert "**What you will learn**" in texts[0], (
        "the first cell has a paragraph **What you will learn** and a list"
    )
    assert headings[-2:] == ["Recap", "References"], (
        f"the last sections are `## Recap` and `## References`, not {headings[-2:]}"
    )


@every_notebook
def test_texts_are_plain_markdown(path):
    """Colab shows directives and roles raw."""
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            found = re.search(r"^(```|:::)\{|\{[a-z:]+\}`", cell.source, re.MULTILINE)
            assert not found, (
                f"write plain Markdown, as Colab shows directives and roles raw: {found[0]!r} in "
                f"{shown(cell.source)}"
            )


@every_notebook
def test_every_number_in_the_text_is_printed_above_it(path):
    missing = unprinted(read(path).cells)
    assert not missing, (
        "a number of the text, a decimal or from 11 up, is printed by a cell above it (below a "
        "heading `## ... by hand` by the next one); print these with as many digits, or leave them "
        f"out: {missing}"
    )


def test_a_number_that_no_cell_printed_is_found():
    cells = [
        nbformat.v4.new_code_cell("print(0.5)", outputs=[]),
        nbformat.v4.new_markdown_cell("First 0.5, then 0.51, in §3.1 of 2013 on 224 × 224 pixels."),
    ]
    assert [number for number, _ in unprinted(cells)] == ["0.51"]


@chapter
def test_references_are_in_the_bibliography(path):
    known = re.sub(r"[{}]", "", (BOOK / "references.bib").read_text("utf-8"))
    last = read(path).cells[-1].source
    assert last.startswith("## References"), "the last cell is that of the references"
    titles = re.findall(r"\*([^*]+?)\.?\*", " ".join(last.split()))
    assert titles, "a chapter names a reference, its title in italics: *Title.*"
    missing = [title for title in titles if title not in known]
    assert not missing, f"add an entry with this title to book/references.bib: {missing}"


@every_notebook
def test_setup_cell_installs_from_the_repository_in_the_configuration(path):
    repository = CONFIG["repository"]
    setup = code_cells(path)[0].source
    wanted = f"git+{repository['url']}@{repository['branch']}"
    assert wanted in setup, (
        f"the first code cell installs from {wanted}, the address in _config.yml, which "
        "`python tools/set_repository.py URL BRANCH` writes into all of them"
    )
    for line in ('if "google.colab" in sys.modules:', "--no-deps"):
        assert line in setup, f"the first code cell has {line!r}: copy it from another chapter"


@every_notebook
def test_chapter_links_the_functions_that_it_uses_and_the_first_page_none(path):
    notebook = read(path)
    sources = [cell.source for cell in notebook.cells]
    made = [cell.source for cell in link_functions.with_links(notebook).cells]
    assert sources == made, "call `python tools/link_functions.py`"


def test_functions_are_found_however_they_are_imported():
    code = """import sys

if "google.colab" in sys.modules:
    %pip install x

from deepinside import images, saliency
from deepinside.class_model import OBJECTIVES, class_model
from deepinside.regularizers import Regularizers as Options

maps = saliency.saliency_map(network, images.load_photo("cat").unsqueeze(0))
images.MAX_PIXELS, saliency.math
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    assert link_functions.functions(notebook) == {
        "deepinside.class_model": ["class_model"],
        "deepinside.images": ["load_photo"],
        "deepinside.regularizers": ["Regularizers"],
        "deepinside.saliency": ["saliency_map"],
    }


def test_cover_is_the_figure_of_the_saliency_chapter():
    (cell,) = [
        cell
        for cell in code_cells(BOOK / "saliency.ipynb")
        if "cover" in cell.metadata.get("tags", [])
    ]
    jpeg = base64.b64decode(pictures(cell)[0]["data"]["image/jpeg"])
    assert jpeg == (BOOK / "pictures" / "cover.jpg").read_bytes()


def test_book_executes_every_notebook_and_the_build_fails_on_warnings():
    assert CONFIG["execute"]["execute_notebooks"] == "force"
    assert "jupyter-book build --all -n -W --keep-going" in (ROOT / "Makefile").read_text("utf-8")
