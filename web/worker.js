// The network's thread: what the page asks for is computed here, one request after the other, and
// a class model climbs in between. The page's side is engine.js.

import kernelBytes from "kernels.wasm";

import { classActivationMap } from "./class_activation.js";
import { Ascent } from "./class_model.js";
import { decoded } from "./half.js";
import { randomized } from "./limits.js";
import { Network } from "./network.js";

const KEPT = 3; // networks that are ready; a large one takes 40 MB
const SLICE = 12; // ms of climbing at a time, after which requests are heard
const FRAME = 33; // ms from one picture of an ascent to the next

const kernels = new WebAssembly.Module(kernelBytes);
const packed = new Map(); // name -> {description, weights}
const ready = new Map(); // those used last come last
let ascent = null;
let isRunning = false;
let shownAt = 0;

function networkOf({ network: name, size, random = 0 }) {
  const key = [name, ...size, random].join();
  let network = ready.get(key);
  if (!network) {
    const { description, weights } = packed.get(name);
    const own = random ? randomized(weights, description, random) : weights;
    network = new Network(kernels, description, own, size);
  }
  ready.delete(key);
  ready.set(key, network);
  if (ready.size > KEPT) ready.delete(ready.keys().next().value);
  return network;
}

// the network, with the request's image in it
function shown(request) {
  const network = networkOf(request);
  if (request.image.length !== network.image.length) {
    throw new Error(`expected an image of ${network.inputShape}, got ${request.image.length} values`);
  }
  network.image.set(request.image);
  return network;
}

const answers = {
  load({ description, weights }) {
    packed.set(description.name, { description, weights: decoded(weights) });
  },

  scores: (request) => ({ scores: shown(request).forward().slice() }),

  signal(request) {
    const network = shown(request);
    const scores = network.forward().slice();
    return {
      scores,
      signal: network.backward(request.target, request.rule).slice(),
      shape: network.inputShape,
    };
  },

  activation(request) {
    const network = shown(request);
    network.forward();
    return { values: network.view(request.layer).slice(), shape: network.tensors.get(request.layer).shape };
  },

  reconstruction({ layer, rule, channel, position, ...request }) {
    const network = shown(request);
    network.forward();
    const signal = network.view(layer).slice();
    const [channels, height = 1, width = 1] = network.tensors.get(layer).shape;
    if (channel !== undefined) {
      const first = channel * height * width;
      signal.fill(0, 0, first).fill(0, first + height * width);
    }
    if (position !== undefined) {
      const place = position[0] * width + position[1];
      for (let i = 0; i < channels * height * width; i++) if (i % (height * width) !== place) signal[i] = 0;
    }
    return { signal: network.backwardFrom(layer, signal, rule).slice(), shape: network.inputShape };
  },

  cam: (request) => classActivationMap(shown(request), request.target),

  ascend({ how, target, start, seed, ...request }) {
    isRunning = false;
    ascent = new Ascent(networkOf(request), { target, start, seed }, how);
    showAscent();
  },

  // a whole ascent: every so many steps the image, with its scores and norm; NaN once it diverged
  climb({ how, target, start, steps, every, ...request }) {
    const network = networkOf(request);
    const climbing = new Ascent(network, { target, start }, how);
    const snapshots = [];
    for (let step = 0; step <= steps; step++) {
      if (step) climbing.step();
      if (step % every) continue;
      const { image, hasDiverged, now } = climbing;
      const scores = network.forward().slice();
      if (hasDiverged) [image, scores].forEach((values) => values.fill(NaN));
      snapshots.push({ image, scores, norm: hasDiverged ? NaN : now.norm });
    }
    return { snapshots };
  },

  how({ how }) {
    ascent.how = how;
  },

  run() {
    isRunning = true;
    goOn();
  },

  pause() {
    isRunning = false;
    showAscent();
  },

  step() {
    ascent.step();
    showAscent();
  },
};

function showAscent() {
  const { image, now } = ascent;
  shownAt = performance.now();
  postMessage({ frame: { image, ...now } }, [image.buffer]);
}

// a message to itself comes after the page's that are waiting; one is enough
const climb = new MessageChannel();
let isComing = false;

function goOn() {
  if (!isComing) climb.port2.postMessage(null);
  isComing = true;
}

climb.port1.onmessage = () => {
  isComing = false;
  if (!isRunning) return;
  const end = performance.now() + SLICE;
  while (isRunning && performance.now() < end) {
    ascent.step();
    if (ascent.hasDiverged) isRunning = false;
  }
  if (!isRunning || performance.now() - shownAt > FRAME) showAscent();
  if (isRunning) goOn();
};

onmessage = ({ data: { id, request } }) => {
  try {
    const answer = answers[request.do](request) ?? {};
    const buffers = Object.values(answer)
      .filter(ArrayBuffer.isView)
      .map(({ buffer }) => buffer);
    postMessage({ id, answer }, buffers);
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
