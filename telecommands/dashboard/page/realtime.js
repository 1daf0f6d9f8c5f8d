import { getHistory } from './bridge.js';

/** @typedef {import('./bridge.js').Datum} Datum */

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 500;
const FLUSH_MS = 100;
const MOST_WAITING = 20_000;
const CATCH_UP_SIZE = 5000;
const PATIENCE_MS = 5000;

/**
 * The one WebSocket to the bridge.  After an interruption it comes back by itself, subscribes
 * again, and hands out from the archive what was missed in between, in order.
 *
 * Events: `connection` (true or false), `link`, `points` (how many there are), `dropped`, `lagged`,
 * `error`.
 */
export class Realtime {
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<string, Set<(told: any) => void>>} */
  #listeners = new Map();
  #retryMs = FIRST_RETRY_MS;
  #url;
  /** @type {WebSocket|undefined} */
  #socket;
  /** Wishes sent over this socket, and how many of them the bridge has heeded. */
  #sent = 0;
  #heeded = 0;
  /** @type {Set<() => void>} */
  #settling = new Set();
  connected = false;

  /** @param {string} url */
  constructor(url) {
    this.#url = url;
    setInterval(() => this.#flush(), FLUSH_MS);
    this.#connect();
  }

  /**
   * @param {string} event
   * @param {(told: any) => void} listener
   * @returns {() => void} ends it
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /**
   * @param {string} key of a point
   * @param {(data: Datum[]) => void} callback
   * @returns {() => void} ends it
   */
  subscribe(key, callback) {
    let subscription = this.#subscriptions.get(key);
    if (!subscription) {
      subscription = new Subscription(key);
      this.#subscriptions.set(key, subscription);
      this.#send({ subscribe: [key] });
    }
    subscription.callbacks.add(callback);
    return () => this.#unsubscribe(subscription, callback);
  }

  /**
   * When the bridge heeds all subscriptions so far: what is asked of the archive from then on and
   * what is told leave nothing out between them.  Where no bridge answers there is no waiting.
   */
  async settled() {
    const { readyState } = this.#socket;
    const opening = readyState === WebSocket.CONNECTING;
    if (!opening && (readyState !== WebSocket.OPEN || this.#heeded === this.#sent)) return;
    await new Promise((resolve) => {
      this.#settling.add(resolve);
      setTimeout(resolve, PATIENCE_MS);
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
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => JSON.parse(data).forEach((message) => this.#take(message));
    socket.onclose = () => this.#closed();
  }

  #opened() {
    this.#retryMs = FIRST_RETRY_MS;
    this.connected = true;
    this.#sent = this.#heeded = 0;
    this.#send({ subscribe: [...this.#subscriptions.keys()] });
    for (const subscription of this.#subscriptions.values()) subscription.catchUp(this.settled());
    this.#tell('connection', true);
  }

  #closed() {
    this.#settle();
    if (this.connected) {
      this.connected = false;
      this.#tell('connection', false);
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
    if (message.heeded !== undefined) {
      this.#heeded = message.heeded;
      if (this.#heeded === this.#sent) this.#settle();
      return;
    }
    for (const event of ['link', 'points', 'dropped', 'lagged', 'error']) {
      if (message[event] !== undefined) this.#tell(event, message[event]);
    }
  }

  #flush() {
    for (const subscription of this.#subscriptions.values()) {
      const overflow = subscription.flush();
      if (overflow) this.#tell('lagged', overflow);
    }
  }

  #tell(event, told) {
    for (const listener of this.#listeners.get(event) ?? []) listener(told);
  }
}

/** One point's data on their way to its views. */
class Subscription {
  /** @type {Set<(data: Datum[]) => void>} */
  callbacks = new Set();
  /** @type {Datum[]} */
  #waiting = [];
  #overflow = 0;
  #catchingUp = false;
  /** @type {Datum|undefined} */
  #last;

  /** @param {string} key */
  constructor(key) {
    this.key = key;
  }

  /** @param {Datum} datum */
  add(datum) {
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(datum);
    else this.#overflow += 1;
  }

  /**
   * Ask the archive for what came while nobody listened; realtime data wait for it.
   *
   * @param {Promise<void>} settled when realtime data come again
   */
  async catchUp(settled) {
    if (this.#catchingUp || !this.#last) return;
    this.#catchingUp = true;
    try {
      await settled;
      const [start, end] = [this.#last.timestamp, Date.now() + 1000];
      const range = { start, end, strategy: 'latest', size: CATCH_UP_SIZE };
      const missed = await getHistory(this.key, range);
      this.#waiting = joined(missed.filter((one) => isNew(one, this.#last)), this.#waiting);
    } catch (error) {
      console.warn(`${this.key}: not caught up after the interruption`, error);
    } finally {
      this.#catchingUp = false;
    }
  }

  /** Hand out what waits; how much was left out for want of room. */
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

/** What was missed, then what came in the meantime, without what is in both. */
function joined(missed, live) {
  if (!missed.length) return live;
  const end = missed[missed.length - 1];
  return [...missed, ...live.filter((one) => isNew(one, end))];
}
