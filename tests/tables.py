"""The tests that every chapter's checks have, from its tables of right and wrong answers."""

import ast
import functools
import inspect

import pytest

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
            # what is drawn at random cannot be ten tolerances away, as these are wide
            far = 2 if pairs[0][1].tolerance > 0.01 else 10
            assert max(apart(result, comparison) for result, comparison in pairs) > far, hint

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
    # the words of a small case are shown beside a hint
    skipped |= {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_example")
        for inner in ast.walk(node)
    }
    skipped |= {
        id(k.value) for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "praise"
    }
    examples = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_example")
    ]
    skipped |= {id(part) for example in examples for part in ast.walk(example)}
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in skipped
        if isinstance(node.value, str) and len(node.value) > 25 and not node.value[0].islower()
    ]
    assert found
    return found


def compared(task, answer, monkeypatch):
    """Return each mistake's results, with the comparisons that list them."""
    original, pairs = answers.compare, {}
    # which would find out about the next replacement
    monkeypatch.setattr(answers.seal, "replaced", list)

    def watch(comparisons):
        listed = list(comparisons)
        for comparison in listed:
            for hint, results in comparison.mistakes.items():
                for result in results if isinstance(results, list) else [results]:
                    pairs.setdefault(hint, []).append((result, comparison))
        original(listed)

    for module in (answers, inspect.getmodule(task.judge)):
        if hasattr(module, "compare"):
            monkeypatch.setattr(module, "compare", watch)
    assert task.check(answer).passed
    return pairs


def apart(result, comparison):
    """Return how many tolerances a mistake's result lies from the right one."""
    got, right = (answers.tensor_of(value, "it") for value in (result, comparison.right))
    if got.shape != right.shape or not got.isfinite().all():
        return float("inf")
    largest = right[right.isfinite()].abs().max().item()
    return (got - right).abs().max().item() / max(comparison.tolerance * largest, 1e-9)
