import assert from "node:assert/strict";
import test from "node:test";

import { Generator } from "../../web/random.js";
import {
  crop,
  CropMean,
  cropPlaces,
  magnitude,
  noisy,
  RunningMean,
  signed,
  timesInput,
} from "../../web/saliency.js";

// two channels of 1 x 3 pixels
const SIGNAL = Float32Array.of(1, -5, 0, -2, 3, 0);

test("the three maps of a signal, by hand", () => {
  assert.deepEqual([...magnitude(SIGNAL, 2)], [2, 5, 0]);
  assert.deepEqual([...signed(SIGNAL, 2)], [-1, -2, 0]);
  assert.deepEqual([...timesInput(SIGNAL, Float32Array.of(1, 0, 1, 0.5, 1, 1), 2)], [0, 3, 0]);
});

test("noise has the standard deviation that is asked for, and leaves the image alone", () => {
  const image = new Float32Array(20_000).fill(0.5);
  const copy = noisy(image, 0.15, new Generator(1));
  const square = copy.reduce((sum, value) => sum + (value - 0.5) ** 2, 0) / image.length;
  assert.ok(Math.abs(Math.sqrt(square) - 0.15) < 0.003);
  assert.ok(image.every((value) => value === 0.5));
  assert.deepEqual(noisy(image, 0, new Generator(1)), image);
});

test("a running mean is the mean of what was added", () => {
  const running = new RunningMean(2);
  assert.deepEqual([...running.mean], [0, 0]);
  for (const values of [[1, 4], [3, -4], [5, 0]]) running.add(values);
  assert.deepEqual([[...running.mean], running.count], [[3, 0], 3]);
});

test("corners and middle; once each; more where a photo is long", () => {
  assert.deepEqual(cropPlaces([256, 256], [227, 227]), [[0, 0], [0, 29], [29, 0], [29, 29], [14, 14]]);
  assert.deepEqual(cropPlaces([28, 28], [28, 28]), [[0, 0]]);
  const long = cropPlaces([10, 45], [10, 10]).map(([, left]) => left).sort((a, b) => a - b);
  assert.deepEqual(long, [0, 9, 18, 26, 35]);
});

test("a crop is a part of every channel, and mirrored from left to right", () => {
  const image = Float32Array.from({ length: 2 * 3 * 4 }, (_, i) => i);
  assert.deepEqual([...crop(image, [2, 3, 4], [1, 1], [2, 2])], [5, 6, 9, 10, 17, 18, 21, 22]);
  assert.deepEqual([...crop(image, [2, 3, 4], [1, 1], [2, 2], true)], [6, 5, 10, 9, 18, 17, 22, 21]);
});

test("maps of crops are laid back and averaged where they overlap", () => {
  const mean = new CropMean([1, 4]);
  mean.add([1, 2, 3], [0, 0], [1, 3]);
  assert.deepEqual([...mean.mean], [1, 2, 3, 0]);
  mean.add([9, 5, 0], [0, 1], [1, 3], true);
  assert.deepEqual([...mean.mean], [1, 1, 4, 9]);
});
