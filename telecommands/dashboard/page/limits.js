/**
 * @typedef {import('./bridge.js').Point} Point
 * @typedef {import('./bridge.js').Limits} Limits
 */

const RED = { cssClass: 'is-limit--red', name: 'CRITICAL' };
const YELLOW = { cssClass: 'is-limit--yellow', name: 'WARNING' };
const ORANGE = { cssClass: 'is-limit--orange', name: 'WARNING' };

const SEVERITY = { CRITICAL: RED, WARNING_HIGH: ORANGE, WARNING_LOW: YELLOW };
const STAGE = { REJECTED: RED, FAILED: RED, TIMED_OUT: RED, CANCELLED: YELLOW };

/** Open MCT's limit provider: colours values out of limits, severe events and failed stages. */
export class LimitProvider {
  #pointOf;

  /** @param {(domainObject: object) => Point|undefined} pointOf */
  constructor(pointOf) {
    this.#pointOf = pointOf;
  }

  supportsLimits(domainObject) {
    const point = this.#pointOf(domainObject);
    return Boolean(point && (point.limits || point.type === 'table'));
  }

  getLimitEvaluator(domainObject) {
    const point = this.#pointOf(domainObject);
    const evaluate =
      point.type === 'table' ? evaluateRow : (datum) => evaluateValue(point.limits, datum.value);
    return { evaluate };
  }

  getLimits(domainObject) {
    const { limits } = this.#pointOf(domainObject);
    return { limits: () => Promise.resolve(limits ? limitLines(limits) : undefined) };
  }
}

/**
 * @param {Limits} limits
 * @param {number|undefined} value
 */
function evaluateValue(limits, value) {
  if (typeof value !== 'number') return undefined;
  const above = (limit) => typeof limit === 'number' && value >= limit;
  const below = (limit) => typeof limit === 'number' && value <= limit;
  const upper = (level) => ({ ...level, cssClass: `is-limit--upr ${level.cssClass}` });
  const lower = (level) => ({ ...level, cssClass: `is-limit--lwr ${level.cssClass}` });
  if (above(limits.critical_high)) return upper(RED);
  if (below(limits.critical_low)) return lower(RED);
  if (above(limits.warning_high)) return upper(YELLOW);
  if (below(limits.warning_low)) return lower(YELLOW);
  return undefined;
}

/** Colours the column of severity or stage; a gap colours the whole row. */
function evaluateRow(datum, field) {
  if (datum.gap) return ORANGE;
  if (field?.key === 'severity') return SEVERITY[datum.severity];
  if (field?.key === 'stage') return STAGE[datum.stage];
  return undefined;
}

/** @param {Limits} limits */
function limitLines(limits) {
  const lines = {};
  const side = (limit, color) => (typeof limit === 'number' ? { color, value: limit } : '');
  for (const [level, low, high, color] of [
    ['WARNING', limits.warning_low, limits.warning_high, 'yellow'],
    ['CRITICAL', limits.critical_low, limits.critical_high, 'red'],
  ]) {
    // An absent side is '': Open MCT's plots skip it, but its LAD tables read its properties.
    const line = { low: side(low, color), high: side(high, color) };
    if (line.low || line.high) lines[level] = line;
  }
  return lines;
}
