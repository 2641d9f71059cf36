// The explorer's face: native, labeled controls over a grid of answers. Where a kernel is
// alive it is asked for what the grid does not hold; what was asked last is what is shown.

const BETWEEN = 10; // stops of a slider from one value of the grid to the next, with a kernel
const PATIENCE = 400; // ms of rest before a change is announced
const LONGEST = 1024; // pixels of an own photo's longer side

let renderings = 0;

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function vector(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// what a slider at a position between two values of the grid stands for
function valueAt(control, position) {
  const below = Math.floor(position);
  const rest = position - below;
  if (rest < 1e-9) return control.values[below];
  const [a, b] = [control.values[below], control.values[below + 1]];
  const value = control.log ? a * (b / a) ** rest : a + (b - a) * rest;
  return Number(value.toPrecision(3));
}

// an answer whose pictures and texts are places in the tables beside it
function unpacked([panels, numbers, curve], { pictures, texts }) {
  return {
    panels: panels.map(([title, alt, size, picture, mask, boxes, scale]) => ({
      title: texts[title],
      alt: texts[alt],
      size,
      picture: pictures[picture],
      mask: pictures[mask],
      boxes: boxes.map(([label, ...corners]) => [texts[label], corners]),
      scale: scale.map((text) => texts[text]),
    })),
    numbers: numbers.map((pair) => pair.map((text) => texts[text])),
    curve: curve && { title: texts[curve[0]], steps: curve[1], values: curve[2] },
  };
}

// the same elements are used again: a new picture then replaces the old one without a flash
function picturePanel(panel, reuse) {
  const [height, width] = panel.size;
  const figure = reuse ?? emptyPanel();
  const [caption, stack, below] = figure.children;
  const [image, shade, drawing] = stack.children;
  caption.textContent = panel.title;
  stack.classList.toggle("dx-small", width <= 64);
  stack.style.aspectRatio = `${width} / ${height}`;
  image.src = panel.picture;
  image.alt = panel.alt;
  shade.hidden = !panel.mask;
  if (panel.mask) shade.src = panel.mask;
  const unit = Math.max(width, height) / 224;
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.replaceChildren();
  below.replaceChildren();
  panel.boxes.forEach(([label, [x0, y0, x1, y1]], i) => {
    const place = { x: x0, y: y0, width: x1 - x0, height: y1 - y0, fill: "none" };
    const dashes = i ? { "stroke-dasharray": `${6 * unit} ${4 * unit}` } : {};
    drawing.append(
      vector("rect", { ...place, stroke: "black", "stroke-width": 3.5 * unit }),
      vector("rect", { ...place, ...dashes, stroke: "white", "stroke-width": 1.8 * unit }),
    );
    const line = element("i", { className: i ? "dx-dashed" : "" });
    below.append(element("span", {}, line, label));
  });
  return figure;
}

function emptyPanel() {
  const stack = element("div", { className: "dx-stack" }, element("img"), element("img", { alt: "" }));
  stack.append(vector("svg", { "aria-hidden": "true" }));
  const below = element("div", { className: "dx-key" });
  return element("figure", {}, element("figcaption"), stack, below);
}

function scaleBar([colors, low, high], stops) {
  const bar = element("i", { "aria-hidden": "true" });
  bar.style.background = `linear-gradient(to right, ${stops[colors].join(", ")})`;
  return element("div", { className: "dx-scale" }, low, bar, high);
}

function curvePanel(curve) {
  const [width, height, left, top, bottom] = [256, 200, 40, 10, 32];
  const known = curve.values.filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...known), Math.max(0.001, ...known)];
  const x = (i) => left + ((width - left - 8) * i) / (curve.values.length - 1);
  const y = (v) => top + ((height - top - bottom) * (high - v)) / (high - low);
  const words = known.length
    ? `A curve from ${known[0]} at step 0 to ${known.at(-1)}; lowest ${Math.min(...known)}, highest ${Math.max(...known)}.`
    : "No curve: the image diverged.";
  const drawing = vector("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  drawing.append(
    vector("line", { x1: left, x2: width - 8, y1: y(0), y2: y(0) }),
    vector("line", { x1: left, x2: left, y1: top, y2: height - bottom }),
    vector("text", { x: left - 4, y: y(high) + 8, "text-anchor": "end" }, Number(high.toPrecision(3))),
    vector("text", { x: left - 4, y: y(0) + 4, "text-anchor": "end" }, "0"),
    vector("text", { x: left, y: height - bottom + 16 }, "step 0"),
    vector("text", { x: width - 8, y: height - bottom + 16, "text-anchor": "end" }, curve.steps),
  );
  if (low < 0 && y(low) - y(0) > 12) {
    const text = Number(low.toPrecision(3));
    drawing.append(vector("text", { x: left - 4, y: y(low), "text-anchor": "end" }, text));
  }
  const points = curve.values.flatMap((v, i) => (v === null ? [] : `${x(i)},${y(v)}`));
  drawing.append(vector("polyline", { points: points.join(" ") }));
  const figure = element("figure", { className: "dx-curve" }, element("figcaption", {}, curve.title));
  figure.append(drawing);
  return figure;
}

// a photo file as a smaller JPEG, upright
async function readPhoto(file) {
  const bitmap = await createImageBitmap(file);
  const shrink = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas", {
    width: Math.max(1, Math.round(bitmap.width * shrink)),
    height: Math.max(1, Math.round(bitmap.height * shrink)),
  });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.95);
}

function render({ model, el }) {
  const { title, controls, colors } = model.get("spec");
  const grid = model.get("grid");
  const prefix = `dx${++renderings}-${Math.random().toString(36).slice(2, 8)}`;
  const position = Object.fromEntries(controls.map(({ name, start }) => [name, start]));
  const typed = {};
  const parts = new Map();
  let alive = false;
  let photo = null;
  let rest;
  // each change has a number; of those that ask, at most one is on its way to the kernel and at
  // most one waits for that answer: the newest
  let changes = 0;
  let newest = "";
  let onItsWay = null;
  let waiting = null;

  const shown = element("div", { className: "dx-shown" });
  const numbers = element("div", { className: "dx-numbers" });
  const settings = element("div", { className: "dx-settings" });
  const board = element("div", { className: "dx-controls" });
  const status = element("p", { className: "dx-status" });
  const heard = element("div", { className: "dx-heard", role: "status" });
  const root = element("div", { className: "dx", role: "group", "aria-label": title });
  // notebooks take arrow keys for themselves: JupyterLab unless told so, others if they hear them
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.append(shown, numbers, settings, board, status, heard);
  el.append(root);

  const takesPart = ({ needs: [name, value] }) => {
    const other = controls.find((control) => control.name === name);
    return !other || other.values[position[name]] === value;
  };
  const inUse = (control) => (takesPart(control) ? position[control.name] : 0);
  const wordFor = (control) =>
    typed[control.name] || (control.kind === "photo" && photo && "your photo") ||
    String(valueAt(control, position[control.name]));

  function show(packed, tables) {
    const answer = unpacked(packed, tables);
    const old = [...shown.querySelectorAll("figure:not(.dx-curve)")];
    const fresh = answer.panels.map((panel, i) => {
      const figure = picturePanel(panel, old[i]);
      if (panel.scale.length) figure.lastChild.append(scaleBar(panel.scale, colors));
      return figure;
    });
    if (answer.curve) fresh.push(curvePanel(answer.curve));
    shown.replaceChildren(...fresh);
    numbers.replaceChildren(
      ...answer.numbers.map(([name, value]) =>
        element("div", {}, element("span", {}, name), element("strong", {}, value)),
      ),
    );
    settings.textContent = controls
      .filter(takesPart).map((control) => `${control.label}: ${wordFor(control)}`).join("; ");
    clearTimeout(rest);
    rest = setTimeout(() => {
      heard.textContent = answer.numbers.map((pair) => pair.join(" ")).join(", ");
    }, PATIENCE);
  }

  function say(text, { busy = false, error = false } = {}) {
    status.classList.toggle("dx-error", error);
    if (error) status.setAttribute("role", "alert");
    else status.removeAttribute("role");
    status.textContent = text;
    root.setAttribute("aria-busy", String(busy));
  }

  const idle = () =>
    say(alive ? "Python is connected: any value between, and what you type or load, is computed." : "");

  function update() {
    for (const control of controls) {
      const { holder, output, input } = parts.get(control.name);
      const off = !takesPart(control);
      holder.classList.toggle("dx-off", off);
      input.disabled = off;
      if (output) {
        output.textContent = off ? "no part here" : wordFor(control);
        input.setAttribute("aria-valuetext", output.textContent);
      }
    }
    newest = `${prefix}-${++changes}`;
    const places = controls.map(inUse);
    const onGrid = places.every(Number.isInteger) && !photo && !Object.values(typed).some(Boolean);
    if (onGrid) {
      waiting = null;
      idle();
      show(grid.answers[places.join(",")], grid);
      return;
    }
    const state = {};
    for (const control of controls) {
      state[control.name] = typed[control.name] || valueAt(control, inUse(control));
    }
    say("Computing …", { busy: true });
    waiting = { kind: "ask", id: newest, state, photo };
    ask();
  }

  function ask() {
    if (onItsWay || !waiting) return;
    model.send(waiting);
    [onItsWay, waiting] = [waiting, null];
  }

  function makeControl(control) {
    const id = `${prefix}-${control.name}`;
    const label = element("label", { htmlFor: id }, control.label);
    const holder = element("div", { className: "dx-control" }, label);
    let input;
    let output;
    if (control.kind === "slider") {
      input = element("input", { type: "range", id, min: 0, max: control.values.length - 1, step: 1 });
      input.value = position[control.name];
      output = element("output", { htmlFor: id });
      holder.append(output, input);
    } else {
      const options = control.values.map((value, i) => element("option", { value: i }, String(value)));
      input = element("select", { id }, ...options);
      input.value = String(position[control.name]);
      holder.append(input);
    }
    input.addEventListener("input", () => {
      position[control.name] = Number(input.value);
      typed[control.name] = "";
      if (control.kind === "photo") photo = null;
      for (const extra of holder.querySelectorAll("[data-extra]")) extra.value = "";
      update();
    });
    parts.set(control.name, { holder, input, output });
    board.append(holder);
  }

  // what only a kernel can answer
  function extend() {
    alive = true;
    for (const control of controls) {
      const { holder, input } = parts.get(control.name);
      const id = `${input.id}-own`;
      if (control.kind === "slider") input.step = 1 / BETWEEN;
      if (control.free) {
        const field = element("input", { type: "text", id, "data-extra": "", autocomplete: "off" });
        field.addEventListener("change", () => {
          typed[control.name] = field.value.trim();
          update();
        });
        holder.append(element("label", { htmlFor: id }, control.free), field);
      }
      if (control.kind === "photo") {
        const field = element("input", { type: "file", accept: "image/*", id, "data-extra": "" });
        field.addEventListener("change", async () => {
          try {
            photo = field.files.length ? await readPhoto(field.files[0]) : null;
            update();
          } catch {
            const { name } = field.files[0];
            say(`Expected a picture that this browser can read, got ${name}.`, { error: true });
          }
        });
        holder.append(element("label", { htmlFor: id }, "or your own photo"), field);
      }
    }
    idle();
  }

  function hear(message) {
    if (message.kind === "alive") {
      if (!alive) extend();
      // a kernel answers in order: what it was asked before this greeting is lost
      if (onItsWay?.id === newest) waiting = onItsWay;
    } else if (message.id !== onItsWay?.id) {
      return;
    } else if (message.kind === "error" && message.id === newest) {
      say(message.message, { error: true });
    } else if (message.id === newest) {
      idle();
      show(message.answer, message);
    }
    onItsWay = null;
    ask();
  }

  controls.forEach(makeControl);
  update();
  model.on("msg:custom", hear);
  model.send({ kind: "hello" });
  return () => model.off("msg:custom", hear);
}

export default { render };
