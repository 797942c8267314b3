// The answer of a classifier for one sound, and which parts of the sound decided.

import { address, getJson, isAbort, sendJson, withQuery } from "./api.js";
import { showBars } from "./bars.js";
import { byId, setNote, setText } from "./dom.js";
import { button, make, newest, shareText } from "./elements.js";
import { loadImage } from "./spectrogram-pictures.js";
import { timeText } from "./spectrogram-view.js";

/** @typedef {{label: string, probability: number}} Share */
/**
 * @typedef {object} Answer
 * @property {string} model
 * @property {number} start
 * @property {number} end
 * @property {{name: string, labels: Share[]}[]} levels
 * @property {{score: number, is_unknown: boolean} | null} unknown
 */
/**
 * @typedef {object} Branch
 * @property {string} name
 * @property {number} seconds
 * @property {number} start
 * @property {[number, number]} frequencies
 * @property {string} picture
 */
/** @typedef {{label: string, probability: number, kept_probability: number, rest_probability: number, method: string, branches: Branch[]}} Explanation */
/** @typedef {{id: string, name: string, explains: boolean}} Model */
/** @typedef {ReturnType<typeof import("./spectrogram.js").createSpectrogram>} Spectrogram */

const FEW = 8;
export const UNKNOWN = "unknown";

/**
 * Classify a part of a sound.
 * @param {string} sound id
 * @param {string} model id
 * @param {number | null} start seconds; null: the part that the classifier takes
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export function classify(sound, model, start, signal) {
  const path = withQuery(address("api", "sounds", sound, "classify"), { model, start });
  return sendJson("POST", path, undefined, signal);
}

/**
 * The bars of one level of an answer: "unknown" first where the model says so, else last.
 * @param {Answer} answer
 * @param {number} level
 * @returns {import("./bars.js").Bar[]}
 */
export function barsOf(answer, level) {
  const labels = [...answer.levels[level].labels].sort((one, other) => other.probability - one.probability);
  const { unknown } = answer;
  const bars = labels.map(({ label, probability }, index) => ({
    label, value: probability, strong: index === 0 && !unknown?.is_unknown,
  }));
  if (!unknown || level > 0) return bars;
  const mark = unknown.is_unknown ? "none of the classes" : "";
  const bar = { label: UNKNOWN, value: unknown.score, mark, strong: unknown.is_unknown, plain: true };
  return unknown.is_unknown ? [bar, ...bars] : [...bars, bar];
}

/** The level with the most classes, which says most about a sound. @param {Answer} answer */
function finest(answer) {
  const sizes = answer.levels.map((level) => level.labels.length);
  return Math.max(sizes.indexOf(Math.max(...sizes)), 0);
}

/** The answer in one word and number. @param {Answer} answer */
export function topOf(answer) {
  const level = answer.unknown?.is_unknown ? 0 : finest(answer);
  const [first] = barsOf(answer, level);
  return first ? { label: first.label, value: first.value } : { label: "no class", value: 0 };
}

/**
 * The part of Try that shows answers and explanations.
 * @param {Spectrogram} spectrogram
 * @param {(error: unknown) => void} onError
 */
export function createAnswer(spectrogram, onError) {
  const classifying = newest();
  const explaining = newest();
  const overlay = /** @type {HTMLInputElement} */ (byId("try-overlay"));
  const branch = /** @type {HTMLSelectElement} */ (byId("try-branch"));
  let sound = "";
  let model = /** @type {Model | null} */ (null);
  let answer = /** @type {Answer | null} */ (null);
  let explanation = /** @type {Explanation | null} */ (null);
  let picked = "";
  let all = false;

  function clear() {
    classifying.stop();
    answer = null;
    picked = "";
    all = false;
    forgetExplanation();
    byId("try-bars").replaceChildren();
    setNote(byId("try-unknown"), "");
    setText(byId("try-clip"), "");
  }

  /** Classify anew. @param {string} id @param {Model} by @param {number | null} start */
  async function ask(id, by, start) {
    if (id !== sound) clear();
    sound = id;
    model = by;
    forgetExplanation();
    setExplains(by.explains);
    const signal = classifying.begin();
    setText(byId("try-clip"), "Classifying…");
    try {
      const found = await classify(id, by.id, start, signal);
      if (!signal.aborted) show(found);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      clear();
      setText(byId("try-clip"), "There is no answer.");
      onError(error);
    }
  }

  /** @param {Answer} found */
  function show(found) {
    answer = found;
    const labels = new Set(found.levels.flatMap((level) => level.labels.map((each) => each.label)));
    if (!labels.has(picked)) picked = "";
    setText(byId("try-clip"), `Of the part from ${timeText(found.start)} to ${timeText(found.end)}, by ${model?.name ?? found.model}.`);
    const unknown = found.unknown?.is_unknown
      ? "Unknown: this sounds like none of the classes of the model." : "";
    setNote(byId("try-unknown"), unknown);
    render();
    if (overlay.checked) void explain();
  }

  function render() {
    if (!answer) return;
    const shown = answer;
    const box = byId("try-bars");
    shown.levels.forEach((level, index) => renderLevel(box, shown, level.name, index));
    while (box.children.length > shown.levels.length) box.lastElementChild?.remove();
  }

  /** @param {HTMLElement} box @param {Answer} shown @param {string} name @param {number} index */
  function renderLevel(box, shown, name, index) {
    const part = /** @type {HTMLElement} */ (box.children[index] ?? box.appendChild(createLevel()));
    const [title, list, more] = /** @type {HTMLElement[]} */ ([...part.children]);
    setNote(title, shown.levels.length > 1 ? name : "");
    const bars = barsOf(shown, index);
    showBars(list, all ? bars : few(bars), picked, {
      onPick: model?.explains ? pick : undefined, hint: "Show the parts that decided for this class",
    });
    more.hidden = bars.length <= FEW;
    setText(more, all ? "Show fewer" : `Show all ${bars.length}`);
  }

  function createLevel() {
    const part = make("div", "bar-level");
    const more = button("", () => {
      all = !all;
      render();
    }, { className: "quiet" });
    part.append(make("h3"), make("div", "bar-list"), more);
    return part;
  }

  /** @param {string} label */
  function pick(label) {
    picked = label;
    overlay.checked = true;
    render();
    void explain();
  }

  /** @param {boolean} explains */
  function setExplains(explains) {
    overlay.disabled = !explains;
    if (!explains) overlay.checked = false;
    setText(byId("try-explained"), explains ? "" : "This model cannot show what decided.");
  }

  function forgetExplanation() {
    explaining.stop();
    explanation = null;
    spectrogram.setOverlay(null);
    byId("try-branch-label").hidden = true;
    if (!overlay.disabled) setText(byId("try-explained"), "");
  }

  async function explain() {
    if (!answer || !model) return;
    forgetExplanation();
    const signal = explaining.begin();
    const label = picked || topClass(answer);
    picked = label;
    render();
    setText(byId("try-explained"), `Looking for the parts that decided for ${label}…`);
    const path = withQuery(address("api", "sounds", sound, "explanation"), { model: model.id, label, start: answer.start });
    try {
      const found = await getJson(path, signal);
      if (!signal.aborted) await showExplanation(found, signal);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      overlay.checked = false;
      setText(byId("try-explained"), "");
      onError(error);
    }
  }

  /** @param {Explanation} found @param {AbortSignal} signal */
  async function showExplanation(found, signal) {
    explanation = found;
    setText(byId("try-explained"), `${found.label}: ${shareText(found.probability)}. With the coloured parts alone ${shareText(found.kept_probability)}, without them ${shareText(found.rest_probability)}.`);
    const names = found.branches.map((each) => each.name);
    if (names.join("\n") !== [...branch.options].map((each) => each.value).join("\n")) {
      branch.replaceChildren(...names.map((name) => new Option(name, name)));
    }
    byId("try-branch-label").hidden = names.length < 2;
    await showBranch(signal);
  }

  /** @param {AbortSignal} signal */
  async function showBranch(signal) {
    const shown = explanation?.branches[Math.max(branch.selectedIndex, 0)];
    if (!shown) return;
    const image = await loadImage(shown.picture);
    if (signal.aborted) return;
    spectrogram.setOverlay({ image, start: shown.start, end: shown.start + shown.seconds, band: shown.frequencies });
  }

  overlay.addEventListener("change", () => {
    if (overlay.checked) void explain();
    else forgetExplanation();
  });
  branch.addEventListener("change", () => {
    showBranch(explaining.signal()).catch(onError);
  });

  return { ask, clear, answer: () => answer };
}

/** The most probable class. @param {Answer} answer */
function topClass(answer) {
  return barsOf(answer, finest(answer)).find((bar) => !bar.plain)?.label ?? "";
}

/** The first bars, and always the one of "unknown". @param {import("./bars.js").Bar[]} bars */
function few(bars) {
  const first = bars.slice(0, FEW);
  const unknown = bars.find((bar) => bar.plain);
  return unknown && !first.includes(unknown) ? [...first, unknown] : first;
}
