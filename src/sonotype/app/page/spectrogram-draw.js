// Drawing of a spectrogram with its axes, importance, selection, cursor and events.

import { classColour } from "./spectrogram-colours.js";
import { frequencyMarks, frequencyPlace, frequencyText, timeMarks, timeText } from "./spectrogram-view.js";

/** @typedef {import("./spectrogram-view.js").Range} Range */
/** @typedef {{start: number, end: number, label: string, score: number}} SoundEvent */
/** @typedef {{image: HTMLCanvasElement, start: number, end: number}} Picture */
/** @typedef {Picture & {band: [number, number]}} Overlay */
/** @typedef {{left: number, top: number, width: number, height: number}} Box */

/**
 * @typedef {object} Scene everything that is drawn; lengths in CSS pixels, times in seconds
 * @property {number} width
 * @property {number} height
 * @property {Box} plot where the picture is
 * @property {number} seconds
 * @property {Range} view
 * @property {Picture[]} pictures from coarse to fine
 * @property {[number, number]} band frequencies of the pictures
 * @property {Overlay | null} overlay
 * @property {Range | null} selection
 * @property {number} cursor
 * @property {SoundEvent[]} events
 * @property {string[]} lanes classes with a lane of their own, then "other"
 * @property {Map<string, number>} colours place of each class in the order of its first event
 * @property {number} chosen index of the chosen event, -1 for none
 * @property {boolean} dark
 * @property {{text: string, line: string, accent: string, ground: string}} theme
 */

export const LANE_HEIGHT = 20;
export const AXIS_HEIGHT = 20;
export const OTHER_LANE = "other classes";
const FONT = "12px system-ui, sans-serif";

/**
 * Draw the whole scene.
 * @param {CanvasRenderingContext2D} brush scaled to CSS pixels
 * @param {Scene} scene
 */
export function drawScene(brush, scene) {
  brush.clearRect(0, 0, scene.width, scene.height);
  brush.font = FONT;
  drawPictures(brush, scene);
  drawFrequencies(brush, scene);
  drawTimes(brush, scene);
  drawEvents(brush, scene);
  drawSelection(brush, scene);
  drawCursor(brush, scene);
}

/**
 * @param {Scene} scene
 * @param {number} time
 */
export function timeToX(scene, time) {
  const { plot, view } = scene;
  return plot.left + ((time - view.start) / (view.end - view.start)) * plot.width;
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene */
function drawPictures(brush, scene) {
  const { plot } = scene;
  brush.save();
  brush.fillStyle = scene.theme.ground;
  brush.fillRect(plot.left, plot.top, plot.width, plot.height);
  brush.beginPath();
  brush.rect(plot.left, plot.top, plot.width, plot.height);
  brush.clip();
  for (const picture of scene.pictures) drawPicture(brush, scene, picture, 0, 1);
  if (scene.overlay) {
    const { band } = scene.overlay;
    drawPicture(brush, scene, scene.overlay, frequencyPlace(band[1], scene.band), frequencyPlace(band[0], scene.band));
    drawFrame(brush, scene, scene.overlay);
  }
  brush.restore();
}

/**
 * @param {CanvasRenderingContext2D} brush
 * @param {Scene} scene
 * @param {Picture} picture
 * @param {number} top share of the height of the plot
 * @param {number} bottom
 */
function drawPicture(brush, scene, picture, top, bottom) {
  const { plot, view } = scene;
  const { image, start, end } = picture;
  const from = Math.max(start, view.start);
  const to = Math.min(end, view.end);
  if (to <= from || end <= start) return;
  // Only the visible part is drawn: a stretched whole picture can be too wide for the browser.
  const scale = image.width / (end - start);
  const left = timeToX(scene, from);
  const height = (bottom - top) * plot.height;
  brush.drawImage(
    image, (from - start) * scale, 0, Math.max((to - from) * scale, 0.01), image.height,
    left, plot.top + top * plot.height, timeToX(scene, to) - left, height,
  );
}

/** The part of the sound that was explained. @param {CanvasRenderingContext2D} brush @param {Scene} scene @param {Range} range */
function drawFrame(brush, scene, range) {
  if (range.start <= scene.view.start && range.end >= scene.view.end) return;
  brush.strokeStyle = scene.theme.text;
  brush.setLineDash([2, 3]);
  const left = timeToX(scene, range.start);
  brush.strokeRect(left, scene.plot.top + 1, timeToX(scene, range.end) - left, scene.plot.height - 2);
  brush.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene */
function drawFrequencies(brush, scene) {
  const { plot, theme } = scene;
  brush.fillStyle = theme.text;
  brush.textAlign = "right";
  brush.textBaseline = "middle";
  let last = Infinity;
  for (const hertz of frequencyMarks(scene.band)) {
    const y = plot.top + frequencyPlace(hertz, scene.band) * plot.height;
    if (last - y < 15 || y < plot.top + 6 || y > plot.top + plot.height - 5) continue;
    last = y;
    brush.fillText(frequencyText(hertz), plot.left - 8, y);
    brush.fillRect(plot.left - 5, Math.round(y), 4, 1);
  }
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene */
function drawTimes(brush, scene) {
  const { plot, theme, view } = scene;
  const base = plot.top + plot.height;
  const { step, times } = timeMarks(view, Math.max(plot.width / 75, 2));
  brush.fillStyle = theme.text;
  brush.textBaseline = "top";
  for (const time of times) {
    const x = timeToX(scene, time);
    const text = timeText(time, step);
    const half = brush.measureText(text).width / 2;
    brush.textAlign = "center";
    brush.fillRect(Math.round(x), base, 1, 4);
    brush.fillText(text, Math.min(Math.max(x, half), scene.width - half), base + 6);
  }
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene */
function drawSelection(brush, scene) {
  const { plot, selection, theme } = scene;
  if (!selection) return;
  const left = Math.max(timeToX(scene, selection.start), plot.left);
  const right = Math.min(timeToX(scene, selection.end), plot.left + plot.width);
  if (right < left) return;
  const bottom = scene.height - plot.top;
  brush.fillStyle = theme.accent;
  brush.globalAlpha = 0.25;
  brush.fillRect(left, plot.top, right - left, bottom);
  brush.globalAlpha = 1;
  brush.fillRect(left - 1, plot.top, 2, bottom);
  brush.fillRect(right - 1, plot.top, 2, bottom);
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene */
function drawCursor(brush, scene) {
  const { plot, view, cursor, theme } = scene;
  if (cursor < view.start || cursor > view.end) return;
  const x = Math.round(timeToX(scene, cursor));
  const bottom = scene.height - plot.top;
  // Dark and light side by side, so that the cursor is seen on each colour.
  brush.fillStyle = theme.ground;
  brush.fillRect(x - 2, plot.top, 4, bottom);
  brush.fillStyle = theme.text;
  brush.fillRect(x - 1, plot.top, 2, bottom);
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene */
function drawEvents(brush, scene) {
  const { plot } = scene;
  scene.lanes.forEach((lane, index) => drawLane(brush, scene, lane, index));
  brush.save();
  brush.beginPath();
  brush.rect(plot.left, 0, plot.width, scene.height);
  brush.clip();
  scene.events.forEach((event, index) => drawEvent(brush, scene, event, index));
  brush.restore();
}

/** @param {Scene} scene @param {number} lane */
export function laneTop(scene, lane) {
  return scene.plot.top + scene.plot.height + AXIS_HEIGHT + lane * LANE_HEIGHT;
}

/** @param {Scene} scene @param {string} label */
export function laneOf(scene, label) {
  const own = scene.lanes.indexOf(label);
  return own >= 0 ? own : scene.lanes.length - 1;
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene @param {string} lane @param {number} index */
function drawLane(brush, scene, lane, index) {
  const top = laneTop(scene, index);
  brush.fillStyle = scene.theme.line;
  brush.fillRect(scene.plot.left, top + LANE_HEIGHT - 1, scene.plot.width, 1);
  brush.fillStyle = scene.theme.text;
  brush.textAlign = "right";
  brush.textBaseline = "middle";
  brush.fillText(shortened(brush, lane, scene.plot.left - 8), scene.plot.left - 6, top + LANE_HEIGHT / 2);
}

/** @param {CanvasRenderingContext2D} brush @param {Scene} scene @param {SoundEvent} event @param {number} index */
function drawEvent(brush, scene, event, index) {
  if (event.end < scene.view.start || event.start > scene.view.end) return;
  const lane = laneOf(scene, event.label);
  const left = timeToX(scene, event.start);
  const width = Math.max(timeToX(scene, event.end) - left, 2);
  const colour = classColour(scene.colours.get(event.label) ?? 0, scene.dark);
  const top = laneTop(scene, lane) + 2;
  brush.fillStyle = colour.fill;
  brush.fillRect(left, top, width, LANE_HEIGHT - 5);
  if (index === scene.chosen) {
    brush.strokeStyle = scene.theme.text;
    brush.lineWidth = 2;
    brush.strokeRect(left, top, width, LANE_HEIGHT - 5);
    brush.lineWidth = 1;
  }
  const from = Math.max(left, scene.plot.left);
  const room = left + width - from - 8;
  if (room < 24) return;
  brush.fillStyle = colour.text;
  brush.textAlign = "left";
  brush.textBaseline = "middle";
  brush.fillText(shortened(brush, event.label, room), from + 4, top + (LANE_HEIGHT - 4) / 2);
}

/** A text cut with an ellipsis to a width in CSS pixels. @param {CanvasRenderingContext2D} brush @param {string} text @param {number} room */
function shortened(brush, text, room) {
  if (brush.measureText(text).width <= room) return text;
  const letters = [...text];
  while (letters.length > 1 && brush.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

/**
 * Draw the whole sound small, with a frame about the visible part.
 * @param {CanvasRenderingContext2D} brush scaled to CSS pixels
 * @param {Scene} scene
 * @param {number} width
 * @param {number} height
 */
export function drawOverview(brush, scene, width, height) {
  brush.clearRect(0, 0, width, height);
  brush.fillStyle = scene.theme.ground;
  brush.fillRect(0, 0, width, height);
  const scale = width / scene.seconds;
  const whole = scene.pictures[0];
  if (whole) brush.drawImage(whole.image, whole.start * scale, 0, (whole.end - whole.start) * scale, height);
  for (const event of scene.events) {
    brush.fillStyle = classColour(scene.colours.get(event.label) ?? 0, scene.dark).fill;
    brush.fillRect(event.start * scale, height - 5, Math.max((event.end - event.start) * scale, 1), 5);
  }
  const left = scene.view.start * scale;
  const right = Math.max(scene.view.end * scale, left + 3);
  brush.fillStyle = scene.theme.ground;
  brush.globalAlpha = 0.6;
  brush.fillRect(0, 0, left, height);
  brush.fillRect(right, 0, width - right, height);
  brush.globalAlpha = 1;
  brush.strokeStyle = scene.theme.accent;
  brush.lineWidth = 2;
  brush.strokeRect(left + 1, 1, right - left - 2, height - 2);
  brush.lineWidth = 1;
}
