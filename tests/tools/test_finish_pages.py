"""The Sphinx extension where no built book is needed; tests/book has what it makes of pages."""

import finish_pages
import pytest
from docutils import nodes
from docutils.utils import new_document

CODE = """import sys

from deepinside import (
    images,
    plots,
)
from deepinside.class_model import class_model
    import torch
found = class_model(network)
print("important from the start")"""


def test_lines_that_import_something_are_not_searched():
    words = finish_pages.WithoutImports({}).split(CODE)
    assert words == [
        "found",
        "class_model",
        "network",
        "print",
        "important",
        "from",
        "the",
        "start",
    ]


@pytest.mark.parametrize("text", ["what follows\nfrom the paper", "important", "a from b import c"])
def test_a_text_is_searched_whole(text):
    assert finish_pages.WithoutImports({}).split(text) == text.split()


def test_a_picture_is_found_with_its_attributes():
    html = '<img alt="a &gt; b" class="x" src="../_images/a1.jpg" /><img src="../_images/b.svg"/>'
    (found,) = finish_pages.PICTURE.findall(html)
    attributes, *parts = found
    assert attributes == 'alt="a &gt; b" class="x" src="../_images/a1.jpg"'
    assert parts == ["../_images/", "a1.jpg"]


def test_an_explorer_keeps_its_first_output_as_a_figure_and_no_still_picture():
    view = nodes.raw("", f'<script type="{finish_pages.WIDGET}view+json">{{}}</script>')
    figures = [nodes.figure("", shown, nodes.caption("", "c")) for shown in (view, nodes.image())]
    output = nodes.container("", *figures, classes=["cell_output"])
    tree = new_document("chapter")
    tree += nodes.container("", nodes.container(classes=["cell_input"]), output)
    finish_pages.arrange(None, tree)
    assert output.children == figures[:1]
    assert figures[0]["ids"] == ["fig-explorer"]
    assert [caption.astext() for caption in tree.findall(nodes.caption)] == ["c"]


@pytest.mark.parametrize("lines", [12, 13])
def test_code_of_more_than_twelve_lines_is_folded(lines):
    code = nodes.literal_block(text="\n".join("x = 1" for _ in range(lines)))
    cell = nodes.container("", code, classes=["cell_input"])
    tree = new_document("chapter")
    tree += cell
    finish_pages.arrange(None, tree)
    opening = ['<details class="code"><summary>Code, 13 lines</summary>', "</details>"]
    assert [raw.astext() for raw in tree.findall(nodes.raw)] == opening * (lines > 12)
    assert code in cell.children
