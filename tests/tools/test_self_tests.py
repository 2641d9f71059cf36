"""The questions after the sections: how a file is read, and what the book's own files hold."""

import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import self_tests
import yaml
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document
from myst_parser.config.main import MdParserConfig
from sphinx.errors import ExtensionError
from sphinx.search import WordCollector
from sphinx.search.en import SearchEnglish

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
NUMBERED = [
    chapter["file"].removeprefix("book/")
    for part in CONTENTS["parts"]
    for chapter in part["chapters"]
    if part.get("numbered") and "sections" in chapter
]
TEACH_NOTHING = re.compile(r"Exercises|Recap|References|Try it\b.*")
GIVEN = """## Sums

What is
1 + 1?

- [x] It is 2.
  By counting,
  say.
- [ ] It is 3.
  That is 1 + 2.

And 1 + 2?

- [ ] It is 2.
  That is 1 + 1.
- [x] It is 3.
  By counting.

## Products

What is $2 \\cdot 3$?

- [ ] It is 5.
  That is the sum.
- [ ] It is `'2'`.
  That's one factor.
- [x] It is 6.
  Twice three.
"""


def of_book(name):
    return self_tests.questions((ROOT / self_tests.FOLDER / f"{name}.md").read_text("utf-8"))


def page(folder, text, *titles):
    """What the transform makes of a page with sections of these titles."""
    (folder / self_tests.FOLDER).mkdir(parents=True)
    (folder / self_tests.FOLDER / "page.md").write_text(text, "utf-8")
    tree = new_document("page")
    tree.settings = get_default_settings()
    config = MdParserConfig(enable_extensions={"dollarmath"})
    tree.settings.env = SimpleNamespace(
        srcdir=folder, docname="book/page", myst_config=config, config=None, metadata={}
    )
    tree += nodes.section("", nodes.title("", "The page"))
    for title in titles:
        tree[0] += nodes.section("", nodes.title("", title), nodes.paragraph("", "text"))
    self_tests.SelfTests(tree).apply()
    return tree


def test_a_file_is_sections_of_questions_with_options():
    first, second, third = self_tests.questions(GIVEN)
    assert (first.section, first.text, first.right) == ("Sums", "What is 1 + 1?", 0)
    assert first.options[0] == ("It is 2.", "By counting, say.", True)
    assert (second.section, second.text, second.right) == ("Sums", "And 1 + 2?", 1)
    assert (third.section, len(third.options), third.right) == ("Products", 3, 2)


def test_a_question_that_was_changed_has_another_name():
    names = [question.name for question in self_tests.questions(GIVEN)]
    changed = [one.name for one in self_tests.questions(GIVEN.replace("Twice", "Two times"))]
    assert names[:2] == changed[:2]
    assert len({*names, *changed}) == 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("- [x] It is 6.", "- [ ] It is 6.", "Products, “What is .* 3 with 0 ticked"),
        ("- [ ] It is 5.", "- [x] It is 5.", "Products, “What is .* 3 with 2 ticked"),
        ("- [ ] It is 3.\n  That is 1 + 2.\n", "", "Sums, “What is .* 1 with 1 ticked"),
        ("- [ ] It is 5.", "- It is 5.", "Products, .* got “- It is 5."),
        ("  That is the sum.\n", "", "Products, .* got “- .* It is 5."),
        ("## Sums", "Sums", "“Sums What is .* above the first section"),
    ],
)
def test_an_error_names_section_and_question(old, new, told):
    assert old in GIVEN
    with pytest.raises(ValueError, match=told):
        self_tests.questions(GIVEN.replace(old, new))


def test_questions_stand_at_the_end_of_their_sections_and_are_counted_below_the_recap(tmp_path):
    tree = page(tmp_path, GIVEN, "Sums", "Products", "Recap")
    sums, products, recap = tree[0].children[1:]
    kinds = [[type(part).__name__ for part in section] for section in (sums, products, recap)]
    assert kinds == [
        ["title", "paragraph", "self_test", "self_test"],
        ["title", "paragraph", "self_test"],
        ["title", "paragraph", "self_test"],
    ]
    assert [one.astext() for one in products.findall(nodes.math)] == [r"2 \cdot 3"]
    assert [one.astext() for one in products.findall(nodes.literal)] == ["'2'"]
    assert "That’s one factor." in products.astext()
    html = "".join(raw.astext() for raw in recap.findall(nodes.raw))
    assert "of 3." in html
    assert re.findall(r"<b>([A-D])\.</b>", html) == ["A", "B", "C"]


def test_the_search_reads_no_question(tmp_path):
    tree = page(tmp_path, GIVEN, "Sums", "Products", "Recap")
    words = WordCollector(tree, SearchEnglish({}))
    tree.walk(words)
    assert Counter(words.found_words) == Counter(
        ["The", "page", "Sums", "Products", "Recap", "text", "text", "text"]
    )


def test_the_anchor_of_the_next_section_stays_last(tmp_path):
    anchor = nodes.paragraph("", "", nodes.raw("", '<a id="next">', format="html"))
    place = self_tests.SelfTests._append
    tree = new_document("page")
    tree += nodes.section("", nodes.title("", "Sums"), anchor)
    asked = self_tests.self_test()
    place(SimpleNamespace(document=tree), "Sums", asked)
    assert tree[0].children[1:] == [asked, anchor]


@pytest.mark.parametrize(
    ("text", "titles", "told"),
    [
        (GIVEN, ("Sums", "Recap"), "page.md: the chapter has no section “Products”"),
        (GIVEN, ("Sums", "Products"), "page.md: the chapter has no section “Recap”"),
        (GIVEN.replace("Twice", "- Twice"), ("Sums", "Products", "Recap"), "not one paragraph"),
    ],
)
def test_an_error_names_the_file(tmp_path, text, titles, told):
    with pytest.raises(ExtensionError, match=told):
        page(tmp_path, text, *titles)


def test_each_numbered_chapter_has_a_file():
    files = sorted(path.stem for path in (ROOT / self_tests.FOLDER).glob("*.md"))
    assert files == sorted(NUMBERED), (
        f"each chapter with exercises has its questions in {self_tests.FOLDER}/NAME.md, and no "
        f"other: {sorted({*files} ^ {*NUMBERED})}"
    )


@pytest.mark.parametrize("name", NUMBERED)
def test_each_section_that_teaches_has_one_or_two_questions_in_the_text_s_order(name):
    notebook = json.loads((ROOT / "book" / f"{name}.ipynb").read_text("utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    asked = Counter(question.section for question in of_book(name))
    taught = [title for title in titles if not TEACH_NOTHING.fullmatch(title)]
    wrong = {title: asked[title] for title in taught if not 1 <= asked[title] <= 2}
    assert not wrong, f"{name}.md must have one or two questions for each section, not: {wrong}"
    assert list(asked) == [title for title in titles if title in asked], (
        f"the sections in {name}.md are called as the chapter's, and in their order: "
        f"{list(asked)}, but the chapter has {titles}"
    )


@pytest.mark.parametrize("name", NUMBERED)
def test_texts_are_short(name):
    for question in of_book(name):
        parts = [(question.text, 45)]
        for option in question.options:
            parts += [(option.text, 20), (option.why, 45)]
        for text, most in parts:
            words = len(text.split())
            assert words <= most, f"{name}.md: {words} words, at most {most} are read: {text}"


def test_no_two_questions_are_the_same():
    names = [question.name for name in NUMBERED for question in of_book(name)]
    assert len(names) == len(set(names)), "a question stands twice in the book: change one"


@pytest.mark.parametrize("name", NUMBERED)
def test_the_right_option_is_not_told_by_its_place_or_its_length(name):
    found = of_book(name)
    places = Counter(question.right for question in found)
    assert len(places) >= min(3, len(found)) and max(places.values()) <= (len(found) + 1) // 2, (
        f"{name}.md: the right option stands at {places}, counted from 0. Move some, so that it "
        "stands at three places and at none more than half of the times"
    )
    longest = [
        len(question.options[question.right].text)
        > max(len(option.text) for option in question.options if not option.is_right)
        for question in found
    ]
    assert sum(longest) <= len(found) * 0.4, (
        f"{name}.md: the right option is the longest in {sum(longest)} of {len(found)} questions, "
        "at most four in ten; shorten it or lengthen another"
    )
