/**
 * The dictionary's rules for what an operator enters.  Does not use the DOM.
 *
 * @typedef {import('./bridge.js').Argument} Argument
 * @typedef {{value?: any, cause?: string}} Reading a value, or why it is refused; neither: absent
 */

/**
 * @param {Argument} argument
 * @param {string|string[]} entered text, or the checked choices
 * @returns {Reading}
 */
export function readArgument(argument, entered) {
  if (Array.isArray(entered)) return readChoices(argument, entered);
  if (entered.trim() === '') return argument.required ? { cause: 'is required' } : {};
  return READERS[argument.type](argument, entered.trim());
}

/**
 * A description of what may be entered: range, unit, length, default.
 *
 * @param {Argument} argument
 */
export function hintOf({ type, unit, min, max, max_length, default: fallback, required }) {
  const parts = [];
  const known = (limit) => typeof limit === 'number';
  if (type === 'time') parts.push('UTC, e.g. 2027-01-31T12:00:00Z or +30s');
  else if (known(min) && known(max)) parts.push(withUnit(`${count(min)} to ${count(max)}`, unit));
  else if (known(min)) parts.push(withUnit(`at least ${count(min)}`, unit));
  else if (known(max)) parts.push(withUnit(`at most ${count(max)}`, unit));
  else if (unit) parts.push(`in ${unit}`);
  if (type === 'text' && max_length) parts.push(`at most ${max_length} characters`);
  if (type === 'json') parts.push('JSON');
  if (required) parts.push('required');
  else if (fallback !== null && fallback !== undefined && String(fallback) !== '') {
    parts.push(`default ${Array.isArray(fallback) ? fallback.join(', ') : fallback}`);
  }
  return parts.join('; ');
}

const READERS = {
  number: readNumber,
  integer: readInteger,
  text: readText,
  choice: readChoice,
  boolean: (_, text) => ({ value: text === 'true' }),
  time: readTime,
  json: readJson,
};

function readNumber(argument, text) {
  const value = Number(text);
  if (!Number.isFinite(value)) return { cause: `${text} is not a number` };
  return inRange(argument, value);
}

function readInteger(argument, text) {
  const value = Number(text);
  if (!Number.isInteger(value)) return { cause: `${text} is not a whole number` };
  if (!Number.isSafeInteger(value)) return { cause: `${text} is too large to be sent exactly` };
  return inRange(argument, value);
}

function inRange({ min, max, unit }, value) {
  if (typeof min === 'number' && value < min) {
    return { cause: `${value} is below ${withUnit(count(min), unit)}` };
  }
  if (typeof max === 'number' && value > max) {
    return { cause: `${value} is above ${withUnit(count(max), unit)}` };
  }
  return { value };
}

function readText({ max_length, pattern }, text) {
  if (max_length && text.length > max_length) {
    return { cause: `has ${text.length} characters, at most ${max_length} are allowed` };
  }
  if (pattern && !new RegExp(pattern).test(text)) return { cause: `does not match ${pattern}` };
  return { value: text };
}

function readChoice({ choices }, text) {
  const value = choices.find((choice) => String(choice) === text);
  return value === undefined ? { cause: `${text} is not one of ${choices.join(', ')}` } : { value };
}

/** What is ticked is sent, also if nothing is: the defaults were ticked before. */
function readChoices({ choices, min_length, max_length }, entered) {
  if (min_length && entered.length < min_length) return { cause: `tick at least ${min_length}` };
  if (max_length && entered.length > max_length) return { cause: `at most ${max_length} allowed` };
  return { value: choices.filter((choice) => entered.includes(String(choice))) };
}

function readTime(_, text) {
  if (text.startsWith('+')) return { value: text }; // the bridge reads its unit
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`;
  const value = Date.parse(zoned);
  if (Number.isNaN(value)) return { cause: `${text} is not a time such as 2027-01-31T12:00:00Z` };
  return { value };
}

function readJson(_, text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { cause: 'is not JSON (text needs quotation marks, e.g. "or")' };
  }
}

function count(value) {
  if (Math.abs(value) >= 1e15) return value.toPrecision(3);
  return value.toLocaleString('en', { maximumFractionDigits: 6 });
}

const withUnit = (text, unit) => (unit ? `${text} ${unit}` : text);
