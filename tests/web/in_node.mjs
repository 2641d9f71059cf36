// Calls the modules of web/ for the Python tests: reads {body, values} from the standard input, runs
// the body of a function that knows the modules and the values, and writes what it returns.
// Arrays travel as {type, data}, base64 of their bytes.

import { readFileSync, readdirSync } from "node:fs";

// all but the program that builds, and the two that need what it makes
const NEED_A_PAGE = ["engine.js", "worker.js"];
const WEB = new URL("../../web/", import.meta.url);
const FILES = readdirSync(WEB).filter((name) => name.endsWith(".js") && !NEED_A_PAGE.includes(name));
const NAMES = FILES.map((name) => name.replace(".js", ""));
const ARRAYS = { Float32Array, Float64Array, Uint8Array, Uint8ClampedArray, Uint16Array, Uint32Array };

const modules = await Promise.all(FILES.map((name) => import(new URL(name, WEB))));
const { body, values } = JSON.parse(readFileSync(0, "utf8"), (_, value) => {
  if (!(value?.type in ARRAYS)) return value;
  const bytes = Uint8Array.from(Buffer.from(value.data, "base64"));
  return new ARRAYS[value.type](bytes.buffer);
});
const called = new Function(...NAMES, ...Object.keys(values), body);
const returned = called(...modules, ...Object.values(values));
console.log(
  JSON.stringify(returned, (_, value) => {
    if (!ArrayBuffer.isView(value)) return value;
    const data = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    return { type: value.constructor.name, data };
  }),
);
