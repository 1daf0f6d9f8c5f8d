import { addIndicator } from './indicator.js';

/** @typedef {import('./bridge.js').Link} Link */

const ANNOUNCE_EVERY_MS = 5000;

/** Shows the link's state and losses in the status bar, and announces losses. */
export class LinkIndicator {
  #openmct;
  #indicator;
  #losses;
  #lost = 0;
  /** @type {Link|undefined} */
  #link;
  #connected = false;

  /**
   * @param {object} openmct
   * @param {import('./realtime.js').Realtime} realtime
   */
  constructor(openmct, realtime) {
    this.#openmct = openmct;
    this.#indicator = addIndicator(openmct, 'flightsw.link');
    this.#losses = addIndicator(openmct, 'flightsw.losses');
    const dropped = new Announcer((lines) => this.#announceLoss(lines));
    const lagged = new Announcer((lines) => this.#announceLag(lines));
    realtime.on('connection', (connected) => this.#show({ connected }));
    realtime.on('link', (link) => this.#show({ link }));
    realtime.on('dropped', ({ topic, count }) => dropped.add(topic, count));
    realtime.on('lagged', (count) => lagged.add('', count));
    realtime.on('error', ({ cause, cure }) => openmct.notifications.error(`${cause}. ${cure}`));
    this.#show({});
    this.#showLosses();
  }

  #show({ connected = this.#connected, link = this.#link }) {
    this.#connected = connected;
    this.#link = link;
    const [text, description, status] = described(connected, link);
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

  #announceLoss(counts) {
    for (const count of counts.values()) this.#lost += count;
    this.#showLosses();
    const parts = [...counts].map(([topic, count]) => `${count} of ${topic}`);
    this.#openmct.notifications.alert(`Telemetry dropped on the link: ${parts.join(', ')}`);
  }

  #announceLag(counts) {
    const count = counts.get('');
    this.#openmct.notifications.alert(
      `This page was too slow for ${count} realtime values; reload to see them from the archive`,
    );
  }
}

function described(connected, link) {
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
