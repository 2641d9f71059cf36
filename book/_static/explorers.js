// Shows the explorers of a page that has no kernel behind it. Their state was written into the
// page when the book was built; the module that draws them is part of that state. The common
// way, RequireJS with html-manager, would load 3.7 MB for what these lines do.

async function imported(source) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function showExplorers() {
  const written = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
  if (!written) return;
  const { state } = JSON.parse(written.textContent);
  const modules = new Map();
  const views = 'script[type="application/vnd.jupyter.widget-view+json"]';
  for (const place of document.querySelectorAll(views)) {
    const traits = state[JSON.parse(place.textContent).model_id]?.state;
    if (!traits?._esm) continue;
    if (!modules.has(traits._esm)) {
      modules.set(traits._esm, imported(traits._esm));
      const style = document.createElement("style");
      style.textContent = traits._css;
      document.head.append(style);
    }
    const el = document.createElement("div");
    el.className = "explorer";
    place.before(el);
    // nobody hears what is sent, and nobody answers
    const model = { get: (name) => traits[name], on() {}, off() {}, send() {} };
    (await modules.get(traits._esm)).render({ model, el });
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", showExplorers);
else showExplorers();
