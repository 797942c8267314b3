/** The side of the tab Build: training, its progress, and what came out. */

import { address, getJson, sendJson } from "./api.js";
import { byId, keepChildren, setNote, setOptions, setText } from "./dom.js";
import { modelIdOf, runLinks, runRow, updateRunRow } from "./run-links.js";
import { accuracySentence, compareRuns, counted, duration, nextStep } from "./words.js";

/** @typedef {import("./types.js").AppState} AppState */
/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Training} Training */

/** @param {Context} context */
export function startTraining(context) {
  startBackbone(context);
  startButtons(context);
  startCommand(context);
  context.onState((state) => {
    renderStart(state);
    renderRuns(context, state.runs);
    renderProgress(context, state.training);
  });
}

/** @param {AppState} state @returns {string} why no training can start now, empty if one can */
function whyNot({ project, training }) {
  if (training?.state === "running") return "A training is running.";
  if (project.ready) return "";
  return project.advice || "Add two classes with 5 sounds each.";
}

/** @param {AppState} state */
function renderStart(state) {
  const { project, runs } = state;
  const why = whyNot(state);
  byId("train").setAttribute("aria-disabled", String(Boolean(why)));
  setNote(byId("train-reason"), why && `Train is not possible yet: ${why}`);
  byId("train-reason").hidden = !why || state.training?.state === "running";
  setText(byId("train"), runs.length ? "Train again" : "Train");
  // The reason already says the advice while a training is not possible.
  setNote(byId("advice"), project.ready ? project.advice || "There are enough sounds to train." : "");
}

/** @param {Context} context */
function startButtons(context) {
  byId("train").addEventListener("click", async () => {
    const state = context.state();
    const why = state ? whyNot(state) : "The program has not answered yet.";
    if (why) {
      context.status(why);
      return;
    }
    context.clearError();
    context.status("The training starts.");
    await context.attempt(() => sendJson("POST", address("api", "training"), {}));
  });
  byId("train-cancel").addEventListener("click", () =>
    context.attempt(() => sendJson("DELETE", address("api", "training"))),
  );
  byId("result-live").addEventListener("click", () => useNewest(context, "live"));
  byId("result-try").addEventListener("click", () => useNewest(context, "try"));
}

/** @param {Context} context @param {import("./types.js").TabName} tab */
function useNewest(context, tab) {
  const run = newestOf(context.state()?.runs ?? []);
  if (run) context.chooseModel(modelIdOf(run));
  context.showTab(tab);
  byId(`tab-${tab}`).focus();
}

/** @param {Run[]} runs @returns {Run|null} */
function newestOf(runs) {
  return [...runs].sort((a, b) => compareRuns(a.id, b.id)).pop() ?? null;
}

/** @param {Context} context */
function startBackbone(context) {
  const select = byId("backbone");
  let sending = false;
  select.addEventListener("change", async () => {
    sending = true;
    const done = await context.attempt(async () => {
      await sendJson("PUT", address("api", "project"), { backbone: select.value });
      return true;
    });
    sending = false;
    if (!done) select.value = context.state()?.project.backbone ?? "builtin";
  });
  context.onState(({ project }) => {
    const options = project.backbones.map(({ name, title, available }) => ({
      value: name,
      text: available ? title : `${title} (not installed)`,
      disabled: !available,
    }));
    setOptions(select, options);
    if (!sending) select.value = project.backbone;
  });
}

// Progress.

/** The training of which the end was told, so that an old one is not told as news. */
let watched = "";
let toldStep = "";

/** @param {Context} context @param {Training|null} training */
function renderProgress(context, training) {
  const running = training?.state === "running";
  const cancel = byId("train-cancel");
  if (!running && document.activeElement === cancel) byId("train").focus();
  cancel.hidden = !running;
  byId("train-progress").hidden = !running;
  setNote(byId("train-failed"), failureText(training));
  if (!training) return;
  if (running) {
    watched = training.run;
    showProgress(context, training);
  } else if (watched === training.run) {
    watched = "";
    tellEnd(context, training);
  }
}

/** @param {Context} context @param {Training} training */
function showProgress(context, { step, fraction, seconds, message }) {
  const bar = byId("train-bar");
  if (fraction === null) bar.removeAttribute("value");
  else bar.value = fraction;
  const parts = [step || "Starting"];
  if (fraction !== null) parts.push(`${Math.round(fraction * 100)} %`);
  parts.push(timeLeft(fraction, seconds));
  setText(byId("train-text"), `${parts.join(", ")}.${message ? ` ${message}` : ""}`);
  if (step && step !== toldStep) {
    toldStep = step;
    context.status(`Training: ${step}.`);
  }
}

/** @param {number|null} fraction @param {number} seconds @returns {string} */
function timeLeft(fraction, seconds) {
  if (fraction === null || fraction < 0.03) return `${duration(seconds)} so far`;
  const left = (seconds * (1 - fraction)) / fraction;
  return left < 3 ? "a few seconds left" : `about ${duration(left < 20 ? Math.ceil(left) : Math.ceil(left / 5) * 5)} left`;
}

/** @param {Training|null} training @returns {string} what went wrong, empty if nothing did */
function failureText(training) {
  if (training?.state === "done" && training.message) return `The model is ready, but ${training.message}`;
  if (training?.state === "failed") return `The training failed. ${training.message}`.trim();
  if (training?.state === "cancelled") return "The training was cancelled. The sounds and the earlier models are as before.";
  return "";
}

/** @param {Context} context @param {Training} training */
function tellEnd(context, training) {
  toldStep = "";
  if (training.state !== "done") {
    context.status(failureText(training));
    return;
  }
  context.chooseModel(`run-${training.run}`);
  context.status(`The training ended after ${duration(training.seconds)}. The model is ready.`);
  const inBuild = !byId("panel-build").hidden;
  const idle = document.activeElement === document.body || document.activeElement === byId("train");
  if (inBuild && idle) byId("train-result").focus();
}

// Results.

/** @type {string} run whose result is shown */
let shownRun = "";

/** @param {Context} context @param {Run[]} runs */
function renderRuns(context, runs) {
  const newest = newestOf(runs);
  byId("train-result").hidden = !newest;
  byId("runs-panel").hidden = runs.length < 2;
  const rows = [...runs].sort((a, b) => compareRuns(b.id, a.id));
  keepChildren(byId("runs"), rows, (run) => run.id, (run) => runRow(run, context), updateRunRow);
  if (newest) showResult(context, newest, runs.length > 1);
}

/** @param {Context} context @param {Run} run @param {boolean} earlier  whether there is an earlier run */
function showResult(context, run, earlier) {
  const made = run.accuracy ? accuracySentence(run.accuracy) : "The model is ready.";
  setText(byId("result-text"), made);
  setText(byId("result-next"), nextStep(run.accuracy));
  if (shownRun === run.id) return;
  shownRun = run.id;
  const from = `Made from ${counted(run.clips, "sound")}.`;
  setText(byId("result-note"), `${from} ${run.note}`.trim());
  byId("result-links").replaceChildren(...runLinks(run, context));
  if (earlier) showComparison(run, from);
}

/** @param {Run} run @param {string} from */
async function showComparison(run, from) {
  try {
    const { before, text } = await getJson(address("api", "runs", run.id, "comparison"));
    if (before && text && shownRun === run.id) {
      setText(byId("result-note"), `${from} ${run.note} Compared with the training before: ${text}`);
    }
  } catch {
    // The result stands without the comparison: the runs may have no sound in common.
  }
}

/** @param {Context} context */
function startCommand(context) {
  const code = byId("command");
  context.onState(({ project }) => setText(code, project.command));
  byId("command-copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      context.status("The command was copied.");
    } catch {
      getSelection()?.selectAllChildren(code);
      context.status("The command is selected. Copy it with the keyboard.");
    }
  });
}
