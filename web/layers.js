// The layers of a network in the page: each goes forward, and carries a signal back (paper §4).
// What they compute with is in kernels/; here is what they keep for the way back, which is all
// that depends on the image: a ReLU its output, as a mask, and a max-pooling its switches.
//
// A layer writes to a tensor: {shape, values, signal}, the last two are pointers. `channels` are
// those that are asked for, [first, count]; with one class they are few in the last layers.

const FLOAT = 4; // bytes
const FILTERS = 4; // the kernels' own: filters that are computed together
const PIXELS = 8; // and pixels

const product = (numbers) => numbers.reduce((all, number) => all * number, 1);
// a tensor's channels from one on
const at = (pointer, shape, channel) => pointer + FLOAT * channel * product(shape.slice(1));

export class Normalization {
  constructor({ mean, std }, [input], memory) {
    const count = product(input.shape);
    // one number for all, for each channel, or for each pixel
    const spread = (numbers) => {
      const each = count / numbers.length;
      return Float32Array.from({ length: count }, (_, i) => numbers[Math.floor(i / each)]);
    };
    [this.mean, this.std] = [spread(mean), spread(std)];
    this.input = input;
    this.memory = memory;
    this.shape = input.shape;
  }

  forward() {
    const [from, to] = [this.input.values, this.output.values].map((p) =>
      this.memory.floats(p, this.mean.length),
    );
    for (let i = 0; i < to.length; i++) to[i] = (from[i] - this.mean[i]) / this.std[i];
  }

  carryBack(_, channels, [add]) {
    const [from, to] = [this.output.signal, this.input.signal].map((p) =>
      this.memory.floats(p, this.mean.length),
    );
    for (let i = 0; i < to.length; i++) to[i] = from[i] / this.std[i] + (add ? to[i] : 0);
  }
}

export class Convolution {
  constructor({ name, outputs, kernel, stride, padding, weight, bias }, [input], memory) {
    const [channels, height, width] = input.shape;
    const bordered = [height + 2 * padding[0], width + 2 * padding[1]];
    const size = [0, 1].map((i) => Math.floor((bordered[i] - kernel[i]) / stride[i]) + 1);
    if (size.some((side) => side < 1)) {
      throw new Error(`${name}: expected at least ${kernel} pixels, got ${height} x ${width}`);
    }
    this.input = input;
    this.memory = memory;
    this.shape = [outputs, ...size];
    this.padding = padding;
    this.bias = memory.put(memory.weights(bias));
    this.taps = product(kernel);
    this.there = memory.geometry([channels, ...bordered, ...kernel, ...stride, outputs, ...size]);
    const kernels = memory.weights(weight);
    this.weights = memory.pack(kernels, outputs, channels * this.taps);
    this.prepareBack(kernels, kernel, stride);
  }

  // of stride 1 the way back is a convolution with turned kernels, of the signal with a border
  prepareBack(kernels, kernel, stride) {
    const [filters, ...size] = this.shape;
    const [channels, height, width] = this.input.shape;
    const border = kernel.map((side, i) => side - 1 - this.padding[i]);
    this.isTurned = stride.every((step) => step === 1) && border.every((pixels) => pixels >= 0);
    const back = new Float32Array(kernels.length);
    for (let filter = 0; filter < filters; filter++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let tap = 0; tap < this.taps; tap++) {
          const weight = kernels[(filter * channels + channel) * this.taps + tap];
          if (this.isTurned) back[(channel * filters + filter + 1) * this.taps - 1 - tap] = weight;
          else back[(channel * this.taps + tap) * filters + filter] = weight;
        }
      }
    }
    if (this.isTurned) {
      this.border = border;
      const around = size.map((side, i) => side + 2 * border[i]);
      this.back = this.memory.geometry([filters, ...around, ...kernel, 1, 1, channels, height, width]);
      this.turned = this.memory.pack(back, channels, filters * this.taps);
      this.memory.needScratch(PIXELS * filters * this.taps);
      this.memory.needBordered(filters * product(around));
    } else {
      this.turned = this.memory.pack(back, channels * this.taps, filters);
      this.memory.needScratch(PIXELS * (filters + channels * this.taps));
    }
    this.memory.needScratch(PIXELS * channels * this.taps);
    this.memory.needBordered(channels * (height + 2 * this.padding[0]) * (width + 2 * this.padding[1]));
  }

  // a picture with a border of zeros, or itself where there is none
  bordered(pointer, channels, [height, width], [top, left]) {
    if (!top && !left) return pointer;
    const { kernels, border } = this.memory;
    kernels.border(pointer, channels, height, width, top, left, border);
    return border;
  }

  forward([first, count]) {
    const { kernels, scratch } = this.memory;
    const [channels, ...size] = this.input.shape;
    const group = FILTERS * channels * this.taps * FLOAT;
    // whole groups of filters
    const from = first - (first % FILTERS);
    this.memory.setFilters(
      this.there,
      Math.min(Math.ceil((first + count) / FILTERS) * FILTERS, this.shape[0]) - from,
    );
    const picture = this.bordered(this.input.values, channels, size, this.padding);
    const weights = this.weights + (from / FILTERS) * group;
    const output = at(this.output.values, this.shape, from);
    kernels.convolve(this.there, picture, weights, group, this.bias + FLOAT * from, output, false, scratch);
  }

  carryBack(_, [first, count], [add]) {
    const { kernels, scratch, border } = this.memory;
    const [filters, ...size] = this.shape;
    const [channels, height, width] = this.input.shape;
    const signal = at(this.output.signal, this.shape, first);
    // the weights of the filters before the first are passed over
    const taps = this.isTurned ? this.taps : 1;
    const weights = this.turned + FLOAT * FILTERS * first * taps;
    const group = FLOAT * FILTERS * filters * taps;
    if (this.isTurned) {
      const picture = this.bordered(signal, count, size, this.border);
      this.memory.setChannels(this.back, count);
      kernels.convolve(this.back, picture, weights, group, 0, this.input.signal, add, scratch);
      return;
    }
    this.memory.setFilters(this.there, count);
    kernels.spread(this.there, signal, weights, group, border, scratch);
    kernels.crop(border, channels, height, width, ...this.padding, this.input.signal, add);
  }
}

// in its input's place
export class ReLU {
  constructor(_, [input], memory) {
    this.input = input;
    this.memory = memory;
    this.shape = input.shape;
    this.isInPlace = true;
  }

  forward([first, count]) {
    this.memory.kernels.rectify(
      at(this.output.values, this.shape, first),
      count * product(this.shape.slice(1)),
    );
  }

  carryBack(rule, [first, count]) {
    const { signal, values } = this.output;
    const [from, mask] = [signal, values].map((pointer) => at(pointer, this.shape, first));
    this.memory.kernels.rectifyBack(from, mask, count * product(this.shape.slice(1)), rule);
  }
}

export class MaxPooling {
  constructor({ kernel, stride, ceil_mode: isCeil }, [input], memory) {
    const [channels, ...size] = input.shape;
    const steps = size.map((side, i) => (side - kernel[i]) / stride[i]);
    this.input = input;
    this.memory = memory;
    // torch has a last window only where it begins within the picture
    const outputs = steps.map((count, i) => {
      const windows = isCeil ? Math.ceil(count) : Math.floor(count);
      return (windows * stride[i] >= size[i] ? windows - 1 : windows) + 1;
    });
    this.shape = [channels, ...outputs];
    this.window = [...kernel, ...stride];
    this.switches = memory.allocate(product(this.shape));
  }

  forward([first, count]) {
    const [, height, width] = this.input.shape;
    const [input, output] = [
      at(this.input.values, this.input.shape, first),
      at(this.output.values, this.shape, first),
    ];
    const switches = at(this.switches, this.shape, first);
    const [, ...size] = this.shape;
    this.memory.kernels.maxPool(input, count, height, width, ...this.window, output, ...size, switches);
  }

  carryBack(_, [first, count], [add]) {
    const [output, signal] = [
      at(this.input.signal, this.input.shape, first),
      at(this.output.signal, this.shape, first),
    ];
    const [places, pixels] = [this.shape, this.input.shape].map((shape) => product(shape.slice(1)));
    const switches = at(this.switches, this.shape, first);
    this.memory.kernels.maxPoolBack(signal, count, places, switches, output, pixels, add);
  }
}

// the largest value of each channel: one window
export class Maximum extends MaxPooling {
  constructor(_, [input], memory) {
    const kernel = input.shape.slice(1);
    super({ kernel, stride: kernel, ceil_mode: false }, [input], memory);
  }
}

export class Average {
  constructor(_, [input], memory) {
    this.input = input;
    this.memory = memory;
    this.shape = [input.shape[0], 1, 1];
    this.places = product(input.shape.slice(1));
  }

  forward([first, count]) {
    const [input, output] = [
      at(this.input.values, this.input.shape, first),
      at(this.output.values, this.shape, first),
    ];
    this.memory.kernels.average(input, count, this.places, output);
  }

  carryBack(_, [first, count], [add]) {
    const [output, signal] = [
      at(this.input.signal, this.input.shape, first),
      at(this.output.signal, this.shape, first),
    ];
    this.memory.kernels.averageBack(signal, count, this.places, output, add);
  }
}

// its inputs are written into it, one after the other
export class Concatenation {
  constructor(_, inputs) {
    const [, ...size] = inputs[0].shape;
    this.shape = [inputs.reduce((sum, { shape }) => sum + shape[0], 0), ...size];
    this.isInPlace = true;
  }

  forward() {}

  carryBack() {}
}

export class Flatten {
  constructor(_, [input]) {
    this.shape = [product(input.shape)];
    this.isInPlace = true;
  }

  forward() {}

  carryBack() {}
}

export class Linear {
  constructor({ name, outputs, weight, bias }, [input], memory) {
    this.inputs = product(input.shape);
    if (weight[1] !== outputs * this.inputs) {
      throw new Error(
        `${name}: expected ${weight[1] / outputs} inputs, got ${this.inputs}; is the image of another size?`,
      );
    }
    this.input = input;
    this.memory = memory;
    this.shape = [outputs];
    [this.matrix, this.bias] = [weight, bias].map((place) => memory.put(memory.weights(place)));
  }

  rows(first) {
    return this.matrix + FLOAT * first * this.inputs;
  }

  forward([first, count]) {
    const output = this.output.values + FLOAT * first;
    this.memory.kernels.multiply(
      this.input.values,
      this.inputs,
      this.rows(first),
      this.bias + FLOAT * first,
      count,
      output,
    );
  }

  carryBack(_, [first, count], [add]) {
    const signal = this.output.signal + FLOAT * first;
    this.memory.kernels.multiplyBack(signal, count, this.rows(first), this.inputs, this.input.signal, add);
  }
}

export const KINDS = {
  normalization: Normalization,
  convolution: Convolution,
  relu: ReLU,
  max_pooling: MaxPooling,
  maximum: Maximum,
  average: Average,
  concatenation: Concatenation,
  flatten: Flatten,
  linear: Linear,
};
