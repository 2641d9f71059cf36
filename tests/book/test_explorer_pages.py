"""The explorers of the built book, driven by keyboard in a headless Chromium.

Without a kernel: from a server and from the disk, each control of each explorer. What the same
module does with a kernel is in tests/explorers/test_front_end.py.
"""

import json
import re
from html.parser import HTMLParser

import pages
import pytest

CHAPTERS = {
    "class_models": ["class", "start", "l2_weight", "step_size"],
    "saliency": ["photo", "class", "map"],
    "localization": ["photo", "map", "way", "upper", "lower"],
    "deconvnet": ["photo", "layer", "rule"],
}
MEGABYTE = 1_000_000
STATE = "application/vnd.jupyter.widget-state+json"

each_explorer = pytest.mark.parametrize("chapter", CHAPTERS)


class Scripts(HTMLParser):
    """Collects what stands in scripts of one type, and where pictures come from."""

    def __init__(self):
        super().__init__()
        self.kind, self.found, self.pictures = None, [], set()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.kind = given.get("type") if tag == "script" else None
        if tag == "img":
            self.pictures.add(given["src"])

    def handle_data(self, text):
        if self.kind == STATE:
            self.found.append(text)


def page_of(chapter):
    path = pages.BUILT / "book" / f"{chapter}.html"
    if not path.exists():
        pytest.fail(f"expected the built book, found no {path}: make book")
    parser = Scripts()
    parser.feed(path.read_text("utf-8"))
    return path, parser


def explorer_of(chapter):
    """Return spec and grid of a page's explorer, as they were written into it."""
    written = json.loads("".join(page_of(chapter)[1].found))
    states = [model["state"] for model in written["state"].values()]
    (traits,) = [state for state in states if "grid" in state]
    return traits["spec"], traits["grid"]


def opened(visit, chapter, **options):
    seen = visit(f"book/{chapter}.html", **options)
    seen.page.wait_for_selector(".dx img")
    return seen


def shown(page):
    """What a reader of the explorer sees and hears: pictures, alt texts, numbers."""
    return page.evaluate(
        """() => {
          const panels = [...document.querySelectorAll('.dx figure:not(.dx-curve)')];
          const numbers = [...document.querySelectorAll('.dx-numbers div')];
          return {
            pictures: panels.map((panel) => panel.querySelector('img').src),
            alts: panels.map((panel) => panel.querySelector('img').alt),
            numbers: numbers.map((pair) => [...pair.children].map((part) => part.textContent)),
          };
        }"""
    )


def expected(grid, key):
    panels, numbers = grid["answers"][key][:2]
    return {
        "pictures": [grid["pictures"][picture] for _, _, _, picture, *_ in panels],
        "alts": [grid["texts"][alt] for _, alt, *_ in panels],
        "numbers": [[grid["texts"][text] for text in pair] for pair in numbers],
    }


def key_at(spec, places):
    """The key of a state: a control that has no part in it counts as its first value."""
    key = []
    for control in spec["controls"]:
        needed, value = control["needs"] or (None, None)
        other = next((c for c in spec["controls"] if c["name"] == needed), None)
        has_part = other is None or other["values"][places[needed]] == value
        key.append(str(places[control["name"]] if has_part else 0))
    return ",".join(key)


def control_of(page, label):
    return page.get_by_label(label, exact=True)


@each_explorer
@pytest.mark.parametrize("where", ["http", "file"])
def test_explorer_is_driven_by_keyboard_and_shows_what_the_grid_holds(visit, chapter, where):
    spec, grid = explorer_of(chapter)
    assert [control["name"] for control in spec["controls"]] == CHAPTERS[chapter]
    seen = opened(visit, chapter, scheme=where)
    page = seen.page
    places = {control["name"]: control["start"] for control in spec["controls"]}
    assert shown(page) == expected(grid, key_at(spec, places))
    different = 0
    for control in spec["controls"]:
        part = control_of(page, control["label"])
        if part.is_disabled():  # it is needed by nothing that is chosen yet
            continue
        part.focus()
        for key, step in (("ArrowDown", 1), ("ArrowUp", -1)):
            if control["kind"] == "slider":
                step = -step
            place = places[control["name"]] + step
            if not 0 <= place < len(control["values"]):
                continue
            before = shown(page)
            page.keyboard.press(key)
            places[control["name"]] = place
            assert shown(page) == expected(grid, key_at(spec, places)), control["name"]
            different += shown(page) != before
    assert different >= len(CHAPTERS[chapter])
    assert (seen.errors, seen.elsewhere, seen.failed) == ([], [], [])


def test_control_without_a_part_is_disabled_and_says_so(visit):
    spec, grid = explorer_of("localization")
    page = opened(visit, "localization").page
    lower = control_of(page, spec["controls"][4]["label"])
    assert lower.is_disabled()
    assert lower.get_attribute("aria-valuetext") == "no part here"
    way = control_of(page, "Way")
    way.focus()
    page.keyboard.press("ArrowDown")
    assert lower.is_enabled()
    lower.focus()
    page.keyboard.press("Home")
    places = {control["name"]: control["start"] for control in spec["controls"]}
    places |= {"way": 1, "lower": 0}
    assert shown(page) == expected(grid, key_at(spec, places))


@each_explorer
def test_answer_stands_there_when_the_event_is_over(visit, chapter):
    """Nothing is waited for: the page shows each value of each control within its event."""
    spec, grid = explorer_of(chapter)
    page = opened(visit, chapter).page
    places = {control["name"]: control["start"] for control in spec["controls"]}
    for control in spec["controls"]:
        alts = control_of(page, control["label"]).evaluate(
            """(part, places) => places.map((place) => {
              part.value = place;
              part.dispatchEvent(new Event('input'));
              return [...document.querySelectorAll('.dx figure:not(.dx-curve) img:first-child')]
                .map((image) => image.alt);
            })""",
            [*range(len(control["values"])), places[control["name"]]],
        )
        for place, told in enumerate(alts[:-1]):
            key = key_at(spec, places | {control["name"]: place})
            assert told == expected(grid, key)["alts"], f"{control['name']} at {place}"


@each_explorer
def test_change_is_announced_politely_and_the_curve_is_described(visit, chapter):
    page = opened(visit, chapter).page
    heard = page.locator(".dx-heard")
    assert heard.get_attribute("role") == "status"
    name, value = shown(page)["numbers"][0]
    page.wait_for_function("() => document.querySelector('.dx-heard').textContent")
    assert heard.text_content().startswith(f"{name} {value}")
    described = page.locator(".dx-curve svg").evaluate_all(
        "found => found.map((curve) => curve.getAttribute('aria-label'))"
    )
    assert all(re.match(r"A curve from [-\d.]+ at step 0 to ", text) for text in described)
    assert len(described) == (chapter == "class_models")


@each_explorer
def test_axe_finds_nothing_serious_in_an_explorer(visit, chapter):
    seen = opened(visit, chapter)
    assert seen.axe(".dx") == []


@each_explorer
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_explorer_fits_a_phone_and_keeps_its_colors(visit, chapter, scheme):
    page = opened(visit, chapter, size=pages.PHONE, color_scheme=scheme).page
    assert page.evaluate("document.scrollingElement.scrollWidth") <= pages.PHONE[0]
    for box in page.locator(".dx, .dx img, .dx select, .dx input").evaluate_all(
        "found => found.map((part) => part.getBoundingClientRect().toJSON())"
    ):
        assert box["left"] >= 0
        assert box["right"] <= pages.PHONE[0]
    filters = page.locator(".dx img").evaluate_all(
        "found => found.map((image) => getComputedStyle(image).filter)"
    )
    assert set(filters) == {"none"}


def test_nothing_moves_for_a_reader_who_wants_no_motion(visit):
    page = opened(visit, "saliency").page
    moving = "getComputedStyle(document.querySelector('.dx-shown')).transitionDuration"
    assert page.evaluate(moving) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == "0s"


@each_explorer
def test_printed_page_has_pictures_and_settings_but_no_controls(visit, chapter):
    page = opened(visit, chapter).page
    page.emulate_media(media="print")
    assert page.locator(".dx-shown img").first.is_visible()
    assert page.locator(".dx-numbers").is_visible()
    assert not page.locator(".dx-controls").is_visible()
    first = explorer_of(chapter)[0]["controls"][0]
    settings = page.locator(".dx-settings")
    assert settings.is_visible()
    assert settings.text_content().startswith(
        f"{first['label']}: {first['values'][first['start']]}"
    )


@each_explorer
def test_every_state_has_its_own_words(chapter):
    _, grid = explorer_of(chapter)
    for panels, numbers, *_ in grid["answers"].values():
        alts = [grid["texts"][alt] for _, alt, *_ in panels]
        assert all(len(alt) > 10 for alt in alts)
        assert len(numbers) >= 2
    told = [" ".join(expected(grid, key)["alts"]) for key in grid["answers"]]
    assert len(set(told)) > len(told) / 4


@each_explorer
def test_page_with_its_explorer_stays_under_3_megabytes(chapter):
    path, parser = page_of(chapter)
    pictures = {(path.parent / name).resolve() for name in parser.pictures if "://" not in name}
    weight = path.stat().st_size + sum(picture.stat().st_size for picture in pictures)
    assert len(pictures) > 3
    assert weight < 3 * MEGABYTE
