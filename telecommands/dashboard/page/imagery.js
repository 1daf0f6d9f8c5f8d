/** @typedef {import('./bridge.js').Product} Product */

const POLL_MS = 2000;

const SHOWS = {
  quicklooks: ({ kind }) => kind === 'quicklook',
  masks: ({ kind }) => kind !== 'quicklook',
};

/** Received pictures of a unit as Open MCT imagery: oldest first, so that the newest is shown. */
export class ImageryProvider {
  #unit;

  /** @param {import('./unit.js').Unit} unit */
  constructor(unit) {
    this.#unit = unit;
  }

  supportsRequest({ type, identifier }) {
    return type === 'flightsw.imagery' && identifier.namespace === this.#unit.namespace;
  }

  supportsSubscribe(domainObject) {
    return this.supportsRequest(domainObject);
  }

  async request({ identifier }, { start, end, size, strategy }) {
    const images = (await this.#imagesOf(identifier)).filter(
      ({ timestamp }) => timestamp >= start && timestamp <= end,
    );
    return strategy === 'latest' ? images.slice(-(size ?? 1)) : images;
  }

  /** The bridge does not announce products: poll while a view is open. */
  subscribe({ identifier }, callback) {
    let shown;
    let timer;
    let ended = false;
    const poll = async () => {
      try {
        const images = await this.#imagesOf(identifier);
        const fresh = shown ? images.filter(({ product }) => !shown.has(product)) : [];
        shown = new Set(images.map(({ product }) => product));
        if (fresh.length && !ended) callback(fresh);
      } catch (error) {
        console.debug('products are requested again', error.message);
      }
      if (!ended) timer = setTimeout(poll, POLL_MS);
    };
    poll();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }

  async #imagesOf({ key }) {
    const products = await this.#unit.bridge.getProducts();
    return products.filter((one) => one.image && SHOWS[key](one)).reverse().map(asImage);
  }
}

/** @param {Product} product */
function asImage({ product, received, image, name, scene }) {
  return { product, timestamp: received, url: image, name, scene };
}
