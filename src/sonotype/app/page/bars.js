// Probabilities as bars with numbers.

import { setText } from "./dom.js";
import { keyed, make, shareText } from "./elements.js";

/**
 * @typedef {object} Bar
 * @property {string} label
 * @property {number} value 0 to 1
 * @property {string} [mark] said after the name, for example "none of the classes"
 * @property {boolean} [strong] drawn as the answer
 * @property {boolean} [plain] no class of the model: it cannot be explained
 */

/**
 * @typedef {object} BarOptions
 * @property {(label: string) => void} [onPick] makes each bar a button
 * @property {string} [hint] what the button does, after the name
 */

/**
 * Show bars in their order. Elements of labels that stay are kept, so that their width can move
 * smoothly and the focus stays.
 * @param {HTMLElement} list
 * @param {Bar[]} bars
 * @param {string} picked label of the pressed bar, or empty
 * @param {BarOptions} [options]
 */
export function showBars(list, bars, picked, options = {}) {
  keyed(list, bars, (bar) => `${bar.plain ? "-" : "+"}${bar.label}`, (bar) => createBar(bar, options), (element, bar) => {
    updateBar(element, bar, bar.label === picked && !bar.plain);
  });
}

/** @param {Bar} bar @param {BarOptions} options */
function createBar(bar, options) {
  const { onPick } = options;
  const asButton = onPick !== undefined && !bar.plain;
  const row = make(asButton ? "button" : "div", "bar-row");
  row.dataset.testid = "bar";
  row.dataset.label = bar.label;
  const name = make("span", "bar-name");
  name.append(make("span", "bar-label", bar.label), make("span", "bar-mark"));
  const track = make("span", "bar-track");
  track.append(make("span", "bar-fill"));
  row.append(name, track, make("span", "bar-number number"));
  if (row instanceof HTMLButtonElement) {
    row.type = "button";
    if (options.hint) row.title = options.hint;
    row.addEventListener("click", () => onPick?.(bar.label));
  }
  return row;
}

/** @param {HTMLElement} row @param {Bar} bar @param {boolean} picked */
function updateBar(row, bar, picked) {
  const [name, track, number] = /** @type {HTMLElement[]} */ ([...row.children]);
  setText(/** @type {HTMLElement} */ (name.lastElementChild), bar.mark ?? "");
  setText(number, shareText(bar.value));
  const fill = /** @type {HTMLElement} */ (track.firstElementChild);
  fill.style.width = `${Math.min(Math.max(bar.value, 0), 1) * 100}%`;
  row.classList.toggle("strong", bar.strong === true);
  if (row instanceof HTMLButtonElement) row.setAttribute("aria-pressed", String(picked));
}
