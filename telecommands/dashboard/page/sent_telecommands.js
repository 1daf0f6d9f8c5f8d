import { element } from './element.js';

const MOST_KEPT = 100;
const OPEN = new Set(['ACCEPTED', 'STARTED', 'PROGRESS']);

/** The telecommands sent from this page, newest first, with their verification stages. */
export class SentTelecommands {
  /** @type {Map<string, SentTelecommand>} */
  #sent = new Map();
  node = element('ol', { className: 'sent', ariaLabel: 'Telecommands sent' });

  #bridge;

  /** @param {import('./unit.js').Unit} unit */
  constructor({ bridge, realtime }) {
    this.#bridge = bridge;
    realtime.subscribe('ver', (rows) => {
      for (const row of rows) this.#sent.get(row.id)?.addOwn(row);
    });
    realtime.on('connection', (connected) => connected && this.#askForOpen());
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {object} args
   * @param {string|null} operator key that signs it
   * @returns {Promise<object>} its closing stage
   */
  add(id, name, args, operator) {
    const one = new SentTelecommand(this.#bridge, id, name, args, operator);
    this.#sent.set(id, one);
    this.node.prepend(one.node);
    while (this.#sent.size > MOST_KEPT) {
      const [oldest, { node }] = this.#sent.entries().next().value;
      this.#sent.delete(oldest);
      node.remove();
    }
    one.ask();
    return one.ended;
  }

  #askForOpen() {
    for (const one of this.#sent.values()) if (!one.closed) one.ask();
  }
}

class SentTelecommand {
  #bridge;
  #id;
  #operator;
  #seen = new Set();
  #stages = element('ol', { className: 'sent__stages' });
  #end;
  closed = false;
  /** @type {Promise<object>} */
  ended = new Promise((resolve) => {
    this.#end = resolve;
  });

  constructor(bridge, id, name, args, operator) {
    this.#bridge = bridge;
    this.#id = id;
    this.#operator = operator;
    const given = Object.keys(args).length ? JSON.stringify(args) : '';
    this.node = element(
      'li',
      { className: 'sent__telecommand', dataset: { id, name } },
      element('span', { className: 'sent__name', textContent: name }),
      element('code', { className: 'sent__args', textContent: given }),
      this.#stages,
    );
  }

  /** Load stages from before the id was known here, or from while the bridge was down. */
  async ask() {
    try {
      for (const stage of await this.#bridge.getStages(this.#id)) this.add(stage);
    } catch (error) {
      console.debug(`${this.#id}: waiting for its stages on the WebSocket`, error.message);
    }
  }

  /** Add a stage from telemetry, unless another key uses the same id. */
  addOwn(row) {
    if (!row.key_id || row.key_id === this.#operator) this.add(row);
  }

  add(row) {
    const { stage, timestamp, at, step, of, code, cause, cure } = row;
    if (!stage) return;
    const time = timestamp ?? at;
    const key = `${stage} ${Number(step) || 0}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (!OPEN.has(stage)) {
      this.closed = true;
      this.#end(row);
      this.node.dataset.closed = stage;
    }
    if (stage === 'PROGRESS') this.#stages.querySelector('[data-stage=PROGRESS]')?.remove();
    const progress = stage === 'PROGRESS' ? ` ${step} of ${of}` : '';
    const causes = [cause, cure].filter(Boolean).join('. ');
    const reason = [code, causes].filter(Boolean).join(': ');
    this.#stages.append(
      element(
        'li',
        { className: 'sent__stage', dataset: { stage }, title: new Date(time).toISOString() },
        element('time', { textContent: new Date(time).toISOString().slice(11, 23) }),
        element('b', { textContent: stage + progress }),
        ...(reason ? [element('span', { textContent: reason })] : []),
      ),
    );
  }
}
