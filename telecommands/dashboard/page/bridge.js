import { signatureHeader } from './token.js';

/**
 * The bridge's HTTP interface; all requests are made here.
 *
 * @typedef {{name: string, base: string, link: Link, mode: string|null, last_packet: number|null,
 *   beyond: number, worst: string|null, contact_seconds: number|null, next_contact: number|null,
 *   cloud: number|null, scene: string|null, error: string}} UnitSummary
 * @typedef {{value: number|string, text: string}} State
 * @typedef {{warning_low?: number, critical_low?: number, warning_high?: number,
 *   critical_high?: number}} Limits
 * @typedef {{key: string, name: string, type: string, unit?: string|null}} Field
 * @typedef {{key: string, topic: string, name: string, doc: string, unit: string|null,
 *   type: 'number'|'text'|'state'|'table'|'tile_map'|'time', states: State[]|null,
 *   limits: Limits|null, stale_after_s: number|null, fields: Field[]|null}} Point
 * @typedef {{name: string, doc: string, type: string, unit: string|null, min: number|null,
 *   max: number|null, choices: Array<string|number>|null, default: any, required: boolean,
 *   min_length: number|null, max_length: number|null, pattern: string|null,
 *   listed_by: string|null}} Argument
 * @typedef {{name: string, doc: string, hazardous: boolean, args: Argument[]}} Telecommand
 * @typedef {{version: number, folders: {key: string, name: string, points: Point[]}[],
 *   telecommands: Telecommand[], events: {name: string, severity: string, doc: string}[],
 *   severities: string[]}} Dictionary
 * @typedef {{state: 'up'|'down', since: number, last_packet: number|null, cause?: string,
 *   cure?: string}} Link
 * @typedef {{mission: string, run: string, can_command: boolean, operator: string|null, authorised: boolean,
 *   reason: string|null, link: Link}} Status
 * @typedef {{timestamp: number, value?: any, seq?: number, boot?: number, gap?: number}} Datum
 * @typedef {{product: string, unit: string, job: string, scene: string, kind: string, name: string,
 *   size: number, received: number, sha256: string, image: string|null}} Product
 * @typedef {{id: string, name: string, doc: string, unit: string, severity: string, side: string,
 *   count: number, raised_at: number, value: number|string, now: number|string,
 *   beyond: string|null, acknowledged: {by: string, at: number, comment: string}|null,
 *   shelved: {by: string, at: number, comment: string, until: number|null}|null}} Alarm
 * @typedef {{id: string, group: string, name: string, start: number, end: number,
 *   state: string}} Activity
 */

/** A failed request: its cause and its cure. */
class BridgeError extends Error {
  /**
   * @param {string} code
   * @param {string} cause
   * @param {string} cure
   */
  constructor(code, cause, cure) {
    super(cure ? `${cause}. ${cure}` : cause);
    this.name = 'BridgeError';
    this.code = code;
  }
}

/**
 * The bridge's units, in its order; a single one has the base ''.
 *
 * @returns {Promise<UnitSummary[]>}
 */
export const getUnits = () => ask('/api/units');

/** The bridge's interface of one unit. */
export class Bridge {
  #base;

  /** @param {string} base of its addresses */
  constructor(base) {
    this.#base = base;
  }

  /** @returns {string} */
  get base() {
    return this.#base;
  }

  /** @returns {string} */
  get realtimeUrl() {
    return `ws://${window.location.host}${this.#base}/api/realtime`;
  }

  /** @returns {Promise<Status>} */
  async getStatus() {
    const status = await this.#get('/api/status');
    const path = `${this.#base}/api/status`;
    const headers = await signatureHeader(status.run, 'GET', path, '');
    return Object.keys(headers).length ? ask(path, { headers }) : status;
  }

  /** @returns {Promise<Dictionary>} */
  getDictionary() {
    return this.#get('/api/dictionary');
  }

  /** @returns {Promise<Product[]>} newest first */
  async getProducts() {
    const products = await this.#get('/api/products');
    return products.map((one) => ({ ...one, image: one.image && this.#base + one.image }));
  }

  /**
   * @param {string} job
   * @returns {Promise<{rows: number, columns: number, fractions: (number|null)[][],
   *   scene: string, timestamp: number}>}
   */
  getTileMap(job) {
    return this.#get(`/api/scenes/${encodeURIComponent(job)}/tile_map`);
  }

  /**
   * @param {string} key of a point
   * @param {Record<string, string|number|undefined>} range start, end, size, strategy
   * @param {AbortSignal} [signal]
   * @returns {Promise<Datum[]>} ascending
   */
  getHistory(key, range, signal) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(range)) {
      if (value !== undefined) query.set(name, String(value));
    }
    return this.#get(`/api/history/${encodeURIComponent(key)}?${query}`, { signal });
  }

  /**
   * @param {string} id
   * @returns {Promise<object[]>} the stages so far
   */
  getStages(id) {
    return this.#get(`/api/telecommands/${encodeURIComponent(id)}`);
  }

  /**
   * @param {string} name
   * @param {object} args
   * @param {boolean} confirmed by the operator; without it, a hazardous one is NOT_CONFIRMED
   * @returns {Promise<{id: string}>}
   */
  sendTelecommand(name, args, confirmed) {
    return post(`${this.#base}/api/telecommands`, { name, args, confirmed }, this.#base);
  }

  /** @returns {Promise<Alarm[]>} newest first */
  getAlarms() {
    return this.#get('/api/alarms');
  }

  /**
   * @param {{alarm: string, action: 'acknowledge'|'shelve'|'unshelve', seconds?: number|null,
   *   comment?: string}} change
   * @returns {Promise<Alarm[]>}
   */
  changeAlarm(change) {
    return post(`${this.#base}/api/alarms`, change, this.#base);
  }

  /**
   * @param {number} start UTC milliseconds
   * @returns {Promise<Activity[]>} ascending
   */
  getTimeline(start) {
    return this.#get(`/api/timeline?start=${start}`);
  }

  #get(path, options) {
    return ask(this.#base + path, options);
  }
}

/**
 * An object of the operators' log.
 *
 * @param {string} key
 * @returns {Promise<{revision: number, object: object}|null>} null if the bridge has none
 */
export async function getLogged(key) {
  try {
    return await ask(logged(key));
  } catch (error) {
    if (error.code === 'UNKNOWN_LOG_OBJECT') return null;
    throw error;
  }
}

/**
 * @param {string} key
 * @param {number} revision that was read; if the bridge has another one, the error is CONFLICT
 * @param {object} object
 * @param {string} base of any unit
 * @returns {Promise<{revision: number}>}
 */
export const putLogged = (key, revision, object, base) =>
  post(logged(key), { revision, object }, base);

const logged = (key) => `/api/log/${encodeURIComponent(key)}`;

/** A request that changes something, signed with the token for this run of the bridge. */
async function post(path, content, base) {
  const body = JSON.stringify(content);
  const { run } = await ask(`${base}/api/status`);
  const signature = await signatureHeader(run, 'POST', path, body);
  const headers = { 'Content-Type': 'application/json', ...signature };
  return ask(path, { method: 'POST', headers, body });
}

async function ask(path, options = {}) {
  const [response, answer] = await fetched(path, options);
  if (response.ok && answer !== null) return answer;
  const { code, cause, cure } = answer?.error ?? {};
  throw new BridgeError(
    code ?? String(response.status),
    cause ?? `The bridge answered ${response.status} to ${path}`,
    cure ?? '',
  );
}

/** The response and its content; null if that is not JSON. */
async function fetched(path, options) {
  try {
    const response = await fetch(path, options);
    const text = await response.text();
    return [response, parsed(text)];
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new BridgeError(
      'NO_BRIDGE',
      'The bridge does not answer',
      'Start it (groundsim dashboard); this page reconnects by itself',
    );
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
