import { hintOf, readArgument } from './arguments.js';
import { element } from './element.js';
import { offeredValues } from './offered_values.js';

/** @typedef {import('./bridge.js').Argument} Argument */

/** One argument of the form: label, control, hint, and the cause if it is refused. */
export class ArgumentField {
  #control;
  #offers;
  #cause;

  /** @param {Argument} argument */
  constructor(argument) {
    this.argument = argument;
    this.#control = (CONTROLS[argument.type] ?? input)(argument);
    this.#offers = argument.listed_by ? offeredValues(argument, this.#control) : undefined;
    this.#cause = element('span', { className: 'telecommand__cause', role: 'alert' });
    this.row = element(
      'div',
      { className: 'telecommand__argument', dataset: { argument: argument.name } },
      element('label', { textContent: argument.name, title: argument.doc }),
      this.#control.node,
      element('span', { className: 'telecommand__hint', textContent: hintOf(argument) }),
      this.#cause,
      ...(this.#offers ? [this.#offers.node] : []),
      element('span', { className: 'telecommand__doc', textContent: argument.doc }),
    );
    this.row.addEventListener('input', () => this.read());
  }

  /**
   * Offer the values that the service lists, if it lists any for this argument.
   *
   * @param {(telecommand: string) => Promise<object>} list sends it and returns its result
   */
  offer(list) {
    this.#offers?.load(() => list(this.argument.listed_by));
  }

  /** @returns {import('./arguments.js').Reading} with its cause shown beside the control */
  read() {
    const reading = readArgument(this.argument, this.#control.entered());
    this.#cause.textContent = reading.cause ?? '';
    this.row.classList.toggle('is-refused', Boolean(reading.cause));
    return reading;
  }
}

const CONTROLS = { choice: select, boolean: select, choices: checkboxes, json: textarea };

function input(argument) {
  const node = element('input', { type: 'text', autocomplete: 'off', ariaLabel: argument.name });
  const enter = (value) => {
    node.value = value;
    node.dispatchEvent(new Event('input', { bubbles: true }));
  };
  return { node, entered: () => node.value, enter };
}

function textarea(argument) {
  const node = element('textarea', { rows: 3, ariaLabel: argument.name });
  return { node, entered: () => node.value };
}

function select({ name, choices, required, default: fallback }) {
  const node = element('select', { ariaLabel: name });
  node.append(element('option', { value: '', textContent: required ? 'choose…' : '(default)' }));
  for (const choice of choices ?? [true, false]) {
    const selected = !required && choice === fallback;
    node.append(element('option', { value: String(choice), textContent: String(choice), selected }));
  }
  return { node, entered: () => node.value };
}

function checkboxes({ name, choices, default: fallback }) {
  const boxes = (choices ?? []).map((choice) =>
    element('input', {
      type: 'checkbox',
      value: String(choice),
      ariaLabel: String(choice),
      checked: (fallback ?? []).includes(choice),
    }),
  );
  const labelled = boxes.map((box) => element('label', {}, box, box.value));
  const node = element('div', { className: 'telecommand__choices', ariaLabel: name }, ...labelled);
  return { node, entered: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}
