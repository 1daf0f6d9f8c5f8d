import { getStatus } from './bridge.js';
import { forgetToken, heldToken, onTokenChange } from './token.js';

const FORGOTTEN = 'The bridge does not take the token of this page, it is forgotten: see Commanding';

/** @typedef {{obstacle: string|null, operator: string|null}} Right why it may not, or as whom */

/** Whether this page may command: the bridge says so of the token that the page holds. */
export class Authority {
  #openmct;
  /** @type {Set<(right: Right) => void>} */
  #listeners = new Set();
  /** @type {Right} */
  #right = { obstacle: 'The bridge was not asked yet', operator: null };

  /**
   * @param {object} openmct
   * @param {import('./realtime.js').Realtime} realtime
   */
  constructor(openmct, realtime) {
    this.#openmct = openmct;
    realtime.on('connection', (connected) => connected && this.ask());
    onTokenChange(() => this.ask());
  }

  /**
   * @param {(right: Right) => void} listener told now, and of each change
   * @returns {() => void} ends it
   */
  on(listener) {
    this.#listeners.add(listener);
    listener(this.#right);
    return () => this.#listeners.delete(listener);
  }

  /** Ask the bridge again; a token that it does not take is forgotten. */
  async ask() {
    const shown = heldToken();
    const { right, refused } = await answered();
    if (heldToken() !== shown) return; // another came meanwhile, and is asked about on its own
    if (refused && shown !== null) {
      forgetToken();
      this.#openmct.notifications.alert(FORGOTTEN);
    }
    this.#right = right;
    for (const listener of this.#listeners) listener(right);
  }
}

/** @returns {Promise<{right: Right, refused: boolean}>} */
async function answered() {
  try {
    const { authorised, can_command, operator, reason } = await getStatus();
    const obstacle = authorised ? null : `Commanding is off. ${reason}.`;
    return { right: { obstacle, operator }, refused: can_command && !authorised };
  } catch (error) {
    return { right: { obstacle: error.message, operator: null }, refused: false };
  }
}
