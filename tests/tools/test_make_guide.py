"""The teacher's guide: its tables are those of the slides and of the checks."""

import re

import make_guide
import pytest

from deepinside.classroom.checks import TASKS

TEXT = make_guide.GUIDE.read_text("utf-8")
ROW = re.compile(r"^\| (\d+\. .+) \| (\d+) \| (\d*) \| (core|optional|question) \|$")
ROWS = [row.groups() for row in map(ROW.fullmatch, TEXT.splitlines()) if row]
ESSAYS = (make_guide.ROOT / "classroom" / "guide" / "essays.md").read_text("utf-8")


def test_making_it_again_changes_nothing():
    assert make_guide.with_tables(TEXT) == TEXT, "`make students` writes its tables anew"


def test_it_lists_every_task_with_its_points_and_minutes():
    listed = [tuple(map(int, row[1:3])) for row in ROWS if row[3] != "question"]
    names = make_guide.in_order()
    assert sorted(names) == sorted(TASKS), (
        "the pages of exercises in _toc.yml must be those that checks/ has a module for: "
        f"{sorted({*names} ^ {*TASKS})}"
    )
    assert listed == [(task.points, task.minutes) for name in names for task in TASKS[name]]
    assert len([row for row in ROWS if row[3] == "question"]) == len(TASKS)


def test_a_session_s_plan_has_each_slide_and_ends_after_90_minutes():
    for number in range(1, 7):
        rows = re.findall(r"^- \*\*(\d):(\d\d)\*\*, (\d+) min: .+$", make_guide.plan(number), re.M)
        minute = 0
        for hour, begins, minutes in rows:
            assert 60 * int(hour) + int(begins) == minute
            minute += int(minutes)
        assert minute == 90


def test_a_table_that_is_missing_is_written_and_what_follows_stays():
    empty = "<!-- session 1 -->\n<!-- end -->\n\nAsk.\n\n<!-- session 2 -->\n<!-- end -->\n"
    made = make_guide.with_tables(empty)
    assert made.count("- **0:00**, 4 min") == 2
    assert "<!-- end -->\n\nAsk.\n" in made
    assert make_guide.with_tables(made) == made


@pytest.mark.parametrize("number", range(1, 7))
def test_the_tasks_of_a_slide_fit_its_minutes(number):
    path = make_guide.ROOT / "classroom" / "slides" / f"session_{number}.md"
    for slide in path.read_text("utf-8").split("\n---\n"):
        for name, numbers in re.findall(r"```tasks\n(\w+) ([\d ]+)\n```", slide):
            needed = sum(TASKS[name][int(one) - 1].minutes for one in numbers.split())
            assert needed <= int(make_guide.NOTE.search(slide)[1]), slide


def test_sample_essays_are_of_three_kinds_for_three_questions():
    points = re.findall(r"^## .+ \((\d) points\)$", ESSAYS, re.MULTILINE)
    kinds = re.findall(r"^### (\w+): (\d) of (\d)$", ESSAYS, re.MULTILINE)
    assert [kind for kind, _, _ in kinds] == ["Strong", "Middling", "Weak"] * 3
    assert [most for _, _, most in kinds] == [most for most in points for _ in range(3)]
    for first in range(0, 9, 3):
        earned = [int(one) for _, one, _ in kinds[first : first + 3]]
        assert earned == sorted(earned, reverse=True)
