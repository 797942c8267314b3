// Mouse, touch, pen and keys of a spectrogram.

import { clamp, ordered, zoomed } from "./spectrogram-view.js";

/** @typedef {import("./spectrogram-view.js").Range} Range */

/**
 * @typedef {object} Target what the input acts on
 * @property {() => {seconds: number, view: Range, cursor: number, selection: Range | null, plot: {left: number, width: number}}} read
 * @property {(time: number) => void} seek
 * @property {(range: Range | null) => void} select
 * @property {(view: Range) => void} show
 * @property {() => void} play
 * @property {(x: number, y: number) => boolean} press true where an event is pressed
 */

// A press that moves less than this many pixels is a click.
const CLICK = 4;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Target} target
 */
export function listen(canvas, target) {
  listenPointer(canvas, target);
  canvas.addEventListener("keydown", (event) => onKey(event, target));
  canvas.addEventListener("wheel", (event) => onWheel(event, canvas, target), { passive: false });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Target} target
 */
function listenPointer(canvas, target) {
  let from = /** @type {{x: number, time: number, moved: boolean} | null} */ (null);
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (target.press(event.offsetX, event.offsetY)) return;
    const time = timeAt(event.offsetX, target);
    const { selection, cursor } = target.read();
    const anchor = event.shiftKey ? otherEnd(selection, time) ?? cursor : time;
    from = { x: event.offsetX, time: anchor, moved: event.shiftKey };
    canvas.setPointerCapture(event.pointerId);
    if (event.shiftKey) target.select(ordered(anchor, time));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    from.moved ||= Math.abs(event.offsetX - from.x) >= CLICK;
    if (from.moved) target.select(ordered(from.time, timeAt(event.offsetX, target)));
  });
  canvas.addEventListener("pointerup", () => {
    if (!from) return;
    if (!from.moved) target.select(null);
    const { selection } = target.read();
    target.seek(from.moved && selection ? selection.start : from.time);
    from = null;
  });
  canvas.addEventListener("pointercancel", () => {
    from = null;
  });
}

/**
 * The end of the selection that is farther from a time, which a new end is joined to.
 * @param {Range | null} selection
 * @param {number} time
 */
function otherEnd(selection, time) {
  if (!selection) return null;
  return time < (selection.start + selection.end) / 2 ? selection.end : selection.start;
}

/**
 * @param {number} x CSS pixels from the left edge of the canvas
 * @param {Target} target
 */
function timeAt(x, target) {
  const { plot, view, seconds } = target.read();
  const share = clamp((x - plot.left) / plot.width, 0, 1);
  return clamp(view.start + share * (view.end - view.start), 0, seconds);
}

/**
 * @param {WheelEvent} event
 * @param {HTMLCanvasElement} canvas
 * @param {Target} target
 */
function onWheel(event, canvas, target) {
  // The wheel alone scrolls the page; with Ctrl, or two fingers, it zooms.
  if (!event.ctrlKey) return;
  event.preventDefault();
  const x = event.clientX - canvas.getBoundingClientRect().left;
  const { view, seconds } = target.read();
  target.show(zoomed(view, 2 ** clamp(-event.deltaY / 100, -1, 1), timeAt(x, target), seconds));
}

/**
 * @param {KeyboardEvent} event
 * @param {Target} target
 */
function onKey(event, target) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (move(event, target) || act(event.key, target)) event.preventDefault();
}

/**
 * Arrows and the like move the cursor; with Shift they also select.
 * @param {KeyboardEvent} event
 * @param {Target} target
 * @returns {boolean}
 */
function move(event, target) {
  const { seconds, view, cursor, selection } = target.read();
  const length = view.end - view.start;
  const places = {
    ArrowLeft: cursor - length / 100, ArrowDown: cursor - length / 100,
    ArrowRight: cursor + length / 100, ArrowUp: cursor + length / 100,
    PageUp: cursor - length / 4, PageDown: cursor + length / 4, Home: 0, End: seconds,
  };
  if (!(event.key in places)) return false;
  const time = clamp(places[/** @type {keyof places} */ (event.key)], 0, seconds);
  if (event.shiftKey) target.select(ordered(anchorOf(selection, cursor), time));
  target.seek(time);
  return true;
}

/**
 * The end that stays while Shift and an arrow move the other one.
 * @param {Range | null} selection
 * @param {number} cursor
 */
function anchorOf(selection, cursor) {
  if (!selection) return cursor;
  const near = 1e-6;
  if (Math.abs(selection.end - cursor) < near) return selection.start;
  if (Math.abs(selection.start - cursor) < near) return selection.end;
  return cursor;
}

/**
 * @param {string} key
 * @param {Target} target
 * @returns {boolean} true if the key means something here
 */
function act(key, target) {
  const { seconds, view, cursor, selection } = target.read();
  if (key === "Escape" && selection) target.select(null);
  else if (key === "Enter" || key === " ") target.play();
  else if (key === "+" || key === "=") target.show(zoomed(view, 2, cursor, seconds));
  else if (key === "-") target.show(zoomed(view, 0.5, cursor, seconds));
  else if (key === "0") target.show({ start: 0, end: seconds });
  else return false;
  return true;
}
