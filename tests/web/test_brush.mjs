import assert from "node:assert/strict";
import test from "node:test";

import { Brushed } from "../../web/playground/brush.js";

const SHAPE = [3, 60, 60];
const PIXELS = 3600;
const image = Float32Array.from({ length: 3 * PIXELS }, (_, i) => ((i * 7919) % 101) / 101);

// a stroke of radius 5 from one point to another
function stroked(kind) {
  const brushed = new Brushed(image, SHAPE);
  brushed.kind = kind;
  brushed.begin();
  brushed.line([20, 30], [40, 30], 5);
  return brushed;
}

test("nothing is taken away at first", () => {
  const brushed = new Brushed(image, SHAPE);
  assert.ok(brushed.isWhole);
  assert.equal(brushed.image, image);
});

test("what is taken away is black, in all channels, and the rest stays", () => {
  const left = stroked("black").image;
  const places = [[20, 30, true], [30, 33, true], [40, 30, true], [30, 45, false], [5, 30, false]];
  for (let c = 0; c < 3; c++) {
    for (const [x, y, isTaken] of places) {
      const at = c * PIXELS + y * 60 + x;
      assert.equal(left[at], isTaken ? 0 : image[at]);
    }
  }
});

test("what is blurred has less contrast and the same mean", () => {
  const inside = (values) => {
    const row = Array.from(values.subarray(30 * 60 + 20, 30 * 60 + 40));
    const mean = row.reduce((a, b) => a + b) / 20;
    return [mean, Math.max(...row) - Math.min(...row)];
  };
  const [mean, contrast] = inside(stroked("blur").image);
  assert.ok(Math.abs(mean - 0.5) < 0.05);
  assert.ok(contrast < 0.1 * inside(image)[1]);
});

test("undo takes back one stroke, restore all", () => {
  const brushed = stroked("black");
  const after = brushed.image;
  brushed.begin();
  brushed.line([10, 10], [10, 10], 5);
  assert.equal(brushed.image[10 * 60 + 10], 0);
  brushed.undo();
  assert.deepEqual(brushed.image, after);
  brushed.undo();
  assert.ok(brushed.isWhole);
  brushed.undo();
  assert.deepEqual(brushed.image, image);
  brushed.begin();
  brushed.line([10, 10], [10, 10], 5);
  brushed.restore();
  assert.ok(brushed.isWhole);
  assert.ok(brushed.mask.every((share) => share === 0));
});

test("after many strokes undo still ends at the whole photo", () => {
  const brushed = new Brushed(image, SHAPE);
  brushed.kind = "black";
  for (let i = 0; i < 150; i++) {
    brushed.begin();
    brushed.line([i % 60, 30], [i % 60, 30], 2);
  }
  for (let i = 0; i < 100; i++) brushed.undo();
  assert.ok(brushed.isWhole);
  assert.deepEqual(brushed.image, image);
});
