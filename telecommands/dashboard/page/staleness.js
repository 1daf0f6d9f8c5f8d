import { getHistory } from './bridge.js';

const CHECK_MS = 500;
const LATEST = { strategy: 'latest', size: 1 };

/** Open MCT's staleness provider: a value is stale when no newer one came for too long. */
export class StalenessProvider {
  #realtime;
  #pointOf;
  /** @type {Set<Watch>} */
  #watches = new Set();

  /**
   * @param {import('./realtime.js').Realtime} realtime
   * @param {(domainObject: object) => import('./bridge.js').Point|undefined} pointOf
   */
  constructor(realtime, pointOf) {
    this.#realtime = realtime;
    this.#pointOf = pointOf;
    setInterval(() => this.#watches.forEach((watch) => watch.check()), CHECK_MS);
  }

  supportsStaleness(domainObject) {
    return Boolean(this.#pointOf(domainObject)?.stale_after_s);
  }

  async isStale(domainObject, { signal } = {}) {
    const { key, stale_after_s } = this.#pointOf(domainObject);
    const [latest] = await getHistory(key, LATEST, signal);
    return answer(!latest || Date.now() - latest.timestamp > 1000 * stale_after_s);
  }

  subscribeToStaleness(domainObject, callback) {
    const { key, stale_after_s } = this.#pointOf(domainObject);
    const watch = new Watch(1000 * stale_after_s, callback);
    const unsubscribe = this.#realtime.subscribe(key, (data) =>
      watch.heard(data[data.length - 1].timestamp),
    );
    this.#watches.add(watch);
    getHistory(key, LATEST).then(
      ([latest]) => watch.heard(latest?.timestamp ?? 0),
      () => watch.heard(0),
    );
    return () => {
      this.#watches.delete(watch);
      unsubscribe();
    };
  }
}

/** When one point was heard last; tells each change. */
class Watch {
  /** @type {number|undefined} */
  #last;
  /** @type {boolean|undefined} */
  #stale;
  #patience;
  #callback;

  constructor(patience, callback) {
    this.#patience = patience;
    this.#callback = callback;
  }

  heard(timestamp) {
    this.#last = Math.max(this.#last ?? 0, timestamp);
    this.check();
  }

  check() {
    if (this.#last === undefined) return;
    const stale = Date.now() - this.#last > this.#patience;
    if (stale === this.#stale) return;
    this.#stale = stale;
    this.#callback(answer(stale));
  }
}

const answer = (isStale) => ({ isStale, timestamp: Date.now() });
