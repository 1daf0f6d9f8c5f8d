import { removeToken, heldToken, onTokenChange } from './token.js';

const REMOVED = 'The bridge refused the token of this page, which was removed: see Commanding';

/** @typedef {{obstacle: string|null, operator: string|null}} Right why not, or the operator */

/** Whether this page may command a unit: the bridge decides by the page's token. */
export class Authority {
  #openmct;
  #bridge;
  /** @type {Set<(right: Right) => void>} */
  #listeners = new Set();
  /** @type {Right} */
  #right = { obstacle: 'The bridge has not answered yet', operator: null };

  /**
   * @param {object} openmct
   * @param {import('./bridge.js').Bridge} bridge
   * @param {import('./realtime.js').Realtime} realtime
   */
  constructor(openmct, bridge, realtime) {
    this.#openmct = openmct;
    this.#bridge = bridge;
    realtime.on('connection', (connected) => connected && this.ask());
    onTokenChange(() => this.ask());
  }

  /**
   * @param {(right: Right) => void} listener called now and on each change
   * @returns {() => void} unsubscribes
   */
  on(listener) {
    this.#listeners.add(listener);
    listener(this.#right);
    return () => this.#listeners.delete(listener);
  }

  /** Ask the bridge again; a token that it refuses is removed. */
  async ask() {
    const shown = await heldToken();
    const { right, refused } = await answered(this.#bridge);
    if ((await heldToken())?.id !== shown?.id) return; // replaced meanwhile, checked separately
    if (refused && shown !== null) {
      await removeToken();
      this.#openmct.notifications.alert(REMOVED);
    }
    this.#right = right;
    for (const listener of this.#listeners) listener(right);
  }
}

/** @returns {Promise<{right: Right, refused: boolean}>} */
async function answered(bridge) {
  try {
    const { authorised, can_command, operator, reason } = await bridge.getStatus();
    const obstacle = authorised ? null : `Commanding is off. ${reason}.`;
    return { right: { obstacle, operator }, refused: can_command && !authorised };
  } catch (error) {
    return { right: { obstacle: error.message, operator: null }, refused: false };
  }
}
