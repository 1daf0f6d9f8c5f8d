import { getLogged, putLogged } from './bridge.js';

const NAMESPACE = 'log';
const KEY = 'operator';
const EARLIER = { namespace: 'log.earlier', space: 'flightsw.log' };

/**
 * The operators' log: a notebook that the bridge keeps for all pages.
 *
 * @param {object} openmct
 * @param {import('./unit.js').Unit} unit whose connection reports changes
 */
export function installLog(openmct, unit) {
  openmct.objects.addProvider(NAMESPACE, new LogProvider(openmct, unit));
  openmct.objects.addRoot({ namespace: NAMESPACE, key: KEY });
  installEarlierLog(openmct);
}

/** Open MCT's object provider of the log.  Its notebooks merge entries after a Conflict. */
class LogProvider {
  #openmct;
  #unit;
  /** @type {Map<string, number>} of the objects that this page has */
  #revisions = new Map();
  /** Ends when the last write so far has ended. */
  #written = Promise.resolve();
  #writes = 0;

  constructor(openmct, unit) {
    this.#openmct = openmct;
    this.#unit = unit;
  }

  async get({ key }) {
    const stored = await getLogged(key);
    this.#revisions.set(key, stored?.revision ?? 0);
    return stored?.object ?? (key === KEY ? notebook() : undefined);
  }

  create(object) {
    return this.update(object);
  }

  /** One after the other, so that this page does not conflict with itself. */
  update(object) {
    this.#writes += 1;
    const content = JSON.parse(JSON.stringify(object));
    const written = this.#written.then(() => this.#put(object.identifier.key, content));
    this.#written = written.catch(() => {});
    return written;
  }

  observe({ key }, callback) {
    const { realtime } = this.#unit;
    const unsubscribes = [
      realtime.on('log', (changed) => changed.key === key && this.#refresh(key, callback)),
      realtime.on('connection', (connected) => connected && this.#refresh(key, callback)),
    ];
    return () => unsubscribes.forEach((unsubscribe) => unsubscribe());
  }

  async #put(key, object) {
    const base = this.#unit.bridge.base;
    try {
      const { revision } = await putLogged(key, this.#revisions.get(key) ?? 0, object, base);
      this.#revisions.set(key, revision);
      return true;
    } catch (error) {
      if (error.code === 'CONFLICT') throw new this.#openmct.objects.errors.Conflict(error.message);
      this.#openmct.notifications.error(error.message);
      throw error;
    }
  }

  /**
   * What another page wrote.  If this page writes meanwhile, it keeps its revision: the bridge
   * answers CONFLICT, and the entries are merged.
   */
  async #refresh(key, callback) {
    await this.#written;
    const writes = this.#writes;
    try {
      const stored = await getLogged(key);
      const known = this.#revisions.get(key) ?? 0;
      if (stored === null || stored.revision === known || this.#writes !== writes) return;
      this.#revisions.set(key, stored.revision);
      // Open MCT takes what is newer than its own, and clocks of other machines may differ.
      callback({ ...stored.object, modified: Date.now(), persisted: Date.now() });
    } catch (error) {
      console.debug('the log is requested again with its next change', error.message);
    }
  }
}

/** Earlier releases kept the log in the browser: it stays readable if it has entries. */
function installEarlierLog(openmct) {
  const { namespace, space } = EARLIER;
  const stored = JSON.parse(window.localStorage.getItem(space) ?? '{}')[KEY];
  const pages = Object.values(stored?.configuration?.entries ?? {}).flatMap(Object.values);
  if (!pages.some((entries) => entries.length)) return;
  const identifier = { namespace, key: KEY };
  const log = { ...stored, identifier, name: 'Log from an earlier release (this browser only)' };
  openmct.objects.addProvider(namespace, { get: () => Promise.resolve(log) });
  openmct.objects.addRoot(identifier);
}

function notebook() {
  const now = Date.now();
  const page = { id: 'first', name: 'Log', isDefault: true, isSelected: true, pageTitle: 'Page' };
  const section = { id: 'shift', name: 'Operations', isDefault: true, isSelected: true };
  return {
    identifier: { namespace: NAMESPACE, key: KEY },
    type: 'notebook',
    name: "Operator's log",
    location: 'ROOT',
    created: now,
    modified: now,
    persisted: now,
    configuration: {
      defaultSort: 'newest',
      entries: { shift: { first: [] } }, // Open MCT merges into pages that exist
      imageMigrationVer: 'v1',
      pageTitle: 'Page',
      sections: [{ ...section, pages: [page], sectionTitle: 'Section' }],
      sectionTitle: 'Section',
      type: 'General',
    },
  };
}
