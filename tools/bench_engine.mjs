// Times the network in the page beside onnxruntime-web on the same graph, in turns, on one thread
// of Node: `node tools/bench_engine.mjs FOLDER`, which tools/bench_engine.py calls. The folder has
// the kernels, and of each network its script, its graph and an image.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { decoded } from "../web/half.js";
import { Network } from "../web/network.js";

const ROUNDS = 9; // the median of which is printed
const MILLISECONDS = 400; // of one round

const folder = resolve(process.argv[2]);
const require = createRequire(join(folder, "package.json"));
const ort = await import(pathToFileURL(require.resolve("onnxruntime-web")));
ort.env.wasm.numThreads = 1;
const kernels = new WebAssembly.Module(await readFile(join(folder, "kernels.wasm")));

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function timed(pass) {
  const start = performance.now();
  let count = 0;
  while (performance.now() < start + MILLISECONDS || count < 2) {
    await pass();
    count++;
  }
  return (performance.now() - start) / count;
}

for (const name of process.argv.slice(3)) {
  const { description, weights, shape, image, target } = JSON.parse(
    await readFile(join(folder, `${name}.json`)),
  );
  const network = new Network(kernels, description, decoded(weights), shape.slice(1));
  const values = Float32Array.from(image);
  const session = await ort.InferenceSession.create(await readFile(join(folder, `${name}.onnx`)));
  const feeds = {
    image: new ort.Tensor("float32", values, [1, ...shape]),
    class: new ort.Tensor("int64", BigInt64Array.from([BigInt(target)]), [1]),
  };
  let gradient;
  const both = () => {
    network.image.set(values);
    network.forward();
    network.backward(target);
  };
  const one = () => {
    network.image.set(values);
    network.forward(target);
    network.backward(target);
  };
  const theirs = async () => ({ gradient } = await session.run(feeds));
  await theirs();
  both();
  const ours = network.view("input", "signal");
  const worst = gradient.data.reduce((most, value, i) => Math.max(most, Math.abs(value - ours[i])), 0);
  const times = { both: [], one: [], theirs: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.both.push(await timed(both));
    times.theirs.push(await timed(theirs));
    times.one.push(await timed(one));
  }
  const [a, b, c] = [times.both, times.one, times.theirs].map(median);
  const ratio = median(times.theirs.map((value, i) => value / times.both[i]));
  console.log(
    `${name.padEnd(16)} ours ${a.toFixed(2)} ms, one class ${b.toFixed(2)} ms, ` +
      `onnxruntime-web ${c.toFixed(2)} ms, ${ratio.toFixed(2)} times; gradients differ by ${worst.toExponential(0)}`,
  );
}
