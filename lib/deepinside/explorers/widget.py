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
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import traitlets
from torch import Tensor

from deepinside import images, plots
from deepinside.explorers.packing import STILL, Answer, Packing, still

_VIEW = "application/vnd.jupyter.widget-view+json"
_PARTS = Path(__file__).parent
# a grid holds dozens of grainy pictures, which cannot be compressed well: they are kept at this
# side, in pixels; an answer of a kernel has them whole
_GRID_SIDE = 160
# a photo that the page sends is no larger than this: some 1,000 x 1,000 pixels as JPEG
_MAX_UPLOAD = 8_000_000

State = dict[str, Any]


class Control(NamedTuple):
    """One labeled control of an explorer.

    Attributes
    ----------
    name, label : str
        The key in a state, and what the reader sees.
    values : tuple
        The values of the grid, in order: numbers for a slider, texts for a list.
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
        If two controls have the same name, one has no values or an unknown kind, or `answers`
        does not return one answer per state.
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
        _check_controls(controls)
        self._controls = tuple(controls)
        self._answers = answers
        states = {self._key(state): state for state in self._states()}
        found = list(answers(list(states.values())))
        if len(found) != len(states):
            raise ValueError(f"expected {len(states)} answers, one per state, got {len(found)}")
        by_key = dict(zip(states, found, strict=True))
        first = {control.name: control.values[control.first] for control in controls}
        self._start = by_key[self._key(self._canonical(first))]
        packing = Packing(side=_GRID_SIDE)
        places = {key: packing.answer(answer) for key, answer in by_key.items()}
        super().__init__(
            spec={
                "title": title,
                "controls": [_described(control) for control in controls],
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

    def _receive(self, _: Any, content: dict, buffers: Sequence[bytes]) -> None:  # noqa: ANN401
        """Answer a message of the page: a greeting, or a question, of which one comes at a time."""
        if content.get("kind") == "hello":
            self.send({"kind": "alive"})
        elif content.get("kind") == "ask":
            self.send({**self._reply(content), "id": content.get("id")})

    def _reply(self, question: dict) -> dict:
        """Return the answer to a question, or what is wrong: the page waits for one of them."""
        try:
            (answer,) = self._answers([self._canonical(self._asked(question))])
            packing = Packing()
            return {"kind": "answer", "answer": packing.answer(answer), **packing.tables()}
        except ValueError as error:
            return {"kind": "error", "message": str(error)}
        except KeyboardInterrupt:
            return {"kind": "error", "message": "the computation was interrupted"}
        except Exception as error:
            # whatever happens is told where the reader looks, and not in a log
            return {"kind": "error", "message": f"{type(error).__name__}: {error}"}

    def _asked(self, question: dict) -> State:
        """Return the state of a question, its numbers within the sliders and its photo decoded."""
        asked = question.get("state") or {}
        state: State = {}
        for control in self._controls:
            value = asked.get(control.name)
            typed = control.free and isinstance(value, str) and value.strip()
            if control.kind == "slider":
                value = _number_between(value, control)
            elif control.kind == "photo" and question.get("photo"):
                value = _decoded(question["photo"])
            elif value not in control.values and not typed:
                known = ", ".join(map(str, control.values))
                raise ValueError(f"expected {control.label} to be one of {known}, got {value!r}")
            state[control.name] = value
        return state


def photo_of(value: str | Tensor) -> Tensor:
    """Return the photo of a state: one of the book's, given by its name, or the reader's own."""
    return images.load_photo(value) if isinstance(value, str) else value


def photo_title(value: str | Tensor) -> str:
    """Return what a state's photo is called in a text."""
    return images.photo_credit(value).title if isinstance(value, str) else "your photo"


def _described(control: Control) -> dict:
    return control._asdict() | {"start": control.first, "needs": list(control.needs or ())}


def _check_controls(controls: Sequence[Control]) -> None:
    names = [control.name for control in controls]
    # views lay a map over its photo by a slider of their own, "over"
    if len({*names, "over"}) <= len(names) or not names:
        raise ValueError(f'expected controls of different names, none of them "over", got {names}')
    for name, _, values, kind, start, *_ in controls:
        if kind not in ("slider", "list", "photo"):
            raise ValueError(f'expected a kind of "slider", "list" or "photo", got {kind!r}')
        if not values or (start is not None and start not in values):
            raise ValueError(
                f"expected values for {name}, the start among them; got {values} and {start!r}"
            )


def _number_between(value: object, control: Control) -> float:
    low, high = min(control.values), max(control.values)
    # a value of the grid may come back with the last bit changed
    if not isinstance(value, int | float) or not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
        raise ValueError(f"expected {control.label} from {low:g} to {high:g}, got {value!r}")
    return next((known for known in control.values if math.isclose(known, value)), float(value))


# the same photo comes with each question, and explorers keep what they found of the same tensor
@lru_cache(maxsize=1)
def _decoded(photo: str) -> Tensor:
    """Return the reader's photo, which comes as a data URL."""
    _, _, encoded = photo.partition(",")
    if len(encoded) > _MAX_UPLOAD:
        raise ValueError(
            f"expected a photo of at most {_MAX_UPLOAD:,} characters, got {len(encoded):,}"
        )
    return images.load_photo(base64.b64decode(encoded))
