// The spectrogram of one sound: a canvas with zoom, cursor, selection, importance and events.

import { classColour, tinted } from "./spectrogram-colours.js";
import { AXIS_HEIGHT, LANE_HEIGHT, OTHER_LANE, drawOverview, drawScene, laneOf, laneTop, timeToX } from "./spectrogram-draw.js";
import { listen } from "./spectrogram-input.js";
import { createPictures } from "./spectrogram-pictures.js";
import { clamp, inside, showing, timeText, zoomed } from "./spectrogram-view.js";

/** @typedef {import("./spectrogram-view.js").Range} Range */
/** @typedef {import("./spectrogram-draw.js").SoundEvent} SoundEvent */
/** @typedef {import("./spectrogram-draw.js").Scene} Scene */

/**
 * @typedef {object} Handlers what the page does when the person acts on the canvas
 * @property {(time: number) => void} onSeek
 * @property {(range: Range | null) => void} onSelect
 * @property {() => void} onPlay
 * @property {(index: number) => void} onEvent an event was pressed
 * @property {(view: Range) => void} onView
 * @property {(error: unknown) => void} onError
 */

const MOST_LANES = 8;
const PLOT_HEIGHT = 192;
const TOP = 6;
const OVERVIEW_HEIGHT = 36;

/**
 * Make a canvas the spectrogram of a sound; its strip and zoom buttons are put after it.
 * @param {HTMLCanvasElement} canvas focusable, with role slider
 * @param {Handlers} handlers
 */
export function createSpectrogram(canvas, handlers) {
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const pictures = createPictures(draw, handlers.onError);
  const strip = createStrip(canvas);
  const scene = emptyScene(scheme.matches);
  let asked = false;

  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      paint();
    });
  }

  function paint() {
    const box = canvas.getBoundingClientRect();
    if (box.width < 1) return;
    layOut(scene, box.width);
    canvas.style.height = `${scene.height}px`;
    scene.theme = themeOf(canvas);
    scene.pictures = pictures.list();
    fit(canvas, brush, box.width, scene.height);
    if (scene.seconds > 0) drawScene(brush, scene);
    strip.draw(scene);
  }

  /** @param {Range} view */
  function show(view) {
    scene.view = inside(view, scene.seconds);
    pictures.show(scene.view, Math.min(scene.plot.width * devicePixelRatio, 2000));
    handlers.onView(scene.view);
    draw();
  }

  /** @param {number} time */
  function seek(time) {
    setCursor(time);
    handlers.onSeek(time);
  }

  /** Follow the playback, unless the person looks at another part. @param {number} time */
  function follow(time) {
    if (time === scene.cursor) return;
    const seen = scene.cursor >= scene.view.start && scene.cursor <= scene.view.end;
    setCursor(time, seen);
  }

  /** @param {number} time @param {boolean} [visible] move the view to the cursor */
  function setCursor(time, visible = true) {
    scene.cursor = clamp(time, 0, scene.seconds);
    const view = visible ? showing(scene.view, scene.cursor, scene.seconds) : scene.view;
    if (view !== scene.view) show(view);
    describe(canvas, scene);
    draw();
  }

  /** @param {Range | null} range */
  function select(range) {
    scene.selection = range && range.end - range.start > 1e-4 ? { ...range } : null;
    handlers.onSelect(scene.selection);
    describe(canvas, scene);
    draw();
  }

  /** @param {number} x @param {number} y */
  function press(x, y) {
    const index = eventAt(scene, x, y);
    if (index >= 0) handlers.onEvent(index);
    return index >= 0;
  }

  /** @param {number} factor above 1 shows less of the sound */
  function zoomBy(factor) {
    const middle = (scene.view.start + scene.view.end) / 2;
    const seen = scene.cursor >= scene.view.start && scene.cursor <= scene.view.end;
    show(zoomed(scene.view, factor, seen ? scene.cursor : middle, scene.seconds));
  }

  listen(canvas, { read: () => scene, seek, select, show, play: handlers.onPlay, press });
  strip.listen((middle) => {
    const half = (scene.view.end - scene.view.start) / 2;
    show({ start: middle - half, end: middle + half });
  }, zoomBy, () => scene);
  new ResizeObserver(() => {
    if (canvas.clientWidth > 0 && scene.seconds > 0) show(scene.view);
  }).observe(canvas);
  scheme.addEventListener("change", () => {
    scene.dark = scheme.matches;
    pictures.setDark(scene.dark);
    draw();
  });
  pictures.setDark(scene.dark);

  return {
    select,
    show,
    setCursor,
    follow,
    zoomBy,
    selection: () => scene.selection,
    view: () => scene.view,
    /** Show another sound. @param {{seconds: number, picture: string, band: [number, number]}} sound */
    open(sound) {
      Object.assign(scene, emptyScene(scene.dark), { seconds: sound.seconds, band: sound.band });
      scene.view = { start: 0, end: sound.seconds };
      pictures.open(sound.picture, sound.seconds);
      handlers.onView(scene.view);
      describe(canvas, scene);
      draw();
    },
    /** @param {SoundEvent[]} events in any order @param {number} [chosen] index of the marked one */
    setEvents(events, chosen = -1) {
      scene.events = events;
      scene.lanes = lanesOf(events);
      // A class keeps its colour while more events are found.
      if (events.length === 0) scene.colours.clear();
      for (const { label } of events) if (!scene.colours.has(label)) scene.colours.set(label, scene.colours.size);
      scene.chosen = chosen;
      draw();
    },
    /** @param {{image: ImageBitmap, start: number, end: number, band: [number, number]} | null} overlay alpha is the importance */
    setOverlay(overlay) {
      scene.overlay = overlay && { ...overlay, image: tinted(overlay.image, themeOf(canvas).importance) };
      draw();
    },
    /** The colour of a class in the lanes. @param {string} label */
    colourOf: (label) => classColour(scene.colours.get(label) ?? 0, scene.dark).fill,
  };
}

/** @param {boolean} dark @returns {Scene} */
function emptyScene(dark) {
  return {
    width: 0, height: 0, plot: { left: 56, top: TOP, width: 0, height: PLOT_HEIGHT },
    seconds: 0, view: { start: 0, end: 1 }, pictures: [], band: [0, 16000], overlay: null,
    selection: null, cursor: 0, events: [], lanes: [], colours: new Map(), chosen: -1, dark,
    theme: { text: "", line: "", accent: "", ground: "" },
  };
}

/** @param {Scene} scene @param {number} width CSS pixels */
function layOut(scene, width) {
  const left = scene.lanes.length && width > 600 ? 120 : 56;
  scene.width = width;
  scene.plot = { left, top: TOP, width: Math.max(width - left - 4, 10), height: PLOT_HEIGHT };
  scene.height = TOP + PLOT_HEIGHT + AXIS_HEIGHT + scene.lanes.length * LANE_HEIGHT + 4;
}

/** @param {HTMLElement} element */
function themeOf(element) {
  const style = getComputedStyle(element);
  /** @param {string} name */
  const read = (name) => style.getPropertyValue(`--spectrogram-${name}`).trim();
  return { text: read("text"), line: read("line"), accent: read("accent"), ground: read("ground"), importance: read("importance") };
}

/**
 * Make the pixels of a canvas those of the screen.
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2D} brush
 * @param {number} width CSS pixels
 * @param {number} height
 */
function fit(canvas, brush, width, height) {
  const scale = devicePixelRatio || 1;
  const pixels = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
  brush.setTransform(scale, 0, 0, scale, 0, 0);
}

/** The words of a screen reader. @param {HTMLCanvasElement} canvas @param {Scene} scene */
function describe(canvas, scene) {
  const { selection, cursor, seconds } = scene;
  const part = selection
    ? `; selected from ${timeText(selection.start)} to ${timeText(selection.end)}`
    : "";
  canvas.setAttribute("aria-valuemax", seconds.toFixed(2));
  canvas.setAttribute("aria-valuenow", cursor.toFixed(2));
  canvas.setAttribute("aria-valuetext", `${timeText(cursor)} of ${timeText(seconds)}${part}`);
}

/** The classes with the most events, in that order. @param {SoundEvent[]} events */
function lanesOf(events) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { label } of events) counts.set(label, (counts.get(label) ?? 0) + 1);
  const labels = [...counts.keys()].sort((one, other) => (counts.get(other) ?? 0) - (counts.get(one) ?? 0));
  return labels.length <= MOST_LANES ? labels : [...labels.slice(0, MOST_LANES - 1), OTHER_LANE];
}

/** @param {Scene} scene @param {number} x @param {number} y @returns {number} -1 for none */
function eventAt(scene, x, y) {
  return scene.events.findIndex((event) => {
    const top = laneTop(scene, laneOf(scene, event.label));
    const left = timeToX(scene, event.start);
    const right = Math.max(timeToX(scene, event.end), left + 8);
    return y >= top && y < top + LANE_HEIGHT && x >= left && x <= right;
  });
}

/**
 * The strip with the whole sound and the zoom buttons.
 * @param {HTMLCanvasElement} canvas
 */
function createStrip(canvas) {
  const row = document.createElement("div");
  row.className = "overview";
  const out = zoomButton("−", "Zoom out", "try-zoom-less");
  const more = zoomButton("+", "Zoom in", "try-zoom-more");
  const whole = document.createElement("canvas");
  whole.className = "overview-strip";
  whole.dataset.testid = "try-overview";
  // The keys of the spectrogram do the same, so a screen reader needs no second slider.
  whole.setAttribute("aria-hidden", "true");
  row.append(out, whole, more);
  canvas.after(row);
  const brush = /** @type {CanvasRenderingContext2D} */ (whole.getContext("2d"));

  return {
    /** @param {Scene} scene */
    draw(scene) {
      const all = scene.view.end - scene.view.start >= scene.seconds - 1e-6;
      out.setAttribute("aria-disabled", String(all));
      const width = whole.getBoundingClientRect().width;
      if (width < 1 || scene.seconds <= 0) return;
      fit(whole, brush, width, OVERVIEW_HEIGHT);
      drawOverview(brush, scene, width, OVERVIEW_HEIGHT);
    },
    /** @param {(middle: number) => void} move @param {(factor: number) => void} zoomBy @param {() => Scene} read */
    listen(move, zoomBy, read) {
      out.addEventListener("click", () => zoomBy(0.5));
      more.addEventListener("click", () => zoomBy(2));
      /** @param {PointerEvent} event */
      const go = (event) => move((event.offsetX / whole.clientWidth) * read().seconds);
      whole.addEventListener("pointerdown", (event) => {
        whole.setPointerCapture(event.pointerId);
        go(event);
      });
      whole.addEventListener("pointermove", (event) => {
        if (event.buttons) go(event);
      });
    },
  };
}

/** @param {string} sign @param {string} name @param {string} testid */
function zoomButton(sign, name, testid) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = sign;
  button.title = name;
  button.dataset.testid = testid;
  button.setAttribute("aria-label", name);
  return button;
}
