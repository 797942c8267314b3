/** The frame of the page: tabs, the state of the program, the chosen model, messages. */

import { address, isAbort, reason, request, STOPPED } from "./api.js";
import { byId, setNote, setOptions, setText } from "./dom.js";
import { compareRuns } from "./words.js";

/** @typedef {import("./types.js").AppState} AppState */
/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").TabName} TabName */
/** @typedef {import("./types.js").Context} Context */

/** @type {TabName[]} */
const TABS = ["try", "build", "live"];
const RETRY_MS = [500, 1000, 2000, 4000];
const MODEL_KEY = "sonotype-model";

/** @type {AppState|null} */
let state = null;
/** @type {Model|null} */
let model = null;
/** @type {TabName} */
let tab = "build";
/** @type {string} id of the model that the person or a tab chose; it may not exist yet */
let wantedModel = readChoice();

const listeners = {
  /** @type {((state: AppState) => void)[]} */ state: [],
  /** @type {((model: Model|null) => void)[]} */ model: [],
  /** @type {((name: TabName) => void)[]} */ tab: [],
  /** @type {((sound: import("./types.js").Sound, className?: string) => void)[]} */ open: [],
};

/** @type {Context} */
const context = {
  state: () => state,
  onState(listener) {
    listeners.state.push(listener);
    if (state) listener(state);
  },
  model: () => model,
  onModel(listener) {
    listeners.model.push(listener);
    if (model) listener(model);
  },
  chooseModel(id) {
    wantedModel = id;
    writeChoice(id);
    updateModel();
  },
  tab: () => tab,
  showTab(name) {
    if (location.hash === `#${name}`) applyTab(name);
    else location.hash = name;
  },
  onTab: (listener) => void listeners.tab.push(listener),
  openSound(sound, className) {
    context.showTab("try");
    tell(listeners.open, sound, className);
  },
  onOpenSound: (listener) => void listeners.open.push(listener),
  status: (text) => setText(byId("status"), text),
  error: showError,
  clearError() {
    byId("error-box").hidden = true;
    setText(byId("error"), "");
  },
  async attempt(work) {
    try {
      return await work();
    } catch (error) {
      showError(error);
      return undefined;
    }
  },
};

/**
 * Calls each listener; the failure of one does not stop the others.
 * @param {((...values: any[]) => void)[]} targets
 * @param {...any} values
 */
function tell(targets, ...values) {
  for (const target of targets) {
    try {
      target(...values);
    } catch (error) {
      console.error(error);
      showError(error);
    }
  }
}

// Messages.

/** @param {unknown} error */
function showError(error) {
  if (isAbort(error)) return;
  setText(byId("error"), reason(error));
  byId("error-box").hidden = false;
}

function dismissError() {
  context.clearError();
  byId(`tab-${tab}`).focus();
}

// Tabs.

/** @param {TabName} name */
function applyTab(name) {
  const changed = name !== tab;
  tab = name;
  for (const other of TABS) {
    const button = byId(`tab-${other}`);
    button.setAttribute("aria-selected", String(other === name));
    button.tabIndex = other === name ? 0 : -1;
    byId(`panel-${other}`).hidden = other !== name;
  }
  if (changed) tell(listeners.tab, name);
}

/** @returns {TabName|null} */
function tabOfHash() {
  return TABS.find((name) => location.hash === `#${name}`) ?? null;
}

/** @param {KeyboardEvent} event */
function moveBetweenTabs(event) {
  const last = TABS.length - 1;
  const now = TABS.indexOf(tab);
  const target = { ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now === 0 ? last : now - 1, Home: 0, End: last }[
    event.key
  ];
  if (target === undefined) return;
  event.preventDefault();
  context.showTab(TABS[target]);
  byId(`tab-${TABS[target]}`).focus();
}

function startTabs() {
  for (const name of TABS) {
    byId(`tab-${name}`).addEventListener("click", () => context.showTab(name));
    byId(`tab-${name}`).addEventListener("keydown", moveBetweenTabs);
  }
  addEventListener("hashchange", () => {
    const name = tabOfHash();
    if (name) applyTab(name);
  });
  applyTab(tabOfHash() ?? "build");
}

// The chosen model.

/** @returns {string} */
function readChoice() {
  try {
    return sessionStorage.getItem(MODEL_KEY) ?? "";
  } catch {
    return ""; // The browser keeps nothing for this page.
  }
}

/** @param {string} id */
function writeChoice(id) {
  try {
    sessionStorage.setItem(MODEL_KEY, id);
  } catch {
    // The browser keeps nothing for this page; the choice lasts until it is loaded again.
  }
}

/**
 * The wanted model; else one given at the start of the program; else the newest run; else the first.
 * @param {Model[]} models
 * @returns {Model|null}
 */
function modelOf(models) {
  const runs = models.filter((one) => one.id.startsWith("run-"));
  const newest = runs.sort((a, b) => compareRuns(a.id, b.id)).pop();
  return (
    models.find((one) => one.id === wantedModel) ??
    models.find((one) => one.id.startsWith("file-")) ??
    newest ??
    models[0] ??
    null
  );
}

function updateModel() {
  const models = state?.models ?? [];
  const select = byId("model-select");
  setOptions(select, models.map((one) => ({ value: one.id, text: one.name })));
  select.disabled = models.length === 0;
  const chosen = modelOf(models);
  const changed = chosen?.id !== model?.id;
  model = chosen;
  if (chosen) select.value = chosen.id;
  if (changed) tell(listeners.model, model);
}

// The state of the program.

/** @param {AppState} next */
function takeState(next) {
  const first = state === null;
  state = next;
  const { name, folder } = next.project;
  setText(byId("project"), folder && folder !== name ? `${name} (${folder})` : name);
  byId("project").title = folder;
  document.title = `${name} - sonotype`;
  if (first && !tabOfHash() && next.models.some((one) => one.id.startsWith("file-"))) applyTab("try");
  updateModel();
  tell(listeners.state, next);
}

/** @type {EventSource|null} */
let source = null;

/**
 * Listens to the changes of the state, and connects again for as long as the page is open.
 * @param {number} [tries]
 */
function connect(tries = 0) {
  source?.close();
  source = new EventSource(address("api", "changes"));
  let failures = tries;
  source.addEventListener("message", (event) => {
    failures = 0;
    setNote(byId("connection"), "");
    takeState(JSON.parse(event.data));
  });
  source.addEventListener("error", async () => {
    source?.close();
    setNote(byId("connection"), failures ? await whyNoState() : "Connecting again ...");
    setTimeout(() => connect(failures + 1), RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
  });
}

/** @returns {Promise<string>} why there is no state now */
async function whyNoState() {
  try {
    await request(address("api", "state"));
    return "Connecting again ...";
  } catch (error) {
    return error instanceof Error ? reason(error) : STOPPED;
  }
}

/**
 * Starts the module of a tab. A tab whose module fails does not take the others with it.
 * @param {() => Promise<{start(context: Context): void}>} load
 */
async function startTab(load) {
  try {
    (await load()).start(context);
  } catch (error) {
    console.error(error);
    showError("A part of the page did not start. Load the page again.");
  }
}

function start() {
  byId("error-dismiss").addEventListener("click", dismissError);
  byId("model-select").addEventListener("change", () => context.chooseModel(byId("model-select").value));
  document.querySelector(".skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  // A file that is dropped beside its place must not replace the page.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  addEventListener("unhandledrejection", (event) => showError(event.reason));
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && connect());
  startTabs();
  const tabs = [() => import("./build.js"), () => import("./try.js"), () => import("./live.js")];
  // The state makes the page usable: a click before the tabs listen would be lost.
  Promise.all(tabs.map(startTab)).then(() => connect());
}

start();
