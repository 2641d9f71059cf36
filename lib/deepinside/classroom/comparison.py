"""Compare what an answer returned with what is right, and with what the usual mistakes give."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from deepinside.classroom.results import Hint
from deepinside.classroom.returned import (
    TOLERANCE,
    agree,
    apart,
    beside,
    complaint,
    farthest,
    largest,
    numbers,
    tensor_like,
    tensor_of,
)
from deepinside.classroom.running import judging


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
    tolerance: float = TOLERANCE
    part: str = ""


Comparisons = Iterable[Compared]


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
        return self.got is not None and agree(self.got, self.right, tolerance)

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
        fine = {read.compared.part for read in listed} - bad - {""}
        failure.earned = frozenset() if "" in bad else frozenset(fine)
    if failure:
        raise failure


def _read(compared: Compared) -> _Read:
    answer = judging.get()
    case = answer.case() if answer else ""
    right = tensor_of(compared.right, compared.what)
    if isinstance(compared.value, Hint):  # the answer failed, in a task that has parts
        return _Read(compared, right, failure=compared.value, case=case)
    words = complaint(compared.value, compared.right, compared.what)
    try:
        # a copy, as what was returned may be a gradient that the next call adds to
        got = tensor_like(compared.value, right, compared.what).clone()
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
        answer = judging.get()
        hint = Hint(_difference(off[0], listed) + (answer.unused() if answer else ""))
    hint.where = _where(off[0] if off else wrong[0])
    if off:
        smallest = min(off, key=lambda read: read.right.numel())
        shown = f"With {smallest.case}:" if smallest.case else ""
        hint.small = beside(shown, smallest.compared.right, smallest.compared.value)
    return hint


def _explains(hint: str, read: _Read) -> bool:
    if read.got is None:  # it failed, as a mistake of another case may do here
        return True
    results = read.compared.mistakes.get(hint, read.right)
    several = results if isinstance(results, list) else [results]
    tensors = (tensor_of(result, read.compared.what) for result in several)
    # a mistake that gives zeros gives them as float32 does
    tolerance, least = read.compared.tolerance, 1e-9 + 1e-6 * largest(read.right)
    return any(agree(read.got, tensor, tolerance, least) for tensor in tensors)


def _difference(read: _Read, listed: list[_Read]) -> str:
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
    alike = _alike(listed)
    if right.ndim == 0:
        for several, one in (("have", "has"), ("are", "is")):
            alike = alike.replace(f"they {several}", f"it {one}")
        alike = alike.replace("ones", "one").replace("whole numbers", "a whole number")
        wanted, came = apart(right.item(), got.item(), least=5)
        return f"Expected {wanted} for {what}, got {came}{alike}."
    if alike:
        return f"The shape of {what} is right, its values are not{alike}."
    if isinstance(read.compared.right, list | tuple) and right.ndim == 1:
        return f"The values of {what} are not right: got {numbers(read.compared.value)}."
    return f"The shape of {what} is right, its values are not."


def _alike(listed: list[_Read]) -> str:
    """Return how all results are like the right ones, if they are: a sign or a factor."""
    pairs = [(read.got, read.right) for read in listed if read.got is not None]
    if any(got.shape != right.shape or not right.isfinite().all() for got, right in pairs):
        return ""
    if all(agree(got, right) for got, right in pairs):  # but for a task's lower tolerance
        return ""
    if all(agree(-got, right) for got, right in pairs):
        return ": they have the other sign"
    if all(agree(got, right.abs()) for got, right in pairs):
        return ": the sign of the negative ones is lost"
    if all(torch.equal(got, right.trunc()) for got, right in pairs):
        return ": they are cut to whole numbers"
    values, rights = (
        torch.cat([part.flatten() for part in parts]) for parts in zip(*pairs, strict=True)
    )
    if rights.count_nonzero() < 2 or not agree(values / values.norm(), rights / rights.norm()):
        return ""
    factor, _ = apart((values.norm() / rights.norm()).item(), 1.0)
    return f": they are {factor} times the right ones"


def _where(read: _Read) -> str:
    """Return in which case a result is wrong, and what is right there."""
    got, right = read.got, read.right
    case = f"With {read.case}: " if read.case else ""
    if read.agrees:
        return "The values are right, only their kind is not."
    if got is None or got.shape != right.shape:
        return f"{case}expected shape {_shape(right)}."
    if right.ndim == 0:
        wanted, came = apart(right.item(), got.item(), least=5)
        return f"{case}right is {wanted}, yours {came}."
    place = farthest(got, right)
    where = ", ".join(map(str, place))
    wanted, came = apart(right[place].item(), got[place].item(), least=5)
    return f"{case}at [{where}], where they differ most, right is {wanted}, yours {came}."


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape)) if tensor.ndim else "() (a single number)"
