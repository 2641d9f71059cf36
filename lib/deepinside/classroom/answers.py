"""Run a student's function safely, and say in words what kind of wrong its result is.

A check knows nothing of the function that it is given: it may raise, never end, return
anything, or change what holds for the whole process. So a check is a *judge*, a function
that calls the answer on small networks and compares the results, and `judged` runs it on
a thread of its own, under a time limit. What PyTorch and NumPy keep for each thread, such
as the gradient mode, is then neither the caller's nor changed for the caller; what they
keep for the process is set to known values and restored.

The chapters' exercises use this through `deepinside.classroom.checks`.
"""

import copy
import ctypes
import html
import linecache
import random
import re
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature, unwrap
from types import FrameType
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

SECONDS = 10.0
# how long an answer that was told to stop is waited for before it is left behind
_GRACE = 1.0
_LABELS = {"passed": "passed.", "hint": "not yet.", "not done yet": "not done yet."}
# as borders beside the text, these can be seen on white and on black
_COLORS = {"passed": "#2e9e4f", "hint": "#d98200", "not done yet": "#8a8a8a"}


@dataclass(frozen=True, repr=False)
class Result:
    """What a check says of an answer.

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
    """What kind of wrong an answer is, in words for the student."""


class Answer:
    """A student's function: called on copies, its failures turned into hints.

    Attributes
    ----------
    given : tuple
        What the function was called with last: copies of the judge's arguments, which
        show what it did to them.
    over : bool
        Whether its time is over: what it does from then on no longer counts.
    """

    def __init__(self, function: Callable) -> None:
        self._function = function
        self._originals: tuple = ()
        self.given: tuple = ()
        self.over = False

    def __call__(self, *arguments: object) -> object:
        """Return what the function returns for copies of these arguments.

        Raises
        ------
        Hint
            If it raises, or changes the values of a tensor, an array or a network's
            parameters among its arguments.
        """
        self._originals = arguments
        self.given = tuple(_copied(one) for one in arguments)
        return self.again()

    def again(self) -> object:
        """Return what the function returns for the very arguments of the last call."""
        try:
            value = self._function(*self.given)
        except _TimeIsUp:
            raise
        except BaseException as error:  # sys.exit, too, ends the answer and not the check
            if _is_stub(error):
                raise _NotDone(_reason(error)) from None
            raise Hint(self._failure(error)) from None
        if self.over:
            raise _TimeIsUp
        _settle()
        if value is None or value is Ellipsis or value is NotImplemented:
            raise _NotDone("It returns nothing so far: does it end with `return`?")
        for place, (before, after) in enumerate(zip(self._originals, self.given, strict=True)):
            if _changed(before, after):
                raise Hint(
                    f"It changes its argument `{self._parameter(place)}` in place, so the caller's "
                    "own is no longer what it was. Work on a copy (`.clone()`, or "
                    "`copy.deepcopy` for a network) or make a new tensor (`a = a + b`, "
                    "not `a += b`)."
                )
        return value

    def line_in(self, frame: FrameType | None) -> str:
        """Return where in the student's own code a running frame is, or nothing."""
        stack = traceback.walk_stack(frame) if frame else []
        return self._line(reversed(list(stack)))

    def _failure(self, error: BaseException) -> str:
        where = self._line(traceback.walk_tb(error.__traceback__))
        return f"It raised {type(error).__name__}{where}: {_reason(error) or 'without a message'}"

    def _line(self, stack: Iterator[tuple[FrameType, int]]) -> str:
        code = getattr(unwrap(self._function), "__code__", None)
        own = [(f, line) for f, line in stack if code and f.f_code.co_filename == code.co_filename]
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


def judged(
    task: str, function: object, judge: Callable[[Answer], str], *, seconds: float = SECONDS
) -> Result:
    """Return what a judge says of a student's function, whatever that function does.

    Parameters
    ----------
    task : str
        The name of the function, as the notebook binds it.
    function : object
        What the notebook binds to it.
    judge : callable
        Calls the `Answer` it is given; returns the sentence for a right answer, or
        raises `Hint`.
    seconds : float
        The time limit for all of it.

    Notes
    -----
    An answer that does not stop when told to is left behind on its thread, a daemon. One
    endless call into C that never releases the interpreter can only be ended from
    another process: see `deepinside.classroom.grading`.
    """
    if function is None or function is Ellipsis:
        return Result(task, "not done yet", "")
    if not callable(function):
        got = type(function).__name__
        return Result(task, "hint", f"Expected a function named `{task}`, got {got}.")
    answer = Answer(function)
    worker = _Worker(lambda: _verdict(task, answer, judge))
    with _process_restored():
        try:
            worker.start()
            worker.finished.wait(seconds)
            where = "" if worker.outcome else answer.line_in(worker.frame())
        finally:
            answer.over = True
            worker.stop()
    return worker.outcome or Result(
        task,
        "hint",
        f"It was stopped after {seconds:g} seconds{where}. "
        "Does a loop never end, or is there far more work than the task asks for?",
    )


def compare(
    value: object,
    right: Tensor,
    mistakes: Mapping[str, Tensor | Sequence[Tensor]],
    *,
    what: str,
    tolerance: float = 1e-5,
) -> None:
    """Return nothing if a result is right, and raise the hint that fits it otherwise.

    Parameters
    ----------
    value : object
        What the answer returned: a tensor, an array, a number or a list of them.
    right : Tensor
        What it should be.
    mistakes : mapping
        Each hint to what one gets by that mistake: one tensor or several.
    what : str
        What is compared, as in "the saliency map".
    tolerance : float
        The largest difference that counts as none, in parts of the largest right value.

    Raises
    ------
    Hint
        That of the first mistake whose result this is; if there is none, one that tells
        expected and returned shape or value.
    """
    right = tensor_of(right, what)
    got = _tensor_like(value, right, what)
    if _agree(got, right, tolerance):
        return
    for hint, results in mistakes.items():
        for one in [results] if isinstance(results, Tensor) else results:
            if _agree(got, tensor_of(one, what), tolerance):
                raise Hint(hint)
    if got.shape != right.shape:
        raise Hint(f"Expected {what} of shape {_shape(right)}, got {_shape(got)}.")
    if not got.isfinite().all():
        raise Hint(f"Expected {what} to be finite; {_count_bad(got)} of its values are not.")
    raise Hint(_first_difference(got, right, what))


def compare_cases(
    answer: Callable,
    cases: Sequence[tuple],
    right: Callable,
    mistakes: Mapping[str, Callable | Sequence[Callable]],
    *,
    what: str,
    tolerance: float = 1e-5,
) -> None:
    """Return nothing if an answer is right for all arguments; else raise the hint that fits.

    As `compare`, but over several calls: a mistake is named where it explains all that was
    returned, so one that shows only at a special case is told from the others.

    Parameters
    ----------
    answer : callable
        An `Answer`, or a function that calls one and reads what it returns.
    cases : sequence of tuple
        The arguments of each call.
    right : callable
        From the same arguments to what it should be.
    mistakes : mapping
        Each hint to a function that makes the mistake, or several.
    """
    got, expected = [], []
    for case in cases:
        try:
            value = answer(*case)
        except Hint:
            # what went wrong before it failed says more than the failure
            if _all_agree(got, expected, tolerance):
                raise
            break
        expected.append(tensor_of(right(*case), what))
        got.append(_tensor_like(value, expected[-1], what))
    if _all_agree(got, expected, tolerance):
        return
    for hint, functions in mistakes.items():
        for function in [functions] if callable(functions) else functions:
            made = [tensor_of(function(*case), what) for case in cases[: len(got)]]
            if _all_agree(got, made, tolerance):
                raise Hint(hint)
    for one, other in zip(got, expected, strict=True):
        compare(one, other, {}, what=what, tolerance=tolerance)


def tensor_of(value: object, what: str) -> Tensor:
    """Return a result as a float64 tensor on the CPU, without its graph.

    Raises
    ------
    Hint
        If it cannot be read as one.
    """
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        return tensor.detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Hint(f"Expected {what} as a tensor, got {type(value).__name__}.") from None


class _TimeIsUp(BaseException):
    """Raised within an answer from outside, when its time is over."""


class _NotDone(Exception):  # noqa: N818 - no error either
    """The answer is still to be written."""


class _Worker(threading.Thread):
    """Computes one result on a thread that can be told to stop."""

    def __init__(self, compute: Callable[[], Result]) -> None:
        super().__init__(daemon=True)
        self._compute: Callable[[], Result] | None = compute
        # join would do, but on Python 3.11 an interrupted join takes the thread for ended
        self._lock, self.finished = threading.Lock(), threading.Event()
        self.outcome: Result | None = None

    def run(self) -> None:
        while True:
            try:
                if self._compute is not None:
                    compute, self._compute = self._compute, None
                    _settle()
                    self.outcome = compute()
                with self._lock:
                    self.finished.set()
                return
            except _TimeIsUp:  # may come late: it is caught until no more can come
                continue

    def frame(self) -> FrameType | None:
        """Return what the thread executes at the moment."""
        return sys._current_frames().get(self.ident)

    def stop(self) -> None:
        """Raise within the thread until it ends, and leave it behind if it does not."""
        end = time.monotonic() + _GRACE
        while self.ident and not self.finished.wait(0.01) and time.monotonic() < end:
            with self._lock:
                if not self.finished.is_set():
                    _raise_in(self.ident, _TimeIsUp)
        if self.finished.is_set():
            self.join()


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def _verdict(task: str, answer: Answer, judge: Callable[[Answer], str]) -> Result:
    try:
        return Result(task, "passed", judge(answer))
    except Hint as hint:
        return Result(task, "hint", str(hint))
    except _NotDone as note:
        # the students' notebooks raise it with these words, which need no repetition
        return Result(task, "not done yet", "" if str(note) == "not done yet" else str(note))
    except Exception as error:  # what was returned is no usual thing, so reading it failed
        reason = f"{type(error).__name__}: {_reason(error)}"
        return Result(task, "hint", f"What it returns cannot be read as the result ({reason}).")


def _settle() -> None:
    """Give the thread and the process the settings that every answer finds."""
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.autograd.set_detect_anomaly(False)
    torch.use_deterministic_algorithms(False)
    torch.default_generator.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - of the global generator, which an answer may use
    np.seterr(all="ignore")


@contextmanager
def _process_restored() -> Iterator[None]:
    """Put back what holds for all threads: default type, generators, modes and warnings."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    anomaly, checked = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # its first call imports a thousand modules, which is not to count as the answer's time
    torch.use_deterministic_algorithms(strict, warn_only=warn_only)
    drawn, numpy_drawn = random.getstate(), np.random.get_state()  # noqa: NPY002
    recursion = sys.getrecursionlimit()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with warnings.catch_warnings(), torch.random.fork_rng(devices):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)
            torch.autograd.set_detect_anomaly(anomaly, checked)
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            random.setstate(drawn)
            np.random.set_state(numpy_drawn)  # noqa: NPY002
            sys.setrecursionlimit(recursion)


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
    if isinstance(before, nn.Module):
        pairs = zip(before.parameters(), after.parameters(), strict=False)
        return any(_changed(one, other) for one, other in pairs)
    if isinstance(before, np.ndarray):
        return not np.array_equal(before, after)
    return isinstance(before, Tensor) and not torch.equal(before, after)


def _agree(got: Tensor, expected: Tensor, tolerance: float) -> bool:
    if got.shape != expected.shape:
        return False
    scale = expected.abs().max().item() if expected.numel() else 0.0
    return torch.allclose(got, expected, rtol=0, atol=tolerance * scale + 1e-12, equal_nan=True)


def _all_agree(got: list[Tensor], expected: list[Tensor], tolerance: float) -> bool:
    pairs = zip(got, expected, strict=True)
    return all(_agree(one, other, tolerance) for one, other in pairs)


def _tensor_like(value: object, right: Tensor, what: str) -> Tensor:
    """Return a result as a tensor; where a number is expected, a tensor of one is one."""
    got = tensor_of(value, what)
    return got.reshape(()) if right.ndim == 0 and got.numel() == 1 else got


def _first_difference(got: Tensor, right: Tensor, what: str) -> str:
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


def _count_bad(tensor: Tensor) -> int:
    return int((~tensor.isfinite()).sum())


def _reason(error: BaseException) -> str:
    """Return the first line of an error's message."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an error of the student's own, which cannot say what it is
        lines = []
    return _short(lines[0]) if lines else ""


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
