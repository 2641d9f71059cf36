import contextlib
import functools
import itertools
import os
import random
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from deepinside import saliency
from deepinside.classroom import checks
from deepinside.classroom.answers import Compared, Hint, Result, compare, judged, tensor_of
from deepinside.classroom.checks import saliency as hidden

IMAGE = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)


def double(image):
    return 2 * image


def judge_double(answer):
    yield Compared("the image", answer(IMAGE), 2 * IMAGE, {"It is halved.": IMAGE / 2})


def judge(function, *, judge=judge_double):
    return judged("double", function, judge, "Twice as bright.")


def test_a_right_answer_passes_with_the_judges_words():
    result = judge(double)
    assert result == Result("double", "passed", "Twice as bright.", points=1)
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
    assert result.message.startswith("Expected the image as a tensor")
    assert "got " in result.message


def test_what_even_the_judge_cannot_read_is_a_hint():
    def unpacks(answer):
        first, second = answer(IMAGE)
        return first, second

    result = judge(lambda image: 3, judge=unpacks)
    assert result.state == "hint"
    assert "TypeError" in result.message


def test_what_is_computed_when_it_is_read_is_read_like_a_list():
    assert "list of 2" in judge(lambda image: (2 * row.numpy() for row in image)).message


# ---- interrupts


def loops(image):
    while True:
        pass


def waits(image):
    threading.Event().wait()


def counts(image):
    return (number for number in itertools.count())


@pytest.mark.parametrize("function", [loops, waits, counts])
def test_an_interrupted_answer_is_a_hint_that_names_its_line(function, interruptible):
    before, threads = settings(), threading.active_count()
    with interrupted_soon():
        result = judge(function)
    assert result.state == "hint"
    assert result.message.startswith("It was interrupted in line ")
    assert "Does a loop never end" in result.message
    # nothing is left of it, and the next answer is judged as usual
    assert settings() == before
    assert threading.active_count() == threads
    assert judge(double).passed


def test_an_interrupt_of_the_judge_goes_through(interruptible):
    def never_ends(answer):
        answer(IMAGE)
        torch.set_grad_enabled(False)
        while True:
            pass

    before = settings()
    with interrupted_soon(), pytest.raises(KeyboardInterrupt):
        judge(double, judge=never_ends)
    assert settings() == before


class interrupted_soon:  # noqa: N801 - reads as what it does
    """Interrupt the main thread in a moment, as Jupyter's stop button does."""

    def __enter__(self):
        self.timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        self.timer.start()

    def __exit__(self, *_):
        self.timer.join()


def test_checks_work_outside_of_the_main_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(judge(double)))
    thread.start()
    thread.join()
    assert results[0].passed


# ---- what belongs to the checks


def test_the_checks_own_functions_are_no_answers(borrowed):
    result = judge(borrowed, judge=judge_map)
    assert result.state == "hint"
    assert "`deepinside.classroom.checks.saliency._map`" in result.message
    assert "Write it yourself" in result.message


def judge_map(answer):
    yield Compared("the map", answer(IMAGE[None]), IMAGE, {})


def in_a_helper(image):
    def helper(image):
        return hidden._map(image)

    return helper(image)


def imports_itself(image):
    from deepinside.classroom.checks.saliency import _map as inconspicuous

    return inconspicuous(image)


def in_a_thread(image):
    found = []
    thread = threading.Thread(target=lambda: found.append(hidden._map(image)))
    hook, threading.excepthook = threading.excepthook, lambda _: None
    thread.start()
    thread.join()
    threading.excepthook = hook
    return found[0] if found else image[0]


def catches_all(image):
    with contextlib.suppress(BaseException):
        hidden._map(image)
    return image.abs().amax(0)


class Callable:
    def __call__(self, image):
        return hidden._map(image)


@pytest.fixture(
    params=[
        hidden._map,
        lambda image: hidden._map(image),
        functools.partial(hidden._map),
        functools.wraps(double)(hidden._map),
        in_a_helper,
        imports_itself,
        in_a_thread,
        catches_all,
        Callable(),
        lambda image: map(hidden._map, image[None]),
        lambda image: sum(hidden._map(batch) for batch in image[None]),
        lambda image: next(map(hidden._map, [image])),
        lambda image: torch.func.vmap(hidden._map)(image[None])[0],
    ],
    ids=lambda function: getattr(function, "__name__", type(function).__name__),
)
def borrowed(request):
    return request.param


def test_a_check_within_an_answer_is_none_either():
    def asks(network, image, c):
        return checks.check_saliency_map(asks)

    message = checks.check_saliency_map(asks).message
    assert message.startswith("It calls `deepinside.classroom.answers.check`")


def test_what_the_judge_hands_over_may_be_called():
    def judge_calls(answer):
        yield Compared("the image", answer(hidden._map, IMAGE[None]), IMAGE, {})

    assert judge(lambda function, image: function(image), judge=judge_calls).passed


def test_the_books_own_functions_may_be_called():
    def by_the_book(network, image, c):
        return saliency.saliency_map(network.eval(), image[None], [c])[0]

    assert checks.check_saliency_map(by_the_book).passed


def test_a_profiler_of_the_caller_is_put_back():
    def profiler(*_):
        pass

    before = sys.getprofile(), threading.getprofile()
    try:
        sys.setprofile(profiler)
        threading.setprofile(profiler)
        for function in (double, hidden._map, raises_not_implemented):
            judge(function)
            assert (sys.getprofile(), threading.getprofile()) == (profiler, profiler)
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])


# ---- state


def needs_gradients(image):
    variable = image.clone().requires_grad_()
    assert torch.zeros(1).dtype == torch.float32
    assert torch.zeros(1).device.type == "cpu"
    assert (torch.eye(2) @ torch.eye(2)).dtype == torch.float32
    assert not torch.is_anomaly_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
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


@contextlib.contextmanager
def determinism():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "setting",
    [
        determinism,
        functools.partial(torch.autograd.set_detect_anomaly, True),
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
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch._C._len_torch_function_stack(),
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


ENTERED = []


def changes_everything(image):
    torch.set_grad_enabled(False)
    for mode in (torch.inference_mode(), torch.autocast("cpu")):
        mode.__enter__()
        ENTERED.append(mode)  # and is never left
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


@pytest.mark.parametrize("end", ["returns", "raises", "is interrupted"])
@pytest.mark.parametrize("caller", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
def test_no_answer_changes_a_setting_of_the_caller(end, caller):
    def answer(image):
        changes_everything(image)
        if end != "returns":
            raise ValueError if end == "raises" else KeyboardInterrupt
        return 2 * image

    with caller():
        before = settings()
        judge(answer)
        assert settings() == before


def test_a_default_device_of_the_caller_is_put_back():
    def answer(image):
        torch.set_default_device("cpu")
        return 2 * image

    with DefaultDevice():
        before = settings()
        assert judge(answer).passed
        assert settings() == before
        assert torch.zeros(1).device.type == "meta"


def test_a_first_call_does_not_change_what_the_next_one_finds():
    def twice(answer):
        for _ in range(2):
            yield Compared("the image", answer(IMAGE), 2 * IMAGE, {})

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
    np.random.seed(3)  # noqa: NPY002
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

    result = judge(spoils, judge=lambda answer: [answer(given)])
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
        assert first is second is answer.given[0]
        assert first is not IMAGE
        return ()

    assert judge(lambda image: image, judge=judge_again).passed


def test_a_second_call_that_differs_is_told():
    def judge_repeat(answer):
        yield Compared("the image", answer(IMAGE), 2 * IMAGE, {"Not doubled.": IMAGE})
        answer.repeat(2 * IMAGE)

    calls = []

    def counts_calls(image):
        calls.append(image)
        return 2 * len(calls) * image

    assert judge(double, judge=judge_repeat).passed
    assert judge(counts_calls, judge=judge_repeat).message.startswith("Called again")
    # what was wrong at the first call already is told by that
    assert judge(lambda image: image, judge=judge_repeat).message == "Not doubled."


def test_a_result_that_the_next_call_changes_is_compared_as_it_was():
    total = torch.zeros(2, 3)

    def judge_sum(answer):
        for _ in range(2):
            yield Compared("the sum", answer(IMAGE), IMAGE, {"Not cleared.": 2 * IMAGE})

    assert "its values are not" in judge(total.add_, judge=judge_sum).message


def test_a_generator_is_copied_with_its_state():
    generator = torch.Generator().manual_seed(4)
    state = generator.get_state()

    def judge_draws(answer):
        assert torch.equal(tensor_of(answer(generator), "it"), tensor_of(answer(generator), "it"))
        return ()

    assert judge(lambda g: torch.rand(2, generator=g), judge=judge_draws).passed
    assert torch.equal(generator.get_state(), state)


# ---- comparison

RIGHT = torch.tensor([[1.0, -2.0], [3.0, 4.0]], dtype=torch.float64)
MISTAKES = {
    "Take the magnitude.": RIGHT.abs(),
    "Rows and columns are swapped.": [RIGHT.T, RIGHT.flip(0)],
}


def compare_one(value, right=RIGHT, mistakes=MISTAKES, **options):
    return compare([Compared("the map", value, right, mistakes, **options)])


def hint(*arguments, **options):
    with pytest.raises(Hint) as caught:
        compare_one(*arguments, **options)
    return str(caught.value)


def where(*arguments, **options):
    with pytest.raises(Hint) as caught:
        compare_one(*arguments, **options)
    return caught.value.where


@pytest.mark.parametrize(
    "value",
    [
        RIGHT,
        RIGHT.float(),
        nn.Parameter(RIGHT),
        RIGHT + 1e-5,
    ],
    ids=["tensor", "float32", "parameter", "rounded"],
)
def test_right_values_agree(value):
    assert compare_one(value) is None


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), torch.tensor(2), torch.tensor([[2.0]])])
def test_a_number_may_come_in_several_forms(value):
    assert compare_one(value, torch.tensor(2.0), {}) is None


MASK = torch.tensor([True, False])


@pytest.mark.parametrize(
    ("value", "right", "words"),
    [
        (RIGHT.numpy(), RIGHT, "got a NumPy array: `torch.from_numpy` makes a tensor of it."),
        (RIGHT.tolist(), RIGHT, "got a list of 2: `torch.tensor` makes a tensor of it."),
        (tuple(RIGHT), RIGHT, "got a tuple of 2: `torch.stack` makes a tensor of it."),
        ((RIGHT,), RIGHT, "as a tensor, got a tuple of 1: take its only element, `[0]`."),
        (
            [RIGHT] * 5,
            RIGHT,
            "as a tensor of shape (2, 2), got a list of 5, each a tensor of (2, 2). Return one: "
            "one of these, or what they give together.",
        ),
        (list(RIGHT.ravel()), RIGHT, "of shape (2, 2), got a list of 4, each a tensor of one num"),
        (RIGHT.ravel().tolist(), RIGHT, "got a list of 4, each a single number (float)."),
        (
            (RIGHT, RIGHT.sum()),
            RIGHT,
            "of shape (2, 2), got a tuple of 2: a tensor of (2, 2) and a tensor of one number.",
        ),
        ((RIGHT, None), RIGHT, "got a tuple of 2: a tensor of (2, 2) and None."),
        ([], RIGHT, "as a tensor of shape (2, 2), got a list of 0."),
        ([1.0, None, RIGHT, "a"], RIGHT, "as a tensor of shape (2, 2), got a list of 4."),
        (1.0, RIGHT, "as a tensor of shape (2, 2), got a single number (float)."),
        (RIGHT.max(0), RIGHT.amax(0), "along an axis `torch.max` returns values and indices."),
        (MASK.float(), MASK, "got one of torch.float32: a comparison such as `a > b` is a mask."),
        (MASK.numpy(), MASK, "as a `torch.bool` tensor, got a NumPy array"),
        ([2.0], torch.tensor(2.0), "got a list of 1: take its only element, `[0]`."),
        ([2.0, 3.0], torch.tensor(2.0), "Expected one number for the map, got a list of 2."),
        ("2.00", torch.tensor(2.0), "Expected the map as a number, got str."),
        (RIGHT.sum, 2.0, "Expected the map as a number, got a function."),
        ("yes", True, "Expected True or False for the map, got str."),
        (torch.nan, 2, "Expected a whole number for the map, got nan"),
        (2.71, 2, "Expected a whole number for the map, got 2.71: is it a score?"),
        (torch.tensor(2.71), 2, "got 2.71: is it a score?"),
        (2.0, 2, "Expected a whole number for the map, got 2."),
        ("two", 2, "Expected a whole number for the map, got str."),
        (torch.tensor([2, 2]), 2, "Expected one whole number for the map"),
        ((1, 2, 3), (1, 2, 3, 4), "Expected 4 values for the map, got 3."),
        (3, (1, 2, 3, 4), "Expected 4 values for the map, got a single number (int)."),
        ((1, 2, 3, 4.0), (1, 2, 3, 4), "Expected a whole number for the map, got 4."),
        ((MASK, MASK.numpy()), (MASK, MASK), "got a NumPy array"),
    ],
)
def test_another_kind_is_told_what_is_wanted_and_what_came(value, right, words):
    assert words in hint(value, right, {})


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (2, 2),
        (np.int64(2), 2),
        (torch.tensor([2]), 2),
        (2.5, 2.5),
        (2, 2.0),
        ([1, 2], (1, 2)),
        (torch.tensor([1, 2]), (1, 2)),
        (np.array([0.5, 2.5]), (0.5, 2.5)),
        ((torch.tensor(0.5), 2.5), [0.5, 2.5]),
        ([MASK, ~MASK], (MASK, ~MASK)),
        (torch.stack([MASK, ~MASK]), (MASK, ~MASK)),
        (MASK, MASK.numpy()),
        (RIGHT, RIGHT.numpy()),
    ],
)
def test_what_the_next_cells_can_use_agrees(value, right):
    assert compare_one(value, right, {}) is None


def test_a_usual_mistake_says_more_than_another_kind():
    assert hint(RIGHT.abs().numpy()) == "Take the magnitude."


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named(name):
    results = MISTAKES[name]
    for result in results if isinstance(results, list) else [results]:
        assert hint(result) == name


def test_what_fits_no_mistake_is_shown_where_it_differs_most():
    value = RIGHT.clone()
    value[1, 0] = 7
    assert hint(value) == "The shape of the map is right, its values are not."
    assert "at [1, 0], where they differ most, right is 3, yours 7" in where(value)
    assert hint(3.0, torch.tensor(2.0), {}) == "Expected 2 for the map, got 3."


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (RIGHT.tolist(), RIGHT),
        (RIGHT.float().numpy(), RIGHT),
        (list(RIGHT), RIGHT),
        ((RIGHT,), RIGHT),
        ([2.0], 2.0),
        (2.0, 2),
        (MASK.float(), MASK),
    ],
)
def test_where_only_the_kind_is_wrong_no_values_are_called_different(value, right):
    with pytest.raises(Hint) as caught:
        compare_one(value, right, {})
    assert caught.value.where == "The values are right, only their kind is not."
    assert not caught.value.small


@pytest.mark.parametrize("more", [0.1, 1e-3])
def test_numbers_that_differ_are_printed_so_that_they_do(more):
    value = RIGHT + 100
    value[0, 1] += more
    with pytest.raises(Hint) as caught:
        compare_one(value, RIGHT + 100, {}, tolerance=1e-7)
    assert f"right is 98, yours {98 + more:g}" in caught.value.where
    right, own = caught.value.small.split("yours:")
    assert right.split()[1:] != own.split()
    assert hint(98 + more, 98.0, {}, tolerance=1e-7).endswith(f"got {98 + more:g}.")


def test_values_that_are_not_finite_on_both_sides_do_not_differ():
    right = torch.tensor([torch.inf, torch.nan, 1.0])
    assert "at [2], where they differ most, right is 1, yours 3" in where(
        torch.tensor([torch.inf, torch.nan, 3.0]), right, {"Divided by 0.": right + 2}
    )


def test_a_wrong_shape_is_told():
    assert hint(RIGHT[None]) == "Expected the map of shape (2, 2), got (1, 2, 2)."


def test_a_mistake_may_have_another_shape():
    assert hint(RIGHT[None], mistakes={"One axis too many.": RIGHT[None]}) == "One axis too many."


def test_values_that_are_not_finite_are_told():
    value = RIGHT.clone()
    value[0] = torch.nan
    assert "2 of its values are not" in hint(value)


def test_the_tolerance_is_a_share_of_the_largest_value():
    assert compare_one(RIGHT * 1e6 + 1, RIGHT * 1e6, {}) is None
    assert "values are not" in hint(RIGHT * 1e-6 + 1e-6, RIGHT * 1e-6)
    assert compare_one(RIGHT + 0.01, tolerance=0.01) is None


# ---- comparison over several calls


def judge_root(answer):
    """Cases that tell a missing magnitude, seen at one case only, from a wrong factor."""
    for v in (torch.tensor([1.0, 2.0]), torch.tensor([3.0, -4.0])):
        mistakes = {"It is doubled.": 2 * v.abs(), "A magnitude is missing.": [v, v[:, None]]}
        yield Compared("the magnitude", answer(v), v.abs(), mistakes)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda v: v.abs(), "Twice as bright."),
        (lambda v: 2 * v.abs(), "It is doubled."),
        (lambda v: v, "A magnitude is missing."),
        (lambda v: v[:, None], "A magnitude is missing."),
    ],
)
def test_a_mistake_is_named_where_it_explains_all_cases(answer, message):
    assert judge(answer, judge=judge_root).message == message


def test_what_explains_only_some_cases_is_not_named():
    assert "its values are not" in judge(lambda v: 2 * v, judge=judge_root).message


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


def test_a_hint_that_has_no_part_in_a_case_explains_what_is_right_there():
    def judge_last(answer):
        yield Compared("the value", answer(1.0), 1.0, {})
        yield Compared("the value", answer(2.0), 2.0, {"Not limited.": 4.0})

    assert judge(lambda value: value**2, judge=judge_last).message == "Not limited."
    message = judge(lambda value: value**2 if value > 1 else 0, judge=judge_last).message
    assert message == "Expected 1 for the value, got 0."


@pytest.mark.parametrize("overflow", [torch.inf, torch.nan])
def test_mistakes_that_are_not_finite_explain_such_results_alone(overflow):
    wrong = torch.tensor([overflow, 1.0])
    mistakes = {"Divided by 0.": wrong}
    assert hint(wrong, torch.tensor([0.0, 1.0]), mistakes) == "Divided by 0."
    for value, right in (([3.0, 1.0], [0.0, 1.0]), ([3.0, 9.0], [0.0, 8.0])):
        values = [torch.tensor(value), torch.tensor(right), mistakes]
        assert "right is 0, yours 3" in where(*values)
