/** Composition of the page: requests the dictionary from the bridge, and sets up Open MCT. */

import { AlarmIndicator } from './alarm_indicator.js';
import { installAlarms } from './alarms.js';
import { Bridge, getUnits } from './bridge.js';
import { commandingViewProvider } from './commanding_view.js';
import { FIRST_DISPLAY, installDisplays } from './displays.js';
import { ImageryProvider } from './imagery.js';
import { LimitProvider } from './limits.js';
import { LinkIndicator } from './link_indicator.js';
import { installLog } from './log.js';
import { numberFormat } from './number_format.js';
import { installTypes } from './object_tree.js';
import { StalenessProvider } from './staleness.js';
import { TelemetryProvider } from './telemetry_provider.js';
import { installTheme } from './theme.js';
import { tileMapViewProvider } from './tile_map_view.js';
import { conductor, tickEachSecond } from './time_settings.js';
import { installTimeline } from './timeline.js';
import { takeToken, watchToken } from './token.js';
import { Unit } from './unit.js';
import { UNITS, installUnits } from './units_view.js';

const RETRY_MS = 1000;
const IS_PHONE = window.matchMedia('(max-width: 600px)');

/**
 * @param {import('./bridge.js').UnitSummary[]} summaries
 * @param {import('./bridge.js').Dictionary[]} dictionaries of the same units
 */
function start(summaries, dictionaries) {
  const { openmct } = window;
  const { plugins } = openmct;
  openmct.setAssetPath('/openmct');
  const installed = [
    plugins.LocalStorage(),
    plugins.MyItems(),
    plugins.UTCTimeSystem(),
    plugins.DisplayLayout({ showAsView: [] }),
    plugins.LADTable(),
    plugins.Timeline(),
    plugins.PlanLayout(),
    plugins.Timelist(),
    plugins.Notebook('Log'),
    plugins.SummaryWidget(),
    plugins.Clock({ enableClockIndicator: true }),
  ];
  for (const plugin of installed) openmct.install(plugin);
  tickEachSecond(openmct.time);
  openmct.install(plugins.Conductor(conductor(Date.now())));

  openmct.telemetry.addFormat(numberFormat);
  installTypes(openmct);
  const units = summaries.map((summary, index) => new Unit(openmct, summary, dictionaries[index]));
  const isOnly = units.length === 1 && units[0].isOnly;
  if (!isOnly) installUnits(openmct, units);
  for (const unit of units) installUnit(openmct, unit);
  installAlarms(openmct, units);
  installLog(openmct, units[0]);
  new LinkIndicator(openmct, units);
  new AlarmIndicator(openmct, units);
  installTheme(openmct);

  if (!window.location.hash) window.location.hash = `#${isOnly ? FIRST_DISPLAY : UNITS}`;
  if (IS_PHONE.matches && !window.location.hash.includes('hideTree')) hideTree();
  openmct.start(document.getElementById('app'));
}

/**
 * @param {object} openmct
 * @param {Unit} unit
 */
function installUnit(openmct, unit) {
  const { bridge, realtime, tree } = unit;
  openmct.telemetry.addProvider(new TelemetryProvider(bridge, realtime, tree.pointOf));
  openmct.telemetry.addProvider(new LimitProvider(tree.pointOf));
  openmct.telemetry.addProvider(new StalenessProvider(bridge, realtime, tree.pointOf));
  openmct.telemetry.addProvider(new ImageryProvider(unit));
  openmct.objectViews.addProvider(tileMapViewProvider(unit));
  openmct.objectViews.addProvider(commandingViewProvider(openmct, unit));
  installTimeline(openmct, unit);
  installDisplays(openmct, unit);
  tree.install(openmct);
  realtime.on('points', (count) => count !== tree.points.length && refresh(unit));
  realtime.on('limits', () => refresh(unit));
}

/** On a phone the tree covers the page, so that it opens by its button only. */
function hideTree() {
  const mark = window.location.hash.includes('?') ? '&' : '?';
  window.location.hash += `${mark}hideTree=true`;
}

/** Adopt changed limits, and points that the bridge discovered in packets. */
async function refresh({ bridge, tree }) {
  try {
    tree.grow(await bridge.getDictionary());
  } catch (error) {
    const cure = 'reload the page, or wait for the next update';
    console.warn(`New values and limits could not be loaded; ${cure}`, error);
  }
}

/** Retry until the bridge answers, then start the page in place of the boot message. */
async function open() {
  const message = document.querySelector('.boot-message');
  try {
    const units = await getUnits();
    start(units, await Promise.all(units.map(({ base }) => new Bridge(base).getDictionary())));
  } catch (error) {
    message.textContent = error.message;
    if (error.code === 'NO_BRIDGE') setTimeout(open, RETRY_MS);
    else console.error(error);
  }
}

watchToken();
await takeToken(); // before Open MCT reads the address
open();
