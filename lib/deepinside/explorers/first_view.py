"""The first state of an explorer as HTML: what a page shows before, and without, any script.

The elements are those of ``widget.js``, which takes them over. They have the same sizes, so
that nothing on the page moves when it does.
"""

import re
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import urlencode

# as in widget.js: a slider of its own that lays an answer's map over its photo
_OVER = {
    "name": "over",
    "label": "Map over the photo",
    "kind": "slider",
    "values": range(0, 101, 5),
    "start": 0,
}
# and stops of a slider from one value to the next, where the network is in the page
_BETWEEN = 10


def first_view(spec: dict[str, Any], grid: dict[str, Any]) -> str:
    """Return the first state of an explorer as HTML, which needs ``widget.css`` before it.

    Parameters
    ----------
    spec, grid : dict
        The traits of these names of an `Explorer`.
    """
    controls = spec["controls"]
    places = {control["name"]: control["start"] for control in controls}
    off = {control["name"] for control in controls if not _takes_part(control, controls, places)}
    key = ",".join(str(0 if name in off else place) for name, place in places.items())
    texts, pictures = [escape(text) for text in grid["texts"]], grid["pictures"]
    panels, numbers, *curve = grid["answers"][key]
    prefix = "dx-" + re.sub(r"[^a-z0-9]+", "-", spec["title"].lower())
    has_map = any(_has_map(packed[0]) for packed in grid["answers"].values())
    sliders = [control for control in controls if control["kind"] == "slider"]
    ordered = [
        *(control for control in sliders if not control["needs"]),
        *([_OVER] if has_map else []),
        *(control for control in controls if control["kind"] != "slider"),
        *(control for control in sliders if control["needs"]),
    ]
    settings = "; ".join(
        f"{control['label']}: {_word(control)}"
        for control in controls
        if control["name"] not in off
    )
    still = all(panel[8] == 1 for panel in panels)
    told = {control["name"]: _word(control) for control in controls if control["name"] not in off}
    told |= {grid["texts"][i]: grid["texts"][k] for i, k in numbers}
    parts = [
        _tag(
            "div",
            f'<div class="dx-shown" style="--dx-panels: {len(panels)}">',
            *(_panel(panel, texts, pictures, spec["colors"]) for panel in panels),
            "</div>",
            _tag("p", name="under"),
            _tag("div", *(_number(texts[i], texts[k]) for i, k in numbers), name="numbers"),
            name="view",
        ),
        _tag("div", escape(settings), name="settings"),
        _tag(
            "div",
            *(
                _control(control, prefix, control["name"] in off, "page" in spec)
                for control in ordered
            ),
            name="controls",
        ),
        *(_curve(texts[title], *drawn) for title, *drawn in curve),
        _tag(
            "div",
            _button("play", "Play", hidden=still),
            _button("keep", "Keep to compare"),
            _button("reset", "Reset"),
            _button("link", "Copy link"),
            _door(spec.get("door", {}), told),
            name="tools",
        ),
        _tag("p", name="status"),
        '<div class="dx-heard" role="status"></div>',
    ]
    kind = "dx dx-curved" if curve else "dx"
    return (
        f'<div class="{kind}" role="group" aria-label="{escape(spec["title"])}">{"".join(parts)}'
        "</div>"
    )


def _door(door: dict[str, str], told: dict[str, str]) -> str:
    """Return a link to the playground in this state, which book/_static/explorers.js keeps so."""
    state = {
        name: told.get(value.strip("{}")) if value.startswith("{") else value
        for name, value in door.items()
    }
    if not state:
        return ""
    query = urlencode({name: value for name, value in state.items() if value is not None})
    address = escape(f"playground.html#playground?{query}")
    return f'<a class="dx-door" href="{address}">In the Playground</a>'


def _takes_part(control: dict, controls: Iterable[dict], places: dict[str, int]) -> bool:
    if not control["needs"]:
        return True
    name, value = control["needs"]
    (other,) = (other for other in controls if other["name"] == name)
    return other["values"][places[name]] == value


def _has_map(panels: list) -> bool:
    """Say whether a map and a photo of one shape are among an answer's panels."""
    maps = [panel[7] for panel in panels if panel[6]]
    return any(panel[7] == maps[0] for panel in panels if maps and not panel[6])


def _panel(panel: list, texts: list[str], pictures: list[str], colors: dict[str, list[str]]) -> str:
    title, alt, (height, width), picture, mask, boxes, scale, (tall, wide), frames, *more = panel
    film = f' style="width: {100 * frames}%; left: {-100 * (frames - 1)}%"' if frames > 1 else ""
    small = " dx-small" if width <= 64 else ""
    drawn, below = [], []
    for i, (label, *corners) in enumerate(boxes):
        place = _place(*corners)
        dashed = " dx-dashed" if i else ""
        drawn.append(f'<rect{place} class="dx-edge"/><rect{place} class="dx-box{dashed}"/>')
        below.append(f'<span><i class="{dashed.strip()}"></i>{texts[label]}</span>')
    for bars in more:
        for label, x0, y0, x1, y1 in bars:
            place = _place(x0, y0, x1, y1)
            drawn.append(f'<text x="2" y="{_plain(y0 - 4)}">{texts[label]}</text>')
            drawn.append(f'<rect{place} class="dx-bar"/>')
    if scale:
        name, low, high = (texts[text] for text in scale)
        below.append(
            f'<div class="dx-scale"><span>{low}</span><i aria-hidden="true" '
            f'data-colors="{name}" '
            f'style="background: linear-gradient(to right, {", ".join(colors[name])})"></i>'
            f"<span>{high}</span></div>"
        )
    shade = f'<img class="dx-shade" alt="" src="{pictures[mask]}">' if mask >= 0 else ""
    return (
        f'<figure style="--dx-ratio: {_plain(round(wide / tall, 3))}">'
        f'<div class="dx-stack{small}" style="aspect-ratio: {wide} / {tall}">'
        f'<img alt="{texts[alt]}" src="{pictures[picture]}"{film}>{shade}'
        f'<svg aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 {width} {height}">'
        f"{''.join(drawn)}</svg></div><figcaption>{texts[title]}</figcaption>"
        f'<div class="dx-key">{"".join(below)}</div></figure>'
    )


def _place(x0: float, y0: float, x1: float, y1: float) -> str:
    places = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
    return "".join(f' {name}="{_plain(value)}"' for name, value in places.items())


def _number(name: str, value: str) -> str:
    return f"<div><span>{name}</span><strong>{value}</strong></div>"


def _control(control: dict, prefix: str, off: bool, has_network: bool) -> str:
    name, values, start = control["name"], control["values"], control["start"]
    place = escape(f"{prefix}-{name}")
    known = f'id="{place}" name="{name}"{" disabled" if off else ""}'
    word = ""
    if off:
        word = f"only with {control['needs'][1]}"
    elif control["kind"] == "slider":
        word = "0 %" if control is _OVER else _word(control)
    if control["kind"] == "slider":
        part = (
            f'<input type="range" {known} min="0" max="{len(values) - 1}" '
            f'step="{1 / _BETWEEN if has_network and control is not _OVER else 1}" '
            f'value="{start}" aria-valuetext="{escape(word)}">'
        )
    else:
        chosen = {start: " selected"}
        options = "".join(
            f'<option value="{i}"{chosen.get(i, "")}>{escape(_text(value))}</option>'
            for i, value in enumerate(values)
        )
        part = f"<select {known}>{options}</select>"
        if has_network and control["kind"] == "photo":
            part += (
                f'<label for="{place}-own">or your own photo</label>'
                f'<input type="file" accept="image/*" id="{place}-own">'
            )
    return (
        f'<div class="dx-control{" dx-off" if off else ""}">'
        f'<label for="{place}">{escape(control["label"])}</label>'
        f'<span class="dx-value">{escape(word)}</span>{part}</div>'
    )


def _curve(title: str, steps: int, values: list[float | None], mark: int | None = None) -> str:
    width, height, left, top, bottom = 256, 200, 40, 10, 32
    known = [value for value in values if value is not None]

    def label(x: float, y: float | str, text: str, anchor: str = "start") -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'

    def figure(words: str, *drawn: str) -> str:
        return (
            f'<figure class="dx-curve"><svg viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{words}">{"".join(drawn)}</svg>'
            f"<figcaption>{title}</figcaption></figure>"
        )

    if len(known) < 2:
        word = label(width // 2, height // 2, "diverged", "middle")
        return figure("No curve: the image diverged.", word)
    low, high = min(0, *known), max(0.001, *known)

    def x(i: int) -> str:
        return f"{left + (width - left - 8) * i / (len(values) - 1):.1f}"

    def y(value: float) -> str:
        return f"{top + (height - top - bottom) * (high - value) / (high - low):.1f}"

    here = None if mark is None else values[mark]
    told = "" if here is None else f"; marked {_plain(here)}"
    words = (
        f"A curve from {_plain(known[0])} at step 0 to {_plain(known[-1])}; "
        f"lowest {_plain(min(known))}, highest {_plain(max(known))}{told}."
    )
    drawn = [
        f'<line x1="{left}" x2="{width - 8}" y1="{y(0)}" y2="{y(0)}"/>',
        f'<line x1="{left}" x2="{left}" y1="{top}" y2="{height - bottom}"/>',
        label(left - 4, top + 8, _plain(high), "end"),
        label(left - 4, _plain(float(y(0)) + 4), "0", "end"),
        label(left, height - bottom + 16, "step 0"),
        label(width - 8, height - bottom + 16, str(steps), "end"),
    ]
    if low < 0 and float(y(low)) - float(y(0)) > 12:
        drawn.append(label(left - 4, y(low), _plain(low), "end"))
    points = " ".join(f"{x(i)},{y(v)}" for i, v in enumerate(values) if v is not None)
    drawn.append(f'<polyline points="{points}"/>')
    if mark is not None and here is not None:
        drawn.append(f'<circle cx="{x(mark)}" cy="{y(here)}" r="4"/>')
    return figure(words, *drawn)


def _button(name: str, text: str, *, hidden: bool = False) -> str:
    return f'<button type="button" class="dx-{name}"{" hidden" if hidden else ""}>{text}</button>'


def _tag(kind: str, *children: str, name: str) -> str:
    return f'<{kind} class="dx-{name}">{"".join(children)}</{kind}>'


def _word(control: dict) -> str:
    return _text(control["values"][control["start"]])


def _text(value: object) -> str:
    """Return a value as JavaScript writes it."""
    return value if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401
    """Return a number as JavaScript writes it: a whole one has no point."""
    return str(int(value)) if value == int(value) else repr(round(value, 10))
