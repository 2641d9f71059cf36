"""The first view as HTML, and ``widget.js`` taking it over on a page of its own."""

import json
import re
from pathlib import Path

import pages
import pytest
import torch

from deepinside.explorers import Answer, Control, Curve, Explorer, Panel
from deepinside.explorers.first_view import first_view
from deepinside.explorers.packing import bar_panel, map_panel

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
WIDTHS = {1280: 900, 768: 1024, 390: 844}

CONTROLS = [
    Control("photo", "Photo <1>", ("cat", 'a "dog" & co'), "photo", start='a "dog" & co'),
    Control("kind", "Kind", ("plain", "striped"), "list"),
    Control("dim", "Brightness", (0.001, 0.25, 1.0), start=0.25, log=True),
    Control("width", "Width", (1.0, 2.0, 4.0), start=2.0, needs=("kind", "striped")),
]
QUOTED = 'a "quoted" word'


def answers(states):
    """A tall photo with boxes and a mask, its map, frames, and a curve below zero."""
    found = []
    for state in states:
        photo = torch.full((3, 20, 20), state["dim"])
        photo[:, :, : int(state["width"]) if state["kind"] == "striped" else 0] = 0
        mask = torch.zeros(20, 20, dtype=torch.bool)
        mask[5:15, 5:15] = True
        boxes = {"found <&>": (5, 5, 15, 15), "drawn": (4.25, 4, 16, 16)}
        ramp = torch.arange(400.0).reshape(20, 20) * state["dim"]
        frames = torch.cat([torch.full((1, 8, 8), i / 2) for i in range(3)], dim=2)
        panels = [
            Panel(
                'a "photo" <b>',
                f"<i> & '{state['kind']}', {QUOTED}",
                photo,
                mask,
                boxes,
                aspect=(30, 20),
            ),
            map_panel(f"a ramp of {state['dim']:g}", ramp)._replace(aspect=(30, 20)),
            Panel("frames", "three of them", frames, frames=3),
            bar_panel("<bars>", {"a & b": state["dim"], "c": -0.5}, (-1, 1), digits=2),
        ]
        curve = Curve("score <&>", 20, [-12.5, float("nan"), 100 * state["dim"]], mark=2)
        numbers = {"dim <&>": f"{state['dim']:g}", "photo": state["photo"]}
        found.append(Answer(panels, numbers, curve))
    return found


@pytest.fixture(scope="module")
def explorer():
    return Explorer('A "test" of <all> & more', CONTROLS, answers)


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>A page</title>
<script defer src="fragment.js"></script><script defer src="explorers.js"></script>
<body style="margin: 0"><h1>Above</h1><p><a href="#tried?dim=1&photo=cat">a link</a></p>
<div style="height: {above}px"></div>
<div class="explorer" data-name="tried" data-script="tried.js"><style>{style}</style>{view}</div>
<p id="below">Below</p><div style="height: 1500px"></div>"""


@pytest.fixture(scope="module")
def folder(explorer, tmp_path_factory):
    """A folder with a page on which the explorer stands, and one on which it stands far below."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("explorers.js", "fragment.js"):
        (folder / name).write_text((STATIC / name).read_text("utf-8"), "utf-8")
    parts = {"view": first_view(explorer.spec, explorer.grid), "style": explorer._css}
    (folder / "near.html").write_text(PAGE.format(above=0, **parts), "utf-8")
    (folder / "far.html").write_text(PAGE.format(above=5000, **parts), "utf-8")
    names = ("spec", "grid", "_esm", "_css")
    traits = json.dumps({name: getattr(explorer, name) for name in names})
    (folder / "tried.js").write_text(f'explorerArrived("tried", {traits});', "utf-8")
    return folder


class Opened:
    """One of the two pages, whose data can be held back."""

    def __init__(self, browser, home, size=(1280, 900), **options):
        self.home = home
        viewport = {"width": size[0], "height": size[1]}
        self.context = browser.new_context(viewport=viewport, **options)
        self.page = self.context.new_page()
        self.errors, self.held, self.holding = [], [], False
        self.page.on("pageerror", lambda error: self.errors.append(error.message))
        self.page.route("**/tried.js", self._route)

    def _route(self, route):
        if self.holding:
            self.held.append(route)
        else:
            route.continue_()

    def go(self, name="near.html"):
        self.page.goto(f"{self.home}/{name}")
        if not self.holding and name.startswith("near"):
            self.awake()

    def awake(self):
        self.page.wait_for_selector(".dx[data-lm-suppress-shortcuts]")

    def let_through(self):
        self.holding = False
        for route in self.held:
            route.continue_()
        self.awake()

    def numbers(self):
        return self.page.locator(".dx-view > .dx-numbers strong").all_text_contents()

    def status(self):
        return self.page.locator(".dx-status").text_content()


@pytest.fixture(params=["http", "file"])
def opened(request, browser, folder):
    """A function that opens the page from a server and from the disk."""
    made = []

    def open_page(**options):
        home = folder.as_uri() if request.param == "file" else request.getfixturevalue("served")
        made.append(Opened(browser, home, **options))
        return made[-1]

    yield open_page
    for each in made:
        each.context.close()
        assert not each.errors


@pytest.fixture(scope="module")
def served(folder):
    with pages.serving(folder) as address:
        yield address


# what is seen and heard of an explorer: elements, attributes, texts and values, but no identifiers
SEEN = """(dx) => {
  const seen = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.textContent;
    const left = ['id', 'for', 'value', 'selected', 'data-lm-suppress-shortcuts', 'aria-busy'];
    const given = [...node.attributes].filter(({ name, value }) =>
      !left.includes(name) && !(name === 'style' && !value) && !(name === 'class' && !value));
    const style = node.style?.cssText;
    return [
      node.localName,
      given.map(({ name, value }) => [name, name === 'style' ? style : value]).sort(),
      node.value ?? null,
      [...node.childNodes].map(seen),
    ];
  };
  return seen(dx);
}"""


def both(page, explorer):
    """Return what is seen of the first view, and of a widget below it."""
    page.set_content(f"<body>{first_view(explorer.spec, explorer.grid)}")
    written = page.locator(".dx").evaluate(SEEN)
    parts = {name: getattr(explorer, name) for name in ("spec", "grid", "_esm")}
    page.evaluate(
        """async (parts) => {
          const url = URL.createObjectURL(new Blob([parts._esm], { type: 'text/javascript' }));
          const { default: { render } } = await import(url);
          const el = document.body.appendChild(document.createElement('div'));
          const model = { get: (name) => parts[name], on() {}, off() {}, send() {} };
          render({ model, el, page: { link: () => '', leave() {}, listen() {} } });
        }""",
        parts,
    )
    return written, page.locator(".dx").nth(1).evaluate(SEEN)


def test_first_view_has_the_elements_that_the_widget_makes(browser, explorer):
    """Taken over or made anew, both are one thing."""
    page = browser.new_page()
    written, made = both(page, explorer)
    assert made == written
    page.close()


def test_curve_that_diverged_is_the_word_and_no_axes(browser):
    score = Control("step", "Step size", (0.1, 0.3))

    def diverged(states):
        panels = [Panel("p", "gray", torch.full((1, 8, 8), 0.5), frames=2)]
        curve = Curve("score", 100, [0.373, float("nan"), float("nan")])
        return [Answer(panels, {"score": "diverged"}, curve) for _ in states]

    explorer = Explorer("Diverged", [score], diverged)
    page = browser.new_page()
    written, made = both(page, explorer)
    assert made == written
    drawing = page.locator(".dx-curve svg").first
    assert drawing.locator("*").count() == 1
    assert drawing.locator("text").text_content() == "diverged"
    assert drawing.get_attribute("aria-label") == "No curve: the image diverged."
    page.get_by_role("button", name="Play").nth(1).click()
    assert page.locator("circle").count() == 0
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_for_what_arrives_later(browser, explorer, width):
    """A page is painted while its HTML arrives: what is there stands where it will stand."""
    page = browser.new_page(viewport={"width": width, "height": WIDTHS[width]})
    html = f"<!doctype html><style>{explorer._css}</style>"
    html += first_view(explorer.spec, explorer.grid)
    page.set_content(html)
    whole = page.evaluate(pages.SEEN_AT)
    ends = [end.end() for end in re.finditer("</(?:div|figure|p|button)>", html)]
    assert len(ends) > 20
    seen = 0
    for end in ends:
        page.set_content(html[:end])
        for now, then in zip(page.evaluate(pages.SEEN_AT), whole, strict=False):
            if now:
                seen += 1
                assert now[1:] == pytest.approx(then[1:], abs=0.5), now[0]
    assert seen > 500
    page.close()


PLACES = """() => [...document.querySelectorAll(
  '.dx, .dx-view, .dx figure, .dx-stack, .dx-stack img, .dx-numbers, .dx-controls, .dx label,' +
  '.dx input, .dx select, .dx button, .dx-curve svg, .dx-status, #below'
)].map((part) => {
  const { left, top, width, height } = part.getBoundingClientRect();
  return [part.className || part.localName, left, top + scrollY, width, height];
})"""


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_when_the_explorer_wakes(opened, width):
    seen = opened(size=(width, WIDTHS[width]))
    seen.holding = True
    seen.go()
    before = seen.page.evaluate(PLACES)
    assert len(before) > 20
    seen.let_through()
    for (name, *was), (_, *now) in zip(before, seen.page.evaluate(PLACES), strict=True):
        assert now == pytest.approx(was, abs=1), name


def test_what_was_set_before_the_data_came_is_taken_over(opened):
    seen = opened()
    seen.holding = True
    seen.go()
    assert seen.numbers() == ["0.25", 'a "dog" & co']
    slider = seen.page.get_by_label("Brightness")
    slider.focus()
    slider.press("End")
    seen.page.get_by_label("Photo <1>").select_option("0")
    assert seen.status() == "Loading …"
    assert seen.page.locator(".dx-heard").text_content() == "Loading …"
    slider.focus()
    seen.let_through()
    assert seen.numbers() == ["1", "cat"]
    assert seen.status() == ""
    # the very element goes on, so that neither focus nor a drag is lost
    assert slider.evaluate("part => part === document.activeElement")


def test_data_that_cannot_be_loaded_is_told_in_place_and_asked_for_again(opened):
    seen = opened()
    seen.holding = True
    seen.go()
    seen.page.wait_for_function("() => document.querySelector('script[src=\"tried.js\"]')")
    # the browser asks for a script a moment after the page has it
    while not seen.held:
        seen.page.wait_for_timeout(10)
    seen.held.pop().abort()
    seen.page.wait_for_selector(".dx-status.dx-error")
    assert "could not be loaded" in seen.status()
    seen.holding = False
    seen.page.get_by_label("Photo <1>").select_option("0")
    seen.awake()
    assert seen.numbers() == ["0.25", "cat"]
    assert seen.status() == ""


def test_data_is_asked_for_when_the_explorer_comes_near(opened):
    seen = opened()
    seen.go("far.html")
    seen.page.wait_for_timeout(300)
    assert not seen.page.locator("script[src='tried.js']").count()
    seen.page.evaluate("scrollTo(0, 4000)")
    seen.awake()


def wait_for_number(seen, number):
    seen.page.wait_for_function(
        "number => document.querySelector('.dx-numbers strong').textContent === number",
        arg=number,
    )


def test_an_address_opens_the_page_at_the_explorer_in_its_state(opened):
    seen = opened()
    seen.go("far.html#tried?photo=cat&dim=1&kind=striped&width=4")
    seen.awake()
    assert seen.numbers() == ["1", "cat"]
    assert seen.page.get_by_label("Width").input_value() == "2"
    assert abs(seen.page.locator(".dx").bounding_box()["y"]) < 2
    # the same page in another state
    seen.page.evaluate("location.hash = 'tried?dim=0.001'")
    wait_for_number(seen, "0.001")
    assert seen.numbers() == ["0.001", 'a "dog" & co']
    seen.page.go_back()
    wait_for_number(seen, "1")


def test_what_an_address_names_that_is_not_there_is_told(opened):
    seen = opened()
    seen.go("near.html#tried?dim=0.3&photo=cat&color=red&over=17")
    assert seen.numbers() == ["0.25", "cat"]
    assert seen.status() == "Not recognized: dim 0.3, color red, over 17."


def test_back_restores_what_was_set_before_a_link_within_the_page(opened):
    seen = opened()
    seen.go()
    seen.page.get_by_label("Brightness").press("Home")
    over = seen.page.get_by_label("Map over the photo")
    over.press("ArrowRight")
    set_by_hand = seen.numbers(), "5 %"
    address = seen.page.url
    seen.page.get_by_text("a link").click()
    wait_for_number(seen, "1")
    assert over.get_attribute("aria-valuetext") == "0 %"
    seen.page.go_back()
    wait_for_number(seen, "0.001")
    assert seen.page.url == address
    assert (seen.numbers(), over.get_attribute("aria-valuetext")) == set_by_hand
    seen.page.go_forward()
    wait_for_number(seen, "1")
    # what was restored is left, as an address is, when a control moves
    seen.page.go_back()
    wait_for_number(seen, "0.001")
    seen.page.get_by_label("Brightness").press("End")
    seen.page.reload()
    seen.awake()
    assert seen.numbers() != ["0.001", 'a "dog" & co']


def test_an_address_keeps_no_state_that_was_left(opened):
    seen = opened()
    seen.go()
    bare = seen.page.url
    seen.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    leaves = [
        lambda: seen.page.get_by_label("Brightness").press("Home"),
        lambda: seen.page.get_by_label("Kind").select_option("1"),
        lambda: seen.page.get_by_label("Map over the photo").press("End"),
        lambda: seen.page.get_by_role("button", name="Reset").click(),
    ]
    for leave in leaves:
        seen.page.get_by_role("button", name="Copy link").click()
        assert seen.page.url.startswith(f"{bare}#tried?")
        leave()
        assert seen.page.url == bare
        # nor is it to be copied any more
        assert not seen.page.get_by_label("Link to this state").count()


def test_a_link_sets_the_state_as_often_as_it_is_clicked(opened):
    seen = opened()
    seen.go()
    for _ in range(2):
        seen.page.get_by_text("a link").click()
        wait_for_number(seen, "1")
        seen.page.get_by_label("Brightness").press("Home")
        assert seen.numbers() == ["0.001", "cat"]


def test_a_link_leads_to_the_explorer_also_when_the_bar_holds_it_already(opened):
    seen = opened()
    seen.go()
    for _ in range(2):
        seen.page.get_by_text("a link").click()
        wait_for_number(seen, "1")
        seen.page.wait_for_function(
            "() => Math.abs(document.querySelector('.dx').getBoundingClientRect().top) < 2"
        )
        seen.page.evaluate("scrollTo(0, 0)")


def test_link_is_copied_and_leads_to_the_state(opened):
    seen = opened()
    seen.go()
    seen.page.evaluate(
        """() => Object.defineProperty(navigator, 'clipboard', {
          value: { writeText: async (text) => { window.copied = text; } },
        })"""
    )
    history = seen.page.evaluate("history.length")
    seen.page.get_by_label("Brightness").press("End")
    over = seen.page.get_by_label("Map over the photo")
    for _ in range(3):
        over.press("ArrowRight")
    seen.page.get_by_role("button", name="Copy link").click()
    seen.page.wait_for_function("() => window.copied")
    copied = seen.page.evaluate("copied")
    assert copied.endswith("near.html#tried?photo=a+%22dog%22+%26+co&kind=plain&dim=1&over=15")
    assert seen.page.url == copied
    assert seen.page.evaluate("history.length") == history
    assert seen.status() == "Link copied."
    other = opened()
    other.page.goto(copied)
    other.awake()
    assert other.numbers() == seen.numbers() == ["1", 'a "dog" & co']
    assert other.page.locator("img.dx-over").evaluate("part => part.style.opacity") == "0.15"


def test_link_stands_in_a_field_where_the_clipboard_is_refused(opened):
    seen = opened()
    seen.go()
    seen.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    for _ in range(2):
        seen.page.get_by_role("button", name="Copy link").click()
        field = seen.page.get_by_label("Link to this state")
        assert field.input_value() == seen.page.url
        chosen = "part => part.value.slice(part.selectionStart, part.selectionEnd)"
        assert field.evaluate(chosen) == seen.page.url
    assert seen.status() == "Copy the link from this field."


def test_reset_sets_everything_as_it_was(opened):
    seen = opened()
    seen.go("near.html#tried?photo=cat&kind=striped&width=4")
    seen.page.get_by_label("Map over the photo").press("End")
    assert seen.page.locator("img.dx-over").count() == 1
    seen.page.get_by_role("button", name="Reset").click()
    assert seen.numbers() == ["0.25", 'a "dog" & co']
    assert not seen.page.locator("img.dx-over").count()
    assert seen.page.get_by_label("Width").is_disabled()


AFTER_SETTINGS = "getComputedStyle(document.querySelector('.dx-settings'), '::after').content"
SAYS_CONTROLS = '". On a screen, with JavaScript, controls here change the pictures."'


def test_without_scripts_there_are_pictures_numbers_and_settings_but_no_controls(opened):
    seen = opened(java_script_enabled=False)
    seen.page.goto(f"{seen.home}/near.html")
    page = seen.page
    assert page.locator(".dx-stack img").first.is_visible()
    assert page.locator(".dx-numbers").text_content().startswith("dim <&>0.25")
    assert page.locator(".dx-settings").is_visible()
    assert page.locator(".dx-settings").text_content() == (
        'Photo <1>: a "dog" & co; Kind: plain; Brightness: 0.25'
    )
    assert not page.locator(".dx-controls").is_visible()
    assert not page.locator(".dx-tools").is_visible()
    assert page.evaluate(AFTER_SETTINGS) == SAYS_CONTROLS


def test_on_paper_it_is_said_that_a_screen_has_controls(opened):
    seen = opened()
    seen.go()
    assert seen.page.evaluate(AFTER_SETTINGS) == "none"
    seen.page.emulate_media(media="print")
    assert seen.page.evaluate(AFTER_SETTINGS) == SAYS_CONTROLS
