/**
 * The dictionary as Open MCT's object tree.  The unit's namespace `flightsw` holds its points;
 * its namespace `displays` holds what operators may change (displays.js).
 *
 * @typedef {import('./bridge.js').Point} Point
 * @typedef {import('./bridge.js').Dictionary} Dictionary
 */

const TYPES = {
  'flightsw.point': { name: 'Telemetry point', cssClass: 'icon-telemetry' },
  'flightsw.table': { name: 'Telemetry history', cssClass: 'icon-tabular-scrolling' },
  'flightsw.tile_map': { name: 'Tile map', cssClass: 'icon-grid' },
  'flightsw.imagery': { name: 'Imagery', cssClass: 'icon-image' },
  'flightsw.commanding': { name: 'Commanding', cssClass: 'icon-command' },
};

/** @param {object} openmct */
export function installTypes(openmct) {
  for (const [key, type] of Object.entries(TYPES)) openmct.types.addType(key, type);
}

/** All objects of a unit, and the points of those that are telemetry. */
export class ObjectTree {
  /** @type {Map<string, object>} */
  #objects = new Map();
  /** @type {Map<string, Point>} */
  #points = new Map();
  /** @type {Map<string, Set<(child: object) => void>>} of open folders, for new children */
  #listeners = new Map();
  #unit;
  #roots;

  /**
   * @param {import('./unit.js').Unit} unit
   * @param {Dictionary} dictionary
   */
  constructor(unit, dictionary) {
    this.#unit = unit;
    const folders = dictionary.folders.map(({ key, name }) =>
      this.#add(`folder.${key}`, 'folder', name, { composition: [] }),
    );
    this.grow(dictionary);
    const commanding = this.#add('commanding', 'flightsw.commanding', unit.said('Commanding'));
    const products = this.#add('products', 'folder', 'Received products', {
      composition: [
        this.#add('quicklooks', 'flightsw.imagery', 'Quick-looks', imagery()),
        this.#add('masks', 'flightsw.imagery', 'Masks', imagery()),
      ],
    });
    const [before, beside] = unit.isOnly ? [[], [products]] : [[displaysOf(unit), products], []];
    const composition = [commanding, ...before, ...folders];
    const payload = this.#add('payload', 'folder', unit.name, { composition });
    this.#roots = [payload, ...beside];
  }

  /** @param {string} key */
  identifierOf = (key) => ({ namespace: this.#unit.namespace, key });

  /** @param {object} openmct */
  install(openmct) {
    openmct.objects.addProvider(this.#unit.namespace, {
      get: ({ key }) => Promise.resolve(this.#objects.get(key)),
    });
    openmct.composition.addProvider({
      appliesTo: ({ identifier }) => Boolean(this.#folder(identifier)),
      load: ({ identifier }) => Promise.resolve(this.#folder(identifier).composition),
      on: ({ identifier: { key } }, event, listener) => {
        if (event === 'add') this.#listenersOf(key).add(listener);
      },
      off: ({ identifier: { key } }, event, listener) => {
        if (event === 'add') this.#listenersOf(key).delete(listener);
      },
    });
    openmct.objects.addRoot(this.#roots);
  }

  /**
   * @param {{identifier: {namespace: string, key: string}}} domainObject
   * @returns {Point|undefined}
   */
  pointOf = ({ identifier }) =>
    identifier.namespace === this.#unit.namespace ? this.#points.get(identifier.key) : undefined;

  /**
   * Add the new points; open folders show them immediately.  Known points adopt their limits.
   *
   * @param {Dictionary} dictionary
   */
  grow({ folders }) {
    for (const { key, points } of folders) {
      const folder = this.#objects.get(`folder.${key}`);
      for (const { key, limits } of points) {
        if (this.#points.has(key)) this.#points.get(key).limits = limits;
      }
      for (const point of points.filter((one) => !this.#points.has(one.key))) {
        const child = this.#addPoint(point);
        this.#place(child, folder);
        folder.composition = [...folder.composition, child];
        for (const listener of this.#listenersOf(folder.identifier.key)) listener(child);
      }
    }
  }

  /** @returns {Point[]} in the dictionary's order */
  get points() {
    return [...this.#points.values()];
  }

  #folder({ namespace, key }) {
    const found = namespace === this.#unit.namespace ? this.#objects.get(key) : undefined;
    return found?.composition && found;
  }

  #listenersOf(key) {
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    return listeners;
  }

  #addPoint(point) {
    this.#points.set(point.key, point);
    const type = { table: 'flightsw.table', tile_map: 'flightsw.tile_map' }[point.type];
    const telemetry = point.type === 'tile_map' ? {} : { telemetry: { values: valuesOf(point) } };
    // Open MCT's column `name` would repeat the table's name in each row.
    const configuration = point.type === 'table' ? { hiddenColumns: { name: true } } : {};
    const rest = { notes: point.doc, configuration, ...telemetry };
    return this.#add(point.key, type ?? 'flightsw.point', point.name, rest);
  }

  #add(key, type, name, rest = {}) {
    const identifier = this.identifierOf(key);
    const added = { identifier, type, name, location: 'ROOT', ...rest };
    this.#objects.set(key, added);
    for (const child of rest.composition ?? []) this.#place(child, added);
    return identifier;
  }

  #place(child, folder) {
    const { namespace, key } = folder.identifier;
    const placed = child.namespace === namespace && this.#objects.get(child.key);
    if (placed) placed.location = `${namespace}:${key}`;
  }
}

const TIME = { key: 'utc', source: 'timestamp', name: 'Time', format: 'utc', hints: { domain: 1 } };

/** @param {import('./unit.js').Unit} unit */
function displaysOf({ displays }) {
  return { namespace: displays, key: 'root' };
}

/**
 * Open MCT's description of a point's data.
 *
 * @param {Point} point
 */
function valuesOf(point) {
  if (point.type === 'table') return [TIME, ...point.fields.map(columnOf)];
  const value = { key: 'value', name: point.name, unit: point.unit ?? undefined };
  if (point.type === 'state') {
    const enumerations = point.states.map(({ value, text }) => ({ value, string: text }));
    return [TIME, { ...value, format: 'enum', enumerations, hints: { range: 1 } }];
  }
  if (point.type === 'number') {
    return [TIME, { ...value, format: 'flightsw.number', hints: { range: 1 } }];
  }
  return [TIME, { ...value, format: 'string', hints: {} }];
}

/**
 * A column of a table.  Open MCT fills a column of key `name` with the table's name.
 *
 * @param {import('./bridge.js').Field} field
 */
function columnOf({ key: source, name, type, unit }) {
  const key = source === 'name' ? 'telecommand' : source;
  const format = type === 'time' ? 'utc' : 'string';
  return { key, source, name, unit: unit ?? undefined, format, hints: {} };
}

function imagery() {
  const image = { key: 'url', name: 'Image', format: 'image', hints: { image: 1 } };
  const name = { key: 'name', name: 'File', format: 'string', hints: { imageDownloadName: 1 } };
  const scene = { key: 'scene', name: 'Scene', format: 'string', hints: {} };
  return { telemetry: { values: [TIME, image, name, scene] }, configuration: {} };
}
