import { Authority } from './authority.js';
import { Bridge } from './bridge.js';
import { ObjectTree } from './object_tree.js';
import { Realtime } from './realtime.js';

/** One unit on the page: its part of the bridge, and its objects in namespaces of their own. */
export class Unit {
  /**
   * @param {object} openmct
   * @param {import('./bridge.js').UnitSummary} summary
   * @param {import('./bridge.js').Dictionary} dictionary
   */
  constructor(openmct, { name, base }, dictionary) {
    this.name = name;
    /** The only unit has the namespaces of pages that know one unit. */
    this.isOnly = base === '';
    const suffix = this.isOnly ? '' : `.${name}`;
    this.namespace = `flightsw${suffix}`;
    this.displays = `displays${suffix}`;
    this.timeline = `timeline${suffix}`;
    this.telecommands = dictionary.telecommands;
    this.bridge = new Bridge(base);
    this.realtime = new Realtime(this.bridge);
    this.authority = new Authority(openmct, this.bridge, this.realtime);
    this.tree = new ObjectTree(this, dictionary);
  }

  /** A text about this unit; with its name if there are several. */
  said(text) {
    return this.isOnly ? text : `${this.name}: ${text}`;
  }
}
