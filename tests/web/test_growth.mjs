import assert from "node:assert/strict";
import test from "node:test";

import { Growth } from "../../web/playground/growth.js";

// a growth over maps of so many passes, and what it did
function watched(passes, hooks = {}) {
  const seen = { begun: 0, shown: [], failed: [], rested: 0, open: 0, most: 0 };
  const growOne = async () => {
    seen.most = Math.max(seen.most, ++seen.open);
    await new Promise(setImmediate);
    seen.open--;
    hooks.grow?.(seen);
    return seen.begun;
  };
  const growth = new Growth({
    begin: async () => {
      seen.begun++;
      return { maps: passes.map((count) => ({ passes: count, grow: growOne })) };
    },
    isSeen: () => true,
    show: ({ count, results }) => {
      seen.shown.push([count, ...results]);
      hooks.show?.(growth, seen);
    },
    failed: ({ message }) => seen.failed.push(message),
    rested: () => seen.rested++,
    ...hooks.own,
  });
  return { growth, seen };
}

test("each map makes its passes, side by side, one at a time", async () => {
  const { growth, seen } = watched([1, 3]);
  await growth.anew();
  assert.deepEqual(seen.shown, [[1, 1, 1], [2, 1, 1], [3, 1, 1]]);
  assert.deepEqual([seen.most, seen.rested, growth.isComplete, growth.isRunning], [1, 1, true, false]);
});

test("of a flood of changes only the newest begins, and nothing queues", async () => {
  const { growth, seen } = watched([1]);
  await Promise.all(Array.from({ length: 500 }, () => growth.anew()));
  assert.ok(seen.begun <= 2);
  assert.equal(seen.most, 1);
});

test("what is asked while a mean grows begins anew after the pass in work", async () => {
  const show = (growth, seen) => {
    if (seen.shown.length === 2) growth.anew();
    if (seen.begun === 2) growth.stop();
  };
  const { growth, seen } = watched([Infinity], { show });
  await growth.anew();
  assert.deepEqual(seen.shown, [[1, 1], [2, 1], [1, 2]]);
});

test("a mean without end stops when asked or after 100 passes, and goes on", async () => {
  const show = (growth, seen) => seen.shown.length === 3 && growth.stop();
  const { growth, seen } = watched([Infinity], { show });
  await growth.anew();
  assert.equal(seen.shown.length, 3);
  assert.equal(growth.isComplete, false);
  await growth.goOn();
  assert.equal(seen.shown.at(-1)[0], 103);
  assert.equal(seen.begun, 1);
});

test("nothing grows on where nobody looks", async () => {
  const { growth, seen } = watched([Infinity], { own: { isSeen: () => false } });
  await growth.anew();
  assert.equal(seen.shown.length, 1);
});

test("an error is told, and the next change begins anew", async () => {
  const grow = ({ begun }) => {
    if (begun === 1) throw new Error("no such class");
  };
  const { growth, seen } = watched([1], { grow });
  await growth.anew();
  assert.deepEqual([seen.failed, seen.shown, growth.isRunning], [["no such class"], [], false]);
  await growth.anew();
  assert.deepEqual([seen.failed.length, seen.shown], [1, [[1, 2]]]);
});
