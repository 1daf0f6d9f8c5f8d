import { getTimeline } from './bridge.js';

/** @typedef {import('./bridge.js').Activity} Activity */

const NAMESPACE = 'timeline';
const POLL_MS = 3000;
const HOUR = 3_600_000;
const SHOWN_MS = 24 * HOUR;
const SHORTEST_MS = 1000;
const GROUPS = ['Contacts', 'Schedule', 'Jobs'];
const COLOURS = {
  PLANNED: '#5a8fd8',
  RUNNING: '#d98f2b',
  COMPLETED: '#3f9e57',
  FAILED: '#c9483f',
  INTERRUPTED: '#8a6bbf',
  REMOVED: '#777777',
};

/** Identifiers: the strip draws the plan over time, the list names its activities. */
const PLAN = { namespace: NAMESPACE, key: 'plan' };
export const STRIP = { namespace: NAMESPACE, key: 'strip' };
export const ACTIVITIES = { namespace: NAMESPACE, key: 'activities' };

/**
 * Contacts, scheduled telecommands and jobs as an Open MCT plan, which follows the bridge.
 *
 * @param {object} openmct
 */
export function installTimeline(openmct) {
  openmct.objects.addProvider(NAMESPACE, {
    get: ({ key }) => (key === PLAN.key ? plan() : Promise.resolve(VIEWS[key]?.())),
    // Open MCT observes only what it could save; views' settings last as long as the page.
    create: () => Promise.resolve(true),
    update: () => Promise.resolve(true),
    observe: ({ key }, callback) => (key === PLAN.key ? observed(callback) : () => {}),
  });
}

/** The bridge does not announce activities: poll while a view is open. */
function observed(callback) {
  let timer;
  let ended = false;
  let shown = '';
  const poll = async () => {
    const next = await plan();
    const body = JSON.stringify(next.selectFile.body);
    if (!ended && body !== shown) callback(next);
    shown = body;
    if (!ended) timer = setTimeout(poll, POLL_MS);
  };
  timer = setTimeout(poll, POLL_MS);
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

async function plan() {
  const activities = await recent();
  const groups = GROUPS.map((group) => [
    group,
    activities.filter((one) => one.group === group).map(asActivity),
  ]);
  return described(PLAN, 'plan', 'Plan', {
    selectFile: { body: Object.fromEntries(groups) },
  });
}

/** @returns {Promise<Activity[]>} none while the bridge is gone */
async function recent() {
  try {
    return await getTimeline(Date.now() - SHOWN_MS);
  } catch (error) {
    console.debug('the timeline is requested again', error.message);
    return [];
  }
}

/** @param {Activity} activity */
function asActivity({ id, name, start, end, state, group }) {
  return {
    id,
    name: `${name} ${state}`,
    start,
    end: Math.max(end, start + SHORTEST_MS),
    type: group,
    color: COLOURS[state],
    textColor: '#ffffff',
  };
}

const VIEWS = {
  [STRIP.key]: () =>
    described(STRIP, 'time-strip', 'Contacts, schedule and jobs', { composition: [PLAN] }),
  [ACTIVITIES.key]: () => described(ACTIVITIES, 'timelist', 'Activities', { composition: [PLAN] }),
};

function described(identifier, type, name, rest) {
  const now = Date.now();
  return {
    identifier,
    type,
    name,
    location: 'displays:timeline',
    created: now,
    modified: now,
    persisted: now,
    configuration: {
      clipActivityNames: false,
      sortOrderIndex: 1,
      currentEventsIndex: 1,
      filter: '',
      filterMetadata: '',
      isExpanded: false,
      useIndependentTime: true,
      timeOptions: {
        clock: 'local',
        mode: 'realtime',
        clockOffsets: { start: -HOUR, end: HOUR },
      },
    },
    ...rest,
  };
}
