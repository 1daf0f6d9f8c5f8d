const CHECK_MS = 500;
const LATEST = { strategy: 'latest', size: 1 };

/** Open MCT's staleness provider: a value is stale if no newer one was received for too long. */
export class StalenessProvider {
  #bridge;
  #realtime;
  #pointOf;
  /** @type {Map<string, Watch>} */
  #watches = new Map();

  /**
   * @param {import('./bridge.js').Bridge} bridge
   * @param {import('./realtime.js').Realtime} realtime
   * @param {(domainObject: object) => import('./bridge.js').Point|undefined} pointOf
   */
  constructor(bridge, realtime, pointOf) {
    this.#bridge = bridge;
    this.#realtime = realtime;
    this.#pointOf = pointOf;
    setInterval(() => this.#watches.forEach((watch) => watch.check()), CHECK_MS);
  }

  supportsStaleness(domainObject) {
    return Boolean(this.#pointOf(domainObject)?.stale_after_s);
  }

  /** The state known so far; the first subscriber gets it by its subscription. */
  async isStale(domainObject) {
    return this.#watches.get(this.#pointOf(domainObject).key)?.answer;
  }

  /** Open MCT subscribes once for all views of an object. */
  subscribeToStaleness(domainObject, callback) {
    const { key, stale_after_s } = this.#pointOf(domainObject);
    const watch = new Watch(1000 * stale_after_s, callback);
    const unsubscribe = this.#realtime.subscribe(key, (data) =>
      watch.receive(data[data.length - 1].timestamp),
    );
    this.#watches.set(key, watch);
    this.#bridge.getHistory(key, LATEST).then(
      ([latest]) => watch.receive(latest?.timestamp ?? 0),
      () => watch.receive(0),
    );
    return () => {
      watch.end();
      if (this.#watches.get(key) === watch) this.#watches.delete(key);
      unsubscribe();
    };
  }
}

/** The time of one point's latest value; reports each change of its staleness. */
class Watch {
  /** @type {{isStale: boolean, timestamp: number}|undefined} */
  answer;
  #last = 0;
  #ended = false;
  #limit;
  #callback;

  /**
   * @param {number} limit milliseconds
   * @param {(answer: {isStale: boolean, timestamp: number}) => void} callback
   */
  constructor(limit, callback) {
    this.#limit = limit;
    this.#callback = callback;
  }

  /** @param {number} timestamp of a datum; 0 without data */
  receive(timestamp) {
    this.#last = Math.max(this.#last, timestamp);
    this.#report();
  }

  check() {
    if (this.answer !== undefined) this.#report();
  }

  /** Stop reporting: the view was closed. */
  end() {
    this.#ended = true;
  }

  #report() {
    const timestamp = Date.now();
    const isStale = timestamp - this.#last > this.#limit;
    if (this.#ended || isStale === this.answer?.isStale) return;
    this.answer = { isStale, timestamp };
    this.#callback(this.answer);
  }
}
