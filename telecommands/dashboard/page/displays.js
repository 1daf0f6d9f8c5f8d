import { timelineViews } from './timeline.js';

/** @typedef {import('./unit.js').Unit} Unit */

/**
 * The default displays of a unit: each is written once to the browser's storage, where the operator
 * may change or remove it.
 *
 * @param {object} openmct
 * @param {Unit} unit
 */
export function installDisplays(openmct, unit) {
  const namespace = unit.displays;
  const space = `flightsw.${namespace}`;
  give(defaults(unit), space);
  openmct.install(openmct.plugins.LocalStorage(namespace, space));
  if (unit.isOnly) openmct.objects.addRoot({ namespace, key: 'root' }, openmct.priority.HIGH);
}

/** Store the displays that this browser was not given yet; those of a new release come last. */
function give(displays, space) {
  const place = `${space}.given`;
  const stored = JSON.parse(window.localStorage.getItem(space) ?? '{}');
  const given = JSON.parse(window.localStorage.getItem(place) ?? 'null') ?? Object.keys(stored);
  const added = Object.entries(displays).filter(([key]) => !given.includes(key));
  for (const [key, display] of added) stored[key] = display;
  const shown = (stored.root.composition ??= []);
  const isShown = ({ key }) => shown.some((one) => one.key === key);
  const isAdded = ({ key }) => added.some(([one]) => one === key);
  shown.push(...displays.root.composition.filter((one) => isAdded(one) && !isShown(one)));
  window.localStorage.setItem(space, JSON.stringify(stored));
  window.localStorage.setItem(place, JSON.stringify(Object.keys(displays)));
}

/** Path of the display that a new page opens. */
export const FIRST_DISPLAY = '/browse/displays:root/displays:overview';

/** @param {Unit} unit */
function defaults(unit) {
  const builder = new DisplayBuilder(unit);
  const displays = [overview, scene, health, downlink, timeline].map((display) => display(builder));
  const location = unit.isOnly ? 'ROOT' : `${unit.namespace}:payload`;
  builder.put('root', 'folder', 'Displays', displays, {}, location);
  return builder.objects;
}

function overview(builder) {
  return builder.layout('overview', 'Overview', [
    [30, builder.latest('overview.state', 'State', [
      'hk.mode', 'link.state', 'hk.engine', 'hk.device', 'hk.device_state', 'hk.active_model',
      'hk.jobs.queued', 'hk.jobs.running', 'hk.products.queued', 'hk.cpu_temperature_c',
      'hk.card_temperature_c', 'hk.card_power_w', 'hk.uptime_s', 'link.dropped',
    ]), builder.received('sci.cloud_fraction.tile_map')],
    [70, builder.plot('overview.cloud', 'Cloud fraction', ['sci.cloud_fraction.contaminated']),
      builder.plot('overview.processor', 'Processor', ['hk.cpu_share']),
      builder.received('evt')],
  ]);
}

function scene(builder) {
  return builder.layout('scene', 'Scene', [
    [50, builder.received('sci.cloud_fraction.tile_map'),
      builder.plot('scene.cloud', 'Cloud fraction', ['sci.cloud_fraction.contaminated'])],
    [50, builder.received('quicklooks'), builder.received('masks'),
      builder.latest('scene.progress', 'Running job', [
        'sci.progress.job', 'sci.progress.scene', 'sci.progress.rows_done', 'sci.progress.rows',
        'sci.progress.elapsed_s',
      ])],
  ]);
}

function health(builder) {
  return builder.layout('health', 'Health', [
    [50, builder.plot('health.temperatures', 'Temperatures', /^hk\..*temperature_c$/),
      builder.stack('health.energy', 'Power and energy', /^hk\..*(power_w|energy_j)$/),
      builder.plot('health.latency', 'Latency per stage, 95th percentile', /stages_ms\..*\.p95$/)],
    [50, builder.stack('health.resources', 'Processor and memory',
      /^hk\.(cpu_share|memory_bytes)$/),
      builder.latest('health.values', 'Health', [
        'hk.mode', 'hk.boots', 'hk.unclean_boots', 'hk.reset_cause', 'hk.device_state',
        'hk.paused_by', 'hk.paused_s',
        'hk.disk_free_bytes', 'hk.packets_dropped', 'hk.events_squelched',
        'hk.telecommands.accepted', 'hk.telecommands.rejected',
      ])],
  ]);
}

function downlink(builder) {
  return builder.layout('downlink', 'Downlink', [
    [50, builder.plot('downlink.queues', 'Queue depths',
      /^hk\.(jobs\.(queued|running)|products\.(queued|held)|scheduled)$/),
      builder.plot('downlink.bytes', 'Queued bytes', ['hk.products.queued_bytes']),
      builder.plot('downlink.dropped', 'Packets dropped', ['link.dropped'])],
    [50, builder.latest('downlink.contact', 'Contact', [
      'hk.contact.open', 'hk.contact.bytes_left', 'hk.contact.seconds_left',
      'hk.products.queued', 'hk.products.held', 'hk.products.delivered',
      'hk.storage_used_bytes', 'hk.storage_quota_bytes',
    ]), builder.received('ver')],
  ]);
}

function timeline(builder) {
  return builder.layout('timeline', 'Timeline', [[100, ...timelineViews(builder.unit)]]);
}

/** Collects Open MCT's objects of the displays; keys not in the dictionary are omitted. */
class DisplayBuilder {
  /** @type {Record<string, object>} */
  objects = {};
  #keys;

  /** @param {Unit} unit */
  constructor(unit) {
    this.unit = unit;
    this.#keys = unit.tree.points.map(({ key }) => key).concat('quicklooks', 'masks');
  }

  /**
   * @param {[number, ...(object|undefined)[]][]} columns width in percent, then the frames
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
    const title = this.unit.said(name);
    return this.put(key, 'flexible-layout', title, composition, { containers, rowsLayout: false });
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

  /** An object of the tree. */
  received(key) {
    return this.#keys.includes(key) ? this.unit.tree.identifierOf(key) : undefined;
  }

  put(key, type, name, composition, configuration, location = `${this.unit.displays}:root`) {
    const identifier = { namespace: this.unit.displays, key };
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
    const { identifierOf } = this.unit.tree;
    if (type.startsWith('telemetry.plot')) {
      configuration.series = keys.map((one) => ({ identifier: identifierOf(one), series: {} }));
    }
    const parent = `${this.unit.displays}:${key.split('.')[0]}`;
    return this.put(key, type, name, keys.map(identifierOf), configuration, parent);
  }
}
