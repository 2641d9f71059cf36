// float16, in which the weights travel, to float32: a sign, 5 bits of exponent, 10 of mantissa.
// Every float16 is a float32 as well, so nothing is rounded.

// the numbers of base64 text that holds float16, little endian
export function decoded(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return singles(new Uint16Array(bytes.buffer));
}

// Uint16Array of float16's bits -> Float32Array
export function singles(halves) {
  const bits = new Uint32Array(halves.length);
  const values = new Float32Array(bits.buffer);
  for (let i = 0; i < halves.length; i++) {
    const sign = (halves[i] & 0x8000) << 16;
    const exponent = (halves[i] >> 10) & 31;
    const mantissa = halves[i] & 1023;
    if (exponent === 0) {
      // zero and the numbers below 2^-14, which have no leading 1
      values[i] = mantissa * 2 ** -24;
      bits[i] |= sign;
    } else {
      // 31 stands for infinity and what is no number; otherwise the bias goes from 15 to 127
      bits[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
    }
  }
  return values;
}
