// The panel "Your photo": any photo, any of the 1,000 classes; its maps (paper §3.1, §4), mask and
// box (§3.2), a brush that takes parts away beside what the gradient promised, another class, and
// the control: the same map with random upper layers.

import { topClasses } from "../class_score.js";
import { RULE_TITLES } from "../deconvnet.js";
import { Engine } from "../engine.js";
import { fitPhoto, resizePhoto } from "../images.js";
import { edgeMap, layersTopDown, ranks } from "../limits.js";
import { Brushed, brushOver } from "./brush.js";
import { classField } from "./class_field.js";
import { Growth } from "./growth.js";
import * as parts from "./parts.js";
import { MAPS } from "./photo_maps.js";
import { ownPhoto, readPhoto } from "./photo_source.js";
import { KEYS, photoView } from "./photo_view.js";
import { Searched, thresholdControl } from "./threshold.js";

const NETWORK = "squeezenet";
const FIRST = "cat";
const OWN = "own";
const OFF = "off";
const BRUSHES = [[OFF, "off"], ["blur", "blurs"], ["black", "blackens"]];
const INTRO =
  "The network sees the middle of a photo; a map tells on what a class score depends there. Its colors " +
  "end at its 99th percentile. Your own photo never leaves this page: it is not sent anywhere, and no " +
  "link holds it.";
const NOT_IN_LINK = "The link does not hold your photo: it opens with the photo of the cat.";

export function mount(root, { networks, address }) {
  const place = parts.element("div");
  const lines = parts.messages();
  let panel = null;
  let asked = {}; // what a link says before the network is there
  let given = null; // the reader's newest photo: [file, title]
  const source = ownPhoto(root, { take: give, fail: lines.fail });
  const chosen = parts.controls(source.picker);
  const note = parts.element("p", { className: "pg-muted" });
  root.append(
    parts.element("p", {}, INTRO),
    chosen,
    parts.tools(source.open),
    source.view,
    note,
    lines.root,
    place,
  );
  const load = networks.offer(place, NETWORK, async (packed) => {
    try {
      const photos = await networks.photos();
      panel = photoPanel(place, { packed, photos, address, chosen, note, lines });
      await panel.take(asked); // what stays if the reader's photo cannot be read
      if (given) panel.takeOwn(...given);
    } catch ({ message }) {
      lines.fail(message);
    }
  });

  // at once, or when the network is there
  function give(file, title) {
    given = [file, title];
    address.leave();
    if (panel) return panel.takeOwn(file, title);
    const { photo: _, ...rest } = asked;
    asked = rest;
    lines.say(`${title} is shown as soon as the network is there.`);
    load();
  }

  return {
    take(state) {
      given = null;
      if (panel) return panel.take(state);
      asked = state;
      lines.clear();
    },
    current: () => (panel ? panel.current() : asked),
    // what is to be said of a link to this state
    linkNote: () => ((panel ? panel.isOwn() : given) ? NOT_IN_LINK : ""),
  };
}

// `chosen` is the row in which a photo is chosen, `note` what is said of it
function photoPanel(root, { packed, photos, address, chosen, note, lines }) {
  const { description } = packed;
  const { input: shape, class_names: names } = description;
  const size = shape.slice(1);
  const layers = layersTopDown(description).length;
  const engine = new Engine();
  const ready = engine.load(packed);
  const ask = (request) => engine.ask({ network: description.name, size, ...request });
  let present = null; // {name, title, whole, image, brushed, best, edgeRanks, tangents, crops}
  let own = null; // the reader's photo, while the page is open: {source, title}
  let searched = null; // the first map, where mask and box are looked for
  let readings = 0;

  // ---- controls

  const shipped = Object.entries(photos).map(([name, { title }]) => [name, title]);
  const maps = Object.entries(MAPS).map(([name, { title, how }]) => [name, `${title}: ${how}`]);
  const controls = {
    photo: parts.select({ label: "Photo", options: shipped, value: FIRST, change: choosePhoto }),
    class: classField({ label: "Class, by typing (empty: the best)", names, value: "", change: update }),
    other: classField({ label: "Another class beside it", names, value: "", change: update }),
    map: parts.select({ label: "Map", options: maps, value: "saliency", change: update }),
    rule: parts.select({
      label: "Rule of the ReLU",
      options: Object.entries(RULE_TITLES),
      value: "gradient",
      change: update,
    }),
    threshold: thresholdControl(() => showPhoto()),
    random: parts.slider({
      label: "Control: random layers, from the top",
      min: 0,
      max: layers,
      step: 1,
      value: 0,
      word: (count) => `${count} of ${layers}`,
      change: update,
    }),
  };
  const choices = parts.settings(controls);
  const control = parts.button("Control: all layers random", () => {
    controls.random.set(controls.random.value === layers ? 0 : layers);
    address.leave();
    update();
  });
  const growing = parts.button("Stop", () => (growth.isRunning ? growth.stop() : growth.goOn()));
  const brushKind = parts.radios({ label: "Brush", options: BRUSHES, value: OFF, change: brushAnother });
  const brushWidth = parts.slider({
    label: "Width of the brush",
    min: 8,
    max: 120,
    step: 4,
    value: 40,
    word: (pixels) => `${pixels} pixels`,
    change: () => brush.show(),
  });
  const undo = parts.button("Undo", () => putBack("undo"));
  const restore = parts.button("Restore the photo", () => putBack("restore"));

  // ---- what is shown

  const view = photoView({
    shape,
    names,
    layers,
    choose(index) {
      const isUnique = names.indexOf(names[index]) === names.lastIndexOf(names[index]);
      controls.class.set(isUnique ? names[index] : String(index));
      address.leave();
      update();
    },
  });
  const isBrushing = () => brushKind.value !== OFF;
  const brush = brushOver(view.photo, {
    brushed: () => (isBrushing() ? present?.brushed : null),
    radius: () => brushWidth.value / 2,
    change: () => brushedAway(),
    tell: lines.announce,
  });
  const keys = parts.element("p", { className: "pg-muted" }, `By keyboard, on the photo: ${KEYS}`);
  const { threshold } = controls;
  chosen.prepend(controls.photo.root);
  root.append(
    view.pictures,
    parts.tools(growing, control),
    view.bars.root,
    parts.controls(
      ...[controls.class, controls.other, controls.map, controls.rule].map((one) => one.root),
      ...threshold.roots,
      controls.random.root,
    ),
    parts.controls(brushKind.root, brushWidth.root),
    parts.tools(undo, restore),
    keys,
    view.bet,
  );

  // ---- the photo

  function choosePhoto(name) {
    if (name === OWN) return takePhoto(own.source, own.title, OWN);
    return takePhoto(photos[name].url, photos[name].title, name);
  }

  // The newest wins. What cannot be read leaves all as it is.
  async function takePhoto(file, title, name) {
    const reading = ++readings;
    const isNewest = () => reading === readings;
    lines.say(`Reading ${title} …`);
    try {
      await ready;
      const read = await readPhoto(file, title, description.resized_side);
      const made = await prepared(read.photo);
      if (!isNewest()) return;
      present = { name, title, ...made };
      if (name === OWN) own = { source: file, title };
      controls.photo.setOptions(own ? [...shipped, [OWN, `Your photo: ${own.title}`]] : shipped);
      note.textContent = name === OWN ? read.note : `${title}. ${photos[name].credit}.`;
      view.bars.rescale();
      searched = null;
      brushAnother();
      lines.clear();
    } catch ({ message }) {
      if (isNewest()) lines.fail(message);
    }
    if (present) controls.photo.set(present.name);
  }

  async function prepared(photo) {
    const { image: whole, view: cut } = fitPhoto(photo, description);
    const { scores } = await ask({ do: "scores", image: whole });
    const best = topClasses(scores, names, 1)[0].index;
    let resized; // only the ten crops need it
    const crops = { view: cut, whole: () => (resized ??= resizePhoto(photo, description).image) };
    let edges; // only random layers do
    const edgeRanks = () => (edges ??= ranks(edgeMap(whole, shape)));
    const brushed = new Brushed(whole, shape);
    return { whole, image: whole, brushed, best, edgeRanks, tangents: new Map(), crops };
  }

  // while a slider moves, at most once a frame
  const showPhoto = parts.newestOnly(() => {
    if (!present) return;
    const find = searched && threshold.value !== OFF ? () => searched.at(threshold.value) : null;
    const words = view.showPhoto(present, find, isBrushing());
    if (find) lines.announce(words);
  });

  // ---- the brush

  function brushAnother() {
    brush.show();
    if (!present) return;
    if (isBrushing()) present.brushed.kind = brushKind.value;
    brushedAway();
  }

  const brushedAway = parts.newestOnly(() => {
    present.image = present.brushed.image;
    showPhoto();
    growth.anew();
    showState();
  });

  function putBack(how) {
    present.brushed[how]();
    brushedAway();
  }

  // of a class at the whole photo: its score, and the signal
  async function tangentOf({ tangents, whole }, target) {
    if (!tangents.has(target)) {
      const { signal, scores } = await ask({ do: "signal", image: whole, target, rule: "gradient" });
      tangents.set(target, { signal, score: scores[target] });
    }
    return tangents.get(target);
  }

  // ---- the maps

  function update() {
    lines.clear();
    if (present) growth.anew();
    showState();
  }

  // the maps that are shown side by side, the class's own first
  function figuresAsked() {
    const target = controls.class.chosen() ?? present.best;
    const other = controls.other.chosen();
    const figures = [{ target, random: 0 }];
    if (other !== null) figures.push({ target: other, random: 0 });
    if (controls.random.value) figures.push({ target, random: controls.random.value });
    return figures;
  }

  async function begin() {
    const photo = present;
    const { image, whole, brushed, crops } = photo;
    const [kind, rule] = [controls.map.value, controls.rule.value];
    const figures = figuresAsked();
    const given = { ask, image, shape, rule, ...crops };
    const maps = figures.map((figure) => MAPS[kind].begin({ ...given, ...figure }));
    figures.forEach((figure, i) => (figure.passes = maps[i].passes));
    const tangent = brushed.isWhole ? null : await tangentOf(photo, figures[0].target);
    const scores = MAPS[kind].hasScores ? null : (await ask({ do: "scores", image })).scores;
    return { photo, image, whole, kind, rule, figures, maps, tangent, scores };
  }

  const growth = new Growth({
    begin,
    isSeen: () => root.checkVisibility(),
    show(work) {
      if (work.photo !== present) return;
      const shown = { ...work, scores: work.scores ?? work.results[0].scores };
      searched = new Searched(work.results[0].values, size);
      view.showMaps(shown);
      const told = [view.showClasses(shown), view.showBet(shown)];
      showPhoto();
      showState();
      if (work.count === 1) lines.announce(told.filter(Boolean).join(". "));
    },
    failed: ({ message }) => lines.fail(message),
    rested: showState,
  });
  showState();

  // what can be pressed now
  function showState() {
    const isWhole = !present || present.brushed.isWhole;
    undo.disabled = restore.disabled = isWhole;
    keys.hidden = !isBrushing();
    control.setAttribute("aria-pressed", String(controls.random.value === layers));
    controls.rule.input.disabled = Boolean(MAPS[controls.map.value].hasNoRule);
    growing.textContent = growth.isRunning ? "Stop" : "Go on";
    growing.hidden = !MAPS[controls.map.value].isMean || growth.isComplete;
  }

  return {
    takeOwn: (file, title) => takePhoto(file, title, OWN),
    isOwn: () => present?.name === OWN,
    take(state) {
      brushKind.set(OFF);
      const strange = choices.take(state);
      const name = controls.photo.value;
      const told = strange.length ? `Not recognized: ${strange.join(", ")}.` : "";
      return choosePhoto(name).then(() => told && lines.fail(told));
    },
    current() {
      const { photo, ...state } = choices.current();
      return photo === undefined || photo === OWN ? state : { photo, ...state };
    },
  };
}
