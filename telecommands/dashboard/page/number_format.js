/** Numbers for operators: integers in full, others to six digits, an empty text for a gap. */
export const numberFormat = {
  key: 'flightsw.number',
  /** @param {any} value */
  format(value) {
    if (value === undefined || value === null || Number.isNaN(value)) return '';
    if (typeof value !== 'number' || Number.isInteger(value)) return value;
    return Number(value.toPrecision(6));
  },
  /** @param {any} value */
  parse(value) {
    return value === undefined || value === null || value === '' ? NaN : Number(value);
  },
  validate: () => true,
};
