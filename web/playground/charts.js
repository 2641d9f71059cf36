// Small line charts of what was measured at steps: each line differs in color and in dashes, and
// its axes say in numbers where they begin and end.

import { element, vector } from "./parts.js";

const [WIDTH, HEIGHT] = [200, 140];
const [LEFT, RIGHT, TOP, BOTTOM] = [54, 8, 10, 24];
const KEPT = 300; // points; of more, every second one stays

const whole = (step) => step.toLocaleString("en");

// short enough for the margin, however large: 0.373, 1,230, 3.0e4
export function rounded(value) {
  const plain = { maximumSignificantDigits: 3 };
  const text = Math.abs(value) < 1e4 ? value.toLocaleString("en", plain) : value.toExponential(1);
  return text.replace("e+", "e").replaceAll("-", "−");
}

// What was measured, {step, ...values}, oldest first. However long it grows, it is a few hundred
// points at about the same distance, and the newest one.
export class Trace {
  points = [];
  #distance = 0;

  add(point) {
    // the same image again, with other numbers; or another climb
    if (point.step === this.points.at(-1)?.step) this.points.pop();
    else if (point.step < this.points.at(-1)?.step) this.clear();
    const [before, last] = this.points.slice(-2);
    if (last && last.step - before.step < this.#distance) this.points.pop();
    this.points.push(point);
    if (this.points.length <= KEPT) return;
    this.#distance = (2 * (point.step - this.points[0].step)) / KEPT;
    this.points = this.points.filter((_, i) => i % 2 === 0);
  }

  clear() {
    this.points = [];
    this.#distance = 0;
  }
}

// lines: [{name: of a point's value, title}]; unit: what the vertical axis measures
export function lineChart({ title, unit, lines }) {
  const at = (x, y, anchor) => ({ x, y, "text-anchor": anchor });
  const drawing = vector("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const [high, zero, low] = [0, 1, 2].map(() => vector("text", at(LEFT - 4, 0, "end")));
  const [first, last] = [["start", LEFT], ["end", WIDTH - RIGHT]].map(([anchor, x]) =>
    vector("text", at(x, HEIGHT - BOTTOM + 14, anchor)),
  );
  const axis = vector("line", { x1: LEFT, x2: WIDTH - RIGHT });
  const upright = vector("line", { x1: LEFT, x2: LEFT, y1: TOP, y2: HEIGHT - BOTTOM });
  const curves = lines.map((_, i) => vector("polyline", { class: `pg-line pg-line-${i}` }));
  drawing.append(axis, upright, high, zero, low, first, last, ...curves);
  const key = lines.map((line, i) => {
    const mark = vector("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" });
    mark.append(vector("line", { x1: 0, x2: 22, y1: 4, y2: 4, class: `pg-line pg-line-${i}` }));
    return element("span", {}, mark, line.title);
  });
  const root = element(
    "figure",
    { className: "pg-chart" },
    drawing,
    element("figcaption", {}, `${title}, in ${unit}`),
    element("div", { className: "pg-key" }, ...key),
  );

  // from 0, or below, to the largest
  function rangeOf(points) {
    const values = points.flatMap((point) => lines.map(({ name }) => point[name]).filter(Number.isFinite));
    return [Math.min(0, ...values), Math.max(1e-3, ...values)];
  }

  function place(label, y, text) {
    label.setAttribute("y", y);
    if (label.textContent !== text) label.textContent = text;
  }

  return {
    root,
    show(points) {
      const [from, to] = rangeOf(points);
      const [begin, end] = [points[0]?.step ?? 0, Math.max(points.at(-1)?.step ?? 0, 1)];
      const x = (step) => LEFT + ((WIDTH - LEFT - RIGHT) * (step - begin)) / (end - begin || 1);
      const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (to - value)) / (to - from);
      lines.forEach(({ name }, i) => {
        const places = points
          .filter((point) => Number.isFinite(point[name]))
          .map((point) => `${x(point.step).toFixed(1)},${y(point[name]).toFixed(1)}`);
        curves[i].setAttribute("points", places.join(" "));
      });
      for (const part of ["y1", "y2"]) axis.setAttribute(part, y(0));
      place(high, TOP + 8, rounded(to));
      place(zero, y(0) + 4, "0");
      place(low, HEIGHT - BOTTOM, y(from) - y(0) > 12 ? rounded(from) : "");
      place(first, HEIGHT - BOTTOM + 14, `step ${whole(begin)}`);
      place(last, HEIGHT - BOTTOM + 14, whole(end));
      drawing.setAttribute("aria-label", told(points));
    },
  };

  function told(points) {
    if (points.length < 2) return `${title}: no step yet.`;
    const [start, now] = [points[0], points.at(-1)];
    const way = (name) => `from ${rounded(start[name])} to ${rounded(now[name])}`;
    const each = lines.map((line) => `${line.title} ${way(line.name)}`);
    return `Steps ${whole(start.step)} to ${whole(now.step)}: ${each.join(", ")}.`;
  }
}
