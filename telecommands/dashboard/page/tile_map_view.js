import { element } from './element.js';

const SCENES_LISTED = 50;

/**
 * The scene page: cloud fractions by tile, of the newest or a selected scene of the unit.
 *
 * @param {import('./unit.js').Unit} unit
 */
export function tileMapViewProvider(unit) {
  return {
    key: `${unit.namespace}.tile_map`,
    name: 'Tile map',
    cssClass: 'icon-grid',
    canView: ({ type, identifier }) =>
      type === 'flightsw.tile_map' && identifier.namespace === unit.namespace,
    view: ({ identifier }) => new TileMapView(identifier.key, unit),
    priority: () => 1000,
  };
}

class TileMapView {
  #key;
  #bridge;
  #realtime;
  #unsubscribe;
  #choice;
  #grid;
  #facts;
  #follows = true;

  /**
   * @param {string} key of the point whose values name the scenes' jobs
   * @param {import('./unit.js').Unit} unit
   */
  constructor(key, { bridge, realtime }) {
    this.#key = key;
    this.#bridge = bridge;
    this.#realtime = realtime;
  }

  async show(container) {
    this.#choice = element('select', { ariaLabel: 'Scene', hidden: true });
    this.#choice.onchange = () => {
      this.#follows = this.#choice.selectedIndex === 0;
      this.#draw(this.#choice.value);
    };
    this.#grid = element('div', { className: 'tile-map__grid', role: 'img' });
    this.#facts = element('p', { className: 'tile-map__facts', textContent: 'No scene yet.' });
    const head = element('div', { className: 'tile-map__head' }, this.#choice, this.#facts);
    container.append(element('div', { className: 'tile-map' }, head, this.#grid, legend()));
    this.#unsubscribe = this.#realtime.subscribe(this.#key, (data) => this.#add(data));
    try {
      this.#add(await this.#bridge.getHistory(this.#key, { strategy: 'latest', size: SCENES_LISTED }));
    } catch (error) {
      this.#facts.textContent = error.message;
    }
  }

  destroy() {
    this.#unsubscribe?.();
  }

  #add(data) {
    for (const { value: job, timestamp } of data) {
      if (!job || [...this.#choice.options].some((option) => option.value === job)) continue;
      const text = `${new Date(timestamp).toISOString().slice(0, 19)}Z  ${job}`;
      this.#choice.prepend(element('option', { value: job, textContent: text }));
      while (this.#choice.options.length > SCENES_LISTED) this.#choice.lastChild.remove();
    }
    this.#choice.hidden = !this.#choice.options.length;
    if (this.#follows && this.#choice.options.length) {
      this.#choice.selectedIndex = 0;
      this.#draw(this.#choice.value);
    }
  }

  async #draw(job) {
    try {
      const map = await this.#bridge.getTileMap(job);
      if (job !== this.#choice.value) return;
      this.#grid.style.setProperty('--columns', String(map.columns));
      this.#grid.style.setProperty('--rows', String(map.rows));
      this.#grid.replaceChildren(...map.fractions.flat().map(cell));
      this.#grid.dataset.job = job;
      this.#facts.textContent = factsOf(map);
      this.#grid.ariaLabel = this.#facts.textContent;
    } catch (error) {
      this.#facts.textContent = error.message;
    }
  }
}

/** @param {number|null} fraction */
function cell(fraction) {
  const node = element('span', { className: 'tile-map__cell' });
  node.title = fraction === null ? 'no data' : `${Math.round(100 * fraction)} % contaminated`;
  if (fraction !== null) node.style.backgroundColor = colourOf(fraction);
  return node;
}

/** From brown (clear) to white (contaminated), as in the masks. */
function colourOf(fraction) {
  return `color-mix(in srgb, #ffffff ${100 * fraction}%, #8b4000)`;
}

function factsOf({ scene, rows, columns, fractions }) {
  const valid = fractions.flat().filter((one) => one !== null);
  const mean = valid.reduce((sum, one) => sum + one, 0) / (valid.length || 1);
  return `${scene}: ${rows} × ${columns} tiles, mean ${(100 * mean).toFixed(1)} %`;
}

function legend() {
  return element(
    'p',
    { className: 'tile-map__legend' },
    'clear',
    element('span', { className: 'tile-map__scale' }),
    'contaminated',
    element('span', { className: 'tile-map__cell' }),
    'no data',
  );
}
