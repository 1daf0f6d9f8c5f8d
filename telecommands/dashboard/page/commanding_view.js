import { element } from './element.js';
import { SentTelecommands } from './sent_telecommands.js';
import { TelecommandForm } from './telecommand_form.js';

/**
 * @typedef {import('./bridge.js').Telecommand} Telecommand
 */

/**
 * Commanding: select a telecommand, fill in its form, follow its verification.
 *
 * @param {object} openmct
 * @param {import('./unit.js').Unit} unit that they are sent to
 */
export function commandingViewProvider(openmct, unit) {
  // Kept outside the view, so that it survives when the operator opens another one.
  const sent = new SentTelecommands(unit);
  return {
    key: `${unit.namespace}.commanding`,
    name: 'Commanding',
    cssClass: 'icon-command',
    canView: ({ type, identifier }) =>
      type === 'flightsw.commanding' && identifier.namespace === unit.namespace,
    view: () => new CommandingView(openmct, unit, sent),
    priority: () => 1000,
  };
}

class CommandingView {
  #openmct;
  #unit;
  #sent;
  #unsubscribe = () => {};
  /** @type {string|null} until the bridge has answered */
  #obstacle = 'The bridge has not answered yet';
  /** @type {string|null} */
  #operator = null;
  /** @type {TelecommandForm|undefined} */
  #form;
  #who = element('p', { className: 'commanding__who' });
  #place = element('div', { className: 'commanding__form' });

  constructor(openmct, unit, sent) {
    this.#openmct = openmct;
    this.#unit = unit;
    this.#sent = sent;
  }

  show(container) {
    const choice = element('select', { ariaLabel: 'Telecommand' });
    for (const { name, hazardous } of this.#unit.telecommands) {
      const textContent = hazardous ? `${name} (hazardous)` : name;
      choice.append(element('option', { value: name, textContent }));
    }
    choice.onchange = () => this.#open(choice.value);
    const parts = [this.#who, choice, this.#place];
    const left = element('section', { className: 'commanding__new' }, ...parts);
    const heading = element('h2', { textContent: 'Sent from this page' });
    const right = element('section', { className: 'commanding__sent' }, heading, this.#sent.node);
    container.append(element('div', { className: 'commanding' }, left, right));
    this.#open(choice.value);
    this.#unsubscribe = this.#unit.authority.on((right) => this.#showRight(right));
  }

  destroy() {
    this.#unsubscribe();
    this.#place.replaceChildren();
  }

  /** @param {import('./authority.js').Right} right */
  #showRight({ obstacle, operator }) {
    this.#obstacle = obstacle;
    this.#operator = operator;
    this.#who.textContent = obstacle ?? `Telecommands ${this.#to}are signed as ${operator}.`;
    this.#who.classList.toggle('is-obstacle', obstacle !== null);
    this.#form.setObstacle(obstacle);
  }

  #open(name) {
    const telecommand = this.#unit.telecommands.find((one) => one.name === name);
    this.#form = new TelecommandForm(
      telecommand,
      (one, args) => this.#submit(one, args),
      (one) => this.#listed(one),
    );
    this.#form.setObstacle(this.#obstacle);
    this.#place.replaceChildren(this.#form.node);
  }

  /**
   * @param {Telecommand} telecommand
   * @param {object} args
   * @param {boolean} confirmed by the operator
   */
  async #submit(telecommand, args, confirmed = false) {
    try {
      const { id } = await this.#unit.bridge.sendTelecommand(telecommand.name, args, confirmed);
      this.#sent.add(id, telecommand.name, args, this.#operator);
    } catch (error) {
      if (error.code === 'NOT_CONFIRMED' && !confirmed) {
        if (await this.#confirmed(telecommand, args)) await this.#submit(telecommand, args, true);
        return;
      }
      this.#unit.authority.ask(); // the page's token may have been refused
      throw error;
    }
  }

  /** Send a telecommand that lists something; return its result. */
  async #listed(name) {
    const { id } = await this.#unit.bridge.sendTelecommand(name, {});
    const { stage, code, cause, data } = await this.#sent.add(id, name, {}, this.#operator);
    if (stage !== 'COMPLETED') throw new Error(`${name} ended as ${stage}: ${cause || code}`);
    return JSON.parse(data);
  }

  /** The addressee, if there are several units. */
  get #to() {
    return this.#unit.isOnly ? '' : `to ${this.#unit.name} `;
  }

  #confirmed({ name, doc }, args) {
    return new Promise((resolve) => {
      const close = (answer) => () => {
        resolve(answer);
        dialog.dismiss();
      };
      const given = Object.keys(args).length ? ` with ${JSON.stringify(args)}` : '';
      const dialog = this.#openmct.overlays.dialog({
        iconClass: 'alert',
        title: `Send ${`${name} ${this.#to}`.trim()}?`,
        message: `${name}${given}: ${doc}`,
        buttons: [
          { label: `Send ${name}`, callback: close(true) },
          { label: 'Cancel', emphasis: true, callback: close(false) },
        ],
        onDestroy: () => resolve(false),
      });
    });
  }
}
