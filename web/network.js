// A network in the page: its layers, made from a description that the Python package writes
// (lib/deepinside/description.py), and their memory. Forward: images to class scores. Backward: a
// signal at any layer to the image, by the rules of paper §4; from a class score, with the rule
// "gradient", it is dS_c/dI.

import { RULES } from "./deconvnet.js";
import { KINDS } from "./layers.js";

const PAGE = 65536; // bytes, by which WebAssembly's memory grows
const LINE = 64; // bytes to which tensors are aligned
const FLOAT = 4;

const product = (numbers) => numbers.reduce((all, number) => all * number, 1);

// The kernels' memory: what is taken stays until the network goes.
class Memory {
  constructor(kernels, weights) {
    this.memory = new WebAssembly.Memory({ initial: 1 });
    const instance = new WebAssembly.Instance(kernels, { env: { memory: this.memory } });
    this.kernels = instance.exports;
    this.all = weights;
    this.end = Math.ceil(this.kernels.free.value / LINE) * LINE;
    this.scratchSize = 0;
    this.borderSize = 0;
  }

  allocate(count) {
    const pointer = this.end;
    this.end += Math.ceil((count * FLOAT) / LINE) * LINE;
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return pointer;
  }

  floats(pointer, count) {
    return new Float32Array(this.memory.buffer, pointer, count);
  }

  put(numbers) {
    const pointer = this.allocate(numbers.length);
    this.floats(pointer, numbers.length).set(numbers);
    return pointer;
  }

  // a place in the description: the first number and how many
  weights([first, count]) {
    return this.all.subarray(first, first + count);
  }

  pack(matrix, rows, depth) {
    const packed = this.allocate(Math.ceil(rows / 4) * 4 * depth);
    const before = this.end;
    this.kernels.pack(this.put(matrix), rows, depth, packed);
    this.end = before;
    return packed;
  }

  geometry(numbers) {
    const pointer = this.allocate(numbers.length);
    new Int32Array(this.memory.buffer, pointer, numbers.length).set(numbers);
    return pointer;
  }

  setChannels(geometry, channels) {
    new Int32Array(this.memory.buffer, geometry, 1)[0] = channels;
  }

  setFilters(geometry, filters) {
    new Int32Array(this.memory.buffer, geometry, 8)[7] = filters;
  }

  // all convolutions share one place for panels, and one for pictures with a border
  needScratch(count) {
    this.scratchSize = Math.max(this.scratchSize, count);
  }

  needBordered(count) {
    this.borderSize = Math.max(this.borderSize, count);
  }

  share() {
    this.scratch = this.allocate(this.scratchSize);
    this.border = this.allocate(this.borderSize);
  }
}

export class Network {
  /**
   * `kernels` is the compiled module of kernels/, `weights` all of the network's as 32-bit floats.
   * `size` is [height, width] of the images, if not that of the network's training.
   */
  constructor(kernels, description, weights, size = description.input.slice(1)) {
    this.memory = new Memory(kernels, weights);
    this.description = description;
    this.weights = weights;
    this.inputShape = [description.input[0], ...size];
    const tensors = new Map([["input", { shape: this.inputShape }]]);
    this.layers = description.layers.map((described) => {
      const inputs = described.reads.map((name) => tensors.get(name));
      const layer = new KINDS[described.kind](described, inputs, this.memory);
      layer.output = { shape: layer.shape };
      tensors.set(described.name, layer.output);
      return Object.assign(layer, { name: described.name, kind: described.kind, reads: described.reads });
    });
    this.tensors = tensors;
    this.memory.share();
    this.place();
    this.scores = this.layers.at(-1).output;
    // from this layer on a class has channels of its own
    this.head = this.layers.findLastIndex(({ kind }) => kind === "convolution" || kind === "linear");
  }

  // Give each tensor its memory, the last one first: a layer that works in place hands its own on
  // to those that it reads, which nobody else may read then.
  place() {
    const readers = this.layers.flatMap(({ reads }) => reads);
    for (const { name, kind, reads, output, isInPlace } of this.layers.toReversed()) {
      if (output.values === undefined) this.allocate(output);
      if (!isInPlace) continue;
      let offset = 0;
      for (const source of reads) {
        if (readers.filter((reader) => reader === source).length > 1) {
          throw new Error(`expected that ${name} alone reads ${source}`);
        }
        const input = this.tensors.get(source);
        input.values = output.values + offset;
        input.signal = output.signal + offset;
        input.isOverwritten = kind === "relu";
        offset += FLOAT * product(input.shape);
      }
    }
    this.allocate(this.tensors.get("input"));
  }

  allocate(tensor) {
    tensor.values = this.memory.allocate(product(tensor.shape));
    tensor.signal = this.memory.allocate(product(tensor.shape));
  }

  view(name, part = "values") {
    const { shape, [part]: pointer } = this.tensors.get(name);
    return this.memory.floats(pointer, product(shape));
  }

  /** The image, (C, H, W) in [0, 1], to be written to. */
  get image() {
    return this.view("input");
  }

  /** What is kept of the forward pass: of each layer that no ReLU overwrites, its name and shape. */
  get activations() {
    const kept = this.layers.filter(({ output, kind }) => !output.isOverwritten && kind !== "flatten");
    return kept.map(({ name, kind, shape }) => ({ name, kind, shape }));
  }

  // the channels that a layer computes where one class is asked for, or all
  channels(index, target) {
    const { shape } = this.layers[index];
    return index >= this.head && target !== null ? [target, 1] : [0, shape[0]];
  }

  /** Go through all layers; with a target only its score is computed. Return the scores. */
  forward(target = null) {
    this.layers.forEach((layer, index) => layer.forward(this.channels(index, target)));
    return this.view(this.layers.at(-1).name);
  }

  /** Carry a class score's signal back, and return that at the image, (C, H, W). */
  backward(target, rule = "gradient") {
    this.memory.floats(this.scores.signal, product(this.scores.shape))[target] = 1;
    return this.carryBack(this.layers.length - 1, rule, target);
  }

  /** Carry a signal of a layer's shape back from its output to the image. */
  backwardFrom(name, signal, rule = "gradient") {
    this.view(name, "signal").set(signal);
    return this.carryBack(
      this.layers.findIndex((layer) => layer.name === name),
      rule,
      null,
    );
  }

  carryBack(start, rule, target) {
    const reached = new Set([this.layers[start].name]);
    for (let index = start; index >= 0; index--) {
      const layer = this.layers[index];
      if (!reached.has(layer.name)) continue;
      // a signal that is there already came from another reader: both add
      layer.carryBack(
        RULES[rule],
        this.channels(index, target),
        layer.reads.map((name) => reached.has(name)),
      );
      for (const name of layer.reads) reached.add(name);
    }
    return this.view("input", "signal");
  }
}
