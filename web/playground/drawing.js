// A drawing as the marks that made it, in order: so one can be taken back, and all fit in a link.
// It is kept in a canvas' opacity: 0 where nothing is drawn, which the page shows as black.

export const SIDE = 280; // pixels of the canvas: ten by ten for each of the network's
export const MARGIN = 40; // pixels around the canvas that a line may reach: more than half its width
const REACH = 3; // pixels that one step of thickening adds around
const NEAR = 0.7; // pixels that a line in a link may be beside the one drawn

// Of the points of a line those without which it would be elsewhere (Douglas and Peucker, 1973).
export function simplified(points, near = NEAR) {
  if (points.length < 3) return points;
  const [[x0, y0], [x1, y1]] = [points[0], points.at(-1)];
  const length = Math.hypot(x1 - x0, y1 - y0);
  const distance = ([x, y]) =>
    length ? Math.abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / length : Math.hypot(x - x0, y - y0);
  const distances = points.map(distance);
  const farthest = distances.indexOf(Math.max(...distances));
  if (distances[farthest] <= near) return [points[0], points.at(-1)];
  const before = simplified(points.slice(0, farthest + 1), near);
  return [...before.slice(0, -1), ...simplified(points.slice(farthest), near)];
}

// ---- as text: p a line of the pen, e of the eraser, n a sample, s a shift, t thicker or thinner,
// c the form anew, which changes nothing that is drawn

const twoDigits = (x) => Math.round(2 * (x + MARGIN)).toString(36).padStart(2, "0");
const fromTwo = (text) => parseInt(text, 36) / 2 - MARGIN;

function textOfMark(mark) {
  if (mark.kind === "n") return `n${mark.index}`;
  if (mark.kind === "s") return `s${mark.across}.${mark.down}`;
  if (mark.kind === "t") return `t${mark.by}`;
  if (mark.kind === "c") return "c";
  return `${mark.kind}${mark.width}.${simplified(mark.points).flat().map(twoDigits).join("")}`;
}

export function textOf(marks) {
  const covered = Math.max(0, marks.findLastIndex(({ kind }) => kind === "n"));
  return marks.slice(covered).map(textOfMark).join("_");
}

function markOf(text) {
  const [, kind, width, places] = text.match(/^([pe])(\d{1,2})\.((?:[0-9a-z]{4})+)$/) ?? [];
  if (kind) {
    const numbers = places.match(/../g).map(fromTwo);
    const points = Array.from({ length: numbers.length / 2 }, (_, i) => numbers.slice(2 * i, 2 * i + 2));
    return { kind, width: Number(width), points };
  }
  if (text === "c") return { kind: "c" };
  const [, index] = text.match(/^n(\d)$/) ?? [];
  if (index) return { kind: "n", index: Number(index) };
  const [, across, down] = text.match(/^s(-?\d{1,3})\.(-?\d{1,3})$/) ?? [];
  if (across) return { kind: "s", across: Number(across), down: Number(down) };
  const [, by] = text.match(/^t(-?1)$/) ?? [];
  return by && { kind: "t", by: Number(by) };
}

// the marks that a text says, or null
export function marksOf(text) {
  const marks = text.split("_").map(markOf);
  return marks.every(Boolean) ? marks : null;
}

// ---- as pixels

// Thicker: each pixel takes the largest value within reach; thinner: the smallest.
export function spread(values, side, by) {
  const within = [];
  for (let dy = -REACH; dy <= REACH; dy++) {
    for (let dx = -REACH; dx <= REACH; dx++) if (dx * dx + dy * dy <= REACH * REACH) within.push([dx, dy]);
  }
  const better = by > 0 ? Math.max : Math.min;
  const result = values.slice();
  for (const [dx, dy] of within) {
    for (let y = Math.max(0, -dy); y < side - Math.max(0, dy); y++) {
      const [here, there] = [y * side, (y + dy) * side + dx];
      const [first, last] = [Math.max(0, -dx), side - Math.max(0, dx)];
      for (let x = first; x < last; x++) result[here + x] = better(result[here + x], values[there + x]);
    }
  }
  return result;
}

export class Drawing {
  marks = [];
  #context;
  #samples;

  // samples(): square images, values in [0, 1]
  constructor(canvas, samples) {
    [canvas.width, canvas.height] = [SIDE, SIDE];
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#samples = samples;
  }

  // add a mark; a line goes on with `extend`
  add(mark) {
    this.marks.push(mark);
    this.#draw(mark);
  }

  extend(points) {
    const line = this.marks.at(-1);
    const before = line.points.length - 1;
    line.points.push(...points);
    this.#line(line, before);
  }

  undo() {
    this.take(this.marks.slice(0, -1));
  }

  take(marks) {
    this.marks = [...marks];
    this.#context.clearRect(0, 0, SIDE, SIDE);
    this.marks.forEach((mark) => this.#draw(mark));
  }

  canTake(marks) {
    return marks.every(({ kind, index }) => kind !== "n" || index in this.#samples());
  }

  // how much is drawn: (SIDE, SIDE) in [0, 1]
  get ink() {
    const { data } = this.#context.getImageData(0, 0, SIDE, SIDE);
    const ink = new Float32Array(SIDE * SIDE);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i + 3] / 255;
    return ink;
  }

  #draw(mark) {
    if (mark.kind === "n") this.#sample(this.#samples()[mark.index]);
    else if (mark.kind === "s") this.#shift(mark);
    else if (mark.kind === "t") this.#thicken(mark.by);
    else if ("points" in mark) {
      this.#dot(mark);
      this.#line(mark, 0);
    }
  }

  // in the color of the pen, or what takes it away
  #paint({ kind, width }) {
    const [color, lineCap] = ["white", "round"];
    const globalCompositeOperation = kind === "p" ? "source-over" : "destination-out";
    const how = { lineWidth: width, lineCap, strokeStyle: color, fillStyle: color, globalCompositeOperation };
    return Object.assign(this.#context, how);
  }

  // where a line begins: all of it after a click
  #dot(line) {
    const context = this.#paint(line);
    context.beginPath();
    context.arc(...line.points[0], line.width / 2, 0, 2 * Math.PI);
    context.fill();
    context.globalCompositeOperation = "source-over";
  }

  // piece by piece, so that a line looks the same when it is drawn again
  #line(line, from) {
    const context = this.#paint(line);
    for (let i = from; i < line.points.length - 1; i++) {
      context.beginPath();
      context.moveTo(...line.points[i]);
      context.lineTo(...line.points[i + 1]);
      context.stroke();
    }
    context.globalCompositeOperation = "source-over";
  }

  #sample(values) {
    const side = Math.sqrt(values.length);
    const small = new OffscreenCanvas(side, side);
    const pixels = new ImageData(side, side);
    values.forEach((value, i) => pixels.data.set([255, 255, 255, 255 * value], 4 * i));
    small.getContext("2d").putImageData(pixels, 0, 0);
    this.#context.clearRect(0, 0, SIDE, SIDE);
    this.#context.drawImage(small, 0, 0, SIDE, SIDE);
  }

  #shift({ across, down }) {
    const pixels = this.#context.getImageData(0, 0, SIDE, SIDE);
    this.#context.clearRect(0, 0, SIDE, SIDE);
    this.#context.putImageData(pixels, across, down);
  }

  #thicken(by) {
    const pixels = this.#context.getImageData(0, 0, SIDE, SIDE);
    const before = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < before.length; i++) before[i] = pixels.data[4 * i + 3];
    const after = spread(before, SIDE, by);
    for (let i = 0; i < after.length; i++) pixels.data.fill(255, 4 * i, 4 * i + 3)[4 * i + 3] = after[i];
    this.#context.putImageData(pixels, 0, 0);
  }
}
