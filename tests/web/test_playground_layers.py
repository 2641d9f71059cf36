"""The playground's panel of layers, in a headless Chromium on the built page."""

import re

import pytest
import torch

from deepinside import deconvnet
from deepinside.description import network_description
from deepinside.digits import load_digits

pytest.importorskip("playwright.sync_api")

PANEL = "panel=layers"
SAMPLE = 8  # the page has this one of each digit's hundred


class LayersPanel:
    """The panel, once it shows a layer."""

    def __init__(self, page):
        self.page = page
        self.root = page.get_by_role("tabpanel")
        self.channels = self.root.locator(".pg-channels button")
        self.pictures = self.root.locator(".pg-picture")
        self.map = self.pictures.nth(1).locator("canvas")
        self.heading = self.root.get_by_text("Carried back from")

    def ready(self):
        self.heading.wait_for()
        self.settle()

    def settle(self):
        """Wait until the answers that are on their way are shown."""
        before = None
        for _ in range(100):
            self.page.wait_for_timeout(150)
            now = self.root.inner_html()
            if now == before:
                return
            before = now
        raise AssertionError("the panel does not come to rest")

    def load(self):
        self.root.get_by_role("button", name="Load SqueezeNet").click()
        self.ready()

    def choose(self, layer):
        self.root.get_by_label("Layer", exact=True).select_option(layer)
        self.settle()

    def click(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()
        self.settle()

    def pick(self, channel):
        self.root.locator(f'[data-channel="{channel}"]').click()
        self.settle()

    def captions(self):
        return self.pictures.locator("figcaption").all_text_contents()

    def ends(self):
        """Where the scales of the three signals end, in the order of the rules."""
        found = [re.search(r"±([\d.e−,]+)", caption) for caption in self.captions()[2:]]
        return [float(end[1].replace("−", "-").replace(",", "")) for end in found]


@pytest.fixture
def panel(playground):
    def opened(state="", **options):
        seen = playground(f"{PANEL}&{state}" if state else PANEL, **options)
        found = LayersPanel(seen.page)
        found.errors = seen.errors
        if "squeezenet" not in state:
            found.ready()
        return found

    return opened


@pytest.fixture(scope="module")
def eight():
    return load_digits().images[800 + SAMPLE][None]


def output_of(network, image, layer):
    outputs = []
    hook = network.get_submodule(layer).register_forward_hook(
        lambda *given: outputs.append(given[2])
    )
    network(image)
    hook.remove()
    return outputs[0][0]


def three_digits(value):
    return float(f"{value:.3g}")


def ends_in_python(network, image, layer, **part):
    """Return the quantiles of the signals by the three rules at which the page's scales end."""
    ends = []
    for rule in deconvnet.RULES:
        signal = deconvnet.reconstruction(network, image, layer, rule=rule, **part).abs().flatten()
        ends.append(float(signal.quantile(0.995)) or float(signal.max()))
    return ends


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_channels_are_those_of_python_strongest_first(panel, digits_network, eight, scheme):
    found = panel(scheme=scheme)
    peaks = output_of(digits_network, eight, "layers.4").flatten(1).amax(1)
    order = peaks.argsort(descending=True, stable=True).tolist()
    told = [text.split(": ") for text in found.channels.all_text_contents()]
    assert [int(channel) for channel, _ in told] == order
    values = [float(value) for _, value in told]
    assert values == pytest.approx([three_digits(peaks[k]) for k in order], rel=0.011)
    assert found.errors == []


def test_signals_are_those_of_python(panel, digits_network, eight):
    found = panel()
    layer = "layers.4"
    assert found.ends() == pytest.approx(ends_in_python(digits_network, eight, layer), rel=0.01)
    output = output_of(digits_network, eight, layer)
    channel = int(output.flatten(1).amax(1).argmax())
    found.pick(channel)
    right = ends_in_python(digits_network, eight, layer, channel=channel)
    assert found.ends() == pytest.approx(right, rel=0.01)
    # the first arrow goes to the strongest neuron
    found.map.press("ArrowLeft")
    found.settle()
    place = divmod(int(output[channel].argmax()), output.shape[2])
    where = f"channel {channel} at row {place[0]}, column {place[1]}"
    assert where in found.heading.text_content()
    right = ends_in_python(digits_network, eight, layer, channel=channel, position=place)
    assert found.ends() == pytest.approx(right, rel=0.01)


def test_a_neuron_is_chosen_by_a_click_and_marked_with_all_that_it_depends_on(panel):
    found = panel()
    found.pick(found.channels.nth(0).get_attribute("data-channel"))
    size = found.map.bounding_box()
    # row 2, column 5 of 8 by 8
    found.map.click(position={"x": size["width"] * 5.5 / 8, "y": size["height"] * 2.5 / 8})
    found.settle()
    assert "at row 2, column 5" in found.heading.text_content()
    sides = "['x', 'y', 'width', 'height'].map((side) => rect[side].baseVal.value)"
    marks = found.pictures.locator("rect.pg-box")
    boxes = marks.evaluate_all(f"rects => rects.map((rect) => {sides})")
    # convolution 5, pooling 2, convolution 5: 14 pixels, two for one
    field = [10, 4, 14, 14]
    assert boxes == [field, [5, 2, 1, 1], field, field, field]
    found.map.press("ArrowDown")
    found.settle()
    assert "at row 3, column 5" in found.heading.text_content()
    found.click("All positions")
    assert "at row" not in found.heading.text_content()
    assert found.pictures.locator("rect").count() == 0
    found.click("All channels")
    assert "all channels" in found.heading.text_content()


def test_a_silent_neuron_carries_nothing_back(panel, digits_network, eight):
    output = output_of(digits_network, eight, "layers.4")
    channel, row, column = (output == 0).nonzero()[0].tolist()
    found = panel(f"channel={channel}&position={row},{column}")
    assert all("zero everywhere" in caption for caption in found.captions()[2:])


def test_arrows_lead_through_the_channels(panel):
    found = panel()
    assert found.root.locator(".pg-channels button[tabindex='0']").count() == 1
    found.channels.nth(0).focus()
    focused = "[...document.activeElement.parentNode.children].indexOf(document.activeElement)"
    columns = found.channels.evaluate_all(
        "all => all.filter((one) => one.offsetTop === all[0].offsetTop).length"
    )
    for key, place in [
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
        ("End", 31),
        ("Home", 0),
    ]:
        found.page.keyboard.press(key)
        assert found.page.evaluate(focused) == place
    found.page.keyboard.press("ArrowRight")
    found.page.keyboard.press("Enter")
    found.settle()
    assert found.channels.nth(1).get_attribute("aria-pressed") == "true"


def test_every_layer_of_the_digits_goes_back(panel, digits_network, eight):
    found = panel()
    menu = found.root.get_by_label("Layer", exact=True)
    names = menu.locator("option").evaluate_all("all => all.map(({ value }) => value)")
    assert names == [
        "normalization",
        *[f"layers.{i}" for i in (1, 2, 4, 5, 8, 9)],
    ]
    for name in names[1:]:
        found.choose(name)
        right = ends_in_python(digits_network, eight, name)
        assert found.ends() == pytest.approx(right, rel=0.01), name
    # one unit of a fully connected layer
    scores = output_of(digits_network, eight, "layers.9")
    unit = int(scores.argmax())
    found.pick(unit)
    right = ends_in_python(digits_network, eight, "layers.9", channel=unit)
    assert found.ends() == pytest.approx(right, rel=0.01)
    assert found.errors == []


def test_state_is_in_the_address(panel):
    state = "image=3&layer=layers.2&channel=5&position=4,6"
    found = panel(state)
    assert "channel 5 at row 4, column 6" in found.heading.text_content()
    assert "handwritten 3" in found.captions()[0]
    found.page.get_by_role("button", name="Copy link").click()
    found.page.wait_for_function("location.hash.includes('layers.2')")
    link = found.page.evaluate("new URLSearchParams(location.hash.split('?')[1]).toString()")
    assert sorted(link.replace("%2C", ",").split("&")) == sorted([PANEL, *state.split("&")])


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("layer=layers.77", "Not recognized: layer layers.77"),
        ("image=cat&channel=3", "Not recognized: image cat"),
    ],
)
def test_strange_state_is_said(panel, state, told):
    found = panel(state)
    found.root.get_by_role("alert").get_by_text(told).wait_for()


def test_a_channel_or_position_that_is_none_is_left_out(panel):
    found = panel("channel=99&position=50,50")
    assert "all channels" in found.heading.text_content()
    found = panel("channel=3&position=50,50")
    assert "channel 3;" in found.heading.text_content()


def test_photos_and_the_layers_of_squeezenet(panel):
    found = panel("network=squeezenet")
    found.load()
    assert "relu1: ReLU" in found.heading.text_content()
    assert found.channels.count() == 64
    assert found.root.get_by_text("64 channels, 113 × 113 positions each").is_visible()
    pixels = "canvas => canvas.toDataURL()"
    seen = set()
    for layer in ("layers.pool1", "cat_7", "layers.relu10", "layers.pool10"):
        found.choose(layer)
        assert len(found.ends()) == 3
        seen.add(found.pictures.nth(3).locator("canvas").evaluate(pixels))
    assert len(seen) == 4
    assert found.root.get_by_text("64 of 1,000 channels, one value each").is_visible()
    found.choose("layers.fire4.expand3x3_relu")
    found.root.get_by_label("Image", exact=True).select_option("coffee")
    found.settle()
    assert found.errors == []


def test_channels_of_the_last_convolution_are_named_by_their_classes(panel):
    found = panel("network=squeezenet&layer=layers.relu10&image=cat")
    found.load()
    lynx = found.root.locator('[data-channel="287"]')
    assert re.fullmatch(r"287 lynx: \d+\.\d", lynx.text_content())
    found.pick(287)
    assert "channel 287, class lynx;" in found.heading.text_content()
    assert found.captions()[1].startswith("Channel 287, class lynx: largest")
    found.map.press("ArrowLeft")
    found.settle()
    assert "the neuron of channel 287, class lynx at row" in found.heading.text_content()
    # a layer below has other channels
    found.choose("layers.relu1")
    assert "lynx" not in found.root.inner_text()
    assert found.channels.nth(0).text_content().split(": ")[0].isdigit()


def test_the_unit_of_what_is_carried_back_is_told(panel):
    found = panel()
    assert found.root.get_by_text("the numbers are activation² per intensity").is_visible()
    assert "rebuilt" not in found.root.inner_text()


@pytest.mark.parametrize(
    ("layer", "place"), [("layers.0", (23, 4)), ("layers.2", (11, 0)), ("layers.3", (3, 4))]
)
def test_a_signal_reaches_to_the_ends_of_what_its_neurons_depend_on(
    in_node, digits_network, generator, layer, place
):
    image = torch.rand(1, 1, 28, 28, generator=generator, requires_grad=True)
    output = output_of(digits_network, image, layer)
    signal = torch.autograd.grad(output[:, place[0], place[1]].sum(), image)[0][0, 0]
    rows, columns = signal.nonzero(as_tuple=True)
    x0, y0, x1, y1 = in_node(
        "return receptive_field.receptiveField(fields, layer, place, [28, 28]);",
        fields=network_description(digits_network).fields,
        layer=layer,
        place=list(place),
    )
    assert (x0, y0) == (columns.min(), rows.min())
    assert (x1, y1) == (columns.max() + 1, rows.max() + 1)
