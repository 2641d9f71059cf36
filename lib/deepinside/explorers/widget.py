"""The explorer: a widget that answers from a grid, and beyond the grid where a kernel runs.

An explorer is a list of controls and a function from their values to an answer: pictures, numbers,
perhaps a curve. The answers to all combinations are computed when it is made and travel
with the page, so that a reader without Python can move the controls, too. With a kernel, the
same function is asked for values in between, and for the reader's own photo.

``widget.js`` shows both, and asks one question at a time: otherwise a slider being dragged
would fill the kernel's queue. The module works with ipywidgets from 7.7.1 and anywidget
from 0.9.
"""

import base64
import itertools
import logging
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import traitlets
from torch import Tensor

from deepinside import images, plots
from deepinside.arguments import number, shown
from deepinside.class_score import class_index
from deepinside.explorers.packing import STILL, Answer, Packing, still
from deepinside.networks import Network

_VIEW = "application/vnd.jupyter.widget-view+json"
_PARTS = Path(__file__).parent
# a grid holds dozens of grainy pictures, which cannot be compressed well: they are kept at this
# side, in pixels; an answer of a kernel has them whole
_GRID_SIDE = 160
# a photo that the page sends is no larger than this: some 1,000 x 1,000 pixels as JPEG
_MAX_UPLOAD = 8_000_000
# the book's largest grid has 360 answers, and its page 4 MB; all combinations of a grid are
# looked through, also those that are shown alike
_MOST_ANSWERS, _MOST_COMBINATIONS = 2_000, 100_000

State = dict[str, Any]


class Control(NamedTuple):
    """One labeled control of an explorer.

    Attributes
    ----------
    name, label : str
        The key in a state, and what the reader sees.
    values : tuple
        The values of the grid, in order and each once: numbers for a slider, texts for a list.
    kind : str
        "slider", "list", or "photo": a list, and with a kernel the reader's own file.
    start : value, optional
        The initial value (default: the first one).
    log : bool
        Make a slider logarithmic between two of its values.
    needs : tuple of str, optional
        (name, value) of another control: without that value, this one is switched off.
    free : str
        The label of a field in which, with a kernel, any other value may be typed.
    """

    name: str
    label: str
    values: tuple
    kind: str = "slider"
    start: Any = None
    log: bool = False
    needs: tuple[str, str] | None = None
    free: str = ""

    @property
    def first(self) -> int:
        """The index of the initial value."""
        return 0 if self.start is None else self.values.index(self.start)


class Explorer(anywidget.AnyWidget):
    """A widget that shows the answers to all values of its controls.

    Parameters
    ----------
    title : str
        The accessible name of the explorer.
    controls : sequence of Control
        The controls, in the order in which a state lists them.
    answers : callable
        A function that takes a list of states, each a dict of the controls' values, and returns
        an `Answer` for each. It is called with the whole grid when the explorer is made, and
        with one state whenever a reader with a kernel asks for more. The reader's own photo is
        a tensor (3, H, W) in place of a name.
    page : dict, optional
        Who answers on a page of the book, where no Python runs: the `name` of a module of
        web/explorers, and what that needs besides the state.
    door : dict, optional
        Which state of the page *Playground* a link there leads to. A value such as "{photo}" is
        what the control of this name is set to, or what the number of this name is.

    Raises
    ------
    ValueError
        If controls do not fit together or one is not as `Control` says, a grid is too large, or
        `answers` does not return one answer per state, as `Answer` says.
    """

    spec = traitlets.Dict().tag(sync=True)
    grid = traitlets.Dict().tag(sync=True)

    _esm = (_PARTS / "widget.js").read_text("utf-8")
    _css = (_PARTS / "widget.css").read_text("utf-8")

    def __init__(
        self,
        title: str,
        controls: Sequence[Control],
        answers: Callable[[list[State]], Sequence[Answer]],
        page: dict[str, Any] | None = None,
        door: dict[str, str] | None = None,
    ) -> None:
        if not isinstance(title, str) or not callable(answers):
            raise ValueError(
                "expected a title, and a function from states to answers; got "
                f"{shown(title)} and {shown(answers)}"
            )
        self._controls = _checked_controls(controls)
        self._answers = answers
        states = {self._key(state): state for state in self._states()}
        if len(states) > _MOST_ANSWERS:
            raise ValueError(
                f"expected controls with at most {_MOST_ANSWERS:,} states, got {len(states):,}"
            )
        found = answers(list(states.values()))
        if not isinstance(found, Sequence) or len(found) != len(states):
            got = len(found) if isinstance(found, Sequence) else shown(found)
            raise ValueError(f"expected {len(states)} answers, one per state, got {got}")
        by_key = dict(zip(states, found, strict=True))
        first = {control.name: control.values[control.first] for control in controls}
        self._start = by_key[self._key(self._canonical(first))]
        packing = Packing(side=_GRID_SIDE)
        places = {key: packing.answer(answer) for key, answer in by_key.items()}
        super().__init__(
            spec={
                "title": title,
                "controls": [_described(control) for control in self._controls],
                "colors": plots.COLORS,
                **({"page": page} if page else {}),
                **({"door": door} if door else {}),
            },
            grid={"answers": places, **packing.tables()},
        )
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        """Name the controls, and what is shown at first: what can be compared between runs."""
        axes = " × ".join(f"{control.label} ({len(control.values)})" for control in self._controls)
        shown = "; ".join(f"{name} {value}" for name, value in self._start.numbers.items())
        return f"Explorer of {axes}. At first: {shown}"

    def _ipython_display_(self) -> None:
        """Display the widget, and below it a picture for where no widget can be shown.

        These are two outputs: of one, JupyterLab would show the widget alone, which is gone when
        a notebook is opened again. While there is a widget it hides the picture.
        """
        from IPython.display import display

        # anywidget returns the data alone, or with its metadata
        bundle = super()._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        widget = {_VIEW: data[_VIEW], "text/plain": repr(self)}
        display(widget, metadata=metadata, raw=True)
        picture = {"image/jpeg": plots.jpeg(still(self._start)), "text/plain": STILL}
        display(picture, raw=True)

    def _states(self) -> list[State]:
        """Return every state of the grid, those that are shown alike as one and the same."""
        names = [control.name for control in self._controls]
        return [
            self._canonical(dict(zip(names, values, strict=True)))
            for values in itertools.product(*(control.values for control in self._controls))
        ]

    def _canonical(self, state: State) -> State:
        """Return the state with the first value for each control that has no part in it."""
        return {
            control.name: control.values[0]
            if control.needs and state[control.needs[0]] != control.needs[1]
            else state[control.name]
            for control in self._controls
        }

    def _key(self, state: State) -> str:
        places = (control.values.index(state[control.name]) for control in self._controls)
        return ",".join(map(str, places))

    def _receive(self, _: Any, content: Any, buffers: Sequence[bytes]) -> None:  # noqa: ANN401
        """Answer a message of the page: a greeting, or a question, of which one comes at a time."""
        if not isinstance(content, dict):
            self._tell({"kind": "error", "message": f"expected a message, got {shown(content)}"})
        elif content.get("kind") == "hello":
            self._tell({"kind": "alive"})
        elif content.get("kind") == "ask":
            asked = {"id": content.get("id")}
            try:
                self.send({**self._reply(content), **asked})
            except Exception as error:
                # an answer that cannot be sent: what is wrong with it may get through
                message = f"the answer could not be sent: {type(error).__name__}: {error}"
                self._tell({"kind": "error", "message": message, **asked})

    def _tell(self, message: dict) -> None:
        """Send a few words; where even these do not arrive the page is told by its own clock."""
        try:
            self.send(message)
        except Exception as error:
            logging.getLogger(__name__).warning("nothing can be sent to the page: %s", error)

    def _reply(self, question: dict) -> dict:
        """Return the answer to a question, or what is wrong: the page waits for one of them."""
        try:
            found = self._answers([self._canonical(self._asked(question))])
            if not isinstance(found, Sequence) or len(found) != 1:
                raise ValueError(f"expected one answer for one state, got {shown(found)}")
            packing = Packing()
            return {"kind": "answer", "answer": packing.answer(found[0]), **packing.tables()}
        except ValueError as error:
            return {"kind": "error", "message": str(error) or "ValueError"}
        except KeyboardInterrupt:
            return {"kind": "error", "message": "the computation was interrupted"}
        except Exception as error:
            # whatever happens is told where the reader looks, and not in a log
            return {"kind": "error", "message": f"{type(error).__name__}: {error}"}

    def _asked(self, question: dict) -> State:
        """Return the state of a question, its numbers within the sliders and its photo decoded."""
        asked, photo = question.get("state") or {}, question.get("photo")
        if not isinstance(asked, dict):
            raise ValueError(f"expected a state of values by control, got {shown(asked)}")
        state: State = {}
        for control in self._controls:
            value = asked.get(control.name)
            typed = value.strip() if control.free and isinstance(value, str) else ""
            if control.kind == "slider":
                value = _number_between(value, control)
            elif control.kind == "photo" and photo is not None:
                value = _decoded(photo)
            elif value not in control.values:
                if not typed:
                    known = ", ".join(control.values)
                    raise ValueError(
                        f"expected {control.label} to be one of {known}, got {shown(value)}"
                    )
                value = typed
            state[control.name] = value
        return state


def photo_of(value: str | Tensor) -> Tensor:
    """Return the photo of a state: one of the book's, given by its name, or the reader's own."""
    return images.load_photo(value) if isinstance(value, str) else value


def photo_title(value: str | Tensor) -> str:
    """Return what a state's photo is called in a text."""
    return images.photo_credit(value).title if isinstance(value, str) else "your photo"


def class_asked_for(network: Network, asked: str) -> int:
    """Return the index of a class by what was chosen or typed: its name, or else its index.

    A name that is written like that of one class is that one's, also where another one's differs
    in case alone (cardigan, Cardigan); of two that are the same only the index tells which.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_index`.
    """
    names = network.class_names
    if names.count(asked) == 1:
        return names.index(asked)
    is_index = re.fullmatch("[0-9]{1,9}", asked)
    return class_index(int(asked) if is_index else asked, names)


def _described(control: Control) -> dict:
    return control._asdict() | {"start": control.first, "needs": list(control.needs or ())}


def _checked_controls(controls: Sequence[Control]) -> tuple[Control, ...]:
    """Return the controls with Python's own numbers, which is what a page can be sent."""
    if not isinstance(controls, Sequence) or not all(isinstance(c, Control) for c in controls):
        raise ValueError(f"expected a list of controls, got {shown(controls)}")
    names = [control.name for control in controls]
    # a name stands in the page's selectors
    if not all(isinstance(name, str) and re.fullmatch(r"[\w-]+", name) for name in names):
        raise ValueError(f"expected names of letters and digits for the controls, got {names}")
    # views lay a map over its photo by a slider of their own, "over"
    if len({*names, "over"}) <= len(names) or not names:
        raise ValueError(f'expected controls of different names, none of them "over", got {names}')
    checked = tuple(_checked_control(control) for control in controls)
    if sum(control.kind == "photo" for control in checked) > 1:
        raise ValueError(f"expected one control for a photo at most, got several of {names}")
    values = {control.name: control.values for control in checked if control.kind != "slider"}
    for name, needs in ((control.name, control.needs) for control in checked if control.needs):
        known = isinstance(needs, Sequence) and len(needs) == 2 and needs[0] != name
        if not known or needs[1] not in values.get(needs[0], ()):
            raise ValueError(
                f"expected {name} to need (name, value) of another control, a list; got "
                f"{shown(needs)}"
            )
    combinations = math.prod(len(control.values) for control in checked)
    if combinations > _MOST_COMBINATIONS:
        raise ValueError(
            f"expected controls with at most {_MOST_COMBINATIONS:,} combinations of values, got "
            f"{combinations:,}"
        )
    return checked


def _checked_control(control: Control) -> Control:
    name, label, values, kind, start, log, _, free = control
    if not isinstance(label, str) or not isinstance(free, str):
        raise ValueError(f"expected labels for {name}, got {shown(label)} and {shown(free)}")
    if kind not in ("slider", "list", "photo"):
        raise ValueError(f'expected a kind of "slider", "list" or "photo", got {kind!r}')
    if free and kind != "list":
        raise ValueError(f"expected a free field with a list, got one with the {kind} {name}")
    what = f"values for {name}"
    values = getattr(values, "tolist", lambda: values)()
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"expected {what}, got {shown(values)}")
    if kind == "slider":
        values = tuple(_plain_number(value, name, log=log) for value in values)
        if start is not None:
            start = _plain_number(start, name, log=log)
    elif not all(isinstance(value, str) for value in values):
        raise ValueError(f"expected {what} that are texts, got {shown(values)}")
    if len(set(values)) < len(values) or (start is not None and start not in values):
        raise ValueError(
            f"expected {what}, each once and the start among them; got {shown(values)} and "
            f"{shown(start)}"
        )
    return control._replace(values=tuple(values), start=start)


def _plain_number(value: object, name: str, *, log: bool) -> float:
    """Return a number of Python's own, a whole one as int, as pages show it."""
    with suppress(ValueError):
        checked = number(value, "a number", -math.inf)
        if checked > 0 or not log:
            return checked if isinstance(value, float) or checked % 1 else int(checked)
    span = " above 0, for its logarithm" if log else ""
    raise ValueError(f"expected values for {name} that are numbers{span}, got {shown(value)}")


def _number_between(value: object, control: Control) -> float:
    low, high = min(control.values), max(control.values)
    # a value of the grid may come back with the last bit changed
    slack = 1e-9 * max(abs(low), abs(high))
    if isinstance(value, int | float) and not isinstance(value, bool):
        near = (known for known in control.values if math.isclose(known, value))
        if low - slack <= value <= high + slack:
            return next(near, float(value))
    raise ValueError(f"expected {control.label} from {low:g} to {high:g}, got {shown(value)}")


# the same photo comes with each question, and explorers keep what they found of the same tensor
@lru_cache(maxsize=1)
def _read(photo: str) -> Tensor:
    kind, comma, encoded = photo.partition(",")
    if not comma or not kind.startswith("data:"):
        raise ValueError(f"expected a photo as a data URL, got {shown(photo)}")
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ValueError(f"expected a photo as a data URL in base64, got {error}") from None
    return images.load_photo(content)


def _decoded(photo: object) -> Tensor:
    """Return the reader's photo, which comes as a data URL."""
    if not isinstance(photo, str):
        raise ValueError(f"expected a photo as a data URL, got {shown(photo)}")
    if len(photo) > _MAX_UPLOAD:
        raise ValueError(
            f"expected a photo of at most {_MAX_UPLOAD:,} characters, got {len(photo):,}"
        )
    return _read(photo)
