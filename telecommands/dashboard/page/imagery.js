import { getProducts } from './bridge.js';
import { NAMESPACE } from './object_tree.js';

/** @typedef {import('./bridge.js').Product} Product */

const POLL_MS = 2000;

const SHOWS = {
  quicklooks: ({ kind }) => kind === 'quicklook',
  masks: ({ kind }) => kind !== 'quicklook',
};

/** Received pictures as Open MCT imagery: oldest first, so that the newest is shown. */
export class ImageryProvider {
  supportsRequest({ type }) {
    return type === 'flightsw.imagery';
  }

  supportsSubscribe({ type }) {
    return type === 'flightsw.imagery';
  }

  async request({ identifier }, { start, end, size, strategy }) {
    const images = (await imagesOf(identifier)).filter(
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
        const images = await imagesOf(identifier);
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
}

async function imagesOf({ namespace, key }) {
  if (namespace !== NAMESPACE) return [];
  const products = (await getProducts()).filter((one) => one.image && SHOWS[key](one));
  return products.reverse().map(asImage);
}

/** @param {Product} product */
function asImage({ product, received, image, name, scene }) {
  return { product, timestamp: received, url: image, name, scene };
}
