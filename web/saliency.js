// Saliency maps (paper §3.1): from a signal at the image, (channels, height, width), to a map
// (height, width); SmoothGrad (Smilkov et al., 2017) and ten crops as means that grow.

import { roundEven } from "./images.js";

// max over channels of |signal|: how much the most sensitive channel matters, at least 0
export function magnitude(signal, channels) {
  const map = new Float32Array(signal.length / channels);
  for (let c = 0; c < channels; c++) {
    const plane = c * map.length;
    for (let i = 0; i < map.length; i++) map[i] = Math.max(map[i], Math.abs(signal[plane + i]));
  }
  return map;
}

// sum over channels: how the score changes when all channels of a pixel rise alike
export function signed(signal, channels) {
  const map = new Float32Array(signal.length / channels);
  for (let c = 0; c < channels; c++) {
    const plane = c * map.length;
    for (let i = 0; i < map.length; i++) map[i] += signal[plane + i];
  }
  return map;
}

// sum over channels of signal times image: what a pixel adds to the tangent's score, in logits
export function timesInput(signal, image, channels) {
  const products = new Float32Array(signal.length);
  for (let i = 0; i < products.length; i++) products[i] = signal[i] * image[i];
  return signed(products, channels);
}

// a copy of an image with normal noise, of a standard deviation in units of intensity
export function noisy(image, noise, generator) {
  return image.map((value) => value + noise * generator.normal());
}

// the mean of all that was added so far; SmoothGrad is the `magnitude` of the mean signal
export class RunningMean {
  count = 0;
  #sum;

  constructor(length) {
    this.#sum = new Float64Array(length);
  }

  add(values) {
    this.count++;
    for (let i = 0; i < values.length; i++) this.#sum[i] += values[i];
  }

  get mean() {
    const mean = new Float32Array(this.#sum.length);
    for (let i = 0; i < mean.length; i++) mean[i] = this.#sum[i] / (this.count || 1);
    return mean;
  }
}

// [[top, left]] of the crops of a resized photo: its corners and its middle, or as many more as
// cover a long photo. Each is also seen mirrored, so five places make the paper's ten crops.
export function cropPlaces([height, width], [h, w]) {
  const corners = starts(height, h).flatMap((top) => starts(width, w).map((left) => [top, left]));
  const middle = [roundEven((height - h) / 2), roundEven((width - w) / 2)];
  const places = new Map([...corners, middle].map((place) => [String(place), place]));
  return [...places.values()];
}

function starts(length, size) {
  const count = length > size ? Math.max(2, Math.ceil(length / size)) : 1;
  return Array.from({ length: count }, (_, i) => roundEven((i * (length - size)) / Math.max(count - 1, 1)));
}

// the part of a planar image (channels, height, width) of a size at a place, mirrored if asked
export function crop(image, [channels, height, width], [top, left], [h, w], mirrored = false) {
  const part = new Float32Array(channels * h * w);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const at = (c * height + top + y) * width + left;
      const row = part.subarray((c * h + y) * w, (c * h + y + 1) * w);
      row.set(image.subarray(at, at + w));
      if (mirrored) row.reverse();
    }
  }
  return part;
}

// maps of crops, laid back to where the crops lie: each pixel's mean over those that show it
export class CropMean {
  #size;
  #sum;
  #shown;

  constructor([height, width]) {
    this.#size = [height, width];
    this.#sum = new Float64Array(height * width);
    this.#shown = new Uint16Array(height * width);
  }

  add(map, [top, left], [h, w], mirrored = false) {
    const width = this.#size[1];
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const at = (top + y) * width + left + x;
        this.#sum[at] += map[y * w + (mirrored ? w - 1 - x : x)];
        this.#shown[at]++;
      }
    }
  }

  // 0 where no crop was added yet
  get mean() {
    const mean = new Float32Array(this.#sum.length);
    for (let i = 0; i < mean.length; i++) mean[i] = this.#sum[i] / (this.#shown[i] || 1);
    return mean;
  }
}
