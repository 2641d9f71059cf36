"""The rules that every chapter keeps. nbval compares the outputs; this is about the rest."""

import base64
import re
from pathlib import Path

import link_functions
import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))

PICTURES = {"image/png", "image/jpeg"}

chapter = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

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


def test_there_are_chapters():
    assert {"network", "saliency"} <= {path.stem for path in NOTEBOOKS}


@chapter
def test_chapter_is_in_the_table_of_contents(path):
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    assert f"book/{path.stem}" in [chapter["file"] for chapter in contents["chapters"]]


@chapter
def test_every_cell_was_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@chapter
def test_no_output_is_an_error_or_a_warning(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")


@chapter
def test_notebook_holds_nothing_of_the_machine_or_the_run(path):
    notebook = read(path)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"mystnb", "tags"}
    # in what is printed and written; the letters of an encoded picture may be any
    text = "\n".join(cell.source + text_of(cell.get("outputs", [])) for cell in notebook.cells)
    assert not re.search(r"0x[0-9a-f]{6,}|/home/|/tmp/|site-packages", text)


@chapter
def test_every_picture_has_alt_text_caption_and_name(path):
    names = []
    for cell in code_cells(path):
        drawn = pictures(cell)
        assert len(drawn) <= 1, "one figure a cell"
        if drawn:
            metadata = cell.metadata["mystnb"]
            alt, figure = metadata["image"]["alt"], metadata["figure"]
            assert len(alt) > 60, alt
            assert len(figure["caption"]) > 40, figure["caption"]
            assert alt != figure["caption"]
            names.append(figure["name"])
    assert len(names) == len(set(names)) > 0
    assert all(name.startswith("fig-") for name in names)


def test_no_two_figures_of_the_book_have_one_name():
    cells = [cell for path in NOTEBOOKS for cell in code_cells(path) if pictures(cell)]
    names = [cell.metadata["mystnb"]["figure"]["name"] for cell in cells]
    assert sorted(names) == sorted(set(names))


@chapter
def test_cells_are_short_and_use_no_rainbow(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 20, cell.source
        assert not re.search(r"\b(jet|rainbow|hsv|nipy_spectral)\b", cell.source)


@chapter
def test_chapter_opens_with_its_aims_and_closes_with_recap_and_references(path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    headings = re.findall(r"^## (.+)$", "\n".join(texts), re.MULTILINE)
    assert "**What you will learn**" in texts[0]
    assert headings[-2:] == ["Recap", "References"]


@chapter
def test_texts_are_plain_markdown(path):
    """Colab shows directives and roles raw."""
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^(```|:::)\{|\{[a-z:]+\}`", cell.source, re.MULTILINE)


@chapter
def test_every_number_in_the_text_is_printed_above_it(path):
    assert unprinted(read(path).cells) == []


def test_a_number_that_no_cell_printed_is_found():
    cells = [
        nbformat.v4.new_code_cell("print(0.5)", outputs=[]),
        nbformat.v4.new_markdown_cell("First 0.5, then 0.51, in §3.1 of 2013 on 224 × 224 pixels."),
    ]
    assert [number for number, _ in unprinted(cells)] == ["0.51"]


@chapter
def test_references_are_in_the_bibliography(path):
    known = re.sub(r"[{}]", "", (BOOK / "references.bib").read_text("utf-8"))
    listed = " ".join(read(path).cells[-1].source.split("## References")[1].split())
    titles = re.findall(r"\*([^*]+?)\.?\*", listed)
    assert titles
    for title in titles:
        assert title in known


@chapter
def test_setup_cell_installs_from_the_repository_in_the_configuration(path):
    repository = CONFIG["repository"]
    setup = code_cells(path)[0].source
    assert f"git+{repository['url']}@{repository['branch']}" in setup
    assert 'if "google.colab" in sys.modules:' in setup
    assert "--no-deps" in setup


@chapter
def test_chapter_links_the_functions_that_it_uses(path):
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
