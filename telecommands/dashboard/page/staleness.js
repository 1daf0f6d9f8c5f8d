import { getHistory } from './bridge.js';

const CHECK_MS = 500;
const LATEST = { strategy: 'latest', size: 1 };

/** Open MCT's staleness provider: a value is stale when no newer one came for too long. */
export class StalenessProvider {
  #realtime;
  #pointOf;
  /** @type {Map<string, Watch>} */
  #watches = new Map();

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

  /** What is known already; the first to subscribe is told by its subscription. */
  async isStale(domainObject) {
    return this.#watches.get(this.#pointOf(domainObject).key)?.answer;
  }

  /** Open MCT subscribes once for all views of an object. */
  subscribeToStaleness(domainObject, callback) {
    const { key, stale_after_s } = this.#pointOf(domainObject);
    const watch = new Watch(1000 * stale_after_s, callback);
    const unsubscribe = this.#realtime.subscribe(key, (data) =>
      watch.heard(data[data.length - 1].timestamp),
    );
    this.#watches.set(key, watch);
    getHistory(key, LATEST).then(
      ([latest]) => watch.heard(latest?.timestamp ?? 0),
      () => watch.heard(0),
    );
    return () => {
      watch.end();
      if (this.#watches.get(key) === watch) this.#watches.delete(key);
      unsubscribe();
    };
  }
}

/** When one point was heard last; tells each change. */
class Watch {
  /** @type {{isStale: boolean, timestamp: number}|undefined} */
  answer;
  #last = 0;
  #ended = false;
  #patience;
  #callback;

  /**
   * @param {number} patience milliseconds
   * @param {(answer: {isStale: boolean, timestamp: number}) => void} callback
   */
  constructor(patience, callback) {
    this.#patience = patience;
    this.#callback = callback;
  }

  /** @param {number} timestamp of a datum; 0: there is none */
  heard(timestamp) {
    this.#last = Math.max(this.#last, timestamp);
    this.#tell();
  }

  check() {
    if (this.answer !== undefined) this.#tell();
  }

  /** A view that is gone must not be told any more. */
  end() {
    this.#ended = true;
  }

  #tell() {
    const timestamp = Date.now();
    const isStale = timestamp - this.#last > this.#patience;
    if (this.#ended || isStale === this.answer?.isStale) return;
    this.answer = { isStale, timestamp };
    this.#callback(this.answer);
  }
}
