import assert from "node:assert/strict";
import test from "node:test";

import { Generator } from "../../web/random.js";

const drawn = (seed, count, name) => {
  const generator = new Generator(seed);
  return Array.from({ length: count }, () => generator[name]());
};

// xoshiro128++ and splitmix32 once more, in whole numbers of any size
function reference(seed, count) {
  const [word, mask] = [2n ** 32n, 2n ** 32n - 1n];
  const rotated = (x, bits) => ((x << bits) | (x >> (32n - bits))) & mask;
  const state = [1n, 2n, 3n, 4n].map((i) => {
    let z = (BigInt(seed) + i * 0x9e3779b9n) % word;
    z = ((z ^ (z >> 16n)) * 0x21f0aaadn) % word;
    z = ((z ^ (z >> 15n)) * 0x735a2d97n) % word;
    return z ^ (z >> 15n);
  });
  return Array.from({ length: count }, () => {
    const [a, b, c, d] = state;
    const result = (rotated((a + d) % word, 7n) + a) % word;
    const [c1, d1] = [c ^ a, d ^ b];
    state.splice(0, 4, a ^ d1, b ^ c1, c1 ^ ((b << 9n) & mask), rotated(d1, 11n));
    return Number(result);
  });
}

test("the numbers are those of the algorithms it names", () => {
  for (const seed of [0, 1, 20, 4294967295]) assert.deepEqual(drawn(seed, 50, "whole"), reference(seed, 50));
});

test("the same seed gives the same numbers, another one others", () => {
  assert.deepEqual(drawn(3, 20, "normal"), drawn(3, 20, "normal"));
  assert.notDeepEqual(drawn(3, 20, "normal"), drawn(4, 20, "normal"));
});

test("uniform numbers fill [0, 1) evenly", () => {
  const counts = new Array(10).fill(0);
  for (const value of drawn(5, 100_000, "uniform")) counts[Math.floor(value * 10)]++;
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 400, `${count} of 100,000 in a tenth`);
});

test("normal numbers have mean 0, deviation 1, and the tails of a normal distribution", () => {
  const values = drawn(6, 100_000, "normal");
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  assert.ok(Math.abs(mean(values)) < 0.01);
  assert.ok(Math.abs(mean(values.map((value) => value ** 2)) - 1) < 0.02);
  assert.ok(Math.abs(mean(values.map((value) => value ** 4)) - 3) < 0.15);
  const beyond = values.filter((value) => Math.abs(value) > 1.96).length;
  assert.ok(Math.abs(beyond - 5000) < 300, `${beyond} beyond 1.96`);
});

test("neighbors are independent", () => {
  const values = drawn(7, 100_000, "normal");
  const products = values.slice(1).map((value, i) => value * values[i]);
  assert.ok(Math.abs(products.reduce((a, b) => a + b, 0) / products.length) < 0.015);
});
