import assert from "node:assert/strict";
import test from "node:test";

import { locate, otsuThreshold, quantile } from "../../web/localization.js";

const picture = (...rows) => Float32Array.from(rows.join("").replaceAll(".", "0"), Number);

test("quantiles are interpolated, and the values stay as they are", () => {
  const values = Float32Array.of(4, 1, 3, 2);
  assert.deepEqual([0, 0.5, 1, 0.25, 0.9].map((share) => quantile(values, share).toFixed(6)), [
    "1.000000", "2.500000", "4.000000", "1.750000", "3.700000",
  ]);
  assert.deepEqual([...values], [4, 1, 3, 2]);
  assert.equal(quantile(new Float32Array(9), 0.3), 0);
  assert.equal(quantile(Float32Array.of(7), 0.5), 7);
});

test("a quantile is that of the ordered values, with and without equal ones", () => {
  for (const levels of [1e6, 5]) {
    let seed = 1;
    const draw = () => Math.floor(((seed = (seed * 48271) % 2147483647) / 2147483647) * levels);
    const values = Float32Array.from({ length: 1001 }, draw);
    const ordered = values.slice().sort();
    for (const place of [0, 1, 250, 500, 999, 1000]) {
      assert.equal(quantile(values, place / 1000), ordered[place]);
    }
  }
});

test("Otsu's threshold parts two groups", () => {
  const threshold = otsuThreshold(Float32Array.of(0, 0.1, 0.05, 0.9, 1, 0.95));
  assert.ok(threshold > 0.1 && threshold < 0.9);
});

test("the component with the most saliency, or with the most pixels, and its half-open box", () => {
  const map = picture(
    "11....", //
    "11..9.",
    "1....9",
  );
  const found = locate(map, [3, 6], 0.5);
  assert.deepEqual(found.box, [4, 1, 6, 3]);
  assert.deepEqual([...found.mask], [...picture("......", "....1.", ".....1")]);
  assert.deepEqual([...found.foreground], [...picture("11....", "11..1.", "1....1")]);
  assert.deepEqual(locate(map, [3, 6], 0.5, { bySaliency: false }).box, [0, 0, 2, 3]);
});

test("rows do not touch around the edges of the map", () => {
  const map = picture("...1", "1..1", "1...");
  assert.deepEqual(locate(map, [3, 4], 0.5).box, [3, 0, 4, 2]);
  assert.deepEqual(locate(picture("1111", "1111").with(7, 0), [2, 4], 0.5).box, [0, 0, 4, 2]);
});

test("where nothing can be found it says so", () => {
  assert.throws(() => locate(picture("12"), [1, 2], 2), /No object found: no pixel is above/);
  assert.throws(() => locate(picture("33"), [1, 2], 2), /No object found: the map is the same everywhere/);
  assert.throws(() => otsuThreshold(picture("33")), /the same everywhere/);
  assert.throws(() => locate(Float32Array.of(-1, 1), [1, 2], 0), /no values below 0/);
});
