"""The edition to print: the built book as one PDF."""

import re
import unicodedata
from urllib.parse import urldefrag

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
PUBLISHED = "https://book.org/"


@pytest.fixture(scope="module")
def path(built_book, tmp_path_factory):
    chromium = pages.find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one")
    path = tmp_path_factory.mktemp("print") / "book.pdf"
    print_book.print_book(built_book, CONFIG, CONTENTS, chromium, path)
    return path


@pytest.fixture(scope="module")
def printed(path):
    return PdfReader(path)


@pytest.fixture(scope="module")
def numbers(path):
    return print_book.page_numbers(path)


@pytest.fixture(scope="module")
def texts(printed):
    return [plain(page.extract_text()) for page in printed.pages]


@pytest.fixture(scope="module")
def articles(built_book):
    return [print_book.article(built_book, page, PAGES, PUBLISHED) for page in PAGES]


def plain(text):
    """Letters and digits alone; a ligature is the letters that it stands for."""
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", text))


def test_chapters_are_printed_and_the_package_is_not():
    assert PAGES[:3] == ["book/intro", "book/notation", "book/network"]
    assert PAGES[-1] == "book/references"
    assert not [page for page in PAGES if "/api/" in page]


def test_the_contents_have_the_pages_on_which_the_titles_are(texts, articles, numbers):
    entries = print_book.headings(articles)
    for _, title, place in entries:
        assert plain(title) in texts[numbers[place] - 1], title
    pages_of_contents = enumerate(texts[1 : numbers[entries[0][2]] - 1], 2)
    contents = "".join(text.removesuffix(str(number)) for number, text in pages_of_contents)
    rows = "".join(f"{title}{numbers[place]}" for _, title, place in entries)
    assert contents == plain(f"Contents{rows}")
    assert len(entries) > 60


def test_every_link_leads_to_a_place_or_to_an_address(built_book, printed, articles):
    links = {link["href"] for text in articles for link in text.select("a[href]")}
    within = {link[1:] for link in links if link.startswith("#")}
    assert within <= {part["id"] for text in articles for part in (text, *text.select("[id]"))}
    ours = {urldefrag(link)[0] for link in links if link.startswith(PUBLISHED)}
    assert not [page for page in ours if not (built_book / page.removeprefix(PUBLISHED)).is_file()]

    notes = [note.get_object() for page in printed.pages for note in page.get("/Annots", [])]
    led_to = {note["/Dest"].lstrip("/") for note in notes if "/Dest" in note}
    assert led_to == within | {place for *_, place in print_book.headings(articles)}
    outside = {note["/A"]["/URI"] for note in notes if "/A" in note}
    assert not [address for address in outside if not address.startswith("http")]
    assert len(led_to) > 60
    assert len(outside) > 40


def test_explorers_and_figures_are_printed_as_pictures(printed, texts, articles, numbers):
    starts = [numbers[text["id"]] - 1 for text in articles]
    for text, start, end in zip(articles, starts, [*starts[1:], None], strict=True):
        # a picture that is shown twice is stored once, and a drawing (SVG) is none
        held = {
            item
            for page in printed.pages[start:end]
            for item in page["/Resources"].get("/XObject", {}).values()
            if item.get_object()["/Subtype"] == "/Image"
        }
        shown = {picture["src"] for picture in text.select('img:not([src$=".svg"])')}
        assert len(held) == len(shown), text["id"]
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
