// Pictures of a sound from the server: the whole one once, then the visible part at each zoom.

import { request, withQuery } from "./api.js";
import { colourMap, coloured } from "./spectrogram-colours.js";

/** @typedef {import("./spectrogram-view.js").Range} Range */
/** @typedef {import("./spectrogram-draw.js").Picture} Picture */

const WAIT_MS = 120;
const HEIGHT = 192;
const OVERVIEW_WIDTH = 1600;

/**
 * @param {() => void} onChange called when there is something new to draw
 * @param {(error: unknown) => void} onError
 */
export function createPictures(onChange, onError) {
  let address = "";
  let seconds = 0;
  let dark = false;
  let whole = /** @type {Loaded | null} */ (null);
  let part = /** @type {Loaded | null} */ (null);
  let timer = 0;
  let stop = new AbortController();

  /** Begin with another sound. @param {string} next address of its picture @param {number} length seconds */
  function open(next, length) {
    address = next;
    seconds = length;
    whole = null;
    part = null;
    void fetchPart({ start: 0, end: seconds }, OVERVIEW_WIDTH, restart(), (found) => {
      whole = found;
    });
  }

  /** Ask for the visible part; the whole picture stands in until it comes. @param {Range} view @param {number} width pixels */
  function show(view, width) {
    clearTimeout(timer);
    if (!address || (view.start <= 0 && view.end >= seconds)) {
      part = null;
      return;
    }
    if (part && part.start === view.start && part.end === view.end) return;
    timer = setTimeout(() => {
      void fetchPart(view, width, stop.signal, (found) => {
        part = found;
      });
    }, WAIT_MS);
  }

  function restart() {
    stop.abort();
    clearTimeout(timer);
    stop = new AbortController();
    return stop.signal;
  }

  /** @param {Range} range @param {number} width @param {AbortSignal} signal @param {(found: Loaded) => void} keep */
  async function fetchPart(range, width, signal, keep) {
    const { start, end } = range;
    const query = { start: start.toFixed(4), end: end.toFixed(4), width: Math.round(width), height: HEIGHT };
    try {
      const grey = await loadImage(withQuery(address, query), signal);
      if (signal.aborted) return;
      keep({ grey, start, end, image: coloured(grey, colourMap(dark)) });
      onChange();
    } catch (error) {
      if (!signal.aborted) onError(error);
    }
  }

  /** @param {boolean} next */
  function setDark(next) {
    dark = next;
    for (const each of [whole, part]) if (each) each.image = coloured(each.grey, colourMap(dark));
  }

  return {
    open,
    show,
    setDark,
    close: () => {
      restart();
      address = "";
      whole = null;
      part = null;
    },
    /** @returns {Picture[]} from coarse to fine */
    list: () => [whole, part].filter((each) => each !== null),
  };
}

/** @typedef {Picture & {grey: ImageBitmap}} Loaded */

/**
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<ImageBitmap>}
 */
export async function loadImage(url, signal) {
  // A data address is no request to the server, and the rules of the page allow it for images only.
  if (url.startsWith("data:")) return imageOfData(url);
  const answer = await request(url, { signal });
  return createImageBitmap(await answer.blob());
}

/** @param {string} url */
async function imageOfData(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return createImageBitmap(image);
}
