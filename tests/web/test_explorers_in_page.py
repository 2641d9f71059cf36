"""The chapters' explorers on a page: answered by the network in it, and doors to the playground."""

import base64
import io
import math

import numpy as np
import pages
import pytest
import torch
from PIL import Image

from deepinside import explorers, images, networks
from deepinside.explorers.packing import Packing

# asks the kernel in the page for states of an explorer, in turn
ASK = """
async ([page, states, photo]) => {
  let hear;
  const ask = kernelInThePage(page, (message) => hear(message));
  const answers = [];
  for (const state of states) {
    answers.push(await new Promise((resolve) => {
      hear = resolve;
      ask({ kind: "ask", id: 1, state, photo });
    }));
  }
  return answers;
}
"""
PHOTO = "input[type=file]"
CHAPTERS = [path.stem for path in pages.with_explorers()]


def told(answer, tables):
    """Return what an answer says: its texts and numbers, without the pictures."""
    panels, numbers, *curve = answer
    texts = tables["texts"]
    return (
        [(texts[panel[0]], texts[panel[1]], panel[2], panel[8]) for panel in panels],
        [[texts[i], texts[k]] for i, k in numbers],
        *([[texts[drawn[0]], *drawn[1:]] for drawn in curve]),
    )


def shown_numbers(page):
    return page.locator(".dx-numbers div").all_text_contents()


def changed(page, before):
    """Wait until the explorer shows other numbers, and has no answer to wait for."""
    page.wait_for_function(
        """before => document.querySelector('.dx-numbers').textContent !== before
          && document.querySelector('.dx').getAttribute('aria-busy') !== 'true'""",
        arg="".join(before),
    )


@pytest.fixture
def class_models(visit):
    opened = visit("book/class_models.html")
    opened.page.locator(".dx").scroll_into_view_if_needed()
    opened.page.wait_for_function("() => globalThis.kernelInThePage")
    return opened


def test_class_models_are_those_of_python(class_models):
    loaded = [networks.load_network(name) for name in ("digits", "cluttered_digits")]
    explorer = explorers.class_model_explorer(*loaded)
    states = [
        {"class": name, "start": start, "l2_weight": l2_weight, "step_size": step_size}
        for name, start, l2_weight, step_size in (
            ("8", "zero image", 1.0, 0.03),
            ("3", "zero image", 0.45, 0.011),
            ("0", "noise", 3.0, 0.03),
            ("5", "a handwritten 3", 2.1, 0.02),
            ("1", "zero image", 10.0, 0.3),
        )
    ]
    found = class_models.page.evaluate(ASK, [explorer.spec["page"], states, None])
    for state, answer in zip(states, found, strict=True):
        packing = Packing()
        right = packing.answer(explorer._answers([state])[0])
        *ours, ours_curve = told(answer["answer"], answer)
        *theirs, curve = told(right, packing.tables())
        assert ours == theirs
        assert ours_curve[:2] == curve[:2]
        values, expected = (
            [math.inf if value is None else value for value in drawn[2]]
            for drawn in (ours_curve, curve)
        )
        assert values == pytest.approx(expected, rel=0.01, abs=0.01)


def test_an_explorer_answers_between_the_values_of_its_grid(class_models):
    page = class_models.page
    before = shown_numbers(page)
    slider = page.locator("[name=l2_weight]")
    slider.fill("1.5")
    changed(page, before)
    slider.fill("1")
    assert shown_numbers(page) == before
    assert class_models.errors == class_models.elsewhere == []


def test_an_own_photo_is_a_start_and_stays_in_the_page(class_models, tmp_path):
    page = class_models.page
    file = tmp_path / "own.png"
    page.screenshot(path=file)
    asked = len(class_models.asked)
    before = shown_numbers(page)
    page.set_input_files(PHOTO, file)
    changed(page, before)
    later = [address for address in class_models.asked[asked:] if not address.startswith("blob:")]
    assert all("/networks/" in address or address.startswith("data:") for address in later)


def test_the_rules_of_an_own_photo_are_those_of_python(visit):
    page = visit("book/deconvnet.html", scheme="file").page
    page.locator(".dx").scroll_into_view_if_needed()
    page.wait_for_function("() => globalThis.kernelInThePage")
    pixels = (images.load_photo("coffee").flip(2) * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    own = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255
    states = [
        {"photo": own, "layer": layer, "rule": rule}
        for layer, rule in (
            ("class score", "gradient"),
            ("stage 2", "guided back-propagation"),
            ("first convolution", "DeconvNet"),
        )
    ]
    explorer = explorers.deconvnet_explorer(networks.load_network("squeezenet"))
    asked = [state | {"photo": "own"} for state in states]
    found = page.evaluate(ASK, [explorer.spec["page"], asked, url])
    for state, answer in zip(states, found, strict=True):
        packing = Packing()
        right = packing.answer(explorer._answers([state])[0])
        assert told(answer["answer"], answer) == told(right, packing.tables())


def test_where_the_network_cannot_run_the_grid_answers_alone(visit):
    page = visit("book/class_models.html", init="WebAssembly.validate = () => false;").page
    page.locator(".dx").scroll_into_view_if_needed()
    page.wait_for_function("() => globalThis.kernelInThePage")
    before = shown_numbers(page)
    slider = page.locator("[name=l2_weight]")
    slider.fill("1.5")
    page.locator(".dx-status[role=alert]", has_text="cannot compute this").wait_for()
    assert shown_numbers(page) == before
    slider.fill("2")
    assert shown_numbers(page) != before
    assert page.locator(".dx-status").text_content() == ""


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_door_leads_to_what_is_set(visit, chapter):
    page = visit(f"book/{chapter}.html").page
    door = page.locator(".dx-door")
    assert door.count() == 1
    door.click()
    page.locator("[role=tab][aria-selected=true]").wait_for()
    assert page.get_by_text("Not recognized").count() == 0
