// Class models (paper §2): an image climbs S_c(I) - lambda ||I||^2 by I <- I + alpha * gradient.
//
// I is zero-centered, as in the paper: 0 is the training mean, which is added for the network and
// for the eye. Jitter and blur (deepinside.regularizers) change what the network sees of I; the
// signal is carried back through both.

import { gaussianBlur } from "./images.js";
import { Generator } from "./random.js";

const NOISE = 0.1; // standard deviation of the noise to start from
const SPREAD = 0.2; // that of a picture whose contrast is set for the eye
const DIVERGED = 1e3; // an image whose root mean square is not below has diverged

// zero-centered images are 0 outside; the kernel is symmetric, so that a signal comes back through
// a blur by the same blur
const blurred = (image, shape, sigma) => gaussianBlur(image, shape, sigma, "zero");

// what the training subtracted, as an image of this shape: [channels, height, width]
export function trainingMean({ layers }, [channels, height, width]) {
  const { mean } = layers.find(({ kind }) => kind === "normalization");
  const count = channels * height * width;
  return Float32Array.from({ length: count }, (_, i) => mean[Math.floor((i * mean.length) / count)]);
}

// whether an image of so many values, and of this norm, has left all bounds
export const hasDiverged = (norm, count) => !(norm < DIVERGED * Math.sqrt(count));

// What of the image one step leaves, in words: it becomes (1 - 2 lambda alpha) I and a gradient.
export function memoryInWords(lambda, alpha) {
  const lost = Number((2 * lambda * alpha).toFixed(9));
  if (lost > 2) return "A step makes the image’s old part larger: the climb diverges.";
  if (lost === 2) return "A step turns the image’s sign and keeps all of it: the climb does not settle.";
  if (lost > 1) {
    return `A step overshoots: it turns the image’s sign and keeps ${percent(lost - 1)} % of it.`;
  }
  if (lost === 1) return "A step forgets the image: what is seen is one gradient.";
  const steps = Number((1 / lost).toPrecision(2));
  const memory = `, so its memory is about ${steps.toLocaleString("en")} ${steps === 1 ? "step" : "steps"}`;
  return `A step keeps ${percent(1 - lost)} % of the image${lost ? memory : ""}.`;
}

// a share with as many digits as it takes to tell it from 1
function percent(share) {
  const digits = share === 1 ? 0 : Math.max(0, Math.ceil(-Math.log10(100 * (1 - share))));
  return Number((100 * share).toFixed(digits));
}

// an image for the eye, however faint or strong: its difference from the mean has a spread of 0.2
export function stretched(image, mean) {
  let squares = 0;
  for (let i = 0; i < image.length; i++) squares += (image[i] - mean[i]) ** 2;
  const factor = squares && SPREAD / Math.sqrt(squares / image.length);
  return image.map((value, i) => mean[i] + factor * (value - mean[i]));
}

// a small image in the middle of a black one, with its values in [0, 1], as a judge wants it
export function inTheMiddle(small, [channels, h, w], [height, width]) {
  const canvas = new Float32Array(channels * height * width);
  const [top, left] = [Math.floor((height - h) / 2), Math.floor((width - w) / 2)];
  small.forEach((value, i) => {
    const [row, column] = [Math.floor(i / w) % h, i % w];
    const plane = Math.floor(i / (h * w)) * height;
    canvas[(plane + top + row) * width + left + column] = Math.min(1, Math.max(0, value));
  });
  return canvas;
}

// an image as it is seen from (down, right) pixels away; what comes in from outside is 0
export function shifted(image, [channels, height, width], [down, right]) {
  const seen = new Float32Array(image.length);
  const [from, to] = [Math.max(0, -right), Math.min(width, width - right)];
  if (from >= to) return seen;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = Math.max(0, -down); row < Math.min(height, height - down); row++) {
      const start = (channel * height + row) * width;
      const source = start + down * width + right;
      seen.set(image.subarray(source + from, source + to), start + from);
    }
  }
  return seen;
}

// The climb of one image on one network. `how`, {lambda, alpha, jitter, blur}, may be set between
// two steps. The numbers that a step returns, and `now` keeps, are those of the image it arrives
// at, of itself, whatever the network saw of it on the way.
export class Ascent {
  #network;
  #target;
  #mean;
  #centered;
  #generator;
  #gradient; // of the score with respect to I, or null where the next step has to find it

  constructor(network, { target, start = "zero", seed = 0 }, how) {
    this.how = how;
    this.#network = network;
    this.#target = target;
    this.#mean = trainingMean(network.description, network.inputShape);
    this.#generator = new Generator(seed);
    this.#centered = new Float32Array(this.#mean.length);
    if (start === "noise") this.#centered = this.#centered.map(() => NOISE * this.#generator.normal());
    else if (start !== "zero") this.#centered = this.#mean.map((value, i) => start[i] - value);
    this.now = this.#arrive(0);
  }

  // with the mean added; values may lie outside of [0, 1]
  get image() {
    return this.#centered.map((value, i) => value + this.#mean[i]);
  }

  get hasDiverged() {
    return hasDiverged(this.now.norm, this.#centered.length);
  }

  step() {
    const centered = this.#centered;
    if (this.hasDiverged) return this.now;
    const { lambda, alpha } = this.how;
    const gradient = this.#gradientSeen();
    for (let i = 0; i < centered.length; i++) {
      centered[i] += alpha * (gradient[i] - 2 * lambda * centered[i]);
    }
    this.now = this.#arrive(this.now.step + 1);
    return this.now;
  }

  // while the network sees the image as it is, one pass gives its score and the next step's gradient
  #arrive(step) {
    const score = this.#scoreOf(this.#centered);
    const { lambda, jitter, blur } = this.how;
    this.#gradient = jitter || blur ? null : this.#network.backward(this.#target, "gradient").slice();
    let squares = 0;
    for (const value of this.#centered) squares += value ** 2;
    const penalty = lambda * squares;
    return { step, score, penalty, objective: score - penalty, norm: Math.sqrt(squares) };
  }

  #gradientSeen() {
    const { jitter, blur } = this.how;
    if (!jitter && !blur && this.#gradient) return this.#gradient;
    const shape = this.#network.inputShape;
    const shift = [0, 1].map(() => Math.round(jitter * (2 * this.#generator.uniform() - 1)));
    const seen = shifted(this.#centered, shape, shift);
    this.#scoreOf(blurred(seen, shape, blur));
    const signal = this.#network.backward(this.#target, "gradient");
    return shifted(blurred(signal, shape, blur), shape, shift.map((pixels) => -pixels));
  }

  #scoreOf(centered) {
    const { image } = this.#network;
    for (let i = 0; i < image.length; i++) image[i] = centered[i] + this.#mean[i];
    return this.#network.forward(this.#target)[this.#target];
  }
}
