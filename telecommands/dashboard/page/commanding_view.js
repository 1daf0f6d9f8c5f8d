import { getStatus, sendTelecommand } from './bridge.js';
import { element } from './element.js';
import { SentTelecommands } from './sent_telecommands.js';
import { TelecommandForm } from './telecommand_form.js';

/** @typedef {import('./bridge.js').Telecommand} Telecommand */

/**
 * Commanding: choose a telecommand, fill in its form, follow its verification.
 *
 * @param {object} openmct
 * @param {Telecommand[]} telecommands
 * @param {import('./realtime.js').Realtime} realtime
 */
export function commandingViewProvider(openmct, telecommands, realtime) {
  // What was sent stays in sight when the operator looks elsewhere and comes back.
  const sent = new SentTelecommands(realtime);
  return {
    key: 'flightsw.commanding',
    name: 'Commanding',
    cssClass: 'icon-command',
    canView: ({ type }) => type === 'flightsw.commanding',
    view: () => new CommandingView(openmct, telecommands, sent),
    priority: () => 1000,
  };
}

class CommandingView {
  #openmct;
  #telecommands;
  #sent;
  /** @type {string|null} */
  #obstacle = null;
  #form = element('div', { className: 'commanding__form' });

  constructor(openmct, telecommands, sent) {
    this.#openmct = openmct;
    this.#telecommands = telecommands;
    this.#sent = sent;
  }

  async show(container) {
    const who = element('p', { className: 'commanding__who' });
    const choice = element('select', { ariaLabel: 'Telecommand' });
    for (const { name, hazardous } of this.#telecommands) {
      const textContent = hazardous ? `${name} (hazardous)` : name;
      choice.append(element('option', { value: name, textContent }));
    }
    choice.onchange = () => this.#open(choice.value);
    const left = element('section', { className: 'commanding__new' }, who, choice, this.#form);
    const heading = element('h2', { textContent: 'Sent from this page' });
    const right = element('section', { className: 'commanding__sent' }, heading, this.#sent.node);
    container.append(element('div', { className: 'commanding' }, left, right));
    const [obstacle, signature] = await asked();
    this.#obstacle = obstacle;
    who.textContent = obstacle ?? signature;
    who.classList.toggle('is-obstacle', this.#obstacle !== null);
    this.#open(choice.value);
  }

  destroy() {
    this.#form.replaceChildren();
  }

  #open(name) {
    const telecommand = this.#telecommands.find((one) => one.name === name);
    const form = new TelecommandForm(telecommand, this.#obstacle, (one, args) =>
      this.#submit(one, args),
    );
    this.#form.replaceChildren(form.node);
  }

  /**
   * @param {Telecommand} telecommand
   * @param {object} args
   */
  async #submit(telecommand, args) {
    if (telecommand.hazardous && !(await this.#confirmed(telecommand, args))) return;
    const { id } = await sendTelecommand(telecommand.name, args);
    this.#sent.add(id, telecommand.name, args);
  }

  #confirmed({ name, doc }, args) {
    return new Promise((resolve) => {
      const close = (answer) => () => {
        resolve(answer);
        dialog.dismiss();
      };
      const told = Object.keys(args).length ? ` with ${JSON.stringify(args)}` : '';
      const dialog = this.#openmct.overlays.dialog({
        iconClass: 'alert',
        title: `Send ${name}?`,
        message: `${name}${told}: ${doc}`,
        buttons: [
          { label: `Send ${name}`, callback: close(true) },
          { label: 'Cancel', emphasis: true, callback: close(false) },
        ],
        onDestroy: () => resolve(false),
      });
    });
  }
}

/** Why nobody can command from this page (null where somebody can), and as whom. */
async function asked() {
  try {
    const { can_command, operator, reason } = await getStatus();
    if (can_command) return [null, `Telecommands are signed as ${operator}.`];
    return [`Commanding is off: ${reason ?? 'the bridge’s machine holds no telecommand key'}.`, ''];
  } catch (error) {
    return [error.message, ''];
  }
}
