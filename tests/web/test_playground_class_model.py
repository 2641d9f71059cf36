"""The playground's panel of class models, in a headless Chromium on the built page."""

import re

import pytest

pytest.importorskip("playwright.sync_api")

PANEL = "panel=class_model"
GAPS = """() => {
  window.gaps = [];
  let last = performance.now();
  const frame = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


class ClassModelPanel:
    """The panel, once it has come to step 0."""

    def __init__(self, page):
        self.page = page
        self.root = page.get_by_role("tabpanel")
        self.picture = self.root.locator(".pg-picture canvas")

    def click(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def load(self):
        self.root.get_by_role("button", name="Load SqueezeNet").click()
        self.at(0)

    def numbers(self):
        """What is shown below the picture, as words and numbers."""
        shown = self.root.locator(".pg-numbers > div:visible").all()
        pairs = [each.locator("span, strong").all_text_contents() for each in shown]
        return {word: float(text.replace("−", "-").replace(",", "")) for word, text in pairs}

    def step(self):
        text = self.root.locator(".pg-numbers strong").first.text_content()
        return int(text.replace(",", "")) if text else None

    def until(self, reached, seconds=60):
        """Wait until a condition of the panel holds."""
        for _ in range(20 * seconds):
            if reached():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not reached after {seconds} s; step {self.step()}")

    def at(self, step):
        self.until(lambda: self.step() == step)

    def past(self, step):
        self.until(lambda: self.step() >= step)

    def steps(self, count):
        for step in range(1, count + 1):
            self.click("One step")
            self.at(step)

    def slide(self, label, key):
        self.root.get_by_label(label).press(key)

    def pixels(self):
        return self.picture.evaluate("canvas => canvas.toDataURL()")


@pytest.fixture
def panel(playground):
    def opened(state="", **options):
        seen = playground(f"{PANEL}&{state}" if state else PANEL, **options)
        found = ClassModelPanel(seen.page)
        found.errors = seen.errors
        if "squeezenet" not in state:
            found.at(0)
        return found

    return opened


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_objective_rises_and_pause_stops(panel, scheme):
    found = panel(scheme=scheme)
    start = found.numbers()
    found.click("Run")
    found.past(60)
    found.click("Pause")
    found.root.get_by_role("button", name="Run", exact=True).wait_for()
    found.page.wait_for_timeout(200)
    end = found.numbers()
    assert end["objective"] > start["objective"] + 5
    assert end["objective"] == pytest.approx(end["score"] - end["λ‖I‖²"], abs=0.02)
    assert end["λ‖I‖²"] == pytest.approx(end["‖I‖"] ** 2, rel=0.01)
    found.page.wait_for_timeout(400)
    assert found.step() == end["step"]
    assert found.errors == []


def test_both_networks_say_how_probable_the_class_is(panel):
    found = panel("class=3&pace=fast")
    found.click("Run")
    found.past(200)
    found.click("Pause")
    networks = ("the climbed network", "a second network")
    words = [f"probability of the 3, by {network}" for network in networks]
    found.until(lambda: all(found.numbers().get(word, 0) > 0.9 for word in words))


def test_what_is_set_while_it_climbs_counts_at_once(panel):
    found = panel()
    found.click("Run")
    found.past(40)
    before = found.numbers()["‖I‖"]
    found.slide("λ, penalty", "End")
    found.until(lambda: found.numbers()["‖I‖"] < before / 2)
    assert found.root.get_by_role("button", name="Pause", exact=True).is_visible()
    found.click("Pause")
    shown = found.numbers()
    assert shown["λ‖I‖²"] == pytest.approx(10 * shown["‖I‖"] ** 2, rel=0.01)


def test_penalty_of_a_paused_image_follows_lambda(panel):
    found = panel()
    found.steps(5)
    before = found.numbers()
    found.slide("λ, penalty", "ArrowRight")
    after = found.numbers()
    assert after["λ‖I‖²"] == pytest.approx(1.5 * before["λ‖I‖²"], rel=0.01)
    assert after["step"] == before["step"]
    assert after["objective"] == pytest.approx(after["score"] - after["λ‖I‖²"], abs=0.01)


def test_the_same_seed_gives_the_same_picture(panel):
    found = panel("start=noise&seed=3&jitter=3&blur=0.5")
    start = found.pixels()
    found.steps(5)
    first = found.pixels()
    found.click("Again from the same seed")
    found.at(0)
    assert found.pixels() == start != first
    found.steps(5)
    assert found.pixels() == first
    found.slide("Seed of noise and jitter", "ArrowRight")
    found.at(0)
    assert found.pixels() != start


def test_a_class_is_typed_and_what_is_none_is_said(panel):
    found = panel()
    found.steps(2)
    field = found.root.get_by_label("Class, by name or number")
    field.fill("11")
    field.press("Enter")
    found.root.get_by_role("alert").get_by_text("No class is called “11”").wait_for()
    field.fill("3")
    field.press("Enter")
    found.at(0)
    assert found.root.get_by_role("alert").count() == 0
    found.steps(1)
    name = found.picture.get_attribute("aria-label")
    assert name == "Class model of 3 at step 1."


def test_divergence_is_foretold_and_told(panel):
    found = panel("lambda=10&alpha=0.3&pace=fast")
    found.root.get_by_text("makes the image’s old part larger: the climb diverges").wait_for()
    found.click("Run")
    found.root.get_by_role("alert").get_by_text(re.compile(r"diverged at step \d+")).wait_for()
    found.root.get_by_role("button", name="Run", exact=True).wait_for()
    assert "diverged" in found.picture.get_attribute("aria-label")
    assert found.errors == []


def test_what_diverged_leaves_the_last_picture_before_it_dimmed(panel):
    found = panel("lambda=2&alpha=1")
    caption = found.root.locator(".pg-picture figcaption")
    # one step before it diverges
    found.steps(8)
    before = found.pixels()
    assert caption.text_content() == "class model of 8"
    found.click("One step")
    told = "diverged; the last picture before, of step 8"
    found.until(lambda: caption.text_content() == told)
    assert found.pixels() == before
    opacity = "canvas => Number(getComputedStyle(canvas).opacity)"
    assert found.picture.evaluate(opacity) < 0.5
    # the numbers of the axes are within the drawing
    charts = found.root.locator(".pg-chart text")
    starts = charts.evaluate_all("all => all.map((text) => text.getBBox().x)")
    assert min(starts) >= 0
    assert re.fullmatch(r"−\d\.\de\d+", charts.nth(2).text_content())
    with found.page.expect_download() as download:
        found.click("Save the picture")
    assert download.value.suggested_filename == "class model of 8, step 8.png"
    found.click("Again from the same seed")
    found.at(0)
    assert caption.text_content() == "class model of 8"
    assert found.picture.evaluate(opacity) == 1


def test_step_and_class_are_heard(panel):
    found = panel()
    found.steps(2)
    heard = re.compile(r"^Class 8, step 2: score [\d.]+, objective [\d.]+\.$")
    found.root.get_by_role("status").get_by_text(heard).wait_for()


def test_scores_have_a_plain_unit(panel):
    found = panel()
    assert found.root.get_by_text("What is climbed, in units of the score").is_visible()
    assert "logits" not in found.root.text_content()


def test_an_objective_that_falls_is_told(panel):
    found = panel("lambda=3&alpha=0.3")
    found.click("Run")
    found.root.get_by_text("The objective is below its start").wait_for()


def test_an_objective_that_a_larger_lambda_lowers_is_no_fall(panel):
    found = panel("alpha=0.005")
    found.click("Run")
    found.past(150)
    found.root.evaluate(
        """root => {
          window.warned = [];
          const note = () => warned.push(root.innerText.includes("below its start"));
          new MutationObserver(note).observe(root, { childList: true, subtree: true });
        }"""
    )
    found.slide("λ, penalty", "End")
    found.until(lambda: found.numbers()["objective"] < 0)
    found.until(lambda: found.numbers()["objective"] > 1)
    assert not any(found.page.evaluate("warned"))


@pytest.mark.parametrize("size", [(390, 844), (1200, 1000)])
def test_on_a_phone_the_picture_stays_in_view_while_alpha_is_moved(panel, size):
    found = panel(size=size)
    alpha = found.root.get_by_label("α, step size")
    alpha.evaluate("slider => slider.scrollIntoView({ block: 'end' })")
    found.page.wait_for_timeout(200)
    picture, slider = found.picture.bounding_box(), alpha.bounding_box()
    if size[0] < 600:
        assert picture["y"] >= 0
        assert picture["y"] + picture["height"] < slider["y"]
        found.root.get_by_label("Blur").evaluate("input => input.scrollIntoView()")
        assert found.picture.bounding_box()["y"] >= 0
    charts = found.root.locator(".pg-chart:visible")
    assert charts.count() == (1 if size[0] < 600 else 2)


def test_another_panel_lets_it_rest(panel):
    found = panel("pace=fast")
    found.click("Run")
    found.past(20)
    found.page.get_by_role("tab", name="Layers").click()
    found.page.wait_for_timeout(500)
    found.page.get_by_role("tab", name="Class model").click()
    step = found.step()
    found.root.get_by_role("button", name="Run", exact=True).wait_for()
    found.page.wait_for_timeout(300)
    assert found.step() == step
    told = found.root.get_by_text(f"Paused at step {step:,}.")
    assert told.is_visible()
    found.click("Run")
    told.wait_for(state="detached")


def test_state_is_in_the_address(panel):
    state = "class=3&start=noise&seed=7&pace=fast&lambda=2&alpha=0.1&jitter=4&blur=0.5"
    found = panel(state)
    found.page.get_by_role("button", name="Copy link").click()
    hash_of = "location.hash"
    found.page.wait_for_function(f"{hash_of}.includes('jitter')")
    link = found.page.evaluate(hash_of).partition("?")[2]
    assert sorted(link.split("&")) == sorted([PANEL, *state.split("&")])
    assert found.root.get_by_label("α, step size").get_attribute("aria-valuetext") == "0.1"


def test_strange_state_is_said(panel):
    found = panel("lambda=many&color=red")
    found.root.get_by_role("alert").get_by_text("Not recognized: lambda many, color red").wait_for()


def test_traces_have_labeled_axes_and_are_told(panel):
    found = panel()
    found.steps(3)
    charts = found.root.locator(".pg-chart > svg")
    assert charts.count() == 2
    told = charts.first.get_attribute("aria-label")
    first, last = re.match(r"Steps 0 to 3: score from (\S+) to ([\d.]+),", told).groups()
    assert float(first) == pytest.approx(0.373, abs=0.001)
    assert float(last) == pytest.approx(found.numbers()["score"], rel=0.01)
    labels = charts.first.locator("text").all_text_contents()
    assert labels[-2:] == ["step 0", "3"]
    points = charts.first.locator("polyline").evaluate_all(
        "lines => lines.map((line) => line.points.numberOfItems)"
    )
    assert points == [4, 4, 4]


def test_picture_is_saved(panel):
    found = panel()
    found.steps(1)
    with found.page.expect_download() as download:
        found.click("Save the picture")
    assert download.value.suggested_filename == "class model of 8, step 1.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_class_of_photos_climbs_and_the_page_goes_on(panel):
    found = panel("network=squeezenet&class=ostrich&size=128")
    found.load()
    assert found.picture.evaluate("canvas => canvas.width") == 128
    start = found.numbers()
    found.page.evaluate(GAPS)
    found.click("Run")
    found.past(60)
    gaps = sorted(found.page.evaluate("gaps.slice(1)"))
    found.click("Pause")
    found.root.get_by_role("button", name="Run", exact=True).wait_for()
    print(f"longest gap between frames {gaps[-1]:.0f} ms, median {gaps[len(gaps) // 2]:.0f} ms")
    assert gaps[int(0.95 * len(gaps))] < 200
    assert gaps[-1] < 1000  # a quiet machine has 25; here other tests compute at the same time
    assert found.numbers()["objective"] > start["objective"] + 50
    size = found.root.get_by_label("Pixels a side")
    size.select_option("160")
    found.at(0)
    assert found.picture.evaluate("canvas => canvas.width") == 160
    assert found.errors == []
