"""The playground's tabs, addresses and networks, in a headless Chromium on the built page."""

import pages
import pytest

pytest.importorskip("playwright.sync_api")

TABS = ["Draw a digit", "Your photo", "Class model, live", "Layers"]
PANELS = ["digit", "photo", "class_model", "layers"]


def chosen(page):
    page.locator(".pg").wait_for()
    return page.get_by_role("tab", selected=True).all_text_contents()


def test_tabs_are_moved_by_arrows_and_mounted_when_first_shown(playground):
    seen = playground()
    page = seen.page
    assert chosen(page) == TABS[:1]
    assert page.get_by_role("tab").all_text_contents() == TABS
    rooms = "rooms => rooms.map((room) => [room.hidden, room.children.length > 0])"
    read = page.locator("[role=tabpanel]").evaluate_all
    assert read(rooms) == [[False, True]] + 3 * [[True, False]]
    page.get_by_role("tab", selected=True).focus()
    for key, place in [("ArrowRight", 1), ("End", 3), ("ArrowRight", 0), ("ArrowLeft", 3)]:
        page.keyboard.press(key)
        assert chosen(page) == [TABS[place]]
        assert page.evaluate("document.activeElement.textContent") == TABS[place]
        assert [hidden for hidden, _ in read(rooms)] == [i != place for i in range(4)]
        assert page.locator("[role=tab][tabindex='0']").all_text_contents() == [TABS[place]]
    page.keyboard.press("Home")
    assert chosen(page) == TABS[:1]
    assert [mounted for _, mounted in read(rooms)] == [True, True, False, True]
    assert seen.errors == seen.failed == []


@pytest.mark.parametrize(("panel", "title"), list(zip(PANELS, TABS, strict=True)))
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_address_names_the_panel(playground, panel, title, scheme):
    seen = playground(f"panel={panel}", scheme=scheme)
    assert chosen(seen.page) == [title]
    assert seen.page.evaluate("location.hash") == f"#playground?panel={panel}"
    top = seen.page.locator(".pg").bounding_box()["y"]
    assert -1 < top < pages.DESKTOP[1]
    assert seen.errors == seen.elsewhere == seen.failed == []


def test_link_within_the_page_and_back(playground):
    page = playground().page
    assert chosen(page) == TABS[:1]
    page.evaluate("""() => {
      const link = Object.assign(document.createElement("a"), {
        href: "#playground?panel=layers", textContent: "to the layers" });
      document.querySelector(".playground").before(link);
    }""")
    page.get_by_text("to the layers").click()
    page.get_by_role("tab", name="Layers", selected=True).wait_for()
    page.go_back()
    page.get_by_role("tab", name="Draw a digit", selected=True).wait_for()
    # a tab that is chosen leaves no address of another
    page.go_forward()
    page.get_by_role("tab", name="Layers", selected=True).wait_for()
    page.get_by_role("tab", name="Your photo").click()
    assert page.evaluate("location.hash") == ""
    page.go_back()
    page.get_by_role("tab", name="Draw a digit", selected=True).wait_for()


def test_copied_link_is_left_behind_by_another_tab(playground):
    page = playground().page
    page.get_by_role("tab", name="Layers").click()
    length = page.evaluate("history.length")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => location.hash.startsWith('#playground?')")
    page.get_by_role("tab", name="Draw a digit").click()
    left = page.evaluate("[location.hash, history.length, history.state?.set ?? null]")
    assert left == ["", length, None]


def test_unknown_panel_is_said_in_place(playground):
    page = playground("panel=sculpture&photo=cat").page
    assert chosen(page) == TABS[:1]
    alerts = page.get_by_role("alert")
    alerts.get_by_text("Not recognized: panel sculpture.").wait_for()
    assert alerts.count() == 1
    page.get_by_role("tab", name="Layers").click()
    assert alerts.count() == 0


def test_file_dropped_anywhere_leaves_the_page_there(playground):
    page = playground().page
    drop = """([place, isFile]) => {
      const data = new DataTransfer();
      if (isFile) data.items.add(new File(["no picture"], "a.png", { type: "image/png" }));
      else data.setData("text/plain", "words");
      const options = { dataTransfer: data, bubbles: true, cancelable: true };
      return ["dragover", "drop"].map((kind) =>
        !document.querySelector(place).dispatchEvent(new DragEvent(kind, options)));
    }"""
    for place in ("body", "h1", ".pg-paper", ".playground"):
        assert page.evaluate(drop, [place, True]) == [True, True]
    assert page.evaluate(drop, ["h1", False]) == [False, False]


def test_nothing_large_is_loaded_before_a_click(playground):
    seen = playground()
    chosen(seen.page)
    seen.page.wait_for_load_state("networkidle")
    assert not [address for address in seen.asked if "squeezenet" in address]
    size = (pages.BUILT / "_static" / "networks" / "squeezenet.js").stat().st_size
    seen.page.get_by_role("tab", name="Your photo").click()
    button = seen.page.get_by_role("button", name="Load SqueezeNet")
    assert button.first.text_content() == f"Load SqueezeNet: {size / 1e6:.1f} MB, once"


def test_network_that_does_not_arrive_is_said_in_place_and_tried_again(playground):
    page = playground().page
    page.route("**/networks/squeezenet.js*", lambda route: route.abort())
    page.get_by_role("tab", name="Your photo").click()
    button = page.get_by_role("button", name="Load SqueezeNet").first
    button.click()
    page.get_by_role("alert").get_by_text("SqueezeNet could not be loaded").wait_for()
    assert button.is_enabled()
    page.unroute("**/networks/squeezenet.js*")
    button.click()
    button.wait_for(state="detached")


def test_progress_is_told_while_a_network_comes(playground):
    page = playground().page
    page.get_by_role("tab", name="Your photo").click()
    page.evaluate("""() => {
      window.told = [];
      const { set } = Object.getOwnPropertyDescriptor(HTMLProgressElement.prototype, "value");
      Object.defineProperty(HTMLProgressElement.prototype, "value", {
        set(value) { told.push(value); set.call(this, value); } });
    }""")
    button = page.get_by_role("button", name="Load SqueezeNet").first
    button.click()
    button.wait_for(state="detached")
    told = page.evaluate("told")
    # a fast server has it there in one piece
    assert told
    assert told == sorted(told)
    assert told[-1] == pytest.approx(3.3e6, rel=0.1)


def test_browser_without_simd_is_told_and_shows_the_pictures(playground):
    seen = playground(init="WebAssembly.validate = () => false")
    seen.page.get_by_role("alert").get_by_text("no WebAssembly with 128-bit SIMD").wait_for()
    assert seen.page.locator(".pg").count() == 0
    picture = seen.page.locator(".playground img")
    assert picture.is_visible()
    assert picture.evaluate("image => image.naturalWidth") > 100
    assert seen.errors == []


@pytest.mark.parametrize("size", [pages.DESKTOP, pages.PHONE], ids=["desktop", "phone"])
def test_each_panel_fits_and_axe_finds_nothing_serious(playground, size):
    seen = playground(size=size)
    for title in TABS:
        seen.page.get_by_role("tab", name=title).click()
        assert chosen(seen.page) == [title]
        assert seen.axe(".pg") == []
        assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
