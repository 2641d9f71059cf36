"""What an answer is told: hints in steps, what its code says, credit for parts."""

import copy
import functools

import pytest
import torch
from torch import nn

from deepinside.classroom import answers, checks
from deepinside.classroom.answers import Answer, Compared, Example, judged, task
from deepinside.classroom.results import Result
from deepinside.classroom.small_networks import drawn, drawn_image, relu_network

IMAGE = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)


def judge_double(answer):
    yield Compared("the image", answer(IMAGE), 2 * IMAGE, {"It is halved.": IMAGE / 2})


def judge(function, judge=judge_double, **options):
    return judged("double", function, judge, "Twice as bright.", **options)


def line_in(function, text):
    """Return the number of the first line of a function that holds a text."""
    lines = answers.reading.inspect.getsourcelines(function)
    return lines[1] + next(i for i, line in enumerate(lines[0]) if text in line)


@pytest.fixture
def registered(monkeypatch):
    """Tasks of a test's own, forgotten behind it."""
    monkeypatch.setattr(answers, "_registered", list(answers._registered))


# ---- what no mistake explains


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda image: -2 * image, "its values are not: they have the other sign."),
        (lambda image: (2 * image).abs(), "not: the sign of the negative ones is lost."),
        (lambda image: 3 * image, "its values are not: they are 1.5 times the right ones."),
        (lambda image: 2 * image + 1, "The shape of the image is right, its values are not."),
        (lambda image: image[None], "Expected the image of shape (2, 3), got (1, 2, 3)."),
        (lambda image: image.T, "Expected the image of shape (2, 3), got (3, 2)."),
    ],
)
def test_what_no_mistake_explains_is_told_by_how_it_resembles_what_is_right(function, words):
    def judge_signed(answer):
        yield Compared("the image", answer(IMAGE - 2), 2 * (IMAGE - 2), {})

    assert words in judge(function, judge_signed).message


def test_a_number_of_the_other_sign_is_told():
    def judge_sums(answer, more=0.0):
        for image in (IMAGE, 3 * IMAGE):
            yield Compared("the sum", answer(image), image.sum().item() + more, {})

    def judge_halves(answer):
        return judge_sums(answer, more=0.5)

    message = judge(lambda image: -image.sum(), judge_sums).message
    assert message == "Expected 15 for the sum, got -15: it has the other sign."
    message = judge(lambda image: image.mean(), judge_sums).message
    assert message == "Expected 15 for the sum, got 2.5: it is 0.1667 times the right one."
    message = judge(lambda image: int(image.sum() + 0.9), judge_halves).message
    assert message == "Expected 15.5 for the sum, got 15: it is cut to a whole number."


# ---- in the notebook's type


@pytest.mark.parametrize(
    "function",
    [
        lambda image: torch.full((2, 3), 2.0) * image,
        lambda image: torch.stack([torch.tensor([1.0, 1, 1]) * row for row in image * 2]),
        lambda image: 2 * image.float(),
        lambda image: (2 * torch.eye(2)) @ image,
        lambda image: torch.zeros(2, 3).add_(image, alpha=2),
        lambda image: 2 * image.double(),
    ],
)
def test_an_answer_is_judged_in_the_type_of_the_notebooks(function):
    result = judge(function)
    assert result.passed, result


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("listed", checks.TASKS.values(), ids=checks.TASKS)
def test_no_default_dtype_of_the_notebook_changes_a_verdict(listed, dtype):
    def wrong(*arguments):
        found = next(a for a in arguments if isinstance(a, torch.Tensor))
        assert found.dtype != torch.float64
        return found * torch.ones(1)

    usual = [one.grade(wrong) for one in listed]
    try:
        torch.set_default_dtype(dtype)
        assert [one.grade(wrong) for one in listed] == usual
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_is_handed_over_holds_the_numbers_of_the_judge():
    network, given = relu_network((4, 6), classes=3, seed=1), []
    images = drawn_image(2, 3, 4, 6, seed=2)

    def judge_scores(answer):
        yield Compared("the scores", answer(network, images), network(images).detach(), {})

    def scores(network, images):
        given.extend([*network.parameters(), *network.buffers(), images])
        return network(images)

    assert judge(scores, judge_scores).passed
    originals = [*network.parameters(), *network.buffers(), images]
    for own, original in zip(given, originals, strict=True):
        assert torch.equal(own.detach().double(), original.detach().double())
    assert all(own.dtype in (torch.float32, torch.int64) for own in given)


@pytest.mark.parametrize(
    "function",
    [
        lambda network, image: torch.func.grad(lambda i: network(i[None])[0, 1])(image),
        lambda network, image: torch.func.jacrev(lambda i: network(i[None])[0])(image)[1],
        lambda network, image: torch.func.jacfwd(lambda i: network(i[None])[0])(image)[1],
        lambda network, image: torch.func.vmap(torch.func.grad(lambda i: network(i[None])[0, 1]))(
            image[None]
        )[0],
        lambda network, image: torch.autograd.functional.jacobian(
            lambda i: network(i[None])[0, 1], image, vectorize=True
        ),
    ],
)
def test_transforms_of_torch_func_work_on_the_small_networks(function):
    network, image = relu_network((4, 6), classes=3, seed=1), drawn_image(3, 4, 6, seed=2)

    def judge_gradient(answer):
        variable = image.clone().requires_grad_()
        right = torch.autograd.grad(network(variable[None])[0, 1], variable)[0]
        yield Compared("the gradient", answer(network, image), right, {})

    result = judge(function, judge_gradient)
    assert result.passed, result


# ---- how often a network is called


def by_copy(network, images):
    twin = copy.deepcopy(network)
    return torch.cat([twin(image[None]) for image in images])


def by_layers(network, images):
    for layer in network:
        images = layer(images)
    return images


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda network, images: network(images), 1),
        (lambda network, images: torch.cat([network(image[None]) for image in images]), 4),
        (by_copy, 4),
        (lambda network, images: torch.func.vmap(lambda i: network(i[None])[0])(images), 1),
        (lambda network, images: torch.func.functional_call(network, {}, (images,)), 1),
    ],
)
def test_it_is_counted_how_often_a_network_is_called(function, count):
    network, images = relu_network((4, 6), classes=3, seed=1), drawn_image(4, 3, 4, 6, seed=2)
    answer = Answer(function)
    for _ in range(2):  # each time anew
        answer(network, images)
        assert answer.forwards == count


# ---- nothing returned


def kept_no_gradient(image):
    batch = image[None].requires_grad_()
    (2 * image.square()).sum()
    return batch.grad


def of_a_non_leaf(image):
    variable = image.clone().requires_grad_()
    batch = variable[None]
    batch.square().sum().backward()
    gradient = batch.grad
    return gradient


def not_asked_for(image):
    image.sum()
    return image.grad


def grad_of_an_error(image):
    variable = image.clone().requires_grad_()
    batch = variable[None]
    batch.square().sum().backward()
    return batch.grad.abs()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (kept_no_gradient, "gave None: no `.backward()` has reached `batch`."),
        (of_a_non_leaf, "gave None: `batch` was computed from another tensor"),
        (not_asked_for, "gave None: `image` does not require a gradient"),
        (grad_of_an_error, "`batch` was computed from another tensor"),
    ],
)
def test_a_gradient_that_was_not_kept_is_explained(function, words):
    result = judge(function)
    assert result.state == "hint"
    assert words in result.message
    assert f"line {line_in(function, 'return')}" in result.message


def without_a_return(image):
    doubled = 2 * image
    if doubled.sum() < 0:
        return doubled


def missing_branch(image, rule):
    if rule == "double":
        return 2 * image
    elif rule == "halve":
        image = image / 2


def returns_a_call(image):
    rows = []
    return rows.append(image)


def test_a_missing_return_is_told_by_its_line():
    message = judge(without_a_return).message
    assert "without a `return`" in message
    assert f"line {line_in(without_a_return, 'if doubled')}" in message
    message = judge(returns_a_call).message
    assert message.startswith("`return rows.append(image)` in line ")
    assert "gave None" in message


def test_a_missing_branch_is_told_with_the_case_that_takes_it():
    def judge_rules(answer):
        for rule, factor in (("double", 2), ("halve", 0.5)):
            yield Compared("the image", answer(IMAGE, rule), factor * IMAGE, {})

    result = judge(missing_branch, judge_rules)
    assert result.state == "hint"
    assert result.message.startswith("With rule = 'halve' it ended in line ")
    assert f"line {line_in(missing_branch, 'image / 2')}" in result.message


def only_passes(image):
    """Return nothing yet."""


def returns_none(image):
    return None


@pytest.mark.parametrize("function", [only_passes, returns_none, lambda image: None])
def test_a_stub_of_another_kind_is_not_done_yet(function):
    assert judge(function).state == "not done yet"


# ---- a stub that was left


def code_below(image):
    raise NotImplementedError("not done yet")
    return 2 * image


def code_above(image):
    print(2 * image)
    raise NotImplementedError("not done yet")


def only_a_stub(image):
    """Return it doubled."""
    raise NotImplementedError("not done yet")


@pytest.mark.parametrize("function", [code_below, code_above])
def test_a_stub_that_still_stands_is_told_by_its_line(function):
    result = judge(function)
    assert result.state == "hint"
    assert f"still stands in line {line_in(function, 'raise')}" in result.message
    assert "delete it" in result.message


def in_one_line(image): raise NotImplementedError("not done yet")  # fmt: skip


@pytest.mark.parametrize("function", [only_a_stub, in_one_line])
def test_a_stub_alone_is_not_done_yet(function):
    assert judge(function) == Result("double", "not done yet", "")


# ---- what the code reads

photo = torch.ones(2, 3)
model = nn.Identity()


def reads_a_global(image):
    return 3 * photo


def reads_in_a_helper(image):
    def helper():
        return model(photo)

    return helper()


def local_of_that_name(image):
    photo = 3 * torch.ones(2, 3)
    return next(photo for _ in range(1))


def fails_on_a_global(image):
    return photo[:, 3]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (reads_a_global, "never uses its argument `image`, but reads `photo` of the notebook."),
        (reads_in_a_helper, "but reads `model` and `photo` of the notebook."),
        (lambda image: torch.ones(2, 3), "It never uses its argument `image`."),
        (lambda image: photo @ photo, "but reads `photo` of the notebook."),
        (lambda image, photo=None: torch.ones(2, 3), "its arguments `image` and `photo`."),
        (lambda image, photo=photo: 3 * photo, "It never uses its argument `image`."),
        (local_of_that_name, "It never uses its argument `image`."),
        (fails_on_a_global, "dimension 1 with size 3. It never uses its argument `image`, but"),
    ],
)
def test_an_argument_that_is_never_used_is_named(function, words):
    assert words in judge(function).message


def test_arguments_are_not_spoken_of_where_they_are_used_or_the_result_is_right():
    assert "argument" not in judge(lambda image: photo * image).message

    def judge_ones(answer):
        yield Compared("the image", answer(IMAGE), torch.ones(2, 3), {})

    assert judge(lambda image: photo, judge_ones).passed
    in_a_comprehension = judge(lambda image: [image for _ in range(2)]).message
    assert "argument" not in in_a_comprehension


# ---- hints in steps


def small_example():
    return Example((torch.tensor([1.0, -2.0]),), "A row of two: each is doubled.", [2.0, -4.0])


@pytest.fixture
def check(registered):
    @task("made-up", points=3, minutes=5, praise="Right.", example=small_example)
    def check_double(answer):
        yield from judge_double(answer)

    return check_double


def test_hints_come_in_steps(check):
    half = lambda image: image / 2  # noqa: E731
    first, second, third, fourth = (check(half) for _ in range(4))
    assert {r.message for r in (first, second, third)} == {"It is halved."}
    assert first.details == ""
    assert second.details == (
        "With image of shape (2, 3): at [1, 2], where they differ most, right is 10, yours 2.5."
    )
    assert third.details.splitlines() == [
        "A row of two: each is doubled.",
        "right: (2, -4)",
        "yours: [0.5  -1]",
    ]
    assert fourth == third


def test_another_mistake_starts_at_the_first_step(check):
    def wrong(image):
        return 3 * image

    for _ in range(2):
        check(lambda image: image / 2)
    assert check(wrong).details == ""
    assert check(wrong).details
    assert check(lambda image: image / 2).details == ""


def test_passing_starts_anew(check):
    for _ in range(2):
        check(lambda image: image / 2)
    assert check(lambda image: 2 * image).passed
    assert check(lambda image: image / 2).details == ""


def test_numbers_that_change_are_no_other_mistake(check):
    assert check(lambda image: image[0, :1].repeat(7)).details == ""
    assert check(lambda image: image[0, :1].repeat(8)).details


def test_grading_leaves_the_steps_alone(check):
    def half(image):
        return image / 2

    known = answers._registered[-1]
    check(half)
    for _ in range(3):
        assert known.grade(half).details == ""
        assert not answers.passed(half)
        with pytest.raises(AssertionError, match="It is halved"):
            answers.mark("made-up", half)
    assert "differ most" in check(half).details


def test_a_case_stands_for_an_example_that_does_not_tell_the_mistake(check):
    def only_rows(image):
        return 2 * image if image.ndim == 1 else image

    for _ in range(2):
        check(only_rows)
    details = check(only_rows).details
    assert details.splitlines()[0] == "With image of shape (2, 3):"
    assert "right:" in details
    assert "yours:" in details


def test_what_an_answer_raises_in_the_example_is_shown(check):
    def fails(image):
        if image.ndim == 1:
            raise ValueError("no rows")
        return image

    for _ in range(2):
        check(fails)
    assert "yours: It raised ValueError" in check(fails).details


def test_details_read_well_in_a_notebook():
    result = Result("double", "hint", "Not yet.", details="right: [1 < 2]\nyours: $3$")
    assert repr(result).splitlines() == ["double: not yet. Not yet.", *result.details.splitlines()]
    page = result._repr_html_()
    assert "<pre" in page
    assert "right: [1 &lt; 2]\nyours: $3$" in page


def test_large_results_are_cut():
    shown = answers.numbers(drawn(9, 9, seed=1))
    assert len(shown.splitlines()) == 7
    assert "..." in shown
    assert answers.numbers(torch.tensor([[True, False]])) == "[[ True False]]"
    assert answers.numbers(torch.tensor([1.0, torch.inf, -20])) == "[  1 inf -20]"
    assert "-0.3333" in answers.numbers(torch.tensor([-1 / 3]))


def test_where_an_axis_is_long_the_part_that_differs_is_shown():
    right = drawn(9, 5, seed=1)
    own = right.clone().float().numpy()
    own[4, 2] += 1
    lines = answers.beside("A case.", right, own).splitlines()
    assert [lines[0], lines[1], lines[8]] == [
        "A case.",
        "right, the part [1:7, :]:",
        "yours, the part [1:7, :]:",
    ]
    differ = [i for i in range(6) if lines[2 + i].split() != lines[9 + i].split()]
    assert differ == [3]
    assert "..." not in "".join(lines)


def test_another_shape_needs_no_more_digits():
    third = torch.full((2,), 1 / 3, dtype=torch.float64)
    shown = answers.beside("A case.", third, third.float()[None])
    assert shown.splitlines()[1:] == ["right: [0.3333 0.3333]", "yours: [[0.3333 0.3333]]"]


def test_what_is_only_close_in_an_example_is_told_apart(registered):
    @task("made-up", points=3, praise="Right.", example=small_example)
    def check_double(answer):
        yield from judge_double(answer)

    for _ in range(3):
        details = check_double(lambda image: image * 2.00022).details
    assert details.splitlines()[1:] == ["right: (2, -4)", "yours: [ 2.0002 -4.0004]"]


# ---- parts


def judge_parts(answer):
    for part, factor in (("double", 2), ("triple", 3)):
        for image in (IMAGE, IMAGE + 1):
            mistakes = {"The sign is wrong.": -factor * image}
            value = answer(image, factor)
            yield Compared("the image", value, factor * image, mistakes, part=part)


in_parts = functools.partial(judge, judge=judge_parts, points=3, parts={"double": 1, "triple": 2})


def raises_at_two(image, factor):
    if factor == 2:
        raise ValueError("no two")
    return factor * image


def half_written(image, factor):
    if factor == 3:
        raise NotImplementedError("not done yet")
    return factor * image


@pytest.mark.parametrize(
    ("function", "points", "message"),
    [
        (lambda image, factor: factor * image, 3, "Twice as bright."),
        (lambda image, factor: 2 * image, 1, "1 of 3 points: The shape of"),
        (
            lambda image, factor: 3 * image * (1 if factor == 3 else -2 / 3),
            2,
            "2 of 3 points: The sign is wrong.",
        ),
        (raises_at_two, 2, "2 of 3 points: It raised ValueError in line"),
        (half_written, 1, "1 of 3 points: "),
        (lambda image, factor: -factor * image, 0, "The sign is wrong."),
        (lambda image, factor: image, 0, "The shape of the image is right"),
    ],
)
def test_each_part_that_is_right_earns_its_points(function, points, message):
    result = in_parts(function)
    assert result.points == points
    assert result.passed == (points == 3)
    assert result.message.startswith(message)


def test_a_comparison_of_no_part_counts_for_all():
    def judge_all(answer):
        yield from judge_parts(answer)
        yield Compared("zero", answer(0 * IMAGE, 2), 0 * IMAGE, {})

    def off(image, factor):
        return factor * image + (image.sum() == 0)

    assert in_parts(off, judge=judge_all).points == 0
    assert in_parts(lambda image, factor: 2 * image, judge=judge_all).points == 1


# ---- passed and mark


def test_passed_finds_the_task_by_name_or_by_what_was_checked(check):
    def double(image):
        return 2 * image

    assert answers.passed(double)
    assert answers.passed(double, double)
    other = lambda image: 2 * image  # noqa: E731
    with pytest.raises(ValueError, match="no task has an answer named '<lambda>'"):
        answers.passed(other)
    check(other)
    assert answers.passed(other)
    assert not answers.passed(double, lambda_that_fails := check_and_give(check))
    assert not answers.passed(lambda_that_fails)
    assert not answers.passed(None)
    assert not answers.passed(double, 3)


def check_and_give(check):
    function = functools.partial(torch.mul, 3)
    check(function)
    return function


def test_mark_gives_the_points_or_raises_the_hint(check):
    assert answers.mark("made-up", lambda image: 2 * image) == 3
    with pytest.raises(AssertionError, match=r"^It is halved\.$"):
        answers.mark("made-up", lambda image: image / 2)
    with pytest.raises(AssertionError, match="not done yet"):
        answers.mark("made-up", only_a_stub)
    with pytest.raises(ValueError, match="expected the name of a task, got 'made'"):
        answers.mark("made", only_a_stub)


def test_mark_gives_the_points_of_parts(registered):
    @task("in-parts", points=3, praise="Right.", parts={"double": 1, "triple": 2})
    def check_multiple(answer):
        yield from judge_parts(answer)

    assert answers.mark("in-parts", lambda image, factor: 2 * image) == 1


# ---- what was replaced


def test_a_replaced_function_of_a_library_is_a_hint(monkeypatch):
    monkeypatch.setattr(torch, "allclose", lambda *_, **__: True)
    result = judge(lambda image: image)
    assert result.state == "hint"
    assert "replaced `torch.allclose`" in result.message


def test_what_an_answer_replaces_is_a_hint():
    original = torch.allclose

    def replaces(image):
        torch.allclose = lambda *_, **__: True
        return image

    try:
        result = judge(replaces)
    finally:
        torch.allclose = original
    assert not result.passed
