// A convolution is a matrix product: one row of weights a filter, one column of numbers an output
// pixel, those that lie under the kernel there. The columns of all pixels together would be many
// times as large as the picture, so PIXELS of them at a time are gathered into a panel that stays
// in the processor's cache. The product of FILTERS rows and one panel fits its registers: of four
// numbers each, eight for the sums, two for a row of the panel, one for a weight.
//
// On the way back (§4: the flipped kernel) a convolution of stride 1 is a convolution again, of
// the signal, with each kernel turned by 180 degrees and filters and channels exchanged. Of a
// larger stride it is the transposed product, whose columns are added where they were gathered.

const PIXELS = 8;
const FILTERS = 4;
const FLOAT: usize = 4; // bytes
const ROW: usize = 32; // bytes of a row of a panel
const GROUP: usize = 16; // and of one weight of each filter of a group

/** What a convolution reads, borders included, and how it moves over it. */
@unmanaged
class Geometry {
  channels: i32;
  height: i32;
  width: i32;
  kernelHeight: i32;
  kernelWidth: i32;
  strideDown: i32;
  strideAcross: i32;
  filters: i32;
  outputHeight: i32;
  outputWidth: i32;
}

// the last panel of a picture may have fewer pixels: its sums come here first
const spill = memory.data(PIXELS * 4, 16);
// where the kernel begins in the picture, in bytes, for each pixel of a panel
const corners = memory.data(PIXELS * 4, 16);

/**
 * Convolve a picture.
 *
 * The weights are packed, `groupBytes` from one group of filters to the next. `bias` 0: none.
 * With `add` the result is added to the output. `scratch` holds one panel.
 */
export function convolve(
  geometry: Geometry, input: usize, weights: usize, groupBytes: usize, bias: usize,
  output: usize, add: bool, scratch: usize,
): void {
  const positions = geometry.outputHeight * geometry.outputWidth;
  const depth = geometry.channels * geometry.kernelHeight * geometry.kernelWidth;
  for (let first = 0; first < positions; first += PIXELS) {
    const count = min(PIXELS, positions - first);
    gather(geometry, input, first, count, scratch);
    multiplyPanel(
      geometry.filters, depth, weights, groupBytes, bias, scratch,
      output + <usize>first * FLOAT, <usize>positions * FLOAT, count, add,
    );
  }
}

/**
 * Carry a signal back through a convolution of any stride; `output` is the convolution's input.
 *
 * The packed weights have one row for each channel and place of the kernel, one column a filter.
 * `scratch` holds a panel of the signal and one of the result.
 */
export function spread(
  geometry: Geometry, signal: usize, weights: usize, groupBytes: usize, output: usize,
  scratch: usize,
): void {
  const positions = geometry.outputHeight * geometry.outputWidth;
  const depth = geometry.channels * geometry.kernelHeight * geometry.kernelWidth;
  const result = scratch + <usize>geometry.filters * ROW;
  memory.fill(output, 0, <usize>(geometry.channels * geometry.height * geometry.width) * FLOAT);
  for (let first = 0; first < positions; first += PIXELS) {
    const count = min(PIXELS, positions - first);
    for (let filter = 0; filter < geometry.filters; filter++) {
      const from = signal + <usize>(filter * positions + first) * FLOAT;
      copyRow(from, count, scratch + <usize>filter * ROW);
    }
    multiplyPanel(depth, geometry.filters, weights, groupBytes, 0, scratch, result, ROW, PIXELS, false);
    scatter(geometry, result, first, count, output);
  }
}

/** Write a matrix as `multiplyPanel` reads it: FILTERS rows side by side, the last ones 0. */
export function pack(matrix: usize, rows: i32, depth: i32, packed: usize): void {
  for (let group = 0; group < rows; group += FILTERS) {
    for (let k = 0; k < depth; k++) {
      for (let row = group; row < group + FILTERS; row++) {
        store<f32>(packed, row < rows ? load<f32>(matrix + <usize>(row * depth + k) * FLOAT) : 0);
        packed += FLOAT;
      }
    }
  }
}

/** Copy a picture into the middle of a larger one, whose border is 0. */
export function border(
  input: usize, channels: i32, height: i32, width: i32, top: i32, left: i32, output: usize,
): void {
  const wide = width + 2 * left, high = height + 2 * top;
  memory.fill(output, 0, <usize>(channels * high * wide) * FLOAT);
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < height; y++) {
      const row = output + <usize>((channel * high + top + y) * wide + left) * FLOAT;
      memory.copy(row, input, <usize>width * FLOAT);
      input += <usize>width * FLOAT;
    }
  }
}

/** Take the middle out of a bordered picture, and put it, or add it, to `output`. */
export function crop(
  input: usize, channels: i32, height: i32, width: i32, top: i32, left: i32, output: usize,
  add: bool,
): void {
  const wide = width + 2 * left, high = height + 2 * top;
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < height; y++) {
      const row = input + <usize>((channel * high + top + y) * wide + left) * FLOAT;
      for (let x: usize = 0; x < <usize>width * FLOAT; x += FLOAT) {
        store<f32>(output + x, load<f32>(row + x) + (add ? load<f32>(output + x) : 0));
      }
      output += <usize>width * FLOAT;
    }
  }
}

// The product of all filters and one panel, `depth` numbers deep.
function multiplyPanel(
  filters: i32, depth: i32, weights: usize, groupBytes: usize, bias: usize, panel: usize,
  output: usize, outputBytes: usize, count: i32, add: bool,
): void {
  for (let filter = 0; filter < filters; filter += FILTERS) {
    let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
    let weight = weights;
    let row = panel;
    for (let k = 0; k < depth; k++) {
      const left = v128.load(row);
      const right = v128.load(row, 16);
      let each = v128.load_splat<f32>(weight);
      a0 = f32x4.add(a0, f32x4.mul(each, left));
      a1 = f32x4.add(a1, f32x4.mul(each, right));
      each = v128.load_splat<f32>(weight, 4);
      b0 = f32x4.add(b0, f32x4.mul(each, left));
      b1 = f32x4.add(b1, f32x4.mul(each, right));
      each = v128.load_splat<f32>(weight, 8);
      c0 = f32x4.add(c0, f32x4.mul(each, left));
      c1 = f32x4.add(c1, f32x4.mul(each, right));
      each = v128.load_splat<f32>(weight, 12);
      d0 = f32x4.add(d0, f32x4.mul(each, left));
      d1 = f32x4.add(d1, f32x4.mul(each, right));
      weight += GROUP;
      row += ROW;
    }
    put(a0, a1, filter, bias, output, count, add);
    if (filter + 1 < filters) put(b0, b1, filter + 1, bias, output + outputBytes, count, add);
    if (filter + 2 < filters) put(c0, c1, filter + 2, bias, output + 2 * outputBytes, count, add);
    if (filter + 3 < filters) put(d0, d1, filter + 3, bias, output + 3 * outputBytes, count, add);
    weights += groupBytes;
    output += <usize>FILTERS * outputBytes;
  }
}

// The sums of one filter, with its bias, to where they belong.
@inline
function put(
  left: v128, right: v128, filter: i32, bias: usize, output: usize, count: i32, add: bool,
): void {
  if (bias) {
    const more = v128.load_splat<f32>(bias + <usize>filter * FLOAT);
    left = f32x4.add(left, more);
    right = f32x4.add(right, more);
  }
  if (count == PIXELS) {
    if (add) {
      left = f32x4.add(left, v128.load(output));
      right = f32x4.add(right, v128.load(output, 16));
    }
    v128.store(output, left);
    v128.store(output, right, 16);
    return;
  }
  v128.store(spill, left);
  v128.store(spill, right, 16);
  for (let j: usize = 0; j < <usize>count * FLOAT; j += FLOAT) {
    const old = add ? load<f32>(output + j) : <f32>0;
    store<f32>(output + j, load<f32>(spill + j) + old);
  }
}

@inline
function copyRow(from: usize, count: i32, to: usize): void {
  if (count == PIXELS) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    return;
  }
  for (let j = 0; j < PIXELS; j++) {
    const place = <usize>j * FLOAT;
    store<f32>(to + place, j < count ? load<f32>(from + place) : 0);
  }
}

@inline
function corner(j: i32): usize {
  return <usize>load<i32>(corners + (<usize>j << 2));
}

// Fill the panel's columns: a row for each channel and place of the kernel.
function gather(geometry: Geometry, input: usize, first: i32, count: i32, panel: usize): void {
  const width = geometry.width;
  const isOneRow = place(geometry, first, count);
  const from = corner(0);
  for (let channel = 0; channel < geometry.channels; channel++) {
    for (let y = 0; y < geometry.kernelHeight; y++) {
      let at = input + <usize>((channel * geometry.height + y) * width) * FLOAT;
      for (let x = 0; x < geometry.kernelWidth; x++) {
        if (isOneRow) copyRow(at + from, PIXELS, panel);
        else for (let j = 0; j < PIXELS; j++) store<f32>(panel + <usize>j * FLOAT, load<f32>(at + corner(j)));
        at += FLOAT;
        panel += ROW;
      }
    }
  }
}

// Add the panel's columns to where `gather` would take them from.
function scatter(geometry: Geometry, panel: usize, first: i32, count: i32, output: usize): void {
  const width = geometry.width;
  place(geometry, first, count);
  for (let channel = 0; channel < geometry.channels; channel++) {
    for (let y = 0; y < geometry.kernelHeight; y++) {
      let at = output + <usize>((channel * geometry.height + y) * width) * FLOAT;
      for (let x = 0; x < geometry.kernelWidth; x++) {
        for (let j = 0; j < count; j++) {
          const to = at + corner(j);
          store<f32>(to, load<f32>(to) + load<f32>(panel + <usize>j * FLOAT));
        }
        at += FLOAT;
        panel += ROW;
      }
    }
  }
}

// Find the corners of the panel's pixels; return whether the pixels are neighbors in one row of
// the picture, so that they can be taken at once.
function place(geometry: Geometry, first: i32, count: i32): bool {
  for (let j = 0; j < PIXELS; j++) {
    const pixel = first + min(j, count - 1);
    const y = pixel / geometry.outputWidth, x = pixel % geometry.outputWidth;
    const number = y * geometry.strideDown * geometry.width + x * geometry.strideAcross;
    store<i32>(corners + (<usize>j << 2), number << 2);
  }
  return corner(PIXELS - 1) - corner(0) == ROW - FLOAT;
}
