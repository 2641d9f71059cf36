// The explorer of the three rules for ReLU, answered in the page for the reader's own photo. What
// it says is what deepinside.explorers.deconvnet says.

import { fitPhoto, pixelsOf } from "../images.js";
import { quantile } from "../localization.js";

export const NETWORKS = ["squeezenet"];

const END = 0.99; // the quantile of magnitudes at which white and black are

const lengthOf = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

function correlation(a, b) {
  const less = (values) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Float64Array.from(values, (value) => value - mean);
  };
  const [x, y] = [less(a), less(b)];
  return x.reduce((sum, value, i) => sum + value * y[i], 0) / (lengthOf(x) * lengthOf(y));
}

// the layer at whose output a module of the Python network ends: the module itself, or of one that
// has layers the last that reads from one of them
function lastOf({ layers }, module) {
  const isWithin = (name) => name.startsWith(`${module}.`);
  const known = layers.find(({ name }) => name === module);
  return (known ?? layers.findLast(({ reads }) => reads.some(isWithin))).name;
}

export async function answer(engine, state, photo, { squeezenet }, { layers, rules }) {
  const [channels, ...size] = squeezenet.input;
  const { image } = fitPhoto(photo, squeezenet, size);
  const begin = { network: "squeezenet", size, image };
  const module = layers[state.layer];
  const carriedBack = async (rule) => {
    if (module) {
      const layer = lastOf(squeezenet, module);
      return (await engine.ask({ ...begin, do: "reconstruction", layer, rule })).signal;
    }
    const { scores } = await engine.ask({ ...begin, do: "scores" });
    const target = scores.indexOf(Math.max(...scores));
    return (await engine.ask({ ...begin, do: "signal", target, rule })).signal;
  };
  const signal = await carriedBack(rules[state.rule]);
  const norm = lengthOf(signal) / lengthOf(await carriedBack("gradient"));
  const likeness = correlation(signal, image).toFixed(2).replace("-0.00", "0.00");
  const end = quantile(signal.map(Math.abs), END);
  const shown = signal.map((value) => 0.5 + (0.5 * value) / end);
  const how = `from ${state.layer} by the rule ${state.rule}`;
  const alt = `your photo: ${how}, correlation ${likeness} with the photo.`;
  return {
    panels: [
      { title: "photo", alt: "The photo, cropped: your photo.", size, pixels: pixelsOf(image, channels) },
      { title: "signal, gray is zero", alt, size, pixels: pixelsOf(shown, channels) },
    ],
    numbers: [
      ["correlation with the photo", likeness],
      ["norm, over that of the gradient's signal", String(Number(norm.toPrecision(3)))],
    ],
  };
}
