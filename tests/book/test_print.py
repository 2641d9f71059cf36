"""The edition to print: the built book as one PDF."""

import re
import unicodedata

import pages
import print_book
import pytest
import yaml
from pypdf import PdfReader, PdfWriter

CONFIG, CONTENTS = (
    yaml.safe_load((print_book.ROOT / name).read_text("utf-8"))
    for name in ("_config.yml", "_toc.yml")
)
PAGES = print_book.printed_pages(CONTENTS)


@pytest.fixture(scope="module")
def printed(built_book, tmp_path_factory):
    chromium = pages.find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one")
    path = tmp_path_factory.mktemp("print") / "book.pdf"
    print_book.print_book(built_book, CONFIG, CONTENTS, chromium, path)
    return PdfReader(path)


@pytest.fixture(scope="module")
def texts(printed):
    return [plain(page.extract_text()) for page in printed.pages]


@pytest.fixture(scope="module")
def articles(built_book):
    return [print_book.article(built_book, page, PAGES, "https://book.org/") for page in PAGES]


def plain(text):
    """Letters and digits alone; a ligature is the letters that it stands for."""
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", text))


def test_chapters_are_printed_and_the_package_is_not():
    assert PAGES[:3] == ["book/intro", "book/notation", "book/network"]
    assert PAGES[-1] == "book/references"
    assert not [page for page in PAGES if "/api/" in page]


def test_the_contents_have_the_pages_on_which_the_titles_are(printed, texts, articles):
    entries, wrong = print_book.headings(articles), []
    numbers = {
        name.lstrip("/"): printed.get_destination_page_number(place) + 1
        for name, place in printed.named_destinations.items()
    }
    contents = "".join(texts[1 : numbers[entries[0][2]] - 1])
    for level, title, place in entries:
        if plain(title) not in texts[numbers[place] - 1]:
            wrong.append(title)
        if level == 1 and plain(f"{title}{numbers[place]}") not in contents:
            wrong.append(f"{title}, in the contents")
    assert not wrong
    assert len(entries) > 60


def test_every_link_leads_to_a_place_or_to_an_address(printed):
    notes = [note.get_object() for page in printed.pages for note in page.get("/Annots", [])]
    within = {note["/Dest"] for note in notes if "/Dest" in note}
    assert within <= set(printed.named_destinations)
    outside = {note["/A"]["/URI"] for note in notes if "/A" in note}
    assert not [address for address in outside if not address.startswith("http")]
    assert len(within) > 60
    assert len(outside) > 40


def test_explorers_and_figures_are_printed_as_pictures(printed, texts, articles):
    held = sum(len(page["/Resources"].get("/XObject", {})) for page in printed.pages)
    # a picture may be stored once for two places
    assert held >= 0.8 * sum(len(text.select("img")) for text in articles)
    assert not [text for text in texts if "Choosefile" in text or "Copylink" in text]


def test_pages_have_numbers(texts):
    wrong = [number for number, text in enumerate(texts, 1) if not text.endswith(str(number))]
    assert not wrong


def test_the_first_page_tells_of_the_file_once(tmp_path):
    (tmp_path / "book").mkdir()
    first = tmp_path / "book" / "intro.html"
    first.write_text('<p>Read. <span class="print-edition"></span></p>', "utf-8")
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(tmp_path / "book.pdf")
    for _ in range(2):
        print_book.link_from_first_page(tmp_path, "book/intro", tmp_path / "book.pdf")
    assert first.read_text("utf-8").count('href="../book.pdf"') == 1
    assert "has 1 pages" in first.read_text("utf-8")
