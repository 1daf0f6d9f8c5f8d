import { ALARM_LIST, isShelved, whenAlarmsChange } from './alarms.js';
import { addIndicator } from './indicator.js';

const STATUS = { CRITICAL: 's-status-error', WARNING: 's-status-warning-hi' };

/** Shows in the status bar how many alarms wait for an operator; a click opens their list. */
export class AlarmIndicator {
  #indicator;
  #units;

  /**
   * @param {object} openmct
   * @param {import('./unit.js').Unit[]} units
   */
  constructor(openmct, units) {
    this.#units = units;
    this.#indicator = addIndicator(openmct, 'flightsw.alarms');
    this.#indicator.iconClass('icon-bell');
    this.#indicator.on('click', () => openmct.router.navigate(ALARM_LIST));
    this.#show([]);
    whenAlarmsChange(units, () => this.#ask());
  }

  async #ask() {
    const asked = this.#units.map(({ bridge }) => bridge.getAlarms());
    const answers = await Promise.allSettled(asked);
    if (answers.some(({ status }) => status === 'fulfilled')) {
      this.#show(answers.flatMap(({ value }) => value ?? []));
    }
  }

  #show(alarms) {
    const waiting = alarms.filter((one) => !isShelved(one) && one.acknowledged === null);
    const worst = ['CRITICAL', 'WARNING'].find((severity) =>
      waiting.some((one) => one.severity === severity),
    );
    this.#indicator.text(`Alarms ${waiting.length}`);
    this.#indicator.description('Alarms that no operator has acknowledged or shelved');
    this.#indicator.statusClass(
      STATUS[worst] ?? (waiting.length ? 's-status-warning-lo' : 's-status-on'),
    );
  }
}
