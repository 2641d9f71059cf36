// Whether this browser can run the kernels: WebAssembly with 128-bit SIMD, as browsers have it since
// 2023 at the latest.

// the smallest module with such an instruction: (func (result v128) i32.const 0 i8x16.splat)
const SMALLEST = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b], // a type: () -> v128
  ...[0x03, 0x02, 0x01, 0x00], // a function of this type
  ...[0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0x0b], // its code
]);

export function hasSimd() {
  return typeof WebAssembly === "object" && WebAssembly.validate(SMALLEST);
}
