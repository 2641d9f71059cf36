// Loads the networks and the shipped photos, each once for the page. They are classic scripts
// that hand over what they hold, so that they load from a server and from the disk alike.

import { button, element } from "./parts.js";

const FOLDER = document.currentScript.src; // this script's own place: they lie beside it
// what a click loads: how it is called, and its bytes, from which the progress is told
const LARGE = { squeezenet: { title: "SqueezeNet", bytes: 3_316_000 } };
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

const arrived = new Map();
globalThis.networkArrived = (name, packed) => arrived.set(name, packed);
globalThis.photosArrived = (photos) => arrived.set("photos", photos);

function run(src) {
  return new Promise((resolve, reject) => {
    document.head.append(element("script", { src, onload: resolve, onerror: reject }));
  });
}

// a page from the disk may not fetch, and needs not wait
async function runWithProgress(address, progress) {
  if (location.protocol === "file:") return run(address);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  const pieces = [];
  let count = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    progress((count += value.length));
  }
  const url = URL.createObjectURL(new Blob(pieces, { type: "text/javascript" }));
  await run(url).finally(() => URL.revokeObjectURL(url));
}

export class Networks {
  #loading = new Map();

  // a network's {description, weights}; progress(bytes) while they come
  load(name, progress = () => {}) {
    return this.#once(name, `networks/${name}.js`, progress);
  }

  // the shipped photos: {name: {title, credit, url}}
  photos() {
    return this.#once("photos", "photos.js", () => {});
  }

  // In `root` a button that says how much it loads, with progress and errors; `then` is called
  // with what was loaded, at once if it is there already. Returns a function that is as a click.
  offer(root, name, then) {
    const { title, bytes } = LARGE[name];
    const bar = element("progress", { max: bytes, value: 0, hidden: true, "aria-label": `Loading ${title}` });
    const status = element("p", { className: "pg-status", role: "status" });
    const take = (packed) => {
      loader.disabled = true;
      root.replaceChildren();
      then(packed);
    };
    const start = async () => {
      if (loader.disabled) return;
      loader.disabled = true;
      bar.hidden = false;
      status.classList.remove("pg-error");
      status.textContent = `Loading ${title}, ${megabytes(bytes)} …`;
      try {
        take(await this.load(name, (count) => (bar.value = Math.min(count, bytes))));
      } catch (error) {
        bar.hidden = true;
        loader.disabled = false;
        status.setAttribute("role", "alert");
        status.classList.add("pg-error");
        status.textContent = `${title} could not be loaded: ${error.message}`;
      }
    };
    const loader = button(`Load ${title}: ${megabytes(bytes)}, once`, start);
    if (arrived.has(name)) take(arrived.get(name));
    else root.replaceChildren(element("div", { className: "pg-tools" }, loader, bar), status);
    return start;
  }

  #once(name, path, progress) {
    if (arrived.has(name)) return Promise.resolve(arrived.get(name));
    const known = this.#loading.get(name);
    if (known) {
      known.listeners.push(progress);
      return known.promise;
    }
    const listeners = [progress];
    const promise = this.#fetch(name, path, (count) => listeners.forEach((tell) => tell(count)));
    this.#loading.set(name, { promise, listeners });
    promise.catch(() => this.#loading.delete(name)); // so that it can be tried again
    return promise;
  }

  async #fetch(name, path, progress) {
    const address = new URL(path, FOLDER).href;
    try {
      await (name in LARGE ? runWithProgress(address, progress) : run(address));
    } catch (error) {
      throw new Error(error instanceof Error ? error.message : `${path} did not arrive.`);
    }
    if (!arrived.has(name)) throw new Error(`${path} holds something else.`);
    return arrived.get(name);
  }
}
