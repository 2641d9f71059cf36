// Pooling, there and back. Max-pooling keeps switches, the place of each window's largest value,
// and its way back sends each signal there; where windows overlap, signals add (§4). Over all
// positions of a channel: the average, whose way back gives all the same, and the largest value.

/**
 * Max-pooling of windows that may overlap and, at the far edges, reach over the picture.
 *
 * The switches are places within a channel; of equal values the first is taken.
 */
export function maxPool(
  input: usize, channels: i32, height: i32, width: i32, windowHeight: i32, windowWidth: i32,
  strideDown: i32, strideAcross: i32, output: usize, outputHeight: i32, outputWidth: i32,
  switches: usize,
): void {
  // four windows beside each other at a time, as long as none reaches over the edge
  const whole = max(0, (width - windowWidth) / strideAcross + 1);
  const inFours = min(whole, outputWidth) / 4 * 4;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < outputHeight; row++) {
      const top = row * strideDown, bottom = min(top + windowHeight, height);
      for (let column = 0; column < outputWidth;) {
        const left = column * strideAcross;
        const isFour = column < inFours;
        if (isFour) poolFour(input, width, top, bottom, left, windowWidth, strideAcross, output, switches);
        else poolOne(input, width, top, bottom, left, min(left + windowWidth, width), output, switches);
        const count = isFour ? 4 : 1;
        column += count;
        output += (<usize>count) << 2;
        switches += (<usize>count) << 2;
      }
    }
    input += (<usize>(height * width)) << 2;
  }
}

@inline
function poolFour(
  input: usize, width: i32, top: i32, bottom: i32, left: i32, windowWidth: i32, stride: i32,
  output: usize, switches: usize,
): void {
  const apart = i32x4.mul(i32x4(0, 1, 2, 3), i32x4.splat(stride));
  let best = i32x4.add(i32x4.splat(top * width + left), apart);
  let largest = fourApart(input + ((<usize>(top * width + left)) << 2), stride);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < left + windowWidth; x++) {
      const place = y * width + x;
      const value = fourApart(input + ((<usize>place) << 2), stride);
      const isLarger = f32x4.gt(value, largest);
      largest = v128.bitselect(value, largest, isLarger);
      best = v128.bitselect(i32x4.add(i32x4.splat(place), apart), best, isLarger);
    }
  }
  v128.store(output, largest);
  v128.store(switches, best);
}

// four numbers that lie `stride` numbers apart
@inline
function fourApart(from: usize, stride: i32): v128 {
  const step = (<usize>stride) << 2;
  let four = v128.load_splat<f32>(from);
  four = v128.load_lane<f32>(from + step, four, 1);
  four = v128.load_lane<f32>(from + 2 * step, four, 2);
  return v128.load_lane<f32>(from + 3 * step, four, 3);
}

@inline
function poolOne(
  input: usize, width: i32, top: i32, bottom: i32, left: i32, right: i32, output: usize,
  switches: usize,
): void {
  let best = top * width + left;
  let largest = load<f32>(input + ((<usize>best) << 2));
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const place = y * width + x;
      const value = load<f32>(input + ((<usize>place) << 2));
      if (value > largest) {
        largest = value;
        best = place;
      }
    }
  }
  store<f32>(output, largest);
  store<i32>(switches, best);
}

/** Send each signal to its switch; `output` is the pooling's input, of `size` places a channel. */
export function maxPoolBack(
  signal: usize, channels: i32, count: i32, switches: usize, output: usize, size: i32, add: bool,
): void {
  const bytes = (<usize>size) << 2;
  if (!add) memory.fill(output, 0, <usize>channels * bytes);
  for (let channel = 0; channel < channels; channel++) {
    for (let i = 0; i < count; i++) {
      const place = output + ((<usize>load<i32>(switches)) << 2);
      store<f32>(place, load<f32>(place) + load<f32>(signal));
      signal += 4;
      switches += 4;
    }
    output += bytes;
  }
}

/** The mean of each channel's `size` places. */
export function average(input: usize, channels: i32, size: i32, output: usize): void {
  for (let channel = 0; channel < channels; channel++) {
    let sum: f64 = 0;
    for (let i = 0; i < size; i++) {
      sum += load<f32>(input);
      input += 4;
    }
    store<f32>(output, <f32>(sum / size));
    output += 4;
  }
}

/** Share each channel's signal among its places. */
export function averageBack(
  signal: usize, channels: i32, size: i32, output: usize, add: bool,
): void {
  for (let channel = 0; channel < channels; channel++) {
    const share = load<f32>(signal) / <f32>size;
    for (let i = 0; i < size; i++) {
      store<f32>(output, add ? load<f32>(output) + share : share);
      output += 4;
    }
    signal += 4;
  }
}
