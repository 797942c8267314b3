// "Correct this": keep a sound or a part of it in a class, train again, show before and after.

import { address, getJson, sendJson } from "./api.js";
import { byId, setNote, setText } from "./dom.js";
import { isUsable, make, setUsable, shareText } from "./elements.js";
import { timeText } from "./spectrogram-view.js";
import { classify, topOf } from "./try-answer.js";

/** @typedef {import("./spectrogram-view.js").Range} Range */
/** @typedef {import("./try-answer.js").Answer} Answer */
/** @typedef {{id: string, name: string}} Sound */

/**
 * @typedef {object} Access what this part asks of Try
 * @property {() => Sound | null} sound the shown sound
 * @property {() => Range | null} selection
 * @property {() => Answer | null} answer the shown answer
 * @property {() => any} state the last /api/state
 * @property {(model: string) => void} useModel choose a model for the whole page
 * @property {(text: string) => void} say
 * @property {(error: unknown) => void} onError
 */

/**
 * @typedef {object} Retraining
 * @property {string} run
 * @property {Sound} sound shown when it began
 * @property {Answer | null} before the answer at that time
 * @property {boolean} done
 */

/** @param {Access} access */
export function createCorrect(access) {
  const name = /** @type {HTMLInputElement} */ (byId("try-correct-class"));
  const retrainButton = byId("try-retrain");
  let retraining = /** @type {Retraining | null} */ (null);
  let keeping = false;
  let starting = false;

  /** The sound or the selection has changed. */
  function update() {
    const range = access.selection();
    setText(byId("try-keep"), range
      ? `Keep the selection (${timeText(range.start)} to ${timeText(range.end)})` : "Keep the whole sound");
    byId("try-comparison").hidden = !retraining?.done || retraining.sound.id !== access.sound()?.id;
  }

  /** Another sound is shown. */
  function open() {
    name.value = "";
    setText(byId("try-kept"), "");
    update();
  }

  async function keep() {
    const sound = access.sound();
    const label = name.value.trim();
    if (!sound || !label || keeping) return;
    keeping = true;
    setUsable(byId("try-keep"), false);
    const range = access.selection();
    try {
      await addClass(label);
      const path = address("api", "sounds", sound.id, "keep");
      const entry = await sendJson("POST", path, { class: label, start: range?.start ?? null, end: range?.end ?? null });
      const text = entry.stored === false
        ? `This sound is already in ${label}.` : `Kept in ${label} as ${entry.file}.`;
      access.say(text);
      if (access.sound()?.id === sound.id) setText(byId("try-kept"), text);
    } catch (error) {
      access.onError(error);
    } finally {
      keeping = false;
      setUsable(byId("try-keep"), true);
    }
  }

  /** @param {string} label */
  async function addClass(label) {
    const classes = access.state()?.project.classes ?? [];
    if (classes.some((/** @type {{name: string}} */ each) => each.name === label)) return;
    try {
      await sendJson("POST", address("api", "classes"), { name: label });
    } catch (error) {
      // 409: another page made the same class a moment ago.
      if (/** @type {{status?: number}} */ (error).status !== 409) throw error;
    }
  }

  async function retrain() {
    const sound = access.sound();
    if (!sound || starting || !isUsable(retrainButton)) return;
    starting = true;
    setUsable(retrainButton, false);
    try {
      const training = await sendJson("POST", address("api", "training"), {});
      retraining = { run: training.run, sound: { ...sound }, before: access.answer(), done: false };
      byId("try-comparison").hidden = true;
      onState(access.state());
    } catch (error) {
      access.onError(error);
    } finally {
      starting = false;
      onState(access.state());
    }
  }

  /** @param {any} state of /api/state */
  function onState(state) {
    if (!state) return;
    listClasses(state.project.classes);
    const { training } = state;
    const running = training?.state === "running";
    setUsable(retrainButton, state.project.ready && !running && !starting);
    showProgress(training, running);
    if (!state.project.ready && !running) retrainButton.title = state.project.advice;
    else retrainButton.removeAttribute("title");
    setNote(byId("try-retrain-advice"), running || state.project.ready ? "" : `Not ready to train: ${state.project.advice}`);
    if (!retraining || retraining.done || training?.run !== retraining.run || running) return;
    retraining.done = true;
    if (training.state === "done") void finish(retraining);
    else {
      const text = training.state === "cancelled" ? "The training was cancelled." : `The training failed. ${training.message}`;
      retraining = null;
      access.say(text);
      setText(byId("try-kept"), text);
    }
  }

  /** @param {any} training @param {boolean} running */
  function showProgress(training, running) {
    byId("try-retrain-line").hidden = !running;
    if (!running) return;
    const bar = /** @type {HTMLProgressElement} */ (byId("try-retrain-progress"));
    if (training.fraction === null) bar.removeAttribute("value");
    else bar.value = training.fraction;
    setText(byId("try-retrain-text"), `${training.step || "Training"}, ${timeText(training.seconds, 1)}`);
  }

  /** @param {{name: string}[]} classes */
  function listClasses(classes) {
    const list = byId("try-classes");
    const names = classes.map((each) => each.name);
    const old = [...list.children].map((each) => /** @type {HTMLOptionElement} */ (each).value);
    if (names.join("\n") === old.join("\n")) return;
    list.replaceChildren(...names.map((each) => new Option("", each)));
  }

  /** @param {Retraining} finished */
  async function finish(finished) {
    const model = `run-${finished.run}`;
    try {
      const comparison = await getJson(address("api", "runs", finished.run, "comparison"));
      const after = await answerAfter(finished, model);
      if (retraining !== finished) return;
      showComparison(byId("try-comparison"), comparison, finished, after);
      update();
      access.say("The training is done.");
      access.useModel(model);
    } catch (error) {
      access.onError(error);
    }
  }

  byId("try-correct").addEventListener("submit", (event) => {
    event.preventDefault();
    void keep();
  });
  retrainButton.addEventListener("click", () => void retrain());
  const advice = make("p", "hint");
  advice.id = "try-retrain-advice";
  advice.hidden = true;
  byId("try-kept").after(advice);
  setUsable(retrainButton, false);

  return { open, update, onState };
}

/** @param {Retraining} finished @param {string} model @returns {Promise<Answer | null>} null if the sound was deleted */
async function answerAfter(finished, model) {
  try {
    return await classify(finished.sound.id, model, finished.before?.start ?? null);
  } catch (error) {
    if (/** @type {{status?: number}} */ (error).status === 404) return null;
    throw error;
  }
}

/**
 * @param {HTMLElement} box
 * @param {any} comparison of /api/runs/{id}/comparison
 * @param {Retraining} finished
 * @param {Answer | null} after
 */
function showComparison(box, comparison, finished, after) {
  const parts = [make("h3", "", "Before and after")];
  parts.push(make("p", "", comparison.text));
  if (after) parts.push(answerTable(finished, after));
  if (comparison.before && comparison.classes.length > 0) parts.push(classTable(comparison.classes));
  box.replaceChildren(...parts);
  box.hidden = false;
}

/** @param {Retraining} finished @param {Answer} after */
function answerTable(finished, after) {
  const rows = [];
  if (finished.before) rows.push(["Before", ...answerCells(finished.before)]);
  rows.push(["After", ...answerCells(after)]);
  return table(`Answer for ${finished.sound.name}`, ["", "Class", "Probability"], rows);
}

/** @param {Answer} answer */
function answerCells(answer) {
  const { label, value } = topOf(answer);
  return [label, shareText(value)];
}

/** @param {{name: string, before: number | null, after: number | null, clips: number}[]} classes */
function classTable(classes) {
  const rows = classes.map((each) => [each.name, rate(each.before), rate(each.after), String(each.clips)]);
  return table("Share of correct answers by class", ["Class", "Before", "After", "Sounds"], rows);
}

/** @param {number | null} value */
function rate(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}

/** @param {string} caption @param {string[]} head @param {string[][]} rows */
function table(caption, head, rows) {
  const element = make("table", "comparison");
  element.append(make("caption", "", caption));
  const top = element.createTHead().insertRow();
  for (const text of head) {
    const cell = make("th", "", text);
    cell.scope = "col";
    top.append(cell);
  }
  const body = element.createTBody();
  for (const [first, ...others] of rows) {
    const row = body.insertRow();
    const cell = make("th", "", first);
    cell.scope = "row";
    row.append(cell);
    for (const text of others) row.insertCell().textContent = text;
  }
  return element;
}
