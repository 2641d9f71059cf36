// The panel "Layers" (paper §4): what a layer puts out for an image, channel by channel, and what
// the three rules carry back of it to the image: of all of it, of one channel, of one neuron.

import { RULE_TITLES } from "../deconvnet.js";
import { sampleOf } from "../digits.js";
import { Engine } from "../engine.js";
import { COLORS, colored, fitPhoto, largest } from "../images.js";
import { quantile } from "../localization.js";
import { receptiveField } from "../receptive_field.js";
import * as parts from "./parts.js";
import { readPhoto } from "./photo_source.js";

const MOST = 64; // channels that are shown
const END = 0.995; // the quantile of a signal's magnitudes at which its scale ends
const FIRST = {
  digits: { image: "8", layer: "layers.4" },
  squeezenet: { image: "cat", layer: "layers.relu1" },
};
const KINDS = {
  normalization: "normalization",
  convolution: "convolution",
  relu: "ReLU",
  max_pooling: "max-pooling",
  average: "mean over positions",
  maximum: "maximum over positions",
  linear: "fully connected",
};
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

const three = (value) =>
  Math.abs(value) < 1000 ? value.toPrecision(3) : Number(value.toPrecision(3)).toLocaleString("en");
const number = (value) => (value ? three(value).replaceAll("-", "−") : "0");
const short = (name) => name.replace(/^layers\./, "");
const colorsOf = (isSigned) => COLORS[isSigned ? "RdBu_r" : "magma"];
const scaleOf = (end, isSigned) => ({
  colors: colorsOf(isSigned),
  low: isSigned ? `−${number(end)}` : "0",
  high: number(end),
});

// The layers whose output is kept, as [name, words]: a ReLU works in the place of what it reads, and
// flattening changes no value.
function keptLayers({ layers }) {
  const rectified = layers.filter(({ kind }) => kind === "relu").flatMap(({ reads }) => reads);
  const kept = layers.filter(({ name, kind }) => !rectified.includes(name) && kind !== "flatten");
  return kept.map(({ name, kind, reads }) => {
    if (kind !== "concatenation") return [name, `${short(name)}: ${KINDS[kind]}`];
    return [name, `${short(reads[0]).split(".")[0]}: both outputs, joined`];
  });
}

// The layers whose channels are the classes: the last one with weights, and what comes after it.
function classLayers({ layers }) {
  const last = layers.findLastIndex(({ kind }) => kind === "convolution" || kind === "linear");
  return layers.slice(last).map(({ name }) => name);
}

// A layer's output: its scale, and its channels, that of the largest magnitude first.
function activationOf(values, [channels, height = 1, width = 1]) {
  const count = height * width;
  const order = Array.from({ length: channels }, (_, channel) => {
    const plane = values.subarray(channel * count, (channel + 1) * count);
    return { channel, plane, peak: plane.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) };
  });
  order.sort((a, b) => Math.abs(b.peak) - Math.abs(a.peak) || a.channel - b.channel);
  const isSigned = values.some((value) => value < 0);
  return { order, size: [height, width], end: largest(values), isSigned };
}

export function mount(root, { networks, address }) {
  const engine = new Engine();
  const lines = parts.messages();
  const loaded = new Map(); // name -> description, of what the engine has
  let opened = 0; // of several networks and images only the newest counts
  let pending = null; // the state that is set as soon as the network is there
  let seen = null; // what goes into the network: {image, shape, title}
  let active = null;
  let channel = null;
  let position = null; // [row, column], or null

  // ---- controls

  const network = parts.radios({
    label: "Network",
    options: [["digits", "digits, 28 × 28"], ["squeezenet", "SqueezeNet, photos"]],
    value: "digits",
    change: (name) => open({ network: name }),
  });
  const image = parts.select({
    label: "Image",
    options: [[FIRST.digits.image, ""]],
    value: FIRST.digits.image,
    change: () => attempt(() => showImage(++opened)),
  });
  const layer = parts.select({
    label: "Layer",
    options: [[FIRST.digits.layer, ""]],
    value: FIRST.digits.layer,
    change: () => choose(null, null, showLayer),
  });
  const choices = parts.settings({ network, image, layer });

  // ---- what is shown

  const input = parts.picture();
  const map = parts.picture();
  const back = Object.keys(RULE_TITLES).map((rule) => ({ rule, picture: parts.picture() }));
  const all = parts.button("All channels", () => pick(null));
  const whole = parts.button("All positions", () => pick(channel));
  const heading = parts.element("p", { role: "status" });
  const told = parts.element("p", { className: "pg-muted" });
  const grid = parts.element("div", {
    className: "pg-channels",
    role: "group",
    "aria-label": "Channels and their largest values",
  });
  const stage = parts.element(
    "div",
    { hidden: true },
    parts.shown(input.root, map.root),
    parts.tools(all, whole),
    heading,
    parts.shown(...back.map(({ picture }) => picture.root)),
    told,
    grid,
  );
  const offer = parts.element("div");
  root.append(
    parts.element(
      "p",
      {},
      "What a layer puts out, and what comes of it at the image when it is carried back. Choose a " +
        "channel below for that channel alone, and a position on its map for one neuron alone.",
    ),
    parts.controls(network.root, image.root, layer.root),
    offer,
    stage,
    lines.root,
  );
  map.canvas.tabIndex = 0;

  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      lines.fail(error.message);
    }
  }

  // ---- network, image, layer

  // sets a state: at once what can be, the rest as soon as its network is there
  function open(state) {
    const name = state.network in FIRST ? state.network : "digits";
    const mine = ++opened;
    pending = state;
    network.set(name);
    image.start = FIRST[name].image;
    layer.start = FIRST[name].layer;
    offer.replaceChildren();
    lines.clear();
    if (name === "digits" || loaded.has(name)) return attempt(() => fill(mine, name));
    stage.hidden = true;
    networks.offer(offer, name, () => mine === opened && attempt(() => fill(mine, name)));
  }

  // the menus of a network, then the state
  async function fill(mine, name) {
    const packed = await networks.load(name);
    if (!loaded.has(name)) {
      await engine.load(packed);
      loaded.set(name, packed.description);
    }
    const { description } = packed;
    const photos = name === "digits" ? null : await networks.photos();
    if (mine !== opened) return;
    const titles = photos
      ? Object.entries(photos).map(([key, { title }]) => [key, title])
      : description.samples.map((_, digit) => [String(digit), String(digit)]);
    image.setOptions(titles);
    layer.setOptions(keptLayers(description));
    const { channel: of, position: at, ...named } = pending;
    const strange = choices.take(named);
    channel = of === undefined ? null : Number(of);
    position = at === undefined ? null : at.split(",").map(Number);
    pending = null;
    await showImage(mine);
    if (strange.length) lines.fail(`Not recognized: ${strange.join(", ")}.`);
  }

  async function showImage(mine) {
    const description = loaded.get(network.value);
    const found = network.value === "digits" ? digit(description) : await photo(description);
    if (mine !== opened) return;
    seen = { ...found, shape: description.input };
    stage.hidden = false;
    await showLayer();
  }

  function digit({ samples }) {
    const which = Number(image.value);
    return { image: sampleOf(samples[which]), title: `A handwritten ${which}` };
  }

  async function photo(description) {
    const { title, credit, url } = (await networks.photos())[image.value];
    const read = await readPhoto(url, title, description.resized_side);
    const fitted = fitPhoto(read.photo, description);
    return { image: fitted.image, title: `${title} (${credit})` };
  }

  const request = () => ({
    network: network.value,
    size: seen.shape.slice(1),
    image: seen.image,
    layer: layer.value,
  });

  async function showLayer() {
    const found = await engine.ask({ do: "activation", ...request() }, { latest: "activation" });
    if (!found) return;
    active = activationOf(found.values, found.shape);
    const [height, width] = active.size;
    const fits = (place) => place[0] >= 0 && place[0] < height && place[1] >= 0 && place[1] < width;
    if (channel !== null && !active.order.some((one) => one.channel === channel)) channel = null;
    if (channel === null || !position || !fits(position)) position = null;
    fillGrid();
    await show();
  }

  // ---- channels and neurons

  function pick(of, at = null) {
    address.leave();
    return choose(of, at, show);
  }

  function choose(of, at, then) {
    [channel, position] = [of, at];
    return attempt(then);
  }

  const nameOf = () => layer.input.selectedOptions[0].textContent;

  // the class that a channel is, or none
  function classOf(of) {
    const description = loaded.get(network.value);
    return classLayers(description).includes(layer.value) ? description.class_names[of] : null;
  }

  // of a digit, name and number are the same
  function tileName(of) {
    const name = classOf(of);
    return name === null || name === String(of) ? String(of) : `${of} ${name}`;
  }

  function channelName(of, word = "channel") {
    const name = classOf(of);
    return name === null ? `${word} ${of}` : `${word} ${of}, class ${name}`;
  }

  function fillGrid() {
    const { order, size: [height, width], end, isSigned } = active;
    const shown = order.slice(0, MOST).map(({ channel: of, plane, peak }) => {
      const canvas = parts.element("canvas", { width, height, "aria-hidden": "true" });
      const pixels = colored(plane, end, { signed: isSigned });
      canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
      const node = parts.button("", () => pick(of), { tabIndex: -1, "data-channel": of });
      node.append(canvas, parts.element("span", {}, `${tileName(of)}: ${number(peak)}`));
      return node;
    });
    shown[0].tabIndex = 0;
    grid.replaceChildren(...shown);
    const most = number(end);
    const range = isSigned ? `−${most}, blue, to ${most}, red` : `0, black, to ${most}`;
    const count = `${order.length.toLocaleString("en")} channels`;
    const some = order.length > MOST ? `${MOST} of ${count}` : count;
    const unit = height * width === 1 ? "one value each" : `${height} × ${width} positions each`;
    told.textContent =
      "Carried back is the activation itself: at the image the numbers are activation² per intensity. " +
      `${some}, ${unit}, those of the largest activation first, each with its number and its largest ` +
      `value. All on one scale, from ${range}.`;
  }

  // arrows lead from channel to channel, so that the grid is one stop of the Tab key
  grid.addEventListener("keydown", (event) => {
    const nodes = [...grid.children];
    const here = nodes.indexOf(document.activeElement);
    const columns = nodes.filter(({ offsetTop }) => offsetTop === nodes[0].offsetTop).length;
    const [down, right] = MOVES[event.key] ?? [0, 0];
    const ends = { Home: 0, End: nodes.length - 1 };
    const next = nodes[ends[event.key] ?? here + down * columns + right];
    if (here < 0 || !next || next === nodes[here]) return;
    event.preventDefault();
    nodes[here].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  map.canvas.addEventListener("click", ({ clientX, clientY }) => {
    if (channel === null) return;
    const { left, top, width, height } = map.canvas.getBoundingClientRect();
    const shares = [(clientY - top) / height, (clientX - left) / width];
    const place = shares.map((share, i) => Math.floor(share * active.size[i]));
    pick(channel, place.map((at, i) => Math.min(Math.max(at, 0), active.size[i] - 1)));
  });

  map.canvas.addEventListener("keydown", (event) => {
    if (channel === null || !(event.key in MOVES)) return;
    event.preventDefault();
    const from = position ?? strongestPlace();
    const moved = MOVES[event.key].map((by, i) => (position ? from[i] + by : from[i]));
    pick(channel, moved.map((at, i) => Math.min(Math.max(at, 0), active.size[i] - 1)));
  });

  const chosen = () => active.order.find((one) => one.channel === channel);

  function strongestPlace() {
    const { plane, peak } = chosen();
    const at = plane.indexOf(peak);
    return [Math.floor(at / active.size[1]), at % active.size[1]];
  }

  // ---- pictures

  async function show() {
    for (const node of grid.children) {
      node.setAttribute("aria-pressed", String(Number(node.dataset.channel) === channel));
    }
    all.setAttribute("aria-pressed", String(channel === null));
    whole.disabled = position === null;
    showInput();
    showMap();
    const part =
      channel === null
        ? "all channels"
        : position
          ? `the neuron of ${channelName(channel)} at row ${position[0]}, column ${position[1]}`
          : channelName(channel);
    heading.textContent = `Carried back from ${nameOf()}, ${part}; each on its own scale:`;
    await Promise.all(back.map(({ rule, picture }) => carryBack(rule, picture, part)));
  }

  function showInput() {
    const field = position && fieldOf();
    const [x0, y0, x1, y1] = field ?? [];
    const depends = `; what the neuron depends on: x ${x0} to ${x1}, y ${y0} to ${y1}`;
    const caption = `${seen.title}${field ? depends : ""}`;
    input.show({ pixels: seen.image, shape: seen.shape, alt: `${caption}.`, caption });
    mark(input.drawing, field);
  }

  const fieldOf = () =>
    receptiveField(loaded.get(network.value), layer.value, position, seen.shape.slice(1));

  // the map of a channel, or of all the mean magnitude
  function showMap() {
    const { order, size, end, isSigned } = active;
    const shape = [1, ...size];
    map.canvas.style.cursor = channel === null ? "" : "crosshair";
    if (channel === null) {
      const mean = order[0].plane.map((_, i) => {
        return order.reduce((sum, { plane }) => sum + Math.abs(plane[i]), 0) / order.length;
      });
      const caption = "Mean magnitude of all channels";
      const top = largest(mean);
      map.show({ pixels: colored(mean, top), shape, alt: caption, caption, scale: scaleOf(top, false) });
    } else {
      const { plane, peak } = chosen();
      const value = position && plane[position[0] * size[1] + position[1]];
      const name = channelName(channel, "Channel");
      const caption = position
        ? `${name}: ${number(value)} at row ${position[0]}, column ${position[1]}`
        : `${name}: largest ${number(peak)}. Click a position, or use the arrow keys`;
      const pixels = colored(plane, end, { signed: isSigned });
      map.show({ pixels, shape, alt: caption, caption, scale: scaleOf(end, isSigned) });
    }
    mark(map.drawing, position && [position[1], position[0], position[1] + 1, position[0] + 1]);
  }

  // a box [x0, y0, x1, y1] in a picture, or none
  function mark(drawing, box) {
    drawing.replaceChildren();
    if (!box) return;
    const [x0, y0, x1, y1] = box;
    const place = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    for (const name of ["pg-edge", "pg-box"]) {
      drawing.append(parts.vector("rect", { ...place, class: name }));
    }
  }

  async function carryBack(rule, picture, part) {
    const only = { ...(channel !== null && { channel }), ...(position && { position }) };
    const asked = { do: "reconstruction", ...request(), rule, ...only };
    const found = await engine.ask(asked, { latest: rule });
    if (!found) return;
    const { signal, shape } = found;
    const end = quantile(signal.map(Math.abs), END) || largest(signal);
    const isGray = shape[0] === 1;
    const pixels = isGray
      ? colored(signal, end, { signed: true })
      : signal.map((value) => 0.5 + value / (2 * end));
    const zero = isGray ? "white" : "gray";
    const isEmpty = signal.every((value) => value === 0);
    const range = isEmpty ? "zero everywhere" : `${zero} is zero, ends at ±${number(end)}`;
    picture.show({
      pixels,
      shape,
      alt: `The signal of ${part} at the image by ${RULE_TITLES[rule]}: ${range}.`,
      caption: `${RULE_TITLES[rule]}; ${range}`,
    });
    mark(picture.drawing, position && fieldOf());
  }

  // ---- the state

  function current() {
    if (pending) return pending;
    const neuron = position && { position: position.join(",") };
    return { ...choices.current(), ...(channel !== null && { channel: String(channel) }), ...neuron };
  }

  open({});
  return { take: open, current };
}
