"""The front end with a kernel: ``widget.js`` in a headless Chromium, an explorer behind it.

What the page sends is kept until the test answers it, so that all that can happen while a
question is on its way happens here in a fixed order.
"""

import base64

import pytest
import torch
from PIL import Image

from deepinside import plots
from deepinside.explorers import Answer, Control, Curve, Explorer, Panel

BRIGHT = Control("dim", "Brightness", (0.25, 1.0), start=1.0, log=True)
KIND = Control("kind", "Kind", ("plain", "framed"), "list", free="or any kind")
PHOTO = Control("photo", "Photo", ("none",), "photo")

MODEL = """({ spec, grid, module, style }) => {
  document.head.append(Object.assign(document.createElement('style'), { textContent: style }));
  const heard = [];
  window.sent = [];
  const model = {
    get: (name) => ({ spec, grid })[name],
    on: (name, call) => heard.push(call),
    off: () => {},
    send: (content) => window.sent.push(content),
  };
  window.hear = (content) => heard.forEach((call) => call(content));
  const url = URL.createObjectURL(new Blob([module], { type: 'text/javascript' }));
  return import(url).then(({ default: { render } }) => render({ model, el: document.body }));
}"""


def answers(states):
    found = []
    for state in states:
        if state["kind"] == "broken":
            raise ValueError("expected a kind that can be drawn, got 'broken'")
        own = not isinstance(state["photo"], str)
        image = state["photo"] if own else torch.full((3, 8, 8), state["dim"])
        numbers = {"brightness": f"{state['dim']:.2f}", "kind": state["kind"]}
        found.append(Answer([Panel("p", f"{state['kind']} picture", image)], numbers))
    return found


def hold_clock(page):
    """Let the page's time pass only when it is told to."""
    page.clock.install(time=0)
    page.clock.pause_at(1000)


def chosen(menu):
    return menu.evaluate("part => part.selectedOptions[0].textContent")


class Notebook:
    """A page with an explorer, whose kernel answers when it is told to."""

    def __init__(self, page, explorer, replies):
        self.page, self._explorer, self._replies = page, explorer, replies
        self.errors, self._answered = [], 0
        page.on("pageerror", lambda error: self.errors.append(error.message))
        parts = {"module": explorer._esm, "style": explorer._css}
        page.evaluate(MODEL, {"spec": explorer.spec, "grid": explorer.grid, **parts})

    def sent(self):
        return self.page.evaluate("sent")

    def asked(self):
        """The states of all questions, in order."""
        return [message["state"] for message in self.sent() if message["kind"] == "ask"]

    def answer(self):
        """Let the kernel answer the oldest message that it has not answered."""
        self._explorer._receive(self._explorer, self.sent()[self._answered], [])
        self._answered += 1
        self.page.evaluate("content => hear(content)", self._replies.pop())

    def lose(self):
        """Let the oldest message that is not answered be lost."""
        self._answered += 1

    def greet(self):
        self.page.evaluate("hear({ kind: 'alive' })")

    def type(self, kind):
        self.page.get_by_label("or any kind", exact=True).fill(kind)
        self.page.keyboard.press("Enter")

    def choose(self, place):
        self.page.get_by_label("Kind", exact=True).select_option(str(place))

    def silence(self):
        """Let pass the time after which an answer is not waited for."""
        self.page.clock.run_for(8001)

    def numbers(self):
        return self.page.locator(".dx-numbers strong").all_text_contents()

    def is_busy(self):
        return self.page.locator(".dx").get_attribute("aria-busy") == "true"

    def status(self):
        return self.page.locator(".dx-status").text_content()


@pytest.fixture
def notebook(browser, monkeypatch):
    replies = []
    monkeypatch.setattr(Explorer, "send", lambda _, content, **options: replies.append(content))
    page = browser.new_page()
    hold_clock(page)
    notebook = Notebook(page, Explorer("A test", [BRIGHT, KIND, PHOTO], answers), replies)
    assert notebook.sent() == [{"kind": "hello"}]
    assert notebook.status() == ""
    notebook.answer()
    assert "connected" in notebook.status()
    yield notebook
    assert not notebook.errors
    page.close()


def test_a_value_between_is_computed(notebook):
    notebook.page.get_by_label("Brightness").focus()
    notebook.page.keyboard.press("ArrowLeft")
    assert notebook.is_busy()
    assert "Computing" in notebook.status()
    notebook.answer()
    assert not notebook.is_busy()
    # a tenth of the way from 1 to 0.25, evenly in the logarithm
    assert notebook.numbers()[0] == "0.87"
    notebook.page.keyboard.press("Home")
    assert notebook.numbers()[0] == "0.25"  # from the grid, at once
    assert len(notebook.asked()) == 1


def test_one_question_is_on_its_way_and_then_only_the_newest_follows(notebook):
    for kind in ("first", "second", "third", "fourth"):
        notebook.type(kind)
    assert [state["kind"] for state in notebook.asked()] == ["first"]
    notebook.answer()
    # what was asked before is not shown
    assert notebook.numbers()[1] == "plain"
    assert notebook.is_busy()
    assert [state["kind"] for state in notebook.asked()] == ["first", "fourth"]
    notebook.answer()
    assert notebook.numbers()[1] == "fourth"
    assert not notebook.is_busy()
    assert len(notebook.asked()) == 2


def test_what_the_grid_holds_is_shown_while_a_question_is_on_its_way(notebook):
    notebook.type("slow")
    notebook.type("waits")
    notebook.choose(1)
    assert notebook.numbers()[1] == "framed"
    assert not notebook.is_busy()
    notebook.answer()
    # neither the late answer nor what waited for it
    assert notebook.numbers()[1] == "framed"
    assert not notebook.is_busy()
    assert len(notebook.asked()) == 1
    notebook.type("next")
    notebook.answer()
    assert notebook.numbers()[1] == "next"


def test_an_error_is_told_in_place_and_goes_away(notebook):
    notebook.type("broken")
    notebook.answer()
    status = notebook.page.locator(".dx-status.dx-error")
    assert status.text_content() == "expected a kind that can be drawn, got 'broken'"
    assert status.get_attribute("role") == "alert"
    assert not notebook.is_busy()
    notebook.choose(1)
    assert notebook.numbers()[1] == "framed"
    assert not notebook.page.locator(".dx-error").count()


def test_an_error_of_what_was_asked_before_is_not_told(notebook):
    notebook.type("broken")
    notebook.type("right")
    notebook.answer()
    assert not notebook.page.locator(".dx-error").count()
    notebook.answer()
    assert notebook.numbers()[1] == "right"


def test_a_kernel_that_does_not_answer_is_told_and_the_nearest_state_shown(notebook):
    notebook.choose(1)
    slider = notebook.page.get_by_label("Brightness")
    slider.press("Home")
    for _ in range(3):  # three tenths of the way from the first value to the second
        slider.press("ArrowRight")
    notebook.page.clock.run_for(7900)
    assert notebook.status() == "Computing …"
    notebook.page.clock.run_for(200)
    status = notebook.page.locator(".dx-status.dx-error")
    assert status.get_attribute("role") == "alert"
    assert status.text_content() == (
        "Python does not answer. If it was restarted, run this cell again. "
        "What you see was computed before: Brightness: 0.25; Kind: framed; Photo: none."
    )
    assert notebook.numbers() == ["0.25", "framed"]
    assert not notebook.is_busy()
    # it was only busy: the answer, and then the one that was asked for last
    notebook.answer()
    notebook.answer()
    assert notebook.numbers() == ["0.38", "framed"]
    assert "connected" in notebook.status()


def test_silence_counts_from_the_last_question_and_not_when_it_was_answered(notebook):
    notebook.type("first")
    notebook.page.clock.run_for(5000)
    notebook.type("second")
    notebook.page.clock.run_for(5000)
    assert notebook.is_busy()
    notebook.answer()
    notebook.answer()
    notebook.silence()
    assert "connected" in notebook.status()
    notebook.type("third")
    notebook.choose(1)
    notebook.silence()
    assert "connected" in notebook.status()


def test_what_was_typed_is_what_the_menu_names(notebook):
    notebook.type("mine")
    menu = notebook.page.get_by_label("Kind", exact=True)
    assert chosen(menu) == "mine (typed)"
    notebook.answer()
    assert "Kind: mine (typed)" in notebook.page.locator(".dx-settings").text_content()
    notebook.type("other")
    assert chosen(menu) == "other (typed)"
    assert menu.locator("option").all_text_contents() == ["plain", "framed", "other (typed)"]
    notebook.choose(1)
    assert notebook.numbers()[1] == "framed"
    notebook.type("")
    assert chosen(menu) == "framed"
    assert menu.locator("option").count() == 2


def test_a_lost_question_is_asked_again_when_the_kernel_greets(notebook):
    notebook.type("lost")
    notebook.lose()
    notebook.greet()
    assert [state["kind"] for state in notebook.asked()] == ["lost", "lost"]
    notebook.answer()
    assert notebook.numbers()[1] == "lost"
    # with another one waiting, that one is asked, and with none nothing
    notebook.type("lost again")
    notebook.type("newer")
    notebook.lose()
    notebook.greet()
    notebook.answer()
    assert notebook.numbers()[1] == "newer"
    notebook.type("left alone")
    notebook.choose(1)
    notebook.lose()
    notebook.greet()
    assert [state["kind"] for state in notebook.asked()][2:] == [
        "lost again",
        "newer",
        "left alone",
    ]
    assert notebook.page.locator(".dx input[type=text]").count() == 1
    notebook.type("and then")
    notebook.answer()
    assert notebook.numbers()[1] == "and then"


def fail_to_send(notebook, kind):
    """What a closed connection does."""
    notebook.page.evaluate(
        "() => { window.push = sent.push; sent.push = () => { throw Error('closed'); }; }"
    )
    notebook.type(kind)
    notebook.page.evaluate("() => { sent.push = push; }")


def get_no_answer(notebook, kind):
    """What a kernel does that was restarted."""
    notebook.type(kind)
    notebook.lose()
    notebook.silence()


def get_no_answer_twice(notebook, kind):
    get_no_answer(notebook, "before")
    get_no_answer(notebook, kind)


def get_no_answer_to_what_waited(notebook, kind):
    notebook.type("before")
    get_no_answer(notebook, kind)
    notebook.lose()


def get_what_is_no_answer(notebook, kind):
    notebook.type(kind)
    asked = notebook.sent()[-1]["id"]
    notebook.lose()
    notebook.page.evaluate("id => hear({ kind: 'answer', id, answer: null })", asked)


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        (fail_to_send, "Python does not answer"),
        (get_no_answer, "Python does not answer"),
        (get_no_answer_twice, "Python does not answer"),
        (get_no_answer_to_what_waited, "Python does not answer"),
        (get_what_is_no_answer, "cannot be shown"),
    ],
)
def test_a_question_without_an_answer_is_told_and_does_not_hold_up_the_next(
    notebook, failing, told
):
    failing(notebook, "lost")
    assert told in notebook.page.locator(".dx-status.dx-error").text_content()
    assert not notebook.is_busy()
    notebook.type("next")
    assert notebook.asked()[-1]["kind"] == "next"
    notebook.answer()
    assert notebook.numbers()[1] == "next"
    assert "connected" in notebook.status()


def test_without_a_connection_there_is_what_was_computed_before(browser, monkeypatch):
    page = browser.new_page()
    closed = MODEL.replace("window.sent.push(content)", "{ throw Error('closed'); }")
    monkeypatch.setitem(globals(), "MODEL", closed)
    notebook = Notebook(page, Explorer("A test", [BRIGHT, KIND, PHOTO], answers), [])
    notebook.choose(1)
    assert notebook.numbers() == ["1.00", "framed"]
    page.close()


def test_a_late_answer_is_shown_while_nothing_newer_was_asked(notebook):
    notebook.type("late")
    notebook.silence()
    notebook.answer()
    assert notebook.numbers()[1] == "late"
    notebook.type("later")
    notebook.silence()
    notebook.type("newer")
    notebook.answer()
    assert notebook.numbers()[1] == "plain"
    notebook.answer()
    assert notebook.numbers()[1] == "newer"


@pytest.mark.parametrize("low, high", [(-3.0, 4.0), (-4.0, -1.0), (1005.0, 1009.0), (0.5, 0.50001)])
def test_all_stops_of_a_slider_are_taken(browser, monkeypatch, low, high):
    replies = []
    monkeypatch.setattr(Explorer, "send", lambda _, content, **options: replies.append(content))
    page = browser.new_page()
    slider = Control("dim", "Value", (low, high))

    def told(states):
        return [Answer([], {"value": repr(state["dim"])}) for state in states]

    notebook = Notebook(page, Explorer("A test", [slider], told), replies)
    notebook.answer()
    shown = []
    for key in ("End", "Home", *["ArrowRight"] * 9):
        page.get_by_label("Value").press(key)
        if notebook.is_busy():
            notebook.answer()
        assert not page.locator(".dx-error").count()
        shown.append(float(notebook.numbers()[0]))
    assert shown[0] == high
    assert shown[1] == low
    assert all(low <= value <= high for value in shown)
    assert shown[1:] == sorted(shown[1:])
    page.close()


def test_the_readers_own_photo_is_computed(notebook, tmp_path):
    page = notebook.page
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
    field = page.get_by_label("or your own photo", exact=True)
    field.set_input_files(path)
    page.wait_for_function("() => sent.at(-1).photo")
    assert notebook.is_busy()
    notebook.answer()
    assert not notebook.is_busy()
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
    assert page.locator(".dx-settings").text_content().endswith("Photo: your photo (mine.png)")
    menu = page.get_by_label("Photo", exact=True)
    assert chosen(menu) == "your photo (mine.png)"
    # one of the book's, and back
    menu.select_option("0")
    assert not notebook.is_busy()
    menu.select_option(label="your photo (mine.png)")
    notebook.answer()
    assert page.locator(".dx img").evaluate("image => image.naturalWidth") == 60
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    field.set_input_files(broken)
    page.wait_for_selector(".dx-error")
    assert "broken.png" in page.locator(".dx-error").text_content()


@pytest.mark.parametrize("controls", [[PHOTO, KIND, BRIGHT], [BRIGHT, KIND, PHOTO]])
def test_an_own_photo_and_what_was_typed_are_asked_for_together(
    browser, monkeypatch, tmp_path, controls
):
    replies = []
    monkeypatch.setattr(Explorer, "send", lambda _, content, **options: replies.append(content))
    page = browser.new_page()
    notebook = Notebook(page, Explorer("A test", controls, answers), replies)
    notebook.answer()
    Image.new("RGB", (60, 30)).save(tmp_path / "mine.png")
    page.get_by_label("or your own photo", exact=True).set_input_files(tmp_path / "mine.png")
    page.wait_for_function("() => sent.at(-1).photo")
    notebook.answer()
    notebook.type("mine")
    assert notebook.sent()[-1]["photo"].startswith("data:image")
    notebook.answer()
    assert notebook.numbers()[1] == "mine"
    page.close()


def strip(levels):
    """Frames of one brightness each, side by side."""
    return torch.cat([torch.full((1, 8, 8), level) for level in levels], dim=2)


def pictures(states):
    """A photo of two colors, a map that grows to the right, and five frames with their curve."""
    photo = torch.zeros(3, 20, 20)
    photo[0, :, :10], photo[:, :, 10:] = 1, 0.5
    ramp = (torch.arange(20.0) / 19).expand(20, 20)
    steps = [0.0, 0.25, 0.5, 0.75, 1.0]
    return [
        Answer(
            [
                Panel("photo", "Red and gray.", photo),
                Panel(
                    "map",
                    "A ramp.",
                    plots.colored(ramp),
                    scale=("magma", "0", "the end"),
                ),
                Panel("film", "From black to white.", strip(steps), frames=5),
            ],
            {"size": f"{state['size']:g}"},
            Curve("score", 40, steps),
        )
        for state in states
    ]


SIZE = Control("size", "Size", (1.0, 2.0, 4.0))


@pytest.fixture
def gallery(browser, monkeypatch):
    """A function that opens pictures in a window, before any kernel answers."""
    monkeypatch.setattr(Explorer, "send", lambda *_, **options: None)
    opened = []

    def open_gallery(*, controls=(SIZE,), **options):
        context = browser.new_context(**options)
        page = context.new_page()
        page.set_content('<meta name="viewport" content="width=device-width"><body>')
        opened.append(Notebook(page, Explorer("A gallery", controls, pictures), []))
        page.wait_for_function("() => [...document.images].every((image) => image.complete)")
        return opened[-1]

    yield open_gallery
    for notebook in opened:
        assert not notebook.errors
        notebook.page.context.close()


def test_the_value_under_the_pointer_is_shown_and_not_announced(gallery):
    page = gallery().page
    stacks = page.locator(".dx-stack")
    under = page.locator(".dx-under")

    def told(place, across, down):
        box = stacks.nth(place).bounding_box()
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        return under.text_content()

    where, color = told(0, 0.26, 0.51).split(": ")
    assert where == "x 5, y 10"
    red, green, blue = (float(part.split()[1]) for part in color.split(", "))
    assert red > 0.9
    assert max(green, blue) < 0.1
    assert float(told(0, 0.76, 0.51).split(": ")[1]) == pytest.approx(0.5, abs=0.03)
    for share in (0.12, 0.53, 0.98):
        words = told(1, share, 0.5).split(": ")[1]
        percent, rest = words.split(" ", 1)
        assert rest == "% of the way from 0 to the end"
        # the map's column under the pointer, of 20, as it was made
        assert float(percent) == pytest.approx(100 * int(20 * share) / 19, abs=4)
    page.mouse.move(1, 1)
    assert under.text_content() == ""
    assert not under.evaluate("part => part.closest('[aria-live], [role=status], output')")


def test_the_map_is_laid_over_the_photo(gallery):
    page = gallery().page
    assert not page.locator(".dx-over").count()
    slider = page.get_by_label("Map over the photo")
    assert slider.get_attribute("aria-valuetext") == "0 %"
    for _ in range(3):
        slider.press("ArrowRight")
    over = page.locator(".dx-over")
    assert over.evaluate("part => part.src") == page.locator("figure img").nth(2).evaluate(
        "part => part.src"
    )
    assert page.locator("figure").nth(0).locator(".dx-over").count() == 1
    assert over.evaluate("part => part.style.opacity") == "0.15"
    assert slider.get_attribute("aria-valuetext") == "15 %"
    # it stays with the next answer
    page.get_by_label("Size", exact=True).press("End")
    assert over.evaluate("part => part.style.opacity") == "0.15"
    slider.press("Home")
    assert not over.count()


def test_two_settings_are_kept_side_by_side(gallery):
    notebook = gallery(controls=(SIZE, PHOTO))
    page = notebook.page
    page.get_by_label("Size", exact=True).press("ArrowRight")
    button = page.get_by_role("button", name="Keep to compare")
    button.click()
    page.get_by_label("Size", exact=True).press("End")
    kept = page.get_by_role("group", name="Kept: Size: 2; Photo: none")
    # named by what is different
    assert kept.locator("p").text_content() == "Kept: Size: 2"
    assert kept.locator("strong").all_text_contents() == ["2"]
    assert kept.locator("img").first.get_attribute("alt") == "Red and gray."
    assert kept.locator("svg[role=img]").count() == 1
    assert page.locator(".dx-view > .dx-numbers strong").all_text_contents() == ["4"]
    page.get_by_role("button", name="Stop comparing").click()
    assert not kept.count()
    assert button.is_visible()


def film(page):
    """Which frame is seen: the share of the strip that lies to the left."""
    return (
        page.locator("figure")
        .nth(2)
        .locator("img")
        .evaluate(
            """(image) => {
          const [strip, stack] = [image, image.parentNode]
            .map((part) => part.getBoundingClientRect());
          return [Math.round((stack.left - strip.left) / stack.width), strip.width / stack.width];
        }"""
        )
    )


def test_frames_are_played_from_first_to_last_with_the_curves_point(gallery):
    page = gallery().page
    assert film(page) == [4, 5]
    hold_clock(page)
    page.get_by_role("button", name="Play").click()
    points = []
    for frame in range(5):
        assert film(page)[0] == frame
        told = f"step {10 * frame} of 40" + "; the numbers are for the last one" * (frame < 4)
        assert page.locator(".dx-under").text_content() == told
        circle = page.locator(".dx-curve circle")
        points.append([float(circle.get_attribute(name)) for name in ("cx", "cy")])
        page.clock.run_for(200)
    line = page.locator("polyline").get_attribute("points")
    assert points == [[float(value) for value in point.split(",")] for point in line.split()]
    page.clock.run_for(200)
    assert film(page)[0] == 4
    button = page.get_by_role("button", name="Play")
    button.click()
    page.clock.run_for(200)
    page.get_by_role("button", name="Stop").click()
    page.clock.run_for(1000)
    assert film(page)[0] == 1
    button.click()
    # another answer is shown at its end
    page.get_by_label("Size", exact=True).press("End")
    page.clock.run_for(1000)
    assert film(page)[0] == 4
    assert page.locator(".dx-under").text_content() == ""
    assert not page.locator("circle").count()


def test_frames_are_stepped_for_a_reader_who_wants_no_motion(gallery):
    page = gallery(reduced_motion="reduce").page
    button = page.get_by_role("button", name="Step")
    # the first announcement waits on a timer that began before the clock is held
    page.wait_for_function("() => document.querySelector('.dx-heard').textContent")
    hold_clock(page)
    for frame in (0, 1, 2):
        button.click()
        page.clock.run_for(1000)
        assert film(page)[0] == frame
        told = f"step {10 * frame} of 40; the numbers are for the last one"
        assert page.locator(".dx-heard").text_content() == told


def test_one_step_of_a_slider_is_announced_once(gallery):
    """Beside the slider's own value, which every browser tells, one live region changes."""
    page = gallery().page
    page.wait_for_function("() => document.querySelector('.dx-heard').textContent")
    page.evaluate(
        """() => {
          window.changed = [];
          const live = '[aria-live], [role=status], [role=alert], [role=log], output';
          new MutationObserver((records) => {
            for (const { target } of records) {
              const region = (target.closest ? target : target.parentElement).closest(live);
              if (region) changed.push([region.className, region.textContent]);
            }
          }).observe(document.body, { childList: true, characterData: true, subtree: true });
        }"""
    )
    slider = page.get_by_label("Size", exact=True)
    slider.press("ArrowRight")
    page.wait_for_timeout(600)
    assert page.evaluate("changed") == [["dx-heard", "size 2"]]
    assert slider.get_attribute("aria-valuetext") == "2"
    assert page.locator(".dx-value").first.text_content() == "2"


def test_a_control_without_a_part_says_what_it_depends_on(gallery):
    way = Control("way", "Way", ("plain", "GraphCut"), "list")
    page = gallery(controls=(SIZE._replace(needs=("way", "GraphCut")), way)).page
    slider = page.get_by_label("Size", exact=True)
    assert slider.is_disabled()
    assert slider.get_attribute("aria-valuetext") == "only with GraphCut"
    assert page.get_by_text("only with GraphCut").is_visible()
    page.get_by_label("Way").select_option("1")
    assert slider.is_enabled()
    assert slider.get_attribute("aria-valuetext") == "1"


def test_sliders_come_first_then_menus_what_depends_on_them_and_the_curve(gallery):
    way = Control("way", "Way", ("GraphCut", "plain"), "list")
    part = SIZE._replace(name="part", label="Part", needs=("way", "GraphCut"))
    options = {"viewport": {"width": 390, "height": 844}}
    page = gallery(controls=(part, way, SIZE), **options).page
    names = ["size", "over", "way", "part"]
    found = [".dx-shown", *(f"[name={name}]" for name in names), ".dx-curve", ".dx-tools"]
    tops = page.evaluate(
        """(found) => found
          .map((name) => document.querySelector(name).getBoundingClientRect().top)""",
        found,
    )
    assert tops == sorted(tops)
    stops = []
    for _ in names:
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.name"))
    assert stops == names


@pytest.mark.parametrize("kept", [False, True])
def test_pictures_and_the_slider_that_is_moved_are_seen_together_on_a_phone(gallery, kept):
    page = gallery(viewport={"width": 390, "height": 844}).page
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div style=\"height: 2000px\">')")
    if kept:
        page.get_by_role("button", name="Keep to compare").click()
    for label in ("Size", "Map over the photo"):
        slider = page.get_by_label(label, exact=True)
        slider.evaluate("part => scrollTo(0, part.getBoundingClientRect().bottom + scrollY - 840)")
        view, part = page.locator(".dx-view").bounding_box(), slider.bounding_box()
        assert view["y"] >= 0
        assert view["y"] + view["height"] <= part["y"]
        assert part["y"] + part["height"] <= 844
    columns = (
        page.locator(".dx-shown")
        .first.locator("figure")
        .evaluate_all("found => found.map((part) => Math.round(part.getBoundingClientRect().left))")
    )
    assert len(set(columns[:2])) == 2
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_pictures_of_one_row_begin_at_one_height_whatever_their_titles(browser):
    def two(states):
        gray = torch.full((1, 8, 8), 0.5)
        titles = "short", "a title that is longer than a picture of a phone is wide"
        return [Answer([Panel(title, "gray", gray) for title in titles], {}) for _ in states]

    page = browser.new_page(viewport={"width": 390, "height": 844})
    Notebook(page, Explorer("Titles", [SIZE], two), [])
    (left, right), titles = (
        [part.bounding_box() for part in page.locator(name).all()]
        for name in (".dx-stack", "figcaption")
    )
    assert titles[1]["height"] > 1.5 * titles[0]["height"]
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    page.close()


TOUCH = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def swipe(page, start, way):
    """Touch a place and move the finger along a way, as a touch screen does."""
    touch = page.context.new_cdp_session(page)
    x, y = start

    def dispatch(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    dispatch("touchStart", {"x": x, "y": y})
    for step in range(1, 11):
        dispatch("touchMove", {"x": x + way[0] * step / 10, "y": y + way[1] * step / 10})
        page.wait_for_timeout(20)
    dispatch("touchEnd")
    page.wait_for_timeout(100)


def test_a_swipe_on_a_slider_scrolls_the_page_and_does_not_move_it(gallery):
    page = gallery(**TOUCH).page
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div style=\"height: 2000px\">')")
    slider = page.get_by_label("Size", exact=True)
    slider.press("ArrowRight")
    slider.evaluate("part => part.scrollIntoView({ block: 'end' })")
    box = slider.bounding_box()
    start = (box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    before = page.evaluate("scrollY")
    page.evaluate(
        """() => {
          window.seen = [];
          const note = () => seen.push(document.querySelector('.dx-numbers strong').textContent);
          const numbers = document.querySelector('.dx-numbers');
          new MutationObserver(note).observe(numbers, { childList: true });
        }"""
    )
    swipe(page, start, (3, -150))
    assert page.evaluate("scrollY") > before + 50
    assert slider.input_value() == "1"
    assert page.evaluate("seen") == []


def test_a_finger_that_goes_to_the_side_or_taps_moves_the_slider(gallery):
    notebook = gallery(**TOUCH)
    page = notebook.page
    slider = page.get_by_label("Size", exact=True)
    slider.evaluate("part => part.scrollIntoView({ block: 'end' })")
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    swipe(page, (box["x"] + 5, middle), (box["width"] - 10, 3))
    assert slider.input_value() == "2"
    assert notebook.numbers() == ["4"]
    page.touchscreen.tap(box["x"] + box["width"] / 2, middle)
    assert slider.input_value() == "1"
    assert notebook.numbers() == ["2"]
