"""What the tests of checks do with their tables of right and wrong answers."""

import pytest
import torch

from deepinside.classroom.answers import compare


def right_cases(answers):
    """Return (task, answer) of a table task -> right answers, as parameters of a test."""
    return [
        pytest.param(task, answer, id=answer.__name__)
        for task, listed in answers.items()
        for answer in listed
    ]


def wrong_cases(answers):
    """Return (task, hint, answer) of a table task -> hint -> wrong answers, as parameters."""
    return [
        pytest.param(task, name, answer, id=f"{task}-{name}-{i}")
        for task, hints in answers.items()
        for name, listed in hints.items()
        for i, answer in enumerate(listed)
    ]


def named(one):
    """Return a test's name without the addresses that functions have."""
    return one if isinstance(one, str) else one.__name__


def judge_watched(module, check, answer, monkeypatch):
    """Return the hints that a check compares a right answer with; none may be right as well.

    Else the check would call what is right a mistake, or the other way round.
    """
    judged = []

    def watch(value, right, mistakes, **options):
        for hint, results in mistakes.items():
            for one in [results] if isinstance(results, torch.Tensor) else results:
                same = one.shape == right.shape and torch.allclose(
                    one.double(), right.double(), rtol=1e-3, atol=0
                )
                assert not same, hint
                judged.append(hint)
        compare(value, right, mistakes, **options)

    monkeypatch.setattr(module, "compare", watch)
    assert check(answer).passed
    return judged
