/** @typedef {import('./bridge.js').Activity} Activity */

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

const PLAN = 'plan';

/**
 * Identifiers in the unit's namespace: the strip draws the plan over time, the list names its
 * activities.
 *
 * @param {import('./unit.js').Unit} unit
 */
export function timelineViews(unit) {
  return ['strip', 'activities'].map((key) => ({ namespace: unit.timeline, key }));
}

/**
 * Contacts, scheduled telecommands and jobs as an Open MCT plan, which follows the bridge.
 *
 * @param {object} openmct
 * @param {import('./unit.js').Unit} unit
 */
export function installTimeline(openmct, unit) {
  openmct.objects.addProvider(unit.timeline, {
    get: async ({ key }) => (key === PLAN ? plan(unit) : VIEWS[key]?.(unit)),
    // Open MCT observes only what it could save; views' settings last as long as the page.
    create: () => Promise.resolve(true),
    update: () => Promise.resolve(true),
    observe: ({ key }, callback) => (key === PLAN ? observed(unit, callback) : () => {}),
  });
}

/** The bridge does not announce activities: poll while a view is open. */
function observed(unit, callback) {
  let timer;
  let ended = false;
  let shown = '';
  const poll = async () => {
    const next = await plan(unit);
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

async function plan(unit) {
  const activities = await recent(unit.bridge);
  const groups = GROUPS.map((group) => [
    group,
    activities.filter((one) => one.group === group).map(asActivity),
  ]);
  return described(unit, PLAN, 'plan', 'Plan', {
    selectFile: { body: Object.fromEntries(groups) },
  });
}

/** @returns {Promise<Activity[]>} none while the bridge is gone */
async function recent(bridge) {
  try {
    return await bridge.getTimeline(Date.now() - SHOWN_MS);
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
  strip: (unit) => drawn(unit, 'strip', 'time-strip', 'Contacts, schedule and jobs'),
  activities: (unit) => drawn(unit, 'activities', 'timelist', 'Activities'),
};

function drawn(unit, key, type, name) {
  const plan = { namespace: unit.timeline, key: PLAN };
  return described(unit, key, type, name, { composition: [plan] });
}

function described(unit, key, type, name, rest) {
  const now = Date.now();
  return {
    identifier: { namespace: unit.timeline, key },
    type,
    name,
    location: `${unit.displays}:timeline`,
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
