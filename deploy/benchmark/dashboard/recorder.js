/**
 * What the page itself can tell: put into it before it starts, as `recorder`.
 *
 * Times are milliseconds; `at` is UTC, all else counts from the navigation.
 */
window.recorder = (() => {
  const MOST_FRAMES = 200_000;
  const WATCH_MS = 30_000;
  const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

  const frames = new Float32Array(MOST_FRAMES);
  const longTasks = [];
  const clicks = [];
  const received = new Map();
  let count = 0;
  let recording = false;
  let watch;

  /** Gaps between animation frames; none across a pause. */
  async function recordFrames() {
    let before;
    for (;;) {
      const now = await nextFrame();
      if (recording && before !== undefined && count < MOST_FRAMES) frames[count++] = now - before;
      before = recording ? now : undefined;
    }
  }

  /** From the input to the moment after the next frame was drawn. */
  function recordClick({ timeStamp }) {
    if (!recording) return;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      clicks.push(performance.now() - timeStamp);
      port1.close();
    };
    requestAnimationFrame(() => port2.postMessage(0));
  }

  /** By the way every view gets its data: how many, the first and last number, what is wrong. */
  async function receive(key) {
    const { openmct } = window;
    const told = { count: 0, first: null, last: null, missing: 0, repeated: 0, gaps: 0 };
    received.set(key, told);
    const point = await openmct.objects.get({ namespace: 'flightsw', key });
    openmct.telemetry.subscribe(point, (data) => data.forEach((datum) => take(told, datum)), {
      strategy: openmct.telemetry.SUBSCRIBE_STRATEGY.BATCH,
    });
  }

  function take(told, { seq, gap }) {
    if (gap) {
      told.gaps += gap;
      return;
    }
    told.count += 1;
    told.first ??= seq;
    if (told.last !== null && seq <= told.last) told.repeated += 1;
    else if (told.last !== null) told.missing += seq - told.last - 1;
    told.last = seq;
  }

  /** The number that stands beside a name in a table of latest values. */
  function shown(name) {
    for (const row of document.querySelectorAll('.js-lad-table__body__row')) {
      if (row.querySelector('.js-first-data')?.textContent.trim() === name) {
        return Number(row.querySelector('.js-third-data').textContent);
      }
    }
    return NaN;
  }

  async function untilShown(name, least) {
    const deadline = performance.now() + WATCH_MS;
    while (performance.now() < deadline) {
      await nextFrame();
      if (shown(name) >= least) return { now: performance.now(), at: Date.now() };
    }
    return null;
  }

  recordFrames();
  addEventListener('click', recordClick, { capture: true });
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) if (recording) longTasks.push(duration);
  }).observe({ type: 'longtask' });

  return {
    shown,
    /** Begins to look for a value of at least so much; `watched` tells when it was there, or null. */
    watch: (name, least) => {
      watch = untilShown(name, least);
    },
    watched: () => watch,
    receive: (keys) => Promise.all(keys.map(receive)),
    received: () => Object.fromEntries(received),
    record: (on) => {
      recording = on;
    },
    recorded: () => ({ frames: [...frames.subarray(0, count)], longTasks, clicks }),
    firstPaint: () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
  };
})();
