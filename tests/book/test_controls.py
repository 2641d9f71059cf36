"""Whatever a reader can click around the text, clicked in a headless Chromium.

The explorers' own controls are in test_explorer_pages.py.
"""

import pages
import pytest

playwright = pytest.importorskip("playwright.sync_api")

TABLET = (768, 1024)
SIZES = {"phone": pages.PHONE, "tablet": TABLET, "desktop": pages.DESKTOP}
CHAPTER = "book/saliency.html"
# one page of each kind
KINDS = [
    "book/intro.html",
    CHAPTER,
    "book/exercises/saliency.html",
    "book/api/saliency.html",
    "book/references.html",
    "search.html",
]
MENUS = {"primary": "Chapters", "secondary": "On this page"}

CONTROLS = "button, summary, a.enlarge"
# what a click on one of them can change; the counters are of WATCHED
STATE = """() => JSON.stringify([
    location.href, watched, Boolean(document.fullscreenElement), scrollY > 0,
    document.documentElement.dataset.mode, document.activeElement.matches("input"),
    [...document.querySelectorAll("dialog, details")].map((part) => part.open),
    [...document.querySelectorAll("[aria-expanded]")].map((part) => part.ariaExpanded),
    [...document.querySelectorAll("[aria-pressed]")].map((part) => part.ariaPressed),
])"""
WATCHED = """
    window.watched = { printed: 0, copied: 0 };
    window.print = () => { watched.printed += 1; };
    document.addEventListener("copy", () => { watched.copied += 1; });
"""
SEEN = """(part) => part.checkVisibility({visibilityProperty: true}) && part.offsetWidth > 0 &&
    !part.closest(".explorer, .dropdown-menu, .self-test, .self-tests-score")"""

at_each_width = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def press(page, control):
    """Click a control and return when something has changed."""
    told = control.evaluate("part => part.outerHTML")
    # the theme's arrows hang out of summaries that have no height themselves
    seen = control.evaluate_handle("part => part.offsetHeight ? part : part.firstElementChild")
    seen.scroll_into_view_if_needed()
    page.evaluate("document.activeElement.blur()")
    before = page.evaluate(STATE)
    try:
        seen.click(timeout=5000)
        page.wait_for_function(f"(before) => ({STATE})() !== before", arg=before, timeout=5000)
    except playwright.TimeoutError as error:
        pytest.fail(f"a click changes nothing: {told}: {error}")


def press_entries(opened, switch, entries):
    """Press each entry of a menu that drops down from a button, but those to other hosts."""
    for entry in entries:
        address = entry.get_attribute("href") or ""
        if address.startswith("https://"):
            assert entry.get_attribute("target") == "_blank"
            continue
        if switch.get_attribute("aria-expanded") == "false":
            press(opened.page, switch)
        if address:
            with opened.page.context.expect_page() as downloaded:
                entry.click()
            downloaded.value.close()
        else:
            press(opened.page, entry)


def press_all(opened, within):
    """Press each control that is seen within an element, and each that comes to be seen by it.

    What one press opens or switches, a second one closes or switches again. Returns what was
    pressed.
    """
    page, pressed = opened.page, []
    for control in within.query_selector_all(CONTROLS):
        if control.get_attribute("data-pressed") or not control.evaluate(SEEN):
            continue
        control.evaluate("part => { part.dataset.pressed = true; }")
        pressed.append(control.evaluate("part => part.ariaLabel || part.title || part.innerText"))
        within_dialog = page.query_selector("dialog[open]")
        press(page, control)
        dialog = page.query_selector("dialog[open]")
        if dialog and not within_dialog:
            pressed += press_all(opened, dialog)
            if page.query_selector("dialog[open]"):
                page.keyboard.press("Escape")
                page.wait_for_selector("dialog[open]", state="detached")
        elif control.evaluate("part => part.matches('.dropdown-toggle')"):
            entries = control.evaluate_handle("part => part.nextElementSibling")
            press_entries(opened, control, entries.query_selector_all(".dropdown-item"))
            if control.get_attribute("aria-expanded") == "true":
                press(page, control)
        elif control.evaluate(SEEN):
            folded = control.evaluate_handle("part => part.closest('summary')?.parentElement")
            if folded.as_element():
                pressed += press_all(opened, folded.as_element())
            press(page, control)
    return pressed


@at_each_width
@pytest.mark.parametrize("name", KINDS)
def test_every_control_does_something(visit, name, size):
    opened = visit(name, size=size, init=WATCHED)
    pressed = press_all(opened, opened.page.query_selector("body"))
    assert {"Chapters", "Fullscreen mode", "Color mode", "Search"} <= set(pressed), pressed
    assert (opened.errors, opened.elsewhere, opened.failed) == ([], [], [])


def test_a_control_that_does_nothing_is_noticed(visit):
    opened = visit("book/references.html", init=WATCHED)
    opened.page.evaluate(
        "document.querySelector('.bd-article').prepend(document.createElement('button'))"
    )
    opened.page.evaluate("document.querySelector('.bd-article button').textContent = 'dead'")
    with pytest.raises(pytest.fail.Exception, match=r"changes nothing: <button.*dead"):
        press_all(opened, opened.page.query_selector(".bd-article"))


@at_each_width
def test_next_and_previous_lead_to_the_pages_they_name(visit, size):
    opened = visit(CHAPTER, size=size)
    page = opened.page
    for kind in ("next", "prev"):
        page.goto(f"{opened.home}/{CHAPTER}")
        expected = page.locator(f"link[rel={kind}]").evaluate("link => link.href")
        page.click(f".{'right' if kind == 'next' else 'left'}-{kind}")
        page.wait_for_url(expected)
    assert opened.failed == []


@at_each_width
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_chapters_open_and_close_and_lead_on(visit, size, scheme):
    page = visit(CHAPTER, size=size, scheme=scheme).page
    menu = page.get_by_role("button", name="Chapters")
    entry = page.locator(".bd-docs-nav").get_by_role("link", name="Limits")
    beside = size == pages.DESKTOP
    for _ in range(2):
        assert menu.get_attribute("aria-expanded") == ("true" if beside else "false")
        assert entry.is_visible() == beside
        menu.click()
        assert menu.get_attribute("aria-expanded") == ("false" if beside else "true")
        entry.wait_for(state="hidden" if beside else "visible")
        if beside:
            menu.click()
        else:
            page.keyboard.press("Escape")
        entry.wait_for(state="visible" if beside else "hidden")
        assert menu.evaluate("menu => menu === document.activeElement")
    if not beside:
        menu.click()
    entry.click()
    page.wait_for_url("**/book/limits.html")


@pytest.mark.parametrize("size", [pages.PHONE, TABLET], ids=["phone", "tablet"])
def test_the_contents_of_the_page_open_and_lead_to_a_section(visit, size):
    page = visit(CHAPTER, size=size).page
    menu = page.get_by_role("button", name="On this page")
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    dialog = page.locator("dialog[open]")
    assert dialog.get_attribute("aria-label") == "On this page"
    dialog.get_by_role("link", name="The grain").click()
    page.wait_for_url("**#the-grain")
    dialog.wait_for(state="detached")
    assert menu.get_attribute("aria-expanded") == "false"
    section = page.locator("#the-grain")
    page.wait_for_function("() => document.activeElement.id === 'the-grain'")
    assert 0 <= section.bounding_box()["y"] < size[1] / 4


def test_a_click_beside_an_open_menu_closes_it_and_the_page_stays_where_it_was(visit):
    page = visit(CHAPTER, size=pages.PHONE).page
    page.evaluate("scrollTo(0, 3000)")
    page.get_by_role("button", name="Chapters").click()
    page.wait_for_selector("dialog[open]")
    page.mouse.click(pages.PHONE[0] - 5, 400)
    page.wait_for_selector("dialog[open]", state="detached")
    assert page.evaluate("scrollY") == 3000


def test_chapters_folded_away_on_a_wide_window_open_on_a_narrow_one(visit):
    page = visit(CHAPTER).page
    menu = page.get_by_role("button", name="Chapters")
    menu.click()
    page.set_viewport_size({"width": TABLET[0], "height": TABLET[1]})
    assert menu.get_attribute("aria-expanded") == "false"
    menu.click()
    page.locator(".bd-docs-nav").get_by_role("link", name="Limits").click()
    page.wait_for_url("**/book/limits.html")


def test_the_search_is_asked_from_every_page(visit):
    page = visit(CHAPTER, size=pages.PHONE).page
    page.get_by_role("button", name="Search").click()
    page.keyboard.type("grabcut")
    page.keyboard.press("Enter")
    page.wait_for_selector('#search-results .search li a[href^="book/localization.html"]')


# Folded code


def code_shown(page):
    """Whether each piece of long code is seen, as the set of the answers."""
    return set(
        page.locator("details.code pre").evaluate_all(
            "found => found.map((code) => code.checkVisibility())"
        )
    )


def test_long_code_is_folded_and_short_code_is_not(visit):
    page = visit(CHAPTER).page
    cells = page.locator(".bd-article .cell_input").evaluate_all(
        """found => found.map((cell) => [
            cell.querySelector("pre").textContent.trimEnd().split("\\n").length,
            Boolean(cell.querySelector("details.code") ?? cell.closest("details.code")),
        ])"""
    )
    assert {folded for _, folded in cells} == {True, False}
    assert [folded for lines, folded in cells] == [lines > 12 for lines, folded in cells]
    assert code_shown(page) == {False}
    first = page.locator("details.code").first
    lines = first.locator("pre").text_content().rstrip().count("\n") + 1
    assert first.locator("summary").inner_text() == f"Code, {lines} lines"
    first.locator("summary").click()
    assert first.locator("pre").is_visible()
    assert code_shown(page) == {True, False}


def test_all_code_is_shown_at_once_and_that_is_remembered(visit):
    opened = visit(CHAPTER)
    page = opened.page
    always = page.get_by_role("button", name="Always show code")
    assert always.get_attribute("aria-pressed") == "false"
    always.focus()
    page.keyboard.press("Enter")
    assert always.get_attribute("aria-pressed") == "true"
    assert code_shown(page) == {True}
    page.goto(f"{opened.home}/book/limits.html")
    assert code_shown(page) == {True}
    always.click()
    assert code_shown(page) == {False}
    page.goto(f"{opened.home}/{CHAPTER}")
    assert code_shown(page) == {False}


def test_code_is_shown_where_nothing_can_be_remembered(visit):
    refused = """
        for (const what of ["getItem", "setItem"]) {
            Storage.prototype[what] = (name) => {
                if (name === "code") throw new DOMException("refused", "SecurityError");
                return null;
            };
        }
    """
    opened = visit(CHAPTER, init=refused)
    opened.page.get_by_role("button", name="Always show code").click()
    assert code_shown(opened.page) == {True}
    assert opened.errors == []


@pytest.mark.parametrize("scripts", [True, False])
def test_all_code_is_printed(visit, scripts):
    page = visit(CHAPTER, java_script_enabled=scripts).page
    page.emulate_media(media="print")
    assert code_shown(page) == {True}
    assert not any(line.is_visible() for line in page.locator("details.code summary").all())


def test_page_without_code_has_no_button_for_code(visit):
    page = visit("book/references.html").page
    assert page.get_by_role("button", name="Always show code").count() == 0


# Figures


@at_each_width
def test_a_figure_fills_the_window_comes_nearer_and_goes(visit, size):
    page = visit(CHAPTER, size=size).page
    link = page.locator("a.enlarge").nth(2)
    link.click()
    dialog = page.get_by_role("dialog", name="Figure, enlarged")
    picture = dialog.get_by_role("img")
    assert picture.get_attribute("alt") == link.get_by_role("img").get_attribute("alt")
    assert picture.evaluate("async (img) => { await img.decode(); return img.src; }") == (
        link.evaluate("link => link.href")
    )
    box, view = picture.bounding_box(), dialog.locator(".view").bounding_box()
    filled = (box["width"] / view["width"], box["height"] / view["height"])
    assert max(filled) == pytest.approx(1, abs=0.01)
    assert min(filled) <= 1.01
    natural = picture.evaluate("img => img.naturalWidth / img.naturalHeight")
    assert box["width"] / box["height"] == pytest.approx(natural, rel=0.02)
    picture.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    near = picture.bounding_box()
    assert near["width"] == pytest.approx(2.5 * box["width"], rel=0.02)
    # what was tapped is in sight
    assert near["x"] + near["width"] <= size[0] + 0.02 * near["width"]
    dialog.get_by_role("button", name="Larger").click()
    assert picture.bounding_box() == box
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert link.evaluate("link => link === document.activeElement")


def test_an_enlarged_figure_is_closed_by_its_button_a_key_or_a_click_beside_it(visit):
    page = visit(CHAPTER).page
    link = page.locator("a.enlarge").first
    for close in (
        lambda dialog: dialog.get_by_role("button", name="Close").click(),
        lambda dialog: (dialog.get_by_role("img").click(), page.keyboard.press("Escape")),
        lambda dialog: page.mouse.click(20, pages.DESKTOP[1] - 20),
    ):
        link.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Figure, enlarged")
        dialog.wait_for()
        close(dialog)
        dialog.wait_for(state="detached")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_back_closes_an_enlarged_figure_and_then_leaves_the_page(visit, scheme):
    page = visit("book/notation.html", scheme=scheme).page
    page.goto(page.url.replace("notation", "saliency"))
    address, link = page.url, page.locator("a.enlarge").first
    dialog = page.locator("dialog.enlarged")
    link.click()
    before = page.evaluate("scrollY")
    page.go_back()
    dialog.wait_for(state="detached")
    assert page.url == address
    link.click()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !history.state?.enlarged")
    assert dialog.count() == 0
    assert page.evaluate("scrollY") == before
    page.go_back()
    page.wait_for_url("**/notation.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_enlarged_figure_is_accessible_and_keeps_its_colors(visit, scheme):
    opened = visit(CHAPTER, color_scheme=scheme)
    opened.page.locator("a.enlarge").first.click()
    picture = opened.page.locator("dialog.enlarged img")
    assert picture.evaluate("img => getComputedStyle(img).filter") == "none"
    assert opened.axe(within="dialog.enlarged") == []


def test_without_scripts_a_figure_leads_to_its_picture(visit):
    page = visit(CHAPTER, java_script_enabled=False).page
    page.locator("a.enlarge").first.click()
    page.wait_for_url("**/_images/**")
