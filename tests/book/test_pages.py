"""The built book, page by page, as files and in a headless Chromium.

Chromium opens each page from a server and from the disk, as a classroom without internet
would. What only the explorers do is in test_explorer_pages.py.
"""

import base64
import json
import re
import tomllib
import zlib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pages
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
CHAPTERS = [chapter for part in CONTENTS["parts"] for chapter in part["chapters"]]
SECTIONS = [section["file"] for chapter in CHAPTERS for section in chapter.get("sections", ())]
EXERCISES = [name for name in SECTIONS if name.startswith("book/exercises/")]
SOURCES = [CONTENTS["root"], *(chapter["file"] for chapter in CHAPTERS), *SECTIONS]
# a chapter of the paper has exercises
NUMBERED = [
    chapter["file"]
    for chapter in CHAPTERS
    if any(section["file"] in EXERCISES for section in chapter.get("sections", ()))
]
NOTEBOOKS = [name for name in SOURCES if (ROOT / f"{name}.ipynb").exists()]
TEXTS = [name for name in SOURCES if name not in NOTEBOOKS]
WRITTEN = [f"{name}.html" for name in SOURCES]
MADE = ["search.html"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Documentation"]

PACKAGE = ROOT / "lib" / "deepinside"
# how networks are made fast, how arguments are checked, rows of the commands, and the commands:
# nothing that a chapter calls
NOT_DESCRIBED = {"__init__", "__main__", "arguments", "inference", "pictures", "rows"}

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

# a mask is there for each icon, and no letter of a font of icons, whose file no page loads
ICONS_NOT_DRAWN = """() => [...document.querySelectorAll("*")].flatMap((element) =>
    ["::before", "::after"].filter((part) => {
        const style = getComputedStyle(element, part);
        const title = element.matches(".admonition-title") && part === "::after";
        const icon = title || element.matches(".fas, .fab, .fa-solid, a.download");
        if (style.content === "none" || !icon) return style.fontFamily.includes("Awesome") &&
            style.content !== "none";
        return style.content !== '""' || !style.maskImage.startsWith("url(");
    }).map((part) => `${element.outerHTML.slice(0, 120)} ${part}`)
)"""

every_page = pytest.mark.parametrize("name", WRITTEN)


class Parsed(HTMLParser):
    """Collects what a page loads, the text of its styles, its anchors and where it links."""

    def __init__(self):
        super().__init__()
        self.addresses, self.styles, self.in_style = [], [], False
        self.anchors, self.links = set(), []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        # a state in an address is one of an explorer, by its name
        self.anchors |= {given.get("id"), given.get("data-name")}
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
            # after the name of what it sets, a state
            anchor = unquote(address.fragment).partition("?")[0]
            # the theme's "#" goes to the top of the page
            if not target.is_file() or anchor not in {*anchors, ""}:
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
        '<a href="#top?class=3">a</a><a href="#none?class=3">a</a>'
        '<a href="sub/d.html#x%C3%A4">d</a><a href="#none">e</a><a href="https://f.org">f</a>'
    )
    (tmp_path / "b.html").write_text('<p id="y"></p><a href="a.html#top">a</a>')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.html").write_text('<p id="xä"></p><a href="../b.html#y">b</a>', "utf-8")
    found = [("a.html", link) for link in ("b.html#x", "c.html", "#none?class=3", "#none")]
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


@every_page
def test_only_the_playground_loads_the_network_in_the_page(built_book, name):
    addresses = loaded_by_page((built_book / name).read_text("utf-8"))
    files = [urlsplit(address).path for address in addresses]
    loaded = [path for path in files if re.search(r"_static/(playground|photos|networks)\b", path)]
    own = ["../_static/playground.css", "../_static/playground.js"]
    assert loaded == own * (name == "book/playground.html")


def test_what_the_playground_loads_is_there_and_nothing_else(built_book):
    folder = built_book / "_static"
    files = [*folder.glob("*.wasm"), *folder.glob("playground*"), *folder.glob("networks/*")]
    names = {path.relative_to(folder).as_posix() for path in (*files, folder / "photos.js")}
    networks = ("cluttered_digits", "digits", "squeezenet")
    scripts = ("photos", "playground", *(f"networks/{name}" for name in networks))
    assert names == {"playground.css", *(f"{name}.js" for name in scripts)}
    assert (folder / "photos.js").is_file()


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
            const fonts = [...document.fonts].filter((font) => font.family.includes("KaTeX"));
            return [count(".math"), count(".math:has(.katex-html)"), count(".katex-error"),
                fonts.filter((font) => font.status === "loaded").length];
        }"""
    )
    assert typeset == formulas
    assert wrong == 0
    assert bool(fonts) == bool(formulas)
    # a font that came by itself would move the formula that waits for it
    assert not [address for address in opened.asked if "KaTeX" in address]
    assert "\\(" not in opened.page.inner_text(".bd-article-container")
    # the theme's icons are drawn by our style sheet
    assert [address for address in opened.asked if "fontawesome" in address] == []
    assert opened.page.evaluate(ICONS_NOT_DRAWN) == []


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_first_page_leads_to_the_introduction(visit, scheme):
    opened = visit("index.html", scheme=scheme)
    opened.page.wait_for_url(f"{opened.home}/{WRITTEN[0]}")
    assert (opened.elsewhere, opened.failed, opened.errors) == ([], [], [])


def test_there_are_formulas(visit):
    assert visit("book/saliency.html").page.locator(".math .katex-html").count() > 5


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


def found_by_search(visit, words):
    """Return the search's results in their order, (address, excerpt), once all have come."""
    page = visit(f"search.html?q={words}").page
    page.wait_for_function(
        "() => /finished/.test(document.querySelector('.search-summary').innerText)"
    )
    page.wait_for_load_state("networkidle")
    return page.locator("#search-results .search > li").evaluate_all(
        """found => found.map((item) => [
            item.querySelector("a").getAttribute("href"),
            item.querySelector("p.context")?.textContent ?? "",
        ])"""
    )


@pytest.mark.parametrize("words", ["saliency", "gradient", "localization", "limits", "class model"])
def test_search_puts_chapters_before_exercises_and_these_before_the_package(visit, words):
    kinds = [
        next((place for place in ("exercises", "api") if f"book/{place}/" in address), "chapters")
        for address, _ in found_by_search(visit, words)
    ]
    assert set(kinds) == {"chapters", "exercises", "api"}
    assert kinds == sorted(kinds, key=["chapters", "exercises", "api"].index)


def test_search_for_a_chapter_s_name_finds_that_chapter_first(visit):
    found = [address for address, _ in found_by_search(visit, "saliency maps")]
    assert [address for address in found if address.startswith("book/saliency.html")] == found[:1]


def test_search_for_a_function_s_name_finds_its_description_first(visit):
    address, _ = found_by_search(visit, "saliency_map")[0]
    assert address == "book/api/saliency.html#deepinside.saliency.saliency_map"


@pytest.mark.parametrize("words", ["saliency", "torch", "images"])
def test_search_shows_sentences_and_no_imports(visit, words):
    excerpts = [excerpt for _, excerpt in found_by_search(visit, words) if excerpt]
    assert len(excerpts) > 3
    assert [text for text in excerpts if re.search(r"\bimport (?!the\b|a\b)|%pip", text)] == []
    # nor the names of buttons, which stand before the article
    assert [text for text in excerpts if "Open issue" in text] == []


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


def printed(opened):
    """Return how many pieces of text and pictures each sheet of a printed page shows."""
    session = opened.page.context.new_cdp_session(opened.page)
    pdf = base64.b64decode(session.send("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    objects = dict(re.findall(rb"^(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL | re.MULTILINE))
    sheets = [thing for thing in objects.values() if re.search(rb"/Type /Page\b", thing)]
    streams = [objects[re.search(rb"/Contents (\d+) 0 R", sheet)[1]] for sheet in sheets]
    shown = []
    for about, _, stream in (text.partition(b"stream\n") for text in streams):
        if b"/FlateDecode" in about:
            stream = zlib.decompressobj().decompress(stream)
        shown.append(len(re.findall(rb"\b(?:Tj|TJ|Do)\b", stream)))
    return shown


def with_room(opened, where, length):
    """Put empty room before or after the text, so that it ends elsewhere on its last sheet."""
    opened.page.add_style_tag(
        content=f'.bd-article::{where} {{ content: ""; display: block; height: {length}; }}'
    )


def test_an_empty_sheet_is_noticed(visit):
    opened = visit("book/references.html")
    sheets = printed(opened)
    with_room(opened, "after", "60cm")
    assert printed(opened)[: len(sheets)] == sheets
    assert printed(opened)[-1] == 0


@every_page
def test_no_sheet_of_a_printed_page_is_empty(visit, name):
    sheets = printed(visit(name))
    assert min(sheets) > 0, sheets


def test_no_sheet_is_empty_wherever_the_text_ends(visit):
    for room in range(0, 280, 10):
        opened = visit("book/notation.html")
        with_room(opened, "before", f"{room}mm")
        sheets = printed(opened)
        assert min(sheets) > 0, (room, sheets)


def test_printed_page_holds_the_text_and_nothing_to_click(visit):
    opened = visit("book/saliency.html", color_scheme="dark")
    shown = """names => names.filter((name) =>
        [...document.querySelectorAll(name)].some((element) => element.checkVisibility()))"""
    opened.page.hover(".cell_input:not(:has(details))")
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


@pytest.mark.parametrize("name", WRITTEN + MADE)
def test_page_asks_for_less_than_a_megabyte_and_a_half(visit, name):
    """As Chromium receives it, nothing compressed: page, styles, scripts, fonts and pictures."""
    opened = visit(name, size=pages.PHONE)
    opened.page.wait_for_load_state("networkidle")
    received = opened.page.evaluate(
        """() => performance.getEntries().filter((entry) => entry.encodedBodySize)
            .map((entry) => [entry.encodedBodySize, entry.name])"""
    )
    assert len(received) > 10
    heaviest = sorted(received, reverse=True)[:5]
    assert sum(size for size, _ in received) < 1.5e6, heaviest
    # and all that is loaded later, while a reader goes down the page
    height = opened.page.evaluate("document.scrollingElement.scrollHeight")
    for place in range(0, height, pages.PHONE[1]):
        opened.page.evaluate("place => scrollTo(0, place)", place)
        opened.page.wait_for_timeout(20)
    opened.page.wait_for_load_state("networkidle")
    received = opened.page.evaluate(
        """() => performance.getEntries().reduce(
            (sum, entry) => sum + (entry.encodedBodySize ?? 0), 0)"""
    )
    assert received < 3e6


@pytest.mark.parametrize("size", [pages.PHONE, pages.DESKTOP], ids=["phone", "desktop"])
@every_page
def test_nothing_moves_while_a_page_loads_and_is_scrolled(visit, name, size):
    watch = """
        window.moved = [];
        new PerformanceObserver((seen) => {
            for (const shift of seen.getEntries()) {
                // the page's contents unfold beside the text where the reader is
                const beside = ({ node }) => (node?.closest ? node : node?.parentElement)
                    ?.closest(".bd-sidebar-secondary");
                if (shift.sources.every(beside)) continue;
                const what = shift.sources.map(({ node }) =>
                    (node?.outerHTML ?? node?.textContent ?? "").slice(0, 120));
                moved.push([shift.value, what]);
            }
        }).observe({ type: "layout-shift", buffered: true });
    """
    opened = visit(name, size=size, init=watch)
    height = opened.page.evaluate("document.scrollingElement.scrollHeight")
    for place in range(0, height, size[1] // 2):
        opened.page.evaluate("place => scrollTo(0, place)", place)
        opened.page.wait_for_timeout(30)
    opened.page.wait_for_load_state("networkidle")
    moved = opened.page.evaluate("moved")
    assert sum(value for value, _ in moved) < 0.01, moved


@pytest.mark.parametrize("size", [pages.PHONE, pages.DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("name", ["book/intro.html", "book/notation.html", "book/saliency.html"])
def test_nothing_moves_for_what_arrives_later(visit, built_book, name, size):
    """A page is painted while its HTML arrives: what is there stands where it will stand."""
    html = (built_book / name).read_text("utf-8")
    ends = [end.end() for end in re.finditer("</(?:div|figure|p|pre|table|tr|ul)>", html)]
    opened = visit("404.html", size=size)
    opened.page.route(re.compile(r"\.js\b"), lambda route: route.abort())
    arrived = []
    opened.page.route(
        f"{opened.home}/{name}",
        lambda route: route.fulfill(body=html[: arrived[-1]], content_type="text/html"),
    )

    def seen_at(end):
        arrived.append(end)
        opened.page.goto(f"{opened.home}/{name}")
        return opened.page.evaluate(f"document.fonts.ready.then({pages.SEEN_AT})")

    whole = seen_at(len(html))
    seen = 0
    # of the link to the next page only the words before its title are there
    next_page = html.index('class="right-next"')
    early = next(end for end in ends if end > next_page)
    for end in [*ends[:: len(ends) // 12], early]:
        for now, then in zip(seen_at(end), whole, strict=False):
            if now:
                seen += 1
                assert now[1:] == pytest.approx(then[1:], abs=0.5), now[0]
    assert seen > 500


# What a page says about itself, in its tab, in a list of results and where it is linked to


def head_of(built_book, name):
    text = (built_book / name).read_text("utf-8")
    head = text[: text.index("</head>")]
    title = re.search(r"<title>(.*?)</title>", head, re.DOTALL)[1]
    meta = {}
    for tag in re.findall(r"<meta\b[^>]*>", head):
        given = dict(re.findall(r'([\w:-]+)="([^"]*)"', tag))
        named = given.get("name") or given.get("property")
        meta.setdefault(named, []).append(given.get("content"))
    links = {}
    for tag in re.findall(r"<link\b[^>]*>", head):
        given = dict(re.findall(r'([\w:-]+)="([^"]*)"', tag))
        links.setdefault(given["rel"], []).append(given["href"])
    return title, meta, links


@every_page
def test_page_says_what_it_is_and_where(built_book, name):
    title, meta, links = head_of(built_book, name)
    (described,) = meta["description"]
    assert 50 <= len(described) <= 300
    assert meta["og:description"] == [described]
    assert title.count(CONFIG["title"]) == 1
    (shown,) = meta["og:title"]
    assert shown in title
    assert links["canonical"] == meta["og:url"] == [ADDRESS + name]
    (picture,) = meta["og:image"]
    assert picture.startswith(ADDRESS)
    assert (built_book / picture.removeprefix(ADDRESS)).is_file()
    (icon,) = links["icon"]
    assert (built_book / name).parent.joinpath(icon).resolve().suffix == ".svg"


def test_no_two_pages_describe_or_name_themselves_alike(built_book):
    heads = [head_of(built_book, name) for name in WRITTEN]
    titles = Counter(title for title, _, _ in heads)
    described = Counter(meta["description"][0] for _, meta, _ in heads)
    assert [text for text, times in (titles + described).items() if times > 1] == []


@pytest.mark.parametrize("number", range(1, len(NUMBERED) + 1))
def test_chapter_its_figures_and_its_tasks_are_numbered(visit, number):
    name = NUMBERED[number - 1]
    page = visit(f"{name}.html").page
    assert page.locator(".bd-article h1").inner_text().startswith(f"{number}. ")
    entry = page.locator('.bd-docs-nav a[href="#"]').first
    assert entry.text_content().startswith(f"{number}. ")
    figures = page.locator(".bd-article figcaption .caption-number").all_inner_texts()
    assert [text.strip() for text in figures] == [
        f"Fig. {number}.{place}" for place in range(1, len(figures) + 1)
    ]
    assert len(figures) > 1
    page = visit(f"{EXERCISES[number - 1]}.html").page
    tasks = page.locator(".bd-article .exercise .admonition-title").all_inner_texts()
    for place, title in enumerate(tasks, 1):
        assert title.startswith(f"Exercise {number}.{place} (Task {place}: "), title
    assert len(tasks) > 1


def test_the_page_for_lost_addresses_leads_to_the_start_and_to_every_chapter(built_book):
    text = (built_book / "404.html").read_text("utf-8")
    links = parsed(text).links
    assert links[0] == ADDRESS
    led_to = [link.removeprefix(ADDRESS) for link in links[1:-1]]
    assert led_to == [f"{name}.html" for name in NUMBERED]
    assert links[-1] == f"{ADDRESS}search.html"
    # it is shown at any depth, so it loads nothing
    assert loaded_by_page(text) == []
    # and calls each chapter what the chapter calls itself
    for name in NUMBERED:
        heading = re.search(r"<h1>(.*?)<a", (built_book / f"{name}.html").read_text("utf-8"))[1]
        bare = re.sub(r"<[^>]*>|^\d+\. ", "", re.sub(r"<span.*?</span>", "", heading))
        assert f">{bare}</a>" in text


def test_the_page_for_lost_addresses_is_read_on_a_phone_and_in_the_dark(visit):
    opened = visit("404.html", size=pages.PHONE, color_scheme="dark")
    assert opened.page.evaluate("document.scrollingElement.scrollWidth") <= pages.PHONE[0]
    assert opened.axe(within="main") == []
