"""The built book, page by page, as files and in a headless Chromium.

Chromium opens each page from a server and from the disk, as a classroom without internet
would. What only the explorers do is in test_explorer_pages.py.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pages
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
CHAPTERS = CONTENTS["chapters"]
SECTIONS = [section["file"] for chapter in CHAPTERS for section in chapter.get("sections", ())]
EXERCISES = [name for name in SECTIONS if name.startswith("book/exercises/")]
SOURCES = [CONTENTS["root"], *(chapter["file"] for chapter in CHAPTERS), *SECTIONS]
NOTEBOOKS = [name for name in SOURCES if (ROOT / f"{name}.ipynb").exists()]
TEXTS = [name for name in SOURCES if name not in NOTEBOOKS]
WRITTEN = [f"{name}.html" for name in SOURCES]
MADE = ["search.html"]

PACKAGE = ROOT / "lib" / "deepinside"
# how networks are made fast, rows of the commands, and the commands: nothing that a chapter calls
NOT_DESCRIBED = {"__init__", "__main__", "inference", "rows"}

# what a page loads when it is opened, unlike what a reader may click
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
LINKS_ONLY = {"canonical", "next", "prev", "search", "index", "author", "license"}

# docutils calls the bibliography a list and its entries something else than a list's items
OF_DOCUTILS = 'aria-required-children (critical): <div role="list" class="citation-list">'

ON_SCREEN_ONLY = (
    ".bd-header-article",
    ".bd-sidebar-primary",
    ".bd-sidebar-secondary",
    ".bd-footer",
    ".prev-next-area",
    "button.copybtn",
    "a.headerlink",
)

every_page = pytest.mark.parametrize("name", WRITTEN)


class Parsed(HTMLParser):
    """Collects what a page loads, the text of its styles, its anchors and where it links."""

    def __init__(self):
        super().__init__()
        self.addresses, self.styles, self.in_style = [], [], False
        self.anchors, self.links = set(), []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        self.in_style = tag == "style"
        self.styles.append(given.get("style") or "")
        if tag == "link" and given.get("rel") in LINKS_ONLY:
            return
        if given.get(LOADED.get(tag)):
            self.addresses.append(given[LOADED[tag]])

    def handle_endtag(self, tag):
        self.in_style = False

    def handle_data(self, text):
        if self.in_style:
            self.styles.append(text)


def loaded_by_style(text):
    return re.findall(r"(?:@import\s*|url\(\s*)[\"']?([^\"')\s;]+)", text)


def parsed(text):
    parser = Parsed()
    parser.feed(text)
    return parser


def loaded_by_page(text):
    page = parsed(text)
    return page.addresses + [found for style in page.styles for found in loaded_by_style(style)]


def from_another_host(addresses):
    return [address for address in addresses if re.match(r"(https?:)?//", address)]


def leading_nowhere(folder):
    """Return page and address of each link within a folder that finds no file or no anchor."""
    pages = {path: parsed(path.read_text("utf-8")) for path in folder.rglob("*.html")}
    nowhere = []
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchors = pages[target].anchors if target in pages else {""}
            # the theme's "#" goes to the top of the page
            if not target.is_file() or unquote(address.fragment) not in {*anchors, ""}:
                nowhere.append((path.relative_to(folder).as_posix(), link))
    return nowhere


def test_every_module_is_described_on_a_page_that_is_in_the_contents():
    pages = [ROOT / f"{name}.rst" for name in SOURCES if name.startswith("book/api/")]
    assert sorted(pages) == sorted(ROOT.glob("book/api/*.rst"))
    text = "\n".join(page.read_text("utf-8") for page in pages)
    described = set(re.findall(r"^\.\. automodule:: deepinside\.(\w+)", text, re.MULTILINE))
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    modules |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert modules - described <= NOT_DESCRIBED


def test_a_link_that_leads_nowhere_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="#top">a</a><a href="b.html#x">b</a><a href="c.html">c</a>'
        '<a href="sub/d.html#x%C3%A4">d</a><a href="#none">e</a><a href="https://f.org">f</a>'
    )
    (tmp_path / "b.html").write_text('<p id="y"></p><a href="a.html#top">a</a>')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.html").write_text('<p id="xä"></p><a href="../b.html#y">b</a>', "utf-8")
    found = [("a.html", link) for link in ("b.html#x", "c.html", "#none")]
    assert leading_nowhere(tmp_path) == found


def test_every_link_within_the_book_leads_somewhere(built_book):
    assert leading_nowhere(built_book) == []


def test_what_is_loaded_from_another_host_is_noticed():
    page = (
        '<link rel="stylesheet" href="//a.org/a.css"><link rel="canonical" href="https://b.org">'
        '<style>@import "http://c.org/c.css"; p {background: url(https://d.org/d.png)}</style>'
        '<a href="https://e.org">e</a><img src="f.png"><script src="https://g.org/g.js"></script>'
        '<p style="background: url(data:image/png;base64,AAAA)">'
    )
    found = ["//a.org/a.css", "https://g.org/g.js", "http://c.org/c.css", "https://d.org/d.png"]
    assert from_another_host(loaded_by_page(page)) == found


def test_no_file_of_the_book_loads_from_another_host(built_book):
    files = {
        path: loaded(path.read_text("utf-8"))
        for pattern, loaded in (("*.html", loaded_by_page), ("*.css", loaded_by_style))
        for path in built_book.rglob(pattern)
    }
    assert {path.name for path in files} >= {"saliency.html", "index.html", "book.css"}
    elsewhere = {path: from_another_host(addresses) for path, addresses in files.items()}
    assert {path: found for path, found in elsewhere.items() if found} == {}


def test_a_page_stays_under_three_megabytes(built_book):
    """With its pictures, and without what the pages share and a browser keeps."""
    for name in WRITTEN:
        page = built_book / name
        loaded = set(loaded_by_page(page.read_text("utf-8")))
        pictures = [page.parent / unquote(address) for address in loaded if "_images/" in address]
        size = sum(path.stat().st_size for path in pictures)
        assert size + page.stat().st_size < 3e6, name


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_chapter_has_buttons_for_colab_and_download(built_book, name):
    text = (built_book / f"{name}.html").read_text("utf-8")
    repository = CONFIG["repository"]
    owner_and_name = repository["url"].removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{owner_and_name}/blob/"
    assert f'href="{colab}{repository["branch"]}/{name}.ipynb"' in text
    assert f'href="../_sources/{name}.ipynb"' in text
    downloaded = json.loads((built_book / "_sources" / f"{name}.ipynb").read_text("utf-8"))
    committed = json.loads((ROOT / f"{name}.ipynb").read_text("utf-8"))
    assert len(downloaded["cells"]) == len(committed["cells"])


@pytest.mark.parametrize("name", TEXTS)
def test_page_without_code_has_no_button_for_colab(built_book, name):
    """But those of exercises lead to the student's notebook, there and to be downloaded."""
    text = (built_book / f"{name}.html").read_text("utf-8")
    opened = re.findall(r'href="(https://colab\.research\.google\.com/github/[^"]*)"', text)
    student = f"classroom/students/{name.split('/')[-1]}.ipynb"
    branch = CONFIG["repository"]["branch"]
    led_to = [address.split(f"/blob/{branch}/")[-1] for address in opened]
    assert led_to == [student] * (name in EXERCISES)
    if name in EXERCISES:
        (link,) = re.findall(r'href="([^"]*_downloads/[^"]*)"', text)
        downloaded = (built_book / name).parent / unquote(link)
        assert downloaded.read_bytes() == (ROOT / student).read_bytes()
    (source,) = (path for path in ROOT.glob(f"{name}.*") if path.suffix in (".md", ".rst"))
    assert f'{"../" * name.count("/")}_sources/{name}{source.suffix}"' in text


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("name", WRITTEN + MADE)
def test_page_has_all_it_needs_and_asks_nobody_else(visit, scheme, name):
    opened = visit(name, scheme=scheme)
    opened.page.keyboard.press("End")  # pictures may wait until they are near
    opened.page.wait_for_load_state("networkidle")
    assert (opened.elsewhere, opened.failed, opened.errors) == ([], [], [])
    assert len(opened.asked) > 10
    formulas, typeset, wrong, fonts = opened.page.evaluate(
        """async () => {
            await document.fonts.ready;
            const count = (selector) => document.querySelectorAll(selector).length;
            const fonts = [...document.fonts].filter((font) => font.family.includes("MJXTEX"));
            return [count(".math"), count(".math mjx-container"), count("mjx-merror"),
                fonts.filter((font) => font.status === "loaded").length];
        }"""
    )
    assert typeset == formulas
    assert wrong == 0
    assert bool(fonts) == bool(formulas)
    assert "\\(" not in opened.page.inner_text(".bd-article-container")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_first_page_leads_to_the_introduction(visit, scheme):
    opened = visit("index.html", scheme=scheme)
    opened.page.wait_for_url(f"{opened.home}/{WRITTEN[0]}")
    assert (opened.elsewhere, opened.failed, opened.errors) == ([], [], [])


def test_there_are_formulas(visit):
    assert visit("book/saliency.html").page.locator(".math mjx-container").count() > 5


def test_what_a_page_asks_of_another_host_is_recorded_and_refused(visit):
    opened = visit("book/intro.html")
    opened.page.evaluate("() => fetch('https://example.org/x').catch(() => null)")
    opened.page.evaluate("() => fetch('missing.json')")
    assert opened.elsewhere == ["https://example.org/x"]
    assert any("404" in failed and failed.endswith("missing.json") for failed in opened.failed)
    assert len(opened.errors) == 2


def test_search_answers_from_the_disk(visit):
    opened = visit("search.html?q=saliency", scheme="file")
    opened.page.wait_for_selector('#search-results .search li a[href^="book/saliency.html"]')
    # browsers let no page on the disk read another, so there are titles without excerpts
    assert opened.elsewhere == []
    assert all("net::ERR_FAILED file://" in failed for failed in opened.failed)


@every_page
def test_page_fits_a_phone(visit, name):
    opened = visit(name, size=pages.PHONE)
    width, too_wide = opened.page.evaluate(
        """() => [document.scrollingElement.scrollWidth,
            [...document.querySelectorAll(".bd-article *")]
                .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
                .map((element) => element.outerHTML.slice(0, 120))]"""
    )
    assert width <= pages.PHONE[0], too_wide[:5]


@every_page
def test_page_is_accessible_and_every_picture_has_a_text(visit, name):
    opened = visit(name)
    # an explorer's texts change with its controls; test_explorer_pages.py reads them
    texts = opened.page.evaluate(
        "() => [...document.querySelectorAll('.bd-article img')]"
        ".filter((image) => !image.closest('.explorer')).map((image) => image.alt)"
    )
    assert all(len(text) > 20 for text in texts), texts
    assert len(texts) >= (name.removesuffix(".html") in NOTEBOOKS)
    assert set(opened.axe(within=".bd-article")) <= {OF_DOCUTILS}


@every_page
def test_page_is_accessible_and_pictures_keep_their_colors_in_the_dark(visit, name):
    opened = visit(name, color_scheme="dark")
    assert opened.page.evaluate("document.documentElement.dataset.theme") == "dark"
    changed = opened.page.evaluate(
        """() => {
            const ancestors = (element) =>
                element ? [element, ...ancestors(element.parentElement)] : [];
            return [...document.querySelectorAll(".bd-article :is(img, canvas, svg)")]
                .flatMap(ancestors)
                .filter((element) => getComputedStyle(element).filter !== "none")
                .map((element) => element.outerHTML.slice(0, 120));
        }"""
    )
    assert changed == []
    assert set(opened.axe(within=".bd-article")) <= {OF_DOCUTILS}


def test_what_is_not_accessible_is_found(visit):
    opened = visit("book/intro.html")
    opened.page.evaluate(
        "() => document.querySelector('.bd-article h1').insertAdjacentHTML('afterend', "
        '\'<img src="../_static/logo.png"><p style="color: #ccc; background: #fff">pale</p>\')'
    )
    rules = {found.split()[0] for found in opened.axe(within=".bd-article")}
    assert rules == {"image-alt", "color-contrast"}


def test_printed_page_holds_the_text_and_nothing_to_click(visit):
    opened = visit("book/saliency.html", color_scheme="dark")
    shown = "names => names.filter((name) => document.querySelector(name).checkVisibility())"
    opened.page.hover(".cell_input")
    assert "button.copybtn" in opened.page.evaluate(shown, ON_SCREEN_ONLY)
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate(shown, ON_SCREEN_ONLY) == []
    # the theme shows the title apart from the article
    assert opened.page.locator("#jb-print-docs-body h1").is_visible()
    assert opened.page.locator(".bd-article figure img").first.is_visible()
    colors = opened.page.evaluate(
        """() => [...document.querySelectorAll(".bd-article p, .bd-article pre span")]
            .map((element) => getComputedStyle(element).color)"""
    )
    assert set(colors) <= {"rgb(17, 17, 17)", "rgb(68, 68, 68)"}
