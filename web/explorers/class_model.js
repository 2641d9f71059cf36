// The explorer of class models, answered in the page: any λ, any α and the reader's own start.
// What it says is what deepinside.explorers.class_model says.

import { softmax } from "../class_score.js";
import { inTheMiddle } from "../class_model.js";
import { pixelsOf, squashPhoto } from "../images.js";

export const NETWORKS = ["digits", "cluttered_digits"];

const [STEPS, EVERY] = [100, 10];
const SHOWN = 2; // of the snapshots every second one is played

// base64 of 32-bit floats, little endian
const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0)).buffer);

const percent = (values, test) => `${Math.round((100 * values.filter(test).length) / values.length)}%`;

// images (1, h, w) side by side
function sideBySide(images, [height, width]) {
  const all = new Float32Array(images.length * height * width);
  images.forEach((image, i) => {
    for (let y = 0; y < height; y++) {
      const row = image.subarray(y * width, (y + 1) * width);
      all.set(row, (y * images.length + i) * width);
    }
  });
  return all;
}

export async function answer(engine, state, photo, { digits, cluttered_digits: judge }, { starts }) {
  const [, ...size] = digits.input;
  const target = digits.class_names.indexOf(state.class);
  const begun = photo ? squashPhoto(photo, digits, size).image : floats(starts[state.start]);
  const how = { lambda: state.l2_weight, alpha: state.step_size, jitter: 0, blur: 0 };
  const request = {
    do: "climb",
    network: "digits",
    size,
    target,
    start: begun,
    how,
    steps: STEPS,
    every: EVERY,
  };
  const { snapshots } = await engine.ask(request);
  const { image, scores, norm } = snapshots.at(-1);
  const hasDiverged = !Number.isFinite(norm);
  const seen = image.map((value) => Math.min(1, Math.max(0, value)));
  const probability = (all) => softmax(all)[target].toFixed(2);
  const objective = ({ scores: all, norm: length }) => (all[target] - how.lambda * length ** 2).toFixed(1);
  const judged = hasDiverged
    ? null
    : await engine.ask({
        do: "scores",
        network: "cluttered_digits",
        size: judge.input.slice(1),
        image: inTheMiddle(seen, digits.input, judge.input.slice(1)),
      });
  const numbers = [
    ["objective, start to end", () => `${objective(snapshots[0])} to ${objective(snapshots.at(-1))}`],
    ["norm of the image less the mean", () => norm.toFixed(1)],
    ["probability, by the climbed network", () => probability(scores)],
    ["probability, by a second network", () => probability(judged.scores)],
  ].map(([name, value]) => [name, hasDiverged ? "diverged" : value()]);
  const alt = hasDiverged
    ? `No image: the ascent of ${state.class} diverged.`
    : `Class model of ${state.class} after ${STEPS} steps, ${percent(image, (v) => v > 0.6)} of it bright, ` +
      `${percent(image, (v) => v < 0.1)} dark.`;
  const frames = snapshots.filter((_, i) => i % SHOWN === 0).map((snapshot) => snapshot.image);
  const visible = frames.map((frame) => frame.map((value) => (Number.isFinite(value) ? value : 0.5)));
  return {
    panels: [
      {
        title: "start",
        alt: `Where the ascent of ${state.class} started.`,
        size,
        pixels: pixelsOf(begun, 1),
      },
      {
        title: `class model of ${state.class}`,
        alt,
        size,
        pixels: pixelsOf(sideBySide(visible, size), 1),
        frames: frames.length,
      },
    ],
    numbers,
    curve: {
      title: "class score",
      steps: STEPS,
      values: snapshots.map((snapshot) => snapshot.scores[target]),
    },
  };
}
