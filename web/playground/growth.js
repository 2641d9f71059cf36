// Maps that grow pass by pass, several side by side. At most one pass is asked for at a time; what
// is asked anew meanwhile begins after it, and only the newest does: a flood of changes never queues.

const MORE = 100; // passes after which a mean that could grow for ever waits

// `begin()` returns, by a promise, {maps: [{passes, grow()}], ...}; after each round of passes it has
// {count, results} more, one result a map, and `show` is called with it; `failed(error)` where a pass
// failed; `rested()` when nothing is in work any more; `isSeen()` tells whether anybody looks.
export class Growth {
  #work = null;
  #run = null; // the promise of what is in work
  #isStale = false;
  #isStopped = false;
  #hooks;

  constructor(hooks) {
    this.#hooks = hooks;
  }

  get isRunning() {
    return this.#run !== null;
  }

  // whether `goOn` would add something
  get isComplete() {
    const { maps, count = 0 } = this.#work ?? { maps: [] };
    return maps.every(({ passes }) => count >= passes);
  }

  anew() {
    this.#isStale = true;
    return this.goOn();
  }

  goOn() {
    this.#isStopped = false;
    return (this.#run ??= this.#grow());
  }

  stop() {
    this.#isStopped = true;
  }

  async #grow() {
    let limit = (this.#work?.count ?? 0) + MORE;
    do {
      try {
        if (this.#isStale) {
          this.#isStale = false;
          this.#work = { count: 0, results: [], ...(await this.#hooks.begin()) };
          limit = MORE;
        }
        await this.#round(this.#work);
        this.#hooks.show(this.#work);
        if (this.#work.count >= limit || !this.#hooks.isSeen()) this.#isStopped = true;
      } catch (error) {
        if (this.#isStale) continue;
        this.#work = null;
        this.#hooks.failed(error);
      }
    } while (this.#isStale || !(this.isComplete || this.#isStopped));
    this.#run = null;
    this.#hooks.rested();
  }

  async #round(work) {
    for (const [i, map] of work.maps.entries()) {
      if (work.count < map.passes) work.results[i] = await map.grow();
    }
    work.count++;
  }
}
