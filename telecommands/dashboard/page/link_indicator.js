import { addIndicator } from './indicator.js';

/**
 * @typedef {import('./bridge.js').Link} Link
 * @typedef {import('./unit.js').Unit} Unit
 */

const ANNOUNCE_EVERY_MS = 5000;

/** Shows the links' states and losses in the status bar, and announces losses. */
export class LinkIndicator {
  #openmct;
  #indicator;
  #losses;
  #lost = 0;
  /** @type {Map<Unit, {connected: boolean, link?: Link}>} */
  #states = new Map();

  /**
   * @param {object} openmct
   * @param {Unit[]} units
   */
  constructor(openmct, units) {
    this.#openmct = openmct;
    this.#indicator = addIndicator(openmct, 'flightsw.link');
    this.#losses = addIndicator(openmct, 'flightsw.losses');
    for (const unit of units) this.#follow(unit);
    this.#showLosses();
  }

  #follow(unit) {
    const { realtime } = unit;
    const dropped = new Announcer((lines) => this.#announceLoss(unit, lines));
    const lagged = new Announcer((lines) => this.#announceLag(unit, lines));
    realtime.on('connection', (connected) => this.#show(unit, { connected }));
    realtime.on('link', (link) => this.#show(unit, { link }));
    realtime.on('dropped', ({ topic, count }) => dropped.add(topic, count));
    realtime.on('lagged', (count) => lagged.add('', count));
    realtime.on('error', ({ cause, cure }) =>
      this.#openmct.notifications.error(unit.said(`${cause}. ${cure}`)),
    );
    this.#show(unit, { connected: false });
  }

  #show(unit, change) {
    this.#states.set(unit, { ...this.#states.get(unit), ...change });
    const [text, description, status] = summarised([...this.#states]);
    this.#indicator.text(text);
    this.#indicator.description(description);
    this.#indicator.iconClass(status === 's-status-on' ? 'icon-connectivity' : 'icon-alert-rect');
    this.#indicator.statusClass(status);
  }

  #showLosses() {
    this.#losses.text(this.#lost ? `Dropped ${this.#lost}` : 'Dropped 0');
    this.#losses.description('Telemetry packets lost on the link since this page was opened');
    this.#losses.iconClass('icon-database-query');
    this.#losses.statusClass(this.#lost ? 's-status-warning-hi' : 's-status-on');
  }

  #announceLoss(unit, counts) {
    for (const count of counts.values()) this.#lost += count;
    this.#showLosses();
    const parts = [...counts].map(([topic, count]) => `${count} of ${topic}`);
    const text = `Telemetry dropped on the link: ${parts.join(', ')}`;
    this.#openmct.notifications.alert(unit.said(text));
  }

  #announceLag(unit, counts) {
    const lagged = `This page was too slow for ${counts.get('')} realtime values`;
    const text = `${lagged}; reload to see them from the archive`;
    this.#openmct.notifications.alert(unit.said(text));
  }
}

/** Of one unit as it is; of several how many are up, and why the others are not. */
function summarised(states) {
  const each = states.map(([unit, state]) => [unit, ...described(state)]);
  const down = each.filter(([, , , status]) => status !== 's-status-on');
  if (each.length === 1 || states.every(([, { connected }]) => !connected)) return each[0].slice(1);
  const text = `Link up ${each.length - down.length} of ${each.length}`;
  const lines = (down.length ? down : each).map(([unit, , why]) => unit.said(why));
  return [text, lines.join('\n'), down[0]?.[3] ?? 's-status-on'];
}

function described({ connected, link }) {
  if (!connected) {
    return ['Bridge down', 'The bridge does not answer; reconnecting', 's-status-error'];
  }
  if (!link) return ['Link …', 'The bridge has not reported the link yet', 's-status-warning-lo'];
  const since = `since ${new Date(link.since).toISOString()}`;
  if (link.state === 'up') return ['Link up', `Telemetry is received ${since}`, 's-status-on'];
  const why = [link.cause, link.cure].filter(Boolean).join('. ');
  return ['Link down', `No telemetry ${since}. ${why}`, 's-status-warning-hi'];
}

/** Announces the first of a burst immediately, the rest together. */
class Announcer {
  #announce;
  #counts = new Map();
  #timer;

  /** @param {(counts: Map<string, number>) => void} announce */
  constructor(announce) {
    this.#announce = announce;
  }

  add(topic, count) {
    this.#counts.set(topic, (this.#counts.get(topic) ?? 0) + count);
    if (this.#timer === undefined) this.#flush();
  }

  #flush() {
    this.#timer = undefined;
    if (!this.#counts.size) return;
    this.#announce(this.#counts);
    this.#counts = new Map();
    this.#timer = setTimeout(() => this.#flush(), ANNOUNCE_EVERY_MS);
  }
}
