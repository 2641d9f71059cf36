"""What a check says about an answer, as text and for a notebook."""

import html
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

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
    points : float
        The points earned.
    details : str
        What is added where the same mistake is asked about again: lines of plain text.
    """

    task: str
    state: Literal["passed", "hint", "not done yet"]
    message: str
    points: float = 0
    details: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.state == "passed"

    def __repr__(self) -> str:
        """Return the task, the state and the message as plain text."""
        line = f"{self.task}: {_LABELS[self.state]} {self.message}".strip()
        return f"{line}\n{self.details}" if self.details else line

    def _repr_html_(self) -> str:
        """Return the same for a notebook, with a colored edge."""
        message = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.message))
        details = html.escape(self.details)
        # a student's error may hold dollar signs, which are no formula
        return (
            '<div class="tex2jax_ignore mathjax_ignore" style="border-left: 0.3em solid '
            f'{_COLORS[self.state]}; padding: 0.3em 0.8em; margin: 0.3em 0">'
            f"<strong>{html.escape(self.task)}: {_LABELS[self.state]}</strong> {message}"
            + (f'<pre style="margin: 0.3em 0 0">{details}</pre>' if details else "")
            + "</div>"
        )


class Hint(Exception):  # noqa: N818 - no error of the program, but what a judge has found
    """What is wrong with an answer, in words for the student.

    Attributes
    ----------
    where : str
        In which case it shows, and what is right there: told if the hint alone did not help.
    small : str
        The smallest case in which it shows, with its right values and the answer's.
    earned : frozenset of str
        The parts of the task that are right all the same.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.where = self.small = ""
        self.earned: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        """The hint without its numbers, which change while the mistake stays."""
        return re.sub(r"\d[\d.]*", "", str(self))


class NotDone(Hint):
    """The answer, or a part of it, is still to be written."""


class Example(NamedTuple):
    """A small case of a task, worked through.

    Attributes
    ----------
    given : tuple
        The arguments, of hand size.
    shown : str
        The case in words, and how the right value comes about.
    right : object
        What the answer should return.
    """

    given: tuple
    shown: str
    right: object
