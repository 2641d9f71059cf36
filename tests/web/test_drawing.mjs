import assert from "node:assert/strict";
import { test } from "node:test";

import { marksOf, simplified, spread, textOf } from "../../web/playground/drawing.js";

const LINE = { kind: "p", width: 24, points: [[10, 20], [200, 20.5], [-20, 300]] };
const MARKS = [
  LINE,
  { kind: "e", width: 8, points: [[0, 0]] },
  { kind: "s", across: -10, down: 120 },
  { kind: "t", by: 1 },
  { kind: "t", by: -1 },
  { kind: "c" },
];

test("marks survive their text, to half a pixel", () => {
  assert.deepEqual(marksOf(textOf(MARKS)), MARKS);
  const [line] = marksOf(textOf([{ ...LINE, points: [[10.2, 33.4], [90.9, 5.1]] }]));
  assert.deepEqual(line.points, [[10, 33.5], [91, 5]]);
});

test("the text needs no escape in an address", () => {
  const text = textOf([...MARKS, { kind: "n", index: 7 }, LINE]);
  assert.equal(encodeURIComponent(text), text);
});

test("what a sample covers is not in the text", () => {
  const sample = { kind: "n", index: 3 };
  assert.deepEqual(marksOf(textOf([LINE, sample, MARKS[3]])), [sample, MARKS[3]]);
  assert.deepEqual(marksOf(textOf([{ kind: "n", index: 0 }])), [{ kind: "n", index: 0 }]);
});

test("a text that says no marks gives none", () => {
  for (const text of ["", "p24.", "p24.abc", "p24.abcde", "x3", "t2", "s1", "n12", "t1_", "t1__t1", "c1"]) {
    assert.equal(marksOf(text), null, text);
  }
});

test("a straight line needs its ends alone, and a curve stays where it is", () => {
  const straight = Array.from({ length: 50 }, (_, i) => [i, 2 * i]);
  assert.deepEqual(simplified(straight), [straight[0], straight[49]]);
  const circle = Array.from({ length: 361 }, (_, i) => {
    const angle = (i * Math.PI) / 180;
    return [140 + 80 * Math.cos(angle), 140 + 80 * Math.sin(angle)];
  });
  const few = simplified(circle);
  assert.ok(few.length < 40, `${few.length}`);
  const beside = ([x, y]) =>
    Math.min(
      ...few.slice(1).map(([x1, y1], i) => {
        const [x0, y0] = few[i];
        const along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / Math.hypot(x1 - x0, y1 - y0) ** 2;
        const share = Math.min(Math.max(along, 0), 1);
        return Math.hypot(x - x0 - share * (x1 - x0), y - y0 - share * (y1 - y0));
      }),
    );
  assert.ok(Math.max(...circle.map(beside)) <= 0.7);
});

test("points that return to where they began are kept apart", () => {
  assert.deepEqual(simplified([[0, 0], [50, 0], [0, 0]]), [[0, 0], [50, 0], [0, 0]]);
});

test("thicker is a disk around each pixel, thinner its opposite, and the edge of the page is none", () => {
  const side = 11;
  const dot = new Uint8Array(side * side);
  dot[5 * side + 5] = 200;
  const thick = spread(dot, side, 1);
  thick.forEach((value, at) => {
    const distance = Math.hypot((at % side) - 5, Math.floor(at / side) - 5);
    assert.equal(value, distance <= 3 ? 200 : 0);
  });
  assert.deepEqual(spread(thick, side, -1), dot);
  const full = new Uint8Array(side * side).fill(9);
  assert.deepEqual(spread(full, side, -1), full);
});
