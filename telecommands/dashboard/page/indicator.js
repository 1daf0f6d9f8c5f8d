/**
 * A text in Open MCT's status bar, found by tests and style sheets as `[data-indicator]`.
 *
 * @param {object} openmct
 * @param {string} key
 */
export function addIndicator(openmct, key) {
  const indicator = openmct.indicators.simpleIndicator();
  indicator.key = key;
  indicator.element.dataset.indicator = key;
  openmct.indicators.add(indicator);
  return indicator;
}
