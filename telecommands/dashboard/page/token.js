/**
 * The operator's token: it comes in the address that `groundsim dashboard` prints, and is kept in
 * this browser for this origin.  Only the bridge knows whether it is right.
 */

const FRAGMENT = '#token=';
const PLACE = 'flightsw.token';

/**
 * Keep the token of the address, and show another address instead: the bar and the history of the
 * browser do not keep it.
 *
 * @param {string} [instead]
 * @returns {boolean} whether there was one
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

export const forgetToken = () => window.localStorage.removeItem(PLACE);

/** Headers that show it; none where this page holds none. */
export function tokenHeader() {
  const token = heldToken();
  return token === null ? {} : { 'X-Flightsw-Token': token };
}

/**
 * Tell when one comes: in the address of this page while it is open, or by another page of this
 * browser.
 *
 * @param {() => void} listener
 */
export function onTokenChange(listener) {
  window.addEventListener('hashchange', ({ oldURL }) => takeToken(oldURL) && listener());
  window.addEventListener('storage', ({ key }) => key === PLACE && listener());
}
