// The playground: four panels as tabs, each mounted when it is first shown. The state of the one
// that is shown is in the address, as that of the chapters' explorers is: book/_static/fragment.js.
//
// A panel is mount(root, {networks, address}), which returns {take(state), current()}: a state is a
// plain object of texts; `take` sets it and all else as at first; `current` tells what differs
// from the start; `linkNote`, if there is one, says what a link leaves out. networks: see
// networks.js. address.leave(): what the address says is not what
// is shown any more (after a control's event that is so without being said).

import { hasSimd } from "../simd.js";
import { mount as mountClassModel } from "./class_model.js";
import { mount as mountDigit } from "./digit.js";
import { mount as mountLayers } from "./layers.js";
import { Networks } from "./networks.js";
import { button, element, messages, tools } from "./parts.js";
import { mount as mountPhoto } from "./photo.js";

const NAME = "playground"; // in an address: #playground?panel=photo&photo=cat

const PANELS = [
  { name: "digit", title: "Draw a digit", mount: mountDigit },
  { name: "photo", title: "Your photo", mount: mountPhoto },
  { name: "class_model", title: "Class model, live", mount: mountClassModel },
  { name: "layers", title: "Layers", mount: mountLayers },
];

const NO_SIMD =
  "This browser has no WebAssembly with 128-bit SIMD, which the network in this page is computed " +
  "with. The pictures below were computed before; any browser of 2023 or later shows them live.";

const panelOf = (asked) => PANELS.find(({ name }) => name === asked);

// a file that is dropped where nothing takes it does not make the browser leave the page
function keepPage(event) {
  if (event.defaultPrevented || ![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
}

function tabsOf(panels, id, choose) {
  const made = panels.map(({ name, title }) =>
    button(title, () => choose(name), {
      id: `${id}-tab-${name}`,
      role: "tab",
      "aria-controls": `${id}-panel-${name}`,
    }),
  );
  const root = element("div", { className: "pg-tabs", role: "tablist", "aria-label": "Playground" }, ...made);
  root.addEventListener("keydown", (event) => {
    const here = made.indexOf(document.activeElement);
    const count = made.length;
    const places = { ArrowLeft: here + count - 1, ArrowRight: here + 1, Home: 0, End: count - 1 };
    if (!(event.key in places)) return;
    event.preventDefault();
    const next = places[event.key] % count;
    made[next].focus();
    choose(panels[next].name);
  });
  return { root, made };
}

export function mountPlayground(place) {
  const id = "pg";
  const networks = new Networks();
  const lines = messages();
  const address = { leave: leaveLink };
  const { root: tabs, made } = tabsOf(PANELS, id, choose);
  const rooms = PANELS.map(({ name }) =>
    element("div", {
      id: `${id}-panel-${name}`,
      role: "tabpanel",
      "aria-labelledby": `${id}-tab-${name}`,
      hidden: true,
    }),
  );
  const mounted = new Map();
  let present;

  function show(name) {
    const chosen = panelOf(name) ?? PANELS[0];
    present = chosen.name;
    PANELS.forEach((panel, i) => {
      const here = panel === chosen;
      made[i].setAttribute("aria-selected", String(here));
      made[i].tabIndex = here ? 0 : -1;
      rooms[i].hidden = !here;
      if (here && !mounted.has(panel.name)) {
        mounted.set(panel.name, panel.mount(rooms[i], { networks, address }));
      }
    });
    lines.clear();
  }

  function choose(name) {
    leaveLink();
    show(name);
  }

  // ---- the address

  const current = () => ({ panel: present, ...mounted.get(present).current() });

  function take({ panel, ...state }) {
    show(panel);
    const isStrange = panel !== undefined && !panelOf(panel);
    mounted.get(present).take(isStrange ? {} : state);
    if (isStrange) lines.fail(`Not recognized: panel ${panel}.`);
  }

  function leaveLink() {
    stateInAddress.leave();
    copyRow.querySelector(".pg-address")?.remove();
  }

  async function copyLink() {
    const link = stateInAddress.write(NAME, current());
    const note = mounted.get(present).linkNote?.() ?? "";
    try {
      await navigator.clipboard.writeText(link);
      lines.say(`Link copied. ${note}`.trim());
    } catch {
      copyRow.querySelector(".pg-address")?.remove();
      const field = element("input", { type: "text", className: "pg-address", readOnly: true });
      field.setAttribute("aria-label", "Link to this state");
      field.value = link;
      copyRow.append(field);
      field.select();
      lines.say(`Copy the link from this field. ${note}`.trim());
    }
    lines.announce("The link to this state is ready.");
  }

  const copyRow = tools(button("Copy link", copyLink));

  // sets what the address, or this place in the history, names
  function follow() {
    const asked = stateInAddress.asked();
    if (asked?.name !== NAME) return;
    take(asked.state);
    if (stateInAddress.read()) place.scrollIntoView();
  }

  // for Back: a link to a state on this page leaves behind the one that was set
  function leaveBy({ href }) {
    if (stateInAddress.read(href)?.name !== NAME) return;
    if (href === location.href) follow();
    else stateInAddress.keep(NAME, current());
  }

  const root = element("div", { className: "pg", role: "group", "aria-label": "Playground" });
  root.append(tabs, ...rooms, copyRow, lines.root);
  place.append(root);
  // as long as nothing was done, paper gets the picture that stands here without a script
  for (const kind of ["input", "click"]) {
    root.addEventListener(kind, () => root.classList.add("pg-touched"), { once: true });
  }
  root.addEventListener("input", leaveLink);
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, keepPage);
  // a place in the history without an address may lie behind one whose address was left
  const followIf = (hasAddress) => () => Boolean(stateInAddress.read()) === hasAddress && follow();
  addEventListener("hashchange", followIf(true));
  addEventListener("popstate", followIf(false));
  addEventListener("click", ({ target }) => {
    const link = target.closest?.("a[href]");
    if (link) leaveBy(link);
  });
  if (stateInAddress.asked()?.name === NAME) follow();
  else show(PANELS[0].name);
}

function start() {
  const place = document.querySelector(".playground");
  if (!place) return;
  if (hasSimd()) mountPlayground(place);
  else place.prepend(element("p", { className: "pg-error", role: "alert" }, NO_SIMD));
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
