import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Ascent,
  hasDiverged,
  inTheMiddle,
  memoryInWords,
  shifted,
  stretched,
  trainingMean,
} from "../../web/class_model.js";
import { gaussianBlur } from "../../web/images.js";
import { Generator } from "../../web/random.js";

const PLAIN = { lambda: 0.5, alpha: 0.25, jitter: 0, blur: 0 };

// S(I) = w · I on an image less its mean, with the same interface as network.js
class Linear {
  constructor(weights, inputShape, mean = [0]) {
    const layers = [{ kind: "normalization", mean, std: [1] }];
    Object.assign(this, { weights, inputShape, description: { layers }, passes: 0 });
    this.image = new Float32Array(weights.length);
    this.mean = trainingMean(this.description, inputShape);
  }

  forward(target) {
    this.passes += 1;
    this.seen = this.image.map((value, i) => value - this.mean[i]);
    return { [target]: this.seen.reduce((sum, value, i) => sum + value * this.weights[i], 0) };
  }

  backward(target, rule) {
    assert.equal(rule, "gradient");
    return Float32Array.from(this.weights);
  }
}

const twoPixels = () => new Linear([3, -1], [1, 1, 2]);
const drawn = (count, seed) => {
  const generator = new Generator(seed);
  return Float32Array.from({ length: count }, () => generator.normal());
};
const near = (a, b, tolerance = 1e-6) =>
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) <= tolerance, `${i}: ${value}, ${b[i]}`));
const blurred = (image, shape, sigma) => gaussianBlur(image, shape, sigma, "zero");
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

test("the first two steps are those by hand, and 80 steps reach the optimum", () => {
  const ascent = new Ascent(twoPixels(), { target: 0 }, PLAIN);
  assert.equal(ascent.now.objective, 0);
  const first = ascent.step();
  near(ascent.image, [0.75, -0.25]);
  assert.equal(first.step, 1);
  assert.equal(first.score, 2.5);
  assert.equal(first.penalty, 0.3125);
  assert.equal(first.objective, 2.1875);
  assert.equal(first.norm, Math.sqrt(0.625));
  ascent.step();
  near(ascent.image, [1.3125, -0.4375]);
  for (let i = 0; i < 78; i++) ascent.step();
  near(ascent.image, [3, -1]);
});

test("one step needs one pass there and back, as long as nothing changes what is seen", () => {
  const network = twoPixels();
  const ascent = new Ascent(network, { target: 0 }, PLAIN);
  for (let i = 0; i < 5; i++) ascent.step();
  assert.equal(network.passes, 6);
});

test("what is set while it climbs counts from the next step on", () => {
  const ascent = new Ascent(twoPixels(), { target: 0 }, PLAIN);
  ascent.step();
  ascent.how = { ...PLAIN, lambda: 0, alpha: 1 };
  const { penalty } = ascent.step();
  near(ascent.image, [3.75, -1.25]);
  assert.equal(penalty, 0);
});

test("the network sees the image with its mean, and so does the reader", () => {
  const network = new Linear([1, 1, 1, 1], [2, 1, 2], [0.25, 0.5]);
  const ascent = new Ascent(network, { target: 0 }, PLAIN);
  near(ascent.image, [0.25, 0.25, 0.5, 0.5]);
  near(network.image, [0.25, 0.25, 0.5, 0.5]);
});

test("a climb may start from an image, which has the mean in it", () => {
  const network = new Linear([1, 1, 1, 1], [2, 1, 2], [0.25, 0.5]);
  const ascent = new Ascent(network, { target: 0, start: Float32Array.of(0.25, 1.25, 0.5, 0.5) }, PLAIN);
  near(ascent.image, [0.25, 1.25, 0.5, 0.5]);
  assert.equal(ascent.now.score, 1);
  assert.equal(ascent.now.norm, 1);
});

test("a mean is one value, one a channel, or one a pixel", () => {
  const layers = (values) => [{ kind: "normalization", mean: values }];
  const mean = (...values) => [...trainingMean({ layers: layers(values) }, [2, 1, 2])];
  assert.deepEqual(mean(3), [3, 3, 3, 3]);
  assert.deepEqual(mean(1, 2), [1, 1, 2, 2]);
  assert.deepEqual(mean(1, 2, 3, 4), [1, 2, 3, 4]);
});

test("the same seed gives the same noise and the same climb, another seed another", () => {
  const climb = (seed) => {
    const start = { target: 0, start: "noise", seed };
    const ascent = new Ascent(new Linear(drawn(64, 1), [1, 8, 8]), start, { ...PLAIN, jitter: 3 });
    const { image } = ascent;
    for (let i = 0; i < 5; i++) ascent.step();
    return [image, ascent.image];
  };
  assert.deepEqual(climb(7), climb(7));
  assert.notDeepEqual(climb(7), climb(8));
  const spread = Math.sqrt(climb(7)[0].reduce((sum, value) => sum + value ** 2, 0) / 64);
  assert.ok(Math.abs(spread - 0.1) < 0.03);
});

test("a shift shows what is so many pixels away, and 0 from outside", () => {
  const image = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
  const seen = (shift) => [...shifted(image, [2, 2, 3], shift)];
  assert.deepEqual(seen([0, 1]), [2, 3, 0, 5, 6, 0, 8, 9, 0, 11, 12, 0]);
  assert.deepEqual(seen([-1, 0]), [0, 0, 0, 1, 2, 3, 0, 0, 0, 7, 8, 9]);
  assert.deepEqual(seen([1, -2]), [0, 0, 4, 0, 0, 0, 0, 0, 10, 0, 0, 0]);
  assert.ok(seen([0, 3]).every((value) => value === 0));
  assert.ok(seen([-9, 9]).every((value) => value === 0));
});

test("the way back of a shift is the opposite shift, that of a blur the blur itself", () => {
  const [shape, a, b] = [[2, 7, 5], drawn(70, 1), drawn(70, 2)];
  const close = (x, y) => assert.ok(Math.abs(x - y) < 1e-4, `${x}, ${y}`);
  close(dot(shifted(a, shape, [2, -3]), b), dot(a, shifted(b, shape, [-2, 3])));
  close(dot(blurred(a, shape, 1.3), b), dot(a, blurred(b, shape, 1.3)));
});

test("jitter and blur change what is seen, and the signal comes back through both", () => {
  const weights = drawn(49, 3);
  const network = new Linear(weights, [1, 7, 7]);
  const start = { target: 0, start: "noise", seed: 4 };
  const ascent = new Ascent(network, start, { lambda: 0, alpha: 1, jitter: 2, blur: 0.8 });
  const before = ascent.image;
  const { score } = ascent.step();
  const change = ascent.image.map((value, i) => value - before[i]);
  // the draws of the start, then those of the step
  const generator = new Generator(4);
  for (let i = 0; i < 49; i++) generator.normal();
  const shift = [0, 1].map(() => Math.round(2 * (2 * generator.uniform() - 1)));
  const expected = shifted(blurred(weights, [1, 7, 7], 0.8), [1, 7, 7], shift.map((pixels) => -pixels));
  near(change, expected, 1e-5);
  // the score that is told is that of the image itself
  assert.ok(Math.abs(score - dot(ascent.image, weights)) < 1e-4);
});

test("an image that leaves all bounds is left where it is, and told by its norm", () => {
  const ascent = new Ascent(twoPixels(), { target: 0 }, { ...PLAIN, alpha: 4 });
  let last;
  for (let i = 0; i < 50; i++) last = ascent.step();
  assert.ok(hasDiverged(last.norm, 2));
  assert.ok(last.step < 50);
  assert.deepEqual(ascent.step(), last);
  assert.ok(hasDiverged(NaN, 2));
  assert.ok(!hasDiverged(1e3, 2));
});

test("words say what one step leaves of the image", () => {
  const keeps = (share, memory) => `A step keeps ${share} % of the image, so its memory is about ${memory}.`;
  const turns = (share) => `A step overshoots: it turns the image’s sign and keeps ${share} % of it.`;
  const told = [
    [0, 0.3, "A step keeps 100 % of the image."],
    [0.01, 0.001, keeps(99.998, "50,000 steps")],
    [1, 0.05, keeps(90, "10 steps")],
    [3, 0.15, keeps(10, "1.1 steps")],
    [1, 0.49, keeps(2, "1 step")],
    [1, 0.5, "A step forgets the image: what is seen is one gradient."],
    [5, 0.1, "A step forgets the image: what is seen is one gradient."],
    [10, 0.06, turns(20)],
    [3, 0.3, turns(80)],
    [10, 0.1, "A step turns the image’s sign and keeps all of it: the climb does not settle."],
    [2, 1, "A step makes the image’s old part larger: the climb diverges."],
  ];
  for (const [lambda, alpha, words] of told) assert.equal(memoryInWords(lambda, alpha), words);
});

test("a step that turns the sign and keeps all does not settle", () => {
  const ascent = new Ascent(new Linear([3], [1, 1, 1]), { target: 0 }, { ...PLAIN, lambda: 10, alpha: 0.1 });
  const norms = Array.from({ length: 4 }, () => ascent.step().norm);
  near(norms, [0.3, 0, 0.3, 0]);
});

test("a picture is stretched around the mean; the mean itself stays", () => {
  const mean = Float32Array.of(0.5, 0.25);
  near(stretched(Float32Array.of(0.501, 0.25), mean), [0.5 + 0.2 * Math.SQRT2, 0.25], 1e-4);
  assert.deepEqual(stretched(mean, mean), mean);
});

test("a small image stands in the middle of a black one, clipped", () => {
  const canvas = inTheMiddle(Float32Array.of(-1, 0.5, 0.25, 3), [1, 2, 2], [4, 5]);
  assert.deepEqual([...canvas], [0, 0, 0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0.25, 1, 0, 0, 0, 0, 0, 0, 0]);
});
