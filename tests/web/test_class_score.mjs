import assert from "node:assert/strict";
import test from "node:test";

import { classIndex, findClasses, promise, softmax, topClasses } from "../../web/class_score.js";

const NAMES = [
  "tiger cat", "tabby", "cat", "crane", "catamaran", "bobcat", "Egyptian cat", "crane", "cattle's pen",
];
const called = (indices) => indices.map((index) => NAMES[index]);

test("soft-max of large scores does not overflow, and sums to 1", () => {
  const [a, b, c] = softmax(Float32Array.of(1000, 1000, 0));
  assert.deepEqual([a, b, c], [0.5, 0.5, 0]);
  const [most, rest] = softmax(Float32Array.of(Math.log(3), 0));
  assert.deepEqual([most.toFixed(6), rest.toFixed(6)], ["0.750000", "0.250000"]);
});

test("the best classes, best first, of equal ones the first", () => {
  const best = topClasses(Float32Array.of(1, 3, 2, 3), ["a", "b", "c", "d"], 3);
  const told = best.map(({ index, name, score }) => [index, name, score]);
  assert.deepEqual(told, [[1, "b", 3], [3, "d", 3], [2, "c", 2]]);
  assert.ok(best[0].probability > best[2].probability);
  assert.equal(topClasses(Float32Array.of(1, 2), ["a", "b"]).length, 2);
});

test("what the gradient promises is the sum of signal times change", () => {
  assert.equal(promise([2, -3, 1], [0.5, 1, 0], [1, 0.5, 0]), 2.5);
});

test("exact names come first, then whole words, then beginnings, then ends, then parts", () => {
  assert.deepEqual(called(findClasses("cat", NAMES)), [
    "cat", "tiger cat", "Egyptian cat", "catamaran", "cattle's pen", "bobcat",
  ]);
  assert.deepEqual(called(findClasses("EGYPT", NAMES)), ["Egyptian cat"]);
  const parts = ["scatter", "bobcat", "wild cattle", "cattle"];
  assert.deepEqual(findClasses("cat", parts), [3, 2, 1, 0]);
  assert.deepEqual(findClasses("cat", NAMES, 2), [2, 0]);
  assert.deepEqual(findClasses("  tiger   cat ", NAMES), [0]);
  assert.deepEqual(findClasses("pen", NAMES), [8]);
});

test("capitals count where they alone tell two classes apart", () => {
  const dogs = ["Cardigan", "cardigan"];
  assert.deepEqual(dogs.map((name) => classIndex(name, dogs)), [0, 1]);
  assert.deepEqual(findClasses("cardigan", dogs), [1, 0]);
  assert.throws(() => classIndex("CARDIGAN", dogs), /2 classes/);
});

test("a number finds the class it counts", () => {
  assert.deepEqual(findClasses("5", NAMES), [5]);
  assert.equal(classIndex("5", NAMES), 5);
  const digits = [..."0123456789"];
  assert.equal(classIndex("7", digits), 7);
  assert.deepEqual(findClasses("7", digits), [7]);
});

test("what is spelled nearly so is found, nothing else", () => {
  assert.deepEqual(called(findClasses("tigr catt", NAMES)).slice(0, 1), ["tiger cat"]);
  assert.deepEqual(findClasses("crnae", NAMES), [3, 7]);
  assert.deepEqual(findClasses("xyzzy", NAMES), []);
  assert.deepEqual(findClasses(" ", NAMES), []);
});

test("a name that no class or more than one has is refused, with help", () => {
  assert.equal(classIndex("Tabby", NAMES), 1);
  const refused = (typed, message) => assert.throws(() => classIndex(typed, NAMES), message);
  refused("crane", /2 classes are called “crane”: give the number, 3 or 7/);
  refused("tabbi", /No class is called “tabbi”. The nearest in spelling are tabby\.$/);
  refused("99", /No class is called “99”\.$/);
  refused("?", /No class is called “\?”\.$/);
});

test("an error offers first the names that have what was typed, at most five", () => {
  const said = (typed, names) => {
    try {
      return classIndex(typed, names);
    } catch ({ message }) {
      return message.replace(/^No class is called “.*?”\. /, "");
    }
  };
  const names = ["crate", "catamaran", "tiger cat", "scatter", "polecat", "tabby", "oxcart"];
  assert.equal(said("cat", names), "Names that have it: tiger cat, catamaran, polecat.");
  const many = [..."abcdef"].map((letter) => `${letter}x cat`);
  assert.equal(said("cat", many), "Names that have it: ax cat, bx cat, cx cat, dx cat, ex cat, …");
  assert.equal(said("tabby cat", names), "Names that have a word of it: tabby, tiger cat.");
  const cats = ["wild cat", "tiger cat"];
  assert.equal(said("tigr cat", cats), "Names that have a word of it: tiger cat, wild cat.");
  assert.deepEqual(findClasses("tabby cat", names), [5, 2]);
});

test("spaces and hyphens do not matter", () => {
  const names = ["hotdog", "flat-coated retriever", "jack-o'-lantern"];
  const typed = ["hot dog", "Hot-Dog", "flat coated retriever", "flatcoatedretriever", "jack o lantern"];
  assert.deepEqual(typed.map((name) => classIndex(name, names)), [0, 0, 1, 1, 2]);
  assert.deepEqual(findClasses("hot dog", names), [0]);
  // nor is a sign before a number one of them
  assert.throws(() => classIndex("-5", [..."0123456789"]), /No class/);
});
