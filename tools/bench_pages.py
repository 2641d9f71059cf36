"""Time how soon a reader on a slow line sees each page: a part of ``make bench``.

Each page of the built book is opened in Chromium with an empty cache, over a line of 1.6 Mbit/s
with 150 ms to the server, which compresses nothing, by a processor slowed down four times.
A line a page: when anything is painted first, what is received until the page has loaded, what
is received until its explorer has its data, and how much moves (the browser's layout shift).
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import pages

LINE = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 200_000,
    "uploadThroughput": 200_000,
}
SLOWER = 4
SHIFTS = """
window.moved = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
ARRIVED = """performance.getEntriesByType('resource').some(
  ({ name, responseEnd }) => name.includes('/_static/explorers/') && responseEnd)"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def measured(browser: Browser, address: str) -> tuple[float, int, int, float]:
    """Return seconds to the first paint, bytes at load, bytes with the explorer, and the shift."""
    context = browser.new_context(viewport=dict(zip(("width", "height"), pages.PHONE, strict=True)))
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    received = []
    devtools.on("Network.dataReceived", lambda event: received.append(event["dataLength"]))
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", LINE)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.add_init_script(SHIFTS)
    page.goto(address, wait_until="load", timeout=120_000)
    painted = page.wait_for_function(PAINTED).json_value() / 1000
    page.wait_for_timeout(1000)
    first = sum(received)
    explorer = page.locator(".explorer").first
    if explorer.count():
        explorer.scroll_into_view_if_needed()
        page.wait_for_function(ARRIVED, timeout=120_000)
        page.wait_for_timeout(1000)
    found = painted, first, sum(received), page.evaluate("moved")
    context.close()
    return found


def main() -> None:
    """Measure the pages that are named, or all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as book/saliency.html; all, unless given")
    parser.add_argument(
        "--book", type=Path, default=pages.BUILT, help="the folder of the built book"
    )
    given = parser.parse_args()
    found = (path.relative_to(given.book).as_posix() for path in given.book.glob("book/**/*.html"))
    with pages.serving(given.book) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=pages.find_chromium(), args=pages.CHROMIUM_OPTIONS
        )
        print(f"{'page':34} {'paint':>7} {'first load':>11} {'explorer':>9} {'moved':>6}")
        for name in given.names or sorted(found):
            paint, first, whole, moved = measured(browser, f"{address}/{name}")
            print(
                f"{name:34} {paint:5.1f} s {first / 1e6:8.2f} MB {whole / 1e6:6.2f} MB {moved:6.3f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
