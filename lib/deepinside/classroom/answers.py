"""Run a student's function safely, and say in words what is wrong with its result.

Each task of a student's notebook has one function that judges it, such as::

    @task(
        "saliency-map", points=1, minutes=10, example=_map_example,
        praise="The largest magnitude of the channels.",
    )
    def check_saliency_map(answer: Answer) -> Comparisons:
        '''Check ``saliency_map(network, image, class_index)``. ...'''
        for network, image, c in scored_images():
            yield Compared("the map", answer(network, image, c), right, {hint: wrong, ...})

It calls the answer on small networks and yields each result beside the right one and those of
the usual mistakes. What it hands over in float64 reaches the answer in float32, the type of the
notebooks, so its numbers are those that float32 holds (``small_networks.py`` draws such). The
right result also says what may be returned: a tensor with axes, a number, a whole number, a mask,
or a list of such.

Where a mistake stays, hints come in steps: first what is wrong, then where, then a small case
worked through, which the task's `example` returns::

    def _map_example() -> Example:
        network = linear_network(torch.tensor([[[[1.0]], [[-3.0]], [[2.0]]]]), torch.zeros(1))
        shown = "One pixel, the score is R - 3 G + 2 B: |-3| is the largest magnitude."
        return Example((network, torch.ones(3, 1, 1), 0), shown, torch.tensor([[3.0]]))

`task` turns a judge into the check that notebooks call, and `TASKS` of
`deepinside.classroom.checks` lists it. The answer may raise, return anything, or change
settings: a failure becomes a hint, and the settings are put back. It has no time limit: in a
notebook the learner can interrupt it, and grading limits the process.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

from deepinside.classroom import reading, seal
from deepinside.classroom.comparison import Compared, Comparisons, compare
from deepinside.classroom.results import Example, Hint, NotDone, Result
from deepinside.classroom.returned import agree, beside, numbers, tensor_like, tensor_of
from deepinside.classroom.running import Answer, judging
from deepinside.classroom.settings import usual_settings

__all__ = [
    "Answer",
    "Compared",
    "Comparisons",
    "Example",
    "Hint",
    "Judge",
    "Result",
    "Task",
    "compare",
    "judged",
    "mark",
    "passed",
    "task",
    "tasks_of",
    "tensor_of",
]

Judge = Callable[[Answer], Comparisons]


class Task(NamedTuple):
    """One task of a student's notebook.

    Attributes
    ----------
    name : str
        Its name in the notebook's metadata (nbgrader's grade_id) and in tables of marks.
    answer : str
        The name of the function that the notebook binds.
    check : callable
        A function from the answer to a `Result`, whose hints come in steps.
    grade : callable
        The same, always with the first step, and without an effect on those of `check`.
    points : int
        What a right answer is worth.
    minutes : int
        The time that a student needs.
    optional : bool
        Whether it lies outside of the core of its notebook.
    parts : mapping
        From each part's name to its points, if there is credit for parts.
    judge : callable
        The function from which `check` is made.
    """

    name: str
    answer: str
    check: Callable[[object], Result]
    points: int
    judge: Judge
    grade: Callable[[object], Result]
    minutes: int = 0
    optional: bool = False
    parts: Mapping[str, int] = {}


_registered: list[Task] = []
_checked: WeakKeyDictionary[object, Task] = WeakKeyDictionary()


def task(
    name: str,
    *,
    points: int,
    praise: str,
    minutes: int = 0,
    optional: bool = False,
    parts: Mapping[str, int] | None = None,
    example: Callable[[], Example] | None = None,
) -> Callable[[Judge], Callable[[object], Result]]:
    """Return a decorator that makes a check of a judge, and registers its task.

    The judge's name is ``check_`` and the name of the answer.

    Parameters
    ----------
    name : str
        The task's name in the notebook's metadata.
    points : int
        What a right answer is worth.
    praise : str
        What the check says about a right answer.
    minutes, optional, parts
        See `Task`. The points of the parts add up to those of the task.
    example : callable
        Returns the small case that is worked through where hints did not help.
    """

    def register(judge: Judge) -> Callable[[object], Result]:
        answer = judge.__name__.removeprefix("check_")
        asked: dict[str, int] = {}

        def grade(function: object) -> Result:
            return _verdict(answer, function, judge, praise, points, parts or {})[0]

        def check(function: object) -> Result:
            _remember(function, known)
            result, hint = _verdict(answer, function, judge, praise, points, parts or {})
            if hint is None:
                asked.clear()
                return result
            times = asked.get(hint.kind, 0) + 1
            asked.clear()
            asked[hint.kind] = times
            return replace(result, details=_details(times, hint, function, example))

        check.__name__ = check.__qualname__ = judge.__name__
        check.__doc__, check.__module__ = judge.__doc__, judge.__module__
        known = Task(name, answer, check, points, judge, grade, minutes, optional, parts or {})
        _registered.append(known)
        return check

    return register


def tasks_of(module: str) -> tuple[Task, ...]:
    """Return the tasks that a module defines, in their order in it."""
    return tuple(known for known in _registered if known.check.__module__ == module)


def passed(*functions: object) -> bool:
    """Return whether all these answers pass their checks, judged afresh and silently.

    Raises
    ------
    ValueError
        If there is no task of a function's name, and it was not checked before.
    """
    return all(_task_of(f).grade(f).passed for f in functions if callable(f)) and all(
        map(callable, functions)
    )


def mark(name: str, function: object) -> float:
    """Return the points that an answer earns, as nbgrader wants them.

    Raises
    ------
    AssertionError
        If it earns none: the hint.
    ValueError
        If there is no task of this name.
    """
    for known in _registered:
        if known.name == name:
            result = known.grade(function)
            if not result.points:
                raise AssertionError(result.message or result.state)
            return result.points
    raise ValueError(f"expected the name of a task, got {name!r}")


def _remember(function: object, known: Task) -> None:
    try:
        _checked[function] = known
    except TypeError:  # it is nothing that can be looked up, such as a list
        return


def _task_of(function: object) -> Task:
    try:
        known = _checked.get(function)
    except TypeError:
        known = None
    name = getattr(function, "__name__", type(function).__name__)
    by_name = {one.answer: one for one in _registered}
    found = known or by_name.get(name)
    if found is None:
        raise ValueError(f"no task has an answer named {name!r}: run the cell of its check first")
    return found


def judged(
    answer: str,
    function: object,
    judge: Judge,
    praise: str,
    *,
    points: int = 1,
    parts: Mapping[str, int] | None = None,
) -> Result:
    """Return what a judge says about a student's function, whatever that function does.

    Parameters
    ----------
    answer : str
        The name of the function, as the notebook binds it.
    function : object
        What the notebook binds to it.
    judge : callable
        Calls the `Answer` it is given; returns or yields what is to be compared, or raises
        `Hint`.
    praise : str
        The sentence for a right answer.
    points, parts
        See `Task`.
    """
    return _verdict(answer, function, judge, praise, points, parts or {})[0]


def _verdict(
    name: str,
    function: object,
    judge: Judge,
    praise: str,
    points: int,
    parts: Mapping[str, int],
) -> tuple[Result, Hint | None]:
    """Return the result, and the hint from which it was made."""
    if function is None or function is Ellipsis:
        return Result(name, "not done yet", ""), None
    if not callable(function):
        got = type(function).__name__
        hint = Hint(f"Expected a function named `{name}`, got {got}.")
        return Result(name, "hint", str(hint)), hint
    answer = Answer(function, goes_on=bool(parts))
    token = judging.set(answer)
    try:
        _refuse_replaced()
        with usual_settings():
            compare(judge(answer))
        _refuse_replaced()
        return Result(name, "passed", praise, points), None
    except Hint as raised:
        hint = raised
    except Exception as error:  # what was returned is no usual thing, so reading it failed
        said = f"{type(error).__name__}: {reading.reason(error)}"
        hint = Hint(f"What it returns cannot be read as the result ({said}).")
    finally:
        judging.reset(token)
    earned = sum(parts[part] for part in hint.earned)
    if earned:
        return Result(name, "hint", f"{earned} of {points} points: {hint}", earned), hint
    if isinstance(hint, NotDone):
        # the students' notebooks raise it with these words, which need no repetition
        return Result(name, "not done yet", "" if str(hint) == "not done yet" else str(hint)), None
    hint.where = hint.where or f"It shows with {answer.case()}."
    return Result(name, "hint", str(hint)), hint


def _refuse_replaced() -> None:
    names = seal.replaced()
    if names:
        some = ", ".join(f"`{name}`" for name in names[:3]) + (" and more" if names[3:] else "")
        raise Hint(
            f"This notebook has replaced {some}, on which the check relies: it can say nothing "
            "until the kernel was restarted and this is left as it is."
        )


def _details(
    times: int, hint: Hint, function: object, example: Callable[[], Example] | None
) -> str:
    """Return what is added to a hint that is given for the second or a later time."""
    if times == 1:
        return ""
    worked = _worked(function, example()) if times > 2 and example and callable(function) else ""
    if times > 2 and (worked or hint.small):
        return worked or hint.small
    return hint.where


def _worked(function: Callable, example: Example) -> str:
    """Return a small case with the answer's own result, or nothing if that is right."""
    with usual_settings():
        try:
            value = Answer(function)(*example.given)
        except Hint as hint:
            value = str(hint)
        is_right = _is_right(value, example.right)
        return "" if is_right else beside(example.shown, example.right, value)


def _is_right(value: object, right: object) -> bool:
    try:
        wanted = tensor_of(right, "it")
        return agree(tensor_like(value, wanted, "it"), wanted)
    except Hint:  # one of them is text, or the answer's has parts of several shapes
        return numbers(value) == numbers(right)
