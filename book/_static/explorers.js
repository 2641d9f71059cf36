// Wakes the explorers of a page. Each stands there as HTML already, in its first state; its
// answers, and the module that shows them, are a script of their own, which is loaded when the
// explorer comes near or is asked for something. As it is a classic script, and the module is in
// it as text, all of this works from the disk, too.

(() => {
  const NEAR = "1000px"; // of the window's edge
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

  async function wake(place) {
    const { name, script } = place.dataset;
    if (waking.has(name)) return;
    try {
      const traits = await load(name, script);
      if (!modules.has(traits._esm)) modules.set(traits._esm, imported(traits._esm));
      const { render } = await modules.get(traits._esm);
      say(place, "");
      // nobody hears what is sent, and nobody answers
      const model = { get: (trait) => traits[trait], on() {}, off() {}, send() {} };
      const page = {
        link: (state) => stateInAddress.write(name, state),
        leave: () => stateInAddress.leave(),
        listen: (face) => {
          waking.set(name, face);
          const asked = stateInAddress.asked();
          if (asked?.name === name) face.take(asked.state);
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
