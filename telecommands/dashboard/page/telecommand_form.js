import { ArgumentField } from './argument_field.js';
import { element } from './element.js';

/** @typedef {import('./bridge.js').Telecommand} Telecommand */

/** The form of one telecommand, generated from the dictionary. */
export class TelecommandForm {
  #telecommand;
  #fields;
  /** @type {string|null} */
  #obstacle = null;
  #isSending = false;
  #list;
  #isListed = false;
  #refusal = element('p', { className: 'telecommand__refusal', role: 'alert' });
  #button;

  /**
   * @param {Telecommand} telecommand
   * @param {(telecommand: Telecommand, args: object) => Promise<void>} submit
   * @param {(telecommand: string) => Promise<object>} list sends it and returns its result
   */
  constructor(telecommand, submit, list) {
    this.#telecommand = telecommand;
    this.#list = list;
    this.#fields = telecommand.args.map((argument) => new ArgumentField(argument));
    this.#button = element('button', {
      type: 'submit',
      className: 'c-button c-button--major telecommand__send',
      textContent: `Send ${telecommand.name}`,
    });
    this.node = element(
      'form',
      { className: 'telecommand', noValidate: true, ariaLabel: telecommand.name },
      element('p', { className: 'telecommand__about', textContent: telecommand.doc }),
      ...(telecommand.hazardous ? [hazard()] : []),
      ...this.#fields.map(({ row }) => row),
      this.#button,
      this.#refusal,
    );
    this.node.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit(submit);
    });
  }

  /** @param {string|null} obstacle why this page may not command */
  setObstacle(obstacle) {
    this.#obstacle = obstacle;
    this.#button.title = obstacle ?? '';
    this.#enable();
    if (obstacle === null && !this.#isListed) this.#offer();
  }

  #offer() {
    this.#isListed = true;
    for (const field of this.#fields) field.offer(this.#list);
  }

  #enable() {
    this.#button.disabled = this.#isSending || this.#obstacle !== null;
  }

  async #submit(submit) {
    this.#refusal.textContent = '';
    const args = this.#read();
    if (args === undefined || this.#button.disabled) return;
    this.#isSending = true;
    this.#enable();
    try {
      await submit(this.#telecommand, args);
    } catch (error) {
      this.#refusal.textContent = error.message;
    } finally {
      this.#isSending = false;
      this.#enable();
    }
  }

  /** Arguments by name; undefined if a field refuses its input. */
  #read() {
    const readings = this.#fields.map((field) => [field.argument.name, field.read()]);
    if (readings.some(([, { cause }]) => cause)) return undefined;
    return Object.fromEntries(
      readings.filter(([, reading]) => 'value' in reading).map(([name, { value }]) => [name, value]),
    );
  }
}

function hazard() {
  const text = 'Hazardous: needs a confirmation before it is sent.';
  return element('p', { className: 'telecommand__hazard icon-alert-triangle', textContent: text });
}
