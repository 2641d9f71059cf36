// The page's side of the network: a worker from a Blob, which a page from the disk may start, too.
// Requests are answered in order; of those of one kind that shall only be the latest, at most one
// is in work and one waits, the newest: a reader who moves fast never queues work.

import workerSource from "worker-source";

export class Engine {
  #worker;
  #pending = new Map(); // id -> {resolve, reject}
  #latest = new Map(); // key -> the request that waits, or null while one is in work
  #asked = 0;

  /** Called with each picture of an ascent: {image, step, score, penalty, objective, norm}. */
  onframe = () => {};

  constructor() {
    const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
    this.#worker = new Worker(url);
    URL.revokeObjectURL(url);
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = ({ message }) => this.#fail(message);
  }

  #hear({ id, answer, error, frame }) {
    if (frame) return this.onframe(frame);
    const { resolve, reject } = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  }

  // a worker that could not start answers nothing
  #fail(message) {
    for (const { reject } of this.#pending.values()) reject(new Error(message));
    this.#pending.clear();
  }

  #send(request) {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, request });
    });
  }

  /** Hand over a network: {description, weights}, as the package's script holds it. */
  load(packed) {
    return this.#send({ do: "load", ...packed });
  }

  /** Ask; with the key `latest` the answer is null if a newer request of this key came before. */
  ask(request, { latest } = {}) {
    if (latest === undefined) return this.#send(request);
    if (!this.#latest.has(latest)) return this.#work(latest, request);
    this.#latest.get(latest)?.resolve(null);
    return new Promise((resolve, reject) => this.#latest.set(latest, { request, resolve, reject }));
  }

  #work(latest, request) {
    this.#latest.set(latest, null);
    return this.#send(request).finally(() => {
      const waiting = this.#latest.get(latest);
      this.#latest.delete(latest);
      if (waiting) this.#work(latest, waiting.request).then(waiting.resolve, waiting.reject);
    });
  }

  stop() {
    this.#worker.terminate();
    this.#fail("stopped");
  }
}
