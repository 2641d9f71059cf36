// Controls of chapter *Limits*, as in deepinside.limits: the map of a network with random weights in
// its upper layers, how much it is like that of the trained one, and the edges, which know no network.

import { Generator } from "./random.js";

// the layers that have weights, the class scores' first
export function layersTopDown({ layers }) {
  return layers.filter(({ weight }) => weight).toReversed();
}

// a copy of the weights, random in the `count` upper layers: of variance 2 / inputs (He et al., 2015),
// and with biases 0
export function randomized(weights, description, count, seed = 0) {
  const generator = new Generator(seed);
  const copy = weights.slice();
  for (const { outputs, weight, bias } of layersTopDown(description).slice(0, count)) {
    const deviation = Math.sqrt((2 * outputs) / weight[1]);
    for (let i = weight[0]; i < weight[0] + weight[1]; i++) copy[i] = deviation * generator.normal();
    copy.fill(0, bias[0], bias[0] + bias[1]);
  }
  return copy;
}

// The rank correlation (Spearman) of two maps: 1 for the same order of the pixels, 0 for unrelated
// orders, -1 for the reverse; null where a map has one value and no order.
export const rankCorrelation = (map, other) => correlationOfRanks(ranks(map), ranks(other));

// the same of the maps' ranks
export function correlationOfRanks(a, b) {
  const middle = (a.length - 1) / 2;
  let [both, ofMap, ofOther] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    both += (a[i] - middle) * (b[i] - middle);
    ofMap += (a[i] - middle) ** 2;
    ofOther += (b[i] - middle) ** 2;
  }
  return ofMap && ofOther ? both / Math.sqrt(ofMap * ofOther) : null;
}

// from 0 on; equal values have the mean of their ranks
export function ranks(values) {
  const order = Uint32Array.from(values, (_, i) => i).sort((i, j) => values[i] - values[j]);
  const ranked = new Float64Array(values.length);
  for (let first = 0, next; first < order.length; first = next) {
    next = first + 1;
    while (next < order.length && values[order[next]] === values[order[first]]) next++;
    for (let i = first; i < next; i++) ranked[order[i]] = (first + next - 1) / 2;
  }
  return ranked;
}

// how strong the edges of an image are, by a Sobel filter of the mean over its channels; what lies
// outside is as the border is
export function edgeMap(image, [channels, height, width]) {
  const pixels = height * width;
  const gray = new Float32Array(pixels);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < pixels; i++) gray[i] += image[c * pixels + i] / channels;
  }
  const edges = new Float32Array(pixels);
  for (let y = 0; y < height; y++) {
    const [up, here, down] = [Math.max(y - 1, 0), y, Math.min(y + 1, height - 1)].map((row) => row * width);
    for (let x = 0; x < width; x++) {
      const [left, right] = [Math.max(x - 1, 0), Math.min(x + 1, width - 1)];
      const [a, b, c] = [gray[up + left], gray[up + x], gray[up + right]];
      const [d, e] = [gray[here + left], gray[here + right]];
      const [f, g, h] = [gray[down + left], gray[down + x], gray[down + right]];
      const across = (c + 2 * e + h - a - 2 * d - f) / 4;
      const along = (f + 2 * g + h - a - 2 * b - c) / 4;
      edges[here + x] = Math.sqrt((across ** 2 + along ** 2) / 2);
    }
  }
  return edges;
}
