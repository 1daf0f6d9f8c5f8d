/**
 * The operator's token, from the address that `groundsim dashboard` prints.  It never leaves this
 * page: requests are signed with it.  The browser keeps it as a key that signs and cannot be read,
 * not even by a program that listens at this port later and serves a page of its own.
 *
 * @typedef {{id: string, expires: number, key: CryptoKey}} Token
 */

const FRAGMENT = '#token=';
const DATABASE = 'flightsw';
const STORE = 'token';
const PLACE = 'operator';
const ALGORITHM = { name: 'HMAC', hash: 'SHA-256' };
const CHANGES = new BroadcastChannel('flightsw.token');
/** @type {Set<() => void>} */
const LISTENERS = new Set();

/** Of this page, if the browser keeps nothing. @type {Token|null} */
let held = null;

/**
 * Keep the address's token, and replace the address first, so that the browser's address bar and
 * history do not keep it.
 *
 * @param {string} [address] of the page; Open MCT may have replaced it already
 * @param {string} [instead]
 * @returns {Promise<boolean>} whether the address had a token
 */
export async function takeToken(address = window.location.href, instead = window.location.pathname) {
  window.localStorage.removeItem('flightsw.token'); // of earlier releases
  const { hash } = new URL(address);
  if (!hash.startsWith(FRAGMENT)) return false;
  if (window.location.hash === hash) window.history.replaceState(null, '', instead);
  const [expires, secret = ''] = hash.slice(FRAGMENT.length).split('.');
  const bytes = Uint8Array.from(secret.match(/../g) ?? ['00'], (pair) => parseInt(pair, 16));
  const key = await crypto.subtle.importKey('raw', bytes, ALGORITHM, false, ['sign']);
  held = { id: crypto.randomUUID(), expires: Number(expires) || 0, key };
  await stored('readwrite', (store) => store.put(held, PLACE));
  CHANGES.postMessage('taken');
  return true;
}

/** @returns {Promise<Token|null>} */
export async function heldToken() {
  return (await stored('readonly', (store) => store.get(PLACE))) ?? held;
}

export async function removeToken() {
  held = null;
  await stored('readwrite', (store) => store.delete(PLACE));
  CHANGES.postMessage('removed');
}

/**
 * The header that shows the token's signature; none if this page has no token.
 *
 * @param {string} run of the bridge
 * @param {string} method
 * @param {string} path
 * @param {string} body
 * @returns {Promise<Record<string, string>>}
 */
export async function signatureHeader(run, method, path, body) {
  const token = await heldToken();
  if (token === null) return {};
  const text = new TextEncoder().encode(`${run}\n${method}\n${path}\n${body}`);
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', token.key, text));
  const digits = Array.from(signature, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { 'X-Flightsw-Token': `${token.expires}.${digits}` };
}

/**
 * Take each token that is given in the address of this open page, and follow what other pages of
 * this browser do.
 */
export function watchToken() {
  window.addEventListener('hashchange', async ({ oldURL, newURL }) => {
    if (await takeToken(newURL, oldURL)) announce();
  });
  CHANGES.addEventListener('message', ({ data }) => {
    if (data === 'removed') held = null;
    announce();
  });
}

/** @param {() => void} listener called when a token is given, or removed by another page */
export function onTokenChange(listener) {
  LISTENERS.add(listener);
}

function announce() {
  for (const listener of LISTENERS) listener();
}

/** The result of work on the browser's store; undefined if the browser keeps nothing. */
async function stored(mode, work) {
  try {
    const database = await finished(indexedDBOpened());
    try {
      return await finished(work(database.transaction(STORE, mode).objectStore(STORE)));
    } finally {
      database.close();
    }
  } catch (error) {
    console.warn('The browser does not keep the token beyond this page', error);
    return undefined;
  }
}

function indexedDBOpened() {
  const request = window.indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return request;
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
