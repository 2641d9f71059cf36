"""The built book in a real browser: what the tests of pages and of explorers share.

The fixtures that hand these out (`browser`, `served_book`, `visit`) are in conftest.py.
"""

import contextlib
import http.server
import json
import os
import shutil
import threading
from functools import partial
from pathlib import Path

BUILT = Path(__file__).resolve().parents[1] / "_build" / "html"
AXE = BUILT.parents[1] / "node_modules" / "axe-core" / "axe.min.js"

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_OPTIONS = ["--disable-gpu", "--hide-scrollbars", "--no-sandbox"]
DESKTOP, PHONE = (1280, 900), (390, 844)

# of all that is seen of a page, where it begins and how wide it is
SEEN_AT = """() => [...document.body.querySelectorAll("*")].map((part) => {
  const { left, top, width } = part.getBoundingClientRect();
  const seen = part.checkVisibility({ visibilityProperty: true });
  return seen && [part.outerHTML.slice(0, 120), left, top, width];
})"""

# every page of the theme declares this constant twice; nothing of ours depends on it
KNOWN_ERROR = "'THEBE_JS_URL' has already been declared"


def find_chromium():
    """Return the path of Chromium: $CHROMIUM, or the first of the usual names on the path."""
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ((named,) if named else CHROMIUM_NAMES))
    return next((path for path in found if path), None)


def with_explorers():
    """Return the notebooks of the book that show an explorer, by what their cells have put out."""
    found = []
    for path in sorted((BUILT.parents[1] / "book").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        texts = ["".join(output.get("data", {}).get("text/plain", "")) for output in outputs]
        if any("Explorer of" in text for text in texts):
            found.append(path)
    return found


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and writes no line for each to the standard error."""

    protocol_version = "HTTP/1.1"  # one connection for a page, not one for each file

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(folder):
    """Serve a folder on a free port of this machine; the value is the address, no slash."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(QuietHandler, directory=folder)
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Visit:
    """A page that is open in its own browser context, and what happened while it was.

    `page` is Playwright's. `errors` holds console errors and uncaught exceptions but the
    theme's known one, `elsewhere` the addresses outside `home` that were asked for (none was
    let through), `failed` those that did not arrive or came with a status of 400 and up.
    """

    def __init__(self, context, home):
        self.home = home
        self.errors, self.elsewhere, self.failed, self.asked = [], [], [], []
        context.route("**/*", self._let_through)
        self.page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self._error(error.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def _let_through(self, route):
        if route.request.url.startswith((self.home, "data:", "blob:")):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def _console(self, message):
        if message.type == "error":
            self._error(message.text)

    def _error(self, text):
        if KNOWN_ERROR not in text:
            self.errors.append(text)

    def _failed(self, request):
        # what leaves a page while it loads is canceled by the browser, not lost
        if request.failure != "net::ERR_ABORTED":
            self.failed.append(f"{request.failure} {request.url}")

    def _response(self, response):
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")

    def axe(self, within):
        """Return what axe-core finds serious or critical within elements: rule and node."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate(
            "where => axe.run(where, {resultTypes: ['violations']})", {"include": [within]}
        )
        return [
            f"{violation['id']} ({violation['impact']}): {node['html'][:200]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
