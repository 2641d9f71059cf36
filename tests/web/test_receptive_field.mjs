import assert from "node:assert/strict";
import { test } from "node:test";

import { receptiveField } from "../../web/receptive_field.js";

const chain = (...layers) => ({
  layers: layers.map((layer, i) => ({ name: `${i}`, reads: [i ? `${i - 1}` : "input"], ...layer })),
});
const convolution = (side, step = 1, border = 0) => ({
  kind: "convolution",
  kernel: [side, side],
  stride: [step, step],
  padding: [border, border],
});
const pooling = (side, step) => ({ kind: "max_pooling", kernel: [side, side], stride: [step, step] });

test("fields grow from layer to layer as by hand", () => {
  const layers = [convolution(5), { kind: "relu" }, pooling(2, 2), convolution(5)];
  const network = chain({ kind: "normalization" }, ...layers);
  const field = (name, place) => receptiveField(network, name, place, [28, 28]);
  assert.deepEqual(field("0", [3, 4]), [4, 3, 5, 4]);
  assert.deepEqual(field("2", [3, 4]), [4, 3, 9, 8]);
  assert.deepEqual(field("3", [3, 4]), [8, 6, 14, 12]);
  assert.deepEqual(field("4", [3, 4]), [8, 6, 22, 20]);
});

test("what is outside of the image is cut off", () => {
  const network = chain(convolution(3, 2, 1));
  assert.deepEqual(receptiveField(network, "0", [0, 2], [6, 5]), [3, 0, 5, 2]);
});

test("of joined outputs the wider field counts, and a layer without positions sees all", () => {
  const network = {
    layers: [
      { name: "narrow", reads: ["input"], ...convolution(1) },
      { name: "wide", reads: ["input"], ...convolution(3, 1, 1) },
      { name: "both", reads: ["narrow", "wide"], kind: "concatenation" },
      { name: "mean", reads: ["both"], kind: "average" },
      { name: "flat", reads: ["mean"], kind: "flatten" },
      { name: "scores", reads: ["flat"], kind: "linear" },
    ],
  };
  assert.deepEqual(receptiveField(network, "both", [4, 4], [9, 9]), [3, 3, 6, 6]);
  for (const name of ["mean", "scores"]) {
    assert.deepEqual(receptiveField(network, name, [0, 0], [9, 8]), [0, 0, 8, 9]);
  }
});
