import { getHistory } from './bridge.js';

/**
 * @typedef {import('./bridge.js').Point} Point
 * @typedef {import('./bridge.js').Datum} Datum
 */

/** Open MCT's provider of historical and realtime telemetry. */
export class TelemetryProvider {
  #realtime;
  #pointOf;

  /**
   * @param {import('./realtime.js').Realtime} realtime
   * @param {(domainObject: object) => Point|undefined} pointOf
   */
  constructor(realtime, pointOf) {
    this.#realtime = realtime;
    this.#pointOf = pointOf;
  }

  supportsRequest(domainObject) {
    return Boolean(this.#pointOf(domainObject));
  }

  supportsSubscribe(domainObject) {
    return Boolean(this.#pointOf(domainObject));
  }

  supportsBatching() {
    return true;
  }

  async request(domainObject, { start, end, size, strategy, signal }) {
    const point = this.#pointOf(domainObject);
    await this.#realtime.settled(); // views subscribe first
    const data = await getHistory(point.key, rangeFor(point, { start, end, size, strategy }), signal);
    return withoutRepeatedNothing()(data).map((datum) => displayed(point, datum));
  }

  subscribe(domainObject, callback) {
    const point = this.#pointOf(domainObject);
    const worthShowing = withoutRepeatedNothing();
    return this.#realtime.subscribe(point.key, (data) => {
      const shown = worthShowing(data).map((datum) => displayed(point, datum));
      if (shown.length) callback(shown);
    });
  }
}

/** One break in a line is enough: of several data without a value in a row the first is kept. */
function withoutRepeatedNothing() {
  let nothing = false;
  return (data) =>
    data.filter((datum) => {
      const repeated = nothing && datum.value === null;
      nothing = datum.value === null;
      return !repeated;
    });
}

/** Only numbers have a minimum and a maximum. */
function rangeFor(point, { start, end, size, strategy }) {
  const range = { start, end };
  if (strategy === 'latest') return { ...range, strategy, size: size ?? 1 };
  const plotted = point.type === 'number';
  return strategy === 'minmax' && plotted ? { ...range, strategy, size: size ?? 1000 } : range;
}

/**
 * A datum as the views want it: a gap, or what no sensor tells, has no value (plots break the line);
 * a gap says itself in tables; records inside a row are written out.
 *
 * @param {Point} point
 * @param {Datum} datum
 */
function displayed(point, datum) {
  if (point.type !== 'table') return { ...datum, value: datum.value ?? undefined };
  const row = { ...datum };
  for (const { key } of point.fields) {
    if (row[key] === undefined || row[key] === null) row[key] = '';
    else if (typeof row[key] === 'object') row[key] = JSON.stringify(row[key]);
    else if (key !== 'timestamp') row[key] = String(row[key]);
  }
  if (datum.gap) row[firstTextOf(point)] = `${datum.gap} missing`;
  return row;
}

const firstTextOf = (point) => point.fields.find(({ key }) => key !== 'timestamp')?.key;
