"""Run a student's function safely, and say in words what is wrong with its result.

Each task of a student's notebook has one function that judges it, such as::

    @task("saliency-map", points=1, praise="The largest magnitude of the channels.")
    def check_saliency_map(answer: Answer) -> Comparisons:
        '''Check ``saliency_map(network, image, class_index)``. ...'''
        for network, image, c in scored_images():
            yield Compared("the map", answer(network, image, c), right, {hint: wrong, ...})

It calls the answer on small networks and yields each result beside the right one and those of
the usual mistakes. `task` turns it into the check that notebooks call, and `TASKS` of
`deepinside.classroom.checks` lists it. The answer may raise, return anything, or change
settings: a failure becomes a hint, and the settings are put back. It has no time limit: in a
notebook the learner can interrupt it, and grading limits the process.
"""

import copy
import html
import linecache
import random
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature, unwrap
from types import FrameType
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

_LABELS = {"passed": "passed.", "hint": "not yet.", "not done yet": "not done yet."}
# as borders beside the text, these can be seen on white and on black
_COLORS = {"passed": "#2e9e4f", "hint": "#d98200", "not done yet": "#8a8a8a"}


@dataclass(frozen=True, repr=False)
class Result:
    """What a check says about an answer.

    Attributes
    ----------
    task : str
        The name of the function that was checked.
    state : str
        "passed", "hint" or "not done yet".
    message : str
        One or a few sentences for the student.
    """

    task: str
    state: Literal["passed", "hint", "not done yet"]
    message: str

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.state == "passed"

    def __repr__(self) -> str:
        """Return the task, the state and the message as plain text."""
        return f"{self.task}: {_LABELS[self.state]} {self.message}".strip()

    def _repr_html_(self) -> str:
        """Return the same for a notebook, with a colored edge."""
        message = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.message))
        # a student's error may hold dollar signs, which are no formula
        return (
            '<div class="tex2jax_ignore mathjax_ignore" style="border-left: 0.3em solid '
            f'{_COLORS[self.state]}; padding: 0.3em 0.8em; margin: 0.3em 0">'
            f"<strong>{html.escape(self.task)}: {_LABELS[self.state]}</strong> {message}</div>"
        )


class Hint(Exception):  # noqa: N818 - no error of the program, but what a judge has found
    """What is wrong with an answer, in words for the student."""


class _NotDone(Exception):  # noqa: N818 - no error either
    """The answer is still to be written."""


class Answer:
    """A student's function: called on copies, its failures turned into hints.

    Attributes
    ----------
    given : tuple
        What the function was called with last: copies of the judge's arguments, which
        show what it did to them.
    """

    def __init__(self, function: Callable) -> None:
        self._function = function
        self._originals: tuple = ()
        self._borrowed = ""
        self.given: tuple = ()

    def __call__(self, *arguments: object) -> object:
        """Return what the function returns for copies of these arguments.

        Raises
        ------
        Hint
            If it raises, is interrupted, calls a function of `deepinside.classroom` that it
            was not given, or changes the values of a tensor, an array or a network's
            parameters among its arguments.
        """
        self._originals = arguments
        self.given = tuple(_copied(argument) for argument in arguments)
        return self.again()

    def again(self) -> object:
        """Return what the function returns for the very arguments of the last call."""
        value = self._called()
        if value is None or value is Ellipsis or value is NotImplemented:
            raise _NotDone("It returns nothing so far: does it end with `return`?")
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

    def _called(self) -> object:
        failure = None
        try:
            with _usual_settings():
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
        if _is_stub(failure):
            raise _NotDone(_reason(failure))
        line = self._line(failure)
        if isinstance(failure, KeyboardInterrupt):
            raise Hint(
                f"It was interrupted{line}. "
                "Does a loop never end, or is there far more work than the task asks for?"
            )
        raise Hint(
            f"It raised {type(failure).__name__}{line}: {_reason(failure) or 'without a message'}"
        )

    def _watched(self) -> object:
        """Call the function, stopped where it, or a thread of it, calls a part of the checks.

        What the judge hands over to be called, such as `map_of`, may be called.
        """
        handed = {getattr(argument, "__code__", None) for argument in self.given}

        def watch(frame: FrameType, event: str, _: object) -> None:
            if event != "call" or frame.f_code in handed:
                return
            module = str(frame.f_globals.get("__name__"))
            if module.startswith("deepinside.classroom"):
                self._borrowed = f"{module}.{frame.f_code.co_name}"
                raise Hint  # which the function may catch, to no avail

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

    def _line(self, error: BaseException) -> str:
        """Return where in the student's own code an error came up, or nothing."""
        code = getattr(unwrap(self._function), "__code__", None)
        own = [
            (frame, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if code and frame.f_code.co_filename == code.co_filename
        ]
        if not own:
            return ""
        frame, line = own[-1]
        source = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
        return f" in line {line}" + (f", `{_short(source)}`" if source else "")

    def _parameter(self, place: int) -> str:
        try:
            return list(signature(self._function).parameters)[place]
        except (ValueError, TypeError, IndexError):
            return f"number {place + 1}"


class Compared(NamedTuple):
    """A result, what it should be, and what the usual mistakes give.

    Attributes
    ----------
    what : str
        What is compared, as in "the saliency map".
    value : object
        What the answer returned: a tensor, an array, a number or a list of them.
    right : object
        What the result should be, in any of these forms.
    mistakes : mapping
        From each hint to the result of that mistake; a list holds several results.
    tolerance : float
        The largest difference that is ignored, relative to the largest right value.
    """

    what: str
    value: object
    right: object
    mistakes: Mapping[str, object]
    tolerance: float = 1e-5


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
        A function from the answer to a `Result`.
    points : int
        What a right answer is worth.
    judge : callable
        The function from which `check` is made.
    """

    name: str
    answer: str
    check: Callable[[object], Result]
    points: int
    judge: Judge


_registered: list[Task] = []


def task(name: str, *, points: int, praise: str) -> Callable[[Judge], Callable[[object], Result]]:
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
    """

    def register(judge: Judge) -> Callable[[object], Result]:
        answer = judge.__name__.removeprefix("check_")

        def check(function: object) -> Result:
            return judged(answer, function, judge, praise)

        check.__name__ = check.__qualname__ = judge.__name__
        check.__doc__, check.__module__ = judge.__doc__, judge.__module__
        _registered.append(Task(name, answer, check, points, judge))
        return check

    return register


def tasks_of(module: str) -> tuple[Task, ...]:
    """Return the tasks that a module defines, in their order in it."""
    return tuple(known for known in _registered if known.check.__module__ == module)


def judged(answer: str, function: object, judge: Judge, praise: str) -> Result:
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
    """
    if function is None or function is Ellipsis:
        return Result(answer, "not done yet", "")
    if not callable(function):
        got = type(function).__name__
        return Result(answer, "hint", f"Expected a function named `{answer}`, got {got}.")
    try:
        with _usual_settings():
            compare(judge(Answer(function)))
    except Hint as hint:
        return Result(answer, "hint", str(hint))
    except _NotDone as note:
        # the students' notebooks raise it with these words, which need no repetition
        return Result(answer, "not done yet", "" if str(note) == "not done yet" else str(note))
    except Exception as error:  # what was returned is no usual thing, so reading it failed
        reason = f"{type(error).__name__}: {_reason(error)}"
        return Result(answer, "hint", f"What it returns cannot be read as the result ({reason}).")
    return Result(answer, "passed", praise)


def compare(comparisons: Comparisons) -> None:
    """Raise the hint that fits the results, or return nothing if all are right.

    A mistake is named only if it explains everything that was returned; this tells apart
    mistakes that show only in a special case. In a comparison that does not list the mistake,
    the result has to be right.

    Raises
    ------
    Hint
        That of the first mistake that explains the results; if there is none, one with the
        expected and the returned shape or value. A hint raised while the comparisons are made
        is passed on if all results before it are right.
    """
    read: list[tuple[Tensor, Tensor, Compared]] = []
    failure = None
    try:
        for compared in comparisons:
            right = tensor_of(compared.right, compared.what)
            # a copy, as what was returned may be a gradient that the next call adds to
            got = _tensor_like(compared.value, right, compared.what).clone()
            read.append((got, right, compared))
    except Hint as hint:
        failure = hint  # what went wrong before it says more
    wrong = [(got, right, c) for got, right, c in read if not _agree(got, right, c.tolerance)]
    if wrong:
        for mistake in dict.fromkeys(hint for *_, c in read for hint in c.mistakes):
            if all(_explains(mistake, *parts) for parts in read):
                raise Hint(mistake)
        raise Hint(_difference(*wrong[0]))
    if failure:
        raise failure


def tensor_of(value: object, what: str) -> Tensor:
    """Return a result as a float64 tensor on the CPU, without its graph.

    Raises
    ------
    Hint
        If it cannot be read as one.
    """
    try:
        if isinstance(value, list | tuple):  # NumPy reads no tensor that has a graph
            value = [part.detach().cpu() if isinstance(part, Tensor) else part for part in value]
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        return tensor.detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Hint(f"Expected {what} as a tensor, got {type(value).__name__}.") from None


@contextmanager
def _usual_settings() -> Iterator[None]:
    """Give the settings that every answer finds, and put back those of the caller."""
    dtype, threads, device = torch.get_default_dtype(), torch.get_num_threads(), _default_device()
    anomaly, checked = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    drawn, numpy_drawn = random.getstate(), np.random.get_state()  # noqa: NPY002
    recursion, determinism = sys.getrecursionlimit(), _determinism()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            torch.random.fork_rng(devices),
            # puts back the gradient mode and what else PyTorch keeps for the thread, too
            torch.inference_mode(False),
            torch.autocast("cpu", enabled=False),
            torch._C.DisableTorchFunction(),  # of default devices
        ):
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float32)
            torch.autograd.set_detect_anomaly(False)
            _set_determinism((False, False))
            torch.default_generator.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 - of the global generator, which an answer may use
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.autograd.set_detect_anomaly(anomaly, checked)
        _set_determinism(determinism)
        random.setstate(drawn)
        np.random.set_state(numpy_drawn)  # noqa: NPY002
        sys.setrecursionlimit(recursion)
        if _default_device() != device:
            torch.set_default_device(None)
            if _default_device() != device:
                torch.set_default_device(device)


def _default_device() -> torch.device | None:
    try:
        return torch.get_default_device()
    except RuntimeError:  # an answer has set one that is not there
        return None


def _determinism() -> tuple[bool, bool]:
    strict = torch.are_deterministic_algorithms_enabled()
    return strict, torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(wanted: tuple[bool, bool]) -> None:
    if _determinism() != wanted:  # else the call would import a thousand modules for nothing
        torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def _is_stub(error: BaseException) -> bool:
    """Whether somebody wrote ``raise NotImplementedError``; operations of PyTorch raise it, too."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    source = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
    return type(error) is NotImplementedError and (not source or source.startswith("raise"))


def _copied(value: object) -> object:
    if isinstance(value, torch.Generator):
        twin = torch.Generator(value.device)
        twin.set_state(value.get_state())
        return twin
    return copy.deepcopy(value)


def _changed(before: object, after: object) -> bool:
    if isinstance(before, nn.Module) and isinstance(after, nn.Module):
        pairs = zip(before.parameters(), after.parameters(), strict=False)
        return any(_changed(old, new) for old, new in pairs)
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return not np.array_equal(before, after)
    return (
        isinstance(before, Tensor) and isinstance(after, Tensor) and not torch.equal(before, after)
    )


def _agree(got: Tensor, expected: Tensor, tolerance: float = 1e-5) -> bool:
    if got.shape != expected.shape:
        return False
    finite = expected[expected.isfinite()]
    scale = finite.abs().max().item() if finite.numel() else 0.0
    return torch.allclose(got, expected, rtol=0, atol=tolerance * scale + 1e-12, equal_nan=True)


def _explains(hint: str, got: Tensor, right: Tensor, compared: Compared) -> bool:
    results = compared.mistakes.get(hint, right)
    several = results if isinstance(results, list) else [results]
    tensors = (tensor_of(result, compared.what) for result in several)
    return any(_agree(got, tensor, compared.tolerance) for tensor in tensors)


def _tensor_like(value: object, right: Tensor, what: str) -> Tensor:
    """Return a result as a tensor; where a number is expected, a tensor of one is one."""
    got = tensor_of(value, what)
    return got.reshape(()) if right.ndim == 0 and got.numel() == 1 else got


def _difference(got: Tensor, right: Tensor, compared: Compared) -> str:
    """Return what was expected and what came, where no mistake explains it."""
    what = compared.what
    if got.shape != right.shape:
        return f"Expected {what} of shape {_shape(right)}, got {_shape(got)}."
    if not got.isfinite().all():
        count = int((~got.isfinite()).sum())
        return f"Expected {what} to be finite; {count} of its values are not."
    if right.ndim == 0:
        return f"Expected {right.item():.5g} for {what}, got {got.item():.5g}."
    far = (got - right).abs()
    place = tuple(int(i) for i in np.unravel_index(int(far.argmax()), far.shape))
    where = ", ".join(map(str, place))
    return (
        f"The shape of {what} is right, its values are not: at [{where}], where they differ "
        f"most, expected {right[place].item():.5g}, got {got[place].item():.5g}."
    )


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape)) if tensor.ndim else "() (a single number)"


def _reason(error: BaseException) -> str:
    """Return the first line of an error's message."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an error of the student's own, which cannot say what it is
        lines = []
    return _short(lines[0]) if lines else ""


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
