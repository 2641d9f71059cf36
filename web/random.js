// Random numbers from a seed: the same seed gives the same numbers. Uniform ones by xoshiro128++
// (Blackman and Vigna, 2021), whose state splitmix32 makes of the seed; normal ones by Box and
// Muller (1958). Normal ones go through the browser's logarithm and cosine, which may differ in
// the last bit from one browser to another.

const rotated = (x, bits) => (x << bits) | (x >>> (32 - bits));

export class Generator {
  #state = new Uint32Array(4);
  #spare = null; // normal numbers come in pairs

  constructor(seed) {
    let place = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      place = (place + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(place ^ (place >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      this.#state[i] = mixed ^ (mixed >>> 15);
    }
  }

  // a whole number from 0 to 2^32 - 1
  whole() {
    const s = this.#state;
    const drawn = (rotated((s[0] + s[3]) | 0, 7) + s[0]) >>> 0;
    const kept = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= kept;
    s[3] = rotated(s[3], 11);
    return drawn;
  }

  // from 0, 1 excluded
  uniform() {
    return this.whole() / 2 ** 32;
  }

  // of mean 0 and standard deviation 1
  normal() {
    if (this.#spare !== null) {
      const drawn = this.#spare;
      this.#spare = null;
      return drawn;
    }
    const length = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = length * Math.sin(angle);
    return length * Math.cos(angle);
  }
}
