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
notebooks, so its numbers are those that float32 holds (`deepinside.classroom.small_networks`). The
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

import copy
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from inspect import signature, unwrap
from types import FrameType
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from deepinside.classroom import reading, seal
from deepinside.classroom.results import Example, Hint, NotDone, Result
from deepinside.classroom.returned import complaint, numbers, tensor_of
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

_FORWARD = nn.Module._call_impl.__code__
_TOLERANCE = 1e-4  # float32 holds seven digits, of which long sums lose some


class Answer:
    """A student's function: called on copies, its failures turned into hints.

    Attributes
    ----------
    given : tuple
        What the function was called with last: copies of the judge's arguments, in float32
        where those are in float64, which show what it did to them.
    forwards : int
        How many times it called networks among its arguments then; a batch counts once.
    """

    def __init__(self, function: Callable, *, goes_on: bool = False) -> None:
        self._function = function
        self._goes_on = goes_on
        self._originals: tuple = ()
        self._borrowed = ""
        self._ended: tuple[FrameType, int] | None = None
        self.given: tuple = ()
        self.forwards = 0

    def __call__(self, *arguments: object) -> object:
        """Return what the function returns for copies of these arguments.

        Raises
        ------
        Hint
            If it raises, is interrupted, calls a function of `deepinside.classroom` that it
            was not given, or changes the values of a tensor, an array or a network's
            parameters among its arguments. Where a task has parts, the hint is returned, so
            that the other parts can be judged.
        """
        self._originals = tuple(_copied(argument) for argument in arguments)
        self.given = tuple(_copied(argument) for argument in arguments)
        for network in self.given:
            if isinstance(network, nn.Module):
                vars(network)["_handed_over"] = True  # a copy of it has it, too
        try:
            return self.again()
        except Hint as hint:
            hint.where = hint.where or f"It shows with {self.case()}."
            if self._goes_on:
                return hint
            raise

    def again(self) -> object:
        """Return what the function returns for the very arguments of the last call."""
        value = self._called()
        if value is None:
            self._explain_nothing()
        if value is Ellipsis or value is NotImplemented:
            raise NotDone("It returns nothing so far: does it end with `return`?")
        for place, (before, after) in enumerate(zip(self._originals, self.given, strict=True)):
            if _changed(before, after):
                raise Hint(
                    f"It changes its argument `{self._parameter(place)}` in place, which "
                    "changes the caller's data as well. Work on a copy (`.clone()`, or "
                    "`copy.deepcopy` for a network) or make a new tensor (`a = a + b`, "
                    "not `a += b`)."
                )
        return value

    def repeat(self, right: Tensor) -> None:
        """Raise a hint unless the very arguments of the last call give what is right again."""
        if not _agree(_tensor_like(self.again(), right, "the second result"), right):
            raise Hint(
                "Called again with the same image, it returns something else: gradients were left "
                "from the earlier call. `.backward()` *adds* to `.grad`; start from "
                "`image.detach().clone()`, or use `torch.autograd.grad`."
            )

    def case(self) -> str:
        """Return the arguments of the last call in words."""
        described = (_described(self._parameter(i), given) for i, given in enumerate(self.given))
        return ", ".join(filter(None, described)) or "what it was called with"

    def unused(self) -> str:
        """Return a sentence on arguments that the function's code never uses, or nothing."""
        return reading.unused(self._function)

    def _called(self) -> object:
        failure = None
        try:
            with usual_settings():
                value = self._watched()
        except BaseException as error:  # sys.exit, too, ends the answer and not the check
            failure = error
        if self._borrowed:
            raise Hint(
                f"It calls `{self._borrowed}`, a part of the checks, which know the right result. "
                "Write it yourself."
            )
        if failure is None:
            return value
        raise self._hint_of(failure)

    def _hint_of(self, failure: BaseException) -> Hint:
        said = reading.reason(failure)
        if reading.is_stub(failure):
            left = reading.left_stub(failure)
            return Hint(left) if left else NotDone(said)
        code = getattr(unwrap(self._function), "__code__", None)
        line = reading.line_of(failure, code)
        if isinstance(failure, KeyboardInterrupt):
            return Hint(
                f"It was interrupted{line}. "
                "Does a loop never end, or is there far more work than the task asks for?"
            )
        why = reading.why_none(failure, code)
        return Hint(
            f"It raised {type(failure).__name__}{line}: {said or 'without a message'}"
            + (f". {why}." if why else "")
            + self.unused()
        )

    def _explain_nothing(self) -> None:
        why = reading.nothing_returned(*self._ended) if self._ended else "It returns None."
        if not why:
            raise NotDone("It returns nothing so far: does it end with `return`?")
        raise Hint(why)

    def _watched(self) -> object:
        """Call the function, stopped where it, or a thread of it, calls a part of the checks.

        What the judge hands over to be called, such as `map_of`, may be called.
        """
        handed = {getattr(argument, "__code__", None) for argument in self.given}
        own = getattr(unwrap(self._function), "__code__", None)
        self.forwards, self._ended = 0, None

        def watch(frame: FrameType, event: str, _: object) -> None:
            if event == "return" and frame.f_code is own:
                self._ended = frame, frame.f_lineno
            if event != "call" or frame.f_code in handed:
                return
            if frame.f_code is _FORWARD:
                self.forwards += "_handed_over" in vars(frame.f_locals["self"])
            module = str(frame.f_globals.get("__name__"))
            if module.startswith("deepinside.classroom"):
                self._borrowed = f"{module}.{frame.f_code.co_name}"
                raise Hint("")  # which the function may catch, to no avail

        before, of_threads = sys.getprofile(), threading.getprofile()
        threading.setprofile(watch)
        sys.setprofile(watch)
        try:
            value = self._function(*self.given)
            # what is computed only when it is read is to be computed under the same watch
            return list(value) if isinstance(value, Iterator) else value
        finally:
            sys.setprofile(before)
            threading.setprofile(of_threads)

    def _parameter(self, place: int) -> str:
        try:
            return list(signature(self._function).parameters)[place]
        except (ValueError, TypeError, IndexError):
            return f"number {place + 1}"


# whose results are compared just now
_judging: ContextVar[Answer | None] = ContextVar("_judging", default=None)


class Compared(NamedTuple):
    """A result, what it should be, and what the usual mistakes give.

    Attributes
    ----------
    what : str
        What is compared, as in "the saliency map".
    value : object
        What the answer returned.
    right : object
        What the result should be, which also says what kind of thing: a tensor or an array
        with axes, one of bool for a mask; a number; an int for an index; a list of such.
    mistakes : mapping
        From each hint to the result of that mistake; a list holds several results.
    tolerance : float
        The largest difference that is ignored, relative to the largest right value.
    part : str
        The part of the task that it belongs to; without one, to all of them.
    """

    what: str
    value: object
    right: object
    mistakes: Mapping[str, object]
    tolerance: float = _TOLERANCE
    part: str = ""


Comparisons = Iterable[Compared]
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
    token = _judging.set(answer)
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
        _judging.reset(token)
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
    right = numbers(example.right)
    try:
        with usual_settings():
            value = Answer(function)(*example.given)
            wanted = tensor_of(example.right, "it")
            own = numbers(value)
            if _agree(_tensor_like(value, wanted, "it"), wanted):
                return ""
    except Hint as hint:
        own = str(hint)
    return _beside(example.shown, right, own)


def _beside(shown: str, right: str, own: str) -> str:
    if "\n" in right or "\n" in own:
        return f"{shown}\nright:\n{right}\nyours:\n{own}"
    return f"{shown}\nright: {right}\nyours: {own}"


class _Read(NamedTuple):
    """A comparison that was read: what came and what is right, both in float64."""

    compared: Compared
    right: Tensor
    got: Tensor | None = None
    complaint: str = ""
    failure: Hint | None = None
    case: str = ""

    @property
    def agrees(self) -> bool:
        tolerance = self.compared.tolerance
        return self.got is not None and _agree(self.got, self.right, tolerance)

    @property
    def is_right(self) -> bool:
        return self.agrees and not self.complaint


def compare(comparisons: Comparisons) -> None:
    """Raise the hint that fits the results, or return nothing if all are right.

    A mistake is named only if it explains everything that was returned; this tells apart
    mistakes that show only in a special case. In a comparison that does not list the mistake,
    the result has to be right. In a task of several parts, the first wrong part is explained.

    Raises
    ------
    Hint
        That of the first mistake that explains the results; if there is none, one with what is
        wanted and what came. A hint raised while the comparisons are made is passed on if all
        results before it are right.
    """
    listed: list[_Read] = []
    failure = None
    try:
        listed.extend(map(_read, comparisons))
    except Hint as hint:
        failure = hint  # what went wrong before it says more
    wrong = [read for read in listed if not read.is_right]
    if wrong:
        failure = _explained(listed, wrong)
        bad = {read.compared.part for read in wrong}
        failure.earned = frozenset(
            read.compared.part for read in listed if "" not in bad and read.compared.part not in bad
        )
    if failure:
        raise failure


def _read(compared: Compared) -> _Read:
    answer = _judging.get()
    case = answer.case() if answer else ""
    right = tensor_of(compared.right, compared.what)
    if isinstance(compared.value, Hint):  # the answer failed, in a task that has parts
        return _Read(compared, right, failure=compared.value, case=case)
    words = complaint(compared.value, compared.right, compared.what)
    try:
        # a copy, as what was returned may be a gradient that the next call adds to
        got = _tensor_like(compared.value, right, compared.what).clone()
    except Hint as hint:
        raise Hint(words or str(hint)) from None
    return _Read(compared, right, got, words, case=case)


def _explained(listed: list[_Read], wrong: list[_Read]) -> Hint:
    """Return the hint for the first part that is wrong."""
    part = wrong[0].compared.part
    listed, wrong = (
        [read for read in reads if not part or read.compared.part in ("", part)]
        for reads in (listed, wrong)
    )
    if wrong[0].failure:
        return wrong[0].failure
    off = [read for read in wrong if not read.agrees]
    mistakes = dict.fromkeys(hint for read in listed for hint in read.compared.mistakes)
    named = [name for name in mistakes if off and all(_explains(name, read) for read in listed)]
    complaints = [read.complaint for read in wrong if read.complaint]
    if named:
        hint = Hint(named[0])
    elif complaints:
        hint = Hint(complaints[0])
    else:
        answer = _judging.get()
        hint = Hint(_difference(off[0]) + (answer.unused() if answer else ""))
    hint.where = _where(off[0] if off else wrong[0])
    if off:
        smallest = min(off, key=lambda read: read.right.numel())
        shown = f"With {smallest.case}:" if smallest.case else ""
        hint.small = _beside(
            shown, numbers(smallest.compared.right), numbers(smallest.compared.value)
        )
    return hint


def _copied(value: object) -> object:
    """Return a copy, in the notebooks' type where the judge computes in float64."""
    if isinstance(value, torch.Generator):
        twin = torch.Generator(value.device)
        twin.set_state(value.get_state())
        return twin
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    if isinstance(value, Tensor) and value.dtype == torch.float64:
        return value.detach().float().requires_grad_(value.requires_grad)
    if isinstance(value, nn.Module):
        network = copy.deepcopy(value)
        return network.float() if _is_double(network) else network
    return copy.deepcopy(value)


def _is_double(network: nn.Module) -> bool:
    return any(parameter.dtype == torch.float64 for parameter in network.parameters())


def _changed(before: object, after: object) -> bool:
    if isinstance(before, nn.Module) and isinstance(after, nn.Module):
        pairs = zip(before.parameters(), after.parameters(), strict=False)
        return any(_changed(old, new) for old, new in pairs)
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return not np.array_equal(before, after)
    return (
        isinstance(before, Tensor)
        and isinstance(after, Tensor)
        and not (before.dtype == after.dtype and torch.equal(before, after))
    )


def _described(name: str, value: object) -> str:
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        return f"{name} of shape {tuple(value.shape)}"
    if isinstance(value, int | float | str | Tensor):
        return f"{name} = {numbers(value)}"
    is_short = isinstance(value, list | tuple) and len(repr(value)) < 50
    return f"{name} = {value!r}" if is_short else ""


def _agree(
    got: Tensor, expected: Tensor, tolerance: float = _TOLERANCE, least: float = 1e-9
) -> bool:
    if got.shape != expected.shape:
        return False
    far = tolerance * _largest(expected) + least
    return torch.allclose(got, expected, rtol=0, atol=far, equal_nan=True)


def _largest(values: Tensor) -> float:
    finite = values[values.isfinite()]
    return finite.abs().max().item() if finite.numel() else 0.0


def _explains(hint: str, read: _Read) -> bool:
    if read.got is None:
        return False
    results = read.compared.mistakes.get(hint, read.right)
    several = results if isinstance(results, list) else [results]
    tensors = (tensor_of(result, read.compared.what) for result in several)
    # a mistake that gives zeros gives them as float32 does
    tolerance, least = read.compared.tolerance, 1e-9 + 1e-6 * _largest(read.right)
    return any(_agree(read.got, tensor, tolerance, least) for tensor in tensors)


def _tensor_like(value: object, right: Tensor, what: str) -> Tensor:
    """Return a result as a tensor; where a number is expected, a tensor of one is one."""
    got = tensor_of(value, what)
    return got.reshape(()) if right.ndim == 0 and got.numel() == 1 else got


def _difference(read: _Read) -> str:
    """Return what is wrong with a result that no mistake explains."""
    what, right, got = read.compared.what, read.right, read.got
    assert got is not None
    if right.ndim == 0 and got.ndim:
        return f"Expected {what} as a single number, got a tensor of {tuple(got.shape)}."
    if got.shape != right.shape:
        return f"Expected {what} of shape {_shape(right)}, got {_shape(got)}."
    if not got.isfinite().all():
        count = int((~got.isfinite()).sum())
        return f"Expected {what} to be finite; {count} of its values are not."
    if right.ndim == 0:
        return f"Expected {right.item():.5g} for {what}, got {got.item():.5g}."
    if isinstance(read.compared.right, list | tuple) and right.ndim == 1:
        return f"The values of {what} are not right: got {numbers(read.compared.value)}."
    return f"The shape of {what} is right, its values are not."


def _where(read: _Read) -> str:
    """Return in which case a result is wrong, and what is right there."""
    got, right = read.got, read.right
    case = f"With {read.case}: " if read.case else ""
    if got is None or got.shape != right.shape:
        return f"{case}expected shape {_shape(right)}."
    if right.ndim == 0:
        return f"{case}right is {right.item():.5g}, yours {got.item():.5g}."
    far = (got - right).abs().nan_to_num(torch.inf)
    place = tuple(int(i) for i in np.unravel_index(int(far.argmax()), far.shape))
    where = ", ".join(map(str, place))
    return (
        f"{case}at [{where}], where they differ most, right is {right[place].item():.5g}, "
        f"yours {got[place].item():.5g}."
    )


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape)) if tensor.ndim else "() (a single number)"
