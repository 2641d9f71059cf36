import assert from "node:assert/strict";
import { test } from "node:test";

import { rounded, Trace } from "../../web/playground/charts.js";

const steps = (trace) => trace.points.map(({ step }) => step);

test("numbers of an axis fit into its margin, however large", () => {
  const values = [0, 0.3734, -0.0123, 1234, -9990, 29_520, -1.215e10, 3.7e13];
  const texts = ["0", "0.373", "−0.0123", "1,230", "−9,990", "3.0e4", "−1.2e10", "3.7e13"];
  assert.deepEqual(values.map(rounded), texts);
  assert.ok(texts.every(({ length }) => length <= 7));
});

test("a trace keeps what was measured, in order", () => {
  const trace = new Trace();
  for (const step of [0, 1, 5]) trace.add({ step, score: 2 * step });
  assert.deepEqual(trace.points, [{ step: 0, score: 0 }, { step: 1, score: 2 }, { step: 5, score: 10 }]);
});

test("the same step again replaces its point, and an earlier one begins anew", () => {
  const trace = new Trace();
  for (const [step, score] of [[0, 1], [1, 2], [1, 3]]) trace.add({ step, score });
  assert.deepEqual(trace.points.at(-1), { step: 1, score: 3 });
  assert.equal(trace.points.length, 2);
  trace.add({ step: 0, score: 4 });
  assert.deepEqual(steps(trace), [0]);
});

test("a long trace stays short, evenly spaced, from its first to its newest point", () => {
  const trace = new Trace();
  for (let step = 0; step <= 100_000; step += 7) trace.add({ step });
  const kept = steps(trace);
  assert.ok(kept.length > 100 && kept.length <= 300, `${kept.length}`);
  assert.equal(kept[0], 0);
  assert.equal(kept.at(-1), 99_995);
  const gaps = kept.slice(1, -1).map((step, i) => step - kept[i]);
  assert.ok(Math.max(...gaps) <= 3 * Math.min(...gaps), `${Math.min(...gaps)} to ${Math.max(...gaps)}`);
});
