// From a map to a mask and a box over the photo (paper §3.2), at every move of a slider: the pixels
// above a quantile of the map, or above Otsu's threshold, and of them the largest component.

import { locate, otsuThreshold, quantile } from "../localization.js";
import { radios, slider, vector } from "./parts.js";

// what is left of the brightness: below the threshold, above it, and in the largest component
const LIGHT = [0.3, 0.65, 1];
const FIRST = 0.95;

// Two controls as one: its value is "off", "otsu", or a quantile.
export function thresholdControl(change) {
  const options = [["off", "off"], ["otsu", "Otsu’s threshold"], ["quantile", "quantile"]];
  const way = radios({ label: "Mask and box", options, value: "off", change });
  const share = slider({
    label: "Quantile of the map",
    min: 0.5,
    max: 0.995,
    step: 0.005,
    value: FIRST,
    word: (value) => value.toFixed(3),
    change() {
      way.set("quantile");
      change();
    },
  });
  const control = {
    roots: [way.root, share.root],
    start: "off",
    get value() {
      return way.value === "quantile" ? share.value : way.value;
    },
    get text() {
      return String(control.value);
    },
    set(value) {
      way.set(value);
      share.set(share.start);
    },
    take(text) {
      if (text === "off" || text === "otsu") return way.take(text);
      return share.take(text) && way.take("quantile");
    },
  };
  return control;
}

// A map in which an object is looked for, where it is above 0. What its thresholds need is
// computed once.
export class Searched {
  #values;
  #sorted;
  #size;
  #otsu;

  constructor(values, size) {
    this.#values = values.map((value) => Math.max(0, value));
    this.#size = size;
  }

  // {box, mask, foreground} at "otsu" or a quantile; throws an error that says why there is none
  at(threshold) {
    return locate(this.#values, this.#size, this.#level(threshold), { bySaliency: false });
  }

  #level(threshold) {
    if (threshold === "otsu") return (this.#otsu ??= otsuThreshold(this.#values));
    this.#sorted ??= this.#values.slice().sort();
    return quantile(this.#sorted, threshold);
  }
}

// makes pixels, RGBA, darker where no object is found
export function shade(pixels, { foreground, mask }) {
  mask.forEach((inside, i) => {
    const light = LIGHT[foreground[i] + inside];
    for (let c = 0; c < 3; c++) pixels[4 * i + c] *= light;
  });
}

// a box over a picture: `show([x0, y0, x1, y1])`, or null for none
export function boxOver(drawing) {
  const edges = ["pg-edge", "pg-box"].map((name) => vector("rect", { class: name }));
  return {
    show(box) {
      for (const edge of edges) edge.remove();
      if (!box) return;
      const [x, y, x1, y1] = box;
      const place = Object.entries({ x, y, width: x1 - x, height: y1 - y });
      for (const edge of edges) for (const pair of place) edge.setAttribute(...pair);
      drawing.prepend(...edges);
    },
  };
}
