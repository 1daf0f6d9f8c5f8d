/** Composition of the page: requests the dictionary from the bridge, and sets up Open MCT. */

import { AlarmIndicator } from './alarm_indicator.js';
import { installAlarms } from './alarms.js';
import { Authority } from './authority.js';
import { getDictionary, getStatus } from './bridge.js';
import { commandingViewProvider } from './commanding_view.js';
import { FIRST_DISPLAY, installDisplays } from './displays.js';
import { ImageryProvider } from './imagery.js';
import { LimitProvider } from './limits.js';
import { LinkIndicator } from './link_indicator.js';
import { installLog } from './log.js';
import { numberFormat } from './number_format.js';
import { ObjectTree } from './object_tree.js';
import { Realtime } from './realtime.js';
import { StalenessProvider } from './staleness.js';
import { TelemetryProvider } from './telemetry_provider.js';
import { installTheme } from './theme.js';
import { tileMapViewProvider } from './tile_map_view.js';
import { conductor } from './time_settings.js';
import { installTimeline } from './timeline.js';
import { takeToken } from './token.js';

const RETRY_MS = 1000;
const IS_PHONE = window.matchMedia('(max-width: 600px)');

/** @param {import('./bridge.js').Dictionary} dictionary */
function start(dictionary, { mission }) {
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
  openmct.install(plugins.Conductor(conductor(Date.now())));

  const realtime = new Realtime(`ws://${window.location.host}/api/realtime`);
  const authority = new Authority(openmct, realtime);
  const tree = new ObjectTree(dictionary, mission);
  openmct.telemetry.addFormat(numberFormat);
  openmct.telemetry.addProvider(new TelemetryProvider(realtime, tree.pointOf));
  openmct.telemetry.addProvider(new LimitProvider(tree.pointOf));
  openmct.telemetry.addProvider(new StalenessProvider(realtime, tree.pointOf));
  openmct.telemetry.addProvider(new ImageryProvider());
  openmct.objectViews.addProvider(tileMapViewProvider(realtime));
  openmct.objectViews.addProvider(
    commandingViewProvider(openmct, dictionary.telecommands, realtime, authority),
  );
  installAlarms(openmct, realtime);
  installTimeline(openmct);
  installDisplays(openmct, tree.points);
  installLog(openmct);
  tree.install(openmct);
  realtime.on('points', (count) => count !== tree.points.length && addNewPoints(tree));
  new LinkIndicator(openmct, realtime);
  new AlarmIndicator(openmct, realtime);
  installTheme(openmct);

  if (!window.location.hash) window.location.hash = `#${FIRST_DISPLAY}`;
  if (IS_PHONE.matches && !window.location.hash.includes('hideTree')) hideTree();
  openmct.start(document.getElementById('app'));
}

/** On a phone the tree covers the page, so that it opens by its button only. */
function hideTree() {
  const mark = window.location.hash.includes('?') ? '&' : '?';
  window.location.hash += `${mark}hideTree=true`;
}

/** Add points that the bridge discovered in packets under names not in the dictionary. */
async function addNewPoints(tree) {
  try {
    tree.grow(await getDictionary());
  } catch (error) {
    console.warn('New points are shown with the next ones, or after a reload', error);
  }
}

/** Retry until the bridge answers, then start the page in place of the boot message. */
async function open() {
  const message = document.querySelector('.boot-message');
  try {
    const [dictionary, status] = await Promise.all([getDictionary(), getStatus()]);
    start(dictionary, status);
  } catch (error) {
    message.textContent = error.message;
    if (error.code === 'NO_BRIDGE') setTimeout(open, RETRY_MS);
    else console.error(error);
  }
}

await takeToken(); // before Open MCT reads the address
open();
