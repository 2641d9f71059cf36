"""The built book, page by page, as files and in a headless Chromium.

Chromium opens each page from a server and from the disk, as a classroom without internet
would. What only the explorers do is in test_explorer_pages.py.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pages
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
CHAPTERS = CONTENTS["chapters"]
EXERCISES = [one["file"] for chapter in CHAPTERS for one in chapter.get("sections", ())]
SOURCES = [CONTENTS["root"], *(one["file"] for one in CHAPTERS), *EXERCISES]
NOTEBOOKS = [name for name in SOURCES if (ROOT / f"{name}.ipynb").exists()]
TEXTS = [name for name in SOURCES if name not in NOTEBOOKS]
WRITTEN = [f"{name}.html" for name in SOURCES]
MADE = ["search.html", "genindex.html"]

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


class Loaded(HTMLParser):
    """Collects the addresses that a page loads, and the text of its styles."""

    def __init__(self):
        super().__init__()
        self.addresses, self.styles, self.in_style = [], [], False

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
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


def loaded_by_page(text):
    parser = Loaded()
    parser.feed(text)
    return parser.addresses + [one for style in parser.styles for one in loaded_by_style(style)]


def from_another_host(addresses):
    return [one for one in addresses if re.match(r"(https?:)?//", one)]


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
    assert {path: found for path, one in files.items() if (found := from_another_host(one))} == {}


def test_a_page_stays_under_three_megabytes(built_book):
    """With its pictures, and without what the pages share and a browser keeps."""
    for name in WRITTEN:
        page = built_book / name
        own = [one for one in loaded_by_page(page.read_text("utf-8")) if "_images/" in one]
        size = sum((page.parent / unquote(one)).stat().st_size for one in set(own))
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
    led_to = [one.split(f"/blob/{branch}/")[-1] for one in opened]
    assert led_to == [student] * (name in EXERCISES)
    if name in EXERCISES:
        (link,) = re.findall(r'href="([^"]*_downloads/[^"]*)"', text)
        downloaded = (built_book / name).parent / unquote(link)
        assert downloaded.read_bytes() == (ROOT / student).read_bytes()
    assert f'{"../" * name.count("/")}_sources/{name}.md"' in text


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("name", WRITTEN + MADE)
def test_page_has_all_it_needs_and_asks_nobody_else(visit, scheme, name):
    one = visit(name, scheme=scheme)
    one.page.keyboard.press("End")  # pictures may wait until they are near
    one.page.wait_for_load_state("networkidle")
    assert (one.elsewhere, one.failed, one.errors) == ([], [], [])
    assert len(one.asked) > 10
    formulas, typeset, wrong, fonts = one.page.evaluate(
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
    assert "\\(" not in one.page.inner_text(".bd-article-container")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_first_page_leads_to_the_introduction(visit, scheme):
    one = visit("index.html", scheme=scheme)
    one.page.wait_for_url(f"{one.home}/{WRITTEN[0]}")
    assert (one.elsewhere, one.failed, one.errors) == ([], [], [])


def test_there_are_formulas(visit):
    assert visit("book/saliency.html").page.locator(".math mjx-container").count() > 5


def test_what_a_page_asks_of_another_host_is_recorded_and_refused(visit):
    one = visit("book/intro.html")
    one.page.evaluate("() => fetch('https://example.org/x').catch(() => null)")
    one.page.evaluate("() => fetch('missing.json')")
    assert one.elsewhere == ["https://example.org/x"]
    assert any("404" in failed and failed.endswith("missing.json") for failed in one.failed)
    assert len(one.errors) == 2


def test_search_answers_from_the_disk(visit):
    one = visit("search.html?q=saliency", scheme="file")
    one.page.wait_for_selector('#search-results .search li a[href^="book/saliency.html"]')
    # browsers let no page on the disk read another, so there are titles without excerpts
    assert one.elsewhere == []
    assert all("net::ERR_FAILED file://" in failed for failed in one.failed)


@every_page
def test_page_fits_a_phone(visit, name):
    one = visit(name, size=pages.PHONE)
    width, too_wide = one.page.evaluate(
        """() => [document.scrollingElement.scrollWidth,
            [...document.querySelectorAll(".bd-article *")]
                .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
                .map((one) => one.outerHTML.slice(0, 120))]"""
    )
    assert width <= pages.PHONE[0], too_wide[:5]


@every_page
def test_page_is_accessible_and_every_picture_has_a_text(visit, name):
    one = visit(name)
    # an explorer's texts change with its controls; test_explorer_pages.py reads them
    texts = one.page.evaluate(
        "() => [...document.querySelectorAll('.bd-article img')]"
        ".filter((one) => !one.closest('.explorer')).map((one) => one.alt)"
    )
    assert all(len(text) > 20 for text in texts), texts
    assert len(texts) >= (name.removesuffix(".html") in NOTEBOOKS)
    assert set(one.axe(within=".bd-article")) <= {OF_DOCUTILS}


@every_page
def test_page_is_accessible_and_pictures_keep_their_colors_in_the_dark(visit, name):
    one = visit(name, color_scheme="dark")
    assert one.page.evaluate("document.documentElement.dataset.theme") == "dark"
    changed = one.page.evaluate(
        """() => {
            const ancestors = (one) => one ? [one, ...ancestors(one.parentElement)] : [];
            return [...document.querySelectorAll(".bd-article :is(img, canvas, svg)")]
                .flatMap(ancestors)
                .filter((one) => getComputedStyle(one).filter !== "none")
                .map((one) => one.outerHTML.slice(0, 120));
        }"""
    )
    assert changed == []
    assert set(one.axe(within=".bd-article")) <= {OF_DOCUTILS}


def test_what_is_not_accessible_is_found(visit):
    one = visit("book/intro.html")
    one.page.evaluate(
        "() => document.querySelector('.bd-article h1').insertAdjacentHTML('afterend', "
        '\'<img src="../_static/logo.png"><p style="color: #ccc; background: #fff">pale</p>\')'
    )
    rules = {found.split()[0] for found in one.axe(within=".bd-article")}
    assert rules == {"image-alt", "color-contrast"}


def test_printed_page_holds_the_text_and_nothing_to_click(visit):
    one = visit("book/saliency.html", color_scheme="dark")
    shown = "selectors => selectors.filter((one) => document.querySelector(one).checkVisibility())"
    one.page.hover(".cell_input")
    assert "button.copybtn" in one.page.evaluate(shown, ON_SCREEN_ONLY)
    one.page.emulate_media(media="print")
    assert one.page.evaluate(shown, ON_SCREEN_ONLY) == []
    # the theme shows the title apart from the article
    assert one.page.locator("#jb-print-docs-body h1").is_visible()
    assert one.page.locator(".bd-article figure img").first.is_visible()
    colors = one.page.evaluate(
        """() => [...document.querySelectorAll(".bd-article p, .bd-article pre span")]
            .map((one) => getComputedStyle(one).color)"""
    )
    assert set(colors) <= {"rgb(17, 17, 17)", "rgb(68, 68, 68)"}
