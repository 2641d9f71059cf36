"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

import numpy as np
from tables import usual_tests

from deepinside.classroom.checks import new_chapter as checks


def share(values):
    return (values > values.max() / 2).double().mean().item()


def share_by_numpy(values):
    return float(np.mean(values.numpy() > values.numpy().max() / 2))


right = {checks.check_new_chapter_share: [share, share_by_numpy]}
wrong = {
    checks.check_new_chapter_share: [
        (lambda values: 1 - share(values), "*below* half"),
        (lambda values: share(values) * values.numel(), "a number of values"),
        (lambda values: (values > values.mean()).double().mean().item(), "above the mean"),
    ]
}

(
    test_right_answers_pass,
    test_usual_mistakes_get_their_hints,
    test_no_hint_is_without_a_wrong_answer,
    test_no_mistake_is_right,
) = usual_tests(checks, right, wrong)
