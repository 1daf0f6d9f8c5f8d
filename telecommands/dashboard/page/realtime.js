/** @typedef {import('./bridge.js').Datum} Datum */

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 500;
const FLUSH_MS = 100;
const MOST_WAITING = 20_000;
const CATCH_UP_SIZE = 5000;
const TIMEOUT_MS = 5000;
const EVENTS = ['link', 'points', 'limits', 'alarms', 'dropped', 'log', 'lagged', 'error'];
const TOO_MANY_PAGES = 1013;
const TOO_MANY_RETRY_MS = 10_000;

/**
 * The page's WebSocket to a unit's part of the bridge.  After an interruption it reconnects,
 * subscribes again, and delivers the data missed in between from the archive, in order.
 *
 * Events: `connection` (true or false), `link`, `points` (how many there are), `limits` and
 * `alarms` (that they changed), `log` (which object), `dropped`, `lagged`, `error`.
 */
export class Realtime {
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<string, Set<(message: any) => void>>} */
  #listeners = new Map();
  #retryMs = FIRST_RETRY_MS;
  #bridge;
  /** @type {WebSocket|undefined} */
  #socket;
  /** Requests sent over this socket, and how many of them the bridge has applied. */
  #sent = 0;
  #applied = 0;
  /** @type {Set<() => void>} */
  #settling = new Set();
  connected = false;

  /** @param {import('./bridge.js').Bridge} bridge */
  constructor(bridge) {
    this.#bridge = bridge;
    setInterval(() => this.#flush(), FLUSH_MS);
    this.#connect();
  }

  /**
   * @param {string} event
   * @param {(message: any) => void} listener
   * @returns {() => void} unsubscribes
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /**
   * @param {string} key of a point
   * @param {(data: Datum[]) => void} callback
   * @returns {() => void} unsubscribes
   */
  subscribe(key, callback) {
    let subscription = this.#subscriptions.get(key);
    if (!subscription) {
      subscription = new Subscription(key, this.#bridge);
      this.#subscriptions.set(key, subscription);
      this.#send({ subscribe: [key] });
    }
    subscription.callbacks.add(callback);
    return () => this.#unsubscribe(subscription, callback);
  }

  /**
   * Resolves when the bridge has applied all subscriptions so far: archived data requested from
   * then on and realtime data have no gap between them.  Without a bridge it resolves immediately.
   */
  async settled() {
    const { readyState } = this.#socket;
    const opening = readyState === WebSocket.CONNECTING;
    if (!opening && (readyState !== WebSocket.OPEN || this.#applied === this.#sent)) return;
    await new Promise((resolve) => {
      this.#settling.add(resolve);
      setTimeout(resolve, TIMEOUT_MS);
    });
  }

  #settle() {
    for (const resolve of this.#settling) resolve();
    this.#settling.clear();
  }

  #unsubscribe(subscription, callback) {
    subscription.callbacks.delete(callback);
    if (subscription.callbacks.size || this.#subscriptions.get(subscription.key) !== subscription) {
      return;
    }
    this.#subscriptions.delete(subscription.key);
    this.#send({ unsubscribe: [subscription.key] });
  }

  #connect() {
    const socket = new WebSocket(this.#bridge.realtimeUrl);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => JSON.parse(data).forEach((message) => this.#take(message));
    socket.onclose = ({ code }) => this.#closed(code);
  }

  #opened() {
    this.#retryMs = FIRST_RETRY_MS;
    this.connected = true;
    this.#sent = this.#applied = 0;
    this.#send({ subscribe: [...this.#subscriptions.keys()] });
    for (const subscription of this.#subscriptions.values()) subscription.catchUp(this.settled());
    this.#emit('connection', true);
  }

  #closed(code) {
    this.#settle();
    if (code === TOO_MANY_PAGES) this.#retryMs = TOO_MANY_RETRY_MS;
    if (this.connected) {
      this.connected = false;
      this.#emit('connection', false);
    }
    setTimeout(() => this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(message));
    this.#sent += 1;
  }

  #take(message) {
    if (message.key !== undefined) {
      this.#subscriptions.get(message.key)?.add(message.datum);
      return;
    }
    if (message.applied !== undefined) {
      this.#applied = message.applied;
      if (this.#applied === this.#sent) this.#settle();
      return;
    }
    for (const event of EVENTS) {
      if (message[event] !== undefined) this.#emit(event, message[event]);
    }
  }

  #flush() {
    for (const subscription of this.#subscriptions.values()) {
      const overflow = subscription.flush();
      if (overflow) this.#emit('lagged', overflow);
    }
  }

  #emit(event, message) {
    for (const listener of this.#listeners.get(event) ?? []) listener(message);
  }
}

/** Buffers one point's data for its views. */
class Subscription {
  /** @type {Set<(data: Datum[]) => void>} */
  callbacks = new Set();
  /** @type {Datum[]} */
  #waiting = [];
  #overflow = 0;
  #catchingUp = false;
  #bridge;
  /** @type {Datum|undefined} */
  #last;

  /**
   * @param {string} key
   * @param {import('./bridge.js').Bridge} bridge
   */
  constructor(key, bridge) {
    this.key = key;
    this.#bridge = bridge;
  }

  /** @param {Datum} datum */
  add(datum) {
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(datum);
    else this.#overflow += 1;
  }

  /**
   * Request the data missed meanwhile from the archive; realtime data wait for them.
   *
   * @param {Promise<void>} settled when realtime data are received again
   */
  async catchUp(settled) {
    if (this.#catchingUp || !this.#last) return;
    this.#catchingUp = true;
    try {
      await settled;
      const [start, end] = [this.#last.timestamp, Date.now() + 1000];
      const range = { start, end, strategy: 'latest', size: CATCH_UP_SIZE };
      const missed = await this.#bridge.getHistory(this.key, range);
      this.#waiting = joined(missed.filter((one) => isNew(one, this.#last)), this.#waiting);
    } catch (error) {
      console.warn(`${this.key}: data missed in the interruption were not loaded`, error);
    } finally {
      this.#catchingUp = false;
    }
  }

  /** Deliver the waiting data; return how many were dropped because the buffer was full. */
  flush() {
    const overflow = this.#overflow;
    this.#overflow = 0;
    if (this.#catchingUp || !this.#waiting.length) return overflow;
    const data = this.#waiting;
    this.#waiting = [];
    this.#last = data[data.length - 1];
    for (const callback of this.callbacks) callback(data);
    return overflow;
  }
}

/** Whether an archived datum comes after another (a table may have two at one time). */
function isNew(datum, last) {
  if (datum.timestamp !== last.timestamp) return datum.timestamp > last.timestamp;
  return datum.seq !== last.seq || datum.boot !== last.boot || datum.gap !== last.gap;
}

/** The missed data, then the realtime data, without duplicates. */
function joined(missed, live) {
  if (!missed.length) return live;
  const end = missed[missed.length - 1];
  return [...missed, ...live.filter((one) => isNew(one, end))];
}
