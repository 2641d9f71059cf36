"""Run a student's function on copies, in the notebook's settings, and watch what it does."""

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from inspect import signature, unwrap
from types import FrameType

import numpy as np
import torch
from torch import Tensor, nn

from deepinside.classroom import reading
from deepinside.classroom.results import Hint, NotDone
from deepinside.classroom.returned import agree, numbers, tensor_like
from deepinside.classroom.settings import usual_settings

_FORWARD = nn.Module._call_impl.__code__


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
        if not agree(tensor_like(self.again(), right, "the second result"), right):
            raise Hint(
                "Called again with the same image, it returns something else: gradients were left "
                "from the earlier call. `.backward()` *adds* to `.grad`; start from "
                "`image.detach().clone()`, or use `torch.autograd.grad`."
            )

    def case(self) -> str:
        """Return the arguments of the last call in words."""
        described = (_described(self._parameter(i), given) for i, given in enumerate(self.given))
        return ", ".join(filter(None, described)) or "what it was called with"

    def _chosen(self) -> str:
        """Return the arguments of the last call that may decide on a branch, in words."""
        plain = [
            _described(self._parameter(i), given)
            for i, given in enumerate(self.given)
            if isinstance(given, str | int | float)
        ]
        return ", ".join(plain)

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
        raised = f"It raised {type(failure).__name__}{line}: {said or 'without a message'}"
        more = (f" {why}." if why else "") + self.unused()
        stop = "." if more and not raised.endswith((".", "!", "?")) else ""
        return Hint(raised + stop + more)

    def _explain_nothing(self) -> None:
        why = (
            reading.nothing_returned(*self._ended, self._chosen())
            if self._ended
            else "It returns None."
        )
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
judging: ContextVar[Answer | None] = ContextVar("judging", default=None)


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
    if isinstance(value, str):
        return f"{name} = {value!r}"
    if isinstance(value, int | float | Tensor):
        return f"{name} = {numbers(value)}"
    is_short = isinstance(value, list | tuple) and len(repr(value)) < 50
    return f"{name} = {value!r}" if is_short else ""
