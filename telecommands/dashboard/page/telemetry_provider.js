/**
 * @typedef {import('./bridge.js').Point} Point
 * @typedef {import('./bridge.js').Datum} Datum
 */

/** Open MCT's provider of historical and realtime telemetry. */
export class TelemetryProvider {
  #bridge;
  #realtime;
  #pointOf;

  /**
   * @param {import('./bridge.js').Bridge} bridge
   * @param {import('./realtime.js').Realtime} realtime
   * @param {(domainObject: object) => Point|undefined} pointOf
   */
  constructor(bridge, realtime, pointOf) {
    this.#bridge = bridge;
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
    const range = rangeFor(point, { start, end, size, strategy });
    const data = await this.#bridge.getHistory(point.key, range, signal);
    return withoutRepeatedGaps()(data).map((datum) => displayed(point, datum));
  }

  subscribe(domainObject, callback) {
    const point = this.#pointOf(domainObject);
    const worthShowing = withoutRepeatedGaps();
    return this.#realtime.subscribe(point.key, (data) => {
      const shown = worthShowing(data).map((datum) => displayed(point, datum));
      if (shown.length) callback(shown);
    });
  }
}

/** Of consecutive data without a value, keep the first: it breaks the line of a plot. */
function withoutRepeatedGaps() {
  let isGap = false;
  return (data) =>
    data.filter((datum) => {
      const repeated = isGap && datum.value === null;
      isGap = datum.value === null;
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
 * A datum for the views: a gap, or a missing sensor value, has no value (plots break the line);
 * tables show a gap as a row; structures in a row are shown as JSON.
 *
 * @param {Point} point
 * @param {Datum} datum
 */
function displayed(point, datum) {
  if (point.type !== 'table') return { ...datum, value: datum.value ?? undefined };
  const row = { ...datum };
  for (const { key, type } of point.fields) {
    if (type === 'time') continue;
    if (row[key] === undefined || row[key] === null) row[key] = '';
    else row[key] = typeof row[key] === 'object' ? JSON.stringify(row[key]) : String(row[key]);
  }
  if (datum.gap) row[point.fields[0].key] = `${datum.gap} missing`;
  return row;
}
