/**
 * @typedef {import('./bridge.js').Alarm} Alarm
 * @typedef {import('./unit.js').Unit} Unit
 */

const AGAIN_MS = 1000;
const SHELF_CHECK_MS = 10_000;
const NS_PER_MS = 1e6;
const MINUTE = 60_000;
const IN = '/';
const SHELVE_DURATIONS = [
  { name: '5 minutes', value: 5 * MINUTE },
  { name: '15 minutes', value: 15 * MINUTE },
  { name: '1 hour', value: 60 * MINUTE },
  { name: '8 hours', value: 480 * MINUTE },
  { name: 'Until it is unshelved', value: null },
];

const LIST = { namespace: 'faults.taxonomy', key: 'faultManagement.view' };

/** Path of the list of alarms. */
export const ALARM_LIST = `/browse/${LIST.namespace}:${LIST.key}`;

/**
 * Open MCT's fault management under its usual name in a control room, with the bridge's alarms.
 *
 * @param {object} openmct
 * @param {Unit[]} units
 */
export function installAlarms(openmct, units) {
  openmct.install(openmct.plugins.FaultManagement());
  openmct.faults.addProvider(new AlarmProvider(openmct, units));
  openmct.objects.addGetInterceptor({
    appliesTo: ({ namespace }) => namespace === LIST.namespace,
    invoke: (_, found) => found && { ...found, name: 'Alarms' },
  });
}

/** Open MCT's fault provider: the alarms that the bridge keeps, of all units. */
class AlarmProvider {
  #openmct;
  #units;

  /**
   * @param {object} openmct
   * @param {Unit[]} units
   */
  constructor(openmct, units) {
    this.#openmct = openmct;
    this.#units = units;
  }

  supportsRequest({ type }) {
    return type === 'faultManagement';
  }

  supportsSubscribe({ type }) {
    return type === 'faultManagement';
  }

  async request() {
    const faults = await Promise.all(this.#units.map((unit) => this.#faultsOf(unit)));
    return faults.flat();
  }

  subscribe(_, callback) {
    return whenAlarmsChange(this.#units, () => callback({ type: 'global-alarm-status' }));
  }

  acknowledgeFault({ id }, { comment = '' } = {}) {
    return this.#change(id, { action: 'acknowledge', comment });
  }

  shelveFault({ id }, { shelved = true, comment = '', shelveDuration = null }) {
    if (!shelved) return this.#change(id, { action: 'unshelve' });
    const seconds = shelveDuration === null ? null : shelveDuration / 1000;
    return this.#change(id, { action: 'shelve', seconds, comment });
  }

  getShelveDurations() {
    return SHELVE_DURATIONS;
  }

  async #faultsOf(unit) {
    try {
      return (await unit.bridge.getAlarms()).map((alarm) => {
        const id = `${unit.namespace}${IN}${alarm.id}`;
        return { type: id, fault: asFault(unit, id, alarm) };
      });
    } catch (error) {
      this.#openmct.notifications.error(unit.said(error.message));
      return [];
    }
  }

  async #change(id, change) {
    const unit = this.#units.find(({ namespace }) => id.startsWith(namespace + IN));
    const alarm = id.slice(unit.namespace.length + IN.length);
    try {
      await unit.bridge.changeAlarm({ alarm, ...change });
      return { success: true };
    } catch (error) {
      this.#openmct.notifications.error(error.message);
      return { success: false };
    }
  }
}

/**
 * Call now, when the bridge reports a change, and when an alarm may come from its shelf; values of
 * active alarms change with each packet, so at most once a second.
 *
 * @param {Unit[]} units
 * @param {() => void} listener
 * @returns {() => void} unsubscribes
 */
export function whenAlarmsChange(units, listener) {
  let timer;
  let isPending = false;
  const rest = () => {
    timer = isPending ? setTimeout(rest, AGAIN_MS) : undefined;
    if (isPending) listener();
    isPending = false;
  };
  const changed = () => {
    isPending = true;
    if (timer === undefined) rest();
  };
  const unsubscribes = units.flatMap(({ realtime }) => [
    realtime.on('alarms', changed),
    realtime.on('connection', (connected) => connected && changed()),
  ]);
  const check = setInterval(changed, SHELF_CHECK_MS);
  changed();
  return () => {
    clearInterval(check);
    clearTimeout(timer);
    for (const unsubscribe of unsubscribes) unsubscribe();
  };
}

/** @param {Alarm} alarm */
export function isShelved({ shelved }) {
  return shelved !== null && (shelved.until === null || shelved.until / NS_PER_MS > Date.now());
}

/**
 * @param {Unit} unit
 * @param {string} id
 * @param {Alarm} alarm
 */
function asFault(unit, id, alarm) {
  const { name, doc, unit: measured, severity, side, count, raised_at, value, now, beyond } = alarm;
  const isEvent = alarm.id.startsWith('evt.');
  const times = count > 1 ? ` (${count} times)` : '';
  return {
    id,
    name: unit.said(measured ? `${name}, ${measured}` : name) + times,
    namespace: isEvent ? value : doc || 'Housekeeping',
    severity,
    seqNum: count,
    shortDescription: [doc, ...dispositions(alarm)].filter(Boolean).join('. '),
    triggerTime: new Date(raised_at / NS_PER_MS).toISOString(),
    triggerValueInfo: {
      value: isEvent ? '' : value,
      rangeCondition: side,
      monitoringResult: isEvent ? 'IN_LIMITS' : severity,
    },
    currentValueInfo: {
      value: now,
      rangeCondition: side,
      monitoringResult: beyond ?? 'IN_LIMITS',
    },
    acknowledged: alarm.acknowledged !== null,
    shelved: isShelved(alarm),
  };
}

/** Who acknowledged and shelved it, as sentences. */
function dispositions({ acknowledged, shelved }) {
  const said = ({ by, at, comment }) =>
    `by ${by} at ${new Date(at / NS_PER_MS).toISOString()}${comment && `: ${comment}`}`;
  return [
    acknowledged && `Acknowledged ${said(acknowledged)}`,
    shelved && `Shelved ${said(shelved)}`,
  ];
}
