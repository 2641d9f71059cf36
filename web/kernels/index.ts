// What the page's network computes with: the kinds of layers of paper §4, there and back. Numbers
// are 32-bit floats in one memory, a pointer is the byte at which they begin, and pictures lie
// channel by channel, row by row. Compiled to WebAssembly by web/build.mjs.

export { border, convolve, crop, pack, spread } from "./convolution";
export { multiply, multiplyBack } from "./linear";
export { average, averageBack, maxPool, maxPoolBack } from "./pooling";
export { rectify, rectifyBack } from "./relu";

/** The first byte of memory that the kernels do not use themselves. */
export const free = <i32>__heap_base;
