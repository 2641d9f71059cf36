"""The page where the network in it cannot run: it says why, and shows a picture."""

import pages
import pytest

STILL = ".playground > figure img"
NO_SIMD = "WebAssembly.validate = () => false"


@pytest.mark.parametrize("size", [pages.PHONE, pages.DESKTOP], ids=["phone", "desktop"])
def test_without_the_instructions_a_picture_is_there(playground, size):
    opened = playground(init=NO_SIMD, size=size)
    assert "SIMD" in opened.page.get_by_role("alert").inner_text()
    picture = opened.page.locator(STILL)
    picture.scroll_into_view_if_needed()
    arrived = "image => image.complete && image.naturalWidth"
    opened.page.wait_for_function(arrived, arg=picture.element_handle())
    assert opened.page.locator(".playground figcaption").is_visible()
    assert (opened.errors, opened.failed) == ([], [])
    assert not [address for address in opened.asked if "/networks/" in address]


def test_without_scripts_the_page_says_so_and_a_picture_is_there(playground):
    opened = playground(java_script_enabled=False)
    assert "Without scripts" in opened.page.locator("noscript p").inner_text()
    assert opened.page.locator(STILL).is_visible()


def test_where_the_network_runs_panels_take_the_place_of_the_picture(playground):
    opened = playground()
    opened.page.get_by_role("tab").first.wait_for()
    assert not opened.page.locator(STILL).is_visible()
