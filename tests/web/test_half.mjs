import assert from "node:assert/strict";
import test from "node:test";

import { decoded, singles } from "../../web/half.js";

test("numbers of every kind", () => {
  const table = [
    [0x0000, 0],
    [0x8000, -0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x03ff, 1023 * 2 ** -24],
    [0x8001, -(2 ** -24)],
    [0x3555, 0.333251953125],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
  ];
  const values = singles(Uint16Array.from(table, ([bits]) => bits));
  table.forEach(([, value], i) => assert.ok(Object.is(values[i], value), `${values[i]}, not ${value}`));
});

test("base64 is read with the lower byte first", () => {
  assert.deepEqual([...decoded("ADwAwFU1")], [1, -2, 0.333251953125]);
  assert.equal(decoded("").length, 0);
});
