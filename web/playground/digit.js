// The panel "Draw a digit": at every stroke the ten class scores, how each of them changed, and the
// map of one of them (paper §3.1, §4), with what the gradient promised beside what came.

import { promise, softmax } from "../class_score.js";
import { RULE_TITLES } from "../deconvnet.js";
import { SIDE as DIGIT_SIDE, digitOf, placeInDigit, sampleOf } from "../digits.js";
import { Engine } from "../engine.js";
import { COLORS, colored, largest, resample, taps } from "../images.js";
import { magnitude, signed, timesInput } from "../saliency.js";
import { Drawing, MARGIN, SIDE, marksOf, textOf } from "./drawing.js";
import * as parts from "./parts.js";

const NETWORK = "digits";
const SIZE = [DIGIT_SIDE, DIGIT_SIDE];
const SHAPE = [1, ...SIZE];
const PIXEL = SIDE / DIGIT_SIDE; // pixels of the drawing for one of the network's
const CLASSES = Array.from("0123456789");
const BEST = "best";
const WIDER = 1.5; // the eraser: as wide as the pen it would leave the edges of a line
const FAINT = 0.05; // what is drawn fainter counts as nothing

const MAPS = {
  magnitude: { title: "Magnitude", of: (signal) => magnitude(signal, 1), isSigned: false },
  signed: { title: "Signed", of: (signal) => signed(signal, 1), isSigned: true },
  input: {
    title: "× input",
    of: (signal, image) => timesInput(signal, image, 1),
    isSigned: true,
    unit: "score",
  },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const NOTHING = "Nothing is drawn: draw a digit with mouse, finger or pen, or take a sample digit.";
const NOTHING_TO_MOVE =
  "Nothing is drawn: choose a sample digit, then arrow keys shift it, and plus and minus make its " +
  "lines thicker and thinner.";
const PROMISE = "Promise: the gradient before the stroke, times the change of each pixel, summed.";

const rounded = (value) => Math.round(100 * value) / 100;
const number = (value) => (rounded(value) || 0).toFixed(2).replace("-", "−"); // no −0.00
const change = (value) => (value === null ? "" : value > 0 ? `+${number(value)}` : number(value));
const percent = (share) => (share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

// ---- from a drawing to what the network gets

const placeOf = (ink) => placeInDigit(ink, [SIDE, SIDE]);

// a drawing as it is, one pixel for ten by ten
function shrunk(ink) {
  const across = taps(SIDE, DIGIT_SIDE);
  return resample((y) => ink.subarray(y * SIDE, (y + 1) * SIDE), 1, across, across);
}

// in words, what MNIST's form did to a drawing
function placing({ box: [x0, y0, x1, y1], size: [height, width], top, left }) {
  const scale = (PIXEL * Math.max(height, width)) / Math.max(y1 - y0, x1 - x0);
  const right = left + width / 2 - (x0 + x1) / 2 / PIXEL;
  const down = top + height / 2 - (y0 + y1) / 2 / PIXEL;
  const ways = [
    [right, "right", "left"],
    [down, "down", "up"],
  ].filter(([by]) => Math.abs(by) >= 0.05);
  const moved = ways.map(([by, toward, back]) => `${Math.abs(by).toFixed(1)} ${by > 0 ? toward : back}`);
  return `scaled by ${scale.toFixed(2)}, ${moved.length ? `moved ${moved.join(" and ")}` : "not moved"}`;
}

const isBlank = (ink) => !ink.some((value) => value > FAINT);

// {image, note, isKept} of what is drawn, or null; a place that is kept holds the digit still
function imageOf(ink, bringsToForm, kept) {
  if (isBlank(ink)) return null;
  if (!bringsToForm) return { image: shrunk(ink), note: "not scaled, not moved", isKept: false };
  const place = kept ?? placeOf(ink);
  return { image: digitOf(ink, [SIDE, SIDE], place), note: placing(place), isKept: Boolean(kept) };
}

// ---- what is shown

const amount = (value, loss, gain) => (value < 0 ? loss : gain) + number(Math.abs(value));

function resultsOf(choose) {
  const bars = parts.bars({
    label: "Scores and probabilities of the ten digits",
    columns: [
      { title: "score", word: number },
      { title: "change", word: change, isPlain: true, isRise: true },
      { title: "probability", word: percent, isPlain: true },
    ],
    choose,
  });
  const [form, map] = [parts.picture(), parts.picture()];
  const line = (name, text = "") => parts.element("p", { className: name }, text);
  const [read, bet] = [line("pg-read"), line("pg-bet")];
  const definition = line("pg-muted pg-small-print", PROMISE);

  function showMap(image, signal, target, { kind, rule }) {
    const { title, of, isSigned, unit = "score per intensity" } = MAPS[kind];
    const values = of(signal, image);
    const end = largest(values);
    const [low, high] = [isSigned ? number(-end) : "0", `${number(end)} ${unit}`];
    const highest = values.findIndex((value) => Math.abs(value) === end);
    const [y, x] = [Math.floor(highest / DIGIT_SIDE), highest % DIGIT_SIDE];
    const caption = `${RULE_TITLES[rule]} of the score of ${target}: ${title.toLowerCase()}`;
    const where = highest < 0 ? "zero everywhere" : `largest at x ${x}, y ${y}`;
    map.show({
      pixels: colored(values, end, { signed: isSigned }),
      shape: SHAPE,
      alt: `${caption}, from ${low} to ${high}, ${where}`,
      caption,
      scale: { colors: COLORS[isSigned ? "RdBu_r" : "magma"], low, high },
    });
  }

  return {
    root: parts.element("div", { className: "pg-results" }, bars.root, bet, definition),
    read,
    pictures: parts.shown(form.root, map.root),
    get text() {
      return `${read.textContent} ${bet.textContent}`;
    },
    // `before`: the scores before the last stroke, if there are any
    show({ image, note }, { scores, signal }, target, how, before) {
      const shares = softmax(scores);
      const changeOf = (i) => (before ? rounded(scores[i] - before[i]) : null);
      bars.rescale();
      bars.show(CLASSES.map((name, i) => ({ name, values: [scores[i], changeOf(i), shares[i]] })), target);
      const best = scores.indexOf(Math.max(...scores));
      const numbers = `score ${number(scores[best])}, probability ${percent(shares[best])}`;
      read.textContent = `Read as ${best}: ${numbers}.`;
      const caption = `What the network gets: 28 × 28, ${note}`;
      form.show({ pixels: image, shape: SHAPE, alt: caption, caption });
      showMap(image, signal, target, how);
    },
    showBet(word, target, promised, came) {
      bet.textContent =
        `${word}: the gradient promised the score of ${target} ` +
        `${amount(promised, "a loss of ", "a gain of ")}; it ${amount(came, "lost ", "gained ")}.`;
    },
    // while a line is being drawn
    showPromise(target, promised) {
      const share = amount(promised, "a loss of ", "a gain of ");
      bet.textContent = `So far the gradient promises the score of ${target} ${share}.`;
    },
    showNoBet: () => (bet.textContent = ""),
    showNothing: () => (read.textContent = bet.textContent = ""),
  };
}

// ---- the paper

// One pointer at a time: begin(point), then extend(points) until `stop`, or its end and end().
function drawnOn(canvas, { begin, extend, end }) {
  let held = null;
  const pointOf = ({ clientX, clientY }) => {
    const { left, top, width } = canvas.getBoundingClientRect();
    return [clientX - left, clientY - top].map((x) =>
      Math.min(Math.max((x * SIDE) / width, -MARGIN), SIDE + MARGIN),
    );
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (held !== null || event.button !== 0) return;
    begin(pointOf(event));
    held = event.pointerId;
    canvas.setPointerCapture(held);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== held) return;
    // all that the pointer did since the last frame
    const all = event.getCoalescedEvents?.() ?? [];
    extend((all.length ? all : [event]).map(pointOf));
  });
  const stop = () => (held = null);
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, ({ pointerId }) => {
      if (pointerId !== held) return;
      stop();
      end();
    });
  }
  return { stop, isOn: () => held !== null };
}

function changedByKeys(canvas, { shift, spread }) {
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in ARROWS) shift(...ARROWS[event.key]);
    else if (event.key === "+" || event.key === "-") spread(event.key === "+" ? 1 : -1);
    else return;
    event.preventDefault();
  });
}

function paperOf() {
  const canvas = parts.element("canvas", {
    tabIndex: 0,
    role: "application",
    "aria-label": "Your drawing. Arrow keys shift it, plus and minus make its lines thicker and thinner.",
  });
  const hint = parts.element("p", { className: "pg-hint" }, "Draw a digit here");
  return { canvas, root: parts.element("div", { className: "pg-paper" }, canvas, hint) };
}

// ---- the panel

// of these only parts of a digit change, and the rest stays where it is
const isHeldStill = ({ kind }) => kind === "e" || kind === "t";
const WORDS = { p: "Drawn", e: "Erased", s: "Shifted", c: "Centered" };
const wordFor = ({ kind, by }) => WORDS[kind] ?? (by > 0 ? "Thickened" : "Thinned");

const optionsOf = (titles) => Object.entries(titles).map(([name, title]) => [name, title.title ?? title]);

export function mount(root, { networks, address }) {
  const engine = new Engine();
  const lines = parts.messages();
  const results = resultsOf(chooseByBar);
  const paper = paperOf();
  let samples = []; // come with the network
  let isThere = false;
  const drawing = new Drawing(paper.canvas, () => samples);
  const line = drawnOn(paper.canvas, {
    begin(point) {
      const wider = tool.value === "e" ? WIDER : 1;
      make({ kind: tool.value, width: wider * width.value, points: [point] });
    },
    extend(points) {
      drawing.extend(points);
      update();
    },
    end: () => update(),
  });
  const update = parts.newestOnly(() => compute().catch(({ message }) => lines.fail(message)));

  // ---- controls

  const shift = (across, down) => move({ kind: "s", across: across * PIXEL, down: down * PIXEL });
  const spread = (by) => move({ kind: "t", by });
  changedByKeys(paper.canvas, { shift, spread });
  const named = (label) => ({ "aria-label": label });
  const undo = parts.button("Undo", undoLast);
  const center = parts.button("Center again", () => make({ kind: "c" }));
  const paperTools = parts.tools(
    undo,
    parts.button("Clear", clear),
    parts.button("←", () => shift(-1, 0), named("Shift to the left")),
    parts.button("→", () => shift(1, 0), named("Shift to the right")),
    parts.button("↑", () => shift(0, -1), named("Shift up")),
    parts.button("↓", () => shift(0, 1), named("Shift down")),
    parts.button("Thinner", () => spread(-1)),
    parts.button("Thicker", () => spread(1)),
    center,
  );
  const tool = parts.radios({ label: "Draw with", options: [["p", "pen"], ["e", "eraser"]], value: "p" });
  const width = parts.slider({
    label: "Width of the line",
    min: 8,
    max: 60,
    step: 2,
    value: 24,
    word: (pixels) => `${pixels / PIXEL} of ${DIGIT_SIDE} pixels`,
  });
  const sample = parts.select({
    label: "Sample digit",
    options: [["", "none"]],
    value: "",
    change: (index) => (index ? make({ kind: "n", index: Number(index) }) : clear()),
  });
  const chosen = {
    class: parts.select({
      label: "Class",
      options: [[BEST, "the one of the highest score"], ...CLASSES.map((name) => [name, name])],
      value: BEST,
      change: betAnew,
    }),
    map: parts.select({ label: "Map", options: optionsOf(MAPS), value: "magnitude", change: update }),
    rule: parts.select({
      label: "Rule of the ReLU",
      options: optionsOf(RULE_TITLES),
      value: "gradient",
      change: update,
    }),
    form: parts.checkbox({
      label: "Bring it to MNIST’s form: 20 pixels, centered by mass",
      value: true,
      change: endBet,
    }),
  };
  const choices = parts.settings(chosen);

  // the class of a bar, or the best one again
  function chooseByBar(index) {
    const isChosen = chosen.class.value === CLASSES[index];
    chosen.class.set(isChosen ? BEST : CLASSES[index]);
    address.leave();
    betAnew();
  }

  const nothing = parts.element("p", { className: "pg-muted" }, NOTHING);
  root.append(
    parts.element(
      "div",
      { className: "pg-draw" },
      parts.element("div", {}, paper.root, results.read),
      parts.element("div", { className: "pg-beside" }, nothing, results.root),
      parts.element("div", {}, tool.root, paperTools),
      parts.element("div", { className: "pg-wide" }, results.pictures),
    ),
    parts.controls(width.root, sample.root, ...Object.values(chosen).map((one) => one.root)),
    lines.root,
  );

  // ---- changes of the drawing

  let kept = null; // the place in the digit while it is held still
  let present = null; // what is shown: {target}
  let bet = null; // on the last change: {word, image, target, answer}, image and answer of before
  let best = 0;
  let computations = 0;
  let emptied = 0; // the computation that found nothing drawn

  const targetNow = () => (chosen.class.value === BEST ? best : Number(chosen.class.value));

  function currentImage() {
    const drawn = imageOf(drawing.ink, chosen.form.value, kept);
    if (!drawn?.isKept) return drawn;
    const done = wordFor(drawing.marks.at(-1)).toLowerCase();
    return { ...drawn, note: `form kept, so that only what you ${done} changes` };
  }

  // the first-order promise is that of the gradient before the change
  function betOn(word, image, target) {
    return { word, image, target, answer: ask({ image, target, rule: "gradient" }, "bet") };
  }

  function placeBet(word) {
    const { image } = currentImage() ?? {};
    return image && present ? betOn(word, image, present.target) : null;
  }

  // on the same change, but of another class
  function betAnew() {
    if (bet) bet = betOn(bet.word, bet.image, targetNow());
    update();
  }

  function endBet() {
    bet = null;
    update();
  }

  function make(mark) {
    line.stop();
    bet = mark.kind === "n" ? null : placeBet(wordFor(mark));
    kept = isHeldStill(mark) ? (kept ?? placeOf(drawing.ink)) : null;
    drawing.add(mark);
    changed();
  }

  // what needs something that is drawn
  function move(mark) {
    if (!isBlank(drawing.ink)) return make(mark);
    nothing.textContent = NOTHING_TO_MOVE;
    lines.announce(NOTHING_TO_MOVE);
  }

  function clear() {
    tool.set("p");
    restore([]);
    changed();
  }

  // the form is brought anew, also behind parts of a digit that were changed
  function undoLast() {
    const marks = drawing.marks.slice(0, drawing.marks.findLastIndex(({ kind }) => kind !== "c"));
    if (marks.length && isHeldStill(marks.at(-1))) marks.push({ kind: "c" });
    const placed = placeBet("Undone");
    restore(marks);
    bet = placed;
    changed();
  }

  function changed() {
    lines.clear();
    address.leave();
    follow();
  }

  function follow() {
    const { index } = drawing.marks.findLast(({ kind }) => kind === "n") ?? {};
    sample.set(String(index ?? ""));
    undo.disabled = !drawing.marks.length;
    nothing.textContent = NOTHING;
    update();
  }

  // sets marks, and the place as if they had been made one after the other
  function restore(marks) {
    line.stop();
    const settled = marks.findLastIndex((mark) => !isHeldStill(mark)) + 1;
    drawing.take(marks.slice(0, settled));
    kept = bet = null;
    if (settled === marks.length) return;
    kept = placeOf(drawing.ink);
    for (const mark of marks.slice(settled)) drawing.add(mark);
  }

  // ---- the network

  // newest wins: of one kind, what was asked before and has not begun is dropped
  const ask = (request, latest) =>
    engine.ask({ do: "signal", network: NETWORK, size: SIZE, ...request }, { latest });

  // The map of the best class is asked for the one that was best before; if another is, once more.
  async function compute() {
    if (!(await ready)) return;
    const mine = ++computations;
    const drawn = currentImage();
    const [placed, isOpen] = [bet, line.isOn()];
    tellWhether(drawn);
    if (!drawn) return showNothing();
    const { image } = drawn;
    const rule = chosen.rule.value;
    const how = { kind: chosen.map.value, rule };
    const isBest = chosen.class.value === BEST;
    let target = targetNow();
    let answer = await ask({ image, target, rule }, "map");
    if (!answer) return;
    best = answer.scores.indexOf(Math.max(...answer.scores));
    if (isBest && target !== best) {
      if (mine !== computations) return;
      target = best;
      answer = await ask({ image, target, rule }, "map");
      if (!answer) return;
    }
    const before = await placed?.answer;
    if (mine < emptied) return;
    present = { target };
    const isChanged = before && image.some((value, i) => value !== placed.image[i]);
    results.show(drawn, answer, target, how, isChanged && before.scores);
    if (isChanged) showBet(placed, before, image, answer.scores, isOpen);
    else results.showNoBet();
    lines.announce(results.text);
  }

  function showBet({ word, target, image }, before, changedImage, scores, isOpen) {
    const promised = promise(before.signal, image, changedImage);
    if (isOpen) results.showPromise(target, promised);
    else results.showBet(word, target, promised, scores[target] - before.scores[target]);
  }

  function tellWhether(drawn) {
    paper.root.classList.toggle("pg-empty", !drawn);
    nothing.hidden = Boolean(drawn);
    center.disabled = !drawn?.isKept;
    for (const part of [results.root, results.pictures]) part.classList.toggle("pg-nothing", !drawn);
  }

  function showNothing() {
    present = bet = null;
    emptied = computations;
    results.showNothing();
    lines.announce(NOTHING);
  }

  // ---- at first

  let asked = null; // what a link says of the drawing while the network is not there yet

  function takeDrawing(text) {
    const marks = text === undefined ? [] : marksOf(text);
    const fits = marks && drawing.canTake(marks);
    restore(fits ? marks : []);
    follow();
    if (!fits) lines.fail("The drawing of this link cannot be read.");
  }

  async function start() {
    const packed = await networks.load(NETWORK);
    await engine.load(packed);
    samples = (packed.description.samples ?? []).map(sampleOf);
    sample.setOptions([["", "none"], ...samples.map((_, i) => [String(i), String(i)])]);
    isThere = true;
    if (asked) takeDrawing(asked.drawing);
    return true;
  }

  const ready = start().catch(({ message }) => void lines.fail(message));
  tellWhether(null);
  follow();

  return {
    take({ drawing: text, ...state }) {
      const strange = choices.take(state);
      if (isThere) takeDrawing(text);
      else asked = { drawing: text };
      if (strange.length) lines.fail(`Not recognized: ${strange.join(", ")}.`);
    },
    current() {
      const { marks } = drawing;
      return { ...choices.current(), ...(marks.length && { drawing: textOf(marks) }) };
    },
  };
}
