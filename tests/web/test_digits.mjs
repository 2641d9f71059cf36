import assert from "node:assert/strict";
import test from "node:test";

import { brush } from "../../web/images.js";
import { digitOf, placeInDigit, SIDE } from "../../web/digits.js";

const CANVAS = [280, 280];

// strokes from point to point, as a finger makes them
function drawing(points, size = CANVAS) {
  const ink = new Float32Array(size[0] * size[1]);
  points.slice(1).forEach((point, i) => brush(ink, size, points[i], point, 8));
  return ink;
}
const center = (digit) => {
  let [mass, y, x] = [0, 0, 0];
  digit.forEach((ink, at) => {
    mass += ink;
    y += ink * (Math.floor(at / SIDE) + 0.5);
    x += ink * ((at % SIDE) + 0.5);
  });
  return [y / mass, x / mass];
};
const drawnSides = (digit) => {
  const inked = [...digit.keys()].filter((at) => digit[at] > 0.05);
  const sides = [(at) => Math.floor(at / SIDE), (at) => at % SIDE];
  return sides.map((side) => Math.max(...inked.map(side)) - Math.min(...inked.map(side)) + 1);
};
const SEVEN = [[60, 40], [120, 40], [80, 120]];

test("an empty drawing has no place and gives zeros", () => {
  const empty = new Float32Array(280 * 280);
  assert.equal(placeInDigit(empty, CANVAS), null);
  assert.deepEqual(digitOf(empty, CANVAS), new Float32Array(784));
  assert.equal(placeInDigit(empty.fill(0.01), CANVAS), null);
});

test("the longer side becomes 20 pixels, the center of mass the middle", () => {
  for (const by of [0.5, 1, 1.7]) {
    const digit = digitOf(drawing(SEVEN.map(([x, y]) => [x * by, y * by])), CANVAS);
    assert.equal(Math.max(...drawnSides(digit)), 20);
    for (const place of center(digit)) assert.ok(place >= 14 - 1e-6 && place < 15);
  }
});

test("where it is drawn does not matter, nor how large the canvas is", () => {
  const digit = digitOf(drawing(SEVEN), CANVAS);
  assert.deepEqual(digitOf(drawing(SEVEN.map(([x, y]) => [x + 97, y + 31])), CANVAS), digit);
  assert.deepEqual(digitOf(drawing(SEVEN, [150, 400]), [150, 400]), digit);
});

test("nothing is cut off, even if the mass lies at one end", () => {
  const ink = new Float32Array(100 * 100);
  for (let y = 0; y < 100; y++) for (let x = 0; x < 100; x++) if (y >= 95 || x === 50) ink[y * 100 + x] = 1;
  const place = placeInDigit(ink, [100, 100]);
  assert.ok(place.top >= 0 && place.top + place.size[0] <= SIDE);
  const kept = digitOf(ink, [100, 100]).reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(kept * 25 - ink.reduce((a, b) => a + b, 0)) < 20);
});

test("one dot and a thin line are drawn, too", () => {
  const dot = new Float32Array(280 * 280);
  dot[5] = 1;
  assert.deepEqual(drawnSides(digitOf(dot, CANVAS)), [20, 20]);
  const line = new Float32Array(280 * 280);
  for (let y = 10; y < 210; y++) line[y * 280] = 1;
  assert.deepEqual(placeInDigit(line, CANVAS).size, [20, 1]);
});

test("with the place of before, erasing changes nothing but what is erased", () => {
  const ink = drawing(SEVEN);
  const place = placeInDigit(ink, CANVAS);
  const before = digitOf(ink, CANVAS, place);
  const erased = ink.map((value, at) => (Math.floor(at / 280) > 90 ? 0 : value));
  const after = digitOf(erased, CANVAS, place);
  const row = place.top + ((90 - place.box[1]) * place.size[0]) / (place.box[3] - place.box[1]);
  before.forEach((value, at) => {
    const y = Math.floor(at / SIDE);
    if (y < row - 2) assert.equal(after[at], value);
    if (y > row + 2) assert.equal(after[at], 0);
  });
});
