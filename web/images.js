// Photos on their way to a network and maps on their way to the screen, as lib/deepinside/images.py
// and plots.py do it. A photo comes as ImageData (or anything with data, width and height); an image
// is planar, a Float32Array (channels, height, width) in [0, 1]; what is drawn is RGBA again.

// a picture of more pixels is refused before it is decoded
const MAX_PIXELS = 200_000_000;
// of a larger picture only so many are decoded, and a resized photo may not have more
const KEPT_PIXELS = 4_000_000;

// to the nearest whole number, a half to the even one, as Python rounds
export function roundEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

// ---- photos

// The size at which createImageBitmap shall decode a picture, as {resizeWidth, resizeHeight}: its own
// if it is small, else one that still has two pixels for one of the network's. Its own size is known
// before it is decoded: an <img> has it as naturalWidth and naturalHeight, upright.
export function decodeSize(width, height, resizedSide) {
  const pixels = width * height;
  if (!(pixels > 0)) throw new Error("This picture has no pixels.");
  if (pixels > MAX_PIXELS) {
    const most = `${MAX_PIXELS / 1e6} million pixels`;
    throw new Error(`This picture is too large: ${width} × ${height}; at most ${most} can be read.`);
  }
  const enough = (2 * resizedSide) / Math.min(width, height);
  const scale = Math.min(1, Math.max(Math.sqrt(KEPT_PIXELS / pixels), enough));
  const side = (length) => Math.max(1, Math.round(length * scale));
  return { resizeWidth: side(width), resizeHeight: side(height) };
}

// {image, view}: the network's input, cut from the middle of a photo whose shorter side is resized,
// and where it lies. `network` is a description; another size than its own resizes in proportion.
export function fitPhoto(photo, network, size = network.input.slice(1)) {
  const resizedSize = sizeResized(photo, network, size);
  const [top, left] = [0, 1].map((axis) => roundEven((resizedSize[axis] - size[axis]) / 2));
  const view = { photoSize: [photo.height, photo.width], resizedSize, top, left, size };
  return { image: inChannelsOf(network, resampled(photo, view)), view };
}

// {image, view} of the whole resized photo, for the ten crops
export function resizePhoto(photo, network, size = network.input.slice(1)) {
  const [height, width] = sizeResized(photo, network, size);
  if (height * width > KEPT_PIXELS) {
    throw new Error(`This photo is too long for ten crops: ${photo.width} × ${photo.height}.`);
  }
  return squashPhoto(photo, network, [height, width]);
}

// {image, view} of the whole photo resized to a size, whatever its aspect ratio
export function squashPhoto(photo, network, size) {
  const view = { photoSize: [photo.height, photo.width], resizedSize: size, top: 0, left: 0, size };
  return { image: inChannelsOf(network, resampled(photo, view)), view };
}

function sizeResized({ width, height }, network, size) {
  const known = Math.max(...network.input.slice(1));
  const side = roundEven((network.resized_side * Math.max(...size)) / known);
  // the longer side is rounded down, as torchvision does
  return [height, width].map((length) => Math.floor((length * side) / Math.min(height, width)));
}

function inChannelsOf(network, image) {
  if (network.input[0] === 3) return image;
  const pixels = image.length / 3;
  const gray = new Float32Array(pixels);
  for (let i = 0; i < pixels; i++) gray[i] = (image[i] + image[pixels + i] + image[2 * pixels + i]) / 3;
  return gray;
}

function resampled(photo, { photoSize, resizedSize, top, left, size }) {
  const down = taps(photoSize[0], resizedSize[0], top, size[0]);
  const across = taps(photoSize[1], resizedSize[1], left, size[1]);
  const line = new Float32Array(3 * photo.width);
  const image = resample((y) => overWhite(photo, y, line), 3, down, across);
  // rounding may leave [0, 1] by the last bit
  return image.map((value) => Math.min(Math.max(value, 0), 1));
}

// one row of a photo, transparent parts white, planar
function overWhite({ data, width }, y, line) {
  for (let x = 0, at = 4 * y * width; x < width; x++, at += 4) {
    const alpha = data[at + 3] / 255;
    for (let c = 0; c < 3; c++) line[c * width + x] = (data[at + c] / 255) * alpha + (1 - alpha);
  }
  return line;
}

// What each of `count` places from `first` on takes when a length is resized: [{start, weights}].
// A triangle as wide as two resized pixels, or as two of the source's when it grows: bilinear, and
// without aliasing when it shrinks, as torch's interpolate with antialias=True.
export function taps(length, resized, first = 0, count = resized) {
  const scale = length / resized;
  const reach = Math.max(scale, 1);
  return Array.from({ length: count }, (_, i) => {
    const center = scale * (first + i + 0.5);
    const start = Math.max(Math.floor(center - reach + 0.5), 0);
    const end = Math.min(Math.floor(center + reach + 0.5), length);
    const weights = new Float64Array(end - start);
    for (let j = 0; j < weights.length; j++) {
      weights[j] = Math.max(0, 1 - Math.abs(start + j + 0.5 - center) / reach);
    }
    const sum = weights.reduce((a, b) => a + b, 0);
    return { start, weights: weights.map((weight) => weight / sum) };
  });
}

// A picture resized along both axes by their taps. `rowOf(y)` is a row of it, planar.
export function resample(rowOf, channels, down, across) {
  const [w, h] = [across.length, down.length];
  const [begin, last] = [down[0].start, down[h - 1]];
  const rows = last.start + last.weights.length - begin;
  const narrow = new Float32Array(rows * channels * w);
  for (let y = 0; y < rows; y++) {
    const line = rowOf(begin + y);
    const width = line.length / channels;
    for (let c = 0; c < channels; c++) {
      for (let x = 0; x < w; x++) {
        const { start, weights } = across[x];
        let sum = 0;
        for (let j = 0; j < weights.length; j++) sum += weights[j] * line[c * width + start + j];
        narrow[(y * channels + c) * w + x] = sum;
      }
    }
  }
  const image = new Float32Array(channels * h * w);
  down.forEach(({ start, weights }, y) => {
    for (let c = 0; c < channels; c++) {
      for (let x = 0; x < w; x++) {
        let sum = 0;
        for (let j = 0; j < weights.length; j++) {
          sum += weights[j] * narrow[((start - begin + j) * channels + c) * w + x];
        }
        image[(c * h + y) * w + x] = sum;
      }
    }
  });
  return image;
}

// ---- a brush that takes parts away

// sets a mask (height, width) to 1 within a radius of the line from one point [x, y] to another,
// with an edge of one pixel; what is covered stays covered
export function brush(mask, [height, width], [x0, y0], [x1, y1], radius) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const limits = (a, b, end) => [
    Math.max(Math.floor(Math.min(a, b) - radius - 1), 0),
    Math.min(Math.ceil(Math.max(a, b) + radius + 1), end),
  ];
  const [[left, right], [top, bottom]] = [limits(x0, x1, width), limits(y0, y1, height)];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      // the point of the line that is nearest to the middle of this pixel
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = length ? Math.min(Math.max((px * dx + py * dy) / length, 0), 1) : 0;
      const inside = radius + 0.5 - Math.hypot(px - along * dx, py - along * dy);
      const at = y * width + x;
      mask[at] = Math.max(mask[at], Math.min(Math.max(inside, 0), 1));
    }
  }
}

// an image with what takes its place under a mask: another image, such as itself blurred, or black
export function covered(image, mask, replacement = null) {
  return image.map((value, i) => {
    const share = mask[i % mask.length];
    return value + share * ((replacement ? replacement[i] : 0) - value);
  });
}

// An image (channels, height, width) blurred by a Gaussian of `sigma` pixels. Outside of the image
// it is mirrored; or `outside` is "zero", for zero-centered images (regularizers.py).
export function gaussianBlur(image, [channels, height, width], sigma, outside = "mirror") {
  if (!(sigma > 0)) return image.slice();
  const reach = Math.ceil(3 * sigma);
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const sum = kernel.reduce((a, b) => a + b, 0);
  kernel.forEach((weight, i) => (kernel[i] = weight / sum));
  const blurred = image.slice();
  for (let c = 0; c < channels; c++) {
    const plane = blurred.subarray(c * height * width, (c + 1) * height * width);
    for (let y = 0; y < height; y++) blurLine(plane, y * width, 1, width, kernel, outside);
    for (let x = 0; x < width; x++) blurLine(plane, x, width, height, kernel, outside);
  }
  return blurred;
}

// a row (step 1) or a column (step the width), in place
function blurLine(plane, first, step, length, kernel, outside) {
  const reach = (kernel.length - 1) / 2;
  const padded = new Float64Array(length + 2 * reach);
  for (let i = -reach; i < length + reach; i++) {
    if (i >= 0 && i < length) padded[reach + i] = plane[first + i * step];
    else if (outside === "mirror") padded[reach + i] = plane[first + mirrored(i, length) * step];
  }
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (let j = 0; j < kernel.length; j++) sum += kernel[j] * padded[i + j];
    plane[first + i * step] = sum;
  }
}

// -1 is 1, -2 is 2, and so on, at both ends and as often as needed
function mirrored(i, length) {
  const period = Math.max(2 * (length - 1), 1);
  const place = Math.abs(i) % period;
  return Math.min(place, period - place) % length;
}

// ---- what is drawn

// nine colors from the low end of a scale to its high end, those of plots.py: magma begins with
// black, which is zero; RdBu_r has zero in its middle, which is white
export const COLORS = {
  magma: [
    "#000004", "#1d1147", "#51127c", "#832681", "#b73779", "#e75263", "#fc8961", "#fec488", "#fcfdbf",
  ],
  RdBu_r: [
    "#053061", "#2a71b2", "#6bacd1", "#c2ddec", "#f7f6f6", "#fbccb4", "#e48066", "#ba2832", "#67001f",
  ],
};
const STEPS = 256; // even, so that the middle of a signed scale is one of them
const TABLES = Object.fromEntries(Object.entries(COLORS).map(([name, stops]) => [name, table(stops)]));

// where the scale of a map ends: at its largest magnitude, or at 1 if all is zero
export function largest(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most || 1;
}

// a map in its colors, RGBA: from 0 to `end` in magma, or signed from -end to end in RdBu_r
export function colored(values, end = largest(values), { signed = false } = {}) {
  const colors = TABLES[signed ? "RdBu_r" : "magma"];
  const pixels = new Uint32Array(values.length);
  const [zero, steps] = signed ? [STEPS / 2, STEPS / 2] : [0, STEPS];
  for (let i = 0; i < values.length; i++) {
    const step = Math.round(zero + (values[i] / end) * steps);
    pixels[i] = colors[Math.min(Math.max(step, 0), STEPS)];
  }
  return new Uint8ClampedArray(pixels.buffer);
}

// an image (channels, height, width), RGB or gray, as RGBA; what is not in [0, 1] is cut off
export function pixelsOf(image, channels) {
  const count = image.length / channels;
  const pixels = new Uint8ClampedArray(4 * count);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = 255 * image[channels === 3 ? c * count + i : i];
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

// STEPS + 1 colors between stops, each four bytes as one number
function table(stops) {
  const colors = new Uint32Array(STEPS + 1);
  const bytes = new Uint8ClampedArray(colors.buffer);
  const parts = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  for (let i = 0; i <= STEPS; i++) {
    const place = (i / STEPS) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    const [a, b] = [parts[below], parts[below + 1]];
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = a[c] + (place - below) * (b[c] - a[c]);
    bytes[4 * i + 3] = 255;
  }
  return colors;
}
