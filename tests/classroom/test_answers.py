import _thread
import functools
import itertools
import random
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.classroom.answers import Hint, Result, compare, compare_cases, judged, tensor_of

IMAGE = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)


def double(image):
    return 2 * image


def judge_double(answer):
    compare(answer(IMAGE), 2 * IMAGE, {"It is halved.": IMAGE / 2}, what="the image")
    return "Twice as bright."


def judge(function, *, judge=judge_double, seconds=10.0):
    return judged("double", function, judge, seconds=seconds)


def test_a_right_answer_passes_with_the_judges_words():
    result = judge(double)
    assert result == Result("double", "passed", "Twice as bright.")
    assert result.passed
    assert repr(result) == "double: passed. Twice as bright."


def test_a_result_reads_well_in_a_notebook():
    result = Result("double", "hint", "Use `a < b`, not $x$.")
    assert not result.passed
    assert repr(result) == "double: not yet. Use `a < b`, not $x$."
    page = result._repr_html_()
    assert "<code>a &lt; b</code>" in page
    assert "mathjax_ignore" in page
    assert repr(Result("double", "not done yet", "")) == "double: not done yet."


def raises_not_implemented(image):
    raise NotImplementedError("not done yet")


@pytest.mark.parametrize(
    "function",
    [raises_not_implemented, None, ..., lambda image: None, lambda image: ...],
    ids=["raises", "None", "Ellipsis", "returns None", "returns Ellipsis"],
)
def test_what_is_not_written_is_not_done_yet(function):
    assert judge(function).state == "not done yet"


def test_a_stub_is_not_repeated_to_the_student():
    assert repr(judge(raises_not_implemented)) == "double: not done yet."


def test_what_pytorch_does_not_implement_is_a_failure():
    def fails(image):
        return torch.empty_like(image, device="meta").cpu()

    with pytest.raises(NotImplementedError):
        fails(IMAGE)
    result = judge(fails)
    assert result.state == "hint"
    assert "NotImplementedError" in result.message


def test_a_stub_called_by_an_answer_is_not_done_yet():
    assert judge(lambda image: 2 * raises_not_implemented(image)).state == "not done yet"


def test_a_missing_return_is_told():
    assert "`return`" in judge(lambda image: None).message


def test_anything_but_a_function_is_a_hint():
    assert judge(3).message == "Expected a function named `double`, got int."


def test_a_failure_names_the_error_and_the_students_line():
    def fails(image):
        first = image[0]
        return first @ torch.ones(7, dtype=image.dtype)  # no such shapes

    result = judge(fails)
    line = fails.__code__.co_firstlineno + 2
    assert result.state == "hint"
    assert f"It raised RuntimeError in line {line}, `return first @ torch.ones(7" in result.message
    assert "\n" not in result.message
    assert __file__ not in result.message


def test_a_failure_within_a_library_names_the_students_line():
    result = judge(lambda image: torch.cat(3))
    assert "torch.cat(3)" in result.message


@pytest.mark.parametrize(
    "function",
    [lambda: 1, lambda a, b: 1, lambda *, image: 1, int],
    ids=["none", "two", "keyword", "class"],
)
def test_a_wrong_signature_is_a_hint(function):
    result = judge(function)
    assert result.state == "hint"
    assert "Error" in result.message


def test_leaving_the_program_is_a_hint():
    assert "SystemExit" in judge(lambda image: sys.exit(3)).message


def test_endless_recursion_is_a_hint():
    def again(image):
        return again(image)

    assert "RecursionError" in judge(again).message


def test_an_error_that_cannot_be_printed_is_a_hint():
    class OddError(Exception):
        def __str__(self):
            raise ValueError

    def fails(image):
        raise OddError

    assert "OddError" in judge(fails).message


class Odd:
    def __array__(self, *args, **kwargs):
        raise ValueError("no array")


@pytest.mark.parametrize(
    "value", ["a map", Odd(), {1: 2}, [[1.0], [2.0, 3.0]], [None], object(), double]
)
def test_what_is_no_tensor_is_a_hint(value):
    result = judge(lambda image: value)
    assert result.message.startswith("Expected the image as a tensor, got ")


def test_what_even_the_judge_cannot_read_is_a_hint():
    def unpacks(answer):
        first, second = answer(IMAGE)
        return f"{first}, {second}"

    result = judge(lambda image: 3, judge=unpacks)
    assert result.state == "hint"
    assert "TypeError" in result.message


# ---- time


def loop(image):
    while True:
        pass


def stubborn(image):
    while True:
        try:
            time.sleep(0.001)
        except BaseException:
            continue


def sleeper(image):
    time.sleep(3)


def spinning(image):
    return sum(1 for _ in itertools.count())


@pytest.mark.parametrize("function", [loop, stubborn, sleeper, spinning])
def test_an_endless_answer_is_stopped_and_its_line_named(function):
    began = time.monotonic()
    result = judge(function, seconds=0.3)
    assert time.monotonic() - began < 2.5
    assert result.state == "hint"
    assert result.message.startswith("It was stopped after 0.3 seconds in line ")
    # in whatever state it was left, the next answer is judged as usual
    assert judge(double).passed


def test_no_thread_of_an_endless_answer_is_left():
    before = threading.active_count()
    judge(loop, seconds=0.1)
    assert threading.active_count() <= before


def test_an_answer_that_comes_late_changes_nothing():
    swallowed = threading.Event()

    def late(image):
        try:
            time.sleep(2)
        except BaseException:
            time.sleep(0.1)
        swallowed.set()
        return 2 * image

    judge(late, seconds=0.1)
    torch.manual_seed(5)
    expected = torch.rand(1, generator=torch.Generator().manual_seed(5))
    assert swallowed.wait(5)
    time.sleep(0.1)
    assert torch.equal(torch.rand(1), expected)


def test_an_endless_judge_is_stopped():
    def consumes(answer):
        return str(sum(1 for _ in answer(IMAGE)))

    assert not judge(lambda image: itertools.repeat(1), judge=consumes, seconds=0.2).passed


def test_an_interrupt_of_the_user_goes_through(interruptible):
    def interrupts(image):
        _thread.interrupt_main()
        while True:
            pass

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        judge(interrupts)
    assert threading.active_count() <= before


def test_checks_work_outside_of_the_main_thread():
    results = []
    thread = threading.Thread(
        target=lambda: results.extend([judge(double), judge(loop, seconds=0.1)])
    )
    thread.start()
    thread.join()
    assert [result.state for result in results] == ["passed", "hint"]


# ---- state


def needs_gradients(image):
    variable = image.clone().requires_grad_()
    assert torch.zeros(1).dtype == torch.float32
    assert torch.zeros(1).device.type == "cpu"
    return torch.autograd.grad(variable.square().sum(), variable)[0]


def with_meta():
    return torch.device("meta")


class DefaultDtype:
    def __enter__(self):
        torch.set_default_dtype(torch.float16)

    def __exit__(self, *_):
        torch.set_default_dtype(torch.float32)


class DefaultDevice:
    def __enter__(self):
        torch.set_default_device("meta")

    def __exit__(self, *_):
        torch.set_default_device(None)


@pytest.mark.parametrize(
    "setting",
    [
        torch.no_grad,
        torch.inference_mode,
        with_meta,
        DefaultDtype,
        DefaultDevice,
        functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16),
        functools.partial(np.errstate, all="raise"),
    ],
)
def test_no_setting_of_the_caller_changes_a_check(setting):
    with setting():
        assert judge(needs_gradients).passed


def test_warnings_of_an_answer_are_neither_errors_nor_shown():
    def warns(image):
        warnings.warn("deprecated", UserWarning, stacklevel=1)
        return 2 * image

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert judge(warns).passed


def settings():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        np.geterr(),
        list(warnings.filters),
        sys.getrecursionlimit(),
    )


def changes_everything(image):
    torch.set_grad_enabled(False)
    torch.inference_mode().__enter__()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(7)
    torch.autograd.set_detect_anomaly(True)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    np.seterr(all="raise")
    warnings.simplefilter("error")
    sys.setrecursionlimit(3000)
    return 2 * image


@pytest.mark.parametrize("end", ["returns", "raises", "loops"])
def test_no_answer_changes_a_setting_of_the_caller(end):
    def answer(image):
        changes_everything(image)
        if end == "raises":
            raise ValueError
        while end == "loops":
            pass
        return 2 * image

    before = settings()
    judge(answer, seconds=10 if end != "loops" else 0.3)
    assert settings() == before


def test_a_first_call_does_not_change_what_the_next_one_finds():
    def twice(answer):
        answer(IMAGE)
        compare(answer(IMAGE), 2 * IMAGE, {}, what="the image")
        return "Twice."

    def answer(image):
        right = needs_gradients(image)
        changes_everything(image)
        return right

    assert judge(answer, judge=twice).passed


def test_random_answers_are_the_same_at_each_check():
    drawn = []

    def draws(image):
        drawn.append((torch.rand(1).item(), random.random(), np.random.rand()))  # noqa: NPY002
        return 2 * image

    judge(draws)
    torch.manual_seed(3)
    random.seed(3)
    judge(draws)
    assert drawn[0] == drawn[1]


# ---- arguments


def test_an_answer_that_changes_its_argument_is_told_which():
    def in_place(image):
        image *= 2
        return image

    result = judge(in_place)
    assert "argument `image` in place" in result.message
    assert torch.equal(IMAGE, torch.arange(6.0, dtype=torch.float64).reshape(2, 3))


@pytest.mark.parametrize("kind", ["network", "array"])
def test_networks_and_arrays_are_watched_too(kind):
    given = nn.Linear(2, 2) if kind == "network" else np.ones(3)

    def spoils(thing):
        if kind == "network":
            nn.init.zeros_(thing.weight)
        else:
            thing[0] = 5
        return 1

    result = judge(spoils, judge=lambda answer: str(answer(given)))
    assert "argument `thing` in place" in result.message


def test_marking_an_argument_as_variable_is_allowed():
    def marks(image):
        image.requires_grad_()
        return torch.autograd.grad(image.square().sum(), image)[0]

    assert judge(marks).passed
    assert not IMAGE.requires_grad


def test_again_uses_the_very_arguments_of_the_last_call():
    def judge_again(answer):
        first, second = answer(IMAGE), answer.again()
        same = first is second
        return f"{same}, {answer.given[0] is first}, {answer.given[0] is IMAGE}"

    assert judge(lambda image: image, judge=judge_again).message == "True, True, False"


def test_a_generator_is_copied_with_its_state():
    generator = torch.Generator().manual_seed(4)
    state = generator.get_state()

    def judge_draws(answer):
        assert torch.equal(tensor_of(answer(generator), "it"), tensor_of(answer(generator), "it"))
        return "Same."

    assert judge(lambda g: torch.rand(2, generator=g), judge=judge_draws).passed
    assert torch.equal(generator.get_state(), state)


# ---- comparison

RIGHT = torch.tensor([[1.0, -2.0], [3.0, 4.0]], dtype=torch.float64)
MISTAKES = {
    "Take the magnitude.": RIGHT.abs(),
    "Rows and columns are swapped.": [RIGHT.T, RIGHT.flip(0)],
}


def hint(value, right=RIGHT, mistakes=MISTAKES, **options):
    with pytest.raises(Hint) as caught:
        compare(value, right, mistakes, what="the map", **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [RIGHT, RIGHT.float(), RIGHT.numpy(), RIGHT.tolist(), nn.Parameter(RIGHT), RIGHT + 1e-6],
    ids=["tensor", "float32", "array", "list", "parameter", "rounded"],
)
def test_right_values_of_any_kind_agree(value):
    assert compare(value, RIGHT, MISTAKES, what="the map") is None


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), torch.tensor(2), torch.tensor([[2.0]])])
def test_a_number_may_come_in_several_forms(value):
    assert compare(value, torch.tensor(2.0), {}, what="the score") is None


def test_masks_compare_as_zero_and_one():
    mask = torch.tensor([True, False])
    assert compare(mask.numpy().astype("uint8"), mask, {}, what="the mask") is None


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named(name):
    results = MISTAKES[name]
    for one in [results] if isinstance(results, torch.Tensor) else results:
        assert hint(one) == name


def test_what_fits_no_mistake_is_shown_where_it_differs_most():
    value = RIGHT.clone()
    value[1, 0] = 7
    assert "at [1, 0], where they differ most, expected 3, got 7" in hint(value)
    assert hint(3.0, torch.tensor(2.0), {}) == "Expected 2 for the map, got 3."


def test_a_wrong_shape_is_told():
    assert hint(RIGHT[None]) == "Expected the map of shape (2, 2), got (1, 2, 2)."
    assert "got () (a single number)" in hint(1.0)


def test_a_mistake_may_have_another_shape():
    assert hint(RIGHT[None], mistakes={"One axis too many.": RIGHT[None]}) == "One axis too many."


def test_values_that_are_not_finite_are_told():
    value = RIGHT.clone()
    value[0] = torch.nan
    assert "2 of its values are not" in hint(value)


def test_the_tolerance_is_a_share_of_the_largest_value():
    assert compare(RIGHT * 1e6 + 1, RIGHT * 1e6, {}, what="the map") is None
    assert "expected" in hint(RIGHT * 1e-6 + 1e-6, RIGHT * 1e-6)
    assert compare(RIGHT + 0.01, RIGHT, {}, what="the map", tolerance=0.01) is None


# ---- comparison over several calls


def judge_root(answer):
    """Cases that tell a missing magnitude, seen at one case only, from a wrong factor."""
    mistakes = {
        "It is doubled.": lambda v: 2 * v.abs(),
        "A magnitude is missing.": [lambda v: v, lambda v: v[:, None]],
    }
    cases = [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0, -4.0]),)]
    compare_cases(answer, cases, lambda v: v.abs(), mistakes, what="the magnitude")
    return "All positive."


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda v: v.abs().tolist(), "All positive."),
        (lambda v: 2 * v.abs(), "It is doubled."),
        (lambda v: v, "A magnitude is missing."),
        (lambda v: v[:, None], "A magnitude is missing."),
    ],
)
def test_a_mistake_is_named_where_it_explains_all_cases(answer, message):
    assert judge(answer, judge=judge_root).message == message


def test_what_explains_only_some_cases_is_not_named():
    message = judge(lambda v: 2 * v, judge=judge_root).message
    assert "at [1], where they differ most, expected 2, got 4" in message


def fails_at_the_second(factor):
    def answer(v):
        if v.min() < 0:
            raise ValueError("no roots")
        return factor * v

    return answer


def test_a_failure_after_a_wrong_result_is_told_by_that_result():
    assert judge(fails_at_the_second(2), judge=judge_root).message == "It is doubled."
    assert "no roots" in judge(fails_at_the_second(1), judge=judge_root).message


def test_what_is_not_done_is_no_failure_of_a_later_case():
    assert judge(raises_not_implemented, judge=judge_root).state == "not done yet"
