/**
 * The dictionary as Open MCT's object tree.  Namespace `flightsw` holds the spacecraft's points;
 * namespace `displays` holds what operators may change (displays.js).
 *
 * @typedef {import('./bridge.js').Point} Point
 * @typedef {import('./bridge.js').Dictionary} Dictionary
 */

export const NAMESPACE = 'flightsw';

/** @param {string} key */
export const identifierOf = (key) => ({ namespace: NAMESPACE, key });

const TYPES = {
  'flightsw.point': { name: 'Telemetry point', cssClass: 'icon-telemetry' },
  'flightsw.table': { name: 'Telemetry history', cssClass: 'icon-tabular-scrolling' },
  'flightsw.tile_map': { name: 'Tile map', cssClass: 'icon-grid' },
  'flightsw.imagery': { name: 'Imagery', cssClass: 'icon-image' },
  'flightsw.commanding': { name: 'Commanding', cssClass: 'icon-command' },
};

/** All objects of the spacecraft, and the points of those that are telemetry. */
export class ObjectTree {
  /** @type {Map<string, object>} */
  #objects = new Map();
  /** @type {Map<string, Point>} */
  #points = new Map();
  /** @type {Map<string, Set<(child: object) => void>>} of open folders, for new children */
  #listeners = new Map();

  /**
   * @param {Dictionary} dictionary
   * @param {string} mission
   */
  constructor(dictionary, mission) {
    const folders = dictionary.folders.map(({ key, name }) =>
      this.#add(`folder.${key}`, 'folder', name, { composition: [] }),
    );
    this.grow(dictionary);
    const payload = [this.#add('commanding', 'flightsw.commanding', 'Commanding'), ...folders];
    this.#add('payload', 'folder', mission, { composition: payload });
    this.#add('products', 'folder', 'Received products', {
      composition: [
        this.#add('quicklooks', 'flightsw.imagery', 'Quick-looks', imagery()),
        this.#add('masks', 'flightsw.imagery', 'Masks', imagery()),
      ],
    });
  }

  /** @param {object} openmct */
  install(openmct) {
    for (const [key, type] of Object.entries(TYPES)) openmct.types.addType(key, type);
    openmct.objects.addProvider(NAMESPACE, {
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
    openmct.objects.addRoot(['payload', 'products'].map(identifierOf));
  }

  /**
   * @param {{identifier: {namespace: string, key: string}}} domainObject
   * @returns {Point|undefined}
   */
  pointOf = ({ identifier }) =>
    identifier.namespace === NAMESPACE ? this.#points.get(identifier.key) : undefined;

  /**
   * Add the new points; open folders show them immediately.
   *
   * @param {Dictionary} dictionary
   */
  grow({ folders }) {
    for (const { key, points } of folders) {
      const folder = this.#objects.get(`folder.${key}`);
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
    const found = namespace === NAMESPACE ? this.#objects.get(key) : undefined;
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
    const identifier = identifierOf(key);
    const added = { identifier, type, name, location: 'ROOT', ...rest };
    this.#objects.set(key, added);
    for (const child of rest.composition ?? []) this.#place(child, added);
    return identifier;
  }

  #place(child, folder) {
    this.#objects.get(child.key).location = `${NAMESPACE}:${folder.identifier.key}`;
  }
}

const TIME = { key: 'utc', source: 'timestamp', name: 'Time', format: 'utc', hints: { domain: 1 } };

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
