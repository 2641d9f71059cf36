// The brush of the panel "Your photo": parts of it are taken away, by pointer or keyboard, and come
// back by undo. What takes their place is the blurred photo or black.

import { brush as cover, covered, gaussianBlur } from "../images.js";
import { vector } from "./parts.js";

const SIGMA = 12; // pixels: so blurred no class is seen, as in deepinside.limits
const KEPT = 100; // strokes that can be undone
const MOVES = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

// An image (channels, height, width) and the parts of it that are taken away.
export class Brushed {
  kind = "blur";
  #strokes = []; // the mask before each of them
  #blurred;

  constructor(whole, shape) {
    this.whole = whole;
    this.shape = shape;
    this.mask = new Float32Array(shape[1] * shape[2]);
  }

  get isWhole() {
    return !this.#strokes.length;
  }

  // what is left
  get image() {
    if (this.isWhole) return this.whole;
    if (this.kind === "black") return covered(this.whole, this.mask);
    this.#blurred ??= gaussianBlur(this.whole, this.shape, SIGMA);
    return covered(this.whole, this.mask, this.#blurred);
  }

  // a stroke begins; undo takes it back as one
  begin() {
    this.#strokes.push(this.mask.slice());
    // the first one stays: it is the whole image
    if (this.#strokes.length > KEPT) this.#strokes.splice(1, 1);
  }

  // from one point [x, y] to another
  line(from, to, radius) {
    cover(this.mask, this.shape.slice(1), from, to, radius);
  }

  undo() {
    this.mask = this.#strokes.pop() ?? this.mask;
  }

  restore() {
    this.#strokes = [];
    this.mask.fill(0);
  }
}

// Takes pointer and keys over a picture of parts.js. `brushed()` is the present Brushed while the
// brush is in use, else null; `radius()` that of the brush in pixels. `change()` is called after a
// change, `tell(text)` with what the keyboard did. `show()` is to be called when one is another.
export function brushOver({ canvas, drawing }, { brushed, radius, change, tell }) {
  const look = { fill: "none", "vector-effect": "non-scaling-stroke" };
  const rings = ["pg-edge", "pg-box"].map((name) => vector("circle", { class: name, ...look }));
  drawing.append(...rings);
  let place = null; // [x, y] of its middle, or null while it is not shown
  let held = null; // the pointer that takes away

  function show() {
    const isOn = Boolean(brushed());
    if (!isOn) place = held = null;
    canvas.tabIndex = isOn ? 0 : -1;
    canvas.setAttribute("role", isOn ? "application" : "img");
    canvas.style.touchAction = isOn ? "none" : ""; // a finger brushes, and does not scroll
    canvas.style.cursor = isOn ? "crosshair" : "";
    for (const ring of rings) {
      const [cx, cy] = place ?? [0, 0];
      const circle = Object.entries({ cx, cy, r: place ? radius() : 0 });
      for (const pair of circle) ring.setAttribute(...pair);
    }
  }

  function placeOf({ clientX, clientY }) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [((clientX - left) / width) * canvas.width, ((clientY - top) / height) * canvas.height];
  }

  function takeAway(from, to) {
    brushed().line(from, to, radius());
    change();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!brushed() || held !== null || event.button > 0) return;
    held = event.pointerId;
    canvas.setPointerCapture(held);
    place = placeOf(event);
    brushed().begin();
    takeAway(place, place);
    show();
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!brushed() || (held !== null && event.pointerId !== held)) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const point of (all.length ? all : [event]).map(placeOf)) {
      if (held !== null) takeAway(place, point);
      place = point;
    }
    show();
  });

  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, ({ pointerId }) => {
      if (pointerId === held) held = null;
    });
  }

  canvas.addEventListener("keydown", (event) => {
    if (!brushed() || event.ctrlKey || event.altKey || event.metaKey) return;
    const sides = [canvas.width, canvas.height];
    place ??= sides.map((side) => side / 2);
    if (event.key in MOVES) {
      const step = event.shiftKey ? 1 : radius();
      place = place.map((at, i) => Math.min(Math.max(at + step * MOVES[event.key][i], 0), sides[i]));
      tell(`Brush at x ${Math.round(place[0])}, y ${Math.round(place[1])}.`);
    } else if (event.key === "Enter" || event.key === " ") {
      brushed().begin();
      takeAway(place, place);
    } else return;
    event.preventDefault();
    show();
  });

  canvas.addEventListener("focus", () => {
    if (brushed()) place ??= [canvas.width / 2, canvas.height / 2];
    show();
  });
  for (const kind of ["pointerleave", "blur"]) {
    canvas.addEventListener(kind, () => {
      if (held !== null || (kind === "pointerleave" && document.activeElement === canvas)) return;
      place = null;
      show();
    });
  }
  show();
  return { show };
}
