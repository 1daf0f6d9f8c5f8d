import { getUnits } from './bridge.js';
import { element } from './element.js';

/** @typedef {import('./bridge.js').UnitSummary} UnitSummary */

const NAMESPACE = 'units';
const KEY = 'table';
const POLL_MS = 2000;
const COLUMNS = ['Unit', 'Mode', 'Link', 'Last packet', 'Limits', 'Next contact', 'Last scene'];

/** Path of the table of all units. */
export const UNITS = `/browse/${NAMESPACE}:${KEY}`;

/**
 * The table of all units, the first root of a page with several.
 *
 * @param {object} openmct
 * @param {import('./unit.js').Unit[]} units
 */
export function installUnits(openmct, units) {
  openmct.types.addType('flightsw.units', { name: 'Units', cssClass: 'icon-tabular' });
  const identifier = { namespace: NAMESPACE, key: KEY };
  const table = { identifier, type: 'flightsw.units', name: 'Units', location: 'ROOT' };
  openmct.objects.addProvider(NAMESPACE, { get: () => Promise.resolve(table) });
  openmct.objects.addRoot(identifier, openmct.priority.HIGH);
  openmct.objectViews.addProvider({
    key: 'flightsw.units',
    name: 'Units',
    cssClass: 'icon-tabular',
    canView: ({ type }) => type === 'flightsw.units',
    view: () => new UnitsView(openmct, units),
    priority: () => 1000,
  });
}

class UnitsView {
  #openmct;
  #displays;
  #timer;
  #ended = false;
  #rows = element('tbody', {});
  #state = element('p', { className: 'units__state', role: 'status' });

  constructor(openmct, units) {
    this.#openmct = openmct;
    this.#displays = new Map(units.map(({ name, displays }) => [name, displays]));
  }

  show(container) {
    const head = COLUMNS.map((textContent) => element('th', { textContent, scope: 'col' }));
    const table = element(
      'table',
      { className: 'units' },
      element('thead', {}, element('tr', {}, ...head)),
      this.#rows,
    );
    container.append(element('div', { className: 'units__place' }, table, this.#state));
    this.#poll();
  }

  destroy() {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  async #poll() {
    try {
      const units = await getUnits();
      this.#rows.replaceChildren(...units.map((unit) => this.#row(unit)));
      this.#state.textContent = '';
    } catch (error) {
      this.#state.textContent = error.message;
    }
    if (!this.#ended) this.#timer = setTimeout(() => this.#poll(), POLL_MS);
  }

  /** @param {UnitSummary} unit */
  #row(unit) {
    const name = element('a', { textContent: unit.name, href: this.#placeOf(unit) });
    const cells = [
      cell('mode', unit.mode ?? '…', unit.mode === 'SAFE' ? 'is-limit--red' : ''),
      linkCell(unit),
      cell('last', unit.last_packet === null ? 'never' : `${since(unit.last_packet)} ago`),
      limitsCell(unit),
      cell('contact', contactOf(unit)),
      cell('scene', unit.cloud === null ? '–' : `${(100 * unit.cloud).toFixed(1)} % cloud`),
    ];
    cells.at(-1).title = unit.scene ?? '';
    const head = element('th', { scope: 'row' }, name);
    const dataset = { unit: unit.name, link: unit.link.state };
    return element('tr', { dataset }, head, ...cells);
  }

  #placeOf({ name }) {
    const displays = this.#displays.get(name);
    const settings = window.location.hash.split('?')[1] ?? '';
    const payload = `${displays.replace('displays', 'flightsw')}:payload`;
    const path = `${payload}/${displays}:root/${displays}:overview`;
    return `#/browse/${path}?${withoutView(settings)}`;
  }
}

/** The page's time settings, as Open MCT's own links keep them. */
function withoutView(text) {
  const settings = new URLSearchParams(text);
  settings.delete('view');
  return settings;
}

function cell(column, textContent, className = '') {
  return element('td', { textContent, className, dataset: { column } });
}

function linkCell({ link, error }) {
  const colour = link.state === 'up' ? '' : 'is-limit--yellow';
  const made = cell('link', error ? 'unknown' : link.state, colour);
  made.title = error || [link.cause, link.cure].filter(Boolean).join('. ');
  return made;
}

function limitsCell({ beyond, worst }) {
  const colour = { CRITICAL: 'is-limit--red', WARNING: 'is-limit--yellow' }[worst] ?? '';
  return cell('limits', beyond ? `${beyond} out of limits` : 'within limits', colour);
}

function contactOf({ link, contact_seconds, next_contact }) {
  const isOpen = contact_seconds !== null && link.state === 'up';
  if (isOpen) return `open, ${duration(contact_seconds)} left`;
  if (next_contact === null) return '–';
  return `in ${duration(Math.max(0, next_contact - Date.now()) / 1000)}`;
}

/** @param {number} timestamp UTC milliseconds */
function since(timestamp) {
  return duration(Math.max(0, Date.now() - timestamp) / 1000);
}

/** @param {number} seconds */
function duration(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
