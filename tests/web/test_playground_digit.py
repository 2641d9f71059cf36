"""The playground's panel *Draw a digit*, in a headless Chromium on the built page."""

import re

import numpy as np
import pages
import pytest
import torch

from deepinside.saliency import image_gradient

pytest.importorskip("playwright.sync_api")

PAPER = ".pg-paper canvas"
READ = ".pg-read"
# in shares of the paper: a seven, and a line that goes to and fro
SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]
BAR = [(0.4, 0.5), (0.75, 0.5)]
FLOOD = [(0.2 + 0.6 * (i % 2), 0.15 + 0.7 * i / 500) for i in range(500)]

# what the page asks its worker for and is answered
WATCHED = """
    window.work = { asked: 0, most: 0, open: 0 };
    window.Worker = class extends Worker {
      constructor(address) {
        super(address);
        this.addEventListener("message", () => work.open--);
      }
      postMessage(...message) {
        work.asked++;
        work.most = Math.max(work.most, ++work.open);
        super.postMessage(...message);
      }
    };
"""
PIXELS = """(canvas) => [...canvas.getContext("2d").getImageData(0, 0, 28, 28).data]
    .filter((_, i) => i % 4 === 0)"""
BET = re.compile(
    r"(\w+): the gradient promised the score of (\d) a (loss|gain) of ([\d.]+); "
    r"it (lost|gained) ([\d.]+)\."
)


def opened(playground, state="", **options):
    """The page when the digits' network is there."""
    seen = playground(state, init=WATCHED, **options)
    seen.page.wait_for_function("() => window.work?.asked > 0 && work.open === 0")
    return seen


def settled(page):
    """Wait until nothing is asked for any more."""
    frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(frames)
    page.wait_for_function("() => work.open === 0")
    page.evaluate(frames)


def draw(page, places, steps=8, lifts=True):
    page.locator(PAPER).scroll_into_view_if_needed()
    box = page.locator(PAPER).bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=steps)
    if lifts:
        page.mouse.up()
    settled(page)


def picture(page, place):
    """A picture of 28 x 28 pixels: 0 is what the network gets, 1 the map."""
    pixels = page.locator(".pg-draw > .pg-wide canvas").nth(place).evaluate(PIXELS)
    return torch.tensor(pixels).view(1, 1, 28, 28) / 255


def scores(page):
    """The ten scores that are shown."""
    cells = page.locator(".pg-bars tbody td:nth-of-type(1) span").all_text_contents()
    return torch.tensor([float(text.replace("−", "-")) for text in cells])


def changes(page):
    """What is said of each score's change, and which classes have theirs in bold."""
    cells = page.locator(".pg-bars tbody td:nth-of-type(2)")
    bold = (
        "cells => cells.map((cell) => Number(getComputedStyle(cell.firstChild).fontWeight) > 600)"
    )
    marked = [place for place, is_bold in enumerate(cells.evaluate_all(bold)) if is_bold]
    return cells.all_text_contents(), marked


def caption(page):
    return page.locator(".pg-draw > .pg-wide figcaption").first.text_content()


def button(page, name):
    return page.locator(".pg-draw").get_by_role("button", name=name, exact=True)


def erase(page, places):
    page.get_by_label("eraser").check()
    draw(page, places)


def bet(page):
    word, target, promised, first, came, amount = BET.fullmatch(
        page.locator(".pg-bet").text_content()
    ).groups()
    signs = {"loss": -1, "gain": 1, "lost": -1, "gained": 1}
    return word, int(target), signs[promised] * float(first), signs[came] * float(amount)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_drawn_seven_is_read_as_seven(playground, scheme, digits_network):
    seen = opened(playground, scheme=scheme)
    draw(seen.page, SEVEN)
    assert seen.page.locator(READ).text_content().startswith("Read as 7: score ")
    with torch.no_grad():
        expected = digits_network(picture(seen.page, 0))[0]
    # the picture has its values in 256 steps
    torch.testing.assert_close(scores(seen.page), expected, atol=0.1, rtol=0)
    chances = seen.page.locator(".pg-bars tbody td:nth-of-type(3) span").all_text_contents()
    for text, chance in zip(chances, expected.softmax(0).tolist(), strict=True):
        if chance < 0.001:
            assert text == "< 0.1 %"
        else:
            assert float(text.removesuffix(" %")) / 100 == pytest.approx(chance, abs=0.01)
    assert seen.errors == seen.elsewhere == seen.failed == []


def test_finger_draws_and_the_page_does_not_scroll(playground):
    page = opened(playground, size=pages.PHONE, has_touch=True).page
    page.locator(PAPER).scroll_into_view_if_needed()
    assert page.locator(PAPER).evaluate("part => getComputedStyle(part).touchAction") == "none"
    box = page.locator(PAPER).bounding_box()
    before = page.evaluate("scrollY")
    session = page.context.new_cdp_session(page)
    touches = [
        [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}] for x, y in SEVEN
    ]
    kinds = ["touchStart", "touchMove", "touchMove", "touchMove", "touchEnd"]
    for kind, points in zip(kinds, [*touches, []], strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    settled(page)
    assert page.locator(READ).text_content().startswith("Read as 7")
    assert page.evaluate("scrollY") == before


def test_empty_drawing_is_said_and_shows_nothing(playground):
    page = opened(playground).page
    sentence = page.get_by_text("Nothing is drawn: draw a digit")
    bars, map_ = page.locator(".pg-bars"), page.locator(".pg-draw > .pg-wide figure").nth(1)
    assert sentence.is_visible()
    assert not bars.is_visible()
    draw(page, SEVEN)
    assert not sentence.is_visible()
    assert bars.is_visible()
    assert map_.is_visible()
    page.get_by_role("button", name="Clear").click()
    settled(page)
    assert sentence.is_visible()
    assert not bars.is_visible()
    assert not map_.is_visible()


def test_form_is_that_of_mnist_and_is_told(playground):
    page = opened(playground).page
    draw(page, [(0.05 + 0.3 * x, 0.1 + 0.3 * y) for x, y in SEVEN])
    small = picture(page, 0)[0, 0]
    rows, columns = np.nonzero(small.numpy() > 0.05)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
    scaled, across, down = re.search(
        r"scaled by ([\d.]+), moved ([\d.]+) right and ([\d.]+) down", caption(page)
    ).groups()
    assert float(scaled) > 2
    assert float(across) > 5
    assert float(down) > 3
    page.get_by_label("Bring it to MNIST").uncheck()
    settled(page)
    rows, columns = np.nonzero(picture(page, 0)[0, 0].numpy() > 0.05)
    assert rows.max() < 14
    assert columns.max() < 14


@pytest.mark.parametrize(("key", "by", "axis"), [("ArrowRight", 1, 3), ("ArrowUp", -1, 2)])
def test_sample_is_shifted_and_thickened_from_the_keyboard(playground, key, by, axis):
    page = opened(playground).page
    page.get_by_label("Sample digit").focus()
    page.keyboard.press("7")
    settled(page)
    assert page.locator(READ).text_content().startswith("Read as 7")
    page.get_by_label("Bring it to MNIST").focus()
    page.keyboard.press("Space")
    settled(page)
    before = picture(page, 0)
    page.locator(PAPER).focus()
    page.keyboard.press(key)
    settled(page)
    # what leaves the paper is gone
    inner = (..., slice(2, 26), slice(2, 26))
    shifted, expected = picture(page, 0)[inner], before.roll(by, axis)[inner]
    torch.testing.assert_close(shifted, expected, atol=0.02, rtol=0)
    page.keyboard.press("+")
    settled(page)
    assert picture(page, 0).sum() > 1.1 * before.sum()
    for _ in range(2):
        page.get_by_role("button", name="Undo").focus()
        page.keyboard.press("Enter")
    settled(page)
    torch.testing.assert_close(picture(page, 0), before, atol=0.02, rtol=0)


def test_eraser_has_its_promise_kept_or_not(playground, digits_network):
    page = opened(playground).page
    draw(page, SEVEN)
    before, shown_before = picture(page, 0), scores(page)
    erase(page, [(0.25, 0.2), (0.3, 0.2)])
    after, shown_after = picture(page, 0), scores(page)
    word, target, promised, came = bet(page)
    assert (word, target) == ("Erased", 7)
    gradient = image_gradient(digits_network, before, target)
    assert promised == pytest.approx((gradient * (after - before)).sum().item(), abs=0.1)
    assert came == pytest.approx((shown_after - shown_before)[target].item(), abs=0.02)
    # what is not erased stays where it is
    assert (after <= before + 0.02).all()


def test_change_of_each_score_is_told_and_the_largest_rise_is_bold(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    assert changes(page) == (10 * [""], [])
    before = scores(page)
    draw(page, BAR)
    rises = scores(page) - before
    told, marked = changes(page)
    torch.testing.assert_close(
        torch.tensor([float(text.replace("−", "-")) for text in told]), rises, atol=0.011, rtol=0
    )
    assert marked == [rises.argmax().item()]
    assert told[marked[0]].startswith("+")
    # and back
    button(page, "Undo").click()
    settled(page)
    back = [float(text.replace("−", "-")) for text in changes(page)[0]]
    torch.testing.assert_close(torch.tensor(back), -rises, atol=0.011, rtol=0)
    assert bet(page)[0] == "Undone"
    # a sample is no change of what was there before
    page.get_by_label("Sample digit").select_option("3")
    settled(page)
    assert changes(page) == (10 * [""], [])


def test_promise_is_told_while_a_line_is_drawn_and_what_came_at_its_end(playground, digits_network):
    page = opened(playground).page
    draw(page, SEVEN)
    before, shown_before = picture(page, 0), scores(page)
    draw(page, BAR, lifts=False)
    so_far = page.locator(".pg-bet").text_content()
    target, way, promised = re.fullmatch(
        r"So far the gradient promises the score of (\d) a (loss|gain) of ([\d.]+)\.", so_far
    ).groups()
    page.mouse.up()
    settled(page)
    word, target_then, promised_then, came = bet(page)
    assert (word, target_then) == ("Drawn", int(target))
    assert promised_then == {"loss": -1, "gain": 1}[way] * float(promised)
    gradient = image_gradient(digits_network, before, target_then)
    change = picture(page, 0) - before
    assert promised_then == pytest.approx((gradient * change).sum().item(), abs=0.15)
    assert came == pytest.approx((scores(page) - shown_before)[target_then].item(), abs=0.02)
    assert page.get_by_text("Promise: the gradient before the stroke, times").is_visible()
    # the same change has promised something else to another class
    page.get_by_label("Class", exact=True).select_option("2")
    settled(page)
    assert bet(page)[1] == 2
    told = float(changes(page)[0][2].replace("−", "-"))
    assert bet(page)[3] == pytest.approx(told, abs=0.011)


def test_stroke_that_changes_nothing_says_nothing(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    draw(page, BAR)
    erase(page, [(0.9, 0.9), (0.95, 0.95)])
    assert page.locator(".pg-bet").text_content() == ""
    assert changes(page) == (10 * [""], [])


def test_form_that_is_kept_is_told_until_it_is_brought_anew(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    again = button(page, "Center again")
    for change, word in [
        (lambda: erase(page, [(0.25, 0.2), (0.4, 0.2)]), "erased"),
        (lambda: button(page, "Thinner").click(), "thinned"),
        (lambda: button(page, "Thicker").click(), "thickened"),
    ]:
        assert again.is_disabled()
        change()
        settled(page)
        assert f"form kept, so that only what you {word} changes" in caption(page)
        again.click()
        settled(page)
        assert "form kept" not in caption(page)
    assert bet(page)[0] == "Centered"
    # equal drawings have equal scores, so also that of the link
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => location.hash.startsWith('#playground?')")
    link = page.evaluate("location.hash")
    same = opened(playground, state=link.partition("?")[2]).page
    settled(same)
    assert "form kept" not in caption(same)
    torch.testing.assert_close(scores(same), scores(page), atol=0.5, rtol=0)


@pytest.mark.parametrize("name", ["pen", "shift", "Undo", "Clear"])
def test_form_is_brought_anew_by_what_follows_an_erasure(playground, name):
    page = opened(playground).page
    draw(page, SEVEN)
    for x in (0.25, 0.35):
        erase(page, [(x, 0.2), (x + 0.05, 0.2)])
    assert "form kept" in caption(page)
    if name == "pen":
        page.get_by_label("pen", exact=True).check()
        draw(page, BAR)
    elif name == "shift":
        page.locator(PAPER).press("ArrowDown")
    else:
        button(page, name).click()
    settled(page)
    if name == "Clear":
        # the eraser has nothing to do on an empty sheet
        assert page.get_by_label("pen", exact=True).is_checked()
        draw(page, SEVEN)
    assert "scaled by" in caption(page)
    assert button(page, "Center again").is_disabled()


def test_click_draws_a_dot(playground):
    page = opened(playground).page
    page.get_by_label("Bring it to MNIST").uncheck()
    draw(page, [(0.5, 0.5)])
    dot = picture(page, 0)[0, 0]
    # a disk as wide as the line, in the middle
    assert dot.sum().item() == pytest.approx(np.pi * 1.2**2, rel=0.05)
    assert dot[12:16, 12:16].sum() == dot.sum()
    erase(page, [(0.5, 0.5)])
    assert page.get_by_text("Nothing is drawn: draw a digit").is_visible()


@pytest.mark.parametrize("key", ["ArrowLeft", "+"])
def test_key_on_an_empty_sheet_says_to_choose_a_sample(playground, key):
    page = opened(playground).page
    page.locator(PAPER).press(key)
    message = page.get_by_text("Nothing is drawn: choose a sample digit")
    message.first.wait_for()
    page.get_by_label("Sample digit").select_option("7")
    settled(page)
    page.locator(PAPER).press(key)
    settled(page)
    assert page.locator(READ).text_content().startswith("Read as 7")


def test_on_a_phone_the_reading_is_below_the_drawing_and_all_is_large_enough(playground):
    page = opened(playground, size=pages.PHONE, has_touch=True, is_mobile=True).page
    draw(page, SEVEN)
    tops, bottoms = [], []
    for part in (PAPER, READ, ".pg-bars", ".pg-radios", ".pg-draw .pg-tools"):
        box = page.locator(part).first.bounding_box()
        tops.append(box["y"])
        bottoms.append(box["y"] + box["height"])
    assert tops == sorted(tops)
    assert bottoms[1] - bottoms[0] < 50
    parts = page.locator("#pg-panel-digit").locator(
        ".pg-tools button, .pg-radios label, .pg-check, select"
    )
    heights = parts.evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    assert len(heights) > 10
    assert min(heights) >= 44
    # ten that stay beside the drawing
    rows = page.locator(".pg-bars button")
    assert min(rows.evaluate_all("all => all.map((one) => one.offsetHeight)")) >= 32


def test_bars_of_the_scores_have_room(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    assert page.locator(".pg-bars tbody td i").first.bounding_box()["width"] > 70


def test_flood_of_moves_queues_nothing_and_the_last_drawing_is_shown(playground):
    page = opened(playground).page
    page.evaluate("Object.assign(work, { asked: 0, most: 0 })")
    page.locator(PAPER).evaluate(
        """(canvas, places) => {
          const { left, top, width, height } = canvas.getBoundingClientRect();
          canvas.setPointerCapture = () => {};
          const send = (kind, [x, y]) => canvas.dispatchEvent(new PointerEvent(kind, {
            pointerId: 1, button: 0, bubbles: true,
            clientX: left + x * width, clientY: top + y * height,
          }));
          send("pointerdown", places[0]);
          for (const place of places) send("pointermove", place);
          send("pointerup", places.at(-1));
        }""",
        FLOOD,
    )
    settled(page)
    work = page.evaluate("work")
    assert work["asked"] <= 10
    assert work["most"] <= 1
    # computed once more, alone, it is the same
    shown = scores(page), picture(page, 0)
    page.get_by_label("Map", exact=True).select_option("signed")
    settled(page)
    assert torch.equal(scores(page), shown[0])
    assert torch.equal(picture(page, 0), shown[1])
    # the last stroke's end is in the picture
    assert picture(page, 0)[0, 0, 22:].sum() > 1


def test_stroke_is_answered_within_a_frame_or_two(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    waited = page.locator(PAPER).evaluate(
        """async (canvas) => {
          const { left, top, width, height } = canvas.getBoundingClientRect();
          canvas.setPointerCapture = () => {};
          const send = (kind, x) => canvas.dispatchEvent(new PointerEvent(kind, {
            pointerId: 1, button: 0, clientX: left + x * width, clientY: top + 0.2 * height,
          }));
          const read = document.querySelector(".pg-read");
          const shown = () => new Promise((done) =>
            new MutationObserver((_, watcher) => done(watcher.disconnect()))
              .observe(read, { childList: true }));
          send("pointerdown", 0.3);
          await shown();
          const waited = [];
          for (let i = 0; i < 30; i++) {
            await new Promise(requestAnimationFrame);
            const from = performance.now();
            send("pointermove", 0.3 + i / 100);
            await shown();
            waited.push(performance.now() - from);
          }
          send("pointerup", 0.6);
          return waited.sort((a, b) => a - b)[15];
        }"""
    )
    assert waited < 50


def test_each_rule_and_map_is_shown_with_its_scale(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    figure = page.locator(".pg-draw > .pg-wide figure").nth(1)
    maps = {}
    for rule in ("gradient", "deconvnet", "guided"):
        page.get_by_label("Rule of the ReLU").select_option(rule)
        for kind in ("magnitude", "signed", "input"):
            page.get_by_label("Map", exact=True).select_option(kind)
            settled(page)
            low, high = figure.locator(".pg-scale span").all_text_contents()
            high, unit = high.split(" ", 1)
            assert unit == ("score" if kind == "input" else "score per intensity")
            assert low == ("0" if kind == "magnitude" else f"−{high}")
            label = figure.locator("canvas").get_attribute("aria-label")
            assert "of the score of 7" in label
            maps[rule, kind] = figure.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    assert len(set(maps.values())) == 9


def test_class_is_chosen_by_its_bar(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    label = page.locator(".pg-draw > .pg-wide canvas").nth(1)
    page.locator(".pg-bars").get_by_role("button", name="3").click()
    settled(page)
    assert "of the score of 3" in label.get_attribute("aria-label")
    assert page.get_by_label("Class", exact=True).input_value() == "3"
    page.locator(".pg-bars").get_by_role("button", name="3").click()
    settled(page)
    assert "of the score of 7" in label.get_attribute("aria-label")


def test_link_holds_the_drawing_and_what_is_chosen(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    page.get_by_label("eraser").check()
    draw(page, [(0.25, 0.2), (0.3, 0.2)])
    page.get_by_label("Map", exact=True).select_option("signed")
    page.get_by_label("Class", exact=True).select_option("2")
    settled(page)
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => location.hash.startsWith('#playground?')")
    link = page.evaluate("location.hash")
    assert len(link) < 400
    again = opened(playground, state=link.partition("?")[2]).page
    settled(again)
    torch.testing.assert_close(scores(again), scores(page), atol=0.5, rtol=0)
    torch.testing.assert_close(picture(again, 0), picture(page, 0), atol=0.15, rtol=0)
    assert again.get_by_label("Map", exact=True).input_value() == "signed"
    assert again.get_by_label("Class", exact=True).input_value() == "2"
    assert again.evaluate("location.hash") == link
    # what is drawn next is not what the address says
    again.get_by_label("pen", exact=True).check()
    draw(again, [(0.3, 0.5), (0.7, 0.5)])
    assert again.evaluate("location.hash") == ""


@pytest.mark.parametrize("drawing", ["p24.zz", "n9_x", "never"])
def test_drawing_of_a_link_that_cannot_be_read_is_said_in_place(playground, drawing):
    page = opened(playground, state=f"panel=digit&drawing={drawing}").page
    page.get_by_role("alert").get_by_text("The drawing of this link cannot be read.").wait_for()


def test_reading_is_announced_when_it_has_come_to_rest(playground):
    page = opened(playground).page
    draw(page, SEVEN)
    heard = page.locator("#pg-panel-digit .pg-heard[role=status]")
    page.wait_for_function("() => document.querySelector('#pg-panel-digit .pg-heard').textContent")
    heard.get_by_text("Read as 7: score ").wait_for(state="attached")


@pytest.mark.parametrize(("scheme", "size"), [("light", pages.DESKTOP), ("dark", pages.PHONE)])
def test_axe_finds_nothing_serious_and_all_fits(playground, scheme, size):
    seen = opened(playground, color_scheme=scheme, size=size)
    assert seen.axe(".pg") == []
    draw(seen.page, SEVEN)
    assert seen.axe(".pg") == []
    assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
