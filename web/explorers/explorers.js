// A kernel for the chapters' explorers that needs no Python: it hears the same questions as one of a
// notebook, and gives the same answers (deepinside.explorers.widget). book/_static/explorers.js
// loads it for an explorer whose data say who answers in the page.

import { Engine } from "../engine.js";
import { Networks } from "../playground/networks.js";
import { hasSimd } from "../simd.js";
import * as classModel from "./class_model.js";
import * as deconvnet from "./deconvnet.js";
import { packed } from "./packing.js";

const NO_SIMD = "This browser cannot compute this: it has no WebAssembly with 128-bit SIMD.";
const EXPLORERS = { class_model: classModel, deconvnet };

let engine = null;
const networks = new Networks();
const descriptions = {};

// once for the page, and not before something is asked
async function load(names) {
  engine ??= new Engine();
  for (const name of names) {
    if (descriptions[name]) continue;
    const arrived = await networks.load(name);
    await engine.load(arrived);
    descriptions[name] = arrived.description;
  }
}

async function photoOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height);
}

// Answers the messages of one explorer by `hear`. `page` is what its data hold for this: the
// explorer's name, and what it needs besides the state.
globalThis.kernelInThePage = ({ name, ...needs }, hear) => {
  const explorer = EXPLORERS[name];
  return async ({ kind, id, state, photo }) => {
    if (kind === "hello") return hear({ kind: "alive", by: "page" });
    try {
      if (!hasSimd()) throw new Error(NO_SIMD);
      await load(explorer.NETWORKS);
      const seen = photo && (await photoOf(photo));
      hear({
        kind: "answer",
        id,
        ...packed(await explorer.answer(engine, state, seen, descriptions, needs)),
      });
    } catch (error) {
      hear({ kind: "error", id, message: error.message });
    }
  };
};
