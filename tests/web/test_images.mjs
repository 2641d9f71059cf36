import assert from "node:assert/strict";
import test from "node:test";

import {
  brush,
  colored,
  COLORS,
  covered,
  decodeSize,
  fitPhoto,
  gaussianBlur,
  largest,
  pixelsOf,
  resizePhoto,
  roundEven,
  squashPhoto,
} from "../../web/images.js";

const SQUEEZENET = { input: [3, 227, 227], resized_side: 256 };
const GRAY = { input: [1, 2, 2], resized_side: 2 };
const plain = (width, height, ...rgba) => ({
  width,
  height,
  data: Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => rgba[i % 4]),
});
const close = (a, b, by = 1e-6) => assert.ok(Math.abs(a - b) <= by, `${a} is not ${b}`);

test("a half is rounded to the even number", () => {
  assert.deepEqual([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6].map(roundEven), [0, 2, 2, 0, -2, 2, -3]);
});

test("a small picture is decoded as it is, a large one at a size that is enough", () => {
  assert.deepEqual(decodeSize(1, 1, 256), { resizeWidth: 1, resizeHeight: 1 });
  assert.deepEqual(decodeSize(1600, 1200, 256), { resizeWidth: 1600, resizeHeight: 1200 });
  const { resizeWidth, resizeHeight } = decodeSize(12_000, 9_000, 256);
  assert.ok(resizeWidth * resizeHeight < 4_010_000 && resizeHeight >= 512);
  close(resizeWidth / resizeHeight, 12 / 9, 1e-3);
  // of a long one, two pixels for one of the network's are kept
  assert.equal(decodeSize(40_000, 1024, 256).resizeHeight, 512);
});

test("a picture that is too large or empty is refused", () => {
  assert.throws(() => decodeSize(20_000, 20_000, 256), /too large: 20000 × 20000; at most 200 million/);
  assert.throws(() => decodeSize(0, 20, 256), /no pixels/);
  const long = plain(2000, 2, 0, 0, 0, 255);
  assert.throws(() => resizePhoto(long, SQUEEZENET), /too long for ten crops: 2000 × 2/);
});

test("a photo of one color stays so, also one of a single pixel; transparent parts are white", () => {
  for (const [width, height] of [[1, 1], [300, 200], [3, 500]]) {
    const { image, view } = fitPhoto(plain(width, height, 255, 51, 0, 255), SQUEEZENET);
    assert.equal(image.length, 3 * 227 * 227);
    for (const [c, value] of [1, 0.2, 0].entries()) close(image[c * 227 * 227 + 5000], value);
    assert.equal(view.size[0], 227);
  }
  close(squashPhoto(plain(4, 4, 0, 0, 0, 51), SQUEEZENET, [2, 2]).image[0], 0.8);
});

test("a network of gray images gets the channels' mean, of the photo's middle", () => {
  const data = new Uint8ClampedArray(4 * 2 * 4).fill(255);
  for (const x of [1, 2]) data.set([0, 51, 102], 4 * x);
  const { image, view } = fitPhoto({ width: 4, height: 2, data }, GRAY);
  assert.deepEqual([view.top, view.left, view.resizedSize], [0, 1, [2, 4]]);
  [0.2, 0.2, 1, 1].forEach((value, i) => close(image[i], value));
});

test("another input size resizes in proportion", () => {
  const { view } = fitPhoto(plain(400, 300, 0, 0, 0, 255), SQUEEZENET, [128, 128]);
  assert.deepEqual(view.resizedSize, [144, 192]);
  assert.deepEqual([view.top, view.left], [8, 32]);
});

test("zero looks like zero: black in magma, white in the middle of the signed scale", () => {
  assert.deepEqual([...colored(Float32Array.of(0, 1, 0.5))], [
    0x00, 0x00, 0x04, 255, 0xfc, 0xfd, 0xbf, 255, 0xb7, 0x37, 0x79, 255,
  ]);
  assert.deepEqual([...colored(Float32Array.of(0, -2, 2), 2, { signed: true })], [
    0xf7, 0xf6, 0xf6, 255, 0x05, 0x30, 0x61, 255, 0x67, 0x00, 0x1f, 255,
  ]);
  assert.deepEqual([...colored(new Float32Array(1))], [0, 0, 4, 255]);
  // what is beyond the scale has its last color
  assert.deepEqual(colored(Float32Array.of(9), 1), colored(Float32Array.of(1), 1));
});

test("every ninth of a scale is one of its stops", () => {
  const map = Float32Array.from({ length: 9 }, (_, i) => i / 8);
  const pixels = colored(map, 1);
  COLORS.magma.forEach((stop, i) => {
    const hex = [...pixels.slice(4 * i, 4 * i + 3)].map((part) => part.toString(16).padStart(2, "0"));
    assert.equal(`#${hex.join("")}`, stop);
  });
});

test("a scale ends at the largest magnitude", () => {
  assert.equal(largest([1, -3, 2]), 3);
  assert.equal(largest([0, 0]), 1);
});

test("an image becomes RGBA", () => {
  const pixels = pixelsOf(Float32Array.of(0, 1, 0.2, 2, -1, 0.6), 3);
  assert.deepEqual([...pixels], [0, 51, 0, 255, 255, 255, 153, 255]);
  assert.deepEqual([...pixelsOf(Float32Array.of(0.2), 1)], [51, 51, 51, 255]);
});

test("a blur spreads a point, keeps its sum, and keeps what is even", () => {
  const point = new Float32Array(2 * 15 * 21);
  point[15 * 21 + 7 * 21 + 10] = 1;
  const blurred = gaussianBlur(point, [2, 15, 21], 1.5);
  close(blurred.reduce((a, b) => a + b, 0), 1, 1e-5);
  close(blurred[15 * 21 + 7 * 21 + 9], blurred[15 * 21 + 6 * 21 + 10]);
  assert.ok(blurred.subarray(0, 15 * 21).every((value) => value === 0));
  for (const value of gaussianBlur(new Float32Array(6).fill(0.5), [1, 2, 3], 12)) close(value, 0.5);
  const zeroOutside = gaussianBlur(new Float32Array(9).fill(1), [1, 3, 3], 1, "zero");
  assert.ok(zeroOutside[0] < zeroOutside[4] && zeroOutside[4] < 1);
  assert.deepEqual(gaussianBlur(point, [2, 15, 21], 0), point);
});

test("a brush covers a round line, and what it covers is replaced", () => {
  const mask = new Float32Array(20 * 30);
  brush(mask, [20, 30], [5, 10], [20, 10], 3);
  const at = (x, y) => mask[y * 30 + x];
  assert.deepEqual([at(12, 10), at(3, 9), at(12, 7), at(12, 5), at(25, 10)], [1, 1, 1, 0, 0]);
  const length = mask.reduce((a, b) => a + b, 0);
  close(length, 15 * 6 + Math.PI * 9, 2);
  brush(mask, [20, 30], [12, 10], [12, 10], 1);
  close(mask.reduce((a, b) => a + b, 0), length);
  brush(mask, [20, 30], [-50, -50], [-40, -40], 3);

  const image = Float32Array.of(0.2, 0.4, 0.6, 0.8);
  const half = Float32Array.of(1, 0.5);
  [0, 0.2, 0, 0.4].forEach((value, i) => close(covered(image, half)[i], value));
  [1, 0.7, 1, 0.9].forEach((value, i) => close(covered(image, half, Float32Array.of(1, 1, 1, 1))[i], value));
});
