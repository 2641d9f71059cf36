// The panel "Class model, live" (paper §2): an image climbs the score of a class less
// lambda ||I||^2, and lambda, alpha, jitter and blur are set while it climbs. The chapter Class
// models says how; web/class_model.js is one step of it.

import { hasDiverged, inTheMiddle, memoryInWords, stretched, trainingMean } from "../class_model.js";
import { softmax } from "../class_score.js";
import { Engine } from "../engine.js";
import { lineChart, Trace } from "./charts.js";
import { classField } from "./class_field.js";
import * as parts from "./parts.js";

// what the chapter climbs with; of SqueezeNet the same alpha rises at the smaller sizes, too
const CLIMBED = {
  digits: { class: "8", alpha: 0.05, pace: "slow" },
  squeezenet: { class: "goose", alpha: 0.04, pace: "fast" },
};
const JUDGE = "cluttered_digits";
const LAMBDAS = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10];
const ALPHAS = [
  ...[0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05],
  ...[0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1],
];
const ASKED = 400; // ms from one look of a network at the image to the next, while it climbs
const CALM = 1000; // ms from one picture to the next, for those who want little motion

const minus = (text) => text.replaceAll("-", "−");
const number = (value) => (value ? minus(value.toPrecision(4).replace("e+", "e")) : String(value));
const whole = (step) => step.toLocaleString("en");
const share = (probability) => probability.toFixed(2);
const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

// words and numbers in a row, {name: word}: {root, show({name: text}), call({name: word})}, where
// an empty text hides its word
function numbers(words) {
  const made = Object.entries(words).map(([name, word]) => {
    const [head, value] = [parts.element("span", {}, word), parts.element("strong")];
    return [name, { head, value, root: parts.element("div", {}, head, value) }];
  });
  const named = Object.fromEntries(made);
  return {
    root: parts.element("div", { className: "pg-numbers" }, ...made.map(([, { root }]) => root)),
    call(now) {
      for (const [name, word] of Object.entries(now)) named[name].head.textContent = word;
    },
    show(texts) {
      for (const [name, text] of Object.entries(texts)) {
        named[name].value.textContent = text;
        named[name].root.hidden = !text;
      }
    },
  };
}

export function mount(root, { networks, address }) {
  const engine = new Engine();
  const lines = parts.messages();
  const trace = new Trace();
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const loaded = new Map(); // name -> what the engine has of a network
  let climbed = null; // {name, shape, mean, index, title}: what the frames are of
  let begun = 0; // of several beginnings only the newest counts
  let walks = 0;
  let isRunning = false;
  let last = null; // the frame whose numbers are shown
  let pictured = null; // what the picture shows, and its step: never an image that diverged
  let best = -Infinity; // the highest objective since λ, α, jitter or blur was moved
  let shownAt = 0;
  let askedAt = 0;

  // ---- controls

  const anew = () => attempt(begin);
  const network = parts.radios({
    label: "Network",
    options: [["digits", "digits, 28 × 28"], ["squeezenet", "SqueezeNet, 1,000 classes of photos"]],
    value: "digits",
    change: (name) => {
      setStarts(name);
      choices.take({ network: name });
      anew();
    },
  });
  const target = classField({ label: "Class, by name or number", names: [], value: "8", change: anew });
  const size = parts.select({
    label: "Pixels a side",
    options: ["227", "160", "128"].map((side) => [side, side]),
    value: "227",
    change: anew,
  });
  const start = parts.radios({
    label: "Start",
    options: [["zero", "zero image"], ["noise", "noise"]],
    value: "zero",
    change: anew,
  });
  const seed = parts.slider({
    label: "Seed of noise and jitter",
    min: 0,
    max: 99,
    step: 1,
    value: 0,
    change: anew,
  });
  const pace = parts.radios({
    label: "Pace",
    options: [["slow", "one step a picture"], ["fast", "as many as it can"]],
    value: "slow",
    change: () => isRunning && run(),
  });
  const how = {
    lambda: parts.slider({ label: "λ, penalty", values: LAMBDAS, value: 1, change: changeHow }),
    alpha: parts.slider({ label: "α, step size", values: ALPHAS, value: 0.05, change: changeHow }),
    jitter: parts.slider({
      label: "Jitter, longest shift",
      min: 0,
      max: 32,
      step: 1,
      value: 0,
      change: changeHow,
      word: (pixels) => `${pixels} pixels`,
    }),
    blur: parts.slider({
      label: "Blur, standard deviation",
      min: 0,
      max: 3,
      step: 0.25,
      value: 0,
      change: changeHow,
      word: (pixels) => `${pixels} pixels`,
    }),
  };
  const choices = parts.settings({ network, class: target, size, start, seed, pace, ...how });
  const howNow = () => Object.fromEntries(Object.entries(how).map(([name, { value }]) => [name, value]));

  // what each network begins with is no part of a link
  function setStarts(name) {
    target.start = CLIMBED[name].class;
    how.alpha.start = CLIMBED[name].alpha;
    pace.start = CLIMBED[name].pace;
    size.root.hidden = name === "digits";
  }

  // ---- what is shown

  const picture = parts.picture({ caption: "class model" });
  const climbs = lineChart({
    title: "What is climbed",
    unit: "units of the score",
    lines: [
      { name: "score", title: "score" },
      { name: "penalty", title: "λ‖I‖²" },
      { name: "objective", title: "objective" },
    ],
  });
  const norms = lineChart({
    title: "How far from the mean",
    unit: "intensity",
    lines: [{ name: "norm", title: "‖I‖" }],
  });
  const row = numbers({
    step: "step",
    score: "score",
    penalty: "λ‖I‖²",
    objective: "objective",
    norm: "‖I‖",
    own: "",
    second: "",
  });
  const memory = parts.element("p", { className: "pg-muted" });
  const warning = parts.element("p", { role: "status" });
  const judged = parts.element(
    "p",
    { className: "pg-muted" },
    "The second network, for digits in clutter, sees the image, cut off at black and white, in the " +
      "middle of a black canvas of 64 × 64 pixels. Of real digits on the gray mean image it reads 6 of 10 " +
      "rightly.",
  );
  const runner = parts.button("Run", () => (isRunning ? stop() : run()));
  const tools = parts.tools(
    runner,
    parts.button("One step", () => attempt(stepOnce)),
    parts.button("Again from the same seed", anew),
    parts.button("Save the picture", save),
  );
  const charts = parts.element("div", { className: "pg-charts" }, climbs.root, norms.root);
  const pictures = parts.shown(picture.root, charts);
  pictures.classList.add("pg-kept-in-view");
  const stage = parts.element("div", { hidden: true });
  stage.append(
    tools,
    pictures,
    row.root,
    warning,
    parts.controls(how.lambda.root, how.alpha.root, how.jitter.root, how.blur.root, pace.root),
    memory,
    judged,
  );
  const offer = parts.element("div");
  root.append(
    parts.element(
      "p",
      {},
      "An image climbs the score of a class less λ‖I‖², step by step: I ← I + α · gradient. " +
        "Zero is the training mean. Move λ, α, jitter and blur while it climbs.",
    ),
    parts.controls(network.root, target.root, size.root, start.root, seed.root),
    offer,
    stage,
    lines.root,
  );

  // ---- the climb

  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      stop();
      lines.fail(error.message);
    }
  }

  // a network in the engine's thread, once
  async function inEngine(name) {
    const packed = await networks.load(name);
    if (!loaded.has(name)) loaded.set(name, engine.load(packed).then(() => packed.description));
    return loaded.get(name);
  }

  async function begin() {
    const mine = ++begun;
    const name = network.value;
    const goesOn = isRunning;
    stop();
    offer.replaceChildren();
    if (name === "squeezenet" && !loaded.has(name)) {
      stage.hidden = true;
      lines.clear();
      networks.offer(offer, name, () => mine === begun && attempt(() => climb(mine, name, goesOn)));
    } else {
      await climb(mine, name, goesOn);
    }
  }

  async function climb(mine, name, goesOn) {
    const description = await inEngine(name);
    if (mine !== begun) return;
    target.setNames(description.class_names);
    const index = target.index;
    const [channels, ...own] = description.input;
    const sides = name === "digits" ? own : [Number(size.value), Number(size.value)];
    const shape = [channels, ...sides];
    const title = description.class_names[index];
    climbed = { name, shape, mean: trainingMean(description, shape), index, title };
    stage.hidden = false;
    judged.hidden = name !== "digits";
    const ofClass = `probability of ${name === "digits" ? `the ${title}` : title}`;
    row.call({ own: `${ofClass}, by the climbed network`, second: `${ofClass}, by a second network` });
    row.show({ own: "", second: "" });
    tellMemory();
    lines.say("Getting ready …");
    const begins = { network: name, size: sides, target: index, start: start.value, seed: seed.value };
    await engine.ask({ do: "ascend", ...begins, how: howNow() });
    if (mine !== begun) return;
    lines.clear();
    if (goesOn) run();
  }

  function run() {
    if (!climbed || stage.hidden) return;
    lines.clear();
    isRunning = true;
    runner.textContent = "Pause";
    attempt(walk);
  }

  // slowly by one request a picture, else the engine's thread goes by itself
  async function walk() {
    const mine = ++walks;
    await engine.ask({ do: pace.value === "fast" ? "run" : "pause" });
    while (mine === walks && isRunning && pace.value === "slow") {
      await engine.ask({ do: "step" });
      await nextFrame();
    }
  }

  function stop() {
    walks += 1;
    runner.textContent = "Run";
    if (isRunning) engine.ask({ do: "pause" });
    isRunning = false;
  }

  async function stepOnce() {
    stop();
    await engine.ask({ do: "step" });
  }

  function changeHow() {
    tellMemory();
    if (!climbed || stage.hidden) return;
    const forget = () => (best = -Infinity);
    forget();
    attempt(() => engine.ask({ do: "how", how: howNow() }, { latest: "how" }).then(forget));
    if (isRunning || !last) return;
    // the image is the same, and its penalty is another one
    const penalty = how.lambda.value * last.norm ** 2;
    last = { ...last, penalty, objective: last.score - penalty };
    trace.add({ ...last, image: null });
    showNumbers(last);
  }

  function tellMemory() {
    memory.textContent = memoryInWords(how.lambda.value, how.alpha.value);
  }

  // ---- a picture of the climb

  engine.onframe = (frame) => {
    if (frame.image.length !== climbed?.mean.length) return;
    const diverged = hasDiverged(frame.norm, frame.image.length);
    const isLeft = document.hidden || !root.checkVisibility();
    if (isRunning && (diverged || isLeft)) stop();
    if (isLeft && frame.step) lines.say(`Paused at step ${whole(frame.step)}.`);
    trace.add({ ...frame, image: null });
    last = frame;
    best = frame.step ? Math.max(best, frame.objective) : frame.objective;
    const now = performance.now();
    if (isRunning && calm.matches && now - shownAt < CALM) return;
    shownAt = now;
    picture.root.classList.toggle("pg-past", diverged);
    if (diverged) showPast();
    else showPicture(frame);
    showNumbers(frame);
    if (diverged) return tellDiverged(frame);
    if (isRunning && now - askedAt < ASKED) return;
    askedAt = now;
    look(frame.image).catch(({ message }) => lines.fail(message));
  };

  function showPicture({ image, step }) {
    const { name, mean, shape, title } = climbed;
    const drawn = name === "digits" ? "" : ", drawn with the same contrast at each step";
    pictured = {
      step,
      pixels: name === "digits" ? image : stretched(image, mean),
      shape,
      alt: `Class model of ${title} at step ${step}.`,
      caption: `class model of ${title}${drawn}`,
    };
    picture.show(pictured);
  }

  function showPast() {
    const words = `diverged; the last picture before, of step ${whole(pictured.step)}`;
    picture.show({ ...pictured, alt: `Class model of ${climbed.title}, ${words}.`, caption: words });
  }

  function showNumbers(frame) {
    row.show({
      step: whole(frame.step),
      score: number(frame.score),
      penalty: number(frame.penalty),
      objective: number(frame.objective),
      norm: number(frame.norm),
    });
    climbs.show(trace.points);
    norms.show(trace.points);
    // just after λ was raised it is low, too, but rises
    const fell = frame.objective < trace.points[0].objective && frame.objective < best;
    const told = fell ? "The objective is below its start: for this λ the step size α is too large." : "";
    if (warning.textContent !== told) warning.textContent = told;
    if (isRunning) return;
    const values = `score ${number(frame.score)}, objective ${number(frame.objective)}`;
    lines.announce(`Class ${climbed.title}, step ${whole(frame.step)}: ${values}.`);
  }

  function tellDiverged({ step }) {
    row.show({ own: "", second: "" });
    lines.fail(
      `The image diverged at step ${whole(step)}: its values are far beyond black and white. ` +
        "Choose a smaller α or λ and begin again.",
    );
  }

  // what the networks say of the image, the second one only of digits
  async function look(image) {
    const { name, shape, index } = climbed;
    const ask = async (asked, size, seen) => {
      const request = { do: "scores", network: asked, size, image: seen };
      const found = await engine.ask(request, { latest: asked });
      const isOfThis = climbed.index === index && climbed.name === name;
      const diverged = hasDiverged(last.norm, climbed.mean.length);
      return found && isOfThis && !diverged ? softmax(found.scores)[index] : null;
    };
    const own = await ask(name, shape.slice(1), image);
    if (own !== null) row.show({ own: share(own) });
    if (name !== "digits") return;
    const [, ...canvas] = (await inEngine(JUDGE)).input;
    const second = await ask(JUDGE, canvas, inTheMiddle(image, shape, canvas));
    if (second !== null) row.show({ second: share(second) });
  }

  function save() {
    if (!last) return;
    const name = `class model of ${climbed.title}, step ${pictured.step}.png`;
    picture.canvas.toBlob((blob) => {
      const href = URL.createObjectURL(blob);
      parts.element("a", { href, download: name }).click();
      URL.revokeObjectURL(href);
    }, "image/png");
  }

  // ---- the state

  setStarts("digits");
  const current = () => choices.current();

  function take(state) {
    const name = state.network in CLIMBED ? state.network : "digits";
    setStarts(name);
    const strange = choices.take(state);
    stop();
    attempt(begin).then(() => strange.length && lines.fail(`Not recognized: ${strange.join(", ")}.`));
  }

  anew();
  return { take, current };
}
