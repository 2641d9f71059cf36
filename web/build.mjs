// Builds what the playground's page loads, from the sources in this folder: `node web/build.mjs
// FOLDER`, which `make` calls. The kernels are compiled to WebAssembly and put into the worker's
// script, this as a text into the page's: one classic script, which works from a server and from
// the disk alike.

import { mkdir, readFile, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";

import asc from "assemblyscript/asc";
import { build } from "esbuild";

const WEB = import.meta.dirname;
const PAGE = join(WEB, "playground");

// of the browsers that have the 128-bit SIMD of WebAssembly
const OPTIONS = { bundle: true, minify: true, format: "iife", target: "es2022", charset: "utf8" };

// the memory is its user's, who also says what lies where; nothing is allocated or checked
const COMPILER_OPTIONS = [
  "--optimizeLevel", "3", "--shrinkLevel", "0", "--converge",
  "--enable", "simd",
  "--runtime", "stub",
  "--importMemory", "--noExportMemory",
  "--noAssert", "--uncheckedBehavior", "always",
];

async function compile(source, target) {
  const { error, stderr } = await asc.main([source, "--outFile", target, ...COMPILER_OPTIONS]);
  if (error) throw new Error(`${source} could not be compiled:\n${stderr}`);
}

// `import value from "name"` for what is made here and is no file of a folder
function made(name, loader, make) {
  return {
    name,
    setup({ onResolve, onLoad }) {
      const filter = new RegExp(`^${RegExp.escape(name)}$`);
      onResolve({ filter }, () => ({ path: name, namespace: name }));
      onLoad({ filter, namespace: name }, async () => ({ contents: await make(), loader }));
    },
  };
}

async function bundledWorker(wasm) {
  const { outputFiles } = await build({
    ...OPTIONS,
    entryPoints: [join(WEB, "worker.js")],
    plugins: [made("kernels.wasm", "binary", () => readFile(wasm))],
    write: false,
  });
  return outputFiles[0].text;
}

// what all panels share comes first
async function styles() {
  const names = (await readdir(PAGE)).filter((name) => name.endsWith(".css")).sort();
  const ordered = new Set(["playground.css", ...names]);
  return Array.from(ordered, (name) => `@import "./${name}";`).join("\n");
}

async function main(folder) {
  const wasm = join(folder, "kernels.wasm");
  await mkdir(folder, { recursive: true });
  await compile(join(WEB, "kernels", "index.ts"), wasm);
  await build({
    ...OPTIONS,
    entryPoints: {
      playground: join(PAGE, "playground.js"),
      explorers_kernel: join(WEB, "explorers", "explorers.js"),
    },
    plugins: [made("worker-source", "text", () => bundledWorker(wasm))],
    outdir: folder,
  });
  await build({
    ...OPTIONS,
    stdin: { contents: await styles(), loader: "css", resolveDir: PAGE },
    outfile: join(folder, "playground.css"),
  });
}

await main(resolve(process.argv[2]));
