const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const AHEAD = 15 * SECOND;

/**
 * Move the plots once a second: Open MCT redraws them ten times, which takes half a processor core.
 *
 * @param {{ getAllClocks: () => { key: string, period?: number }[] }} time of Open MCT
 */
export function tickEachSecond(time) {
  for (const clock of time.getAllClocks()) if (clock.key === 'local') clock.period = SECOND;
}

/** Presets: the time shown before now, in realtime and fixed mode. */
const SPANS = [
  ['1 minute', MINUTE],
  ['5 minutes', 5 * MINUTE],
  ['15 minutes', 15 * MINUTE],
  ['1 hour', HOUR],
  ['6 hours', 6 * HOUR],
  ['1 day', DAY],
  ['7 days', 7 * DAY],
  ['31 days', 31 * DAY],
];

/**
 * Open MCT's time conductor: realtime by default, fixed spans for the archive.
 *
 * @param {number} now
 */
export function conductor(now) {
  const realtime = SPANS.map(([label, span]) => ({ label, bounds: { start: -span, end: AHEAD } }));
  const fixed = SPANS.map(([span, ms]) => ({
    label: `Last ${span}`,
    bounds: { start: () => Date.now() - ms, end: () => Date.now() },
  }));
  return {
    menuOptions: [
      {
        name: 'Realtime',
        timeSystem: 'utc',
        clock: 'local',
        clockOffsets: { start: -15 * MINUTE, end: AHEAD },
        presets: realtime,
      },
      {
        name: 'Fixed',
        timeSystem: 'utc',
        bounds: { start: now - HOUR, end: now },
        presets: fixed,
        records: 10,
      },
    ],
  };
}
