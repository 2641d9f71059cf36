import assert from "node:assert/strict";
import test from "node:test";

import { MAPS, endOf } from "../../web/playground/photo_maps.js";
import { magnitude } from "../../web/saliency.js";

const SHAPE = [3, 4, 4];
const PIXELS = 16;
// a photo of 4 x 6 pixels, of which the network sees the middle
const VIEW = { resizedSize: [4, 6], top: 0, left: 1, size: [4, 4] };

const ramp = (length) => Float32Array.from({ length }, (_, i) => (i % 7) / 7);

// the signal of a network whose score is half the sum of squares: the image itself
function given() {
  const asked = [];
  const ask = async (request) => {
    asked.push(request);
    if (request.do === "cam") return { values: Float32Array.of(-1, 0, 2, 3), shape: [2, 2] };
    return { signal: request.image.slice(), scores: Float32Array.of(request.target) };
  };
  const image = ramp(3 * PIXELS);
  const whole = () => new Float32Array(3 * 24).fill(0.5);
  return { asked, ask, image, shape: SHAPE, target: 5, rule: "guided", random: 2, whole, view: VIEW };
}

async function grown(kind, passes, how = given()) {
  const map = MAPS[kind].begin(how);
  let result;
  for (let i = 0; i < passes; i++) result = await map.grow();
  return { map, result, asked: how.asked };
}

test("maps of one pass ask once, with class, rule and random layers", async () => {
  for (const kind of ["saliency", "signed", "input"]) {
    const { map, result, asked } = await grown(kind, 1);
    assert.equal(map.passes, 1);
    assert.equal(asked.length, 1);
    const { image: _, ...rest } = asked[0];
    assert.deepEqual(rest, { do: "signal", target: 5, rule: "guided", random: 2 });
    assert.deepEqual([...result.scores], [5]);
    assert.ok(MAPS[kind].hasScores);
  }
  const image = ramp(3 * PIXELS);
  const at = (i) => [0, 1, 2].map((c) => image[c * PIXELS + i]);
  const squares = at(3).reduce((sum, value) => sum + value * value, 0);
  assert.ok(Math.abs((await grown("input", 1)).result.values[3] - squares) < 1e-6);
  assert.ok(Math.abs((await grown("signed", 1)).result.values[3] - at(3).reduce((a, b) => a + b)) < 1e-6);
  assert.deepEqual((await grown("saliency", 1)).result.values, magnitude(image, 3));
});

test("ten crops of a signal that is the image have the image's map as their mean", async () => {
  const { map, result, asked } = await grown("ten_crops", 6);
  // two corners and the middle, each also mirrored: the photo is as high as the crop
  assert.equal(map.passes, 6);
  assert.equal(asked.length, 6);
  assert.ok(asked.every(({ image }) => image.length === 3 * PIXELS));
  const expected = magnitude(ramp(3 * PIXELS), 3);
  result.values.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6));
});

test("SmoothGrad's mean comes to that of the clean image, and begins the same each time", async () => {
  const { map, result } = await grown("smooth_grad", 400);
  assert.equal(map.passes, Infinity);
  const expected = magnitude(ramp(3 * PIXELS), 3);
  result.values.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 0.04));
  const [one, other] = [await grown("smooth_grad", 2), await grown("smooth_grad", 2)];
  assert.deepEqual(one.result.values, other.result.values);
  assert.notDeepEqual([...one.asked[0].image], [...one.asked[1].image]);
});

test("a class activation map is enlarged bilinearly and keeps its signs", async () => {
  const { result } = await grown("cam", 1);
  const { values } = result;
  assert.equal(values.length, PIXELS);
  const [corners, expected] = [[0, 3, 12, 15], [-1, 0, 2, 3]];
  corners.forEach((place, i) => assert.ok(Math.abs(values[place] - expected[i]) < 1e-5));
  // one pixel in, and down: a quarter of the way
  assert.ok(Math.abs(values[5] - (-1 + 0.25 * 1 + 0.25 * 3)) < 1e-5);
});

test("units are of the score, and of it per intensity", () => {
  const units = Object.values(MAPS).map(({ unit }) => unit);
  assert.deepEqual([...new Set(units)], ["score per intensity", "score"]);
});

test("a scale ends at the highest percentile 99 of the maps, and nowhere at 0", () => {
  const map = Float32Array.from({ length: 101 }, (_, i) => -i);
  assert.equal(endOf([map, map.map((value) => value / 2)]), 99);
  const sparse = new Float32Array(1000);
  sparse[7] = -3;
  assert.equal(endOf([sparse]), 3);
  assert.equal(endOf([new Float32Array(10)]), 1);
});
