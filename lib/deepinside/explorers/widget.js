// The explorer's face: native, labeled controls over a grid of answers. Where a kernel is
// alive it is asked for what the grid does not hold; what was asked last is what is shown.
// On a page of the book the first state stands there already, drawn by first_view.py with the
// same elements: they are taken over as they are, with what the reader has set by then.

const BETWEEN = 10; // stops of a slider from one value of the grid to the next, with a kernel
const REST = 400; // ms of rest before a change is announced
const PATIENCE = 8000; // ms until a kernel that says nothing is not waited for
const FRAME = 200; // ms of one picture of those that are played
const SWIPE = 8; // pixels to the side after which a touch means the slider and not the page
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
  // three digits, unless these are not between the two
  return Math.min(Math.max(Number(value.toPrecision(3)), Math.min(a, b)), Math.max(a, b));
}

// an answer whose pictures and texts are places in the tables beside it
function unpacked([panels, numbers, curve], { pictures, texts }) {
  return {
    panels: panels.map(([title, alt, size, picture, mask, boxes, scale, aspect, frames, bars = []]) => ({
      title: texts[title],
      alt: texts[alt],
      size,
      picture: pictures[picture],
      mask: pictures[mask],
      boxes: boxes.map(([label, ...corners]) => [texts[label], corners]),
      bars: bars.map(([label, ...corners]) => [texts[label], corners]),
      scale: scale.map((text) => texts[text]),
      aspect,
      frames,
    })),
    numbers: numbers.map((pair) => pair.map((text) => texts[text])),
    curve: curve && { title: texts[curve[0]], steps: curve[1], values: curve[2], mark: curve[3] },
  };
}

// the photo of an answer and the map that belongs over it, if it has both
function photoAndMap({ panels }) {
  const map = panels.find(({ scale }) => scale.length);
  const photo = panels.find(({ scale, aspect }) => !scale.length && String(aspect) === String(map?.aspect));
  return photo && [photo, map];
}

// a picture over the one of a panel, or none
function layer(stack, name, url) {
  const old = stack.querySelector(`.${name}`);
  if (!url) return old?.remove();
  const image = old ?? element("img", { className: name, alt: "" });
  if (!old) stack.lastElementChild.before(image);
  image.src = url;
  return image;
}

// a difference of decimals without its last bits, as first_view.py writes it
const less = (a, b) => Number((a - b).toFixed(10));
const placeOf = ([x0, y0, x1, y1]) => ({ x: x0, y: y0, width: less(x1, x0), height: less(y1, y0) });

// the same elements are used again: a new picture then replaces the old one without a flash
function picturePanel(panel, colors, reuse) {
  const [height, width] = panel.size;
  const [tall, wide] = panel.aspect;
  const figure = reuse ?? emptyPanel();
  const [stack, caption, below] = figure.children;
  const [image, drawing] = [stack.firstElementChild, stack.lastElementChild];
  caption.textContent = panel.title;
  figure.style.setProperty("--dx-ratio", Number((wide / tall).toFixed(3)));
  stack.classList.toggle("dx-small", width <= 64);
  stack.style.aspectRatio = `${wide} / ${tall}`;
  if (image.src !== panel.picture) image.src = panel.picture;
  image.alt = panel.alt;
  showFrame(image, panel, panel.frames - 1);
  layer(stack, "dx-shade", panel.mask);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.replaceChildren();
  below.replaceChildren();
  panel.boxes.forEach(([label, corners], i) => {
    const place = placeOf(corners);
    const dashed = i ? "dx-dashed" : "";
    drawing.append(
      vector("rect", { ...place, class: "dx-edge" }),
      vector("rect", { ...place, class: `dx-box ${dashed}`.trim() }),
    );
    below.append(element("span", {}, element("i", { className: dashed }), label));
  });
  for (const [label, corners] of panel.bars) {
    const above = vector("text", { x: 2, y: less(corners[1], 4) }, label);
    drawing.append(above, vector("rect", { ...placeOf(corners), class: "dx-bar" }));
  }
  if (panel.scale.length) below.append(scaleBar(panel.scale, colors));
  return figure;
}

function emptyPanel() {
  const drawing = vector("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const stack = element("div", { className: "dx-stack" }, element("img"), drawing);
  return element("figure", {}, stack, element("figcaption"), element("div", { className: "dx-key" }));
}

function showFrame(image, { frames }, frame) {
  image.style.width = frames > 1 ? `${100 * frames}%` : "";
  image.style.left = frames > 1 ? `${-100 * frame}%` : "";
}

function scaleBar([name, low, high], colors) {
  const bar = element("i", { "aria-hidden": "true" });
  bar.dataset.colors = name;
  bar.style.background = `linear-gradient(to right, ${colors[name].join(", ")})`;
  return element("div", { className: "dx-scale" }, element("span", {}, low), bar, element("span", {}, high));
}

function curvePanel(curve) {
  const [width, height, left, top, bottom] = [256, 200, 40, 10, 32];
  const known = curve.values.filter((value) => value !== null);
  const drawing = vector("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const figure = element("figure", { className: "dx-curve" }, drawing, element("figcaption", {}, curve.title));
  const label = (x, y, text, anchor = "start") => vector("text", { x, y, "text-anchor": anchor }, text);
  if (known.length < 2) {
    drawing.setAttribute("aria-label", "No curve: the image diverged.");
    drawing.append(label(width / 2, height / 2, "diverged", "middle"));
    return { figure, mark() {} };
  }
  const [low, high] = [Math.min(0, ...known), Math.max(0.001, ...known)];
  const x = (i) => (left + ((width - left - 8) * i) / (curve.values.length - 1)).toFixed(1);
  const y = (v) => (top + ((height - top - bottom) * (high - v)) / (high - low)).toFixed(1);
  const here = curve.values[curve.mark];
  const told = here == null ? "" : `; marked ${here}`;
  const range = `lowest ${Math.min(...known)}, highest ${Math.max(...known)}${told}`;
  drawing.setAttribute("aria-label", `A curve from ${known[0]} at step 0 to ${known.at(-1)}; ${range}.`);
  drawing.append(
    vector("line", { x1: left, x2: width - 8, y1: y(0), y2: y(0) }),
    vector("line", { x1: left, x2: left, y1: top, y2: height - bottom }),
    label(left - 4, top + 8, Number(high.toPrecision(3)), "end"),
    label(left - 4, Number(y(0)) + 4, "0", "end"),
    label(left, height - bottom + 16, "step 0"),
    label(width - 8, height - bottom + 16, curve.steps, "end"),
  );
  if (low < 0 && y(low) - y(0) > 12) drawing.append(label(left - 4, y(low), Number(low.toPrecision(3)), "end"));
  const points = curve.values.map((v, i) => (v === null ? "" : `${x(i)},${y(v)}`));
  drawing.append(vector("polyline", { points: points.filter(Boolean).join(" ") }));
  markPoint(drawing, points[curve.mark]);
  return { figure, mark: (share) => markPoint(drawing, points[Math.round(share * (points.length - 1))]) };
}

// one point of a curve, or none
function markPoint(drawing, point) {
  drawing.querySelector("circle")?.remove();
  if (!point) return;
  const [cx, cy] = point.split(",");
  drawing.append(vector("circle", { cx, cy, r: 4 }));
}

// how far along a color scale a color lies, from 0 to 1
function shareOf(color, stops) {
  const known = stops.map((stop) => [1, 3, 5].map((i) => parseInt(stop.slice(i, i + 2), 16)));
  let best = [Infinity, 0];
  for (let i = 0; i + 1 < known.length; i++) {
    const way = known[i].map((value, k) => known[i + 1][k] - value);
    const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
    const rest = color.map((value, k) => value - known[i][k]);
    const t = Math.min(1, Math.max(0, dot(rest, way) / dot(way, way)));
    const off = rest.map((value, k) => value - t * way[k]);
    if (dot(off, off) < best[0]) best = [dot(off, off), (i + t) / (known.length - 1)];
  }
  return best[1];
}

// what a picture has where the pointer is: a map's place on its scale, else brightness or color
function valueUnder({ target, clientX, clientY }, colors) {
  const stack = target.closest(".dx-stack");
  const image = stack?.firstElementChild;
  if (!image?.naturalWidth || stack.querySelector(".dx-bar")) return "";
  const share = (box) => [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  const [u, v] = share(image.getBoundingClientRect());
  const canvas = element("canvas", { width: 1, height: 1 });
  const drawing = canvas.getContext("2d");
  drawing.drawImage(image, -Math.floor(u * image.naturalWidth), -Math.floor(v * image.naturalHeight));
  const color = [...drawing.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  const [across, down] = share(stack.getBoundingClientRect());
  const { width, height } = stack.lastElementChild.viewBox.baseVal;
  const place = `x ${Math.floor(across * width)}, y ${Math.floor(down * height)}`;
  const [low, bar, high] = stack.parentNode.querySelector(".dx-scale")?.children ?? [];
  if (bar) {
    const percent = Math.round(100 * shareOf(color, colors[bar.dataset.colors]));
    return `${place}: ${percent} % of the way from ${low.textContent} to ${high.textContent}`;
  }
  const [red, green, blue] = color.map((value) => (value / 255).toFixed(2));
  const gray = Math.max(...color) - Math.min(...color) < 8;
  return `${place}: ${gray ? green : `red ${red}, green ${green}, blue ${blue}`}`;
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

// A swipe that starts on a slider scrolls the page. What it sets on its way counts when the
// finger goes to the side or is lifted, and is taken back when the browser scrolls instead.
function whenMoved(input, change) {
  let held = null;
  const letGo = () => {
    const moved = held && held.value !== input.value;
    held = null;
    if (moved) change();
  };
  input.addEventListener("pointerdown", ({ pointerType, clientX }) => {
    held = pointerType === "touch" ? { clientX, value: input.value } : null;
  });
  input.addEventListener("pointermove", ({ clientX }) => {
    if (held && Math.abs(clientX - held.clientX) > SWIPE) letGo();
  });
  input.addEventListener("pointerup", letGo);
  input.addEventListener("pointercancel", () => {
    if (held) input.value = held.value;
    held = null;
  });
  input.addEventListener("input", () => held || change());
}

function makeControl({ name, label, kind, values, start }, prefix) {
  const id = `${prefix}-${name}`;
  const sliding = { type: "range", id, name, min: 0, max: values.length - 1, step: 1 };
  const options = () => values.map((value, i) => element("option", { value: i }, String(value)));
  const input = kind === "slider" ? element("input", sliding) : element("select", { id, name }, ...options());
  input.value = start;
  const parts = [element("label", { htmlFor: id }, label), element("span", { className: "dx-value" }), input];
  return element("div", { className: "dx-control" }, ...parts);
}

// a slider of its own, in percent, that lays an answer's map over its photo
const PERCENT = Array.from({ length: 21 }, (_, i) => 5 * i);
const OVER = { name: "over", label: "Map over the photo", kind: "slider", values: PERCENT, start: 0 };

// what first_view.py writes, without what an answer fills in
function skeleton({ title, controls }, hasMap, page, prefix) {
  const button = (name, text) => element("button", { type: "button", className: `dx-${name}` }, text);
  const part = (tag, name, ...children) => element(tag, { className: `dx-${name}` }, ...children);
  // near the pictures what slides, and below a menu what depends on its choice
  const slides = ({ kind, needs }) => kind === "slider" && !needs.length;
  const menus = controls.filter(({ kind }) => kind !== "slider");
  const dependent = controls.filter(({ kind, needs }) => kind === "slider" && needs.length);
  const ordered = [...controls.filter(slides), ...(hasMap ? [OVER] : []), ...menus, ...dependent];
  const tools = [button("play", "Play"), button("keep", "Keep to compare"), button("reset", "Reset")];
  if (page) tools.push(button("link", "Copy link"));
  return element(
    "div",
    { className: "dx", role: "group", "aria-label": title },
    part("div", "view", part("div", "shown"), part("p", "under"), part("div", "numbers")),
    part("div", "settings"),
    part("div", "controls", ...ordered.map((control) => makeControl(control, prefix))),
    part("div", "tools", ...tools),
    part("p", "status"),
    element("div", { className: "dx-heard", role: "status" }),
  );
}

// `page` is given where there is no notebook but a page with an address: its `link` makes an
// address of a state, its `leave` is called when that state is left, and its `listen` is handed
// what takes a state and what tells the present one
function render({ model, el, page }) {
  const { title, controls, colors } = model.get("spec");
  const grid = model.get("grid");
  const prefix = `dx${++renderings}-${Math.random().toString(36).slice(2, 8)}`;
  if (!el.querySelector(".dx")) {
    const hasMap = Object.values(grid.answers).some((packed) => photoAndMap(unpacked(packed, grid)));
    el.append(skeleton({ title, controls }, hasMap, page, prefix));
  }
  const root = el.querySelector(".dx");
  const part = (name) => root.querySelector(`.dx-${name}`);
  const [shown, under, numbers, settings] = ["shown", "under", "numbers", "settings"].map(part);
  const [status, heard, playing] = ["status", "heard", "play"].map(part);
  const over = root.querySelector("[name=over]");
  const inputs = new Map(controls.map(({ name }) => [name, root.querySelector(`[name="${name}"]`)]));
  // the place of each control on the grid, and what was typed or loaded in its stead
  const position = Object.fromEntries([...inputs].map(([name, input]) => [name, Number(input.value)]));
  const own = {};
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let alive = ""; // who answers what the grid does not hold: "python", or "page", the network in it
  let answer;
  let present;
  let kept = [];
  let curve;
  let film = null;
  let frame = 0;
  let rest;
  let silence;
  // each change has a number; of those that ask, at most one is on its way to the kernel and at
  // most one waits for that answer: the newest
  let changes = 0;
  let newest = "";
  let onItsWay = null;
  let waiting = null;
  let overdue = false; // the one on its way may never be answered, and holds up no other one

  // notebooks take arrow keys for themselves: JupyterLab unless told so, others if they hear them
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => event.stopPropagation());

  const takesPart = ({ needs: [name, value] }) => {
    const other = controls.find((control) => control.name === name);
    return !other || other.values[position[name]] === value;
  };
  const inUse = (control) => (takesPart(control) ? position[control.name] : 0);
  const isOwn = ({ name }) => inputs.get(name).value === "own";
  const wordFor = (control) =>
    isOwn(control) ? own[control.name].label : String(valueAt(control, position[control.name]));

  function tell(text) {
    clearTimeout(rest);
    rest = setTimeout(() => (heard.textContent = text), REST);
  }

  function show(packed, tables, word = wordFor) {
    stop();
    under.textContent = "";
    answer = unpacked(packed, tables);
    const old = [...shown.children];
    shown.style.setProperty("--dx-panels", answer.panels.length);
    shown.replaceChildren(...answer.panels.map((panel, i) => picturePanel(panel, colors, old[i])));
    root.querySelector(":scope > .dx-curve")?.remove();
    curve = answer.curve && curvePanel(answer.curve);
    if (curve) part("controls").after(curve.figure);
    root.classList.toggle("dx-curved", Boolean(curve));
    playing.hidden = frames() < 2;
    frame = frames() - 1;
    numbers.replaceChildren(
      ...answer.numbers.map(([name, value]) =>
        element("div", {}, element("span", {}, name), element("strong", {}, value)),
      ),
    );
    present = controls.filter(takesPart).map((control) => `${control.label}: ${word(control)}`);
    settings.textContent = present.join("; ");
    nameKept();
    layMap();
    tell(answer.numbers.map((pair) => pair.join(" ")).join(", "));
  }

  function layMap() {
    if (!over) return;
    const percent = PERCENT[over.value];
    over.setAttribute("aria-valuetext", `${percent} %`);
    over.previousElementSibling.textContent = `${percent} %`;
    const [photo, map] = photoAndMap(answer) ?? [];
    for (const [i, panel] of answer.panels.entries()) {
      const laid = panel === photo && percent ? map.picture : "";
      const image = layer(shown.children[i].firstElementChild, "dx-over", laid);
      if (image) image.style.opacity = percent / 100;
    }
  }

  const frames = () => Math.max(1, ...answer.panels.map((panel) => panel.frames));

  function moveTo(to) {
    frame = to;
    answer.panels.forEach((panel, i) => {
      const image = shown.children[i].firstElementChild.firstElementChild;
      showFrame(image, panel, Math.min(frame, panel.frames - 1));
    });
    const share = frame / (frames() - 1);
    curve?.mark(share);
    const place = curve
      ? `step ${Math.round(share * answer.curve.steps)} of ${answer.curve.steps}`
      : `picture ${frame + 1} of ${frames()}`;
    under.textContent = share < 1 ? `${place}; the numbers are for the last one` : place;
  }

  function stop() {
    clearInterval(film);
    film = null;
    playing.textContent = calm.matches ? "Step" : "Play";
  }

  function play() {
    if (film) return stop();
    moveTo((frame + 1) % frames());
    if (calm.matches) return tell(under.textContent);
    playing.textContent = "Stop";
    film = setInterval(() => (frame < frames() - 1 ? moveTo(frame + 1) : stop()), FRAME);
  }

  // the present answer stays, with its settings, while the controls go on
  function keep() {
    const old = part("kept");
    part("keep").textContent = old ? "Keep to compare" : "Stop comparing";
    if (old) return old.remove();
    kept = present;
    const copies = [shown, curve?.figure, numbers].filter(Boolean).map((copied) => copied.cloneNode(true));
    const label = `Kept: ${kept.join("; ")}`;
    // to be reached, and scrolled to, by keyboard where a phone has no room for all
    const named = { className: "dx-kept", role: "group", tabIndex: 0, "aria-label": label };
    part("view").append(element("div", named, element("p"), ...copies));
    nameKept();
  }

  // what is kept is named by what is different now
  function nameKept() {
    const different = kept.filter((setting) => !present.includes(setting));
    const line = part("kept")?.firstElementChild;
    if (line) line.textContent = `Kept: ${(different.length ? different : kept).join("; ")}`;
  }

  function say(text, { busy = false, error = false } = {}) {
    clearTimeout(silence);
    status.classList.toggle("dx-error", error);
    if (error) status.setAttribute("role", "alert");
    else status.removeAttribute("role");
    status.textContent = text;
    root.setAttribute("aria-busy", String(busy));
  }

  const idle = () =>
    say(
      alive === "python"
        ? "Python is connected: it answers for values in between, and for what you type or load."
        : "",
    );

  function update() {
    for (const control of controls) {
      const input = inputs.get(control.name);
      const off = !takesPart(control);
      input.closest(".dx-control").classList.toggle("dx-off", off);
      input.disabled = off;
      const slides = control.kind === "slider";
      const word = off ? `only with ${control.needs[1]}` : slides ? wordFor(control) : "";
      input.previousElementSibling.textContent = word;
      if (slides) input.setAttribute("aria-valuetext", word);
    }
    newest = `${prefix}-${++changes}`;
    const places = controls.map(inUse);
    if (places.every(Number.isInteger) && !controls.some(isOwn)) {
      waiting = null;
      idle();
      show(grid.answers[places.join(",")], grid);
      return;
    }
    let photo = null;
    const state = {};
    for (const control of controls) {
      const { name, kind } = control;
      if (isOwn(control) && kind === "photo") photo = own[name].value;
      const typed = isOwn(control) && kind !== "photo";
      state[name] = typed ? own[name].value : valueAt(control, inUse(control));
    }
    say("Computing …", { busy: true });
    if (alive !== "page") silence = setTimeout(giveUp, PATIENCE);
    waiting = { kind: "ask", id: newest, state, photo };
    ask();
  }

  function ask() {
    if ((onItsWay && !overdue) || !waiting) return;
    overdue = false;
    [onItsWay, waiting] = [waiting, null];
    try {
      model.send(onItsWay);
    } catch {
      onItsWay = null;
      giveUp();
    }
  }

  // a kernel that was restarted hears nothing; one that is busy may still answer
  function giveUp() {
    const nearest = (control) => Math.round(inUse(control));
    const key = controls.map(nearest).join(",");
    show(grid.answers[key], grid, (control) => String(control.values[nearest(control)]));
    const near = `What you see was computed before: ${settings.textContent}.`;
    const who = page ? "The network in this page" : "Python";
    const help = page ? "" : " If it was restarted, run this cell again.";
    say(`${who} does not answer.${help} ${near}`, { error: true });
    overdue = true;
    ask();
    overdue = true;
  }

  // what was typed or loaded is one more entry of its control's menu, and chosen
  function takeOwn({ name }, label, value) {
    const input = inputs.get(name);
    const option = input.querySelector("[value=own]") ?? element("option", { value: "own" });
    own[name] = { label, value };
    option.textContent = label;
    if (value) input.append(option);
    else option.remove();
    input.value = value ? "own" : position[name];
    update();
  }

  // what only a kernel can answer
  function extend() {
    for (const control of controls) {
      const input = inputs.get(control.name);
      const holder = input.closest(".dx-control");
      const id = `${input.id}-own`;
      if (control.kind === "slider") input.step = 1 / BETWEEN;
      if (control.free) {
        const field = element("input", { type: "text", id, autocomplete: "off" });
        field.addEventListener("change", () => {
          const typed = field.value.trim();
          takeOwn(control, `${typed} (typed)`, typed);
        });
        holder.append(element("label", { htmlFor: id }, control.free), field);
      }
      if (control.kind === "photo") {
        // where the network is in the page it stands there from the first
        const field = document.getElementById(id) ?? element("input", { type: "file", accept: "image/*", id });
        field.addEventListener("change", async () => {
          const [file] = field.files;
          try {
            takeOwn(control, `your photo (${file?.name})`, file && (await readPhoto(file)));
          } catch {
            say(`This browser cannot read ${file.name} as a picture.`, { error: true });
          }
        });
        if (!field.isConnected) holder.append(element("label", { htmlFor: id }, "or your own photo"), field);
      }
    }
    idle();
  }

  function hear(message) {
    if (message.kind === "alive") {
      const isNew = !alive;
      alive = message.by ?? "python";
      if (isNew) extend();
      // a kernel answers in order: what it was asked before this greeting is lost
      if (onItsWay?.id === newest) waiting = onItsWay;
    } else if (message.id !== onItsWay?.id) {
      return;
    } else if (message.kind === "error" && message.id === newest) {
      say(message.message, { error: true });
    } else if (message.id === newest) {
      idle();
      try {
        show(message.answer, message);
      } catch {
        say("An answer came that cannot be shown.", { error: true });
      }
    }
    onItsWay = null;
    ask();
  }

  // what is set, as texts by control
  function current() {
    const used = controls.filter(takesPart).map((control) => [control.name, wordFor(control)]);
    if (over?.value > 0) used.push([OVER.name, String(PERCENT[over.value])]);
    return Object.fromEntries(used);
  }

  // sets what such a state says, and all else as it was at first
  function take(state) {
    const strange = new Map(Object.entries(state));
    for (const { name, values, start } of over ? [...controls, OVER] : controls) {
      const place = values.findIndex((value) => String(value) === state[name]);
      if (place >= 0) strange.delete(name);
      position[name] = place < 0 ? start : place;
      (inputs.get(name) ?? over).value = position[name];
    }
    update();
    if (strange.size) {
      say(`Not recognized: ${[...strange].map((pair) => pair.join(" ")).join(", ")}.`, { error: true });
    }
  }

  async function copyLink() {
    const address = page.link(current());
    try {
      await navigator.clipboard.writeText(address);
      say("Link copied.");
    } catch {
      part("address")?.remove();
      const label = "Link to this state";
      const field = element("input", { className: "dx-address", readOnly: true, "aria-label": label });
      field.value = address;
      part("tools").append(field);
      field.select();
      say("Copy the link from this field.");
    }
    tell(status.textContent);
  }

  // what the address says, and what was copied, is not what is set any more
  function leaveLink() {
    page?.leave();
    part("address")?.remove();
  }

  for (const [name, input] of inputs) {
    const change = () => {
      if (input.value !== "own") position[name] = Number(input.value);
      update();
    };
    if (input.type === "range") whenMoved(input, change);
    else input.addEventListener("input", change);
  }
  if (over) whenMoved(over, layMap);
  root.addEventListener("input", leaveLink);
  playing.addEventListener("click", play);
  part("keep").addEventListener("click", keep);
  part("reset").addEventListener("click", () => {
    take({});
    leaveLink();
  });
  part("link")?.addEventListener("click", copyLink);
  for (const kind of ["pointermove", "pointerdown"]) {
    part("view").addEventListener(kind, (event) => (under.textContent = valueUnder(event, colors)));
  }
  part("view").addEventListener("pointerleave", () => (under.textContent = ""));
  update();
  // and what is shown with it, by name
  const told = () => ({ ...current(), ...Object.fromEntries(answer.numbers) });
  page?.listen({ take, current, told });
  model.on("msg:custom", hear);
  try {
    model.send({ kind: "hello" });
  } catch {
    // nobody is there: what was computed before is
  }
  return () => model.off("msg:custom", hear);
}

export { element, vector, whenMoved };
export default { render };
