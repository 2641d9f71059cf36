"""The questions after a chapter's sections, in the built page."""

import pages
import pytest

PAGE = "book/network.html"
WATCH = """
    window.moved = 0;
    new PerformanceObserver((seen) => {
        for (const shift of seen.getEntries()) moved += shift.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture
def opened(visit):
    return visit(PAGE)


def parts(page, place=0):
    question = page.locator(".self-test").nth(place)
    right = question.locator("[role=status] .right").get_attribute("id").rpartition("-")[2]
    wrong = question.locator("[role=status] .wrong").first.get_attribute("id").rpartition("-")[2]
    return question, right, wrong


def answer(page, place=0, *, rightly=True):
    question, right, wrong = parts(page, place)
    question.locator(f"input[value='{right if rightly else wrong}']").check()
    question.get_by_role("button", name="Check").click()
    return question


def score(page):
    return page.locator(".self-tests-score [role=status]").inner_text()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_answers_are_explained_counted_kept_and_cleared(visit, scheme):
    opened = visit(PAGE, scheme=scheme, size=pages.PHONE)
    page, asked = opened.page, len(opened.asked)
    total = page.locator(".self-test").count()
    told = answer(page, 0).locator("[role=status]")
    assert told.inner_text().startswith("Right.")
    told = answer(page, 1, rightly=False).locator("[role=status]")
    assert told.inner_text().startswith("Wrong.")
    assert score(page) == f"Answered right: 1 of {total}."
    # a picture may come near; nothing is sent
    pictures = (".svg", ".webp", ".jpg", ".png")
    assert [address for address in opened.asked[asked:] if not address.endswith(pictures)] == []

    page.reload()
    texts = page.locator(".self-test [role=status]").all_inner_texts()
    assert [text.split(".")[0] for text in texts[:3]] == ["Right", "Wrong", ""]
    assert page.locator(".self-test input:checked").count() == 2
    assert score(page) == f"Answered right: 1 of {total}."

    page.get_by_role("button", name="Clear my answers").click()
    page.reload()
    assert page.locator(".self-test input:checked").count() == 0
    assert "".join(page.locator(".self-test [role=status]").all_inner_texts()) == ""
    assert score(page) == f"Answered right: 0 of {total}."
    assert (opened.elsewhere, opened.failed, opened.errors) == ([], [], [])


def test_the_keyboard_chooses_and_only_then_checks(opened):
    page = opened.page
    question, right, _ = parts(page)
    question.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    for _ in range(int(right)):
        page.keyboard.press("ArrowDown")
    # what the arrows pass on their way is not answered
    assert question.locator("[role=status]").inner_text() == ""
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert question.locator("[role=status]").inner_text().startswith("Right.")
    # another choice takes the explanation away
    question.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown" if right == "0" else "ArrowUp")
    assert question.locator("[role=status]").inner_text() == ""


def test_a_screen_reader_hears_the_question_the_options_and_the_explanation(opened):
    question, right, _ = parts(opened.page)
    group = opened.page.get_by_role("group", name="Question 1").first
    assert group.get_by_role("radio").count() == question.locator("label").count()
    status = question.get_by_role("status")
    opened.page.evaluate(
        """() => {
            window.heard = [];
            new MutationObserver((seen) => seen.forEach(({ addedNodes }) =>
                addedNodes.forEach((node) => heard.push([node.id, node.checkVisibility()]))
            )).observe(document.querySelector(".self-test [role=status]"), { childList: true });
        }"""
    )
    question.get_by_role("button", name="Check").click()
    assert status.inner_text() == "Choose an option first."
    answer(opened.page)
    answer(opened.page)  # asked again, it is told again
    name = question.get_attribute("id")
    heard = opened.page.evaluate("heard")
    assert heard == [["", True], [f"{name}-{right}", True], [f"{name}-{right}", True]]


def test_answers_count_where_the_browser_keeps_nothing(visit):
    refuse = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });"
    opened = visit(PAGE, init=refuse)
    answer(opened.page)
    assert score(opened.page).startswith("Answered right: 1 of")


@pytest.mark.parametrize("kept", ["null", "[1]", "{", '{"question-gone": "1"}'])
def test_what_is_kept_may_be_of_another_edition(visit, kept):
    opened = visit(PAGE, init=f"localStorage.setItem('self-tests network', '{kept}');")
    assert score(opened.page).startswith("Answered right: 0 of")
    assert opened.errors == []


def test_nothing_moves_when_kept_answers_arrive(visit):
    opened = visit(PAGE, init=WATCH)
    page = opened.page
    answer(page)
    page.evaluate("document.querySelector('.self-test').scrollIntoView()")
    page.reload()
    assert page.locator(".self-test [role=status]").first.inner_text().startswith("Right.")
    assert page.evaluate("moved") < 0.01


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_an_answered_question_is_accessible_and_fits_a_phone(visit, color_scheme):
    opened = visit(PAGE, size=pages.PHONE, color_scheme=color_scheme)
    for place, rightly in enumerate([True, False]):
        name = answer(opened.page, place, rightly=rightly).get_attribute("id")
    assert opened.axe(within=f"#{name}") == []
    assert opened.page.evaluate("document.scrollingElement.scrollWidth") <= pages.PHONE[0]


def test_without_a_script_and_on_paper_the_answers_stand_at_the_end(visit):
    answers, buttons = ".self-tests-answers li", ".self-test button, .self-tests-score button"
    plain = visit(PAGE, java_script_enabled=False).page
    paper = visit(PAGE).page
    assert not paper.locator(answers).first.is_visible()
    answer(paper)
    paper.emulate_media(media="print")
    for page in (plain, paper):
        questions = page.locator(".self-test")
        assert questions.first.locator("label").first.is_visible()
        assert page.locator(answers).count() == questions.count()
        assert page.locator(answers).first.is_visible()
        assert not [one for one in page.locator(buttons).all() if one.is_visible()]
        assert not page.locator(".self-test [role=status]").first.is_visible()
