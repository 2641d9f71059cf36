"""The front end with a kernel: ``widget.js`` in a headless Chromium, an explorer behind it.

What the page sends is kept until the test answers it, so that all that can happen while a
question is on its way happens here in a fixed order.
"""

import base64

import pytest
import torch

from deepinside.explorers import Answer, Control, Explorer, Panel

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


def test_a_question_that_could_not_be_sent_does_not_hold_up_the_next(notebook):
    page = notebook.page
    page.evaluate(
        "() => { window.push = sent.push; sent.push = () => { throw Error('closed'); }; }"
    )
    notebook.type("unsent")
    page.evaluate("() => { sent.push = push; }")
    assert notebook.errors.pop() == "closed"
    notebook.type("sent")
    notebook.answer()
    assert notebook.numbers()[1] == "sent"


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
    assert page.locator(".dx-settings").text_content().endswith("Photo: your photo")
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    field.set_input_files(broken)
    page.wait_for_selector(".dx-error")
    assert "broken.png" in page.locator(".dx-error").text_content()
