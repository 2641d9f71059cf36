"""The tests that every chapter's checks have, from its tables of right and wrong answers."""

import ast
import functools
import inspect

import pytest
import torch

from deepinside.classroom import answers


def usual_tests(module, right, wrong):
    """Return the tests of the checks in a module.

    `right` has a list of answers for each check, `wrong` a list of (answer, part of its hint).
    """
    right_cases = [(check, answer) for check, listed in right.items() for answer in listed]
    wrong_cases = [(check, *case) for check, listed in wrong.items() for case in listed]
    tasks = {task.check: task for task in answers.tasks_of(module.__name__)}

    @pytest.mark.parametrize(("check", "answer"), right_cases, ids=named)
    def test_right_answers_pass_in_whatever_way_they_are_written(check, answer):
        result = check(answer)
        assert result.passed, result
        assert result.task == tasks[check].answer

    @pytest.mark.parametrize(("check", "answer", "hint"), wrong_cases, ids=named)
    def test_each_usual_mistake_gets_its_hint(check, answer, hint):
        result = told(check, answer)
        assert result.state == "hint"
        assert hint in result.message

    def test_no_hint_is_left_without_a_wrong_answer():
        messages = [told(check, answer).message for check, answer, _ in wrong_cases]
        for sentence in sentences(module):
            assert any(sentence in message for message in messages), sentence

    @pytest.mark.parametrize("task", tasks.values(), ids=lambda task: task.name)
    def test_no_mistake_gives_the_right_result(task, monkeypatch):
        for hint, pairs in compared(task, right[task.check][0], monkeypatch).items():
            assert not all(same(got, expected) for got, expected in pairs), hint

    assert set(right) == set(wrong) == set(tasks)
    return (
        test_right_answers_pass_in_whatever_way_they_are_written,
        test_each_usual_mistake_gets_its_hint,
        test_no_hint_is_left_without_a_wrong_answer,
        test_no_mistake_gives_the_right_result,
    )


@functools.cache
def told(check, answer):
    return check(answer)


def named(value):
    """Return a test's name without the addresses that functions have."""
    return value if isinstance(value, str) else value.__name__


def sentences(module):
    """Return what is said to students in a module: its sentences that are no documentation."""
    tree = ast.parse(inspect.getsource(module))
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    skipped |= {
        id(k.value) for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "praise"
    }
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in skipped
        if isinstance(node.value, str) and len(node.value) > 25 and not node.value[0].islower()
    ]
    assert found
    return found


def compared(task, answer, monkeypatch):
    """Return each hint's results, beside the right ones, that a check compares an answer with."""
    original, pairs = answers.compare, {}
    # which would find out about the next replacement
    monkeypatch.setattr(answers.seal, "replaced", list)

    def watch(comparisons):
        listed = list(comparisons)
        for comparison in listed:
            for hint, results in comparison.mistakes.items():
                for result in results if isinstance(results, list) else [results]:
                    pairs.setdefault(hint, []).append((result, comparison.right))
        original(listed)

    for module in (answers, inspect.getmodule(task.judge)):
        if hasattr(module, "compare"):
            monkeypatch.setattr(module, "compare", watch)
    assert task.check(answer).passed
    return pairs


def same(value, expected):
    got, wanted = (answers.tensor_of(result, "it") for result in (value, expected))
    return got.shape == wanted.shape and torch.allclose(got, wanted, rtol=1e-3, atol=0)
