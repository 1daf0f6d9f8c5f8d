import { identifierOf } from './object_tree.js';

/** @typedef {import('./bridge.js').Point} Point */

const NAMESPACE = 'displays';
const SPACE = 'flightsw.displays';

/**
 * The ready-made displays: written once into the browser's storage, the operator's from then on.
 *
 * @param {object} openmct
 * @param {Point[]} points of the dictionary
 */
export function installDisplays(openmct, points) {
  if (window.localStorage.getItem(SPACE) === null) {
    window.localStorage.setItem(SPACE, JSON.stringify(readyMade(points)));
  }
  openmct.install(openmct.plugins.LocalStorage(NAMESPACE, SPACE));
  openmct.objects.addRoot({ namespace: NAMESPACE, key: 'root' }, openmct.priority.HIGH);
}

/** Path of the display that a fresh page opens. */
export const FIRST_DISPLAY = `/browse/${NAMESPACE}:root/${NAMESPACE}:overview`;

/** @param {Point[]} points */
function readyMade(points) {
  const shelf = new Shelf(points);
  const displays = [overview, scene, health, downlink].map((display) => display(shelf));
  shelf.put('root', 'folder', 'Displays', displays, {}, 'ROOT');
  return shelf.objects;
}

function overview(shelf) {
  return shelf.layout('overview', 'Overview', [
    [30, shelf.latest('overview.state', 'State', [
      'hk.mode', 'link.state', 'hk.engine', 'hk.device', 'hk.device_state', 'hk.active_model',
      'hk.jobs.queued', 'hk.jobs.running', 'hk.products.queued', 'hk.cpu_temperature_c',
      'hk.card_temperature_c', 'hk.card_power_w', 'hk.uptime_s', 'link.dropped',
    ]), shelf.received('sci.cloud_fraction.tile_map')],
    [70, shelf.plot('overview.cloud', 'Cloud fraction', ['sci.cloud_fraction.contaminated']),
      shelf.plot('overview.processor', 'Processor', ['hk.cpu_share']),
      shelf.received('evt')],
  ]);
}

function scene(shelf) {
  return shelf.layout('scene', 'Scene', [
    [50, shelf.received('sci.cloud_fraction.tile_map'),
      shelf.plot('scene.cloud', 'Cloud fraction', ['sci.cloud_fraction.contaminated'])],
    [50, shelf.received('quicklooks'), shelf.received('masks'),
      shelf.latest('scene.progress', 'Running job', [
        'sci.progress.job', 'sci.progress.scene', 'sci.progress.rows_done', 'sci.progress.rows',
        'sci.progress.elapsed_s',
      ])],
  ]);
}

function health(shelf) {
  return shelf.layout('health', 'Health', [
    [50, shelf.plot('health.temperatures', 'Temperatures', /^hk\..*temperature_c$/),
      shelf.stack('health.energy', 'Power and energy', /^hk\..*(power_w|energy_j)$/),
      shelf.plot('health.latency', 'Latency per stage, 95 %', /stages_ms\..*\.p95$/)],
    [50, shelf.stack('health.resources', 'Processor and memory',
      /^hk\.(cpu_share|memory_bytes)$/),
      shelf.latest('health.values', 'Health', [
        'hk.mode', 'hk.boots', 'hk.unclean_boots', 'hk.reset_cause', 'hk.device_state',
        'hk.disk_free_bytes', 'hk.packets_dropped', 'hk.events_squelched',
        'hk.telecommands.accepted', 'hk.telecommands.rejected',
      ])],
  ]);
}

function downlink(shelf) {
  return shelf.layout('downlink', 'Downlink', [
    [50, shelf.plot('downlink.queues', 'Queue depths',
      /^hk\.(jobs\.(queued|running)|products\.(queued|held)|scheduled)$/),
      shelf.plot('downlink.bytes', 'Bytes that wait', ['hk.products.queued_bytes']),
      shelf.plot('downlink.dropped', 'Packets dropped', ['link.dropped'])],
    [50, shelf.latest('downlink.contact', 'Contact', [
      'hk.contact.open', 'hk.contact.bytes_left', 'hk.contact.seconds_left',
      'hk.products.queued', 'hk.products.held', 'hk.products.delivered',
      'hk.storage_used_bytes', 'hk.storage_quota_bytes',
    ]), shelf.received('ver')],
  ]);
}

/** Collects Open MCT's objects of the displays; what the dictionary does not know is left out. */
class Shelf {
  /** @type {Record<string, object>} */
  objects = {};
  #keys;

  /** @param {Point[]} points */
  constructor(points) {
    this.#keys = points.map(({ key }) => key).concat('quicklooks', 'masks');
  }

  /**
   * @param {[number, ...(object|undefined)[]][]} columns width in percent, then what stands in it
   */
  layout(key, name, columns) {
    const present = columns.map(([size, ...frames]) => [size, frames.filter(Boolean)]);
    const containers = present.map(([size, frames], index) => ({
      id: `${key}.${index}`,
      size,
      frames: frames.map((domainObjectIdentifier, row) => ({
        id: `${key}.${index}.${row}`,
        domainObjectIdentifier,
        size: Math.round(100 / frames.length),
        noFrame: false,
      })),
    }));
    const composition = present.flatMap(([, frames]) => frames);
    return this.put(key, 'flexible-layout', name, composition, { containers, rowsLayout: false });
  }

  /** Latest values with units, limits and staleness. */
  latest(key, name, wanted) {
    const hiddenColumns = { timestamp: true, type: true, WARNING: true, CRITICAL: true };
    return this.#collection(key, 'LadTable', name, wanted, { hiddenColumns });
  }

  /** Values of one unit over time. */
  plot(key, name, wanted) {
    return this.#collection(key, 'telemetry.plot.overlay', name, wanted, { series: [] });
  }

  /** Values of several units over time, one above the other. */
  stack(key, name, wanted) {
    const configuration = { series: [], yAxis: {}, xAxis: {} };
    return this.#collection(key, 'telemetry.plot.stacked', name, wanted, configuration);
  }

  /** An object of the tree as it is. */
  received(key) {
    return this.#keys.includes(key) ? identifierOf(key) : undefined;
  }

  put(key, type, name, composition, configuration, location = `${NAMESPACE}:root`) {
    const identifier = { namespace: NAMESPACE, key };
    const now = Date.now();
    const dates = { created: now, modified: now, persisted: now };
    this.objects[key] = { identifier, type, name, location, composition, configuration, ...dates };
    return identifier;
  }

  /** @param {string[]|RegExp} wanted keys of points */
  #collection(key, type, name, wanted, configuration) {
    const keys =
      wanted instanceof RegExp
        ? this.#keys.filter((one) => wanted.test(one))
        : wanted.filter((one) => this.#keys.includes(one));
    if (!keys.length) return undefined;
    if (type.startsWith('telemetry.plot')) {
      configuration.series = keys.map((one) => ({ identifier: identifierOf(one), series: {} }));
    }
    const parent = `${NAMESPACE}:${key.split('.')[0]}`;
    return this.put(key, type, name, keys.map(identifierOf), configuration, parent);
  }
}
