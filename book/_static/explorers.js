// Wakes the explorers of a page. Each stands there as HTML already, in its first state; its
// answers, and the module that shows them, are a script of their own, which is loaded when the
// explorer comes near or is asked for something. As it is a classic script, and the module is in
// it as text, all of this works from the disk, too.

(() => {
  const NEAR = "1000px"; // of the window's edge
  const KERNEL = new URL("explorers_kernel.js", document.currentScript.src).href;
  const waking = new Map();
  const modules = new Map();

  function say(place, text, error = false) {
    const status = place.querySelector(".dx-status");
    status.textContent = text;
    status.classList.toggle("dx-error", error);
    place.querySelector(".dx-heard").textContent = text;
  }

  // an explorer's script calls this
  globalThis.explorerArrived = (name, traits) => waking.get(name)?.arrived(traits);

  async function imported(source) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      return (await import(url)).default;
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  function load(name, src) {
    return new Promise((arrived, failed) => {
      waking.set(name, { arrived });
      document.head.append(Object.assign(document.createElement("script"), { src, onerror: failed }));
    });
  }

  function run(src) {
    return new Promise((onload, onerror) => {
      document.head.append(Object.assign(document.createElement("script"), { src, onload, onerror }));
    });
  }

  // who hears what is sent: the network in this page, for those explorers that it knows, or nobody
  async function kernelFor(page) {
    const nobody = { on() {}, send() {} };
    if (!page) return nobody;
    try {
      if (!globalThis.kernelInThePage) await run(KERNEL);
    } catch {
      return nobody; // what was computed before is there
    }
    // an explorer may ask before it listens
    let listen;
    const listening = new Promise((resolve) => (listen = resolve));
    const send = kernelInThePage(page, async (message) => (await listening)(message));
    return { on: (_, hear) => listen(hear), send };
  }

  // the link to the playground leads to what is set here
  function keepDoor(place, { door = {}, controls }, { told }) {
    const link = place.querySelector(".dx-door");
    const photos = controls.filter(({ kind }) => kind === "photo");
    const lead = () => {
      const now = told();
      // the reader's own photo is no part of an address
      for (const { name, values } of photos) if (!values.includes(now[name])) delete now[name];
      const named = ([name, text]) => [name, text.startsWith("{") ? now[text.slice(1, -1)] : text];
      const state = Object.entries(door).map(named).filter(([, text]) => text !== undefined);
      link.hash = `playground?${new URLSearchParams(state)}`;
    };
    for (const kind of link ? ["pointerover", "focus", "click"] : []) link.addEventListener(kind, lead);
  }

  async function wake(place) {
    const { name, script } = place.dataset;
    if (waking.has(name)) return;
    try {
      const traits = await load(name, script);
      if (!modules.has(traits._esm)) modules.set(traits._esm, imported(traits._esm));
      const { render } = await modules.get(traits._esm);
      say(place, "");
      const model = { get: (trait) => traits[trait], off() {}, ...(await kernelFor(traits.spec.page)) };
      const page = {
        link: (state) => stateInAddress.write(name, state),
        leave: () => stateInAddress.leave(),
        listen: (face) => {
          waking.set(name, face);
          const asked = stateInAddress.asked();
          if (asked?.name === name) face.take(asked.state);
          keepDoor(place, traits.spec, face);
        },
      };
      render({ model, el: place, page });
    } catch {
      waking.delete(name);
      say(place, "The data of these controls could not be loaded. Move one of them to try again.", true);
    }
  }

  const placeOf = (asked) =>
    asked && document.querySelector(`.explorer[data-name="${CSS.escape(asked.name)}"]`);

  // sets the explorer that the address names to the state that it holds
  function follow() {
    const asked = stateInAddress.asked();
    const place = placeOf(asked);
    if (!place) return;
    const { take } = waking.get(asked.name) ?? {};
    if (take) take(asked.state);
    else wake(place);
    if (stateInAddress.read()) place.scrollIntoView();
  }

  // a link to a state on this page: to what is in the bar already it changes no address
  function leaveBy({ href }) {
    const asked = stateInAddress.read(href);
    if (href === location.href) follow();
    else if (placeOf(asked)) stateInAddress.keep(asked.name, waking.get(asked.name)?.current?.() ?? {});
  }

  function start() {
    const places = document.querySelectorAll(".explorer[data-script]");
    const observer = new IntersectionObserver(
      (seen) => seen.filter((entry) => entry.isIntersecting).forEach((entry) => wake(entry.target)),
      { rootMargin: NEAR },
    );
    for (const place of places) {
      observer.observe(place);
      for (const kind of ["input", "click"]) {
        place.addEventListener(kind, ({ target }) => {
          if (waking.get(place.dataset.name)?.take || !target.closest("input, select, button")) return;
          say(place, "Loading …");
          wake(place);
        });
      }
    }
    addEventListener("hashchange", follow);
    addEventListener("click", ({ target }) => {
      const link = target.closest?.("a[href]");
      if (link) leaveBy(link);
    });
    follow();
  }

  // all scripts of the page have run then
  document.addEventListener("DOMContentLoaded", start);
})();
