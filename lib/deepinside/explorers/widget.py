"""The explorer: one widget that answers from a grid, and beyond it where a kernel runs.

An explorer is a list of controls and a function from their values to an answer: pictures, numbers,
perhaps a curve. The answers to all combinations are computed when it is made and travel
with the page, so that a reader without Python moves the controls all the same. With a
kernel the same function is asked for values in between, and for the reader's own photo.

``widget.js`` shows both; it is the only other part. The module works with ipywidgets from
7.7.1 and anywidget from 0.9.
"""

import base64
import io
import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import numpy as np
import traitlets
from PIL import Image
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from deepinside import plots
from deepinside.images import Box, load_photo

_VIEW = "application/vnd.jupyter.widget-view+json"
_PARTS = Path(__file__).parent
# a grid holds dozens of grainy pictures, which cannot be compressed well: they are kept at this
# side, in pixels; an answer of a kernel has them whole
_GRID_SIDE = 160
_SMALL = 64 * 64
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
        The value at first; the first one, unless given.
    log : bool
        Between two values of a slider the logarithm is even.
    needs : tuple of str, optional
        (name, value) of another control, without which this one has no part.
    free : str
        With a kernel, the label of a field in which anything else may be typed.
    """

    name: str
    label: str
    values: tuple
    kind: str = "slider"
    start: Any = None
    log: bool = False
    needs: tuple[str, str] | None = None
    free: str = ""


class Panel(NamedTuple):
    """One picture of an answer.

    Attributes
    ----------
    title, alt : str
        What it is, and what one sees in it.
    image : Tensor
        (3, H, W) or (1, H, W) in [0, 1].
    mask : Tensor, optional
        (H, W), bool; what is not in it is shown darkened.
    boxes : dict
        Label to half-open box (x0, y0, x1, y1) in pixels of the image.
    scale : tuple of str, optional
        A color map of `plots.COLORS` and what its two ends mean.
    grainy : bool
        The picture is one of many of its kind and may be made smaller on a page.
    """

    title: str
    alt: str
    image: Tensor
    mask: Tensor | None = None
    boxes: Mapping[str, Box] = {}
    scale: tuple[str, str, str] | None = None
    grainy: bool = False


class Curve(NamedTuple):
    """One curve of an answer, over steps 0 to the last."""

    title: str
    steps: int
    values: Sequence[float]


class Answer(NamedTuple):
    """What an explorer shows for one state of its controls."""

    panels: Sequence[Panel]
    numbers: Mapping[str, str]
    curve: Curve | None = None


class Superseded(Exception):  # noqa: N818 it is no error of anybody's
    """Raised within a computation whose answer nobody waits for any more."""


class Explorer(anywidget.AnyWidget):
    """A widget that shows the answers to all values of its controls.

    Parameters
    ----------
    title : str
        The accessible name of the whole.
    controls : sequence of Control
        In the order in which they stand.
    answers : callable
        From a list of states, each a dict of the controls' values, to as many `Answer`.
        It is called with the whole grid at once when the explorer is made, and with one
        state whenever a reader with a kernel asks for more. A photo of the reader's is a
        tensor (3, H, W) in place of a name.

    Raises
    ------
    ValueError
        If two controls have one name, one has no values or an unknown kind, or `answers`
        does not return one answer a state.
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
    ) -> None:
        _check_controls(controls)
        self._controls = tuple(controls)
        self._answers = answers
        self._newest = _Newest(self._reply)
        states = [self._canonical(one) for one in self._states()]
        distinct = list({self._key(one): one for one in states}.values())
        found = list(answers(distinct))
        if len(found) != len(distinct):
            raise ValueError(f"expected {len(distinct)} answers, one a state, got {len(found)}")
        self._start = found[distinct.index(self._canonical(self._first_state()))]
        packed = _Packed(side=_GRID_SIDE)
        places = {
            self._key(state): packed.answer(one) for state, one in zip(distinct, found, strict=True)
        }
        super().__init__(
            spec={
                "title": title,
                "controls": [_described(one) for one in controls],
                "colors": plots.COLORS,
            },
            grid={"answers": places, **packed.tables()},
        )
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        """Name the controls, and what is shown at first: what can be compared between runs."""
        axes = " × ".join(f"{one.label} ({len(one.values)})" for one in self._controls)
        shown = "; ".join(f"{name} {value}" for name, value in self._start.numbers.items())
        return f"Explorer of {axes}. At first: {shown}"

    def _ipython_display_(self) -> None:
        """Display the widget, with a picture and a text for where no widget can be shown."""
        from IPython.display import display

        bundle = super()._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = {
            _VIEW: data[_VIEW],
            "image/jpeg": plots.jpeg(_still(self._start)),
            "text/plain": repr(self),
        }
        display(data, metadata=metadata, raw=True)

    def _states(self) -> list[State]:
        names = [one.name for one in self._controls]
        return [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*(one.values for one in self._controls))
        ]

    def _first_state(self) -> State:
        return {one.name: one.values[_first(one)] for one in self._controls}

    def _canonical(self, state: State) -> State:
        """Return the state with the first value for each control that has no part in it."""
        return {
            one.name: one.values[0]
            if one.needs and state[one.needs[0]] != one.needs[1]
            else state[one.name]
            for one in self._controls
        }

    def _key(self, state: State) -> str:
        return ",".join(str(one.values.index(state[one.name])) for one in self._controls)

    def _receive(self, _: Any, content: dict, buffers: Sequence[bytes]) -> None:  # noqa: ANN401
        """Take a message of the page: a greeting, or a question."""
        if content.get("kind") == "hello":
            self.send({"kind": "alive"})
        elif content.get("kind") == "ask":
            self._newest.ask(content)

    def _reply(self, question: dict) -> None:
        """Compute and send what was asked for; runs in a thread of its own."""
        try:
            state = self._canonical(self._checked(question))
            (answer,) = self._answers([state])
            packed = _Packed()
            reply = {"kind": "answer", "answer": packed.answer(answer), **packed.tables()}
        except Superseded:
            reply = {"kind": "dropped"}
        except ValueError as error:
            reply = {"kind": "error", "message": str(error)}
        except Exception as error:
            # whatever happens is told where the reader looks, and not in a log
            reply = {"kind": "error", "message": f"{type(error).__name__}: {error}"}
        self.send({**reply, "id": question.get("id")})

    def _checked(self, question: dict) -> State:
        """Return the state of a question, its numbers within the sliders and its photo decoded."""
        asked = question.get("state") or {}
        state = {}
        for one in self._controls:
            value = asked.get(one.name)
            if one.kind == "slider":
                state[one.name] = _number_between(value, one)
            elif one.kind == "photo" and question.get("photo"):
                state[one.name] = _decoded(question["photo"])
            elif value in one.values or (one.free and isinstance(value, str) and value.strip()):
                state[one.name] = value
            else:
                known = ", ".join(map(str, one.values))
                raise ValueError(f"expected {one.label} to be one of {known}, got {value!r}")
        return state


class _Newest:
    """Answers one question at a time, each in a thread, and only the newest.

    A question that comes while another is being answered takes its place: the older one
    is stopped at the next layer of a network that it enters. Questions are not answered
    where messages arrive, as they would wait there one behind the other.
    """

    def __init__(self, reply: Callable[[dict], None]) -> None:
        self._reply = reply
        self._lock = threading.Lock()
        self._waiting: dict | None = None
        self._busy = False

    def ask(self, question: dict) -> None:
        with self._lock:
            self._waiting = question
            if self._busy:
                return
            self._busy = True
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        worker = threading.get_ident()

        def stop_if_superseded(*_: object) -> None:
            # the hook is called for every network of the process, also from other threads
            if threading.get_ident() == worker and self._waiting is not None:
                raise Superseded

        handle = register_module_forward_pre_hook(stop_if_superseded)
        try:
            while True:
                with self._lock:
                    question, self._waiting = self._waiting, None
                    if question is None:
                        self._busy = False
                        return
                self._reply(question)
        finally:
            handle.remove()


class _Packed:
    """Answers for the page: each picture and each text once, and their places elsewhere.

    `pictures` are data URLs, `texts` all that is read. An answer is a list of panels, numbers and
    curve; a panel [title, alt, [height, width], picture, mask or -1, boxes, scale].
    """

    def __init__(self, side: int | None = None) -> None:
        self._side = side
        self._places: dict[str, dict[str, int]] = {"pictures": {}, "texts": {}}

    def tables(self) -> dict[str, list[str]]:
        return {kind: list(places) for kind, places in self._places.items()}

    def answer(self, answer: Answer) -> list:
        """Return an answer with all pictures and texts as places in the tables."""
        panels = [self._panel(one) for one in answer.panels]
        numbers = [[self._text(one) for one in pair] for pair in answer.numbers.items()]
        if not answer.curve:
            return [panels, numbers]
        title, steps, values = answer.curve
        return [panels, numbers, [self._text(title), steps, [_rounded(one) for one in values]]]

    def _panel(self, panel: Panel) -> list:
        pixels = _pixels(panel.image)
        boxes = [[self._text(label), *map(_tenths, box)] for label, box in panel.boxes.items()]
        return [
            self._text(panel.title),
            self._text(panel.alt),
            list(pixels.shape[:2]),
            self._picture(_webp(pixels, self._side if panel.grainy else None)),
            -1 if panel.mask is None else self._picture(_shade(panel.mask)),
            boxes,
            [self._text(one) for one in panel.scale or ()],
        ]

    def _text(self, text: str) -> int:
        return self._place("texts", text)

    def _picture(self, url: str) -> int:
        return self._place("pictures", url)

    def _place(self, kind: str, what: str) -> int:
        places = self._places[kind]
        return places.setdefault(what, len(places))


def _still(answer: Answer) -> plots.Figure:
    """Return an answer as a figure: what a print, a PDF and GitHub show."""
    images = [
        one.image if one.mask is None else one.image * (0.31 + 0.69 * one.mask.float())
        for one in answer.panels
    ]
    return plots.pictures_and_curve(
        images,
        [one.title for one in answer.panels],
        boxes=[list(one.boxes.values()) for one in answer.panels],
        curve=answer.curve,
        note="    ".join(f"{name}: {value}" for name, value in answer.numbers.items()),
    )


def _pixels(image: Tensor) -> np.ndarray:
    """Return an image (H, W, 3), uint8."""
    values = image.detach().cpu().float().clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)
    return (values * 255).round().byte().numpy()


def _webp(pixels: np.ndarray, side: int | None) -> str:
    picture = Image.fromarray(pixels)
    if picture.width * picture.height <= _SMALL:
        return _data_url(picture, "webp", quality=80, method=6)
    if side and max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _data_url(picture, "webp", quality=60 if side else 75, method=6)


def _shade(mask: Tensor) -> str:
    """Return a picture that is clear in the mask and dark elsewhere: one bit a pixel."""
    picture = Image.fromarray(mask.cpu().numpy().astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 0, 0, 0])
    return _data_url(picture, "png", transparency=bytes([175, 0]), bits=1, optimize=True)


def _data_url(picture: Image.Image, kind: str, **options: Any) -> str:  # noqa: ANN401
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _rounded(value: float) -> float | None:
    """Return three digits of a number; JSON knows none that is not finite."""
    return float(f"{value:.3g}") if math.isfinite(value) else None


def _tenths(value: float) -> float:
    return round(float(value), 1)


def _first(control: Control) -> int:
    return 0 if control.start is None else control.values.index(control.start)


def _described(control: Control) -> dict:
    return {
        "name": control.name,
        "label": control.label,
        "kind": control.kind,
        "values": list(control.values),
        "start": _first(control),
        "log": control.log,
        "needs": list(control.needs or ()),
        "free": control.free,
    }


def _check_controls(controls: Sequence[Control]) -> None:
    names = [one.name for one in controls]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"expected controls of different names, got {names}")
    for one in controls:
        if one.kind not in ("slider", "list", "photo"):
            raise ValueError(f'expected a kind of "slider", "list" or "photo", got {one.kind!r}')
        if not one.values or (one.start is not None and one.start not in one.values):
            raise ValueError(
                f"expected values for {one.name}, the start among them; "
                f"got {one.values} and {one.start!r}"
            )


def _number_between(value: object, control: Control) -> float:
    low, high = min(control.values), max(control.values)
    # a value of the grid may come back with the last bit changed
    if not isinstance(value, int | float) or not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
        raise ValueError(f"expected {control.label} from {low:g} to {high:g}, got {value!r}")
    return next((one for one in control.values if math.isclose(one, value)), float(value))


def _decoded(photo: str) -> Tensor:
    """Return the reader's photo, which comes as a data URL."""
    _, _, encoded = photo.partition(",")
    if len(encoded) > _MAX_UPLOAD:
        raise ValueError(
            f"expected a photo of at most {_MAX_UPLOAD:,} letters, got {len(encoded):,}"
        )
    return load_photo(base64.b64decode(encoded))
