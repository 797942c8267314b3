/** Numbers and times in words. */

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** @param {number} seconds @returns {string} "0.8 s", "42 s", "3 min", "2 h 5 min" */
export function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number} fraction @returns {string} "97 %" */
export function percent(fraction) {
  return `${Math.round(fraction * 100)} %`;
}

/** @param {string} iso @returns {string} day and time for the person's country */
export function dayAndTime(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** @param {Date} date @returns {string} "2026-11-27 10.05.09", fit for a file name */
export function fileTime(date) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(".")}`;
}

/**
 * A measured accuracy as a sentence. The range is rounded outwards.
 * @param {import("./types.js").Accuracy} accuracy
 */
export function accuracySentence({ value, low, high }) {
  const range = `${Math.floor(low * 100 + 1e-6)} to ${Math.ceil(high * 100 - 1e-6)} %`;
  if (value === 1) return `Each tested sound was recognised; of new sounds, ${range} would be.`;
  if (value === 0) return `No tested sound was recognised; of new sounds, ${range} would be.`;
  // Neither all nor none: 100 % or 0 % would not be true.
  const share = Math.min(Math.max(Math.round(value * 100), 1), 99);
  return `Of new sounds, about ${share} % would be recognised (${range}).`;
}

/**
 * Texts in the order of their code units, as the program sorts them.
 * @param {string} a @param {string} b @returns {number}
 */
export function compareTexts(a, b) {
  return a < b ? -1 : Number(a > b);
}

/**
 * Ids of runs, which are numbers, from the oldest on.
 * @param {string} a @param {string} b @returns {number}
 */
export function compareRuns(a, b) {
  const numbers = [a, b].map((id) => Number(id.replace("run-", "")));
  return numbers[0] - numbers[1];
}

/**
 * What to do after a training.
 * @param {import("./types.js").Accuracy|null} accuracy
 */
export function nextStep(accuracy) {
  if (!accuracy) {
    return "There were too few sounds to measure how good it is. Try it, and add more sounds.";
  }
  if (accuracy.value < 0.6) {
    return "This is not good enough yet. Open the report to see which sounds are confused, add more sounds of these classes, and train again.";
  }
  if (accuracy.high - accuracy.low > 0.25) {
    return "The true value may be anywhere in this range, because there are few sounds. Try it now; to make it better and surer, add sounds from other places and days, and train again.";
  }
  return "Try it now. Where it is wrong, correct it in Try and train again.";
}
