/**
 * The operator's token, from the address that `groundsim dashboard` prints.  The browser stores it
 * for this origin; the bridge checks it.
 */

const FRAGMENT = '#token=';
const PLACE = 'flightsw.token';

/**
 * Store the address's token, and replace the address, so that the browser's address bar and history
 * do not keep the token.
 *
 * @param {string} [instead]
 * @returns {boolean} whether the address had a token
 */
export function takeToken(instead = window.location.pathname) {
  const { hash } = window.location;
  if (!hash.startsWith(FRAGMENT)) return false;
  window.localStorage.setItem(PLACE, hash.slice(FRAGMENT.length));
  window.history.replaceState(null, '', instead);
  return true;
}

/** @returns {string|null} */
export const heldToken = () => window.localStorage.getItem(PLACE);

export const removeToken = () => window.localStorage.removeItem(PLACE);

/** The header with the token; none if this page has no token. */
export function tokenHeader() {
  const token = heldToken();
  return token === null ? {} : { 'X-Flightsw-Token': token };
}

/**
 * Call when a new token is given: in the address of this open page, or by another page of this
 * browser.
 *
 * @param {() => void} listener
 */
export function onTokenChange(listener) {
  window.addEventListener('hashchange', ({ oldURL }) => takeToken(oldURL) && listener());
  window.addEventListener('storage', ({ key }) => key === PLACE && listener());
}
