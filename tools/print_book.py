"""Print the built book into one file of pages, a PDF: ``make pdf``.

The pages that `_toc.yml` lists, without those of the package, become one document, which
Chromium prints. A browser knows the number of a page only when it has printed it. So the book
is printed twice, and the second time the contents have the numbers.
"""

import html
import os
import re
import sys
import tempfile
from pathlib import Path
from urllib.parse import urldefrag

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import pages

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("book/api/", "book/teaching")
SHEETS = 'link[rel="stylesheet"]'
REPEATED = {"Exercises", "Recap", "References"}  # sections of every chapter, not in the contents
NAME = "deep-inside-convnets.pdf"
# beside the book's own style of paper, what only the whole book has
STYLE = """
article.bd-article, .print-contents { break-before: page; }
/* which the theme replaces on paper by a title outside of the article */
.bd-main .bd-content .bd-article h1:first-of-type { display: block; margin: 0 0 1.5rem; }
.print-title { padding-top: 70mm; text-align: center; }
.print-title p:first-child { font-size: 3rem; font-weight: 600; }
.print-contents { columns: 2; }
.print-contents h1 { column-span: all; }
.print-contents a { display: flex; break-inside: avoid; justify-content: space-between;
  color: inherit; text-decoration: none; font-size: 0.85rem; }
.print-contents .level-1 { margin-top: 0.5rem; font-weight: 600; }
.print-contents .level-2 { padding-left: 1.5rem; }
"""
PAPER = {
    "format": "A4",
    "margin": {"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
    "display_header_footer": True,
    "header_template": "<span></span>",
    "print_background": True,
    "outline": True,
    "tagged": True,
}
# where the first page tells of the file
PLACE = re.compile(r'(<span class="print-edition">).*?(</span>)')
FOOTER = '<div style="width:100%;font-size:8pt;text-align:center"><span class="pageNumber"></span>'


def printed_pages(contents: dict) -> list[str]:
    """Return the names of the pages to print, in the order of a table of contents.

    Parameters
    ----------
    contents : dict
        What `_toc.yml` holds.
    """
    names = [contents["root"]]
    for part in contents["parts"]:
        for chapter in part["chapters"]:
            names += [chapter["file"], *(below["file"] for below in chapter.get("sections", []))]
    return [name for name in names if not name.startswith(LEFT_OUT)]


def anchor(page: str, fragment: str = "") -> str:
    """Return the name in the whole document of a place that a page has."""
    return re.sub(r"[^\w-]", "-", f"{page}--{fragment}" if fragment else page)


def article(folder: Path, page: str, printed: list[str], address: str) -> Tag:
    """Return the text of a page, whose links lead to places of the same document.

    Links to pages that are not printed, and to states of what moves, lead to `address`, where the
    book is published. The page's style sheets and pictures have whole addresses.
    """
    soup = BeautifulSoup((folder / f"{page}.html").read_text("utf-8"), "html.parser")
    here = (folder / page).parent
    for sheet in soup.select(SHEETS):
        sheet["href"] = (here / sheet["href"].partition("?")[0]).resolve().as_uri()
    text = soup.select_one("article.bd-article")
    for gone in text.select("script, source, .headerlink, .print-edition"):
        gone.decompose()
    for named in text.select("[id]"):
        named["id"] = anchor(page, named["id"])
    for picture in text.select('img:not([src^="data:"])'):
        picture["src"] = (here / picture["src"]).resolve().as_uri()
    for picture in text.select("img"):
        del picture["loading"]
    for enlarged in text.select("a.enlarge"):
        enlarged.unwrap()
    for link in text.select("a[href]"):
        path, fragment = urldefrag(link["href"])
        if ":" in path:
            continue
        file = Path(os.path.normpath(Path(page).parent / path)) if path else Path(f"{page}.html")
        leads_to = file.with_suffix("").as_posix()
        # a state, which begins with "?", is one of the page in a browser
        if leads_to in printed and "?" not in fragment:
            link["href"] = f"#{anchor(leads_to, fragment)}"
        else:
            link["href"] = f"{address}{file.as_posix()}" + (f"#{fragment}" if fragment else "")
    text["id"] = anchor(page)
    return text


def headings(articles: list[Tag]) -> list[tuple[int, str, str]]:
    """Return level, title and name of the chapters and their sections."""
    found = []
    for text in articles:
        for heading in text.select("h1, h2"):
            level, title = int(heading.name[1]), heading.get_text()
            if level == 1 or title not in REPEATED:
                place = text["id"] if level == 1 else heading.find_parent(id=True)["id"]
                found.append((level, title, place))
    return found


def contents_page(entries: list[tuple[int, str, str]], numbers: dict[str, int]) -> str:
    """Return the table of contents, with the numbers of the pages as far as they are known."""
    rows = "".join(
        f'<a class="level-{level}" href="#{place}"><span>{html.escape(title)}</span>'
        f"<span>{numbers.get(place, '&nbsp;')}</span></a>"
        for level, title, place in entries
    )
    return f'<nav class="print-contents"><h1>Contents</h1>{rows}</nav>'


def page_numbers(path: Path) -> dict[str, int]:
    """Return the page, counted from 1, of every place of a PDF that a link leads to."""
    reader = PdfReader(path)
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def print_book(folder: Path, config: dict, contents: dict, chromium: str, path: Path) -> None:
    """Print a built book.

    Parameters
    ----------
    folder : Path
        Where the pages are.
    config, contents : dict
        What `_config.yml` and `_toc.yml` hold.
    chromium : str
        The path of the browser.
    path : Path
        Where the PDF is written.
    """
    names = printed_pages(contents)
    articles = [article(folder, name, names, config["html"]["baseurl"]) for name in names]
    entries, body = headings(articles), "".join(map(str, articles))
    # each style sheet once, in the order in which the pages ask for them
    found = dict.fromkeys(
        sheet["href"] for text in articles for sheet in text.find_parent("html").select(SHEETS)
    )
    head = "".join(f'<link rel="stylesheet" href="{sheet}">' for sheet in found)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=chromium, args=pages.CHROMIUM_OPTIONS)
        document = Path(scratch, "book.html")
        for is_second in (False, True):
            numbers = page_numbers(path) if is_second else {}
            document.write_text(
                '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
                f"<title>{html.escape(config['title'])}</title>{head}<style>{STYLE}</style></head>"
                f'<body><div class="bd-main"><div class="bd-content">{title_page(config)}'
                f"{contents_page(entries, numbers)}{body}</div></div></body></html>",
                "utf-8",
            )
            page = browser.new_page()
            page.goto(document.as_uri(), wait_until="load")
            page.pdf(path=path, footer_template=FOOTER, **PAPER)
            page.close()
        browser.close()


def link_from_first_page(folder: Path, first: str, path: Path) -> None:
    """Tell on the first page of a built book that there is a PDF of it."""
    page = folder / f"{first}.html"
    told = (
        f'A <a href="{os.path.relpath(path, page.parent)}">PDF to print</a> has '
        f"{len(PdfReader(path).pages)} pages and {path.stat().st_size / 1e6:.0f} MB."
    )
    text = page.read_text("utf-8")
    page.write_text(PLACE.sub(lambda place: place[1] + told + place[2], text), "utf-8")


def title_page(config: dict) -> str:
    """Return the first page: the book's name, and where it lives."""
    address = config["html"]["baseurl"]
    title, author = (html.escape(config[name]) for name in ("title", "author"))
    return (
        f'<header class="print-title"><p>{title}</p><p>{author}</p>'
        f'<p>In this edition the explorers are pictures. They answer at<br><a href="{address}">'
        f"{address}</a></p></header>"
    )


def main() -> None:
    """Print the book that is built here."""
    chromium = pages.find_chromium()
    if chromium is None:
        sys.exit("No Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one.")
    config, contents = (
        yaml.safe_load((ROOT / name).read_text("utf-8")) for name in ("_config.yml", "_toc.yml")
    )
    path = pages.BUILT / NAME
    print_book(pages.BUILT, config, contents, chromium, path)
    link_from_first_page(pages.BUILT, contents["root"], path)
    print(path)


if __name__ == "__main__":
    main()
