"""The explorers of the built book, driven by keyboard in a headless Chromium.

Without a kernel: from a server and from the disk, each control of each explorer. What the same
module does with a kernel is in tests/explorers/test_front_end.py, and what it does before its
data has come in test_first_view.py beside that.
"""

import json
import re

import pages
import pytest

SCRIPTS = pages.BUILT / "_static" / "explorers"
CHAPTERS = sorted(path.stem for path in SCRIPTS.glob("*.js"))
EXPECTED = {path.stem for path in pages.with_explorers()}
WITH_CURVES = {"class_models"}
WIDTHS = {1280: 900, 768: 1024, 390: 844}
MEGABYTE = 1_000_000
AWAKE = ".dx[data-lm-suppress-shortcuts]"

each_explorer = pytest.mark.parametrize("chapter", CHAPTERS)


def explorer_of(chapter):
    """Return spec and grid of a page's explorer, as they were written beside it."""
    script = (SCRIPTS / f"{chapter}.js").read_text("utf-8")
    name, data = re.fullmatch(r'explorerArrived\("(\w+)", (.*)\);\s*', script, re.DOTALL).groups()
    assert name == chapter
    traits = json.loads(data)
    return traits["spec"], traits["grid"]


def opened(visit, chapter, *, state="", **options):
    seen = visit(f"book/{chapter}.html{state}", **options)
    seen.page.locator(".dx").scroll_into_view_if_needed()
    seen.page.wait_for_selector(AWAKE)
    return seen


def shown(page):
    """What a reader of the explorer sees and hears: pictures, alt texts, numbers."""
    return page.evaluate(
        """() => {
          const panels = [...document.querySelectorAll('.dx-shown figure')];
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


def start_of(spec):
    return {control["name"]: control["start"] for control in spec["controls"]}


def has_part(control, spec, places):
    needed, value = control["needs"] or (None, None)
    other = next((c for c in spec["controls"] if c["name"] == needed), None)
    return other is None or other["values"][places[needed]] == value


def presses(control, spec):
    """How often an arrow key is pressed from one value of the grid to the next."""
    return 10 if control["kind"] == "slider" and "page" in spec else 1


def key_at(spec, places):
    """The key of a state: a control that has no part in it counts as its first value."""
    return ",".join(
        str(places[control["name"]] if has_part(control, spec, places) else 0)
        for control in spec["controls"]
    )


def control_of(page, label):
    return page.locator(".dx").get_by_label(label, exact=True)


def test_these_pages_have_an_explorer(built_book):
    assert set(CHAPTERS) == EXPECTED, (
        "each notebook with an explorer, and no other, has a script beside its page; `make book` "
        f"writes it: {sorted({*CHAPTERS} ^ EXPECTED)}"
    )


@each_explorer
@pytest.mark.parametrize("where", ["http", "file"])
def test_explorer_is_driven_by_keyboard_and_shows_what_the_grid_holds(visit, chapter, where):
    spec, grid = explorer_of(chapter)
    seen = opened(visit, chapter, scheme=where)
    page = seen.page
    places = start_of(spec)
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
            for _ in range(presses(control, spec)):
                page.keyboard.press(key)
            places[control["name"]] = place
            assert shown(page) == expected(grid, key_at(spec, places)), control["name"]
            different += shown(page) != before
    assert different >= sum(has_part(control, spec, places) for control in spec["controls"])
    assert (seen.errors, seen.elsewhere, seen.failed) == ([], [], [])


@each_explorer
def test_control_without_a_part_is_disabled_and_says_what_it_depends_on(visit, chapter):
    spec, grid = explorer_of(chapter)
    page = opened(visit, chapter).page
    for control in spec["controls"]:
        if not control["needs"]:
            continue
        needed, value = control["needs"]
        (other,) = (other for other in spec["controls"] if other["name"] == needed)
        part, choice = control_of(page, control["label"]), control_of(page, other["label"])
        places = start_of(spec)
        without = next(i for i, known in enumerate(other["values"]) if known != value)
        choice.select_option(str(without))
        assert part.is_disabled()
        told = part.locator("xpath=preceding-sibling::span").text_content()
        assert told == f"only with {value}"
        places[needed] = other["values"].index(value)
        choice.select_option(str(places[needed]))
        assert part.is_enabled()
        part.focus()
        page.keyboard.press("Home")
        places[control["name"]] = 0
        assert shown(page) == expected(grid, key_at(spec, places))
        page.get_by_role("button", name="Reset").click()


@each_explorer
def test_answer_stands_there_when_the_event_is_over(visit, chapter):
    """Nothing is waited for: the page shows each value of each control within its event."""
    spec, grid = explorer_of(chapter)
    page = opened(visit, chapter).page
    places = start_of(spec)
    for control in spec["controls"]:
        alts = control_of(page, control["label"]).evaluate(
            """(part, places) => places.map((place) => {
              part.value = place;
              part.dispatchEvent(new Event('input'));
              return [...document.querySelectorAll('.dx-shown img:first-child')]
                .map((image) => image.alt);
            })""",
            [*range(len(control["values"])), places[control["name"]]],
        )
        for place, told in enumerate(alts[:-1]):
            key = key_at(spec, places | {control["name"]: place})
            assert told == expected(grid, key)["alts"], f"{control['name']} at {place}"


# the places of all that a reader sees of an explorer, and of what follows it
PLACES = """() => {
  const found = [...document.querySelectorAll(
    '.dx, .dx-view, .dx figure, .dx-stack, .dx-stack img, .dx-numbers, .dx-controls, .dx label,' +
    '.dx input, .dx select, .dx button, .dx-curve svg, .dx-status, footer'
  )];
  return found.map((part) => {
    const { left, top, width, height } = part.getBoundingClientRect();
    return [part.className || part.localName, left, top + scrollY, width, height];
  });
}"""


@each_explorer
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_when_the_data_comes(visit, chapter, width):
    """What stands on the page without scripts is what the explorer is when it is awake."""
    size = (width, WIDTHS[width])
    page = visit(f"book/{chapter}.html", size=size).page
    # far from the explorer, if the page is long: then its data has not been asked for
    before, asleep = page.evaluate(PLACES), page.locator(AWAKE).count() == 0
    page.locator(".dx").scroll_into_view_if_needed()
    page.wait_for_selector(AWAKE)
    page.evaluate("scrollTo(0, 0)")
    after = page.evaluate(PLACES)
    for (name, *was), (_, *now) in zip(before, after, strict=True):
        assert now == pytest.approx(was, abs=1), name
    assert asleep or chapter == "intro"


@each_explorer
def test_a_page_without_scripts_has_pictures_numbers_and_settings(browser, served_book, chapter):
    spec, grid = explorer_of(chapter)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served_book}/book/{chapter}.html")
    seen = expected(grid, key_at(spec, start_of(spec)))
    pictures = page.locator(".dx-shown img:first-child")
    assert [image.get_attribute("alt") for image in pictures.all()] == seen["alts"]
    assert [image.get_attribute("src") for image in pictures.all()] == seen["pictures"]
    assert all(image.is_visible() for image in pictures.all())
    told = page.locator(".dx-numbers strong").all_text_contents()
    assert told == [value for _, value in seen["numbers"]]
    first = spec["controls"][0]
    settings = page.locator(".dx-settings")
    assert settings.is_visible()
    assert f"{first['label']}: {first['values'][first['start']]}" in settings.text_content()
    assert not page.locator(".dx-controls").is_visible()
    context.close()


@each_explorer
@pytest.mark.parametrize("where", ["http", "file"])
def test_a_copied_link_opens_the_page_at_the_explorer_in_its_state(visit, chapter, where):
    spec, grid = explorer_of(chapter)
    seen = opened(visit, chapter, scheme=where)
    page, places = seen.page, start_of(spec)
    for control in spec["controls"]:
        if has_part(control, spec, places):
            places[control["name"]] = len(control["values"]) - 1
            part = control_of(page, control["label"])
            part.focus()
            page.keyboard.press("End")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => location.hash")
    state = page.url[page.url.index("#") :]
    friend = opened(visit, chapter, scheme=where, state=state)
    assert shown(friend.page) == expected(grid, key_at(spec, places))
    assert friend.page.locator(".dx-status").text_content() == ""
    top = friend.page.locator(".dx").bounding_box()["y"]
    assert -1 <= top < 450
    assert (friend.errors, friend.failed) == ([], [])


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
    assert len(described) == (chapter in WITH_CURVES)


@each_explorer
@pytest.mark.parametrize(("scheme", "size"), [("light", pages.DESKTOP), ("dark", pages.PHONE)])
def test_axe_finds_nothing_serious_in_an_explorer(visit, chapter, scheme, size):
    seen = opened(visit, chapter, color_scheme=scheme, size=size)
    seen.page.get_by_role("button", name="Keep to compare").click()
    assert seen.axe(".dx") == []


@each_explorer
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_explorer_fits_a_phone_and_keeps_its_colors(visit, chapter, scheme):
    page = opened(visit, chapter, size=pages.PHONE, color_scheme=scheme).page
    assert page.evaluate("document.scrollingElement.scrollWidth") <= pages.PHONE[0]
    for box in page.locator(".dx, .dx-stack, .dx :is(select, input, button)").evaluate_all(
        "found => found.map((part) => part.getBoundingClientRect().toJSON())"
    ):
        assert box["left"] >= 0
        assert box["right"] <= pages.PHONE[0]
    filters = page.locator(".dx img").evaluate_all(
        "found => found.map((image) => getComputedStyle(image).filter)"
    )
    assert set(filters) == {"none"}


@each_explorer
def test_pictures_and_each_control_are_seen_together_on_a_phone(visit, chapter):
    page = opened(visit, chapter, size=pages.PHONE).page
    for part in page.locator(".dx-controls :is(input, select):enabled").all():
        part.evaluate("part => part.scrollIntoView({ block: 'end' })")
        control = part.bounding_box()
        assert control["y"] + control["height"] <= pages.PHONE[1] + 1
        covered = part.evaluate(
            """(part) => {
              const { left, top, width, height } = part.getBoundingClientRect();
              return !part.contains(document.elementFromPoint(left + width / 2, top + height / 2));
            }"""
        )
        assert not covered
        for stack in page.locator(".dx-shown .dx-stack").all():
            box = stack.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= control["y"]


@each_explorer
def test_what_is_kept_leaves_room_for_the_controls_on_a_phone(visit, chapter):
    page = opened(visit, chapter, size=pages.PHONE).page
    page.get_by_role("button", name="Keep to compare").click()
    page.locator(".dx-tools").evaluate("part => part.scrollIntoView({ block: 'end' })")
    view = page.locator(".dx-view")
    assert page.locator(".dx-kept .dx-stack").count() == page.locator(".dx-stack").count() / 2
    assert view.evaluate("part => part.scrollHeight <= part.clientHeight")
    box = view.bounding_box()
    assert box["y"] >= 0
    # below the book's bar of 56 pixels
    assert 56 + box["height"] < 0.65 * pages.PHONE[1]


@each_explorer
def test_what_is_kept_stands_beside_and_fits_a_window_with_the_controls(visit, chapter):
    page = opened(visit, chapter, size=pages.DESKTOP).page
    page.get_by_role("button", name="Keep to compare").click()
    shown, kept = page.locator(".dx-view > .dx-shown"), page.locator(".dx-kept")
    left, right = shown.bounding_box(), kept.bounding_box()
    assert left["x"] + left["width"] <= right["x"]
    assert right["y"] == pytest.approx(left["y"], abs=2)
    assert page.locator(".dx").bounding_box()["height"] < pages.DESKTOP[1]


def test_nothing_moves_for_a_reader_who_wants_no_motion(visit):
    page = opened(visit, "saliency").page
    moving = "getComputedStyle(document.querySelector('.dx-shown')).transitionDuration"
    assert page.evaluate(moving) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == "0s"


@each_explorer
def test_printed_page_has_pictures_colors_and_settings_but_no_controls(visit, chapter):
    page = opened(visit, chapter).page
    page.emulate_media(media="print")
    assert page.locator(".dx-shown img").first.is_visible()
    assert page.locator(".dx-numbers").is_visible()
    assert not page.locator(".dx-controls").is_visible()
    assert not page.locator(".dx-tools").is_visible()
    for bar in page.locator(".dx-scale i").all():
        printed = "part => getComputedStyle(part).printColorAdjust"
        assert bar.evaluate(printed) == "exact"
    first = explorer_of(chapter)[0]["controls"][0]
    settings = page.locator(".dx-settings")
    assert settings.is_visible()
    assert f"{first['label']}: {first['values'][first['start']]}" in settings.text_content()


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
def test_page_with_its_explorer_stays_under_3_megabytes(visit, chapter):
    page = opened(visit, chapter).page
    page.wait_for_load_state("networkidle")
    received = page.evaluate(
        """() => ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))
          .map(({ name, decodedBodySize }) => [name, decodedBodySize])"""
    )
    assert any(name.endswith(f"explorers/{chapter}.js") and size > 0 for name, size in received)
    assert sum(size for _, size in received) < 3 * MEGABYTE
