// What the panels of the playground are made of: labeled controls, pictures, bars, messages.
// A control is {root, value, start, set(value), take(text), text}: `set` calls no `change`; `take`
// sets what a link says and tells whether it could; `text` is what a link shall say.
//
// element(name, properties, ...children)   an HTML element; vector(name, attributes, text): of SVG
// slider({label, min, max, step, value, change, word})         word(value): what is shown and read out;
//        or {label, values: [...], value, change, word}        a slider over these values alone
// select({label, options, value, change})  options: [[value, text], ...]; `setOptions(options)`
// radios({label, options, value, change})  a group of radio buttons, as a fieldset
// checkbox({label, value, change})
// button(text, click, properties)
// settings({name: control, ...})           {take(state), current(), reset()} of a panel's controls
// filePicker({label, accept, multiple, take, camera})          take([File, ...]); {root, input}
// takeDropsAndPastes(root, take)           files dropped on an element or pasted while it is shown
// picture({caption, small})   {root, canvas, drawing, show({pixels, shape, alt, caption, scale})}
//        pixels: Uint8ClampedArray (RGBA) or Float32Array (planar, [0, 1]); shape: [channels, height, width];
//        scale: {colors: [CSS colors], low, high}, a color bar below; drawing: an SVG over it, in pixels
// bars({label, columns, choose})           {root, show(rows, chosen), rescale()}
//        columns: [{title, range, word}], a range [low, high] or none: it widens as needed; or
//        {title, word, isPlain, isRise}: numbers without bars; the largest rise in bold;
//        rows: [{name, values: [one a column]}]; choose(index) when a name is clicked
// messages()                               {root, say(text), fail(text), announce(text), clear()}
// controls(...), tools(...), shown(...)    the rows that hold controls, buttons, pictures
// newestOnly(work)                         a function; at most one call of work a frame: the newest

import { element, vector, whenMoved } from "../../lib/deepinside/explorers/widget.js";
import { pixelsOf } from "../images.js";

export { element, vector };

const REST = 400; // ms of rest before a change is announced
const SMALL = 64; // pixels: up to this width a picture's own pixels are to be seen

let made = 0;
const newId = () => `pg-${++made}`;

const row = (name) => (...children) => element("div", { className: `pg-${name}` }, ...children);
export const controls = row("controls");
export const tools = row("tools");
export const shown = row("shown");

// ---- controls

function labeled(label, input, ...between) {
  input.id = newId();
  const holder = row("control")(element("label", { htmlFor: input.id }, label), ...between, input);
  return holder;
}

export function slider({ label, min, max, step, values, value: start, change, word = String }) {
  const range = values ? { min: 0, max: values.length - 1, step: 1 } : { min, max, step };
  const input = element("input", { type: "range", ...range });
  const output = element("span", { className: "pg-value", "aria-hidden": "true" });
  const valueOf = () => (values ? values[Number(input.value)] : Number(input.value));
  const tell = () => {
    output.textContent = word(valueOf());
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const control = {
    root: labeled(label, input, output),
    input,
    start,
    get value() {
      return valueOf();
    },
    get text() {
      return String(valueOf());
    },
    set(value) {
      input.value = values ? values.indexOf(value) : value;
      tell();
    },
    take(text) {
      const value = text.trim() === "" ? NaN : Number(text);
      const [low, high] = values ? [values[0], values.at(-1)] : [min, max];
      const fits = value >= low && value <= high;
      const away = (one) => Math.abs(one - value);
      if (fits) control.set(values ? values.toSorted((a, b) => away(a) - away(b))[0] : value);
      return fits;
    },
  };
  control.set(start);
  whenMoved(input, () => {
    tell();
    change?.(control.value);
  });
  return control;
}

export function select({ label, options, value: start, change }) {
  const input = element("select");
  const has = (value) => [...input.options].some((option) => option.value === value);
  const control = {
    root: labeled(label, input),
    input,
    start,
    get value() {
      return input.value;
    },
    get text() {
      return input.value;
    },
    set(value) {
      input.value = value;
    },
    take(text) {
      if (has(text)) input.value = text;
      return has(text);
    },
    setOptions(now) {
      const before = input.value;
      input.replaceChildren(...now.map(([value, text]) => element("option", { value }, text)));
      input.value = has(before) ? before : now[0][0];
    },
  };
  control.setOptions(options);
  control.set(start);
  input.addEventListener("input", () => change?.(control.value));
  return control;
}

export function radios({ label, options, value: start, change }) {
  const name = newId();
  const inputs = options.map(([value]) => element("input", { type: "radio", name, value }));
  const choices = options.map(([, text], i) => element("label", {}, inputs[i], text));
  const control = {
    root: element("fieldset", { className: "pg-radios" }, element("legend", {}, label), ...choices),
    inputs,
    start,
    get value() {
      return inputs.find((input) => input.checked).value;
    },
    get text() {
      return control.value;
    },
    set(value) {
      for (const input of inputs) input.checked = input.value === value;
    },
    take(text) {
      const fits = options.some(([value]) => value === text);
      if (fits) control.set(text);
      return fits;
    },
  };
  control.set(start);
  control.root.addEventListener("input", () => change?.(control.value));
  return control;
}

export function checkbox({ label, value: start = false, change }) {
  const input = element("input", { type: "checkbox" });
  const control = {
    root: element("label", { className: "pg-check" }, input, label),
    input,
    start,
    get value() {
      return input.checked;
    },
    get text() {
      return input.checked ? "yes" : "no";
    },
    set(value) {
      input.checked = value;
    },
    take(text) {
      const fits = text === "yes" || text === "no";
      if (fits) input.checked = text === "yes";
      return fits;
    },
  };
  control.set(start);
  input.addEventListener("input", () => change?.(control.value));
  return control;
}

export function button(text, click, properties = {}) {
  const node = element("button", { type: "button", ...properties }, text);
  node.addEventListener("click", click);
  return node;
}

// What a link says of a panel's controls. `take` answers what it could not set, as "name value".
export function settings(named) {
  const all = Object.entries(named);
  const reset = () => all.forEach(([, control]) => control.set(control.start));
  return {
    reset,
    take(state) {
      reset();
      const strange = Object.entries(state).filter(([name, text]) => !named[name]?.take(text));
      return strange.map((pair) => pair.join(" "));
    },
    current() {
      const moved = all.filter(([, control]) => control.value !== control.start);
      return Object.fromEntries(moved.map(([name, control]) => [name, control.text]));
    },
  };
}

// ---- files

export function filePicker({ label, accept = "image/*", multiple = false, camera, take }) {
  const input = element("input", { type: "file", accept, multiple });
  if (camera) input.setAttribute("capture", camera);
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) take(files);
  });
  return { root: labeled(label, input), input };
}

export function takeDropsAndPastes(root, take) {
  const hold = (event, over) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    root.classList.toggle("pg-over", over);
  };
  root.addEventListener("dragover", (event) => hold(event, true));
  root.addEventListener("dragleave", (event) => hold(event, false));
  root.addEventListener("drop", (event) => {
    hold(event, false);
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || !root.checkVisibility()) return;
    event.preventDefault();
    take(files);
  });
}

// ---- pictures

function scaleBar() {
  const bar = element("i", { "aria-hidden": "true" });
  const [low, high] = [element("span"), element("span")];
  const root = element("div", { className: "pg-scale", hidden: true }, low, bar, high);
  let painted = null;
  return {
    root,
    show(scale) {
      root.hidden = !scale;
      if (!scale) return;
      [low.textContent, high.textContent] = [scale.low, scale.high];
      if (painted === scale.colors) return;
      painted = scale.colors;
      bar.style.background = `linear-gradient(to right, ${painted.join(", ")})`;
    },
  };
}

export function picture({ caption = "", small } = {}) {
  const canvas = element("canvas", { width: 1, height: 1 });
  const drawing = vector("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const stack = element("div", { className: "pg-stack" }, canvas, drawing);
  const [words, bar] = [element("figcaption", {}, caption), scaleBar()];
  const root = element("figure", { className: "pg-picture" }, stack, words, bar.root);
  const context = canvas.getContext("2d");
  function fit(height, width) {
    if (canvas.width === width && canvas.height === height) return;
    [canvas.width, canvas.height] = [width, height];
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    stack.classList.toggle("pg-small", small ?? width <= SMALL);
    stack.style.aspectRatio = `${width} / ${height}`;
    root.style.setProperty("--pg-ratio", Number((width / height).toFixed(3)));
  }
  return {
    root,
    canvas,
    drawing,
    show({ pixels, shape, alt, caption: now = caption, scale }) {
      const [, height, width] = shape;
      fit(height, width);
      const bytes = pixels instanceof Float32Array ? pixelsOf(pixels, shape[0]) : pixels;
      context.putImageData(new ImageData(bytes, width, height), 0, 0);
      if (!canvas.hasAttribute("role")) canvas.setAttribute("role", "img"); // before there is nothing to tell
      if (canvas.getAttribute("aria-label") !== alt) canvas.setAttribute("aria-label", alt);
      if (words.textContent !== now) words.textContent = now;
      bar.show(scale);
    },
  };
}

// ---- bars

// 1, 1.5, 2, 3, 5 or 7 times a power of ten, not below a value
function roundEnd(value) {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 5, 7, 10].map((digit) => digit * power).find((end) => end >= value) ?? value;
}

// A table, so that a screen reader has the numbers; a bar begins at the line of zero. A column
// without a range widens its scale to round ends and does not shrink it but by `rescale`.
export function bars({ label, columns, choose }) {
  const ranges = columns.map(({ range }) => range ?? [0, 0]);
  const classOf = ({ isPlain, isRise }) => (isRise ? "pg-plain pg-rise" : isPlain ? "pg-plain" : "");
  const head = (text, className = "") => element("th", { scope: "col", className }, text);
  const body = element("tbody");
  const root = element(
    "table",
    { className: "pg-bars" },
    element("caption", { className: "pg-heard" }, label),
    element(
      "thead",
      {},
      element("tr", {}, head("class"), ...columns.map((column) => head(column.title, classOf(column)))),
    ),
    body,
  );

  function emptyRow(index) {
    const name = choose ? button("", () => choose(index)) : element("span");
    const cells = columns.map((column) => {
      const className = classOf(column);
      if (column.isPlain) return element("td", { className }, element("span"));
      const bar = element("i", {}, element("b"));
      bar.setAttribute("aria-hidden", "true");
      return element("td", {}, bar, element("span"));
    });
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
  }

  function showValue(cell, value, [low, high], word) {
    const [track, number] = cell.children;
    const bar = track.firstElementChild;
    const share = (x) => (high > low ? (100 * (x - low)) / (high - low) : 0);
    const [from, to] = [share(Math.min(0, value)), share(Math.max(0, value))];
    bar.style.left = `${from}%`;
    bar.style.width = `${to - from}%`;
    track.style.setProperty("--pg-zero", `${share(0)}%`);
    number.textContent = word(value);
  }

  // the largest of a column, if it is a rise; of equal ones the first
  function markRise(column, values) {
    const highest = values.indexOf(Math.max(0, ...values));
    [...body.children].forEach(({ children }, index) =>
      children[column + 1].classList.toggle("pg-most", index === highest && values[index] > 0),
    );
  }

  return {
    root,
    rescale() {
      columns.forEach(({ range }, i) => range ?? (ranges[i] = [0, 0]));
    },
    show(rows, chosen = -1) {
      while (body.children.length < rows.length) body.append(emptyRow(body.children.length));
      while (body.children.length > rows.length) body.lastElementChild.remove();
      columns.forEach(({ range, isPlain, isRise }, i) => {
        const values = rows.map((shownRow) => shownRow.values[i]);
        if (isRise) markRise(i, values);
        if (range || isPlain) return;
        const [low, high] = [-roundEnd(-Math.min(...values)), roundEnd(Math.max(...values))];
        ranges[i] = [Math.min(ranges[i][0], low), Math.max(ranges[i][1], high)];
      });
      rows.forEach(({ name, values }, index) => {
        const [head, ...cells] = body.children[index].children;
        const holder = head.firstElementChild;
        if (holder.textContent !== name) holder.textContent = name;
        if (choose) holder.setAttribute("aria-pressed", String(index === chosen));
        body.children[index].classList.toggle("pg-chosen", index === chosen);
        cells.forEach((cell, i) => {
          const { isPlain, word = String } = columns[i];
          if (isPlain) cell.firstElementChild.textContent = word(values[i]);
          else showValue(cell, values[i], ranges[i], word);
        });
      });
    },
  };
}

// ---- messages

// One line that is seen: what is going on, or an error, which is read out at once. And one that
// is only heard: what changed, when it has come to rest.
export function messages() {
  const status = element("p", { className: "pg-status" });
  const heard = element("div", { className: "pg-heard", role: "status" });
  let rest;
  function say(text, failed = false) {
    status.classList.toggle("pg-error", failed);
    if (failed) status.setAttribute("role", "alert");
    else status.removeAttribute("role");
    if (status.textContent !== text) status.textContent = text;
  }
  const lines = {
    root: element("div", { className: "pg-messages" }, status, heard),
    say: (text) => say(text),
    fail: (text) => say(text, true),
    clear: () => say(""),
    announce(text) {
      clearTimeout(rest);
      rest = setTimeout(() => (heard.textContent = text), REST);
    },
  };
  return lines;
}

// ---- time

// The first call works at once; of those that follow within a frame, the last one at its end.
export function newestOnly(work) {
  let isFrame = false;
  let asked = null;
  function begin(request) {
    asked = null;
    isFrame = true;
    requestAnimationFrame(() => {
      isFrame = false;
      if (asked) begin(asked);
    });
    work(...request);
  }
  return (...request) => {
    if (isFrame) asked = request;
    else begin(request);
  };
}
