import assert from "node:assert/strict";
import test from "node:test";

import { Searched, shade } from "../../web/playground/threshold.js";

// two squares on a map of 10 x 10: a larger one of 3 x 3 and a higher one of 2 x 2
const map = new Float32Array(100).fill(-4);
for (let i = 0; i < 9; i++) map[(1 + Math.floor(i / 3)) * 10 + 1 + (i % 3)] = 1;
for (const place of [66, 67, 76, 77]) map[place] = 5;

test("the largest component above a quantile or Otsu's threshold has the box", () => {
  const searched = new Searched(map, [10, 10]);
  const { box, mask, foreground } = searched.at(0.5);
  assert.deepEqual(box, [1, 1, 4, 4]);
  assert.equal(mask.reduce((a, b) => a + b), 9);
  assert.equal(foreground.reduce((a, b) => a + b), 13);
  // what is below 0 is no part of the object, and counts as 0
  assert.deepEqual(searched.at("otsu").box, [6, 6, 8, 8]);
  assert.deepEqual(searched.at(0.5).box, box);
});

test("where nothing is above the threshold it is said", () => {
  assert.throws(() => new Searched(map, [10, 10]).at(0.99), /no pixel is above/i);
  assert.throws(() => new Searched(new Float32Array(4).fill(-1), [2, 2]).at("otsu"), /the same everywhere/);
});

test("what is not found is darker, and nothing is transparent", () => {
  const pixels = new Uint8ClampedArray(12).fill(200);
  shade(pixels, { foreground: Uint8Array.of(0, 1, 1), mask: Uint8Array.of(0, 0, 1) });
  assert.deepEqual([...pixels], [60, 60, 60, 200, 130, 130, 130, 200, 200, 200, 200, 200]);
});
