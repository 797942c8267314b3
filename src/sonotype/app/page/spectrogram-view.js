// The visible part of a sound, and the scales of time and frequency. Numbers only, no drawing.

/** @typedef {{start: number, end: number}} Range a part of a sound, in seconds */

/** The shortest visible part in seconds. */
export const LEAST_VISIBLE = 0.05;

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/**
 * A range moved and shortened so that it lies inside the sound.
 * @param {Range} range
 * @param {number} seconds of the sound
 * @returns {Range}
 */
export function inside(range, seconds) {
  const length = clamp(range.end - range.start, Math.min(LEAST_VISIBLE, seconds), seconds);
  const start = clamp(range.start, 0, seconds - length);
  return { start, end: start + length };
}

/**
 * Zoom about a time, which keeps its place on the screen.
 * @param {Range} view
 * @param {number} factor above 1 shows less of the sound
 * @param {number} about seconds
 * @param {number} seconds of the sound
 * @returns {Range}
 */
export function zoomed(view, factor, about, seconds) {
  const length = clamp((view.end - view.start) / factor, Math.min(LEAST_VISIBLE, seconds), seconds);
  const share = clamp((about - view.start) / (view.end - view.start), 0, 1);
  return inside({ start: about - share * length, end: about + (1 - share) * length }, seconds);
}

/**
 * The view moved by the least amount that shows a time.
 * @param {Range} view
 * @param {number} time seconds
 * @param {number} seconds of the sound
 * @returns {Range}
 */
export function showing(view, time, seconds) {
  const length = view.end - view.start;
  if (time >= view.start && time <= view.end) return view;
  const start = time < view.start ? time - length * 0.05 : time - length * 0.2;
  return inside({ start, end: start + length }, seconds);
}

/**
 * Two times in their order.
 * @param {number} first
 * @param {number} second
 * @returns {Range}
 */
export function ordered(first, second) {
  return first <= second ? { start: first, end: second } : { start: second, end: first };
}

/**
 * Times of the axis, at round steps.
 * @param {Range} view
 * @param {number} most how many fit
 * @returns {{step: number, times: number[]}}
 */
export function timeMarks(view, most) {
  const steps = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const length = view.end - view.start;
  const step = steps.find((each) => length / each <= most) ?? 7200;
  const times = [];
  for (let index = Math.ceil(view.start / step - 1e-6); index * step <= view.end + 1e-9; index += 1) {
    times.push(index * step);
  }
  return { step, times };
}

/**
 * A time for people: `1.25 s`, `2:05`, `1:02:05`.
 * @param {number} time seconds
 * @param {number} [step] how fine it must be, in seconds
 * @returns {string}
 */
export function timeText(time, step = 0.01) {
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  const round = Number(Math.max(time, 0).toFixed(digits));
  if (round < 60) return `${round.toFixed(digits)} s`;
  const minutes = Math.floor(round / 60);
  const rest = (round - minutes * 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/**
 * The mel scale, on which the bands of the pictures are evenly spaced.
 * @param {number} hertz
 */
export function mel(hertz) {
  return 1127 * Math.log1p(hertz / 700);
}

/**
 * Where a frequency lies in the picture.
 * @param {number} hertz
 * @param {[number, number]} band lowest and highest frequency of the picture
 * @returns {number} 0 at the top, 1 at the bottom
 */
export function frequencyPlace(hertz, band) {
  const low = mel(band[0]);
  return 1 - (mel(hertz) - low) / (mel(band[1]) - low);
}

/**
 * Frequencies of the axis.
 * @param {[number, number]} band
 * @returns {number[]}
 */
export function frequencyMarks(band) {
  return [250, 500, 1000, 2000, 4000, 8000, 16000].filter((each) => each > band[0] && each < band[1]);
}

/** @param {number} hertz */
export function frequencyText(hertz) {
  return hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`;
}
