"""The Sphinx extension where no built book is needed; tests/book has what it makes of pages."""

import finish_pages
import pytest

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
