// A drawing in the form of MNIST's digits, on which the network was trained: the longer side of
// what is drawn becomes 20 pixels, and its center of mass the middle of 28 x 28, by a shift of
// whole pixels (LeCun et al., 1998). A held-out digit of MNIST itself comes out as it is.

import { resample, taps } from "./images.js";

export const SIDE = 28;
const LONGER_SIDE = 20;
// fainter pixels at the border do not count as drawn
const INK = 0.05;

// Where a drawing, a Float32Array (height, width) of ink from 0 to 1, goes: {box, size, top, left},
// or null if nothing is drawn. `box` is half-open [x0, y0, x1, y1] in the drawing; it becomes
// `size` [height, width], laid at `top` and `left` of the digit.
export function placeInDigit(drawing, [height, width]) {
  const box = inkBox(drawing, height, width);
  if (!box) return null;
  const [across, down] = [box[2] - box[0], box[3] - box[1]];
  const scale = LONGER_SIDE / Math.max(across, down);
  const size = [down, across].map((length) => Math.max(1, Math.round(length * scale)));
  const [y, x] = centerOfMass(resized(drawing, width, box, size), size);
  // MNIST's centers of mass lie from 14 on, below 15; and nothing that is drawn is cut off
  const start = (center, length) => Math.min(Math.max(Math.ceil(SIDE / 2 - center), 0), SIDE - length);
  return { box, size, top: start(y, size[0]), left: start(x, size[1]) };
}

// The digit (28, 28) of a drawing, all zeros if nothing is drawn. A place that is kept from before
// holds a digit still while parts of it are erased or added.
export function digitOf(drawing, [height, width], place = placeInDigit(drawing, [height, width])) {
  const digit = new Float32Array(SIDE * SIDE);
  if (!place) return digit;
  const { box, size, top, left } = place;
  const small = resized(drawing, width, box, size);
  for (let y = 0; y < size[0]; y++) {
    digit.set(small.subarray(y * size[1], (y + 1) * size[1]), (top + y) * SIDE + left);
  }
  return digit;
}

// a sample digit of a description: base64 of a byte for each pixel
export function sampleOf(base64) {
  return Float32Array.from(atob(base64), (byte) => byte.charCodeAt(0) / 255);
}

function inkBox(drawing, height, width) {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (drawing[y * width + x] < INK) continue;
      [x0, y0] = [Math.min(x0, x), Math.min(y0, y)];
      [x1, y1] = [Math.max(x1, x + 1), Math.max(y1, y + 1)];
    }
  }
  return x1 > 0 ? [x0, y0, x1, y1] : null;
}

// the part of a drawing in a box, at another size
function resized(drawing, width, [x0, y0, x1, y1], size) {
  const rowOf = (y) => drawing.subarray((y0 + y) * width + x0, (y0 + y) * width + x1);
  return resample(rowOf, 1, taps(y1 - y0, size[0]), taps(x1 - x0, size[1]));
}

function centerOfMass(picture, [height, width]) {
  let [mass, y, x] = [0, 0, 0];
  picture.forEach((ink, at) => {
    mass += ink;
    y += ink * (Math.floor(at / width) + 0.5);
    x += ink * ((at % width) + 0.5);
  });
  return mass ? [y / mass, x / mass] : [height / 2, width / 2];
}
