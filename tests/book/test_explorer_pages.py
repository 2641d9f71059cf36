"""The explorers of the built book, driven by keyboard in a headless Chromium.

Without a kernel: from a server and from the disk, each control of each explorer. With a kernel:
the same module, its messages carried to an explorer of this process and back.
"""

import base64
import json
import re
import time
from html.parser import HTMLParser

import pages
import pytest
import torch

from deepinside.explorers.widget import Answer, Control, Explorer, Panel

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
    states = [one["state"] for one in written["state"].values()]
    (traits,) = [one for one in states if "grid" in one]
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
            pictures: panels.map((one) => one.querySelector('img').src),
            alts: panels.map((one) => one.querySelector('img').alt),
            numbers: numbers.map((one) => [...one.children].map((part) => part.textContent)),
          };
        }"""
    )


def expected(grid, key):
    panels, numbers = grid["answers"][key][:2]
    return {
        "pictures": [grid["pictures"][one[3]] for one in panels],
        "alts": [grid["texts"][one[1]] for one in panels],
        "numbers": [[grid["texts"][one] for one in pair] for pair in numbers],
    }


def key_at(spec, places):
    """The key of a state: a control that has no part in it counts as its first value."""
    key = []
    for control in spec["controls"]:
        needed, value = control["needs"] or (None, None)
        other = next((one for one in spec["controls"] if one["name"] == needed), None)
        has_part = other is None or other["values"][places[needed]] == value
        key.append(str(places[control["name"]] if has_part else 0))
    return ",".join(key)


def control_of(page, label):
    return page.get_by_label(label, exact=True)


@each_explorer
@pytest.mark.parametrize("where", ["http", "file"])
def test_explorer_is_driven_by_keyboard_and_shows_what_the_grid_holds(visit, chapter, where):
    spec, grid = explorer_of(chapter)
    assert [one["name"] for one in spec["controls"]] == CHAPTERS[chapter]
    seen = opened(visit, chapter, scheme=where)
    page = seen.page
    places = {one["name"]: one["start"] for one in spec["controls"]}
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
    places = {one["name"]: one["start"] for one in spec["controls"]} | {"way": 1, "lower": 0}
    assert shown(page) == expected(grid, key_at(spec, places))


@each_explorer
def test_answer_is_there_within_50_ms(visit, chapter):
    """From the event to pictures that are decoded, for each value of each list and slider."""
    page = opened(visit, chapter).page
    times = page.evaluate(
        """async () => {
          const times = [];
          for (const one of document.querySelectorAll('.dx select, .dx input[type=range]')) {
            const first = one.value;
            for (let i = 0; i < (one.options?.length ?? Number(one.max) + 1); i++) {
              one.value = i;
              const start = performance.now();
              one.dispatchEvent(new Event('input'));
              const pictures = [...document.querySelectorAll('.dx img')];
              await Promise.all(pictures.filter((p) => p.src).map((p) => p.decode()));
              times.push(performance.now() - start);
            }
            one.value = first;
            one.dispatchEvent(new Event('input'));
          }
          return times.sort((a, b) => a - b);
        }"""
    )
    # the median: a machine that tests something else at the same time may stop for a while
    assert times[len(times) // 2] < 50, times


@each_explorer
def test_change_is_announced_politely_and_the_curve_is_described(visit, chapter):
    page = opened(visit, chapter).page
    heard = page.locator(".dx-heard")
    assert heard.get_attribute("role") == "status"
    name, value = shown(page)["numbers"][0]
    page.wait_for_function("() => document.querySelector('.dx-heard').textContent")
    assert heard.text_content().startswith(f"{name} {value}")
    described = page.locator(".dx-curve svg").evaluate_all(
        "found => found.map((one) => one.getAttribute('aria-label'))"
    )
    assert all(re.match(r"A curve from [-\d.]+ at step 0 to ", one) for one in described)
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
        "found => found.map((one) => one.getBoundingClientRect().toJSON())"
    ):
        assert box["left"] >= 0
        assert box["right"] <= pages.PHONE[0]
    filters = page.locator(".dx img").evaluate_all(
        "found => found.map((one) => getComputedStyle(one).filter)"
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
        alts = [grid["texts"][one[1]] for one in panels]
        assert all(len(alt) > 10 for alt in alts)
        assert len(numbers) >= 2
    told = [" ".join(expected(grid, key)["alts"]) for key in grid["answers"]]
    assert len(set(told)) > len(told) / 4


@each_explorer
def test_page_with_its_explorer_stays_under_3_megabytes(chapter):
    path, parser = page_of(chapter)
    pictures = {(path.parent / one).resolve() for one in parser.pictures if "://" not in one}
    weight = path.stat().st_size + sum(one.stat().st_size for one in pictures)
    assert len(pictures) > 3
    assert weight < 3 * MEGABYTE


# with a kernel: the page's messages reach an explorer in this process

BRIGHT = Control("dim", "Brightness", (0.25, 1.0), start=1.0, log=True)
KIND = Control("kind", "Kind", ("plain", "framed"), "list", free="or any kind")
PHOTO = Control("photo", "Photo", ("none",), "photo")

MODEL = """({ spec, grid, module, style }) => {
  document.head.append(Object.assign(document.createElement('style'), { textContent: style }));
  const heard = [];
  const model = {
    get: (name) => ({ spec, grid })[name],
    on: (name, call) => heard.push(call),
    off: () => {},
    send: (content) => window.toPython(content),
  };
  window.fromPython = (content) => heard.forEach((call) => call(content));
  const url = URL.createObjectURL(new Blob([module], { type: 'text/javascript' }));
  return import(url).then(({ default: { render } }) => render({ model, el: document.body }));
}"""


class Kernel:
    """An explorer of this process behind a page, as a kernel would be."""

    def __init__(self, page, explorer, monkeypatch):
        self.page, self.explorer, self.asked, self.replies = page, explorer, [], []
        monkeypatch.setattr(
            Explorer, "send", lambda _, content, **options: self.replies.append(content)
        )
        page.expose_function("toPython", self._ask)
        page.evaluate(
            MODEL,
            {
                "spec": dict(explorer.spec),
                "grid": dict(explorer.grid),
                "module": explorer._esm,
                "style": explorer._css,
            },
        )

    def _ask(self, content):
        self.asked.append(content)
        self.explorer._receive(self.explorer, content, [])

    def until(self, condition):
        """Carry replies to the page until it is as expected."""
        for _ in range(500):
            while self.replies:
                self.page.evaluate("content => window.fromPython(content)", self.replies.pop(0))
            if self.page.evaluate(condition):
                return
            time.sleep(0.01)
        raise AssertionError(f"{condition}; {self.page.locator('.dx').inner_text()}")


@pytest.fixture
def with_kernel(visit, monkeypatch):
    def answers(states):
        found = []
        for state in states:
            if state["kind"] == "broken":
                raise ValueError("expected a kind that can be drawn, got 'broken'")
            own = not isinstance(state["photo"], str)
            if state["kind"] == "slow":
                while True:
                    torch.nn.Identity()(torch.zeros(1))
            image = state["photo"] if own else torch.full((3, 8, 8), state["dim"])
            numbers = {"brightness": f"{state['dim']:.2f}", "kind": state["kind"]}
            found.append(Answer([Panel("p", f"{state['kind']} picture", image)], numbers))
        return found

    explorer = Explorer("A test", [BRIGHT, KIND, PHOTO], answers)
    page = visit("book/references.html").page
    page.evaluate("document.body.replaceChildren()")
    kernel = Kernel(page, explorer, monkeypatch)
    kernel.until("document.querySelector('.dx-status').textContent.includes('connected')")
    return kernel


NUMBERS = "[...document.querySelectorAll('.dx-numbers strong')].map((one) => one.textContent)"
BUSY = "document.querySelector('.dx').getAttribute('aria-busy')"


def test_with_a_kernel_a_value_between_is_computed(with_kernel):
    page = with_kernel.page
    control_of(page, "Brightness").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(BUSY) == "true"
    assert "Computing" in page.locator(".dx-status").text_content()
    with_kernel.until(f"{BUSY} === 'false'")
    # a tenth of the way from 1 to 0.25, evenly in the logarithm
    assert page.evaluate(NUMBERS)[0] == "0.87"
    page.keyboard.press("Home")
    assert page.evaluate(NUMBERS)[0] == "0.25"  # from the grid, at once


def test_with_a_kernel_an_error_is_told_in_place_and_goes_away(with_kernel):
    page = with_kernel.page
    control_of(page, "or any kind").fill("broken")
    page.keyboard.press("Enter")
    with_kernel.until("document.querySelector('.dx-error')")
    status = page.locator(".dx-status")
    assert status.text_content() == "expected a kind that can be drawn, got 'broken'"
    assert status.get_attribute("role") == "alert"
    assert page.evaluate(BUSY) == "false"
    control_of(page, "Kind").select_option("1")
    assert page.evaluate(NUMBERS)[1] == "framed"
    assert not page.locator(".dx-error").count()


def test_with_a_kernel_the_newest_request_is_answered_first(with_kernel):
    page = with_kernel.page
    field = control_of(page, "or any kind")
    field.fill("slow")
    page.keyboard.press("Enter")
    assert page.evaluate(BUSY) == "true"
    field.fill("quick")
    page.keyboard.press("Enter")
    with_kernel.until(f"{NUMBERS}[1] === 'quick'")
    assert page.evaluate(BUSY) == "false"


def test_with_a_kernel_the_readers_own_photo_is_computed(with_kernel, tmp_path):
    page = with_kernel.page
    url = page.evaluate(
        """() => {
          const canvas = Object.assign(document.createElement('canvas'), { width: 60, height: 30 });
          const drawing = canvas.getContext('2d');
          drawing.fillStyle = 'red';
          drawing.fillRect(0, 0, 60, 30);
          return canvas.toDataURL('image/png');
        }"""
    )
    path = tmp_path / "mine.png"
    path.write_bytes(base64.b64decode(url.split(",")[1]))
    field = control_of(page, "or your own photo")
    field.set_input_files(path)
    page.wait_for_function(f"() => {BUSY} === 'true'")
    with_kernel.until(f"{BUSY} === 'false'")
    seen = page.evaluate(
        """async () => {
          const image = document.querySelector('.dx img');
          await image.decode();
          const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
          const drawing = canvas.getContext('2d');
          drawing.drawImage(image, 0, 0, 1, 1);
          const color = drawing.getImageData(0, 0, 1, 1).data;
          return [image.naturalWidth, image.naturalHeight, ...color];
        }"""
    )
    assert seen[:2] == [60, 30]
    assert seen[2] > 230
    assert seen[3] < 30
    assert page.locator(".dx-settings").text_content().endswith("Photo: your photo")
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    field.set_input_files(broken)
    page.wait_for_selector(".dx-error")
    assert "broken.png" in page.locator(".dx-error").text_content()
