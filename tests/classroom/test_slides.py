"""The sessions' slides: made from the chapters, and as a class sees them in Chromium."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import make_slides
import nbformat
import pages
import pytest
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "classroom" / "slides").glob("*.md"))
SIZE = {"width": 1280, "height": 720}
SLIDE = "## A slide\n\n{}\n\nNote: 90 min\n\nSay it.\n"
NUMBER = re.compile(r"\d+\.\d+|\d{2,}")

each_session = pytest.mark.parametrize("name", [path.stem for path in SOURCES])

# what of the slide that is shown reaches out of it, under the figure, or is too small to be read
MISPLACED = """() => {
  const slide = Reveal.getCurrentSlide();
  const figure = slide.querySelector("figure.high")?.getBoundingClientRect();
  return [...slide.querySelectorAll(":not(.notes, .notes *, .katex-mathml *)")].filter((part) => {
    const { left, top, right, bottom, width, height } = part.getBoundingClientRect();
    const scale = Math.min(width / part.naturalWidth, height / part.naturalHeight);
    const small = part.matches("img") && scale < 0.55;
    const out = left < 0 || top < 0 || right > 1240 || bottom > 690;
    const hidden = part.matches("pre") && part.scrollWidth > part.clientWidth;
    const under = figure && !part.closest("figure") && right > figure.left && bottom > figure.top;
    return width && (out || small || hidden || under);
  }).map((part) => `${slide.querySelector("h1, h2").textContent}: ${part.outerHTML.slice(0, 80)}`);
}"""


class Parsed(HTMLParser):
    """The pictures, links and notes of a page, and how many slides it has."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.links, self.slides, self.notes = [], [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "img":
            self.pictures.append(given)
        if tag == "a":
            self.links.append(given["href"])
        self.slides += tag == "section"
        self.notes += given.get("class") == "notes"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the slides, beside KaTeX's styles as in the book."""
    folder = tmp_path_factory.mktemp("html")
    make_slides.make_slides(folder / "slides")
    katex = ROOT / "_build" / "scripts" / "katex"
    if katex.exists():
        shutil.copytree(katex, folder / "katex")
    return folder


@pytest.fixture
def shown(made, browser):
    """A function that opens a session from the disk and returns a `pages.Visit`."""
    if not (made / "katex").exists():
        pytest.skip("KaTeX's styles are not there: `make book`")
    context = browser.new_context(viewport=SIZE)

    def open_session(name, query=""):
        seen = pages.Visit(context, made.as_uri())
        seen.page.goto(f"{made.as_uri()}/slides/{name}.html{query}", wait_until="load")
        seen.page.wait_for_function("Reveal.isReady()")
        return seen

    yield open_session
    context.close()


def page_of(made, name):
    return (made / "slides" / f"{name}.html").read_text("utf-8")


def chapter_texts():
    """All that the chapters say and print."""
    for path in (ROOT / "book").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            yield cell.source if cell.cell_type == "markdown" else ""
            yield from (output.get("text", "") for output in cell.get("outputs", ()))


def test_there_are_six_sessions():
    assert [path.stem for path in SOURCES] == [f"session_{i}" for i in range(1, 7)]


@each_session
def test_a_session_has_slides_with_notes_and_pictures_with_alt_texts(made, name):
    page = Parsed(page_of(made, name))
    assert 12 <= page.slides <= 16
    assert page.notes == page.slides
    assert len(page.pictures) >= 2
    for picture in page.pictures:
        assert len(picture["alt"]) > 80
        assert (made / "slides" / picture["src"]).is_file()
    assert '<html lang="en">' in page_of(made, name)
    assert "\0" not in page_of(made, name)


@each_session
def test_numbers_are_those_of_the_chapters(name):
    text = (ROOT / "classroom" / "slides" / f"{name}.md").read_text("utf-8")
    ours = re.sub(r"```.*?```|^Note: .*$|\]\([^)]*\)", "", text, flags=re.DOTALL | re.MULTILINE)
    theirs = set(NUMBER.findall("\n".join(chapter_texts()).replace(",", "")))
    assert set(NUMBER.findall(ours.replace(",", ""))) - theirs == set()


def test_figures_code_and_output_are_taken_from_the_chapter():
    deck = make_slides.Deck()
    blocks = (
        "figure\nsaliency fig-classes",
        "code\nsaliency saliency-07 5-6",
        "printed\nnetwork network-22",
    )
    text = "\n\n".join(f"```{block}\n```" for block in blocks)
    page = deck.page("# One\n\n" + SLIDE.format(text))
    assert 'alt="Four maps of the coffee cup. Espresso, cup' in page
    assert "Maps of the coffee photo for four classes, on one scale." in page.split("notes")[1]
    lines = "variable = eight.clone().requires_grad_()\ngradient = torch.autograd.grad("
    assert f"<pre>{lines}" in page
    assert "<pre>slopes [0.223, -0.163, -0.06]\nsum    0.0</pre>" in page
    assert deck.chapters.pictures["fig-classes"].data[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("figure\nsaliency fig-none", "no figure 'fig-none'"),
        ("printed\nsaliency none", "no cell 'none'"),
        ("code\nsaliency saliency-07 50-51", "no such lines"),
    ],
)
def test_what_a_chapter_does_not_have_is_an_error(block, message):
    with pytest.raises(ValueError, match=message):
        make_slides.Deck().page("# One\n\n" + SLIDE.format(f"```{block}\n```"))


def test_a_slide_without_time_and_a_session_of_another_length_are_errors():
    with pytest.raises(ValueError, match="expected one 'Note: N min' in this slide"):
        make_slides.Deck().page("# One\n\nNo notes.\n")
    with pytest.raises(ValueError, match="'One' take 180 minutes, not 90"):
        make_slides.Deck().page("# One\n" + SLIDE + "---\n" + SLIDE)


@each_session
def test_links_lead_to_pages_and_to_states_that_there_are(made, built_book, name):
    for link in Parsed(page_of(made, name)).links:
        address = urlsplit(link)
        target = (built_book / "slides" / address.path).resolve()
        anchor, _, state = address.fragment.partition("?")
        assert target.is_file(), link
        if not state:
            assert not anchor or f'id="{anchor}"' in target.read_text("utf-8"), link
        elif anchor != "playground":
            script = (built_book / "_static" / "explorers" / f"{anchor}.js").read_text("utf-8")
            spec = json.loads(script[script.index("{") : script.rindex("}") + 1])["spec"]
            values = {control["name"]: control["values"] for control in spec["controls"]}
            for part, (value,) in parse_qs(state).items():
                assert value in [as_text(known) for known in values[part]], link


def as_text(value):
    """Return a value of a control as an address has it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@each_session
def test_slides_open_from_the_disk_and_nothing_reaches_out_of_one(shown, name):
    seen = shown(name)
    for _ in range(seen.page.evaluate("Reveal.getTotalSlides()")):
        assert seen.page.evaluate(MISPLACED) == []
        seen.page.keyboard.press("ArrowRight")
    assert seen.page.evaluate("Reveal.isLastSlide()")
    assert (seen.errors, seen.elsewhere, seen.failed) == ([], [], [])


def test_what_reaches_out_of_a_slide_is_noticed(shown):
    page = shown("session_1").page
    page.evaluate("Reveal.getCurrentSlide().append('word '.repeat(999))")
    page.evaluate("Reveal.getCurrentSlide().insertAdjacentHTML('beforeend', '<p>below</p>')")
    assert [found[-12:] for found in page.evaluate(MISPLACED)][-1:] == ["<p>below</p>"]


def test_axe_finds_nothing_serious(shown):
    seen = shown("session_3")
    show = "kind => Reveal.slide(Reveal.getSlides().findIndex((one) => one.matches(kind)))"
    for kind in (".question", ".live", ".tasks", *(f":has({x})" for x in ("h1", "img", "pre"))):
        seen.page.evaluate(show, kind)
        assert seen.axe("body") == []


def test_print_view_has_a_page_a_slide(shown):
    seen = shown("session_5", "?print-pdf")
    seen.page.wait_for_selector(".pdf-page")
    seen.page.emulate_media(media="print")
    lefts = "() => [...document.querySelectorAll('h2')].map((h) => h.getBoundingClientRect().left)"
    assert min(seen.page.evaluate(lefts)) >= 64
    path = Path(seen.home.removeprefix("file://"), "slides.pdf")
    seen.page.pdf(path=path, prefer_css_page_size=True, print_background=True)
    assert len(PdfReader(path).pages) == seen.page.evaluate("Reveal.getTotalSlides()")
